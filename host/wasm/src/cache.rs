//! Compiled components on disk, so that a start compiles nothing.
//!
//! A component's code lies in a file named by its digest, the engine's settings (with wasmtime's version) and its own
//! SHA-256; a small record beside it, replaced atomically and last, says which file that is. Native code is loaded from
//! here, so nothing is believed: the folder and the files must be ours and writable by nobody else, and the content
//! must have the digest that the record tells. Whatever does not fit is compiled again.

use crate::error::HostError;
use ilab_core::names::PluginDigest;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::Hash;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::Engine;

/// First line of a record; another format gets another one.
const FORMAT: &str = "ilab-host compiled component 1";
/// How much compiled code is kept, oldest first out.
const KEPT_BYTES: u64 = 1 << 30;
/// How many components are kept.
const KEPT_FILES: usize = 256;
/// After this long, a file that was being written belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Identifies everything that the compiled code depends on besides the component: settings, features, processor,
/// wasmtime's version.
pub(crate) fn engine_key(engine: &Engine) -> String {
    struct Hasher(Sha256);
    impl std::hash::Hasher for Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..16])
}

/// A folder of compiled components.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    engine_key: String,
}

/// What the record of a component tells.
struct Record {
    sha256: String,
    size: u64,
}

impl Cache {
    /// Opens the folder and makes it where it is missing.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Result<Self, HostError> {
        let io = |source| HostError::Cache { folder: folder.clone(), source };
        if !folder.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io)?;
        }
        let meta = fs::metadata(&folder).map_err(io)?;
        let refuse = |reason: String| Err(HostError::CacheNotOurs { folder: folder.clone(), reason });
        if !meta.is_dir() {
            return refuse("it is not a folder".to_owned());
        }
        let us = nix::unistd::geteuid().as_raw();
        if meta.uid() != us {
            return refuse(format!("it belongs to user {}, not to user {us}", meta.uid()));
        }
        if meta.mode() & 0o077 != 0 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(io)?;
        }
        Ok(Self { engine_key: engine_key(engine), folder })
    }

    /// Where files for the cache are written, on the same file system.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn stem(&self, digest: &PluginDigest) -> String {
        let digest = digest.as_str().trim_start_matches("sha256:");
        format!("{digest}-{}", self.engine_key)
    }

    fn code_path(&self, digest: &PluginDigest, record: &Record) -> PathBuf {
        self.folder.join(format!("{}-{}.cwasm", self.stem(digest), &record.sha256[..16]))
    }

    fn record_path(&self, digest: &PluginDigest) -> PathBuf {
        self.folder.join(format!("{}.record", self.stem(digest)))
    }

    /// The verified compiled code of a component; none when there is none that can be trusted.
    pub(crate) fn find(&self, digest: &PluginDigest) -> Option<PathBuf> {
        let record = self.record(digest)?;
        let path = self.code_path(digest, &record);
        match verify(&path, &record) {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a compiled component is not usable and is made again");
                None
            }
        }
    }

    fn record(&self, digest: &PluginDigest) -> Option<Record> {
        let mut text = String::new();
        open(&self.record_path(digest)).ok()?.take(512).read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FORMAT {
            return None;
        }
        let sha256 = lines.next()?.to_owned();
        let size = lines.next()?.parse().ok()?;
        let hex = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (hex && lines.next().is_none()).then_some(Record { sha256, size })
    }

    /// Takes a compiled component in and returns where it lies.
    pub(crate) fn keep(&self, digest: &PluginDigest, code: tempfile::NamedTempFile) -> io::Result<PathBuf> {
        let (sha256, size) = hash(File::open(code.path())?)?;
        let record = Record { sha256, size };
        let path = self.code_path(digest, &record);
        let former = self.record(digest).map(|former| self.code_path(digest, &former));
        code.persist(&path).map_err(|e| e.error)?;
        let mut file = self.temporary()?;
        write!(file, "{FORMAT}\n{}\n{size}\n", record.sha256)?;
        file.persist(self.record_path(digest)).map_err(|e| e.error)?;
        if let Some(former) = former.filter(|f| *f != path) {
            // Another process may have removed it already.
            let _ = fs::remove_file(former);
        }
        self.prune(&path);
        Ok(path)
    }

    /// A file in the folder that is removed unless it is kept.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)
    }

    /// Removes the oldest beyond what is kept. A record whose code is gone is only a miss.
    fn prune(&self, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let now = SystemTime::now();
        let mut codes = Vec::new();
        for entry in entries.flatten() {
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            let modified = meta.modified().unwrap_or(now);
            let name = entry.file_name();
            if path.extension().is_some_and(|e| e == "cwasm") {
                codes.push((modified, meta.len(), path));
            } else if name.as_encoded_bytes().starts_with(b".new-")
                && now.duration_since(modified).is_ok_and(|age| age > ABANDONED)
            {
                let _ = fs::remove_file(path);
            }
        }
        codes.sort_by(|a, b| b.0.cmp(&a.0));
        let mut bytes = 0;
        for (count, (_, size, path)) in codes.iter().enumerate() {
            bytes += size;
            if path != newest && (bytes > KEPT_BYTES || count >= KEPT_FILES) {
                let _ = fs::remove_file(path);
                if let Some(stem) = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.rsplit_once('-'))
                {
                    let _ = fs::remove_file(self.folder.join(format!("{}.record", stem.0)));
                }
            }
        }
    }
}

/// Opens a file of ours, and nothing else: no link, no device, nobody else's.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits() | nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let meta = file.metadata()?;
    let refuse = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !meta.is_file() {
        return refuse("not a regular file");
    }
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("others may write it");
    }
    Ok(file)
}

fn verify(path: &Path, record: &Record) -> io::Result<()> {
    let file = open(path)?;
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
    if file.metadata()?.len() != record.size {
        return wrong("its size is not what was recorded");
    }
    if hash(file)?.0 != record.sha256 {
        return wrong("its content is not what was recorded");
    }
    Ok(())
}

/// SHA-256 as hex, and the number of bytes; read in pieces, so that a large file takes no memory.
pub(crate) fn hash(mut file: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok((hex::encode(hasher.finalize()), size)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

//! Compiled components on disk, so that a start compiles nothing.
//!
//! A component's code lies in a file named by its digest, the engine's settings (with wasmtime's version) and its own
//! SHA-256; a small record beside it, replaced atomically and last, says which file that is. Native code is loaded from
//! here, so nothing is believed: the folder and the files must be ours and writable by nobody else, and the content
//! must have the digest that the record tells. Whatever does not fit is compiled again.
//!
//! Hashing megabytes of code at every start would be most of what a start costs. So a file that was found whole, and had
//! not been touched for a while, is remembered with its inode and times (as git's index does), and is hashed again only
//! when one of them differs: nobody can write a file without changing its ctime.

use crate::error::HostError;
use crate::memory::Memory;
use crate::record::{Record, stamp};
use ilab_core::names::{PluginDigest, StageName};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::Hash;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::Engine;

/// How much compiled code is kept, oldest first out.
const KEPT_BYTES: u64 = 1 << 30;
/// How many components are kept.
const KEPT_FILES: usize = 256;
/// After this long, a file that was being written belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(3600);
/// A file whose ctime is this old has another one when it is written again, however coarse the file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

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
    /// This build of the program; none where its own file cannot be looked at.
    program: Option<String>,
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
        let program = std::env::current_exe().and_then(fs::metadata).map(|meta| stamp(&meta)).ok();
        Ok(Self { engine_key: engine_key(engine), program, folder })
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

    /// Where what a component says of itself is remembered.
    pub(crate) fn stages(&self, digest: &PluginDigest) -> Option<Memory> {
        self.memory(&format!("{}.stages", self.stem(digest)))
    }

    /// Where the last plan of one of its stages is remembered.
    pub(crate) fn plan(&self, digest: &PluginDigest, stage: &StageName) -> Option<Memory> {
        self.memory(&format!("{}.{stage}.plan", self.stem(digest)))
    }

    /// Where something else is remembered, under a name of ours.
    pub(crate) fn memory(&self, name: &str) -> Option<Memory> {
        Some(Memory::at(self.folder.join(name), self.program.clone()?))
    }

    /// The verified compiled code of a component; none when there is none that can be trusted.
    pub(crate) fn find(&self, digest: &PluginDigest) -> Option<PathBuf> {
        self.find_at(digest, SystemTime::now())
    }

    fn find_at(&self, digest: &PluginDigest, now: SystemTime) -> Option<PathBuf> {
        let mut record = self.record(digest)?;
        let path = self.code_path(digest, &record);
        match verify(&path, &record, now) {
            Ok(None) => Some(path),
            Ok(stamp) => {
                record.stamp = stamp;
                if let Err(error) = self.write_record(digest, &record) {
                    tracing::debug!(%error, "a compiled component has to be hashed at the next start again");
                }
                Some(path)
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a compiled component is not usable and is made again");
                None
            }
        }
    }

    fn record(&self, digest: &PluginDigest) -> Option<Record> {
        let mut text = String::new();
        open(&self.record_path(digest)).ok()?.take(512).read_to_string(&mut text).ok()?;
        Record::parse(&text)
    }

    fn write_record(&self, digest: &PluginDigest, record: &Record) -> io::Result<()> {
        let mut file = self.temporary()?;
        file.write_all(record.text().as_bytes())?;
        file.persist(self.record_path(digest)).map(drop).map_err(|e| e.error)
    }

    /// Takes a compiled component in and returns where it lies.
    pub(crate) fn keep(&self, digest: &PluginDigest, code: tempfile::NamedTempFile) -> io::Result<PathBuf> {
        let (sha256, size) = hash(File::open(code.path())?)?;
        let record = Record { sha256, size, stamp: None };
        let path = self.code_path(digest, &record);
        let former = self.record(digest).map(|former| self.code_path(digest, &former));
        code.persist(&path).map_err(|e| e.error)?;
        self.write_record(digest, &record)?;
        if let Some(former) = former.filter(|f| *f != path) {
            // Another process may have removed it already.
            let _ = fs::remove_file(former);
        }
        self.prune(&path);
        Ok(path)
    }

    /// A file in the folder that is removed unless it is kept.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        temporary_in(&self.folder)
    }

    /// Removes the oldest beyond what is kept. A record whose code is gone is only a miss.
    fn prune(&self, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let now = SystemTime::now();
        let (mut codes, mut others) = (Vec::new(), Vec::new());
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
            } else {
                others.push(path);
            }
        }
        codes.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
        let mut bytes = 0;
        for (count, (_, size, path)) in codes.iter().enumerate() {
            bytes += size;
            if path != newest && (bytes > KEPT_BYTES || count >= KEPT_FILES) {
                let _ = fs::remove_file(path);
                if let Some(stem) = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.rsplit_once('-'))
                {
                    // Its record, and what is remembered of it.
                    let beside = |other: &&PathBuf| {
                        let name = other.file_name().and_then(|name| name.to_str());
                        name.and_then(|name| name.strip_prefix(stem.0))
                            .is_some_and(|rest| rest.starts_with('.'))
                    };
                    others.iter().filter(beside).for_each(|other| drop(fs::remove_file(other)));
                }
            }
        }
    }
}

/// A file in a folder that is removed unless it is kept; [`Cache::prune`] knows it by its name.
pub(crate) fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".new-").tempfile_in(folder)
}

/// Opens a file of ours, and nothing else: no link, no device, nobody else's.
pub(crate) fn open(path: &Path) -> io::Result<File> {
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

/// Whether the file is what was recorded; with the stamp to remember where it was hashed to find out.
fn verify(path: &Path, record: &Record, now: SystemTime) -> io::Result<Option<String>> {
    let file = open(path)?;
    let meta = file.metadata()?;
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
    if meta.len() != record.size {
        return wrong("its size is not what was recorded");
    }
    let stamp = stamp(&meta);
    if record.stamp.as_ref() == Some(&stamp) {
        return Ok(None);
    }
    if hash(file)?.0 != record.sha256 {
        return wrong("its content is not what was recorded");
    }
    Ok(settled(&meta, now).then_some(stamp))
}

/// Whether the file would have another [`stamp`] if it was written from now on.
pub(crate) fn settled(meta: &fs::Metadata, now: SystemTime) -> bool {
    let changed =
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(meta.ctime()).unwrap_or(u64::MAX >> 2));
    now.duration_since(changed).is_ok_and(|age| age > SETTLED)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    struct Kept {
        _folder: tempfile::TempDir,
        cache: Cache,
        digest: PluginDigest,
        code: PathBuf,
    }

    fn kept() -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let engine = crate::engine::engine(&Limits::default()).unwrap();
        let cache = Cache::open(folder.path().join("cache"), &engine).unwrap();
        let digest = PluginDigest::of(b"component");
        let mut code = cache.temporary().unwrap();
        code.write_all(b"native code").unwrap();
        let code = cache.keep(&digest, code).unwrap();
        Kept { _folder: folder, cache, digest, code }
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(10)
    }

    /// Changes the recorded digest where it is not part of the file's name: only hashing can tell.
    fn forge(kept: &Kept) {
        let mut record = kept.cache.record(&kept.digest).unwrap();
        record.sha256.replace_range(63.., if record.sha256.ends_with('0') { "1" } else { "0" });
        kept.cache.write_record(&kept.digest, &record).unwrap();
    }

    #[test]
    fn a_fresh_file_is_hashed_every_time() {
        let kept = kept();
        assert_eq!(kept.cache.find(&kept.digest), Some(kept.code.clone()));
        assert_eq!(kept.cache.record(&kept.digest).unwrap().stamp, None);
        forge(&kept);
        assert_eq!(kept.cache.find(&kept.digest), None);
    }

    #[test]
    fn a_settled_file_is_hashed_once() {
        let kept = kept();
        assert_eq!(kept.cache.find_at(&kept.digest, later()), Some(kept.code.clone()));
        assert!(kept.cache.record(&kept.digest).unwrap().stamp.is_some());
        forge(&kept);
        assert_eq!(kept.cache.find_at(&kept.digest, later()), Some(kept.code.clone()), "not hashed");
        // Another file in its place is hashed, even with the same content, size and times.
        let meta = fs::metadata(&kept.code).unwrap();
        let other = kept.code.with_extension("other");
        fs::write(&other, b"native code").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(meta.modified().unwrap()).unwrap();
        fs::rename(&other, &kept.code).unwrap();
        assert_eq!(kept.cache.find_at(&kept.digest, later()), None);
    }

    #[test]
    fn a_newer_component_takes_the_place_of_the_former_code() {
        let kept = kept();
        let mut code = kept.cache.temporary().unwrap();
        code.write_all(b"better native code").unwrap();
        let path = kept.cache.keep(&kept.digest, code).unwrap();
        assert!(!kept.code.exists() && path.exists());
        assert_eq!(kept.cache.find(&kept.digest), Some(path));
    }
}

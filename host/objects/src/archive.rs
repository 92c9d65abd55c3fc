//! Reading an SDG archive: a `.tar.gz` whose top level is `data/`, `model/` and `taxonomy/`.
//!
//! The archive is hostile until checked. No member may leave the folder it is unpacked into: paths have no `..` and
//! no root, links are made last, so that nothing is ever written through one, and each must resolve inside. Devices
//! and pipes are refused; modes lose set-uid bits. Every member's header checksum, its length and the gzip check sum
//! of the whole are verified.

use crate::ObjectsError;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// The folders an archive consists of.
pub const TOP: [&str; 3] = ["data", "model", "taxonomy"];

/// What must be there, from the reference: a folder, or a folder with a file whose name begins and ends so.
const REQUIRED: [(&str, &str, &str); 10] = [
    ("model", "config.json", ""),
    ("model", "tokenizer.json", ""),
    ("model", "tokenizer_config.json", ""),
    ("model", "", ".safetensors"),
    ("data", "skills_recipe_", ".yaml"),
    ("data", "knowledge_recipe_", ".yaml"),
    ("data", "skills_train_", ".jsonl"),
    ("data", "knowledge_train_", ".jsonl"),
    ("taxonomy/knowledge", "", ""),
    ("taxonomy/foundational_skills", "", ""),
];

const MAX_MEMBERS: usize = 1_000_000;
const MAX_PATH: usize = 4096;

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Relative path with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content, hex.
    pub sha256: String,
}

/// What an archive held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its files, in archive order.
    pub files: Vec<Member>,
    /// How many folders and links there were besides.
    pub others: usize,
    /// Members outside `data/`, `model/` and `taxonomy/`, which are passed over.
    pub ignored: usize,
}

impl Contents {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// The required files and folders that are missing or empty, as patterns for people.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        REQUIRED
            .iter()
            .filter(|(folder, begin, end)| !self.has(folder, begin, end))
            .map(|(folder, begin, end)| match (*begin, *end) {
                ("", "") => format!("{folder}/"),
                (name, "") => format!("{folder}/{name}"),
                (begin, end) => format!("{folder}/{begin}*{end}"),
            })
            .collect()
    }

    fn has(&self, folder: &str, begin: &str, end: &str) -> bool {
        self.files.iter().any(|file| {
            let Some(name) = file.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) else {
                return false;
            };
            if begin.is_empty() && end.is_empty() {
                return true;
            }
            let whole_name = end.is_empty();
            !name.contains('/')
                && file.size > 0
                && (if whole_name { name == begin } else { name.starts_with(begin) && name.ends_with(end) })
        })
    }
}

/// Reads a gzipped archive to its end and checks it; with `into`, unpacks it into that folder, which must be empty.
///
/// # Errors
/// [`ObjectsError::Archive`] names the member and what is wrong with it; [`ObjectsError::DiskFull`] and
/// [`ObjectsError::File`] when it cannot be written. The folder may then hold part of it.
pub fn read(name: &str, source: impl Read, into: Option<&Path>) -> Result<Contents, ObjectsError> {
    let archive_error = |problem: String| ObjectsError::Archive { name: name.to_owned(), problem };
    let broken = |e: io::Error| explain_read(name, &e);
    let mut archive = tar::Archive::new(MultiGzDecoder::new(source));
    let mut contents = Contents::default();
    let mut links = Vec::new();
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        if count >= MAX_MEMBERS {
            return Err(archive_error(format!("has more than {MAX_MEMBERS} members")));
        }
        let mut entry = entry.map_err(broken)?;
        let shown = printable(&entry.path_bytes());
        let path =
            safe_path(&entry.path_bytes()).map_err(|why| archive_error(format!("member {shown} {why}")))?;
        let Some(path) = path else { continue };
        if !TOP.iter().any(|top| path.starts_with(top)) {
            contents.ignored += 1;
            continue;
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                contents.others += 1;
                if let Some(into) = into {
                    make_dir(&into.join(&path))?;
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let target = into.map(|into| into.join(&path));
                let executable = entry.header().mode().unwrap_or(0o644) & 0o100 != 0;
                let (size, sha256) =
                    write_file(target.as_deref(), executable, &mut entry).map_err(|e| match e {
                        Copy::Read(e) => broken(e),
                        Copy::Write(e) => e,
                    })?;
                contents.files.push(Member { path: path.to_string_lossy().into_owned(), size, sha256 });
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name_bytes().map(|t| t.into_owned()).unwrap_or_default();
                contents.others += 1;
                links.push(Link { path, target, hard: kind == EntryType::Link });
            }
            kind => {
                return Err(archive_error(format!(
                    "member {shown} is of type {kind:?}, not a file, folder or link"
                )));
            }
        }
    }
    // To the very end, or the check sum of the gzip stream is never looked at.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    for link in &links {
        link.make(into).map_err(|why| archive_error(format!("link {} {why}", printable_path(&link.path))))?;
    }
    let missing = contents.missing();
    if !missing.is_empty() {
        return Err(archive_error(format!("lacks {}", missing.join(", "))));
    }
    Ok(contents)
}

struct Link {
    path: PathBuf,
    target: Vec<u8>,
    hard: bool,
}

impl Link {
    fn make(&self, into: Option<&Path>) -> Result<(), String> {
        let base = if self.hard { Path::new("") } else { self.path.parent().unwrap_or(Path::new("")) };
        let target = PathBuf::from(
            String::from_utf8(self.target.clone()).map_err(|_| "has a target that is no UTF-8")?,
        );
        stays_inside(base, &target)?;
        let Some(root) = into else { return Ok(()) };
        let at = root.join(&self.path);
        let parent = at.parent().ok_or("has no folder")?;
        fs::create_dir_all(parent).map_err(|e| format!("cannot be made: {e}"))?;
        let real_root = root.canonicalize().map_err(|e| format!("cannot be made: {e}"))?;
        let real_parent = parent.canonicalize().map_err(|e| format!("cannot be made: {e}"))?;
        if real_parent != real_root.join(self.path.parent().unwrap_or(Path::new(""))) {
            return Err("lies behind another link".into());
        }
        let made = if self.hard {
            let source = root.join(&target);
            if !source.symlink_metadata().is_ok_and(|m| m.is_file()) {
                return Err(format!(
                    "points at {}, which is no file of the archive",
                    printable_path(&target)
                ));
            }
            fs::hard_link(source, &at)
        } else {
            std::os::unix::fs::symlink(&target, &at)
        };
        made.map_err(|e| format!("cannot be made: {e}"))?;
        // A chain of links can leave the folder where each alone does not: ask where it really ends.
        if !at.canonicalize().is_ok_and(|end| end.starts_with(&real_root)) {
            return Err(format!(
                "points at {}, which is outside the archive or not in it",
                printable_path(&target)
            ));
        }
        Ok(())
    }
}

/// Whether a link target stays inside, read as text.
fn stays_inside(base: &Path, target: &Path) -> Result<(), String> {
    let mut depth = base.components().count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return Err(format!("points out of the archive, at {}", printable_path(target))),
        }
    }
    Ok(())
}

/// The member's path without leading `./`; none for the archive's own `./`.
fn safe_path(bytes: &[u8]) -> Result<Option<PathBuf>, &'static str> {
    if bytes.len() > MAX_PATH {
        return Err("has a path of more than 4,096 bytes");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "has a path that is no UTF-8")?;
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err("leaves the archive with `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("has an absolute path"),
        }
    }
    Ok((path.components().next().is_some()).then_some(path))
}

enum Copy {
    Read(io::Error),
    Write(ObjectsError),
}

/// Copies and hashes one file; without a target only hashes it.
fn write_file(
    target: Option<&Path>,
    executable: bool,
    source: &mut impl Read,
) -> Result<(u64, String), Copy> {
    let mut file = match target {
        Some(path) => {
            if let Some(parent) = path.parent() {
                make_dir(parent).map_err(Copy::Write)?;
            }
            Some((
                path,
                create(path, executable).map_err(|e| Copy::Write(ObjectsError::file("write", path, e)))?,
            ))
        }
        None => None,
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Copy::Read(e)),
        };
        hash.update(&buffer[..n]);
        if let Some((path, file)) = &mut file {
            file.write_all(&buffer[..n]).map_err(|e| Copy::Write(ObjectsError::file("write", path, e)))?;
        }
        size += n as u64;
    }
    Ok((size, hex::encode(hash.finalize())))
}

fn create(path: &Path, executable: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)
}

fn make_dir(path: &Path) -> Result<(), ObjectsError> {
    fs::create_dir_all(path).map_err(|e| ObjectsError::file("create folder", path, e))
}

fn explain_read(name: &str, error: &io::Error) -> ObjectsError {
    let text = error.to_string();
    let problem = if text.contains("gzip header") {
        "is not gzip-compressed".to_owned()
    } else if error.kind() == io::ErrorKind::UnexpectedEof || text.contains("unexpected EOF") {
        "is truncated: it ends in the middle".to_owned()
    } else {
        format!("is damaged: {text}")
    };
    ObjectsError::Archive { name: name.to_owned(), problem }
}

fn printable_path(path: &Path) -> String {
    printable(path.to_string_lossy().as_bytes())
}

/// A member's name for an error message: quoted, escaped, cut.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(200).collect();
    format!("{cut:?}")
}

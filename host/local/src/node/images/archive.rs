//! Root file systems out of archives. An archive is foreign: nothing in it may land outside the folder it is meant for.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

use super::store::ImageConfig;
use crate::node::files;

/// A root file system has fewer entries than this.
const MAX_ENTRIES: u64 = 4_000_000;
/// And unpacks to fewer bytes than this.
const MAX_BYTES: u64 = 256 << 30;
const MAX_CONFIG: u64 = 4 << 20;

/// An archive that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing.
    #[error("reading or writing failed: {0}")]
    Io(#[from] io::Error),
    /// A member that would land outside.
    #[error("member {0} leads out of the archive")]
    Outside(PathBuf),
    /// More than an image may hold.
    #[error("it holds more than {MAX_ENTRIES} members or {MAX_BYTES} bytes")]
    TooLarge,
    /// An image archive whose parts do not fit together.
    #[error("the image archive is damaged: {0}")]
    Damaged(String),
}

#[derive(Debug, Deserialize)]
struct ManifestEntry {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ConfigFile {
    #[serde(default)]
    config: Option<RunConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
}

impl From<RunConfig> for ImageConfig {
    fn from(run: RunConfig) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            working_dir: given(run.working_dir),
            user: given(run.user),
        }
    }
}

/// Unpacks a root file system, or an image as `docker save` writes it, into an empty folder.
pub(super) fn unpack(archive: &Path, into: &Path) -> Result<ImageConfig, ArchiveError> {
    if !is_image(archive)? {
        unpack_layer(open(archive)?, into)?;
        return Ok(ImageConfig::default());
    }
    let parent = into.parent().unwrap_or(into);
    let parts = tempfile::Builder::new().prefix("parts-").tempdir_in(parent)?;
    unpack_layer(open(archive)?, parts.path())?;
    let manifest: Vec<ManifestEntry> = read_part(parts.path(), "manifest.json")?;
    let entry = manifest
        .into_iter()
        .next()
        .ok_or_else(|| ArchiveError::Damaged("manifest.json is empty".to_owned()))?;
    for layer in &entry.layers {
        unpack_layer(open(&part(parts.path(), layer)?)?, into)?;
    }
    let config: ConfigFile = read_part(parts.path(), &entry.config)?;
    Ok(config.config.unwrap_or_default().into())
}

fn part(parts: &Path, name: &str) -> Result<PathBuf, ArchiveError> {
    let path = parts.join(inside(Path::new(name))?);
    // `docker save` may link one layer to another; those links stay inside, or canonicalisation shows that they do not.
    let real = path.canonicalize().map_err(|_| ArchiveError::Damaged(format!("{name} is missing")))?;
    if real.starts_with(parts.canonicalize()?) { Ok(real) } else { Err(ArchiveError::Outside(name.into())) }
}

fn read_part<T: serde::de::DeserializeOwned>(parts: &Path, name: &str) -> Result<T, ArchiveError> {
    let mut bytes = Vec::new();
    File::open(part(parts, name)?)?.take(MAX_CONFIG).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| ArchiveError::Damaged(format!("{name}: {error}")))
}

fn open(path: &Path) -> Result<Box<dyn Read>, ArchiveError> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let read = file.read(&mut magic)?;
    file.rewind()?;
    let file = BufReader::with_capacity(256 << 10, file);
    Ok(if read == 2 && magic == [0x1f, 0x8b] { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// An image archive has manifest.json among its members, which all lie at most two folders deep; a root file system of
/// any use has something deeper or none of that name.
fn is_image(archive: &Path) -> Result<bool, ArchiveError> {
    let mut tar = Archive::new(open(archive)?);
    for entry in tar.entries()?.take(4096) {
        let entry = entry?;
        let path = entry.path()?;
        let path: PathBuf = path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        if path == Path::new("manifest.json") {
            return Ok(true);
        }
        let first = path.components().next();
        if first.is_some_and(|first| {
            ["usr", "etc", "bin", "lib", "dev", "proc"].iter().any(|name| first.as_os_str() == *name)
        }) {
            return Ok(false);
        }
    }
    Ok(false)
}

/// The path without leading slashes and dots.
fn inside(path: &Path) -> Result<PathBuf, ArchiveError> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(ArchiveError::Outside(path.to_owned())),
        }
    }
    Ok(inside)
}

fn unpack_layer(reader: impl Read, into: &Path) -> Result<(), ArchiveError> {
    let mut tar = Archive::new(reader);
    tar.set_preserve_permissions(true);
    tar.set_preserve_mtime(true);
    tar.set_overwrite(true);
    let (mut entries, mut bytes) = (0, 0);
    // Modes that would keep us from writing into a folder are set when everything is in it.
    let mut folders = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        entries += 1;
        bytes += entry.size();
        if entries > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        let path = inside(&entry.path()?)?;
        if whiteout(&path, into)? {
            continue;
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                folders.push((path, entry.header().mode().unwrap_or(0o755)));
                entry.set_preserve_permissions(false);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Link => {}
            EntryType::Symlink => {}
            // Devices and pipes: a container gets its own.
            _ => continue,
        }
        if !entry.unpack_in(into)? {
            return Err(ArchiveError::Outside(entry.path()?.into_owned()));
        }
    }
    for (path, mode) in folders.into_iter().rev() {
        use std::os::unix::fs::PermissionsExt;
        let path = into.join(path);
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            // The owner must always be able to read and delete it.
            fs::set_permissions(&path, fs::Permissions::from_mode((mode & 0o7777) | 0o700))?;
        }
    }
    Ok(())
}

/// Applies a member that only says what a lower layer loses.
fn whiteout(path: &Path, into: &Path) -> Result<bool, ArchiveError> {
    let Some(gone) =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(".wh."))
    else {
        return Ok(false);
    };
    let folder = into.join(path.parent().unwrap_or(Path::new("")));
    // A link of a lower layer must not lead the deletion out.
    let Ok(folder) = folder.canonicalize() else { return Ok(true) };
    if !folder.starts_with(into.canonicalize()?) {
        return Err(ArchiveError::Outside(path.to_owned()));
    }
    if gone == ".wh..opq" {
        for entry in fs::read_dir(&folder)? {
            remove(&entry?.path())?;
        }
    } else if !gone.is_empty() && gone != "." && gone != ".." {
        remove(&folder.join(gone))?;
    }
    Ok(true)
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => files::remove_tree(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a tree: folders, files with their modes, links as links; nothing else.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), ArchiveError> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar(members: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(if *kind == EntryType::Directory { 0o555 } else { 0o755 });
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.set_link_name_literal(content).unwrap();
            }
            let data = if is_link { "" } else { content };
            header.set_size(data.len() as u64);
            // Written by hand: the builder itself refuses paths that climb.
            let name = &mut header.as_old_mut().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn imported(bytes: &[u8]) -> (tempfile::TempDir, Result<ImageConfig, ArchiveError>) {
        let dir = tempfile::tempdir().unwrap();
        let (file, into) = (dir.path().join("a.tar"), dir.path().join("into"));
        fs::write(&file, bytes).unwrap();
        fs::create_dir(&into).unwrap();
        let config = unpack(&file, &into);
        (dir, config)
    }

    #[test]
    fn a_root_file_system_with_closed_folders_and_devices() {
        let bytes = tar(&[
            ("./usr", EntryType::Directory, ""),
            ("./usr/tool", EntryType::Regular, "x"),
            ("bin", EntryType::Symlink, "usr"),
            ("dev-null", EntryType::Char, ""),
        ]);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&bytes).unwrap();
        for bytes in [bytes, gz.finish().unwrap()] {
            let (dir, config) = imported(&bytes);
            assert_eq!(config.unwrap(), ImageConfig::default());
            assert_eq!(fs::read_to_string(dir.path().join("into/bin/tool")).unwrap(), "x");
            assert!(!dir.path().join("into/dev-null").exists());
        }
    }

    #[test]
    fn an_image_of_two_layers_with_a_whiteout() {
        let one = tar(&[("etc/a", EntryType::Regular, "1"), ("etc/b", EntryType::Regular, "1")]);
        let two = tar(&[("etc/.wh.a", EntryType::Regular, ""), ("etc/b", EntryType::Regular, "2")]);
        let mut builder = tar::Builder::new(Vec::new());
        let manifest = br#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
        let config =
            br#"{"config":{"Entrypoint":["/run"],"Cmd":null,"Env":["A=b"],"WorkingDir":"","User":"7"}}"#;
        for (name, data) in [
            ("1/layer.tar", &one[..]),
            ("2/layer.tar", &two),
            ("c.json", config),
            ("manifest.json", manifest),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, data).unwrap();
        }
        let (dir, config) = imported(&builder.into_inner().unwrap());
        let config = config.unwrap();
        assert_eq!(
            (config.entrypoint.as_slice(), config.user.as_deref()),
            (&["/run".to_owned()][..], Some("7"))
        );
        assert_eq!(config.working_dir, None);
        assert!(!dir.path().join("into/etc/a").exists());
        assert_eq!(fs::read_to_string(dir.path().join("into/etc/b")).unwrap(), "2");
    }

    #[test]
    fn nothing_lands_outside() {
        for bad in [
            tar(&[("../evil", EntryType::Regular, "x")]),
            tar(&[("usr/../../evil", EntryType::Regular, "x")]),
            tar(&[("out", EntryType::Symlink, ".."), ("out/evil", EntryType::Regular, "x")]),
            tar(&[("out", EntryType::Symlink, ".."), ("out/.wh.a.tar", EntryType::Regular, "x")]),
            tar(&[("out", EntryType::Link, "../a.tar"), ("usr", EntryType::Directory, "")]),
            tar(&[("manifest.json", EntryType::Regular, r#"[{"Config":"c","Layers":["../a.tar"]}]"#)]),
            tar(&[("manifest.json", EntryType::Regular, "[]")]),
        ] {
            let (dir, config) = imported(&bad);
            assert!(config.is_err());
            assert!(!dir.path().join("evil").exists() && dir.path().join("a.tar").exists());
        }
    }

    #[test]
    fn a_truncated_archive_is_an_error() {
        let bytes = tar(&[("usr/tool", EntryType::Regular, &"x".repeat(2000))]);
        let (_dir, config) = imported(&bytes[..1200]);
        assert!(config.is_err());
    }
}

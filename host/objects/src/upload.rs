//! Pack and upload in one pass, and upload of a ready archive.

use crate::archive;
use crate::download::parse_key;
use crate::pipe::write_pipe;
use crate::{ObjectsError, OnProgress, Progress, Store};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::{MultipartUpload, ObjectStoreExt, path::Path as Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tokio::sync::mpsc;

const MIN_PART: u64 = 8 * 1024 * 1024;
/// S3 allows 10,000 parts; a little less leaves room for an archive that grows while it is packed.
const MAX_PARTS: u64 = 9_000;
/// Parts on their way at once.
const PARALLEL: usize = 2;

/// A file or folder to pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Relative to the root.
    pub path: PathBuf,
    /// Its name in the archive; none: `path`.
    pub name: Option<PathBuf>,
    /// Whether it may be absent.
    pub optional: bool,
}

/// What to pack and where to put it.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// The object's key.
    pub key: String,
    /// The folder that holds what is included; names in the archive begin with its last part.
    pub root: PathBuf,
    /// What goes in.
    pub include: Vec<Include>,
}

/// What an upload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The object's key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
    /// Optional parts that were not there.
    pub absent: Vec<String>,
}

/// Packs files into a `.tar.gz` on the way to the store; nothing is written to disk.
///
/// # Errors
/// See [`ObjectsError`]. Everything that must be there is looked for before the first byte is sent, and an upload that
/// fails is aborted, so that the store keeps no part of it.
pub async fn upload_packed(
    store: &Store,
    options: &UploadOptions,
    progress: OnProgress<'_>,
) -> Result<Uploaded, ObjectsError> {
    let key = parse_key(&options.key)?;
    let (present, absent) = look(options)?;
    let size: u64 = present
        .iter()
        .map(|(path, _)| size_of(path))
        .sum::<io::Result<u64>>()
        .map_err(|e| ObjectsError::file("read", &options.root, e))?;
    let (writer, parts) = write_pipe(part_size(size));
    let pack = tokio::task::spawn_blocking(move || -> Result<(), ObjectsError> {
        let failed = |e: io::Error| ObjectsError::file("pack", Path::new("the archive"), e);
        let mut archive = tar::Builder::new(GzEncoder::new(writer, Compression::fast()));
        archive.follow_symlinks(false);
        for (path, name) in &present {
            let added = if path.is_dir() {
                archive.append_dir_all(name, path)
            } else {
                archive.append_path_with_name(path, name)
            };
            added.map_err(|e| ObjectsError::file("pack", path, e))?;
        }
        archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?.finish().map_err(failed)
    });
    let sent = send(store, &options.key, &key, parts, pack, None, progress).await?;
    Ok(Uploaded { absent, ..sent })
}

/// Uploads a ready archive, after it has been read once and found to be what the workflow needs.
///
/// # Errors
/// See [`ObjectsError`]; an archive that [`archive::read`] refuses is not sent.
pub async fn upload_archive(
    store: &Store,
    file: &Path,
    key: &str,
    progress: OnProgress<'_>,
) -> Result<Uploaded, ObjectsError> {
    let parsed = parse_key(key)?;
    let open = || File::open(file).map_err(|e| ObjectsError::file("read", file, e));
    let size = open()?.metadata().map_err(|e| ObjectsError::file("read", file, e))?.len();
    let (name, source) = (file.display().to_string(), open()?);
    join(tokio::task::spawn_blocking(move || archive::read(&name, source, None)).await)?;
    let (mut writer, parts) = write_pipe(part_size(size));
    let (mut source, path) = (open()?, file.to_owned());
    let read = tokio::task::spawn_blocking(move || -> Result<(), ObjectsError> {
        io::copy(&mut source.by_ref(), &mut writer)
            .and_then(|_| writer.finish())
            .map_err(|e| ObjectsError::file("read", &path, e))
    });
    send(store, key, &parsed, parts, read, Some(size), progress).await
}

type Present = Vec<(PathBuf, PathBuf)>;

/// Splits what is included into what is there, with its name in the archive, and what is not.
fn look(options: &UploadOptions) -> Result<(Present, Vec<String>), ObjectsError> {
    let top = options.root.file_name().map(PathBuf::from).unwrap_or_default();
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for include in &options.include {
        for part in [Some(&include.path), include.name.as_ref()].into_iter().flatten() {
            if part.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
                return Err(ObjectsError::Option {
                    option: "include",
                    value: part.display().to_string(),
                    problem: "is not a path inside the root".into(),
                });
            }
        }
        let path = options.root.join(&include.path);
        match path.symlink_metadata() {
            Ok(_) => present.push((path, top.join(include.name.as_ref().unwrap_or(&include.path)))),
            Err(_) if include.optional => absent.push(include.path.display().to_string()),
            Err(e) => return Err(ObjectsError::file("read", &path, e)),
        }
    }
    Ok((present, absent))
}

fn size_of(path: &Path) -> io::Result<u64> {
    let meta = path.symlink_metadata()?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
}

fn part_size(total: u64) -> usize {
    usize::try_from(MIN_PART.max(total / MAX_PARTS)).unwrap_or(usize::MAX)
}

fn join<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}

/// Sends the parts as they come, a few at once; completes the upload only when the packing side has ended well.
async fn send(
    store: &Store,
    name: &str,
    key: &Key,
    mut parts: mpsc::Receiver<Bytes>,
    source: tokio::task::JoinHandle<Result<(), ObjectsError>>,
    total: Option<u64>,
    progress: OnProgress<'_>,
) -> Result<Uploaded, ObjectsError> {
    let explain = |e| store.explain(name, e);
    let mut upload = store.s3.put_multipart(key).await.map_err(explain)?;
    let result = pump(upload.as_mut(), &mut parts, total, progress).await.map_err(explain);
    // Closing tells a packing side that is still at work that nobody listens.
    parts.close();
    let packed = join(source.await);
    let (bytes, sha256) = match (result, packed) {
        (Ok(sent), Ok(())) => sent,
        (Err(e), _) | (_, Err(e)) => {
            if let Err(abort) = upload.abort().await {
                tracing::warn!(error = %abort, "the broken upload could not be aborted; the store may keep its parts");
            }
            return Err(e);
        }
    };
    upload.complete().await.map_err(explain)?;
    let found = store.s3.head(key).await.map_err(explain)?.size;
    if found != bytes {
        return Err(ObjectsError::Corrupted { key: name.to_owned(), sent: bytes, found });
    }
    Ok(Uploaded { key: name.to_owned(), bytes, sha256, absent: Vec::new() })
}

async fn pump(
    upload: &mut dyn MultipartUpload,
    parts: &mut mpsc::Receiver<Bytes>,
    total: Option<u64>,
    progress: OnProgress<'_>,
) -> Result<(u64, String), object_store::Error> {
    let mut hash = Sha256::new();
    let (mut bytes, mut done) = (0, 0);
    let mut flying = FuturesUnordered::new();
    while let Some(part) = parts.recv().await {
        hash.update(&part);
        let size = part.len() as u64;
        bytes += size;
        let sending = upload.put_part(part.into());
        flying.push(async move { sending.await.map(|()| size) });
        while flying.len() >= PARALLEL {
            done += flying.next().await.transpose()?.unwrap_or(0);
            progress(Progress { bytes: done, total });
        }
    }
    while let Some(size) = flying.try_next().await? {
        done += size;
        progress(Progress { bytes: done, total });
    }
    Ok((bytes, hex::encode(hash.finalize())))
}

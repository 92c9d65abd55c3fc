//! Download and unpack in one pass.

use crate::archive::{self, Contents, TOP};
use crate::pipe::pipe;
use crate::{ObjectsError, OnProgress, Progress, Store};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path as Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

const MARKER: &str = ".ilab-download.json";
const WORK: &str = ".ilab-download";
/// How often a broken connection is taken up again before giving up.
const RESUMES: u32 = 8;

/// What to download, and where to.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// The object's key.
    pub key: String,
    /// The folder that `data/`, `model/` and `taxonomy/` land in.
    pub into: PathBuf,
    /// Download even when the same object has been unpacked here before.
    pub force: bool,
}

/// What a download did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// Whether everything was there already.
    pub skipped: bool,
    /// Bytes of the archive.
    pub bytes: u64,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
    /// Files unpacked.
    pub members: usize,
    /// Bytes unpacked.
    pub unpacked_bytes: u64,
    /// Members outside the three folders, passed over.
    pub ignored: usize,
}

/// What is remembered beside the unpacked folders, so that a second download can prove that it is not needed.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    bucket: String,
    key: String,
    etag: Option<String>,
    sha256: String,
    bytes: u64,
    contents: Contents,
}

/// Downloads an archive and unpacks it, all or nothing.
///
/// The stream is unpacked as it arrives, into a work folder beside the result; only when it has been read to its
/// end, checked, and found complete are the three folders moved into place. A connection that breaks is taken up at
/// the byte where it broke, and only while the object is still the same.
///
/// `model/output`, where training keeps its checkpoints, is carried over when `model/` is replaced.
///
/// # Errors
/// See [`ObjectsError`]; what was in the folder before is untouched then.
pub async fn download(
    store: &Store,
    options: &DownloadOptions,
    progress: OnProgress<'_>,
) -> Result<Downloaded, ObjectsError> {
    let key = parse_key(&options.key)?;
    let meta = match store.s3.head(&key).await {
        Ok(meta) => meta,
        // The answer to a HEAD has no body, so a bucket or an access key that is unknown looks like a missing object.
        Err(error @ object_store::Error::NotFound { .. }) => {
            let error = store.s3.get(&key).await.err().unwrap_or(error);
            return Err(store.explain(&options.key, error));
        }
        Err(error) => return Err(store.explain(&options.key, error)),
    };
    if !options.force
        && let Some(done) = already_there(store, options, &meta)
    {
        return Ok(done);
    }
    let work = options.into.join(WORK);
    clear(&work)?;
    fs::create_dir_all(&work).map_err(|e| ObjectsError::file("create folder", &work, e))?;
    let unpacked = unpack_stream(store, options, &key, &meta, &work, progress).await;
    let (contents, sha256) = match unpacked {
        Ok(unpacked) => unpacked,
        Err(e) => {
            // The error is what the person needs; a work folder that cannot be removed is cleared by the next try.
            let _ = clear(&work);
            return Err(e);
        }
    };
    put_in_place(&options.into, &work)?;
    let done = Downloaded {
        skipped: false,
        bytes: meta.size,
        sha256: sha256.clone(),
        members: contents.files.len(),
        unpacked_bytes: contents.bytes(),
        ignored: contents.ignored,
    };
    let marker = Marker {
        bucket: store.bucket.clone(),
        key: options.key.clone(),
        etag: meta.e_tag,
        sha256,
        bytes: meta.size,
        contents,
    };
    write_marker(&options.into, &marker)?;
    Ok(done)
}

pub(crate) fn parse_key(key: &str) -> Result<Key, ObjectsError> {
    let wrong = |problem: String| ObjectsError::Option { option: "data_key", value: key.to_owned(), problem };
    if key.trim().is_empty() {
        return Err(wrong("is empty".into()));
    }
    Key::parse(key.trim_start_matches('/')).map_err(|e| wrong(format!("is no object key: {e}")))
}

fn already_there(store: &Store, options: &DownloadOptions, meta: &ObjectMeta) -> Option<Downloaded> {
    let marker: Marker = serde_json::from_slice(&fs::read(options.into.join(MARKER)).ok()?).ok()?;
    let same_object = marker.bucket == store.bucket
        && marker.key == options.key
        && marker.bytes == meta.size
        && marker.etag.is_some()
        && marker.etag == meta.e_tag;
    let complete = || {
        marker.contents.files.iter().all(|file| {
            options
                .into
                .join(&file.path)
                .symlink_metadata()
                .is_ok_and(|m| m.is_file() && m.len() == file.size)
        })
    };
    (same_object && complete()).then(|| Downloaded {
        skipped: true,
        bytes: marker.bytes,
        sha256: marker.sha256.clone(),
        members: marker.contents.files.len(),
        unpacked_bytes: marker.contents.bytes(),
        ignored: marker.contents.ignored,
    })
}

async fn unpack_stream(
    store: &Store,
    options: &DownloadOptions,
    key: &Key,
    meta: &ObjectMeta,
    work: &Path,
    progress: OnProgress<'_>,
) -> Result<(Contents, String), ObjectsError> {
    let (sender, reader) = pipe();
    let (name, work) = (options.key.clone(), work.to_owned());
    let unpack = tokio::task::spawn_blocking(move || archive::read(&name, reader, Some(&work)));
    let fetched = fetch(store, &options.key, key, meta, &sender, progress).await;
    if let Err(e) = &fetched {
        // Wakes the unpacking thread, which would otherwise take the end of the channel for the end of the archive.
        let _ = sender.send(Err(io::Error::other(e.to_string()))).await;
    }
    drop(sender);
    let contents = unpack.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    match (fetched, contents) {
        (Ok(Some(sha256)), Ok(contents)) => Ok((contents, sha256)),
        (Err(e), _) | (_, Err(e)) => Err(e),
        (Ok(None), Ok(_)) => Err(ObjectsError::Archive {
            name: options.key.clone(),
            problem: "ends before its object does".into(),
        }),
    }
}

/// Sends the object's bytes down the pipe; answers its digest, or none when the reader has gone.
async fn fetch(
    store: &Store,
    name: &str,
    key: &Key,
    meta: &ObjectMeta,
    sender: &mpsc::Sender<Result<Bytes, io::Error>>,
    progress: OnProgress<'_>,
) -> Result<Option<String>, ObjectsError> {
    let mut hash = Sha256::new();
    let mut at = 0;
    let mut tries = 0;
    while at < meta.size {
        let options = GetOptions {
            if_match: meta.e_tag.clone(),
            range: (at > 0).then_some(GetRange::Offset(at)),
            ..GetOptions::default()
        };
        let mut body =
            store.s3.get_opts(key, options).await.map_err(|e| store.explain(name, e))?.into_stream();
        loop {
            match body.try_next().await {
                Ok(Some(bytes)) => {
                    at += bytes.len() as u64;
                    tries = 0;
                    hash.update(&bytes);
                    if sender.send(Ok(bytes)).await.is_err() {
                        return Ok(None);
                    }
                    progress(Progress { bytes: at, total: Some(meta.size) });
                }
                Ok(None) => break,
                Err(e) => {
                    tries += 1;
                    if tries > RESUMES {
                        return Err(store.explain(name, e));
                    }
                    let wait = Duration::from_millis(250 * 2_u64.pow(tries.min(6)));
                    tracing::warn!(byte = at, ?wait, error = %e, "the connection broke; taking the download up again");
                    tokio::time::sleep(wait).await;
                    break;
                }
            }
        }
    }
    Ok(Some(hex::encode(hash.finalize())))
}

fn put_in_place(into: &Path, work: &Path) -> Result<(), ObjectsError> {
    for top in TOP {
        let (new, place, old) = (work.join(top), into.join(top), work.join(format!("old-{top}")));
        let kept = place.join("output");
        if top == "model" && kept.exists() {
            rename(&kept, &new.join("output"))?;
        }
        if place.symlink_metadata().is_ok() {
            rename(&place, &old)?;
        }
        rename(&new, &place)?;
    }
    clear(work)
}

fn rename(from: &Path, to: &Path) -> Result<(), ObjectsError> {
    fs::rename(from, to).map_err(|e| ObjectsError::file("move into place", from, e))
}

fn clear(path: &Path) -> Result<(), ObjectsError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ObjectsError::file("remove", path, e)),
        _ => Ok(()),
    }
}

fn write_marker(into: &Path, marker: &Marker) -> Result<(), ObjectsError> {
    let path = into.join(MARKER);
    let text = serde_json::to_vec(marker).expect("a marker is plain data");
    fs::write(&path, text).map_err(|e| ObjectsError::file("write", &path, e))
}

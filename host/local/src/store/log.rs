//! The append-only log of the store: every record with its length and checksum, one file, compacted now and then.
//!
//! A record is in the page cache before its write is acknowledged, so `kill -9` of the host loses nothing; the disk
//! itself is forced at compaction and at shutdown. What a kill can leave is half a record at the very end: it was never
//! acknowledged and is cut off. Damage anywhere else is an error, never a silent loss.

use super::{Key, Stored};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 16] = b"ilab-local-log1\n";
const FILE: &str = "objects.log";
const HEADER: usize = 8;
/// No object is larger: the server bounds requests to 3 MiB.
const MAX_RECORD: usize = 16 << 20;
/// A log smaller than this is not worth compacting.
const COMPACT_FROM: u64 = 4 << 20;

/// Why the state of the cluster could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, for example `append to`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a log of this program, or of another version of it.
    #[error("{} is not a state file that this version can read", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged before its end.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// One entry of the log: an object as it is now, or that it is gone, or only the version.
pub(super) struct Record {
    pub(super) version: u64,
    pub(super) object_version: u64,
    pub(super) key: Option<Key>,
    pub(super) object: Option<Bytes>,
}

pub(super) struct Log {
    file: File,
    path: PathBuf,
    length: u64,
    buffer: Vec<u8>,
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn put_text(buffer: &mut Vec<u8>, text: &str) {
    // Names are bounded by validation to 253 bytes; 16 bits leave room.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn encode(record: &Record, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    buffer.push(match (&record.key, &record.object) {
        (Some(_), Some(_)) => b'P',
        (Some(_), None) => b'D',
        (None, _) => b'V',
    });
    buffer.extend_from_slice(&record.version.to_le_bytes());
    buffer.extend_from_slice(&record.object_version.to_le_bytes());
    if let Some(key) = &record.key {
        put_text(buffer, key.resource);
        put_text(buffer, &key.namespace);
        put_text(buffer, &key.name);
        if let Some(object) = &record.object {
            buffer.extend_from_slice(object);
        }
    }
    let payload = start + HEADER;
    let length = u32::try_from(buffer.len() - payload).unwrap_or(u32::MAX);
    let sum = crc(&buffer[payload..]);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..payload].copy_from_slice(&sum.to_le_bytes());
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = u16::from_le_bytes(take(bytes, 2)?.try_into().ok()?);
    std::str::from_utf8(take(bytes, usize::from(length))?).ok()
}

fn decode(
    mut payload: &[u8],
    resource: &impl Fn(&str) -> Option<&'static str>,
) -> Result<Record, &'static str> {
    const SHORT: &str = "its record is shorter than it says";
    let tag = take(&mut payload, 1).ok_or(SHORT)?[0];
    let version = take_u64(&mut payload).ok_or(SHORT)?;
    let object_version = take_u64(&mut payload).ok_or(SHORT)?;
    if tag == b'V' {
        return Ok(Record { version, object_version, key: None, object: None });
    }
    let name = take_text(&mut payload).ok_or(SHORT)?;
    let key = Key {
        resource: resource(name).ok_or("it holds a kind that this version does not know")?,
        namespace: take_text(&mut payload).ok_or(SHORT)?.to_owned(),
        name: take_text(&mut payload).ok_or(SHORT)?.to_owned(),
    };
    let object = match tag {
        b'P' => Some(Bytes::copy_from_slice(payload)),
        b'D' => None,
        _ => return Err("its record has an unknown tag"),
    };
    Ok(Record { version, object_version, key: Some(key), object })
}

impl Log {
    /// Reads every record in order and gives it to `each`, with whether it belongs to the snapshot at the beginning.
    pub(super) fn open(
        folder: &Path,
        resource: impl Fn(&str) -> Option<&'static str>,
        mut each: impl FnMut(Record, bool),
    ) -> Result<Self, LogError> {
        let path = folder.join(FILE);
        let io = |action| {
            let path = path.clone();
            move |source| LogError::Io { action, path, source }
        };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        if bytes.len() < MAGIC.len() {
            if !MAGIC.starts_with(&bytes) {
                return Err(LogError::Foreign { path });
            }
            file.set_len(0).map_err(io("write"))?;
            file.write_all(MAGIC).map_err(io("write"))?;
            return Ok(Self { file, path, length: MAGIC.len() as u64, buffer: Vec::new() });
        }
        if !bytes.starts_with(MAGIC) {
            return Err(LogError::Foreign { path });
        }
        let mut at = MAGIC.len();
        // A snapshot ends with a bare version; a log that was never compacted has none and is history from version 0.
        let mut snapshot = bytes.get(at + HEADER) == Some(&b'V');
        let mut first = snapshot;
        while at < bytes.len() {
            let corrupt = |what| LogError::Corrupt { path: path.clone(), offset: at as u64, what };
            let rest = &bytes[at..];
            let Some((header, _)) = rest.split_first_chunk::<HEADER>() else { break };
            let [length @ .., s0, s1, s2, s3] = *header;
            let length = u32::from_le_bytes(length) as usize;
            // After a power failure the end of a file may read as zeros.
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            if length > MAX_RECORD {
                return Err(corrupt("its record is longer than any can be"));
            }
            let Some(payload) = rest.get(HEADER..HEADER + length) else { break };
            if crc(payload) != u32::from_le_bytes([s0, s1, s2, s3]) {
                if at + HEADER + length == bytes.len() {
                    break;
                }
                return Err(corrupt("its checksum is wrong"));
            }
            let record = decode(payload, &resource).map_err(corrupt)?;
            if record.key.is_none() && !first {
                snapshot = false;
            }
            first = false;
            each(record, snapshot);
            at += HEADER + payload.len();
        }
        if at < bytes.len() {
            let kept = path.with_extension("log.cut");
            std::fs::write(&kept, &bytes[at..]).map_err(io("set aside the end of"))?;
            tracing::warn!(
                bytes = bytes.len() - at,
                kept = %kept.display(),
                "cut an unfinished record off the state file"
            );
            file.set_len(at as u64).map_err(io("truncate"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io("read"))?;
        Ok(Self { file, path, length: at as u64, buffer: Vec::new() })
    }

    fn error(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> LogError {
        let path = self.path.clone();
        move |source| LogError::Io { action, path, source }
    }

    /// Appends one record, whole or not at all.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), LogError> {
        self.buffer.clear();
        encode(record, &mut self.buffer);
        if let Err(source) = self.file.write_all(&self.buffer) {
            // A full disk may have taken a part: what follows must not be written behind it.
            let _ = self.file.set_len(self.length);
            return Err(self.error("append to")(source));
        }
        self.length += self.buffer.len() as u64;
        self.buffer.shrink_to(64 << 10);
        Ok(())
    }

    /// Whether most of the file is history.
    pub(super) fn wants_compaction(&self, live: u64) -> bool {
        self.length > COMPACT_FROM && self.length > live.saturating_mul(4)
    }

    /// Replaces the file by one with only the living objects, atomically.
    pub(super) fn compact(
        &mut self,
        version: u64,
        objects: &BTreeMap<Arc<Key>, Stored>,
    ) -> Result<(), LogError> {
        let fresh = self.path.with_extension("log.new");
        let mut bytes = MAGIC.to_vec();
        let mark = Record { version, object_version: version, key: None, object: None };
        encode(&mark, &mut bytes);
        for (key, stored) in objects {
            let record = Record {
                version,
                object_version: stored.version,
                key: Some(Key::clone(key)),
                object: Some(stored.object.clone()),
            };
            encode(&record, &mut bytes);
        }
        encode(&mark, &mut bytes);
        let mut file = File::create(&fresh).map_err(self.error("create"))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(self.error("rewrite"))?;
        std::fs::rename(&fresh, &self.path).map_err(self.error("replace"))?;
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(self.error("replace"))?;
        }
        self.file =
            OpenOptions::new().read(true).append(true).open(&self.path).map_err(self.error("reopen"))?;
        self.length = bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.file.sync_data().map_err(self.error("flush"))
    }
}

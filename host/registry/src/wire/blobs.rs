//! Blobs: streamed to a file and hashed on the way, taken up again where a connection broke off.

use super::client::{Action, Registry, unreachable};
use super::manifests::joined;
use crate::manifest::Descriptor;
use crate::{Digest, Reference, RegistryError};
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

/// So much more of a blob makes up for all the tries before.
const ADVANCE: u64 = 1 << 20;

/// What arrives, and how much of it has.
struct Receiving<'a> {
    file: &'a mut File,
    path: &'a Path,
    hasher: Sha256,
    received: u64,
}

impl Receiving<'_> {
    fn restart(&mut self) -> Result<(), RegistryError> {
        self.hasher = Sha256::new();
        self.received = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|e| RegistryError::file("write", self.path, e))
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), RegistryError> {
        self.file.write_all(chunk).map_err(|e| RegistryError::file("write", self.path, e))?;
        self.hasher.update(chunk);
        self.received += chunk.len() as u64;
        Ok(())
    }
}

impl Registry {
    /// Fetches a blob into an empty file. What is there afterwards has the descriptor's size and digest.
    ///
    /// A connection that breaks off is taken up again at the byte where it broke; progress is told in bytes.
    pub(crate) async fn blob(
        &self,
        at: &Reference,
        blob: &Descriptor,
        file: &mut File,
        path: &Path,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let mut to = Receiving { file, path, hasher: Sha256::new(), received: 0 };
        let mut failed = 0;
        loop {
            let before = to.received;
            match self.blob_once(at, blob, &mut to, progress).await {
                Ok(()) => break,
                Err(error) => {
                    // As long as it gets on, it is no standstill; by single bytes it does not get on.
                    failed = if to.received >= before + ADVANCE { 0 } else { failed };
                    failed = self.pause(failed, error).await?;
                }
            }
        }
        let found = Digest::finished(to.hasher);
        if found != blob.digest {
            return Err(RegistryError::DigestMismatch {
                what: format!("a blob of {}", at.name()),
                expected: blob.digest.clone(),
                found,
            });
        }
        Ok(())
    }

    async fn blob_once(
        &self,
        at: &Reference,
        blob: &Descriptor,
        to: &mut Receiving<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RegistryError> {
        if to.received == blob.size && blob.size > 0 {
            return Ok(());
        }
        let path = format!("{}/blobs/{}", at.repository(), blob.digest);
        let from = to.received;
        let mut response = self
            .once(at, Action::Pull, |http, base| {
                let request = http.get(joined(base, &path));
                if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request }
            })
            .await?;
        if from > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            // It sends everything again.
            to.restart()?;
        }
        while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(at, e))? {
            let size = to.received + chunk.len() as u64;
            if size > blob.size {
                return Err(RegistryError::TooLarge {
                    what: format!("a blob of {}", at.name()),
                    size,
                    limit: blob.size,
                });
            }
            to.take(&chunk)?;
            progress(to.received);
        }
        if to.received < blob.size {
            return Err(RegistryError::Busy {
                registry: at.registry().to_owned(),
                status: response.status().as_u16(),
                said: format!("it sent {} of {} bytes", to.received, blob.size),
                retry_after: None,
            });
        }
        Ok(())
    }

    /// A small blob in memory.
    pub(crate) async fn small_blob(
        &self,
        at: &Reference,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit {
            return Err(RegistryError::TooLarge {
                what: format!("a blob of {}", at.name()),
                size: blob.size,
                limit,
            });
        }
        let path = format!("{}/blobs/{}", at.repository(), blob.digest);
        let response = self.send(at, Action::Pull, |http, base| http.get(joined(base, &path))).await?;
        let bytes =
            super::client::bounded(at, &format!("a blob of {}", at.name()), response, blob.size).await?;
        let found = Digest::of(&bytes);
        if found != blob.digest {
            let (what, expected) = (format!("a blob of {}", at.name()), blob.digest.clone());
            return Err(RegistryError::DigestMismatch { what, expected, found });
        }
        Ok(bytes)
    }

    /// Pushes a blob, unless the repository has it already. Answers whether it was sent.
    pub(crate) async fn put_blob(
        &self,
        at: &Reference,
        digest: &Digest,
        bytes: &Bytes,
    ) -> Result<bool, RegistryError> {
        let path = format!("{}/blobs/{digest}", at.repository());
        match self.send(at, Action::Push, |http, base| http.head(joined(base, &path))).await {
            Ok(_) => return Ok(false),
            Err(RegistryError::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
        let mut failed = 0;
        loop {
            // An upload that broke off is begun anew: half a blob is nothing that two sides agree upon.
            match self.put_blob_once(at, digest, bytes).await {
                Ok(()) => return Ok(true),
                Err(error) => failed = self.pause(failed, error).await?,
            }
        }
    }

    async fn put_blob_once(
        &self,
        at: &Reference,
        digest: &Digest,
        bytes: &Bytes,
    ) -> Result<(), RegistryError> {
        let path = format!("{}/blobs/uploads/", at.repository());
        let begun = self
            .once(at, Action::Push, |http, base| {
                http.request(Method::POST, joined(base, &path)).header(CONTENT_LENGTH, 0)
            })
            .await?;
        let mut to = location(at, &begun)?;
        to.query_pairs_mut().append_pair("digest", digest.as_str());
        self.once(at, Action::Push, |http, _| {
            http.put(to.clone()).header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
        })
        .await
        .map(drop)
    }
}

/// Where an upload goes on: absolute, or seen from where it began. Never from TLS to plain text.
fn location(at: &Reference, response: &Response) -> Result<Url, RegistryError> {
    let header = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
    let to = header.and_then(|l| response.url().join(l).ok());
    to.filter(|to| to.scheme() == "https" || (to.scheme() == "http" && response.url().scheme() == "http"))
        .ok_or_else(|| RegistryError::protocol(at.registry(), "an upload that goes on nowhere"))
}

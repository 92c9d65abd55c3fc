//! A bounded pipe between the async client and the synchronous archive code.
//!
//! tar and gzip are synchronous; the object store is not. The archive side runs on a blocking thread and meets the
//! async side in a channel of a few chunks, which bounds memory and lets both work at once.

use bytes::Bytes;
use std::io::{self, Read, Write};
use tokio::sync::mpsc;

/// Chunks in flight; with 8 MiB parts this bounds a transfer to some 40 MiB.
const DEPTH: usize = 3;

/// What the sending side ends with.
type Chunk = Result<Bytes, io::Error>;

pub(crate) fn pipe() -> (mpsc::Sender<Chunk>, PipeReader) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (sender, PipeReader { receiver, rest: Bytes::new() })
}

/// The reading end, for a blocking thread.
pub(crate) struct PipeReader {
    receiver: mpsc::Receiver<Chunk>,
    rest: Bytes,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(0),
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}

/// The writing end, for a blocking thread: gathers `part` bytes before it sends.
pub(crate) struct PipeWriter {
    sender: mpsc::Sender<Bytes>,
    part: usize,
    buffer: Vec<u8>,
}

pub(crate) fn write_pipe(part: usize) -> (PipeWriter, mpsc::Receiver<Bytes>) {
    let (sender, receiver) = mpsc::channel(1);
    (PipeWriter { sender, part, buffer: Vec::with_capacity(part) }, receiver)
}

impl PipeWriter {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.part));
        // The receiver is gone only when the upload has failed; its own error is the one to show.
        self.sender.blocking_send(chunk.into()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Sends what is left.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.part - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        if self.buffer.len() == self.part {
            self.send()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

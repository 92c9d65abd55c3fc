//! Lines out of a response body, bounded.

use crate::error::BoxError;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

/// What becomes of a line that is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlong {
    /// The beginning is kept, the rest dropped up to the next line end.
    Cut,
    /// The stream ends with an error.
    Refuse,
}

/// Reads lines from a body.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    most: usize,
    overlong: Overlong,
    dropping: bool,
    done: bool,
    scanned: usize,
}

/// One line without its end, and whether it was cut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Bytes,
    pub(crate) cut: bool,
}

impl Lines {
    pub(crate) fn new(body: Body, most: usize, overlong: Overlong) -> Self {
        Self { body, buffer: BytesMut::new(), most, overlong, dropping: false, done: false, scanned: 0 }
    }

    /// The next line; none at the end. What follows the last line end is a line too.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, BoxError> {
        loop {
            if let Some(line) = self.take()? {
                return Ok(Some(line));
            }
            if self.done {
                let rest = self.buffer.split().freeze();
                self.scanned = 0;
                let dropped = std::mem::take(&mut self.dropping);
                return Ok((!rest.is_empty() && !dropped).then_some(Line { bytes: rest, cut: false }));
            }
            match self.body.frame().await {
                None => self.done = true,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<Line>, BoxError> {
        loop {
            let end =
                self.buffer[self.scanned..].iter().position(|b| *b == b'\n').map(|at| at + self.scanned);
            if self.dropping {
                match end {
                    Some(at) => {
                        self.buffer.advance(at + 1);
                        self.dropping = false;
                    }
                    None => self.buffer.clear(),
                }
                self.scanned = 0;
                if end.is_some() {
                    continue;
                }
                return Ok(None);
            }
            let length = end.unwrap_or(self.buffer.len());
            if length > self.most {
                if self.overlong == Overlong::Refuse {
                    return Err(format!("has a line longer than {} bytes", self.most).into());
                }
                let bytes = self.buffer.split_to(self.most).freeze();
                self.dropping = true;
                self.scanned = 0;
                return Ok(Some(Line { bytes, cut: true }));
            }
            let Some(at) = end else {
                self.scanned = self.buffer.len();
                return Ok(None);
            };
            let bytes = self.buffer.split_to(at).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            return Ok(Some(Line { bytes, cut: false }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &str, most: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(Body::from(text.as_bytes().to_vec()), most, Overlong::Cut);
        let mut out = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            out.push((String::from_utf8_lossy(&line.bytes).into_owned(), line.cut));
        }
        out
    }

    #[tokio::test]
    async fn the_last_line_needs_no_end() {
        assert_eq!(
            all("a\n\nb", 9).await,
            [("a".into(), false), (String::new(), false), ("b".into(), false)]
        );
        assert_eq!(all("", 9).await, []);
        assert_eq!(all("a\n", 9).await, [("a".into(), false)]);
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_one_is_whole() {
        assert_eq!(all("abcdef\nxy\n", 3).await, [("abc".into(), true), ("xy".into(), false)]);
        assert_eq!(all("abcdef", 3).await, [("abc".into(), true)]);
        assert_eq!(all("abc\nd", 3).await, [("abc".into(), false), ("d".into(), false)]);
    }

    #[tokio::test]
    async fn or_refused() {
        let mut lines = Lines::new(Body::from(b"abcdef\n".to_vec()), 3, Overlong::Refuse);
        assert!(lines.next().await.is_err());
    }
}

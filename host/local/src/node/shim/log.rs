//! A container's output, bounded on disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Writes to `log`; when that is full it becomes `log.1` and a new `log` begins, which says so.
#[derive(Debug)]
pub(super) struct LogWriter {
    path: PathBuf,
    file: File,
    written: u64,
    cap: u64,
}

impl LogWriter {
    /// Makes the file.
    pub(super) fn create(path: &Path, cap: u64) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: new_file(path)?, written: 0, cap: cap.max(1024) })
    }

    /// Copies until the end. When the disk is full, output is dropped, because a program must not hang on its log.
    pub(super) fn copy(&mut self, mut from: impl Read) {
        let mut buffer = vec![0; 32 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    if let Err(error) = self.write(&buffer[..read]) {
                        eprintln!("shim: output lost: {error}");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written >= self.cap {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            self.file = new_file(&self.path)?;
            let note =
                format!("[ilab-host: output before this was rotated away after {} bytes]\n", self.written);
            self.file.write_all(note.as_bytes())?;
            self.written = 0;
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The last bytes of a file as text, at most this many, begun at a line.
pub(super) fn tail(path: &Path, bytes: u64) -> String {
    use std::io::{Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(bytes);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(bytes).read_to_end(&mut text)?;
        if from > 0
            && let Some(at) = text.iter().position(|&byte| byte == b'\n')
        {
            text.drain(..=at);
        }
        Ok(text)
    };
    read().map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_rotated_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogWriter::create(&path, 1024).unwrap();
        for line in 0..300 {
            log.copy(format!("line {line}\n").as_bytes());
        }
        let now = fs::read_to_string(&path).unwrap();
        let before = fs::read_to_string(dir.path().join("log.1")).unwrap();
        assert!(now.starts_with("[ilab-host: output before this was rotated away"), "{now}");
        assert!(now.ends_with("line 299\n") && now.len() < 2048 && before.len() < 2048);
        assert_eq!(tail(&path, 20), "line 298\nline 299\n");
        assert_eq!(tail(&dir.path().join("none"), 20), "");
    }
}

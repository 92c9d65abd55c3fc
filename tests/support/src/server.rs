//! A program that answers HTTP on loopback, started with its folder and ended with it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// A port that nobody listens on.
    pub(crate) fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
    }

    /// Starts the command, with its output in a file of the folder, and waits until it answers at the port.
    pub(crate) fn start(name: &str, command: &mut Command, folder: tempfile::TempDir, port: u16) -> Self {
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let server = Self { child, folder, port };
        let begun = Instant::now();
        while !answers(port) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} does not answer: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks for something over plain HTTP, and answers the whole response, whose status has to be this.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: &[u8],
        status: u16,
    ) -> String {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        let mut answer = Vec::new();
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            stream.read_to_end(&mut answer)
        });
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        answer
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either it runs and is ended here, or it is gone already: both are an end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether somebody answers: with TLS, to a request that is none, in plain text too.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut begin = [0; 5];
        stream.read_exact(&mut begin)?;
        Ok(&begin == b"HTTP/")
    };
    ask().unwrap_or(false)
}

/// The program that a script of `tests/tools` builds where it is missing, and names.
pub(crate) fn built_by(script: &str) -> PathBuf {
    let script = crate::checkout().join("tests/tools").join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "{} failed", script.display());
    let path = String::from_utf8(output.stdout).expect("a path");
    Path::new(path.trim()).to_owned()
}

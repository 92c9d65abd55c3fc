//! The S3 server versitygw over a folder of plain files.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl S3Server {
    /// The access key that it takes.
    pub const ACCESS_KEY: &str = "test-access";
    /// The secret key that it takes.
    pub const SECRET_KEY: &str = "test-secret-key";

    /// Starts one with these buckets and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be built or does not answer within 20 seconds; its output is in the message.
    #[must_use]
    pub fn start(buckets: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for bucket in buckets {
            fs::create_dir_all(folder.path().join("store").join(bucket)).expect("a bucket's folder");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let child = Command::new(binary())
            .args(["--port", &format!("127.0.0.1:{port}"), "posix"])
            .arg(folder.path().join("store"))
            .env("ROOT_ACCESS_KEY_ID", Self::ACCESS_KEY)
            .env("ROOT_SECRET_ACCESS_KEY", Self::SECRET_KEY)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("versitygw starts");
        let server = Self { child, folder, port };
        let begun = Instant::now();
        while !answers(port) {
            assert!(begun.elapsed() < Duration::from_secs(20), "versitygw does not answer: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file that holds an object.
    #[must_use]
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(key)
    }

    /// The folder that holds a bucket's objects.
    #[must_use]
    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.folder.path().join("store").join(bucket)
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // Either it runs and is ended here, or it is gone already: both are an end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

fn binary() -> PathBuf {
    let script = crate::checkout().join("tests/tools/versitygw");
    let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "{} failed", script.display());
    let path = String::from_utf8(output.stdout).expect("a path");
    Path::new(path.trim()).to_owned()
}

//! The S3 server versitygw over a folder of plain files.

use crate::server::{Server, built_by};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct S3Server(Server);

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
        let port = Server::free_port();
        let mut command = Command::new(built_by("versitygw"));
        command
            .args(["--port", &format!("127.0.0.1:{port}"), "posix"])
            .arg(folder.path().join("store"))
            .env("ROOT_ACCESS_KEY_ID", Self::ACCESS_KEY)
            .env("ROOT_SECRET_ACCESS_KEY", Self::SECRET_KEY);
        Self(Server::start("versitygw", &mut command, folder, port))
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port())
    }

    /// The file that holds an object.
    #[must_use]
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(key)
    }

    /// The folder that holds a bucket's objects.
    #[must_use]
    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.0.folder().join("store").join(bucket)
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.0.log()
    }
}

//! etcd, on a socket in the cluster's folder.

use crate::ClusterError;
use crate::supervisor::{Process, Supervisor};
use crate::tools::Programs;
use crate::wait;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

const NOBODY: &str = "http://127.0.0.1:1";
const START: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Etcd {
    process: Process,
    socket: PathBuf,
}

impl Etcd {
    pub(crate) async fn start(supervisor: &Supervisor, programs: &Programs) -> Result<Self, ClusterError> {
        let socket = supervisor.folder().join("etcd.sock");
        let peer = format!("unix://{}", supervisor.folder().join("etcd-peer.sock").display());
        let client = format!("unix://{}", socket.display());
        let mut command = programs.command("etcd");
        command
            .arg("--data-dir")
            .arg(supervisor.folder().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", NOBODY])
            // It has no peers, but wants addresses to tell them, and a socket's will not do.
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", NOBODY])
            .args(["--initial-cluster", &format!("default={NOBODY}")])
            // What is in it is of no use after a crash of the machine.
            .args(["--unsafe-no-fsync", "--log-level", "warn"]);
        let etcd = Self { process: supervisor.spawn("etcd", command)?, socket };
        wait::until("etcd did not answer", START, Some(&etcd.process), async || etcd.revision().await.ok())
            .await?;
        Ok(etcd)
    }

    /// What the API server is told.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Throws away every version of every object but the last.
    pub(crate) async fn compact(&self) -> Result<(), ClusterError> {
        // The version in which an object was last changed may be the store's last one too, and a watch from there has lost
        // nothing. One change more, to a key that no API server reads, and every version that anybody has seen is an old one.
        self.ask("/v3/kv/put", &json!({"key": "Y29tcGFjdGlvbg==", "value": ""})).await?;
        let revision = self.revision().await?;
        self.ask("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await.map(drop)
    }

    async fn revision(&self) -> Result<String, ClusterError> {
        // Any key will do: the header has the store's revision.
        let answer = self.ask("/v3/kv/range", &json!({"key": "AA==", "keys_only": true})).await?;
        let revision = answer.pointer("/header/revision").and_then(Value::as_str);
        revision.map(str::to_owned).ok_or_else(|| ClusterError::unexpected("etcd's answer", answer))
    }

    /// One request to etcd's JSON gateway.
    async fn ask(&self, path: &str, body: &Value) -> Result<Value, ClusterError> {
        let unexpected = |why: &dyn std::fmt::Display| ClusterError::unexpected("etcd's answer", why);
        let talk = async {
            let stream =
                UnixStream::connect(&self.socket).await.map_err(ClusterError::io("etcd's socket"))?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| unexpected(&error))?;
            let request = http::Request::post(path)
                .header(http::header::HOST, "etcd")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body.to_string())))
                .expect("a request of fixed parts");
            // It ends with the sender.
            tokio::spawn(connection);
            let answer = sender.send_request(request).await.map_err(|error| unexpected(&error))?;
            let status = answer.status();
            let bytes = answer.into_body().collect().await.map_err(|error| unexpected(&error))?.to_bytes();
            if !status.is_success() {
                return Err(unexpected(&format!("{status}: {}", String::from_utf8_lossy(&bytes))));
            }
            serde_json::from_slice(&bytes).map_err(|error| unexpected(&error))
        };
        tokio::time::timeout(ANSWER, talk).await.map_err(|_| ClusterError::Late {
            what: "etcd did not answer".to_owned(),
            bound: ANSWER,
            log: String::new(),
        })?
    }
}

//! The host's end of a shim: starts one, or finds the one that runs, and listens to it.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;

use super::Ctx;
use crate::node::plan::{PodDir, PodState, Request};
use crate::node::shim;

/// A shim that does not listen by then has not started.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a shim.
#[derive(Debug)]
pub(super) struct Link {
    lines: BufReader<OwnedReadHalf>,
    requests: OwnedWriteHalf,
}

/// Why there is no shim.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Files and processes.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it listened.
    #[error("the pod's shim did not start: {0}")]
    Ended(String),
    /// It did not end, nor listen.
    #[error("the pod's shim did not start within {} s", START_TIMEOUT.as_secs())]
    Silent,
}

fn io(action: &'static str) -> impl FnOnce(io::Error) -> LinkError {
    move |source| LinkError::Io { action, source }
}

impl Link {
    /// Connects to the shim that runs this pod; none when there is none.
    pub(super) async fn connect(dir: &PodDir) -> Option<Self> {
        // A path through an open folder: socket addresses are short, state folders need not be.
        let (_folder, path) = shim::short_path(dir).ok()?;
        let stream = UnixStream::connect(path).await.ok()?;
        let (lines, requests) = stream.into_split();
        Some(Self { lines: BufReader::new(lines), requests })
    }

    /// Starts a shim on a prepared folder and connects to it; to the one that was quicker, if there is.
    pub(super) async fn start(ctx: &Ctx, dir: &PodDir) -> Result<Self, LinkError> {
        let mut words = ctx.options.shim_command.iter();
        let program = words.next().ok_or_else(|| LinkError::Ended("no command".to_owned()))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.shim_log())
            .map_err(io("open the shim's log"))?;
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(&dir.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .current_dir("/");
        // Nothing of the host's environment: credentials live there.
        command.env_clear();
        let mut child = command.spawn().map_err(io("start the pod's shim"))?;
        let ready = async {
            let mut line = String::new();
            if let Some(stdout) = child.stdout.take() {
                let _ = BufReader::new(stdout).read_line(&mut line).await;
            }
            line.trim() == "ready"
        };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Err(_) => return Err(LinkError::Silent),
            Ok(true) => {}
            Ok(false) => {
                let status = child.wait().await.map_err(io("wait for the pod's shim"))?;
                if status.code() != Some(i32::from(shim::ALREADY_RUNNING)) {
                    let said = std::fs::read_to_string(dir.shim_log()).unwrap_or_default();
                    let last = said.lines().last().unwrap_or("no message");
                    return Err(LinkError::Ended(format!("{status}: {last}")));
                }
            }
        }
        // A pod may be over before we connect: then the state file tells it.
        match Self::connect(dir).await {
            Some(link) => Ok(link),
            None => Self::ended(),
        }
    }

    /// A connection that is at its end.
    fn ended() -> Result<Self, LinkError> {
        let (ours, theirs) = UnixStream::pair().map_err(io("make a socket"))?;
        drop(theirs);
        let (lines, requests) = ours.into_split();
        Ok(Self { lines: BufReader::new(lines), requests })
    }

    /// The next state; none when the shim has ended. Cancelling it loses at most a state that a later one replaces.
    pub(super) async fn next(&mut self, line: &mut Vec<u8>) -> Option<PodState> {
        // Bytes of a cancelled read stay in `line`, so that a state is never taken up in its middle.
        match self.lines.read_until(b'\n', line).await {
            Ok(read) if read > 0 && line.ends_with(b"\n") => {
                let state = serde_json::from_slice(line).ok();
                line.clear();
                state
            }
            _ => None,
        }
    }

    /// Asks for the pod's end. A shim that is gone needs no asking.
    pub(super) async fn stop(&mut self, grace_seconds: u64) {
        if let Ok(mut line) = serde_json::to_vec(&Request::Stop { grace_seconds }) {
            line.push(b'\n');
            let _ = self.requests.write_all(&line).await;
        }
    }
}

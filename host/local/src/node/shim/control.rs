//! The shim's socket: every connection gets the pod's state as a JSON line, now and after each change, and may ask to
//! stop. The end of the stream means that the shim has ended.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pod::Event;
use crate::node::plan::{PodDir, PodState, Request};

/// A host that does not read for this long is disconnected; it re-reads the state when it comes back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_CONNECTIONS: usize = 16;
const MAX_REQUEST: u64 = 4096;

/// Everyone who listens.
#[derive(Debug, Clone, Default)]
pub(super) struct Hub(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    line: Vec<u8>,
    connections: Vec<UnixStream>,
}

impl Hub {
    /// Tells everyone; forgets those who are gone.
    pub(super) fn publish(&self, state: &PodState) {
        let Ok(mut line) = serde_json::to_vec(state) else { return };
        line.push(b'\n');
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.connections.retain_mut(|connection| connection.write_all(&line).is_ok());
        inner.line = line;
    }

    fn join(&self, mut connection: UnixStream) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.connections.len() >= MAX_CONNECTIONS {
            // Room is made by those who are gone, which only a write can tell.
            let line = std::mem::take(&mut inner.line);
            inner.connections.retain_mut(|connection| connection.write_all(&line).is_ok());
            inner.line = line;
            if inner.connections.len() >= MAX_CONNECTIONS {
                return false;
            }
        }
        if connection.write_all(&inner.line).is_ok() {
            inner.connections.push(connection);
        }
        true
    }
}

/// A path to a socket of the pod's folder that is short enough for a socket address, and what keeps it valid.
///
/// # Errors
/// When the folder cannot be opened.
pub(crate) fn short_path(dir: &PodDir) -> io::Result<(fs::File, PathBuf)> {
    let folder = fs::File::open(&dir.0)?;
    let name = dir.socket();
    let name = name.file_name().unwrap_or_default().to_owned();
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, path))
}

/// Starts to listen; requests arrive as events.
pub(super) fn listen(dir: &PodDir, events: Sender<Event>) -> io::Result<Hub> {
    match fs::remove_file(dir.socket()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_folder, path) = short_path(dir)?;
    let listener = UnixListener::bind(path)?;
    let hub = Hub::default();
    let joined = hub.clone();
    std::thread::Builder::new().name("control".to_owned()).stack_size(128 << 10).spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else {
                // Out of files: wait for some to be closed rather than spin.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let _ = connection.set_write_timeout(Some(WRITE_TIMEOUT));
            let Ok(reader) = connection.try_clone() else { continue };
            if !joined.join(connection) {
                continue;
            }
            let events = events.clone();
            let _ = std::thread::Builder::new()
                .name("connection".to_owned())
                .stack_size(128 << 10)
                .spawn(move || read_requests(reader, &events));
        }
    })?;
    Ok(hub)
}

fn read_requests(connection: UnixStream, events: &Sender<Event>) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        match reader.by_ref().take(MAX_REQUEST).read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match serde_json::from_str(&line) {
            Ok(Request::Stop { grace_seconds }) => {
                if events.send(Event::Stop { grace: Duration::from_secs(grace_seconds) }).is_err() {
                    return;
                }
            }
            Err(error) => {
                eprintln!("shim: a request that is none: {error}");
                return;
            }
        }
    }
}

//! What containers printed, from the files that the node leaves:
//! `<state>/pods/<uid>/containers/<name>/<attempt>/log`, with `exit` beside it once that attempt has ended.

use super::bodies::{self, Answer};
use super::object::{parse, text};
use super::request::Request;
use super::resources;
use super::status::Refusal;
use super::{Server, Shared};
use crate::store::Key;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const CHUNK: usize = 64 << 10;
/// How soon growth is looked for again after some was found, and at most.
const QUICK: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_millis(400);

struct Wanted {
    folder: PathBuf,
    follow: bool,
    tail: Option<u64>,
    limit: u64,
}

/// `GET pods/NAME/log`.
pub(super) async fn read(server: &Shared, request: &Request, key: &Key) -> Result<Answer, Refusal> {
    let pods = resources::find("", "v1", "pods").ok_or_else(|| Refusal::internal("pods are not served"))?;
    let stored = server.store.get(key).ok_or_else(|| Refusal::not_found(pods, &key.name))?;
    let pod = parse(&stored.object)?;
    for unknown in ["timestamps", "sinceSeconds", "sinceTime"] {
        if request.param(unknown).is_some_and(|value| value != "false") {
            return Err(Refusal::bad_request(format!(
                "{unknown} is not possible here: the local cluster keeps what containers print as it is, without times"
            )));
        }
    }
    let container = container(&pod, &key.name, request.param("container"))?;
    let uid = text(&pod, "/metadata/uid").to_owned();
    let folder = server.state.join("pods").join(&uid).join("containers").join(&container);
    let previous = request.flag("previous");
    let attempt = attempt(&folder, previous).ok_or_else(|| {
        Refusal::bad_request(if previous {
            format!("previous terminated container {container:?} in pod {:?} not found", key.name)
        } else {
            format!(
                "container {container:?} in pod {:?} is waiting to start: {}",
                key.name,
                waiting(&pod, &container)
            )
        })
    })?;
    let wanted = Wanted {
        folder: folder.join(attempt.to_string()),
        follow: request.flag("follow"),
        tail: request.number("tailLines")?,
        limit: request.number("limitBytes")?.unwrap_or(u64::MAX),
    };
    if wanted.limit == 0 {
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            "PodLogOptions \"\" is invalid: limitBytes: Invalid value: 0: must be greater than 0",
        ));
    }
    Ok(bodies::stream("text/plain", lines(Arc::clone(server), wanted, key.clone(), uid)))
}

/// The container asked for, or the only one.
fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Refusal> {
    let names = |list: &str| -> Vec<String> {
        pod.pointer(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|container| text(container, "/name").to_owned())
            .collect()
    };
    let (main, init) = (names("/spec/containers"), names("/spec/initContainers"));
    match asked {
        Some(asked) if main.iter().chain(&init).any(|name| name == asked) => Ok(asked.to_owned()),
        Some(asked) => {
            let asked: String = asked.chars().take(253).collect();
            Err(Refusal::bad_request(format!("container {asked} is not valid for pod {name}")))
        }
        None => match main.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]{}",
                main.join(" "),
                if init.is_empty() {
                    String::new()
                } else {
                    format!(" or one of the init containers: [{}]", init.join(" "))
                },
            ))),
        },
    }
}

fn waiting(pod: &Value, container: &str) -> String {
    ["/status/containerStatuses", "/status/initContainerStatuses"]
        .iter()
        .filter_map(|list| pod.pointer(list)?.as_array())
        .flatten()
        .find(|status| text(status, "/name") == container)
        .map(|status| text(status, "/state/waiting/reason"))
        .filter(|reason| !reason.is_empty())
        .unwrap_or("ContainerCreating")
        .to_owned()
}

/// The newest attempt that has a log, or the one before.
fn attempt(folder: &Path, previous: bool) -> Option<u64> {
    let mut attempts: Vec<u64> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("log").is_file())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    attempts.sort_unstable();
    if previous {
        attempts.pop()?;
    }
    attempts.pop()
}

/// Where the last `count` lines begin.
fn tail(file: &mut std::fs::File, count: u64) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    if count == 0 {
        return Ok(length);
    }
    let mut end = length;
    let mut found = 0_u64;
    let mut buffer = vec![0; CHUNK];
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = &mut buffer[..usize::try_from(end - start).unwrap_or(CHUNK)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (at, byte) in part.iter().enumerate().rev() {
            // The line break that ends the last line begins nothing.
            if *byte == b'\n' && start + at as u64 + 1 < length {
                found += 1;
                if found == count {
                    return Ok(start + at as u64 + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

/// The next piece of the file: reads are bounded and off the async threads.
async fn next(
    mut file: std::fs::File,
    at: u64,
    most: usize,
) -> Option<(std::fs::File, std::io::Result<Vec<u8>>)> {
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; most];
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read(&mut buffer));
        let read = read.map(|count| {
            buffer.truncate(count);
            buffer
        });
        (file, read)
    })
    .await
    .ok()
}

fn lines(
    server: Shared,
    wanted: Wanted,
    key: Key,
    uid: String,
) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    async_stream::stream! {
        let exit = wanted.folder.join("exit");
        let path = wanted.folder.join("log");
        let Ok(mut file) = std::fs::File::open(&path) else { return };
        let mut at = match wanted.tail {
            None => 0,
            Some(count) => match tail(&mut file, count) {
                Ok(at) => at,
                Err(error) => {
                    tracing::warn!(%error, pod = %key.name, "a log could not be read");
                    return;
                }
            },
        };
        let mut changes = server.store.subscribe();
        let mut left = wanted.limit;
        let mut pause = QUICK;
        loop {
            // Looked at before reading: what is printed is complete once the exit is there, and a full file once the next
            // one has its name.
            changes.mark_unchanged();
            let ended = !wanted.follow || exit.exists() || !is_there(&server, &key, &uid);
            let next_file = if wanted.follow { rotated(&file, &path) } else { None };
            loop {
                let most = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
                let Some((back, read)) = next(file, at, most).await else { return };
                file = back;
                match read {
                    Ok(bytes) if bytes.is_empty() => break,
                    Ok(bytes) => {
                        at += bytes.len() as u64;
                        left -= bytes.len() as u64;
                        pause = QUICK;
                        yield Bytes::from(bytes);
                        if left == 0 {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, pod = %key.name, "a log could not be read");
                        return;
                    }
                }
            }
            if let Some(next_file) = next_file {
                (file, at) = (next_file, 0);
                continue;
            }
            if ended {
                return;
            }
            // A file tells nobody that it grows; the end of a container comes with a change of its pod.
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(SLOW),
                changed = pod_changed(&server, &mut changes, &key) => if !changed { return },
                () = server.stopping.cancelled() => return,
            }
        }
    }
}

/// The file that has taken the name of this one, which was full.
fn rotated(file: &std::fs::File, path: &Path) -> Option<std::fs::File> {
    use std::os::unix::fs::MetadataExt;
    let next = std::fs::File::open(path).ok()?;
    let same = next.metadata().ok()?.ino() == file.metadata().ok()?.ino();
    (!same).then_some(next)
}

fn is_there(server: &Server, key: &Key, uid: &str) -> bool {
    server
        .store
        .get(key)
        .and_then(|stored| parse(&stored.object).ok())
        .is_some_and(|pod| text(&pod, "/metadata/uid") == uid)
}

/// Resolves when the pod itself was written; false when the store is gone.
async fn pod_changed(server: &Server, changes: &mut tokio::sync::watch::Receiver<u64>, key: &Key) -> bool {
    let before = server.store.get(key).map(|stored| stored.version);
    loop {
        if changes.changed().await.is_err() {
            return false;
        }
        if server.store.get(key).map(|stored| stored.version) != before {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_lines_begin_where_they_should() {
        let mut file = tempfile::tempfile().unwrap();
        let mut text = String::new();
        for n in 0..20_000 {
            text.push_str(&format!("line {n}\n"));
        }
        file.write_all(text.as_bytes()).unwrap();
        for count in [0_usize, 1, 2, 19_999, 20_000, 30_000] {
            let at = tail(&mut file, count as u64).unwrap() as usize;
            assert_eq!(text[at..].lines().count(), count.min(20_000), "{count}");
        }
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"unfinished").unwrap();
        let at = tail(&mut file, 1).unwrap();
        assert_eq!(at as usize, text.len());
    }
}

//! The folder and the processes of one cluster, and their end.

use crate::ClusterError;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// So many lines of a log are of use in an error.
const LAST_LINES: usize = 15;

/// Owns a temporary folder and a process group. A janitor process outside this one ends the group and removes the folder
/// when this is dropped, and also when this process is killed.
#[derive(Debug)]
pub(crate) struct Supervisor {
    folder: PathBuf,
    janitor: Child,
    /// Its end is what the janitor waits for.
    lifeline: Option<ChildStdin>,
}

impl Supervisor {
    pub(crate) fn new() -> Result<Self, ClusterError> {
        let folder = tempfile::Builder::new()
            .prefix("ilab-cluster-")
            .tempdir()
            .map_err(ClusterError::io("a temporary folder cannot be made"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("janitor");
        let mut janitor = Command::new(&script)
            .arg(folder.path())
            // Not in the folder that it removes, nor in one that somebody else may want to remove.
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ClusterError::io(format!("{} does not start", script.display())))?;
        let lifeline = janitor.stdin.take();
        // From here on the folder is the janitor's to remove.
        let supervisor = Self { folder: folder.keep(), janitor, lifeline };
        fs::create_dir(supervisor.folder.join("logs")).map_err(ClusterError::io("the folder for logs"))?;
        Ok(supervisor)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file into the folder, readable by its owner only, and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, ClusterError> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(name);
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_ref()));
        written.map_err(ClusterError::io(format!("{} cannot be written", path.display())))?;
        Ok(path)
    }

    /// The processes of the group that run.
    pub(crate) fn members(&self) -> Vec<u32> {
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&id| id != self.janitor.id() && self.has(id))
            .collect()
    }

    fn has(&self, id: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent, group.
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        let (state, group) = (fields.next(), fields.nth(1));
        state != Some("Z") && group == Some(self.janitor.id().to_string().as_str())
    }

    /// Starts a program in the group. Its output goes into the folder `logs`; a second start adds to it.
    pub(crate) fn spawn(&self, name: &str, mut command: Command) -> Result<Process, ClusterError> {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log);
        let group = i32::try_from(self.janitor.id()).expect("process ids are small");
        let child = open().and_then(|out| {
            command.process_group(group).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()
        });
        let child = child.map_err(ClusterError::io(format!("{name} does not start")))?;
        Ok(Process { name: name.to_owned(), id: child.id(), child: Mutex::new(child), log })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // It bounds itself.
        let _ = self.janitor.wait();
    }
}

/// A started program; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    id: u32,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The end of what it has printed.
    pub(crate) fn last_lines(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// That it runs.
    pub(crate) fn check(&self) -> Result<(), ClusterError> {
        let status = self.child.lock().expect("no panic holds it").try_wait();
        match status.map_err(ClusterError::io(format!("{} cannot be looked at", self.name)))? {
            None => Ok(()),
            Some(status) => {
                Err(ClusterError::Ended { name: self.name.clone(), status, log: self.last_lines() })
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Either it runs and is ended here, or it is gone already: both are an end.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_program_that_ends_is_not_waited_for() {
        let supervisor = Supervisor::new().unwrap();
        let process = supervisor.spawn("part", shell("echo no such flag >&2; exit 3")).unwrap();
        let hour = Duration::from_secs(3600);
        let error = crate::wait::until("it did not answer", hour, Some(&process), async || None::<()>).await;
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "part ended with exit status: 3; its last lines:\nno such flag");
    }

    #[tokio::test]
    async fn one_that_hangs_is_waited_for_until_the_bound() {
        let supervisor = Supervisor::new().unwrap();
        let process = supervisor.spawn("part", shell("echo starting; exec sleep 600")).unwrap();
        let bound = Duration::from_millis(300);
        let error = crate::wait::until(
            "it did not answer",
            bound,
            Some(&process),
            std::future::pending::<Option<()>>,
        );
        let error = error.await.unwrap_err().to_string();
        assert_eq!(error, "it did not answer within 300ms; its last lines:\nstarting");
    }

    /// The children of what was started are not in our hands, but in the group.
    #[test]
    fn the_end_takes_the_children_of_children_too() {
        use std::io::{BufRead, BufReader};
        let supervisor = Supervisor::new().unwrap();
        let fifo = supervisor.folder().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let script = format!("sh -c 'echo $$ >{}; exec sleep 600' & wait", fifo.display());
        let _process = supervisor.spawn("part", shell(&script)).unwrap();
        let mut id = String::new();
        BufReader::new(File::open(&fifo).unwrap()).read_line(&mut id).unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", id.trim()));
        assert!(stat.exists());
        let folder = supervisor.folder().to_owned();
        drop(supervisor);
        // Its parent, which should collect it, may not have come to it yet.
        assert!(std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z ")));
        assert!(!folder.exists());
    }
}

//! Where the node is: namespaces of its own, with a cable to this machine.

use crate::supervisor::{Process, Supervisor};
use crate::tools::Programs;
use crate::{ClusterError, wait};
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(30);

/// Network, mount and process namespaces. Their first process ends everything in them when it ends, containers too, and the
/// network and the mounts go with the namespaces.
#[derive(Debug)]
pub(crate) struct Place {
    init: Process,
    network: u8,
}

impl Place {
    pub(crate) async fn make(supervisor: &Supervisor, programs: &Programs) -> Result<Self, ClusterError> {
        let up = supervisor.folder().join("node-up");
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "--", "sh", "-c", r#": >"$1"; exec "$2""#, "sh"])
            .arg(&up)
            // It reaps the processes that containers leave behind.
            .arg(programs.path("pause"));
        let init = supervisor.spawn("node", command)?;
        wait::until("the node's namespaces were not made", START, Some(&init), async || {
            up.exists().then_some(())
        })
        .await?;
        let network = connect(init.id(), supervisor.folder())?;
        Ok(Self { init, network })
    }

    /// This machine's end of the cable: where pods find what listens there.
    pub(crate) fn host(&self) -> IpAddr {
        Ipv4Addr::new(10, 213, self.network, 1).into()
    }

    /// The node's end.
    pub(super) fn node(&self) -> IpAddr {
        Ipv4Addr::new(10, 213, self.network, 2).into()
    }

    /// The node's address on the pods' bridge.
    pub(super) fn bridge(&self) -> IpAddr {
        Ipv4Addr::new(10, 214, self.network, 1).into()
    }

    /// The pods' addresses.
    pub(super) fn pods(&self) -> String {
        format!("10.214.{}.0/24", self.network)
    }

    /// A program that runs on the node.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let space = |flag: &str, file: &str| format!("--{flag}=/proc/{}/ns/{file}", self.init.id());
        let mut command = Command::new("nsenter");
        command
            .arg(space("net", "net"))
            .arg(space("mount", "mnt"))
            .arg(space("pid", "pid_for_children"))
            .arg("--")
            .arg(program);
        command
    }
}

fn connect(id: u32, folder: &Path) -> Result<u8, ClusterError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node-network");
    let output = run(Command::new(&script).arg(id.to_string()).arg(folder))?;
    output.trim().parse().map_err(|error| ClusterError::unexpected("the node's network", error))
}

/// To pack and import an image of a gigabyte takes a minute; a containerd that hangs must not hang the test.
const BOUND: Duration = Duration::from_secs(600);
/// How `timeout` ends when it had to end its program, which may also have taken a signal that it cannot refuse.
const LATE: [i32; 2] = [124, 137];

/// Runs a command to its end, within [`BOUND`], and gives its output.
pub(super) fn run(command: &mut Command) -> Result<String, ClusterError> {
    run_within(command, BOUND)
}

fn run_within(command: &mut Command, bound: Duration) -> Result<String, ClusterError> {
    let name = command.get_program().display().to_string();
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", &bound.as_secs_f64().to_string()]);
    bounded.arg(command.get_program()).args(command.get_args());
    let output = bounded.output().map_err(ClusterError::io(format!("{name} does not start")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let log = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(code) if LATE.contains(&code) => {
            let log = if log.is_empty() { log } else { format!("; its last lines:\n{log}") };
            Err(ClusterError::Late { what: format!("{name} did not end"), bound, log })
        }
        _ => Err(ClusterError::Ended { name, status: output.status, log }),
    }
}

/// Overlay file systems do not lie on one another: in a container, layers are copied.
pub(super) fn snapshotter(folder: &Path) -> &'static str {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| folder.starts_with(at))
        .max_by_key(|(at, _)| at.len());
    if below.is_some_and(|(_, kind)| kind == "overlay") { "native" } else { "overlayfs" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_and_told_from_one_that_fails() {
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_within(&mut command, Duration::from_millis(200))
        };
        assert_eq!(sh("echo done").unwrap(), "done\n");
        assert!(matches!(sh("exit 3"), Err(ClusterError::Ended { .. })));
        let begun = std::time::Instant::now();
        let late = sh("echo why >&2; exec sleep 60").unwrap_err().to_string();
        assert!(late.contains("sh did not end within 200ms; its last lines:\nwhy"), "{late}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

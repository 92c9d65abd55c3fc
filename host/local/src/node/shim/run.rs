//! One attempt of one container, from its files to its exit code. Blocks the thread that it is called on.
//!
//! That thread must live as long as the container: the kernel ties a child's parent-death signal to the thread that
//! started it.

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, PipeReader, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{log, subpath};
use crate::node::files;
use crate::node::plan::{ContainerPlan, Exit, PodDir, PodPlan};
use crate::node::sandbox::{Layout, LayoutError, Source, limits::InForce};

/// The exit code of a container that could not be started, as containerd reports it.
const START_ERROR: i32 = 128;
const MAX_MESSAGE: u64 = 4096;

/// Descriptors without close-on-exec exist only while this is held, so that no other container inherits them.
static SPAWN: Mutex<()> = Mutex::new(());

/// A container that has just been started.
#[derive(Debug)]
pub(super) struct Running {
    /// The container's first process; signals go here, never to bubblewrap, which would kill at once.
    pub(super) process: OwnedFd,
    /// Since when.
    pub(super) started_at: Timestamp,
    /// Which limits came into force.
    pub(super) limits: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot {action}: {source}")]
    Io { action: &'static str, source: io::Error },
    #[error("cannot mount {target}: {source}")]
    Mount { target: String, source: io::Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the command is empty, and the image names none")]
    NoCommand,
    #[error("a {0} contains a NUL character")]
    Nul(&'static str),
    #[error("{0}")]
    Sandbox(String),
}

fn io(action: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { action, source }
}

/// Runs it, and writes the file `exit` when it has ended.
pub(super) fn run(
    plan: &PodPlan,
    dir: &PodDir,
    container: &ContainerPlan,
    attempt: u32,
    started: impl FnOnce(Running),
) -> Exit {
    let folder = dir.attempt(&container.name, attempt);
    let began = Timestamp::now();
    let exit = attempt_in(plan, dir, container, attempt, started).unwrap_or_else(|error| Exit {
        exit_code: START_ERROR,
        signal: None,
        reason: "StartError".to_owned(),
        message: Some(with_sources(&error)),
        started_at: began,
        finished_at: Timestamp::now(),
    });
    let file = folder.join("exit");
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| files::write_json(&file, &exit)) {
        eprintln!("shim: cannot write {}: {error}", file.display());
    }
    exit
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text}: {source}");
    }
    text
}

fn attempt_in(
    plan: &PodPlan,
    dir: &PodDir,
    container: &ContainerPlan,
    attempt: u32,
    started: impl FnOnce(Running),
) -> Result<Exit, StartError> {
    let folder = dir.attempt(&container.name, attempt);
    files::private_dir(&folder).map_err(io("make the container's folder"))?;
    let log_path = folder.join("log");
    let mut log = log::LogWriter::create(&log_path, plan.log_bytes).map_err(io("make the log"))?;
    let message = folder.join("message");
    File::create(&message).map_err(io("make the message file"))?;
    let hostname = folder.join("hostname");
    fs::write(&hostname, format!("{}\n", plan.hostname)).map_err(io("write the host name"))?;
    if container.argv.is_empty() {
        return Err(StartError::NoCommand);
    }
    let (layout, opened) = layout(plan, dir, container, &message, &hostname)?;
    let (status_reader, status_writer) = io::pipe().map_err(io("make a pipe"))?;
    let (block_reader, mut block_writer) = io::pipe().map_err(io("make a pipe"))?;
    let (output_reader, output_writer) = io::pipe().map_err(io("make a pipe"))?;
    let options = options(plan, container, &layout, status_writer.as_fd(), block_reader.as_fd())?;
    let options = args_file(&options)?;

    let mut command = Command::new(plan.sandbox.program());
    command.arg("--args").arg(options.as_raw_fd().to_string()).arg("--").args(&container.argv);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.stdout(output_writer.try_clone().map_err(io("copy a pipe"))?).stderr(output_writer);
    let mut inherited = vec![options.as_fd(), status_writer.as_fd(), block_reader.as_fd()];
    inherited.extend(opened.iter().map(AsFd::as_fd));
    let mut child = spawn(&mut command, &inherited).map_err(io("start bubblewrap"))?;
    // Only the child may hold these ends, or their other ends never see the end.
    drop((command, options, status_writer, block_reader, opened));

    let mut status = BufReader::new(status_reader);
    let mut limits = InForce::default();
    let started_at = Timestamp::now();
    if let Some(pid) = next_number(&mut status, "child-pid")
        && let Ok(process) = i32::try_from(pid).map_err(io::Error::other).and_then(open_process)
    {
        let group = format!("{}{}-{attempt}", group_prefix(&plan.uid), container.name);
        remember(&folder, pid).map_err(io("write down the process"))?;
        limits = InForce::apply(container.limits, &group, u32::try_from(pid).unwrap_or_default());
        started(Running { process, started_at, limits: limits.notes.clone() });
    }
    // It waits before its first instruction until its limits are in force.
    let _ = block_writer.write_all(b"x");
    drop(block_writer);
    log.copy(output_reader);
    let code = next_number(&mut status, "exit-code");
    let ended = child.wait().map_err(io("wait for bubblewrap"))?;
    exit(container, ended, code, &limits, started_at, &message, &log_path)
}

/// How the names of a pod's cgroups begin.
pub(crate) fn group_prefix(uid: &str) -> String {
    format!("ilab-{uid}-")
}

/// Which process was an attempt's first, should this shim not live to see its end.
#[derive(Debug, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// Its start in clock ticks: a number that was given again starts at another time.
    start: u64,
}

fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn remember(folder: &Path, pid: i64) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let start = start_of(pid).ok_or(io::ErrorKind::NotFound)?;
    files::write_json(&folder.join("process"), &Process { pid, start })
}

/// Ends what is left of any attempt of a pod that has no shim any more.
pub(crate) fn end_all_left(dir: &PodDir) {
    for container in fs::read_dir(dir.0.join("containers")).into_iter().flatten().flatten() {
        for attempt in fs::read_dir(container.path()).into_iter().flatten().flatten() {
            if !attempt.path().join("exit").exists() {
                end_left(&attempt.path());
            }
        }
    }
}

/// Ends what is left of an attempt whose shim was killed, and waits until it has ended.
///
/// The kernel ends it as well, but in its own time, and another attempt must not find it at work. And there is a gap: a
/// container only asks to die with bubblewrap after it was let go, so one whose shim is killed in between lives on.
pub(super) fn end_left(folder: &Path) {
    let Ok(Some(process)) = files::read_json::<Process>(&folder.join("process")) else { return };
    let Ok(fd) = open_process(process.pid) else { return };
    // Looked at after it is held, so that it is the process that is held.
    if start_of(process.pid) != Some(process.start) {
        return;
    }
    let _ = rustix::process::pidfd_send_signal(&fd, rustix::process::Signal::KILL);
    let mut ended = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut ended, PollTimeout::from(10_000_u16));
}

fn open_process(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Starts the command with these descriptors under their own numbers.
fn spawn(command: &mut Command, inherited: &[BorrowedFd<'_>]) -> io::Result<std::process::Child> {
    let _one = SPAWN.lock().unwrap_or_else(PoisonError::into_inner);
    let set = |flag: FdFlag| -> io::Result<()> {
        inherited
            .iter()
            .try_for_each(|fd| fcntl(fd, FcntlArg::F_SETFD(flag)).map(drop).map_err(io::Error::from))
    };
    set(FdFlag::empty())?;
    let child = command.spawn();
    set(FdFlag::FD_CLOEXEC)?;
    child
}

fn layout(
    plan: &PodPlan,
    dir: &PodDir,
    container: &ContainerPlan,
    message: &Path,
    hostname: &Path,
) -> Result<(Layout, Vec<OwnedFd>), StartError> {
    let mut layout = Layout::new(&container.rootfs);
    layout.mount(Path::new("/proc"), Source::Proc(plan.sandbox.proc()))?;
    layout.mount(Path::new("/dev"), Source::Dev)?;
    let fixed = |path: &Path, read_only| Source::Path { path: path.to_owned(), read_only };
    if Path::new("/sys").is_dir() {
        layout.mount(Path::new("/sys"), fixed(Path::new("/sys"), true))?;
    }
    for (path, mode) in [("/tmp", "1777"), ("/run", "0755"), ("/var/tmp", "1777")] {
        layout.mount(Path::new(path), Source::Tmpfs { mode })?;
    }
    if let Some(home) = &container.home {
        layout.mount(home, Source::Tmpfs { mode: "0700" })?;
    }
    layout.mount(Path::new("/etc/hosts"), fixed(&dir.hosts(), true))?;
    layout.mount(Path::new("/etc/hostname"), fixed(hostname, true))?;
    if let Ok(resolver) = fs::canonicalize("/etc/resolv.conf") {
        layout.mount(Path::new("/etc/resolv.conf"), fixed(&resolver, true))?;
    }
    layout.mount(&container.message_path, fixed(message, false))?;
    let mut opened = Vec::new();
    for mount in &container.mounts {
        let source = match &mount.sub_path {
            None => fixed(&mount.source, mount.read_only),
            Some(sub) => {
                let target = mount.target.display().to_string();
                let fd = subpath::open(&mount.source, sub)
                    .map_err(|source| StartError::Mount { target, source })?;
                let source = if plan.sandbox.bind_fd {
                    Source::Fd { fd: fd.as_raw_fd(), read_only: mount.read_only }
                } else {
                    // An old bubblewrap: checked, but a container that shares the volume could swap it before the mount.
                    fixed(&mount.source.join(sub), mount.read_only)
                };
                opened.push(fd);
                source
            }
        };
        layout.mount(&mount.target, source)?;
    }
    if !layout.exists(&container.working_dir)? {
        layout.mount(&container.working_dir, Source::Tmpfs { mode: "0755" })?;
    }
    Ok((layout, opened))
}

fn options(
    plan: &PodPlan,
    container: &ContainerPlan,
    layout: &Layout,
    status: BorrowedFd<'_>,
    block: BorrowedFd<'_>,
) -> Result<Vec<OsString>, StartError> {
    let mut options: Vec<OsString> =
        plan.sandbox.namespaces(container.uid, container.gid).into_iter().map(Into::into).collect();
    let mut option = |name: &str, values: &[&std::ffi::OsStr]| {
        options.push(name.into());
        options.extend(values.iter().map(|&value| value.to_owned()));
    };
    option("--hostname", &[plan.hostname.as_ref()]);
    option("--json-status-fd", &[status.as_raw_fd().to_string().as_ref()]);
    option("--block-fd", &[block.as_raw_fd().to_string().as_ref()]);
    option("--chdir", &[container.working_dir.as_ref()]);
    option("--clearenv", &[]);
    for (name, value) in &container.env {
        option("--setenv", &[name.as_ref(), value.as_ref()]);
    }
    options.extend(layout.arguments()?);
    // The list is NUL-separated: a NUL in a value would begin an option of the container's choice.
    if options.iter().any(|option| option.as_bytes().contains(&0)) {
        return Err(StartError::Nul("path, name or environment variable"));
    }
    if container.argv.iter().any(|argument| argument.contains('\0')) {
        return Err(StartError::Nul("command or argument"));
    }
    Ok(options)
}

/// A file in memory: arguments on the command line could be read by everyone, and the environment holds secrets.
fn args_file(options: &[OsString]) -> Result<File, StartError> {
    let fd = memfd_create("options", MFdFlags::MFD_CLOEXEC)
        .map_err(|errno| io("make a file in memory")(errno.into()))?;
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    for option in options {
        bytes.extend_from_slice(option.as_bytes());
        bytes.push(0);
    }
    file.write_all(&bytes).and_then(|()| file.rewind()).map_err(io("write a file in memory"))?;
    Ok(file)
}

/// The number under this key in the next JSON document of the status pipe that has it.
fn next_number(status: &mut BufReader<PipeReader>, key: &str) -> Option<i64> {
    let mut text = String::new();
    let needle = format!("\"{key}\":");
    loop {
        match status.read_line(&mut text) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if let Some((_, after)) = text.split_once(&needle) {
            let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
            return digits.parse().ok();
        }
    }
}

fn exit(
    container: &ContainerPlan,
    ended: ExitStatus,
    code: Option<i64>,
    limits: &InForce,
    started_at: Timestamp,
    message: &Path,
    log: &Path,
) -> Result<Exit, StartError> {
    let exit_code = match (code.and_then(|code| i32::try_from(code).ok()), ended.signal()) {
        (Some(code), _) => code,
        // Bubblewrap itself was killed, and the container with it.
        (None, Some(signal)) => 128 + signal,
        (None, None) => {
            let said = log::tail(log, MAX_MESSAGE);
            let line = said
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("bwrap: "))
                .unwrap_or("the sandbox did not start");
            return Err(StartError::Sandbox(line.to_owned()));
        }
    };
    let oom = exit_code != 0 && limits.out_of_memory();
    let reason = match exit_code {
        0 => "Completed",
        _ if oom => "OOMKilled",
        _ => "Error",
    };
    let mut left = log::tail(message, MAX_MESSAGE);
    if left.is_empty() && exit_code != 0 && container.message_from_log {
        left = log::tail(log, MAX_MESSAGE / 2);
    }
    Ok(Exit {
        exit_code,
        // Bubblewrap folds signals into codes; only a kill that is known to be one is called so.
        signal: (oom && exit_code == 137).then_some(9).or_else(|| ended.signal().filter(|_| code.is_none())),
        reason: reason.to_owned(),
        message: (!left.is_empty()).then_some(left),
        started_at,
        finished_at: Timestamp::now(),
    })
}

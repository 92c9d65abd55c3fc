//! One small process a pod. It owns the pod's process tree and outlives the host.
//!
//! The host's own binary is started again as a shim. The shim takes the pod's lock, so that a second one cannot run the
//! same pod; starts init containers in order and then the containers side by side; starts them again as the pod's
//! `restartPolicy` says; writes output and exit codes to files; and tells whoever connects to its socket about every
//! change. When the host is killed, nothing happens to the pod. When the shim is killed, the kernel kills the pod with
//! it, and the next shim counts what was running as lost.

mod control;
mod log;
mod pod;
mod restart;
mod run;
mod subpath;

pub(crate) use control::short_path;
pub(crate) use run::{end_all_left, group_prefix};

use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::files;
use super::plan::{self, PodDir, PodPlan};

/// The exit code of a shim that found another one at work on its pod.
pub const ALREADY_RUNNING: u8 = 3;

/// What a shim dies of.
#[derive(Debug, thiserror::Error)]
enum ShimError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: std::path::PathBuf, source: std::io::Error },
    #[error("{0} is not there")]
    NoPlan(std::path::PathBuf),
    #[error("{path} has format {format}, this shim reads {}", plan::FORMAT)]
    Format { path: std::path::PathBuf, format: u32 },
    #[error("another shim runs this pod")]
    AlreadyRunning,
}

/// Runs the pod whose folder this is, to its end. What a program does that was started as a shim.
///
/// Prints the line `ready` once it listens. Never returns while the pod runs.
///
/// # Caveats
/// Call it first thing in `main`, before any thread is started.
#[must_use]
pub fn main(pod_dir: &Path) -> ExitCode {
    match shim(&PodDir(pod_dir.to_owned())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shim: {error}");
            match error {
                ShimError::AlreadyRunning => ExitCode::from(ALREADY_RUNNING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Closes whatever the host was started with beyond input, output and error: a container must not inherit it.
fn close_inherited() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|&number| number > 2) {
        // The folder that was just read is among them, and closed already.
        let _ = nix::unistd::close(number);
    }
}

fn shim(dir: &PodDir) -> Result<(), ShimError> {
    close_inherited();
    // Its own session: a Ctrl-C in the host's terminal is not for the pod. Fails only when it already leads one.
    let _ = nix::unistd::setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ShimError::Io { action, path, source }
    };
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.lock());
    let lock = lock.map_err(io("open", &dir.lock()))?;
    // The lock is this process's until it dies, however it dies.
    let _lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => ShimError::AlreadyRunning,
        errno => io("lock", &dir.lock())(errno.into()),
    })?;
    let plan: PodPlan = files::read_json(&dir.plan())
        .map_err(io("read", &dir.plan()))?
        .ok_or_else(|| ShimError::NoPlan(dir.plan()))?;
    if plan.format != plan::FORMAT {
        return Err(ShimError::Format { path: dir.plan(), format: plan.format });
    }
    let before = files::read_json(&dir.state()).map_err(io("read", &dir.state()))?;
    let (sender, events) = std::sync::mpsc::channel();
    let hub = control::listen(dir, sender.clone()).map_err(io("listen on", &dir.socket()))?;
    // Whoever started this may be gone already.
    let _ = writeln!(std::io::stdout(), "ready");
    let _ = std::io::stdout().flush();
    pod::Pod::new(plan, dir.clone(), before, hub, sender).run(&events).map_err(io("write", &dir.state()))
}

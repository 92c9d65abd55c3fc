//! Memory and processor limits: by cgroup where this process may make one, else by the process's own limits.
//!
//! Every attempt reports what came into force, because "asked for" and "enforced" differ on a laptop.

use rustix::process::{Pid, Resource, Rlimit};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::node::plan::Limits;

/// The limits of one attempt of a container. Dropping it removes its cgroups.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    /// One line a limit, for people.
    pub(crate) notes: Vec<String>,
    groups: Vec<PathBuf>,
    oom: Option<PathBuf>,
}

impl InForce {
    /// Puts a process, and what it will start, under these limits.
    pub(crate) fn apply(limits: Limits, name: &str, pid: u32) -> Self {
        let mut this = Self::default();
        if limits == Limits::default() {
            return this;
        }
        let cgroups = Cgroups::of_self();
        if let Some(bytes) = limits.memory {
            match cgroups.limit_memory(name, bytes, pid) {
                Ok(group) => {
                    this.notes.push(format!("memory {bytes} bytes by cgroup"));
                    this.oom = Some(group.clone());
                    this.groups.push(group);
                }
                Err(_) => match limit_data(pid, bytes) {
                    Ok(()) => this
                        .notes
                        .push(format!("memory {bytes} bytes for each process (RLIMIT_DATA; no cgroup here)")),
                    Err(error) => this.notes.push(format!("memory limit not in force: {error}")),
                },
            }
        }
        if let Some(milli) = limits.cpu_milli {
            match cgroups.limit_cpu(name, milli, pid) {
                Ok(group) => {
                    this.notes.push(format!("cpu {milli}m by cgroup"));
                    if !this.groups.contains(&group) {
                        this.groups.push(group);
                    }
                }
                Err(_) => match pin(pid, milli) {
                    Ok(cpus) => this
                        .notes
                        .push(format!("cpu {milli}m as {cpus} processors (affinity; no cgroup here)")),
                    Err(error) => this.notes.push(format!("cpu limit not in force: {error}")),
                },
            }
        }
        this
    }

    /// Whether the kernel killed something in it for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let Some(group) = &self.oom else { return false };
        ["memory.oom_control", "memory.events"].iter().any(|file| {
            fs::read_to_string(group.join(file)).is_ok_and(|text| {
                text.lines()
                    .any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
            })
        })
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        for group in &self.groups {
            // Empty by now: a process space goes down as a whole before its first process is gone.
            let _ = fs::remove_dir(group);
        }
    }
}

/// Removes the groups that a killed shim left behind: those whose names begin so.
pub(crate) fn sweep(prefix: &str) {
    let cgroups = Cgroups::of_self();
    for base in [cgroups.memory_v1, cgroups.cpu_v1, cgroups.v2].into_iter().flatten() {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Where this process's cgroups are.
#[derive(Debug, Default)]
struct Cgroups {
    memory_v1: Option<PathBuf>,
    cpu_v1: Option<PathBuf>,
    v2: Option<PathBuf>,
}

impl Cgroups {
    fn of_self() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut this = Self::default();
        let root = Path::new("/sys/fs/cgroup");
        for line in own.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let path = path.trim_start_matches('/');
            let existing = |base: PathBuf| {
                let own = base.join(path);
                if own.is_dir() { Some(own) } else { base.is_dir().then_some(base) }
            };
            if id == "0" && root.join("cgroup.controllers").is_file() {
                // Beside, not below, this process's own group: a v2 group with processes has no children with controllers.
                this.v2 = existing(root.to_owned()).and_then(|own| own.parent().map(Path::to_owned));
            }
            for controller in controllers.split(',') {
                match controller {
                    "memory" => this.memory_v1 = existing(root.join("memory")),
                    "cpu" => this.cpu_v1 = existing(root.join("cpu")),
                    _ => {}
                }
            }
        }
        this
    }

    fn limit_memory(&self, name: &str, bytes: u64, pid: u32) -> io::Result<PathBuf> {
        let bytes = bytes.to_string();
        if let Some(base) = &self.memory_v1 {
            return group(base, name, &[("memory.limit_in_bytes", &bytes)], pid);
        }
        let base = self.v2.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let made = group(base, name, &[("memory.max", &bytes)], pid)?;
        // The limit is a limit: swap would make it a wish. Not every kernel has the file.
        let _ = fs::write(made.join("memory.swap.max"), "0");
        Ok(made)
    }

    fn limit_cpu(&self, name: &str, milli: u64, pid: u32) -> io::Result<PathBuf> {
        // 100 ms periods as the kubelet has them; the kernel refuses quotas below 1 ms.
        let quota = (milli.saturating_mul(100)).max(1000).to_string();
        if let Some(base) = &self.cpu_v1 {
            return group(base, name, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", &quota)], pid);
        }
        let base = self.v2.as_ref().ok_or(io::ErrorKind::NotFound)?;
        group(base, name, &[("cpu.max", &format!("{quota} 100000"))], pid)
    }
}

fn group(base: &Path, name: &str, settings: &[(&str, &str)], pid: u32) -> io::Result<PathBuf> {
    let path = base.join(name);
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let entered = settings
        .iter()
        .try_for_each(|(file, value)| fs::write(path.join(file), value))
        .and_then(|()| fs::write(path.join("cgroup.procs"), pid.to_string()));
    entered.map(|()| path.clone()).inspect_err(|_| {
        let _ = fs::remove_dir(&path);
    })
}

fn pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Private writable memory, not address space: Python and its libraries reserve far more addresses than they use.
fn limit_data(process: u32, bytes: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::prlimit(Some(pid(process)?), Resource::Data, limit)?;
    Ok(())
}

fn pin(process: u32, milli: u64) -> io::Result<usize> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let wanted = usize::try_from(milli.div_ceil(1000).max(1)).unwrap_or(usize::MAX);
    let mut chosen = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&cpu| allowed.is_set(cpu))
        .take(wanted)
        .for_each(|cpu| chosen.set(cpu));
    rustix::thread::sched_setaffinity(Some(pid(process)?), &chosen)?;
    Ok(chosen.count() as usize)
}

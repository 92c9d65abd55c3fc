//! Whether this machine can be a node.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Debian's packages have them all: `tests/tools/setup node`.
const PROGRAMS: [&str; 7] = ["containerd", "ctr", "runc", "iptables", "ip", "nsenter", "unshare"];
/// Where Debian has the network plugins.
pub(super) const PLUGINS: &str = "/usr/lib/cni";

pub(crate) fn possible() -> Result<(), String> {
    let owner = fs::metadata("/proc/self").map_err(|error| format!("/proc cannot be read: {error}"))?.uid();
    if owner != 0 {
        return Err("it takes root to run one".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
        .collect();
    if ["bridge", "host-local", "loopback"].iter().any(|plugin| !Path::new(PLUGINS).join(plugin).is_file()) {
        missing.push("the network plugins");
    }
    if !missing.is_empty() {
        return Err(format!("{} missing; try: tests/tools/setup node", missing.join(", ")));
    }
    namespaces()?;
    groups()
}

fn namespaces() -> Result<(), String> {
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"])
        .output()
        .map_err(|error| format!("unshare does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("no namespaces can be made: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// That control groups can be made, in the hierarchy that matters most.
fn groups() -> Result<(), String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchy =
        if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("memory") };
    let group = hierarchy.join(format!("ilab-possible-{}", std::process::id()));
    fs::create_dir(&group)
        .and_then(|()| fs::remove_dir(&group))
        .map_err(|error| format!("no control group can be made in {}: {error}", hierarchy.display()))
}

//! Who drives a run: an identity that another host on the same machine can check.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether the process behind an identity still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It is on this machine, and it is no more.
    Dead,
    /// It is on this machine, and it runs.
    Alive,
    /// It is elsewhere.
    Unknown,
}

/// A host process.
///
/// ```
/// use ilab_cluster::{Holder, Liveness};
/// let me = Holder::this_process();
/// assert_eq!(Holder::parse(&me.to_string()), Some(me.clone()));
/// assert_ne!(me.liveness(), Liveness::Dead);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's name, for people.
    pub machine: String,
    /// The process.
    pub pid: u32,
    /// When the process began, in the kernel's ticks: a process id is used again, with this it is not.
    start: u64,
    /// A digest of the kernel's boot id and of the process id namespace: the same only where `pid` means the same.
    place: String,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this_process() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .unwrap_or_default()
            .trim()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.')
            .take(63)
            .collect::<String>();
        let pid = std::process::id();
        Self {
            machine: if machine.is_empty() { "unnamed".to_owned() } else { machine },
            pid,
            start: started(pid).unwrap_or(0),
            place: place().unwrap_or_default(),
        }
    }

    /// Reads what [`Holder`] prints; none for identities of others.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let holder = Self {
            machine: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
            place: parts.next()?.to_owned(),
        };
        parts.next().is_none().then_some(holder)
    }

    /// Whether it still lives, as far as can be told from here.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        if self.place.is_empty() || self.start == 0 || place().as_deref() != Some(self.place.as_str()) {
            return Liveness::Unknown;
        }
        match started(self.pid) {
            Some(start) if start == self.start => Liveness::Alive,
            _ => Liveness::Dead,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}_{}", self.machine, self.pid, self.start, self.place)
    }
}

/// For people: `process 12 on machine`, or the text as it is.
pub(crate) fn friendly(identity: &str) -> String {
    match Holder::parse(identity) {
        Some(holder) => format!("process {} on {}", holder.pid, holder.machine),
        None => identity.to_owned(),
    }
}

/// Field 22 of /proc/PID/stat, counted after the command's closing parenthesis; a zombie counts as gone.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    // Not the ids themselves: they are nobody's business in a cluster.
    let whole = format!("{}{}", boot.trim(), namespace.display());
    let digest = ilab_core::names::PluginDigest::of(whole.as_bytes());
    digest.as_str().get(7..23).map(ToOwned::to_owned)
}

/// How long a Lease is good for without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_dead_and_one_elsewhere_unknown() {
        let me = Holder::this_process();
        assert_eq!(me.liveness(), Liveness::Alive);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(Holder { pid, ..me.clone() }.liveness(), Liveness::Dead);
        assert_eq!(Holder { start: me.start + 1, ..me.clone() }.liveness(), Liveness::Dead);
        assert_eq!(Holder { place: "elsewhere".into(), ..me }.liveness(), Liveness::Unknown);
    }

    #[test]
    fn others_identities_are_shown_as_they_are() {
        assert_eq!(friendly("somebody"), "somebody");
        assert_eq!(Holder::parse("a_b_c_d"), None);
        assert_eq!(friendly("box_12_5_abc"), "process 12 on box");
    }
}

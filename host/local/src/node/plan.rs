//! What the kubelet tells a pod's shim, and what the shim tells back. Both are files of the pod's folder.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use super::sandbox::Sandbox;

/// The version of these files; a shim refuses others.
pub(crate) const FORMAT: u32 = 1;

/// When a container is started again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RestartPolicy {
    /// Always.
    Always,
    /// After an exit code other than 0.
    OnFailure,
    /// Never.
    Never,
}

/// A host folder or file that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// The folder on the host; everything below is reached without following links out of it.
    pub(crate) source: PathBuf,
    /// A path below `source`; made as a folder when missing.
    pub(crate) sub_path: Option<PathBuf>,
    /// Where the container sees it: absolute.
    pub(crate) target: PathBuf,
    /// Whether it may not write there.
    pub(crate) read_only: bool,
}

/// What a container may use at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a processor.
    pub(crate) cpu_milli: Option<u64>,
}

/// One container, everything resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    /// Its name.
    pub(crate) name: String,
    /// The image as the pod names it.
    pub(crate) image: String,
    /// The image's root file system.
    pub(crate) rootfs: PathBuf,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Where it starts.
    pub(crate) working_dir: PathBuf,
    /// User and group inside.
    pub(crate) uid: u32,
    /// Group inside.
    pub(crate) gid: u32,
    /// The user's home, a tmpfs; none where it is the root.
    pub(crate) home: Option<PathBuf>,
    /// Volumes.
    pub(crate) mounts: Vec<Mount>,
    /// Limits.
    pub(crate) limits: Limits,
    /// An init container that keeps running beside the others.
    pub(crate) sidecar: bool,
    /// The file that the program may leave a message in.
    pub(crate) message_path: PathBuf,
    /// Whether the end of the log stands in for a missing message of a failure.
    pub(crate) message_from_log: bool,
}

/// A whole pod, everything resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodPlan {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The pod's namespace.
    pub(crate) namespace: String,
    /// The pod's name.
    pub(crate) name: String,
    /// The pod's UID.
    pub(crate) uid: String,
    /// The name that the containers see.
    pub(crate) hostname: String,
    /// When containers are started again.
    pub(crate) restart_policy: RestartPolicy,
    /// How long the pod may take, counted from its first start.
    pub(crate) active_deadline_seconds: Option<u64>,
    /// How long containers have between SIGTERM and SIGKILL.
    pub(crate) grace_seconds: u64,
    /// One after the other, first.
    pub(crate) init: Vec<ContainerPlan>,
    /// Side by side, then.
    pub(crate) containers: Vec<ContainerPlan>,
    /// How sandboxes are made on this machine.
    pub(crate) sandbox: Sandbox,
    /// The first pause before a restart; it doubles.
    pub(crate) backoff_base_ms: u64,
    /// The longest pause before a restart.
    pub(crate) backoff_max_ms: u64,
    /// A log is rotated at this size.
    pub(crate) log_bytes: u64,
}

/// Where in its life a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Init containers run.
    Pending,
    /// Containers run, or wait to run again.
    Running,
    /// All ended well.
    Succeeded,
    /// One ended badly and stays so, or the pod was stopped.
    Failed,
}

impl Phase {
    /// Whether nothing more will happen.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// As `status.phase` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// How one attempt of a container ended: the file `exit` beside its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exit {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub(crate) exit_code: i32,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `ContainerStatusUnknown`.
    pub(crate) reason: String,
    /// What the program left as its message, or why it did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// When it started.
    pub(crate) started_at: Timestamp,
    /// When it ended.
    pub(crate) finished_at: Timestamp,
}

/// What a container does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Now {
    /// It waits.
    Waiting {
        /// `PodInitializing`, `ContainerCreating` or `CrashLoopBackOff`.
        reason: String,
        /// More, for people.
        message: Option<String>,
    },
    /// It runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// It ended.
    Terminated(Exit),
}

/// One container's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerState {
    /// Its name.
    pub(crate) name: String,
    /// How often it was started again: also the folder of the present attempt.
    pub(crate) attempt: u32,
    /// What it does now.
    pub(crate) now: Now,
    /// How the attempt before ended.
    pub(crate) last: Option<Exit>,
    /// Which limits are in force, for people; empty where none are asked for.
    pub(crate) limits: Vec<String>,
}

/// The whole pod's state: the file `state.json`, and every line of the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodState {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Where it is.
    pub(crate) phase: Phase,
    /// Why, where a phase needs a reason: `DeadlineExceeded`.
    pub(crate) reason: Option<String>,
    /// More, for people.
    pub(crate) message: Option<String>,
    /// When the shim first started.
    pub(crate) started_at: Timestamp,
    /// How often a shim was lost and the pod taken up by a new one.
    pub(crate) lost: u32,
    /// Whether the init containers are done.
    pub(crate) initialized: bool,
    /// Init containers.
    pub(crate) init: Vec<ContainerState>,
    /// Containers.
    pub(crate) containers: Vec<ContainerState>,
}

/// What the host asks of a shim: a line of the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// End all containers.
    Stop {
        /// Seconds between SIGTERM and SIGKILL.
        grace_seconds: u64,
    },
}

/// The files of a pod's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodDir(pub(crate) PathBuf);

impl PodDir {
    /// The folder of a pod in a state folder.
    pub(crate) fn of(state: &Path, uid: &str) -> Self {
        Self(state.join("pods").join(uid))
    }

    /// The folder of all pods.
    pub(crate) fn all(state: &Path) -> PathBuf {
        state.join("pods")
    }

    /// The [`PodPlan`].
    pub(crate) fn plan(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// The [`PodState`].
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Held by the pod's shim.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Where the shim listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("ctl")
    }

    /// What the shim itself says when something is wrong with it.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Volumes that live and die with the pod.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.0.join("volumes").join(name)
    }

    /// `/etc/hosts` of the containers.
    pub(crate) fn hosts(&self) -> PathBuf {
        self.0.join("hosts")
    }

    /// The folder of one attempt of a container.
    pub(crate) fn attempt(&self, container: &str, attempt: u32) -> PathBuf {
        self.0.join("containers").join(container).join(attempt.to_string())
    }
}

//! What is wrong with a pod that does not get on, in words that help. Pure: objects in, trouble out.

use ilab_core::text::bounded;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// An image cannot be pulled.
    ImagePull,
    /// A container cannot be made: a Secret, ConfigMap or key is missing, or a command does not exist.
    Config,
    /// No node takes the pod.
    Unschedulable,
    /// The namespace's quota, a limit range or an admission policy does not allow the pod.
    Quota,
    /// A volume cannot be attached or mounted.
    Volume,
    /// A container ends and is started again, over and over.
    CrashLoop,
    /// A container used more memory than it may.
    OutOfMemory,
    /// The node needed the room.
    Evicted,
    /// Something more important needed the room.
    Preempted,
    /// A container failed.
    Failed,
}

impl TroubleKind {
    /// Whether nothing will happen until somebody does something: such trouble may end a stage that waits for too
    /// long. So may a container that ends again and again: not every controller gives up on it. The others are the
    /// controller's to count.
    #[must_use]
    pub fn blocks(self) -> bool {
        matches!(
            self,
            Self::ImagePull
                | Self::Config
                | Self::Unschedulable
                | Self::Quota
                | Self::Volume
                | Self::CrashLoop
        )
    }
}

/// Trouble, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// What kind it is.
    pub kind: TroubleKind,
    /// The container, where it is one's.
    pub container: Option<String>,
    /// What is wrong, as a sentence without its end.
    pub message: String,
    /// What to try.
    pub hint: String,
}

/// Nobody reads more of a message.
const MAX_MESSAGE: usize = 600;

fn trouble(kind: TroubleKind, container: Option<&str>, message: String, hint: &str) -> Trouble {
    let message = bounded(message.trim().trim_end_matches('.'), MAX_MESSAGE);
    Trouble { kind, container: container.map(ToOwned::to_owned), message, hint: hint.to_owned() }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// What is wrong with this pod, if anything. The worst first: what blocks it, then what it died of.
#[must_use]
pub fn pod(pod: &Value) -> Option<Trouble> {
    let phase = text(pod, "/status/phase");
    if phase == "Succeeded" {
        return None;
    }
    disrupted(pod)
        .or_else(|| unscheduled(pod))
        .or_else(|| containers(pod).find_map(waiting))
        .or_else(|| containers(pod).find_map(|c| terminated(c, phase == "Failed")))
        .or_else(|| {
            (phase == "Failed").then(|| {
                let said = text(pod, "/status/message");
                let message = if said.is_empty() { text(pod, "/status/reason") } else { said };
                let message =
                    if message.is_empty() { "the pod failed and does not say why" } else { message };
                trouble(
                    TroubleKind::Failed,
                    None,
                    message.to_owned(),
                    "look at the pod's Events and its node",
                )
            })
        })
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|p| pod.pointer(p).and_then(Value::as_array))
        .flatten()
}

/// Eviction and preemption: the pod's own reason, or the DisruptionTarget condition.
fn disrupted(pod: &Value) -> Option<Trouble> {
    let condition =
        conditions(pod).find(|c| text(c, "/type") == "DisruptionTarget" && text(c, "/status") == "True");
    let reason = text(pod, "/status/reason");
    let why = condition.map_or("", |c| text(c, "/reason"));
    let said = match (text(pod, "/status/message"), condition.map_or("", |c| text(c, "/message"))) {
        ("", said) | (said, _) => said,
    };
    let or = |default: &str| if said.is_empty() { default.to_owned() } else { said.to_owned() };
    if reason == "Preempting" || why == "PreemptionByScheduler" || reason == "Preempted" {
        return Some(trouble(
            TroubleKind::Preempted,
            None,
            or("something more important needed the room"),
            "give the pods a higher priority class, or run when there is room",
        ));
    }
    if reason == "Evicted"
        || reason == "NodeLost"
        || reason == "Shutdown"
        || reason == "Terminated"
        || !why.is_empty()
    {
        let hint = if said.contains("ephemeral") || said.contains("disk") {
            "ask for more ephemeral storage, or write to the volume instead"
        } else if said.contains("memory") {
            "ask for more memory"
        } else {
            "look at the node: it was drained, restarted or ran out of something"
        };
        return Some(trouble(TroubleKind::Evicted, None, or("the node gave the pod up"), hint));
    }
    None
}

fn conditions(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn unscheduled(pod: &Value) -> Option<Trouble> {
    let condition = conditions(pod).find(|c| {
        text(c, "/type") == "PodScheduled"
            && text(c, "/status") == "False"
            && text(c, "/reason") == "Unschedulable"
    })?;
    let message = text(condition, "/message");
    let hint = if message.contains("PersistentVolumeClaim") || message.contains("persistentvolumeclaim") {
        "look at the claim: its storage class must exist and offer the access mode"
    } else if message.contains("nvidia.com/gpu") {
        "no node has that many GPUs free: ask for fewer, or wait until some are"
    } else if message.contains("Insufficient") {
        "no node has that much free: ask for less, or wait until one has"
    } else if message.contains("taint") {
        "the nodes that are left have taints: add a toleration"
    } else if message.contains("affinity") || message.contains("selector") {
        "no node matches the node selector or affinity"
    } else {
        "look at the nodes: none takes the pod"
    };
    Some(trouble(TroubleKind::Unschedulable, None, message.to_owned(), hint))
}

fn waiting(status: &Value) -> Option<Trouble> {
    let name = text(status, "/name");
    let reason = text(status, "/state/waiting/reason");
    let said = text(status, "/state/waiting/message");
    let image = text(status, "/image");
    let with = |what: String| if said.is_empty() { what } else { format!("{what}: {said}") };
    Some(match reason {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => {
            let hint = if reason == "InvalidImageName" {
                "correct the image's name"
            } else if said.contains("unauthorized")
                || said.contains("denied")
                || said.contains("authentication")
            {
                "give the namespace's default service account a pull secret for the registry"
            } else if reason == "ErrImageNeverPull" {
                "the image must be on the node already: import it"
            } else {
                "check the image's name and tag, and that the nodes reach the registry"
            };
            trouble(
                TroubleKind::ImagePull,
                Some(name),
                with(format!("the image {image} cannot be pulled ({reason})")),
                hint,
            )
        }
        "CreateContainerConfigError" => trouble(
            TroubleKind::Config,
            Some(name),
            with(format!("the container {name} cannot be configured")),
            if said.contains("runAsNonRoot") {
                "set the stage's run-as-user to a number above 0, or use an image whose user is not root"
            } else if said.contains("user namespaces") {
                "allow them (as root: sysctl -w user.max_user_namespaces=15000), or use a cluster"
            } else {
                "create the Secret, ConfigMap or key that is missing"
            },
        ),
        "CreateContainerError" | "RunContainerError" | "PreStartHookError" | "PostStartHookError" => trouble(
            TroubleKind::Config,
            Some(name),
            with(format!("the container {name} cannot be started ({reason})")),
            "check its command and its mounts against the image",
        ),
        "CrashLoopBackOff" => {
            let restarts = status.pointer("/restartCount").and_then(Value::as_u64).unwrap_or(0);
            let last = status.pointer("/lastState/terminated");
            let died = last.map(died_of).unwrap_or_default();
            let killed = last.is_some_and(|t| text(t, "/reason") == "OOMKilled");
            let (kind, hint) = if killed {
                (TroubleKind::OutOfMemory, "ask for more memory")
            } else {
                (TroubleKind::CrashLoop, "read its last log lines")
            };
            trouble(
                kind,
                Some(name),
                format!(
                    "the container {name} was restarted {}{died}{}",
                    if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") },
                    last.map(last_words).unwrap_or_default()
                ),
                hint,
            )
        }
        _ => return None,
    })
}

/// `, last with exit code 1 (Error)`.
fn died_of(terminated: &Value) -> String {
    let code = terminated.pointer("/exitCode").and_then(Value::as_i64);
    let reason = text(terminated, "/reason");
    match (code, reason) {
        (Some(code), "") => format!(", last with exit code {code}"),
        (Some(code), reason) => format!(", last with exit code {code} ({reason})"),
        (None, _) => String::new(),
    }
}

/// The end of what it printed, where its termination message has that: `: ValueError: no samples`.
fn last_words(terminated: &Value) -> String {
    let said = text(terminated, "/message").trim_end().lines().next_back().unwrap_or_default().trim();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn terminated(status: &Value, pod_failed: bool) -> Option<Trouble> {
    let ended = status.pointer("/state/terminated")?;
    let code = ended.pointer("/exitCode").and_then(Value::as_i64).unwrap_or(0);
    let name = text(status, "/name");
    if text(ended, "/reason") == "OOMKilled" {
        let message = format!("the container {name} was killed: it used more memory than it may");
        return Some(trouble(TroubleKind::OutOfMemory, Some(name), message, "ask for more memory"));
    }
    if code == 0 || !pod_failed {
        return None;
    }
    let meaning = match code {
        126 => ", its command cannot be run",
        127 => ", its command was not found",
        137 => ", it was killed (SIGKILL)",
        139 => ", it crashed (SIGSEGV)",
        143 => ", it was told to stop (SIGTERM)",
        _ => "",
    };
    let message = format!("the container {name} ended with exit code {code}{meaning}{}", last_words(ended));
    Some(trouble(TroubleKind::Failed, Some(name), message, "read its last log lines"))
}

/// What an Event about a Job, a PyTorchJob, a claim or a pod says is wrong, if anything.
#[must_use]
pub fn event(reason: &str, message: &str) -> Option<Trouble> {
    let (kind, hint) = match reason {
        "FailedCreate" | "FailedCreatePod" | "FailedCreateService" => {
            if message.contains("exceeded quota") {
                (TroubleKind::Quota, "free some of the namespace's quota, or ask for less")
            } else if message.contains("violates PodSecurity") {
                (TroubleKind::Quota, "the namespace enforces a Pod Security level that the pod does not meet")
            } else if message.contains("limits") || message.contains("LimitRange") {
                (TroubleKind::Quota, "stay within the namespace's limit range")
            } else {
                (TroubleKind::Quota, "the API server refuses the pod: the message says why")
            }
        }
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => (
            TroubleKind::Volume,
            "check that the Secret, ConfigMap or claim exists, and that no other node holds the volume",
        ),
        "ProvisioningFailed" => {
            (TroubleKind::Volume, "look at the storage class: it could not make the volume")
        }
        "FailedCreatePodSandBox" => (TroubleKind::Config, "look at the node's network and runtime"),
        _ => return None,
    };
    Some(trouble(kind, None, message.to_owned(), hint))
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;

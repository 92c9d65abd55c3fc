//! `status` of a Pod, as the kubelet writes it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::fields::ADDRESS;
use super::resolve::Blocked;
use crate::node::plan::{ContainerState, Exit, Now, Phase, PodState};

/// A time as Kubernetes writes it.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The status of a pod that its shim reports on.
pub(super) fn running(pod: &Pod, state: &PodState) -> Value {
    let spec = pod.spec.as_ref();
    let init: Vec<Container> = spec.and_then(|spec| spec.init_containers.clone()).unwrap_or_default();
    let containers = spec.map(|spec| spec.containers.clone()).unwrap_or_default();
    let unready: Vec<_> = state
        .containers
        .iter()
        .filter(|one| !matches!(one.now, Now::Running { .. }))
        .map(|one| one.name.as_str())
        .collect();
    let ready = match state.phase {
        Phase::Succeeded => Condition::no("PodCompleted", String::new()),
        Phase::Failed => Condition::no("PodFailed", String::new()),
        _ if unready.is_empty() => Condition::yes(),
        _ => Condition::no(
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ),
    };
    let initialized = if state.initialized {
        Condition { reason: (state.phase == Phase::Succeeded).then_some("PodCompleted"), ..Condition::yes() }
    } else {
        let waiting: Vec<_> =
            state.init.iter().filter(|one| !done(one)).map(|one| one.name.as_str()).collect();
        Condition::no(
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", waiting.join(" ")),
        )
    };
    json!({
        "phase": state.phase.as_str(),
        "reason": state.reason,
        "message": state.message,
        "conditions": conditions(pod, initialized, ready),
        "startTime": time(state.started_at),
        "hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}],
        "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}],
        "qosClass": qos(pod),
        "initContainerStatuses": statuses(pod, &init, &state.init, true),
        "containerStatuses": statuses(pod, &containers, &state.containers, false),
    })
}

fn done(state: &ContainerState) -> bool {
    matches!(&state.now, Now::Terminated(exit) if exit.exit_code == 0)
}

/// The status of a pod that cannot start yet.
pub(super) fn blocked(pod: &Pod, why: &[Blocked], since: Timestamp) -> Value {
    let spec = pod.spec.as_ref();
    let has_init =
        spec.is_some_and(|spec| spec.init_containers.as_ref().is_some_and(|init| !init.is_empty()));
    let waiting = |container: &Container, init: bool| {
        let default = if has_init && !init { "PodInitializing" } else { "ContainerCreating" };
        let (reason, message) = why
            .iter()
            .find_map(|blocked| match blocked {
                Blocked::Image { container: name, reason, message } if *name == container.name => {
                    Some((*reason, Some(message.clone())))
                }
                Blocked::Config { container: name, message } if *name == container.name => {
                    Some(("CreateContainerConfigError", Some(message.clone())))
                }
                _ => None,
            })
            .unwrap_or((default, None));
        json!({
            "name": container.name, "image": container.image, "imageID": "", "ready": false, "started": false,
            "restartCount": 0, "lastState": {}, "state": {"waiting": {"reason": reason, "message": message}},
        })
    };
    let list =
        |containers: &[Container], init| containers.iter().map(|one| waiting(one, init)).collect::<Vec<_>>();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let names = |containers: &[Container]| {
        containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    let initialized = if has_init {
        Condition::no(
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", names(init)),
        )
    } else {
        Condition::yes()
    };
    let ready = Condition::no(
        "ContainersNotReady",
        format!("containers with unready status: [{}]", names(containers)),
    );
    json!({
        "phase": "Pending",
        "conditions": conditions(pod, initialized, ready),
        "startTime": time(since),
        "hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}],
        "qosClass": qos(pod),
        "initContainerStatuses": list(init, true),
        "containerStatuses": list(containers, false),
    })
}

fn statuses(pod: &Pod, specs: &[Container], states: &[ContainerState], init: bool) -> Vec<Value> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let one = |state: &ContainerState| {
        let image = specs.iter().find(|spec| spec.name == state.name).and_then(|spec| spec.image.clone());
        let running = matches!(state.now, Now::Running { .. });
        let id = |attempt: u32| format!("ilab://{uid}/{}/{attempt}", state.name);
        let now = match &state.now {
            Now::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Now::Running { started_at } => json!({"running": {"startedAt": time(*started_at)}}),
            Now::Terminated(exit) => json!({"terminated": terminated(exit, &id(state.attempt))}),
        };
        // While it waits for a restart, the last attempt is the one that is still counted as present.
        let waits = matches!(state.now, Now::Waiting { .. });
        let last_attempt = if waits { state.attempt } else { state.attempt.saturating_sub(1) };
        let last = state.last.as_ref().map(|exit| json!({"terminated": terminated(exit, &id(last_attempt))}));
        let ready = if init { done(state) || running } else { running };
        json!({
            "name": state.name, "image": image, "imageID": image, "ready": ready, "started": running,
            "restartCount": state.attempt, "state": now, "lastState": last.unwrap_or_else(|| json!({})),
            "containerID": id(state.attempt),
        })
    };
    states.iter().map(one).collect()
}

fn terminated(exit: &Exit, id: &str) -> Value {
    let mut value = json!({
        "exitCode": exit.exit_code, "reason": exit.reason, "containerID": id,
        "startedAt": time(exit.started_at), "finishedAt": time(exit.finished_at),
    });
    if let Some(signal) = exit.signal {
        value["signal"] = json!(signal);
    }
    if let Some(message) = &exit.message {
        value["message"] = json!(message);
    }
    value
}

struct Condition {
    status: &'static str,
    reason: Option<&'static str>,
    message: String,
}

impl Condition {
    fn yes() -> Self {
        Self { status: "True", reason: None, message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason: Some(reason), message }
    }
}

fn conditions(pod: &Pod, initialized: Condition, ready: Condition) -> Vec<Value> {
    let before = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let own = ["Initialized", "Ready", "ContainersReady"];
    let now = Timestamp::now();
    let entry = |kind: &str, condition: &Condition| {
        let same = before.iter().find(|known| known.type_ == kind && known.status == condition.status);
        let since = same.and_then(|known| known.last_transition_time.as_ref()).map_or(now, |at| at.0);
        let mut value = json!({"type": kind, "status": condition.status, "lastTransitionTime": time(since)});
        if let Some(reason) = condition.reason {
            value["reason"] = json!(reason);
        }
        if !condition.message.is_empty() {
            value["message"] = json!(condition.message);
        }
        value
    };
    let mut all =
        vec![entry("Initialized", &initialized), entry("Ready", &ready), entry("ContainersReady", &ready)];
    all.extend(before.iter().filter(|known| !own.contains(&known.type_.as_str())).map(|known| json!(known)));
    all
}

fn qos(pod: &Pod) -> &'static str {
    let containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let (mut any, mut all) = (false, true);
    for container in containers {
        let resources = container.resources.clone().unwrap_or_default();
        for name in ["cpu", "memory"] {
            let limit = resources.limits.as_ref().and_then(|limits| limits.get(name));
            let request = resources.requests.as_ref().and_then(|requests| requests.get(name));
            any |= limit.is_some() || request.is_some();
            all &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

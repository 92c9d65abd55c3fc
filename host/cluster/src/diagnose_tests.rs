use super::*;
use serde_json::json;

fn waiting_pod(reason: &str, message: &str) -> Value {
    json!({"status": {"phase": "Pending", "containerStatuses": [
        {"name": "train", "image": "reg/img:1", "restartCount": 4, "state": {"waiting": {"reason": reason, "message": message}}}
    ]}})
}

#[test]
fn b12_image_trouble_is_named_with_the_image() {
    for reason in ["ImagePullBackOff", "ErrImagePull", "InvalidImageName"] {
        let found = pod(&waiting_pod(reason, "manifest unknown")).unwrap();
        assert_eq!(found.kind, TroubleKind::ImagePull);
        assert!(found.kind.blocks());
        assert!(
            found.message.contains("reg/img:1") && found.message.contains("manifest unknown"),
            "{}",
            found.message
        );
    }
    let denied = pod(&waiting_pod("ErrImagePull", "unauthorized: access")).unwrap();
    assert!(denied.hint.contains("pull secret"), "{}", denied.hint);
}

#[test]
fn b12_missing_secrets_are_config_trouble() {
    let found = pod(&waiting_pod("CreateContainerConfigError", "secret \"x\" not found")).unwrap();
    assert_eq!((found.kind, found.container.as_deref()), (TroubleKind::Config, Some("train")));
    assert!(found.message.ends_with("secret \"x\" not found"), "{}", found.message);
    let root = "container has runAsNonRoot and image will run as root (pod: \"p\")";
    let found = pod(&waiting_pod("CreateContainerConfigError", root)).unwrap();
    assert!(found.hint.contains("run-as-user"), "{}", found.hint);
}

#[test]
fn ordinary_waiting_is_no_trouble() {
    for reason in ["ContainerCreating", "PodInitializing", ""] {
        assert_eq!(pod(&waiting_pod(reason, "")), None, "{reason}");
    }
    // A pod that no node has taken yet has no statuses at all.
    for empty in
        [json!(null), json!({}), json!({"status": null}), json!({"status": {"containerStatuses": null}})]
    {
        assert_eq!(pod(&empty), None);
    }
}

#[test]
fn b12_unschedulable_pods_say_what_is_short() {
    let with = |message: &str| {
        json!({"status": {"phase": "Pending", "conditions": [
            {"type": "Ready", "status": "False"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]}})
    };
    for (message, hint) in [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "GPUs"),
        ("0/3 nodes are available: 3 Insufficient memory.", "that much free"),
        ("pod has unbound immediate PersistentVolumeClaims", "storage class"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {a: b}", "toleration"),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector", "node selector"),
    ] {
        let found = pod(&with(message)).unwrap();
        assert_eq!(found.kind, TroubleKind::Unschedulable);
        assert!(found.hint.contains(hint), "{message}: {}", found.hint);
    }
    let scheduled = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "True", "reason": "Unschedulable"}]}});
    assert_eq!(pod(&scheduled), None, "a condition counts with its status only");
}

#[test]
fn crash_loops_count_restarts_and_say_what_the_container_died_of() {
    let mut looping = waiting_pod("CrashLoopBackOff", "back-off 5m0s");
    looping["status"]["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"exitCode": 2, "reason": "Error"}});
    let found = pod(&looping).unwrap();
    assert_eq!(found.kind, TroubleKind::CrashLoop);
    assert!(found.kind.blocks(), "an operator may never give up on it");
    assert_eq!(found.message, "the container train was restarted 4 times, last with exit code 2 (Error)");
    looping["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "OOMKilled".into();
    assert_eq!(pod(&looping).unwrap().kind, TroubleKind::OutOfMemory);
}

#[test]
fn failed_containers_are_told_with_their_exit_code_only_once_the_pod_failed() {
    let ended = |phase: &str, code: i64| {
        json!({"status": {"phase": phase,
            "initContainerStatuses": [{"name": "prepare", "state": {"terminated": {"exitCode": code, "reason": "Error"}}}],
            "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]}})
    };
    let found = pod(&ended("Failed", 127)).unwrap();
    assert_eq!(found.container.as_deref(), Some("prepare"));
    assert!(found.message.contains("not found"), "{}", found.message);
    assert_eq!(pod(&ended("Running", 1)), None, "restartPolicy OnFailure tries again");
    assert_eq!(pod(&ended("Succeeded", 0)), None);
}

#[test]
fn memory_eviction_and_preemption_are_told_apart() {
    let killed = json!({"status": {"phase": "Running", "containerStatuses": [
        {"name": "t", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}});
    assert_eq!(pod(&killed).unwrap().kind, TroubleKind::OutOfMemory);
    let evicted = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}});
    let found = pod(&evicted).unwrap();
    assert_eq!(found.kind, TroubleKind::Evicted);
    assert!(found.hint.contains("ephemeral storage"));
    let preempted = json!({"status": {"phase": "Failed", "conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "default-scheduler: preempting to accommodate a higher priority pod"}]}});
    assert_eq!(pod(&preempted).unwrap().kind, TroubleKind::Preempted);
    let silent = pod(&json!({"status": {"phase": "Failed"}})).unwrap();
    assert_eq!(silent.kind, TroubleKind::Failed);
}

#[test]
fn quota_and_volumes_are_found_in_events() {
    let quota =
        event("FailedCreate", "Error creating: pods \"x\" is forbidden: exceeded quota: gpus").unwrap();
    assert_eq!(quota.kind, TroubleKind::Quota);
    assert!(quota.kind.blocks());
    assert_eq!(event("FailedMount", "secret \"x\" not found").unwrap().kind, TroubleKind::Volume);
    assert_eq!(event("Pulled", "Successfully pulled"), None);
    assert!(
        event("FailedCreate", "violates PodSecurity \"restricted\"").unwrap().hint.contains("Pod Security")
    );
}

#[test]
fn messages_are_bounded_at_character_borders() {
    let found = pod(&waiting_pod("ErrImagePull", &"ä".repeat(10_000))).unwrap();
    assert!(found.message.chars().count() <= MAX_MESSAGE + 1);
}

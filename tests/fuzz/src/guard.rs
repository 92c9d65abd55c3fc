//! The guard: what the oracle would refuse, it refuses, wherever in a manifest it stands.

use crate::pss;
use ilab_core::contract::Kind;
use ilab_core::guard::{Bounds, Grant, Level, Policy, harden, totals};
use ilab_core::names::{PluginDigest, StageName};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where a pod is changed. `*` is a container.
const FIELDS: [&str; 26] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "securityContext.runAsNonRoot",
    "securityContext.runAsUser",
    "securityContext.seccompProfile.type",
    "securityContext.appArmorProfile.type",
    "securityContext.seLinuxOptions.type",
    "securityContext.seLinuxOptions.user",
    "securityContext.sysctls",
    "securityContext.windowsOptions.hostProcess",
    "volumes",
    "*.ports",
    "*.livenessProbe",
    "*.lifecycle",
    "*.securityContext.privileged",
    "*.securityContext.procMount",
    "*.securityContext.capabilities.add",
    "*.securityContext.capabilities.drop",
    "*.securityContext.allowPrivilegeEscalation",
    "*.securityContext.runAsNonRoot",
    "*.securityContext.runAsUser",
    "*.securityContext.seccompProfile.type",
    "*.securityContext.appArmorProfile.type",
    "*.securityContext.seLinuxOptions.role",
    "*.securityContext.windowsOptions.hostProcess",
];
/// To what.
const VALUES: [&str; 32] = [
    "null",
    "true",
    "false",
    "0",
    "1000",
    r#""""#,
    r#""RuntimeDefault""#,
    r#""Localhost""#,
    r#""Unconfined""#,
    r#""Default""#,
    r#""Unmasked""#,
    r#""container_t""#,
    r#""spc_t""#,
    r#"["ALL"]"#,
    r#"["CHOWN"]"#,
    r#"["NET_BIND_SERVICE"]"#,
    r#"["SYS_ADMIN"]"#,
    r#"["all"]"#,
    "[]",
    r#"[{"name": "kernel.shm_rmid_forced", "value": "1"}]"#,
    r#"[{"name": "kernel.msgmax", "value": "1"}]"#,
    r#"[{"name": "v", "emptyDir": {}}]"#,
    r#"[{"name": "v", "hostPath": {"path": "/"}}]"#,
    r#"[{"name": "v", "nfs": {"server": "s", "path": "/"}}]"#,
    r#"[{"containerPort": 1}]"#,
    r#"[{"containerPort": 1, "hostPort": 80}]"#,
    r#"[{"containerPort": 1, "hostPort": 0}]"#,
    r#"{"httpGet": {"port": 1}}"#,
    r#"{"httpGet": {"port": 1, "host": "h"}}"#,
    r#"{"tcpSocket": {"port": 1, "host": "h"}}"#,
    r#"{"preStop": {"httpGet": {"port": 1, "host": "h"}}}"#,
    r#"{"postStart": {"tcpSocket": {"port": 1}}}"#,
];
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

fn grant() -> Grant {
    Grant {
        stage: StageName::new("fuzz").unwrap_or_else(|e| panic!("{e}")),
        digest: PluginDigest::of(b""),
        namespace: "ml".into(),
        prefix: "r-fuzz".into(),
        creates: vec![Kind { api_version: "example.dev/v1".into(), kind: "Any".into() }],
        secrets: Default::default(),
        config_maps: Default::default(),
        claims: Default::default(),
        bounds: Bounds::default(),
    }
}

/// Three bytes a change of a valid pod, then where in a manifest the pod stands.
///
/// # Panics
/// When the guard lets through what the oracle refuses.
pub fn guard(data: &[u8]) {
    let (changes, way) = data.split_at(data.len().min(18));
    let container = json!({"name": "main", "image": "quay.io/a/b", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
    let mut pod = json!({"containers": [container], "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    for change in changes.chunks_exact(3) {
        let (field, value) =
            (FIELDS[change[0] as usize % FIELDS.len()], VALUES[change[1] as usize % VALUES.len()]);
        let list = LISTS[change[2] as usize % LISTS.len()];
        let Ok(value) = serde_json::from_str::<Value>(value) else { continue };
        if field.starts_with('*') && pod[list].is_null() {
            pod[list] = json!([container]);
        }
        set(&mut pod, field, list, value);
    }
    let annotations = BTreeMap::new();
    // What is no pod is for the cluster to refuse.
    let Ok(spec) = serde_json::from_value::<PodSpec>(pod.clone()) else { return };
    let mut place = json!({"template": {"spec": pod}});
    for step in way.iter().take(24) {
        place = match step % 3 {
            0 => json!([place]),
            1 => json!({"x": place, "y": step}),
            _ => json!([step, {"z": [], "w": place}]),
        };
    }
    let mut manifest =
        json!({"apiVersion": "example.dev/v1", "kind": "Any", "metadata": {"name": "r-fuzz"}, "spec": place});
    harden(&mut manifest);
    let _ = totals([&manifest]);
    for (level, broken) in [
        (Level::Baseline, pss::baseline(&spec, &annotations)),
        (Level::Restricted, pss::restricted(&spec, &annotations)),
    ] {
        let policy = Policy { level, ..Policy::default() };
        let rules: Vec<_> =
            policy.check(&manifest, &grant()).into_iter().map(|violation| violation.rule).collect();
        // A hostPath has a rule of its own.
        let told =
            |rule: &str| rules.contains(&rule) || (rule == "volume-source" && rules.contains(&"host-path"));
        for rule in broken {
            assert!(told(rule), "{level:?} {rule}: {rules:?} for {manifest}");
        }
    }
}

fn set(pod: &mut Value, path: &str, list: &str, value: Value) {
    let mut at = pod;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        at = match step {
            "*" => &mut at[list][0],
            step => {
                if !at.is_object() {
                    return;
                }
                if last {
                    if let Some(map) = at.as_object_mut() {
                        map.insert(step.to_owned(), value);
                    }
                    return;
                }
                if at[step].is_null() {
                    at[step] = json!({});
                }
                &mut at[step]
            }
        };
    }
}

//! Rules about pods: the Pod Security Standards, and what the host adds to them.
//!
//! What is forbidden goes by field name at any depth, so that half a pod template in a custom resource's override is
//! judged too. What is demanded (a token not mounted; at level restricted, hardening) goes by shape: a mapping with
//! containers that have images.

use super::path::{Step, fields, is_blank, is_set};
use super::policy::Level;
use super::walk::Guard;
use crate::text::{quoted, shown};
use serde_json::{Map, Value};

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>: what baseline lets a container add.
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];
const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];
pub(super) const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Whether it looks like a pod's spec, or like part of one.
pub(super) fn is_pod_spec(map: &Map<String, Value>) -> bool {
    map.iter().any(|(key, value)| {
        value.is_array() && CONTAINER_LISTS.iter().any(|list| key.eq_ignore_ascii_case(list))
    })
}

/// Whether a pod could be made of it as it stands: some container has an image. Overrides of a template that somebody
/// else installed have none, and no place for what a pod's spec must say.
pub(super) fn is_complete_pod_spec(map: &Map<String, Value>) -> bool {
    containers(map).any(|(_, container)| fields(container, "image").any(|(_, image)| is_set(image)))
}

/// All containers of a pod's spec, with the way to each.
fn containers(map: &Map<String, Value>) -> impl Iterator<Item = ([Step<'_>; 2], &Map<String, Value>)> {
    CONTAINER_LISTS.iter().flat_map(|list| fields(map, list)).flat_map(|(key, list)| {
        list.as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(move |(index, item)| Some(([Step::Key(key), Step::Index(index)], item.as_object()?)))
    })
}

/// Checks one field that is set, at any depth.
pub(super) fn check_field<'a>(guard: &mut Guard<'a>, key: &'a str, value: &'a Value) {
    let restricted = guard.policy.level == Level::Restricted;
    // Anything but false: what is no boolean is refused by the cluster, or read as true by somebody lenient.
    let on = value != &Value::Bool(false);
    match key.to_ascii_lowercase().as_str() {
        "hostnetwork" | "hostpid" | "hostipc" if on => {
            guard.refuse("host-namespaces", "a pod may not share the node's namespaces")
        }
        "privileged" if on => guard.refuse("privileged", "a privileged container is root on the node"),
        "hostprocess" if on => guard.refuse("host-process", "a container may not be a process of the node"),
        "hostport" if value.as_u64() != Some(0) => {
            guard.refuse("host-ports", "a container may not take the node's ports")
        }
        "procmount" if !matches!(value.as_str(), Some("" | "Default")) => {
            guard.refuse("proc-mount", "only the default /proc mask is allowed")
        }
        "capabilities" => check_capabilities(guard, value),
        "apparmorprofile" => check_profile(guard, value, "app-armor"),
        "seccompprofile" => check_profile(guard, value, "seccomp"),
        "selinuxoptions" => check_selinux(guard, value),
        "sysctls" => check_sysctls(guard, value),
        "annotations" => check_annotations(guard, value),
        "httpget" | "tcpsocket" => check_probe(guard, value),
        "serviceaccountname" | "serviceaccount" if !is_blank(value) => {
            guard.refuse("service-account", "a stage's pods have no account of the cluster");
        }
        "automountserviceaccounttoken" if on => {
            guard.refuse("token-automount", "a stage's pods get no token of the cluster")
        }
        "ephemeralcontainers" if !is_blank(value) => {
            guard.refuse("ephemeral-containers", "containers are added to running pods by people who debug")
        }
        "nodename" if !is_blank(value) => {
            guard.refuse("node-name", "the scheduler chooses the node; use a node selector")
        }
        "priorityclassname" if value.as_str().is_none_or(|name| name.starts_with("system-")) => {
            guard.refuse("priority-class", format!("{} is for the cluster's own pods", shown(value, 80)));
        }
        "allowprivilegeescalation" if restricted && on => {
            guard.refuse("privilege-escalation", "it must be false")
        }
        "runasnonroot" if restricted && value != &Value::Bool(true) => {
            guard.refuse("run-as-non-root", "it must be true")
        }
        "runasuser" if restricted && value.as_i64().is_none_or(|user| user == 0) => {
            guard.refuse("run-as-user", "it must not be root")
        }
        _ => {}
    }
}

fn check_capabilities<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    let allowed: &[&str] = match guard.policy.level {
        Level::Baseline => &BASELINE_CAPABILITIES,
        Level::Restricted => &["NET_BIND_SERVICE"],
    };
    let Some(map) = value.as_object() else { return guard.refuse("capabilities", "not a mapping") };
    for (key, added) in fields(map, "add").filter(|(_, added)| is_set(added)) {
        guard.at(Step::Key(key), |guard| {
            let Some(added) = added.as_array() else { return guard.refuse("capabilities", "not a list") };
            for (index, capability) in added.iter().enumerate() {
                let known = capability.as_str().is_some_and(|name| allowed.contains(&name));
                if !known {
                    let message = format!(
                        "{} may not be added; allowed: {}",
                        shown(capability, 40),
                        allowed.join(", ")
                    );
                    guard.at(Step::Index(index), |guard| {
                        if !capability.as_str().is_some_and(|name| guard.lifts("capabilities", name)) {
                            guard.refuse("capabilities", message);
                        }
                    });
                }
            }
        });
    }
}

fn check_profile<'a>(guard: &mut Guard<'a>, value: &'a Value, rule: &'static str) {
    let Some(map) = value.as_object() else { return guard.refuse(rule, "not a mapping") };
    // Without a type it is none to the API server, and anything to somebody lenient.
    if !fields(map, "type").any(|(_, kind)| is_set(kind)) {
        guard.refuse(rule, format!("it has no type; allowed: {}", PROFILES.join(", ")));
    }
    for (key, kind) in fields(map, "type").filter(|(_, kind)| is_set(kind)) {
        if !kind.as_str().is_some_and(|kind| PROFILES.contains(&kind)) {
            let message = format!("{} is not allowed; allowed: {}", shown(kind, 40), PROFILES.join(", "));
            guard.at(Step::Key(key), |guard| guard.refuse(rule, message));
        }
    }
}

fn check_selinux<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    let Some(map) = value.as_object() else { return guard.refuse("selinux", "not a mapping") };
    for (key, option) in map.iter().filter(|(_, option)| is_set(option)) {
        let allowed = match key.to_ascii_lowercase().as_str() {
            "type" => option.as_str().is_some_and(|kind| SELINUX_TYPES.contains(&kind)),
            "user" | "role" => option.as_str() == Some(""),
            _ => true,
        };
        if !allowed {
            guard.at(Step::Key(key), |guard| {
                guard.refuse("selinux", "only the types for containers are allowed, and no user or role")
            });
        }
    }
}

fn check_sysctls<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    let Some(list) = value.as_array() else { return guard.refuse("sysctls", "not a list") };
    for (index, entry) in list.iter().enumerate() {
        let names: Vec<&Value> =
            entry.as_object().into_iter().flat_map(|map| fields(map, "name")).map(|(_, name)| name).collect();
        guard.at(Step::Index(index), |guard| {
            let mut safe = |name: &Value| {
                name.as_str().is_some_and(|name| SAFE_SYSCTLS.contains(&name) || guard.lifts("sysctls", name))
            };
            if names.is_empty() || !names.iter().all(|name| safe(name)) {
                guard.refuse("sysctls", "only sysctls that stay inside the pod are allowed");
            }
        });
    }
}

/// The older spelling of profiles.
fn check_annotations<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or("");
        let confined =
            text == "runtime/default" || text == "docker/default" || text.starts_with("localhost/");
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !confined {
            guard.at(Step::Key(key), |guard| {
                guard.refuse("app-armor", format!("{} is not allowed", quoted(text, 40)))
            });
        }
        if (key.starts_with("seccomp.security.alpha.kubernetes.io/")
            || key.starts_with("container.seccomp.security.alpha.kubernetes.io/"))
            && !confined
        {
            guard.at(Step::Key(key), |guard| {
                guard.refuse("seccomp", format!("{} is not allowed", quoted(text, 40)))
            });
        }
    }
}

fn check_probe<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    for (key, _) in
        value.as_object().into_iter().flat_map(|map| fields(map, "host")).filter(|(_, host)| !is_blank(host))
    {
        guard.at(Step::Key(key), |guard| guard.refuse("host-probes", "a probe asks its own pod"));
    }
}

/// What a complete pod spec must say.
pub(super) fn check_pod_spec<'a>(guard: &mut Guard<'a>, spec: &'a Map<String, Value>) {
    if !is_complete_pod_spec(spec) {
        return;
    }
    // What it says, where it says it, is looked at by name.
    if !spec.contains_key("automountServiceAccountToken") {
        guard.at(Step::Key("automountServiceAccountToken"), |guard| {
            guard.refuse("token-automount", "it must be false")
        });
    }
    if guard.policy.level == Level::Restricted {
        check_restricted(guard, spec);
    }
}

fn check_restricted<'a>(guard: &mut Guard<'a>, spec: &'a Map<String, Value>) {
    let of = |map: &'a Map<String, Value>, name: &str| {
        map.get("securityContext").and_then(|context| context.get(name)).filter(|value| is_set(value))
    };
    let pod_non_root = of(spec, "runAsNonRoot") == Some(&Value::Bool(true));
    // One without a type says nothing, to whoever takes it.
    let confined =
        |map| of(map, "seccompProfile").and_then(|profile| profile.get("type")).is_some_and(is_set);
    let pod_seccomp = confined(spec);
    for ([list, index], container) in containers(spec) {
        let drops_all = of(container, "capabilities")
            .and_then(|capabilities| capabilities.get("drop"))
            .and_then(Value::as_array)
            .is_some_and(|dropped| dropped.iter().any(|name| name == "ALL"));
        let demands = [
            (
                of(container, "allowPrivilegeEscalation") == Some(&Value::Bool(false)),
                "privilege-escalation",
                "securityContext.allowPrivilegeEscalation must be false",
            ),
            (drops_all, "capabilities", "securityContext.capabilities.drop must list ALL"),
            (
                pod_non_root || of(container, "runAsNonRoot") == Some(&Value::Bool(true)),
                "run-as-non-root",
                "securityContext.runAsNonRoot must be true, here or in the pod",
            ),
            (
                pod_seccomp || confined(container),
                "seccomp",
                "securityContext.seccompProfile must be set, here or in the pod",
            ),
        ];
        guard.at(list, |guard| {
            guard.at(index, |guard| {
                for (_, rule, message) in demands.iter().filter(|(met, ..)| !met) {
                    guard.refuse(rule, *message);
                }
            });
        });
    }
}

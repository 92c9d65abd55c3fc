//! The Pod Security Standards of Kubernetes 1.34 over typed pods: what the guard is held against.
//!
//! Written from <https://kubernetes.io/docs/concepts/security/pod-security-standards/> and not from the guard: it knows where
//! each field stands, where the guard goes by names at any depth. Violations are called by the guard's names.

use k8s_openapi::api::core::v1::{
    ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, Probe, SecurityContext,
    TCPSocketAction, Volume,
};
use std::collections::{BTreeMap, BTreeSet};

/// A container of any of the three kinds.
struct Any<'a> {
    security: Option<&'a SecurityContext>,
    ports: &'a [ContainerPort],
    probes: [Option<&'a Probe>; 3],
    lifecycle: Option<&'a Lifecycle>,
}

macro_rules! any {
    ($container:expr) => {
        Any {
            security: $container.security_context.as_ref(),
            ports: $container.ports.as_deref().unwrap_or_default(),
            probes: [
                $container.liveness_probe.as_ref(),
                $container.readiness_probe.as_ref(),
                $container.startup_probe.as_ref(),
            ],
            lifecycle: $container.lifecycle.as_ref(),
        }
    };
}

fn containers(pod: &PodSpec) -> Vec<Any<'_>> {
    let mut all: Vec<Any<'_>> = pod.containers.iter().map(|c| any!(c)).collect();
    all.extend(pod.init_containers.iter().flatten().map(|c| any!(c)));
    all.extend(pod.ephemeral_containers.iter().flatten().map(|c| any!(c)));
    all
}

/// The rules of level baseline that a pod breaks.
pub(crate) fn baseline(pod: &PodSpec, annotations: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    let mut refuse = |rule, when: bool| {
        if when {
            broken.insert(rule);
        }
    };
    let all = containers(pod);
    let of_pod = pod.security_context.as_ref();
    let of_all = || all.iter().filter_map(|c| c.security);
    let windows = of_pod.and_then(|s| s.windows_options.as_ref()).into_iter();
    let mut windows = windows.chain(of_all().filter_map(|s| s.windows_options.as_ref()));
    refuse("host-process", windows.any(|w| w.host_process == Some(true)));
    let shared = [pod.host_network, pod.host_pid, pod.host_ipc];
    refuse("host-namespaces", shared.contains(&Some(true)));
    refuse("privileged", of_all().any(|s| s.privileged == Some(true)));
    let mut added = of_all().filter_map(|s| s.capabilities.as_ref()?.add.as_ref()).flatten();
    const CAPABILITIES: &str = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";
    refuse("capabilities", added.any(|name| !CAPABILITIES.split(' ').any(|known| known == name)));
    refuse("host-path", pod.volumes.iter().flatten().any(|v| v.host_path.is_some()));
    refuse("host-ports", all.iter().flat_map(|c| c.ports).any(|p| p.host_port.is_some_and(|port| port != 0)));
    refuse("host-probes", all.iter().any(asks_elsewhere));
    let types = of_pod.and_then(|s| s.app_armor_profile.as_ref()).into_iter();
    let mut types = types.chain(of_all().filter_map(|s| s.app_armor_profile.as_ref()));
    let in_types = types.any(|p| p.type_ != "RuntimeDefault" && p.type_ != "Localhost");
    let mut noted =
        annotations.iter().filter(|(k, _)| k.starts_with("container.apparmor.security.beta.kubernetes.io/"));
    refuse(
        "app-armor",
        in_types || noted.any(|(_, v)| v != "runtime/default" && !v.starts_with("localhost/")),
    );
    let options = of_pod.and_then(|s| s.se_linux_options.as_ref()).into_iter();
    let mut options = options.chain(of_all().filter_map(|s| s.se_linux_options.as_ref()));
    const SELINUX: [&str; 5] =
        ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let odd = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    refuse(
        "selinux",
        options.any(|o| {
            o.type_.as_deref().is_some_and(|t| !SELINUX.contains(&t)) || odd(&o.user) || odd(&o.role)
        }),
    );
    refuse("proc-mount", of_all().any(|s| s.proc_mount.as_deref().is_some_and(|m| m != "Default")));
    let profiles = of_pod.and_then(|s| s.seccomp_profile.as_ref()).into_iter();
    let mut profiles = profiles.chain(of_all().filter_map(|s| s.seccomp_profile.as_ref()));
    refuse("seccomp", profiles.any(|p| p.type_ != "RuntimeDefault" && p.type_ != "Localhost"));
    const SYSCTLS: &str = "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start \
         net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time \
         net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes";
    let mut sysctls = of_pod.and_then(|s| s.sysctls.as_ref()).into_iter().flatten();
    refuse("sysctls", sysctls.any(|s| !SYSCTLS.split(' ').any(|known| known == s.name)));
    broken
}

fn asks_elsewhere(container: &Any<'_>) -> bool {
    let http = |action: Option<&HTTPGetAction>| {
        action.and_then(|a| a.host.as_deref()).is_some_and(|h| !h.is_empty())
    };
    let tcp = |action: Option<&TCPSocketAction>| {
        action.and_then(|a| a.host.as_deref()).is_some_and(|h| !h.is_empty())
    };
    let handler = |h: Option<&LifecycleHandler>| {
        h.is_some_and(|h| http(h.http_get.as_ref()) || tcp(h.tcp_socket.as_ref()))
    };
    let probes = container.probes.iter().flatten();
    probes.into_iter().any(|p| http(p.http_get.as_ref()) || tcp(p.tcp_socket.as_ref()))
        || container.lifecycle.is_some_and(|l| handler(l.post_start.as_ref()) || handler(l.pre_stop.as_ref()))
}

/// The rules of level restricted that a pod breaks, those of baseline among them.
pub(crate) fn restricted(pod: &PodSpec, annotations: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    let mut broken = baseline(pod, annotations);
    let mut refuse = |rule, when: bool| {
        if when {
            broken.insert(rule);
        }
    };
    refuse("volume-source", pod.volumes.iter().flatten().any(|v| !restricted_volume(v)));
    let all = containers(pod);
    let of_pod = pod.security_context.as_ref();
    let each = |met: &dyn Fn(&SecurityContext) -> bool| all.iter().all(|c| c.security.is_some_and(met));
    let any = |met: &dyn Fn(&SecurityContext) -> bool| all.iter().any(|c| c.security.is_some_and(met));
    refuse("privilege-escalation", !each(&|s| s.allow_privilege_escalation == Some(false)));
    let pod_says = of_pod.and_then(|s| s.run_as_non_root);
    let lacks = pod_says != Some(true) && !each(&|s| s.run_as_non_root == Some(true));
    refuse("run-as-non-root", pod_says == Some(false) || any(&|s| s.run_as_non_root == Some(false)) || lacks);
    refuse(
        "run-as-user",
        of_pod.and_then(|s| s.run_as_user) == Some(0) || any(&|s| s.run_as_user == Some(0)),
    );
    let pod_has = of_pod.is_some_and(|s| s.seccomp_profile.is_some());
    refuse("seccomp", !pod_has && !each(&|s| s.seccomp_profile.is_some()));
    let drops = |s: &SecurityContext| {
        let dropped = s.capabilities.as_ref().and_then(|c| c.drop.as_ref());
        dropped.is_some_and(|names| names.iter().any(|name| name == "ALL"))
    };
    let adds = |s: &SecurityContext| {
        let added = s.capabilities.as_ref().and_then(|c| c.add.as_ref());
        added.is_some_and(|names| names.iter().any(|name| name != "NET_BIND_SERVICE"))
    };
    refuse("capabilities", !each(&drops) || any(&adds));
    broken
}

fn restricted_volume(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

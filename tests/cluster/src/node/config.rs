//! What the node's programs are told.

use super::place::{Place, snapshotter};
use super::possible::PLUGINS;
use super::{NAME, PAUSE_IMAGE};
use serde_json::json;
use std::path::Path;

/// containerd's, with everything in the cluster's folder.
pub(super) fn containerd(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE the kubelet's wishes for the out-of-memory killer cannot all be granted.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{cni}"
"#,
        root = at("containerd/root"),
        state = at("containerd/state"),
        socket = at("containerd.sock"),
        opt = at("containerd/opt"),
        cni = at("cni"),
        snapshotter = snapshotter(folder),
    )
}

/// The pods' network: a bridge.
pub(super) fn network(folder: &Path, place: &Place) -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "subnet": place.pods(),
                "gateway": place.bridge(),
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": folder.join("cni-addresses"),
            },
        }],
    })
    .to_string()
}

/// The kubelet's.
pub(super) fn kubelet(folder: &Path, place: &Place, group: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.node(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": folder.join("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": format!("unix://{}", folder.join("containerd.sock").display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": ["none"],
        "clusterDNS": [place.bridge()],
        "clusterDomain": "cluster.local",
        "resolvConf": folder.join("resolv.conf"),
        "podLogsDir": folder.join("pod-logs"),
        "volumePluginDir": folder.join("volume-plugins"),
        // A full disk of this machine is not what a test is about, unless it fills it.
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%",
            "imagefs.available": "1%", "imagefs.inodesFree": "1%",
        },
        // There is no registry to get an image from that was thrown away.
        "imageGCHighThresholdPercent": 100,
    })
    .to_string()
}

/// The cluster's name server.
pub(super) fn core_dns(place: &Place, kubeconfig: &Path) -> String {
    format!(
        ".:53 {{
    bind {bridge}
    errors
    ready {node}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
}}
",
        bridge = place.bridge(),
        node = place.node(),
        kubeconfig = kubeconfig.display(),
    )
}

/// The kubelet's flags that its configuration does not have.
pub(super) fn kubelet_flags(folder: &Path, place: &Place) -> Vec<String> {
    vec![
        format!("--config={}", folder.join("kubelet.json").display()),
        format!("--kubeconfig={}", folder.join("kubelet.kubeconfig").display()),
        format!("--root-dir={}", folder.join("kubelet").display()),
        format!("--cert-dir={}", folder.join("kubelet-certificates").display()),
        format!("--hostname-override={NAME}"),
        format!("--node-ip={}", place.node()),
    ]
}

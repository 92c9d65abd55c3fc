//! The node's programs, in the order in which they need one another.

use super::images::Images;
use super::place::{Place, run};
use super::{NAME, PAUSE_IMAGE, config, volumes};
use crate::control_plane::ControlPlane;
use crate::supervisor::{Process, Supervisor};
use crate::{ClusterError, PROBE_IMAGE, wait};
use k8s_openapi::api::core::v1::Node as Object;
use kube::{Api, Client};
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(120);

/// The running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) images: Images,
    folder: PathBuf,
    // Ended in this order.
    _scheduler: Process,
    _core_dns: Process,
    _kubelet: Process,
    _containerd: Process,
    place: Place,
}

impl Node {
    pub(crate) async fn start(
        supervisor: &Supervisor,
        plane: &ControlPlane,
        client: &Client,
        place: Place,
    ) -> Result<Self, ClusterError> {
        let folder = supervisor.folder();
        redirect_service(&place, plane)?;
        let containerd = start_containerd(supervisor, &place).await?;
        let images = Images::new(folder);
        images.import_program(PAUSE_IMAGE, "pause", &plane.programs().path("pause"))?;
        images.import_program(PROBE_IMAGE, "probe", &plane.programs().path("probe"))?;
        let kubelet = start_kubelet(supervisor, plane, &place)?;
        let scheduler = start_scheduler(supervisor, plane)?;
        let core_dns = start_core_dns(supervisor, plane, &place).await?;
        ready(client, &kubelet).await?;
        volumes::make(client, folder).await?;
        Ok(Self {
            images,
            folder: folder.to_owned(),
            _scheduler: scheduler,
            _core_dns: core_dns,
            _kubelet: kubelet,
            _containerd: containerd,
            place,
        })
    }

    /// Where pods find what listens on this machine.
    pub(crate) fn host(&self) -> IpAddr {
        self.place.host()
    }

    /// The folder of a persistent volume.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        volumes::path(&self.folder, name)
    }
}

/// Pods find the API server at its Service's address. It is the only Service with an address of its own that works: there is
/// no proxy for others.
fn redirect_service(place: &Place, plane: &ControlPlane) -> Result<(), ClusterError> {
    let target = plane.server().replace("https://", "");
    for chain in ["PREROUTING", "OUTPUT"] {
        let mut iptables = place.command("iptables");
        iptables.args(["--wait", "10", "-t", "nat", "-A", chain, "-d", ControlPlane::SERVICE, "-p", "tcp"]);
        run(iptables.args(["--dport", "443", "-j", "DNAT", "--to-destination", &target]))?;
    }
    Ok(())
}

async fn start_containerd(supervisor: &Supervisor, place: &Place) -> Result<Process, ClusterError> {
    let folder = supervisor.folder();
    fs::create_dir_all(folder.join("cni")).map_err(ClusterError::io("the folder for the network"))?;
    supervisor.write("cni/10-pods.conflist", config::network(folder, place))?;
    let file = supervisor.write("containerd.toml", config::containerd(folder))?;
    let mut command = place.command("containerd");
    command.arg("--config").arg(file);
    let process = supervisor.spawn("containerd", command)?;
    let socket = folder.join("containerd.sock");
    wait::until("containerd did not answer", START, Some(&process), async || {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(&socket).args(["--connect-timeout", "2s", "version"]);
        run(&mut ctr).ok().map(drop)
    })
    .await?;
    Ok(process)
}

fn start_kubelet(
    supervisor: &Supervisor,
    plane: &ControlPlane,
    place: &Place,
) -> Result<Process, ClusterError> {
    let folder = supervisor.folder();
    let user = format!("system:node:{NAME}");
    let kubeconfig = plane.kubeconfig_of(&user, Some("system:nodes"))?;
    supervisor.write("kubelet.kubeconfig", kubeconfig)?;
    // Nothing outside the cluster has a name.
    supervisor.write("resolv.conf", "")?;
    let group = folder.file_name().unwrap_or_default().display().to_string();
    supervisor.write("kubelet.json", config::kubelet(folder, place, &group))?;
    let mut command = place.command(plane.programs().path("kubelet"));
    command.args(config::kubelet_flags(folder, place));
    supervisor.spawn("kubelet", command)
}

fn start_scheduler(supervisor: &Supervisor, plane: &ControlPlane) -> Result<Process, ClusterError> {
    let content = plane.kubeconfig_of("system:kube-scheduler", None)?;
    let kubeconfig = supervisor.write("scheduler.kubeconfig", content)?;
    let mut command = plane.programs().command("kube-scheduler");
    command.arg("--kubeconfig").arg(kubeconfig).args(["--leader-elect=false", "--secure-port=0"]);
    supervisor.spawn("kube-scheduler", command)
}

async fn start_core_dns(
    supervisor: &Supervisor,
    plane: &ControlPlane,
    place: &Place,
) -> Result<Process, ClusterError> {
    let file = supervisor.write("Corefile", config::core_dns(place, plane.kubeconfig()))?;
    let mut command = place.command(plane.programs().path("coredns"));
    command.arg("-conf").arg(file);
    let process = supervisor.spawn("coredns", command)?;
    wait::until("the name server was not ready", START, Some(&process), async || {
        wait::http_ok(place.node(), 8181, "/ready").await.then_some(())
    })
    .await?;
    Ok(process)
}

/// Ready, and without the taint that a new node has until the controller manager has seen it.
async fn ready(client: &Client, kubelet: &Process) -> Result<(), ClusterError> {
    let nodes: Api<Object> = Api::all(client.clone());
    wait::until("the node was not ready", START, Some(kubelet), async || {
        let node = nodes.get_opt(NAME).await.ok()??;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        (ready && taints.is_empty()).then_some(())
    })
    .await
}

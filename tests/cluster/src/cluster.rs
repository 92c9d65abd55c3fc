//! The cluster as tests see it.

use crate::control_plane::ControlPlane;
use crate::kubeconfig::{self, Identity};
use crate::namespace::Namespace;
use crate::node::{Node, Place};
use crate::played_node::PlayedNode;
use crate::supervisor::{Process, Supervisor};
use crate::tools::{Programs, Tier};
use crate::{ClusterError, namespace};
use kube::Client;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;

const ANSWER: Duration = Duration::from_secs(30);

/// Names the kubeconfig of a cluster to use instead of one made for the test.
pub const KUBECONFIG_VARIABLE: &str = "ILAB_TEST_KUBECONFIG";

/// A real Kubernetes. It ends with this value, and with the process that made it, however that ends.
///
/// # Example
/// ```no_run
/// # async fn test() -> Result<(), ilab_test_cluster::ClusterError> {
/// let cluster = ilab_test_cluster::Cluster::shared().await?;
/// let namespace = cluster.namespace("jobs").await?;
/// let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
///     kube::Api::namespaced(cluster.client().await?, namespace.name());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster {
    // Ended in this order.
    node: Option<Node>,
    pub(crate) operator: OnceCell<Process>,
    kind: Kind,
    supervisor: Supervisor,
    identities: AtomicU32,
}

#[derive(Debug)]
enum Kind {
    Own(Box<ControlPlane>),
    /// Somebody's own, by its kubeconfig.
    Foreign(PathBuf),
}

impl Cluster {
    /// The control plane that all tests of this process share: starting one takes seconds. Tests keep to namespaces of their
    /// own; those that stop a part of it start [one of theirs](Self::control_plane).
    ///
    /// # Errors
    /// As [`Self::control_plane`].
    pub async fn shared() -> Result<&'static Self, ClusterError> {
        // A static is never dropped; the end of the process is its end.
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::control_plane).await
    }

    /// Starts etcd, API server and controller manager on loopback: everything but pods that run, whose part a test can play
    /// by writing their status. With `ILAB_TEST_KUBECONFIG` set, it is the cluster of that kubeconfig.
    ///
    /// # Errors
    /// When the programs cannot be built or one does not start; its last lines are in the message.
    pub async fn control_plane() -> Result<Self, ClusterError> {
        if let Some(path) = std::env::var_os(KUBECONFIG_VARIABLE).filter(|path| !path.is_empty()) {
            return Self::of(Path::new(&path)).await;
        }
        let programs = Programs::find(Tier::ControlPlane).await?;
        let supervisor = Supervisor::new()?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let plane = ControlPlane::start(&supervisor, programs, loopback).await?;
        Ok(Self::new(Kind::Own(Box::new(plane)), supervisor))
    }

    /// The cluster with a node that all tests of this process share.
    ///
    /// # Errors
    /// As [`Self::with_node`].
    pub async fn shared_with_node() -> Result<&'static Self, ClusterError> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::with_node).await
    }

    /// Starts a control plane, a scheduler and one node with a name server: pods run. It takes root.
    /// With `ILAB_TEST_KUBECONFIG` set, it is the cluster of that kubeconfig.
    ///
    /// Pods find the API server at its Service; other Services need to be headless, for there is no proxy. Images are those
    /// that were [imported](Self::import_image). The storage class [`STORAGE_CLASS`](crate::STORAGE_CLASS) has volumes for many writers.
    ///
    /// # Errors
    /// When this machine cannot run one, the programs cannot be built, or one does not start.
    pub async fn with_node() -> Result<Self, ClusterError> {
        if let Some(path) = std::env::var_os(KUBECONFIG_VARIABLE).filter(|path| !path.is_empty()) {
            return Self::of(Path::new(&path)).await;
        }
        Self::node_possible().map_err(ClusterError::NoNode)?;
        let programs = Programs::find(Tier::Node).await?;
        let supervisor = Supervisor::new()?;
        let place = Place::make(&supervisor, &programs).await?;
        let plane = ControlPlane::start(&supervisor, programs, place.host()).await?;
        let mut cluster = Self::new(Kind::Own(Box::new(plane)), supervisor);
        let client = cluster.client().await?;
        if let Some((plane, supervisor)) = cluster.parts() {
            cluster.node = Some(Node::start(supervisor, plane, &client, place).await?);
        }
        Ok(cluster)
    }

    /// Whether this machine can run a node, or why not.
    ///
    /// # Errors
    /// The reason, as part of a sentence.
    pub fn node_possible() -> Result<(), String> {
        crate::node::possible()
    }

    /// A cluster of somebody's own, as its kubeconfig's user. Nothing of it is stopped or installed.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used or the cluster does not answer.
    pub async fn of(kubeconfig: &Path) -> Result<Self, ClusterError> {
        let client = kubeconfig::client(kubeconfig, kubeconfig::read(kubeconfig)?).await?;
        let answer = tokio::time::timeout(ANSWER, client.apiserver_version()).await;
        let what = format!("the cluster of {} does not answer", kubeconfig.display());
        match answer {
            Ok(answer) => drop(answer.map_err(ClusterError::api(what))?),
            Err(_) => return Err(ClusterError::Late { what, bound: ANSWER, log: String::new() }),
        }
        Ok(Self::new(Kind::Foreign(kubeconfig.to_owned()), Supervisor::new()?))
    }

    fn new(kind: Kind, supervisor: Supervisor) -> Self {
        Self { node: None, operator: OnceCell::new(), kind, supervisor, identities: AtomicU32::new(0) }
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        match &self.kind {
            Kind::Own(plane) => plane.kubeconfig(),
            Kind::Foreign(path) => path,
        }
    }

    /// A client with all rights. It belongs to the runtime that it was made in; each test asks for its own.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        kubeconfig::client(self.kubeconfig(), kubeconfig::read(self.kubeconfig())?).await
    }

    /// A client that has the rights of somebody else.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client_as(&self, identity: &Identity) -> Result<Client, ClusterError> {
        let kubeconfig = kubeconfig::impersonating(self.kubeconfig(), identity)?;
        kubeconfig::client(self.kubeconfig(), kubeconfig).await
    }

    /// A kubeconfig that has the rights of somebody else, for a program to use.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_as(&self, identity: &Identity) -> Result<PathBuf, ClusterError> {
        let content = serde_json::to_string(&kubeconfig::impersonating(self.kubeconfig(), identity)?)
            .map_err(|error| ClusterError::unexpected("a kubeconfig", error))?;
        let number = self.identities.fetch_add(1, Ordering::Relaxed);
        self.supervisor.write(&format!("identity-{number}.kubeconfig"), content)
    }

    /// `kubectl` of the cluster's version, as its administrator; of a cluster of somebody's own the one on the `PATH`.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = match &self.kind {
            Kind::Own(plane) => plane.programs().command("kubectl"),
            Kind::Foreign(_) => Command::new("kubectl"),
        };
        command.env("KUBECONFIG", self.kubeconfig());
        // Where it keeps what it has discovered: not in the home of whoever runs the tests.
        command.env("KUBECACHEDIR", self.supervisor.folder().join("kubectl-cache"));
        command
    }

    /// A new namespace `<prefix>-<random>` in which pods can be created.
    ///
    /// # Errors
    /// When the server refuses it or the controller manager does not furnish it.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace, ClusterError> {
        let name = namespace::create(&self.client().await?, prefix).await?;
        let owner = match &self.kind {
            Kind::Own(_) => None,
            Kind::Foreign(kubeconfig) => Some(kubeconfig.clone()),
        };
        Ok(Namespace::new(name, owner))
    }

    /// A node whose part the test plays, for pods whose logs are read.
    ///
    /// # Errors
    /// When the cluster is somebody's own, or refuses the node.
    pub async fn played_node(&self) -> Result<PlayedNode, ClusterError> {
        self.own("a node that is none")?;
        PlayedNode::start(self.client().await?, "played").await
    }

    /// Kills the API server, as a crash does: no connection is closed in good order.
    ///
    /// # Errors
    /// When the cluster is somebody's own.
    pub fn kill_api_server(&self) -> Result<(), ClusterError> {
        self.own("killing the API server")?.0.kill_api_server();
        Ok(())
    }

    /// Starts it again where it was, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start, or the cluster is somebody's own.
    pub async fn start_api_server(&self) -> Result<(), ClusterError> {
        let (plane, supervisor) = self.own("starting the API server")?;
        plane.start_api_server(supervisor).await
    }

    /// Makes etcd forget all versions that anybody has seen. The API server goes on answering from what it has in memory; when it is
    /// killed and started again too, a list or a watch that goes on from an older version is answered 410.
    ///
    /// # Errors
    /// When etcd does not answer, or the cluster is somebody's own.
    pub async fn compact_etcd(&self) -> Result<(), ClusterError> {
        self.own("compacting etcd")?.0.etcd().compact().await
    }

    /// Puts a root file system into the node as an image. Pods that use it should not insist on pulling it.
    ///
    /// # Errors
    /// When it cannot be packed or containerd refuses it, or there is no node of the test's own.
    pub fn import_image(&self, reference: &str, root: &Path) -> Result<(), ClusterError> {
        self.own_node("importing an image")?.images.import_folder(reference, root, &[])
    }

    /// Puts an image as `docker save` writes it into the node.
    ///
    /// # Errors
    /// When containerd refuses it, or there is no node of the test's own.
    pub fn import_archive(&self, archive: &Path) -> Result<(), ClusterError> {
        self.own_node("importing an image")?.images.import_archive(archive)
    }

    /// The folder of this machine that a persistent volume of [`STORAGE_CLASS`](crate::STORAGE_CLASS) is.
    ///
    /// # Errors
    /// When there is no node of the test's own.
    pub fn volume(&self, name: &str) -> Result<PathBuf, ClusterError> {
        Ok(self.own_node("looking into a volume")?.volume(name))
    }

    /// The address at which pods find what listens on this machine, on all addresses or on this one.
    ///
    /// # Errors
    /// When there is no node of the test's own.
    pub fn host_address(&self) -> Result<IpAddr, ClusterError> {
        Ok(self.own_node("reaching this machine from a pod")?.host())
    }

    /// The ids of the processes that run for it, but those in containers.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.supervisor.members()
    }

    /// The folder with its state and the logs of its parts. It goes with the cluster, unless `ILAB_TEST_KEEP` is set.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.supervisor.folder()
    }

    /// The parts of a cluster that was made for the test.
    pub(crate) fn parts(&self) -> Option<(&ControlPlane, &Supervisor)> {
        match &self.kind {
            Kind::Own(plane) => Some((plane, &self.supervisor)),
            Kind::Foreign(_) => None,
        }
    }

    fn own_node(&self, what: &'static str) -> Result<&Node, ClusterError> {
        self.own(what)?;
        self.node.as_ref().ok_or(ClusterError::WithoutNode { what })
    }

    fn own(&self, what: &'static str) -> Result<(&ControlPlane, &Supervisor), ClusterError> {
        self.parts().ok_or(ClusterError::Foreign { what })
    }
}

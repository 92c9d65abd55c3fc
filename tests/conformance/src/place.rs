//! The two clusters.

use ilab_local::controllers::{self, ControllerOptions};
use ilab_local::{LocalCluster, LocalOptions};
use ilab_test_cluster::{Cluster, KUBECONFIG_VARIABLE, Namespace};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use std::sync::Mutex;
use tempfile::TempDir;

/// A cluster that the script is told to.
pub struct Place(Kind);

enum Kind {
    Embedded {
        local: Box<LocalCluster>,
        _controllers: controllers::Handle,
        _state: TempDir,
    },
    Real {
        cluster: Box<Cluster>,
        /// They are deleted when they are dropped.
        namespaces: Mutex<Vec<Namespace>>,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Kind::Embedded { .. } => "the embedded cluster",
            Kind::Real { .. } => "the real cluster",
        })
    }
}

impl Place {
    /// The embedded cluster with its controllers but without a node: the script plays the pods.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn embedded() -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let local =
            LocalCluster::open(LocalOptions::new(state.path())).await.expect("the embedded cluster opens");
        let controllers = controllers::start(local.client(), ControllerOptions::new(state.path()));
        Self(Kind::Embedded { local: Box::new(local), _controllers: controllers, _state: state })
    }

    /// A real control plane with the training operator, of the script's own: it makes it forget its history.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn real() -> Self {
        let cluster = Cluster::control_plane().await.unwrap_or_else(|error| panic!("{error}"));
        cluster.training_operator().await.unwrap_or_else(|error| panic!("{error}"));
        Self(Kind::Real { cluster: Box::new(cluster), namespaces: Mutex::default() })
    }

    /// A client of its own.
    ///
    /// # Panics
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Client {
        match &self.0 {
            Kind::Embedded { local, .. } => local.client(),
            Kind::Real { cluster, .. } => cluster.client().await.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// A new namespace.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        match &self.0 {
            Kind::Embedded { local, .. } => {
                let namespaces = Api::all(local.client());
                let wanted: k8s_openapi::api::core::v1::Namespace =
                    serde_json::from_value(json!({"metadata": {"generateName": format!("{prefix}-")}}))
                        .expect("a namespace");
                let made = namespaces.create(&PostParams::default(), &wanted).await.expect("a new namespace");
                made.metadata.name.unwrap_or_default()
            }
            Kind::Real { cluster, namespaces } => {
                let made = cluster.namespace(prefix).await.unwrap_or_else(|error| panic!("{error}"));
                let name = made.name().to_owned();
                namespaces.lock().expect("no panic holds it").push(made);
                name
            }
        }
    }

    /// Whether this cluster can be made to forget what has changed: not one of somebody's own.
    #[must_use]
    pub fn forgets(&self) -> bool {
        match &self.0 {
            Kind::Embedded { .. } => true,
            Kind::Real { .. } => std::env::var_os(KUBECONFIG_VARIABLE).is_none_or(|path| path.is_empty()),
        }
    }

    /// Makes it forget the changes of the past, so that a watch cannot go on from there.
    pub(crate) async fn forget(&self, namespace: &str) {
        match &self.0 {
            Kind::Embedded { local, .. } => {
                // More than its window of changes holds.
                let maps: Api<ConfigMap> = Api::namespaced(local.client(), namespace);
                let (apply, large) = (PatchParams::apply("conformance").force(), "x".repeat(500_000));
                for n in 0..12 {
                    let map = json!({
                        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
                        "data": {"n": format!("{n}{large}")},
                    });
                    maps.patch("large", &apply, &Patch::Apply(map)).await.expect("a change");
                }
            }
            Kind::Real { cluster, .. } => {
                cluster.compact_etcd().await.unwrap_or_else(|error| panic!("{error}"));
                cluster.kill_api_server().unwrap_or_else(|error| panic!("{error}"));
                cluster.start_api_server().await.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

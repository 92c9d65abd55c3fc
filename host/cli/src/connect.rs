//! From options to a cluster: a kubeconfig's, the pod's own, or the embedded one.

use crate::args::Where;
use crate::{CliError, exit};
use ilab_cluster::Cluster;
use ilab_core::text::chain;
use ilab_local::{LocalCluster, LocalOptions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::ffi::OsString;

/// An open cluster.
pub struct Connection {
    /// The client.
    pub cluster: Cluster,
    /// The embedded cluster behind it, which lives as long as this.
    pub local: Option<LocalCluster>,
}

impl Connection {
    /// Brings what the embedded cluster holds to the disk and lets its folder go. Pods go on.
    pub async fn close(self) {
        drop(self.cluster);
        if let Some(local) = self.local
            && let Err(error) = local.shutdown().await
        {
            tracing::warn!(error = chain(&error), "the embedded cluster did not shut down cleanly");
        }
    }
}

/// Opens the cluster that the options name.
///
/// # Errors
/// One line with a hint: no kubeconfig, no such context, a state folder in use.
pub async fn open(at: &Where) -> Result<Connection, CliError> {
    if at.local {
        let local = open_local(at).await?;
        let namespace = at.namespace.clone().unwrap_or_else(|| "default".into());
        return Ok(Connection { cluster: Cluster::new(local.client(), namespace), local: Some(local) });
    }
    let config = config(at).await?;
    let cluster = ilab_cluster::connect(config, at.namespace.clone())?;
    Ok(Connection { cluster, local: None })
}

/// Opens the embedded cluster with its controllers and node.
///
/// # Errors
/// When its folder is in use or damaged, or this machine cannot run pods.
pub async fn open_local(at: &Where) -> Result<LocalCluster, CliError> {
    let me = std::env::current_exe().map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    let options = LocalOptions {
        namespace: at.namespace.clone().unwrap_or_else(|| "default".into()),
        shim_command: Some(vec![me.into_os_string(), OsString::from("local-shim")]),
        ..LocalOptions::new(at.state.resolve()?)
    };
    let wrong = |e: ilab_local::LocalError| {
        CliError::from_error(exit::CLUSTER, &e).hint(e.hint().unwrap_or_default())
    };
    LocalCluster::open(options).await.map_err(wrong)
}

async fn config(at: &Where) -> Result<kube::Config, CliError> {
    let options = KubeConfigOptions { context: at.context.clone(), ..KubeConfigOptions::default() };
    let no_cluster = |why: String| {
        CliError::new(exit::CLUSTER, format!("no cluster: {why}"))
            .hint("set --kubeconfig or KUBECONFIG and --context, or run on this machine with --local")
    };
    let explicit = match &at.kubeconfig {
        Some(path) => Some(Kubeconfig::read_from(path).map_err(|e| no_cluster(chain(&e)))?),
        None => None,
    };
    let named = explicit.is_some() || at.context.is_some();
    let tried = match explicit {
        Some(kubeconfig) => kube::Config::from_custom_kubeconfig(kubeconfig, &options).await,
        None => kube::Config::from_kubeconfig(&options).await,
    };
    match tried {
        Ok(config) => Ok(config),
        // In a pod there is no kubeconfig; where one was named, its fault must not be covered up.
        Err(error) if named => Err(no_cluster(chain(&error))),
        Err(error) => kube::Config::incluster().map_err(|_| no_cluster(chain(&error))),
    }
}

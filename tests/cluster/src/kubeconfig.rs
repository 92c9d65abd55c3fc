//! Kubeconfigs: of the cluster's own parts, and of whom a test plays.

use crate::ClusterError;
use crate::pki::{Authority, Pair};
use k8s_openapi::ByteString;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use std::path::Path;

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A person.
    User {
        /// The name.
        name: String,
        /// The groups; `system:authenticated` is added by the API server.
        groups: Vec<String>,
    },
    /// A service account; it need not exist.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Identity {
    /// A user without groups.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::User { name: name.to_owned(), groups: Vec::new() }
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The name that RBAC knows it by.
    #[must_use]
    pub fn username(&self) -> String {
        match self {
            Self::User { name, .. } => name.clone(),
            Self::ServiceAccount { namespace, name } => format!("system:serviceaccount:{namespace}:{name}"),
        }
    }
}

/// A kubeconfig with a client certificate.
pub(crate) fn with_certificate(server: &str, authority: &Authority, client: &Pair) -> String {
    let base64 = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": server,
            "certificate-authority-data": base64(&authority.pem()),
        }}],
        "users": [{"name": "test", "user": {
            "client-certificate-data": base64(&client.certificate),
            "client-key-data": base64(&client.key),
        }}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        "current-context": "test",
    })
    .to_string()
}

/// The kubeconfig at this path, whose requests are to come from somebody else: by impersonation, so that it works with every
/// cluster whose administrator one is.
pub(crate) fn impersonating(path: &Path, identity: &Identity) -> Result<Kubeconfig, ClusterError> {
    let mut kubeconfig = read(path)?;
    for user in &mut kubeconfig.auth_infos {
        let info = user.auth_info.get_or_insert_default();
        info.impersonate = Some(identity.username());
        if let Identity::User { groups, .. } = identity {
            info.impersonate_groups = Some(groups.clone());
        }
    }
    Ok(kubeconfig)
}

pub(crate) fn read(path: &Path) -> Result<Kubeconfig, ClusterError> {
    Kubeconfig::read_from(path)
        .map_err(|error| ClusterError::Kubeconfig { path: path.to_owned(), why: error.to_string() })
}

/// A client; it lives no longer than the runtime that it was made in.
pub(crate) async fn client(path: &Path, kubeconfig: Kubeconfig) -> Result<Client, ClusterError> {
    let unusable = |why: &dyn std::fmt::Display| ClusterError::Kubeconfig {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| unusable(&error))?;
    Client::try_from(config).map_err(|error| unusable(&error))
}

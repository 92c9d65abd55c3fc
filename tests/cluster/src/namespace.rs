//! Fresh namespaces.

use crate::supervisor::Process;
use crate::{ClusterError, kubeconfig, wait};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as Object, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use std::path::PathBuf;
use std::time::Duration;

const USABLE: Duration = Duration::from_secs(60);
const DELETE: Duration = Duration::from_secs(20);
/// What the controller manager puts into each namespace last.
const ROOT_CERTIFICATES: &str = "kube-root-ca.crt";

/// A namespace of a test's own. It goes with the cluster; in a cluster of somebody's own it is deleted when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The kubeconfig of the cluster that it has to be deleted from.
    owner: Option<PathBuf>,
}

impl Namespace {
    pub(crate) fn new(name: String, owner: Option<PathBuf>) -> Self {
        Self { name, owner }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let Some(kubeconfig) = self.owner.take() else { return };
        let name = std::mem::take(&mut self.name);
        // A test's own runtime may be on its way out, and must not be blocked on.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = kubeconfig::client(&kubeconfig, kubeconfig::read(&kubeconfig)?).await?;
                let namespaces: Api<Object> = Api::all(client);
                let params = DeleteParams::default();
                let delete = tokio::time::timeout(DELETE, namespaces.delete(&name, &params));
                delete.await.map_err(|_| "no answer")?.map_err(ClusterError::api(name.as_str()))?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            })
        });
        if let Ok(Err(error)) = deleted.join() {
            eprintln!("warning: a namespace of the test is left in the cluster: {error}");
        }
    }
}

/// Creates `<prefix>-<random>` and waits until pods can be created in it.
pub(crate) async fn create(client: &Client, prefix: &str) -> Result<String, ClusterError> {
    let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
    let object = Object { metadata, ..Object::default() };
    let created = Api::<Object>::all(client.clone())
        .create(&PostParams::default(), &object)
        .await
        .map_err(ClusterError::api(format!("no namespace {prefix}-… could be created")))?;
    let name = created.metadata.name.expect("the server has given it a name");
    usable(client, &name, None).await?;
    Ok(name)
}

pub(crate) async fn usable(
    client: &Client,
    namespace: &str,
    controllers: Option<&Process>,
) -> Result<(), ClusterError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let what = format!("namespace {namespace} got no service account and no root certificates");
    wait::until(&what, USABLE, controllers, async || {
        let account = accounts.get_opt("default").await.ok()?;
        let certificates = maps.get_opt(ROOT_CERTIFICATES).await.ok()?;
        (account.is_some() && certificates.is_some()).then_some(())
    })
    .await
}

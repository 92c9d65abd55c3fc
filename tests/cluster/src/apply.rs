//! Manifests, read and applied.

use crate::ClusterError;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

const ESTABLISHED: Duration = Duration::from_secs(30);

pub(crate) fn read(path: &Path) -> Result<Value, ClusterError> {
    let text =
        fs::read_to_string(path).map_err(ClusterError::io(format!("{} cannot be read", path.display())))?;
    serde_saphyr::from_str(&text).map_err(|error| ClusterError::unexpected(path.display().to_string(), error))
}

/// Server-side apply of an object of a kind whose plural is regular.
pub(crate) async fn apply(client: &Client, object: Value) -> Result<(), ClusterError> {
    let object: DynamicObject =
        serde_json::from_value(object).map_err(|error| ClusterError::unexpected("a manifest", error))?;
    let what = |why: &str| ClusterError::unexpected("a manifest", why);
    let types = object.types.as_ref().ok_or_else(|| what("it has no kind"))?;
    let kind = GroupVersionKind::try_from(types).map_err(|error| what(&error.to_string()))?;
    let name = object.metadata.name.clone().ok_or_else(|| what("it has no name"))?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(&name, &PatchParams::apply("ilab-test-cluster").force(), &Patch::Apply(&object))
        .await
        .map(drop)
        .map_err(ClusterError::api(format!("{} {name} could not be applied", kind.kind)))
}

/// Applies a CRD and waits until its kind is served.
pub(crate) async fn install_crd(client: &Client, file: &Path, name: &str) -> Result<(), ClusterError> {
    apply(client, read(file)?).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(crds, name, conditions::is_crd_established());
    let late = |why: String| ClusterError::unexpected(format!("the CRD {name}"), why);
    tokio::time::timeout(ESTABLISHED, established)
        .await
        .map_err(|_| late(format!("not established within {ESTABLISHED:?}")))?
        .map_err(|error| late(error.to_string()))?;
    Ok(())
}

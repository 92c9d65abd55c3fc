//! Claims: a folder each. It is removed while a finalizer still holds the claim, so that a crash in between leaves
//! nothing behind, and never because something is merely missing from the API.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, controller::Action, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

use super::owned::{self, ReconcileError};
use crate::node::events::Recorder;
use crate::node::{files, kubelet};

const PROTECTION: &str = "kubernetes.io/pvc-protection";

struct Ctx {
    client: Client,
    state: PathBuf,
    events: Recorder,
}

pub(super) async fn run(client: Client, state: PathBuf) {
    let ctx = Arc::new(Ctx {
        events: Recorder::new(client.clone(), "ilab-host-provisioner"),
        client: client.clone(),
        state,
    });
    let config = watcher::Config::default;
    let users = |pod: Pod| {
        let namespace = pod.namespace().unwrap_or_default();
        let volumes = pod.spec.into_iter().flat_map(|spec| spec.volumes.unwrap_or_default());
        let names = volumes.filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name));
        names.map(move |name| ObjectRef::new(&name).within(&namespace)).collect::<Vec<_>>()
    };
    let classes = client.clone();
    let controller = Controller::new(Api::<PersistentVolumeClaim>::all(client.clone()), config()).watches(
        Api::<Pod>::all(classes),
        config(),
        users,
    );
    controller
        .run(reconcile, |_, error, _| owned::retry(error), ctx)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::debug!(%error, "claims");
            }
        })
        .await;
}

async fn reconcile(claim: Arc<PersistentVolumeClaim>, ctx: Arc<Ctx>) -> Result<Action, ReconcileError> {
    let namespace = claim.namespace().unwrap_or_default();
    let (name, uid) = (claim.name_any(), claim.uid().unwrap_or_default());
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &namespace);
    let dir = kubelet::claim_dir(&ctx.state, &namespace, &name, &uid);
    let held = claim.finalizers().iter().any(|finalizer| finalizer == PROTECTION);
    if claim.metadata.deletion_timestamp.is_some() {
        if !held || in_use(&ctx, &namespace, &name).await? {
            return Ok(Action::await_change());
        }
        let path = dir.clone();
        let removed = tokio::task::spawn_blocking(move || files::remove_tree(&path)).await;
        removed
            .map_err(std::io::Error::other)
            .and_then(|removed| removed)
            .map_err(|source| ReconcileError::Io { action: "remove", path: dir, source })?;
        let left: Vec<_> = claim.finalizers().iter().filter(|finalizer| *finalizer != PROTECTION).collect();
        patch(&api, &claim, json!({"finalizers": left})).await?;
        return Ok(Action::await_change());
    }
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    if bound && held && dir.is_dir() {
        return Ok(Action::await_change());
    }
    let class = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.clone())
        .filter(|class| !class.is_empty());
    if let Some(class) = class {
        let classes: Api<StorageClass> = Api::all(ctx.client.clone());
        if classes.get_opt(&class).await?.is_none() {
            let message = format!("storageclass.storage.k8s.io \"{class}\" not found");
            ctx.events.warning(&claim.object_ref(&()), "ProvisioningFailed", &message).await;
            return Ok(Action::await_change());
        }
    }
    if !held {
        let mut all = claim.finalizers().to_vec();
        all.push(PROTECTION.to_owned());
        patch(&api, &claim, json!({"finalizers": all})).await?;
    }
    if bound && !dir.is_dir() {
        // Somebody removed it by hand; an empty one would pass for the data that was there.
        let message = format!("the claim's folder {} is gone", dir.display());
        ctx.events.warning(&claim.object_ref(&()), "VolumeLost", &message).await;
        return Ok(Action::await_change());
    }
    files::private_dir(&dir).map_err(|source| ReconcileError::Io { action: "make", path: dir, source })?;
    let spec = claim.spec.clone().unwrap_or_default();
    let requested = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let status = json!({"metadata": {"uid": uid}, "status": {
        "phase": "Bound", "accessModes": spec.access_modes, "capacity": {"storage": requested.get("storage")},
    }});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    let message = format!("Successfully provisioned volume pvc-{uid}");
    ctx.events.normal(&claim.object_ref(&()), "ProvisioningSucceeded", &message).await;
    Ok(Action::await_change())
}

async fn patch(
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
    mut metadata: serde_json::Value,
) -> Result<(), ReconcileError> {
    metadata["uid"] = json!(claim.uid());
    // Lists are replaced whole, so it must be the list that was looked at.
    metadata["resourceVersion"] = json!(claim.resource_version());
    let patch = Patch::Merge(json!({"metadata": metadata}));
    match api.patch(&claim.name_any(), &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn in_use(ctx: &Ctx, namespace: &str, claim: &str) -> Result<bool, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
    let uses = |pod: &Pod| {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        volumes.into_iter().any(|volume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|used| used.claim_name == claim)
        })
    };
    Ok(pods
        .list(&kube::api::ListParams::default())
        .await?
        .iter()
        .any(|pod| !owned::is_finished(pod) && uses(pod)))
}

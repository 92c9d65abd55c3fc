//! The server's dry run: what the API server would make of a run's objects, with nothing changed.

use crate::bindings;
use crate::error::EngineError;
use crate::planning::plan_aside;
use crate::request::{RunRequest, Stages};
use ilab_cluster::{ApplyOptions, Cluster, ClusterError, DryRun};
use ilab_core::contract::ObjectRef;
use ilab_core::names::StageName;
use ilab_core::record::manifest_hash;
use serde_json::Value;
use std::sync::Arc;

/// What would become of one object.
#[derive(Debug)]
pub struct Rehearsed {
    /// The stage; none for what the whole run shares.
    pub stage: Option<StageName>,
    /// The object.
    pub object: ObjectRef,
    /// As it is; none when there is none.
    pub before: Option<Value>,
    /// As it would be, or why it would not be accepted.
    pub after: Result<Value, ClusterError>,
}

/// Sends every object of the request to the API server with `dryRun=All`: admission, quotas, defaults and conflicts are all
/// judged, and nothing is kept. Secrets are left out, because an answer would hold their values.
///
/// # Errors
/// [`EngineError`] when the request itself makes no sense. What the server does not accept is in the answer.
pub async fn rehearse(
    cluster: &Cluster,
    mut request: RunRequest,
    stages: Arc<dyn Stages>,
) -> Result<Vec<Rehearsed>, EngineError> {
    cluster.namespace().clone_into(&mut request.namespace);
    let request = Arc::new(request);
    let planned = plan_aside(&request, &stages).await?;
    let mut all = Vec::new();
    for (volume, size) in bindings::volumes(&request, true)? {
        if !request.claims.existing.contains_key(&volume) {
            let options = ApplyOptions { dry_run: DryRun::Server, ..bindings::shared(&request, None) };
            all.extend(one(cluster, None, &bindings::claim(&request, &volume, &size), &options).await);
        }
    }
    for stage in &planned {
        for manifest in &stage.plan.manifests {
            let options = ApplyOptions {
                stage: Some(stage.offer.name().clone()),
                manifest_hash: Some(manifest_hash(manifest)),
                dry_run: DryRun::Server,
                ..bindings::shared(&request, None)
            };
            all.extend(one(cluster, Some(stage.offer.name().clone()), manifest, &options).await);
        }
    }
    Ok(all)
}

async fn one(
    cluster: &Cluster,
    stage: Option<StageName>,
    manifest: &Value,
    options: &ApplyOptions,
) -> Option<Rehearsed> {
    let object = ObjectRef::of(manifest)?;
    let (before, after) = match cluster.adopt(&object, options).await {
        Err(error) => (None, Err(error)),
        Ok(found) => {
            let after = cluster.apply_new(manifest, options).await.map(|applied| applied.object);
            (found.map(|found| found.object), after)
        }
    };
    Some(Rehearsed { stage, object, before, after })
}

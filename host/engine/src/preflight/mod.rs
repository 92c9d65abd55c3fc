//! The look at the cluster before anything is created: read-only, everything at once, each finding with what to do.

mod capacity;
mod credentials;
mod finding;
mod permissions;
mod quota;
mod ranges;
mod scopes;
mod server;
mod storage;
mod workload;

pub(crate) use credentials::Bound;
pub use finding::{Finding, Severity};
pub use permissions::{ask_for, asks};
pub(crate) use server::version;

use crate::error::EngineError;
use crate::planning::PlannedStage;
use crate::request::{Preflight, RunRequest};
use ilab_cluster::{Cluster, ClusterError, Owner};
use serde_json::Value;

/// What a look found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) bound: Bound,
}

/// Looks. `planned` is what is going to be created; what runs or has run already asks the cluster for nothing new.
pub(crate) async fn look(
    cluster: &Cluster,
    request: &RunRequest,
    planned: &[&PlannedStage],
    owner: Option<Owner>,
) -> Result<Looked, EngineError> {
    let pods = workload::pods_of(planned);
    let kinds = async {
        let (findings, resources) = server::kinds(cluster, planned).await?;
        Ok::<_, EngineError>((findings, permissions::asks_of(request, planned, resources)?))
    };
    // Without these nothing can be rendered or applied, so they are looked at whatever was asked for.
    let needed = async { futures::try_join!(kinds, credentials::check(cluster, request)) };
    if request.options.preflight == Preflight::Skip {
        let ((kinds, _), (credentials, bound)) = needed.await?;
        let storage = storage::given(cluster, request).await?;
        return Ok(Looked { findings: [kinds, credentials, storage].concat(), bound });
    }
    let allowed = async {
        let ((kinds, asks), credentials) = needed.await?;
        Ok::<_, EngineError>((kinds, permissions::check(cluster, &asks).await?, credentials))
    };
    let begins = owner.is_none();
    let (namespace, (kinds, permissions, (credentials, bound)), (storage, claims), gpus, queues) = futures::try_join!(
        server::namespace(cluster, request, planned),
        allowed,
        storage::check(cluster, request, owner, &pods),
        capacity::check(cluster, &pods),
        server::queues(cluster, planned),
    )?;
    // Last, because only now it is known what is going to be made besides.
    let new = quota::New { planned, pods: &pods, claims: &claims, bound: &bound.missing, begins };
    let quota = quota::check(cluster, &new).await?;
    let findings = [namespace, kinds, permissions, credentials, storage, gpus, quota, queues].concat();
    Ok(Looked { findings, bound })
}

/// What a look saw; or, where one may not look, a finding that says so. Other errors stay errors.
fn looked<T>(
    check: &str,
    what: &str,
    answer: Result<T, ClusterError>,
) -> Result<Result<T, Finding>, EngineError> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.code() == Some(403) => {
            Ok(Err(Finding::skipped(check, format!("{what} may not be looked at"))))
        }
        Err(other) => Err(other.into()),
    }
}

/// What an object is called, for people.
fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?")
}

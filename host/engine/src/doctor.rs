//! The look at the cluster on its own, for who wants to know before a run.

use crate::error::EngineError;
use crate::keeper::parse;
use crate::planning::plan_aside;
use crate::preflight::{self, Finding};
use crate::request::{Preflight, RunRequest, Stages};
use crate::resume::{self, Step};
use ilab_cluster::{Class, Cluster, ClusterError, RecordStore, StoredRecord};
use ilab_core::names::StageName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Looks at everything that a run of this request would look at, and tells also what is as it should be. Changes nothing.
///
/// A server that does not answer is a finding, and the last.
///
/// # Errors
/// [`EngineError`] when the request itself makes no sense, or the cluster ceases to answer on the way.
pub async fn doctor(
    cluster: &Cluster,
    mut request: RunRequest,
    stages: Arc<dyn Stages>,
) -> Result<Vec<Finding>, EngineError> {
    cluster.namespace().clone_into(&mut request.namespace);
    request.options.preflight = Preflight::Enforce;
    let request = Arc::new(request);
    let planned = plan_aside(&request, &stages).await?;
    let mut findings = match cluster.version().await {
        Ok(version) => vec![preflight::version(&version)],
        Err(error) => return Ok(vec![unreachable(&error)]),
    };
    let (stored, steps) = record(cluster, &request, &mut findings).await?;
    let to_create = resume::to_create(&planned, &steps);
    let owner = stored.as_ref().map(StoredRecord::owner);
    findings.extend(preflight::look(cluster, &request, &to_create, owner).await?.findings);
    Ok(findings)
}

fn unreachable(error: &ClusterError) -> Finding {
    let hint = error.hint().unwrap_or_default();
    Finding::error("server", error.chain(), hint)
}

/// What is known of the run, and whether it could be run now.
async fn record(
    cluster: &Cluster,
    request: &RunRequest,
    findings: &mut Vec<Finding>,
) -> Result<(Option<StoredRecord>, BTreeMap<StageName, Step>), EngineError> {
    let stored = match RecordStore::new(cluster.clone()).load(&request.run).await {
        Ok(stored) => stored,
        // That it may not be read is one of the permissions; others are no run's record.
        Err(error) if error.code() == Some(403) => None,
        Err(error) if error.class() == Class::Permanent => {
            findings.push(Finding::error("run", error.chain(), error.hint().unwrap_or_default()));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let decided = match stored.as_ref().map(parse).transpose() {
        Ok(_) if stored.as_ref().is_some_and(|stored| stored.going) => {
            Err(EngineError::Going { run: request.run.clone() })
        }
        Ok(record) => resume::decide(request, record.as_ref()),
        Err(error) => Err(error),
    };
    Ok(match decided {
        Ok(steps) => {
            let state = if stored.is_some() { "is there, and goes on" } else { "has not begun" };
            findings.push(Finding::ok("run", format!("the run {} {state}", request.run)));
            (stored, steps)
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            findings.push(Finding::error("run", ilab_core::text::chain(&error), hint));
            (stored, BTreeMap::new())
        }
    })
}

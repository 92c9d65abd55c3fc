//! Deleting a run, and seeing that what it made is gone.
//!
//! Everything that a run makes has its record for an owner, so that deleting the record deletes it all. That takes no right
//! on the record's finalizers, as owners that hold their deletion up for their dependents would (an ordinary user of OpenShift
//! has none); in return the record goes first, and what was the run's soon after. So it is looked at one by one.

use crate::error::EngineError;
use crate::keeper::parse;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ilab_cluster::{
    Cluster, ClusterError, Deleted, PodChange, Propagation, RecordStore, StoredRecord, selector_of,
};
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, RunId};
use ilab_core::record::{Holder, RunRecord};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removing {
    /// The cluster has begun; these are waited for.
    Begun {
        /// For example `Job/one-fetch`.
        objects: Vec<String>,
    },
    /// One of them is gone, or the pods of one are.
    Gone {
        /// Which: `Job/one-fetch`, `pods of Job/one-fetch`.
        object: String,
    },
    /// Whether one is gone cannot be told.
    Unseen {
        /// Which; or, as a sentence's part, what of the run is not known.
        object: String,
        /// Why.
        why: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, with all that it made; or, when that was not waited for, it is going.
    Done,
    /// There is no such run.
    Absent,
    /// Another run of its name was begun meanwhile, and left alone.
    Another,
    /// The time is over, and these are still there.
    Left(Vec<String>),
}

/// Deletes a run with all that it made. With `wait`, it is waited for until that is gone, for so long at most (none: without
/// end), and `tell` hears of each object that goes.
///
/// # Errors
/// [`EngineError::Cluster`]: what the API server says.
pub async fn remove(
    cluster: &Cluster,
    run: &RunId,
    wait: Option<Option<Duration>>,
    mut tell: impl FnMut(Removing),
) -> Result<Removed, EngineError> {
    let Some(stored) = RecordStore::new(cluster.clone()).load(run).await? else {
        return Ok(Removed::Absent);
    };
    let record = RecordStore::object(run);
    // Who made what is known from its owner, which is there only until it goes.
    let (made, unseen) = match wait {
        Some(_) => made(cluster, &stored).await?,
        None => Default::default(),
    };
    match cluster.delete(&record, &stored.uid, Propagation::Foreground).await? {
        Deleted::Accepted => {}
        Deleted::Absent => return Ok(Removed::Absent),
        Deleted::Another => return Ok(Removed::Another),
    }
    let Some(limit) = wait else { return Ok(Removed::Done) };
    let mut left: BTreeSet<String> = made.keys().map(ToString::to_string).collect();
    left.insert(record.to_string());
    tell(Removing::Begun { objects: left.iter().cloned().collect() });
    unseen.into_iter().for_each(&mut tell);
    // Secrets last: they are gone by then, and it takes no right to watch them, which would be one to read them all.
    let (secrets, others): (Made, Made) = made.into_iter().partition(|(object, _)| object.kind == "Secret");
    let rounds = [Made::from([(record, stored.uid)]), others, secrets];
    let all = async {
        for round in rounds {
            let mut going: FuturesUnordered<_> =
                round.into_iter().map(|(object, uid)| gone(cluster, Going::Object(object, uid))).collect();
            while let Some((what, gone)) = going.next().await {
                let object = what.to_string();
                left.remove(&object);
                match gone {
                    Ok(()) => tell(Removing::Gone { object }),
                    Err(error) if may_not(&error) => tell(Removing::Unseen { object, why: error.chain() }),
                    Err(error) => return Err(error),
                }
                if let Some(pods) = what.then() {
                    left.insert(pods.to_string());
                    going.push(self::gone(cluster, pods));
                }
            }
        }
        Ok(())
    };
    let ended = match limit {
        None => all.await,
        Some(limit) => match tokio::time::timeout(limit, all).await {
            Ok(ended) => ended,
            Err(_) => return Ok(Removed::Left(left.into_iter().collect())),
        },
    };
    ended?;
    Ok(Removed::Done)
}

fn may_not(error: &ClusterError) -> bool {
    matches!(error.code(), Some(401 | 403))
}

/// What is waited for.
enum Going {
    Object(ObjectRef, ObjectUid),
    /// What it owned may outlast it.
    Pods(ObjectRef, ObjectUid),
}

impl std::fmt::Display for Going {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object(object, _) => write!(f, "{object}"),
            Self::Pods(object, _) => write!(f, "pods of {object}"),
        }
    }
}

impl Going {
    /// What is waited for when this is gone.
    fn then(self) -> Option<Self> {
        match self {
            Self::Object(object, uid) if object.kind != "Pod" && selector_of(&object).is_some() => {
                Some(Self::Pods(object, uid))
            }
            _ => None,
        }
    }
}

/// Waits until it is gone.
async fn gone(cluster: &Cluster, what: Going) -> (Going, Result<(), ClusterError>) {
    let gone = match &what {
        Going::Object(object, uid) => cluster.gone(object, uid).await,
        Going::Pods(object, uid) => pods_gone(cluster, object, uid).await,
    };
    (what, gone)
}

async fn pods_gone(cluster: &Cluster, object: &ObjectRef, uid: &ObjectUid) -> Result<(), ClusterError> {
    let Some(changes) = cluster.watch_pods(object, uid) else { return Ok(()) };
    futures::pin_mut!(changes);
    let mut pods = BTreeSet::new();
    while let Some(change) = changes.next().await {
        match change? {
            PodChange::Snapshot(all) => pods = all.into_iter().map(|pod| pod.uid).collect(),
            PodChange::Put(pod) => {
                pods.insert(pod.uid);
            }
            PodChange::Removed(pod) => {
                pods.remove(&pod.uid);
            }
        }
        if pods.is_empty() {
            break;
        }
    }
    Ok(())
}

type Made = BTreeMap<ObjectRef, ObjectUid>;

/// The objects that go with the run, and what of it cannot be told.
async fn made(cluster: &Cluster, stored: &StoredRecord) -> Result<(Made, Vec<Removing>), EngineError> {
    let (mut found, mut unseen) = (Made::new(), Vec::new());
    let mut kinds: BTreeSet<(String, String)> = [("v1", "ConfigMap"), ("batch/v1", "Job")]
        .map(|(api_version, kind)| (api_version.to_owned(), kind.to_owned()))
        .into();
    match parse(stored) {
        Ok(record) => {
            for created in record.stages.values().flat_map(|stage| &stage.objects) {
                kinds.insert((created.object.api_version.clone(), created.object.kind.clone()));
            }
            for object in shared(&stored.run, &record) {
                match cluster.get(&object).await {
                    Ok(there) => found
                        .extend(there.and_then(|there| owned(&there, &stored.uid)).map(|uid| (object, uid))),
                    Err(error) if may_not(&error) => {
                        unseen.push(Removing::Unseen { object: object.to_string(), why: error.to_string() });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // It is deleted all the same: that is what a record that cannot be read is good for.
        Err(error) => unseen.push(Removing::Unseen {
            object: "all that the run made".to_owned(),
            why: ilab_core::text::chain(&error),
        }),
    }
    // By label and not by the record: an attempt that was cut short has made what it never wrote down.
    for (api_version, kind) in kinds {
        match cluster.of_run(&api_version, &kind, stored.run.as_str()).await {
            Ok(items) => found.extend(items.iter().filter_map(|item| {
                let name = item.pointer("/metadata/name")?.as_str()?.to_owned();
                let object = ObjectRef { api_version: api_version.clone(), kind: kind.clone(), name };
                Some((object, owned(item, &stored.uid)?))
            })),
            Err(ClusterError::UnknownKind { .. }) => {}
            Err(error) if may_not(&error) => {
                unseen.push(Removing::Unseen { object: format!("{kind}s"), why: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((found, unseen))
}

/// What the whole run has: its Lease, claims and credentials.
fn shared(run: &RunId, record: &RunRecord) -> BTreeSet<ObjectRef> {
    let object = |api_version: &str, kind: &str, name: &str| ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let claims = record.claims.values().map(|name| object("v1", "PersistentVolumeClaim", name));
    let keys = record.credentials.values().flat_map(|keys| keys.values());
    let holders = keys.map(|holder| match holder {
        Holder::Secret(name) => object("v1", "Secret", name),
        Holder::ConfigMap(name) => object("v1", "ConfigMap", name),
    });
    let lease = object("coordination.k8s.io/v1", "Lease", &format!("ilab-run-{run}"));
    claims.chain(holders).chain([lease]).collect()
}

/// The identity of an object that the run alone owns. What others own too stays with them.
fn owned(object: &Value, record: &ObjectUid) -> Option<ObjectUid> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let mine = |owner: &Value| owner.get("uid").and_then(Value::as_str) == Some(record.0.as_str());
    let uid = object.pointer("/metadata/uid")?.as_str()?;
    (!owners.is_empty() && owners.iter().all(mine)).then(|| ObjectUid(uid.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_the_run_alone_owns_goes_with_it() {
        let record = ObjectUid("r".into());
        let object = |owners: Value| json!({"metadata": {"uid": "u", "ownerReferences": owners}});
        assert_eq!(owned(&object(json!([{"uid": "r"}])), &record), Some(ObjectUid("u".into())));
        for others in
            [json!([{"uid": "r"}, {"uid": "other"}]), json!([{"uid": "other"}]), json!([]), json!(null)]
        {
            assert_eq!(owned(&object(others.clone()), &record), None, "{others}");
        }
        assert_eq!(owned(&json!({"metadata": {"uid": "u"}}), &record), None);
    }
}

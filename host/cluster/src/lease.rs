//! One host a run: a Lease that is renewed while the host lives.

use crate::backoff::Backoff;
use crate::error::{Class, ClusterError};
use crate::holder::{Holder, LEASE, Liveness, friendly};
use crate::transport::{Call, Cluster};
use http::Method;
use ilab_core::contract::ObjectRef;
use ilab_core::names::RunId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The Lease of a run, held. Dropping it stops renewing, without giving it back: [`RunLease::release`] does that.
#[derive(Debug)]
pub struct RunLease {
    cluster: Cluster,
    run: RunId,
    object: ObjectRef,
    identity: String,
    current: Arc<Mutex<Value>>,
    lost: Option<oneshot::Receiver<Lost>>,
    renewer: AbortHandle,
}

/// How a Lease was lost.
#[derive(Debug)]
pub enum Lost {
    /// Somebody else has it, or it was deleted: who, for people.
    To(String),
    /// The API server does not let this host renew it any more.
    Refused(ClusterError),
}

impl Drop for RunLease {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

fn lease_ref(run: &RunId) -> ObjectRef {
    ObjectRef {
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        name: format!("ilab-run-{run}"),
    }
}

fn text<'a>(lease: &'a Value, pointer: &str) -> &'a str {
    lease.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Whether a Lease may be taken. A holder on this machine is looked at; one elsewhere counts as gone when it is a
/// whole lease overdue, which leaves room for clocks that differ.
fn free(lease: &Value, identity: &str, now: Timestamp) -> bool {
    let holder = text(lease, "/spec/holderIdentity");
    if holder.is_empty() || holder == identity {
        return true;
    }
    if Holder::parse(holder).is_some_and(|holder| holder.liveness() == Liveness::Dead) {
        return true;
    }
    let seconds =
        lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(0).clamp(1, 3600);
    match text(lease, "/spec/renewTime").parse::<Timestamp>() {
        Ok(renewed) => now.as_second() - renewed.as_second() > 2 * seconds,
        Err(_) => true,
    }
}

fn micro(now: Timestamp) -> String {
    format!("{now:.6}")
}

fn filled(mut lease: Value, identity: &str, now: Timestamp) -> Value {
    let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
    let same = text(&lease, "/spec/holderIdentity") == identity;
    let acquired = if same { text(&lease, "/spec/acquireTime").to_owned() } else { micro(now) };
    lease["spec"] = json!({
        "holderIdentity": identity,
        "leaseDurationSeconds": LEASE.as_secs(),
        "acquireTime": acquired,
        "renewTime": micro(now),
        "leaseTransitions": if same { transitions } else { transitions.saturating_add(1) },
    });
    lease
}

impl Cluster {
    /// Takes the Lease of a run and keeps it renewed.
    ///
    /// `owner` is the reference of the run record, whose going takes the Lease along.
    ///
    /// # Errors
    /// [`ClusterError::Held`] naming who has it; else what the API server says.
    pub async fn hold(&self, run: &RunId, owner: Option<Value>) -> Result<RunLease, ClusterError> {
        self.hold_as(run, owner, &Holder::this_process().to_string()).await
    }

    /// As [`Cluster::hold`], under a name of one's own.
    ///
    /// # Errors
    /// As [`Cluster::hold`].
    pub async fn hold_as(
        &self,
        run: &RunId,
        owner: Option<Value>,
        identity: &str,
    ) -> Result<RunLease, ClusterError> {
        let object = lease_ref(run);
        let path = self.path(&object).await?;
        let what = format!("take {object}");
        let collection = self.collection(&object.api_version, &object.kind).await?;
        let held = |lease: &Value| ClusterError::Held {
            run: run.to_string(),
            holder: friendly(text(lease, "/spec/holderIdentity")),
            since: text(lease, "/spec/renewTime").to_owned(),
        };
        let mut found = self.find(&Call::get(what.clone(), path.clone())).await?;
        // Another host may come between the look and the write: then it is looked at once more.
        for _ in 0..3 {
            let now = Timestamp::now();
            let call = match &found {
                None => {
                    let mut metadata =
                        json!({"name": object.name, "labels": {crate::apply::RUN_LABEL: run.as_str()}});
                    if let Some(owner) = &owner {
                        metadata["ownerReferences"] = json!([owner]);
                    }
                    let lease =
                        json!({"apiVersion": object.api_version, "kind": object.kind, "metadata": metadata});
                    Call::new(what.clone(), Method::POST, collection.clone())
                        .json(&filled(lease, identity, now))
                }
                Some(lease) if free(lease, identity, now) => Call::new(
                    what.clone(),
                    Method::PUT,
                    path.clone(),
                )
                .json(&filled(lease.clone(), identity, now)),
                Some(lease) => return Err(held(lease)),
            };
            match self.json(&call).await {
                Ok((_, lease)) => return Ok(self.keep(run, object, identity.to_owned(), path, lease, LEASE)),
                Err(error) if error.is_conflict() || error.is_not_found() => {
                    found = self.find(&Call::get(what.clone(), path.clone())).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(held(&found.unwrap_or_default()))
    }

    /// Renews it three times a term.
    fn keep(
        &self,
        run: &RunId,
        object: ObjectRef,
        identity: String,
        path: String,
        lease: Value,
        term: Duration,
    ) -> RunLease {
        let current = Arc::new(Mutex::new(lease));
        let (say, lost) = oneshot::channel();
        let (cluster, held, who) = (self.clone(), Arc::clone(&current), identity.clone());
        let what = format!("renew {object}");
        let renewer = tokio::spawn(async move {
            let mut backoff = Backoff::default();
            let mut pause = term / 3;
            let mut renewed = Instant::now();
            loop {
                tokio::time::sleep(pause).await;
                pause = term / 3;
                let mut current = held.lock().await;
                let call = Call::new(what.clone(), Method::PUT, path.clone()).json(&filled(
                    current.clone(),
                    &who,
                    Timestamp::now(),
                ));
                match renew(&cluster, &call, &who).await {
                    Ok(Renewed::Kept(lease)) => {
                        *current = lease;
                        renewed = Instant::now();
                        backoff.reset();
                    }
                    Ok(Renewed::Lost(holder)) => {
                        let _ = say.send(Lost::To(holder));
                        return;
                    }
                    // New credentials have been tried by now. A server that has just started may still know nobody, and a
                    // run of days is worth waiting for that, for as long as the Lease is good.
                    Err(error)
                        if error.class() == Class::Permanent
                            && (error.code() != Some(401) || renewed.elapsed() >= term) =>
                    {
                        let _ = say.send(Lost::Refused(error));
                        return;
                    }
                    Err(error) => {
                        pause = backoff.wait(error.retry_after()).min(term / 3);
                        cluster.tell(&call.what, &error, pause);
                    }
                }
            }
        })
        .abort_handle();
        let lost = Some(lost);
        RunLease { cluster: self.clone(), run: run.clone(), object, identity, current, lost, renewer }
    }
}

enum Renewed {
    Kept(Value),
    Lost(String),
}

async fn renew(cluster: &Cluster, call: &Call, who: &str) -> Result<Renewed, ClusterError> {
    let answer = match cluster.once(call).await {
        Ok(answer) => answer,
        // The answer to an earlier attempt may have been lost, or somebody else has it now, or it was deleted.
        Err(error) if error.is_conflict() || error.is_not_found() => {
            let found = cluster.find(&Call::get(call.what.clone(), call.path.clone())).await?;
            return Ok(match found {
                Some(lease) if text(&lease, "/spec/holderIdentity") == who => Renewed::Kept(lease),
                Some(lease) => Renewed::Lost(friendly(text(&lease, "/spec/holderIdentity"))),
                None => Renewed::Lost("nobody, its Lease was deleted".to_owned()),
            });
        }
        Err(error) => return Err(error),
    };
    let bytes = crate::transport::read(&call.what, answer, 1 << 20).await?;
    serde_json::from_slice(&bytes)
        .map(Renewed::Kept)
        .map_err(|_| ClusterError::Answer { what: call.what.clone(), problem: "is not JSON".to_owned() })
}

impl RunLease {
    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Ends when the Lease is lost, and says once how. Pending for as long as it is held.
    pub async fn lost(&mut self) -> Lost {
        if let Some(lost) = &mut self.lost {
            let how = lost.await;
            self.lost = None;
            if let Ok(how) = how {
                return how;
            }
        }
        std::future::pending().await
    }

    /// Gives it back, so that the next host need not wait.
    ///
    /// # Errors
    /// What the API server says; the Lease then runs out by itself.
    pub async fn release(self) -> Result<(), ClusterError> {
        self.renewer.abort();
        let mut lease = self.current.lock().await.clone();
        if text(&lease, "/spec/holderIdentity") != self.identity {
            return Ok(());
        }
        lease["spec"]["holderIdentity"] = "".into();
        lease["spec"]["leaseDurationSeconds"] = 1.into();
        let path = self.cluster.path(&self.object).await?;
        let call = Call::new(format!("give back {}", self.object), Method::PUT, path).json(&lease);
        match self.cluster.json(&call).await {
            Ok(_) => Ok(()),
            // Somebody else's by now, or gone with the run.
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[path = "../tests/fake/mod.rs"]
mod fake;

#[cfg(test)]
mod tests {
    use super::fake::{Fake, Fault, status};
    use super::*;

    /// A host that may not renew its Lease ends with the API server's own words; a 401 is waited out for as long as the Lease is
    /// good, because a server that has just started may know nobody yet.
    #[tokio::test]
    async fn a_lease_that_may_not_be_renewed_is_lost_with_the_reason() {
        let term = Duration::from_millis(600);
        for code in [403, 401] {
            let fake = Fake::new();
            let cluster = Cluster::new(fake.client(), "ns");
            let run = RunId::new("one").unwrap();
            let (object, who) = (lease_ref(&run), "me".to_owned());
            let path = cluster.path(&object).await.unwrap();
            let lease =
                fake.put(&path, filled(json!({"metadata": {"name": object.name}}), &who, Timestamp::now()));
            let refused = Fault::Answer(code, vec![], status(code, "No", "who are you?"));
            fake.fail("PUT", "leases", usize::MAX, refused);
            let begun = Instant::now();
            let mut lease = cluster.keep(&run, object, who, path, lease, term);
            let lost = lease.lost().await;
            assert!(matches!(&lost, Lost::Refused(error) if error.code() == Some(code)), "{lost:?}");
            assert_eq!(fake.count("PUT") > 1, code == 401, "{code}: {:?}", fake.requests());
            assert_eq!(begun.elapsed() >= term, code == 401, "{code}");
        }
    }

    #[test]
    fn a_lease_is_free_when_given_back_overdue_or_its_holder_is_dead() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |holder: &str, renewed: &str| json!({"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}});
        assert!(free(&lease("", "2026-01-01T00:01:00Z"), "me", now));
        assert!(free(&lease("me", "2026-01-01T00:01:00Z"), "me", now));
        assert!(!free(&lease("you", "2026-01-01T00:00:50Z"), "me", now));
        assert!(!free(&lease("you", "2026-01-01T00:00:40Z"), "me", now), "one lease overdue may be a clock");
        assert!(free(&lease("you", "2026-01-01T00:00:20Z"), "me", now));
        let mut dead = Holder::this_process();
        dead.pid = u32::MAX;
        assert!(free(&lease(&dead.to_string(), "2026-01-01T00:01:00Z"), "me", now));
    }

    #[test]
    fn a_new_holder_is_a_transition_and_a_renewal_is_not() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let first = filled(json!({"metadata": {"name": "x"}}), "me", now);
        assert_eq!(first["spec"]["leaseTransitions"], 1);
        assert_eq!(first["spec"]["renewTime"], "2026-01-01T00:01:00.000000Z");
        let later: Timestamp = "2026-01-01T00:02:00Z".parse().unwrap();
        let second = filled(first.clone(), "me", later);
        assert_eq!(second["spec"]["leaseTransitions"], 1);
        assert_eq!(second["spec"]["acquireTime"], first["spec"]["acquireTime"]);
        assert_eq!(filled(second, "you", later)["spec"]["leaseTransitions"], 2);
    }
}

//! Deleting exactly what was meant.

use crate::error::ClusterError;
use crate::transport::{Call, Cluster};
use crate::watch::Observed;
use futures::StreamExt;
use http::Method;
use ilab_core::contract::ObjectRef;
use ilab_core::names::ObjectUid;
use serde_json::{Value, json};
use std::time::Duration;

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// The object goes when its dependents have gone.
    #[default]
    Foreground,
    /// The object goes at once, its dependents soon after.
    Background,
}

/// What came of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is being deleted.
    Accepted,
    /// There was none.
    Absent,
    /// The object of that name is another one; it was left alone.
    Another,
}

impl Cluster {
    /// Deletes the object with this identity, and no other of its name.
    ///
    /// # Errors
    /// What the API server says, except that there is none or it is another one.
    pub async fn delete(
        &self,
        object: &ObjectRef,
        uid: &ObjectUid,
        propagation: Propagation,
    ) -> Result<Deleted, ClusterError> {
        let path = self.path(object).await?;
        let policy = match propagation {
            Propagation::Foreground => "Foreground",
            Propagation::Background => "Background",
        };
        let call = Call::new(format!("delete {object}"), Method::DELETE, path).json(&json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid.0},
            "propagationPolicy": policy,
        }));
        match self.json(&call).await {
            Ok(_) => Ok(Deleted::Accepted),
            Err(error) if error.is_not_found() => Ok(Deleted::Absent),
            Err(error) if error.is_conflict() => match self.get(object).await? {
                None => Ok(Deleted::Absent),
                Some(found) if uid_of(&found) != Some(uid.0.as_str()) => Ok(Deleted::Another),
                Some(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Deletes the object with this identity and waits until it, and with it its dependents, are gone.
    ///
    /// # Errors
    /// As [`Cluster::delete`]; [`ClusterError::TimedOut`] when it is still there after `limit`.
    pub async fn delete_and_wait(
        &self,
        object: &ObjectRef,
        uid: &ObjectUid,
        limit: Duration,
    ) -> Result<Deleted, ClusterError> {
        let deleted = self.delete(object, uid, Propagation::Foreground).await?;
        if deleted != Deleted::Accepted {
            return Ok(deleted);
        }
        match tokio::time::timeout(limit, self.gone(object, uid)).await {
            Ok(result) => result.map(|()| deleted),
            Err(_) => Err(ClusterError::TimedOut { what: format!("deleting {object}"), limit }),
        }
    }

    /// Waits until the object with this identity is not there. Without end: who waits bounds it.
    ///
    /// # Errors
    /// When the API server does not let the object be read or watched.
    pub async fn gone(&self, object: &ObjectRef, uid: &ObjectUid) -> Result<(), ClusterError> {
        let there = |now: &Value| uid_of(now) == Some(uid.0.as_str());
        // Often it is gone already, and to look takes fewer rights than to watch.
        let Some(now) = self.get(object).await?.filter(there) else { return Ok(()) };
        let version = now.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(ToOwned::to_owned);
        let states = self.watch(object, version);
        futures::pin_mut!(states);
        while let Some(state) = states.next().await {
            match state? {
                Observed::Present(now) if there(&now) => {}
                Observed::Present(_) | Observed::Absent { .. } => break,
            }
        }
        Ok(())
    }
}

pub(crate) fn uid_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

//! Garbage collection by owner references: what is left of deleted owners goes, in the way their deletion asked for.

use futures::StreamExt;
use futures::stream::SelectAll;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::{HashMap, HashSet};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The kinds that own or are owned.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "Pod", "pods"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "Service", "services"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("batch", "v1", "Job", "jobs"),
    ("kubeflow.org", "v1", "PyTorchJob", "pytorchjobs"),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
];

fn resources() -> Vec<ApiResource> {
    let of = |&(group, version, kind, plural): &(&str, &str, &str, &str)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    };
    KINDS.iter().map(of).collect()
}

/// What is remembered of an object: enough to find and delete it, not its content.
#[derive(Debug, Clone)]
struct Known {
    kind: usize,
    namespace: String,
    name: String,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
    version: Option<String>,
    deleting: bool,
}

struct Collector {
    client: Client,
    resources: Vec<ApiResource>,
    known: HashMap<String, Known>,
    /// Dependents by their owner's UID.
    dependents: HashMap<String, HashSet<String>>,
    /// Kinds that have been listed; until all are, an owner that is not known may only be not listed yet.
    listed: HashSet<usize>,
    listing: HashMap<usize, HashSet<String>>,
}

pub(super) async fn run(client: Client) {
    let resources = resources();
    let mut events = SelectAll::new();
    for (kind, resource) in resources.iter().enumerate() {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
        let watch = watcher(api, watcher::Config::default()).default_backoff();
        events.push(watch.map(move |event| (kind, event)).boxed());
    }
    let mut this = Collector {
        client,
        resources,
        known: HashMap::new(),
        dependents: HashMap::new(),
        listed: HashSet::new(),
        listing: HashMap::new(),
    };
    while let Some((kind, event)) = events.next().await {
        match event {
            Ok(event) => this.take(kind, event).await,
            Err(error) => tracing::debug!(%error, "a watch of the garbage collector begins anew"),
        }
    }
}

impl Collector {
    async fn take(&mut self, kind: usize, event: watcher::Event<DynamicObject>) {
        match event {
            watcher::Event::Init => {
                self.listing.insert(kind, HashSet::new());
            }
            watcher::Event::InitApply(object) => {
                if let Some(uid) = self.remember(kind, &object) {
                    self.listing.entry(kind).or_default().insert(uid);
                }
            }
            watcher::Event::InitDone => {
                let present = self.listing.remove(&kind).unwrap_or_default();
                let gone = self.known.iter().filter(|(uid, one)| one.kind == kind && !present.contains(*uid));
                let gone: Vec<_> = gone.map(|(uid, _)| uid.clone()).collect();
                self.listed.insert(kind);
                for uid in gone {
                    self.forget(&uid).await;
                }
                if self.listed.len() == self.resources.len() {
                    let all: Vec<_> = self.known.keys().cloned().collect();
                    for uid in all {
                        self.look(&uid).await;
                    }
                }
            }
            watcher::Event::Apply(object) => {
                if let Some(uid) = self.remember(kind, &object)
                    && self.listed.len() == self.resources.len()
                {
                    self.look(&uid).await;
                }
            }
            watcher::Event::Delete(object) => {
                if let Some(uid) = object.uid() {
                    self.forget(&uid).await;
                }
            }
        }
    }

    fn remember(&mut self, kind: usize, object: &DynamicObject) -> Option<String> {
        let uid = object.uid()?;
        let known = Known {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            owners: object.owner_references().to_vec(),
            finalizers: object.finalizers().to_vec(),
            version: object.resource_version(),
            deleting: object.metadata.deletion_timestamp.is_some(),
        };
        if let Some(before) = self.known.get(&uid) {
            for owner in &before.owners {
                if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                    dependents.remove(&uid);
                }
            }
        }
        for owner in &known.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        self.known.insert(uid.clone(), known);
        Some(uid)
    }

    /// An object is gone: so may its dependents be, and its owners may have waited for it.
    async fn forget(&mut self, uid: &str) {
        let Some(gone) = self.known.remove(uid) else { return };
        for owner in &gone.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        if self.listed.len() < self.resources.len() {
            return;
        }
        for dependent in self.dependents_of(uid) {
            self.look(&dependent).await;
        }
        for owner in gone.owners {
            self.look(&owner.uid).await;
        }
    }

    fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Does what an object's own deletion or its owners' absence asks for.
    async fn look(&mut self, uid: &str) {
        let Some(object) = self.known.get(uid).cloned() else { return };
        let done = if object.deleting && object.finalizers.iter().any(|name| name == ORPHAN) {
            self.orphan(uid, &object).await
        } else if object.deleting && object.finalizers.iter().any(|name| name == FOREGROUND) {
            self.foreground(uid, &object).await
        } else if object.deleting || object.owners.is_empty() {
            Ok(())
        } else {
            self.owned(uid, &object).await
        };
        if let Err(error) = done {
            tracing::warn!(name = object.name, %error, "garbage collection will be tried again at the next change");
        }
    }

    fn api(&self, object: &Known) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &object.namespace, &self.resources[object.kind])
    }

    /// Deletes an object none of whose owners is left; drops owners that are gone when others are left.
    async fn owned(&self, uid: &str, object: &Known) -> Result<(), kube::Error> {
        if !self.lacks_owner(&object.owners, object).await? {
            return Ok(());
        }
        // Read again: it may have been set free, and the event about that may still be on its way.
        let Some(live) =
            self.api(object).get_opt(&object.name).await?.filter(|live| live.uid().as_deref() == Some(uid))
        else {
            return Ok(());
        };
        let (mut left, mut gone) = (Vec::new(), 0);
        for owner in live.owner_references() {
            if self.exists(owner, object).await? { left.push(owner) } else { gone += 1 }
        }
        let version = live.resource_version();
        if gone == 0 || live.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        if left.is_empty() {
            return self.delete(uid, object, PropagationPolicy::Background, version).await;
        }
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": version, "ownerReferences": left}});
        gone_is_fine(
            self.api(object)
                .patch(&object.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map(drop),
        )
    }

    async fn lacks_owner(&self, owners: &[OwnerReference], object: &Known) -> Result<bool, kube::Error> {
        for owner in owners {
            if !self.exists(owner, object).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an owner is there under that UID. Asked of the API when it is not known: an owner may be younger here
    /// than its dependent, and of a kind that is not watched.
    async fn exists(&self, owner: &OwnerReference, object: &Known) -> Result<bool, kube::Error> {
        if self.known.contains_key(&owner.uid) {
            return Ok(true);
        }
        let watched =
            self.resources.iter().find(|one| one.api_version == owner.api_version && one.kind == owner.kind);
        // Never delete because of an owner whose kind cannot be looked up.
        let Some(resource) = watched else { return Ok(true) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &object.namespace, resource);
        let found = api.get_opt(&owner.name).await?;
        Ok(found.is_some_and(|found| found.uid().as_deref() == Some(&owner.uid)))
    }

    /// Deletes the dependents first; the object goes when none that blocks it is left.
    async fn foreground(&mut self, uid: &str, object: &Known) -> Result<(), kube::Error> {
        let mut blocked = false;
        for dependent in self.dependents_of(uid) {
            let Some(known) = self.known.get(&dependent).cloned() else { continue };
            blocked |=
                known.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true));
            if !known.deleting {
                self.delete(&dependent, &known, PropagationPolicy::Foreground, None).await?;
            }
        }
        if blocked { Ok(()) } else { self.unhold(uid, object, FOREGROUND).await }
    }

    /// Sets the dependents free, then lets the object go.
    async fn orphan(&mut self, uid: &str, object: &Known) -> Result<(), kube::Error> {
        for dependent in self.dependents_of(uid) {
            let Some(known) = self.known.get(&dependent).cloned() else { continue };
            let left: Vec<_> = known.owners.iter().filter(|owner| owner.uid != uid).collect();
            let patch = json!({"metadata": {"uid": dependent, "ownerReferences": left}});
            let freed =
                self.api(&known).patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            gone_is_fine(freed.map(drop))?;
        }
        self.unhold(uid, object, ORPHAN).await
    }

    async fn unhold(&self, uid: &str, object: &Known, finalizer: &str) -> Result<(), kube::Error> {
        let left: Vec<_> = object.finalizers.iter().filter(|name| *name != finalizer).collect();
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": object.version, "finalizers": left}});
        gone_is_fine(
            self.api(object)
                .patch(&object.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map(drop),
        )
    }

    async fn delete(
        &self,
        uid: &str,
        object: &Known,
        policy: PropagationPolicy,
        version: Option<String>,
    ) -> Result<(), kube::Error> {
        let parameters = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: version }),
            ..DeleteParams::default()
        };
        gone_is_fine(self.api(object).delete(&object.name, &parameters).await.map(drop))
    }
}

/// Gone already, or changed since: then an event about it is on its way.
fn gone_is_fine(done: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
        done => done,
    }
}

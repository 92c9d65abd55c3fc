//! Binds pods to the one node, in the order of their creation, when what they ask for fits.

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node, PersistentVolumeClaim, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::owned::is_finished;
use crate::node::events::Recorder;
use crate::node::kubelet::time;
use crate::node::quantity;

/// Amounts by resource, in thousandths.
type Amounts = BTreeMap<String, u128>;

/// What the scheduler remembers of a pod.
enum Known {
    /// It waits; and what was last said about it.
    Waiting(Arc<Pod>, String),
    /// It takes this much of the node.
    Bound(Amounts),
}

struct Scheduler {
    client: Client,
    node: String,
    events: Recorder,
    pods: HashMap<String, Known>,
}

pub(super) async fn run(client: Client, node: String) {
    let events = Recorder::new(client.clone(), "default-scheduler");
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff();
    let claims = watcher(Api::<PersistentVolumeClaim>::all(client.clone()), watcher::Config::default())
        .default_backoff();
    let nodes = watcher(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff();
    let (mut pods, mut claims, mut nodes) = (pods.boxed(), claims.boxed(), nodes.boxed());
    let mut this = Scheduler { client, node, events, pods: HashMap::new() };
    let mut listed = false;
    loop {
        // An object that came or changed may be what a waiting pod waits for.
        let look = tokio::select! {
            event = pods.next() => match event {
                Some(Ok(event)) => {
                    let whole = !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                    listed |= matches!(event, watcher::Event::InitDone);
                    this.take(event) && whole
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "the watch of pods begins anew");
                    false
                }
                None => return,
            },
            event = claims.next() => matches!(event, Some(Ok(watcher::Event::Apply(_)))),
            event = nodes.next() => matches!(event, Some(Ok(watcher::Event::Apply(_) | watcher::Event::InitDone))),
        };
        if look && listed {
            this.schedule().await;
        }
    }
}

impl Scheduler {
    /// Remembers; says whether anything may be schedulable now.
    fn take(&mut self, event: watcher::Event<Pod>) -> bool {
        match event {
            watcher::Event::Init => {
                self.pods.clear();
                false
            }
            watcher::Event::InitDone => true,
            watcher::Event::Delete(pod) => self.pods.remove(&pod.uid().unwrap_or_default()).is_some(),
            watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => self.there(pod),
        }
    }

    fn there(&mut self, pod: Pod) -> bool {
        let uid = pod.uid().unwrap_or_default();
        let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        if is_finished(&pod) {
            return self.pods.remove(&uid).is_some();
        }
        if bound {
            self.pods.insert(uid, Known::Bound(requests(&pod)));
            return false;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return self.pods.remove(&uid).is_some();
        }
        let spec = pod.spec.as_ref();
        let ours = spec
            .and_then(|spec| spec.scheduler_name.as_deref())
            .is_none_or(|name| name == "default-scheduler");
        let gated =
            spec.is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
        if !ours || gated {
            return false;
        }
        let said = match self.pods.get(&uid) {
            Some(Known::Waiting(_, said)) => said.clone(),
            // A pod that is known as bound here, and comes back unbound, is an old event.
            Some(Known::Bound(_)) => return false,
            None => String::new(),
        };
        let new = said.is_empty();
        self.pods.insert(uid, Known::Waiting(Arc::new(pod), said));
        new
    }

    async fn schedule(&mut self) {
        let waiting = self.pods.values().filter_map(|known| match known {
            Known::Waiting(pod, said) => Some((pod.clone(), said.clone())),
            Known::Bound(_) => None,
        });
        let mut waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return;
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = match nodes.get_opt(&self.node).await {
            Ok(Some(node)) => node,
            // It registers in a moment; that is an event.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the node cannot be read");
                return;
            }
        };
        waiting.sort_by_key(|(pod, _)| order(pod));
        for (pod, said) in waiting {
            let uid = pod.uid().unwrap_or_default();
            match self.fits(&pod, &node).await {
                Ok(()) => {
                    if self.bind(&pod).await {
                        self.pods.insert(uid, Known::Bound(requests(&pod)));
                    } else {
                        self.pods.remove(&uid);
                    }
                }
                Err(why) if why != said => {
                    self.refuse(&pod, &why).await;
                    self.pods.insert(uid, Known::Waiting(pod, why));
                }
                Err(_) => {}
            }
        }
    }

    /// Whether the pod can run on the node; why not, as kube-scheduler says it.
    async fn fits(&self, pod: &Pod, node: &Node) -> Result<(), String> {
        let spec = pod.spec.as_ref();
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        for volume in spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let Some(claim) = &volume.persistent_volume_claim else { continue };
            let name = &claim.claim_name;
            match claims.get_opt(name).await {
                Ok(None) => {
                    return Err(format!(
                        "0/1 nodes are available: persistentvolumeclaim \"{name}\" not found."
                    ));
                }
                Ok(Some(claim)) => {
                    let phase = claim.status.and_then(|status| status.phase);
                    if phase.as_deref() != Some("Bound") {
                        return Err(
                            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
                                .to_owned(),
                        );
                    }
                }
                Err(error) => tracing::debug!(%error, "a claim cannot be read; the node will see"),
            }
        }
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let selected = spec.and_then(|spec| spec.node_selector.as_ref()).into_iter().flatten();
        if selected.into_iter().any(|(key, value)| labels.get(key) != Some(value)) {
            return Err(unavailable("node(s) didn't match Pod's node affinity/selector"));
        }
        if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
            return Err(unavailable("node(s) were unschedulable"));
        }
        let allocatable =
            node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
        let lacking: Vec<_> =
            requests(pod)
                .into_iter()
                .filter(|(_, amount)| *amount > 0)
                .filter(|(name, amount)| {
                    let there =
                        allocatable.get(name).and_then(|quantity| quantity::milli(&quantity.0)).unwrap_or(0);
                    let taken: u128 = self
                        .pods
                        .values()
                        .map(|known| match known {
                            Known::Bound(amounts) => amounts.get(name).copied().unwrap_or(0),
                            Known::Waiting(..) => 0,
                        })
                        .sum();
                    taken.saturating_add(*amount) > there
                })
                .map(|(name, _)| {
                    if name == "pods" {
                        "1 Too many pods".to_owned()
                    } else {
                        format!("1 Insufficient {name}")
                    }
                })
                .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(format!(
            "0/1 nodes are available: {}. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
            lacking.join(", ")
        ))
    }

    /// Gives the pod to the node; false when it is gone or another's by now.
    async fn bind(&self, pod: &Pod) -> bool {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let (name, uid) = (pod.name_any(), pod.uid());
        let condition = condition(pod, "True", None, None);
        let status = json!({"metadata": {"uid": uid}, "status": {"conditions": condition}});
        let spec = json!({"metadata": {"uid": uid}, "spec": {"nodeName": self.node}});
        let parameters = PatchParams::default();
        // The condition first: from the binding on, the status is the node's.
        let bound = match api.patch_status(&name, &parameters, &Patch::Merge(status)).await {
            Ok(_) => api.patch(&name, &parameters, &Patch::Merge(spec)).await,
            Err(error) => Err(error),
        };
        match bound {
            Ok(_) => {
                let message = format!(
                    "Successfully assigned {}/{name} to {}",
                    pod.namespace().unwrap_or_default(),
                    self.node
                );
                self.events.normal(&pod.object_ref(&()), "Scheduled", &message).await;
                true
            }
            Err(error) => {
                tracing::debug!(pod = name, %error, "not bound");
                false
            }
        }
    }

    async fn refuse(&self, pod: &Pod, why: &str) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let condition = condition(pod, "False", Some("Unschedulable"), Some(why));
        let status =
            json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Pending", "conditions": condition}});
        if let Err(error) =
            api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await
        {
            tracing::debug!(pod = pod.name_any(), %error, "not said that it is unschedulable");
        }
        self.events.warning(&pod.object_ref(&()), "FailedScheduling", why).await;
    }
}

fn unavailable(why: &str) -> String {
    format!(
        "0/1 nodes are available: 1 {why}. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
}

fn order(pod: &Pod) -> (Option<Timestamp>, String) {
    (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.name_any())
}

fn condition(pod: &Pod, status: &str, reason: Option<&str>, message: Option<&str>) -> Vec<serde_json::Value> {
    let before = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut all: Vec<_> =
        before.filter(|known| known.type_ != "PodScheduled").map(|known| json!(known)).collect();
    let mut own =
        json!({"type": "PodScheduled", "status": status, "lastTransitionTime": time(Timestamp::now())});
    if let Some(reason) = reason {
        own["reason"] = json!(reason);
    }
    if let Some(message) = message {
        own["message"] = json!(message);
    }
    all.push(own);
    all
}

/// What a pod asks for: its containers together or its greediest init container, and itself as one pod.
fn requests(pod: &Pod) -> Amounts {
    let mut sum = Amounts::new();
    let mut sidecars = Amounts::new();
    let mut greatest = Amounts::new();
    let add = |to: &mut Amounts, more: &Amounts| {
        for (name, amount) in more {
            let entry = to.entry(name.clone()).or_default();
            *entry = entry.saturating_add(*amount);
        }
    };
    let spec = pod.spec.iter();
    for container in spec.clone().flat_map(|spec| spec.init_containers.iter().flatten()) {
        let mut own = of_container(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, &own);
        } else {
            add(&mut own, &sidecars);
        }
        for (name, amount) in own {
            let entry = greatest.entry(name).or_default();
            *entry = (*entry).max(amount);
        }
    }
    spec.flat_map(|spec| &spec.containers).for_each(|container| add(&mut sum, &of_container(container)));
    add(&mut sum, &sidecars);
    for (name, amount) in greatest {
        let entry = sum.entry(name).or_default();
        *entry = (*entry).max(amount);
    }
    sum.insert("pods".to_owned(), 1000);
    sum
}

fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.clone().unwrap_or_default();
    // A limit without a request is a request, as the API server defaults it.
    let mut all = resources.limits.unwrap_or_default();
    all.extend(resources.requests.unwrap_or_default());
    all.into_iter().filter_map(|(name, quantity)| Some((name, quantity::milli(&quantity.0)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_for_its_containers_or_its_greediest_init_container() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Mi"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
            ],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
                {"name": "b", "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "2"}}},
            ],
        }}))
        .unwrap();
        let amounts = requests(&pod);
        assert_eq!(amounts["cpu"], 3000);
        assert_eq!(amounts["memory"], 1000 << 30);
        assert_eq!(amounts["nvidia.com/gpu"], 2000);
        assert_eq!(amounts["pods"], 1000);
    }
}

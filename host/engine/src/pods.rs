//! The pods of a stage: what is wrong with them, and whose logs are read.

use crate::event::Event;
use crate::tail::Tail;
use ilab_cluster::diagnose::{Trouble, TroubleKind};
use ilab_cluster::{ContainerState, ObjectEvent, PodChange, PodView, diagnose};
use ilab_core::names::{ObjectUid, StageName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A stage's logs are read from this many containers at most.
const MAX_LOGS: usize = 64;

/// One attempt of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instance {
    pub(crate) pod: ObjectUid,
    pub(crate) container: String,
    pub(crate) restarts: u64,
}

/// A log that is read.
#[derive(Debug)]
pub(crate) struct Followed {
    ended: watch::Sender<bool>,
    pub(crate) tail: Arc<Mutex<Tail>>,
}

/// A log that is to be read.
#[derive(Debug)]
pub(crate) struct ToFollow {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Whether the container runs already, and may have printed much.
    pub(crate) ended: watch::Receiver<bool>,
    pub(crate) tail: Arc<Mutex<Tail>>,
}

/// A container that has run for so long does not crash again and again; kubelets forget its crashes then, too.
const STEADY: Duration = Duration::from_secs(600);

/// A pod one of whose containers ends again and again. Between two ends it looks well, and is not.
#[derive(Debug)]
struct Loop {
    trouble: Trouble,
    /// When it was last seen to wait for its next attempt.
    seen: Instant,
}

/// Trouble that was told.
type Told = (diagnose::TroubleKind, Option<String>, Option<String>);

/// The pods of a stage's objects.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    /// By the index of their object.
    known: BTreeMap<(usize, ObjectUid), PodView>,
    followed: BTreeMap<Instance, Followed>,
    /// What Events said is wrong, by the object or pod that it is about.
    said: BTreeMap<ObjectUid, Trouble>,
    loops: BTreeMap<ObjectUid, Loop>,
    told: Option<Told>,
    blocked: Option<Instant>,
    current: Option<Trouble>,
}

impl Pods {
    /// Takes a change in; says whose logs are to be read from now on.
    pub(crate) fn change(
        &mut self,
        index: usize,
        change: PodChange,
        keep: &dyn Fn(&str) -> usize,
    ) -> Vec<ToFollow> {
        match change {
            PodChange::Snapshot(pods) => {
                self.known.retain(|(of, _), _| *of != index);
                self.known.extend(pods.into_iter().map(|pod| ((index, pod.uid.clone()), pod)));
            }
            PodChange::Put(pod) => {
                self.known.insert((index, pod.uid.clone()), pod);
            }
            // It stays known as it was last: it may be the one that failed.
            PodChange::Removed(pod) => {
                self.end(&pod.uid);
                self.loops.remove(&pod.uid);
                self.known.insert((index, pod.uid.clone()), PodView { trouble: None, ..pod });
            }
        }
        self.follow(keep)
    }

    fn end(&mut self, pod: &ObjectUid) {
        for (instance, followed) in &self.followed {
            if instance.pod == *pod {
                let _ = followed.ended.send(true);
            }
        }
    }

    fn follow(&mut self, keep: &dyn Fn(&str) -> usize) -> Vec<ToFollow> {
        let mut new = Vec::new();
        for pod in self.known.values() {
            for container in &pod.containers {
                let instance = Instance {
                    pod: pod.uid.clone(),
                    container: container.name.clone(),
                    restarts: container.restarts,
                };
                let over = |older: &Instance| {
                    older.restarts < instance.restarts
                        || matches!(container.state, ContainerState::Terminated { .. })
                };
                for (older, followed) in &self.followed {
                    if older.pod == instance.pod && older.container == instance.container && over(older) {
                        let _ = followed.ended.send(true);
                    }
                }
                let printed = container.state != ContainerState::Waiting;
                if !printed || self.followed.contains_key(&instance) || self.followed.len() >= MAX_LOGS {
                    continue;
                }
                let over = matches!(container.state, ContainerState::Terminated { .. });
                let (ended, on_end) = watch::channel(over);
                let tail = Arc::new(Mutex::new(Tail::new(keep(&container.name))));
                new.push(ToFollow {
                    pod: pod.name.clone(),
                    container: container.name.clone(),
                    ended: on_end,
                    tail: Arc::clone(&tail),
                });
                self.followed.insert(instance, Followed { ended, tail });
            }
        }
        // Attempts that are over and whose pod is forgotten need not be remembered for days of restarts.
        if self.followed.len() >= MAX_LOGS {
            let known: Vec<_> = self.known.values().map(|pod| pod.uid.clone()).collect();
            self.followed.retain(|instance, f| known.contains(&instance.pod) && !*f.ended.borrow());
        }
        new
    }

    /// Takes an Event in that is about an object or a pod.
    pub(crate) fn event(&mut self, about: &ObjectUid, event: &ObjectEvent) {
        if let Some(trouble) = diagnose::event(&event.reason, &event.message).filter(|_| event.warning) {
            self.said.insert(about.clone(), trouble);
        }
    }

    /// What is worst now. Tells it, if it is not what was told last.
    pub(crate) fn trouble(&mut self, stage: &StageName) -> Option<Event> {
        let running =
            |uid: &ObjectUid| self.known.values().any(|pod| pod.uid == *uid && pod.phase != "Pending");
        // An Event is history: it counts until there are pods, or its pod is no longer pending.
        let any = !self.known.is_empty();
        let pods: Vec<_> = self.known.values().map(|pod| &pod.uid).collect();
        let stale: Vec<_> = self
            .said
            .keys()
            .filter(|about| running(about) || (any && !pods.contains(about)))
            .cloned()
            .collect();
        for about in stale {
            self.said.remove(&about);
        }
        self.remember_loops();
        let by_pods = self.known.values().filter_map(|pod| {
            let remembered = || self.loops.get(&pod.uid).map(|looping| &looping.trouble);
            pod.trouble.as_ref().or_else(remembered).map(|t| (t, Some(pod.name.clone())))
        });
        let by_events = self.said.iter().map(|(about, trouble)| {
            (trouble, self.known.values().find(|pod| pod.uid == *about).map(|pod| pod.name.clone()))
        });
        let worst = by_pods.chain(by_events).min_by_key(|(trouble, _)| trouble.kind);
        let Some((trouble, pod)) = worst else {
            self.blocked = None;
            self.current = None;
            return self.told.take().map(|_| Event::TroubleOver { stage: stage.clone() });
        };
        let trouble = trouble.clone();
        if trouble.kind.blocks() || self.loops.values().any(|looping| looping.trouble == trouble) {
            self.blocked.get_or_insert_with(Instant::now);
        } else {
            self.blocked = None;
        }
        let tell: Told = (trouble.kind, pod.clone(), trouble.container.clone());
        let new = self.told.as_ref() != Some(&tell);
        self.told = Some(tell);
        self.current = Some(trouble.clone());
        new.then(|| Event::Trouble {
            stage: stage.clone(),
            pod,
            container: trouble.container,
            kind: trouble.kind,
            message: trouble.message,
            hint: trouble.hint,
        })
    }

    /// Since when nothing gets on. A container that has run steadily in the meantime got on, though nothing told so.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        let steady = self.loops.iter().any(|(uid, looping)| {
            let well = self.known.values().any(|pod| pod.uid == *uid && pod.trouble.is_none());
            well && Some(&looping.trouble) == self.current.as_ref() && looping.seen.elapsed() >= STEADY
        });
        self.blocked.filter(|_| !steady)
    }

    fn remember_loops(&mut self) {
        let now = Instant::now();
        for pod in self.known.values() {
            let waits = |name: &String| {
                let named = pod.containers.iter().find(|c| c.name == *name);
                named.is_some_and(|c| c.state == ContainerState::Waiting && c.restarts > 0)
            };
            // Those that use too much memory are told by that, and come back all the same.
            let looping = pod.trouble.as_ref().filter(|trouble| {
                matches!(trouble.kind, TroubleKind::CrashLoop | TroubleKind::OutOfMemory)
                    && trouble.container.as_ref().is_some_and(waits)
            });
            if let Some(trouble) = looping {
                self.loops.insert(pod.uid.clone(), Loop { trouble: trouble.clone(), seen: now });
            }
        }
        let known = &self.known;
        self.loops.retain(|uid, looping| {
            let lives = known.values().any(|pod| pod.uid == *uid && !pod.ended());
            lives && looping.seen.elapsed() < STEADY
        });
    }

    /// The trouble that was found last.
    pub(crate) fn current(&self) -> Option<&Trouble> {
        self.current.as_ref()
    }

    /// All pods of an object that are known.
    pub(crate) fn of(&self, index: usize) -> impl Iterator<Item = &PodView> {
        self.known.iter().filter(move |((of, _), _)| *of == index).map(|(_, pod)| pod)
    }

    /// Whether an object has no pod that is known, or one that has not ended as far as is known.
    pub(crate) fn unsure(&self, index: usize) -> bool {
        self.of(index).next().is_none() || self.of(index).any(|pod| !pod.ended())
    }

    /// What the last attempt of a container printed, as far as it was read.
    pub(crate) fn tail(&self, pod: &ObjectUid, container: &str) -> Option<Arc<Mutex<Tail>>> {
        let of = |i: &Instance| i.pod == *pod && i.container == container;
        self.followed
            .iter()
            .filter(|(instance, _)| of(instance))
            .map(|(_, f)| Arc::clone(&f.tail))
            .rfind(|tail| !tail.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }
}

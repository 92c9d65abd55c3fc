//! The tasks that watch: each turns a stream into notes to the one owner of run state, or log lines into events.

use crate::event::Event;
use crate::pods::ToFollow;
use crate::pump::Say;
use futures::{Stream, StreamExt};
use ilab_cluster::{Cluster, ClusterError, LogLine, LogRequest, ObjectEvent, Observed, PodChange, Queueing};
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, StageName};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Something that a task saw.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) stage: StageName,
    /// The attempt that it is about.
    pub(crate) id: u64,
    pub(crate) seen: Seen,
}

/// What it saw.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A target, by its index.
    Target(usize, Result<Observed, ClusterError>),
    /// The pods of an object, by its index.
    Pods(usize, Result<PodChange, ClusterError>),
    /// How an object stands in its queue, by its index.
    Queue(usize, Result<Queueing, ClusterError>),
    /// An Event about an object or a pod.
    Event(ObjectUid, ObjectEvent),
}

/// Sends what a stream yields, until it ends or nobody listens.
pub(crate) async fn send_all<T>(
    items: impl Stream<Item = T>,
    notes: Sender<Note>,
    stage: StageName,
    id: u64,
    seen: impl Fn(T) -> Seen,
) {
    futures::pin_mut!(items);
    while let Some(item) = items.next().await {
        if notes.send(Note { stage: stage.clone(), id, seen: seen(item) }).await.is_err() {
            return;
        }
    }
}

/// Sends the Events about an object, once it has been quiet for a while.
pub(crate) async fn send_events(
    cluster: Cluster,
    uid: ObjectUid,
    quiet: Duration,
    notes: Sender<Note>,
    stage: StageName,
    id: u64,
) {
    tokio::time::sleep(quiet).await;
    let events = cluster.watch_events_of(&uid).filter_map(|event| std::future::ready(event.ok()));
    send_all(events, notes, stage, id, |event| Seen::Event(uid.clone(), event)).await;
}

/// How long a log may have ended although its container has not, before it is asked for again.
const EARLY: Duration = Duration::from_secs(2);

/// Reads one container's log to its end, through log rotation and nodes that end it too early.
pub(crate) async fn read_log(
    cluster: Cluster,
    stage: StageName,
    mut log: ToFollow,
    tail_lines: Option<u64>,
    say: Say,
) {
    let mut request = LogRequest {
        pod: log.pod.clone(),
        container: log.container.clone(),
        follow: true,
        tail_lines,
        ..LogRequest::default()
    };
    loop {
        let lines = cluster.logs(request.clone());
        futures::pin_mut!(lines);
        while let Some(line) = lines.next().await {
            match line {
                Ok(LogLine { time, text, .. }) => {
                    request.after = time.or(request.after);
                    log.tail.lock().unwrap_or_else(PoisonError::into_inner).push(&text);
                    let event = Event::LogLine {
                        stage: stage.clone(),
                        pod: log.pod.clone(),
                        container: log.container.clone(),
                        line: text,
                    };
                    if say.lines.send(event).await.is_err() {
                        return;
                    }
                }
                // The pod went, or its container is between two attempts: there is nothing more to read.
                Err(error) if error.is_not_found() || error.code() == Some(400) => return,
                Err(error) => {
                    say.say(Event::LogUnavailable {
                        stage,
                        pod: log.pod,
                        container: log.container,
                        why: error.chain(),
                    });
                    return;
                }
            }
        }
        // Without a time there is no telling where to go on.
        if *log.ended.borrow() || request.after.is_none() {
            return;
        }
        request.tail_lines = None;
        match tokio::time::timeout(EARLY, log.ended.wait_for(|ended| *ended)).await {
            // It had ended after all, or nobody waits for the stage any more.
            Ok(_) => return,
            Err(_) => tracing::debug!(pod = request.pod, container = request.container, "log ended early"),
        }
    }
}

/// Reads the logs of pods that nobody had seen when their object was done.
pub(crate) async fn read_late(
    cluster: Cluster,
    stage: StageName,
    object: ObjectRef,
    uid: ObjectUid,
    mut pods: crate::pods::Pods,
    index: usize,
    say: Say,
) {
    let Ok(found) = cluster.pods_of(&object, &uid).await else { return };
    let new = pods.change(index, PodChange::Snapshot(found), &|_| LAST_BYTES);
    let reads = new.into_iter().map(|log| read_log(cluster.clone(), stage.clone(), log, None, say.clone()));
    futures::future::join_all(reads).await;
}

/// What is kept of a container that no excerpt asks for.
pub(crate) const LAST_BYTES: usize = 16 * 1024;

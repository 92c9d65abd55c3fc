//! What happens in a run, as it is told. The JSON form is an interface: fields are added, never changed.

use crate::preflight::Finding;
use ilab_cluster::diagnose::TroubleKind;
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, PluginDigest, RunId, StageName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something that happened.
///
/// Texts that come from the cluster (log lines, messages) may hold anything: escape them before printing.
///
/// ```
/// use ilab_engine::Event;
/// let event = Event::Retrying { what: "watch Job/x".into(), why: "refused".into(), after_seconds: 0.5 };
/// assert_eq!(
///     serde_json::to_string(&event)?,
///     r#"{"event":"retrying","what":"watch Job/x","why":"refused","after-seconds":0.5}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Everything was checked, and the run has its record and Lease.
    RunStarted {
        /// The run.
        run: RunId,
        /// Where.
        namespace: String,
        /// The selected stages, in order.
        stages: Vec<StageName>,
        /// Whether it goes on from an earlier one.
        resumed: bool,
    },
    /// The look at the cluster found something that does not keep the run from beginning, but may from succeeding.
    Preflight {
        /// What.
        finding: Finding,
    },
    /// A stage was rendered and guarded.
    StagePlanned {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// What it will create.
        objects: Vec<ObjectRef>,
    },
    /// A stage makes use of an exemption that its component was granted.
    Exempted {
        /// The stage.
        stage: StageName,
        /// The component.
        digest: PluginDigest,
        /// Where in its manifests.
        path: String,
        /// The rule that was lifted.
        rule: String,
        /// For what.
        value: String,
        /// Why, in the words of whoever granted it.
        reason: String,
    },
    /// A stage's component has no grant; it was let through expressly.
    Ungranted {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
    },
    /// A stage had succeeded before and is not run again.
    StageReused {
        /// The stage.
        stage: StageName,
        /// What it handed on.
        outputs: Map<String, Value>,
    },
    /// An object was applied.
    ObjectApplied {
        /// The stage; none for what the whole run shares.
        stage: Option<StageName>,
        /// The object.
        object: ObjectRef,
        /// Its identity.
        uid: ObjectUid,
        /// Whether it was not there before.
        created: bool,
    },
    /// All objects of a stage exist and are waited for.
    StageStarted {
        /// The stage.
        stage: StageName,
        /// Counted from 1.
        attempt: u32,
        /// Whether they existed already.
        reattached: bool,
    },
    /// What a stage waits for is something new.
    Pending {
        /// The stage.
        stage: StageName,
        /// What is waited for.
        object: ObjectRef,
        /// In the words of its predicates.
        why: String,
    },
    /// Kueue says something new of an object that is in one of its queues.
    Queued {
        /// The stage.
        stage: StageName,
        /// The object.
        object: ObjectRef,
        /// The LocalQueue.
        queue: String,
        /// Whether it may run now.
        admitted: bool,
        /// Why not, in Kueue's words.
        message: String,
    },
    /// Something is wrong with a stage's pods; it may pass.
    Trouble {
        /// The stage.
        stage: StageName,
        /// The pod, where it is one's.
        pod: Option<String>,
        /// The container, where it is one's.
        container: Option<String>,
        /// The kind of trouble.
        kind: TroubleKind,
        /// What is wrong.
        message: String,
        /// What to try.
        hint: String,
    },
    /// The trouble of a stage is over.
    TroubleOver {
        /// The stage.
        stage: StageName,
    },
    /// A container printed a line.
    LogLine {
        /// The stage.
        stage: StageName,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The line, without its end.
        line: String,
    },
    /// A container's log cannot be read.
    LogUnavailable {
        /// The stage.
        stage: StageName,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// Why.
        why: String,
    },
    /// A stage is done and its outputs are kept.
    StageSucceeded {
        /// The stage.
        stage: StageName,
        /// What it hands on.
        outputs: Map<String, Value>,
        /// How long it took, as far as this host knows.
        seconds: f64,
    },
    /// A stage will not be done.
    StageFailed {
        /// All that is known of it.
        failure: Box<StageFailure>,
    },
    /// A request failed and is tried again.
    Retrying {
        /// What is tried.
        what: String,
        /// Why it failed.
        why: String,
        /// When it is tried again.
        after_seconds: f64,
    },
    /// The host stopped watching; the cluster goes on.
    Detached {
        /// The run.
        run: RunId,
        /// What still runs.
        running: Vec<StageName>,
        /// The command that comes back to it.
        resume: String,
    },
    /// The run is over.
    RunFinished {
        /// The run.
        run: RunId,
        /// Whether all selected stages succeeded.
        succeeded: bool,
    },
}

/// Why a stage failed, with all that helps to find out more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageFailure {
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: StageName,
    /// Why, as one line.
    pub reason: String,
    /// The object whose verdict it was.
    pub object: Option<ObjectRef>,
    /// The pod that failed.
    pub pod: Option<String>,
    /// Its container.
    pub container: Option<String>,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// The last lines that it printed.
    pub last_lines: Vec<String>,
    /// Kubernetes' own Events about the object and the pod, oldest first.
    pub events: Vec<String>,
    /// What to try.
    pub hint: Option<String>,
    /// Stages that still run.
    pub still_running: Vec<StageName>,
    /// The command that goes on from here.
    pub resume: String,
}

impl std::fmt::Display for StageFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stage {} failed: {}", self.stage, self.reason)
    }
}

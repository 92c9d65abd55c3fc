//! Why a run could not be begun, or ended badly.

use crate::event::StageFailure;
use crate::preflight::Finding;
use ilab_cluster::{ClusterError, ExitClass};
use ilab_core::grants::Withheld;
use ilab_core::guard::Refused;
use ilab_core::names::{PluginDigest, RunId, StageName};
use ilab_core::plan::PlanError;
use ilab_core::record::{RecordError, StageState};

/// What an exit code should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for makes no sense.
    Usage,
    /// A component is at fault.
    Plugin,
    /// The guard refused.
    Policy,
    /// The cluster is not ready for it.
    Unready,
    /// Somebody else is at it, or it was done already.
    Conflict,
    /// A stage failed.
    StageFailed,
    /// The cluster, more exactly.
    Cluster(ExitClass),
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A run that was not begun, or not finished.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A stage was selected that nobody offers.
    #[error("no component offers the stage {stage}")]
    UnknownStage {
        /// The stage.
        stage: StageName,
    },
    /// A stage could not be rendered, or not collected.
    #[error("stage {stage} ({file}, {}): cannot {what}", .digest.short())]
    Stage {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// `render it` or `collect its outputs`.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stage returned a plan that cannot be used.
    #[error("stage {stage} ({file}, {}): its plan cannot be used", .digest.short())]
    Plan {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// What is wrong with it.
        #[source]
        source: Box<PlanError>,
    },
    /// Components ask for what they are not granted: all of it, of all stages.
    #[error("{}", list(.0))]
    Withheld(Vec<Withheld>),
    /// The guard refuses manifests: all that it refuses, of all stages.
    #[error("{}", list(.0))]
    Refused(Vec<Refused>),
    /// The cluster is not ready: everything that was found.
    #[error("{}", list(.0))]
    Unready(Vec<Finding>),
    /// The run has done this already.
    #[error("run {run} has done this already: {}", .stages.iter().map(|(s, state)| format!("{s} {}", state_word(*state))).collect::<Vec<_>>().join(", "))]
    AlreadyRan {
        /// The run.
        run: RunId,
        /// The selected stages that have a record, and how far they are.
        stages: Vec<(StageName, StageState)>,
    },
    /// The run is being deleted.
    #[error("run {run} is being deleted")]
    Going {
        /// The run.
        run: RunId,
    },
    /// There is no run to go on with.
    #[error("there is no run {run} in namespace {namespace} to resume")]
    NothingToResume {
        /// The run.
        run: RunId,
        /// Where it was looked for.
        namespace: String,
    },
    /// Parameters of a stage that has succeeded or is running are different now.
    #[error("stage {stage} of run {run} {} with other parameters: {}", state_word(*.state), .parameters.join(", "))]
    ParametersChanged {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// How far it is.
        state: StageState,
        /// The parameters that differ.
        parameters: Vec<String>,
    },
    /// A stage needs what a stage that has not run hands on.
    #[error("stage {stage} needs {input}, and {producer} has not run in run {run}")]
    MissingInput {
        /// The run.
        run: RunId,
        /// The stage.
        stage: StageName,
        /// `stage.output`.
        input: String,
        /// Who hands it on.
        producer: StageName,
    },
    /// The API server did not take an object of a stage.
    #[error("stage {stage}: {object} was not accepted")]
    Apply {
        /// The stage.
        stage: StageName,
        /// The object.
        object: String,
        /// What it said.
        #[source]
        source: Box<ClusterError>,
    },
    /// A stage failed.
    #[error("{0}")]
    StageFailed(Box<StageFailure>),
    /// Another host took the run over.
    #[error("run {run} was taken over by {holder}")]
    TakenOver {
        /// The run.
        run: RunId,
        /// Who.
        holder: String,
    },
    /// The run record is of no use.
    #[error("the record of run {run} cannot be used")]
    Record {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A bug in the host: a task of its own ended unexpectedly.
    #[error("the host's own task for {what} ended unexpectedly")]
    Task {
        /// What it was for.
        what: String,
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
}

pub(crate) fn state_word(state: StageState) -> &'static str {
    match state {
        StageState::Waiting => "waits",
        StageState::Applying => "is being applied",
        StageState::Running => "is running",
        StageState::Succeeded => "succeeded",
        StageState::Failed => "failed",
        StageState::Cancelled => "was cancelled",
    }
}

impl EngineError {
    /// What a person can try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AlreadyRan { run, stages } => {
                if stages.iter().all(|(_, state)| *state == StageState::Succeeded) {
                    format!("choose another name with --run, or delete it with `ilab-host runs delete {run}`")
                } else {
                    format!("go on with it: ilab-host run --resume {run}")
                }
            }
            Self::Going { run } => {
                format!("`ilab-host runs delete {run}` waits until it is gone; or choose another name with --run")
            }
            Self::NothingToResume { .. } => {
                "`ilab-host runs list` shows the runs; without --resume a new one is started".to_owned()
            }
            Self::ParametersChanged { .. } => {
                "leave the parameters as they were, or start a new run under another name with --run"
                    .to_owned()
            }
            Self::MissingInput { producer, .. } => {
                format!("run the stage {producer} first, or the whole workflow")
            }
            Self::TakenOver { .. } => "nothing is lost: the other host goes on with it".to_owned(),
            Self::StageFailed(failure) => failure.hint.clone()?,
            Self::Unready(findings) => list(&findings.iter().map(|f| f.hint.clone()).collect::<Vec<_>>()),
            Self::Withheld(withheld) => list(&withheld.iter().map(Withheld::hint).collect::<Vec<_>>()),
            Self::Refused(_) => {
                "the rule's name is in brackets; docs/guard.md describes it, and docs/grants.md what a component is granted".to_owned()
            }
            Self::Cluster(source) => source.hint()?,
            Self::Apply { source, .. } => source.hint()?,
            _ => return None,
        })
    }

    /// What an exit code should say.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::UnknownStage { .. } | Self::MissingInput { .. } => Exit::Usage,
            Self::Stage { .. } | Self::Plan { .. } | Self::Task { .. } => Exit::Plugin,
            Self::Refused(_) | Self::Withheld(_) => Exit::Policy,
            Self::Unready(_) => Exit::Unready,
            Self::AlreadyRan { .. }
            | Self::Going { .. }
            | Self::NothingToResume { .. }
            | Self::ParametersChanged { .. }
            | Self::TakenOver { .. } => Exit::Conflict,
            Self::StageFailed(_) => Exit::StageFailed,
            Self::Record { .. } => Exit::Cluster(ExitClass::Protocol),
            // The run is in the way, not the cluster.
            Self::Cluster(ClusterError::Held { .. } | ClusterError::RecordChanged { .. }) => Exit::Conflict,
            Self::Cluster(source) => Exit::Cluster(source.exit_class()),
            Self::Apply { source, .. } => Exit::Cluster(source.exit_class()),
        }
    }
}

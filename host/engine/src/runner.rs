//! A run from its request to its end.

use crate::bindings;
use crate::drive::{Drive, NOTES};
use crate::error::EngineError;
use crate::event::Event;
use crate::inputs;
use crate::keeper::{Keeper, outputs, parse, print};
use crate::planning::{self, PlannedStage};
use crate::preflight::{self, Bound, Finding, Severity};
use crate::pump::{self, Say};
use crate::request::{Preflight, Resume, RunRequest, Stages};
use crate::resume::{self, Step};
use ilab_cluster::{Cluster, RecordStore, StoredRecord};
use ilab_core::contract::{KeyHolder, ObjectRef};
use ilab_core::names::StageName;
use ilab_core::record::{Holder, Origin, RunRecord, StageState};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the last log lines, and whoever reads events, are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How a run ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Every selected stage has succeeded.
    Finished {
        /// What each handed on.
        outputs: BTreeMap<StageName, Map<String, Value>>,
    },
    /// The host was told to stop. The cluster goes on; the run can be taken up again.
    Detached {
        /// What still runs.
        running: Vec<StageName>,
        /// The command that comes back to it.
        resume: String,
    },
}

/// Carries a request out.
pub struct Runner {
    cluster: Cluster,
    stages: Arc<dyn Stages>,
    request: RunRequest,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("run", &self.request.run).finish_non_exhaustive()
    }
}

impl Runner {
    /// A run that has not begun, in the cluster's namespace, whatever the request says of one.
    #[must_use]
    pub fn new(cluster: Cluster, stages: Arc<dyn Stages>, mut request: RunRequest) -> Self {
        // Two namespaces would mean that the guard checks one and the objects go to the other.
        cluster.namespace().clone_into(&mut request.namespace);
        Self { cluster, stages, request }
    }

    /// Runs, and tells what happens to `events` until it is over.
    ///
    /// Everything is rendered, checked and guarded, and the cluster is looked at, before anything is created. A reader
    /// that does not keep up holds up log lines, never the run. When `stop` is cancelled the host detaches: the record
    /// is consistent, the Lease given back, and nothing deleted. A host that is killed instead costs no more than that
    /// the Lease may have to run out.
    ///
    /// # Errors
    /// [`EngineError`]: what was asked for, the cluster, or a stage.
    pub async fn run(
        self,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Result<Outcome, EngineError> {
        let (say, pump) = pump::start(events);
        let result = self.carry_out(say, stop).await;
        pump::finish(pump, LAST_WORDS).await;
        result
    }

    async fn carry_out(self, say: Say, stop: CancellationToken) -> Result<Outcome, EngineError> {
        let told = say.clone();
        let cluster = self.cluster.clone().observed(move |retry| {
            told.say(Event::Retrying {
                what: retry.what,
                why: retry.why,
                after_seconds: retry.after.as_secs_f64(),
            });
        });
        let request = Arc::new(self.request);
        let (run, resume) = (request.run.clone(), format!("ilab-host run --resume {}", request.run));
        let setup = set_up(cluster, Arc::clone(&request), self.stages, say.clone());
        let mut drive = tokio::select! {
            biased;
            () = stop.cancelled() => {
                say.say(Event::Detached { run, running: Vec::new(), resume: resume.clone() });
                return Ok(Outcome::Detached { running: Vec::new(), resume });
            }
            drive = setup => drive?,
        };
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            result = drive.go() => Some(result),
        };
        let outcome = match result {
            Some(Ok(())) => {
                let _ = tokio::time::timeout(LAST_WORDS, async {
                    while drive.logs.join_next().await.is_some() {}
                })
                .await;
                let mut outputs = drive.keeper.outputs();
                outputs.retain(|stage, _| request.selected.contains(stage));
                say.say(Event::RunFinished { run, succeeded: true });
                Ok(Outcome::Finished { outputs })
            }
            Some(Err(error)) => {
                if !matches!(error, EngineError::TakenOver { .. }) {
                    say.say(Event::RunFinished { run, succeeded: false });
                }
                Err(error)
            }
            None => {
                // What was begun is written down as far as it is known; what is not is found again by name and label.
                let _ = tokio::time::timeout(LAST_WORDS, drive.keeper.save()).await;
                let state = |stage: &&StageName| {
                    matches!(drive.keeper.state(stage), StageState::Running | StageState::Applying)
                };
                let running: Vec<_> = request.selected.iter().filter(state).cloned().collect();
                say.say(Event::Detached { run, running: running.clone(), resume: resume.clone() });
                Ok(Outcome::Detached { running, resume })
            }
        };
        if let Some(lease) = drive.lease.take() {
            let _ = tokio::time::timeout(LAST_WORDS, lease.release()).await;
        }
        outcome
    }
}

/// Everything before the first stage.
async fn set_up(
    cluster: Cluster,
    request: Arc<RunRequest>,
    stages: Arc<dyn Stages>,
    say: Say,
) -> Result<Drive, EngineError> {
    // A wrong parameter is told without a cluster, and before a cluster is waited for.
    let first = planning::plan_aside(&request, &stages).await?;
    let version = preflight::version(&cluster.version().await?);
    let store = RecordStore::new(cluster.clone());
    let mut stored = store.load(&request.run).await?;
    if stored.as_ref().is_some_and(|stored| stored.going) {
        return Err(EngineError::Going { run: request.run.clone() });
    }
    let mut record = stored.as_ref().map(parse).transpose()?;
    let steps = resume::decide(&request, record.as_ref())?;
    let to_create = resume::to_create(&first, &steps);
    let owner = stored.as_ref().map(StoredRecord::owner);
    let mut looked = preflight::look(&cluster, &request, &to_create, owner).await?;
    looked.findings.insert(0, version);
    let Bound { keys: found, missing, shared } = judge(&request, looked, &say)?;
    let planned = plan_again(&request, &stages, record.as_ref(), &found).await?;
    // From here on the cluster is changed.
    let fresh = match stored.take() {
        Some(found) => found,
        None => {
            let new = new_record(&request);
            store.create(&request.run, &print(&request.run, &new)?).await?
        }
    };
    let lease = cluster.hold(&request.run, Some(reference(&fresh))).await?;
    // Another host may have driven the run until just now.
    let (stored, current) = match record.take() {
        None => {
            let current = parse(&fresh)?;
            (fresh, current)
        }
        Some(_) => {
            let again = store.load(&request.run).await?.unwrap_or(fresh);
            let current = parse(&again)?;
            (again, current)
        }
    };
    match prepared(&cluster, &request, &stored, current, (missing, shared), &planned, &say, &store).await {
        Ok((keeper, steps)) => {
            let (notes, inbox) = mpsc::channel(NOTES);
            let patience = request.options.outage;
            Ok(Drive {
                cluster: cluster.patience(patience),
                request,
                stages,
                keeper,
                found,
                lease: Some(lease),
                steps,
                active: BTreeMap::new(),
                notes,
                inbox,
                say,
                logs: JoinSet::new(),
                next_id: 0,
            })
        }
        Err(error) => {
            let _ = tokio::time::timeout(LAST_WORDS, lease.release()).await;
            Err(error)
        }
    }
}

/// Whether the run may begin with what was found.
fn judge(request: &RunRequest, looked: preflight::Looked, say: &Say) -> Result<Bound, EngineError> {
    let (mut errors, mut told) = (Vec::new(), Vec::new());
    for finding in looked.findings {
        // Without its credentials a stage cannot even be rendered.
        let needed = finding.check == "credentials" || request.options.preflight != Preflight::Warn;
        match finding.severity {
            Severity::Error if needed => errors.push(finding),
            Severity::Error | Severity::Warning => told.push(finding),
            Severity::Ok | Severity::Skipped => {}
        }
    }
    for finding in told {
        say.say(Event::Preflight { finding });
    }
    if errors.is_empty() { Ok(looked.bound) } else { Err(EngineError::Unready(errors)) }
}

/// All stages once more, now with what is known of the cluster: its Secrets' keys and the outputs of earlier stages.
async fn plan_again(
    request: &Arc<RunRequest>,
    stages: &Arc<dyn Stages>,
    record: Option<&RunRecord>,
    found: &crate::credentials::FoundKeys,
) -> Result<Vec<PlannedStage>, EngineError> {
    let done = record.map(outputs).unwrap_or_default();
    for offer in request.selected_offers() {
        inputs::check_reachable(request, &offer.descriptor, &done)?;
    }
    let (request, stages) = (Arc::clone(request), Arc::clone(stages));
    let found = found.clone();
    tokio::task::spawn_blocking(move || planning::plan_known(&request, &*stages, &done, Some(&found)))
        .await
        .map_err(|source| EngineError::Task { what: "planning".to_owned(), source })?
}

#[expect(
    clippy::too_many_arguments,
    reason = "it is the second half of set_up, so that a failure gives the Lease back"
)]
async fn prepared(
    cluster: &Cluster,
    request: &Arc<RunRequest>,
    stored: &StoredRecord,
    record: RunRecord,
    (missing, shared): (Vec<Value>, Vec<ObjectRef>),
    planned: &[PlannedStage],
    say: &Say,
    store: &RecordStore,
) -> Result<(Keeper, BTreeMap<StageName, Step>), EngineError> {
    // Once more, because only now nobody else can change it.
    let steps = resume::decide(
        request,
        Some(&record).filter(|r| request.options.resume != Resume::Never || !r.stages.is_empty()),
    )?;
    let mut keeper = Keeper::new(store.clone(), stored.clone(), record, say.events.clone());
    remember(&mut keeper, request, planned)?;
    keeper.save().await?;
    say.say(Event::RunStarted {
        run: request.run.clone(),
        namespace: request.namespace.clone(),
        stages: planned.iter().map(|p| p.offer.name().clone()).collect(),
        resumed: request.options.resume == Resume::Always || steps.values().any(|step| *step != Step::Fresh),
    });
    for stage in planned {
        tell_planned(say, &keeper, &steps, stage);
    }
    for manifest in missing {
        let options =
            ilab_cluster::ApplyOptions { owner: Some(keeper.owner()), ..bindings::shared(request, None) };
        apply_shared(cluster, say, &manifest, &options).await?;
    }
    for object in shared {
        match cluster.add_owner(&object, &keeper.owner(), &request.run).await {
            Err(error) if error.code() == Some(403) => say.say(Event::Preflight {
                finding: Finding::warning(
                    "credentials",
                    format!("{object} stays with the run that made it: {error}"),
                    "delete that run last, or create the Secret yourself and name it; where owner references are guarded (as on OpenShift) it takes the right to delete an object to share it",
                ),
            }),
            done => done?,
        }
    }
    for (volume, size) in bindings::volumes(request, true)? {
        if request.claims.existing.contains_key(&volume) {
            continue;
        }
        let owner = (!request.claims.keep).then(|| keeper.owner());
        let manifest = bindings::claim(request, &volume, &size);
        let options = bindings::shared(request, owner);
        let Some(object) = ObjectRef::of(&manifest) else { continue };
        // A claim's size and class cannot be changed by asking again; an earlier part of the run made it.
        if cluster.adopt(&object, &options).await?.is_none() {
            apply_shared(cluster, say, &manifest, &options).await?;
        }
    }
    Ok((keeper, steps))
}

async fn apply_shared(
    cluster: &Cluster,
    say: &Say,
    manifest: &Value,
    options: &ilab_cluster::ApplyOptions,
) -> Result<(), EngineError> {
    let applied = cluster.apply_new(manifest, options).await?;
    if let Some(object) = ObjectRef::of(manifest) {
        say.say(Event::ObjectApplied { stage: None, object, uid: applied.uid, created: applied.created });
    }
    Ok(())
}

fn tell_planned(say: &Say, keeper: &Keeper, steps: &BTreeMap<StageName, Step>, stage: &PlannedStage) {
    let name = stage.offer.name();
    if steps.get(name) == Some(&Step::Reuse) {
        let outputs = keeper.record().stages.get(name).map(|s| s.outputs.clone()).unwrap_or_default();
        say.say(Event::StageReused { stage: name.clone(), outputs });
        return;
    }
    let digest = &stage.offer.digest;
    if !stage.granted {
        let file = stage.offer.file.clone();
        say.say(Event::Ungranted { stage: name.clone(), file, digest: digest.clone() });
    }
    for used in &stage.exempted {
        say.say(Event::Exempted {
            stage: name.clone(),
            digest: digest.clone(),
            path: used.path.clone(),
            rule: used.exemption.rule.to_owned(),
            value: used.exemption.value.clone(),
            reason: used.exemption.reason.clone(),
        });
    }
    say.say(Event::StagePlanned {
        stage: name.clone(),
        file: stage.offer.file.clone(),
        digest: stage.offer.digest.clone(),
        objects: stage.plan.manifests.iter().filter_map(ObjectRef::of).collect(),
    });
}

fn new_record(request: &RunRequest) -> RunRecord {
    RunRecord::new(
        request.run.clone(),
        Timestamp::now(),
        request.options.host_version.clone(),
        origins(request),
    )
}

fn origins(request: &RunRequest) -> BTreeMap<StageName, Origin> {
    let origin = |offer: &ilab_core::graph::Offer| {
        (offer.name().clone(), Origin { file: offer.file.clone(), digest: offer.digest.clone() })
    };
    request.pipeline.stages().iter().map(origin).collect()
}

/// Names of what stands for volumes and credentials; never a value.
fn remember(keeper: &mut Keeper, request: &RunRequest, planned: &[PlannedStage]) -> Result<(), EngineError> {
    let volumes = bindings::volumes(request, true)?;
    let record = keeper.change();
    // Components of stages that are run now count; what ran before keeps what it ran with.
    for (stage, origin) in origins(request) {
        let ran = record.stages.get(&stage).is_some_and(|s| s.state == StageState::Succeeded);
        if !ran {
            record.pipeline.insert(stage, origin);
        }
    }
    for stage in &request.selected {
        record.stages.entry(stage.clone()).or_default();
    }
    for volume in volumes.keys() {
        let claim = planning::claim_name(&request.run, &request.claims.existing, volume);
        record.claims.insert(volume.clone(), claim);
    }
    for credential in planned.iter().flat_map(|stage| &stage.context.credentials) {
        let keys = record.credentials.entry(credential.name.clone()).or_default();
        for key in &credential.keys {
            let holder = match &key.holder {
                KeyHolder::Secret(name) => Holder::Secret(name.clone()),
                KeyHolder::ConfigMap(name) => Holder::ConfigMap(name.clone()),
            };
            keys.insert(key.key.clone(), holder);
        }
    }
    Ok(())
}

fn reference(stored: &StoredRecord) -> Value {
    let owner = stored.owner();
    json!({
        "apiVersion": owner.object.api_version,
        "kind": owner.object.kind,
        "name": owner.object.name,
        "uid": owner.uid.0,
    })
}

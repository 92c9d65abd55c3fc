//! `runs list|status|delete`.

use crate::args::{OutputFormat, RunsVerb};
use crate::report::{print_data, write_out};
use crate::{CliError, connect, exit};
use ilab_cluster::{Cluster, RecordStore, StoredRecord};
use ilab_core::names::RunId;
use ilab_core::record::{RunRecord, StageRecord, StageState};
use ilab_engine::{Removed, Removing};
use ilab_wasm::escape::escape;
use std::fmt::Write as _;
use std::time::Duration;

/// Runs one of them.
///
/// # Errors
/// No cluster, no such run, a record that cannot be read.
pub async fn run(verb: RunsVerb) -> Result<(), CliError> {
    let at = match &verb {
        RunsVerb::List { at, .. } | RunsVerb::Status { at, .. } | RunsVerb::Delete { at, .. } => at.clone(),
    };
    let connection = connect::open(&at).await?;
    let done = match verb {
        RunsVerb::List { output, .. } => list(&connection.cluster, output.output).await,
        RunsVerb::Status { run, output, .. } => status(&connection.cluster, &run, output.output).await,
        RunsVerb::Delete { run, wait, timeout, .. } => {
            delete(&connection.cluster, &run, wait, (!timeout.is_zero()).then_some(timeout)).await
        }
    };
    connection.close().await;
    done
}

fn read(stored: &StoredRecord) -> Result<RunRecord, CliError> {
    RunRecord::from_json(&stored.text).map_err(|e| {
        CliError::new(
            exit::CLUSTER,
            format!("the record of run {}: {}", stored.run, ilab_core::text::chain(&e)),
        )
    })
}

async fn find(cluster: &Cluster, name: &str) -> Result<StoredRecord, CliError> {
    let run = RunId::new(name)?;
    RecordStore::new(cluster.clone()).load(&run).await?.ok_or_else(|| absent(cluster, &run))
}

fn absent(cluster: &Cluster, run: &RunId) -> CliError {
    CliError::new(exit::RUN_STATE, format!("there is no run {run} in namespace {}", cluster.namespace()))
        .hint("`ilab-host runs list` shows the runs of a namespace")
}

async fn list(cluster: &Cluster, format: Option<OutputFormat>) -> Result<(), CliError> {
    let stored = RecordStore::new(cluster.clone()).list().await?;
    let mut records = Vec::new();
    for one in stored {
        // One record that cannot be read must not hide the others.
        match one.map_err(CliError::from).and_then(|s| read(&s)) {
            Ok(record) => records.push(record),
            Err(error) => eprint!("{error}"),
        }
    }
    if format.is_some() {
        return print_data(&records, format);
    }
    let mut text = format!("{:<30} {:<10} {:<22} STAGES\n", "RUN", "STATE", "CREATED");
    for record in &records {
        let done = record.stages.values().filter(|s| s.state == StageState::Succeeded).count();
        let _ = writeln!(
            text,
            "{:<30} {:<10} {:<22} {done}/{}",
            record.run.as_str(),
            summary(record),
            record.created.to_string(),
            record.pipeline.len()
        );
    }
    write_out(&text)
}

/// A run's state in a word.
fn summary(record: &RunRecord) -> &'static str {
    let any = |state| record.stages.values().any(|s| s.state == state);
    if any(StageState::Failed) {
        "failed"
    } else if any(StageState::Running) || any(StageState::Applying) {
        "running"
    } else if any(StageState::Cancelled) {
        "cancelled"
    } else if record
        .pipeline
        .keys()
        .all(|name| record.stages.get(name).is_some_and(|s| s.state == StageState::Succeeded))
    {
        "succeeded"
    } else {
        "partial"
    }
}

async fn status(cluster: &Cluster, name: &str, format: Option<OutputFormat>) -> Result<(), CliError> {
    let record = read(&find(cluster, name).await?)?;
    if format.is_some() {
        return print_data(&record, format);
    }
    let mut text = format!("run {} ({}), created {}\n", record.run, summary(&record), record.created);
    let mut stages: Vec<_> = record.stages.iter().collect();
    stages.sort_by_key(|(_, stage)| stage.started);
    for (name, stage) in stages {
        let _ = writeln!(text, "\n{name}: {}{}", word(stage.state), took(stage));
        if let Some(reason) = &stage.reason {
            let _ = writeln!(text, "  reason: {}", escape(reason));
        }
        for (output, value) in &stage.outputs {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "  {} = {}", escape(output), escape(&value));
        }
    }
    write_out(&text)
}

fn word(state: StageState) -> &'static str {
    match state {
        StageState::Waiting => "waiting",
        StageState::Applying => "being applied",
        StageState::Running => "running",
        StageState::Succeeded => "succeeded",
        StageState::Failed => "failed",
        StageState::Cancelled => "cancelled",
    }
}

fn took(stage: &StageRecord) -> String {
    match (stage.started, stage.finished) {
        (Some(started), Some(finished)) => {
            format!(" in {:.0} s", finished.duration_since(started).as_secs_f64())
        }
        _ => String::new(),
    }
}

async fn delete(
    cluster: &Cluster,
    name: &str,
    wait: bool,
    timeout: Option<Duration>,
) -> Result<(), CliError> {
    let run = RunId::new(name)?;
    let tell = |told: Removing| match told {
        Removing::Begun { objects } => {
            eprintln!("run {run} is being deleted; waiting for {}", listed(&objects));
        }
        Removing::Gone { object } => eprintln!("  {}: gone", escape(&object)),
        Removing::Unseen { object, why } => {
            eprintln!("  cannot tell whether {} is gone: {}", escape(&object), escape(&why));
        }
    };
    let removed = ilab_engine::remove(cluster, &run, wait.then_some(timeout), tell).await;
    match removed.map_err(|error| super::run::engine_error(&error))? {
        Removed::Done if wait => eprintln!("run {run} is deleted, with all that it created"),
        Removed::Done => eprintln!("run {run} is being deleted, with all that it created"),
        Removed::Absent => return Err(absent(cluster, &run)),
        Removed::Another => {
            return Err(CliError::new(
                exit::RUN_STATE,
                format!("run {run} was replaced by another of its name just now"),
            ));
        }
        Removed::Left(objects) => {
            return Err(CliError::new(
                exit::CLUSTER,
                format!(
                    "run {run} is being deleted, and after {} s still there: {}",
                    timeout.unwrap_or_default().as_secs(),
                    listed(&objects)
                ),
            )
            .hint("the cluster goes on; `kubectl describe` says what holds an object: its finalizers, or a pod that does not stop"));
        }
    }
    Ok(())
}

fn listed(objects: &[String]) -> String {
    escape(&objects.join(", ")).into_owned()
}

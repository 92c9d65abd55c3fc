//! `run`: the workflow, or a part of it.

use super::request::request;
use crate::args::{DryRun, OutputFormat, RunArgs, StageFlags};
use crate::load::Loaded;
use crate::record::Recorder;
use crate::report::{JsonLines, Terminal, write_documents, write_out};
use crate::{CliError, connect, exit};
use clap::ArgMatches;
use ilab_engine::{EngineError, Event, Exit, Outcome, PlannedStage, RunRequest, Runner, Stages, plan_all};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs, or prints what would be run.
///
/// # Errors
/// Anything that is wrong with the request, the components, the cluster; and a stage that failed.
pub fn run(args: &RunArgs, loaded: Loaded, flags: &StageFlags, matches: &ArgMatches) -> Result<(), CliError> {
    let request = request(args, &loaded, flags, matches)?;
    if args.dry_run == Some(DryRun::Server) {
        // The server is told nothing of grants; whoever runs it is.
        tell_remarks(&plan_all(&request, &loaded).map_err(|e| engine_error(&e))?);
        let stages: Arc<dyn Stages> = Arc::new(loaded);
        let rehearsed = crate::block_on(async {
            let connection = connect::open(&args.at).await?;
            let rehearsed = ilab_engine::rehearse(&connection.cluster, request, stages).await;
            connection.close().await;
            rehearsed.map_err(|error| engine_error(&error))
        })?;
        return super::rehearse::show(&rehearsed, args.output.output);
    }
    if args.dry_run.is_some() {
        // No client is made on this path: nothing here could write.
        let planned = plan_all(&request, &loaded).map_err(|e| engine_error(&e))?;
        loaded.remember();
        tell_remarks(&planned);
        return print_plans(args.output.output, &planned);
    }
    // Checked again by the runner; here so that a wrong request is refused before a cluster is looked for.
    if args.resume.is_none() && matches.subcommand_name().is_none() {
        plan_all(&request, &loaded).map_err(|e| engine_error(&e))?;
        loaded.remember();
    }
    crate::block_on(carry_out(args, loaded, request))
}

async fn carry_out(args: &RunArgs, loaded: Loaded, mut request: RunRequest) -> Result<(), CliError> {
    let stages: Arc<dyn Stages> = match &args.record {
        Some(folder) => Arc::new(Recorder::new(loaded, folder.clone())?),
        None => Arc::new(loaded),
    };
    let connection = connect::open(&args.at).await?;
    request.namespace = connection.cluster.namespace().to_owned();
    let (events, mut told) = mpsc::channel::<Event>(1024);
    let json = args.output.output == Some(OutputFormat::Json);
    let show = tokio::spawn(async move {
        let mut terminal = Terminal::new();
        while let Some(event) = told.recv().await {
            if json {
                JsonLines.show(&event)?;
            } else {
                terminal.show(&event);
            }
        }
        Ok::<(), CliError>(())
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let interrupted = {
        let stop = stop.clone();
        tokio::spawn(async move {
            if stop_signal().await.is_ok() {
                stop.cancel();
            }
        })
    };
    let outcome = Runner::new(connection.cluster.clone(), stages, request).run(events, stop).await;
    interrupted.abort();
    let shown = show.await.map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    connection.close().await;
    shown?;
    match outcome {
        Ok(Outcome::Finished { .. }) => Ok(()),
        Ok(Outcome::Detached { .. }) => Err(CliError { lines: Vec::new(), hint: None, code: exit::DETACHED }),
        Err(error) => Err(engine_error(&error)),
    }
}

/// Ends when somebody wants this process to stop: a person with Ctrl-C, or a kubelet with SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminated.recv() => Ok(()),
    }
}

fn print_plans(format: Option<OutputFormat>, planned: &[PlannedStage]) -> Result<(), CliError> {
    if format == Some(OutputFormat::Json) {
        let items: Vec<_> = planned
            .iter()
            .map(|p| {
                serde_json::json!({
                    "stage": p.offer.descriptor.name, "file": p.offer.file, "digest": p.offer.digest,
                    "context": p.context, "plan": p.plan,
                })
            })
            .collect();
        return crate::report::print_data(&items, format);
    }
    for stage in planned {
        write_out(&format!(
            "# stage {} from {} ({})\n",
            stage.offer.descriptor.name,
            ilab_wasm::escape::escape(&stage.offer.file),
            stage.offer.digest.short()
        ))?;
        write_documents(&stage.plan.manifests)?;
    }
    Ok(())
}

/// What is to be known of grants, where no events are told.
pub fn tell_remarks(planned: &[PlannedStage]) {
    for remark in planned.iter().flat_map(PlannedStage::remarks) {
        eprintln!("note: {}", ilab_wasm::escape::escape(&remark));
    }
}

/// An engine's error with its exit code. A failed stage has been told in full by its event.
pub fn engine_error(error: &EngineError) -> CliError {
    let code = match error.exit() {
        Exit::Usage => exit::USAGE,
        Exit::Plugin | Exit::Policy => exit::PLUGIN,
        Exit::Unready | Exit::Cluster(_) => exit::CLUSTER,
        Exit::Conflict => exit::RUN_STATE,
        Exit::StageFailed => exit::STAGE_FAILED,
    };
    let hint = error.hint().unwrap_or_default();
    match error {
        EngineError::Unready(findings) => {
            let mut all = CliError::all(code, findings);
            for (line, finding) in all.lines.iter_mut().zip(findings) {
                line.hint = Some(finding.hint.clone()).filter(|hint| !hint.is_empty());
            }
            all
        }
        EngineError::Withheld(withheld) => {
            let mut all = CliError::all(code, withheld);
            for (line, withheld) in all.lines.iter_mut().zip(withheld) {
                line.hint = Some(withheld.hint());
            }
            all
        }
        EngineError::Refused(refused) => CliError::all(code, refused).hint(hint),
        other => CliError::from_error(code, other).hint(hint),
    }
}

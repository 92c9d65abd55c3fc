//! `run`: the workflow, or a part of it.

use crate::args::{OutputFormat, RunArgs, StageFlags};
use crate::load::{Loaded, read_text};
use crate::report::{JsonLines, Terminal, write_out};
use crate::{CliError, connect, exit};
use clap::ArgMatches;
use ilab_core::graph::Offer;
use ilab_core::guard::{Level, Policy};
use ilab_core::names::{RunId, StageName};
use ilab_core::parameters::{Given, parse_values, resolve_selected};
use ilab_engine::{
    ClaimOptions, EngineError, Event, Exit, Outcome, PlannedStage, RunOptions, RunRequest, Runner, plan_all,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs, or prints what would be run.
///
/// # Errors
/// Anything that is wrong with the request, the components, the cluster; and a stage that failed.
pub fn run(args: &RunArgs, loaded: Loaded, flags: &StageFlags, matches: &ArgMatches) -> Result<(), CliError> {
    args.retired.check()?;
    if matches.subcommand_name() == Some("sdg") {
        return Err(CliError::usage("`run sdg` generated data, which is no part of this workflow").hint(
            "generate the data beforehand, upload it with `ilab-host data upload`, and run `ilab-host run`",
        ));
    }
    let request = request(args, &loaded, flags, matches)?;
    if args.dry_run.is_some() {
        // No client is made on this path: nothing here could write.
        let planned = plan_all(&request, &loaded).map_err(|e| engine_error(&e))?;
        return print_plans(args.output.output, &planned);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    // Checked again by the runner; here so that a wrong request is refused before a cluster is looked for.
    if args.resume.is_none() && matches.subcommand_name().is_none() {
        plan_all(&request, &loaded).map_err(|e| engine_error(&e))?;
    }
    runtime.block_on(carry_out(args, loaded, request))
}

async fn carry_out(args: &RunArgs, loaded: Loaded, mut request: RunRequest) -> Result<(), CliError> {
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
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        })
    };
    let outcome = Runner::new(connection.cluster.clone(), Arc::new(loaded), request).run(events, stop).await;
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

fn request(
    args: &RunArgs,
    loaded: &Loaded,
    flags: &StageFlags,
    matches: &ArgMatches,
) -> Result<RunRequest, CliError> {
    let name = args.resume.as_ref().unwrap_or(&args.run);
    let run = RunId::new(name.as_str()).map_err(|e| CliError::from_error(exit::USAGE, &e))?;
    let offers: Vec<Offer> = loaded.pipeline.stages().to_vec();
    let selected: BTreeSet<StageName> = loaded
        .pipeline
        .select(&flags.selection(matches))
        .map_err(|e| CliError::from_error(exit::USAGE, &e))?
        .into_iter()
        .map(|offer| offer.name().clone())
        .collect();
    let values_file = match &args.values {
        Some(path) => {
            let name = path.display().to_string();
            let values =
                parse_values(&read_text(path)?).map_err(|e| CliError::usage(format!("{name}: {e}")))?;
            Some((name, values))
        }
        None => None,
    };
    let given = Given {
        values_file,
        env: flags.env(&loaded.pipeline),
        flags: flags.given(matches),
        sets: args.set.clone(),
    };
    let descriptors: Vec<_> = offers.iter().map(|o| &o.descriptor).collect();
    let parameters =
        resolve_selected(&descriptors, &selected, &given).map_err(|e| CliError::all(exit::USAGE, e))?;
    let mut needed: Vec<String> = offers
        .iter()
        .filter(|o| selected.contains(o.name()))
        .flat_map(|o| o.descriptor.credentials.iter().map(|c| c.name.clone()))
        .collect();
    needed.sort();
    needed.dedup();
    let credentials = args.credentials.sources(&needed)?;
    let config_maps = args.credentials.config_maps();
    let claims = ClaimOptions {
        storage_class: args.storage_class.clone(),
        access_modes: vec![args.access_mode.clone()],
        existing: crate::args::pairs("claim", &args.claim)?,
        sizes: crate::args::pairs("claim-size", &args.claim_size)?,
        ..ClaimOptions::default()
    };
    Ok(RunRequest {
        run,
        namespace: args.at.namespace.clone().unwrap_or_else(|| "default".into()),
        offers,
        selected,
        parameters,
        credentials,
        config_maps,
        claims,
        policy: Policy {
            level: if args.pod_security == "restricted" { Level::Restricted } else { Level::Baseline },
            allowed_registries: args.allow_registry.clone(),
            require_digests: args.require_digests,
        },
        options: RunOptions {
            resume: args.resume.is_some(),
            pending_timeout: Some(args.pending_timeout),
            ..RunOptions::default()
        },
    })
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
    let mut text = String::new();
    for stage in planned {
        let _ = writeln!(
            text,
            "# stage {} from {} ({})",
            stage.offer.descriptor.name,
            ilab_wasm::escape::escape(&stage.offer.file),
            stage.offer.digest.short()
        );
        for manifest in &stage.plan.manifests {
            text.push_str("---\n");
            text.push_str(&crate::report::to_yaml(manifest)?);
        }
    }
    write_out(&text)
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
        EngineError::Unready(findings) => CliError::all(code, findings).hint(hint),
        EngineError::Refused(refused) => CliError::all(code, refused).hint(hint),
        other => CliError::from_error(code, other).hint(hint),
    }
}

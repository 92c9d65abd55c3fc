//! From options to a request, for every verb that takes what `run` takes.

use crate::args::{RunArgs, StageFlags, pairs};
use crate::load::{Loaded, read_text};
use crate::{CliError, exit};
use clap::ArgMatches;
use ilab_core::guard::{Level, Policy};
use ilab_core::names::{RunId, StageName, check_label, check_subdomain};
use ilab_core::parameters::{Given, parse_values, resolve_selected};
use ilab_engine::{ClaimOptions, Resume, RunOptions, RunRequest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is asked for.
///
/// # Errors
/// Anything that is wrong with it and can be told without a cluster.
pub fn request(
    args: &RunArgs,
    loaded: &Loaded,
    flags: &StageFlags,
    matches: &ArgMatches,
) -> Result<RunRequest, CliError> {
    args.retired.check()?;
    if matches.subcommand_name() == Some("sdg") {
        return Err(CliError::usage("`run sdg` generated data, which is no part of this workflow").hint(
            "generate the data beforehand, upload it with `ilab-host data upload`, and run `ilab-host run`",
        ));
    }
    if let Some(namespace) = &args.at.namespace {
        check_label("namespace", namespace)?;
    }
    // Empty means: no class at all, a volume that exists.
    if let Some(class) = args.storage_class.as_ref().filter(|class| !class.is_empty()) {
        check_subdomain("StorageClass", class)?;
    }
    let name = args.resume.as_ref().unwrap_or(&args.run);
    let run = RunId::new(name.as_str())?;
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
    let values_file = match &loaded.file {
        Some(file) => Some(file.values(values_file)),
        None => values_file,
    };
    let given = Given {
        values_file,
        env: flags.env(&loaded.pipeline),
        flags: flags.given(matches),
        sets: args.set.clone(),
    };
    let descriptors: Vec<_> = loaded.pipeline.stages().iter().map(|o| &o.descriptor).collect();
    let parameters =
        resolve_selected(&descriptors, &selected, &given).map_err(|e| CliError::all(exit::USAGE, e))?;
    let mut needed: Vec<String> = loaded
        .pipeline
        .stages()
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
        existing: pairs("claim", &args.claim)?,
        sizes: pairs("claim-size", &args.claim_size)?,
        ..ClaimOptions::default()
    };
    Ok(RunRequest {
        run,
        namespace: args.at.namespace.clone().unwrap_or_else(|| "default".into()),
        pipeline: Arc::clone(&loaded.pipeline),
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
        grants: crate::grants::of_run(args, loaded)?,
        options: RunOptions {
            resume: match (&args.resume, args.resume_if_started) {
                (Some(_), _) => Resume::Always,
                (None, true) => Resume::IfStarted,
                (None, false) => Resume::Never,
            },
            preflight: args.preflight.into(),
            force_conflicts: args.force_conflicts,
            pending_timeout: Some(args.pending_timeout),
            ..RunOptions::default()
        },
    })
}

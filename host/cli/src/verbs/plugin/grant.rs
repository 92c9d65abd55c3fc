//! `plugin grant`: the least that components need, as a diff of the grants file.

use super::load::{Alone, load_all};
use super::sample;
use crate::args::{ContextArgs, GrantArgs};
use crate::grants::{place, read};
use crate::report::{print_data, write_out};
use crate::{CliError, exit};
use ilab_core::contract::{Context, Descriptor};
use ilab_core::grants::{PluginGrant, Proposal, Rendered, document, parse_grants, propose, splice};
use ilab_core::graph::Offer;
use ilab_core::plan::check_plan;
use ilab_core::text::{chain, escaped};
use ilab_wasm::escape::escape;
use similar::TextDiff;
use std::path::{Path, PathBuf};

/// A grants file, as it is and as it would be.
struct Target {
    path: PathBuf,
    before: String,
    after: String,
}

/// Proposes, and writes where asked.
///
/// # Errors
/// A component that cannot be loaded; a grants file that is none or cannot be written; a parameter that is wrong.
pub fn run(args: &GrantArgs) -> Result<(), CliError> {
    let mut plugins: Vec<(PathBuf, Alone)> = Vec::new();
    for source in &args.sources {
        let target = args.grants.clone().unwrap_or_else(|| place(source));
        let loaded = load_all(source, &args.trust)?;
        plugins.extend(loaded.into_iter().map(|alone| (target.clone(), alone)));
    }
    let mut offers: Vec<(usize, Offer)> = Vec::new();
    for (index, (_, alone)) in plugins.iter().enumerate() {
        for descriptor in alone.stages.iter().cloned() {
            let offer = Offer { descriptor, file: alone.name(), digest: alone.plugin.digest().clone() };
            offer.validate().map_err(|e| crate::load::graph_error(&e))?;
            offers.push((index, offer));
        }
    }
    check_sets(&args.set, &offers)?;
    let mut targets: Vec<Target> = Vec::new();
    let mut grants = Vec::new();
    for (index, (path, alone)) in plugins.iter().enumerate() {
        let stages: Vec<&Offer> =
            offers.iter().filter(|(of, _)| *of == index).map(|(_, offer)| offer).collect();
        let (mut proposal, whole) = proposed(path, alone, &stages, &offers, &args.set)?;
        if !args.image.is_empty() {
            proposal.grant.images.clone_from(&args.image);
        }
        if args.no_limits || !whole {
            proposal.grant.limits = None;
        }
        let target = match targets.iter().position(|target| target.path == *path) {
            Some(known) => &mut targets[known],
            None => {
                targets.push(open(path)?);
                targets.last_mut().ok_or_else(|| CliError::new(exit::FAILURE, "a target was lost"))?
            }
        };
        keep(&mut proposal.grant, &target.after)?;
        tell(&proposal);
        let text = document(&proposal.grant, &proposal.unseen);
        target.after = splice(&target.after, &proposal.grant, &text);
        grants.push(proposal.grant);
    }
    for target in &targets {
        // What is written can be read again; an image of the command line may be none.
        parse_grants("", &target.after)
            .map_err(|e| CliError::usage(format!("the grant would be of no use: {e}")))?;
    }
    finish(args, &targets, &grants)
}

fn finish(args: &GrantArgs, targets: &[Target], grants: &[PluginGrant]) -> Result<(), CliError> {
    match args.output.output {
        Some(format) => print_data(&grants, Some(format))?,
        None => write_out(&targets.iter().map(diff).collect::<String>())?,
    }
    for Target { path, before, after } in targets {
        let name = path.display();
        if before == after {
            eprintln!("{name}: nothing to change");
        } else if args.write {
            replace(path, after)
                .map_err(|e| CliError::new(exit::FAILURE, format!("{name}: {}", chain(&e))))?;
            eprintln!("{name}: written");
        } else {
            eprintln!("{name}: not changed; --write does");
        }
    }
    Ok(())
}

/// Whole or not at all: a run that reads it at the same time sees one or the other.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let part = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn open(path: &Path) -> Result<Target, CliError> {
    let before = if path.exists() {
        read(path)?;
        crate::load::read_text(path)?
    } else {
        String::new()
    };
    Ok(Target { path: path.to_owned(), after: before.clone(), before })
}

fn diff(target: &Target) -> String {
    let name = target.path.display().to_string();
    let from = if target.before.is_empty() { "/dev/null" } else { name.as_str() };
    let diff =
        TextDiff::from_lines(&target.before, &target.after).unified_diff().header(from, &name).to_string();
    diff.lines().map(|line| format!("{}\n", escape(line))).collect()
}

/// What one component would be granted, and whether all of its stages could be rendered.
fn proposed(
    target: &Path,
    alone: &Alone,
    stages: &[&Offer],
    all: &[(usize, Offer)],
    sets: &[String],
) -> Result<(Proposal, bool), CliError> {
    let plugin = &alone.plugin;
    let name = name_in(target, alone);
    let mut rendered = Vec::new();
    let mut whole = true;
    for offer in stages {
        let context = context(&offer.descriptor, all, sets)?;
        let empty =
            || ilab_core::contract::Plan { manifests: Vec::new(), targets: Vec::new(), excerpts: Vec::new() };
        let plan = match plugin.render(offer.name(), &context) {
            Ok(plan) => {
                check_plan(&plan, &context, &offer.descriptor)
                    .map_err(|e| CliError::from_error(exit::PLUGIN, &e))?;
                plan
            }
            Err(error) => {
                whole = false;
                eprintln!(
                    "note: {}; its images and resources are not known (try: --set {}.NAME=VALUE, or --image)",
                    escape(&chain(&error)),
                    offer.name()
                );
                empty()
            }
        };
        rendered.push(Rendered { offer: (*offer).clone(), context, plan });
    }
    Ok((propose(&name, plugin.digest(), &rendered), whole))
}

/// What a component is called in a grants file: its reference, without what another build would change; or its file as seen from
/// there, so that the folder can be moved.
fn name_in(target: &Path, alone: &Alone) -> String {
    if let Some(pinned) = &alone.pinned {
        return pinned.reference.unpinned().to_string();
    }
    let (folder, file) = (target.parent().unwrap_or_else(|| Path::new("")), alone.plugin.file());
    let seen = file.strip_prefix(folder).ok().or_else(|| file.file_name().map(Path::new));
    seen.unwrap_or(file).display().to_string()
}

/// Samples, as a dry run has them: the outputs of the other components' stages are sampled by those who hand them on.
fn context(descriptor: &Descriptor, all: &[(usize, Offer)], sets: &[String]) -> Result<Context, CliError> {
    let own = |set: &String| Some(set.strip_prefix(descriptor.name.as_str())?.strip_prefix('.')?.to_owned());
    let given = ContextArgs { context: None, set: sets.iter().filter_map(own).collect() };
    sample::context(descriptor, &given, all.iter().map(|(_, offer)| &offer.descriptor))
}

fn check_sets(sets: &[String], offers: &[(usize, Offer)]) -> Result<(), CliError> {
    let names: Vec<String> = offers.iter().map(|(_, offer)| offer.name().to_string()).collect();
    for set in sets {
        let stage = set.split_once('=').and_then(|(name, _)| name.split_once('.')).map(|(stage, _)| stage);
        if !stage.is_some_and(|stage| names.iter().any(|name| name == stage)) {
            return Err(CliError::usage(format!(
                "--set {set:?} names no parameter of a stage that is offered here"
            ))
            .hint(format!("write STAGE.NAME=VALUE; stages: {}", names.join(", "))));
        }
    }
    Ok(())
}

/// An exemption is for one build: it stays with a component that has not changed, and is told where it goes.
fn keep(grant: &mut PluginGrant, old: &str) -> Result<(), CliError> {
    let known = parse_grants("", old).map_err(|e| CliError::usage(e.to_string()))?.grants;
    if let Some(same) = known.iter().find(|known| known.digest == grant.digest) {
        grant.exemptions.clone_from(&same.exemptions);
        return Ok(());
    }
    let earlier = known.iter().find(|known| !known.plugin.is_empty() && known.plugin == grant.plugin);
    for lost in earlier.into_iter().flat_map(|earlier| &earlier.exemptions) {
        eprintln!(
            "note: the exemption {} {} was for an earlier build and is not kept",
            escaped(&lost.rule, 40),
            escaped(&lost.value, 80)
        );
    }
    Ok(())
}

/// What the diff does not say.
fn tell(proposal: &Proposal) {
    let exempt = |rule: &str| proposal.grant.exemptions.iter().any(|exemption| exemption.rule == rule);
    for (stage, violation) in proposal.refused.iter().filter(|(_, violation)| !exempt(violation.rule)) {
        eprintln!(
            "note: the guard refuses stage {} all the same: {}",
            escape(stage),
            escape(&violation.to_string())
        );
    }
    let liftable = |rule: &str| ["capabilities", "sysctls"].contains(&rule) && !exempt(rule);
    if proposal.refused.iter().any(|(_, violation)| liftable(violation.rule)) {
        eprintln!("note: an exemption is never proposed; docs/grants.md says how one is written");
    }
}

//! `rbac`: the rights that a run needs, as objects for kubectl.

use crate::args::{CredentialArgs, OutputFormat, RbacArgs, pairs};
use crate::load::Loaded;
use crate::manifests::{account, explain, list};
use crate::report::{print_data, to_yaml, write_out};
use crate::{CliError, exit};
use ilab_cluster::{Asks, Names, needs};
use ilab_core::graph::{Offer, Selection};
use ilab_core::names::{RunId, check_label, check_subdomain};
use std::collections::BTreeSet;

/// Prints a ServiceAccount with what the selected groups need. Asks no cluster.
///
/// # Errors
/// A name that Kubernetes would not take, an unknown group, options that contradict each other.
pub fn run(args: &RbacArgs, loaded: &Loaded) -> Result<(), CliError> {
    check_label("namespace", &args.namespace)?;
    check_subdomain("service account", &args.service_account)?;
    let run = args.run.as_ref().map(|name| RunId::new(name.as_str())).transpose()?;
    let mut offers: Vec<&Offer> = Vec::new();
    for group in &args.groups {
        let selection = Selection { group: Some(group.clone()), by: Vec::new() };
        offers.extend(loaded.pipeline.select(&selection).map_err(|e| CliError::from_error(exit::USAGE, &e))?);
    }
    if args.groups.is_empty() {
        offers = loaded.pipeline.stages().iter().collect();
    }
    let needs = needs(&asks(args, run.as_ref(), &offers)?);
    let objects = account(&args.service_account, &args.namespace, &needs)?;
    if args.output.output == Some(OutputFormat::Json) {
        return print_data(&list(&objects), args.output.output);
    }
    let mut text = explain(&needs);
    for object in &objects {
        text.push_str("---\n");
        text.push_str(&to_yaml(object)?);
    }
    write_out(&text)
}

fn asks(args: &RbacArgs, run: Option<&RunId>, offers: &[&Offer]) -> Result<Asks, CliError> {
    let mut asks = Asks {
        run: run.map(ToString::to_string),
        creates: offers.iter().flat_map(|o| o.descriptor.creates.iter().cloned()).collect(),
        queues: args.queues,
        ..Asks::default()
    };
    let credentials: BTreeSet<&String> =
        offers.iter().flat_map(|o| o.descriptor.credentials.iter().map(|c| &c.name)).collect();
    let mut open = Vec::new();
    for name in credentials {
        if !args.credentials.mentions(name) {
            open.push(name.as_str());
            continue;
        }
        let sources = args.credentials.sources(std::slice::from_ref(name))?;
        for credential in offers.iter().flat_map(|o| &o.descriptor.credentials).filter(|c| c.name == *name) {
            sources.values().for_each(|source| ilab_engine::ask_for(&mut asks, credential, source));
        }
        let named = args.credentials.config_maps();
        for config_map in named.get(name).into_iter().flat_map(|keys| keys.values()) {
            asks.reads_config_maps.add(config_map.clone());
        }
    }
    if !open.is_empty() {
        // Which Secrets it will be is not known, nor whether values will be given instead.
        asks.reads_secrets = Names::Any;
        asks.makes_secrets = Names::Any;
        asks.makes_config_maps = Names::Any;
        asks.reads_config_maps = Names::Any;
        eprintln!(
            "note: the Role reads and creates any Secret of the namespace, for {}; name {} to narrow it ({})",
            open.join(", "),
            if open.len() == 1 { "the Secret" } else { "the Secrets" },
            open.iter().map(|name| CredentialArgs::secret_option(name)).collect::<Vec<_>>().join(", "),
        );
    }
    let existing = pairs("claim", &args.claim)?;
    let volumes: BTreeSet<&String> =
        offers.iter().flat_map(|o| o.descriptor.volumes.iter().map(|v| &v.name)).collect();
    for volume in volumes {
        match (existing.get(volume), run) {
            (Some(claim), _) => asks.reads_claims.add(claim.clone()),
            (None, Some(run)) => asks.makes_claims.add(format!("{run}-{volume}")),
            (None, None) => asks.makes_claims = Names::Any,
        }
    }
    Ok(asks)
}

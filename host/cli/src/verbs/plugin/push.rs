//! `plugin push`: a component into a registry.

use super::load::{Alone, load_alone};
use crate::CliError;
use crate::args::{PushArgs, pairs};
use crate::report::print_data;
use ilab_core::contract::Descriptor;
use ilab_registry::{Component, Interface, Registry, push};
use std::collections::{BTreeMap, BTreeSet};

/// Pushes it. What is no stage component is refused here, before others pull it.
pub async fn run(args: PushArgs) -> Result<(), CliError> {
    let mut annotations = pairs("annotation", &args.annotation)?;
    let Alone { plugin, stages, .. } = load_alone(&args.file)?;
    let bytes =
        std::fs::read(&args.file).map_err(|e| CliError::usage(format!("{}: {e}", args.file.display())))?;
    for (key, value) in told(&stages) {
        annotations.entry(key).or_insert(value);
    }
    let component = Component {
        bytes: bytes.into(),
        interface: Interface {
            exports: plugin.exports().to_vec(),
            imports: plugin.imports().to_vec(),
            target: Some(format!("ilab:pipeline/stage-plugin@{}", plugin.wit_version())),
        },
        annotations,
        created: created()?,
    };
    let registry = Registry::new(args.registry.options())?;
    // A wrong password is told before anything is pushed.
    let key = args.key.key.is_some().then(|| super::sign::private_key(&args.key)).transpose()?;
    let pushed = push(&registry, &args.reference, &component).await?;
    if let Some(key) = key {
        super::sign::sign_at(&registry, &pushed.reference, &key, &BTreeMap::new()).await?;
        eprintln!("signed with the key {}", key.public().id());
    }
    if args.output.output.is_some() {
        return print_data(&pushed, args.output.output);
    }
    let how = if pushed.sent { "pushed" } else { "it was there already:" };
    eprintln!("{how} {} ({} bytes)", args.file.display(), component.bytes.len());
    crate::report::write_out(&format!("{}\n", pushed.reference))
}

/// What the component says of itself, under the keys that registries show.
fn told(stages: &[Descriptor]) -> BTreeMap<String, String> {
    // Where its stages say different things, the manifest says nothing.
    let one = |of: &dyn Fn(&Descriptor) -> Option<String>| {
        let all: BTreeSet<String> = stages.iter().filter_map(of).filter(|text| !text.is_empty()).collect();
        all.into_iter().next().filter(|_| stages.iter().filter_map(of).collect::<BTreeSet<_>>().len() == 1)
    };
    let names: Vec<String> = stages.iter().map(|s| s.name.to_string()).collect();
    [
        ("org.opencontainers.image.title", Some(names.join(", "))),
        ("org.opencontainers.image.description", one(&|s| Some(s.summary.clone()))),
        ("org.opencontainers.image.licenses", one(&|s| s.licence.clone())),
        ("org.opencontainers.image.url", one(&|s| s.homepage.clone())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// The same moment for everyone who pushes the same bytes, so that they have one digest everywhere: that of
/// `SOURCE_DATE_EPOCH`, or else the beginning of Unix time.
fn created() -> Result<String, CliError> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse::<i64>().ok(),
        Err(_) => Some(0),
    };
    let moment = seconds.and_then(|s| jiff::Timestamp::from_second(s).ok());
    Ok(moment.ok_or_else(|| CliError::usage("SOURCE_DATE_EPOCH is no number of seconds"))?.to_string())
}

//! The components that a verb is given: a file, a folder, a reference, a lock.

use crate::CliError;
use crate::args::{Source, TrustArgs};
use crate::load::{components, host};
use crate::sources::{Pinned, find};
use ilab_core::contract::Descriptor;
use ilab_core::names::StageName;
use ilab_wasm::Plugin;
use std::path::Path;
use std::rc::Rc;

/// A component and what it offers.
pub struct Alone {
    /// The component.
    pub plugin: Plugin,
    /// Its stages.
    pub stages: Vec<Descriptor>,
    /// The stages of all components that were named with it, its own among them.
    pub known: Rc<[Descriptor]>,
    /// What it is by its registry, where it is from one.
    pub pinned: Option<Pinned>,
}

impl Alone {
    /// What people know it by.
    pub fn name(&self) -> String {
        self.plugin.file().display().to_string()
    }
}

/// Loads one file.
pub fn load_alone(file: &Path) -> Result<Alone, CliError> {
    let plugin = host()?.load(file)?;
    let stages = plugin.stages()?;
    Ok(Alone { plugin, known: stages.clone().into(), stages, pinned: None })
}

/// Loads all that is named; what is from a registry only when somebody vouches for it.
pub fn load_all(source: &Source, trust: &TrustArgs) -> Result<Vec<Alone>, CliError> {
    let found = find(vec![source.clone()], trust)?;
    let mut all = Vec::new();
    for (plugin, pinned) in components(&host()?, &found)? {
        let stages = plugin.stages()?;
        all.push((plugin, stages, pinned));
    }
    let known: Rc<[Descriptor]> = all.iter().flat_map(|(_, stages, _)| stages.iter().cloned()).collect();
    let alone = |(plugin, stages, pinned)| Alone { plugin, stages, known: Rc::clone(&known), pinned };
    Ok(all.into_iter().map(alone).collect())
}

/// Loads the one component that is meant: the only one, or the one that offers a stage.
pub fn load_one(source: &Source, trust: &TrustArgs, stage: Option<&StageName>) -> Result<Alone, CliError> {
    let mut all = load_all(source, trust)?;
    let named = |alone: &Alone| stage.is_none_or(|stage| alone.stages.iter().any(|d| d.name == *stage));
    let mut places = all.iter().enumerate().filter(|(_, alone)| named(alone)).map(|(index, _)| index);
    let place = match (places.next(), places.next(), all.len()) {
        // That it does not offer the stage is told with those that it does offer.
        (_, _, 1) => 0,
        (Some(place), None, _) => place,
        (found, _, _) => return Err(not_one(source, stage, found.is_some(), &all)),
    };
    Ok(all.swap_remove(place))
}

fn not_one(source: &Source, stage: Option<&StageName>, found: bool, all: &[Alone]) -> CliError {
    let offers = all.iter().flat_map(|alone| &alone.stages).map(|d| d.name.to_string()).collect::<Vec<_>>();
    match stage {
        None => CliError::usage(format!("{source} has {} components", all.len()))
            .hint(format!("name a stage ({}), or one of the components", offers.join(", "))),
        Some(stage) if found => {
            CliError::usage(format!("{source} has several components that offer stage {stage}"))
                .hint("name the one that is meant")
        }
        Some(stage) => CliError::usage(format!("{source} offers no stage {:?}", stage.as_str()))
            .hint(format!("it offers {}", offers.join(", "))),
    }
}

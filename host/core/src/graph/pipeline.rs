//! Stages and their order.

use super::error::GraphError;
use crate::contract::Descriptor;
use crate::descriptor::validate_descriptor;
use crate::names::{GroupName, PluginDigest, StageName};
use crate::nearest::nearest;
use std::collections::{BTreeMap, BTreeSet};

/// A stage as a component offers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What the stage says of itself.
    pub descriptor: Descriptor,
    /// The component's file, for messages.
    pub file: String,
    /// The digest of the component.
    pub digest: PluginDigest,
}

impl Offer {
    /// The stage's name.
    #[must_use]
    pub fn name(&self) -> &StageName {
        &self.descriptor.name
    }

    /// Checks everything about it that does not need other stages.
    ///
    /// # Errors
    /// [`GraphError::Descriptor`] with everything that is wrong with its descriptor.
    pub fn validate(&self) -> Result<(), GraphError> {
        let errors = validate_descriptor(&self.descriptor);
        if errors.is_empty() {
            return Ok(());
        }
        Err(GraphError::Descriptor { file: self.file.clone(), digest: self.digest.clone(), errors })
    }
}

/// All stages, in an order in which each comes after those it follows.
#[derive(Debug, Clone)]
pub struct Pipeline {
    offers: Vec<Offer>,
    /// The stages that each follows and that are there; `?` resolved.
    after: BTreeMap<StageName, BTreeSet<StageName>>,
}

impl Pipeline {
    /// Orders the stages.
    ///
    /// The order does not depend on the order of the offers: among stages that could come next, the first by name does.
    ///
    /// # Errors
    /// [`GraphError`]: no stage, an invalid descriptor, two offers of one name, an unknown stage in `after`, a circle, an
    /// input that nobody hands on or whose stage is not followed, flags that contradict each other.
    pub fn new(offers: Vec<Offer>) -> Result<Self, GraphError> {
        for offer in &offers {
            offer.validate()?;
        }
        Self::of_valid(offers)
    }

    /// As [`new`](Self::new), of offers that [`Offer::validate`] has nothing against: to check all their schemas is most of
    /// the work, and need not be done twice.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), but for invalid descriptors.
    pub fn of_valid(offers: Vec<Offer>) -> Result<Self, GraphError> {
        Self::ranked(offers, &BTreeMap::new())
    }

    /// As [`of_valid`](Self::of_valid); among stages that could come next, the one of the lowest rank does, then the first
    /// by name.
    pub(super) fn ranked(offers: Vec<Offer>, rank: &BTreeMap<StageName, usize>) -> Result<Self, GraphError> {
        if offers.is_empty() {
            return Err(GraphError::Empty);
        }
        let mut by_name: BTreeMap<StageName, Offer> = BTreeMap::new();
        for offer in offers {
            if let Some(first) = by_name.get(offer.name()) {
                return Err(GraphError::Duplicate {
                    stage: offer.name().clone(),
                    first: first.file.clone(),
                    second: offer.file,
                });
            }
            by_name.insert(offer.name().clone(), offer);
        }
        let after = resolve_after(&by_name)?;
        let order = order(&by_name, &after, rank)?;
        check_inputs(&by_name, &after, &order)?;
        let offers: Vec<Offer> = order.iter().filter_map(|name| by_name.remove(name)).collect();
        let pipeline = Self { offers, after };
        pipeline.check_selectors()?;
        Ok(pipeline)
    }

    /// All stages in order.
    #[must_use]
    pub fn stages(&self) -> &[Offer] {
        &self.offers
    }

    /// The stage of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.name().as_str() == name)
    }

    /// The groups, in the order of their first stages.
    #[must_use]
    pub fn groups(&self) -> Vec<&GroupName> {
        let mut seen = BTreeSet::new();
        self.offers.iter().map(|offer| &offer.descriptor.group).filter(|group| seen.insert(*group)).collect()
    }

    /// The stages of the pipeline that this one directly follows.
    pub fn after(&self, stage: &str) -> impl Iterator<Item = &StageName> {
        self.after.get(stage).into_iter().flatten()
    }

    /// The selected stages that may start: not done, and everything that they directly or indirectly follow is done, as
    /// far as it is selected. In order; stages that run already are among them.
    #[must_use]
    pub fn ready(&self, selected: &BTreeSet<StageName>, done: &BTreeSet<StageName>) -> Vec<StageName> {
        // In order, so that whether a stage waits for something is known before its followers are asked.
        let mut waiting: BTreeSet<&StageName> = BTreeSet::new();
        let mut ready = Vec::new();
        for name in self.offers.iter().map(Offer::name) {
            let blocked = self.after(name.as_str()).any(|before| waiting.contains(before));
            let open = selected.contains(name) && !done.contains(name);
            if open && !blocked {
                ready.push(name.clone());
            }
            // A stage that is not selected hands its own waiting on: a → b → c with b left out still means a before c.
            if open || (blocked && !done.contains(name)) {
                waiting.insert(name);
            }
        }
        ready
    }
}

fn names(by_name: &BTreeMap<StageName, Offer>) -> Vec<String> {
    by_name.keys().map(ToString::to_string).collect()
}

fn resolve_after(
    by_name: &BTreeMap<StageName, Offer>,
) -> Result<BTreeMap<StageName, BTreeSet<StageName>>, GraphError> {
    let mut after = BTreeMap::new();
    for (name, offer) in by_name {
        let mut before = BTreeSet::new();
        for wanted in &offer.descriptor.after {
            let (bare, optional) =
                wanted.strip_prefix('?').map_or((wanted.as_str(), false), |bare| (bare, true));
            match by_name.get_key_value(bare) {
                Some((known, _)) => drop(before.insert(known.clone())),
                None if optional => {}
                None => {
                    let valid = names(by_name);
                    return Err(GraphError::UnknownAfter {
                        stage: name.clone(),
                        file: offer.file.clone(),
                        after: bare.to_owned(),
                        nearest: nearest(bare, valid.iter().filter(|valid| *valid != name.as_str())),
                        valid,
                    });
                }
            }
        }
        after.insert(name.clone(), before);
    }
    Ok(after)
}

fn order(
    by_name: &BTreeMap<StageName, Offer>,
    after: &BTreeMap<StageName, BTreeSet<StageName>>,
    rank: &BTreeMap<StageName, usize>,
) -> Result<Vec<StageName>, GraphError> {
    let mut placed = BTreeSet::new();
    let mut order = Vec::with_capacity(by_name.len());
    while order.len() < by_name.len() {
        let could =
            after.iter().filter(|(name, before)| !placed.contains(*name) && before.is_subset(&placed));
        // The first of several of one rank.
        let next = could.min_by_key(|(name, _)| rank.get(*name));
        let Some((name, _)) = next else {
            return Err(GraphError::Cycle { path: cycle(by_name, after, &placed) });
        };
        placed.insert(name.clone());
        order.push(name.clone());
    }
    Ok(order)
}

/// Follows `after` among the stages that could not be placed until one comes again.
fn cycle(
    by_name: &BTreeMap<StageName, Offer>,
    after: &BTreeMap<StageName, BTreeSet<StageName>>,
    placed: &BTreeSet<StageName>,
) -> Vec<(StageName, String)> {
    let mut walk: Vec<&StageName> = Vec::new();
    let mut here = after.keys().find(|name| !placed.contains(*name));
    while let Some(name) = here {
        if let Some(start) = walk.iter().position(|seen| *seen == name) {
            walk.drain(..start);
            break;
        }
        walk.push(name);
        here = after.get(name).and_then(|before| before.iter().find(|before| !placed.contains(*before)));
    }
    walk.into_iter()
        .map(|name| (name.clone(), by_name.get(name).map(|offer| offer.file.clone()).unwrap_or_default()))
        .collect()
}

fn check_inputs(
    by_name: &BTreeMap<StageName, Offer>,
    after: &BTreeMap<StageName, BTreeSet<StageName>>,
    order: &[StageName],
) -> Result<(), GraphError> {
    let mut ancestors: BTreeMap<&StageName, BTreeSet<&StageName>> = BTreeMap::new();
    for name in order {
        let mut all = BTreeSet::new();
        for before in after.get(name).into_iter().flatten() {
            all.insert(before);
            all.extend(ancestors.get(before).into_iter().flatten().copied());
        }
        ancestors.insert(name, all);
    }
    for (name, offer) in by_name {
        for wanted in &offer.descriptor.inputs {
            let (input, optional) =
                wanted.strip_prefix('?').map_or((wanted.as_str(), false), |bare| (bare, true));
            let (stage, output) = input.split_once('.').unwrap_or((input, ""));
            let producer = by_name
                .get(stage)
                .filter(|producer| producer.descriptor.outputs.iter().any(|known| known.name == output));
            match producer {
                Some(producer) if !ancestors.get(name).is_some_and(|all| all.contains(producer.name())) => {
                    return Err(GraphError::InputNotAfter {
                        stage: name.clone(),
                        file: offer.file.clone(),
                        input: input.to_owned(),
                        producer: producer.name().clone(),
                    });
                }
                Some(_) => {}
                None if optional => {}
                None => {
                    let valid: Vec<String> = by_name
                        .values()
                        .filter(|other| other.name() != name)
                        .flat_map(|other| {
                            other
                                .descriptor
                                .outputs
                                .iter()
                                .map(move |output| format!("{}.{}", other.name(), output.name))
                        })
                        .collect();
                    return Err(GraphError::UnknownInput {
                        stage: name.clone(),
                        file: offer.file.clone(),
                        input: input.to_owned(),
                        nearest: nearest(input, &valid),
                        valid,
                    });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

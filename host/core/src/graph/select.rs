//! What a command selects of a pipeline.

use super::error::GraphError;
use super::flags::flags;
use super::pipeline::{Offer, Pipeline};
use crate::names::GroupName;
use crate::nearest::nearest;

/// What a command asks for: everything, a group, or some stages of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The group; none means all stages.
    pub group: Option<String>,
    /// Selector flags without dashes and their values, for example `("training-phase", "1")`.
    pub by: Vec<(String, String)>,
}

/// A flag that picks stages out of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorInfo {
    /// The flag without dashes.
    pub flag: String,
    /// The group it belongs to.
    pub group: GroupName,
    /// Its valid values, in the order of the stages.
    pub values: Vec<String>,
}

impl Pipeline {
    /// The flags that pick stages out of a group, in the order of the stages.
    #[must_use]
    pub fn selectors(&self) -> Vec<SelectorInfo> {
        let mut found: Vec<SelectorInfo> = Vec::new();
        for offer in self.stages() {
            let Some(selector) = &offer.descriptor.selected_by else { continue };
            match found.iter_mut().find(|info| info.flag == selector.flag) {
                Some(info) if info.values.contains(&selector.value) => {}
                Some(info) => info.values.push(selector.value.clone()),
                None => found.push(SelectorInfo {
                    flag: selector.flag.clone(),
                    group: offer.descriptor.group.clone(),
                    values: vec![selector.value.clone()],
                }),
            }
        }
        found
    }

    /// The selected stages in order.
    ///
    /// Without a group: all. With one: its stages, or, when selector flags are given, those that one of them picks and
    /// those that no flag picks.
    ///
    /// # Errors
    /// [`GraphError`] for an unknown group, a selector flag without its group, or an unknown value; each lists the valid ones.
    pub fn select(&self, selection: &Selection) -> Result<Vec<&Offer>, GraphError> {
        let selectors = self.selectors();
        let of_group =
            |group: &str| selectors.iter().filter(|info| info.group.as_str() == group).collect::<Vec<_>>();
        let Some(group) = &selection.group else {
            return match selection.by.first() {
                None => Ok(self.stages().iter().collect()),
                Some((flag, _)) => Err(GraphError::UnknownSelector {
                    flag: flag.clone(),
                    group: "a whole run".into(),
                    valid: selectors
                        .iter()
                        .map(|info| format!("--{} (of {})", info.flag, info.group))
                        .collect(),
                }),
            };
        };
        let stages: Vec<&Offer> =
            self.stages().iter().filter(|offer| offer.descriptor.group.as_str() == group).collect();
        if stages.is_empty() {
            let valid: Vec<String> = self.groups().into_iter().map(ToString::to_string).collect();
            return Err(GraphError::UnknownGroup {
                group: group.clone(),
                nearest: nearest(group, &valid),
                valid,
            });
        }
        for (flag, value) in &selection.by {
            let Some(info) = of_group(group).into_iter().find(|info| info.flag == *flag) else {
                return Err(GraphError::UnknownSelector {
                    flag: flag.clone(),
                    group: group.clone(),
                    valid: of_group(group).into_iter().map(|info| format!("--{}", info.flag)).collect(),
                });
            };
            if !info.values.contains(value) {
                return Err(GraphError::UnknownValue {
                    flag: flag.clone(),
                    value: value.clone(),
                    group: group.clone(),
                    nearest: nearest(value, &info.values),
                    valid: info.values.clone(),
                });
            }
        }
        let picked = |offer: &&Offer| match &offer.descriptor.selected_by {
            None => true,
            Some(selector) => {
                selection.by.is_empty()
                    || selection
                        .by
                        .iter()
                        .any(|(flag, value)| *flag == selector.flag && *value == selector.value)
            }
        };
        Ok(stages.into_iter().filter(picked).collect())
    }

    /// A selector flag belongs to one group and sets no parameter.
    pub(super) fn check_selectors(&self) -> Result<(), GraphError> {
        for info in self.selectors() {
            let stray = self.stages().iter().find(|offer| {
                offer.descriptor.selected_by.as_ref().is_some_and(|selector| selector.flag == info.flag)
                    && offer.descriptor.group != info.group
            });
            if let Some(stray) = stray {
                return Err(GraphError::SelectorGroups {
                    flag: info.flag,
                    first: info.group.to_string(),
                    second: stray.descriptor.group.to_string(),
                });
            }
        }
        let descriptors: Vec<_> = self.stages().iter().map(|offer| &offer.descriptor).collect();
        for flag in flags(&descriptors)? {
            let selecting = self.stages().iter().find(|offer| {
                offer.descriptor.selected_by.as_ref().is_some_and(|selector| selector.flag == flag.flag)
            });
            if let (Some(offer), Some(target)) = (selecting, flag.sets.first()) {
                return Err(GraphError::FlagSelects {
                    parameter: target.to_string(),
                    stage: offer.name().clone(),
                    flag: flag.flag,
                });
            }
        }
        Ok(())
    }
}

//! The flags that stages answer to.

use super::error::GraphError;
use crate::contract::Descriptor;
use crate::names::StageName;
use serde_json::Value;
use std::fmt;

/// One flag of `run` and what it sets.
#[derive(Debug, Clone, PartialEq)]
pub struct FlagInfo {
    /// The flag without dashes.
    pub flag: String,
    /// One line for people: the first stage's.
    pub help: String,
    /// The JSON Schema fragment that all stages agree on.
    pub schema: Value,
    /// The environment variables that stand in for it, each once.
    pub env: Vec<String>,
    /// The parameters that it sets, in the order of the stages.
    pub sets: Vec<FlagTarget>,
}

/// A parameter that a flag sets.
#[derive(Debug, Clone, PartialEq)]
pub struct FlagTarget {
    /// The stage.
    pub stage: StageName,
    /// The parameter.
    pub parameter: String,
    /// Its default in this stage; none: it is required.
    pub default: Option<Value>,
}

impl fmt::Display for FlagTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.parameter)
    }
}

impl FlagInfo {
    /// The default, where all stages have the same; none when they differ or one has none.
    #[must_use]
    pub fn default(&self) -> Option<&Value> {
        let first = self.sets.first()?.default.as_ref()?;
        self.sets.iter().all(|target| target.default.as_ref() == Some(first)).then_some(first)
    }

    /// Whether some stage has no default for it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.sets.iter().any(|target| target.default.is_none())
    }
}

/// The distinct flags of these stages, in the order in which they first come.
///
/// # Errors
/// [`GraphError::FlagSchemas`] when two stages give one flag different schemas.
///
/// ```
/// use ilab_core::graph::flags;
/// assert!(flags(&[])?.is_empty());
/// # Ok::<(), ilab_core::graph::GraphError>(())
/// ```
pub fn flags(descriptors: &[&Descriptor]) -> Result<Vec<FlagInfo>, GraphError> {
    let mut found: Vec<FlagInfo> = Vec::new();
    for descriptor in descriptors {
        for parameter in &descriptor.parameters {
            let Some(flag) = &parameter.flag else { continue };
            let target = FlagTarget {
                stage: descriptor.name.clone(),
                parameter: parameter.name.clone(),
                default: parameter.default.clone(),
            };
            let Some(info) = found.iter_mut().find(|info| info.flag == *flag) else {
                found.push(FlagInfo {
                    flag: flag.clone(),
                    help: parameter.help.clone(),
                    schema: parameter.schema.clone(),
                    env: parameter.env.iter().cloned().collect(),
                    sets: vec![target],
                });
                continue;
            };
            if info.schema != parameter.schema {
                return Err(GraphError::FlagSchemas {
                    flag: flag.clone(),
                    first: info.sets.first().map(ToString::to_string).unwrap_or_default(),
                    second: target.to_string(),
                });
            }
            info.env.extend(
                parameter.env.iter().filter(|env| !info.env.contains(env)).cloned().collect::<Vec<_>>(),
            );
            info.sets.push(target);
        }
    }
    Ok(found)
}

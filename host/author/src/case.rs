//! Cases: what a stage is given, and what must come of it.
//!
//! A case is a folder. `case.yaml` says what is given; `plan.yaml` is the plan, `observed.yaml` what became of its objects.
//! A recorded run has the same files.

use ilab_core::contract::{Context, ObjectRef, Plan};
use ilab_core::names::StageName;
use ilab_core::verdict::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `case.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// The stage; may be left out when the component offers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageName>,
    /// The whole context, of a recorded run. Without it, the stage's defaults and samples, with what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Parameters, as `--set` would give them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Outputs of other stages, as `stage.output`. One that is null is not known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    /// What each container printed that the plan reads, in the plan's order; none: `collect` is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<String>>,
    /// The outputs that must come of the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Map<String, Value>>,
    /// Why the stage must refuse: part of what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One look at an object, and what it means by the plan's predicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Observation {
    /// The object.
    pub object: ObjectRef,
    /// How it was seen; null: it was not there.
    pub state: Option<Value>,
    /// What that means.
    pub verdict: Saw,
}

/// A [`Verdict`] in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saw {
    /// It is done.
    Succeeded,
    /// It will never be done, and why.
    Failed(String),
    /// It is waited for, and what for.
    Pending(String),
}

impl From<Verdict> for Saw {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Succeeded => Self::Succeeded,
            Verdict::Failed { reason } => Self::Failed(reason),
            Verdict::Pending { why } => Self::Pending(why),
        }
    }
}

/// A case cannot be read or written.
#[derive(Debug, Error)]
pub enum CaseError {
    /// A file or folder cannot be used.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file says what none should.
    #[error("{}: {detail}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is none.
    #[error("{} holds no case: no folder in it has a case.yaml", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
}

impl Case {
    /// Reads `case.yaml` of a case's folder.
    ///
    /// # Errors
    /// [`CaseError`] when it is not there, or says what no case says.
    pub fn read(folder: &Path) -> Result<Self, CaseError> {
        let path = folder.join("case.yaml");
        let case: Self = read(&path)?;
        let invalid = |detail: &str| CaseError::Invalid { path: path.clone(), detail: detail.to_owned() };
        if case.context.is_some() && !(case.set.is_empty() && case.inputs.is_empty()) {
            return Err(invalid("a case with a context has no set and no inputs: they are in it"));
        }
        if case.error.is_some() && case.outputs.is_some() {
            return Err(invalid("a case has outputs or an error, not both"));
        }
        if case.outputs.is_some() && case.logs.is_none() {
            return Err(invalid("outputs come of logs, and there are none"));
        }
        Ok(case)
    }

    /// Writes a case's folder.
    ///
    /// # Errors
    /// [`CaseError::Io`].
    pub fn write(&self, folder: &Path, plan: &Plan, observed: &[Observation]) -> Result<(), CaseError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| CaseError::Io { path: folder.to_owned(), source })?;
        write(&folder.join("case.yaml"), self)?;
        write(&folder.join("plan.yaml"), plan)?;
        write(&folder.join("observed.yaml"), &observed)
    }
}

/// The cases of a folder, by name: every folder in it, at any depth, that has a `case.yaml`.
///
/// # Errors
/// [`CaseError`] when there is none, or the folder cannot be read.
pub fn load_cases(folder: &Path) -> Result<Vec<(String, PathBuf)>, CaseError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let io = |source| CaseError::Io { path: next.clone(), source };
        for entry in std::fs::read_dir(&next).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_type().map_err(io)?.is_dir() {
                folders.push(entry.path());
            }
        }
        if next.join("case.yaml").is_file() {
            let name = next.strip_prefix(folder).unwrap_or(&next).display().to_string();
            found.push((if name.is_empty() { ".".to_owned() } else { name }, next));
        }
    }
    if found.is_empty() {
        return Err(CaseError::None { folder: folder.to_owned() });
    }
    found.sort();
    Ok(found)
}

/// Reads a YAML file.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CaseError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CaseError::Io { path: path.to_owned(), source })?;
    serde_saphyr::from_str(&text)
        .map_err(|error| CaseError::Invalid { path: path.to_owned(), detail: error.to_string() })
}

/// Writes a YAML file.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), CaseError> {
    let text = serde_saphyr::to_string(value)
        .map_err(|error| CaseError::Invalid { path: path.to_owned(), detail: error.to_string() })?;
    std::fs::write(path, text).map_err(|source| CaseError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("case.yaml"), text).unwrap();
        Case::read(folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn a_case_that_makes_no_sense_is_refused() {
        assert!(refused("sets: {a: 1}").contains("sets"), "{}", refused("sets: {a: 1}"));
        assert!(refused("outputs: {a: 1}").ends_with("outputs come of logs, and there are none"));
        assert!(refused("error: no\nlogs: []\noutputs: {}").ends_with("an error, not both"));
    }

    #[test]
    fn cases_are_found_at_any_depth_and_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(load_cases(folder.path()), Err(CaseError::None { .. })));
        for name in ["b", "a/deep"] {
            let at = folder.path().join(name);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("case.yaml"), "{}").unwrap();
        }
        let names: Vec<String> = load_cases(folder.path()).unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["a/deep", "b"]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { logs: Some(vec!["a\nb\n".to_owned()]), ..Case::default() };
        let plan = Plan { manifests: vec![], targets: vec![], excerpts: vec![] };
        let object = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() };
        let observed = [
            Observation { object: object.clone(), state: None, verdict: Saw::Pending("why".into()) },
            Observation { object, state: Some(serde_json::json!({"a": 1})), verdict: Saw::Succeeded },
        ];
        case.write(folder.path(), &plan, &observed).unwrap();
        assert_eq!(Case::read(folder.path()).unwrap(), case);
        assert_eq!(read::<Vec<Observation>>(&folder.path().join("observed.yaml")).unwrap(), observed);
    }
}

//! Python sources as a component: componentize-py, with every import of WASI stubbed.

use super::output::put;
use super::project::{checked, contract, parse_json};
use super::tools::{COMPONENTIZE_PY, Tools, path_list, printed, program, run};
use super::{BuildError, Built, Facts, metadata};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `pyproject.toml`, as far as it matters here.
#[derive(Deserialize)]
struct Pyproject {
    project: Project,
    #[serde(default)]
    tool: Tool,
}

#[derive(Deserialize)]
struct Project {
    name: String,
    #[serde(default)]
    version: String,
    description: Option<String>,
    license: Option<Licence>,
    #[serde(default)]
    urls: BTreeMap<String, String>,
}

/// An SPDX expression, or the table of older projects.
#[derive(Deserialize)]
#[serde(untagged)]
enum Licence {
    Expression(String),
    Table { text: Option<String> },
}

#[derive(Default, Deserialize)]
struct Tool {
    #[serde(rename = "ilab-stage")]
    stage: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The module with `STAGES`.
    module: String,
    /// Folders of the project that are searched for modules besides its own.
    #[serde(default)]
    paths: Vec<PathBuf>,
}

/// A module that loads the author's stages and exports them. Its name is one that no project uses.
const APP: &str = "ilab_stage_component";

/// Builds a Python project.
pub(super) fn build(dir: &Path, tools: &Tools<'_>, output: &Path) -> Result<Built, BuildError> {
    let manifest = dir.join("pyproject.toml");
    let bad = |detail: &str| BuildError::BadProject { file: manifest.clone(), detail: detail.to_owned() };
    let pyproject: Pyproject = parse_json(&manifest, &as_json(&manifest)?)?;
    let settings = pyproject
        .tool
        .stage
        .ok_or_else(|| bad("it has no [tool.ilab-stage] with the `module` that holds STAGES"))?;
    if settings.module.split('.').any(|part| !is_identifier(part)) {
        return Err(bad("[tool.ilab-stage] module is no name of a Python module"));
    }
    let facts = checked(&manifest, facts(pyproject.project))?;
    let tool = tools.componentize_py()?;
    let io = |source| BuildError::Io { path: std::env::temp_dir(), source };
    let scratch = tempfile::tempdir().map_err(io)?;
    let app = format!(
        "from {} import STAGES\nfrom ilab_stage.component import export\n\nStage = export(STAGES)\n",
        settings.module
    );
    std::fs::write(scratch.path().join(format!("{APP}.py")), app).map_err(io)?;
    let made = scratch.path().join("component.wasm");
    let mut command = program("python3");
    command
        .args([
            "-c",
            "import sys, componentize_py; sys.argv[0] = 'componentize-py'; componentize_py.script()",
        ])
        .args(["--quiet", "--world", "stage-plugin", "--wit-path"])
        .arg(contract(dir, scratch.path())?)
        .args(["componentize", "--stub-wasi", APP, "--output"])
        .arg(&made)
        .env("PYTHONPATH", path_list(&[&tool])?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // What went wrong is in Python: where in the tool it came to light helps nobody.
        .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")]);
    let own = [scratch.path().to_owned(), dir.to_owned()];
    for folder in own.into_iter().chain(settings.paths.iter().map(|path| dir.join(path))) {
        command.arg("--python-path").arg(folder);
    }
    run(COMPONENTIZE_PY, command)?;
    let mut component = std::fs::read(&made).map_err(io)?;
    metadata::append(&mut component, &facts);
    put(output, &component)
}

/// Python reads TOML, which it needs for itself.
fn as_json(manifest: &Path) -> Result<Vec<u8>, BuildError> {
    let mut command = program("python3");
    command
        .args(["-c", "import json, sys, tomllib; print(json.dumps(tomllib.load(open(sys.argv[1], 'rb')), default=str))"])
        .arg(manifest);
    match printed("python3", &mut command) {
        Err(BuildError::Tool { detail, .. }) => Err(BuildError::BadProject {
            file: manifest.to_owned(),
            // The last line is what went wrong, the others where in Python.
            detail: match detail.lines().last().unwrap_or_default() {
                "ModuleNotFoundError: No module named 'tomllib'" => {
                    "Python 3.11 or later is needed".to_owned()
                }
                other => other.to_owned(),
            },
        }),
        other => other,
    }
}

fn is_identifier(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn facts(project: Project) -> Facts {
    let url = |names: &[&str]| {
        project
            .urls
            .iter()
            .find(|(name, _)| names.contains(&name.to_lowercase().as_str()))
            .map(|(_, u)| u.clone())
    };
    Facts {
        homepage: url(&["homepage"]),
        source: url(&["source", "repository", "github"]),
        name: project.name,
        version: project.version,
        description: project.description,
        licence: project.license.and_then(|licence| match licence {
            Licence::Expression(text) => Some(text),
            Licence::Table { text } => text,
        }),
    }
}

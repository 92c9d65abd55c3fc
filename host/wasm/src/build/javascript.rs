//! JavaScript or TypeScript sources as a component: bundled by rolldown, run by QuickJS, every import of WASI stubbed.
//!
//! These are the parts that jco is made of. jco itself brings three more engines (350 MB), and its bundling looks at the
//! contract through a WASI that does not find files on every machine.

use super::output::put;
use super::project::{checked, contract, read_json};
use super::tools::{Tools, program, run};
use super::{BuildError, Built, Facts, metadata, quickjs};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `package.json`, as far as it matters here.
#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    description: Option<String>,
    license: Option<String>,
    homepage: Option<String>,
    repository: Option<Repository>,
    #[serde(rename = "ilab-stage")]
    stage: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Repository {
    Short(String),
    Long { url: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The module that exports `stages`.
    module: PathBuf,
    /// Where the SDK is.
    sdk: PathBuf,
}

/// Bundles, and makes a component of the bundle: entry, contract, output.
const DRIVER: &str = include_str!("javascript.mjs");

/// Builds a JavaScript or TypeScript project.
pub(super) fn build(dir: &Path, tools: &Tools<'_>, output: &Path) -> Result<Built, BuildError> {
    let manifest = dir.join("package.json");
    let bad = |detail: String| BuildError::BadProject { file: manifest.clone(), detail };
    let package: Package = read_json(&manifest)?;
    let settings = package.stage.ok_or_else(|| {
        bad("it has no \"ilab-stage\" with the `module` that exports stages and the folder `sdk`".to_owned())
    })?;
    let io = |source| BuildError::Io { path: dir.to_owned(), source };
    let dir = dir.canonicalize().map_err(io)?;
    let find = |what: &str, path: PathBuf| {
        if path.is_file() {
            Ok(path)
        } else {
            Err(bad(format!("\"ilab-stage\".{what}: {} is not there", path.display())))
        }
    };
    let module = find("module", dir.join(&settings.module))?;
    let glue = find("sdk", dir.join(&settings.sdk).join("component.js"))?;
    let facts = Facts {
        name: package.name,
        version: package.version,
        description: package.description,
        licence: package.license,
        homepage: package.homepage,
        source: package.repository.map(|repository| match repository {
            Repository::Short(text) | Repository::Long { url: text } => text,
        }),
    };
    let facts = checked(&manifest, facts)?;
    let tool = tools.javascript()?.join("node_modules");
    if dir.join("tsconfig.json").is_file() {
        let mut check = program("node");
        check
            .arg(tool.join("typescript/bin/tsc"))
            .args(["--noEmit", "--project"])
            .arg(&dir)
            .current_dir(&dir);
        run("tsc", check)?;
    }
    let scratch = tempfile::tempdir().map_err(io)?;
    let entry = scratch.path().join("component.js");
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let text = format!(
        "import {{ stages }} from {};\nimport {{ exported }} from {};\nexport const stage = exported(stages);\n",
        quoted(&module),
        quoted(&glue)
    );
    std::fs::write(&entry, text).map_err(io)?;
    // Modules are looked for beside the one that asks for them.
    std::os::unix::fs::symlink(&tool, scratch.path().join("node_modules")).map_err(io)?;
    let driver = scratch.path().join("build.mjs");
    std::fs::write(&driver, DRIVER).map_err(io)?;
    let made = scratch.path().join("component.wasm");
    let mut command = program("node");
    command.arg(&driver).arg(&entry).arg(contract(&dir, scratch.path())?).arg(&made);
    match quickjs::runtime(&tool) {
        Some(runtime) => {
            let engine = scratch.path().join("quickjs.wasm");
            std::fs::write(&engine, runtime).map_err(io)?;
            command.arg(engine);
        }
        // A component it is all the same.
        None => tools
            .say("QuickJS is not found as it should be: another build of these sources will not be the same"),
    }
    run("the bundler or QuickJS", command)?;
    let mut component = std::fs::read(&made).map_err(io)?;
    metadata::append(&mut component, &facts);
    put(output, &component)
}

//! Go sources as a component: a WASI module from the Go toolchain, made a component in process with wasmtime's adapter.

use super::output::put;
use super::project::{checked, contract, read_json};
use super::tools::{program, run};
use super::{BuildError, Built, Facts, metadata};
use crate::encode::encode_wasi;
use serde::Deserialize;
use std::path::Path;

/// `stage.json`: what other languages have a place for in their own manifest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    description: Option<String>,
    license: Option<String>,
    homepage: Option<String>,
    source: Option<String>,
}

/// Builds a Go project.
pub(super) fn build(dir: &Path, output: &Path) -> Result<Built, BuildError> {
    let manifest = dir.join("stage.json");
    if !manifest.is_file() {
        let detail = "it is missing: a JSON object with name, version, license and the like".to_owned();
        return Err(BuildError::BadProject { file: manifest, detail });
    }
    let stage: Stage = read_json(&manifest)?;
    let facts = Facts {
        name: stage.name,
        version: stage.version,
        description: stage.description,
        licence: stage.license,
        homepage: stage.homepage,
        source: stage.source,
    };
    let facts = checked(&manifest, facts)?;
    let io = |source| BuildError::Io { path: dir.to_owned(), source };
    let scratch = tempfile::tempdir().map_err(io)?;
    let made = scratch.path().join("module.wasm");
    let mut command = program("go");
    command
        .args(["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])
        .arg(&made)
        .arg(".")
        .current_dir(dir)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0"), ("GOWORK", "off")]);
    run("go build", command)?;
    let module = std::fs::read(&made).map_err(io)?;
    let wit = contract(dir, scratch.path())?;
    let mut component = encode_wasi(module, &wit)
        .map_err(|source| BuildError::Encode { package: facts.name.clone(), source })?;
    metadata::append(&mut component, &facts);
    put(output, &component)
}

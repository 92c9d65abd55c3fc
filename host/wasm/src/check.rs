//! Is it a stage plugin, and may it have what it asks for? Answered from names alone, before anything is linked.

use crate::WIT_VERSION;
use crate::error::LoadProblem;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

const PACKAGE: &str = "ilab:pipeline";
/// WASI packages that an empty context can serve.
const WASI: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The contract's version that it was built for.
    pub(crate) wit_version: String,
    /// Whether it asks for WASI.
    pub(crate) wasi: bool,
    /// Everything that it exports.
    pub(crate) exports: Vec<String>,
    /// Everything that it asks for.
    pub(crate) imports: Vec<String>,
}

/// Tells components from the other things that a `.wasm` file may hold, by the first eight bytes.
pub(crate) fn header(bytes: &[u8]) -> Result<(), LoadProblem> {
    match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadProblem::CoreModule),
        [b'\0', b'a', b's', b'm', ..] if bytes.len() < 8 => Err(LoadProblem::Truncated),
        _ => Err(LoadProblem::NotWasm),
    }
}

/// Checks what a component exports and imports.
pub(crate) fn interface(engine: &Engine, component: &Component) -> Result<Facts, LoadProblem> {
    let ty = component.component_type();
    let exports = ty.exports(engine).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    names(&exports, &imports)
}

fn names(exports: &[String], imports: &[String]) -> Result<Facts, LoadProblem> {
    let versions = exports.iter().filter_map(|name| version_of(name, "stage")).collect::<Vec<_>>();
    let Some(version) = versions.iter().copied().find(|v| speaks(v)).or_else(|| versions.first().copied())
    else {
        return Err(LoadProblem::NotAStage { exports: exports.to_vec() });
    };
    if !speaks(version) {
        return Err(LoadProblem::WitVersion { theirs: version.to_owned(), ours: WIT_VERSION });
    }
    let unknown = imports.iter().filter(|name| !offered(name)).cloned().collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(LoadProblem::UnknownImport { imports: unknown });
    }
    Ok(Facts {
        wit_version: version.to_owned(),
        wasi: imports.iter().any(|name| name.starts_with("wasi:")),
        exports: exports.to_vec(),
        imports: imports.to_vec(),
    })
}

/// The version in `ilab:pipeline/INTERFACE@VERSION`.
fn version_of<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    name.strip_prefix(PACKAGE)?.strip_prefix('/')?.strip_prefix(interface)?.strip_prefix('@')
}

/// Whether this host speaks a version: within 0.x, the same x.
fn speaks(version: &str) -> bool {
    fn series(version: &str) -> Option<(u64, u64)> {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        // A pre-release is not the release.
        parts.next()?.parse::<u64>().ok()?;
        parts.next().is_none().then_some((major, minor))
    }
    series(version).is_some_and(|theirs| Some(theirs) == series(WIT_VERSION))
}

fn offered(name: &str) -> bool {
    if let Some(version) = version_of(name, "types").or_else(|| version_of(name, "host-log")) {
        return speaks(version);
    }
    name.split_once('/').is_some_and(|(package, rest)| {
        WASI.contains(&package)
            && rest.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn patch_versions_are_spoken_others_are_not() {
        for (version, ok) in [
            ("0.1.0", true),
            ("0.1.7", true),
            ("0.2.0", false),
            ("1.1.0", false),
            ("0.1.0-rc", false),
            ("x", false),
        ] {
            let found = names(&strings(&[&format!("ilab:pipeline/stage@{version}")]), &[]);
            assert_eq!(found.is_ok(), ok, "{version}: {found:?}");
        }
    }

    #[test]
    fn only_what_is_offered_may_be_asked_for() {
        let stage = strings(&["ilab:pipeline/stage@0.1.0"]);
        let facts = names(&stage, &strings(&["ilab:pipeline/types@0.1.2", "wasi:io/streams@0.2.3"])).unwrap();
        assert!(facts.wasi);
        for import in [
            "wasi:http/types@0.2.0",
            "ilab:pipeline/types@0.2.0",
            "ilab:pipeline/exec@0.1.0",
            "env",
            "wasi:cli/exit@0.3.0",
        ] {
            let error = names(&stage, &strings(&[import])).unwrap_err().to_string();
            assert_eq!(error, format!("asks for import {import}, which this host does not offer"));
        }
    }

    #[test]
    fn headers_are_told_apart() {
        assert!(header(b"\0asm\x0d\0\x01\0rest").is_ok());
        assert!(matches!(header(b"\0asm\x01\0\0\0"), Err(LoadProblem::CoreModule)));
        assert!(matches!(header(b"\0asm\x01"), Err(LoadProblem::Truncated)));
        assert!(matches!(header(b"#!/bin/sh"), Err(LoadProblem::NotWasm)));
        assert!(matches!(header(b""), Err(LoadProblem::NotWasm)));
    }
}

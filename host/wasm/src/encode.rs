//! From a core module to a component, in process, so that building a plugin needs no other tool.

use crate::check::header;
use crate::error::{EncodeError, LoadProblem};
use std::path::Path;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Makes a component of a core module that was built with bindings for a world of `wit/`.
///
/// # Errors
/// [`EncodeError`] when the bytes are a component already, are not WebAssembly, or do not fit the world that the
/// bindings described in them.
///
/// # Example
/// ```
/// let error = ilab_wasm::encode(b"#!/bin/sh").unwrap_err();
/// assert_eq!(error.to_string(), "not a WebAssembly module");
/// ```
pub fn encode(core_module: &[u8]) -> Result<Vec<u8>, EncodeError> {
    match header(core_module) {
        Err(LoadProblem::CoreModule) => {}
        Ok(()) => return Err(EncodeError::AlreadyComponent),
        Err(_) => return Err(EncodeError::NotWasm),
    }
    ComponentEncoder::default()
        .validate(true)
        .module(core_module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(world)
}

/// Makes a component of a core module that was built for WASI preview 1 without saying which world it is for, as the Go
/// toolchain does. `wit` is the folder with the contract.
pub(crate) fn encode_wasi(mut core_module: Vec<u8>, wit: &Path) -> Result<Vec<u8>, EncodeError> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(world)?;
    let id = resolve.select_world(&[package], Some("stage-plugin")).map_err(world)?;
    embed_component_metadata(&mut core_module, &resolve, id, StringEncoding::UTF8).map_err(world)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&core_module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(world)
}

fn world(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::World { detail: format!("{error:#}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_things_are_refused() {
        let component = wat::parse_str("(component)").unwrap();
        assert!(matches!(encode(&component), Err(EncodeError::AlreadyComponent)));
        let alien = wat::parse_str("(module (import \"env\" \"system\" (func)))").unwrap();
        let error = encode(&alien).unwrap_err();
        assert!(matches!(error, EncodeError::World { .. }), "{error}");
    }
}

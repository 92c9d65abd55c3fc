//! From a core module to a component, in process, so that building a plugin needs no other tool.

use crate::check::header;
use crate::error::{EncodeError, LoadProblem};
use wit_component::ComponentEncoder;

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
        .map_err(|error| EncodeError::World { detail: format!("{error:#}") })
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

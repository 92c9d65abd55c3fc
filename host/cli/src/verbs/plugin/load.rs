//! One component, loaded on its own.

use crate::CliError;
use crate::load::host;
use ilab_core::contract::Descriptor;
use std::path::Path;

/// A component and what it offers.
pub struct Alone {
    /// The component.
    pub plugin: ilab_wasm::Plugin,
    /// Its stages.
    pub stages: Vec<Descriptor>,
}

/// Loads it.
pub fn load_alone(file: &Path) -> Result<Alone, CliError> {
    let plugin = host()?.load(file)?;
    let stages = plugin.stages()?;
    Ok(Alone { plugin, stages })
}

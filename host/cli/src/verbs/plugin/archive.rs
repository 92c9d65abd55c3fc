//! `plugin save|load`: components and their signatures on the way to a site without a registry.

use super::pull::{lock_path, or_locked, pull};
use crate::CliError;
use crate::args::{LoadArgs, SaveArgs};
use crate::report::{print_data, write_out};
use crate::sources::open_store;
use ilab_registry::{Artifact, Lock, Locked, Registry, layout};
use ilab_wasm::Limits;

/// Writes the archive; what is not in the store yet is pulled.
pub async fn save(args: SaveArgs) -> Result<(), CliError> {
    let (registry, store) = (Registry::new(args.registry.options())?, open_store()?);
    let lock = Lock::read_or_new(&lock_path(&args.plugins_lock))?;
    let mut artifacts = Vec::new();
    for reference in or_locked(args.references, &lock)? {
        artifacts.push(pull(&registry, &store, &reference, lock.find(&reference), None).await?);
    }
    layout::save(&store, &artifacts, &args.archive)?;
    report(&artifacts, args.output.output)
}

/// Takes an archive in.
pub fn load(args: &LoadArgs) -> Result<(), CliError> {
    let store = open_store()?;
    let artifacts = layout::load(&store, &args.archive, Limits::default().component_bytes)?;
    if args.lock {
        let mut lock = Lock::read_or_new(&lock_path(&args.plugins_lock))?;
        for artifact in &artifacts {
            lock.set(Locked::from(artifact));
        }
        lock.write()?;
        eprintln!("wrote {}", lock.path().display());
    }
    report(&artifacts, args.output.output)
}

fn report(artifacts: &[Artifact], format: Option<crate::args::OutputFormat>) -> Result<(), CliError> {
    if format.is_some() {
        return print_data(&artifacts, format);
    }
    let lines: Vec<String> = artifacts.iter().map(|artifact| format!("{}\n", artifact.reference)).collect();
    write_out(&lines.concat())
}

//! The grants files that count for a command.

use crate::CliError;
use crate::args::{RunArgs, Source};
use crate::load::{Loaded, read_text};
use crate::sources::Pinned;
use ilab_core::grants::{Address, GRANTS_FILE, Grants, GrantsFile, parse_grants};
use std::path::{Path, PathBuf};

/// The grants that hold for a run: of the file that was named, or of those that lie beside the components.
///
/// # Errors
/// A file that cannot be read, or is none; two files that grant one component different things.
pub fn of_run(args: &RunArgs, loaded: &Loaded) -> Result<Grants, CliError> {
    let mut sources = args.sources.clone();
    sources.or_of(loaded.file.as_ref());
    let plugins: Vec<PathBuf> = sources.sources()?.iter().map(place).collect();
    let paths = match &args.grants {
        Some(path) => vec![path.clone()],
        None => found(&plugins),
    };
    let address =
        |pinned: &Pinned| Address { words: pinned.words(), grants: pinned.grants.display().to_string() };
    let addresses = loaded.pinned.iter().map(|(digest, pinned)| (digest.clone(), address(pinned)));
    let mut grants =
        Grants { allow_ungranted: args.allow_ungranted, addresses: addresses.collect(), ..Grants::default() };
    for path in paths {
        let file = read(&path)?;
        agree(&grants.files, &file)?;
        grants.looked.push(file.name.clone());
        grants.files.push(file);
    }
    Ok(grants)
}

/// Reads one.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> Result<GrantsFile, CliError> {
    let name = path.display().to_string();
    parse_grants(&name, &read_text(path)?)
        .map_err(|e| CliError::usage(format!("{name}: {e}")).hint("docs/grants.md describes the grants file"))
}

/// Where the grants of what is named lie, unless a file is named.
#[must_use]
pub fn place(source: &Source) -> PathBuf {
    match source {
        Source::Path(path) if path.is_dir() => path.join(GRANTS_FILE),
        Source::Path(path) | Source::Lock(path) => path.with_file_name(GRANTS_FILE),
        // A component of a registry lies in no folder of the operator's; its lock does as a rule in this one.
        Source::Registry(_) => PathBuf::from(GRANTS_FILE),
    }
}

fn found(places: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in places.iter().filter(|path| path.is_file()) {
        if !found.contains(path) {
            found.push(path.clone());
        }
    }
    found
}

/// The same grant may lie in two folders; two different ones would leave it to the order which counts.
fn agree(files: &[GrantsFile], new: &GrantsFile) -> Result<(), CliError> {
    for file in files {
        let known = |grant: &&_| file.grants.iter().any(|other| is_other(other, grant));
        if let Some(grant) = new.grants.iter().find(known) {
            let digest = grant.digest.short();
            return Err(CliError::usage(format!(
                "{} and {} grant {digest} different things",
                file.name, new.name
            ))
            .hint("name the one that counts with --grants FILE"));
        }
    }
    Ok(())
}

/// Whether both are for one component and differ in more than what its file is called.
fn is_other(one: &ilab_core::grants::PluginGrant, other: &ilab_core::grants::PluginGrant) -> bool {
    let named = ilab_core::grants::PluginGrant { plugin: other.plugin.clone(), ..one.clone() };
    one.digest == other.digest && named != *other
}

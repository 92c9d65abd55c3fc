//! Where stage components come from, and how registries are reached. Read twice: before the line can be parsed, because the
//! components bring options of their own, and with everything else.

use crate::CliError;
use crate::load::PinnedPipeline;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Command, FromArgMatches};
use ilab_registry::{Digest, Policy, Reference, RegistryError, RegistryOptions, SCHEME};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// How registries are reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// Talk to registries without TLS; those on this machine may go without anyhow
    #[arg(long, global = true)]
    pub registry_plain_http: bool,
    /// File of PEM certificates to trust besides the system's
    #[arg(long, global = true, value_name = "FILE", env = "ILAB_REGISTRY_CA_FILE")]
    pub registry_ca_file: Option<PathBuf>,
}

impl RegistryArgs {
    /// As the registry's client takes them.
    pub fn options(&self) -> RegistryOptions {
        RegistryOptions {
            plain_http: self.registry_plain_http,
            ca_file: self.registry_ca_file.clone(),
            docker_config: None,
        }
    }
}

/// Which bytes a reference stands for.
#[derive(Debug, Clone, Default, Args)]
pub struct LockArgs {
    /// The lock that pins plugins of registries [default: plugins.lock]
    #[arg(long, global = true, value_name = "FILE", env = "ILAB_PLUGINS_LOCK")]
    pub plugins_lock: Option<PathBuf>,
}

/// Whose signatures plugins of registries need.
#[derive(Debug, Clone, Default, Args)]
pub struct PolicyArgs {
    /// The policy that says whose signatures plugins of registries need; what is locked needs them, too
    #[arg(long, global = true, value_name = "FILE", env = "ILAB_VERIFICATION_POLICY")]
    pub verification_policy: Option<PathBuf>,
}

impl PolicyArgs {
    /// Reads it, where one is named.
    ///
    /// # Errors
    /// A policy that cannot be meant.
    pub fn read(&self) -> Result<Option<Policy>, CliError> {
        Ok(self.verification_policy.as_deref().map(Policy::read).transpose()?)
    }
}

/// Where stage components come from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Plugins")]
pub struct SourceArgs {
    /// Stage components: folders with .wasm files, files, oci:// references, plugins.lock files. Several times, or with a colon (with references: a comma) between them [default: plugins]
    #[arg(long, global = true, value_name = "SOURCE", env = "ILAB_PLUGINS")]
    pub plugins: Vec<OsString>,
    /// A pipeline file: which stages, by which components, in which order, with which parameters [default: all that are offered]
    #[arg(long, global = true, value_name = "FILE", env = "ILAB_PIPELINE")]
    pub pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Which plugins of registries are let in, and how registries are reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Plugins")]
pub struct TrustArgs {
    #[command(flatten)]
    pub lock: LockArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Run the plugin of this digest, of its manifest or its bytes, though nobody vouches for it
    #[arg(long, global = true, value_name = "DIGEST")]
    pub allow_unsigned: Vec<Digest>,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// One place where components are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder or a component's file.
    Path(PathBuf),
    /// Everything that a lock pins.
    Lock(PathBuf),
    /// One plugin of a registry.
    Registry(Reference),
}

impl Source {
    /// What one word names, whole: nothing parts it.
    fn of(word: &OsStr) -> Result<Self, RegistryError> {
        match word.to_str().filter(|text| text.starts_with(SCHEME)) {
            Some(text) => text.parse().map(Self::Registry),
            None => Ok(path(word.into())),
        }
    }

    /// Takes a word of the command line.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|word| Self::of(&word))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) | Self::Lock(path) => path.display().fmt(f),
            Self::Registry(reference) => reference.fmt(f),
        }
    }
}

impl SourceArgs {
    /// Where `--plugins` names nothing, what the pipeline file names.
    pub fn or_of(&mut self, pipeline: Option<&PinnedPipeline>) {
        if let Some(pipeline) = pipeline.filter(|_| self.plugins.is_empty()) {
            self.plugins = pipeline.plugins().into_iter().map(PathBuf::into_os_string).collect();
        }
    }

    /// What `--plugins` names; where it names nothing, the folder `plugins`.
    ///
    /// # Errors
    /// A reference that cannot be right.
    pub fn sources(&self) -> Result<Vec<Source>, CliError> {
        let mut all = Vec::new();
        for text in self.plugins.iter().filter(|text| !text.is_empty()) {
            all.extend(split(text)?);
        }
        if all.is_empty() {
            all.push(Source::Path("plugins".into()));
        }
        Ok(all)
    }
}

/// References have colons in them: where there is one, commas part.
fn split(text: &OsStr) -> Result<Vec<Source>, CliError> {
    match text.to_str().filter(|text| text.contains(SCHEME)) {
        Some(text) => text
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| Ok(Source::of(part.as_ref())?))
            .collect(),
        None => Ok(std::env::split_paths(text).filter(|p| !p.as_os_str().is_empty()).map(path).collect()),
    }
}

fn path(path: PathBuf) -> Source {
    match path.extension().is_some_and(|e| e == "lock") {
        true => Source::Lock(path),
        false => Source::Path(path),
    }
}

/// The options of this file, as they stand on a command line that cannot be parsed yet.
///
/// # Errors
/// A value that is none.
pub fn early(words: &[OsString]) -> Result<SourceArgs, CliError> {
    let own =
        SourceArgs::augment_args(Command::new("ilab-host").no_binary_name(true).disable_help_flag(true));
    let mut mine: Vec<&OsStr> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some((name, whole)) =
            word.to_str().and_then(|w| w.strip_prefix("--")).map(|w| match w.split_once('=') {
                Some((name, _)) => (name, true),
                None => (w, false),
            })
        else {
            continue;
        };
        let Some(arg) = own.get_arguments().find(|arg| arg.get_long() == Some(name)) else { continue };
        mine.push(word);
        if !whole && arg.get_action().takes_values() {
            mine.extend(words.next().map(OsString::as_os_str));
        }
    }
    let wrong = |e: clap::Error| CliError::usage(first_line(&e.to_string())).hint("look at --help");
    let matches = own.clone().try_get_matches_from(mine).map_err(wrong)?;
    SourceArgs::from_arg_matches(&matches).map_err(wrong)
}

fn first_line(text: &str) -> &str {
    text.trim_start_matches("error: ").lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<Source> {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        early(&words).unwrap().sources().unwrap()
    }

    #[test]
    fn plugins_are_found_before_the_line_can_be_parsed() {
        let paths = |paths: &[&str]| paths.iter().map(|p| Source::Path(p.into())).collect::<Vec<_>>();
        assert_eq!(found("run --plugins a --plugins=b:c train --unknown x"), paths(&["a", "b", "c"]));
        assert_eq!(found("-v run train --plugins a -- --plugins b"), paths(&["a"]));
        assert_eq!(found("run"), paths(&["plugins"]));
    }

    #[test]
    fn references_locks_and_paths_stand_side_by_side() {
        let reference = |text: &str| Source::Registry(text.parse().unwrap());
        assert_eq!(
            found("run --plugins oci://localhost:5000/a:1,plugins,x/plugins.lock --plugins=oci://h.io/b:2"),
            [
                reference("oci://localhost:5000/a:1"),
                Source::Path("plugins".into()),
                Source::Lock("x/plugins.lock".into()),
                reference("oci://h.io/b:2"),
            ]
        );
        let words = ["run", "--plugins", "oci://h.io/b"].map(OsString::from);
        assert!(early(&words).unwrap().sources().is_err());
        let words = ["run", "--allow-unsigned", "sha256:1"].map(OsString::from);
        assert!(early(&words).is_err());
    }
}

//! What can go wrong, each with the file, the digest and, where there is one, the stage that it is about.

use crate::escape::escape;
use crate::limits::bytes;
use ilab_core::contract::StageError;
use ilab_core::names::{InvalidName, PluginDigest, StageName};
use ilab_core::text::escaped;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// How much of what a stage says is wrong is told.
const LONGEST: usize = 600;

/// The host cannot be set up.
#[derive(Debug, Error)]
pub enum HostError {
    /// The engine refuses its settings, for example on a processor that it does not know.
    #[error("the WebAssembly engine does not start: {detail}")]
    Engine {
        /// What the engine says.
        detail: String,
    },
    /// The folder of the compile cache cannot be made or looked at.
    #[error("the compile cache {} cannot be used", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder is not safe to load native code from.
    #[error("the compile cache {} cannot be trusted: {reason}", folder.display())]
    CacheNotOurs {
        /// The folder.
        folder: PathBuf,
        /// Why, as a fragment.
        reason: String,
    },
}

/// A component, or a folder of them, cannot be loaded.
#[derive(Debug, Error)]
#[error("{}{}: {problem}", file.display(), digest.as_ref().map(|d| format!(" ({})", d.short())).unwrap_or_default())]
pub struct LoadError {
    /// The file or folder.
    pub file: PathBuf,
    /// The component's digest, once it was read.
    pub digest: Option<PluginDigest>,
    /// What is wrong. Its own source is the source of this error.
    pub problem: LoadProblem,
}

/// Why a component is refused.
#[derive(Debug, Error)]
pub enum LoadProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
    /// It changed between two looks at it.
    #[error("changed while it was being loaded")]
    Changed,
    /// Its bytes are not those that were asked for.
    #[error("its bytes are not those that were pinned ({expected})")]
    Digest {
        /// The digest that was asked for.
        expected: String,
    },
    /// A folder without components.
    #[error("no stage plugins here (*.wasm)")]
    NoPlugins,
    /// More than the limit.
    #[error("the component is too large: {} where {} are allowed", bytes(*size), bytes(*limit))]
    TooLarge {
        /// Its size, or the size at which reading stopped.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// It has no WebAssembly header.
    #[error("not a WebAssembly component")]
    NotWasm,
    /// A core module: not yet encoded as a component.
    #[error("a core WebAssembly module, not a component")]
    CoreModule,
    /// It ends too early.
    #[error("the component is truncated")]
    Truncated,
    /// The bytes do not validate.
    #[error("not a valid component: {}", escape(detail))]
    Invalid {
        /// What the validator says.
        detail: String,
    },
    /// It is a component of something else.
    #[error("not a stage plugin: it does not export ilab:pipeline/stage (it exports {})", list(exports))]
    NotAStage {
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// It speaks another version of the contract.
    #[error("built for ilab:pipeline@{theirs}, this host speaks ilab:pipeline@{ours}")]
    WitVersion {
        /// The component's version.
        theirs: String,
        /// The host's.
        ours: &'static str,
    },
    /// It wants more than the host offers.
    #[error("asks for import {}, which this host does not offer", list(imports))]
    UnknownImport {
        /// The imports nobody offers.
        imports: Vec<String>,
    },
    /// Right names, wrong types.
    #[error("does not fit the interface ilab:pipeline/stage: {}", escape(detail))]
    Signature {
        /// What the linker says.
        detail: String,
    },
    /// The compiler took too long and was stopped.
    #[error("compiling it took longer than {} s and was stopped", limit.as_secs_f64())]
    CompileTime {
        /// The limit.
        limit: Duration,
    },
    /// The compiler failed or died.
    #[error("cannot be compiled: {}", escape(detail))]
    Compile {
        /// What is known.
        detail: String,
    },
    /// The engine or the linker of the host failed.
    #[error("the host failed: {detail}")]
    Host {
        /// What is known.
        detail: String,
    },
}

impl LoadError {
    /// What the user may try.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &self.problem {
            LoadProblem::NoPlugins => {
                Some("build the default stages with `make plugins`, or name another folder with --plugins")
            }
            LoadProblem::CoreModule => {
                Some("encode it: `ilab-host plugin build`, or `wasm-tools component new`")
            }
            LoadProblem::NotWasm | LoadProblem::NotAStage { .. } => Some(
                "a stage plugin is a component for the world ilab:pipeline/stage-plugin: see wit/stage.wit",
            ),
            LoadProblem::Digest { .. } => Some("pull the plugin again: `ilab-host plugin pull`"),
            LoadProblem::Truncated | LoadProblem::Changed => Some("copy or build the file again"),
            LoadProblem::WitVersion { .. } => Some("rebuild the plugin against wit/stage.wit of this host"),
            LoadProblem::UnknownImport { .. } => Some(
                "build it without network, HTTP and other host interfaces: a stage only describes what the cluster is to do",
            ),
            LoadProblem::Signature { .. } => {
                Some("generate the bindings again from wit/stage.wit and rebuild the plugin")
            }
            _ => None,
        }
    }
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `stages`.
    Stages,
    /// `render`.
    Render,
    /// `collect`.
    Collect,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stages => "stages",
            Self::Render => "render",
            Self::Collect => "collect",
        })
    }
}

/// A call of a component did not give a result.
#[derive(Debug, Error)]
#[error("{}{} ({}): {function}: {problem}", stage.as_ref().map(|s| format!("stage {s} of ")).unwrap_or_default(), file.display(), digest.short())]
pub struct CallError {
    /// The component's file.
    pub file: PathBuf,
    /// The component's digest.
    pub digest: PluginDigest,
    /// The stage; none while the component describes its stages.
    pub stage: Option<StageName>,
    /// What was called.
    pub function: Function,
    /// What went wrong.
    pub problem: Box<CallProblem>,
}

/// Why a call gave no result.
#[derive(Debug, Error)]
pub enum CallProblem {
    /// The stage itself says so.
    #[error("{}", said(.0))]
    Stage(StageError),
    /// The component does not offer it.
    #[error("no such stage; it offers {}", list(offers))]
    UnknownStage {
        /// What it offers.
        offers: Vec<String>,
    },
    /// Too long.
    #[error("ran longer than {} s and was stopped", limit.as_secs_f64())]
    Time {
        /// The limit.
        limit: Duration,
    },
    /// Too much memory.
    #[error("asked for {} of memory where {} are allowed", bytes(*wanted as u64), bytes(*limit as u64))]
    Memory {
        /// What it would have had.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many table elements.
    #[error("asked for {wanted} table elements where {limit} are allowed")]
    Table {
        /// What it would have had.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
    /// Too deep.
    #[error("recursed beyond its stack of {}", bytes(*limit as u64))]
    Stack {
        /// The limit.
        limit: usize,
    },
    /// Too much handed to the host.
    #[error("handed more than {} to the host", bytes(*limit as u64))]
    Returned {
        /// The limit.
        limit: usize,
    },
    /// It broke off.
    #[error("broke off: {}{}", last_error.as_ref().map(|e| format!("{e} ")).unwrap_or_default(), if last_error.is_some() { format!("({detail})") } else { detail.clone() })]
    Trap {
        /// The engine's word for it.
        detail: String,
        /// The last thing it logged as an error: a panic's message, as a rule.
        last_error: Option<String>,
    },
    /// Text that should be JSON is not.
    #[error("{path} is not JSON: {detail}")]
    Json {
        /// Where in what was returned.
        path: String,
        /// What the parser says.
        detail: String,
    },
    /// It should be a JSON object.
    #[error("{path} is {found}, not a JSON object")]
    NotAnObject {
        /// Where in what was returned.
        path: String,
        /// What it is.
        found: &'static str,
    },
    /// A name breaks the rules.
    #[error("{path}: {source}")]
    Name {
        /// Where in what was returned.
        path: String,
        /// Which rule.
        source: InvalidName,
    },
    /// What was remembered of it could be read, and it itself can not.
    #[error("{0}")]
    Load(LoadProblem),
    /// A component that offers nothing.
    #[error("it offers no stage")]
    NoStages,
    /// A component that offers a name twice.
    #[error("it offers stage {name} twice")]
    TwoStages {
        /// The name.
        name: StageName,
    },
    /// The host itself failed.
    #[error("the host failed: {detail}")]
    Host {
        /// What is known.
        detail: String,
    },
}

/// A core module cannot be made a component.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The bytes are a component already.
    #[error("already a component")]
    AlreadyComponent,
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly module")]
    NotWasm,
    /// No world is described in it.
    #[error("the module does not fit a world: {detail}")]
    World {
        /// What the encoder says.
        detail: String,
    },
}

/// What a stage says is wrong, on one line of bounded length.
fn said(error: &StageError) -> String {
    let text = error.to_string();
    if text.trim().is_empty() { "it does not say why not".to_owned() } else { escaped(&text, LONGEST) }
}

/// Names for people: at most eight of them, made safe.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN).map(|n| escape(n).into_owned()).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

//! `plugin …`.

use super::registry::RegistryVerb;
use super::sources::{Source, TrustArgs};
use super::top::OutputArg;
use clap::{Args, Subcommand};
use ilab_wasm::build::Language;
use std::path::PathBuf;

/// `plugin …`.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Write a new stage's project: an evaluation that builds and runs, to be changed
    New {
        /// The stage's name, and the folder's
        name: String,
        /// The language it is written in: rust, python, javascript or go
        #[arg(long, value_name = "LANGUAGE", value_parser = language())]
        lang: Language,
        /// Where the project goes [default: a folder of the stage's name]
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
    /// Build a stage's project into a component
    Build {
        /// The project's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where the component goes [default: <folder>.wasm in the folder]
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        file: Option<PathBuf>,
        /// The language, where the folder has projects of several: rust, python, javascript or go
        #[arg(long, value_name = "LANGUAGE", value_parser = language())]
        lang: Option<Language>,
        /// Build again whenever a file of the project changes, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Propose the smallest grant for components, as a diff of the grants file
    Grant(GrantArgs),
    /// Show what components offer and ask for
    Inspect(InspectArgs),
    /// Render one stage of a component, without a cluster
    Render(RenderArgs),
    /// Find what a host or a cluster would refuse: contract, purity, schemas, guard
    Check(CheckArgs),
    /// Hold a component against cases: what it is given, and the plan, outputs or error that must come of it
    Test {
        /// The project's folder, or a component
        #[arg(default_value = ".")]
        what: PathBuf,
        /// The folder of cases; also what `run --record` has written [default: tests/cases of the project]
        #[arg(long, value_name = "FOLDER")]
        cases: Option<PathBuf>,
        /// Accept the plans as they are now
        #[arg(long)]
        bless: bool,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Measure how long a render takes, and compare it with an earlier measurement
    Bench(BenchArgs),
    /// Hand components on, and take them from others
    #[command(flatten)]
    Registry(RegistryVerb),
}

/// A language by its word; clap lists the words when it is another.
fn language() -> impl clap::builder::TypedValueParser<Value = Language> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Language::ALL.map(Language::word)).try_map(|word| word.parse::<Language>())
}

/// What a stage is rendered for.
#[derive(Debug, Clone, Default, Args)]
pub struct ContextArgs {
    /// A file with a whole context (JSON or YAML); none: the stage's defaults and samples
    #[arg(long, value_name = "FILE", conflicts_with = "set")]
    pub context: Option<PathBuf>,
    /// A parameter of the stage
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// `plugin inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The component: a file or an oci:// reference; of a folder or a plugins.lock, all of them
    #[arg(default_value = ".", value_parser = Source::parser())]
    pub source: Source,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `plugin render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The component: a file, a folder, an oci:// reference or a plugins.lock
    #[arg(value_parser = Source::parser())]
    pub source: Source,
    /// The stage; may be left out when one is offered
    pub stage: Option<String>,
    #[command(flatten)]
    pub context: ContextArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `plugin check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The component: a file or an oci:// reference; of a folder or a plugins.lock, all of them
    #[arg(default_value = ".", value_parser = Source::parser())]
    pub source: Source,
    #[command(flatten)]
    pub context: ContextArgs,
    /// Fail on warnings, too
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `plugin bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The component: a file or an oci:// reference, or the folder or plugins.lock that has it
    #[arg(value_parser = Source::parser())]
    pub source: Source,
    /// The stage; none: each of the component's
    pub stage: Option<String>,
    #[command(flatten)]
    pub context: ContextArgs,
    /// How long each stage is rendered again and again
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub seconds: f64,
    /// A file that an earlier --save has written: the exit code is 8 when a stage became slower
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Keep the measurement in this file
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// By how many percent a stage may be slower than before
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub tolerance: f64,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `plugin grant`.
#[derive(Debug, Clone, Args)]
pub struct GrantArgs {
    /// The components: files, folders with .wasm files, oci:// references, plugins.lock files
    #[arg(value_name = "SOURCE", required = true, value_parser = Source::parser())]
    pub sources: Vec<Source>,
    /// Write the grants file; without it the diff is only shown
    #[arg(long)]
    pub write: bool,
    /// The grants file [default: grants.yaml beside the components or their lock; for references, in this folder]
    #[arg(long, value_name = "FILE", env = "ILAB_GRANTS")]
    pub grants: Option<PathBuf>,
    /// A parameter that the stages are rendered with
    #[arg(long, value_name = "STAGE.NAME=VALUE")]
    pub set: Vec<String>,
    /// Grant images from here, a registry or registry and path, instead of those that were rendered; `*` for any
    #[arg(long, value_name = "PREFIX")]
    pub image: Vec<String>,
    /// Leave the resources of pods to the ceiling
    #[arg(long)]
    pub no_limits: bool,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub trust: TrustArgs,
}

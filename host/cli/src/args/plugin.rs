//! `plugin …`.

use super::top::OutputArg;
use clap::Subcommand;
use std::path::PathBuf;

/// `plugin …`.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Build a Rust stage crate into a component
    Build {
        /// The crate's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where the component goes [default: <crate>.wasm]
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show what a component offers and asks for
    Inspect {
        /// The component
        file: PathBuf,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Render one stage of a component, without a cluster
    Render {
        /// The component
        file: PathBuf,
        /// The stage; may be left out when the component offers one
        stage: Option<String>,
        /// A file with a whole context (JSON or YAML); none: the stage's defaults and samples
        #[arg(long, value_name = "FILE", conflicts_with = "set")]
        context: Option<PathBuf>,
        /// A parameter of the stage
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        output: OutputArg,
    },
}

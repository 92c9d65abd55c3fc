//! Why a component was not built.

use super::Language;
use crate::error::EncodeError;
use std::path::PathBuf;
use thiserror::Error;

/// A component was not built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No Rust toolchain here can compile to WebAssembly.
    #[error(
        "no Rust toolchain here compiles to wasm32-unknown-unknown: install one with `rustup target add \
         wasm32-unknown-unknown`, or on Debian with `apt-get install rustc-web cargo-web rust-web-src lld` ({})",
        if found.is_empty() { "no rustc was found".to_owned() } else { found.join("; ") }
    )]
    NoToolchain {
        /// What was found, and what it lacks.
        found: Vec<String>,
    },
    /// A program does not start.
    #[error("{} does not start", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no project of a language that stages are written in.
    #[error("{} is no stage's project: it has none of {}", dir.display(), Language::ALL.map(Language::manifest).join(", "))]
    NotAProject {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds projects of several languages.
    #[error("{} has {}: which is the stage's?", dir.display(), found.iter().map(|l| l.manifest()).collect::<Vec<_>>().join(" and "))]
    SeveralLanguages {
        /// The folder.
        dir: PathBuf,
        /// The languages.
        found: Vec<Language>,
    },
    /// A file that says what the project is does not say what it should.
    #[error("{}: {detail}", file.display())]
    BadProject {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A tool cannot be installed.
    #[error("{} could not install {tool} {version}: {detail}", program.display())]
    Install {
        /// The tool.
        tool: &'static str,
        /// Its version.
        version: String,
        /// What was to install it.
        program: PathBuf,
        /// The end of what that said.
        detail: String,
    },
    /// A tool failed; what it said is for people to read.
    #[error("{tool} failed ({status})")]
    Tool {
        /// The tool.
        tool: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        detail: String,
    },
    /// The folder holds no Rust crate.
    #[error("{} is not a Rust crate: it has no Cargo.toml", dir.display())]
    NotACrate {
        /// The folder.
        dir: PathBuf,
    },
    /// Cargo does not say what it should about the crate.
    #[error("cargo cannot describe {}: {detail}", dir.display())]
    Describe {
        /// The folder.
        dir: PathBuf,
        /// What it says instead.
        detail: String,
    },
    /// Not clear which package is meant.
    #[error("which package of {} is it? there are {}", dir.display(), packages.join(", "))]
    WhichPackage {
        /// The folder.
        dir: PathBuf,
        /// The packages there are.
        packages: Vec<String>,
    },
    /// The package makes no module.
    #[error(
        "package {package} makes no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]"
    )]
    NoModule {
        /// The package.
        package: String,
    },
    /// The compiler or the linker failed.
    #[error("package {package} does not compile ({status}); cargo's messages say why")]
    Compile {
        /// The package.
        package: String,
        /// How cargo ended.
        status: std::process::ExitStatus,
    },
    /// The module is no stage.
    #[error("package {package} does not make a component")]
    Encode {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl BuildError {
    /// What the user may try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let not_there = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
        match self {
            Self::NotAProject { .. } => Some("ilab-host plugin new --lang python my-eval".to_owned()),
            Self::SeveralLanguages { .. } => Some("name it with --lang".to_owned()),
            Self::Start { program, source } if not_there(source) => Some(match program.to_str() {
                Some("python3") => "install Python 3.11 or later".to_owned(),
                Some("node" | "npm") => "install Node 20 or later, with npm".to_owned(),
                Some("go") => "install Go 1.24 or later".to_owned(),
                _ => format!("install {}", program.display()),
            }),
            Self::Install { program, .. } if program.as_os_str() == "python3" => Some(
                "look at the network and at pip's settings (PIP_INDEX_URL); on Debian pip is the package python3-pip"
                    .to_owned(),
            ),
            Self::Install { .. } => {
                Some("look at the network and at npm's settings (npm config get registry)".to_owned())
            }
            _ => None,
        }
    }
}

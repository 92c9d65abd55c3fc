//! Every verb but the dynamic part of `run`.

use super::{PluginVerb, RbacArgs, RunArgs, ShowArgs};
use crate::{CliError, folders};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Runs the InstructLab workflow on Kubernetes, every stage a WebAssembly component.
#[derive(Debug, Parser)]
#[command(name = "ilab-host", version, propagate_version = false, after_help = crate::exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Log more to stderr: once for info, twice for debug (RUST_LOG goes further)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the workflow, or one group of its stages
    Run(Box<RunArgs>),
    /// Look at the cluster before a run: everything that would be in its way, and what to do about it
    Doctor(Box<RunArgs>),
    /// Print what runs ilab-host itself as a Job inside the cluster; takes the options of `run`
    Show(Box<ShowArgs>),
    /// Print the ServiceAccount, Role and RoleBinding that a run needs
    Rbac(Box<RbacArgs>),
    /// Look at runs, and end or remove them
    #[command(subcommand)]
    Runs(RunsVerb),
    /// Build and examine stage components
    #[command(subcommand)]
    Plugin(PluginVerb),
    /// Move archives to and from the object store
    #[command(subcommand)]
    Data(Box<DataVerb>),
    /// Look after the embedded cluster of `run --local`
    #[command(subcommand)]
    Local(LocalVerb),
    /// Print a shell's completion script
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the versions of the host, of the contract and of what it is built on
    Version {
        #[command(flatten)]
        output: OutputArg,
    },
    /// One pod of the embedded cluster; started by it, not by people
    #[command(hide = true)]
    LocalShim {
        /// The pod's folder
        pod: PathBuf,
    },
    /// Compile one component into the cache; started by the host, not by people
    #[command(hide = true)]
    CompileComponent {
        /// What the host passes on
        #[arg(allow_hyphen_values = true, num_args = 0..)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// `-o`.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArg {
    /// Print data in this format instead of prose
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// `runs …`.
#[derive(Debug, Subcommand)]
pub enum RunsVerb {
    /// List the runs in the namespace
    List {
        #[command(flatten)]
        at: super::Where,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Show one run: its stages, verdicts and outputs
    Status {
        /// The run
        #[arg(default_value = "ilab")]
        run: String,
        #[command(flatten)]
        at: super::Where,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Remove a run with everything it created, its claims and what is on them too
    Delete {
        /// The run
        run: String,
        /// Wait until all that it created is gone, its pods among it
        #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        wait: bool,
        /// How long to wait; 0s: without end
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = super::run::duration)]
        timeout: std::time::Duration,
        #[command(flatten)]
        at: super::Where,
    },
}

/// Access to an object store, spelled as in the pods of the workflow and as in the reference's helper.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Object store")]
pub struct StoreArgs {
    /// Endpoint: a URL with its scheme; none: AWS [env: SDG_OBJECT_STORE_ENDPOINT, OBJECT_STORE_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub object_store_endpoint: Option<String>,
    /// Bucket [env: SDG_OBJECT_STORE_BUCKET, OBJECT_STORE_BUCKET]
    #[arg(long, value_name = "NAME")]
    pub object_store_bucket: Option<String>,
    /// Access key [env: SDG_OBJECT_STORE_ACCESS_KEY, OBJECT_STORE_ACCESS_KEY]
    #[arg(long, value_name = "KEY")]
    pub object_store_access_key: Option<String>,
    /// Secret key [env: SDG_OBJECT_STORE_SECRET_KEY, OBJECT_STORE_SECRET_KEY]
    #[arg(long, value_name = "KEY")]
    pub object_store_secret_key: Option<String>,
    /// Region [env: SDG_OBJECT_STORE_REGION, OBJECT_STORE_REGION]
    #[arg(long, value_name = "REGION")]
    pub object_store_region: Option<String>,
    /// Whether to check the server's certificate [default: true] [env: SDG_OBJECT_STORE_VERIFY_TLS, OBJECT_STORE_VERIFY_TLS]
    #[arg(long, value_name = "BOOL")]
    pub object_store_verify_tls: Option<String>,
    /// Key of the object in the bucket [env: SDG_OBJECT_STORE_DATA_KEY, OBJECT_STORE_DATA_KEY]
    #[arg(long, value_name = "KEY")]
    pub object_store_data_key: Option<String>,
    /// File of PEM certificates to trust besides the system's [env: OBJECT_STORE_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub object_store_ca_file: Option<PathBuf>,
}

/// `data …`.
#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Upload an SDG archive, or pack files and folders and upload them
    Upload {
        /// The archive, a .tar.gz of data/, model/ and taxonomy/
        #[arg(value_name = "ARCHIVE", required_unless_present = "include", conflicts_with_all = ["include", "include_optional", "root", "key_prefix_timestamp"])]
        archive: Option<PathBuf>,
        /// Pack this file or folder of --root; `=NAME` gives it another name in the archive
        #[arg(long, value_name = "PATH[=NAME]", requires = "root")]
        include: Vec<String>,
        /// Like --include, where it is there
        #[arg(long, value_name = "PATH[=NAME]", requires = "root")]
        include_optional: Vec<String>,
        /// The folder that what is included lies in
        #[arg(long, value_name = "FOLDER")]
        root: Option<PathBuf>,
        /// Put the time before the last part of the key
        #[arg(long)]
        key_prefix_timestamp: bool,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Download an SDG archive, check it and unpack it
    Download {
        /// The folder that data/, model/ and taxonomy/ land in
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
        /// Download even when the same object has been unpacked there before
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Check an SDG archive on disk without unpacking it
    Check {
        /// The archive
        archive: PathBuf,
        #[command(flatten)]
        output: OutputArg,
    },
}

/// `local …`.
#[derive(Debug, Subcommand)]
pub enum LocalVerb {
    /// Container images of the embedded cluster: root file systems
    #[command(subcommand)]
    Image(ImageVerb),
    /// Serve the embedded cluster's API on a loopback port, for kubectl
    Serve {
        /// The port; 0 picks a free one
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        state: LocalState,
    },
}

/// `local image …`.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Give a root file system, a folder or an archive, a name
    Import {
        /// The image's reference, as manifests name it
        reference: String,
        /// A folder (used in place) or a tar archive (unpacked)
        source: PathBuf,
        #[command(flatten)]
        state: LocalState,
    },
    /// List the images
    List {
        #[command(flatten)]
        state: LocalState,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Forget an image; a folder that was imported in place stays
    Remove {
        /// The image's reference
        reference: String,
        #[command(flatten)]
        state: LocalState,
    },
}

/// Where the embedded cluster keeps its state.
#[derive(Debug, Clone, Default, Args)]
pub struct LocalState {
    /// Folder with the embedded cluster's state [default: ilab-host/local in the user's state folder]
    #[arg(long = "local-state", value_name = "FOLDER", env = "ILAB_LOCAL_STATE", global = true)]
    pub folder: Option<PathBuf>,
}

impl LocalState {
    /// The folder, by the XDG rules when none was given.
    pub fn resolve(&self) -> Result<PathBuf, CliError> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        folders::state().map(|state| state.join("local")).ok_or_else(|| {
            CliError::usage("no home folder for the embedded cluster's state")
                .hint("give --local-state FOLDER")
        })
    }
}

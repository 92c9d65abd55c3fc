//! Runs the InstructLab workflow on Kubernetes, every stage a WebAssembly component.
//!
//! This crate is the command line: one file a verb, reporters, and nothing that decides.
#![expect(unreachable_pub, reason = "its modules are private: pub marks what one offers to the others")]

mod args;
mod connect;
mod error;
pub mod exit;
mod folders;
mod grants;
mod load;
mod manifests;
mod record;
mod report;
mod sources;
mod verbs;

use args::{Cli, StageFlags, Verb, command, early, parse, verb_of};
use clap::{ArgMatches, FromArgMatches};
use error::CliError;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs the program with these arguments and answers its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match dispatch(args) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{error}");
            ExitCode::from(error.code)
        }
    }
}

/// The pipeline is loaded before the line is parsed, because it brings flags of `run`.
struct Prepared {
    /// The verb, where it is one that takes stages.
    verb: Option<String>,
    loaded: Option<Result<load::Loaded, CliError>>,
    flags: StageFlags,
}

fn prepare(args: &[OsString]) -> Result<Prepared, CliError> {
    let Some(verb) = verb_of(args) else {
        return Ok(Prepared { verb: None, loaded: None, flags: StageFlags::default() });
    };
    let loaded = early(args).and_then(|mut sources| {
        let pipeline = sources.pipeline.as_deref().map(load::pipeline_file).transpose()?;
        sources.or_of(pipeline.as_ref());
        let found = sources::find(sources.sources()?, &sources.trust)?;
        load::load(&load::host()?, &found, pipeline)
    });
    let flags = match &loaded {
        Ok(loaded) => StageFlags::of(&loaded.pipeline).map_err(|e| load::graph_error(&e))?,
        Err(_) => StageFlags::default(),
    };
    Ok(Prepared { verb: Some(verb), loaded: Some(loaded), flags })
}

fn dispatch(args: Vec<OsString>) -> Result<ExitCode, CliError> {
    let Prepared { verb, loaded, flags } = prepare(&args)?;
    let matches = match parse(&flags, verb.as_deref(), &args)? {
        Ok(matches) => matches,
        Err(error) => {
            // Help is help, also without stages. A flag that is unknown because its stage could not be loaded is not
            // what is wrong with the line.
            if error.use_stderr()
                && let Some(Err(loading)) = loaded
            {
                return Err(loading);
            }
            if let Some(Err(loading)) = &loaded {
                eprintln!(
                    "note: no stages, so their options are not listed: {}",
                    loading.lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>().join("; ")
                );
            }
            let _ = error.print();
            return Ok(ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::SUCCESS }));
        }
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|e| CliError::usage(e.to_string()))?;
    start_log(cli.verbose);
    match cli.verb {
        Verb::Run(run) => {
            let (loaded, matches) = of_run(loaded, &matches, "run")?;
            verbs::run::run(&run, loaded, &flags, matches)
        }
        Verb::Doctor(args) => {
            let (loaded, matches) = of_run(loaded, &matches, "doctor")?;
            verbs::doctor::run(&args, loaded, &flags, matches)
        }
        Verb::Show(args) => {
            let (loaded, matches) = of_run(loaded, &matches, "show")?;
            let whole = command(&flags, Some("show"))?;
            let show = whole.find_subcommand("show").ok_or_else(|| CliError::usage("no options for show"))?;
            verbs::show::run(&args, &loaded, &flags, matches, show)
        }
        Verb::Rbac(args) => {
            verbs::rbac::run(&args, &loaded.ok_or_else(|| CliError::usage("no stages were loaded"))??)
        }
        Verb::Runs(verb) => block_on(verbs::runs::run(verb)),
        Verb::Plugin(verb) => verbs::plugin::run(verb),
        Verb::Data(verb) => block_on(verbs::data::run(*verb)),
        Verb::Local(verb) => block_on(verbs::local::run(verb)),
        Verb::Completion { shell } => {
            clap_complete::generate(shell, &mut command(&flags, None)?, "ilab-host", &mut std::io::stdout());
            Ok(())
        }
        Verb::Version { output } => verbs::version::run(output.output),
        Verb::LocalShim { pod } => return Ok(ilab_local::node::shim::main(&pod)),
        Verb::CompileComponent { arguments } => return Ok(ilab_wasm::compile_child_main(arguments)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The stages, and what was given to a verb that takes what `run` takes.
fn of_run<'m>(
    loaded: Option<Result<load::Loaded, CliError>>,
    matches: &'m ArgMatches,
    verb: &str,
) -> Result<(load::Loaded, &'m ArgMatches), CliError> {
    let matches =
        matches.subcommand_matches(verb).ok_or_else(|| CliError::usage(format!("no options for {verb}")))?;
    Ok((loaded.ok_or_else(|| CliError::usage("no stages were loaded"))??, matches))
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CliError::from_error(exit::FAILURE, &e))?
        .block_on(work)
}

fn start_log(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        // That a connection failed is told once, by whoever wanted it, and not by every layer below.
        0 => "warn,kube_client::client::builder=off",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // Colour is for a terminal, and for who has not asked to be spared it.
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|asked| asked.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
}

//! `plugin …`: a stage author's tools, one file a verb.

mod archive;
mod bench;
mod build;
mod check;
mod grant;
mod inspect;
mod load;
mod new;
mod pull;
mod push;
mod render;
mod sample;
mod sign;
mod test;
mod verify;
mod watch;

use crate::CliError;
use crate::args::{PluginVerb, RegistryVerb};

/// Runs one of them.
///
/// # Errors
/// A project that does not build, a component that cannot be loaded, a parameter or context that is wrong.
pub fn run(verb: PluginVerb) -> Result<(), CliError> {
    match verb {
        PluginVerb::New { name, lang, into } => new::run(&name, lang, into),
        PluginVerb::Build { folder, file, lang, watch } => build::run(&folder, file, lang, watch),
        PluginVerb::Grant(args) => grant::run(&args),
        PluginVerb::Inspect(args) => inspect::run(&args),
        PluginVerb::Render(args) => render::run(&args),
        PluginVerb::Check(args) => check::run(&args),
        PluginVerb::Test { what, cases, bless, output } => test::run(&what, cases, bless, output.output),
        PluginVerb::Bench(args) => bench::run(&args),
        PluginVerb::Registry(verb) => crate::block_on(registry(verb)),
    }
}

/// Runs one of those that talk to registries.
///
/// # Errors
/// What a registry, a lock or an archive has to say.
async fn registry(verb: RegistryVerb) -> Result<(), CliError> {
    match verb {
        RegistryVerb::Push(args) => push::run(args).await,
        RegistryVerb::Pull(args) => pull::run(args).await,
        RegistryVerb::Sign(args) => sign::run(args).await,
        RegistryVerb::Verify(args) => verify::run(args).await,
        RegistryVerb::Save(args) => archive::save(args).await,
        RegistryVerb::Load(args) => archive::load(&args),
    }
}

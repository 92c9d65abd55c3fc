//! `plugin push|pull|sign|verify|save|load`.

use super::sources::{LockArgs, PolicyArgs, RegistryArgs};
use super::top::OutputArg;
use clap::{Args, Subcommand};
use ilab_registry::Reference;
use std::path::PathBuf;

/// What hands components on, and takes them from others.
#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Push a component to a registry, as a WebAssembly OCI artifact
    Push(PushArgs),
    /// Pull components from registries, and pin what their tags stand for
    Pull(PullArgs),
    /// Sign a component in its registry with a key, as cosign does
    Sign(SignArgs),
    /// Tell who has signed a component, and whether a policy trusts them
    Verify(VerifyArgs),
    /// Write pulled components and their signatures into one archive, for a site without a registry
    Save(SaveArgs),
    /// Take the components of such an archive into the store
    Load(LoadArgs),
}

/// What a component is signed with.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signature")]
pub struct KeyArgs {
    /// File with the private key: of `cosign generate-key-pair` (its password in COSIGN_PASSWORD), or PKCS #8 in PEM, ECDSA on P-256
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// `plugin sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// What to sign, oci://HOST/PATH:TAG or @DIGEST
    pub reference: Reference,
    /// Something that the signature says besides, and that a policy can ask for
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Whom a certificate has to name. The words are cosign's.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Signature by certificate")]
pub struct CertificateArgs {
    /// Who must have signed it: the e-mail address or URL in the certificate
    #[arg(long, value_name = "IDENTITY", group = "who", requires = "knows", conflicts_with_all = ["key", "verification_policy"])]
    pub certificate_identity: Option<String>,
    /// The same, as a regular expression that has to find something in it; bind it with ^ and $
    #[arg(long, value_name = "REGEXP", group = "who", requires = "knows", conflicts_with_all = ["key", "verification_policy"])]
    pub certificate_identity_regexp: Option<String>,
    /// Who must have known them: the URL of the OIDC issuer
    #[arg(long, value_name = "URL", group = "knows", requires = "who")]
    pub certificate_oidc_issuer: Option<String>,
    /// The same, as a regular expression that has to find something in it
    #[arg(long, value_name = "REGEXP", group = "knows", requires = "who")]
    pub certificate_oidc_issuer_regexp: Option<String>,
    /// The authorities and logs to trust, a trusted_root.json [default: Sigstore's public instance, as this program was built with it]
    #[arg(long, value_name = "FILE", requires = "who")]
    pub trusted_root: Option<PathBuf>,
}

/// `plugin verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What to verify, oci://HOST/PATH:TAG or @DIGEST
    pub reference: Reference,
    /// File with the public key that must have signed it, in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "verification_policy")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub certificate: CertificateArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `plugin push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// The component
    pub file: PathBuf,
    /// Where it goes, oci://HOST/PATH:TAG
    pub reference: Reference,
    /// Something to say about it in its manifest
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Sign it as well
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `plugin pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// What to pull, oci://HOST/PATH:TAG; none with --lock: everything that the lock pins
    #[arg(required_unless_present = "lock")]
    pub references: Vec<Reference>,
    /// Write what the references stand for into the lock; what is in it already stays as it is
    #[arg(long)]
    pub lock: bool,
    /// Ask anew what the tags stand for, and change the lock accordingly
    #[arg(long, requires = "lock")]
    pub update: bool,
    /// Write the component into this file, too
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub plugins_lock: LockArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `plugin save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// The archive, an OCI image layout in a tar file
    pub archive: PathBuf,
    /// What goes in; none: everything that the lock pins
    pub references: Vec<Reference>,
    #[command(flatten)]
    pub plugins_lock: LockArgs,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `plugin load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The archive, an OCI image layout in a tar file
    pub archive: PathBuf,
    /// Pin what the archive says its references stand for
    #[arg(long)]
    pub lock: bool,
    #[command(flatten)]
    pub plugins_lock: LockArgs,
    #[command(flatten)]
    pub output: OutputArg,
}

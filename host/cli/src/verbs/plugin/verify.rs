//! `plugin verify`: who has signed a component, and whether that is enough.

use crate::CliError;
use crate::args::{CertificateArgs, VerifyArgs};
use crate::report::print_data;
use crate::sources::{open_store, verify};
use ilab_registry::{Artifact, Identity, Name, Policy, PublicKey, Registry};
use ilab_wasm::Limits;
use serde::Serialize;

/// Verifies it.
pub async fn run(args: VerifyArgs) -> Result<(), CliError> {
    let policy = match (&args.key, identity(&args.certificate)?) {
        (Some(key), _) => Some(Policy::of_key(PublicKey::read(key)?)),
        (None, Some(identity)) => {
            Some(Policy::of_identity(identity, args.certificate.trusted_root.as_deref())?)
        }
        (None, None) => args.policy.read()?,
    };
    let policy = policy.ok_or_else(|| {
        CliError::usage("nobody is named who must have signed it")
            .hint("give --verification-policy FILE, --key FILE with a public key, or --certificate-identity and --certificate-oidc-issuer")
    })?;
    let (registry, store) = (Registry::new(args.registry.options())?, open_store()?);
    let limit = Limits::default().component_bytes;
    let artifact = Artifact::look_up(&registry, &store, &args.reference, limit).await?;
    let proofs = verify(&policy, &registry, &store, &artifact).await?;
    if args.output.output.is_some() {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Verified<'a> {
            #[serde(flatten)]
            artifact: &'a Artifact,
            signatures: &'a [ilab_registry::Proof],
        }
        return print_data(&Verified { artifact: &artifact, signatures: &proofs }, args.output.output);
    }
    for proof in &proofs {
        eprintln!("signed by {}", proof.signer);
    }
    crate::report::write_out(&format!("{}\n", artifact.reference))
}

/// Whom the options name. That both halves are there, and each once, the options themselves see to.
fn identity(args: &CertificateArgs) -> Result<Option<Identity>, CliError> {
    let name = |option: &str, equal: &Option<String>, regexp: &Option<String>| {
        let (option, name) = match (equal, regexp) {
            (Some(equal), _) => (option.to_owned(), Name::equal(equal)),
            (None, Some(regexp)) => (format!("{option}-regexp"), Name::containing(regexp)),
            (None, None) => return Ok(None),
        };
        name.map(Some).map_err(|problem| {
            CliError::usage(format!("--{option} {problem}")).hint("look at `ilab-host plugin verify --help`")
        })
    };
    let subject =
        name("certificate-identity", &args.certificate_identity, &args.certificate_identity_regexp)?;
    let issuer =
        name("certificate-oidc-issuer", &args.certificate_oidc_issuer, &args.certificate_oidc_issuer_regexp)?;
    Ok(issuer.zip(subject).map(|(issuer, subject)| Identity::new(issuer, subject)))
}

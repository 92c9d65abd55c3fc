//! `plugin verify`: who has signed a component, and whether that is enough.

use crate::CliError;
use crate::args::VerifyArgs;
use crate::report::print_data;
use crate::sources::{open_store, verify};
use ilab_registry::{Artifact, Policy, PublicKey, Registry};
use ilab_wasm::Limits;
use serde::Serialize;

/// Verifies it.
pub async fn run(args: VerifyArgs) -> Result<(), CliError> {
    let policy = match &args.key {
        Some(key) => Some(Policy::of_key(PublicKey::read(key)?)),
        None => args.policy.read()?,
    };
    let policy = policy.ok_or_else(|| {
        CliError::usage("nobody is named who must have signed it")
            .hint("give --verification-policy FILE, or --key FILE with a public key")
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

//! `plugin sign`: a component in its registry, signed with a key.

use crate::CliError;
use crate::args::{KeyArgs, SignArgs, pairs};
use crate::report::{print_data, write_out};
use crate::sources::open_store;
use ilab_registry::{Artifact, PrivateKey, Reference, Registry, Signed, sign};
use ilab_wasm::Limits;
use std::collections::BTreeMap;

/// Signs it.
pub async fn run(args: SignArgs) -> Result<(), CliError> {
    let annotations = pairs("annotation", &args.annotation)?;
    let key = private_key(&args.key)?;
    let registry = Registry::new(args.registry.options())?;
    let signed = sign_at(&registry, &args.reference, &key, &annotations).await?;
    if args.output.output.is_some() {
        return print_data(&signed, args.output.output);
    }
    eprintln!("signed with the key {}", key.public().id());
    write_out(&format!("{}\n", signed.reference))
}

/// Signs what lies there now.
pub async fn sign_at(
    registry: &Registry,
    reference: &Reference,
    key: &PrivateKey,
    annotations: &BTreeMap<String, String>,
) -> Result<Signed, CliError> {
    let artifact =
        Artifact::look_up(registry, &open_store()?, reference, Limits::default().component_bytes).await?;
    Ok(sign(registry, &artifact, key, annotations).await?)
}

/// Reads the key; the password is where cosign looks for it.
pub fn private_key(args: &KeyArgs) -> Result<PrivateKey, CliError> {
    let path = args.key.as_deref().ok_or_else(|| {
        CliError::usage("--key is missing: the private key to sign with")
            .hint("make one with `cosign generate-key-pair`, or with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`")
    })?;
    Ok(PrivateKey::read(path, std::env::var("COSIGN_PASSWORD").ok().as_deref())?)
}

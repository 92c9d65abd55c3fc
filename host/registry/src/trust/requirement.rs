//! One thing that a policy wants, and whether a signature is it.

use super::bundle::KeyBundle;
use super::keys::PublicKey;
use super::statement::{read_simple, read_statement};
use crate::Digest;
use crate::signatures::Signature;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ilab_core::text::quoted;
use std::collections::BTreeMap;
use std::fmt;

/// Who has to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Whoever holds the private key.
    Key(PublicKey),
}

/// One thing that a policy wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) signer: Signer,
    /// What the signature has to say besides.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.signer {
            Signer::Key(key) => write!(f, "the key {}", key.id()),
        }?;
        for (key, value) in &self.annotations {
            write!(f, " with {}", quoted(&format!("{key}={value}"), 200))?;
        }
        Ok(())
    }
}

impl Requirement {
    /// Who has signed, when that is what is wanted; else why it is not, as a fragment.
    pub(crate) fn met_by(&self, signature: &Signature, digest: &Digest) -> Result<String, String> {
        let Signer::Key(key) = &self.signer;
        let claims = match signature {
            Signature::Simple { payload, signature } => {
                let signature = STANDARD.decode(signature).map_err(|_| "it is no base64".to_owned())?;
                if !key.signed(payload, &signature) {
                    return Err("it is by another key".into());
                }
                read_simple(payload, digest)?
            }
            Signature::Bundle(json) => read_statement(&KeyBundle::parse(json)?.open(key)?, digest)?,
        };
        for (key, value) in &self.annotations {
            if claims.annotations.get(key) != Some(value) {
                return Err(format!("it does not say {}", quoted(&format!("{key}={value}"), 100)));
            }
        }
        Ok(format!("the key {}", key.id()))
    }
}

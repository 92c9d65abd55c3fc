//! One thing that a policy wants, and whether a signature is it.

use super::bundle::KeyBundle;
use super::certificate;
use super::identity::Identity;
use super::keys::PublicKey;
use super::roots::Roots;
use super::statement::{Claims, read_simple, read_statement};
use crate::Digest;
use crate::signatures::Signature;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ilab_core::text::quoted;
use std::collections::BTreeMap;
use std::fmt;

/// Who has to have signed.
#[derive(Debug)]
pub(crate) enum Signer {
    /// Whoever holds the private key.
    Key(PublicKey),
    /// Whom an authority has certified.
    Certified(Identity),
}

/// One thing that a policy wants.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub(crate) signer: Signer,
    /// What the signature has to say besides.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.signer {
            Signer::Key(key) => write!(f, "the key {}", key.id()),
            Signer::Certified(identity) => write!(f, "{identity}"),
        }?;
        for (key, value) in &self.annotations {
            write!(f, " with {}", quoted(&format!("{key}={value}"), 200))?;
        }
        Ok(())
    }
}

impl Requirement {
    /// Who has signed, when that is what is wanted; else why it is not, as a fragment.
    pub(crate) fn met_by(
        &self,
        signature: &Signature,
        digest: &Digest,
        roots: Option<&Roots>,
    ) -> Result<String, String> {
        let (signer, claims) = match &self.signer {
            Signer::Key(key) => (format!("the key {}", key.id()), by_key(key, signature, digest)?),
            Signer::Certified(wanted) => {
                let roots = roots.ok_or("there is no trusted root")?;
                let (holder, claims) = match signature {
                    Signature::Simple { certified: None, .. } => return Err("it is by a key".into()),
                    Signature::Simple { payload, signature, certified: Some(certified) } => {
                        certificate::of_payload(roots, payload, signature, certified, digest)?
                    }
                    Signature::Bundle(json) => certificate::of_bundle(roots, json, digest)?,
                };
                wanted.is(&holder)?;
                (holder.to_string(), claims)
            }
        };
        for (key, value) in &self.annotations {
            if claims.annotations.get(key) != Some(value) {
                return Err(format!("it does not say {}", quoted(&format!("{key}={value}"), 100)));
            }
        }
        Ok(signer)
    }
}

fn by_key(key: &PublicKey, signature: &Signature, digest: &Digest) -> Result<Claims, String> {
    match signature {
        Signature::Simple { payload, signature, certified } => {
            let signature = STANDARD.decode(signature).map_err(|_| "it is no base64".to_owned())?;
            match (key.signed(payload, &signature), certified) {
                (true, _) => read_simple(payload, digest),
                (false, Some(_)) => Err("it is by a certificate".into()),
                (false, None) => Err("it is by another key".into()),
            }
        }
        Signature::Bundle(json) => read_statement(&KeyBundle::parse(json)?.open(key)?, digest),
    }
}

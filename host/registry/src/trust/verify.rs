//! A component's signatures held against what is wanted.

use super::error::TrustError;
use super::identity::Identity;
use super::keys::PublicKey;
use super::policy::Policy;
use super::requirement::{Requirement, Signer};
use super::roots::Roots;
use crate::signatures::{Signature, stored};
use crate::{Artifact, Digest, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A requirement that was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// What was wanted, for people.
    pub wanted: String,
    /// Who has signed.
    pub signer: String,
}

impl Policy {
    /// Whether the component is signed as the policy wants it, by the signatures in the store.
    ///
    /// # Errors
    /// [`TrustError::Unsigned`] and [`TrustError::Untrusted`].
    pub fn verify(&self, store: &Store, artifact: &Artifact) -> Result<Vec<Proof>, TrustError> {
        let digest = &artifact.manifest;
        let signatures = stored(store, digest);
        if signatures.is_empty() {
            return Err(TrustError::Unsigned { digest: digest.clone() });
        }
        let mut proofs = Vec::new();
        let mut missing = Vec::new();
        for wanted in &self.all_of {
            match self.meets(wanted, &signatures, digest) {
                Ok(proof) => proofs.push(proof),
                Err(why) => missing.push(why),
            }
        }
        if let Some((least, any_of)) = &self.any_of {
            let (met, unmet): (Vec<_>, Vec<_>) =
                any_of.iter().map(|wanted| self.meets(wanted, &signatures, digest)).partition(Result::is_ok);
            if met.len() < *least {
                missing.push(format!("{} of {least} needed from anyOf", met.len()));
                missing.extend(unmet.into_iter().filter_map(Result::err));
            }
            proofs.extend(met.into_iter().filter_map(Result::ok));
        }
        // Without this, a policy that wants nothing would trust everybody.
        if missing.is_empty() && !proofs.is_empty() {
            return Ok(proofs);
        }
        Err(TrustError::Untrusted { digest: digest.clone(), missing })
    }

    fn meets(
        &self,
        wanted: &Requirement,
        signatures: &[Signature],
        digest: &Digest,
    ) -> Result<Proof, String> {
        let mut why: Vec<String> = Vec::new();
        for signature in signatures {
            match wanted.met_by(signature, digest, self.roots.as_ref()) {
                Ok(signer) => return Ok(Proof { wanted: wanted.to_string(), signer }),
                Err(reason) if why.contains(&reason) => {}
                Err(reason) => why.push(reason),
            }
        }
        Err(format!("no signature by {wanted} ({})", why.join(", ")))
    }

    /// Trusts one key, and nobody else.
    #[must_use]
    pub fn of_key(key: PublicKey) -> Self {
        Self::of_one(Signer::Key(key), None)
    }

    /// Trusts whom a certificate names so, and nobody else. Without a trusted root, that of Sigstore's public instance.
    ///
    /// # Errors
    /// [`TrustError::Root`] for a trusted root that cannot be used.
    pub fn of_identity(identity: Identity, trusted_root: Option<&Path>) -> Result<Self, TrustError> {
        Ok(Self::of_one(Signer::Certified(identity), Some(Roots::read(trusted_root)?)))
    }

    fn of_one(signer: Signer, roots: Option<Roots>) -> Self {
        Self { all_of: vec![Requirement { signer, annotations: BTreeMap::new() }], any_of: None, roots }
    }
}

//! The trusted root: which authorities certify signers, and which logs write down what they certify and what is signed.

use super::error::TrustError;
use super::provider;
use ilab_core::text::escaped;
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any trusted root is long.
const LIMIT: u64 = 4 << 20;
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";

/// Authorities and logs that are trusted.
pub(super) struct Roots(pub(super) Verifier);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots")
    }
}

impl Roots {
    /// The user's file; without one, Sigstore's public instance, as it was when the crate that verifies was published. Nobody is
    /// asked over the network.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, TrustError> {
        match path {
            Some(path) => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(LIMIT).read_to_string(&mut text))
                    .map_err(|e| TrustError::root(path, format!("cannot be read: {e}")))?;
                Self::parse(&text).map_err(|problem| TrustError::root(path, problem))
            }
            None => Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
                .map_err(|problem| TrustError::root(Path::new("the trusted root of this program"), problem)),
        }
    }

    /// Parses one. The error is a fragment.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        provider::install();
        let told = |error: &dyn fmt::Display| {
            format!("is no trusted root that can be used: {}", escaped(&error.to_string(), 300))
        };
        let root = TrustedRoot::from_json(json).map_err(|e| told(&e))?;
        if !root.media_type.starts_with(MEDIA_TYPE) {
            return Err(told(&"its mediaType is another"));
        }
        // Without these, nobody could tell when something was signed, and nobody would notice what is certified.
        for (none, what) in [
            (root.certificate_authorities.is_empty(), "certificateAuthorities"),
            (root.tlogs.is_empty(), "tlogs"),
            (root.ctlogs.is_empty(), "ctlogs"),
        ] {
            if none {
                return Err(told(&format!("it has no {what}, and no signature by certificate could count")));
            }
        }
        Ok(Self(Verifier::new(&root).map_err(|e| told(&e))?))
    }
}

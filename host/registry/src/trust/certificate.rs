//! Signatures by certificate ("keyless"): an authority has certified for a few minutes who holds a key, and a log has written
//! down what was signed with it meanwhile.
//!
//! All of it is verified with what the trusted root names, and nobody is asked: the chain at the time of the log, the
//! certificate's own entry in a log, the log's proof or promise, that the entry is about this signature, and the signature.

use super::identity::Holder;
use super::provider;
use super::roots::Roots;
use super::statement::{Claims, STATEMENT, read_simple, read_statement};
use crate::Digest;
use crate::signatures::Certified;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ilab_core::text::escaped;
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::types::{Artifact, Bundle, Sha256Hash, SignatureContent};
use sigstore_verify::{CertificateError, Error, TimestampError, VerificationPolicy};
use std::fmt::Display;

/// Who has signed a bundle, and what it says of a manifest. The error is a fragment.
pub(super) fn of_bundle(roots: &Roots, json: &[u8], digest: &Digest) -> Result<(Holder, Claims), String> {
    let bundle = std::str::from_utf8(json).ok().map(Bundle::from_json);
    let bundle = match bundle {
        Some(Ok(bundle)) => bundle,
        Some(Err(error)) => return Err(format!("it is no bundle: {}", told(&error))),
        None => return Err("it is no bundle".into()),
    };
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err("it signs a bare file, and no artifact of a registry".into());
    };
    if envelope.payload_type != STATEMENT {
        return Err("it signs no statement".into());
    }
    let hash = Sha256Hash::from_hex(digest.hex()).map_err(|e| told(&e))?;
    let holder = holder(roots, &bundle, Artifact::from_digest(hash))?;
    Ok((holder, read_statement(envelope.payload.as_bytes(), digest)?))
}

/// Who has signed cosign's payload, and what it says of a manifest. The error is a fragment.
pub(super) fn of_payload(
    roots: &Roots,
    payload: &[u8],
    signature: &str,
    certified: &Certified,
    digest: &Digest,
) -> Result<(Holder, Claims), String> {
    let text = as_bundle(payload, signature, certified)?.to_string();
    let bundle = Bundle::from_json(&text).map_err(|e| format!("it cannot be read: {}", told(&e)))?;
    // What is signed is the payload's digest.
    let holder = provider::over(payload, || holder(roots, &bundle, Artifact::from_blob(payload)))?;
    Ok((holder, read_simple(payload, digest)?))
}

/// What cosign writes beside a payload: the log's promise to have entered it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Promised,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    kind: String,
    api_version: String,
}

/// The same as a bundle of the first version, which made do with the log's promise.
fn as_bundle(payload: &[u8], signature: &str, certified: &Certified) -> Result<Value, String> {
    let broken = |_| "its log entry cannot be read".to_owned();
    let promise = certified.log_entry.as_deref().ok_or(NO_LOG)?;
    let Promise { signed_entry_timestamp, payload: entry } =
        serde_json::from_str(promise).map_err(|e: serde_json::Error| broken(e.to_string()))?;
    let body = STANDARD.decode(&entry.body).map_err(|e| broken(e.to_string()))?;
    let Entry { kind, api_version } =
        serde_json::from_slice(&body).map_err(|e: serde_json::Error| broken(e.to_string()))?;
    let log_id = hex::decode(&entry.log_id).map_err(|e| broken(e.to_string()))?;
    let mut certificates = Vec::new();
    for pem in [Some(&certified.certificate), certified.chain.as_ref()].into_iter().flatten() {
        let found = pem::parse_many(pem).map_err(|_| "its certificate is no PEM".to_owned())?;
        certificates.extend(found.iter().map(|pem| json!({"rawBytes": STANDARD.encode(pem.contents())})));
    }
    Ok(json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": {"certificates": certificates},
            "tlogEntries": [{
                "logIndex": entry.log_index.to_string(),
                "logId": {"keyId": STANDARD.encode(log_id)},
                "kindVersion": {"kind": kind, "version": api_version},
                "integratedTime": entry.integrated_time.to_string(),
                "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
                "canonicalizedBody": entry.body,
            }],
        },
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(sha256(payload))},
            "signature": signature,
        },
    }))
}

fn sha256(bytes: &[u8]) -> impl AsRef<[u8]> {
    ring::digest::digest(&ring::digest::SHA256, bytes)
}

const NO_LOG: &str = "it has no entry of a transparency log";

/// Who was certified, when everything about their signature is as it should be.
fn holder(roots: &Roots, bundle: &Bundle, signed: Artifact<'_>) -> Result<Holder, String> {
    if bundle.signing_certificate().is_none() {
        return Err("it is by a key".into());
    }
    if bundle.verification_material.tlog_entries.is_empty() {
        return Err(NO_LOG.into());
    }
    // Who it is, is asked when it is certain that somebody was certified.
    let verified =
        roots.0.verify(signed, bundle, &VerificationPolicy::any_identity()).map_err(|e| why(&e))?;
    if !(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified()) {
        return Err("not all of it could be verified".into());
    }
    let subject = verified.identity().ok_or("its certificate names nobody")?.as_str().to_owned();
    let issuer = verified.issuer().ok_or("its certificate does not say who knows its holder")?.to_owned();
    let claims = verified.certificate().map(|certificate| &certificate.ci_claims);
    let source = claims.and_then(|claims| {
        // Certificates of before 2023 have the repository alone.
        let short = claims.deprecated_github.workflow_repository.as_ref();
        let old = short.map(|repository| format!("https://github.com/{repository}"));
        claims.source_repository_uri.clone().or(old)
    });
    Ok(Holder { subject, issuer, source })
}

/// Why it is not verified, in a few words and what the crate says of it.
fn why(error: &Error) -> String {
    let words = match error {
        Error::Certificate(CertificateError::ChainInvalid(_) | CertificateError::NoValidAuthority { .. }) => {
            "nobody trusted has certified it at the time of the log"
        }
        Error::Certificate(CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }) => {
            "it was not signed while its certificate was valid"
        }
        Error::Certificate(CertificateError::Sct(_)) => "no trusted log has its certificate",
        Error::TransparencyLog(_) => "no trusted log has it",
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => "nobody trusted says when it was signed",
        Error::Timestamp(_) => "no trusted authority says when it was signed",
        Error::SignatureInvalid(_) => "its signature is wrong",
        Error::ArtifactMismatch(_) => "it is about something else",
        _ => "it cannot be verified",
    };
    format!("{words}: {}", told(error))
}

fn told(error: &dyn Display) -> String {
    escaped(&error.to_string(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT};

    /// Real ones: tests/keyless/real/README.md says where they are from.
    const PROVENANCE: &str = include_str!("../../tests/keyless/real/provenance.json");
    const CONDA: &str = include_str!("../../tests/keyless/real/conda.json");

    fn digest(hex: &str) -> Digest {
        format!("sha256:{hex}").parse().unwrap()
    }

    fn a() -> Digest {
        digest("a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf")
    }

    #[test]
    fn a_bundle_of_sigstores_staging_instance_is_verified_by_its_root_alone() {
        let staging = Roots::parse(SIGSTORE_STAGING_TRUSTED_ROOT).unwrap();
        let (holder, claims) = of_bundle(&staging, PROVENANCE.as_bytes(), &a()).unwrap();
        let repository = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon";
        assert!(holder.subject.starts_with(&format!("{repository}/.github/workflows/")), "{holder}");
        assert_eq!(holder.issuer, "https://token.actions.githubusercontent.com");
        assert_eq!(holder.source.as_deref(), Some(repository));
        assert!(claims.annotations.is_empty());
        let production = Roots::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        of_bundle(&production, PROVENANCE.as_bytes(), &a()).unwrap_err();
    }

    #[test]
    fn a_bundle_of_sigstores_public_instance_is_verified_before_its_statement_is_read() {
        let roots = Roots::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        let package = digest("54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f");
        let bundle = Bundle::from_json(CONDA).unwrap();
        let signed = Artifact::from_digest(Sha256Hash::from_hex(package.hex()).unwrap());
        let holder = holder(&roots, &bundle, signed).unwrap();
        assert_eq!(holder.source.as_deref(), Some("https://github.com/prefix-dev/sigstore-example"));
        let why = of_bundle(&roots, CONDA.as_bytes(), &package).unwrap_err();
        assert!(why.contains("neither a signature nor a provenance"), "{why}");
        let why = of_bundle(&roots, CONDA.as_bytes(), &a()).unwrap_err();
        assert!(why.contains("it is about something else"), "{why}");
    }

    /// Every part that proves something is changed in one bit, and is missed.
    #[test]
    fn a_real_bundle_with_one_bit_changed_is_refused() {
        let staging = Roots::parse(SIGSTORE_STAGING_TRUSTED_ROOT).unwrap();
        let production = Roots::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        let package = digest("54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f");
        let entry = "/verificationMaterial/tlogEntries/0";
        let stamp = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
        let cases = [
            (PROVENANCE, "/verificationMaterial/certificate/rawBytes".to_owned()),
            (PROVENANCE, format!("{entry}/inclusionProof/hashes/0")),
            (PROVENANCE, format!("{entry}/canonicalizedBody")),
            (PROVENANCE, stamp.to_owned()),
            (PROVENANCE, "/dsseEnvelope/payload".to_owned()),
            (PROVENANCE, "/dsseEnvelope/signatures/0/sig".to_owned()),
            (CONDA, format!("{entry}/inclusionProof/rootHash")),
            (CONDA, format!("{entry}/inclusionPromise/signedEntryTimestamp")),
        ];
        for (text, at) in cases {
            let (roots, signed) = if text == CONDA { (&production, &package) } else { (&staging, &a()) };
            let mut bundle: Value = serde_json::from_str(text).unwrap();
            let part = bundle.pointer_mut(&at).unwrap_or_else(|| panic!("{at}"));
            let mut bytes = STANDARD.decode(part.as_str().unwrap()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            *part = STANDARD.encode(bytes).into();
            let why = of_bundle(roots, bundle.to_string().as_bytes(), signed).unwrap_err();
            assert!(!why.contains("neither a signature"), "{at}: {why}");
        }
    }
}

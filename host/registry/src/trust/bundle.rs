//! Sigstore's bundle of a signature by a key: a DSSE envelope, and a hint which key it is.

use super::keys::PublicKey;
use super::statement::STATEMENT;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What DSSE signs: the type and the content, each with its length, so that neither can pass for the other.
pub(crate) fn encoded(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// A bundle with a signature by a key, in base64, over a statement.
pub(crate) fn bundle(key: &PublicKey, payload: &[u8], signature: &str) -> Vec<u8> {
    json!({
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.hint()}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": STATEMENT,
            "signatures": [{"sig": signature}],
        },
    })
    .to_string()
    .into_bytes()
}

/// A bundle, as far as a signature by a key needs it. Entries of a log are of no use here: whoever names a key has it from its
/// holder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyBundle {
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signed>,
}

#[derive(Debug, Deserialize)]
struct Signed {
    sig: String,
}

impl KeyBundle {
    /// Reads one. The error is a fragment.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|_| "it is no bundle".to_owned())
    }

    /// Whether it is by a key, and not by a certificate.
    pub(crate) fn is_by_key(&self) -> bool {
        self.verification_material.public_key.is_some()
    }

    /// The statement that this key has signed. The error is a fragment.
    pub(crate) fn open(&self, key: &PublicKey) -> Result<Vec<u8>, String> {
        if !self.is_by_key() {
            return Err("it is by a certificate".into());
        }
        let envelope = self.dsse_envelope.as_ref().filter(|envelope| envelope.payload_type == STATEMENT);
        let envelope = envelope.ok_or("it signs no statement")?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| "it is no base64".to_owned());
        let payload = decode(&envelope.payload)?;
        // The specification of bundles has exactly one.
        let [Signed { sig }] = envelope.signatures.as_slice() else {
            return Err("it has not one signature".into());
        };
        if !key.signed(&encoded(&payload), &decode(sig)?) {
            return Err("it is by another key".into());
        }
        Ok(payload)
    }
}

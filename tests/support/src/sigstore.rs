//! A Sigstore in miniature: an authority that certifies who holds a key, a log of what it certifies, a log of what is signed.
//!
//! What it makes is what the public instance makes, so that cosign takes it too; and each part can be made wrong by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is signed in a bundle.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// Fulcio's names for who knows the holder, and for which repository a workflow ran.
const OLD_ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 1];
const OIDC_ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
const SOURCE_REPOSITORY: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 12];
/// Where a log of certificates leaves its word in one.
const TIMESTAMPS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
/// How long a certificate is good for.
const MINUTES: u64 = 10;

/// An authority and two logs, with keys of their own.
#[derive(Debug)]
pub struct Sigstore {
    root: Certificate,
    intermediate: Certificate,
    authority: Issuer<'static, KeyPair>,
    certificates: KeyPair,
    signatures: KeyPair,
}

/// Who signs, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Signer<'a> {
    /// An e-mail address, or a URL.
    pub subject: &'a str,
    /// Who knows them by it.
    pub issuer: &'a str,
    /// The repository that a workflow runs for.
    pub source: Option<&'a str>,
    /// Minutes after the certificate was made, when the log enters the signature; the certificate is good for ten.
    pub logged_after: u64,
    /// Whether a log has the certificate.
    pub certificate_logged: bool,
    /// Whether the certificate is for signing code.
    pub for_code: bool,
    /// Whether the certified key has signed, and no other.
    pub certified_key: bool,
}

impl<'a> Signer<'a> {
    /// Somebody with whom nothing is wrong.
    #[must_use]
    pub fn new(subject: &'a str, issuer: &'a str) -> Self {
        Self {
            subject,
            issuer,
            source: None,
            logged_after: 1,
            certificate_logged: true,
            for_code: true,
            certified_key: true,
        }
    }
}

/// What cosign writes beside a payload.
#[derive(Debug, Clone)]
pub struct SignedPayload {
    /// In base64.
    pub signature: String,
    /// In PEM.
    pub certificate: String,
    /// Those above it, in PEM.
    pub chain: String,
    /// The log's promise, as JSON.
    pub log_entry: String,
}

impl Default for Sigstore {
    fn default() -> Self {
        Self::new()
    }
}

impl Sigstore {
    /// One with new keys.
    ///
    /// # Panics
    /// When the system has no random numbers.
    #[must_use]
    pub fn new() -> Self {
        let key = || KeyPair::generate().expect("a key");
        let moment = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        let authority = |name: &str, constraints| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(constraints);
            params.not_before = moment(hour_ago() - 86_400);
            params.not_after = moment(hour_ago() + 10 * 86_400);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, name);
            params.use_authority_key_identifier_extension = true;
            params
        };
        let root_key = key();
        let params = authority("root of a test", BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).expect("a certificate");
        let root_issuer = Issuer::new(params, root_key);
        let mut params = authority("authority of a test", BasicConstraints::Constrained(0));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let intermediate_key = key();
        let intermediate = params.signed_by(&intermediate_key, &root_issuer).expect("a certificate");
        let authority = Issuer::new(params, intermediate_key);
        Self { root, intermediate, authority, certificates: key(), signatures: key() }
    }

    /// Its `trusted_root.json`.
    #[must_use]
    pub fn trusted_root(&self) -> Value {
        let start = "2020-01-01T00:00:00Z";
        let log = |key: &KeyPair, name: &str| {
            json!({
                "baseUrl": format!("https://{name}.example.com"),
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": start},
                },
                "logId": {"keyId": STANDARD.encode(id(key))},
            })
        };
        let chain = [&self.intermediate, &self.root].map(|c| json!({"rawBytes": STANDARD.encode(c.der())}));
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.signatures, "rekor")],
            "certificateAuthorities": [{
                "subject": {"organization": "example.com", "commonName": "authority of a test"},
                "uri": "https://fulcio.example.com",
                "certChain": {"certificates": chain},
                "validFor": {"start": start},
            }],
            "ctlogs": [log(&self.certificates, "ctfe")],
            "timestampAuthorities": [],
        })
    }

    /// A bundle: a statement signed, certified and logged.
    ///
    /// # Panics
    /// When something cannot be signed.
    #[must_use]
    pub fn bundle(&self, signer: &Signer<'_>, statement: &[u8]) -> Value {
        let begin = hour_ago();
        let (certificate, key) = self.certify(signer, begin);
        let signed = [format!("DSSEv1 28 {STATEMENT} {} ", statement.len()).as_bytes(), statement].concat();
        let signature = STANDARD.encode(key.sign(&signed).expect("a signature"));
        let envelope = json!({
            "payload": STANDARD.encode(statement),
            "payloadType": STATEMENT,
            "signatures": [{"sig": signature}],
        });
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(Sha256::digest(bytes))});
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": hash(envelope.to_string().as_bytes()),
                "payloadHash": hash(statement),
                "signatures": [{"signature": signature, "verifier": STANDARD.encode(certificate.pem())}],
            },
        });
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(certificate.der())},
                "tlogEntries": [self.entry(&body, "dsse", begin + signer.logged_after * 60)],
            },
            "dsseEnvelope": envelope,
        })
    }

    /// A payload signed, certified and logged, as cosign did before there were bundles.
    ///
    /// # Panics
    /// When something cannot be signed.
    #[must_use]
    pub fn payload(&self, signer: &Signer<'_>, payload: &[u8]) -> SignedPayload {
        let begin = hour_ago();
        let (certificate, key) = self.certify(signer, begin);
        let signature = STANDARD.encode(key.sign(payload).expect("a signature"));
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(Sha256::digest(payload))}},
                "signature": {
                    "content": signature,
                    "publicKey": {"content": STANDARD.encode(certificate.pem())},
                },
            },
        });
        let entry = self.entry(&body, "hashedrekord", begin + signer.logged_after * 60);
        let log_entry = json!({
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": {
                "body": entry["canonicalizedBody"],
                "integratedTime": begin + signer.logged_after * 60,
                "logIndex": 1,
                "logID": hex::encode(id(&self.signatures)),
            },
        });
        SignedPayload {
            signature,
            certificate: certificate.pem(),
            chain: self.intermediate.pem() + &self.root.pem(),
            log_entry: log_entry.to_string(),
        }
    }

    /// A certificate, and the key that signs.
    fn certify(&self, signer: &Signer<'_>, begin: u64) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let moment = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(id(&key)[..16].to_vec()));
        params.not_before = moment(begin);
        params.not_after = moment(begin + MINUTES * 60);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match signer.for_code {
            true => ExtendedKeyUsagePurpose::CodeSigning,
            false => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let subject = signer.subject.try_into().expect("a name in ASCII");
        params.subject_alt_names = vec![match signer.subject.contains("://") {
            true => SanType::URI(subject),
            false => SanType::Rfc822Name(subject),
        }];
        // Where Fulcio said it before, as bare text; cosign's older format still looks there.
        params.custom_extensions.push(CustomExtension::from_oid_content(&OLD_ISSUER, signer.issuer.into()));
        for (oid, text) in [(OIDC_ISSUER, Some(signer.issuer)), (SOURCE_REPOSITORY, signer.source)] {
            let text = text.map(|text| element(0x0c, text.as_bytes()));
            params.custom_extensions.extend(text.map(|text| CustomExtension::from_oid_content(&oid, text)));
        }
        // The log signs the certificate as it is without the log's own word.
        let before = params.signed_by(&key, &self.authority).expect("a certificate");
        if signer.certificate_logged {
            let word = element(0x04, &self.timestamps(first_part(before.der()), begin * 1000));
            params.custom_extensions.push(CustomExtension::from_oid_content(&TIMESTAMPS, word));
        }
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        let other = KeyPair::generate().expect("a key");
        (certificate, if signer.certified_key { key } else { other })
    }

    /// The list of one signed timestamp that a log gives for a certificate.
    fn timestamps(&self, certificate: &[u8], milliseconds: u64) -> Vec<u8> {
        let issuer = Sha256::digest(self.authority.key().subject_public_key_info());
        let size = u32::try_from(certificate.len()).expect("a short certificate").to_be_bytes();
        let time = milliseconds.to_be_bytes();
        let signed = [&[0, 0][..], &time, &[0, 1], &issuer, &size[1..], certificate, &[0, 0]].concat();
        let signature = self.certificates.sign(&signed).expect("a signature");
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a short list").to_be_bytes();
        let one =
            [&[0][..], &id(&self.certificates), &time, &[0, 0], &[4, 3], &length(&signature), &signature]
                .concat();
        let list = [&length(&one)[..], &one].concat();
        [&length(&list)[..], &list].concat()
    }

    /// The second entry of a log of two, with the log's promise and its proof.
    fn entry(&self, body: &Value, kind: &str, seconds: u64) -> Value {
        let body = body.to_string();
        let leaf = |bytes: &[u8]| Sha256::digest([&[0][..], bytes].concat());
        let before = leaf(b"what somebody else has signed");
        let root = Sha256::digest([&[1][..], &before, &leaf(body.as_bytes())].concat());
        let name = "rekor.example.com";
        let head = format!("{name} - 1\n2\n{}\n", STANDARD.encode(root));
        let id = id(&self.signatures);
        let sign = |bytes: &[u8]| self.signatures.sign(bytes).expect("a signature");
        let signature = STANDARD.encode([&id[..4], &sign(head.as_bytes())].concat());
        // Keys in the order of the alphabet, as they are signed.
        let promise = format!(
            r#"{{"body":"{}","integratedTime":{seconds},"logID":"{}","logIndex":1}}"#,
            STANDARD.encode(&body),
            hex::encode(id)
        );
        json!({
            "logIndex": "1",
            "logId": {"keyId": STANDARD.encode(id)},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": seconds.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(sign(promise.as_bytes()))},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": STANDARD.encode(root),
                "treeSize": "2",
                "hashes": [STANDARD.encode(before)],
                "checkpoint": {"envelope": format!("{head}\n\u{2014} {name} {signature}\n")},
            },
            "canonicalizedBody": STANDARD.encode(&body),
        })
    }
}

/// By which a log is named: the digest of its key.
fn id(key: &KeyPair) -> [u8; 32] {
    Sha256::digest(key.subject_public_key_info()).into()
}

/// Long enough ago that a certificate of then is good no more.
fn hour_ago() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs() - 3600
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short element").to_be_bytes();
    match content.len() {
        0..=0x7f => [&[tag, length[1]][..], content].concat(),
        0x80..=0xff => [&[tag, 0x81, length[1]][..], content].concat(),
        _ => [&[tag, 0x82, length[0], length[1]][..], content].concat(),
    }
}

/// The first element within a longer one: of a certificate, what its authority signs.
fn first_part(der: &[u8]) -> &[u8] {
    let header = |der: &[u8]| match der[1] {
        short @ ..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        _ => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
    };
    let inner = &der[header(der).0..];
    let (head, length) = header(inner);
    &inner[..head + length]
}

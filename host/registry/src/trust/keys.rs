//! Keys in files, as cosign and OpenSSL write them.

use super::error::TrustError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ED25519, EcdsaKeyPair,
    KeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use serde::Deserialize;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any key is long.
const LIMIT: u64 = 64 << 10;
/// What comes before the point in the public key of the curve P-256.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Costs of scrypt that cosign has ever used, as powers of two. Others could keep this process busy for hours.
const COSTS: [(u64, u8); 3] = [(1 << 15, 15), (1 << 16, 16), (1 << 17, 17)];

/// What comes before the key itself in the DER form of a public key, and how its signatures are checked.
const KINDS: [(&[u8], &dyn VerificationAlgorithm); 3] =
    [(&P256, &ECDSA_P256_SHA256_ASN1), (&P384, &ECDSA_P384_SHA384_ASN1), (&ED25519_HEAD, &ED25519)];
const P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A public key that signatures are checked with: ECDSA on P-256 (by SHA-256) or P-384 (by SHA-384), or Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    der: Vec<u8>,
    /// Where the key itself begins.
    head: usize,
    algorithm: &'static dyn VerificationAlgorithm,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`TrustError::Key`] when it holds no public key of a kind that is understood.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        Self::parse(&text(path)?).map_err(|problem| TrustError::key(path, problem))
    }

    /// Parses PEM. The error is a fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let pem = pem::parse(text).ok().filter(|pem| pem.tag() == "PUBLIC KEY");
        Self::of(pem.ok_or("holds no PEM public key")?.into_contents())
    }

    fn of(der: Vec<u8>) -> Result<Self, String> {
        let unknown = "holds a public key of an unknown kind: use ECDSA on P-256 or P-384, or Ed25519";
        let (head, algorithm) = KINDS.into_iter().find(|(head, _)| der.starts_with(head)).ok_or(unknown)?;
        // Its length is in the head. A point that is none fails where it is used.
        if der.len() != usize::from(der[1]) + 2 {
            return Err(unknown.into());
        }
        Ok(Self { der, head: head.len(), algorithm })
    }

    /// The first 12 hex digits of the SHA-256 of its DER form, for people.
    #[must_use]
    pub fn id(&self) -> String {
        crate::Digest::of(&self.der).hex()[..12].to_owned()
    }

    /// The hint by which a bundle names it: the SHA-256 of its DER form in base64.
    pub(crate) fn hint(&self) -> String {
        STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &self.der))
    }

    /// Whether this key has signed these bytes.
    pub(crate) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &self.der[self.head..]).verify(bytes, signature).is_ok()
    }
}

/// A private key to sign with: ECDSA on P-256, as cosign's are.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.id())
    }
}

/// A private key under a password, as cosign keeps it.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl PrivateKey {
    /// Reads a PEM file: cosign's, for which the password is needed, or an unencrypted PKCS #8 key.
    ///
    /// # Errors
    /// [`TrustError::Key`] when it holds none, or not with this password.
    pub fn read(path: &Path, password: Option<&str>) -> Result<Self, TrustError> {
        Self::parse(&text(path)?, password).map_err(|problem| TrustError::key(path, problem))
    }

    fn parse(text: &str, password: Option<&str>) -> Result<Self, String> {
        let pem = pem::parse(text).map_err(|_| "holds no PEM private key".to_owned())?;
        let der = match pem.tag() {
            "PRIVATE KEY" => pem.into_contents(),
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password =
                    password.ok_or("is encrypted, and there is no password: set COSIGN_PASSWORD")?;
                decrypt(pem.contents(), password)?
            }
            "ENCRYPTED PRIVATE KEY" => {
                return Err("is encrypted by OpenSSL: decrypt it with `openssl pkcs8`, or import it with `cosign import-key-pair`".into());
            }
            "EC PRIVATE KEY" => {
                return Err("is no PKCS #8 key: convert it with `openssl pkcs8 -topk8 -nodes`".into());
            }
            _ => return Err("holds no private key".into()),
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new())
            .map_err(|_| "is no ECDSA key on the curve P-256".to_owned())?;
        let public = PublicKey::of([&P256[..], pair.public_key().as_ref()].concat())?;
        Ok(Self { pair, public })
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs bytes, by SHA-256.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(&SystemRandom::new(), bytes).ok().map(|signature| signature.as_ref().to_vec())
    }
}

/// Undoes what cosign does with a password: scrypt, and NaCl's secretbox.
fn decrypt(json: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let broken = || "is an encrypted key that cannot be read".to_owned();
    let encrypted: Encrypted = serde_json::from_slice(json).map_err(|_| broken())?;
    if encrypted.kdf.name != "scrypt" || encrypted.cipher.name != "nacl/secretbox" {
        return Err(broken());
    }
    let Params { n, r, p } = encrypted.kdf.params;
    let cost = COSTS.iter().find(|(cost, _)| *cost == n && r == 8 && p == 1).ok_or_else(broken)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| broken());
    let nonce: [u8; 24] = decode(&encrypted.cipher.nonce)?.try_into().map_err(|_| broken())?;
    let params = scrypt::Params::new(cost.1, r, p).map_err(|_| broken())?;
    let mut key = [0; 32];
    scrypt::scrypt(password.as_bytes(), &decode(&encrypted.kdf.salt)?, &params, &mut key)
        .map_err(|_| broken())?;
    open_box(&key, &nonce, &decode(&encrypted.ciphertext)?)
        .ok_or_else(|| "cannot be decrypted: the password is wrong".to_owned())
}

/// NaCl's secretbox: the first 32 bytes of the cipher's stream are the key that authenticates, and the box begins with what it
/// makes of the rest.
fn open_box(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, content) = sealed.split_at_checked(16)?;
    let mut cipher = XSalsa20::new(key.into(), nonce.into());
    let mut once = [0; 32];
    cipher.apply_keystream(&mut once);
    let found = Poly1305::new(&once.into()).compute_unpadded(content);
    // All of it is compared, as a password is at stake.
    if found.iter().zip(tag).fold(0, |differ, (a, b)| differ | (a ^ b)) != 0 {
        return None;
    }
    let mut content = content.to_vec();
    cipher.apply_keystream(&mut content);
    Some(content)
}

fn text(path: &Path) -> Result<String, TrustError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LIMIT).read_to_string(&mut text))
        .map_err(|e| TrustError::key(path, format!("cannot be read: {e}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL: a public key, and its signature over `a payload` in base64.
    const SIGNED: [(&str, &str); 3] = [
        (
            "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX5rWdkZCn5amQBk8uWskP6D/GfJ6
B+2kvpDcvH+h2YbeMqeyLX17JYHFLQNTL+U2CiHxdJf0NcU1XpO5E7S81A==
-----END PUBLIC KEY-----",
            "MEUCIQC5GEsJEmIL+ldys75ScwiTnPY1/hb6ajEbtwHiUOIpVgIgSJzTAMt4j1gpY9Dh5uy2+bjbAWhATDG3dEedH2cLJNc=",
        ),
        (
            "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAED6VhqtQkWraxOncg2d2qyuF5oMDvBO3j
XRTLx/u0mFTIm1vB2yKvoaiYMqlNGRF/Vbi1SLg7UXtuGaStZieUfF6gMic7caw7
sOf94K+V2JtDrXNfIIm58zcFI1H8GsCl
-----END PUBLIC KEY-----",
            "MGQCMHAuod/YTB/RbtECA8tIzyi/LddDN5n37sBm6B/HuiMinL+Aoc3wd9Sn/4qGckaqqwIwEvc3or54khpuX3Kp72kJPFy5YFPZw5GxCdNNC97GDR6XpvaTCoWR7CnQK23PP5j9",
        ),
        (
            "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAahGrR5pBFnaUce7N2FzptqNZpigSC3ldBHvS2jCQKwo=
-----END PUBLIC KEY-----",
            "bwsQKWrsaONrw+StsB03azzVwsTAwTUPRQnrSPWktTHOrfwMbQ8cYp7rDemPspN2bq54DGWFJcYA+qp4V5N7Aw==",
        ),
    ];

    #[test]
    fn signatures_of_openssl_are_checked() {
        for (pem, signature) in SIGNED {
            let key = PublicKey::parse(pem).unwrap();
            let signature = STANDARD.decode(signature).unwrap();
            assert!(key.signed(b"a payload", &signature), "{key:?}");
            assert!(!key.signed(b"A payload", &signature), "{key:?}");
            for other in SIGNED.iter().filter(|(other, _)| *other != pem) {
                assert!(!PublicKey::parse(other.0).unwrap().signed(b"a payload", &signature));
            }
            let mut broken = signature.clone();
            *broken.last_mut().unwrap() ^= 1;
            assert!(!key.signed(b"a payload", &broken) && !key.signed(b"a payload", b""), "{key:?}");
        }
    }

    #[test]
    fn other_keys_are_refused() {
        let cut = SIGNED[0].0.replace("QcDQgAEX5rW", "QcDQgAE");
        for bad in ["", "x", &cut, "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"] {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn costs_that_would_take_hours_are_refused() {
        let key = |n: u64| {
            let json = format!(
                r#"{{"kdf":{{"name":"scrypt","params":{{"N":{n},"r":8,"p":1}},"salt":"AAAA"}},"cipher":{{"name":"nacl/secretbox","nonce":"{}"}},"ciphertext":"AAAA"}}"#,
                STANDARD.encode([0; 24])
            );
            decrypt(json.as_bytes(), "x").unwrap_err()
        };
        assert!(key(1 << 30).contains("cannot be read"));
        assert!(key(3).contains("cannot be read"));
    }
}

//! Sigstore's cryptography by ring, so that there is one crypto library in the program.

use ring::digest::{self, SHA256, SHA384, SHA512};
use ring::signature as by;
use sigstore_verify::crypto::{
    CryptoProvider, Error, HashContext, Result, SigningScheme, install_default_provider,
};
use sigstore_verify::types::HashAlgorithm;
use std::cell::RefCell;

/// Makes Sigstore's crates use ring. It has to be called before anything of theirs is; twice does no harm.
pub(super) fn install() {
    // A second call is refused, and then it is this one already.
    let _ = install_default_provider(&Ring);
}

thread_local! {
    /// The message that is being verified by this thread.
    static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Verifies something that signs a message by its digest: ring wants the message itself.
pub(super) fn over<T>(message: &[u8], verify: impl FnOnce() -> T) -> T {
    MESSAGE.with_borrow_mut(|kept| *kept = message.to_vec());
    let result = verify();
    MESSAGE.take();
    result
}

#[derive(Debug)]
struct Ring;

struct Hash(digest::Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

fn algorithm(hash: HashAlgorithm) -> Result<&'static digest::Algorithm> {
    match hash {
        HashAlgorithm::Sha2256 => Ok(&SHA256),
        HashAlgorithm::Sha2384 => Ok(&SHA384),
        HashAlgorithm::Sha2512 => Ok(&SHA512),
        other => Err(Error::UnsupportedAlgorithm(format!("{other} is no hash that is used here"))),
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, hash: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        Ok(Box::new(Hash(digest::Context::new(algorithm(hash)?))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<()> {
        let algorithm: &'static dyn by::VerificationAlgorithm = match scheme {
            SigningScheme::EcdsaP256Sha256 => &by::ECDSA_P256_SHA256_ASN1,
            SigningScheme::EcdsaP256Sha384 => &by::ECDSA_P256_SHA384_ASN1,
            SigningScheme::EcdsaP384Sha256 => &by::ECDSA_P384_SHA256_ASN1,
            SigningScheme::EcdsaP384Sha384 => &by::ECDSA_P384_SHA384_ASN1,
            SigningScheme::Ed25519 => &by::ED25519,
            SigningScheme::RsaPkcs1Sha256 => &by::RSA_PKCS1_2048_8192_SHA256,
            SigningScheme::RsaPkcs1Sha384 => &by::RSA_PKCS1_2048_8192_SHA384,
            SigningScheme::RsaPkcs1Sha512 => &by::RSA_PKCS1_2048_8192_SHA512,
            SigningScheme::RsaPssSha256 => &by::RSA_PSS_2048_8192_SHA256,
            SigningScheme::RsaPssSha384 => &by::RSA_PSS_2048_8192_SHA384,
            SigningScheme::RsaPssSha512 => &by::RSA_PSS_2048_8192_SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("{} is not supported", other.name()))),
        };
        by::UnparsedPublicKey::new(algorithm, key)
            .verify(data, signature)
            .map_err(|_| Error::Verification(format!("the {} signature is wrong", scheme.name())))
    }

    /// A signature over a digest is one over the message that has this digest, and that message has to be at hand.
    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        hashed: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let unknown = || Error::UnsupportedAlgorithm(format!("{} over a digest alone", scheme.name()));
        let algorithm = algorithm(scheme.hash_algorithm().ok_or_else(unknown)?)?;
        MESSAGE.with_borrow(|message| {
            if digest::digest(algorithm, message).as_ref() != hashed {
                return Err(unknown());
            }
            self.verify_raw(scheme, key, message, signature)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    #[test]
    fn a_digest_is_only_verified_with_its_message_at_hand() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let (key, signature) = (pair.public_key().as_ref(), pair.sign(&random, b"message").unwrap());
        let hashed = digest::digest(&SHA256, b"message");
        let verify = || {
            Ring.verify_prehashed(SigningScheme::EcdsaP256Sha256, key, hashed.as_ref(), signature.as_ref())
        };
        over(b"message", verify).unwrap();
        over(b"another", verify).unwrap_err();
        // What was at hand is gone.
        verify().unwrap_err();
        let other = pair.sign(&random, b"another").unwrap();
        over(b"message", || {
            Ring.verify_prehashed(SigningScheme::EcdsaP256Sha256, key, hashed.as_ref(), other.as_ref())
        })
        .unwrap_err();
    }
}

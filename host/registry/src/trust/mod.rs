//! Who has signed a component, and whether that is somebody whom the user trusts.
//!
//! Signatures are cosign's, by a key or by a certificate: the payload under its tag, or a bundle that refers to the component.
//! Whom to trust is in the user's [`Policy`]. Everything here fails closed.

mod bundle;
mod certificate;
mod error;
mod identity;
mod keys;
mod policy;
mod provider;
mod requirement;
mod roots;
mod sign;
mod statement;
mod verify;

pub use error::TrustError;
pub use identity::{Identity, Name};
pub use keys::{PrivateKey, PublicKey};
pub use policy::Policy;
pub use sign::{Signed, sign};
pub use verify::Proof;

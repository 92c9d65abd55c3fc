//! Components signed by certificate, by a Sigstore in miniature; and everything that may be wrong with such a signature.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod policies;

use common::Pushed;
use ilab_registry::{Artifact, Policy, Proof, Reference, Registry, Store, TrustError};
use ilab_test_support::{OciRegistry, Signer, Sigstore};
use serde_json::{Value, json};
use std::path::PathBuf;

const ME: &str = "me@example.com";
const ISSUER: &str = "https://id.example.com";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A registry with a component in it, an instance of Sigstore, and a folder for policies.
struct Scene {
    registry: OciRegistry,
    client: Registry,
    folder: tempfile::TempDir,
    at: Reference,
    artifact: Artifact,
    sigstore: Sigstore,
}

impl Scene {
    async fn new() -> Self {
        let Pushed { registry, client, at } = Pushed::new().await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("first")).unwrap();
        let artifact = Artifact::look_up(&client, &store, &at, 1 << 20).await.unwrap();
        let scene = Self { registry, client, folder, at, artifact, sigstore: Sigstore::new() };
        scene.file("trusted_root.json", &scene.sigstore.trusted_root().to_string());
        scene
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What a signature says of the component.
    fn statement(&self) -> Value {
        statement(self.artifact.manifest.hex())
    }

    fn payload(&self) -> Vec<u8> {
        json!({
            "critical": {
                "identity": {"docker-reference": self.at.name()},
                "image": {"docker-manifest-digest": self.artifact.manifest},
                "type": "cosign container image signature",
            },
            "optional": {"env": "prod"},
        })
        .to_string()
        .into_bytes()
    }

    fn bundle(&self, signer: &Signer<'_>) -> Value {
        self.sigstore.bundle(signer, self.statement().to_string().as_bytes())
    }

    /// Puts the bundle into the registry and looks the component up, in a store that has nothing.
    async fn signed_by(&self, bundle: &Value) -> Signed<'_> {
        self.registry.put_bundle("team/stage", self.artifact.manifest.as_str(), bundle);
        self.looked_up().await
    }

    async fn looked_up(&self) -> Signed<'_> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        let artifact = Artifact::look_up(&self.client, &store, &self.at, 1 << 20).await.unwrap();
        Signed { scene: self, store, artifact, _folder: folder }
    }
}

/// A component with what the registry has of its signatures.
struct Signed<'a> {
    scene: &'a Scene,
    store: Store,
    artifact: Artifact,
    _folder: tempfile::TempDir,
}

impl Signed<'_> {
    /// Holds it against a policy.
    fn verify(&self, policy: &str) -> Result<Vec<Proof>, TrustError> {
        let text = format!("apiVersion: ilab.dev/v1\nkind: VerificationPolicy\n{policy}\n");
        Policy::read(&self.scene.file("policy.yaml", &text))?.verify(&self.store, &self.artifact)
    }

    /// Holds it against the policy that trusts [`ME`], and this trusted root.
    fn by_me(&self, root: &str) -> Result<Vec<Proof>, TrustError> {
        self.verify(&format!(
            "trustedRoot: {root}\nallOf: [{{kind: genericIssuer, issuer: '{ISSUER}', subject: {{equal: {ME}}}}}]"
        ))
    }

    #[track_caller]
    fn refused(&self, what: &str, root: &str, says: &str) {
        let error = self.by_me(root).err().unwrap_or_else(|| panic!("{what} is taken"));
        let text = error.to_string();
        assert!(!error.is_usage() && !text.contains('\n') && text.contains(says), "{what}: {text}");
    }
}

fn statement(hex: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": hex}, "annotations": {"env": "prod"}}],
        "predicateType": SIGN,
        "predicate": {},
    })
}

fn me() -> Signer<'static> {
    Signer::new(ME, ISSUER)
}

//! Components signed in a real registry, and held against policies.

#[path = "../common/mod.rs"]
mod common;

use common::{Pushed, component};
use ilab_registry::{
    Artifact, Policy, PrivateKey, Proof, PublicKey, Reference, Registry, Store, TrustError, push, sign,
};
use ilab_test_support::OciRegistry;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key of nobody's, as `cosign generate-key-pair` writes one; its password is "correct horse".
const COSIGN_KEY: &str = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJaVWhzUEdEZzcxd3c3RVJ0UXRsNVpoUUUxVDdFLzJO
aFR6VXlSSVJHNjNnPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJWUUhreE1RL1dpalBxZExVaCtUaTFJdHhXdTRWR0FPaiJ9LCJj
aXBoZXJ0ZXh0IjoicU51TzVJdUhUZXVuYWI1UW95QlJMVU9zUHBZc2RBZkRTSnlu
bXBTaG01S2dGZGZvTTBGcjNSK09xQTdVc2dCR21rY0t2VTk3bEZlWWdyY3Z1OW0w
V2I3eXFRQm5YeUpDUTVxSkFDSDV4aW5zUDVwTWcwOXNKOVlraCtWbkpFTERPY0c0
dy9CYUZuUXo4bTk5UUYvL3ArR1FqOUlqSTg5Z3ZiZk1TaW1tbDRFdHUwQkdndE54
emFSVis4S0lWdkZJQzZPK05OZXJPM3VwVFE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----";
const COSIGN_PUB: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX5rWdkZCn5amQBk8uWskP6D/GfJ6
B+2kvpDcvH+h2YbeMqeyLX17JYHFLQNTL+U2CiHxdJf0NcU1XpO5E7S81A==
-----END PUBLIC KEY-----";

/// A registry with a component in it, and a folder for keys and policies.
struct Scene {
    _registry: OciRegistry,
    client: Registry,
    store: Store,
    folder: tempfile::TempDir,
    artifact: Artifact,
}

impl Scene {
    async fn new() -> Self {
        let Pushed { registry, client, at } = Pushed::new().await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let artifact = Artifact::look_up(&client, &store, &at, 1 << 20).await.unwrap();
        Self { _registry: registry, client, store, folder, artifact }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A new key; its public half is in the file `NAME.pub`.
    fn key(&self, name: &str) -> PrivateKey {
        let pair = rcgen::KeyPair::generate().unwrap();
        self.file(&format!("{name}.pub"), &pair.public_key_pem());
        PrivateKey::read(&self.file(&format!("{name}.key"), &pair.serialize_pem()), None).unwrap()
    }

    async fn sign(&self, key: &PrivateKey, annotations: &[(&str, &str)]) {
        let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        sign(&self.client, &self.artifact, key, &annotations).await.unwrap();
        self.artifact.fetch_signatures(&self.client, &self.store).await.unwrap();
    }

    fn verify(&self, policy: &str) -> Result<Vec<Proof>, TrustError> {
        let text = format!("apiVersion: ilab.dev/v1\nkind: VerificationPolicy\n{policy}");
        Policy::read(&self.file("policy.yaml", &text))?.verify(&self.store, &self.artifact)
    }

    /// The payload and the signature that cosign's tag has, in files.
    fn blobs(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.folder.path().join("store/blobs/sha256")).unwrap();
        files.map(|f| std::fs::read(f.unwrap().path()).unwrap()).collect()
    }
}

const A: &str = "allOf: [{kind: pubKey, keyFile: a.pub}]";

#[tokio::test]
async fn a_component_is_trusted_when_the_right_key_has_signed_it() {
    let scene = Scene::new().await;
    let (a, _b) = (scene.key("a"), scene.key("b"));
    assert!(matches!(scene.verify(A), Err(TrustError::Unsigned { .. })));
    scene.sign(&a, &[]).await;
    let proofs = scene.verify(A).unwrap();
    assert_eq!(proofs.len(), 1);
    assert_eq!(proofs[0].signer, format!("the key {}", a.public().id()));
    let error = scene.verify("allOf: [{kind: pubKey, keyFile: b.pub}]").unwrap_err();
    assert!(error.to_string().contains("it is by another key"), "{error}");
    assert!(!error.is_usage());
    let inline = std::fs::read_to_string(scene.folder.path().join("a.pub")).unwrap().replace('\n', "\n    ");
    scene.verify(&format!("allOf:\n- kind: pubKey\n  key: |\n    {inline}\n")).unwrap();
}

#[tokio::test]
async fn either_form_of_the_signature_is_enough() {
    for left in ["simplesigning", "sigstore.bundle"] {
        let scene = Scene::new().await;
        scene.sign(&scene.key("a"), &[]).await;
        // Take the other form's manifest away.
        let blobs = scene.folder.path().join("store/blobs/sha256");
        let mut taken = 0;
        for entry in std::fs::read_dir(&blobs).unwrap() {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            let signature = text.starts_with("{\"schemaVersion\"")
                && (text.contains("simplesigning") || text.contains("sigstore.bundle"));
            if signature && !text.contains(left) {
                std::fs::remove_file(path).unwrap();
                taken += 1;
            }
        }
        assert_eq!(taken, 1, "{left}");
        scene.verify(A).unwrap();
    }
}

#[tokio::test]
async fn signatures_of_several_are_counted() {
    let scene = Scene::new().await;
    let (a, b) = (scene.key("a"), scene.key("b"));
    scene.key("c");
    scene.sign(&a, &[]).await;
    scene.sign(&b, &[]).await;
    let key = |name: &str| format!("{{kind: pubKey, keyFile: {name}.pub}}");
    let [a, b, c] = ["a", "b", "c"].map(key);
    scene.verify(&format!("allOf: [{a}, {b}]")).unwrap();
    scene.verify(&format!("anyOf: {{signatures: [{c}, {b}]}}")).unwrap();
    scene.verify(&format!("allOf: [{a}]\nanyOf: {{minimumMatches: 1, signatures: [{b}, {c}]}}")).unwrap();
    scene.verify(&format!("anyOf: {{minimumMatches: 2, signatures: [{a}, {b}, {c}]}}")).unwrap();
    for (policy, says) in [
        (format!("allOf: [{a}, {c}]"), "no signature by the key"),
        (format!("anyOf: {{minimumMatches: 2, signatures: [{a}, {c}]}}"), "1 of 2 needed"),
        (format!("allOf: [{c}]\nanyOf: {{signatures: [{a}]}}"), "no signature by the key"),
    ] {
        let error = scene.verify(&policy).unwrap_err();
        assert!(matches!(error, TrustError::Untrusted { .. }) && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn what_a_signature_has_to_say_is_asked_for() {
    let scene = Scene::new().await;
    scene.sign(&scene.key("a"), &[("env", "prod"), ("by", "release")]).await;
    scene.verify("allOf: [{kind: pubKey, keyFile: a.pub, annotations: {env: prod}}]").unwrap();
    for wrong in ["{env: test}", "{env: prod, more: x}"] {
        let error = scene
            .verify(&format!("allOf: [{{kind: pubKey, keyFile: a.pub, annotations: {wrong}}}]"))
            .unwrap_err();
        assert!(error.to_string().contains("it does not say"), "{error}");
    }
}

#[tokio::test]
async fn a_signature_of_another_component_is_none_of_this() {
    let (one, other) = (Scene::new().await, Scene::new().await);
    // The same bytes have the same digest wherever they lie, so the other has to be another.
    let at: Reference = other.artifact.reference.to_string().split('@').next().unwrap().parse().unwrap();
    push(&other.client, &at, &component("another")).await.unwrap();
    let artifact = Artifact::look_up(&other.client, &other.store, &at, 1 << 20).await.unwrap();
    let other = Scene { artifact, ..other };
    let key = one.key("a");
    other.sign(&key, &[]).await;
    // Whoever can write to the store says that they are of the first.
    for blob in other.blobs() {
        let digest = ilab_registry::Digest::of(&blob);
        std::fs::write(one.store.path(&digest), &blob).unwrap();
        let folder = one.folder.path().join("store/signatures").join(one.artifact.manifest.hex());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(digest.hex()), "").unwrap();
    }
    let error = one.verify(A).unwrap_err().to_string();
    assert!(error.contains("not this") && error.contains("about something else"), "{error}");
}

#[tokio::test]
async fn cosigns_own_keys_sign() {
    let scene = Scene::new().await;
    let path = scene.file("cosign.key", COSIGN_KEY);
    scene.file("a.pub", COSIGN_PUB);
    for (password, says) in [(None, "COSIGN_PASSWORD"), (Some("wrong horse"), "the password is wrong")] {
        let error = PrivateKey::read(&path, password).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("cosign.key"), "{error}");
    }
    let key = PrivateKey::read(&path, Some("correct horse")).unwrap();
    assert_eq!(key.public(), &PublicKey::read(&scene.folder.path().join("a.pub")).unwrap());
    scene.sign(&key, &[]).await;
    scene.verify(A).unwrap();

    // OpenSSL finds the signature as good as we do: it is over the payload, by ECDSA and SHA-256.
    let blobs = scene.blobs();
    let payload = blobs.iter().find(|b| b.starts_with(b"{\"critical\"")).unwrap();
    let manifest = blobs.iter().find(|b| String::from_utf8_lossy(b).contains("cosign/signature\"")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let signature =
        manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    use base64::Engine;
    let signature = base64::engine::general_purpose::STANDARD.decode(signature).unwrap();
    std::fs::write(scene.folder.path().join("payload"), payload).unwrap();
    std::fs::write(scene.folder.path().join("signature"), signature).unwrap();
    let checked = openssl(
        scene.folder.path(),
        &["dgst", "-sha256", "-verify", "a.pub", "-signature", "signature", "payload"],
    );
    assert!(checked.contains("Verified OK"), "{checked}");
}

fn openssl(folder: &Path, args: &[&str]) -> String {
    let output =
        Command::new("openssl").current_dir(folder).args(args).output().expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_signature_under_cosigns_tag_is_what_cosign_makes() {
    let scene = Scene::new().await;
    scene.sign(&scene.key("a"), &[]).await;
    let digest = &scene.artifact.manifest;
    let at: Reference =
        format!("oci://{}:{}.sig", scene.artifact.reference.name(), digest.as_str().replace(':', "-"))
            .parse()
            .unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&scene.client.manifest(&at).await.unwrap().bytes).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let payloads: Vec<_> = scene.blobs().into_iter().filter(|b| b.starts_with(b"{\"critical\"")).collect();
    assert_eq!(
        String::from_utf8(payloads[0].clone()).unwrap(),
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#,
            scene.artifact.reference.name()
        )
    );
    // This registry keeps no list of referrers: the tag that stands in for it has the bundle.
    let tag: Reference =
        format!("oci://{}:{}", scene.artifact.reference.name(), digest.as_str().replace(':', "-"))
            .parse()
            .unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&scene.client.manifest(&tag).await.unwrap().bytes).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(
        entry["annotations"]["dev.sigstore.bundle.predicateType"],
        "https://sigstore.dev/cosign/sign/v1"
    );
}

#[tokio::test]
async fn policies_that_cannot_be_meant_are_refused_with_what_can() {
    let scene = Scene::new().await;
    scene.key("a");
    for (policy, says) in [
        ("", "would trust everybody"),
        ("allOf: []", "would trust everybody"),
        ("allOf: [{kind: pubKey}]", "allOf[0] needs either key or keyFile"),
        ("allOf: [{kind: pubKey, keyFile: a.pub, key: x}]", "either key or keyFile"),
        ("allOf: [{kind: pubKey, keyFile: none.pub}]", "none.pub"),
        ("allOf: [{kind: pubKey, keyFile: a.key}]", "no PEM public key"),
        ("allOf: [{kind: pubKey, keyfile: a.pub}]", "keyfile"),
        ("allOf: [{kind: pubkey, keyFile: a.pub}]", "pubKey"),
        ("anyof: {}", "anyOf"),
        ("anyOf: {minimumMatches: 0, signatures: [{kind: pubKey, keyFile: a.pub}]}", "minimumMatches is 0"),
        (
            "anyOf: {minimumMatches: 2, signatures: [{kind: pubKey, keyFile: a.pub}]}",
            "there are 1 signatures",
        ),
        ("anyOf: {minimum: 1, signatures: []}", "minimumMatches"),
    ] {
        let error = scene.verify(policy).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(says), "{policy}: {error}");
        assert!(error.to_string().contains("policy.yaml") && !error.to_string().contains('\n'), "{error}");
    }
    for (name, text, says) in [
        ("x.key", "nothing", "no PEM private key"),
        ("x.key", "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----", "openssl pkcs8"),
        (
            "x.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----",
            "OpenSSL",
        ),
        ("x.key", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "P-256"),
        ("x.key", COSIGN_PUB, "no private key"),
    ] {
        let error = PrivateKey::read(&scene.file(name, text), Some("x")).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(says), "{error}");
    }
}

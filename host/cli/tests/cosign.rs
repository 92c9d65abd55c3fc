//! cosign itself beside the host: what one signs, the other verifies, in both formats that there are.

mod common;

use common::place::{Place, reference, wasm};
use ilab_test_support::{OciRegistry, RegistryNeeds, Signer, Sigstore, cosign};
use std::fs;

const PASSWORD: &str = "correct horse";
/// Which of its two formats cosign writes or reads.
const FORMATS: [&str; 2] = ["--new-bundle-format=true", "--new-bundle-format=false"];

/// Runs cosign in the folder: whether it succeeded, and what it said.
fn run(place: &Place, args: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(cosign());
    command.env_clear().envs([("HOME", place.path(".")), ("TUF_ROOT", place.path("tuf"))]);
    command.env("COSIGN_PASSWORD", PASSWORD).current_dir(place.path(".")).args(args);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn ok(place: &Place, args: &[&str]) {
    let (success, said) = run(place, args);
    assert!(success, "cosign {args:?}: {said}");
}

/// A component pushed as this, and its name as cosign takes it.
fn pushed(place: &Place, registry: &OciRegistry, name: &str, more: &[&str]) -> (String, String) {
    let at = reference(registry, name);
    let file = wasm("fetch");
    let mut push = place.command();
    push.env("COSIGN_PASSWORD", PASSWORD).args(["plugin", "push", &file, &at]).args(more);
    let output = push.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pinned = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    // By digest alone: cosign wants no tag beside it.
    let (name, digest) = pinned.trim_start_matches("oci://").split_once('@').unwrap();
    (at, format!("{}@{digest}", name.rsplit_once(':').unwrap().0))
}

#[test]
#[ignore = "builds cosign from its sources; make interop"]
fn what_is_signed_here_cosign_verifies() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    ok(&place, &["generate-key-pair"]);
    let (_, image) = pushed(&place, &registry, "ilab/ours:1", &["--key", "cosign.key"]);
    let (_, unsigned) = pushed(&place, &registry, "ilab/unsigned:1", &[]);
    for format in FORMATS {
        let verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", format];
        ok(&place, &[&verify[..], &[&image]].concat());
        let (success, said) = run(&place, &[&verify[..], &[&unsigned]].concat());
        assert!(!success && said.contains("no signatures found"), "{said}");
    }
}

#[test]
#[ignore = "builds cosign from its sources; make interop"]
fn what_cosign_signs_is_verified_here() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    for (format, name) in FORMATS.into_iter().zip(["ilab/bundle:1", "ilab/payload:1"]) {
        // A store of its own: signatures are kept by the manifest's digest, which is the same in both.
        let place = Place::new();
        ok(&place, &["generate-key-pair"]);
        ok(&place, &["generate-key-pair", "--output-key-prefix", "other"]);
        let (at, image) = pushed(&place, &registry, name, &[]);
        let said = place.fails(10, &["plugin", "verify", &at, "--key", "cosign.pub"]);
        assert!(said.contains("is not signed"), "{said}");
        let sign =
            ["sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--yes"];
        ok(&place, &[&sign[..], &["--annotations", "env=prod", format, &image]].concat());
        place.ok(&["plugin", "verify", &at, "--key", "cosign.pub"]);
        let said = place.fails(10, &["plugin", "verify", &at, "--key", "other.pub"]);
        assert!(said.contains("it is by another key"), "{said}");
        let policy = "apiVersion: ilab.dev/v1\nkind: VerificationPolicy\nallOf: [{kind: pubKey, keyFile: cosign.pub, annotations: {env: prod}}]\n";
        fs::write(place.path("policy.yaml"), policy).unwrap();
        place.ok(&["plugin", "verify", &at, "--verification-policy", "policy.yaml"]);
    }
}

/// The Sigstore of the tests is one to cosign, too; so what is verified of it here is what is to be verified.
#[test]
#[ignore = "builds cosign from its sources; make interop"]
fn what_the_miniature_certifies_cosign_verifies_as_the_host_does() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (place, sigstore) = (Place::new(), Sigstore::new());
    fs::write(place.path("root.json"), sigstore.trusted_root().to_string()).unwrap();
    let (me, issuer) = ("me@example.com", "https://id.example.com");
    for (format, name) in FORMATS.into_iter().zip(["ilab/bundle", "ilab/payload"]) {
        let (at, image) = pushed(&place, &registry, &format!("{name}:1"), &[]);
        let digest = image.split_once('@').unwrap().1;
        let signer = Signer::new(me, issuer);
        if name == "ilab/bundle" {
            let statement = serde_json::json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"digest": {"sha256": &digest["sha256:".len()..]}}],
                "predicateType": "https://sigstore.dev/cosign/sign/v1",
                "predicate": {},
            });
            registry.put_bundle(name, digest, &sigstore.bundle(&signer, statement.to_string().as_bytes()));
        } else {
            let payload = serde_json::json!({
                "critical": {
                    "identity": {"docker-reference": image.split_once('@').unwrap().0},
                    "image": {"docker-manifest-digest": digest},
                    "type": "cosign container image signature",
                },
                "optional": null,
            });
            let payload = payload.to_string().into_bytes();
            registry.put_payload(name, digest, &payload, &sigstore.payload(&signer, &payload));
        }
        let names =
            ["--trusted-root", "root.json", "--certificate-oidc-issuer", issuer, "--certificate-identity"];
        place.ok(&[&["plugin", "verify", &at][..], &names, &[me]].concat());
        ok(&place, &[&["verify", format][..], &names, &[me, &image]].concat());
        let other = "you@example.com";
        place.fails(10, &[&["plugin", "verify", &at][..], &names, &[other]].concat());
        assert!(!run(&place, &[&["verify", format][..], &names, &[other, &image]].concat()).0);
    }
}

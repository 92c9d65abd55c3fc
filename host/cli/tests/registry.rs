//! Plugins come from a registry: pushed, pinned, pulled, and run by the bytes that were pinned.

mod common;

use common::place::{Place, reference, wasm};
use common::plugins;
use ilab_test_support::{OciRegistry, RegistryNeeds, Signer, Sigstore};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const ALL: [&str; 5] = ["fetch", "train", "mt-bench", "final-eval", "upload"];

/// Manifests without the comments that say where a stage is from.
fn manifests(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| !line.starts_with("# stage ")).collect()
}

#[test]
fn the_workflow_runs_from_a_lock_as_from_a_folder() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    for name in ALL {
        let printed =
            place.ok(&["plugin", "push", &wasm(name), &reference(&registry, &format!("ilab/{name}:1"))]);
        assert!(printed.starts_with(&reference(&registry, &format!("ilab/{name}:1@sha256:"))), "{printed}");
        place.ok(&["plugin", "pull", "--lock", &reference(&registry, &format!("ilab/{name}:1"))]);
    }
    let lock = fs::read_to_string(place.path("plugins.lock")).unwrap();
    assert_eq!(lock.matches("reference: oci://").count(), 5, "{lock}");
    let folder = plugins().display().to_string();
    let expected = place.dry(&["--plugins", &folder]);
    let first = place.dry(&["--plugins", "plugins.lock"]);
    let mut one_by_one: Vec<String> = ALL[1..]
        .iter()
        .map(|n| format!("--plugins={}", reference(&registry, &format!("ilab/{n}:1"))))
        .collect();
    one_by_one.push(format!("--plugins={}", wasm("fetch")));
    let words: Vec<&str> = one_by_one.iter().map(String::as_str).collect();
    let listed = place.dry(&words);
    // The registry is gone: what was pinned and pulled needs nobody.
    drop(registry);
    let offline = place.dry(&["--plugins", "plugins.lock"]);
    assert_eq!(first, offline);
    for printed in [&first, &listed] {
        let (mut expected, mut found) = (manifests(&expected), manifests(printed));
        // The order of stages that wait for the same ones is that of the sources.
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(expected, found);
    }
    assert!(first.contains("from oci://localhost:"), "{first}");
}

#[test]
fn only_what_somebody_vouches_for_runs() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    let at = reference(&registry, "ilab/fetch:1");
    let pushed = place.ok(&["plugin", "push", &wasm("fetch"), &at, "-o", "json"]);
    let pushed: serde_json::Value = serde_json::from_str(&pushed).unwrap();
    let (manifest, component) = (pushed["manifest"].as_str().unwrap(), pushed["component"].as_str().unwrap());
    let pinned = format!("{at}@{manifest}");
    let said = place.fails(10, &["run", "--plugins", &at, "--dry-run"]);
    assert!(
        said.contains("no lock pins it") && said.contains(&format!("--allow-unsigned {manifest}")),
        "{said}"
    );
    place.fails(10, &["run", "--plugins", &pinned, "--dry-run"]);
    let another = format!("sha256:{}", "0".repeat(64));
    place.fails(10, &["run", "--plugins", &at, "--allow-unsigned", &another, "--dry-run"]);
    for digest in [manifest, component] {
        let printed = place.ok(&["rbac", "--plugins", &at, "--allow-unsigned", digest]);
        assert!(printed.contains("kind: Role"), "{printed}");
    }
    let said = place.fails(2, &["run", "--plugins", &at, "--allow-unsigned", "sha256:1", "--dry-run"]);
    assert!(said.contains("64 hex digits"), "{said}");

    // The tag moves, the lock does not.
    place.ok(&["plugin", "pull", "--lock", &at]);
    place.ok(&["plugin", "push", &wasm("upload"), &at]);
    assert!(place.ok(&["rbac", "--plugins", &at]).contains("kind: Role"));
    assert_eq!(place.ok(&["plugin", "pull", "--lock", &at]).trim(), pinned);
    place.ok(&["plugin", "pull", "--lock", "--update", &at]);
    assert!(!fs::read_to_string(place.path("plugins.lock")).unwrap().contains(manifest));
}

#[test]
fn other_bytes_than_pinned_are_refused_wherever_they_come_from() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    let at = reference(&registry, "ilab/fetch:1");
    place.ok(&["plugin", "push", &wasm("fetch"), &at]);
    place.ok(&["plugin", "pull", "--lock", &at]);
    let lock = fs::read_to_string(place.path("plugins.lock")).unwrap();
    let component = lock.split("component: ").nth(1).unwrap().trim().to_owned();

    // In the store, behind our back: with the size that it had.
    let stored = place.path("cache/ilab-host/registry/blobs/sha256").join(&component["sha256:".len()..]);
    let mut bytes = fs::read(&stored).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&stored, bytes).unwrap();
    let said = place.fails(10, &["rbac", "--plugins", &at]);
    assert!(said.contains(&component) && said.contains(&at), "{said}");
    place.ok(&["plugin", "pull", "--lock"]);
    place.ok(&["rbac", "--plugins", &at]);

    // In the lock.
    let other = format!("sha256:{}", "0".repeat(64));
    fs::write(place.path("plugins.lock"), lock.replace(&component, &other)).unwrap();
    let said = place.fails(10, &["run", "--plugins", &at, "--dry-run"]);
    assert!(said.contains(&component) && said.contains(&other), "{said}");
    place.fails(10, &["plugin", "pull", "--lock"]);
}

#[test]
fn an_archive_takes_plugins_where_no_registry_is() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (here, there) = (Place::new(), Place::new());
    for name in ["fetch", "train"] {
        let at = reference(&registry, &format!("ilab/{name}:1"));
        here.ok(&["plugin", "push", &wasm(name), &at]);
        here.ok(&["plugin", "pull", "--lock", &at]);
    }
    let archive = there.path("plugins.tar").display().to_string();
    let saved = here.ok(&["plugin", "save", &archive]);
    assert_eq!(saved.lines().count(), 2, "{saved}");
    drop(registry);
    assert_eq!(there.ok(&["plugin", "load", &archive]), saved);
    // What an archive says is nobody's word yet.
    let at = saved.lines().next().unwrap();
    there.fails(10, &["run", "--plugins", at, "--dry-run"]);
    fs::copy(here.path("plugins.lock"), there.path("plugins.lock")).unwrap();
    assert!(there.ok(&["rbac", "--plugins", "plugins.lock"]).contains("kind: Role"));
    fs::remove_file(there.path("plugins.lock")).unwrap();
    there.ok(&["plugin", "load", "--lock", &archive]);
    assert_eq!(
        fs::read_to_string(there.path("plugins.lock")).unwrap(),
        fs::read_to_string(here.path("plugins.lock")).unwrap()
    );
}

/// A credential helper that answers for one registry.
fn helper(folder: &Path, name: &str, host: &str, password: &str) {
    let path = folder.join(format!("docker-credential-{name}"));
    let answer = path.with_extension("json");
    fs::write(&answer, format!(r#"{{"Username":"{}","Secret":"{password}"}}"#, OciRegistry::USER)).unwrap();
    let script = format!(
        "#!/bin/sh\nread host\nif [ \"$1 $host\" = 'get {host}' ]; then\n  cat '{}'\nelse\n  echo 'credentials not found in native keychain'; exit 1\nfi\n",
        answer.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn credentials_come_from_where_docker_keeps_them() {
    let registry = OciRegistry::start(RegistryNeeds { password: true, tls: true });
    let place = Place::new();
    let at = reference(&registry, "ilab/upload:1");
    let ca = registry.ca_file().display().to_string();
    let file = wasm("upload");
    let push = ["plugin", "push", &file, &at, "--registry-ca-file", &ca];
    assert!(place.fails(9, &push[..4]).contains("certificate"));
    assert!(place.fails(9, &push).contains("does not let anybody push"));
    let host = registry.host();
    helper(place.folder.path(), "right", &host, OciRegistry::PASSWORD);
    helper(place.folder.path(), "wrong", &host, "wrong");
    helper(place.folder.path(), "other", "elsewhere", "x");
    let with = |config: &str| {
        fs::write(place.path("config.json"), config).unwrap();
        let path = format!("{}:{}", place.folder.path().display(), std::env::var("PATH").unwrap());
        place
            .command()
            .env("DOCKER_CONFIG", place.folder.path())
            .env("PATH", path)
            .args(push)
            .output()
            .unwrap()
    };
    for (config, says) in [
        (format!(r#"{{"credsStore":"wrong","credHelpers":{{"{host}":"right"}}}}"#), None),
        (format!(r#"{{"credsStore":"right","auths":{{"{host}":{{}}}}}}"#), None),
        (r#"{"credsStore":"wrong"}"#.to_owned(), Some("these credentials")),
        (r#"{"credsStore":"other"}"#.to_owned(), Some("does not let anybody")),
        (r#"{"credsStore":"absent"}"#.to_owned(), Some("cannot be run")),
        ("[".to_owned(), Some("no docker configuration")),
    ] {
        let output = with(&config);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match says {
            None => assert!(output.status.success(), "{config}: {said}"),
            Some(says) => {
                assert_eq!(output.status.code(), Some(9), "{config}: {said}");
                assert!(said.contains(says) && !said.contains(OciRegistry::PASSWORD), "{config}: {said}");
            }
        }
    }
}

#[test]
fn a_policy_decides_whose_plugins_run() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    let at = reference(&registry, "ilab/fetch:1");
    for name in ["ours", "theirs"] {
        let pair = rcgen::KeyPair::generate().unwrap();
        fs::write(place.path(&format!("{name}.key")), pair.serialize_pem()).unwrap();
        fs::write(place.path(&format!("{name}.pub")), pair.public_key_pem()).unwrap();
    }
    let policy = |key: &str| {
        format!(
            "apiVersion: ilab.dev/v1\nkind: VerificationPolicy\nallOf:\n- kind: pubKey\n  keyFile: {key}.pub\n"
        )
    };
    fs::write(place.path("policy.yaml"), policy("ours")).unwrap();
    let by_policy = ["rbac", "--verification-policy", "policy.yaml", "--plugins", &at];
    place.ok(&["plugin", "push", &wasm("fetch"), &at, "--key", "theirs.key"]);
    let said = place.fails(10, &by_policy);
    assert!(said.contains("no signature by the key") && said.contains("by another key"), "{said}");
    // A policy is for what is locked, too, and for what is about to be.
    place.fails(10, &["plugin", "pull", "--lock", "--verification-policy", "policy.yaml", &at]);
    assert!(!place.path("plugins.lock").exists());
    place.ok(&["plugin", "pull", "--lock", &at]);
    place.fails(10, &by_policy);
    place.fails(10, &["plugin", "verify", &at, "--key", "ours.pub"]);
    place.ok(&["plugin", "verify", &at, "--key", "theirs.pub"]);

    // Signed after it was pulled.
    let signed =
        place.ok(&["plugin", "sign", &at, "--key", "ours.key", "--annotation", "env=prod", "-o", "json"]);
    let signed: serde_json::Value = serde_json::from_str(&signed).unwrap();
    place.ok(&by_policy);
    let verified = place.ok(&["plugin", "verify", &at, "--verification-policy", "policy.yaml", "-o", "json"]);
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["manifest"], signed["manifest"]);
    assert!(verified["signatures"][0]["signer"].as_str().unwrap().starts_with("the key "));

    // The archive carries the signatures, and then nobody has to be asked.
    place.ok(&["plugin", "save", "plugins.tar"]);
    drop(registry);
    let there = Place::new();
    let archive = place.path("plugins.tar").display().to_string();
    there.ok(&["plugin", "load", "--lock", &archive]);
    let file = place.path("policy.yaml").display().to_string();
    there.ok(&["rbac", "--verification-policy", &file, "--plugins", "plugins.lock"]);
    fs::write(
        place.path("policy.yaml"),
        policy("ours").replace("keyFile", "annotations: {env: test}\n  keyFile"),
    )
    .unwrap();
    let said = there.fails(10, &["rbac", "--verification-policy", &file, "--plugins", "plugins.lock"]);
    assert!(said.contains("does not say"), "{said}");
    fs::write(place.path("policy.yaml"), "apiVersion: ilab.dev/v1\nkind: VerificationPolicy\nallof: []\n")
        .unwrap();
    let said = there.fails(2, &["rbac", "--verification-policy", &file, "--plugins", "plugins.lock"]);
    assert!(said.contains("unknown field `allof`") && said.contains("allOf, anyOf"), "{said}");
    place.fails(2, &["plugin", "sign", &at]);
    place.fails(2, &["plugin", "verify", &at]);
}

#[test]
fn a_certificate_says_who_has_signed() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (place, sigstore) = (Place::new(), Sigstore::new());
    let at = reference(&registry, "ilab/fetch:1");
    let pushed = place.ok(&["plugin", "push", &wasm("fetch"), &at, "-o", "json"]);
    let pushed: serde_json::Value = serde_json::from_str(&pushed).unwrap();
    let manifest = pushed["manifest"].as_str().unwrap();
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": &manifest["sha256:".len()..]}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
    });
    let (me, issuer) = ("me@example.com", "https://id.example.com");
    let bundle = sigstore.bundle(&Signer::new(me, issuer), statement.to_string().as_bytes());
    registry.put_bundle("ilab/fetch", manifest, &bundle);
    fs::write(place.path("root.json"), sigstore.trusted_root().to_string()).unwrap();

    let verify = |words: &[&str]| {
        [&["plugin", "verify", &at][..], words].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let run = |words: &[&str]| {
        let words = verify(words);
        place.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let root = ["--trusted-root", "root.json"];
    for names in [
        ["--certificate-identity", me, "--certificate-oidc-issuer", issuer],
        ["--certificate-identity-regexp", "@example\\.com$", "--certificate-oidc-issuer", issuer],
        ["--certificate-identity", me, "--certificate-oidc-issuer-regexp", "^https://id\\."],
    ] {
        let output = run(&[&names[..], &root].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{names:?}: {said}");
        assert!(said.contains(&format!("signed by {me} of {issuer}")), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{at}@{manifest}"));
    }
    // Another holder, another issuer, and Sigstore's public instance, which knows nobody here.
    for (names, root) in [
        (["--certificate-identity", "you@example.com", "--certificate-oidc-issuer", issuer], &root[..]),
        (["--certificate-identity", me, "--certificate-oidc-issuer", "https://evil"], &root[..]),
        (["--certificate-identity", me, "--certificate-oidc-issuer-regexp", "^id"], &root[..]),
        (["--certificate-identity", me, "--certificate-oidc-issuer", issuer], &[]),
    ] {
        let said = place.fails(10, &[&["plugin", "verify", &at][..], &names, root].concat());
        assert!(said.contains("no signature by "), "{said}");
    }
    for (words, says) in [
        (&["--certificate-identity", me][..], "--certificate-oidc-issuer"),
        (&["--certificate-oidc-issuer", issuer], "--certificate-identity"),
        (&["--trusted-root", "root.json"], "--certificate-identity"),
        (
            &[
                "--certificate-identity",
                me,
                "--certificate-identity-regexp",
                me,
                "--certificate-oidc-issuer",
                issuer,
            ],
            "cannot be used with",
        ),
        (
            &["--certificate-identity", me, "--certificate-oidc-issuer", issuer, "--key", "x"],
            "cannot be used with",
        ),
        (
            &["--certificate-identity", "", "--certificate-oidc-issuer", issuer],
            "--certificate-identity is empty",
        ),
        (
            &["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", issuer],
            "--certificate-identity-regexp is no regular expression",
        ),
        (
            &[
                "--certificate-identity",
                me,
                "--certificate-oidc-issuer",
                issuer,
                "--trusted-root",
                "none.json",
            ],
            "none.json",
        ),
    ] {
        let output = run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }

    // A policy decides before anything of the component is compiled.
    let policy = |subject: &str| {
        format!(
            "apiVersion: ilab.dev/v1\nkind: VerificationPolicy\ntrustedRoot: root.json\nallOf:\n- kind: genericIssuer\n  issuer: {issuer}\n  subject: {{equal: {subject}}}\n"
        )
    };
    fs::write(place.path("policy.yaml"), policy("you@example.com")).unwrap();
    let by_policy = ["rbac", "--verification-policy", "policy.yaml", "--plugins", &at];
    let said = place.fails(10, &by_policy);
    assert!(said.contains("it is by me@example.com of https://id.example.com"), "{said}");
    fs::write(place.path("policy.yaml"), policy(me)).unwrap();
    assert!(place.ok(&by_policy).contains("kind: Role"));
    // What it was verified by is in the store, and nobody has to be asked again.
    place.ok(&["plugin", "pull", "--lock", "--verification-policy", "policy.yaml", &at]);
    drop(registry);
    place.ok(&by_policy);
}

#[test]
fn bad_input_changes_nothing() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    let at = reference(&registry, "ilab/upload:1");
    fs::write(place.path("x.wasm"), b"no wasm").unwrap();
    assert!(place.fails(3, &["plugin", "push", "x.wasm", &at]).contains("not a WebAssembly component"));
    assert!(place.fails(9, &["plugin", "pull", "--lock", &at]).contains("has no oci://"));
    assert!(!place.path("plugins.lock").exists());
    for bad in ["ilab/upload:1", "oci://localhost/Upload:1", "oci://localhost/upload"] {
        let output = place.run(&["plugin", "pull", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}: {}", String::from_utf8_lossy(&output.stderr));
    }
    place.fails(2, &["run", "--plugins", "oci://localhost/upload", "--dry-run"]);
    place.fails(2, &["run", "--plugins", "none.lock", "--dry-run"]);
    place.fails(2, &["run", "--plugins", &at, "--plugins-lock", "none.lock", "--dry-run"]);
    fs::write(place.path("plugins.lock"), "apiVersion: ilab.dev/v1\nkind: PluginLock\nplugin: []\n").unwrap();
    let said = place.fails(2, &["run", "--plugins", "plugins.lock", "--dry-run"]);
    assert!(said.contains("unknown field `plugin`, expected one of apiVersion, kind, plugins"), "{said}");
    place.fails(2, &["plugin", "load", "x.wasm"]);
    place.fails(2, &["plugin", "save", "x.tar"]);
    // Nobody listens there.
    assert!(place.fails(9, &["plugin", "pull", "oci://localhost:1/a:1"]).contains("does not answer"));
}

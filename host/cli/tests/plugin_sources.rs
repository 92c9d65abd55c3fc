//! The author's verbs take what `--plugins` takes: files, folders, references and locks, under the same rules of trust.

mod common;

use common::place::{Place, reference, wasm};
use common::plugins;
use ilab_test_support::{OciRegistry, Puppet, RegistryNeeds};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_component_of_a_registry_is_examined_as_a_file_is() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::without_grants();
    let file = wasm("train");
    let at = reference(&registry, "ilab/train:1");
    let pushed = json(&place.ok(&["plugin", "push", &file, &at, "-o", "json"]));
    place.ok(&["plugin", "pull", "--lock", &at]);
    // What is pinned and in the store needs nobody.
    drop(registry);

    let of_file = json(&place.ok(&["plugin", "inspect", &file, "-o", "json"]));
    let of_registry = json(&place.ok(&["plugin", "inspect", &at, "-o", "json"]));
    assert_eq!(of_registry["digest"], pushed["component"]);
    assert_eq!(
        (&of_registry["file"], &of_registry["reference"]),
        (&pushed["reference"], &pushed["reference"])
    );
    for same in ["digest", "contract", "metadata", "stages", "usesWasi"] {
        assert_eq!(of_file[same], of_registry[same], "{same}");
    }
    let of_lock = json(&place.ok(&["plugin", "inspect", "plugins.lock", "-o", "json"]));
    assert_eq!(of_lock, serde_json::json!([of_registry]));

    for source in [&at, "plugins.lock"] {
        let render = |from: &str| place.ok(&["plugin", "render", from, "train-phase-2", "--set", "epochs=7"]);
        assert_eq!(render(&file), render(source));
        let check = |from: &str| {
            let mut found = json(&place.ok(&["plugin", "check", from, "-o", "json"]));
            for finding in found.as_array_mut().unwrap() {
                finding["component"].take();
            }
            found
        };
        assert_eq!(check(&file), check(source));
        let bench = ["plugin", "bench", source, "--seconds", "0.01", "-o", "json"];
        let measured = json(&place.ok(&bench));
        assert_eq!(measured["digest"], pushed["component"]);
        assert_eq!(measured["render"].as_object().unwrap().len(), 2);
        let said = place.fails(2, &["plugin", "render", source, "train-phase-3"]);
        assert!(said.contains("it offers train-phase-1, train-phase-2"), "{said}");
    }
    let diff = place.ok(&["plugin", "grant", &at]);
    assert!(diff.contains("+++ grants.yaml") && diff.contains(&format!("+plugin: \"{at}\"")), "{diff}");
    place.ok(&["plugin", "grant", "plugins.lock", "--write"]);
    assert!(place.ok(&["plugin", "grant", &at]).is_empty());
}

#[test]
fn what_goes_wrong_in_a_component_is_told_with_its_reference() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::without_grants();
    let creates = serde_json::json!([{"api-version": "batch/v1", "kind": "Job"}]);
    let stages = serde_json::json!([{"name": "sulks", "summary": "x", "group": "x", "creates": creates}]);
    fs::write(place.path("sulks.wasm"), Puppet::new(stages).build()).unwrap();
    let at = reference(&registry, "ilab/sulks:1");
    place.ok(&["plugin", "push", "sulks.wasm", &at]);
    place.ok(&["plugin", "pull", "--lock", &at]);
    let output = place.run(&["plugin", "render", &at]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with(&format!("error: stage sulks of {at}@sha256:")), "{said}");
    assert!(said.ends_with("render: nothing to render\n"), "{said}");
}

#[test]
fn of_a_folder_the_stage_says_which_component_is_meant() {
    let place = Place::without_grants();
    let folder = plugins().display().to_string();
    let all = json(&place.ok(&["plugin", "inspect", &folder, "-o", "json"]));
    assert_eq!(all.as_array().unwrap().len(), 5);
    let file = wasm("mt-bench");
    // What it reads is sampled by the stage beside it that hands it on; alone, nobody knows.
    let (among, alone) = (["plugin", "render", &folder, "mt-bench"], ["plugin", "render", &file]);
    let sample = "/data/sample/checkpoints-dir";
    assert!(!place.ok(&among).contains(sample) && place.ok(&alone).contains(sample));
    let measured =
        json(&place.ok(&["plugin", "bench", &folder, "mt-bench", "--seconds", "0.01", "-o", "json"]));
    assert_eq!(measured["render"].as_object().unwrap().len(), 1);
    let checked = place.run(&["plugin", "check", &folder]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.matches(" 0 errors").count() == 5, "{said}");

    for verb in ["render", "bench"] {
        let said = place.fails(2, &["plugin", verb, &folder]);
        assert!(said.contains("has 5 components") && said.contains("mt-bench"), "{said}");
        let said = place.fails(2, &["plugin", verb, &folder, "mt-bank"]);
        assert!(said.contains("offers no stage \"mt-bank\"") && said.contains("mt-bench"), "{said}");
    }
    for name in ["one.wasm", "two.wasm"] {
        fs::copy(&file, place.path(name)).unwrap();
    }
    let said = place.fails(2, &["plugin", "render", ".", "mt-bench"]);
    assert!(said.contains("several components that offer stage mt-bench"), "{said}");
    // One context is for one stage.
    fs::write(place.path("context.yaml"), "{}").unwrap();
    place.fails(2, &["plugin", "check", &folder, "--context", "context.yaml"]);
    // The folder that one is in is where these two begin to look.
    fs::remove_file(place.path("two.wasm")).unwrap();
    assert_eq!(json(&place.ok(&["plugin", "inspect", "-o", "json"])).as_array().unwrap().len(), 1);
    place.ok(&["plugin", "check"]);
}

/// What was compiled of a component, by its digest.
fn compiled(place: &Place, digest: &str) -> bool {
    let folder = fs::read_dir(place.path("cache/ilab-host/components")).unwrap();
    let hex = digest.trim_start_matches("sha256:").to_owned();
    folder.map(|entry| entry.unwrap().file_name()).any(|name| name.to_string_lossy().starts_with(&hex))
}

#[test]
fn what_nobody_vouches_for_is_not_even_compiled() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::without_grants();
    // Bytes that no other test has compiled.
    let mut bytes = fs::read(wasm("upload")).unwrap();
    bytes.extend([0, 9, 1, b'u']);
    bytes.extend(place.path("x").as_os_str().as_encoded_bytes().iter().rev().take(7));
    fs::write(place.path("upload.wasm"), &bytes).unwrap();
    let at = reference(&registry, "ilab/upload:1");
    let pushed = json(&place.ok(&["plugin", "push", "upload.wasm", &at, "-o", "json"]));
    let (manifest, component) = (pushed["manifest"].as_str().unwrap(), pushed["component"].as_str().unwrap());
    let already = compiled(&place, component);
    for verb in ["inspect", "render", "check", "bench", "grant"] {
        let said = place.fails(10, &["plugin", verb, &at]);
        assert!(said.contains("no lock pins it"), "{said}");
        assert!(said.contains(&format!("plugin inspect {at} --allow-unsigned {manifest}")), "{said}");
    }
    assert_eq!(compiled(&place, component), already, "a refused component was compiled");
    for digest in [manifest, component] {
        let told = json(&place.ok(&["plugin", "inspect", &at, "--allow-unsigned", digest, "-o", "json"]));
        assert_eq!(told["digest"], component);
    }
    assert!(compiled(&place, component));
    place.fails(2, &["plugin", "inspect", &at, "--plugins-lock", "none.lock"]);
}

/// Runs the command that a refusal prints, as a person would who copies it, with `--write`.
fn obey(place: &Place, said: &str) {
    let command = said.split('`').nth(1).unwrap_or_else(|| panic!("no command in {said}"));
    assert!(command.starts_with("ilab-host plugin grant "), "{command}");
    let bin = place.path("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_ilab-host"), bin.join("ilab-host")).unwrap();
    }
    let mut shell = Command::new("sh");
    shell.current_dir(place.folder.path()).arg("-c").arg(format!("{command} --write"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    shell
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/nonexistent")
        .env("XDG_CACHE_HOME", place.path("cache"));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn policy(place: &Place) {
    let pair = rcgen::KeyPair::generate().unwrap();
    fs::write(place.path("our key.pem"), pair.serialize_pem()).unwrap();
    fs::write(place.path("our key.pub"), pair.public_key_pem()).unwrap();
    let wanted = "allOf:\n- {kind: pubKey, keyFile: our key.pub}\n";
    let text = format!("apiVersion: ilab.dev/v1\nkind: VerificationPolicy\n{wanted}");
    fs::write(place.path("our policy.yaml"), text).unwrap();
}

#[test]
fn the_command_that_a_refusal_names_works_as_it_stands() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let at = reference(&registry, "ilab/fetch:1");
    let all = "--plugins";
    // By the lock of this folder, by one elsewhere, by the lock itself, by a digest, by a signature; and a file with a blank.
    let ways: [(&str, &[&str]); 6] = [
        ("lock", &[all, &at]),
        ("elsewhere", &[all, &at, "--plugins-lock", "our locks/plugins.lock"]),
        ("the lock", &[all, "our locks/plugins.lock"]),
        ("digest", &[all, &at, "--allow-unsigned"]),
        ("policy", &[all, &at, "--verification-policy", "our policy.yaml"]),
        ("file", &[all, "it's mine.wasm"]),
    ];
    for (way, sources) in ways {
        let place = Place::without_grants();
        policy(&place);
        let pushed =
            json(&place.ok(&["plugin", "push", &wasm("fetch"), &at, "--key", "our key.pem", "-o", "json"]));
        fs::create_dir(place.path("our locks")).unwrap();
        match way {
            "lock" => drop(place.ok(&["plugin", "pull", "--lock", &at])),
            "elsewhere" | "the lock" => {
                place.ok(&["plugin", "pull", "--lock", &at, "--plugins-lock", "our locks/plugins.lock"]);
            }
            _ => {}
        }
        fs::copy(wasm("fetch"), place.path("it's mine.wasm")).unwrap();
        let mut sources = sources.to_vec();
        if way == "digest" {
            sources.push(pushed["manifest"].as_str().unwrap());
        }
        let dry = ["--dry-run", "--sdg-object-store-secret", "s3"];
        let run = [&["run"], &sources[..], &dry].concat();
        let said = place.fails(3, &run);
        assert!(said.contains("is granted nothing"), "{way}: {said}");
        obey(&place, &said);
        assert!(place.ok(&run).contains("kind: Job"), "{way}");
        let written =
            if way == "the lock" { Path::new("our locks/grants.yaml") } else { Path::new("grants.yaml") };
        assert!(place.folder.path().join(written).exists(), "{way}");
    }
}

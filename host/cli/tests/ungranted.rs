//! A stranger's component has nothing until it is granted something, and then no more than that.

mod common;

use common::{host, plugins};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A folder with a component that nobody has granted anything.
fn strange() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fetch.wasm");
    std::fs::copy(plugins().join("fetch.wasm"), &file).unwrap();
    (folder, file)
}

fn run(file: &Path, more: &[&str]) -> Output {
    let mut command = host();
    command.args(["run", "--plugins"]).arg(file).args(["--sdg-object-store-secret", "s3"]).args(more);
    command.output().unwrap()
}

fn grant(file: &Path, more: &[&str]) -> Output {
    host().args(["plugin", "grant"]).arg(file).args(more).output().unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    text
}

#[track_caller]
fn passed(output: &Output) -> (String, String) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    (out.into_owned(), err.into_owned())
}

/// The same component as another build: a custom section more.
fn rebuild(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.extend([0, 3, 2, b'v', b'2']);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn what_has_no_grant_is_refused_wherever_it_would_run() {
    let (_folder, file) = strange();
    let path = file.to_str().unwrap();
    for more in [&["--dry-run"][..], &["--dry-run", "-o", "json"], &["--local"], &[]] {
        let text = refused(
            &run(&file, more),
            3,
            &[path, "sha256:", "is granted nothing", "plugin grant", "--write"],
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }
    let mut command = host();
    command.args(["show", "--plugins"]).arg(&file).args(["--sdg-object-store-secret", "s3"]);
    refused(&command.output().unwrap(), 3, &["is granted nothing"]);
    for verb in ["inspect", "render"] {
        passed(&host().args(["plugin", verb]).arg(&file).output().unwrap());
    }
    passed(&host().args(["rbac", "--plugins"]).arg(&file).output().unwrap());
}

#[test]
fn a_grant_is_shown_written_and_for_one_build() {
    let (folder, file) = strange();
    let grants = folder.path().join("grants.yaml");
    let (diff, told) = passed(&grant(&file, &[]));
    assert!(diff.contains("--- /dev/null") && diff.contains("+digest: sha256:"), "{diff}");
    assert!(told.contains("not changed; --write does") && !grants.exists(), "{told}");
    passed(&grant(&file, &["--write"]));
    let (manifests, notes) = passed(&run(&file, &["--dry-run"]));
    assert!(manifests.contains("kind: Job") && !notes.contains("grant"), "{notes}");
    let (_, told) = passed(&grant(&file, &["--write"]));
    assert!(told.contains("nothing to change"), "{told}");
    // As small as it is: other images, more memory and other parameters are beyond it.
    let other = run(&file, &["--dry-run", "--set", "sdg-data-fetch.image=quay.io/evil/x:1"]);
    refused(&other, 3, &["[image-registry]", "its grant allows"]);
    // What people wrote stays.
    let text = std::fs::read_to_string(&grants).unwrap();
    std::fs::write(&grants, format!("# Ours.\n{text}")).unwrap();
    rebuild(&file);
    refused(&run(&file, &["--dry-run"]), 3, &["is granted nothing", "only one for sha256:", "another build"]);
    let (diff, _) = passed(&grant(&file, &["--write"]));
    assert!(diff.contains("-digest: sha256:") && diff.contains("+digest: sha256:"), "{diff}");
    let now = std::fs::read_to_string(&grants).unwrap();
    assert!(now.starts_with("# Ours.\n") && now.matches("kind: Grant").count() == 1, "{now}");
    passed(&run(&file, &["--dry-run"]));
}

#[test]
fn an_author_can_do_without_a_grant_but_not_without_the_ceiling() {
    let (folder, file) = strange();
    let (_, notes) = passed(&run(&file, &["--dry-run", "--allow-ungranted"]));
    assert!(
        notes.contains("note: stage sdg-data-fetch (sha256:") && notes.contains("has no grant"),
        "{notes}"
    );
    let ceiling = folder.path().join("ceiling.yaml");
    std::fs::write(&ceiling, "apiVersion: ilab.dev/v1\nkind: Ceiling\nimages: [example.com/ours]\n").unwrap();
    let path = ceiling.to_str().unwrap();
    let output = run(&file, &["--dry-run", "--allow-ungranted", "--grants", path]);
    refused(&output, 3, &["the ceiling allows example.com/ours", "[image-registry]"]);
    std::fs::write(&ceiling, "apiVersion: ilab.dev/v1\nkind: Ceiling\nvolumes: []\n").unwrap();
    let output = run(&file, &["--dry-run", "--allow-ungranted", "--grants", path]);
    refused(&output, 3, &["asks for the volume", "the ceiling", "whoever keeps the ceiling"]);
}

#[test]
fn a_grants_file_that_is_none_is_named_with_the_valid_words() {
    let (folder, file) = strange();
    let grants = folder.path().join("grants.yaml");
    for (text, parts) in [
        ("apiVersion: ilab.dev/v1\nkind: Grand\n", &["grants.yaml", "valid: Grant, Ceiling"][..]),
        ("apiVersion: ilab.dev/v1\nkind: Ceiling\nimage: []\n", &["did you mean images?"]),
        ("apiVersion: ilab.dev/v9\nkind: Ceiling\n", &["this host knows ilab.dev/v1"]),
        ("a: [", &["grants.yaml"]),
    ] {
        std::fs::write(&grants, text).unwrap();
        refused(&run(&file, &["--dry-run"]), 2, parts);
        refused(&grant(&file, &["--write"]), 2, parts);
        assert_eq!(std::fs::read_to_string(&grants).unwrap(), text, "nothing was changed");
    }
    refused(&run(&file, &["--dry-run", "--grants", "/nowhere.yaml"]), 2, &["/nowhere.yaml"]);
    std::fs::remove_file(&grants).unwrap();
    refused(&grant(&file, &["--image", "a b"]), 2, &["images", "no registry"]);
    refused(&grant(&file, &["--set", "nobody.x=1"]), 2, &["stages: sdg-data-fetch"]);
}

#[test]
fn an_exemption_is_told_and_limits_hold() {
    let (folder, file) = strange();
    let grants = folder.path().join("grants.yaml");
    passed(&grant(&file, &["--write", "--image", "*", "--no-limits"]));
    let text = std::fs::read_to_string(&grants).unwrap();
    std::fs::write(&grants, format!("{text}limits: {{pods: 0}}\n")).unwrap();
    refused(
        &run(&file, &["--dry-run"]),
        3,
        &["takes 1 of pods in all, and its grant allows 0", "[resource-limit]"],
    );
    std::fs::write(&grants, text.replace("volumes:\n- data", "volumes: []")).unwrap();
    refused(&run(&file, &["--dry-run"]), 3, &["asks for the volume \"data\"", "plugin grant"]);
}

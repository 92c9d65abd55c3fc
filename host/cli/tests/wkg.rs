//! wkg itself beside the host: what one pushes, the other pulls, byte by byte.

mod common;

use common::place::{Place, reference, wasm};
use ilab_test_support::{OciRegistry, RegistryNeeds, wkg};
use std::fs;

/// Runs wkg in the folder.
#[track_caller]
fn ok(place: &Place, registry: &OciRegistry, args: &[&str]) {
    let mut command = std::process::Command::new(wkg());
    command.env_clear().env("HOME", place.path(".")).current_dir(place.path("."));
    let output = command.arg("oci").args(args).args(["--insecure", &registry.host()]).output().unwrap();
    assert!(output.status.success(), "wkg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "builds wkg from its sources; make interop"]
fn what_one_pushes_the_other_pulls() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let place = Place::new();
    let (file, host) = (wasm("fetch"), registry.host());
    let bytes = fs::read(&file).unwrap();
    // Ours there.
    place.ok(&["plugin", "push", &file, &reference(&registry, "ilab/ours:1")]);
    ok(&place, &registry, &["pull", &format!("{host}/ilab/ours:1"), "--output", "ours.wasm"]);
    assert_eq!(fs::read(place.path("ours.wasm")).unwrap(), bytes);
    // Theirs here, and pinned as any other.
    ok(&place, &registry, &["push", &format!("{host}/ilab/theirs:1"), &file]);
    let theirs = reference(&registry, "ilab/theirs:1");
    place.ok(&["plugin", "pull", "--lock", "--file", "theirs.wasm", &theirs]);
    assert_eq!(fs::read(place.path("theirs.wasm")).unwrap(), bytes);
    assert!(place.ok(&["rbac", "--plugins", &theirs]).contains("kind: Role"));
}

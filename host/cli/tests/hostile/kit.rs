//! A component in a file, given to the program; and what the program says.

use crate::common::host;
use ilab_core::names::PluginDigest;
use ilab_test_support::Puppet;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many are tried at once: most that take long wait for a clock.
const AT_ONCE: usize = 6;
/// The longest line that still is one, in bytes.
const LONGEST: usize = 1_000;

/// One trick.
#[derive(Clone)]
pub(crate) struct Trick {
    pub(crate) name: &'static str,
    /// The file's content; none: what `make` does with the path.
    pub(crate) bytes: Vec<u8>,
    /// Makes the file in another way than by writing it.
    pub(crate) make: Option<fn(&Path)>,
    /// What it is given to, with `FILE` in the file's place.
    pub(crate) command: &'static [&'static str],
}

/// Run as anybody would who does not care for grants: what a grant does not lift is what is tried here.
pub(crate) const RUN: &[&str] = &["run", "--dry-run", "--run", "r", "--allow-ungranted", "--plugins", "FILE"];

/// A trick of a component that is run.
pub(crate) fn trick(name: &'static str, component: &Puppet) -> Trick {
    of_bytes(name, component.build())
}

/// A trick of a file that is run.
pub(crate) fn of_bytes(name: &'static str, bytes: Vec<u8>) -> Trick {
    Trick { name, bytes, make: None, command: RUN }
}

/// What was said of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    /// The one line, with `FILE` and `DIGEST` in their places.
    pub(crate) error: String,
}

/// Tries all of them, some at a time.
pub(crate) fn tried(tricks: &[Trick]) -> Vec<Told> {
    let next = AtomicUsize::new(0);
    let told: Mutex<BTreeMap<usize, Result<Told, String>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(trick) = tricks.get(index) else { return };
                    let said = refused(trick).map_err(|why| format!("{}: {why}", trick.name));
                    told.lock().unwrap_or_else(PoisonError::into_inner).insert(index, said);
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (told, wrong): (Vec<_>, Vec<_>) = told.into_values().partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    told.into_iter().filter_map(Result::ok).collect()
}

/// Runs it and holds what is said against what is promised: a documented code, no data, one error of one plain line.
fn refused(trick: &Trick) -> Result<Told, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evil.wasm");
    match trick.make {
        Some(make) => make(&file),
        None => std::fs::write(&file, &trick.bytes).unwrap(),
    }
    let output = given(trick.command, &file);
    let said = String::from_utf8(output.stderr).map_err(|e| e.to_string())?;
    let code = output.status.code().ok_or_else(|| format!("{}: {said}", output.status))?;
    // `plugin check` tells what it has found, and then of how much.
    let lines = if trick.command[0] == "plugin" { 2 } else { 1 };
    let errors = said.lines().filter_map(|line| line.strip_prefix("error"));
    let errors: Vec<&str> = errors.map(|line| line.trim_start_matches([':', ' '])).collect();
    let sound = [2, 3].contains(&code)
        && output.stdout.is_empty()
        && is_plain(&said)
        && errors.len() == lines
        && errors.iter().all(|error| error.len() <= LONGEST);
    if !sound {
        let data = String::from_utf8_lossy(&output.stdout);
        return Err(format!("{code}: {:.400}{:.2000?}", data, said));
    }
    let (path, digest) = (file.display().to_string(), PluginDigest::of(&trick.bytes));
    let error = errors[0].replace(&path, "FILE").replace(digest.short(), "DIGEST");
    let plugins = format!("{}/", crate::common::plugins().display());
    Ok(Told { code, error: without_numbers(&error.replace(&plugins, "")) })
}

/// Digests of components that are not the trick's own depend on the toolchain, and places in a file on what encodes it.
fn without_numbers(text: &str) -> String {
    ["sha256:", "offset "].into_iter().fold(text.to_owned(), |text, before| {
        let mut parts = text.split(before);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches("0x").trim_start_matches(|c: char| c.is_ascii_hexdigit());
            out.push_str(&format!("{before}…{rest}"));
        }
        out
    })
}

/// The program with this command line.
pub(crate) fn given(command: &[&str], file: &Path) -> Output {
    let words = command.iter().map(|word| match *word {
        "FILE" => file.to_owned(),
        "PLUGINS" => crate::common::plugins(),
        word => PathBuf::from(word),
    });
    host().args(words).output().unwrap()
}

/// Lines that a terminal shows as they are.
pub(crate) fn is_plain(text: &str) -> bool {
    text.lines().all(ilab_core::text::is_plain_line)
}

/// A descriptor with nothing wrong, and then something more.
pub(crate) fn descriptor(more: Value) -> Value {
    let creates = json!([{"api-version": "batch/v1", "kind": "Job"}]);
    put(json!({"name": "evil", "summary": "Is evil", "group": "evil", "creates": creates}), more)
}

/// A Job with nothing wrong, and then something more.
pub(crate) fn job(more: Value) -> Value {
    let container = json!({"name": "main", "image": "quay.io/evil/evil:1"});
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r-evil"}, "spec": {"template": template},
    });
    put(job, more)
}

pub(crate) fn put(mut into: Value, more: Value) -> Value {
    if let (Some(map), Value::Object(more)) = (into.as_object_mut(), more) {
        map.extend(more);
    }
    into
}

/// A component with nothing wrong, to which a trick adds something.
pub(crate) fn good() -> Puppet {
    Puppet::new(json!([descriptor(json!({}))])).plan(&[job(json!({}))])
}

/// One whose one descriptor has something more.
pub(crate) fn described(more: Value) -> Puppet {
    Puppet::new(json!([descriptor(more)])).plan(&[job(json!({}))])
}

#[test]
fn what_every_trick_begins_with_gets_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.wasm");
    std::fs::write(&file, good().build()).unwrap();
    let output = given(RUN, &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("name: r-evil"), "{said}");
}

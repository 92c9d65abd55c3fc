//! Files that are not what they should be, and what the user reads; the cache and what is done to it.

use crate::support::{core_module, hostile, render, text};
use ilab_core::names::PluginDigest;
use ilab_wasm::{CompileWatch, Host, HostError, Limits, LoadError};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn refused(bytes: &[u8]) -> (String, Option<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    fs::write(&file, bytes).unwrap();
    let error = Host::new(Limits::default(), None).unwrap().load(&file).unwrap_err();
    (text(&error, &file, Some(&PluginDigest::of(bytes))), error.hint())
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn other_files_are_refused_in_words() {
    let whole = fs::read(hostile()).unwrap();
    for (bytes, expected) in [
        (core_module(), "FILE: a core WebAssembly module, not a component"),
        (b"#!/bin/sh".to_vec(), "FILE: not a WebAssembly component"),
        (Vec::new(), "FILE: not a WebAssembly component"),
        (whole[..5].to_vec(), "FILE: the component is truncated"),
        (whole[..whole.len() / 2].to_vec(), "FILE (DIGEST): the component is truncated"),
        (
            component(
                "(component (core module $m (func (export \"run\"))) (core instance $i (instantiate $m))
                 (func $f (canon lift (core func $i \"run\"))) (export \"run\" (func $f)))",
            ),
            "FILE (DIGEST): not a stage plugin: it does not export ilab:pipeline/stage (it exports run)",
        ),
        (
            component("(component (instance $i) (export \"ilab:pipeline/stage@0.2.0\" (instance $i)))"),
            "FILE (DIGEST): built for ilab:pipeline@0.2.0, this host speaks ilab:pipeline@0.1.0",
        ),
        (
            component(
                "(component (import \"wasi:http/types@0.2.0\" (instance)) (import \"acme:shell/exec@1.0.0\" (instance))
                 (instance $i) (export \"ilab:pipeline/stage@0.1.0\" (instance $i)))",
            ),
            "FILE (DIGEST): asks for import wasi:http/types@0.2.0, acme:shell/exec@1.0.0, which this host does not offer",
        ),
    ] {
        let (text, hint) = refused(&bytes);
        assert_eq!(text, expected);
        assert!(hint.is_some(), "{text}");
    }
}

#[test]
fn wrong_types_behind_right_names_are_refused() {
    let (text, _) =
        refused(&component("(component (instance $i) (export \"ilab:pipeline/stage@0.1.0\" (instance $i)))"));
    assert!(text.starts_with("FILE (DIGEST): does not fit the interface ilab:pipeline/stage: "), "{text}");
    let (text, _) = refused(&component(
        "(component (import \"ilab:pipeline/host-log@0.1.0\" (instance (export \"log\" (func (param \"x\" u32)))))
         (instance $i) (export \"ilab:pipeline/stage@0.1.0\" (instance $i)))",
    ));
    assert!(text.starts_with("FILE (DIGEST): does not fit the interface ilab:pipeline/stage: "), "{text}");
}

#[test]
fn garbage_behind_a_good_header_is_refused() {
    let mut bytes = fs::read(hostile()).unwrap();
    for byte in &mut bytes[200..400] {
        *byte ^= 0x55;
    }
    let (text, _) = refused(&bytes);
    assert!(text.starts_with("FILE (DIGEST): not a valid component: "), "{text}");
}

#[test]
fn a_large_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let error = Host::new(Limits::default(), None).unwrap().load(&file).unwrap_err();
    assert_eq!(
        text(&error, &file, None),
        "FILE: the component is too large: 1024 GiB where 64 MiB are allowed"
    );
}

#[test]
fn folders_are_loaded_in_order_or_explained() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new(Limits::default(), None).unwrap();
    let error: LoadError = host.load_folder(folder.path()).unwrap_err();
    assert_eq!(text(&error, folder.path(), None), "FILE: no stage plugins here (*.wasm)");
    assert!(error.hint().unwrap().contains("make plugins"));
    let missing = host.load_folder(&folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read: "), "{missing}");
    for name in ["b.wasm", "a.wasm"] {
        fs::copy(hostile(), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let plugins = host.load_folder(folder.path()).unwrap();
    let names = plugins.iter().map(|p| p.file().file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["a.wasm", "b.wasm"]);
    let paths = [folder.path().join("b.wasm"), folder.path().to_owned()];
    assert_eq!(host.load_paths(&paths).unwrap().len(), 2, "a file that is named twice is loaded once");
}

/// A host with a cache, what it loads, and the compiled file.
fn cached(cache: &Path) -> PathBuf {
    let host = Host::new(Limits::default(), Some(cache.to_owned())).unwrap();
    render(&host.load(hostile()).unwrap(), "good").unwrap();
    let mut codes = fs::read_dir(cache).unwrap().map(|e| e.unwrap().path());
    let code = codes.find(|p| p.extension().is_some_and(|e| e == "cwasm"));
    code.unwrap()
}

#[test]
fn the_cache_is_private_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/cache");
    let code = cached(&cache);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let written = fs::metadata(&code).unwrap().modified().unwrap();
    assert_eq!(fs::metadata(cached(&cache)).unwrap().modified().unwrap(), written, "not compiled again");
}

#[test]
fn a_damaged_or_foreign_compiled_file_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let code = cached(&cache);
    let good = fs::read(&code).unwrap();
    let record = code.with_file_name(
        fs::read_dir(&cache)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .find(|n| n.to_str().unwrap().ends_with(".record"))
            .unwrap(),
    );
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let other = folder.path().join("other");
    fs::write(&other, &good).unwrap();
    let damages: [&dyn Fn(); 8] = [
        &|| fs::write(&code, &flipped).unwrap(),
        &|| fs::write(&code, &good[..100]).unwrap(),
        &|| fs::write(&code, b"").unwrap(),
        &|| fs::remove_file(&code).unwrap(),
        &|| fs::set_permissions(&code, fs::Permissions::from_mode(0o666)).unwrap(),
        &|| {
            fs::remove_file(&code).unwrap();
            symlink(&other, &code).unwrap();
        },
        &|| fs::write(&record, "ilab-host compiled component 1\n../../x\n5\n").unwrap(),
        &|| fs::write(&record, vec![b'x'; 1 << 20]).unwrap(),
    ];
    for (index, damage) in damages.iter().enumerate() {
        damage();
        let again = cached(&cache);
        assert_eq!(fs::read(&again).unwrap(), good, "damage {index}");
        assert!(!fs::symlink_metadata(&again).unwrap().is_symlink(), "damage {index}");
    }
}

#[test]
fn a_cache_of_someone_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Host::new(Limits::default(), Some(file)).err().unwrap();
    assert!(matches!(error, HostError::CacheNotOurs { .. }), "{error}");
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    // Only root can give a folder away.
    if std::os::unix::fs::chown(&theirs, Some(12_345), None).is_ok() {
        let error = Host::new(Limits::default(), Some(theirs)).err().unwrap().to_string();
        assert!(error.contains("it belongs to user 12345"), "{error}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let host = Host::new(Limits::default(), Some(cache.clone())).unwrap();
    fs::remove_dir(&cache).unwrap();
    render(&host.load(hostile()).unwrap(), "good").unwrap();
}

/// Counts what begins and what ends.
#[derive(Default)]
struct Counted {
    begun: AtomicUsize,
    under_way: Arc<AtomicUsize>,
}

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl CompileWatch for Counted {
    fn begins(&self, file: &Path, bytes: u64) -> Box<dyn std::any::Any> {
        assert_eq!(bytes, fs::metadata(file).unwrap().len());
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        Box::new(UnderWay(Arc::clone(&self.under_way)))
    }
}

#[test]
fn that_a_component_is_compiled_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let counted = Arc::new(Counted::default());
    for _ in 0..2 {
        let host = Host::new(Limits::default(), Some(folder.path().join("cache"))).unwrap();
        host.with_compile_watch(counted.clone()).load(hostile()).unwrap();
        assert_eq!(counted.begun.load(Ordering::SeqCst), 1);
        assert_eq!(counted.under_way.load(Ordering::SeqCst), 0);
    }
    // Without a cache each load is a compilation.
    let host = Host::new(Limits::default(), None).unwrap().with_compile_watch(counted.clone());
    host.load(hostile()).unwrap();
    assert_eq!(counted.begun.load(Ordering::SeqCst), 2);
    assert_eq!(counted.under_way.load(Ordering::SeqCst), 0);
}

//! Archives: what is saved on one side is loaded on the other, and nothing else is.

use super::{LIMIT, client, component, pull, push, reference, store};
use ilab_registry::{Artifact, Digest, RegistryError, Store, layout};
use ilab_test_support::{OciRegistry, RegistryNeeds};
use std::path::Path;
use tar::{EntryType, Header};

/// Names and contents.
type Entries = Vec<(String, Vec<u8>)>;

#[tokio::test]
async fn an_archive_carries_components_to_a_store_that_knows_no_registry() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder.path().join("here"));
    let mut artifacts = Vec::new();
    for (name, bytes) in [("team/a:1", "first"), ("team/b:1", "second"), ("team/c:1", "first")] {
        let at = reference(&registry, name);
        push(&client(), &at, &component(bytes)).await.unwrap();
        artifacts.push(pull(&client(), &here, &at).await.unwrap());
    }
    drop(registry);
    let archive = folder.path().join("plugins.tar");
    layout::save(&here, &artifacts, &archive).unwrap();
    let again = folder.path().join("again.tar");
    layout::save(&here, &artifacts, &again).unwrap();
    assert_eq!(std::fs::read(&archive).unwrap(), std::fs::read(&again).unwrap(), "the same makes the same");

    let there = store(&folder.path().join("there"));
    let loaded = layout::load(&there, &archive, LIMIT).unwrap();
    assert_eq!(loaded, artifacts);
    for artifact in &artifacts {
        assert_eq!(Artifact::in_store(&there, &artifact.reference, LIMIT).unwrap().as_ref(), Some(artifact));
    }
    assert_eq!(std::fs::read(there.path(&artifacts[1].component)).unwrap(), b"second");
    // Loading twice changes nothing.
    assert_eq!(layout::load(&there, &archive, LIMIT).unwrap(), artifacts);
}

/// A manifest of a component with these bytes, its configuration `{}`.
fn manifest(bytes: &[u8]) -> String {
    let (config, layer) = (Digest::of(b"{}"), Digest::of(bytes));
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/wasm","digest":"{layer}","size":{}}}]}}"#,
        bytes.len()
    )
}

/// The files of a sound archive with one component.
fn sound(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let manifest = manifest(bytes);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"h.io/a:1"}}}}]}}"#,
        Digest::of(manifest.as_bytes()),
        manifest.len()
    );
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    vec![
        ("oci-layout".into(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec()),
        ("index.json".into(), index.into_bytes()),
        blob(manifest.as_bytes()),
        blob(b"{}"),
        blob(bytes),
    ]
}

fn archive(path: &Path, files: &[(String, Vec<u8>)], extra: impl FnOnce(&mut tar::Builder<std::fs::File>)) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Past the check that the library would make of the name.
        let field = &mut header.as_ustar_mut().unwrap().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    extra(&mut tar);
    tar.finish().unwrap();
}

#[test]
fn a_hostile_archive_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.tar");
    let try_it = |files: &[(String, Vec<u8>)], limit: u64| -> Result<Vec<Artifact>, RegistryError> {
        archive(&path, files, |_| {});
        let target = tempfile::tempdir_in(folder.path()).unwrap();
        let store = Store::open(target.path().to_owned()).unwrap();
        let result = layout::load(&store, &path, limit);
        if result.is_err() {
            assert_eq!(std::fs::read_dir(target.path().join("blobs/sha256")).unwrap().count(), 0);
            assert_eq!(std::fs::read_dir(target.path().join("signatures")).unwrap().count(), 0);
        }
        result
    };
    assert_eq!(try_it(&sound(b"component"), LIMIT).unwrap()[0].component, Digest::of(b"component"));

    let with = |change: &dyn Fn(&mut Entries)| {
        let mut files = sound(b"component");
        change(&mut files);
        try_it(&files, LIMIT).unwrap_err()
    };
    let replaced = |from: &str, to: &str| {
        with(&|files| {
            files[1].1 = String::from_utf8(files[1].1.clone()).unwrap().replace(from, to).into_bytes()
        })
    };
    assert!(matches!(with(&|files| files[4].1[0] = b'C'), RegistryError::DigestMismatch { .. }));
    for missing in 0..5 {
        let error = with(&|files| drop(files.remove(missing)));
        assert!(matches!(error, RegistryError::Content { .. }), "{missing}: {error}");
    }
    assert!(
        with(&|files| files[4].0 = "blobs/sha256/../../../etc/passwd".into())
            .to_string()
            .contains("no digest")
    );
    assert!(replaced("h.io/a:1", "../../x").to_string().contains("no reference"));
    assert!(replaced("h.io/a:1", "h.io/a:1\\u001b[2J").to_string().contains(r"\u{1b}"));
    assert!(replaced("\"manifests\":[", "\"manifests\":[1,").to_string().contains("no OCI index"));
    assert!(matches!(try_it(&sound(&[0; 100]), 99), Err(RegistryError::TooLarge { .. })));

    // A blob larger than any may be.
    let large = vec![0; 5 << 20];
    assert!(matches!(try_it(&sound(&large), 1 << 20), Err(RegistryError::TooLarge { .. })));

    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
        archive(&path, &sound(b"component"), |tar| {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            tar.append_link(&mut header, "blobs/sha256/link", "/etc/passwd").unwrap();
        });
        let store = Store::open(folder.path().join("links")).unwrap();
        let error = layout::load(&store, &path, LIMIT).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }
    std::fs::write(&path, "no tar at all").unwrap();
    let store = Store::open(folder.path().join("none")).unwrap();
    assert!(layout::load(&store, &path, LIMIT).is_err());
}

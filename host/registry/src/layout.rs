//! An archive of plugins: an OCI image layout in a tar file, as skopeo, oras and crane write and read it.
//!
//! An archive is hostile until checked. Only the files of a layout are taken from it, each up to its limit and hashed on the
//! way; nothing reaches the store unless it is named by the index or by a manifest that is.

use crate::manifest::{Annotations, Descriptor, INDEX, Index, MANIFEST, MANIFEST_LIMIT, Manifest};
use crate::signatures;
use crate::{Artifact, Digest, Reference, RegistryError, SCHEME, Store};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

const MARK: &str = "oci-layout";
const MARK_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_NAME: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";
/// The annotation that names a manifest of an index.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// How many files an archive may hold, so that it cannot fill a folder.
const MANY: usize = 20_000;

/// Writes components that are in the store, and their signatures, into an archive. The same components make the same bytes.
///
/// # Errors
/// [`RegistryError::File`] when it cannot be written; [`RegistryError::DigestMismatch`] when the store is broken.
pub fn save(store: &Store, artifacts: &[Artifact], path: &Path) -> Result<(), RegistryError> {
    let mut blobs = BTreeSet::new();
    let mut manifests: Vec<Descriptor> = Vec::new();
    let mut add = |bytes: &[u8], name: String, artifact_type: Option<String>| {
        let mut descriptor = Descriptor::of(MANIFEST, bytes).annotated(REF_NAME, name);
        descriptor.artifact_type = artifact_type;
        if !manifests.contains(&descriptor) {
            manifests.push(descriptor);
        }
    };
    for artifact in artifacts {
        let name = artifact.reference.unpinned().to_string();
        let name = name.strip_prefix(SCHEME).unwrap_or(&name).to_owned();
        let broken =
            |digest: &Digest| RegistryError::content(&store.path(digest), "is missing or broken; pull again");
        let bytes =
            store.read(&artifact.manifest, MANIFEST_LIMIT).ok_or_else(|| broken(&artifact.manifest))?;
        let manifest = Manifest::parse(&name, &bytes)?;
        blobs.extend([artifact.manifest.clone(), artifact.component.clone(), manifest.config.digest]);
        add(&bytes, name, None);
        for digest in store.signatures(&artifact.manifest) {
            let Some(bytes) = store.read(&digest, MANIFEST_LIMIT) else { continue };
            let Ok(signature) = Manifest::parse("a signature", &bytes) else { continue };
            // Registries that take the archive want every blob that a manifest names.
            let parts: Vec<Digest> =
                signature.layers.iter().chain([&signature.config]).map(|d| d.digest.clone()).collect();
            if !parts.iter().all(|part| store.holds(part)) {
                continue;
            }
            blobs.extend(parts);
            blobs.insert(digest);
            let tag = signatures::tag(&artifact.manifest);
            let name = match signature.subject {
                Some(_) => format!("{}@{}", artifact.reference.name(), Digest::of(&bytes)),
                None => format!("{}:{tag}", artifact.reference.name()),
            };
            add(&bytes, name, signature.artifact_type);
        }
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |e| RegistryError::file("write", path, e);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(fail)?;
    let mut tar = tar::Builder::new(io::BufWriter::new(file));
    let mut append = |name: &str, size: u64, content: &mut dyn Read| {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content)
    };
    let index = Index::new(manifests).bytes();
    append(MARK, MARK_TEXT.len() as u64, &mut &*MARK_TEXT).map_err(fail)?;
    append(INDEX_NAME, index.len() as u64, &mut index.as_slice()).map_err(fail)?;
    for digest in &blobs {
        if !store.holds(digest) {
            return Err(RegistryError::content(&store.path(digest), "is missing or broken; pull again"));
        }
        let from = store.path(digest);
        let mut blob = File::open(&from).map_err(|e| RegistryError::file("read", &from, e))?;
        let size = blob.metadata().map_err(|e| RegistryError::file("read", &from, e))?.len();
        append(&format!("{BLOBS}{}", digest.hex()), size, &mut blob).map_err(fail)?;
    }
    let file =
        tar.into_inner().and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error));
    file.map_err(fail)?.persist(path).map(drop).map_err(|e| fail(e.error))
}

/// Takes the components of an archive and their signatures into the store, and answers the components. `limit` is the most
/// that one may have in bytes.
///
/// # Errors
/// [`RegistryError::Content`] when it is no such archive or holds no component; [`RegistryError::DigestMismatch`] and
/// [`RegistryError::TooLarge`] for a blob that is not what it is named. Nothing is in the store then.
pub fn load(store: &Store, path: &Path, limit: u64) -> Result<Vec<Artifact>, RegistryError> {
    let archive = Archive::read(store, path, limit)?;
    let index = archive.index.as_deref().filter(|_| archive.marked);
    let index = index.ok_or_else(|| RegistryError::content(path, "is no OCI image layout in a tar file"))?;
    let index: Index = serde_json::from_slice(index)
        .map_err(|_| RegistryError::content(path, format!("its {INDEX_NAME} is no OCI index")))?;
    let mut components = Vec::new();
    let mut signing = Vec::new();
    for entry in index.manifests.iter().filter(|entry| entry.media_type != INDEX) {
        let bytes = archive.small(path, &entry.digest, MANIFEST_LIMIT)?;
        let manifest = Manifest::parse(&path.display().to_string(), &bytes)?;
        match signed(&manifest, &entry.annotations) {
            Some(of) => signing.push((of, manifest, entry.digest.clone())),
            None => {
                let at = reference(path, entry)?;
                let artifact = Artifact::read(&at, &bytes, limit)?;
                let parts = [entry.digest.clone(), manifest.config.digest, artifact.component.clone()];
                archive.has_all(path, &parts)?;
                components.push((artifact, parts));
            }
        }
    }
    if components.is_empty() {
        return Err(RegistryError::content(path, "holds no stage component"));
    }
    signing.retain(|(of, ..)| components.iter().any(|(artifact, _)| artifact.manifest == *of));
    for (_, manifest, digest) in &signing {
        let parts: Vec<Digest> =
            manifest.layers.iter().map(|d| d.digest.clone()).chain([digest.clone()]).collect();
        archive.has_all(path, &parts)?;
    }
    archive.keep(store, &components, &signing)?;
    Ok(components.into_iter().map(|(artifact, _)| artifact).collect())
}

/// Which manifest another one signs, by its subject or by the tag that cosign gave it.
fn signed(manifest: &Manifest, annotations: &Annotations) -> Option<Digest> {
    signatures::layers(manifest).next()?;
    if let Some(subject) = &manifest.subject {
        return Some(subject.digest.clone());
    }
    let tag = annotations.get(REF_NAME)?.rsplit(':').next()?;
    tag.strip_suffix(".sig")?.replace('-', ":").parse().ok()
}

/// The reference that an index gives a manifest, at its digest.
fn reference(path: &Path, entry: &Descriptor) -> Result<Reference, RegistryError> {
    let name = entry.annotations.get(REF_NAME).map(String::as_str).unwrap_or_default();
    let reference: Result<Reference, _> = format!("{SCHEME}{name}").parse();
    let reference = reference.map_err(|_| {
        let name = ilab_core::text::quoted(name, 200);
        RegistryError::content(path, format!("names {} {name}, which is no reference", entry.digest.short()))
    })?;
    Ok(reference.at_digest(&entry.digest))
}

/// An archive's files, in files of the store that are gone unless they are kept.
struct Archive {
    marked: bool,
    index: Option<Vec<u8>>,
    blobs: BTreeMap<Digest, NamedTempFile>,
}

impl Archive {
    fn read(store: &Store, path: &Path, limit: u64) -> Result<Self, RegistryError> {
        let fail = |e| RegistryError::file("read", path, e);
        let no = |problem: String| RegistryError::content(path, problem);
        let mut tar = tar::Archive::new(io::BufReader::new(File::open(path).map_err(fail)?));
        let mut archive = Self { marked: false, index: None, blobs: BTreeMap::new() };
        for (count, entry) in tar.entries().map_err(fail)?.enumerate() {
            let mut entry = entry.map_err(|e| no(format!("is no tar file, or broken: {e}")))?;
            if count >= MANY {
                return Err(no(format!("holds more than {MANY} files")));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            match entry.header().entry_type() {
                EntryType::Regular => {}
                EntryType::Directory => continue,
                _ => return Err(no(format!("{} is no regular file", ilab_core::text::quoted(&name, 100)))),
            }
            if let Some(hex) = name.strip_prefix(BLOBS) {
                let digest: Digest = format!("sha256:{hex}").parse().map_err(|_| {
                    no(format!("{} is named by no digest", ilab_core::text::quoted(&name, 200)))
                })?;
                let file = blob(store, &mut entry, &digest, limit.max(MANIFEST_LIMIT))?;
                archive.blobs.insert(digest, file);
            } else if name == INDEX_NAME || name == MARK {
                let mut text = Vec::new();
                (&mut entry).take(MANIFEST_LIMIT).read_to_end(&mut text).map_err(fail)?;
                match name == MARK {
                    true => archive.marked = text.windows(7).any(|w| w == b"\"1.0.0\""),
                    false => archive.index = Some(text),
                }
            }
        }
        Ok(archive)
    }

    /// A blob in memory.
    fn small(&self, path: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, RegistryError> {
        self.has_all(path, std::slice::from_ref(digest))?;
        let mut bytes = Vec::new();
        if let Some(file) = self.blobs.get(digest) {
            let open = File::open(file.path()).map_err(|e| RegistryError::file("read", file.path(), e))?;
            open.take(limit)
                .read_to_end(&mut bytes)
                .map_err(|e| RegistryError::file("read", file.path(), e))?;
        }
        Ok(bytes)
    }

    fn has_all(&self, path: &Path, digests: &[Digest]) -> Result<(), RegistryError> {
        match digests.iter().find(|digest| !self.blobs.contains_key(digest)) {
            Some(missing) => Err(RegistryError::content(path, format!("lacks the blob {missing}"))),
            None => Ok(()),
        }
    }

    /// Moves what was named into the store; what a name stands for comes last.
    fn keep(
        mut self,
        store: &Store,
        components: &[(Artifact, [Digest; 3])],
        signing: &[(Digest, Manifest, Digest)],
    ) -> Result<(), RegistryError> {
        let mut take = |digest: &Digest| match self.blobs.remove(digest) {
            Some(file) => store.keep(file, digest),
            None => Ok(()),
        };
        for (_, manifest, digest) in signing {
            for part in manifest.layers.iter().chain([&manifest.config]).map(|d| &d.digest).chain([digest]) {
                take(part)?;
            }
        }
        for (of, _, digest) in signing {
            store.add_signature(of, digest)?;
        }
        for (_, parts) in components {
            for part in parts.iter().rev() {
                take(part)?;
            }
        }
        Ok(())
    }
}

/// Copies one blob, hashing it.
fn blob(
    store: &Store,
    from: &mut impl Read,
    digest: &Digest,
    limit: u64,
) -> Result<NamedTempFile, RegistryError> {
    let mut file = store.begin()?;
    let path = file.path().to_owned();
    let fail = |e| RegistryError::file("write", &path, e);
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, [0; 64 << 10]);
    loop {
        let n = from.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        size += n as u64;
        if size > limit {
            return Err(RegistryError::TooLarge { what: format!("the blob {digest}"), size, limit });
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n]).map_err(fail)?;
    }
    let found = Digest::finished(hasher);
    if found != *digest {
        return Err(RegistryError::DigestMismatch {
            what: "a blob of the archive".into(),
            expected: digest.clone(),
            found,
        });
    }
    Ok(file)
}

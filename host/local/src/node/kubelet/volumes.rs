//! A pod's volumes: folders made, files written, claims found; and what each container mounts of them.

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaim, Pod, Volume,
};
use kube::{Api, Client};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::fields;
use super::resolve::{Blocked, Data, Lookup};
use crate::node::expand::expand;
use crate::node::files;
use crate::node::plan::{Mount, PodDir};

/// Where the data of a claim lives in a state folder.
pub(crate) fn claim_dir(state: &Path, namespace: &str, name: &str, uid: &str) -> PathBuf {
    state.join("claims").join(namespace).join(format!("{name}-{uid}"))
}

/// A volume that is ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ready {
    source: PathBuf,
    read_only: bool,
}

fn blocked(volume: &str, message: impl std::fmt::Display) -> Blocked {
    Blocked::Volume { message: format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}") }
}

/// A folder in memory for `medium: Memory`; on disk where the machine has none that is ours to write.
pub(super) fn memory_dir(uid: &str) -> Option<PathBuf> {
    let memory = Path::new("/dev/shm");
    let user = nix::unistd::geteuid();
    memory.is_dir().then(|| memory.join(format!("ilab-local-{user}-{uid}")))
}

/// Makes all volumes of a pod.
pub(super) async fn prepare(
    client: &Client,
    state: &Path,
    dir: &PodDir,
    pod: &Pod,
    lookup: &mut Lookup,
) -> Result<HashMap<String, Ready>, Blocked> {
    let mut ready = HashMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let made = if let Some(claim) = &volume.persistent_volume_claim {
            let source = claim_of(client, state, pod, &claim.claim_name).await?;
            Ready { source, read_only: claim.read_only == Some(true) }
        } else if let Some(empty) = &volume.empty_dir {
            let in_memory = empty.medium.as_deref() == Some("Memory");
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let memory = in_memory.then(|| memory_dir(uid)).flatten().map(|dir| dir.join(&volume.name));
            let source = memory.unwrap_or_else(|| dir.volume(&volume.name));
            new_dir(&source, 0o777).map_err(|error| blocked(&volume.name, error))?;
            Ready { source, read_only: false }
        } else {
            let contents = contents(pod, volume, lookup).await?;
            let source = dir.volume(&volume.name);
            write(&source, contents).map_err(|error| blocked(&volume.name, error))?;
            Ready { source, read_only: true }
        };
        ready.insert(volume.name.clone(), made);
    }
    Ok(ready)
}

fn new_dir(path: &Path, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        files::private_dir(parent)?;
    }
    files::remove_tree(path)?;
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

async fn claim_of(client: &Client, state: &Path, pod: &Pod, name: &str) -> Result<PathBuf, Blocked> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = api.get_opt(name).await.map_err(Blocked::passing)?;
    let claim = claim
        .ok_or_else(|| Blocked::Volume { message: format!("persistentvolumeclaim \"{name}\" not found") })?;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let uid = claim.metadata.uid.as_deref().unwrap_or_default();
    let dir = claim_dir(state, namespace, name, uid);
    if !bound || !dir.is_dir() {
        return Err(Blocked::Volume { message: format!("persistentvolumeclaim \"{name}\" is not bound") });
    }
    Ok(dir)
}

/// Files by relative path, with their modes.
type Contents = BTreeMap<PathBuf, (Vec<u8>, u32)>;

async fn contents(pod: &Pod, volume: &Volume, lookup: &mut Lookup) -> Result<Contents, Blocked> {
    let name = &volume.name;
    let mut contents = Contents::new();
    let passing = Blocked::passing;
    if let Some(source) = &volume.config_map {
        let data = lookup.config_map(&source.name).await.map_err(passing)?;
        let part =
            Part { what: "configmap", name: &source.name, items: &source.items, optional: source.optional };
        add(&mut contents, part, data, mode(source.default_mode)).map_err(|error| blocked(name, error))?;
    } else if let Some(source) = &volume.secret {
        let secret = source.secret_name.as_deref().unwrap_or_default();
        let data = lookup.secret(secret).await.map_err(passing)?;
        let part = Part { what: "secret", name: secret, items: &source.items, optional: source.optional };
        add(&mut contents, part, data, mode(source.default_mode)).map_err(|error| blocked(name, error))?;
    } else if let Some(source) = &volume.downward_api {
        let files = source.items.iter().flatten();
        downward(&mut contents, pod, files, mode(source.default_mode))
            .map_err(|error| blocked(name, error))?;
    } else if let Some(projected) = &volume.projected {
        let default = mode(projected.default_mode);
        for source in projected.sources.iter().flatten() {
            if let Some(source) = &source.config_map {
                let data = lookup.config_map(&source.name).await.map_err(passing)?;
                let part = Part {
                    what: "configmap",
                    name: &source.name,
                    items: &source.items,
                    optional: source.optional,
                };
                add(&mut contents, part, data, default).map_err(|error| blocked(name, error))?;
            } else if let Some(source) = &source.secret {
                let data = lookup.secret(&source.name).await.map_err(passing)?;
                let part = Part {
                    what: "secret",
                    name: &source.name,
                    items: &source.items,
                    optional: source.optional,
                };
                add(&mut contents, part, data, default).map_err(|error| blocked(name, error))?;
            } else if let Some(source) = &source.downward_api {
                let files = source.items.iter().flatten();
                downward(&mut contents, pod, files, default).map_err(|error| blocked(name, error))?;
            } else {
                return Err(blocked(name, "this projection is not supported by the embedded cluster"));
            }
        }
    } else {
        return Err(blocked(name, "this kind of volume is not supported by the embedded cluster"));
    }
    Ok(contents)
}

fn mode(given: Option<i32>) -> u32 {
    given.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644) & 0o777
}

struct Part<'a> {
    what: &'static str,
    name: &'a str,
    items: &'a Option<Vec<KeyToPath>>,
    optional: Option<bool>,
}

fn add(contents: &mut Contents, part: Part<'_>, data: Option<Data>, default: u32) -> Result<(), String> {
    let optional = part.optional == Some(true);
    let Some(mut data) = data else {
        return if optional { Ok(()) } else { Err(format!("{} \"{}\" not found", part.what, part.name)) };
    };
    match part.items {
        None => contents.extend(
            data.into_iter().filter_map(|(key, value)| Some((relative(&key).ok()?, (value, default)))),
        ),
        Some(items) => {
            for item in items {
                match data.remove(&item.key) {
                    Some(value) => {
                        let mode = item.mode.map_or(default, |given| mode(Some(given)));
                        contents.insert(relative(&item.path)?, (value, mode));
                    }
                    None if optional => {}
                    None => return Err(format!("references non-existent {} key: {}", part.what, item.key)),
                }
            }
        }
    }
    Ok(())
}

fn downward<'a>(
    contents: &mut Contents,
    pod: &Pod,
    wanted: impl Iterator<Item = &'a DownwardAPIVolumeFile>,
    default: u32,
) -> Result<(), String> {
    for file in wanted {
        let value = if let Some(field) = &file.field_ref {
            fields::field(pod, &field.field_path)?
        } else if let Some(field) = &file.resource_field_ref {
            fields::resource(pod, "", field)?
        } else {
            return Err(format!("{} names no field", file.path));
        };
        let mode = file.mode.map_or(default, |given| mode(Some(given)));
        contents.insert(relative(&file.path)?, (value.into_bytes(), mode));
    }
    Ok(())
}

/// A path that stays below where it begins.
fn relative(path: &str) -> Result<PathBuf, String> {
    let ok = !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if ok { Ok(path.into()) } else { Err(format!("path {path:?} must be relative, without `..`")) }
}

fn write(dir: &Path, contents: Contents) -> io::Result<()> {
    new_dir(dir, 0o755)?;
    for (path, (bytes, mode)) in contents {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// What a container mounts of the pod's volumes.
pub(super) fn mounts(
    container: &Container,
    ready: &HashMap<String, Ready>,
    env: &[(String, String)],
) -> Result<Vec<Mount>, Blocked> {
    let config = |message: String| Blocked::Config { container: container.name.clone(), message };
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume =
            ready.get(&mount.name).ok_or_else(|| config(format!("volume {:?} not found", mount.name)))?;
        let value = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            (_, Some(text)) if !text.is_empty() => {
                Some(expand(text, value).map_err(|error| config(error.to_string()))?)
            }
            _ => None,
        };
        let sub_path =
            sub_path.map(|path| relative(path.trim_end_matches('/')).map_err(config)).transpose()?;
        // Relative mount paths are taken from the root, as container runtimes do.
        let target = Path::new("/").join(&mount.mount_path);
        let read_only = volume.read_only || mount.read_only == Some(true);
        mounts.push(Mount { source: volume.source.clone(), sub_path, target, read_only });
    }
    // What is mounted inside another mount must come later.
    mounts.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_modes_and_what_is_missing() {
        let data = || Some(Data::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]));
        let mut contents = Contents::new();
        let items = Some(vec![KeyToPath { key: "a".into(), path: "deep/x".into(), mode: Some(0o400) }]);
        let part = |items, optional| Part { what: "secret", name: "s", items, optional };
        add(&mut contents, part(&items, None), data(), 0o644).unwrap();
        assert_eq!(contents.get(Path::new("deep/x")), Some(&(b"1".to_vec(), 0o400)));
        assert_eq!(add(&mut contents, part(&None, None), None, 0).unwrap_err(), "secret \"s\" not found");
        add(&mut contents, part(&None, Some(true)), None, 0).unwrap();
        let none = Some(vec![KeyToPath { key: "c".into(), path: "c".into(), mode: None }]);
        assert!(
            add(&mut contents, part(&none, None), data(), 0)
                .unwrap_err()
                .contains("non-existent secret key: c")
        );
        let evil = Some(vec![KeyToPath { key: "a".into(), path: "../../x".into(), mode: None }]);
        assert!(add(&mut contents, part(&evil, None), data(), 0).is_err());
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("v"), contents).unwrap();
        let written = fs::metadata(dir.path().join("v/deep/x")).unwrap();
        assert_eq!(written.permissions().mode() & 0o777, 0o400);
    }

    #[test]
    fn mounts_know_their_sub_paths() {
        let ready = HashMap::from([("v".to_owned(), Ready { source: "/s".into(), read_only: false })]);
        let container: Container = serde_json::from_value(serde_json::json!({"name": "c", "volumeMounts": [
            {"name": "v", "mountPath": "/b/c", "subPathExpr": "x/$(POD)", "readOnly": true},
            {"name": "v", "mountPath": "/b", "subPath": "y/"},
        ]}))
        .unwrap();
        let env = [("POD".to_owned(), "p".to_owned())];
        let found = mounts(&container, &ready, &env).unwrap();
        assert_eq!(
            found[0],
            Mount { source: "/s".into(), sub_path: Some("y".into()), target: "/b".into(), read_only: false }
        );
        assert_eq!(found[1].sub_path.as_deref(), Some(Path::new("x/p")));
        assert!(found[1].read_only);
        for evil in ["../x", "/etc"] {
            let env = [("POD".to_owned(), evil.to_owned())];
            let mut container = container.clone();
            container.volume_mounts.as_mut().unwrap()[0].sub_path_expr = Some("$(POD)".to_owned());
            assert!(mounts(&container, &ready, &env).is_err(), "{evil}");
        }
        assert!(mounts(&container, &HashMap::new(), &env).is_err());
    }
}

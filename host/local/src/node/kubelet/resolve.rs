//! From a Pod to a plan: images, environment, commands, users and limits, with everything they refer to looked up.

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, Pod, PodSecurityContext, Secret, SecurityContext,
};
use kube::{Api, Client};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fields;
use crate::node::expand::expand;
use crate::node::images::{Image, ImageStore, PullPolicy, Reference};
use crate::node::plan::{ContainerPlan, Limits};
use crate::node::quantity;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a pod cannot start yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blocked {
    /// A container's image.
    Image { container: String, reason: &'static str, message: String },
    /// Something that a container's definition refers to.
    Config { container: String, message: String },
    /// A volume.
    Volume { message: String },
    /// The API server or the disk did not do its part; trying again may help.
    Passing { message: String },
}

impl Blocked {
    pub(super) fn passing(error: impl std::fmt::Display) -> Self {
        Self::Passing { message: error.to_string() }
    }
}

/// ConfigMaps and Secrets of the pod's namespace, each read once.
pub(super) struct Lookup {
    client: Client,
    namespace: String,
    config_maps: HashMap<String, Option<ConfigMap>>,
    secrets: HashMap<String, Option<Secret>>,
}

/// The content of a ConfigMap or a Secret.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

impl Lookup {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), config_maps: HashMap::new(), secrets: HashMap::new() }
    }

    /// A ConfigMap's data, text and binary; none when there is no such map.
    pub(super) async fn config_map(&mut self, name: &str) -> Result<Option<Data>, kube::Error> {
        if !self.config_maps.contains_key(name) {
            let found = Api::namespaced(self.client.clone(), &self.namespace).get_opt(name).await?;
            self.config_maps.insert(name.to_owned(), found);
        }
        Ok(self.config_maps.get(name).and_then(Option::as_ref).map(|map| {
            let text =
                map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
            let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
            text.chain(binary).collect()
        }))
    }

    /// A Secret's data; none when there is no such Secret.
    pub(super) async fn secret(&mut self, name: &str) -> Result<Option<Data>, kube::Error> {
        if !self.secrets.contains_key(name) {
            let found = Api::namespaced(self.client.clone(), &self.namespace).get_opt(name).await?;
            self.secrets.insert(name.to_owned(), found);
        }
        Ok(self.secrets.get(name).and_then(Option::as_ref).map(|secret| {
            secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
        }))
    }
}

/// Resolves one container, except its mounts.
pub(super) async fn container(
    pod: &Pod,
    container: &Container,
    images: &ImageStore,
    lookup: &mut Lookup,
    user_namespaces: bool,
) -> Result<ContainerPlan, Blocked> {
    let config = |message: String| Blocked::Config { container: container.name.clone(), message };
    let (image, named) = find_image(container, images)?;
    let mut env = Environment::default();
    env.set("PATH", DEFAULT_PATH.to_owned());
    env.set("HOSTNAME", fields::hostname(pod));
    for pair in &image.config.env {
        if let Some((name, value)) = pair.split_once('=') {
            env.set(name, value.to_owned());
        }
    }
    environment(pod, container, lookup, &mut env).await?;
    let (uid, gid, home) = user(pod, container, &image).map_err(config)?;
    if !user_namespaces && (uid, gid) != (0, 0) {
        return Err(config(format!("user {uid} takes user namespaces, and this machine allows none")));
    }
    if env.get("HOME").is_none() {
        env.set("HOME", home.display().to_string());
    }
    let home = env.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home != Path::new("/"));
    let resources = container.resources.as_ref();
    let limit = |name: &str| {
        resources.and_then(|all| all.limits.as_ref()?.get(name)).map(|quantity| quantity.0.as_str())
    };
    let working_dir = container.working_dir.clone().filter(|dir| !dir.is_empty());
    let working_dir =
        working_dir.or_else(|| image.config.working_dir.clone()).unwrap_or_else(|| "/".to_owned());
    Ok(ContainerPlan {
        name: container.name.clone(),
        image: named,
        argv: argv(container, &image, &env).map_err(config)?,
        rootfs: image.rootfs,
        working_dir: working_dir.into(),
        uid,
        gid,
        home,
        mounts: Vec::new(),
        limits: Limits {
            memory: limit("memory").and_then(quantity::units),
            cpu_milli: limit("cpu").and_then(quantity::milli).and_then(|milli| u64::try_from(milli).ok()),
        },
        sidecar: container.restart_policy.as_deref() == Some("Always"),
        message_path: container.termination_message_path.as_deref().unwrap_or("/dev/termination-log").into(),
        message_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        env: env.pairs,
    })
}

fn find_image(container: &Container, images: &ImageStore) -> Result<(Image, String), Blocked> {
    let named = container.image.clone().unwrap_or_default();
    let blocked = |reason, message| Blocked::Image { container: container.name.clone(), reason, message };
    let reference: Reference = named
        .parse()
        .map_err(|error: crate::node::BadReference| blocked("InvalidImageName", error.to_string()))?;
    let policy = PullPolicy::of(container.image_pull_policy.as_deref(), &reference);
    let image =
        images.resolve(&named).map_err(|error| blocked(policy.missing_reason(), error.to_string()))?;
    Ok((image, named))
}

/// Names and values in the order in which they were first set.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pairs: Vec<(String, String)>,
}

impl Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((name.to_owned(), value)),
        }
    }
}

async fn environment(
    pod: &Pod,
    container: &Container,
    lookup: &mut Lookup,
    env: &mut Environment,
) -> Result<(), Blocked> {
    let config = |message: String| Blocked::Config { container: container.name.clone(), message };
    for source in container.env_from.iter().flatten() {
        let (found, what, name, optional) = if let Some(map) = &source.config_map_ref {
            (lookup.config_map(&map.name).await, "configmap", &map.name, map.optional)
        } else if let Some(secret) = &source.secret_ref {
            (lookup.secret(&secret.name).await, "secret", &secret.name, secret.optional)
        } else {
            continue;
        };
        match found.map_err(Blocked::passing)? {
            Some(data) => {
                for (key, value) in data {
                    let name = format!("{}{key}", source.prefix.as_deref().unwrap_or_default());
                    // As the kubelet: keys that are no names are left out.
                    if let (true, Ok(value)) = (is_env_name(&name), String::from_utf8(value)) {
                        env.set(&name, value);
                    }
                }
            }
            None if optional == Some(true) => {}
            None => return Err(config(format!("{what} \"{name}\" not found"))),
        }
    }
    // References see what was defined before them, and what the pod's other variables are later overwritten with.
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => {
                expand(value, |name| env.get(name)).map_err(|error| config(error.to_string()))?
            }
            (None, Some(source)) => match from_source(pod, container, source, lookup).await? {
                Some(value) => value,
                None => continue,
            },
            (None, None) => String::new(),
        };
        env.set(&variable.name, value);
    }
    Ok(())
}

fn is_env_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

async fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    lookup: &mut Lookup,
) -> Result<Option<String>, Blocked> {
    let config = |message: String| Blocked::Config { container: container.name.clone(), message };
    if let Some(field) = &source.field_ref {
        return fields::field(pod, &field.field_path).map(Some).map_err(config);
    }
    if let Some(field) = &source.resource_field_ref {
        return fields::resource(pod, &container.name, field).map(Some).map_err(config);
    }
    let (found, what, name, key, optional) = if let Some(wanted) = &source.secret_key_ref {
        (lookup.secret(&wanted.name).await, "secret", &wanted.name, &wanted.key, wanted.optional)
    } else if let Some(wanted) = &source.config_map_key_ref {
        (lookup.config_map(&wanted.name).await, "configmap", &wanted.name, &wanted.key, wanted.optional)
    } else {
        return Err(config("this source of an environment variable is not supported".to_owned()));
    };
    let titled = if what == "secret" { "Secret" } else { "ConfigMap" };
    match found.map_err(Blocked::passing)? {
        Some(mut data) => match data.remove(key) {
            Some(value) => String::from_utf8(value)
                .map(Some)
                .map_err(|_| config(format!("key {key} in {titled} {name} is not text"))),
            None if optional == Some(true) => Ok(None),
            None => Err(config(format!(
                "couldn't find key {key} in {titled} {}/{name}",
                pod.metadata.namespace.as_deref().unwrap_or_default()
            ))),
        },
        None if optional == Some(true) => Ok(None),
        None => Err(config(format!("{what} \"{name}\" not found"))),
    }
}

fn argv(container: &Container, image: &Image, env: &Environment) -> Result<Vec<String>, String> {
    let expanded = |words: &[String]| {
        let words =
            words.iter().map(|word| expand(word, |name| env.get(name)).map_err(|error| error.to_string()));
        words.collect::<Result<Vec<_>, _>>()
    };
    let command = container.command.as_deref().filter(|command| !command.is_empty());
    let args = container.args.as_deref().filter(|args| !args.is_empty());
    let mut argv = match command {
        Some(command) => expanded(command)?,
        None => image.config.entrypoint.clone(),
    };
    match args {
        Some(args) => argv.extend(expanded(args)?),
        None if command.is_none() => argv.extend(image.config.cmd.iter().cloned()),
        None => {}
    }
    Ok(argv)
}

/// User, group and home, as pod, container and image say.
fn user(pod: &Pod, container: &Container, image: &Image) -> Result<(u32, u32, PathBuf), String> {
    let of_pod: Option<&PodSecurityContext> =
        pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own: Option<&SecurityContext> = container.security_context.as_ref();
    let wanted = own.and_then(|own| own.run_as_user).or_else(|| of_pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or_else(|| of_pod.and_then(|pod| pod.run_as_group));
    let not_root =
        own.and_then(|own| own.run_as_non_root).or_else(|| of_pod.and_then(|pod| pod.run_as_non_root));
    let accounts = Accounts::of(&image.rootfs);
    let (mut uid, mut gid) = (0, 0);
    if let Some(user) = &image.config.user {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        let known = accounts.by_name(user);
        uid = match user.parse() {
            Ok(number) => number,
            Err(_) => {
                known.map(|account| account.uid).ok_or_else(|| format!("the image has no user {user:?}"))?
            }
        };
        gid = group.parse().ok().or(known.map(|account| account.gid)).unwrap_or_default();
    }
    let number =
        |given: i64, what: &str| u32::try_from(given).map_err(|_| format!("{what} {given} is out of range"));
    if let Some(wanted) = wanted {
        uid = number(wanted, "runAsUser")?;
        gid = accounts.by_uid(uid).map_or(0, |account| account.gid);
    }
    if let Some(group) = group {
        gid = number(group, "runAsGroup")?;
    }
    if uid == 0 && not_root == Some(true) {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let home = accounts.by_uid(uid).map(|account| account.home.clone());
    let home = home.unwrap_or_else(|| if uid == 0 { "/root".into() } else { "/".into() });
    Ok((uid, gid, home))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

#[derive(Debug, Default)]
struct Accounts(Vec<Account>);

impl Accounts {
    /// From the image's `/etc/passwd`; the image is foreign, so no link leads out of it.
    fn of(rootfs: &Path) -> Self {
        let read = || -> std::io::Result<String> {
            use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
            let root = std::fs::File::open(rootfs)?;
            let how = OpenHow::new()
                .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
                .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
            let file = std::fs::File::from(openat2(&root, "etc/passwd", how)?);
            let mut text = Vec::new();
            file.take(1 << 20).read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let text = read().unwrap_or_default();
        let line = |line: &str| {
            let mut parts = line.split(':');
            let (name, uid, gid) = (parts.next()?, parts.nth(1)?, parts.next()?);
            let home = PathBuf::from(parts.nth(1)?);
            Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn by_name(&self, name: &str) -> Option<&Account> {
        self.0.iter().find(|account| account.name == name)
    }

    fn by_uid(&self, uid: u32) -> Option<&Account> {
        self.0.iter().find(|account| account.uid == uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(dir: &Path, user: Option<&str>) -> Image {
        Image {
            reference: "app".parse().unwrap(),
            rootfs: dir.to_owned(),
            owned: false,
            config: crate::node::ImageConfig {
                entrypoint: vec!["/entry".to_owned()],
                cmd: vec!["cmd".to_owned()],
                user: user.map(str::to_owned),
                ..Default::default()
            },
            imported_at: jiff::Timestamp::now(),
        }
    }

    #[test]
    fn command_and_args_replace_entrypoint_and_cmd() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), None);
        let mut env = Environment::default();
        env.set("A", "1".to_owned());
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for (command, args, argv_wanted) in [
            (None, None, vec!["/entry", "cmd"]),
            (None, words(&["$(A)"]), vec!["/entry", "1"]),
            (words(&["sh"]), None, vec!["sh"]),
            (words(&["sh"]), words(&["-c", "$$(A) $(B)"]), vec!["sh", "-c", "$(A) $(B)"]),
        ] {
            let container = Container { command, args, ..Container::default() };
            assert_eq!(argv(&container, &image, &env).unwrap(), argv_wanted);
        }
    }

    #[test]
    fn users_come_from_pod_container_and_image_and_links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let real = dir.path().join("etc/real");
        std::fs::write(&real, "root:x:0:0:root:/root:/bin/sh\napp:x:7:8::/home/app:/bin/sh\nbroken\n")
            .unwrap();
        std::os::unix::fs::symlink("/etc/real", dir.path().join("etc/passwd")).unwrap();
        let (pod, mut container) = (Pod::default(), Container::default());
        let found = |container: &Container, user| super::user(&pod, container, &image(dir.path(), user));
        assert_eq!(found(&container, None), Ok((0, 0, "/root".into())));
        assert_eq!(found(&container, Some("app")), Ok((7, 8, "/home/app".into())));
        assert_eq!(found(&container, Some("9:3")), Ok((9, 3, "/".into())));
        assert!(found(&container, Some("nobody")).is_err());
        container.security_context =
            Some(SecurityContext { run_as_user: Some(7), run_as_non_root: Some(true), ..Default::default() });
        assert_eq!(found(&container, None), Ok((7, 8, "/home/app".into())));
        container.security_context =
            Some(SecurityContext { run_as_non_root: Some(true), ..Default::default() });
        assert!(found(&container, None).unwrap_err().contains("runAsNonRoot"));
    }
}

//! Pods by the rules that every shared cluster asks for.
//!
//! Containers from [`container`] meet the Pod Security Standard `restricted`, which is what the host's guard checks at
//! its strictest; commands are argument lists, so that no shell looks at a value.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// A container that runs as an ordinary user without any privilege.
///
/// The end of its log becomes its termination message, so that a failure explains itself in the pod's status.
#[must_use]
pub fn container(name: &str, image: &str) -> Container {
    Container {
        name: name.into(),
        image: Some(image.into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
            run_as_non_root: Some(true),
            seccomp_profile: Some(runtime_default()),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { localhost_profile: None, type_: "RuntimeDefault".into() }
}

/// What one adds to a container, in a chain.
pub trait ContainerExt {
    /// The command line, as a list of arguments. `$(NAME)` in it is replaced by Kubernetes: keep foreign text that
    /// may hold it out.
    #[must_use]
    fn run<A: Into<String>>(self, argv: impl IntoIterator<Item = A>) -> Self;

    /// Adds a variable.
    #[must_use]
    fn env(self, name: &str, value: &str) -> Self;

    /// Adds variables, for example those of [`Ctx::credential_env`](crate::Ctx::credential_env).
    #[must_use]
    fn envs(self, variables: impl IntoIterator<Item = EnvVar>) -> Self;

    /// Mounts a volume of the pod at a path.
    #[must_use]
    fn mount(self, volume: &str, path: &str) -> Self;

    /// Mounts a volume of the pod at a path, read-only.
    #[must_use]
    fn mount_read_only(self, volume: &str, path: &str) -> Self;

    /// Sets what it asks for and may use; see [`Resources`].
    #[must_use]
    fn resources(self, resources: Resources) -> Self;
}

impl ContainerExt for Container {
    fn run<A: Into<String>>(mut self, argv: impl IntoIterator<Item = A>) -> Self {
        self.command = Some(argv.into_iter().map(Into::into).collect());
        self
    }

    fn env(self, name: &str, value: &str) -> Self {
        self.envs([EnvVar { name: name.into(), value: Some(value.into()), value_from: None }])
    }

    fn envs(mut self, variables: impl IntoIterator<Item = EnvVar>) -> Self {
        self.env.get_or_insert_default().extend(variables);
        self
    }

    fn mount(mut self, volume: &str, path: &str) -> Self {
        let mount = VolumeMount { name: volume.into(), mount_path: path.into(), ..VolumeMount::default() };
        self.volume_mounts.get_or_insert_default().push(mount);
        self
    }

    fn mount_read_only(mut self, volume: &str, path: &str) -> Self {
        self = self.mount(volume, path);
        if let Some(mount) = self.volume_mounts.as_mut().and_then(|mounts| mounts.last_mut()) {
            mount.read_only = Some(true);
        }
        self
    }

    fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources.build();
        self
    }
}

/// Requests and limits of a container; empty quantities are left out.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    requests: BTreeMap<String, Quantity>,
    limits: BTreeMap<String, Quantity>,
}

impl Resources {
    /// Nothing asked for, no limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an amount of a resource.
    #[must_use]
    pub fn request(mut self, resource: &str, quantity: &str) -> Self {
        if !quantity.is_empty() {
            self.requests.insert(resource.into(), Quantity(quantity.into()));
        }
        self
    }

    /// Allows no more than an amount of a resource.
    #[must_use]
    pub fn limit(mut self, resource: &str, quantity: &str) -> Self {
        if !quantity.is_empty() {
            self.limits.insert(resource.into(), Quantity(quantity.into()));
        }
        self
    }

    /// Asks for an amount and allows no more.
    #[must_use]
    pub fn exactly(self, resource: &str, quantity: &str) -> Self {
        self.request(resource, quantity).limit(resource, quantity)
    }

    fn build(self) -> Option<ResourceRequirements> {
        let some = |map: BTreeMap<String, Quantity>| (!map.is_empty()).then_some(map);
        if self.requests.is_empty() && self.limits.is_empty() {
            return None;
        }
        Some(ResourceRequirements { claims: None, limits: some(self.limits), requests: some(self.requests) })
    }
}

/// A pod with these containers, without access to the Kubernetes API and without other Services' addresses in its
/// environment.
#[must_use]
pub fn spec(containers: impl IntoIterator<Item = Container>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        containers: containers.into_iter().collect(),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// What one adds to a pod, in a chain.
pub trait PodSpecExt {
    /// Containers that run before the others, one after the other.
    #[must_use]
    fn init(self, containers: impl IntoIterator<Item = Container>) -> Self;

    /// Adds a volume.
    #[must_use]
    fn volume(self, volume: Volume) -> Self;
}

impl PodSpecExt for PodSpec {
    fn init(mut self, containers: impl IntoIterator<Item = Container>) -> Self {
        self.init_containers.get_or_insert_default().extend(containers);
        self
    }

    fn volume(mut self, volume: Volume) -> Self {
        self.volumes.get_or_insert_default().push(volume);
        self
    }
}

/// A pod template with the label `app`, kept out of service meshes: a sidecar that never ends would keep a Job from
/// ever completing.
#[must_use]
pub fn template(app: &str, spec: PodSpec) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: Some([("sidecar.istio.io/inject".into(), "false".into())].into()),
            labels: Some([("app".into(), app.into())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

/// A Job that runs the pod once and tries again `backoff_limit` times.
#[must_use]
pub fn job(name: &str, app: &str, mut spec: PodSpec, backoff_limit: i32) -> Job {
    spec.restart_policy = Some("Never".into());
    Job {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        spec: Some(JobSpec {
            backoff_limit: Some(backoff_limit),
            template: template(app, spec),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A claim as a volume of a pod.
#[must_use]
pub fn claim_volume(name: &str, claim: &str) -> Volume {
    Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.into(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

/// Scratch space that ends with the pod.
#[must_use]
pub fn scratch_volume(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// Scratch space in memory, for `/dev/shm`.
#[must_use]
pub fn memory_volume(name: &str, size: &str) -> Volume {
    let size_limit = (!size.is_empty()).then(|| Quantity(size.into()));
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { medium: Some("Memory".into()), size_limit }),
        ..Volume::default()
    }
}

/// A ConfigMap as files.
#[must_use]
pub fn config_map_volume(name: &str, config_map: &str) -> Volume {
    Volume {
        name: name.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.into(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

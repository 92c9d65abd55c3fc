//! Images, the shared claim, the object store and the scripts.

use super::ca::{CaFile, ca_entry_parameter};
use crate::contract::{Credential, Descriptor, Error, Parameter};
use crate::pod::PodSpecExt;
use crate::pod::{self, ContainerExt, Resources};
use crate::{Ctx, Plan};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use serde::Deserialize;

/// The image with InstructLab's Python packages, vLLM and torchrun.
pub const IMAGE: &str = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2";

/// The image with this project's own program, for transfers.
pub const HOST_IMAGE: &str = "ghcr.io/instructlab/ilab-host:0.1.0";

/// The logical name of the claim that all stages share.
pub const DATA_VOLUME: &str = "data";

/// Where it is mounted in every pod.
pub const DATA_ROOT: &str = "/data";

/// Where a stage's scripts are mounted.
pub const SCRIPTS_DIR: &str = "/ilab/scripts";

const OBJECT_STORE: &str = "object-store";
const SCRIPTS_VOLUME: &str = "scripts";
const SCRATCH_VOLUME: &str = "tmp";

/// A descriptor with what all of them have: the shared claim, licence and homepage.
#[must_use]
pub fn describe(name: &str, group: &str, summary: &str) -> Descriptor {
    Descriptor::new(name, group, summary)
        .volume(DATA_VOLUME, "200Gi")
        .licence("Apache-2.0")
        .homepage("https://github.com/instructlab/ilab-host")
}

/// The setting for [`IMAGE`].
#[must_use]
pub fn image_parameter() -> Parameter {
    Parameter::image("image", "Image with InstructLab's Python packages").default(IMAGE)
}

/// The setting for [`HOST_IMAGE`].
#[must_use]
pub fn host_image_parameter() -> Parameter {
    Parameter::image("host-image", "Image with ilab-host, for transfers").default(HOST_IMAGE)
}

/// Access to the object store.
#[must_use]
pub fn object_store() -> Credential {
    Credential::new(OBJECT_STORE, &["bucket", "access_key", "secret_key", "data_key"])
        .optional(&["endpoint", "region", "verify_tls", "ca_cert_cm_key"])
        .config_maps(&["ca_cert"])
}

/// The setting for the CA certificate of the object store, which [`object_store_pod`] reads.
#[must_use]
pub fn object_store_ca_parameter() -> Parameter {
    ca_entry_parameter("object-store-ca-cert-key", "object store", "sdg-object-store-ca-cert-cm-key")
}

/// A container of `ilab-host data` with what it has to know about the object store, and what turns a pod into one that
/// it works in.
///
/// # Errors
/// When the credential is not bound.
pub fn object_store_pod(
    ctx: &Ctx,
    container: Container,
) -> Result<(Container, impl Fn(PodSpec) -> PodSpec), Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Settings {
        object_store_ca_cert_key: String,
    }
    let Settings { object_store_ca_cert_key: entry } = ctx.parameters()?;
    let keys = ("ca_cert", "ca_cert_cm_key");
    let ca = CaFile::of(ctx, OBJECT_STORE, keys, &entry, "SDG_OBJECT_STORE_CA_FILE");
    let container = CaFile::add_to(ca.as_ref(), container.envs(object_store_env(ctx)?));
    Ok((container, move |spec| CaFile::volume_for(ca.as_ref(), spec)))
}

fn object_store_env(ctx: &Ctx) -> Result<Vec<EnvVar>, Error> {
    ctx.credential_env(
        OBJECT_STORE,
        &[
            ("SDG_OBJECT_STORE_ENDPOINT", "endpoint", false),
            ("SDG_OBJECT_STORE_BUCKET", "bucket", true),
            ("SDG_OBJECT_STORE_ACCESS_KEY", "access_key", true),
            ("SDG_OBJECT_STORE_SECRET_KEY", "secret_key", true),
            ("SDG_OBJECT_STORE_REGION", "region", false),
            ("SDG_OBJECT_STORE_DATA_KEY", "data_key", true),
            ("SDG_OBJECT_STORE_VERIFY_TLS", "verify_tls", false),
        ],
    )
}

/// Adds the shared claim and scratch space to a pod; [`host_container`] and [`python_container`] mount them.
///
/// # Errors
/// When the claim is not bound.
pub fn data_volume(ctx: &Ctx, spec: PodSpec) -> Result<PodSpec, Error> {
    Ok(spec
        .volume(pod::claim_volume(DATA_VOLUME, ctx.claim(DATA_VOLUME)?))
        .volume(pod::scratch_volume(SCRATCH_VOLUME)))
}

/// A container with the shared claim that runs this project's own program.
#[must_use]
pub fn host_container<A: Into<String>>(
    name: &str,
    image: &str,
    args: impl IntoIterator<Item = A>,
) -> Container {
    let argv = std::iter::once("ilab-host".to_owned()).chain(args.into_iter().map(Into::into));
    pod::container(name, image)
        .run(argv)
        // It streams: what it needs does not grow with the archive.
        .resources(Resources::new().request("cpu", "500m").request("memory", "256Mi"))
        .env("HOME", "/tmp")
        .mount(DATA_VOLUME, DATA_ROOT)
        .mount(SCRATCH_VOLUME, "/tmp")
}

/// A container with the shared claim that runs one of the stage's scripts; see [`scripts`].
#[must_use]
pub fn python_container<A: Into<String>>(
    name: &str,
    image: &str,
    script: &str,
    args: impl IntoIterator<Item = A>,
) -> Container {
    let argv = ["python3".to_owned(), format!("{SCRIPTS_DIR}/{script}")];
    pod::container(name, image)
        .run(argv.into_iter().chain(args.into_iter().map(Into::into)))
        // The process runs as whatever user the cluster picks: only /tmp is sure to be writable.
        .env("HOME", "/tmp")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .mount(DATA_VOLUME, DATA_ROOT)
        .mount_read_only(SCRIPTS_VOLUME, SCRIPTS_DIR)
        .mount(SCRATCH_VOLUME, "/tmp")
}

/// A plan that begins with the ConfigMap of the stage's scripts; [`scripts_volume`] brings them into the pods.
///
/// # Errors
/// When it cannot be written.
pub fn scripts(ctx: &Ctx, files: &[(&str, &str)]) -> Result<Plan, Error> {
    Plan::new().files(&ctx.name_with(SCRIPTS_VOLUME), files)
}

/// The pod with the stage's scripts as a volume, which [`python_container`] mounts.
#[must_use]
pub fn scripts_volume(ctx: &Ctx, spec: PodSpec) -> PodSpec {
    spec.volume(pod::config_map_volume(SCRIPTS_VOLUME, &ctx.name_with(SCRIPTS_VOLUME)))
}

//! A CA certificate that a ConfigMap holds.

use crate::Ctx;
use crate::contract::{KeyHolder, Parameter};
use crate::pod::{self, ContainerExt, PodSpecExt};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};

/// A credential's CA certificate, brought into a container as a file.
#[derive(Debug, Clone)]
pub struct CaFile {
    volume: String,
    config_map: String,
    folder: String,
    variables: Vec<EnvVar>,
}

impl CaFile {
    /// What the credential has of it; none when it names no ConfigMap.
    ///
    /// `keys` are the credential's key that is bound to the ConfigMap, and the one whose value, if it is there, says
    /// which entry of the ConfigMap it is; otherwise that is `entry`. `variable` tells the program where the file lies.
    #[must_use]
    pub fn of(ctx: &Ctx, credential: &str, keys: (&str, &str), entry: &str, variable: &str) -> Option<Self> {
        let bound = ctx.credential(credential)?;
        let KeyHolder::ConfigMap(config_map) = bound.holder(keys.0)? else { return None };
        let (volume, folder) = (format!("{credential}-ca"), format!("/etc/ilab/{credential}-ca"));
        let mut variables = Vec::new();
        // Kubernetes puts the entry's name, which only it may read, into the path.
        let file = match bound.env("CA_CERT_ENTRY", keys.1) {
            Some(named) => {
                variables.push(named);
                "$(CA_CERT_ENTRY)"
            }
            None => entry,
        };
        variables.push(EnvVar {
            name: variable.into(),
            value: Some(format!("{folder}/{file}")),
            value_from: None,
        });
        Some(Self { volume, config_map: config_map.clone(), folder, variables })
    }

    /// The container with the file and the variables that name it.
    #[must_use]
    pub fn add_to(ca: Option<&Self>, container: Container) -> Container {
        match ca {
            Some(ca) => container.envs(ca.variables.clone()).mount_read_only(&ca.volume, &ca.folder),
            None => container,
        }
    }

    /// The pod with the volume that the container mounts.
    #[must_use]
    pub fn volume_for(ca: Option<&Self>, spec: PodSpec) -> PodSpec {
        match ca {
            Some(ca) => spec.volume(pod::config_map_volume(&ca.volume, &ca.config_map)),
            None => spec,
        }
    }
}

/// The setting that says which entry of the ConfigMap holds the certificate.
#[must_use]
pub fn ca_entry_parameter(name: &str, whose: &str, flag: &str) -> Parameter {
    Parameter::string(name, &format!("Entry of the ConfigMap that holds the CA certificate of the {whose}"))
        .pattern("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$")
        .default("ca-bundle.crt")
        .flag(flag)
}

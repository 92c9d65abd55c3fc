//! What tests of signatures begin with.

use ilab_registry::{Component, Interface, Reference, Registry, RegistryOptions, push};
use ilab_test_support::{OciRegistry, RegistryNeeds};
use std::collections::BTreeMap;

/// Bytes as a component that says nothing of itself.
pub(crate) fn component(bytes: &'static str) -> Component {
    Component {
        bytes: bytes.into(),
        interface: Interface::default(),
        annotations: BTreeMap::new(),
        created: "1970-01-01T00:00:00Z".into(),
    }
}

/// A registry with a component in it, which nobody has signed.
pub(crate) struct Pushed {
    pub(crate) registry: OciRegistry,
    /// Without the credentials of whoever runs the tests.
    pub(crate) client: Registry,
    pub(crate) at: Reference,
}

impl Pushed {
    pub(crate) async fn new() -> Self {
        let registry = OciRegistry::start(RegistryNeeds::default());
        let docker_config = Some("/nonexistent/config.json".into());
        let client = Registry::new(RegistryOptions { docker_config, ..RegistryOptions::default() }).unwrap();
        let at: Reference = format!("oci://{}/team/stage:1", registry.host()).parse().unwrap();
        push(&client, &at, &component("component")).await.unwrap();
        Self { registry, client, at }
    }
}

//! The documents of a registry: manifests, indexes and a WebAssembly artifact's configuration.

use crate::{Digest, Reference, RegistryError};
use ilab_core::text::quoted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An OCI image manifest, which any artifact's manifest is.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration of the CNCF's WebAssembly artifact.
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A component, or a core module.
pub(crate) const WASM_LAYER: &str = "application/wasm";

/// What the specification advises registries to take of a manifest.
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;
/// A configuration lists imports and exports.
pub(crate) const CONFIG_LIMIT: u64 = 1 << 20;

pub(crate) type Annotations = BTreeMap<String, String>;

/// Points at bytes by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub(crate) annotations: Annotations,
}

impl Descriptor {
    /// Of these bytes.
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: Annotations::new(),
        }
    }

    /// With one annotation more.
    pub(crate) fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }
}

/// An image manifest. What it has besides is of no use here; others may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub(crate) annotations: Annotations,
}

impl Manifest {
    /// Of an artifact with this configuration and these layers.
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// Reads one that `what` names.
    pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Self, RegistryError> {
        let no = |problem: String| RegistryError::NotAComponent { reference: what.to_owned(), problem };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| {
            no(match serde_json::from_slice::<Index>(bytes) {
                Ok(index) => format!(
                    "it is an index of {} artifacts; name one of them by its digest",
                    index.manifests.len()
                ),
                Err(_) => "its manifest is no OCI image manifest".to_owned(),
            })
        })?;
        let typed = manifest.media_type.as_deref().is_none_or(|t| t == MANIFEST);
        if manifest.schema_version != 2 || !typed {
            let media_type = quoted(manifest.media_type.as_deref().unwrap_or_default(), 100);
            return Err(no(format!("its manifest is of the type {media_type}, not {MANIFEST}")));
        }
        Ok(manifest)
    }

    /// The descriptor of the component's bytes, when it is what `plugin push` and `wkg oci push` make.
    pub(crate) fn component(&self, at: &Reference, limit: u64) -> Result<&Descriptor, RegistryError> {
        let no = |problem: String| RegistryError::NotAComponent { reference: at.to_string(), problem };
        if self.config.media_type != WASM_CONFIG {
            return Err(no(format!(
                "its configuration is of the type {}, not {WASM_CONFIG}",
                quoted(&self.config.media_type, 100)
            )));
        }
        let [layer] = self.layers.as_slice() else {
            return Err(no(format!("it has {} layers where one is a component", self.layers.len())));
        };
        if layer.media_type != WASM_LAYER {
            return Err(no(format!(
                "its layer is of the type {}, not {WASM_LAYER}",
                quoted(&layer.media_type, 100)
            )));
        }
        for (what, descriptor, limit) in
            [("component", layer, limit), ("configuration", &self.config, CONFIG_LIMIT)]
        {
            if descriptor.size > limit {
                return Err(RegistryError::TooLarge {
                    what: format!("the {what} of {at}"),
                    size: descriptor.size,
                    limit,
                });
            }
        }
        Ok(layer)
    }

    /// As it is pushed: compact, in the order of the specification.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// A list of manifests: what refers to an artifact, or what an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

impl Index {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// These documents hold strings and numbers: they always have a JSON form.
fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// What a component exports and imports, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The interfaces that it offers.
    pub exports: Vec<String>,
    /// The interfaces that it asks for.
    pub imports: Vec<String>,
    /// The world that it was built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The configuration of a WebAssembly artifact, by the CNCF's specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WasmConfig {
    pub(crate) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    pub(crate) layer_digests: Vec<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<Interface>,
}

impl WasmConfig {
    /// Of one component.
    pub(crate) fn of(layer: &Digest, interface: Interface, created: String) -> Self {
        Self {
            created,
            author: None,
            architecture: "wasm".to_owned(),
            os: "wasip2".to_owned(),
            layer_digests: vec![layer.clone()],
            component: Some(interface),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Reference {
        "oci://localhost/a:1".parse().unwrap()
    }

    fn sound() -> Manifest {
        Manifest::new(Descriptor::of(WASM_CONFIG, b"{}"), vec![Descriptor::of(WASM_LAYER, b"x")])
    }

    #[test]
    fn what_is_pushed_is_what_the_specification_shows() {
        let interface = Interface { exports: vec!["a:b/c@0.1.0".into()], ..Interface::default() };
        let config = WasmConfig::of(&Digest::of(b"x"), interface, "1970-01-01T00:00:00Z".into());
        let digest = Digest::of(b"x");
        assert_eq!(
            String::from_utf8(config.bytes()).unwrap(),
            format!(
                r#"{{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip2","layerDigests":["{digest}"],"component":{{"exports":["a:b/c@0.1.0"],"imports":[]}}}}"#
            )
        );
        let empty = Digest::of(b"{}");
        assert_eq!(
            String::from_utf8(sound().bytes()).unwrap(),
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{WASM_CONFIG}","digest":"{empty}","size":2}},"layers":[{{"mediaType":"{WASM_LAYER}","digest":"{digest}","size":1}}]}}"#
            )
        );
    }

    #[test]
    fn only_a_component_is_one() {
        assert!(sound().component(&at(), 1).is_ok());
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = sound();
            change(&mut manifest);
            manifest.component(&at(), 1).unwrap_err().to_string()
        };
        assert!(
            refused(&|m| m.config.media_type = "application/vnd.oci.image.config.v1+json".into())
                .contains("configuration")
        );
        assert!(
            refused(&|m| m.layers[0].media_type = "application/gzip\u{1b}".into())
                .contains(r"application/gzip\u{1b}")
        );
        assert!(refused(&|m| m.layers.clear()).contains("0 layers"));
        assert!(refused(&|m| m.layers.push(m.layers[0].clone())).contains("2 layers"));
        assert!(refused(&|m| m.layers[0].size = 2).contains("too large"));
        assert!(refused(&|m| m.config.size = CONFIG_LIMIT + 1).contains("too large"));
    }

    #[test]
    fn other_documents_are_named() {
        let index = Index::new(vec![Descriptor::of(MANIFEST, b"x")]);
        assert!(
            Manifest::parse("x", &index.bytes()).unwrap_err().to_string().contains("index of 1 artifacts")
        );
        for none in [&b""[..], b"{}", b"[]", br#"{"schemaVersion":1}"#] {
            assert!(Manifest::parse("x", none).is_err());
        }
        let mut docker = sound();
        docker.media_type = Some("application/vnd.docker.distribution.manifest.v2+json".into());
        assert!(Manifest::parse("x", &docker.bytes()).unwrap_err().to_string().contains("docker"));
        let bad = String::from_utf8(sound().bytes()).unwrap().replace("sha256:", "sha256:../");
        assert!(Manifest::parse("x", bad.as_bytes()).is_err());
    }
}

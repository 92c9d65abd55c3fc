//! Rules about volumes and about Secrets, ConfigMaps and claims: only those that are bound, or the plan's own.

use super::path::{Step, fields, is_blank, is_set};
use super::walk::Guard;
use crate::text::quoted;
use serde_json::{Map, Value};

/// The kinds of volume that both levels of the Pod Security Standards and the host allow. Not `csi` and `ephemeral`,
/// which restricted pods may have: drivers take secrets, and claims are the host's.
const VOLUME_SOURCES: [&str; 6] =
    ["configMap", "secret", "persistentVolumeClaim", "emptyDir", "downwardAPI", "projected"];
const PROJECTED_SOURCES: [&str; 3] = ["configMap", "secret", "downwardAPI"];

/// Checks one field at any depth.
pub(super) fn check_field<'a>(guard: &mut Guard<'a>, key: &'a str, value: &'a Value) {
    match key.to_ascii_lowercase().as_str() {
        "volumes" => each(guard, value, check_volume),
        "secretkeyref" | "secretref" => named(guard, value, "name", Holds::Secret),
        "configmapkeyref" | "configmapref" => named(guard, value, "name", Holds::ConfigMap),
        "imagepullsecrets" => each(guard, value, |guard, map| named_in(guard, map, "name", Holds::Secret)),
        "secretname" => text(guard, value, Holds::Secret),
        "claimname" => text(guard, value, Holds::Claim),
        // As volumes they are looked at above; these come from elsewhere, where the same words mean the same.
        "nodestagesecretref" | "nodepublishsecretref" | "controllerpublishsecretref" => {
            guard.refuse("volume-source", "drivers that take secrets are not allowed")
        }
        "volumeclaimtemplate" | "volumeclaimtemplates" if !is_blank(value) => {
            guard.refuse("claim-template", "claims are the host's: declare a volume")
        }
        // Dynamic resource allocation: devices that somebody else has claimed, or that are looked after.
        "resourceclaimname" | "resourceclaimtemplatename"
            if !value.as_str().is_some_and(|name| guard.grant.owns(name)) =>
        {
            guard.refuse("device-claim", "devices are claimed by the stage's own claims");
        }
        "adminaccess" if value != &Value::Bool(false) => {
            guard.refuse("device-claim", "a device that others use is not for a stage");
        }
        "hostpath" => guard.refuse("host-path", "a pod may not reach the node's files"),
        "serviceaccounttoken" | "clustertrustbundle" | "podcertificate" => {
            guard.refuse("token", "a pod gets no credentials of the cluster")
        }
        _ => {}
    }
}

#[derive(Clone, Copy)]
enum Holds {
    Secret,
    ConfigMap,
    Claim,
}

fn each<'a>(guard: &mut Guard<'a>, list: &'a Value, check: impl Fn(&mut Guard<'a>, &'a Map<String, Value>)) {
    match list {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                guard.at(Step::Index(index), |guard| match item {
                    Value::Object(map) => check(guard, map),
                    _ => guard.refuse("object-shape", "an entry that is no mapping"),
                });
            }
        }
        _ => guard.refuse("object-shape", "not a list"),
    }
}

fn check_volume<'a>(guard: &mut Guard<'a>, volume: &'a Map<String, Value>) {
    let mut sources = 0;
    for (key, source) in volume.iter().filter(|(key, source)| key.as_str() != "name" && is_set(source)) {
        sources += 1;
        guard.at(Step::Key(key), |guard| match key.as_str() {
            "configMap" => named(guard, source, "name", Holds::ConfigMap),
            // The names are looked at where the walk meets them.
            "secret" => required(guard, source, "secretName"),
            "persistentVolumeClaim" => required(guard, source, "claimName"),
            "projected" => check_projected(guard, source),
            "emptyDir" | "downwardAPI" => {}
            // Told where the walk meets it.
            "hostPath" => {}
            _ => guard.refuse(
                "volume-source",
                format!(
                    "volumes of kind {} are not allowed; allowed: {}",
                    quoted(key, 40),
                    VOLUME_SOURCES.join(", ")
                ),
            ),
        });
    }
    if sources > 1 {
        guard.refuse("volume-source", "a volume has one source");
    }
}

fn check_projected<'a>(guard: &mut Guard<'a>, projected: &'a Value) {
    let Some(map) = projected.as_object() else { return guard.refuse("object-shape", "not a mapping") };
    for (key, list) in fields(map, "sources").filter(|(_, list)| is_set(list)) {
        guard.at(Step::Key(key), |guard| {
            each(guard, list, |guard, source| {
                for (key, value) in source.iter().filter(|(_, value)| is_set(value)) {
                    guard.at(Step::Key(key), |guard| match key.as_str() {
                        "configMap" => named(guard, value, "name", Holds::ConfigMap),
                        "secret" => named(guard, value, "name", Holds::Secret),
                        "downwardAPI" => {}
                        // Told where the walk meets it.
                        "serviceAccountToken" | "clusterTrustBundle" | "podCertificate" => {}
                        _ => guard.refuse(
                            "volume-source",
                            format!(
                                "{} cannot be projected; allowed: {}",
                                quoted(key, 40),
                                PROJECTED_SOURCES.join(", ")
                            ),
                        ),
                    });
                }
            });
        });
    }
}

fn required<'a>(guard: &mut Guard<'a>, source: &'a Value, field: &'static str) {
    if !source.get(field).is_some_and(Value::is_string) {
        guard.refuse("object-shape", format!("it has no {field}"));
    }
}

fn named<'a>(guard: &mut Guard<'a>, reference: &'a Value, field: &'static str, holds: Holds) {
    match reference {
        Value::Object(map) => named_in(guard, map, field, holds),
        _ => guard.refuse("object-shape", "not a mapping"),
    }
}

fn named_in<'a>(guard: &mut Guard<'a>, map: &'a Map<String, Value>, field: &'static str, holds: Holds) {
    let mut found = false;
    for (key, value) in fields(map, field) {
        found = true;
        guard.at(Step::Key(key), |guard| text(guard, value, holds));
    }
    if !found {
        guard.refuse("object-shape", format!("it has no {field}"));
    }
}

fn text<'a>(guard: &mut Guard<'a>, value: &'a Value, holds: Holds) {
    let grant = guard.grant;
    let Some(name) = value.as_str() else { return guard.refuse("object-shape", "a name is a text") };
    let (allowed, rule, what, bound) = match holds {
        Holds::Secret => (grant.secrets.contains(name), "unbound-secret", "Secret", &grant.secrets),
        Holds::ConfigMap => (
            grant.config_maps.contains(name) || grant.owns(name),
            "unbound-config-map",
            "ConfigMap",
            &grant.config_maps,
        ),
        Holds::Claim => (grant.claims.contains(name), "unbound-claim", "claim", &grant.claims),
    };
    if !allowed {
        let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
        let bound =
            if bound.is_empty() { "none is".to_owned() } else { format!("bound: {}", bound.join(", ")) };
        guard.refuse(rule, format!("{what} {} is not bound to the stage; {bound}", quoted(name, 80)));
    }
}

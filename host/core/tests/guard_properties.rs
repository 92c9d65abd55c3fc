//! Properties of the guard that must hold for every manifest.

use ilab_core::contract::Kind;
use ilab_core::guard::{Grant, Level, Policy, harden};
use ilab_core::names::{PluginDigest, StageName};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

fn grant() -> Grant {
    Grant {
        stage: StageName::new("train").expect("valid"),
        digest: PluginDigest::of(b"x"),
        namespace: "ml".into(),
        prefix: "r-train".into(),
        creates: vec![Kind { api_version: "example.dev/v1".into(), kind: "Anything".into() }],
        secrets: BTreeSet::new(),
        config_maps: BTreeSet::new(),
        claims: BTreeSet::from(["data".to_owned()]),
        bounds: ilab_core::guard::Bounds::default(),
    }
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "example.dev/v1", "kind": "Anything", "metadata": {"name": "r-train"}, "spec": spec})
}

/// Random JSON whose field names mean nothing to the guard.
fn harmless() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("x[a-z]{1,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn template() -> Value {
    json!({"spec": {
        "automountServiceAccountToken": false, "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [{"name": "main", "image": "quay.io/a/b", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    }})
}

/// One way each to make a pod template dangerous.
fn dangerous() -> impl Strategy<Value = Value> {
    let at = |pointer: &'static str, more: Value| {
        let mut template = template();
        if let (Some(Value::Object(place)), Value::Object(more)) = (template.pointer_mut(pointer), more) {
            place.extend(more);
        }
        template
    };
    prop::sample::select(vec![
        at("/spec/containers/0/securityContext", json!({"privileged": true})),
        at("/spec/containers/0/securityContext", json!({"Privileged": true})),
        at("/spec/containers/0/securityContext", json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
        at("/spec/containers/0", json!({"ports": [{"hostPort": 22}]})),
        at("/spec", json!({"hostNetwork": true})),
        at("/spec", json!({"hostPID": true})),
        at("/spec", json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]})),
        at("/spec", json!({"volumes": [{"name": "x", "secret": {"secretName": "other"}}]})),
        at("/spec", json!({"serviceAccountName": "admin"})),
        at("/spec", json!({"automountServiceAccountToken": true})),
        at(
            "/spec",
            json!({"initContainers": [{"name": "x", "image": "y", "securityContext": {"privileged": true}}]}),
        ),
        at("/spec", json!({"nodeName": "master"})),
    ])
}

/// Puts a value somewhere into another: the choices say which way to go at each level.
fn insert(into: &mut Value, what: Value, choices: &[usize]) {
    let Some((choice, rest)) = choices.split_first() else {
        *into = json!({"template": what});
        return;
    };
    match into {
        Value::Array(items) if !items.is_empty() => {
            let index = choice % items.len();
            insert(&mut items[index], what, rest);
        }
        Value::Object(map) if !map.is_empty() => {
            let index = choice % map.len();
            if let Some(value) = map.values_mut().nth(index) {
                insert(value, what, rest);
            }
        }
        other => {
            let mut inner = Value::Null;
            insert(&mut inner, what, rest);
            *other = if choice % 2 == 0 { json!([inner]) } else { json!({"xnext": inner}) };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_dangerous_template_is_refused_at_any_depth(mut spec in harmless(), bad in dangerous(), way in prop::collection::vec(any::<usize>(), 0..25)) {
        insert(&mut spec, bad, &way);
        let mut manifest = object(&spec);
        harden(&mut manifest);
        prop_assert!(!Policy::default().check(&manifest, &grant()).is_empty(), "{manifest}");
    }

    #[test]
    fn a_good_template_passes_at_any_depth(mut spec in harmless(), way in prop::collection::vec(any::<usize>(), 0..25), silent in any::<bool>()) {
        let mut good = template();
        if silent && let Some(Value::Object(pod)) = good.pointer_mut("/spec") {
            pod.remove("automountServiceAccountToken");
        }
        insert(&mut spec, good, &way);
        let mut manifest = object(&spec);
        harden(&mut manifest);
        let policy = Policy { level: Level::Restricted, ..Policy::default() };
        let violations = policy.check(&manifest, &grant());
        prop_assert!(violations.is_empty(), "{violations:?} in {manifest}");
    }

    #[test]
    fn no_json_makes_the_guard_panic(manifest in any_json()) {
        let mut manifest = manifest;
        harden(&mut manifest);
        let _ = Policy { level: Level::Restricted, require_digests: true, allowed_registries: vec!["quay.io".into()] }.check(&manifest, &grant());
    }
}

/// Random JSON of exactly the words that the guard looks at.
fn any_json() -> impl Strategy<Value = Value> {
    let words = vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "status",
        "containers",
        "initContainers",
        "volumes",
        "secret",
        "secretName",
        "configMap",
        "projected",
        "sources",
        "persistentVolumeClaim",
        "claimName",
        "securityContext",
        "capabilities",
        "add",
        "drop",
        "seccompProfile",
        "type",
        "sysctls",
        "image",
        "env",
        "envFrom",
        "secretKeyRef",
        "imagePullSecrets",
        "hostPort",
        "httpGet",
        "host",
        "data",
        "seLinuxOptions",
        "hostNetwork",
        "privileged",
        "",
        "ſ",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("v1")),
        Just(json!("ConfigMap"))
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(words.clone()), inner), 0..6).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

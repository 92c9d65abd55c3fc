//! What predicates cost: compiling them when a plan is accepted, and asking them at every event of a watch.

use criterion::{Criterion, criterion_group, criterion_main};
use ilab_core::contract::{Kind, ObjectRef, Target};
use ilab_core::guard::{Bounds, Grant, Policy};
use ilab_core::names::{PluginDigest, StageName};
use ilab_core::schema::Schema;
use ilab_core::verdict::Predicates;
use serde_json::json;
use std::collections::BTreeSet;
use std::hint::black_box;

fn target() -> Target {
    Target {
        object: ObjectRef {
            api_version: "kubeflow.org/v1".into(),
            kind: "PyTorchJob".into(),
            name: "x".into(),
        },
        succeeded: r#"condition(object, "Succeeded")"#.into(),
        failed: r#"condition(object, "Failed")"#.into(),
        reason: Some(
            r#"object.status.conditions.filter(c, c.status == "True").map(c, c.type + ": " + c.message)[0]"#
                .into(),
        ),
        timeout_seconds: None,
    }
}

fn verdicts(criterion: &mut Criterion) {
    let running = json!({
        "metadata": {"name": "x", "uid": "1", "managedFields": (0..20).map(|i| json!({"manager": format!("m{i}"), "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {}}}})).collect::<Vec<_>>()},
        "status": {"conditions": [{"type": "Created", "status": "True", "message": "created"}, {"type": "Running", "status": "True", "message": "is running"}]},
    });
    let predicates = Predicates::compile(&target()).expect("valid");
    criterion.bench_function("compile three predicates", |bencher| {
        bencher.iter(|| Predicates::compile(black_box(&target())))
    });
    criterion.bench_function("judge a running PyTorchJob", |bencher| {
        bencher.iter(|| predicates.judge(black_box(Some(&running))))
    });
    criterion.bench_function("judge an absent object", |bencher| {
        bencher.iter(|| predicates.judge(black_box(None)))
    });
    let hostile = json!({"a": (0..400).collect::<Vec<_>>()});
    let endless = Predicates::compile(&Target {
        succeeded: "object.a.all(x, object.a.all(y, object.a.all(z, x + y + z >= 0)))".into(),
        failed: "false".into(),
        reason: None,
        ..target()
    })
    .expect("valid");
    criterion.bench_function("stop a hostile predicate", |bencher| {
        bencher.iter(|| endless.judge(black_box(Some(&hostile))))
    });
}

fn others(criterion: &mut Criterion) {
    let fragment = json!({"type": "integer", "minimum": 1, "maximum": 100});
    criterion
        .bench_function("compile a schema", |bencher| bencher.iter(|| Schema::compile(black_box(&fragment))));
    let pod = json!({"spec": {"automountServiceAccountToken": false, "containers": [{"name": "a", "image": "quay.io/a/b", "env": (0..20).map(|i| json!({"name": format!("E{i}"), "value": "x"})).collect::<Vec<_>>()}]}});
    let job = json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "r-x"}, "spec": {"pytorchReplicaSpecs": {"Master": {"template": pod}, "Worker": {"template": pod}}}});
    let grant = Grant {
        stage: StageName::new("x").expect("valid"),
        digest: PluginDigest::of(b""),
        namespace: "ns".into(),
        prefix: "r-x".into(),
        creates: vec![Kind { api_version: "kubeflow.org/v1".into(), kind: "PyTorchJob".into() }],
        secrets: BTreeSet::new(),
        config_maps: BTreeSet::new(),
        claims: BTreeSet::new(),
        bounds: Bounds::default(),
    };
    criterion.bench_function("guard a PyTorchJob", |bencher| {
        bencher.iter(|| Policy::default().check(black_box(&job), &grant))
    });
}

criterion_group!(benches, verdicts, others);
criterion_main!(benches);

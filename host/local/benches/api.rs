//! The embedded API server: what a write, a read and the way from a write to its watch event cost.

use criterion::{Criterion, criterion_group, criterion_main};
use futures::StreamExt;
use ilab_local::{LocalCluster, LocalOptions};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

fn job(name: &str) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox:1", "command": ["true"]}],
        }}},
    }))
    .expect("a job")
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = runtime.block_on(LocalCluster::open(LocalOptions::new(folder.path()))).expect("a cluster");
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());

    criterion.bench_function("create and get", |bencher| {
        let mut n = 0;
        bencher.iter(|| {
            n += 1;
            runtime.block_on(async {
                let name = format!("job-{n}");
                jobs.create(&PostParams::default(), &job(&name)).await.expect("created");
                jobs.get(&name).await.expect("got");
            });
        });
        runtime.block_on(async {
            let all = ListParams::default();
            jobs.delete_collection(&DeleteParams::background(), &all).await.expect("deleted");
        });
    });

    criterion.bench_function("apply to watch event", |bencher| {
        let mut events = runtime.block_on(async {
            let version = jobs.list(&ListParams::default()).await.expect("a list").metadata.resource_version;
            let params = WatchParams::default().fields("metadata.name=watched");
            jobs.watch(&params, &version.unwrap_or_default()).await.expect("a watch").boxed()
        });
        let mut n = 0;
        bencher.iter(|| {
            n += 1;
            runtime.block_on(async {
                let mut wanted = job("watched");
                wanted.labels_mut().insert("n".to_owned(), n.to_string());
                let params = PatchParams::apply("bench");
                jobs.patch("watched", &params, &Patch::Apply(&wanted)).await.expect("applied");
                loop {
                    match events.next().await.expect("an event").expect("an event") {
                        WatchEvent::Added(seen) | WatchEvent::Modified(seen)
                            if seen.labels()["n"] == n.to_string() =>
                        {
                            break;
                        }
                        WatchEvent::Error(status) => panic!("{status:?}"),
                        _ => {}
                    }
                }
            });
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! What is on disk and in memory.

use crate::kit::{PATIENCE, job, kind, made, map, open};
use futures::StreamExt;
use ilab_local::{LocalCluster, LocalError, LocalOptions};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, WatchParams};
use kube::{Api, ResourceExt};
use std::path::Path;

#[tokio::test]
async fn state_outlives_the_host_and_is_one_hosts_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let one = maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    match LocalCluster::open(LocalOptions::new(folder.path())).await {
        Err(LocalError::InUse { holder, .. }) => {
            assert_eq!(holder, format!("process {}", std::process::id()))
        }
        other => panic!("{other:?}"),
    }
    let watching = tokio::spawn({
        let maps = maps.clone();
        async move { maps.watch(&WatchParams::default(), "0").await.unwrap().count().await }
    });
    drop(cluster);
    // Streams end; a client that is still held can no longer write into the folder.
    tokio::time::timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert_eq!(kind(maps.create(&PostParams::default(), &map("b", "1")).await).0, 503);
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    assert_eq!(maps.get("a").await.unwrap(), one);
    // A watch goes on from the version it had before.
    maps.create(&PostParams::default(), &map("b", "1")).await.unwrap();
    let params = WatchParams::default().timeout(1);
    let events: Vec<_> = maps.watch(&params, &one.resource_version().unwrap()).await.unwrap().collect().await;
    assert_eq!(events.len(), 1);
    cluster.shutdown().await.unwrap();
}

/// The other half of the next test: a host that writes until it is killed.
#[tokio::test]
#[ignore = "a part of nothing_acknowledged_is_lost_by_a_kill, which runs it in a process of its own"]
async fn writer() {
    let Some(state) = std::env::var_os("ILAB_LOCAL_TEST_STATE") else { return };
    let cluster = open(Path::new(&state)).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    for n in 0.. {
        maps.create(&PostParams::default(), &map(&format!("m{n}"), &"x".repeat(n % 63))).await.unwrap();
        println!("written {n}");
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "state::writer", "--nocapture"])
        .env("ILAB_LOCAL_TEST_STATE", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut written: Vec<usize> = Vec::new();
    let mut lines =
        lines.map_while(Result::ok).filter_map(|line| line.split_once("written ")?.1.parse::<usize>().ok());
    written.extend(lines.by_ref().take(200));
    child.kill().unwrap();
    written.extend(lines);
    child.wait().unwrap();
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    for n in &written {
        maps.get(&format!("m{n}")).await.unwrap();
    }
    // At most the one that was on its way is there besides.
    let all = maps.list(&ListParams::default()).await.unwrap().items.len();
    assert!(written.len() >= 200 && all <= written.len() + 1, "{} {all}", written.len());
}

/// Of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
#[ignore = "measures memory, so it has to run alone"]
async fn ten_thousand_jobs_are_small() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());
    jobs.create(&PostParams::default(), &made(job("first"))).await.unwrap();
    let before = resident();
    for n in 0..10_000 {
        jobs.create(&PostParams::default(), &made(job(&format!("j{n}")))).await.unwrap();
    }
    let one = serde_json::to_vec(&jobs.get("j1").await.unwrap()).unwrap().len();
    let grown = resident() - before;
    println!("{grown} MiB for 10,000 jobs of {one} bytes");
    assert!(grown < 32, "{grown} MiB");
}

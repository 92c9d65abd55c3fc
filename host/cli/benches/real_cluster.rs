//! What a run costs against a real Kubernetes: the hand-off from one stage to the next, requests, memory, idle time; and, where
//! this machine can run a node, six Jobs that do nothing, beside a bare loop that creates and waits.
//!
//! `cargo bench -p ilab-host --bench real_cluster`; it prints a table for docs/performance.md.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/real/kit.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "the tests use more of it")]
mod kit;
#[path = "../tests/real/proxy.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "the tests use more of it")]
mod proxy;

use futures::StreamExt;
use ilab_test_cluster::{Cluster, PROBE_IMAGE};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kit::{Host, Place, object, seen};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt, conditions, watcher};
use proxy::{Action, Proxy};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const STEPS: u8 = 6;
/// Each gives five hand-offs. `ILAB_BENCH_RUNS` says another number.
const RUNS: usize = 20;
const IDLE: Duration = Duration::from_secs(60);
const FOREIGN_JOBS: usize = 1000;
const FOREIGN_PODS: usize = 5000;
const NODE_ROUNDS: usize = 3;

type Requests = Arc<Mutex<Vec<(Instant, String, String)>>>;

/// What runs of six steps cost.
#[derive(Default)]
struct Measured {
    hand_offs: Vec<Duration>,
    /// By stage, without the Lease's own clock.
    requests: Vec<usize>,
    /// The most resident memory of a host, in KiB.
    peak: u64,
}

impl Measured {
    fn row(mut self, what: &str) -> String {
        self.hand_offs.sort();
        let at = |part: f64| self.hand_offs[((self.hand_offs.len() - 1) as f64 * part) as usize];
        let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1000.0);
        self.requests.sort_unstable();
        let most = self.requests.last().copied().unwrap_or_default();
        let usual = self.requests[self.requests.len() / 2];
        format!(
            "| {what} | {} / {} of {} | {usual} (most {most}) | {:.1} MiB |",
            ms(at(0.5)),
            ms(at(0.99)),
            self.hand_offs.len(),
            self.peak as f64 / 1024.0
        )
    }
}

/// A number of `/proc/PID/status`, in KiB.
fn memory(id: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Processor time so far, in ticks of a hundredth of a second.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(vec![], |(_, rest)| rest.split(' ').collect());
    [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum()
}

/// When each step's Job was first seen to be complete, by a watch of our own.
async fn completions(jobs: Api<Job>, seen: Arc<Mutex<BTreeMap<String, Instant>>>) {
    let config = watcher::Config::default().labels("ilab.dev/run=one");
    let mut events = std::pin::pin!(watcher(jobs, config).default_backoff().applied_objects());
    while let Some(Ok(job)) = events.next().await {
        let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
        if conditions.into_iter().any(|c| c.type_ == "Complete" && c.status == "True") {
            let name = job.metadata.name.unwrap_or_default();
            seen.lock().expect("no panic").entry(name).or_insert_with(Instant::now);
        }
    }
}

async fn runs(place: Place<'static>, count: usize) -> Measured {
    let requests: Requests = Requests::default();
    let log = Arc::clone(&requests);
    let proxy = Proxy::new(place.client.clone(), move |method, path| {
        log.lock().expect("no panic").push((Instant::now(), method.to_owned(), path.to_owned()));
        Action::Pass
    })
    .await;
    let place = place.by(proxy.kubeconfig.clone());
    let mut measured = Measured::default();
    for _ in 0..count {
        requests.lock().expect("no panic").clear();
        let done = Arc::new(Mutex::new(BTreeMap::new()));
        let watch = kit::Background(tokio::spawn(completions(place.api(), Arc::clone(&done))));
        let kubelet = place.end_well_from(1);
        let mut host = place.start(&[]);
        let id = host.child.id().expect("it runs");
        host.stage("stage-succeeded", STEPS).await;
        measured.peak = measured.peak.max(memory(id, "VmHWM"));
        host.end().await.expect(0, &[]);
        drop((kubelet, watch));
        let done = done.lock().expect("no panic").clone();
        let requests = requests.lock().expect("no panic").clone();
        let created = |step: u8| {
            let path = format!("/jobs/one-step-{step}?");
            requests
                .iter()
                .position(|(_, method, at)| method == "PATCH" && at.contains(&path))
                .expect("it was applied")
        };
        for step in 1..STEPS {
            let ended = done[&format!("one-step-{step}")];
            measured.hand_offs.push(requests[created(step + 1)].0.saturating_duration_since(ended));
            let between = &requests[created(step)..created(step + 1)];
            measured.requests.push(between.iter().filter(|(_, _, path)| !path.contains("/leases/")).count());
        }
        Host::new(place.command(&["runs", "delete", "one"])).end().await.expect(0, &[]);
        // Its Jobs go with the record, when the garbage collector comes by.
        let jobs: Api<Job> = place.api();
        let ours = kube::api::ListParams::default().labels("ilab.dev/run=one");
        for job in jobs.list(&ours).await.expect("a list") {
            let (name, uid) = (job.metadata.name.expect("a name"), job.metadata.uid.expect("a uid"));
            await_condition(jobs.clone(), &name, conditions::is_deleted(&uid)).await.expect("it goes");
        }
    }
    measured
}

/// Jobs and pods of somebody else in the namespace.
async fn crowd(place: &Place<'static>) {
    let (jobs, pods): (Api<Job>, Api<Pod>) = (place.api(), place.api());
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "other:1"}]});
    let post = PostParams::default();
    let made = futures::stream::iter(0..FOREIGN_JOBS).map(|n| {
        // Suspended, so that the pods are counted here and not by a controller.
        let job = json!({"metadata": {"name": format!("other-{n}")}, "spec": {"suspend": true, "template": {"spec": spec}}});
        let (jobs, post) = (jobs.clone(), post.clone());
        async move { jobs.create(&post, &object(job)).await.map(drop) }
    });
    made.buffer_unordered(16).for_each(async |made| made.expect("created")).await;
    let made = futures::stream::iter(0..FOREIGN_PODS).map(|n| {
        let pod = json!({"metadata": {"name": format!("other-{n}")}, "spec": spec});
        let (pods, post) = (pods.clone(), post.clone());
        async move { pods.create(&post, &object(pod)).await.map(drop) }
    });
    made.buffer_unordered(16).for_each(async |made| made.expect("created")).await;
}

/// The share of a processor that a host takes while it waits for a stage.
async fn idle(place: &Place<'static>) -> (f64, u64) {
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;
    let pod = place.pod(1).await;
    place.kubelet.running(&pod).await.expect("it runs");
    let id = host.child.id().expect("it runs");
    // What the start still has to do is not idling; what is measured is time itself.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (begun, before) = (Instant::now(), ticks(id));
    tokio::time::sleep(IDLE).await;
    let share = (ticks(id) - before) as f64 / begun.elapsed().as_secs_f64();
    let resident = memory(id, "VmRSS");
    host.kill().await;
    (share, resident)
}

/// Six Jobs one after another, by the host and by the shortest loop there is.
async fn on_a_node(cluster: &'static Cluster) {
    let (mut by_host, mut bare) = (Duration::ZERO, Duration::ZERO);
    for round in 0..NODE_ROUNDS {
        let place = Place::new(cluster, "bench").await;
        let command = ["--steps-image", PROBE_IMAGE, "--steps-command", r#"["/probe", "echo", "done"]"#];
        let begun = Instant::now();
        place.start(&command).end().await.expect(0, &[]);
        by_host += begun.elapsed();
        let jobs: Api<Job> = place.api();
        let begun = Instant::now();
        for step in 1..=STEPS {
            let name = format!("bare-{step}");
            let job = json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": PROBE_IMAGE, "command": ["/probe", "echo", "done"]}],
            }}}});
            jobs.create(&PostParams::default(), &object(job)).await.expect("created");
            seen(jobs.clone(), &name, "the end", |job| {
                job.status.as_ref().is_some_and(|s| s.completion_time.is_some())
            })
            .await;
        }
        bare += begun.elapsed();
        let all = DeleteParams::background();
        jobs.delete_collection(&all, &kube::api::ListParams::default()).await.expect("deleted");
        eprintln!("round {}: host {by_host:?}, bare {bare:?} so far", round + 1);
    }
    let each = |all: Duration| all.as_secs_f64() / NODE_ROUNDS as f64;
    println!(
        "\nsix Jobs on a real node, mean of {NODE_ROUNDS}: host {:.2} s, bare loop {:.2} s, ratio {:.3}",
        each(by_host),
        each(bare),
        by_host.as_secs_f64() / bare.as_secs_f64()
    );
}

#[tokio::main]
async fn main() {
    let asked = std::env::var("ILAB_BENCH_RUNS").ok();
    let count = asked.map_or(RUNS, |text| text.parse().expect("ILAB_BENCH_RUNS is a number"));
    let place = Place::shared("bench").await;
    println!(
        "| a run of six stages | hand-off p50 / p99 | requests a stage | peak memory |\n| --- | --- | --- | --- |"
    );
    println!("{}", runs(place, count).await.row("alone"));
    let place = Place::shared("crowd").await;
    eprintln!("creating {FOREIGN_JOBS} Jobs and {FOREIGN_PODS} pods");
    crowd(&place).await;
    println!("{}", runs(place, count).await.row("beside 1,000 Jobs and 5,000 pods"));
    let (share, resident) = idle(&Place::shared("idle").await).await;
    println!(
        "\nwaiting for a stage: {share:.3} % of a processor, {:.1} MiB resident",
        resident as f64 / 1024.0
    );
    match Cluster::node_possible() {
        Ok(()) => on_a_node(Cluster::shared_with_node().await.expect("a node")).await,
        Err(reason) => eprintln!("no figures of a node: {reason}"),
    }
}

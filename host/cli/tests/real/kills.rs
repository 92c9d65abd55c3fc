//! A host that is killed at any of its requests, before the server has it or after the server has done it.

use crate::common::Random;
use crate::kit::{Background, Host, Place};
use crate::proxy::{Action, Proxy};
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Runs side by side: most of a stage's time goes by in the Job controller, which gathers news for a second.
const LANES: usize = 10;
/// How many hosts are killed altogether, unless the environment says another number: `make e2e` says 200.
const KILLS: usize = 40;
/// A host gets no further than this many requests: the setting up takes about twenty, a stage ten.
const FURTHEST: u64 = 45;

/// When the next host is stopped.
struct Doom {
    /// Requests until then.
    left: u64,
    /// Whether the server still gets the last one.
    after: bool,
}

type Uids = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

/// Every Job of the run that there ever was.
async fn every_job(jobs: Api<Job>, uids: Uids) {
    let config = watcher::Config::default().labels("ilab.dev/run=one");
    let mut events = std::pin::pin!(watcher(jobs, config).default_backoff().touched_objects());
    while let Some(Ok(job)) = events.next().await {
        let (name, uid) = (job.metadata.name.unwrap(), job.metadata.uid.unwrap());
        uids.lock().unwrap().entry(name).or_default().insert(uid);
    }
}

/// Name, state, attempts, outputs.
type StageResult = (String, Value, Value, Value);

/// What a run hands on: state and outputs of its stages, without times and identities.
async fn result(place: &Place<'_>) -> Vec<StageResult> {
    let record = place.record().await;
    let stages = record["stages"].as_object().unwrap();
    let of = |stage: &Value, key: &str| stage.get(key).cloned().unwrap_or_default();
    stages
        .iter()
        .map(|(name, s)| (name.clone(), of(s, "state"), of(s, "attempt"), of(s, "outputs")))
        .collect()
}

/// Kills hosts until the run is done. How many that were.
async fn kill_to_the_end(place: Place<'static>, random: &mut Random) -> (usize, Place<'static>) {
    let doom = Arc::new(Mutex::new(Doom { left: 0, after: false }));
    let rule = Arc::clone(&doom);
    let mut proxy = Proxy::new(place.client.clone(), move |_, _| {
        let mut doom = rule.lock().unwrap();
        if doom.left == 0 {
            // It is dead and does not know yet.
            return Action::Cut;
        }
        doom.left -= 1;
        match (doom.left, doom.after) {
            (0, true) => Action::StopAfter,
            (0, false) => Action::StopBefore,
            _ => Action::Pass,
        }
    })
    .await;
    let place = place.by(proxy.kubeconfig.clone());
    let mut kills = 0;
    loop {
        *doom.lock().unwrap() = Doom { left: 1 + random.below(FURTHEST), after: random.below(2) == 0 };
        let host: Host = place.start(&["--resume-if-started", "--preflight", "skip"]);
        let ended = host.end_or_kill(async { proxy.stopped.recv().await.unwrap() }).await;
        match ended {
            None => kills += 1,
            Some(ended) => {
                ended.expect(0, &[]);
                return (kills, place);
            }
        }
    }
}

#[tokio::test]
async fn b13_hosts_that_are_killed_at_any_request_create_every_object_once() {
    let undisturbed = Place::shared("undisturbed").await;
    let kubelet = undisturbed.end_well_from(1);
    undisturbed.start(&[]).end().await.expect(0, &[]);
    drop(kubelet);
    let (expected, left) = (result(&undisturbed).await, undisturbed.left().await);
    assert_eq!(expected.len(), 6);

    let asked =
        std::env::var("ILAB_TEST_KILLS").ok().map(|text| text.parse().expect("ILAB_TEST_KILLS is a number"));
    let each = asked.unwrap_or(KILLS).div_ceil(LANES);
    let random = |lane: usize| Random(20_261_128 + lane as u64);
    let lanes = (0..LANES).map(|lane| lane_of_kills(random(lane), each, &expected, &left));
    futures::future::join_all(lanes).await;
}

/// Runs whose hosts are killed, until there were enough of them.
async fn lane_of_kills(mut random: Random, enough: usize, expected: &[StageResult], left: &[String]) {
    let mut kills = 0;
    while kills < enough {
        let place = Place::shared("killed").await;
        let uids = Uids::default();
        let _watch = Background(tokio::spawn(every_job(place.api(), Arc::clone(&uids))));
        let _kubelet = place.end_well_from(1);
        let (more, place) = kill_to_the_end(place, &mut random).await;
        kills += more;
        let kubeconfig = place.cluster.kubeconfig().to_owned();
        let place = place.by(kubeconfig);
        assert_eq!(result(&place).await, expected, "after {more} kills");
        assert_eq!(place.left().await, left, "after {more} kills");
        let uids = uids.lock().unwrap().clone();
        assert_eq!(uids.len(), 6, "{uids:?}");
        assert!(uids.values().all(|all| all.len() == 1), "made more than once: {uids:?}");
    }
}

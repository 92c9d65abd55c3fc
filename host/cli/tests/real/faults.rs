//! An API server that is busy, dies, forgets, or says no.

use crate::kit::Place;
use crate::proxy::{Action, Proxy};
use ilab_test_cluster::Cluster;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn says(event: &Value, what: &str, why: &str) -> bool {
    event["what"].as_str().unwrap().contains(what) && event["why"].as_str().unwrap().contains(why)
}

#[tokio::test]
async fn b9_passing_errors_are_waited_out() {
    let place = Place::shared("busy").await;
    let (mut busy, mut broken, mut cut) = (2, 2, 2);
    let proxy = Proxy::new(place.client.clone(), move |method, path| {
        let once = |left: &mut u32, action| {
            if *left == 0 {
                Action::Pass
            } else {
                *left -= 1;
                action
            }
        };
        match (method, path) {
            ("PATCH", path) if path.contains("/jobs/one-step-1") => {
                once(&mut busy, Action::Refuse(429, "too many requests", Some(1)))
            }
            ("PUT", path) if path.contains("/configmaps/ilab-run-one") => {
                once(&mut broken, Action::Refuse(503, "etcd has no leader", None))
            }
            ("GET", path) if path.contains("/jobs?") && path.contains("watch=true") => {
                once(&mut cut, Action::Cut)
            }
            _ => Action::Pass,
        }
    })
    .await;
    let place = place.by(proxy.kubeconfig.clone());
    let mut host = place.start(&[]);
    host.event("retrying", |e| says(e, "run", "503")).await;
    let busy = host.event("retrying", |e| says(e, "apply Job/one-step-1", "429")).await;
    assert!(busy["after-seconds"].as_f64().unwrap() >= 1.0, "it was asked for a second: {busy}");
    host.event("retrying", |e| says(e, "watch Job/one-step-1", "does not answer")).await;
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
}

#[tokio::test]
async fn b8_a_permanent_error_ends_the_wait() {
    let place = Place::shared("denied").await;
    const MESSAGE: &str =
        "jobs.batch \"one-step-1\" is forbidden: User \"jane\" cannot watch resource \"jobs\"";
    let proxy = Proxy::new(place.client.clone(), |_, path| {
        let watch = path.contains("/jobs?") && path.contains("watch=true");
        if watch { Action::Refuse(403, MESSAGE, None) } else { Action::Pass }
    })
    .await;
    let place = place.by(proxy.kubeconfig.clone());
    let ended = place.start(&[]).end().await;
    ended.expect(4, &["watch Job/one-step-1", MESSAGE, "ilab-host rbac"]);
}

#[tokio::test]
async fn b9_an_api_server_that_died_and_forgot_is_waited_for() {
    let cluster = Cluster::control_plane().await.unwrap();
    let place = Place::new(&cluster, "died").await;
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;
    place.pod(1).await;
    cluster.kill_api_server().unwrap();
    host.event("retrying", |e| says(e, "watch Job/one-step-1", "does not answer")).await;
    cluster.compact_etcd().await.unwrap();
    cluster.start_api_server().await.unwrap();
    host.event("retrying", |e| says(e, "watch Job/one-step-1", "410")).await;
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
    host.interrupt().await.expect(130, &[]);
}

#[tokio::test]
async fn an_outage_in_the_middle_of_a_request_creates_nothing_twice() {
    let place = Place::shared("outage").await;
    let out = Arc::new(AtomicBool::new(false));
    let (down, mut done) = (Arc::clone(&out), false);
    let mut proxy = Proxy::new(place.client.clone(), move |method, path| {
        if method == "PATCH" && path.contains("/jobs/one-step-1") && !done {
            done = true;
            return Action::StopAfter;
        }
        if down.load(Ordering::Relaxed) { Action::Cut } else { Action::Pass }
    })
    .await;
    let place = place.by(proxy.kubeconfig.clone());
    let host = place.start(&[]);
    proxy.stopped.recv().await.unwrap();
    let first = place.job(1, "created", |_| true).await.metadata.uid;
    host.kill().await;
    out.store(true, Ordering::Relaxed);
    place.resume(&[]).end().await.expect(4, &["does not answer"]);
    out.store(false, Ordering::Relaxed);
    let _kubelet = place.end_well_from(1);
    let mut host = place.resume(&[]);
    host.stage("stage-succeeded", 1).await;
    assert_eq!(place.job(1, "there", |_| true).await.metadata.uid, first);
}

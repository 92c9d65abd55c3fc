//! Stages that fail, and clusters that do.

mod kit;

use ilab_cluster::ClusterError;
use ilab_core::record::StageState;
use ilab_engine::*;
use kit::fake::{Fake, Fault, status};
use kit::*;
use serde_json::json;
use std::time::Duration;

fn one() -> RunRequest {
    request(vec![offer("fetch", &[])])
}

fn waiting(reason: &str) -> serde_json::Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "main", "image": "reg/i:1", "restartCount": 0, "state": {"waiting": {"reason": reason, "message": "manifest unknown"}}}]})
}

#[tokio::test]
async fn b6_b7_a_failed_stage_is_told_with_all_that_helps() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.log("p", "main", &["loading", "no such file: /data/x"], true);
    let ended = json!([{"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]);
    fake.pod("one-fetch", "p", json!({"phase": "Failed", "containerStatuses": ended}));
    // The first pod failed; the Job tries again, so the stage goes on.
    fake.set_status("jobs/one-fetch", json!({"failed": 1, "active": 1}));
    fake.until("the trouble", |_| {
        run.events.lock().unwrap().iter().any(|e| matches!(e, Event::Trouble { .. })).then_some(())
    })
    .await;
    let pod = fake.get("pods/p").unwrap()["metadata"]["uid"].clone();
    fake.put(
        "/api/v1/namespaces/ns/events/e",
        json!({"metadata": {"name": "e"}, "involvedObject": {"uid": pod, "kind": "Pod", "name": "p"}, "type": "Warning", "reason": "BackOff", "message": "Back-off"}),
    );
    fake.set_status("jobs/one-fetch", value(FAILED));
    let (error, events) = run.failure().await;
    let EngineError::StageFailed(failure) = &error else { panic!("{error}") };
    assert!(failure.reason.contains("exit code 3"), "{}", failure.reason);
    assert_eq!(
        (failure.pod.as_deref(), failure.container.as_deref(), failure.exit_code),
        (Some("p"), Some("main"), Some(3))
    );
    assert_eq!(failure.last_lines, ["loading", "no such file: /data/x"]);
    assert_eq!(failure.events, ["Pod/p BackOff: Back-off"]);
    assert_eq!(failure.resume, "ilab-host run --resume one");
    assert!(events.iter().any(|e| matches!(e, Event::StageFailed { .. })));
    assert_eq!(record(&fake).stages[&stage("fetch")].state, StageState::Failed);
    assert!(fake.get("jobs/one-fetch").is_some(), "it is left for people to look at");
}

#[tokio::test]
async fn b12_trouble_is_shown_while_pending_and_fails_the_stage_in_the_end() {
    let fake = Fake::new();
    let mut asked = one();
    asked.options.pending_timeout = Some(Duration::from_millis(300));
    let run = start(&fake, asked);
    appears(&fake, "jobs/one-fetch").await;
    for reason in ["ErrImagePull", "ImagePullBackOff", "ErrImagePull"] {
        fake.pod("one-fetch", "p", waiting(reason));
    }
    let (error, events) = run.failure().await;
    let EngineError::StageFailed(failure) = &error else { panic!("{error}") };
    assert!(failure.reason.contains("reg/i:1 cannot be pulled"), "{}", failure.reason);
    assert!(failure.hint.as_ref().unwrap().contains("image's name"));
    let told = events.iter().filter(|e| matches!(e, Event::Trouble { .. })).count();
    assert_eq!(told, 1, "once a change: {events:#?}");
}

#[tokio::test]
async fn trouble_that_passes_is_over_and_the_stage_succeeds() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.pod("one-fetch", "one-fetch-pod", waiting("ImagePullBackOff"));
    let seen = |wanted: fn(&Event) -> bool| {
        let events = run.events.clone();
        let fake = fake.clone();
        async move { fake.until("it", |_| events.lock().unwrap().iter().any(wanted).then_some(())).await }
    };
    // The events' reader has to be waited for, and the fake only wakes for requests: it is nudged.
    let nudge = tokio::spawn({
        let fake = fake.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                fake.live();
            }
        }
    });
    seen(|e| matches!(e, Event::Trouble { .. })).await;
    fake.pod("one-fetch", "one-fetch-pod", json!({"phase": "Running"}));
    seen(|e| matches!(e, Event::TroubleOver { .. })).await;
    nudge.abort();
    job_succeeds(&fake, "one-fetch", 1);
    run.end().await.0.unwrap();
}

#[tokio::test]
async fn b12_quota_is_found_in_the_events_of_a_job_without_pods() {
    let fake = Fake::new();
    let mut asked = one();
    asked.options.pending_timeout = Some(Duration::from_millis(200));
    let run = start(&fake, asked);
    appears(&fake, "jobs/one-fetch").await;
    let uid = fake.get("jobs/one-fetch").unwrap()["metadata"]["uid"].clone();
    fake.put(
        "/api/v1/namespaces/ns/events/e",
        json!({"metadata": {"name": "e"}, "involvedObject": {"uid": uid}, "type": "Warning", "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota: gpus"}),
    );
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("exceeded quota: gpus"), "{error}");
}

#[tokio::test]
async fn b12_a_stage_whose_object_is_deleted_fails_instead_of_waiting_for_ever() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.remove("jobs/one-fetch");
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("somebody deleted it"), "{error}");
}

#[tokio::test]
async fn an_object_that_went_after_it_was_done_counts_as_done() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    pod_succeeds(&fake, "one-fetch", &[r#"{"score": 1}"#]);
    // Both within one moment, as with a time to live of 0.
    fake.set_status("jobs/one-fetch", value(COMPLETE));
    fake.remove("jobs/one-fetch");
    run.end().await.0.unwrap();
}

#[tokio::test]
async fn a_stage_that_takes_too_long_fails() {
    let fake = Fake::new();
    let run = start_with(&fake, one(), TestStages { timeout: Some(1), ..TestStages::default() });
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("not done in the time it may take"), "{error}");
}

#[tokio::test]
async fn b8_a_watch_that_is_forbidden_ends_the_run_at_once() {
    let fake = Fake::new();
    fake.fail(
        "GET",
        "jobs?",
        9,
        Fault::Answer(403, vec![], status(403, "Forbidden", "jobs is forbidden: cannot watch")),
    );
    let (error, _) = start(&fake, one()).failure().await;
    assert!(matches!(&error, EngineError::Cluster(e) if e.code() == Some(403)), "{error}");
    assert_eq!(record(&fake).stages[&stage("fetch")].state, StageState::Running, "it may well go on");
}

#[tokio::test]
async fn b9_cut_connections_and_a_busy_server_are_survived_and_told() {
    let fake = Fake::new();
    fake.fail("PATCH", "jobs", 1, Fault::Answer(429, vec![("retry-after", "1".into())], "busy".into()));
    fake.fail("GET", "jobs?", 2, Fault::Refused);
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.cut();
    fake.compact();
    job_succeeds(&fake, "one-fetch", 1);
    fake.cut();
    let (result, events) = run.end().await;
    result.unwrap();
    assert!(events.iter().filter(|e| matches!(e, Event::Retrying { .. })).count() >= 3, "{events:#?}");
    assert_eq!(fake.created("jobs/one-fetch"), 1);
}

#[tokio::test]
async fn b13_a_stale_object_of_somebody_else_is_refused_and_not_touched() {
    let fake = Fake::new();
    let path = "/apis/batch/v1/namespaces/ns/jobs/one-fetch";
    let stale =
        fake.put(path, json!({"kind": "Job", "metadata": {"name": "one-fetch"}, "status": value(COMPLETE)}));
    let (error, _) = start(&fake, one()).failure().await;
    assert!(
        matches!(&error, EngineError::Apply { source, .. } if matches!(**source, ClusterError::Foreign { .. })),
        "{error}"
    );
    assert_eq!(fake.objects()[path], stale);
}

#[tokio::test]
async fn b10_a_pod_without_statuses_is_no_crash() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    for bare in [json!(null), json!({}), json!({"phase": "Running"}), json!({"containerStatuses": null})] {
        fake.pod("one-fetch", "bare", bare);
    }
    job_succeeds(&fake, "one-fetch", 1);
    run.end().await.0.unwrap();
}

#[tokio::test]
async fn b25_no_pod_and_no_json_are_clear_failures() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.set_status("jobs/one-fetch", value(COMPLETE));
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("its outputs") || error.to_string().contains("has no pod"), "{error}");
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    pod_succeeds(&fake, "one-fetch", &["not json at all"]);
    fake.set_status("jobs/one-fetch", value(COMPLETE));
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("its outputs could not be collected"), "{error}");
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    pod_succeeds(&fake, "one-fetch", &[r#"{"score": "high"}"#]);
    fake.set_status("jobs/one-fetch", value(COMPLETE));
    let (error, _) = run.failure().await;
    assert!(error.to_string().contains("output score"), "{error}");
}

#[tokio::test]
async fn b24_the_pod_that_succeeded_is_read_not_an_old_one_of_the_same_label() {
    let fake = Fake::new();
    let run = start(&fake, one());
    appears(&fake, "jobs/one-fetch").await;
    fake.put(
        "/api/v1/namespaces/ns/pods/aaa",
        json!({"metadata": {"name": "aaa", "labels": {"batch.kubernetes.io/job-name": "one-fetch"}}, "status": {"phase": "Succeeded"}}),
    );
    fake.log("aaa", "main", &[r#"{"score": 99}"#], true);
    fake.pod("one-fetch", "bbb", json!({"phase": "Failed"}));
    job_succeeds(&fake, "one-fetch", 7);
    let Outcome::Finished { outputs } = run.end().await.0.unwrap() else { panic!() };
    assert_eq!(outputs[&stage("fetch")]["score"], 7);
}

//! Hosts that stop, die and come back.

mod kit;

use ilab_cluster::{Cluster, ClusterError};
use ilab_core::names::RunId;
use ilab_core::record::StageState;
use ilab_engine::*;
use kit::fake::Fake;
use kit::*;
use serde_json::json;

fn three() -> RunRequest {
    request(vec![offer("fetch", &[]), offer("train", &["fetch"]), offer("eval", &["train"])])
}

fn resumed(mut request: RunRequest) -> RunRequest {
    request.options.resume = Resume::Always;
    request
}

#[tokio::test]
async fn a_stopped_host_detaches_and_a_later_one_takes_the_run_up_again() {
    let fake = Fake::new();
    let run = start(&fake, three());
    appears(&fake, "jobs/one-fetch").await;
    fake.until("the watch", |f| (f.count("jobs?") > 0).then_some(())).await;
    run.stop.cancel();
    let (result, events) = run.end().await;
    assert_eq!(
        result.unwrap(),
        Outcome::Detached { running: vec![stage("fetch")], resume: "ilab-host run --resume one".into() }
    );
    assert!(matches!(events.last(), Some(Event::Detached { .. })));
    assert_eq!(fake.count("DELETE"), 0);
    assert_eq!(fake.get("leases/ilab-run-one").unwrap()["spec"]["holderIdentity"], "");
    let (error, _) = start(&fake, three()).failure().await;
    assert!(error.hint().unwrap().contains("--resume one"), "{error}");
    // What ended while nobody watched is seen all the same.
    job_succeeds(&fake, "one-fetch", 1);
    let _controller = controller(&fake);
    let Outcome::Finished { outputs } = start(&fake, resumed(three())).end().await.0.unwrap() else {
        panic!()
    };
    assert_eq!(outputs[&stage("eval")]["score"], 3);
    assert_eq!(fake.created("jobs/one-fetch"), 1);
}

/// The host dies at every request it makes, once before and once after the request is carried out; each time a second
/// host ends the run. Every object is created exactly once and the outputs are the same.
#[tokio::test]
async fn a_host_that_dies_anywhere_costs_nothing() {
    let mut points = 0;
    for done in [false, true] {
        for at in 1.. {
            let fake = Fake::new();
            let ends = controller(&fake);
            fake.die_at(at, done);
            let mut run = start(&fake, three());
            let alive = tokio::select! {
                _ = fake.until("its death", |f| f.died().then_some(())) => false,
                _ = &mut run.task => true,
            };
            if alive {
                break;
            }
            run.task.abort();
            let _ = run.task.await;
            fake.live();
            points += 1;
            // Where it died before anything was written down, there is nothing to resume.
            let begun = fake.get("configmaps/ilab-run-one").is_some();
            let again = if begun { resumed(three()) } else { three() };
            let (result, events) = start(&fake, again).end().await;
            let Ok(Outcome::Finished { outputs }) = result else {
                panic!("at {at}, {done}: {result:?} {events:#?}")
            };
            assert_eq!(outputs[&stage("eval")]["score"], 3, "at {at}, {done}");
            for name in ["fetch", "train", "eval"] {
                assert_eq!(fake.created(&format!("jobs/one-{name}")), 1, "{name}, at {at}, {done}");
                assert_eq!(
                    fake.created(&format!("configmaps/one-{name}-scripts")),
                    1,
                    "{name}, at {at}, {done}"
                );
            }
            assert_eq!(fake.count("DELETE"), 0);
            ends.abort();
        }
    }
    assert!(points >= 60, "only {points} points");
    eprintln!("{points} points");
}

#[tokio::test]
async fn a_finished_run_is_not_run_again_by_resuming_it() {
    let fake = Fake::new();
    let ends = controller(&fake);
    start(&fake, three()).end().await.0.unwrap();
    ends.abort();
    let before = fake.objects().len();
    let (result, events) = start(&fake, resumed(three())).end().await;
    result.unwrap();
    assert_eq!(events.iter().filter(|e| matches!(e, Event::StageReused { .. })).count(), 3);
    assert_eq!(fake.objects().len(), before);
    assert_eq!(fake.created("jobs/one-eval"), 1);
}

#[tokio::test]
async fn a_failed_stage_is_tried_again_with_new_parameters_and_finished_ones_stay() {
    let fake = Fake::new();
    let run = start(&fake, three());
    appears(&fake, "jobs/one-fetch").await;
    job_succeeds(&fake, "one-fetch", 1);
    appears(&fake, "jobs/one-train").await;
    fake.set_status("jobs/one-train", value(FAILED));
    run.failure().await;
    let old = fake.get("jobs/one-train").unwrap()["metadata"]["uid"].clone();
    let mut again = resumed(three());
    again.parameters.insert(stage("train"), parameters(5));
    let _controller = controller(&fake);
    let Outcome::Finished { outputs } = start(&fake, again).end().await.0.unwrap() else { panic!() };
    assert_eq!(outputs[&stage("train")]["score"], 6);
    assert_eq!(outputs[&stage("eval")]["score"], 7);
    assert_ne!(fake.get("jobs/one-train").unwrap()["metadata"]["uid"], old);
    let record = record(&fake);
    assert_eq!((record.stages[&stage("train")].attempt, record.stages[&stage("fetch")].attempt), (2, 1));
    assert_eq!(fake.created("jobs/one-fetch"), 1);
}

#[tokio::test]
async fn other_parameters_for_what_has_succeeded_or_runs_are_refused() {
    let fake = Fake::new();
    let run = start(&fake, three());
    appears(&fake, "jobs/one-fetch").await;
    fake.until("the watch", |f| (f.count("jobs?") > 0).then_some(())).await;
    run.stop.cancel();
    run.end().await.0.unwrap();
    let mut again = resumed(three());
    again.parameters.insert(stage("fetch"), parameters(2));
    let (error, _) = start(&fake, again).failure().await;
    assert!(error.to_string().contains("is running with other parameters: epochs"), "{error}");
}

#[tokio::test]
async fn an_object_that_went_while_nobody_watched_is_a_failure_and_not_made_again() {
    let fake = Fake::new();
    let run = start(&fake, three());
    appears(&fake, "jobs/one-fetch").await;
    fake.until("the watch", |f| (f.count("jobs?") > 0).then_some(())).await;
    run.stop.cancel();
    run.end().await.0.unwrap();
    fake.remove("jobs/one-fetch");
    let (error, _) = start(&fake, resumed(three())).failure().await;
    assert!(error.to_string().contains("somebody deleted it"), "{error}");
    assert_eq!(fake.created("jobs/one-fetch"), 1);
    assert_eq!(record(&fake).stages[&stage("fetch")].state, StageState::Failed);
}

#[tokio::test]
async fn two_hosts_on_one_run_are_one_too_many() {
    let fake = Fake::new();
    let run = start(&fake, three());
    appears(&fake, "jobs/one-fetch").await;
    run.stop.cancel();
    run.end().await.0.unwrap();
    let other = Cluster::new(fake.client(), "ns");
    let lease = other.hold_as(&RunId::new("one").unwrap(), None, "another-host").await.unwrap();
    let (error, _) = start(&fake, resumed(three())).failure().await;
    assert!(matches!(&error, EngineError::Cluster(ClusterError::Held { .. })), "{error}");
    assert!(error.to_string().contains("another-host"), "{error}");
    lease.release().await.unwrap();
}

#[tokio::test]
async fn there_must_be_something_to_resume() {
    let fake = Fake::new();
    let (error, _) = start(&fake, resumed(three())).failure().await;
    assert_eq!(error.to_string(), "there is no run one in namespace ns to resume");
}

#[tokio::test]
async fn a_record_of_a_newer_host_is_refused_and_left_alone() {
    let fake = Fake::new();
    let path = "/api/v1/namespaces/ns/configmaps/ilab-run-one";
    let newer = fake.put(path, json!({"metadata": {"name": "ilab-run-one"}, "data": {"record.json": r#"{"format": 9, "hostVersion": "7.0.0"}"#}}));
    let (error, _) = start(&fake, resumed(three())).failure().await;
    assert!(matches!(error, EngineError::Record { .. }), "{error}");
    assert_eq!(fake.objects()[path], newer);
}

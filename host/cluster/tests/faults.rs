//! What the client does when the API server is busy, forgetful, out of reach, or says no.

mod fake;

use fake::{Fake, Fault, status};
use futures::StreamExt;
use ilab_cluster::{
    ApplyOptions, Cluster, ClusterError, Deleted, LogRequest, Observed, Propagation, RecordStore, Retrying,
};
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, RunId};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const JOBS: &str = "/apis/batch/v1/namespaces/ns/jobs";

fn job() -> ObjectRef {
    ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() }
}

fn manifest() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}})
}

fn cluster(fake: &Fake) -> (Cluster, Arc<Mutex<Vec<Retrying>>>) {
    let told: Arc<Mutex<Vec<Retrying>>> = Arc::default();
    let tell = Arc::clone(&told);
    let cluster = Cluster::new(fake.client(), "ns").observed(move |retry| tell.lock().unwrap().push(retry));
    (cluster, told)
}

async fn next<T>(stream: &mut (impl futures::Stream<Item = T> + Unpin)) -> T {
    timeout(Duration::from_secs(10), stream.next()).await.expect("in time").expect("an item")
}

#[tokio::test]
async fn b8_a_permanent_error_ends_a_watch_at_once_and_a_call_too() {
    for code in [401, 403, 422] {
        let fake = Fake::new();
        fake.fail("GET", "jobs", 5, Fault::Answer(code, vec![], status(code, "No", "not for you")));
        let (cluster, told) = cluster(&fake);
        let mut watch = Box::pin(cluster.watch(&job(), None));
        let error = next(&mut watch).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert!(watch.next().await.is_none());
        // Nor is it asked a second time: whether there are other credentials is known to who sends the requests.
        assert_eq!((told.lock().unwrap().len(), fake.requests().len()), (0, 1), "{code}");
        assert_eq!(cluster.get(&job()).await.unwrap_err().code(), Some(code));
    }
}

#[tokio::test]
async fn b9_no_connection_is_survived_and_told() {
    let fake = Fake::new();
    fake.put(&format!("{JOBS}/x"), manifest());
    fake.fail("GET", "jobs?", 3, Fault::Refused);
    let (cluster, told) = cluster(&fake);
    let mut watch = Box::pin(cluster.watch(&job(), None));
    assert!(matches!(next(&mut watch).await.unwrap(), Observed::Present(_)));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 3);
    assert!(told[0].why.contains("does not answer"), "{:?}", told[0]);
}

#[tokio::test]
async fn a_cut_watch_goes_on_where_it_was_and_repeats_nothing() {
    let fake = Fake::new();
    fake.put(&format!("{JOBS}/x"), manifest());
    let (cluster, _) = cluster(&fake);
    let mut watch = Box::pin(cluster.watch(&job(), None));
    next(&mut watch).await.unwrap();
    for n in 0..5 {
        fake.set_status("jobs/x", json!({"n": n}));
        let seen = next(&mut watch).await.unwrap();
        assert_eq!(seen.present().unwrap()["status"]["n"], n);
        fake.cut();
    }
    assert_eq!(
        fake.requests().iter().filter(|r| r.contains("jobs?") && !r.contains("watch=true")).count(),
        1,
        "one list"
    );
}

#[tokio::test]
async fn a_forgotten_version_is_listed_anew() {
    let fake = Fake::new();
    fake.put(&format!("{JOBS}/x"), manifest());
    let (cluster, told) = cluster(&fake);
    let mut watch = Box::pin(cluster.watch(&job(), None));
    next(&mut watch).await.unwrap();
    // While nobody watches, the object changes and the server forgets.
    fake.fail("GET", "watch=true", 1, Fault::Refused);
    fake.cut();
    fake.set_status("jobs/x", json!({"n": 7}));
    fake.compact();
    let seen = next(&mut watch).await.unwrap();
    assert_eq!(seen.present().unwrap()["status"]["n"], 7);
    assert!(told.lock().unwrap().iter().any(|r| r.why.contains("too old")), "{told:?}");
}

#[tokio::test]
async fn b12_a_deleted_object_is_seen_with_its_last_state() {
    let fake = Fake::new();
    fake.put(&format!("{JOBS}/x"), manifest());
    let (cluster, _) = cluster(&fake);
    let mut watch = Box::pin(cluster.watch(&job(), None));
    next(&mut watch).await.unwrap();
    fake.set_status("jobs/x", json!({"done": true}));
    next(&mut watch).await.unwrap();
    fake.remove("jobs/x");
    let Observed::Absent { last: Some(last) } = next(&mut watch).await.unwrap() else { panic!() };
    assert_eq!(last["status"]["done"], true);
}

#[tokio::test]
async fn retry_after_is_honoured_and_plain_text_is_understood() {
    let fake = Fake::new();
    let busy = Fault::Answer(
        429,
        vec![("retry-after", "1".into())],
        "Too many requests, please try again later.".into(),
    );
    fake.fail("PATCH", "jobs", 1, busy);
    let (cluster, told) = cluster(&fake);
    let begun = Instant::now();
    let applied = cluster.apply(&manifest(), &ApplyOptions::default()).await.unwrap();
    assert!(applied.created);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let told = told.lock().unwrap();
    assert!(told[0].after >= Duration::from_secs(1) && told[0].why.contains("try again later"), "{told:?}");
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_until_patience_ends() {
    let fake = Fake::new();
    fake.fail(
        "PATCH",
        "jobs",
        2,
        Fault::Answer(500, vec![], status(500, "InternalError", "etcdserver: leader changed")),
    );
    let (cluster, _) = cluster(&fake);
    cluster.apply(&manifest(), &ApplyOptions::default()).await.unwrap();
    assert_eq!(fake.created("jobs/x"), 1);
    fake.fail("GET", "jobs/x", usize::MAX, Fault::Refused);
    let error = cluster.patience(Duration::from_millis(500)).get(&job()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }));
}

#[tokio::test]
async fn b13_an_object_of_others_is_not_touched() {
    let fake = Fake::new();
    let theirs = fake.put(&format!("{JOBS}/x"), manifest());
    let (cluster, _) = cluster(&fake);
    let options = ApplyOptions { run: Some(RunId::new("one").unwrap()), ..ApplyOptions::default() };
    let error = cluster.apply(&manifest(), &options).await.unwrap_err();
    assert!(matches!(error, ClusterError::Foreign { .. }), "{error}");
    assert_eq!(fake.get("jobs/x").unwrap(), theirs);
    assert_eq!(fake.count("PATCH"), 0);
}

#[tokio::test]
async fn unknown_kinds_say_what_to_install() {
    let fake = Fake::new();
    let (cluster, _) = cluster(&fake);
    let train = json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "t"}});
    let error = cluster.apply(&train, &ApplyOptions::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster does not know PyTorchJob (kubeflow.org/v1): install the Kubeflow training operator v1.9"
    );
}

#[tokio::test]
async fn only_the_object_that_was_meant_is_deleted() {
    let fake = Fake::new();
    fake.put(&format!("{JOBS}/x"), manifest());
    let (cluster, _) = cluster(&fake);
    let wrong = ObjectUid("another".into());
    assert_eq!(cluster.delete(&job(), &wrong, Propagation::Foreground).await.unwrap(), Deleted::Another);
    let uid = ObjectUid(fake.get("jobs/x").unwrap()["metadata"]["uid"].as_str().unwrap().into());
    let deleted = cluster.delete_and_wait(&job(), &uid, Duration::from_secs(5)).await.unwrap();
    assert_eq!(deleted, Deleted::Accepted);
    assert_eq!(cluster.delete(&job(), &uid, Propagation::Background).await.unwrap(), Deleted::Absent);
}

#[tokio::test]
async fn a_log_that_is_cut_loses_no_line_and_repeats_none() {
    let fake = Fake::new();
    fake.put("/api/v1/namespaces/ns/pods/p", json!({"metadata": {"name": "p"}}));
    let lines: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    fake.log("p", "c", &lines, true);
    fake.cut_log_at("p", "c", 777);
    let (cluster, told) = cluster(&fake);
    let request =
        LogRequest { pod: "p".into(), container: "c".into(), follow: true, ..LogRequest::default() };
    let read: Vec<_> = cluster.logs(request).map(|line| line.unwrap().text).collect().await;
    assert_eq!(read, lines);
    assert_eq!(told.lock().unwrap().len(), 1);
    let end = cluster.log_end("p", "c", 16).await.unwrap();
    assert_eq!(end, "line 48\nline 49\n");
}

#[tokio::test]
async fn a_server_without_times_in_its_logs_is_asked_without() {
    let fake = Fake::new();
    fake.put("/api/v1/namespaces/ns/pods/p", json!({"metadata": {"name": "p"}}));
    fake.log("p", "c", &["one", "two"], true);
    fake.fail(
        "GET",
        "timestamps=true",
        1,
        Fault::Answer(400, vec![], status(400, "BadRequest", "timestamps is not possible here")),
    );
    let (cluster, told) = cluster(&fake);
    for _ in 0..2 {
        assert_eq!(cluster.log_end("p", "c", 100).await.unwrap(), "one\ntwo\n");
    }
    assert_eq!((fake.count("timestamps"), fake.count("/log")), (1, 3), "it is remembered");
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn records_are_replaced_only_by_who_read_them_last() {
    let fake = Fake::new();
    let (cluster, _) = cluster(&fake);
    let store = RecordStore::new(cluster);
    let run = RunId::new("one").unwrap();
    assert_eq!(store.load(&run).await.unwrap(), None);
    let first = store.create(&run, "1").await.unwrap();
    assert!(matches!(store.create(&run, "other").await, Err(ClusterError::RecordChanged { .. })));
    let second = store.save(&first, "2").await.unwrap();
    assert!(matches!(store.save(&first, "3").await, Err(ClusterError::RecordChanged { .. })));
    assert_eq!(second.uid, first.uid);
    assert_eq!(store.list().await.unwrap().len(), 1);
    let big = "x".repeat(ilab_cluster::MAX_RECORD_BYTES + 1);
    assert!(matches!(store.save(&second, &big).await, Err(ClusterError::RecordTooLarge { .. })));
}

#[tokio::test]
async fn a_save_whose_answer_was_lost_is_known_for_ones_own() {
    let fake = Fake::new();
    let (cluster, _) = cluster(&fake);
    let store = RecordStore::new(cluster);
    let run = RunId::new("one").unwrap();
    let first = store.create(&run, "1").await.unwrap();
    fake.fail("PUT", "configmaps", 1, Fault::HangAfter);
    // The connection is given up, as a proxy would; the record was written all the same.
    let _ = timeout(Duration::from_millis(50), store.save(&first, "2")).await;
    let second = store.save(&first, "2").await.unwrap();
    assert_eq!(second.text, "2");
}

#[tokio::test]
async fn one_host_a_run_and_the_other_is_told_who() {
    let fake = Fake::new();
    let (cluster, _) = cluster(&fake);
    let run = RunId::new("one").unwrap();
    let lease = cluster.hold_as(&run, None, "first").await.unwrap();
    let error = cluster.hold_as(&run, None, "second").await.unwrap_err();
    assert!(error.to_string().contains("is being driven by first"), "{error}");
    lease.release().await.unwrap();
    cluster.hold_as(&run, None, "second").await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn the_version_of_kueue_is_asked_for_once_and_its_absence_each_time() {
    let fake = Fake::new();
    let (cluster, _) = cluster(&fake);
    let group = "/apis/kueue.x-k8s.io";
    for _ in 0..2 {
        assert!(cluster.local_queue("team").await.is_err());
    }
    let before = fake.requests().iter().filter(|line| line.ends_with(group)).count();
    assert_eq!(before, 2, "it may be installed meanwhile");
    let versions = json!({"kind": "APIGroup", "versions": [{"version": "v1beta2"}, {"version": "v1beta1"}]});
    let kinds = json!({"kind": "APIResourceList", "resources": [{"name": "localqueues", "kind": "LocalQueue", "namespaced": true}]});
    fake.fail("GET", &format!("{group}/v1beta2"), 1, Fault::Answer(200, vec![], kinds.to_string()));
    fake.fail("GET", group, 1, Fault::Answer(200, vec![], versions.to_string()));
    for _ in 0..3 {
        assert_eq!(cluster.local_queue("team").await.unwrap(), None);
    }
    assert_eq!(fake.requests().iter().filter(|line| line.ends_with(group)).count(), before + 1);
}

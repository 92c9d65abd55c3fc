//! Runs that go well, and what is refused before they begin.

mod kit;

use ilab_core::contract::Credential;
use ilab_core::record::StageState;
use ilab_engine::*;
use kit::fake::{Fake, Fault, status};
use kit::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

fn two() -> Vec<ilab_core::graph::Offer> {
    vec![offer("fetch", &[]), offer("train", &["fetch"])]
}

#[tokio::test]
async fn stages_follow_one_another_and_hand_on_their_outputs() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let run = start(&fake, request(two()));
    let stages = run.stages.clone();
    let (result, events) = run.end().await;
    let Outcome::Finished { outputs } = result.unwrap() else { panic!() };
    assert_eq!(outputs[&stage("train")]["score"], 2);
    let collected = stages.collected.lock().unwrap();
    assert_eq!(Value::from(collected[1].1.clone()), json!({"fetch.score": 1}));
    let record = record(&fake);
    assert!(record.stages.values().all(|s| s.state == StageState::Succeeded && s.attempt == 1));
    assert_eq!(record.claims["data"], "one-data");
    let job = fake.get("jobs/one-train").unwrap();
    let owner = &job["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], fake.get("configmaps/ilab-run-one").unwrap()["metadata"]["uid"]);
    assert_eq!(job["metadata"]["labels"]["ilab.dev/stage"], "train");
    assert_eq!(job["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
    assert_eq!(fake.get("leases/ilab-run-one").unwrap()["spec"]["holderIdentity"], "");
    let lines = events.iter().filter(|e| matches!(e, Event::LogLine { .. })).count();
    assert_eq!(lines, 4, "{events:#?}");
    assert!(matches!(events.last(), Some(Event::RunFinished { succeeded: true, .. })));
}

#[tokio::test]
async fn a_stage_costs_twelve_requests_at_most_and_nothing_is_polled() {
    let fake = Fake::new();
    let run = start(&fake, request(vec![offer("fetch", &[])]));
    appears(&fake, "jobs/one-fetch").await;
    let before = fake.requests().iter().position(|r| r.contains("one-fetch")).unwrap();
    fake.until("the watches", |f| (f.count("watch=true") >= 2).then_some(())).await;
    // The Events are looked at, once, because nothing has happened for a while.
    fake.until("the Events", |f| f.requests().iter().any(|r| r.contains("/events?watch")).then_some(()))
        .await;
    let others = || fake.requests().iter().filter(|r| !r.contains("leases")).count();
    let quiet = others();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(others(), quiet, "{:#?}", fake.requests());
    let events = fake.count("/events");
    // Where the job's end overtakes its pod's, the pods are listed once or twice more.
    job_succeeds_after_its_pod(&fake, "one-fetch", 1).await;
    run.end().await.0.unwrap();
    let requests = fake.requests();
    let stage: Vec<_> =
        requests[before..].iter().filter(|r| !r.contains("leases") && !r.contains("/events")).collect();
    assert!(stage.len() + events <= 14, "{} of a stage: {stage:#?}", stage.len());
    assert!(stage.len() <= 12, "{stage:#?}");
}

#[tokio::test]
async fn stages_whose_predecessors_are_done_run_side_by_side() {
    let fake = Fake::new();
    let run =
        start(&fake, request(vec![offer("fetch", &[]), offer("a", &["fetch"]), offer("b", &["fetch"])]));
    appears(&fake, "jobs/one-fetch").await;
    job_succeeds(&fake, "one-fetch", 1);
    appears(&fake, "jobs/one-a").await;
    appears(&fake, "jobs/one-b").await;
    job_succeeds(&fake, "one-b", 2);
    job_succeeds(&fake, "one-a", 2);
    assert!(matches!(run.end().await.0.unwrap(), Outcome::Finished { .. }));
}

#[tokio::test]
async fn nothing_is_created_when_a_later_stage_would_be_refused() {
    let fake = Fake::new();
    let run = start_with(&fake, request(two()), TestStages { privileged: true, ..TestStages::default() });
    let (error, _) = run.failure().await;
    let EngineError::Refused(refused) = &error else { panic!("{error}") };
    assert_eq!(refused.len(), 2, "of both stages at once");
    assert_eq!(error.exit(), Exit::Policy);
    assert!(fake.requests().is_empty());
}

fn with_credentials() -> Vec<ilab_core::graph::Offer> {
    let mut offers = two();
    let credential = |name: &str, required: &[&str], optional: &[&str]| Credential {
        name: name.into(),
        required_keys: required.iter().map(|k| (*k).to_owned()).collect(),
        optional_keys: optional.iter().map(|k| (*k).to_owned()).collect(),
        config_map_keys: vec![format!("{name}_ca")],
    };
    offers[0].descriptor.credentials =
        vec![credential("object-store", &["bucket", "secret_key"], &["region"])];
    offers[1].descriptor.credentials = vec![credential("judge", &["JUDGE_API_KEY"], &[])];
    offers
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, CredentialSource> {
    pairs
        .iter()
        .map(|(n, s)| ((*n).to_owned(), CredentialSource::Named { secret: (*s).to_owned() }))
        .collect()
}

#[tokio::test]
async fn missing_secrets_and_keys_are_told_all_at_once_before_anything_is_created() {
    let fake = Fake::new();
    let mut asked = request(with_credentials());
    asked.credentials = named(&[("object-store", "store"), ("judge", "judge")]);
    let (error, _) = start(&fake, asked.clone()).failure().await;
    let EngineError::Unready(findings) = &error else { panic!("{error}") };
    assert_eq!(findings.len(), 2);
    fake.put(
        "/api/v1/namespaces/ns/secrets/store",
        json!({"metadata": {"name": "store"}, "data": {"bucket": "YQ=="}}),
    );
    fake.put("/api/v1/namespaces/ns/secrets/judge", json!({"metadata": {"name": "judge"}}));
    let (error, _) = start(&fake, asked).failure().await;
    let text = error.to_string();
    assert!(text.contains("store lacks secret_key") && text.contains("judge lacks JUDGE_API_KEY"), "{text}");
    assert_eq!(fake.count("PATCH") + fake.count("POST") + fake.count("PUT"), 0);
    let (error, _) = start(&fake, request(with_credentials())).failure().await;
    assert!(error.to_string().contains("no credential object-store was given"), "{error}");
}

#[tokio::test]
async fn b5_a_secret_that_may_not_be_read_is_an_error_and_not_skipped() {
    let fake = Fake::new();
    let mut asked = request(with_credentials());
    asked.credentials = named(&[("object-store", "store"), ("judge", "judge")]);
    fake.fail(
        "GET",
        "secrets",
        9,
        Fault::Answer(403, vec![], status(403, "Forbidden", "secrets is forbidden")),
    );
    let (error, _) = start(&fake, asked).failure().await;
    let EngineError::Unready(findings) = &error else { panic!("{error}") };
    let told: Vec<_> = findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "you may not read the Secret judge in namespace ns",
            "you may not read the Secret store in namespace ns"
        ]
    );
    assert_eq!(fake.count("PATCH") + fake.count("POST"), 0);
}

#[tokio::test]
async fn the_config_map_that_a_secret_or_an_option_names_is_bound_and_must_be_there() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut asked = request(with_credentials());
    asked.credentials = named(&[("object-store", "store"), ("judge", "judge")]);
    // "b3duLWNh" is own-ca, "Li4veA==" is ../x, which is no name of an object.
    let store = json!({"bucket": "YQ==", "secret_key": "Yg==", "object-store_ca": "b3duLWNh"});
    fake.put("/api/v1/namespaces/ns/secrets/store", json!({"metadata": {"name": "store"}, "data": store}));
    let judge = json!({"JUDGE_API_KEY": "YQ==", "judge_ca": "Li4veA=="});
    fake.put("/api/v1/namespaces/ns/secrets/judge", json!({"metadata": {"name": "judge"}, "data": judge}));
    let text = start(&fake, asked.clone()).failure().await.0.to_string();
    assert!(text.contains("no ConfigMap own-ca") && text.contains("no ConfigMap ../x"), "{text}");
    asked.config_maps = BTreeMap::from([(
        "object-store".to_owned(),
        BTreeMap::from([("object-store_ca".to_owned(), "other-ca".to_owned())]),
    )]);
    let judge = json!({"JUDGE_API_KEY": "YQ==", "judge_ca": ""});
    fake.put("/api/v1/namespaces/ns/secrets/judge", json!({"metadata": {"name": "judge"}, "data": judge}));
    for name in ["own-ca", "other-ca"] {
        let path = format!("/api/v1/namespaces/ns/configmaps/{name}");
        fake.put(&path, json!({"metadata": {"name": name}, "data": {}}));
    }
    let text = start(&fake, asked.clone()).failure().await.0.to_string();
    assert!(text.contains("object-store_ca = own-ca, and other-ca was asked for"), "{text}");
    assert_eq!(fake.count("PATCH") + fake.count("POST"), 0);
    asked.config_maps.clear();
    start(&fake, asked).end().await.0.unwrap();
    let job = fake.get("jobs/one-fetch").unwrap();
    let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let key = json!({"name": "own-ca", "key": "object-store_ca"});
    assert!(env.as_array().unwrap().iter().any(|v| v["valueFrom"]["configMapKeyRef"] == key), "{env}");
}

fn literal() -> BTreeMap<String, CredentialSource> {
    let secret = |name: &str, keys: &[(&str, &str)]| CredentialSource::Literal {
        secret_name: name.into(),
        secret_keys: keys.iter().map(|(k, v)| ((*k).to_owned(), SecretValue::new(*v))).collect(),
        config_map_name: None,
        config_map_keys: BTreeMap::new(),
    };
    BTreeMap::from([
        (
            "object-store".to_owned(),
            secret("sdg-object-store-credentials", &[("bucket", "b"), ("secret_key", "hunter2")]),
        ),
        ("judge".to_owned(), secret("judge-serving-details", &[("JUDGE_API_KEY", "hunter3")])),
    ])
}

#[tokio::test]
async fn b21_secret_values_are_in_the_secret_and_nowhere_else() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut asked = request(with_credentials());
    asked.credentials = literal();
    let planned = plan_all(&asked, &TestStages::default()).unwrap();
    let debug = format!("{asked:?} {planned:?}");
    let (result, events) = start(&fake, asked).end().await;
    result.unwrap();
    let secret = fake.get("secrets/sdg-object-store-credentials").unwrap();
    assert_eq!(secret["data"]["secret_key"], "aHVudGVyMg==");
    let mut told = debug + &serde_json::to_string(&events).unwrap();
    for (path, object) in fake.objects().iter().filter(|(path, _)| !path.contains("/secrets/")) {
        told.push_str(&format!("{path} {object}"));
    }
    for word in ["hunter2", "hunter3", "aHVudGVyMg", "aHVudGVyMw"] {
        assert!(!told.contains(word), "{word}");
    }
    assert!(told.contains("sdg-object-store-credentials"), "by name");
}

#[tokio::test]
async fn a_secret_that_exists_is_reused_when_identical_and_never_overwritten() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut asked = request(with_credentials());
    asked.credentials = literal();
    let path = "/api/v1/namespaces/ns/secrets/sdg-object-store-credentials";
    let other = json!({"metadata": {"name": "sdg-object-store-credentials"}, "data": {"bucket": "Yg==", "secret_key": "b2xk", "extra": "eA=="}});
    let before = fake.put(path, other);
    let (error, _) = start(&fake, asked.clone()).failure().await;
    let text = error.to_string();
    assert!(text.contains("exists with other content: secret_key, extra"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("b2xk"), "{text}");
    assert_eq!(fake.objects()[path], before);
    let same = json!({"metadata": {"name": "sdg-object-store-credentials"}, "data": {"bucket": "Yg==", "secret_key": "aHVudGVyMg=="}});
    fake.remove("secrets/sdg-object-store-credentials");
    let before = fake.put(path, same);
    start(&fake, asked).end().await.0.unwrap();
    assert_eq!(fake.objects()[path], before);
}

#[tokio::test]
async fn runs_that_share_a_secret_share_its_ownership() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut first = request(with_credentials());
    first.credentials = literal();
    let mut second = first.clone();
    second.run = ilab_core::names::RunId::new("two").unwrap();
    start(&fake, first).end().await.0.unwrap();
    start(&fake, second).end().await.0.unwrap();
    let secret = fake.get("secrets/judge-serving-details").unwrap();
    let owners = secret["metadata"]["ownerReferences"].as_array().unwrap();
    let names: Vec<_> = owners.iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ilab-run-one", "ilab-run-two"]);
    assert_eq!(secret["data"]["JUDGE_API_KEY"], "aHVudGVyMw==");
    assert_eq!(fake.created("secrets/judge-serving-details"), 1);
}

#[tokio::test]
async fn groups_called_one_after_the_other_belong_to_one_run() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut first = request(two());
    first.selected.remove(&stage("train"));
    let mut second = request(two());
    second.selected.remove(&stage("fetch"));
    let (error, _) = start(&fake, second.clone()).failure().await;
    assert!(matches!(error, EngineError::MissingInput { .. }), "{error}");
    assert!(error.hint().unwrap().contains("fetch"));
    start(&fake, first.clone()).end().await.0.unwrap();
    let Outcome::Finished { outputs } = start(&fake, second).end().await.0.unwrap() else { panic!() };
    assert_eq!(outputs[&stage("train")]["score"], 2);
    assert_eq!(fake.created("persistentvolumeclaims/one-data"), 1);
    let (error, _) = start(&fake, first).failure().await;
    assert!(matches!(error, EngineError::AlreadyRan { .. }));
    assert_eq!(error.to_string(), "run one has done this already: fetch succeeded");
    assert!(error.hint().unwrap().contains("--run"));
}

#[tokio::test]
async fn without_a_cluster_it_says_so_at_once() {
    let fake = Fake::new();
    fake.fail("GET", "/version", 9, Fault::Refused);
    let (error, _) = start(&fake, request(two())).failure().await;
    assert_eq!(error.to_string(), "cannot reach the API server: the API server does not answer");
    assert!(error.hint().unwrap().contains("--local"));
}

#[tokio::test]
async fn an_existing_claim_is_used_and_must_be_there() {
    let fake = Fake::new();
    let _controller = controller(&fake);
    let mut asked = request(two());
    asked.claims.existing.insert("data".into(), "mine".into());
    let (error, _) = start(&fake, asked.clone()).failure().await;
    assert!(error.to_string().contains("there is no claim mine"), "{error}");
    fake.put("/api/v1/namespaces/ns/persistentvolumeclaims/mine", json!({"metadata": {"name": "mine"}}));
    start(&fake, asked).end().await.0.unwrap();
    assert_eq!(fake.created("persistentvolumeclaims/one-data"), 0);
    assert_eq!(record(&fake).claims["data"], "mine");
}

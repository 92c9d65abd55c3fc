use super::*;
use serde_json::json;

fn record() -> RunRecord {
    let stage = StageName::new("train-phase-1").unwrap();
    let mut record = RunRecord::new(
        RunId::new("ilab").unwrap(),
        "2026-11-24T12:00:00Z".parse().unwrap(),
        "0.1.0",
        BTreeMap::from([(
            stage.clone(),
            Origin { file: "train.wasm".into(), digest: PluginDigest::of(b"x") },
        )]),
    );
    record.claims.insert("data".into(), "ilab-data".into());
    record.credentials.insert(
        "judge".into(),
        BTreeMap::from([("JUDGE_API_KEY".into(), Holder::Secret("judge-serving-details".into()))]),
    );
    record.stages.insert(
        stage,
        StageRecord {
            state: StageState::Succeeded,
            parameters: json!({"epochs": 2}).as_object().unwrap().clone(),
            manifest_hashes: BTreeMap::from([(
                "PyTorchJob/ilab-train-phase-1".into(),
                manifest_hash(&json!({"a": 1})),
            )]),
            objects: vec![CreatedObject {
                object: ObjectRef {
                    api_version: "kubeflow.org/v1".into(),
                    kind: "PyTorchJob".into(),
                    name: "ilab-train-phase-1".into(),
                },
                uid: ObjectUid("8f1c".into()),
            }],
            outputs: json!({"checkpoints": ["/data/a"]}).as_object().unwrap().clone(),
            started: Some("2026-11-24T12:00:01Z".parse().unwrap()),
            finished: Some("2026-11-24T13:00:01Z".parse().unwrap()),
            attempt: 1,
            ..StageRecord::default()
        },
    );
    record
}

/// As the first host of format 1 wrote it. It must be readable for ever: do not change it, add a second one.
const FIRST: &str = r#"{"format":1,"run":"ilab","created":"2026-11-24T12:00:00Z","hostVersion":"0.1.0","pipeline":{"train-phase-1":{"file":"train.wasm","digest":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}},"stages":{"train-phase-1":{"state":"Succeeded","parameters":{"epochs":2},"inputs":{},"manifestHashes":{"PyTorchJob/ilab-train-phase-1":"sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"},"objects":[{"ref":{"api-version":"kubeflow.org/v1","kind":"PyTorchJob","name":"ilab-train-phase-1"},"uid":"8f1c"}],"outputs":{"checkpoints":["/data/a"]},"started":"2026-11-24T12:00:01Z","finished":"2026-11-24T13:00:01Z","attempt":1}},"claims":{"data":"ilab-data"},"credentials":{"judge":{"JUDGE_API_KEY":{"secret":"judge-serving-details"}}}}"#;

#[test]
fn what_is_written_is_read_again() {
    let record = record();
    assert_eq!(RunRecord::from_json(&record.to_json().unwrap()).unwrap(), record);
}

#[test]
fn the_first_format_stays_as_it_is() {
    assert_eq!(record().to_json().unwrap(), FIRST);
    assert_eq!(RunRecord::from_json(FIRST).unwrap(), record());
}

#[test]
fn fields_of_later_hosts_are_ignored_and_missing_ones_have_defaults() {
    let mut value: Value = serde_json::from_str(FIRST).unwrap();
    value["later"] = json!({"a": 1});
    value["stages"]["train-phase-1"]["later"] = json!(true);
    value["stages"]["train-phase-1"]["objects"][0]["later"] = json!([]);
    assert_eq!(RunRecord::from_json(&value.to_string()).unwrap(), record());
    let least = json!({"format": 1, "run": "a", "created": "2026-11-24T12:00:00Z", "hostVersion": "0.1.0", "pipeline": {}, "stages": {"a": {}}});
    let least = RunRecord::from_json(&least.to_string()).unwrap();
    assert_eq!(least.stages["a"], StageRecord::default());
    assert!(!least.stages["a"].state.is_final());
}

#[test]
fn a_later_format_is_refused_whatever_it_looks_like() {
    let error =
        RunRecord::from_json(r#"{"format": 2, "hostVersion": "9.0.0", "run": {"name": "x"}}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run record has format 2, this host reads formats up to 1: use the ilab-host that wrote it (9.0.0) or a newer one"
    );
    for damaged in [
        "",
        "{}",
        "[]",
        r#"{"format":"1"}"#,
        r#"{"format":-1}"#,
        &FIRST[..200],
        &FIRST.replace("Succeeded", "Exploded"),
        &FIRST.replace("\"ilab\"", "\"../x\""),
    ] {
        assert!(matches!(RunRecord::from_json(damaged), Err(RecordError::Malformed(_))), "{damaged:.40}");
    }
}

#[test]
fn hashes_see_content_and_not_order() {
    let one = json!({"b": [1, 2.5, "x\n", null, true], "a": {"d": 1, "c": {}}});
    let two: Value =
        serde_json::from_str(r#"{"a": {"c": {}, "d": 1}, "b": [1, 2.5, "x\n", null, true]}"#).unwrap();
    assert_eq!(manifest_hash(&one), manifest_hash(&two));
    let canonical = r#"{"a":{"c":{},"d":1},"b":[1,2.5,"x\n",null,true]}"#;
    assert_eq!(manifest_hash(&one), PluginDigest::of(canonical.as_bytes()).as_str());
    for other in
        [json!({}), json!([]), json!({"a": "1"}), json!({"a": 1}), json!({"a": [1]}), json!(["a", 1])]
    {
        assert_ne!(manifest_hash(&other), manifest_hash(&one));
    }
}

use super::*;
use crate::graph::{Selection, flags};
use serde_json::json;

fn offer(name: &str, after: &[&str], inputs: &[&str]) -> Offer {
    let descriptor = serde_json::from_value(json!({
        "name": name, "summary": "A stage.", "group": name.split('-').next(), "after": after, "inputs": inputs, "credentials": [], "volumes": [],
        "outputs": [{"name": "out", "help": "What it hands on.", "schema": {}, "sample": 1}],
        "creates": [{"api-version": "batch/v1", "kind": "Job"}],
        "parameters": [{"name": "gpus", "help": "How many.", "schema": {"type": "integer"}, "default": 1, "flag": "gpus", "env": "GPUS"}],
    }))
    .unwrap();
    Offer { descriptor, file: format!("{name}.wasm"), digest: PluginDigest::of(name.as_bytes()) }
}

fn phase(name: &str, phase: &str, after: &[&str]) -> Offer {
    let mut offer = offer(name, after, &[]);
    offer.descriptor.selected_by =
        Some(crate::contract::Selector { flag: "training-phase".into(), value: phase.into() });
    offer
}

fn workflow() -> Pipeline {
    Pipeline::new(vec![
        offer("upload", &["eval-final"], &[]),
        offer("eval-final", &["eval-mt-bench"], &["eval-mt-bench.out"]),
        offer("eval-mt-bench", &["train-2"], &["train-2.out", "?other.out"]),
        phase("train-2", "2", &["train-1", "?other"]),
        phase("train-1", "1", &["fetch"]),
        offer("fetch", &[], &[]),
    ])
    .unwrap()
}

fn names(offers: &[&Offer]) -> Vec<String> {
    offers.iter().map(|offer| offer.name().to_string()).collect()
}

fn set(names: &[&str]) -> BTreeSet<StageName> {
    names.iter().map(|name| StageName::new(*name).unwrap()).collect()
}

fn refused(offers: Vec<Offer>) -> String {
    Pipeline::new(offers).unwrap_err().to_string()
}

#[test]
fn stages_come_after_those_they_follow_whatever_the_order_of_files() {
    let order = ["fetch", "train-1", "train-2", "eval-mt-bench", "eval-final", "upload"];
    assert_eq!(names(&workflow().stages().iter().collect::<Vec<_>>()), order);
    let mut reversed = workflow().stages().to_vec();
    reversed.reverse();
    assert_eq!(names(&Pipeline::new(reversed).unwrap().stages().iter().collect::<Vec<_>>()), order);
    let side_by_side =
        Pipeline::new(vec![offer("c", &[], &[]), offer("a", &["c"], &[]), offer("b", &[], &[])]).unwrap();
    assert_eq!(names(&side_by_side.stages().iter().collect::<Vec<_>>()), ["b", "c", "a"]);
}

#[test]
fn what_makes_no_pipeline_names_stages_and_files() {
    assert_eq!(refused(vec![]), "no component offers a stage");
    let mut twin = offer("a", &[], &[]);
    twin.file = "other.wasm".into();
    assert_eq!(
        refused(vec![offer("a", &[], &[]), twin]),
        "stage a is offered twice: by a.wasm and by other.wasm"
    );
    assert_eq!(
        refused(vec![offer("fetch", &[], &[]), offer("train", &["fecth"], &[])]),
        "train.wasm: stage train follows \"fecth\", which no component offers; did you mean fetch? valid: fetch, train"
    );
    assert_eq!(
        refused(vec![
            offer("z", &[], &[]),
            offer("a", &["b", "z"], &[]),
            offer("b", &["c"], &[]),
            offer("c", &["a"], &[]),
            offer("d", &["a"], &[])
        ]),
        "stages wait for each other: a (a.wasm) follows b (b.wasm) follows c (c.wasm) follows a"
    );
    assert_eq!(
        refused(vec![offer("a", &["?b"], &[]), offer("b", &["a"], &[])]),
        "stages wait for each other: a (a.wasm) follows b (b.wasm) follows a"
    );
    let mut bad = offer("a", &[], &[]);
    bad.descriptor.volumes.push(crate::contract::Volume {
        name: "data".into(),
        size: "big".into(),
        read_only: false,
    });
    assert!(
        refused(vec![bad]).starts_with("a.wasm: stage a: volumes[data].size: "),
        "invalid descriptors are refused"
    );
}

#[test]
fn a_cycle_that_is_not_where_the_walk_begins_is_found() {
    let GraphError::Cycle { path } = Pipeline::new(vec![
        offer("a", &["c"], &[]),
        offer("b", &["c"], &[]),
        offer("c", &["d"], &[]),
        offer("d", &["c"], &[]),
    ])
    .unwrap_err() else {
        panic!("no cycle")
    };
    assert_eq!(path.iter().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>(), ["c", "d"]);
}

#[test]
fn inputs_come_from_stages_that_are_followed() {
    let fetch = || offer("fetch", &[], &[]);
    assert_eq!(
        refused(vec![fetch(), offer("train", &["fetch"], &["fetch.outt"])]),
        "train.wasm: stage train reads \"fetch.outt\", which no stage hands on; did you mean fetch.out? valid: fetch.out"
    );
    assert_eq!(
        refused(vec![fetch(), offer("train", &[], &["fetch.out"])]),
        "train.wasm: stage train reads fetch.out but does not follow fetch: name fetch in `after`"
    );
    assert!(refused(vec![fetch(), offer("train", &[], &["?fetch.out"])]).contains("does not follow fetch"));
    for good in [
        vec![fetch(), offer("train", &["fetch"], &["fetch.out"])],
        vec![fetch(), offer("b", &["fetch"], &[]), offer("train", &["b"], &["fetch.out"])],
        vec![fetch(), offer("train", &["fetch"], &["?other.out", "?fetch.other"])],
    ] {
        assert!(Pipeline::new(good).is_ok());
    }
}

#[test]
fn groups_and_selectors_select() {
    let pipeline = workflow();
    let select = |group: Option<&str>, by: &[(&str, &str)]| {
        let by = by.iter().map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())).collect();
        pipeline
            .select(&Selection { group: group.map(str::to_owned), by })
            .map(|offers| names(&offers))
            .map_err(|error| error.to_string())
    };
    assert_eq!(select(None, &[]).unwrap().len(), 6);
    assert_eq!(select(Some("train"), &[]).unwrap(), ["train-1", "train-2"]);
    assert_eq!(select(Some("train"), &[("training-phase", "2")]).unwrap(), ["train-2"]);
    assert_eq!(
        select(Some("train"), &[("training-phase", "2"), ("training-phase", "1")]).unwrap(),
        ["train-1", "train-2"]
    );
    assert_eq!(select(Some("eval"), &[]).unwrap(), ["eval-mt-bench", "eval-final"]);
    assert_eq!(
        select(Some("evla"), &[]).unwrap_err(),
        "no stage belongs to \"evla\"; did you mean eval? valid: fetch, train, eval, upload"
    );
    assert_eq!(
        select(Some("train"), &[("training-phase", "3")]).unwrap_err(),
        "--training-phase 3: no such stage in train; did you mean 1? valid: 1, 2"
    );
    assert_eq!(
        select(Some("eval"), &[("training-phase", "1")]).unwrap_err(),
        "--training-phase does not select stages of eval; there are none"
    );
    assert_eq!(
        select(None, &[("training-phase", "1")]).unwrap_err(),
        "--training-phase does not select stages of a whole run; valid: --training-phase (of train)"
    );
    assert_eq!(
        pipeline.groups().iter().map(|group| group.as_str()).collect::<Vec<_>>(),
        ["fetch", "train", "eval", "upload"]
    );
    let mut extra = workflow().stages().to_vec();
    extra.push(offer("train-check", &["train-2"], &[]));
    let pipeline = Pipeline::new(extra).unwrap();
    let selection =
        Selection { group: Some("train".into()), by: vec![("training-phase".into(), "1".into())] };
    assert_eq!(
        names(&pipeline.select(&selection).unwrap()),
        ["train-1", "train-check"],
        "stages without a selector are always run"
    );
}

#[test]
fn stages_are_ready_when_what_they_follow_is_done() {
    let pipeline = workflow();
    let ready = |selected: &[&str], done: &[&str]| {
        pipeline.ready(&set(selected), &set(done)).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = ["fetch", "train-1", "train-2", "eval-mt-bench", "eval-final", "upload"];
    assert_eq!(ready(&all, &[]), ["fetch"]);
    assert_eq!(ready(&all, &["fetch"]), ["train-1"]);
    assert_eq!(ready(&all, &all), Vec::<String>::new());
    assert_eq!(ready(&["train-2"], &[]), ["train-2"], "what is not selected is not waited for");
    assert_eq!(ready(&["fetch", "train-2"], &[]), ["fetch"], "but what is selected further back is");
    assert_eq!(ready(&["fetch", "train-2"], &["fetch"]), ["train-2"]);
    let wide = Pipeline::new(vec![
        offer("a", &[], &[]),
        offer("b", &["a"], &[]),
        offer("c", &["a"], &[]),
        offer("d", &["b", "c"], &[]),
    ])
    .unwrap();
    assert_eq!(wide.ready(&set(&["a", "b", "c", "d"]), &set(&["a"])).len(), 2, "side by side");
    assert_eq!(wide.ready(&set(&["a", "b", "c", "d"]), &set(&["a", "b"])), [StageName::new("c").unwrap()]);
}

#[test]
fn flags_are_merged_when_stages_agree() {
    let pipeline = workflow();
    let descriptors: Vec<_> = pipeline.stages().iter().map(|offer| &offer.descriptor).collect();
    let merged = flags(&descriptors).unwrap();
    assert_eq!(merged.len(), 1);
    assert_eq!(
        (merged[0].flag.as_str(), merged[0].sets.len(), merged[0].default(), merged[0].is_required()),
        ("gpus", 6, Some(&json!(1)), false)
    );
    assert_eq!(merged[0].env, ["GPUS"]);
    let mut other = offer("other", &[], &[]);
    other.descriptor.parameters[0].default = None;
    let merged = flags(&[&offer("a", &[], &[]).descriptor, &other.descriptor]).unwrap();
    assert_eq!((merged[0].default(), merged[0].is_required()), (None, true));
    other.descriptor.parameters[0].schema = json!({"type": "string"});
    assert_eq!(
        refused(vec![offer("a", &[], &[]), other]),
        "--gpus means different things: a.gpus and other.gpus give it different schemas"
    );
}

#[test]
fn selector_flags_do_one_thing() {
    let mut other = phase("other", "3", &[]);
    assert_eq!(
        refused(vec![phase("train-1", "1", &[]), other.clone()]),
        "--training-phase selects stages of the groups other and train: it can only be of one"
    );
    other.descriptor.selected_by = Some(crate::contract::Selector { flag: "gpus".into(), value: "1".into() });
    assert_eq!(refused(vec![other]), "--gpus sets other.gpus and selects stage other: it can only do one");
}

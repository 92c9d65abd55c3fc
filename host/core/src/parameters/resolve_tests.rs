use super::*;
use crate::parameters::parse_values;
use serde_json::json;

fn stage(name: &str, parameters: serde_json::Value) -> Descriptor {
    serde_json::from_value(json!({
        "name": name, "summary": "A stage.", "group": "train", "after": [], "credentials": [], "volumes": [], "inputs": [], "outputs": [],
        "creates": [{"api-version": "batch/v1", "kind": "Job"}], "parameters": parameters,
    }))
    .unwrap()
}

fn train(name: &str, default: i64) -> Descriptor {
    stage(
        name,
        json!([
            {"name": "epochs", "help": "Rounds.", "schema": {"type": "integer", "minimum": 1, "maximum": 100}, "default": default, "flag": format!("{name}-epochs"), "env": "EPOCHS"},
            {"name": "nproc", "help": "GPUs of a worker.", "schema": {"type": "integer", "minimum": 1}, "default": 1, "flag": "nproc-per-node"},
            {"name": "model", "help": "Where the model is.", "schema": {"type": "string", "pattern": "^/"}, "flag": "model", "env": "MODEL"},
        ]),
    )
}

fn given(sets: &[&str]) -> Given {
    Given {
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        flags: vec![("model".into(), "/m".into())],
        ..Given::default()
    }
}

fn messages(descriptors: &[&Descriptor], given: &Given) -> Vec<String> {
    resolve(descriptors, given).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_strongest_of_default_file_env_flag_and_set_counts() {
    let one = train("one", 7);
    let mut given = given(&[]);
    let check = |given: &Given, value: i64, source: Source| {
        let resolved = resolve(&[&one], given).unwrap();
        assert_eq!(resolved["one"].values["epochs"], value);
        assert_eq!(resolved["one"].sources["epochs"], source);
    };
    check(&given, 7, Source::Default);
    given.values_file =
        Some(("v.yaml".into(), parse_values("apiVersion: ilab.dev/v1\noptions: {one-epochs: 2}").unwrap()));
    check(&given, 2, Source::ValuesFile);
    given.values_file = Some((
        "v.yaml".into(),
        parse_values("apiVersion: ilab.dev/v1\noptions: {one-epochs: 2}\nstages: {one: {epochs: 3}}")
            .unwrap(),
    ));
    check(&given, 3, Source::ValuesFile);
    given.env.insert("EPOCHS".into(), String::new());
    check(&given, 3, Source::ValuesFile);
    given.env.insert("EPOCHS".into(), "4".into());
    check(&given, 4, Source::Env("EPOCHS".into()));
    given.flags.push(("one-epochs".into(), "5".into()));
    check(&given, 5, Source::Flag("one-epochs".into()));
    given.sets.push("one.epochs=6".into());
    check(&given, 6, Source::Set);
    given.sets.push("one.epochs=8".into());
    check(&given, 8, Source::Set);
}

#[test]
fn a_shared_flag_sets_every_stage_that_names_it() {
    let (one, two) = (train("one", 7), train("two", 10));
    let mut given = given(&["two.nproc=4"]);
    given.flags.push(("nproc-per-node".into(), "2".into()));
    let resolved = resolve(&[&one, &two], &given).unwrap();
    assert_eq!(
        (resolved["one"].values["nproc"].as_i64(), resolved["two"].values["nproc"].as_i64()),
        (Some(2), Some(4))
    );
    assert_eq!(resolved["two"].values["epochs"], 10);
    assert_eq!(resolved["one"].values.keys().collect::<Vec<_>>(), ["epochs", "nproc", "model"]);
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    let one = train("one", 7);
    let mut given = given(&["one.epoch=2", "onee.epochs=2", "one-epochs=2", "one.=2", "one.epochs"]);
    given.flags.push(("one-epoch".into(), "3".into()));
    given.values_file = Some((
        "v.yaml".into(),
        parse_values("apiVersion: ilab.dev/v1\nstages: {two: {}, one: {modle: /x}}\noptions: {modle: /x}")
            .unwrap(),
    ));
    assert_eq!(
        messages(&[&one], &given),
        [
            "values file v.yaml: no stage is named \"two\"; valid: one",
            "values file v.yaml: stage one has no parameter \"modle\"; did you mean model? valid: epochs, nproc, model",
            "values file v.yaml: no stage has an option \"modle\"; did you mean model? valid: model, nproc-per-node, one-epochs",
            "--one-epoch: no stage has an option \"one-epoch\"; did you mean one-epochs? valid: model, nproc-per-node, one-epochs",
            "--set: stage one has no parameter \"epoch\"; did you mean epochs? valid: epochs, nproc, model",
            "--set: no stage is named \"onee\"; did you mean one? valid: one",
            "--set \"one-epochs=2\": write it as --set stage.parameter=value",
            "--set \"one.=2\": write it as --set stage.parameter=value",
            "--set \"one.epochs\": write it as --set stage.parameter=value",
        ]
    );
}

#[test]
fn bad_values_are_told_all_at_once_with_where_they_came_from() {
    let (one, two) = (train("one", 7), train("two", 7));
    let mut given = given(&["one.epochs=0", "two.epochs=many", "one.model=relative"]);
    given.flags.push(("nproc-per-node".into(), "-3".into()));
    assert_eq!(
        messages(&[&one, &two], &given),
        [
            "one.epochs (from --set): 0 is less than the minimum of 1",
            "one.nproc (from --nproc-per-node): -3 is less than the minimum of 1",
            "one.model (from --set): \"relative\" does not match \"^/\"",
            "two.epochs: \"many\" (from --set) is not an integer",
            "two.nproc (from --nproc-per-node): -3 is less than the minimum of 1",
        ]
    );
}

#[test]
fn a_values_file_gives_typed_values() {
    let one = train("one", 7);
    let mut given = given(&[]);
    given.values_file = Some((
        "v.yaml".into(),
        parse_values("apiVersion: ilab.dev/v1\nstages: {one: {epochs: 'two'}}").unwrap(),
    ));
    assert_eq!(
        messages(&[&one], &given),
        ["one.epochs (from the values file): \"two\" is not of type \"integer\""]
    );
    // One that was not read by `parse_values` is checked all the same.
    given.values_file = Some(("v.yaml".into(), json!({"apiVersion": "ilab.dev/v1", "stage": {}})));
    assert_eq!(
        messages(&[&one], &given),
        [
            "values file v.yaml: unknown key \"stage\"; did you mean stages? valid: apiVersion, stages, options"
        ]
    );
}

#[test]
fn a_required_parameter_says_every_way_to_give_it() {
    let one = train("one", 7);
    assert_eq!(
        messages(&[&one], &Given::default()),
        [
            "one.model is required (Where the model is.): give --model VALUE or the environment variable MODEL or --set one.model=VALUE"
        ]
    );
}

#[test]
fn stages_that_do_not_run_are_checked_by_name_but_not_asked_for_values() {
    let (one, two) = (train("one", 7), stage("two", json!([{"name": "a", "help": "A.", "schema": {}}])));
    let selected = BTreeSet::from([two.name.clone()]);
    let given = Given { sets: vec!["one.epochs=3".into(), "two.a=x".into()], ..Given::default() };
    let resolved = resolve_selected(&[&one, &two], &selected, &given).unwrap();
    assert_eq!(resolved.keys().map(StageName::as_str).collect::<Vec<_>>(), ["two"]);
    let given = Given { sets: vec!["one.nothing=3".into(), "two.a=x".into()], ..Given::default() };
    assert_eq!(resolve_selected(&[&one, &two], &selected, &given).unwrap_err().len(), 1);
}

#[test]
fn text_may_hold_anything_and_messages_stay_plain() {
    let one = train("one", 7);
    let resolved = resolve(&[&one], &given(&["one.model=/a=b.c d"])).unwrap();
    assert_eq!(resolved["one"].values["model"], "/a=b.c d");
    let hostile = messages(&[&one], &given(&["one.epochs=\u{1b}[2J\n"]));
    assert!(hostile.iter().all(|message| crate::text::is_plain_line(message)), "{hostile:?}");
}

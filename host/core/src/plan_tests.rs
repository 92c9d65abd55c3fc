use super::*;
use crate::contract::Target;
use crate::names::{GroupName, StageName};
use serde_json::json;

fn descriptor() -> Descriptor {
    Descriptor {
        name: StageName::new("train").unwrap(),
        summary: "Trains.".into(),
        group: GroupName::new("train").unwrap(),
        selected_by: None,
        after: vec![],
        parameters: vec![],
        credentials: vec![],
        volumes: vec![],
        inputs: vec![],
        outputs: vec![
            crate::contract::Output {
                name: "best".into(),
                help: "The best.".into(),
                schema: json!({"type": "string"}),
                sample: json!("x"),
                sample_parameter: None,
            },
            crate::contract::Output {
                name: "scores".into(),
                help: "All.".into(),
                schema: json!({"type": "object", "additionalProperties": {"type": "number"}}),
                sample: json!({}),
                sample_parameter: None,
            },
        ],
        creates: vec![],
        licence: None,
        homepage: None,
    }
}

fn context() -> Context {
    Context {
        run: "r".into(),
        namespace: "ns".into(),
        prefix: "r-train".into(),
        parameters: Map::new(),
        inputs: Map::new(),
        credentials: vec![],
        volumes: vec![],
    }
}

fn job(name: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": {
        "initContainers": [{"name": "first"}], "containers": [{"name": "main"}]}}}})
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: name.into() }
}

fn target(name: &str) -> Target {
    Target {
        object: reference(name),
        succeeded: "condition(object, 'Complete')".into(),
        failed: "false".into(),
        reason: None,
        timeout_seconds: None,
    }
}

fn excerpt(name: &str, container: &str) -> ExcerptSource {
    ExcerptSource { object: reference(name), container: container.into(), max_bytes: 1000 }
}

fn plan() -> Plan {
    Plan {
        manifests: vec![job("r-train"), job("r-train-2")],
        targets: vec![target("r-train-2"), target("r-train")],
        excerpts: vec![excerpt("r-train", "main"), excerpt("r-train", "first")],
    }
}

fn refused(change: impl Fn(&mut Plan)) -> String {
    let mut plan = plan();
    change(&mut plan);
    check_plan(&plan, &context(), &descriptor()).unwrap_err().to_string()
}

#[test]
fn a_good_plan_gives_its_predicates_in_order() {
    let predicates = check_plan(&plan(), &context(), &descriptor()).unwrap();
    assert_eq!(
        predicates.iter().map(|predicates| predicates.target().object.name.as_str()).collect::<Vec<_>>(),
        ["r-train-2", "r-train"]
    );
}

#[test]
fn plans_that_do_not_hold_together_are_refused() {
    assert_eq!(
        refused(|plan| plan.targets.clear()),
        "the plan has no target: nothing says when the stage is done"
    );
    assert_eq!(
        refused(|plan| plan.manifests.clear()),
        "target Job/r-train-2 is not among the manifests; there are none"
    );
    assert_eq!(
        refused(|plan| plan.targets.push(target("other"))),
        "target Job/other is not among the manifests; valid: Job/r-train, Job/r-train-2"
    );
    assert_eq!(
        refused(|plan| plan.targets[0].object.api_version = "batch/v2".into()),
        "target Job/r-train-2 is not among the manifests; valid: Job/r-train, Job/r-train-2"
    );
    assert_eq!(refused(|plan| plan.targets.push(target("r-train"))), "target Job/r-train is there twice");
    assert_eq!(refused(|plan| plan.manifests.push(job("r-train"))), "manifest Job/r-train is there twice");
    assert_eq!(
        refused(|plan| {
            plan.manifests[1]["metadata"]["name"] = json!("r-train");
            plan.manifests[1]["apiVersion"] = json!("batch/v1beta1");
        }),
        "manifest Job/r-train is there twice"
    );
    assert_eq!(
        refused(|plan| plan.excerpts.push(excerpt("other", "main"))),
        "excerpt Job/other is not among the manifests; valid: Job/r-train, Job/r-train-2"
    );
    assert_eq!(
        refused(|plan| plan.excerpts.push(excerpt("r-train", "main"))),
        "excerpt Job/r-train main is there twice"
    );
    assert_eq!(
        refused(|plan| plan.excerpts.push(excerpt("r-train", "mian"))),
        "excerpt of Job/r-train: it has no container \"mian\"; valid: first, main"
    );
    assert_eq!(
        refused(|plan| plan.targets[0].timeout_seconds = Some(0)),
        "target Job/r-train-2: a timeout of 0 seconds"
    );
    assert!(
        refused(|plan| plan.targets[0].succeeded = "condition(objekt, 'x')".into())
            .starts_with("target Job/r-train-2: succeeded ")
    );
    for (pointer, field) in [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
        ("/metadata", "metadata.name"),
    ] {
        assert_eq!(
            refused(|plan| *plan.manifests[1].pointer_mut(pointer).unwrap() = json!(null)),
            format!("manifest 1 has no {field}")
        );
    }
    assert_eq!(refused(|plan| plan.manifests[0] = json!([])), "manifest 0 has no apiVersion");
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "r-train-c"}});
    let of_config_map =
        ExcerptSource { object: ObjectRef::of(&config_map).unwrap(), container: "main".into(), max_bytes: 1 };
    assert_eq!(
        refused(|plan| {
            plan.manifests.push(config_map.clone());
            plan.excerpts.push(of_config_map.clone());
        }),
        "excerpt of ConfigMap/r-train-c: text can be gathered from a Job, a PyTorchJob or a Pod"
    );
}

#[test]
fn floods_are_refused() {
    assert_eq!(
        refused(|plan| plan.manifests = vec![json!(null); 101]),
        "the plan has 101 manifests, more than 100"
    );
    assert_eq!(
        refused(|plan| plan.targets = vec![target("x"); 101]),
        "the plan has 101 targets, more than 100"
    );
    assert_eq!(
        refused(|plan| plan.excerpts = vec![excerpt("x", "y"); 101]),
        "the plan has 101 excerpts, more than 100"
    );
}

#[test]
fn outputs_are_what_was_declared() {
    let good = json!({"best": "/data/a", "scores": {"a": 7.5}});
    assert_eq!(Value::Object(check_outputs(&descriptor(), &good).unwrap()), good);
    for (outputs, message) in [
        (json!([]), "the outputs must be a JSON object with a value for every output"),
        (json!({"best": "x"}), "output scores is missing"),
        (
            json!({"best": "x", "scores": {}, "extra": 1}),
            "output \"extra\" was not declared; valid: best, scores",
        ),
        (json!({"best": 1, "scores": {}}), "output best: 1 is not of type \"string\""),
        (
            json!({"best": "x", "scores": {"a": "high"}}),
            "output scores: at /a: \"high\" is not of type \"number\"",
        ),
    ] {
        assert_eq!(check_outputs(&descriptor(), &outputs).unwrap_err().to_string(), message);
    }
    assert!(matches!(
        check_outputs(&descriptor(), &json!({"best": "x".repeat(200_000), "scores": {}})),
        Err(OutputError::TooLong { .. })
    ));
}

use super::*;
use crate::contract::ObjectRef;
use crate::verdict::PredicateProblem;
use serde_json::json;
use std::time::{Duration, Instant};

fn target(succeeded: &str, failed: &str, reason: Option<&str>) -> Target {
    Target {
        object: ObjectRef {
            api_version: "kubeflow.org/v1".into(),
            kind: "PyTorchJob".into(),
            name: "r-train".into(),
        },
        succeeded: succeeded.into(),
        failed: failed.into(),
        reason: reason.map(str::to_owned),
        timeout_seconds: None,
    }
}

fn compiled(succeeded: &str, failed: &str) -> Predicates {
    Predicates::compile(&target(succeeded, failed, None)).unwrap()
}

fn pytorch() -> Predicates {
    compiled(r#"condition(object, "Succeeded")"#, r#"condition(object, "Failed")"#)
}

fn with(conditions: serde_json::Value) -> serde_json::Value {
    json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "r-train", "uid": "1"}, "status": {"conditions": conditions}})
}

fn problem(expression: &str) -> PredicateProblem {
    Predicates::compile(&target(expression, "false", None)).unwrap_err().problem.as_ref().clone()
}

/// What an expression gives as `succeeded`.
fn truth(expression: &str, object: &serde_json::Value) -> Verdict {
    compiled(expression, "false").judge(Some(object))
}

#[test]
fn conditions_count_by_type_and_status_never_by_order() {
    let job = pytorch();
    let is = |kind: &str, status: &str| json!({"type": kind, "status": status});
    for (name, conditions, succeeded) in [
        ("succeeded", json!([is("Created", "True"), is("Succeeded", "True")]), true),
        ("running lingers", json!([is("Succeeded", "True"), is("Running", "True")]), true),
        ("reordered", json!([is("Succeeded", "True"), is("Running", "False"), is("Created", "True")]), true),
        ("suspended false after resume", json!([is("Succeeded", "True"), is("Suspended", "False")]), true),
        ("succeeded false", json!([is("Succeeded", "False")]), false),
        ("succeeded unknown", json!([is("Succeeded", "Unknown")]), false),
        ("only suspended false", json!([is("Suspended", "False")]), false),
        ("running", json!([is("Running", "True")]), false),
        ("no status in condition", json!([{"type": "Succeeded"}]), false),
        ("not a boolean", json!([{"type": "Succeeded", "status": true}]), false),
        ("no conditions", json!([]), false),
        ("not objects", json!(["Succeeded", 3, null]), false),
        ("not a list", json!({"type": "Succeeded", "status": "True"}), false),
    ] {
        let verdict = job.judge(Some(&with(conditions)));
        assert_eq!(verdict == Verdict::Succeeded, succeeded, "{name}: {verdict:?}");
        assert!(!matches!(verdict, Verdict::Failed { .. }), "{name}: {verdict:?}");
    }
}

#[test]
fn failed_is_asked_first() {
    let both = with(
        json!([{"type": "Succeeded", "status": "True"}, {"type": "Failed", "status": "True", "message": "rank 1 exited with 137"}]),
    );
    assert_eq!(
        pytorch().judge(Some(&both)),
        Verdict::Failed { reason: "Succeeded; Failed: rank 1 exited with 137".into() }
    );
    let was = with(json!([{"type": "Failed", "status": "False"}, {"type": "Running", "status": "True"}]));
    assert!(matches!(pytorch().judge(Some(&was)), Verdict::Pending { .. }));
}

#[test]
fn no_object_and_no_status_are_waited_for() {
    let job = pytorch();
    for (object, why) in [
        (None, "it does not exist yet"),
        (Some(json!({"metadata": {}})), "it has no status yet"),
        (Some(json!({"status": null})), "it has no status yet"),
        (Some(json!({"status": {}})), "none of its conditions is true yet"),
        (Some(json!({"status": "x"})), "none of its conditions is true yet"),
        (
            Some(with(json!([{"type": "Running", "status": "True", "reason": "JobRunning"}]))),
            "Running: JobRunning",
        ),
    ] {
        assert_eq!(job.judge(object.as_ref()), Verdict::Pending { why: why.into() });
    }
}

#[test]
fn an_absent_object_is_null() {
    assert_eq!(compiled("object == null", "false").judge(None), Verdict::Succeeded);
    assert!(matches!(compiled("object != null", "false").judge(None), Verdict::Pending { .. }));
    assert!(matches!(compiled("object.status.done", "false").judge(None), Verdict::Pending { .. }));
}

#[test]
fn a_missing_field_is_not_true_and_hides_nothing() {
    let empty = json!({"status": {}});
    assert!(matches!(truth("object.status.succeeded > 0", &empty), Verdict::Pending { .. }));
    assert!(matches!(
        truth("has(object.status.succeeded) && object.status.succeeded > 0", &empty),
        Verdict::Pending { .. }
    ));
    // A missing field of one item does not spoil the others.
    let mixed = json!({"status": {"conditions": [{"kind": "x"}, {"type": "Ready"}]}});
    assert_eq!(truth(r#"object.status.conditions.exists(c, c.type == "Ready")"#, &mixed), Verdict::Succeeded);
    let null = json!({"status": {"done": null}});
    assert!(matches!(truth("object.status.done", &null), Verdict::Pending { .. }));
}

#[test]
fn numbers_are_signed() {
    let job = json!({"status": {"succeeded": 1, "failed": -1, "share": 0.5, "huge": u64::MAX}});
    for expression in [
        "object.status.succeeded + 1 == 2",
        "object.status.succeeded - 2 < 0",
        "object.status.failed == -1",
        "object.status.share < 1.0",
        "object.status.huge > 1u",
        "object.status.succeeded == 1.0",
    ] {
        assert_eq!(truth(expression, &job), Verdict::Succeeded, "{expression}");
    }
}

#[test]
fn what_people_know_from_kubernetes_works() {
    let job = json!({"metadata": {"name": "r-x", "labels": {"a/b": "c"}, "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b", "state": {"terminated": {"exitCode": 0}}}]}});
    for expression in [
        r#"object.status.phase in ["Succeeded", "Failed"]"#,
        "object.status.containerStatuses.all(c, c.state.terminated.exitCode == 0)",
        "object.status.containerStatuses.filter(c, c.name == 'b').size() == 1",
        "object.status.containerStatuses.map(c, c.name) == ['a', 'b']",
        "object.status.containerStatuses.exists_one(c, c.name == 'a')",
        "size(object.status.containerStatuses.map(c, c.name == 'a', c)) == 1",
        "object.metadata.labels['a/b'] == 'c'",
        "'a/b' in object.metadata.labels",
        "object.metadata.name.startsWith('r-')",
        "object.?status.?missing.orValue(3) == 3",
        "optional.of(1).hasValue()",
        "timestamp(object.metadata.creationTimestamp) < timestamp('2027-01-01T00:00:00Z')",
        "type(object.status.phase) == string",
        "has(object.status.phase) ? true : false",
        "{'a': 1}['a'] == 1 && [1, 2][1] == 2",
        "int('3') + size('abc') == 6",
        "object.metadata.labels.all(k, k.contains('/'))",
    ] {
        assert_eq!(truth(expression, &job), Verdict::Succeeded, "{expression}");
    }
}

#[test]
fn what_cannot_be_is_refused_at_load() {
    assert!(
        matches!(problem("objekt.status"), PredicateProblem::UnknownVariable { nearest: Some(nearest), .. } if nearest == "object")
    );
    assert!(matches!(problem("c == 1 || [1].exists(c, c == 1)"), PredicateProblem::UnknownVariable { .. }));
    assert!(matches!(problem("[1].exists(c, c == 1) || c == 1"), PredicateProblem::UnknownVariable { .. }));
    assert!(
        matches!(problem("conditions(object, 'x')"), PredicateProblem::UnknownFunction { nearest: Some(nearest), .. } if nearest == "condition")
    );
    for unknown in [
        "object.matches('a+')",
        "matches('a', 'b')",
        "getenv('HOME')",
        "object.optMap(x, x)",
        "of(1)",
        "object.of(1)",
        "cel.bind(x, 1, x)",
        "@step()",
    ] {
        let problem = problem(unknown);
        assert!(
            matches!(problem, PredicateProblem::UnknownFunction { .. } | PredicateProblem::Syntax { .. }),
            "{unknown}: {problem}"
        );
    }
    for call in ["condition(object)", "object.condition('x')", "condition(object.status, 'x')", "condition()"]
    {
        assert_eq!(problem(call), PredicateProblem::ConditionCall, "{call}");
    }
    assert_eq!(problem("Foo{a: 1} == null"), PredicateProblem::Unsupported { what: "a message" });
    assert!(matches!(problem("object.status ==\n  && true"), PredicateProblem::Syntax { line: 2, .. }));
    for nothing in ["", " ", "(", "1 +", "'a", "object..x", "\u{0}"] {
        assert!(matches!(problem(nothing), PredicateProblem::Syntax { .. }), "{nothing:?}");
    }
    assert_eq!(problem(&format!("true || {}", "x".repeat(5000))), PredicateProblem::TooLong { bytes: 5008 });
    let message = Predicates::compile(&target("true", "failed(object)", None)).unwrap_err().to_string();
    assert!(
        message.starts_with("PyTorchJob/r-train: failed \"failed(object)\": unknown function \"failed\""),
        "{message}"
    );
}

#[test]
fn whatever_fits_the_length_never_overflows_the_stack() {
    // On a thread with half the stack that a worker of the runtime has.
    let work = || {
        for bytes in [512, 4096] {
            let long =
                |unit: &str, tail: &str| format!("{}{tail}", unit.repeat((bytes - tail.len()) / unit.len()));
            for hostile in [
                long("(", "1"),
                long("[", "1"),
                long("!", "true"),
                long("-", "1"),
                long("{1:", "1"),
                long("object.", "x"),
                long("1+", "1"),
                long("1<", "1"),
                long("true?1:", "1"),
                long("object[", "1"),
                long("size(", "1"),
                long("1 in ", "[1]"),
                long("a.b(", "1"),
                long("object.?", "x"),
                long("[1].all(x,", "1"),
                long("\"\"+", "''"),
                long("'\\'' + ", "1"),
                long("true||", "true"),
                long("true&&", "true"),
                long("1,", "1"),
                long("''''''+", "''"),
                long("r'\\'+", "1"),
                long("a?", "1"),
                long("..", ""),
                format!("r'\\' == '' || {}", long("1<", "1").split_off(100)),
                format!("//'\n{}", long("1<", "1").split_off(100)),
                format!("'''a'b''' + {}", long("1+", "1").split_off(100)),
            ] {
                let _ = Predicates::compile(&target(&hostile, "false", None))
                    .map(|predicates| predicates.judge(Some(&json!({"x": [1]}))));
            }
        }
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn many_operands_of_and_and_or_are_fine() {
    let many = vec!["object.a == 1"; 200].join(" || ");
    assert_eq!(truth(&many, &json!({"a": 1})), Verdict::Succeeded);
    let long = format!(
        "object.status.conditions.exists(c, {})",
        vec!["c.type == 'x' && c.status == 'True'"; 60].join(" || ")
    );
    assert_eq!(
        truth(&long, &json!({"status": {"conditions": [{"type": "x", "status": "True"}]}})),
        Verdict::Succeeded
    );
}

fn exhausts(expression: &str, object: &serde_json::Value) {
    let started = Instant::now();
    let verdict = truth(expression, object);
    let took = started.elapsed();
    assert!(
        matches!(&verdict, Verdict::Failed { reason } if reason.contains("budget")),
        "{expression:.80}: {verdict:?}"
    );
    // Nothing is asserted of speed but that it ends: without the meter these take from minutes to the age of the world.
    assert!(took < Duration::from_secs(20), "{expression:.80}: {took:?}");
}

#[test]
fn hostile_loops_stop() {
    let object = json!({"a": (0..400).collect::<Vec<_>>(), "t": "x".repeat(200_000)});
    for loops in [
        "object.a.all(x, object.a.all(y, object.a.all(z, x + y + z >= 0)))",
        "object.a.exists(x, object.a.exists(y, object.a.exists(z, x + y + z < 0)))",
        "object.a.map(x, object.a.map(y, object.a.map(z, z))).size() > 0",
        "object.a.filter(x, object.a.filter(y, object.a.filter(z, true).size() > 0).size() > 0).size() > 0",
        "object.a.exists_one(x, object.a.exists_one(y, object.a.exists_one(z, z == 1)))",
        "object.a.map(x, x > 0, object.a.map(y, y)).size() > 0",
        // Cheap steps over much data.
        "object.a.all(x, object.a.all(y, object.t.contains('y') == false && object.t + 'x' != object.t))",
        "object.a.all(x, object.a.all(y, size(object.t) > 0))",
    ] {
        exhausts(loops, &object);
    }
}

#[test]
fn nothing_grows_without_bound() {
    let object = json!({"t": "x".repeat(1000), "l": [1, 2, 3]});
    let doubling =
        |start: &str, step: &str, times: usize| format!("{start}{}.size() > 0", step.repeat(times));
    for bomb in [
        doubling("[object.t]", ".map(x,x+x)", 40),
        doubling("[object.l]", ".map(x,x+x)", 40),
        doubling("[object]", ".map(x,[x,x])", 40),
        doubling("[object]", ".map(x,{1:x,2:x})", 40),
        doubling("['aaaaaaaaaaaaaaaaaaaa']", ".map(x,x+x)", 40),
    ] {
        // Either the chain is refused as too deep, or its evaluation stops.
        match Predicates::compile(&target(&bomb, "false", None)) {
            Err(error) => assert_eq!(*error.problem, PredicateProblem::TooDeep),
            Ok(predicates) => {
                let verdict = predicates.judge(Some(&object));
                assert!(
                    matches!(&verdict, Verdict::Failed { reason } if reason.contains("budget")),
                    "{bomb:.60}: {verdict:?}"
                );
            }
        }
    }
    exhausts(&doubling("[object.t]", ".map(x,x+x)", 20), &object);
    exhausts(&doubling("[object]", ".map(x,[x,x])", 20), &object);
}

#[test]
fn exhaustion_cannot_be_hidden() {
    let object = json!({"a": (0..400).collect::<Vec<_>>()});
    let bomb = "object.a.all(x, object.a.all(y, object.a.all(z, true)))";
    for hidden in [
        format!("{bomb} || true"),
        format!("true && ({bomb} || true)"),
        format!("[1].exists(x, {bomb} || true)"),
        format!("({bomb} ? false : false) || true"),
        format!("optional.of({bomb}).hasValue() || true"),
    ] {
        exhausts(&hidden, &object);
    }
    let failed = compiled("true", &format!("{bomb} && false"));
    assert!(matches!(failed.judge(Some(&object)), Verdict::Failed { reason } if reason.contains("`failed`")));
}

#[test]
fn the_budget_is_exact() {
    let object = |count: i64| json!({"a": (0..count).collect::<Vec<_>>()});
    assert_eq!(truth("object.a.all(x, x >= 0)", &object(MAX_STEPS)), Verdict::Succeeded);
    assert!(matches!(truth("object.a.all(x, x >= 0)", &object(MAX_STEPS + 1)), Verdict::Failed { .. }));
    assert_eq!(truth("object.a.map(x, x).size() > 0", &object(MAX_STEPS)), Verdict::Succeeded);
    assert!(matches!(
        truth("object.a.filter(x, true).size() > 0", &object(MAX_STEPS + 1)),
        Verdict::Failed { .. }
    ));
    // Each evaluation has its own.
    let twice = compiled("object.a.all(x, x >= 0)", "!object.a.all(x, x >= 0)");
    assert_eq!(twice.judge(Some(&object(MAX_STEPS))), Verdict::Succeeded);
}

#[test]
fn big_objects_are_no_trouble() {
    let annotations: serde_json::Map<_, _> =
        (0..2000).map(|i| (format!("k{i}"), json!("v".repeat(400)))).collect();
    let object = json!({"metadata": {"annotations": annotations}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    assert_eq!(
        truth(
            r#"condition(object, "Complete") && object != null && object.metadata.annotations.exists(k, k == "k7")"#,
            &object
        ),
        Verdict::Succeeded
    );
}

#[test]
fn predicates_give_truths() {
    assert_eq!(
        truth("'yes'", &json!({})),
        Verdict::Failed { reason: "the predicate `succeeded` gives a text, not true or false".into() }
    );
    assert!(matches!(truth("3", &json!({})), Verdict::Failed { reason } if reason.contains("int")));
    assert!(matches!(truth("null", &json!({})), Verdict::Pending { .. }));
}

#[test]
fn reasons_are_for_people_and_bounded() {
    let predicates =
        Predicates::compile(&target("false", "condition(object, 'Failed')", Some("object.status.message")))
            .unwrap();
    let object = |message: &str, failed: &str| json!({"status": {"message": message, "conditions": [{"type": "Failed", "status": failed}]}});
    assert_eq!(
        predicates.judge(Some(&object("out of memory", "True"))),
        Verdict::Failed { reason: "out of memory".into() }
    );
    assert_eq!(
        predicates.judge(Some(&object("pulling", "False"))),
        Verdict::Pending { why: "pulling".into() }
    );
    let hostile = format!("\u{1b}[2J{}", "x".repeat(100_000));
    let Verdict::Failed { reason } = predicates.judge(Some(&object(&hostile, "True"))) else {
        panic!("not failed")
    };
    assert!(
        !reason.contains('\u{1b}') && reason.chars().count() <= MAX_REASON_CHARS + 20,
        "{}",
        reason.len()
    );
    assert_eq!(
        predicates.judge(Some(&json!({"status": {}}))),
        Verdict::Pending { why: "none of its conditions is true yet".into() }
    );
}

#[test]
fn predicates_can_be_shared_between_threads() {
    fn assert_shared<T: Send + Sync + 'static>() {}
    assert_shared::<Predicates>();
}

#[test]
fn reasons_as_the_sdk_writes_them_are_taken() {
    let text = |kind: &str| {
        format!(
            r#"object.status.conditions.filter(c, c.type == "{kind}" && c.status == "True").map(c, (has(c.reason) ? c.reason : "{kind}") + (has(c.message) && c.message != "" ? ": " + c.message : ""))[0]"#
        )
    };
    let mut reason = String::new();
    for kind in ["Failed", "Suspended", "Restarting", "Running", "Created"] {
        reason.push_str(&format!(
            "condition(object, \"{kind}\") ? {} : object == null ? \"not created yet\" : ",
            text(kind)
        ));
    }
    reason.push_str("\"not looked at yet\"");
    let predicates = Predicates::compile(&target(
        "condition(object, 'Succeeded')",
        "condition(object, 'Failed')",
        Some(&reason),
    ))
    .unwrap();
    let job = with(
        json!([{"type": "Running", "status": "True", "reason": "JobRunning", "message": "PyTorchJob x is running."}]),
    );
    assert_eq!(
        predicates.judge(Some(&job)),
        Verdict::Pending { why: "JobRunning: PyTorchJob x is running.".into() }
    );
    assert_eq!(predicates.judge(None), Verdict::Pending { why: "not created yet".into() });
    assert_eq!(
        predicates.judge(Some(&with(json!([])))),
        Verdict::Pending { why: "not looked at yet".into() }
    );
}

#[test]
fn a_trusted_expression_is_compiled_when_it_is_asked() {
    super::trust_expressions(["object.status.trusted == true".to_owned(), "object.status.(".to_owned()]);
    let good = compiled("object.status.trusted == true", "false");
    assert_eq!(good.judge(Some(&json!({"status": {"trusted": true}}))), Verdict::Succeeded);
    // Nothing that was written down wrongly passes for done.
    let bad = compiled("object.status.(", "false");
    assert_eq!(
        bad.judge(Some(&json!({"status": {}}))),
        Verdict::Failed { reason: "the predicate `succeeded` is no expression".into() }
    );
}

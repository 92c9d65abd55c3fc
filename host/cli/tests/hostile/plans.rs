//! Plans that are other than what was declared, or than what a plan may be. What their manifests ask of a cluster beyond that is tried
//! in `host/core/tests/hostile_manifests.rs`; here is that the rules hold for what a component returns.

use crate::kit::{Trick, described, good, job, of_bytes, put, trick};
use ilab_test_support::Puppet;
use serde_json::{Value, json};

const DONE: &str = "condition(object, 'Complete')";

fn target(more: Value) -> Value {
    let object = json!({"api-version": "batch/v1", "kind": "Job", "name": "r-evil"});
    put(json!({"object": object, "succeeded": DONE, "failed": "false"}), more)
}

/// A plan of a good Job with something in another place.
fn plans(name: &'static str, more: Value) -> Trick {
    let plan = json!({"manifests": [job(json!({})).to_string()], "targets": [target(json!({}))]});
    trick(name, &good().render(json!({"ok": put(plan, more)})))
}

fn waits(name: &'static str, more: Value) -> Trick {
    plans(name, json!({"targets": [target(more)]}))
}

/// One manifest, and the Job that is waited for.
fn makes(name: &'static str, manifest: &Value) -> Trick {
    trick(name, &good().plan(&[manifest.clone(), job(json!({}))]))
}

/// A Job with something more, in place of the good one.
fn made(name: &'static str, more: Value) -> Trick {
    trick(name, &good().plan(&[job(more)]))
}

fn meta(name: &'static str, more: Value) -> Trick {
    made(name, json!({"metadata": put(json!({"name": "r-evil"}), more)}))
}

fn pod(name: &'static str, more: Value) -> Trick {
    let container = json!({"name": "main", "image": "quay.io/evil/evil:1"});
    let spec = put(json!({"restartPolicy": "Never", "containers": [container]}), more);
    made(name, json!({"spec": {"template": {"spec": spec}}}))
}

fn contained(name: &'static str, more: Value) -> Trick {
    let container = put(json!({"name": "main", "image": "quay.io/evil/evil:1"}), more);
    pod(name, json!({"containers": [container]}))
}

fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

/// A kind that it has declared, so that it is the guard that speaks.
fn declared(name: &'static str, api_version: &str, kind: &str, more: Value) -> Trick {
    let creates =
        json!([{"api-version": api_version, "kind": kind}, {"api-version": "batch/v1", "kind": "Job"}]);
    let manifest = put(object(api_version, kind, "r-evil-x"), more);
    trick(name, &described(json!({"creates": creates})).plan(&[manifest, job(json!({}))]))
}

/// The contract with a clock and chance, of which a component gets ones that stand still. What depends on them all the same is
/// found by `plugin check`, which looks under three clocks and seeds.
fn checked(name: &'static str, component: &Puppet) -> Trick {
    let wit = include_str!("../../../../wit/stage.wit");
    let asks = "world stage-plugin {\n    import wasi:clocks/wall-clock@0.2.0;\n    import wasi:random/random@0.2.0;\n";
    let wit = wit.replace("world stage-plugin {\n", asks)
        + "package wasi:clocks@0.2.0 { interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; } }\n\
           package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }\n";
    let imports = r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
        (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#;
    let bytes = component.clone().imports(imports).build_for(&wit);
    Trick { command: &["plugin", "check", "FILE"], ..of_bytes(name, bytes) }
}

pub(crate) fn tricks() -> Vec<Trick> {
    let reference = |kind: &str, name: &str| json!({"api-version": "batch/v1", "kind": kind, "name": name});
    let many = |count: usize| -> Value { (0..count).map(|_| job(json!({})).to_string()).collect() };
    let excerpt =
        |object: Value, container: &str| json!({"object": object, "container": container, "max-bytes": 1});
    vec![
        // Not what was declared.
        makes("a kind that it did not declare", &object("v1", "ConfigMap", "r-evil-x")),
        makes("another version of what it declared", &object("batch/v1beta1", "Job", "r-evil-x")),
        makes("another's object", &object("batch/v1", "Job", "r-mt-bench")),
        makes("a name that only begins like its own", &object("batch/v1", "Job", "r-evilx")),
        meta("another namespace", json!({"namespace": "kube-system"})),
        meta("the host's own labels", json!({"labels": {"ilab.dev/run": "other"}})),
        meta(
            "an owner of its own",
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}),
        ),
        meta("what keeps it from being deleted", json!({"finalizers": ["evil/never"]})),
        meta("a name that is made up later", json!({"generateName": "r-evil-"})),
        declared("a Secret", "v1", "Secret", json!({"stringData": {"x": "y"}})),
        declared("a role for itself", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", json!({})),
        declared(
            "a hook into every request",
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            json!({}),
        ),
        declared("a kind of its own", "apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({})),
        declared(
            "a list that hides what is in it",
            "v1",
            "List",
            json!({"items": [object("v1", "Secret", "x")]}),
        ),
        pod("the node's processes", json!({"hostPID": true})),
        pod("somebody's account", json!({"serviceAccountName": "admin"})),
        pod("the node's disk", json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
        pod("somebody's Secret", json!({"volumes": [{"name": "v", "secret": {"secretName": "admin"}}]})),
        contained("all privileges", json!({"securityContext": {"privileged": true}})),
        contained(
            "somebody's Secret in a variable",
            json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "admin", "key": "x"}}}]}),
        ),
        contained("no image", json!({"image": ""})),
        // Not a plan.
        plans("nothing to wait for", json!({"targets": []})),
        plans("nothing at all", json!({"manifests": [], "targets": []})),
        plans("a manifest without a kind", json!({"manifests": ["{\"apiVersion\": \"v1\"}"]})),
        plans(
            "a manifest whose name is a list",
            json!({"manifests": ["{\"apiVersion\": \"batch/v1\", \"kind\": \"Job\", \"metadata\": {\"name\": []}}"]}),
        ),
        plans("one object twice", json!({"manifests": many(2)})),
        plans("a thousand manifests", json!({"manifests": many(1_000)})),
        plans(
            "a thousand targets",
            json!({"targets": (0..1_000).map(|_| target(json!({}))).collect::<Value>()}),
        ),
        plans("one target twice", json!({"targets": [target(json!({})), target(json!({}))]})),
        waits("waits for another's object", json!({"object": reference("Job", "r-mt-bench")})),
        waits("waits for an object with an escape", json!({"object": reference("Job", "\u{1b}[2J")})),
        waits("is given no time", json!({"timeout-seconds": 0, "object": reference("Job", "r-evil")})),
        plans(
            "reads another's words",
            json!({"excerpts": [excerpt(reference("Job", "r-mt-bench"), "main")]}),
        ),
        plans(
            "reads a container that there is not",
            json!({"excerpts": [excerpt(reference("Job", "r-evil"), "ma\u{1b}in")]}),
        ),
        // Predicates.
        waits("a predicate that is none", json!({"succeeded": ")("})),
        waits("a predicate without a word", json!({"succeeded": ""})),
        waits("a predicate of ten kilobytes", json!({"succeeded": "true && ".repeat(1_300) + "true"})),
        waits(
            "a predicate that is deeper than anybody can look",
            json!({"failed": format!("{}true{}", "(".repeat(1_500), ")".repeat(1_500))}),
        ),
        waits("a predicate with a pattern", json!({"succeeded": "object.x.matches('(a+)+$')"})),
        waits("a predicate that asks for what there is not", json!({"succeeded": "env.HOME == ''"})),
        waits("a predicate that calls what there is not", json!({"succeeded": "exec('reboot')"})),
        waits("a reason that clears the screen", json!({"reason": "'\u{1b}[2J' +"})),
        // Lies that chance decides.
        checked("renders only in the year 1970", &sampled().before_render(CLOCK)),
        checked("is something else in another year", &sampled().before_stages(CLOCK)),
        checked("renders when it is lucky", &sampled().before_render(CHANCE)),
    ]
}

/// A good one for the run that samples are of.
fn sampled() -> Puppet {
    good().plan(&[job(json!({"metadata": {"name": "ilab-evil"}}))])
}

/// Gives up when the time is not the beginning.
const CLOCK: &str =
    "(call $now (i32.const 0)) (if (i64.ne (i64.load (i32.const 0)) (i64.const 0)) (then (unreachable)))";
/// Gives up for every second number.
const CHANCE: &str = "(if (i64.lt_s (call $random) (i64.const 0)) (then (unreachable)))";

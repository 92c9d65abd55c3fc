//! Tests of quotas alone; those against a real API server are in host/cli/tests/real/quotas.rs.

use super::super::finding::Severity;
use super::super::workload::tests::pods;
use super::*;
use serde_json::json;

fn quota(hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used}})
}

fn three_pods() -> Vec<Pods> {
    vec![pods(
        3,
        json!({"containers": [{"resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "4"}}}]}),
    )]
}

fn wants<'a>(pods: &'a [Pods], claims: &'a [NewClaim]) -> Wants<'a> {
    let objects = BTreeMap::from([("jobs.batch".to_owned(), 6), ("configmaps".to_owned(), 1)]);
    Wants { pods, claims, objects, uncounted: Vec::new(), default: Default::Hidden }
}

fn worst_of(quota: &Value, pods: &[Pods], claims: &[NewClaim]) -> Option<Severity> {
    wants(pods, claims).judge(quota).into_iter().map(|f| f.severity).max()
}

fn worst(quota: Value, ranges: &[Value]) -> Option<Severity> {
    worst_of(&quota, &ranges::filled(ranges, &three_pods()), &[])
}

#[test]
fn quotas_that_can_never_hold_it_are_errors_and_full_ones_warnings() {
    let gpus = |hard: &str, used: &str| {
        quota(json!({"requests.nvidia.com/gpu": hard}), json!({"requests.nvidia.com/gpu": used}))
    };
    assert_eq!(worst(gpus("12", "0"), &[]), Some(Severity::Ok));
    assert_eq!(worst(gpus("12", "1"), &[]), Some(Severity::Warning));
    assert_eq!(worst(gpus("11", "0"), &[]), Some(Severity::Error));
    assert_eq!(worst(quota(json!({"pods": "2"}), json!({})), &[]), Some(Severity::Error));
    assert_eq!(worst(quota(json!({"requests.cpu": "5999m"}), json!({})), &[]), Some(Severity::Error));
    assert_eq!(worst(quota(json!({"requests.cpu": "6"}), json!({})), &[]), Some(Severity::Ok));
    assert_eq!(worst(quota(json!({"services": "1"}), json!({})), &[]), None);
}

#[test]
fn a_scoped_quota_counts_only_what_is_in_its_scopes() {
    let scoped = |scope: &str, hard: Value| {
        let mut quota = quota(hard, json!({}));
        quota["spec"]["scopes"] = json!([scope]);
        worst(quota, &[])
    };
    assert_eq!(scoped("BestEffort", json!({"pods": "0"})), None);
    assert_eq!(scoped("NotBestEffort", json!({"pods": "0"})), Some(Severity::Error));
    assert_eq!(scoped("Terminating", json!({"limits.memory": "1"})), None, "nothing is missing there");
    assert_eq!(scoped("NotTerminating", json!({"limits.memory": "1"})), Some(Severity::Error));
    assert_eq!(scoped("Brave", json!({"pods": "0"})), Some(Severity::Skipped));
    assert_eq!(scoped("NotTerminating", json!({"count/jobs.batch": "0"})), None, "Jobs have no scope");
}

#[test]
fn objects_are_counted_by_their_resource_and_stay() {
    let jobs = |hard: &str, used: &str| {
        let quota = quota(json!({"count/jobs.batch": hard}), json!({"count/jobs.batch": used}));
        wants(&[], &[]).judge(&quota).remove(0)
    };
    assert_eq!(jobs("6", "0").severity, Severity::Ok);
    assert_eq!(jobs("5", "0").severity, Severity::Error);
    let full = jobs("6", "1");
    assert_eq!(full.severity, Severity::Warning);
    assert!(full.hint.contains("delete what is not needed"), "{full:?}");
    for key in ["configmaps", "count/configmaps"] {
        assert_eq!(worst(quota(json!({key: "0"}), json!({})), &[]), Some(Severity::Error), "{key}");
    }
    assert_eq!(worst(quota(json!({"count/deployments.apps": "0"}), json!({})), &[]), None);
}

#[test]
fn pods_that_have_ended_count_where_objects_are_counted() {
    let of = |stage: &str, stay: bool| {
        let mut p = pods(2, json!({"containers": [{}]}));
        p.stage = ilab_core::names::StageName::new(stage).unwrap();
        p.stay = stay;
        p
    };
    let all = [of("a", true), of("b", true), of("c", false), of("d", false)];
    let counted: Vec<_> = all.iter().collect();
    let wanted = |resource: &str| {
        wants(&all, &[]).wanted(&quota(json!({}), json!({})), &counted, resource).unwrap().milli
    };
    assert_eq!((wanted("pods"), wanted("count/pods")), (2000, 6000));
}

#[test]
fn what_pods_an_unknown_kind_makes_is_said_to_be_unknown() {
    let pods = three_pods();
    let mut wants = wants(&pods, &[]);
    wants.uncounted.push("TrainJob/x".to_owned());
    let told = wants.judge(&quota(json!({"pods": "9"}), json!({})));
    let severities: Vec<_> = told.iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Skipped, Severity::Ok]);
    assert!(told[0].what.contains("cannot tell whether ResourceQuota q has room for the pods of TrainJob/x"));
    assert_eq!(wants.judge(&quota(json!({"secrets": "9"}), json!({}))), []);
}

#[test]
fn a_quota_on_what_a_pod_does_not_say_is_an_error_unless_a_limit_range_says_it() {
    let memory = |most: &str| quota(json!({"limits.memory": most}), json!({}));
    assert_eq!(worst(memory("1Ti"), &[]), Some(Severity::Error));
    let range = [json!({"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}})];
    assert_eq!(worst(memory("3Gi"), &range), Some(Severity::Ok));
    assert_eq!(worst(memory("2Gi"), &range), Some(Severity::Error), "three pods of 1Gi each");
}

#[test]
fn claims_count_by_their_class() {
    let claims = [NewClaim { name: "c".into(), size: 1000, class: Some("nfs".into()) }];
    let wanted = |resource: &str| {
        wants(&[], &claims).wanted(&quota(json!({}), json!({})), &[], resource).map(|a| a.milli)
    };
    assert_eq!(wanted("nfs.storageclass.storage.k8s.io/requests.storage"), Some(1000));
    assert_eq!(wanted("fast.storageclass.storage.k8s.io/persistentvolumeclaims"), Some(0));
    for resource in ["persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage"] {
        assert_eq!(wanted(resource), Some(1000), "{resource}");
    }
}

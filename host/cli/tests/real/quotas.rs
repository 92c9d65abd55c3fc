//! What the preflight says of quotas and limit ranges, against what the API server then does.

use crate::kit::{Ended, Host, PATIENCE, Place, object, seen};
use k8s_openapi::api::core::v1::{LimitRange, PersistentVolumeClaim, Pod, ResourceQuota, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn doctor(place: &Place<'_>, args: &[&str]) -> (i32, Vec<Value>) {
    let mut command = place.command(&["doctor", "-o", "json"]);
    command.arg("--plugins").arg(crate::common::steps()).args(args);
    let ended = Host::new(command).end().await;
    let findings: Vec<Value> =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
    (ended.code, findings.into_iter().filter(|f| f["check"] == "quota").collect())
}

/// The worst that is said about quotas.
fn worst(findings: &[Value]) -> &str {
    let order = ["error", "warning", "skipped", "ok"];
    let said = |severity: &&&str| findings.iter().any(|f| f["severity"] == **severity);
    order.iter().find(said).copied().unwrap_or("none")
}

/// The quota is there, and the controller has counted.
async fn quota(place: &Place<'_>, name: &str, spec: Value) {
    let quotas: Api<ResourceQuota> = place.api();
    let made = json!({"metadata": {"name": name}, "spec": spec});
    quotas.create(&PostParams::default(), &object(made)).await.unwrap();
    let counted = |q: &ResourceQuota| q.status.as_ref().is_some_and(|s| s.used.is_some());
    seen(quotas, name, "counted", counted).await;
}

async fn drop_quota(place: &Place<'_>, name: &str) {
    let quotas: Api<ResourceQuota> = place.api();
    quotas.delete(name, &DeleteParams::default()).await.unwrap();
}

/// A pod as the steps have it.
fn pod() -> Value {
    json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "steps:1"}]}})
}

/// Whether the API server takes such a pod.
async fn takes(place: &Place<'_>) -> bool {
    let pods: Api<Pod> = place.api();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&params, &object(pod())).await {
        Ok(_) => true,
        Err(kube::Error::Api(refused)) if refused.code == 403 => false,
        Err(other) => panic!("{other}"),
    }
}

const STEPS: [&str; 2] = ["--claim=data=data", "--steps-volume=false"];

/// Each kind of scope, once met and once not; the API server's own admission is the judge.
#[tokio::test]
async fn quotas_with_scopes_count_what_the_api_server_counts() {
    let place = Place::shared("scopes").await;
    let priority = |operator: &str, values: Value| {
        let mut term = json!({"scopeName": "PriorityClass", "operator": operator});
        if values != json!([]) {
            term["values"] = values;
        }
        json!({"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [term]}})
    };
    let scope = |scope: &str| json!({"hard": {"pods": "0"}, "scopes": [scope]});
    for (number, (spec, takes_it)) in [
        (scope("BestEffort"), false),
        (scope("NotBestEffort"), true),
        (scope("NotTerminating"), false),
        (scope("Terminating"), true),
        (scope("CrossNamespacePodAffinity"), true),
        (priority("In", json!(["high"])), true),
        (priority("NotIn", json!(["high"])), false),
        (priority("Exists", json!([])), true),
        (priority("DoesNotExist", json!([])), false),
        (json!({"hard": {"count/pods": "5"}}), true),
    ]
    .into_iter()
    .enumerate()
    {
        let marker = format!("marker-{number}");
        quota(&place, "q", spec.clone()).await;
        until_admission_knows(&place, &marker).await;
        assert_eq!(takes(&place).await, takes_it, "the API server: {spec}");
        let (code, said) = doctor(&place, &STEPS).await;
        // Six pods that stay when they have ended are more than five, though each is taken at first.
        let refused = !takes_it || spec["hard"].get("count/pods").is_some();
        assert_eq!(
            (code, worst(&said) == "error"),
            if refused { (4, true) } else { (0, false) },
            "{spec}: {said:#?}"
        );
        drop_quota(&place, "q").await;
        drop_quota(&place, &marker).await;
    }
}

/// Waits until the API server's admission refuses by this quota, which was made after all others: it learns of them in order, by a
/// watch that cannot itself be watched.
async fn until_admission_knows(place: &Place<'_>, marker: &str) {
    quota(place, marker, json!({"hard": {"secrets": "0"}})).await;
    let secrets: Api<Secret> = place.api();
    let secret: Secret = object(json!({"metadata": {"name": "s"}}));
    until_refused(&secrets, &secret, marker).await;
}

async fn until_refused<K>(api: &Api<K>, object: &K, by: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let begun = Instant::now();
    loop {
        match api.create(&params, object).await {
            Err(kube::Error::Api(refused)) if refused.message.contains(by) => return,
            _ => assert!(begun.elapsed() < PATIENCE, "{by} is not in force"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn run_unasked(place: &Place<'_>, args: &[&str]) -> Ended {
    let all = [&["--preflight", "skip", "--pending-timeout", "2s"], args].concat();
    place.start(&all).end().await
}

/// Six Jobs, a record and a Lease: one object less than that is told beforehand, and refused later by who is not asked.
#[tokio::test]
async fn quotas_that_count_objects_are_judged_as_the_api_server_counts() {
    let place = Place::shared("counts").await;
    let _kubelet = place.end_well_from(1);
    // Each namespace has one ConfigMap from the beginning, and this one a claim.
    let enough: BTreeMap<&str, u8> = BTreeMap::from([
        ("count/jobs.batch", 6),
        ("count/configmaps", 2),
        ("configmaps", 2),
        ("count/leases.coordination.k8s.io", 1),
        ("count/pods", 6),
        ("count/secrets", 0),
        ("count/persistentvolumeclaims", 1),
        ("count/pytorchjobs.kubeflow.org", 0),
    ]);
    quota(
        &place,
        "q",
        json!({"hard": enough.iter().map(|(k, v)| (*k, v.to_string())).collect::<BTreeMap<_, _>>()}),
    )
    .await;
    let (code, said) = doctor(&place, &STEPS).await;
    assert_eq!((code, worst(&said)), (0, "ok"), "{said:#?}");
    place.start(&[]).end().await.expect(0, &[]);
    // And that is what was used, to the last one. The controller knows nothing yet of a kind that was installed just now.
    seen(place.api::<ResourceQuota>(), "q", "all is used", |q| {
        let used = q.status.as_ref().and_then(|s| s.used.as_ref());
        enough.iter().all(|(key, most)| {
            used.and_then(|used| used.get(*key)).map_or("0", |used| &used.0) == most.to_string()
        })
    })
    .await;
    Host::new(place.command(&["runs", "delete", "one"])).end().await.expect(0, &[]);
    drop_quota(&place, "q").await;

    for (key, most, part) in [
        ("count/jobs.batch", 5, "the run wants 6"),
        ("count/leases.coordination.k8s.io", 0, "the run wants 1"),
        ("count/pods", 5, "the run wants 6"),
    ] {
        quota(&place, "q", json!({"hard": {key: most.to_string()}})).await;
        let (code, said) = doctor(&place, &STEPS).await;
        let told =
            said.iter().any(|f| f["severity"] == "error" && f["what"].as_str().unwrap().contains(part));
        assert!(code == 4 && told, "{key}: {said:#?}");
        let ended = run_unasked(&place, &[]).await;
        assert!([4, 5].contains(&ended.code), "{key}: {ended:?}");
        assert!(ended.stderr.contains("exceeded quota: q"), "{key}: {ended:?}");
        if place.left().await.iter().any(|left| left == "ConfigMap/ilab-run-one") {
            Host::new(place.command(&["runs", "delete", "one"])).end().await.expect(0, &[]);
        }
        drop_quota(&place, "q").await;
    }

    // What others have may go: that is a warning.
    quota(&place, "q", json!({"hard": {"configmaps": "1"}})).await;
    let (code, said) = doctor(&place, &STEPS).await;
    assert_eq!((code, worst(&said)), (0, "warning"), "{said:#?}");
    assert!(said[0]["hint"].as_str().unwrap().contains("delete what is not needed"), "{said:#?}");
    run_unasked(&place, &[]).await.expect(4, &["exceeded quota: q", "free some of the namespace's quota"]);
    drop_quota(&place, "q").await;

    // A claim, a Secret, a PyTorchJob: where the run makes one.
    let hard = json!({"count/persistentvolumeclaims": "1", "count/pytorchjobs.kubeflow.org": "0"});
    quota(&place, "q", json!({"hard": hard})).await;
    let claims: Api<PersistentVolumeClaim> = place.api();
    assert!(claims.get_opt("data").await.unwrap().is_some());
    let (code, said) = doctor(&place, &["--storage-class=", "--set", "step-1.workers=2"]).await;
    let tells = |severity: &str, part: &str| {
        said.iter().any(|f| f["severity"] == severity && f["what"].as_str().unwrap().contains(part))
    };
    assert_eq!(code, 4);
    assert!(
        tells("warning", "1 count/persistentvolumeclaims, of which 1 are used; the run wants 1"),
        "{said:#?}"
    );
    assert!(tells("error", "0 count/pytorchjobs.kubeflow.org"), "{said:#?}");
}

#[tokio::test]
async fn limit_ranges_are_judged_as_the_api_server_does() {
    let place = Place::shared("ranges").await;
    let (ranges, claims): (Api<LimitRange>, Api<PersistentVolumeClaim>) = (place.api(), place.api());
    let large: PersistentVolumeClaim = object(json!({"metadata": {"name": "large"}, "spec": {
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}}));
    for (number, (limit, takes_it)) in [
        (json!({"type": "Pod", "max": {"cpu": "4"}}), false),
        (json!({"type": "Container", "max": {"cpu": "4"}}), true),
        (json!({"type": "Pod", "min": {"memory": "1Mi"}}), false),
        (json!({"type": "Container", "min": {"memory": "1Mi"}}), true),
        (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}), false),
        (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}), true),
        (json!({"type": "Container", "default": {"cpu": "1"}}), true),
    ]
    .into_iter()
    .enumerate()
    {
        // By what it says of claims one sees that the API server's admission knows it: no two maxima are the same.
        let most = format!("{}Mi", number + 2);
        let marker = json!({"type": "PersistentVolumeClaim", "max": {"storage": most}});
        let made = json!({"metadata": {"name": "r"}, "spec": {"limits": [limit, marker]}});
        ranges.create(&PostParams::default(), &object(made)).await.unwrap();
        until_refused(&claims, &large, &format!("is {most}")).await;
        assert_eq!(takes(&place).await, takes_it, "the API server: {limit}");
        let (code, said) = doctor(&place, &STEPS).await;
        assert_eq!((code, worst(&said) == "error"), if takes_it { (0, false) } else { (4, true) }, "{limit}: {said:#?}");
        // The run's own claim of 1 MiB is within each of them, and one of 1 GiB in none.
        let (code, said) = doctor(&place, &["--storage-class=", "--claim-size=data=1Gi"]).await;
        let claim = |f: &Value| f["severity"] == "error" && f["what"].as_str().unwrap().contains("the claim ilab-data");
        assert!(code == 4 && said.iter().any(claim), "{said:#?}");
        ranges.delete("r", &DeleteParams::default()).await.unwrap();
    }
}

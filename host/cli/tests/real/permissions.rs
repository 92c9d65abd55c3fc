//! What `ilab-host rbac` prints is enough for a run, and none of it is too much.

use crate::common::{plugins, steps};
use crate::kit::{Host, PATIENCE, Place, object};
use futures::StreamExt;
use ilab_test_cluster::Identity;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::time::{Instant, sleep};

/// The Role for a run of the steps.
pub(crate) async fn role(place: &Place<'_>) -> Vec<PolicyRule> {
    let mut plain = tokio::process::Command::from(crate::common::host());
    // It asks no cluster, so it takes no kubeconfig.
    plain.args([
        "rbac",
        "--run",
        "one",
        "--claim",
        "data=data",
        "-o",
        "json",
        "--namespace",
        place.namespace.name(),
    ]);
    plain.arg("--plugins").arg(steps());
    let output = plain.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    rules_of(&output.stdout)
}

/// The rules in what `rbac -o json` prints.
fn rules_of(printed: &[u8]) -> Vec<PolicyRule> {
    let list: Value = serde_json::from_slice(printed).unwrap();
    let role = list["items"].as_array().unwrap().iter().find(|o| o["kind"] == "Role").unwrap();
    object(role["rules"].clone())
}

/// A new account with these rules, as a kubeconfig. It is waited for until the authorizer knows of them.
pub(crate) async fn account(place: &Place<'_>, name: &str, rules: Vec<PolicyRule>) -> PathBuf {
    let (accounts, roles, bindings): (Api<ServiceAccount>, Api<Role>, Api<RoleBinding>) =
        (place.api(), place.api(), place.api());
    let metadata = json!({"metadata": {"name": name}});
    accounts.create(&PostParams::default(), &object(metadata.clone())).await.unwrap();
    let (known, verb) = (rules[0].clone(), rules[0].verbs[0].clone());
    let mut role: Role = object(metadata);
    role.rules = Some(rules);
    roles.create(&PostParams::default(), &role).await.unwrap();
    let namespace = place.namespace.name();
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    });
    bindings.create(&PostParams::default(), &object(binding)).await.unwrap();
    let identity = Identity::service_account(namespace, name);
    let reviews: Api<SelfSubjectAccessReview> = Api::all(place.cluster.client_as(&identity).await.unwrap());
    let review: SelfSubjectAccessReview = object(json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "verb": verb, "group": known.api_groups.unwrap()[0],
        "resource": known.resources.unwrap()[0], "name": known.resource_names.unwrap_or_default().first(),
    }}}));
    // The authorizer's own watch brings it within moments; that it has cannot be watched.
    let begun = Instant::now();
    while !reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed {
        assert!(begun.elapsed() < PATIENCE, "{name} gets no rights");
        sleep(std::time::Duration::from_millis(10)).await;
    }
    place.cluster.kubeconfig_as(&identity).unwrap()
}

#[tokio::test]
async fn the_printed_role_is_enough_for_a_run_with_trouble_and_its_deletion() {
    let place = Place::shared("enough").await;
    let rules = role(&place).await;
    let kubeconfig = account(&place, "runner", rules).await;
    let place = place.by(kubeconfig);
    let host = place.start(&[]);
    place.kubelet.failed(&place.pod(1).await, 1, "Error").await.unwrap();
    let ended = host.end().await;
    ended.expect(5, &[]);
    // The Events of the failure were read, too.
    assert!(ended.stdout.contains("BackoffLimitExceeded"), "{}", ended.stdout);
    let _kubelet = place.end_well_from(1);
    place.resume(&[]).end().await.expect(0, &[]);
    let runs = |args: &[&str]| Host::new(place.command(&[&["runs"], args].concat())).end();
    runs(&["list"]).await.expect(0, &[]);
    runs(&["delete", "one"]).await.expect(0, &[]);
}

#[tokio::test]
async fn without_any_of_its_rights_a_run_does_not_begin_and_says_which() {
    let place = Place::shared("minimal").await;
    let rules = role(&place).await;
    let mut cases = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for verb in &rule.verbs {
            for resource in rule.resources.iter().flatten() {
                // For `runs list` and `runs delete` only.
                let managed = ["configmaps", "leases"].contains(&resource.as_str());
                if managed && ["list", "watch", "delete"].contains(&verb.as_str()) {
                    continue;
                }
                let mut fewer = rules.clone();
                // The others of the rule stay: it is split by resource.
                let mut rest = rule.clone();
                rest.resources.as_mut().unwrap().retain(|r| r != resource);
                fewer[at].resources = Some(vec![resource.clone()]);
                fewer[at].verbs.retain(|v| v != verb);
                fewer.push(rest);
                fewer.retain(|r| !r.verbs.is_empty() && !r.resources.as_ref().unwrap().is_empty());
                cases.push((verb.clone(), resource.clone(), fewer));
            }
        }
    }
    assert!(cases.len() >= 20, "{}", cases.len());
    let place = &place;
    let checks = cases.into_iter().enumerate().map(|(number, (verb, resource, rules))| async move {
        let kubeconfig = account(place, &format!("less-{number}"), rules).await;
        let ended = Host::new(place.run_by(&kubeconfig)).end().await;
        ended.expect(4, &["ilab-host rbac"]);
        // By the preflight; or by the server, where the preflight itself is what needs the right.
        let findings = ended.stderr.matches("you may not").count();
        let by_preflight = ended.stderr.contains(&format!("you may not {verb} {resource}")) && findings == 1;
        let by_server = ended.stderr.contains(&format!("cannot {verb} resource \"{resource}\""));
        assert!(by_preflight || by_server, "{verb} {resource}:\n{}", ended.stderr);
    });
    futures::stream::iter(checks).buffer_unordered(4).collect::<Vec<()>>().await;
    assert!(place.left().await.is_empty());
}

#[tokio::test]
async fn b5_a_secret_that_may_not_be_read_is_no_secret_that_is_not_there() {
    let place = Place::shared("secret").await;
    let rule = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let kubeconfig = account(&place, "reader", object(rule)).await;
    let place = place.by(kubeconfig);
    let mut command = place.command(&["run", "sdg-data-fetch", "--sdg-object-store-secret", "s3"]);
    command.arg("--plugins").arg(plugins());
    let ended = Host::new(command).end().await;
    ended.expect(4, &["secrets", "s3", "try:"]);
    assert!(!ended.stderr.contains("there is no Secret"), "{}", ended.stderr);
    assert!(place.left().await.is_empty());
}

/// The API server of these tests guards owner references as OpenShift's does: whoever gives an object another owner must be allowed
/// to delete it, and whoever lets it hold up its owner's deletion to change the owner's finalizers. The printed Role has neither.
#[tokio::test]
async fn where_owner_references_are_guarded_a_shared_secret_stays_its_makers_and_that_is_told() {
    let place = Place::shared("owners").await;
    let values =
        ["bucket=b", "access-key=a", "secret-key=s", "data-key=k"].map(|v| format!("--sdg-object-store-{v}"));
    let mut rbac = tokio::process::Command::from(crate::common::host());
    rbac.args(["rbac", "sdg-data-fetch", "-o", "json", "--namespace", place.namespace.name()]).args(&values);
    let output = rbac.arg("--plugins").arg(plugins()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kubeconfig = account(&place, "runner", rules_of(&output.stdout)).await;
    let place = place.by(kubeconfig);
    let fetch = |run: &str| {
        let mut command = place.command(&["run", "-o", "json", "--run", run, "--storage-class="]);
        command.arg("--plugins").arg(plugins()).args(&values).arg("sdg-data-fetch");
        Host::new(command)
    };
    let mut first = fetch("one");
    first.event("stage-started", |_| true).await;
    first.interrupt().await.expect(130, &[]);
    let mut second = fetch("two");
    let told = second.event("preflight", |event| event["finding"]["check"] == "credentials").await;
    let what = told["finding"]["what"].as_str().unwrap();
    assert!(what.contains("stays with the run that made it") && what.contains("can't delete"), "{told}");
    second.event("stage-started", |_| true).await;
    second.interrupt().await.expect(130, &[]);
    for run in ["two", "one"] {
        Host::new(place.command(&["runs", "delete", run])).end().await.expect(0, &["is deleted"]);
    }
}

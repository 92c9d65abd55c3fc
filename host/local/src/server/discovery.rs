//! What the server says it can do.

use super::bodies::{self, Answer};
use super::request::Request;
use super::resources::{GROUPS, RESOURCES, Resource};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/version`.
pub(super) fn version() -> Answer {
    let version = json!({
        "major": "1", "minor": "34", "gitVersion": concat!("v1.34.0+ilab-local.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
        "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    bodies::json(StatusCode::OK, &version)
}

fn wants_aggregated(request: &Request) -> bool {
    let accept: String = request.accept().chars().filter(|c| !c.is_whitespace()).collect();
    accept.split(',').any(|kind| kind.starts_with(AGGREGATED))
}

fn aggregated(groups: &[&str]) -> Answer {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let mut resources: Vec<Value> =
                RESOURCES.iter().filter(|r| r.group == *group).map(aggregated_resource).collect();
            if *group == "authorization.k8s.io" {
                resources.push(json!({
                    "resource": "selfsubjectaccessreviews", "scope": "Cluster", "verbs": ["create"],
                    "singularResource": "selfsubjectaccessreview",
                    "responseKind": {"group": group, "version": "v1", "kind": "SelfSubjectAccessReview"},
                }));
            }
            json!({
                "metadata": {"name": group, "creationTimestamp": null},
                "versions": [{"version": "v1", "freshness": "Current", "resources": resources}],
            })
        })
        .collect();
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    let mut answer = bodies::json(StatusCode::OK, &list);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    answer
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let mut made = json!({
        "resource": resource.plural, "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": VERBS,
    });
    if !resource.short.is_empty() {
        made["shortNames"] = json!(resource.short);
    }
    let subresources: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, verbs)| json!({"subresource": name, "responseKind": kind, "verbs": verbs}))
        .collect();
    if !subresources.is_empty() {
        made["subresources"] = json!(subresources);
    }
    made
}

fn subresources(resource: &Resource) -> Vec<(&'static str, &'static [&'static str])> {
    let mut made: Vec<(&'static str, &'static [&'static str])> = Vec::new();
    if resource.kind == "Pod" {
        made.push(("log", &["get"]));
    }
    if resource.status {
        made.push(("status", &["get", "patch", "update"]));
    }
    made
}

/// `/api`.
pub(super) fn core(request: &Request) -> Answer {
    if wants_aggregated(request) {
        return aggregated(&[""]);
    }
    bodies::json(
        StatusCode::OK,
        &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
    )
}

fn group_value(group: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/apis`.
pub(super) fn groups(request: &Request) -> Answer {
    if wants_aggregated(request) {
        return aggregated(GROUPS);
    }
    let groups: Vec<Value> = GROUPS.iter().map(|group| group_value(group)).collect();
    bodies::json(StatusCode::OK, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/apis/GROUP`.
pub(super) fn group(group: &str) -> Option<Answer> {
    let group = GROUPS.iter().find(|known| **known == group)?;
    let mut value = group_value(group);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(bodies::json(StatusCode::OK, &value))
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub(super) fn resources(group: &str, version: &str) -> Option<Answer> {
    if version != "v1" || !group.is_empty() && !GROUPS.contains(&group) {
        return None;
    }
    let mut list = Vec::new();
    for resource in RESOURCES.iter().filter(|resource| resource.group == group) {
        let mut made = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": VERBS,
        });
        if !resource.short.is_empty() {
            made["shortNames"] = json!(resource.short);
        }
        list.push(made);
        for (name, verbs) in subresources(resource) {
            list.push(json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs,
            }));
        }
    }
    if group == "authorization.k8s.io" {
        list.push(json!({
            "name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(bodies::json(
        StatusCode::OK,
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    ))
}

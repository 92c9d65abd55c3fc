//! Deleting: at once, after a grace period, or when the last finalizer is gone.

use super::bodies::{self, Answer};
use super::object::{filled, metadata, now, parse, text};
use super::request::Request;
use super::resources::{self, RESOURCES, Resource};
use super::route::Target;
use super::selector::Selector;
use super::status::Refusal;
use super::{Server, Shared};
use crate::store::{CommitError, Key};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// How a deletion is to go.
#[derive(Debug, Default)]
struct Options {
    uid: Option<String>,
    version: Option<String>,
    grace: Option<u64>,
    propagation: Option<String>,
    dry_run: bool,
}

impl Options {
    fn of(request: &Request) -> Result<Self, Refusal> {
        let body = if request.body.is_empty() { json!({}) } else { request.object()? };
        let own = |pointer: &str| {
            let text = text(&body, pointer);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let grace = match body.get("gracePeriodSeconds") {
            None | Some(Value::Null) => request.number("gracePeriodSeconds")?,
            Some(value) => Some(value.as_u64().ok_or_else(|| {
                Refusal::bad_request("gracePeriodSeconds must be a number that is not negative")
            })?),
        };
        let propagation =
            own("/propagationPolicy").or_else(|| request.param("propagationPolicy").map(str::to_owned));
        if let Some(policy) = &propagation
            && !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan")
        {
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: {policy:?}: valid values are \"Foreground\", \"Background\", \"Orphan\" or nil"
                ),
            ));
        }
        if propagation.is_some() && body.get("orphanDependents").is_some_and(|flag| !flag.is_null()) {
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let dry_run = request.dry_run()? || filled(&body, "/dryRun");
        Ok(Self {
            uid: own("/preconditions/uid"),
            version: own("/preconditions/resourceVersion"),
            grace,
            propagation,
            dry_run,
        })
    }
}

/// What a deletion came to.
enum Deleted {
    /// The object is gone.
    Gone(Value),
    /// It is marked, and goes later.
    Later(Bytes),
}

/// `DELETE` of one object.
pub(super) fn one(
    server: &Shared,
    request: &Request,
    target: &Target,
    name: &str,
) -> Result<Answer, Refusal> {
    let options = Options::of(request)?;
    let answer = match remove(server, target.resource, &target.key(name), &options)? {
        Deleted::Later(object) => bodies::raw(StatusCode::OK, object),
        Deleted::Gone(object) if target.resource.kind == "Pod" => bodies::json(StatusCode::OK, &object),
        Deleted::Gone(object) => {
            let mut details =
                json!({"name": name, "kind": target.resource.plural, "uid": text(&object, "/metadata/uid")});
            if !target.resource.group.is_empty() {
                details["group"] = json!(target.resource.group);
            }
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            bodies::json(StatusCode::OK, &status)
        }
    };
    if target.resource.kind == "Job" && options.propagation.is_none() {
        return Ok(bodies::warn(
            answer,
            &["child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_owned()],
        ));
    }
    Ok(answer)
}

/// `DELETE` of what a selector finds.
pub(super) fn collection(server: &Shared, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let options = Options::of(request)?;
    let selector = Selector::of(request, target.resource)?;
    let (found, version) = server.store.list(target.resource.id, target.namespace.as_deref());
    let mut items = Vec::new();
    for (key, stored) in found {
        if !selector.admits(&key) || !selector.matches(&stored.object) {
            continue;
        }
        match remove(server, target.resource, &key, &options) {
            Ok(Deleted::Gone(object)) => items.push(object),
            Ok(Deleted::Later(object)) => items.push(parse(&object)?),
            // Somebody else was quicker.
            Err(refusal) if refusal.code == StatusCode::NOT_FOUND => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let list = json!({
        "kind": format!("{}List", target.resource.kind), "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": version.to_string()}, "items": items,
    });
    Ok(bodies::json(StatusCode::OK, &list))
}

fn remove(server: &Server, resource: &Resource, key: &Key, options: &Options) -> Result<Deleted, Refusal> {
    for _ in 0..32 {
        let Some(stored) = server.store.get(key) else {
            return Err(Refusal::not_found(resource, &key.name));
        };
        let mut object = parse(&stored.object)?;
        let failed = |what: &str, wanted: &str, is: &str| {
            let why =
                format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
            Refusal::conflict(resource, &key.name, &why)
        };
        let uid = text(&object, "/metadata/uid");
        if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
            return Err(failed("UID", wanted, uid));
        }
        let version = text(&object, "/metadata/resourceVersion");
        if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
            return Err(failed("ResourceVersion", wanted, version));
        }
        let marked = mark(resource, &mut object, options);
        if options.dry_run {
            return Ok(match marked {
                Marked::Go => Deleted::Gone(object),
                Marked::Stays | Marked::Changed => Deleted::Later(Bytes::from(object.to_string())),
            });
        }
        let done = match marked {
            Marked::Stays => return Ok(Deleted::Later(stored.object)),
            Marked::Changed => server
                .store
                .put(key.clone(), Some(stored.version), &mut object)
                .map(|stored| Deleted::Later(stored.object)),
            Marked::Go => {
                server.store.remove(key, stored.version, &mut object).map(|_| Deleted::Gone(object))
            }
        };
        match done {
            Ok(deleted) => {
                if resource.kind == "Namespace" {
                    empty(server, &key.name);
                }
                removed(server, key);
                return Ok(deleted);
            }
            Err(CommitError::Raced) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Refusal::modified(resource, &key.name))
}

enum Marked {
    /// Nothing keeps it.
    Go,
    /// It is to be written back with its marks.
    Changed,
    /// It was marked before.
    Stays,
}

/// Sets what a deletion leaves on an object that cannot go yet.
fn mark(resource: &Resource, object: &mut Value, options: &Options) -> Marked {
    let before = object.clone();
    let policy = match options.propagation.as_deref() {
        // As ever for batch/v1: without a policy, the pods stay.
        None if resource.kind == "Job" => Some("Orphan"),
        other => other,
    };
    if let Some(policy) = policy {
        finalizers(object, policy);
    }
    if resource.kind == "Namespace" {
        object["status"]["phase"] = json!("Terminating");
    }
    let grace = if resource.kind == "Pod" { pod_grace(object, options) } else { 0 };
    let kept = filled(object, "/metadata/finalizers") || grace > 0 || resource.kind == "Namespace";
    if !kept {
        return Marked::Go;
    }
    let earlier = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64);
    let deleting = !text(object, "/metadata/deletionTimestamp").is_empty();
    if !deleting || earlier.is_some_and(|earlier| grace < earlier) {
        let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
        let at = deadline(grace);
        let metadata = metadata(object);
        metadata.insert("deletionTimestamp".into(), json!(at));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if let Some(generation) = generation.filter(|_| !deleting) {
            metadata.insert("generation".into(), json!(generation + 1));
        }
    }
    if *object == before { Marked::Stays } else { Marked::Changed }
}

fn deadline(grace: u64) -> String {
    // No pod waits longer than a day to stop, and the clock does not reach the end of time.
    let grace = i64::try_from(grace.min(86_400)).unwrap_or(86_400);
    jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_secs(grace))
        .map_or_else(|_| now(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long a pod has to stop: nothing when no node has it or it has ended.
fn pod_grace(object: &Value, options: &Options) -> u64 {
    let ended = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if ended || text(object, "/spec/nodeName").is_empty() {
        return 0;
    }
    let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    options.grace.unwrap_or_else(|| own.unwrap_or(30))
}

fn finalizers(object: &mut Value, policy: &str) {
    const FOREGROUND: &str = "foregroundDeletion";
    const ORPHAN: &str = "orphan";
    let mut list: Vec<String> = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|name| !matches!(*name, FOREGROUND | ORPHAN))
        .map(str::to_owned)
        .collect();
    match policy {
        "Foreground" => list.push(FOREGROUND.to_owned()),
        "Orphan" => list.push(ORPHAN.to_owned()),
        _ => {}
    }
    if list.is_empty() {
        metadata(object).shift_remove("finalizers");
    } else {
        metadata(object).insert("finalizers".into(), json!(list));
    }
}

/// Deletes what is in a namespace.
fn empty(server: &Server, namespace: &str) {
    let options = Options { propagation: Some("Background".to_owned()), ..Options::default() };
    for resource in RESOURCES.iter().filter(|resource| resource.namespaced) {
        for (key, _) in server.store.list(resource.id, Some(namespace)).0 {
            // Gone already, or held by a finalizer: the last removal looks again.
            if let Err(refusal) = remove(server, resource, &key, &options) {
                tracing::debug!(name = %key.name, error = %refusal.message, "not deleted with its namespace");
            }
        }
    }
}

/// After an object has gone: a namespace that only waited for it goes too.
pub(super) fn removed(server: &Server, key: &Key) {
    let Some(namespaces) = resources::find("", "v1", "namespaces") else { return };
    let namespace = if key.resource == namespaces.id { &key.name } else { &key.namespace };
    let namespace = Key { resource: namespaces.id, namespace: String::new(), name: namespace.clone() };
    let Some(stored) = server.store.get(&namespace) else { return };
    let Ok(mut object) = parse(&stored.object) else { return };
    if text(&object, "/status/phase") != "Terminating" || filled(&object, "/metadata/finalizers") {
        return;
    }
    let occupied = RESOURCES
        .iter()
        .filter(|resource| resource.namespaced)
        .any(|resource| !server.store.list(resource.id, Some(&namespace.name)).0.is_empty());
    if !occupied && let Err(error) = server.store.remove(&namespace, stored.version, &mut object) {
        tracing::debug!(%error, "the namespace is still there");
    }
}

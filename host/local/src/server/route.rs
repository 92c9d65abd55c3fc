//! From an address to what answers it.

use super::bodies::{self, Answer};
use super::request::Request;
use super::resources::{self, Resource};
use super::status::Refusal;
use super::{Shared, access, create, delete, discovery, list, logs, update, watch};
use crate::store::Key;
use bytes::Bytes;
use http::{Method, StatusCode};

/// One resource's address: a collection, an object or a subresource.
pub(crate) struct Target {
    pub(crate) resource: &'static Resource,
    /// None: all namespaces, or a resource of the cluster.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// The key of the object of this name.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key {
            resource: self.resource.id,
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }
}

/// Answers a request, always.
pub(crate) async fn answer(server: &Shared, request: Request) -> Answer {
    match dispatch(server, request).await {
        Ok(answer) => answer,
        Err(refusal) => bodies::refuse(&refusal),
    }
}

async fn dispatch(server: &Shared, request: Request) -> Result<Answer, Refusal> {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => {
            return Ok(bodies::whole(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok")));
        }
        ["version"] => return Ok(discovery::version()),
        ["api"] => return Ok(discovery::core(&request)),
        ["apis"] => return Ok(discovery::groups(&request)),
        ["apis", group] => return Ok(discovery::group(group).unwrap_or_else(no_page)),
        ["api", "v1"] => return Ok(discovery::resources("", "v1").unwrap_or_else(no_page)),
        ["apis", group, version] => {
            return Ok(discovery::resources(group, version).unwrap_or_else(no_page));
        }
        ["api", "v1", rest @ ..] => ("", "v1", rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Ok(no_page()),
    };
    if group == "authorization.k8s.io" {
        return access::review(version, rest, &request);
    }
    match target(group, version, rest) {
        Some(target) => verb(server, &request, &target).await,
        // A group that is served knows what it does not have.
        None if group.is_empty() || resources::GROUPS.contains(&group) => Err(unknown_path()),
        None => Ok(no_page()),
    }
}

/// What the real server says, in plain text, of groups and kinds that it does not have.
fn no_page() -> Answer {
    bodies::whole(
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        Bytes::from_static(b"404 page not found\n"),
    )
}

fn unknown_path() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
}

fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let own = |text: &&str| (*text).to_owned();
    let (namespace, rest) = match rest {
        // Below a namespace; `namespaces/x/status` and `/finalize` are the namespace's own.
        ["namespaces", namespace, plural, rest @ ..] if !matches!(*plural, "status" | "finalize") => {
            (Some((*namespace).to_owned()), [&[*plural], rest].concat())
        }
        other => (None, other.to_vec()),
    };
    let (plural, rest) = rest.split_first()?;
    let resource = resources::find(group, version, plural)?;
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some(own(name)), None),
        [name, subresource] => (Some(own(name)), Some(own(subresource))),
        _ => return None,
    };
    if namespace.is_some() && !resource.namespaced
        || resource.namespaced && namespace.is_none() && name.is_some()
    {
        return None;
    }
    Some(Target { resource, namespace, name, subresource })
}

async fn verb(server: &Shared, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let not_allowed = || {
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    };
    let status = match (target.subresource.as_deref(), &target.name) {
        (None, _) => false,
        (Some("status"), Some(_)) if target.resource.status => true,
        (Some("log"), Some(name)) if target.resource.kind == "Pod" && request.method == Method::GET => {
            return logs::read(server, request, &target.key(name)).await;
        }
        _ => return Err(unknown_path()),
    };
    let watching = request.flag("watch");
    match (&request.method, &target.name) {
        (&Method::GET, None) if watching => watch::watch(server, request, target, None),
        (&Method::GET, Some(name)) if watching => watch::watch(server, request, target, Some(name)),
        (&Method::GET, None) => list::list(server, request, target),
        (&Method::GET, Some(name)) => list::get(server, request, target, name),
        (&Method::POST, None) if !target.resource.namespaced || target.namespace.is_some() => {
            create::post(server, request, target)
        }
        (&Method::PUT, Some(name)) => update::put(server, request, target, name, status),
        (&Method::PATCH, Some(name)) => update::patch(server, request, target, name, status),
        (&Method::DELETE, Some(name)) if !status => delete::one(server, request, target, name),
        (&Method::DELETE, None) if !target.resource.namespaced || target.namespace.is_some() => {
            delete::collection(server, request, target)
        }
        _ => Err(not_allowed()),
    }
}

//! Reading: one object, or those of a collection.

use super::Shared;
use super::bodies::{self, Answer};
use super::request::Request;
use super::route::Target;
use super::selector::Selector;
use super::status::Refusal;
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

/// A version that a client names: empty and `0` mean whatever there is.
pub(super) fn version_of(request: &Request) -> Result<Option<u64>, Refusal> {
    match request.param("resourceVersion") {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Refusal::unknown(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))),
    }
}

/// `GET` of one object.
pub(super) fn get(
    server: &Shared,
    request: &Request,
    target: &Target,
    name: &str,
) -> Result<Answer, Refusal> {
    version_of(request)?;
    let stored =
        server.store.get(&target.key(name)).ok_or_else(|| Refusal::not_found(target.resource, name))?;
    Ok(bodies::raw(StatusCode::OK, stored.object))
}

/// `GET` of a collection. `limit` is not needed with everything in memory: the whole list is one page.
pub(super) fn list(server: &Shared, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let asked = match version_of(request) {
        // A list is told so with another code than the rest.
        Err(refusal) => return Err(Refusal::bad_request(refusal.message)),
        Ok(asked) => asked,
    };
    request.number("limit")?;
    let selector = Selector::of(request, target.resource)?;
    let (items, version) = server.store.list(target.resource.id, target.namespace.as_deref());
    let exact = request.param("resourceVersionMatch") == Some("Exact");
    if let Some(asked) = asked {
        if asked > version {
            return Err(too_large(asked, version));
        }
        if exact && asked != version {
            return Err(expired(&format!("The provided resource version {asked} is not available any more")));
        }
    }
    let head = json!({
        "kind": format!("{}List", target.resource.kind),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": version.to_string()},
    });
    // The objects are JSON already; only the envelope is made here.
    let mut body = head.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"items\":[");
    let mut first = true;
    for (key, stored) in items {
        if !selector.admits(&key) || !selector.matches(&stored.object) {
            continue;
        }
        if !first {
            body.push(b',');
        }
        first = false;
        body.extend_from_slice(&stored.object);
    }
    body.extend_from_slice(b"]}");
    Ok(bodies::raw(StatusCode::OK, Bytes::from(body)))
}

/// A version that has not been yet: of another cluster, or from before its state was lost.
pub(super) fn too_large(asked: u64, newest: u64) -> Refusal {
    Refusal::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        format!("Too large resource version: {asked}, current: {newest}"),
    )
    .with_causes(vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})])
}

/// 410.
pub(super) fn expired(message: &str) -> Refusal {
    Refusal::new(StatusCode::GONE, "Expired", message)
}

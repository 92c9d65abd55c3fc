//! Creating objects.

use super::bodies::{self, Answer};
use super::object::{admit_body, metadata, now, parse, suffix, text, uid};
use super::request::Request;
use super::resources::{self, Resource};
use super::route::Target;
use super::status::{Cause, Refusal};
use super::{Server, Shared};
use crate::apply;
use crate::schema;
use crate::store::{CommitError, Key};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// `POST` to a collection.
pub(super) fn post(server: &Shared, request: &Request, target: &Target) -> Result<Answer, Refusal> {
    let dry_run = request.dry_run()?;
    let mut object = request.object()?;
    let warnings = admit_body(request, target, None, &mut object)?;
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
    }
    metadata(&mut object).shift_remove("managedFields");
    let generated = generate_name(&mut object)?;
    for _ in 0..8 {
        let mut object = object.clone();
        prepare(server, target.resource, &mut object)?;
        let who = apply::Who::update(request.manager(), target.resource.api_version(), "");
        let empty = json!({});
        apply::record_update(schema::shape(target.resource.shape), &empty, &mut object, &who, &now());
        let name = text(&object, "/metadata/name").to_owned();
        match insert(server, target.key(&name), &mut object, dry_run) {
            Ok(bytes) => {
                return Ok(bodies::warn(bodies::raw(StatusCode::CREATED, bytes), &warnings));
            }
            Err(CommitError::Raced) if generated.is_none() => {
                return Err(Refusal::already_exists(target.resource, &name));
            }
            Err(CommitError::Raced) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Refusal::new(
        StatusCode::CONFLICT,
        "AlreadyExists",
        "the server was not able to generate a unique name for the object",
    ))
}

fn generate_name(object: &mut Value) -> Result<Option<String>, Refusal> {
    let base = text(object, "/metadata/generateName");
    if base.is_empty() || !text(object, "/metadata/name").is_empty() {
        return Ok(None);
    }
    let base: String = base.chars().take(58).collect();
    let name = format!("{base}{}", suffix()?);
    metadata(object).insert("name".into(), json!(name));
    Ok(Some(name))
}

/// Writes a new object, or only says how it would look.
pub(super) fn insert(
    server: &Server,
    key: Key,
    object: &mut Value,
    dry_run: bool,
) -> Result<Bytes, CommitError> {
    if dry_run {
        if server.store.get(&key).is_some() {
            return Err(CommitError::Raced);
        }
        return serde_json::to_vec(object).map(Bytes::from).map_err(CommitError::Serialise);
    }
    let stored = server.store.put(key, None, object)?;
    Ok(stored.object)
}

/// Everything that the server does to an object before it is there: what only it may write, defaults, validation, and
/// whether its namespace takes it.
pub(super) fn prepare(server: &Server, resource: &Resource, object: &mut Value) -> Result<(), Refusal> {
    let name = text(object, "/metadata/name").to_owned();
    if name.is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(Refusal::invalid(resource, "", &[cause]));
    }
    namespace_takes(server, resource, object, &name)?;
    let uid = uid()?;
    let metadata = metadata(object);
    for own in
        ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"]
    {
        metadata.shift_remove(own);
    }
    metadata.insert("uid".into(), json!(uid));
    metadata.insert("creationTimestamp".into(), json!(now()));
    if resource.generation() {
        metadata.insert("generation".into(), json!(1));
    }
    if resource.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.shift_remove("status");
    }
    schema::default_object(resource, object);
    schema::prepare_create(resource, object);
    let causes = schema::require(resource, object, None);
    if !causes.is_empty() {
        return Err(Refusal::invalid(resource, &name, &causes));
    }
    schema::refused(resource, object).map_or(Ok(()), |why| Err(Refusal::denied(why)))
}

fn namespace_takes(server: &Server, resource: &Resource, object: &Value, name: &str) -> Result<(), Refusal> {
    if !resource.namespaced {
        return Ok(());
    }
    let namespace = text(object, "/metadata/namespace");
    let Some(namespaces) = resources::find("", "v1", "namespaces") else { return Ok(()) };
    let key = Key { resource: namespaces.id, namespace: String::new(), name: namespace.to_owned() };
    let Some(stored) = server.store.get(&key) else {
        return Err(Refusal::not_found(namespaces, namespace));
    };
    if text(&parse(&stored.object)?, "/status/phase") == "Terminating" {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        return Err(Refusal::forbidden(resource, name, &why));
    }
    Ok(())
}

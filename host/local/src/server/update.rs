//! Changing objects: whole, by a patch, or by server-side apply.

use super::bodies::{self, Answer};
use super::object::{admit_body, filled, metadata, now, parse, text};
use super::request::Request;
use super::route::Target;
use super::status::{Cause, Refusal};
use super::{Server, Shared, create, delete};
use crate::apply::{self, Patch, PatchError, Who};
use crate::schema;
use crate::store::{CommitError, Stored};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// How often a change is tried again when another one came first.
const ATTEMPTS: usize = 32;

/// One change to one object.
struct Change<'a> {
    request: &'a Request,
    target: &'a Target,
    name: &'a str,
    /// To the status subresource.
    status: bool,
    dry_run: bool,
}

/// `PUT`.
pub(super) fn put(
    server: &Shared,
    request: &Request,
    target: &Target,
    name: &str,
    status: bool,
) -> Result<Answer, Refusal> {
    let change = Change { request, target, name, status, dry_run: request.dry_run()? };
    let mut wanted = request.object()?;
    let warnings = admit_body(request, target, Some(name), &mut wanted)?;
    for _ in 0..ATTEMPTS {
        let Some(stored) = server.store.get(&target.key(name)) else {
            return Err(Refusal::not_found(target.resource, name));
        };
        let live = parse(&stored.object)?;
        let who = Who::update(request.manager(), target.resource.api_version(), change.subresource());
        match change.commit(server, &stored, &live, wanted.clone(), Managed::Update(&who)) {
            Err(Outcome::Raced) => {}
            Err(Outcome::Refused(refusal)) => return Err(*refusal),
            Ok(bytes) => return Ok(bodies::warn(bodies::raw(StatusCode::OK, bytes), &warnings)),
        }
    }
    Err(Refusal::modified(target.resource, name))
}

/// `PATCH` in all its forms.
pub(super) fn patch(
    server: &Shared,
    request: &Request,
    target: &Target,
    name: &str,
    status: bool,
) -> Result<Answer, Refusal> {
    let change = Change { request, target, name, status, dry_run: request.dry_run()? };
    match request.content_type() {
        "application/apply-patch+yaml" => change.apply(server),
        kind => {
            let patch = Patch::read(kind, &request.body).map_err(|error| change.patch_refusal(&error))?;
            if request.param("force").is_some() {
                let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
                return Err(options_invalid(&cause));
            }
            change.patch(server, &patch)
        }
    }
}

fn options_invalid(cause: &Cause) -> Refusal {
    let causes = vec![json!({"reason": cause.reason, "message": cause.message, "field": cause.field})];
    Refusal::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid",
        format!("PatchOptions.meta.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message),
    )
    .with_causes(causes)
}

/// Of an unknown field that a patch brings in, the real server says another code than of an object's.
fn strict(request: &Request, refusal: Refusal) -> Refusal {
    if !refusal.message.starts_with("strict decoding error") {
        return refusal;
    }
    let patch = json!(String::from_utf8_lossy(&request.body));
    let cause = Cause::invalid("patch", &patch, &refusal.message);
    let text = format!(" \"\" is invalid: {}: {}", cause.field, cause.message);
    let causes = vec![json!({"reason": cause.reason, "message": cause.message, "field": cause.field})];
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text).with_causes(causes)
}

enum Managed<'a> {
    /// Work out who owns what from the difference.
    Update(&'a Who),
    /// Server-side apply has said so already.
    Applied(apply::Managers),
}

enum Outcome {
    Raced,
    Refused(Box<Refusal>),
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<CommitError> for Outcome {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Raced => Self::Raced,
            other => Self::from(Refusal::from(other)),
        }
    }
}

impl Change<'_> {
    fn subresource(&self) -> &'static str {
        if self.status { "status" } else { "" }
    }

    fn patch_refusal(&self, error: &PatchError) -> Refusal {
        match error {
            PatchError::MediaType(kind) => Refusal::unsupported_media(
                kind,
                "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            ),
            PatchError::Malformed(_) => Refusal::bad_request(error.to_string()),
            PatchError::Failed(message) => {
                Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message.clone())
            }
        }
    }

    fn patch(&self, server: &Shared, patch: &Patch) -> Result<Answer, Refusal> {
        let resource = self.target.resource;
        if resource.custom() && matches!(patch, Patch::Strategic(_)) {
            return Err(
                self.patch_refusal(&PatchError::MediaType("application/strategic-merge-patch+json".into()))
            );
        }
        let who = Who::update(self.request.manager(), resource.api_version(), self.subresource());
        for _ in 0..ATTEMPTS {
            let Some(stored) = server.store.get(&self.target.key(self.name)) else {
                return Err(Refusal::not_found(resource, self.name));
            };
            let live = parse(&stored.object)?;
            let mut wanted = patch
                .patched(schema::shape(resource.shape), &live)
                .map_err(|error| self.patch_refusal(&error))?;
            let warnings = admit_body(self.request, self.target, Some(self.name), &mut wanted)
                .map_err(|refusal| strict(self.request, refusal))?;
            // A patch that does not speak of a version applies to whatever is there.
            match self.commit(server, &stored, &live, wanted, Managed::Update(&who)) {
                Err(Outcome::Raced) => {}
                Err(Outcome::Refused(refusal)) => return Err(*refusal),
                Ok(bytes) => return Ok(bodies::warn(bodies::raw(StatusCode::OK, bytes), &warnings)),
            }
        }
        Err(Refusal::modified(resource, self.name))
    }

    fn apply(&self, server: &Shared) -> Result<Answer, Refusal> {
        let resource = self.target.resource;
        let Some(manager) = self.request.param("fieldManager") else {
            return Err(options_invalid(&Cause::required("fieldManager", "is required for apply patch")));
        };
        if manager.len() > 128 {
            return Err(options_invalid(&Cause::invalid(
                "fieldManager",
                &json!(manager),
                "may have 128 characters at most",
            )));
        }
        let mut config = self.request.object()?;
        self.admit_config(&mut config)?;
        let who = Who::apply(manager.to_owned(), resource.api_version(), self.subresource());
        let force = self.request.flag("force");
        for _ in 0..ATTEMPTS {
            let stored = server.store.get(&self.target.key(self.name));
            let live = match &stored {
                Some(stored) => parse(&stored.object)?,
                None if self.status => return Err(Refusal::not_found(resource, self.name)),
                None if !text(&config, "/metadata/uid").is_empty() => {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        text(&config, "/metadata/uid")
                    );
                    return Err(Refusal::conflict(resource, self.name, &why));
                }
                None => json!({
                    "apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": self.name},
                }),
            };
            let (mut wanted, managers) =
                apply::apply(schema::shape(resource.shape), &live, &config, &who, force, &now())
                    .map_err(|error| self.apply_refusal(error))?;
            let done = match &stored {
                Some(stored) => self.commit(server, stored, &live, wanted, Managed::Applied(managers)),
                None => {
                    if let Some(namespace) = &self.target.namespace {
                        metadata(&mut wanted).insert("namespace".into(), json!(namespace));
                    }
                    create::prepare(server, resource, &mut wanted)?;
                    managers.write(&mut wanted);
                    create::insert(server, self.target.key(self.name), &mut wanted, self.dry_run)
                        .map_err(Outcome::from)
                }
            };
            match done {
                Err(Outcome::Raced) => {}
                Err(Outcome::Refused(refusal)) => return Err(*refusal),
                Ok(bytes) => {
                    let code = if stored.is_some() { StatusCode::OK } else { StatusCode::CREATED };
                    return Ok(bodies::raw(code, bytes));
                }
            }
        }
        Err(Refusal::modified(resource, self.name))
    }

    /// What an applied configuration may not say, and the types of what it says.
    fn admit_config(&self, config: &mut Value) -> Result<(), Refusal> {
        let resource = self.target.resource;
        for (field, wanted) in [("apiVersion", resource.api_version().as_str()), ("kind", resource.kind)] {
            if text(config, &format!("/{field}")) != wanted {
                return Err(Refusal::bad_request(format!(
                    "the applied object must have {field} {wanted:?}, as its address says"
                )));
            }
        }
        if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        let shape = schema::shape(resource.shape);
        if let Some(finding) = schema::check(shape, &mut config.clone(), resource.custom()).first() {
            // The real server reports these as plain errors, code 500, and so does every version so far.
            return Err(Refusal::unknown(format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {}",
                self.target.namespace.as_deref().unwrap_or_default(),
                self.name,
                resource.api_version(),
                resource.kind,
                finding.typed_message(),
            )));
        }
        admit_body(self.request, self.target, Some(self.name), config)?;
        if let Some(fields) = config.as_object_mut()
            && resource.status
            && !self.status
        {
            fields.shift_remove("status");
        }
        Ok(())
    }

    fn apply_refusal(&self, error: apply::ApplyError) -> Refusal {
        match error {
            apply::ApplyError::Conflicts(conflicts) => {
                let causes = conflicts
                    .iter()
                    .map(|conflict| {
                        json!({
                            "reason": "FieldManagerConflict",
                            "message": format!("conflict with {}", conflict.manager()),
                            "field": conflict.field,
                        })
                    })
                    .collect();
                Refusal::new(StatusCode::CONFLICT, "Conflict", apply::conflict_message(&conflicts))
                    .with_causes(causes)
            }
            apply::ApplyError::Typed(message) => Refusal::unknown(format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {message}",
                self.target.namespace.as_deref().unwrap_or_default(),
                self.name,
                self.target.resource.api_version(),
                self.target.resource.kind,
            )),
        }
    }

    /// Preconditions, what may not change, defaults, validation, bookkeeping, and the write.
    fn commit(
        &self,
        server: &Server,
        stored: &Stored,
        live: &Value,
        mut wanted: Value,
        managed: Managed<'_>,
    ) -> Result<Bytes, Outcome> {
        let resource = self.target.resource;
        let version = text(&wanted, "/metadata/resourceVersion");
        if !version.is_empty() && version != stored.version.to_string() {
            if version.parse::<u64>().is_err() {
                let cause = Cause::invalid("metadata.resourceVersion", &json!(version), "must be a number");
                return Err(Refusal::invalid(resource, self.name, &[cause]).into());
            }
            return Err(Refusal::modified(resource, self.name).into());
        }
        let uid = text(&wanted, "/metadata/uid");
        if !uid.is_empty() && uid != text(live, "/metadata/uid") {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                text(live, "/metadata/uid")
            );
            return Err(Refusal::conflict(resource, self.name, &why).into());
        }
        self.keep(live, &mut wanted);
        schema::default_object(resource, &mut wanted);
        let mut causes = if self.status { Vec::new() } else { schema::immutable(resource, live, &wanted) };
        causes.extend(schema::require(resource, &wanted, Some(live)));
        if !causes.is_empty() {
            return Err(Refusal::invalid(resource, self.name, &causes).into());
        }
        // An object from before this rule must still be able to go.
        if !self.status
            && wanted.get("spec") != live.get("spec")
            && let Some(why) = schema::refused(resource, &wanted)
        {
            return Err(Refusal::denied(why).into());
        }
        if resource.generation() && !self.status && wanted.get("spec") != live.get("spec") {
            let generation = live.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(0);
            metadata(&mut wanted).insert("generation".into(), json!(generation + 1));
        }
        match managed {
            Managed::Update(who) => {
                apply::record_update(schema::shape(resource.shape), live, &mut wanted, who, &now());
            }
            Managed::Applied(managers) => managers.write(&mut wanted),
        }
        if apply::same(&wanted, live) {
            return Ok(stored.object.clone());
        }
        if self.dry_run {
            let bytes = serde_json::to_vec(&wanted).map_err(CommitError::Serialise)?;
            return Ok(Bytes::from(bytes));
        }
        let key = self.target.key(self.name);
        // The last finalizer is gone from an object that is to be deleted.
        let deleting = !text(&wanted, "/metadata/deletionTimestamp").is_empty();
        let grace = wanted.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64);
        let held = grace.unwrap_or(0) > 0 || filled(&wanted, "/metadata/finalizers");
        if resource.kind == "Namespace" {
            // It goes when it is empty as well.
            let written = server.store.put(key.clone(), Some(stored.version), &mut wanted)?.object;
            delete::removed(server, &key);
            return Ok(written);
        }
        if deleting && !held {
            let last = server.store.remove(&key, stored.version, &mut wanted)?;
            delete::removed(server, &key);
            return Ok(last);
        }
        Ok(server.store.put(key, Some(stored.version), &mut wanted)?.object)
    }

    /// Restores what this change may not touch.
    fn keep(&self, live: &Value, wanted: &mut Value) {
        if self.status {
            let status = wanted.get("status").cloned();
            *wanted = live.clone();
            match status {
                Some(status) => wanted["status"] = status,
                None => {
                    wanted.as_object_mut().map(|fields| fields.shift_remove("status"));
                }
            }
            return;
        }
        if self.target.resource.status {
            match (live.get("status"), wanted.as_object_mut()) {
                (Some(status), Some(fields)) => {
                    fields.insert("status".into(), status.clone());
                }
                (None, Some(fields)) => {
                    fields.shift_remove("status");
                }
                (_, None) => {}
            }
        }
        let metadata = metadata(wanted);
        for own in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
            "resourceVersion",
            "managedFields",
            "generateName",
        ] {
            match live.pointer(&format!("/metadata/{own}")) {
                Some(value) => metadata.insert(own.into(), value.clone()),
                None => metadata.shift_remove(own),
            };
        }
    }
}

//! Answers that are not objects: `metav1.Status`, with the codes, reasons and words of the real API server, because
//! clients tell errors apart by them.

use super::resources::Resource;
use crate::store::CommitError;
use http::StatusCode;
use serde_json::{Value, json};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, …
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// `spec.template.spec.containers[0].name`
    pub(crate) field: String,
}

impl Cause {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let mut text = value.to_string();
        if text.len() > 512 {
            let cut = text.floor_char_boundary(512);
            text.truncate(cut);
            text.push('…');
        }
        Self {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {text}: {detail}"),
            field: field.into(),
        }
    }

    pub(crate) fn not_supported(field: impl Into<String>, value: &Value, valid: &[&str]) -> Self {
        let valid = valid.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(", ");
        Self {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {value}: supported values: {valid}"),
            field: field.into(),
        }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value}"),
            field: field.into(),
        }
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self { reason: "FieldValueNotFound", message: format!("Not found: {value}"), field: field.into() }
    }
}

/// A refusal, as the client gets it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
}

fn details(resource: &Resource, name: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource.plural});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    details
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// An error that the real server gives no reason for.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(crate) fn unsupported_media(got: &str, supported: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format ({got}) - accepted media types include: {supported}"
            ),
        )
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self {
            details: details(resource, name),
            ..Self::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                format!("{} {name:?} not found", resource.qualified()),
            )
        }
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        Self {
            details: details(resource, name),
            ..Self::new(
                StatusCode::CONFLICT,
                "AlreadyExists",
                format!("{} {name:?} already exists", resource.qualified()),
            )
        }
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self {
            details: details(resource, name),
            ..Self::new(
                StatusCode::CONFLICT,
                "Conflict",
                format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified()),
            )
        }
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self {
            details: details(resource, name),
            ..Self::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("{} {name:?} is forbidden: {why}", resource.qualified()),
            )
        }
    }

    /// What an admission webhook has refused.
    pub(crate) fn denied(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// 422 with every cause.
    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let texts: Vec<_> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let text = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let kind = if resource.group.is_empty() {
            resource.kind.to_owned()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let mut details = json!({"name": name, "kind": resource.kind});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        details["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        Self {
            details,
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{kind} {name:?} is invalid: {text}"),
            )
        }
    }

    pub(crate) fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.details = json!({"causes": causes});
        self
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body["code"] = json!(self.code.as_u16());
        body
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Raced => Self::new(StatusCode::CONFLICT, "Conflict", "the object has been modified"),
            CommitError::Closed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", error.to_string())
            }
            CommitError::Serialise(_) | CommitError::Log(_) => {
                let mut message = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(inner) = source {
                    message = format!("{message}: {inner}");
                    source = inner.source();
                }
                Self::internal(message)
            }
        }
    }
}

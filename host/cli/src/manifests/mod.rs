//! Objects that the command line itself prints for people to apply, as typed structs and never as text templates.

mod account;
mod job;

pub use account::{account, explain};
pub use job::{GivenFile, HostJob, host_job};

use crate::{CliError, exit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::collections::BTreeMap;

/// What tells these objects from others.
fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), "ilab-host".to_owned())])
}

fn metadata(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels()),
        ..ObjectMeta::default()
    }
}

fn value(object: &impl serde::Serialize) -> Result<Value, CliError> {
    serde_json::to_value(object).map_err(|e| CliError::from_error(exit::FAILURE, &e))
}

/// As one object that kubectl takes: a List.
pub fn list(objects: &[Value]) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

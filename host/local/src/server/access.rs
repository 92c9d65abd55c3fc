//! Who may do what: there is one user, who may do everything.

use super::bodies::{self, Answer};
use super::request::Request;
use super::status::Refusal;
use http::{Method, StatusCode};
use serde_json::json;

/// `POST selfsubjectaccessreviews`.
pub(super) fn review(version: &str, rest: &[&str], request: &Request) -> Result<Answer, Refusal> {
    if version != "v1" || rest != ["selfsubjectaccessreviews"] || request.method != Method::POST {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        ));
    }
    let mut review = request.object()?;
    review["kind"] = json!("SelfSubjectAccessReview");
    review["apiVersion"] = json!("authorization.k8s.io/v1");
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    review["status"] =
        json!({"allowed": true, "reason": "the local cluster has one user, who may do everything"});
    Ok(bodies::json(StatusCode::CREATED, &review))
}

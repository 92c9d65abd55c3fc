//! Read-only questions about the cluster: what one may do there, and what it has.

use crate::error::ClusterError;
use crate::needs::Need;
use crate::transport::{Call, Cluster, encode};
use http::Method;
use serde_json::{Value, json};

impl Cluster {
    /// Whether the cluster would let this be done, by a SelfSubjectAccessReview: nothing is done.
    ///
    /// # Errors
    /// When the API server does not answer the question.
    pub async fn may(&self, need: &Need) -> Result<bool, ClusterError> {
        let (resource, subresource) = need.resource.split_once('/').unwrap_or((&need.resource, ""));
        let mut attributes = json!({
            "namespace": self.namespace(),
            "group": need.group,
            "resource": resource,
            "verb": need.verb,
        });
        if !subresource.is_empty() {
            attributes["subresource"] = subresource.into();
        }
        if let Some(name) = &need.name {
            attributes["name"] = name.as_str().into();
        }
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let call = Call::new(format!("ask whether one may {need}"), Method::POST, path).json(&json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }));
        let (_, review) = self.json(&call).await?;
        review.pointer("/status/allowed").and_then(Value::as_bool).ok_or_else(|| ClusterError::Answer {
            what: call.what.clone(),
            problem: "lacks status.allowed".to_owned(),
        })
    }

    /// The versions in which the cluster serves an API group; none when it does not serve it at all.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn versions_of(&self, group: &str) -> Result<Option<Vec<String>>, ClusterError> {
        let call = Call::get(format!("look up the versions of {group}"), format!("/apis/{}", encode(group)));
        let Some(found) = self.find(&call).await? else { return Ok(None) };
        let versions = found.get("versions").and_then(Value::as_array).into_iter().flatten();
        Ok(Some(versions.filter_map(|v| v.get("version")?.as_str()).map(ToOwned::to_owned).collect()))
    }

    /// The namespace itself; none when there is none.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn namespace_object(&self) -> Result<Option<Value>, ClusterError> {
        let path = format!("/api/v1/namespaces/{}", encode(self.namespace()));
        self.find(&Call::get(format!("get the namespace {}", self.namespace()), path)).await
    }

    /// One object that is in no namespace, for example `storageclasses` of `storage.k8s.io/v1`.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn get_global(
        &self,
        api_version: &str,
        resource: &str,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let path = format!("{}/{}", global_path(api_version, resource), encode(name));
        self.find(&Call::get(format!("get {resource}/{name}"), path)).await
    }

    /// All objects of a kind that is in no namespace; none when the cluster does not serve it.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn list_global(
        &self,
        api_version: &str,
        resource: &str,
    ) -> Result<Option<Vec<Value>>, ClusterError> {
        self.items(format!("list {resource}"), global_path(api_version, resource)).await
    }

    /// All objects of a resource in the namespace; none when the cluster does not serve it.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn list_here(
        &self,
        api_version: &str,
        resource: &str,
    ) -> Result<Option<Vec<Value>>, ClusterError> {
        let root = root_of(api_version);
        let path = format!("{root}/namespaces/{}/{}", encode(self.namespace()), encode(resource));
        self.items(format!("list {resource}"), path).await
    }

    async fn items(&self, what: String, path: String) -> Result<Option<Vec<Value>>, ClusterError> {
        let Some(mut list) = self.find(&Call::get(what, path)).await? else { return Ok(None) };
        Ok(Some(match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }))
    }
}

fn root_of(api_version: &str) -> String {
    match api_version.split_once('/') {
        Some((group, version)) => format!("/apis/{}/{}", encode(group), encode(version)),
        None => format!("/api/{}", encode(api_version)),
    }
}

fn global_path(api_version: &str, resource: &str) -> String {
    format!("{}/{}", root_of(api_version), encode(resource))
}

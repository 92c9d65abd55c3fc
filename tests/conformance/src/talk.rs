//! One side's part of a chapter: it asks, waits, and writes down what it hears.

use crate::placeholders::Placeholders;
use crate::stream::Lines;
use crate::transcript::Exchange;
use http::{Request, header};
use http_body_util::BodyExt;
use ilab_test_cluster::{PATIENCE, PlayedKubelet};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::timeout;

/// A chapter's talk with one cluster, in a namespace of its own.
///
/// A request is one line: a verb, then an address in the namespace (`configmaps/a?dryRun=All`) or from the root on (`/version`).
/// Verbs are the methods, and for `PATCH` what kind of patch it is: `MERGE`, `STRATEGIC`, `JSONPATCH`, `APPLY`.
pub(crate) struct Talk {
    chapter: &'static str,
    client: Client,
    pub(crate) namespace: String,
    pub(crate) kubelet: PlayedKubelet,
    pub(crate) names: Placeholders,
    exchanges: Vec<Exchange>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    kind: String,
    warnings: Vec<String>,
    pub(crate) body: Value,
}

impl Answer {
    /// A text in it, or nothing.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.body, pointer)
    }

    /// The object's version.
    pub(crate) fn version(&self) -> String {
        self.text("/metadata/resourceVersion").to_owned()
    }

    /// The object's UID.
    pub(crate) fn uid(&self) -> String {
        self.text("/metadata/uid").to_owned()
    }
}

/// A text at a pointer, or nothing.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// An object without what it is: a list does not say it of its items, a watch does, and which of them it is from is chance.
fn untyped(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

/// Where a kind is served.
fn root(plural: &str) -> &'static str {
    match plural {
        "jobs" => "/apis/batch/v1",
        "leases" => "/apis/coordination.k8s.io/v1",
        "pytorchjobs" => "/apis/kubeflow.org/v1",
        _ => "/api/v1",
    }
}

impl Talk {
    pub(crate) fn new(chapter: &'static str, client: Client, namespace: String) -> Self {
        let mut names = Placeholders::default();
        names.call(&namespace, "<namespace>");
        let kubelet = PlayedKubelet::new(client.clone(), &namespace);
        Self { chapter, client, namespace, kubelet, names, exchanges: Vec::new() }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn end(self) -> Vec<Exchange> {
        self.exchanges
    }

    fn address(&self, what: &str) -> String {
        if what.starts_with('/') {
            return what.to_owned();
        }
        let plural = what.split(['/', '?']).next().unwrap_or_default();
        format!("{}/namespaces/{}/{what}", root(plural), self.namespace)
    }

    fn request(&self, line: &str, body: &Value) -> Request<Body> {
        let (verb, what) = line.split_once(' ').expect("a verb and an address");
        let (method, kind) = match verb {
            "MERGE" => ("PATCH", "application/merge-patch+json"),
            "STRATEGIC" => ("PATCH", "application/strategic-merge-patch+json"),
            "JSONPATCH" => ("PATCH", "application/json-patch+json"),
            "APPLY" => ("PATCH", "application/apply-patch+yaml"),
            "PATCH" => ("PATCH", "text/plain"),
            method => (method, "application/json"),
        };
        let body = match body {
            Value::Null => Vec::new(),
            // A text is a body that is to be sent as it is.
            Value::String(text) => text.clone().into_bytes(),
            object => object.to_string().into_bytes(),
        };
        Request::builder()
            .method(method)
            .uri(self.address(what))
            .header(header::CONTENT_TYPE, kind)
            .header(header::ACCEPT, "application/json")
            // Who is asked for no name of its own is known by this one.
            .header(header::USER_AGENT, "conformance/1")
            .body(Body::from(body))
            .expect("the script's addresses are addresses")
    }

    /// Asks without writing down.
    pub(crate) async fn quietly(&self, line: &str, body: Value) -> Answer {
        let failed = |why: &dyn std::fmt::Display| -> ! { panic!("{}: {line}: {why}", self.chapter) };
        let send = async {
            let answer = match self.client.send(self.request(line, &body)).await {
                Ok(answer) => answer,
                Err(error) => failed(&error),
            };
            let (head, body) = answer.into_parts();
            match body.collect().await {
                Ok(body) => (head, body.to_bytes()),
                Err(error) => failed(&error),
            }
        };
        let Ok((head, bytes)) = timeout(PATIENCE, send).await else { failed(&"no answer") };
        let header = |name: header::HeaderName| {
            head.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
        };
        Answer {
            code: head.status.as_u16(),
            kind: header(header::CONTENT_TYPE).next().unwrap_or_default().to_owned(),
            warnings: header(header::WARNING).map(str::to_owned).collect(),
            body: serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    /// Asks without a body.
    pub(crate) async fn ask(&mut self, name: &str, line: &str) -> Answer {
        self.tell(name, line, Value::Null).await
    }

    /// Asks with a body, and writes down the answer.
    pub(crate) async fn tell(&mut self, name: &str, line: &str, body: Value) -> Answer {
        let answer = self.quietly(line, body).await;
        let mut shown = json!({"code": answer.code});
        if answer.kind.split(';').next() != Some("application/json") {
            shown["type"] = json!(answer.kind);
        }
        if !answer.warnings.is_empty() {
            shown["warnings"] = json!(answer.warnings);
        }
        shown["body"] = answer.body.clone();
        self.note(name, &shown);
        answer
    }

    /// Writes down a value.
    pub(crate) fn note(&mut self, name: &str, value: &Value) {
        let name = format!("{}/{name}", self.chapter);
        assert!(!self.exchanges.iter().any(|known| known.name == name), "two exchanges are named {name}");
        let answer = self.names.normal(value);
        self.exchanges.push(Exchange { name, answer });
    }

    async fn open(&self, line: &str) -> Result<Lines, Answer> {
        let answer = timeout(PATIENCE, self.client.send(self.request(line, &Value::Null))).await;
        match answer {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(Lines::of(answer.into_body())),
            Ok(Ok(_)) => Err(self.quietly(line, Value::Null).await),
            Ok(Err(error)) => panic!("{}: {line}: {error}", self.chapter),
            Err(_) => panic!("{}: {line}: no answer", self.chapter),
        }
    }

    /// Watches until the events are what was waited for, or the stream ends, and writes them down.
    pub(crate) async fn watch(
        &mut self,
        name: &str,
        what: &str,
        until: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let mut events = Vec::new();
        let mut shown = json!({"ended": false});
        match self.open(&format!("GET {what}")).await {
            Err(refused) => shown = json!({"code": refused.code, "body": refused.body}),
            Ok(mut lines) => {
                while !until(&events) {
                    match timeout(PATIENCE, lines.next()).await {
                        Ok(Some(event)) => events.push(event),
                        Ok(None) => {
                            shown["ended"] = json!(true);
                            break;
                        }
                        Err(_) => panic!("{}/{name}: not what was waited for: {events:#?}", self.chapter),
                    }
                }
                shown["events"] = json!(events);
            }
        }
        self.note(name, &shown);
        events
    }

    /// Waits, by watching, for the objects of a collection to be as they should, and gives them by their UIDs. Nothing is written down.
    pub(crate) async fn all(
        &self,
        what: &str,
        why: &str,
        is: impl Fn(&BTreeMap<String, Value>) -> bool,
    ) -> BTreeMap<String, Value> {
        let joint = if what.contains('?') { '&' } else { '?' };
        let line = format!("GET {what}{joint}watch=true&resourceVersion=");
        let list = self.quietly(&format!("GET {what}"), Value::Null).await;
        let mut objects = BTreeMap::new();
        for item in list.body["items"].as_array().into_iter().flatten() {
            objects.insert(text(item, "/metadata/uid").to_owned(), untyped(item));
        }
        if is(&objects) {
            return objects;
        }
        let Ok(mut lines) = self.open(&format!("{line}{}", list.version())).await else {
            panic!("{}: {what} cannot be watched", self.chapter);
        };
        let wait = async {
            loop {
                let Some(event) = lines.next().await else {
                    panic!("{}: the watch of {what} ended", self.chapter)
                };
                let uid = text(&event, "/object/metadata/uid").to_owned();
                match text(&event, "/type") {
                    "ADDED" | "MODIFIED" => drop(objects.insert(uid, untyped(&event["object"]))),
                    "DELETED" => drop(objects.remove(&uid)),
                    other => panic!("{}: the watch of {what} says {other}: {event}", self.chapter),
                }
                if is(&objects) {
                    return;
                }
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let shown =
                objects.values().map(|one| format!("\n{}: {}", one["metadata"]["name"], one["status"]));
            panic!("{}: {why}: not within {PATIENCE:?}:{}", self.chapter, shown.collect::<String>());
        }
        objects
    }

    /// Waits until one object is as it should be.
    pub(crate) async fn until(&self, what: &str, why: &str, is: impl Fn(&Value) -> bool) -> Value {
        let (plural, name) = what.split_once('/').expect("a collection and a name");
        let one = format!("{plural}?fieldSelector=metadata.name={name}");
        let found = self.all(&one, &format!("{what}: {why}"), |all| all.values().any(&is)).await;
        found.into_values().next().expect("it was waited for")
    }

    /// Waits until there is no such object.
    pub(crate) async fn gone(&self, what: &str) {
        let (plural, name) = what.split_once('/').expect("a collection and a name");
        let one = format!("{plural}?fieldSelector=metadata.name={name}");
        self.all(&one, &format!("{what} goes"), BTreeMap::is_empty).await;
    }

    /// Writes down that an object has gone, when it has.
    pub(crate) async fn note_gone(&mut self, name: &str, what: &str) {
        self.gone(what).await;
        self.note(name, &json!(format!("{what} is gone")));
    }
}

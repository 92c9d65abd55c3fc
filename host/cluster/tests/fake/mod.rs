//! A very small API server in memory, for the faults that a real one cannot be asked for: it refuses, stalls, cuts and
//! forgets on demand. What a real one does belongs into the tests against the embedded cluster and the real one.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its part")]

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What goes wrong.
#[derive(Clone)]
pub(crate) enum Fault {
    /// An answer with this status, these extra headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// No connection.
    Refused,
    /// No answer, ever, and nothing done.
    HangBefore,
    /// It is done, but no answer comes, ever.
    HangAfter,
}

struct Planned {
    method: &'static str,
    part: String,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    done: bool,
    /// The connection is cut after this many bytes, once.
    cut_at: Option<usize>,
}

#[derive(Default)]
struct State {
    version: u64,
    ids: u64,
    objects: BTreeMap<String, Value>,
    history: Vec<(u64, &'static str, String, Value)>,
    compacted: u64,
    cuts: u64,
    logs: BTreeMap<String, Log>,
    faults: Vec<Planned>,
    requests: Vec<(Instant, String)>,
    /// The request, counted from 1, at which everything hangs, and whether it is done first.
    dies_at: Option<(usize, bool)>,
}

#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

fn path_of(uri: &http::Uri) -> (String, BTreeMap<String, String>) {
    let query = uri.query().unwrap_or("");
    let pairs = query.split('&').filter_map(|p| p.split_once('='));
    (uri.path().to_owned(), pairs.map(|(k, v)| (k.to_owned(), decode(v))).collect())
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex: String =
                [bytes.next().unwrap(), bytes.next().unwrap()].iter().map(|b| char::from(*b)).collect();
            out.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).unwrap()
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}).to_string()
}

fn full(code: u16, body: impl Into<String>) -> Answer {
    let body = http_body_util::Full::new(Bytes::from(body.into())).map_err(|e| match e {}).boxed_unsync();
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body).unwrap()
}

fn refuse(code: u16, reason: &str, message: &str) -> Answer {
    full(code, status(code, reason, message))
}

impl Default for Fake {
    fn default() -> Self {
        Self { state: Arc::default(), changed: watch::channel(0).0 }
    }
}

impl Fake {
    pub(crate) fn new() -> Self {
        let fake = Self::default();
        fake.lock().version = 100;
        fake
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { fake.answer(request).await }
        });
        kube::Client::new(service, "ns")
    }

    /// The next `times` requests of this method whose path and query contain `part` go wrong.
    pub(crate) fn fail(&self, method: &'static str, part: &str, times: usize, fault: Fault) {
        self.lock().faults.push(Planned { method, part: part.to_owned(), times, fault });
    }

    /// Everything hangs from this request on, counted from now; `done`: that one is carried out first.
    pub(crate) fn die_at(&self, request: usize, done: bool) {
        let mut state = self.lock();
        let now = state.requests.len();
        state.dies_at = Some((now + request, done));
    }

    pub(crate) fn live(&self) {
        self.lock().dies_at = None;
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn died(&self) -> bool {
        let state = self.lock();
        state.dies_at.is_some_and(|(at, _)| state.requests.len() >= at)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.lock().requests.iter().map(|(_, r)| r.clone()).collect()
    }

    pub(crate) fn timed_requests(&self) -> Vec<(Instant, String)> {
        self.lock().requests.clone()
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|r| r.contains(part)).count()
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Value> {
        self.lock().objects.clone()
    }

    /// `jobs/x` and the like, of the namespace.
    pub(crate) fn get(&self, short: &str) -> Option<Value> {
        self.lock()
            .objects
            .iter()
            .find(|(path, _)| path.ends_with(&format!("/{short}")))
            .map(|(_, o)| o.clone())
    }

    /// How often objects whose path ends so were created.
    pub(crate) fn created(&self, short: &str) -> usize {
        self.lock()
            .history
            .iter()
            .filter(|(_, kind, path, _)| *kind == "ADDED" && path.ends_with(&format!("/{short}")))
            .count()
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.store(path, object)
    }

    pub(crate) fn set_status(&self, short: &str, status: Value) {
        let (path, mut object) = {
            let state = self.lock();
            let found = state.objects.iter().find(|(path, _)| path.ends_with(&format!("/{short}")));
            let (path, object) = found.unwrap_or_else(|| panic!("no {short}"));
            (path.clone(), object.clone())
        };
        object["status"] = status;
        self.store(&path, object);
    }

    pub(crate) fn remove(&self, short: &str) {
        let mut state = self.lock();
        let path = state.objects.keys().find(|path| path.ends_with(&format!("/{short}"))).unwrap().clone();
        state.version += 1;
        let mut object = state.objects.remove(&path).unwrap();
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        state.history.push((version, "DELETED", path, object));
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    /// A pod of a job, owned by it.
    pub(crate) fn pod(&self, job: &str, name: &str, status: Value) {
        let uid = self.get(&format!("jobs/{job}")).unwrap()["metadata"]["uid"].clone();
        self.store(
            &format!("/api/v1/namespaces/ns/pods/{name}"),
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "labels": {"batch.kubernetes.io/job-name": job}, "ownerReferences": [{"uid": uid}]},
                "status": status}),
        );
    }

    /// What a container has printed so far.
    pub(crate) fn log(&self, pod: &str, container: &str, lines: &[&str], done: bool) {
        let mut state = self.lock();
        let log = state.logs.entry(format!("{pod}/{container}")).or_default();
        log.lines.extend(lines.iter().map(|l| (*l).to_owned()));
        log.done = done;
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn cut_log_at(&self, pod: &str, container: &str, bytes: usize) {
        self.lock().logs.entry(format!("{pod}/{container}")).or_default().cut_at = Some(bytes);
    }

    /// Cuts every open watch in the middle of a line.
    pub(crate) fn cut(&self) {
        self.lock().cuts += 1;
        self.changed.send_modify(|n| *n += 1);
    }

    /// Forgets history: watches from before are told 410.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        state.version += 1;
        state.compacted = state.version;
    }

    /// Waits until something holds.
    pub(crate) async fn until<T>(&self, what: &str, mut holds: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(value) = holds(self) {
                    return value;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("waited for {what}; requests: {:#?}", self.requests()))
    }

    fn store(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        let old = state.objects.get(path).cloned();
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        match &old {
            Some(old) => object["metadata"]["uid"] = old["metadata"]["uid"].clone(),
            None => {
                state.ids += 1;
                if object["metadata"]["uid"].is_null() {
                    object["metadata"]["uid"] = format!("uid-{}", state.ids).into();
                }
                object["metadata"]["creationTimestamp"] = jiff::Timestamp::now().to_string().into();
            }
        }
        if let Some(old) = &old
            && object["status"].is_null()
            && !old["status"].is_null()
        {
            object["status"] = old["status"].clone();
        }
        object["metadata"]["resourceVersion"] = version.to_string().into();
        state.objects.insert(path.to_owned(), object.clone());
        state.history.push((version, kind, path.to_owned(), object.clone()));
        drop(state);
        self.changed.send_modify(|n| *n += 1);
        object
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let (path, query) = path_of(&parts.uri);
        let line = format!("{} {}", parts.method, decode(&parts.uri.to_string()));
        let (fault, dies) = {
            let mut state = self.lock();
            state.requests.push((Instant::now(), line.clone()));
            let number = state.requests.len();
            let dies = state.dies_at.and_then(|(at, done)| (number >= at).then_some(done && number == at));
            let index = state
                .faults
                .iter()
                .position(|p| p.times > 0 && p.method == parts.method.as_str() && line.contains(&p.part));
            let fault = index.map(|i| {
                state.faults[i].times -= 1;
                state.faults[i].fault.clone()
            });
            (fault, dies)
        };
        self.changed.send_modify(|n| *n += 1);
        let hang = std::future::pending::<()>;
        match dies {
            Some(true) => {
                let _ = self.handle(&parts.method, &path, &query, &body);
                hang().await;
            }
            Some(false) => hang().await,
            None => {}
        }
        match fault {
            Some(Fault::Refused) => return Err(std::io::ErrorKind::ConnectionRefused.into()),
            Some(Fault::HangBefore) => hang().await,
            Some(Fault::HangAfter) => {
                let _ = self.handle(&parts.method, &path, &query, &body);
                hang().await;
            }
            Some(Fault::Answer(code, headers, text)) => {
                let mut answer = full(code, text);
                for (name, value) in headers {
                    answer.headers_mut().insert(name, value.parse().unwrap());
                }
                return Ok(answer);
            }
            None => {}
        }
        Ok(self.handle(&parts.method, &path, &query, &body))
    }

    fn handle(&self, method: &Method, path: &str, query: &BTreeMap<String, String>, body: &Bytes) -> Answer {
        if path == "/version" {
            return full(200, json!({"gitVersion": "v1.34.0-fake"}).to_string());
        }
        if path == "/apis/kubeflow.org/v1" || !path.contains("/namespaces/") {
            return refuse(404, "NotFound", "the server could not find the requested resource");
        }
        if let Some(pod) = path.strip_suffix("/log") {
            return self.read_log(pod, query);
        }
        let collection = path.split("/namespaces/").nth(1).is_some_and(|rest| rest.split('/').count() == 2);
        let object = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match (method.as_str(), collection) {
            ("GET", true) if query.contains_key("watch") => self.watch(path, query),
            ("GET", true) => self.list(path, query),
            ("GET", false) => match self.lock().objects.get(path) {
                Some(found) => full(200, found.to_string()),
                None => refuse(404, "NotFound", &format!("{path} not found")),
            },
            ("POST", true) => {
                let object = object();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or(""));
                if self.lock().objects.contains_key(&path) {
                    return refuse(409, "AlreadyExists", "it exists already");
                }
                full(201, self.store(&path, object).to_string())
            }
            ("PUT", false) => {
                let object = object();
                let Some(old) = self.lock().objects.get(path).cloned() else {
                    return refuse(404, "NotFound", "not found");
                };
                let wanted = &object["metadata"]["resourceVersion"];
                if !wanted.is_null() && *wanted != old["metadata"]["resourceVersion"] {
                    return refuse(409, "Conflict", "the object has been modified");
                }
                full(200, self.store(path, object).to_string())
            }
            ("PATCH", false) => {
                let old = self.lock().objects.get(path).cloned();
                let code = if old.is_some() { 200 } else { 201 };
                let mut new = old.unwrap_or_default();
                merge(&mut new, object());
                full(code, self.store(path, new).to_string())
            }
            ("DELETE", false) => {
                let Some(old) = self.lock().objects.get(path).cloned() else {
                    return refuse(404, "NotFound", "not found");
                };
                let wanted = &object()["preconditions"]["uid"];
                if !wanted.is_null() && *wanted != old["metadata"]["uid"] {
                    return refuse(409, "Conflict", "the UID in the precondition does not match");
                }
                let short = path.rsplitn(3, '/').collect::<Vec<_>>();
                self.remove(&format!("{}/{}", short[1], short[0]));
                full(200, json!({"kind": "Status", "status": "Success"}).to_string())
            }
            _ => refuse(405, "MethodNotAllowed", "not here"),
        }
    }

    fn list(&self, path: &str, query: &BTreeMap<String, String>) -> Answer {
        let state = self.lock();
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(p, o)| of(p, path) && selected(o, query))
            .map(|(_, o)| o.clone())
            .collect();
        full(200, json!({"kind": "List", "metadata": {"resourceVersion": state.version.to_string()}, "items": items}).to_string())
    }

    fn watch(&self, path: &str, query: &BTreeMap<String, String>) -> Answer {
        let from: u64 = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        let (fake, path, query) = (self.clone(), path.to_owned(), query.clone());
        let cuts = self.lock().cuts;
        let mut changed = self.changed.subscribe();
        let stream = async_stream::stream! {
            let mut at = from;
            loop {
                changed.mark_unchanged();
                let (lines, cut) = {
                    let state = fake.lock();
                    if at < state.compacted && at == from && state.history.iter().any(|(v, ..)| *v < state.compacted) {
                        let gone: Value = serde_json::from_str(&status(410, "Expired", "too old resource version")).unwrap();
                        (vec![json!({"type": "ERROR", "object": gone}).to_string()], None)
                    } else {
                        let new = state.history.iter().filter(|(v, _, p, o)| *v > at && of(p, &path) && selected(o, &query));
                        let lines: Vec<_> = new.map(|(_, kind, _, o)| json!({"type": kind, "object": o}).to_string()).collect();
                        at = state.version.max(at);
                        (lines, Some(state.cuts != cuts))
                    }
                };
                for line in lines {
                    yield Ok(Frame::data(Bytes::from(line + "\n")));
                }
                match cut {
                    None => return,
                    Some(true) => {
                        yield Ok(Frame::data(Bytes::from_static(br#"{"type":"MODIF"#)));
                        yield Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
                        return;
                    }
                    Some(false) => {}
                }
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    fn read_log(&self, pod: &str, query: &BTreeMap<String, String>) -> Answer {
        let name = pod.rsplit('/').next().unwrap().to_owned();
        if !self.lock().objects.contains_key(pod) {
            return refuse(404, "NotFound", "pods not found");
        }
        let key = format!("{name}/{}", query.get("container").map_or("", String::as_str));
        let follow = query.get("follow").is_some_and(|f| f == "true");
        let timed = query.contains_key("timestamps");
        let since = query.get("sinceTime").cloned().unwrap_or_default();
        let tail: Option<usize> = query.get("tailLines").and_then(|t| t.parse().ok());
        let fake = self.clone();
        let mut changed = self.changed.subscribe();
        let stream = async_stream::stream! {
            let mut at = 0;
            let mut sent = 0;
            if let Some(tail) = tail {
                at = fake.lock().logs.get(&key).map_or(0, |l| l.lines.len().saturating_sub(tail));
            }
            loop {
                changed.mark_unchanged();
                let (lines, done, cut) = {
                    let mut state = fake.lock();
                    let log = state.logs.entry(key.clone()).or_default();
                    let lines: Vec<String> = log.lines.iter().enumerate().skip(at)
                        .map(|(n, l)| format!("2026-01-01T00:{:02}:{:02}.5Z {l}\n", n / 60, n % 60))
                        .filter(|l| since.is_empty() || l.as_str() >= since.trim_end_matches('Z'))
                        .map(|l| if timed { l } else { l.split_once(' ').unwrap().1.to_owned() })
                        .collect();
                    at = log.lines.len();
                    (lines, log.done, log.cut_at)
                };
                for line in lines {
                    if let Some(cut) = cut.filter(|cut| sent + line.len() > *cut) {
                        fake.lock().logs.get_mut(&key).unwrap().cut_at = None;
                        let part = line.as_bytes()[..cut - sent].to_vec();
                        yield Ok(Frame::data(Bytes::from(part)));
                        yield Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
                        return;
                    }
                    sent += line.len();
                    yield Ok(Frame::data(Bytes::from(line)));
                }
                if done || !follow || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        Response::new(StreamBody::new(stream).boxed_unsync())
    }
}

fn of(path: &str, collection: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(parent, _)| parent == collection)
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let field = query.get("fieldSelector").is_none_or(|f| {
        let (key, value) = f.split_once('=').unwrap();
        object.pointer(&format!("/{}", key.replace('.', "/"))).and_then(Value::as_str) == Some(value)
    });
    let label = query.get("labelSelector").is_none_or(|l| {
        let (key, value) = l.split_once('=').unwrap();
        object["metadata"]["labels"].get(key).and_then(Value::as_str) == Some(value)
    });
    field && label
}

/// What server-side apply comes to for one manager after another, near enough: maps merge, owners by uid.
fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                if key == "ownerReferences" && old.get(&key).is_some_and(Value::is_array) {
                    let all = old[&key].as_array_mut().unwrap();
                    for owner in value.as_array().unwrap() {
                        all.retain(|o| o["uid"] != owner["uid"]);
                        all.push(owner.clone());
                    }
                } else {
                    merge(old.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (old, new) => *old = new,
    }
}

//! One request and its answer, and what is done when it fails.

use crate::backoff::{Backoff, Retrying};
use crate::connection::Connection;
use crate::error::{BoxError, Cause, Class, ClusterError};
use crate::kinds::Kinds;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use ilab_core::text::bounded;
use kube::client::Body;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// No answer to a plain request may be larger.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Told of every retry.
type Observer = Arc<dyn Fn(Retrying) + Send + Sync>;

/// A cluster, seen from one namespace.
///
/// Cloning it is cheap; clones share the connection and what is known of the cluster's kinds.
///
/// Requests that meet passing errors are tried again until [`Cluster::patience`] is over.
#[derive(Clone)]
pub struct Cluster {
    connection: Arc<Connection>,
    namespace: String,
    pub(crate) kinds: Arc<Kinds>,
    observer: Option<Observer>,
    patience: Duration,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A cluster by a kubeconfig or in-cluster configuration, in its default namespace unless one is given.
///
/// kube's own retries are switched off: they wait silently for up to a thousand seconds.
///
/// # Errors
/// When the configuration is not usable, for example a certificate that cannot be read.
pub fn connect(mut config: kube::Config, namespace: Option<String>) -> Result<Cluster, ClusterError> {
    config.default_retry = false;
    config.connect_timeout.get_or_insert(Duration::from_secs(10));
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    Ok(Cluster::over(Connection::open(config)?, namespace))
}

/// A request, before it is sent; it can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn get(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(what, Method::GET, path)
    }

    pub(crate) fn new(what: impl Into<String>, method: Method, path: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            method,
            path: path.into(),
            query: Vec::new(),
            content_type: "application/json",
            body: Vec::new(),
        }
    }

    pub(crate) fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self
    }

    fn request(&self) -> Result<Request<Body>, ClusterError> {
        let mut uri = self.path.clone();
        for (at, (key, value)) in self.query.iter().enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(key);
            uri.push('=');
            uri.push_str(&encode(value));
        }
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        request
            .header(header::ACCEPT, "application/json")
            // Streams must come through unbuffered, and the rest is small.
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .body(Body::from(self.body.clone()))
            .map_err(|error| ClusterError::Answer {
                what: self.what.clone(),
                problem: format!("cannot be asked for: {error}"),
            })
    }
}

impl Cluster {
    /// A cluster reached by `client`, seen from `namespace`.
    #[must_use]
    pub fn new(client: kube::Client, namespace: impl Into<String>) -> Self {
        Self::over(Connection::fixed(client), namespace.into())
    }

    fn over(connection: Arc<Connection>, namespace: String) -> Self {
        Self {
            connection,
            namespace,
            kinds: Arc::default(),
            observer: None,
            patience: Duration::from_secs(60),
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same cluster; `observer` is told of every retry.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(Retrying) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The same cluster; a request is tried for this long. Watches are tried without end, because a run of days must
    /// survive a night without an API server, and each retry is told.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Asks for the server's version, once: the cheapest way to find out whether anybody is there.
    ///
    /// # Errors
    /// The first error, also a passing one.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let call = Call::get("reach the API server", "/version");
        let answer = read_json(&call.what, self.once(&call).await?).await?;
        Ok(answer.get("gitVersion").and_then(Value::as_str).unwrap_or("unknown").to_owned())
    }

    pub(crate) fn tell(&self, what: &str, error: &ClusterError, after: Duration) {
        tracing::debug!(what, error = %error.chain(), ?after, "retrying");
        if let Some(observer) = &self.observer {
            observer(Retrying { what: what.to_owned(), why: error.chain(), after });
        }
    }

    /// Sends once, and once more with new credentials when those that it has are refused and there may be others; an
    /// answer that is an error becomes one.
    pub(crate) async fn once(&self, call: &Call) -> Result<Response<Body>, ClusterError> {
        let send = async |client: &kube::Client| {
            client.send(call.request()?).await.map_err(|error| failed(call.what.clone(), error))
        };
        let current = self.connection.current();
        let mut answer = send(&current.client).await?;
        if answer.status() == http::StatusCode::UNAUTHORIZED
            && let Some(renewed) = self.connection.renewed(&current).await
        {
            answer = send(&renewed.client).await?;
        }
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(&call.what, answer).await) }
    }

    /// Sends until there is an answer, a permanent error, or no patience left. Answers with status and JSON.
    pub(crate) async fn json(&self, call: &Call) -> Result<(u16, Value), ClusterError> {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let result = match self.once(call).await {
                Ok(answer) => {
                    let code = answer.status().as_u16();
                    read_json(&call.what, answer).await.map(|value| (code, value))
                }
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(found) => return Ok(found),
                Err(error) if error.class() == Class::Permanent => return Err(error),
                Err(error) => error,
            };
            let wait = backoff.wait(error.retry_after());
            if started.elapsed() + wait > self.patience {
                return Err(error);
            }
            self.tell(&call.what, &error, wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// As [`Cluster::json`]; an object that is not there is none.
    pub(crate) async fn find(&self, call: &Call) -> Result<Option<Value>, ClusterError> {
        match self.json(call).await {
            Ok((_, value)) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn read_json(what: &str, answer: Response<Body>) -> Result<Value, ClusterError> {
    let bytes = read(what, answer, MAX_ANSWER).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClusterError::Answer {
        what: what.to_owned(),
        problem: format!("is not JSON: {error}"),
    })
}

pub(crate) async fn read(
    what: &str,
    answer: Response<Body>,
    most: usize,
) -> Result<bytes::Bytes, ClusterError> {
    match Limited::new(answer.into_body(), most).collect().await {
        Ok(all) => Ok(all.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ClusterError::Answer {
            what: what.to_owned(),
            problem: format!("is larger than {most} bytes"),
        }),
        Err(source) => Err(ClusterError::Unreachable { what: what.to_owned(), source }),
    }
}

/// An error of the layers below an answer.
pub(crate) fn failed(what: String, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Auth(source) => ClusterError::Credentials { what, source: source.into() },
        kube::Error::Service(source) if source.is::<kube::client::AuthError>() => {
            ClusterError::Credentials { what, source }
        }
        kube::Error::Service(source) => ClusterError::Unreachable { what, source },
        other => ClusterError::Unreachable { what, source: other.into() },
    }
}

/// An answer that is an error, in words. The body may be a Status, plain text (priority and fairness, unknown
/// groups), or somebody else's HTML.
async fn refusal(what: &str, answer: Response<Body>) -> ClusterError {
    let code = answer.status().as_u16();
    let retry_after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let phrase = answer.status().canonical_reason().unwrap_or("error");
    let body = match read(what, answer, 256 * 1024).await {
        Ok(body) => body,
        Err(_) => bytes::Bytes::new(),
    };
    let status = serde_json::from_slice::<Value>(&body)
        .ok()
        .filter(|status| status.get("kind").and_then(Value::as_str) == Some("Status"));
    status_error(what, code, phrase, status.as_ref(), &String::from_utf8_lossy(&body), retry_after)
}

/// A `Status` object, from an answer or out of a watch, as an error.
pub(crate) fn status_error(
    what: &str,
    code: u16,
    phrase: &str,
    status: Option<&Value>,
    body: &str,
    retry_after: Option<Duration>,
) -> ClusterError {
    let text = |pointer: &str| {
        status
            .and_then(|s| s.pointer(pointer))
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
            .map(ToOwned::to_owned)
    };
    let message = text("/message").unwrap_or_else(|| {
        let line = body.lines().next().unwrap_or("").trim();
        if line.is_empty() || line.starts_with('<') { phrase.to_lowercase() } else { bounded(line, 300) }
    });
    let causes = status
        .and_then(|s| s.pointer("/details/causes"))
        .and_then(Value::as_array)
        .map(|causes| {
            let field =
                |cause: &Value, key: &str| cause.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
            causes.iter().map(|c| Cause { field: field(c, "field"), message: field(c, "message") }).collect()
        })
        .unwrap_or_default();
    let retry_after = retry_after.or_else(|| {
        let seconds = status?.pointer("/details/retryAfterSeconds")?.as_u64()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    });
    ClusterError::Api { what: what.to_owned(), code, reason: text("/reason"), message, causes, retry_after }
}

/// Percent-encodes what may not stand in a query or a path segment.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => {
                use std::fmt::Write;
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// So that a body error can be classed as passing.
pub(crate) fn cut(what: &str, source: BoxError) -> ClusterError {
    ClusterError::Unreachable { what: what.to_owned(), source }
}

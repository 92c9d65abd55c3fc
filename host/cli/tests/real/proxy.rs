//! A small proxy in front of the API server: it answers in its stead, cuts connections, or stops in the middle of a request.

use crate::kit::Background;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Pass,
    /// An error in the server's stead, with what it says and with `Retry-After`.
    Refuse(u16, &'static str, Option<u64>),
    /// The connection goes without an answer.
    Cut,
    /// The test is told of it, and neither the server nor whoever asked hears any more of it.
    StopBefore,
    /// The server has done it; the test is told so, and whoever asked is not.
    StopAfter,
}

type Rule = Arc<Mutex<dyn FnMut(&str, &str) -> Action + Send>>;
type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// Listens for as long as it lives.
pub(crate) struct Proxy {
    pub(crate) kubeconfig: PathBuf,
    /// Told of each stop.
    pub(crate) stopped: UnboundedReceiver<()>,
    _task: Background,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// `rule` is asked about every request's method and path with query.
    pub(crate) async fn new(client: Client, rule: impl FnMut(&str, &str) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("config");
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "users": [{"name": "proxy", "user": {}}],
        });
        std::fs::write(&kubeconfig, content.to_string()).unwrap();
        let (stop, stopped) = unbounded_channel();
        let rule: Rule = Arc::new(Mutex::new(rule));
        let task = tokio::spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (client, rule, stop) = (client.clone(), Arc::clone(&rule), stop.clone());
                let service = service_fn(move |request| {
                    answer(client.clone(), Arc::clone(&rule), stop.clone(), request)
                });
                connections.spawn(async move {
                    // A cut is an error here, and asked for.
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { kubeconfig, stopped, _task: Background(task), _folder: folder }
    }
}

async fn answer(
    client: Client,
    rule: Rule,
    stop: UnboundedSender<()>,
    request: Request<Incoming>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let action = {
        let mut rule = rule.lock().unwrap();
        rule(request.method().as_str(), &path)
    };
    match action {
        Action::Cut => return Err("cut".into()),
        Action::Refuse(code, message, after) => return Ok(refusal(code, message, after)),
        Action::StopBefore => {
            let _ = stop.send(());
            return std::future::pending().await;
        }
        Action::Pass | Action::StopAfter => {}
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(http::header::HOST);
    let body = body.collect().await?.to_bytes();
    let answer = client.send(Request::from_parts(parts, Body::from(body.to_vec()))).await?;
    if matches!(action, Action::StopAfter) {
        let _ = stop.send(());
        return std::future::pending().await;
    }
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn refusal(code: u16, message: &str, after: Option<u64>) -> Answer {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(seconds) = after {
        answer.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    answer
}

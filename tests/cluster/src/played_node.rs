//! A node that a test plays: pods are bound to it, and what their containers are said to print is read through the API server,
//! which asks it as it would ask a kubelet.

use crate::ClusterError;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Binding, Node, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What was printed, by `NAMESPACE/POD/CONTAINER`.
type Texts = Arc<Mutex<BTreeMap<String, String>>>;

/// The node. It answers until it is dropped; its object stays, so that it belongs into a cluster of the test's own.
pub struct PlayedNode {
    name: String,
    client: Client,
    texts: Texts,
    server: JoinHandle<()>,
}

impl std::fmt::Debug for PlayedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlayedNode").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for PlayedNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl PlayedNode {
    /// Begins to answer, and tells the cluster of a node of this name.
    ///
    /// # Errors
    /// When no port is free, or the cluster refuses the node.
    pub(crate) async fn start(client: Client, name: &str) -> Result<Self, ClusterError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(ClusterError::io("a port for a node"))?;
        let port = listener.local_addr().map_err(ClusterError::io("the port of a node"))?.port();
        let (texts, acceptor) = (Texts::default(), acceptor()?);
        let server = tokio::spawn(serve(listener, acceptor, Arc::clone(&texts)));
        let node: Node = object(json!({
            "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": Ipv4Addr::LOCALHOST}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Played", "message": "by a test"}],
            },
        }));
        let played = Self { name: name.to_owned(), client, texts, server };
        let nodes: Api<Node> = Api::all(played.client.clone());
        nodes
            .create(&PostParams::default(), &node)
            .await
            .map_err(ClusterError::api("the node could not be made"))?;
        Ok(played)
    }

    /// Takes a pod, as a scheduler would have it, whose containers have all printed a text.
    ///
    /// # Errors
    /// When there is no such pod, or it is on a node already.
    pub async fn takes(&self, namespace: &str, pod: &str, text: &str) -> Result<(), ClusterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = pods.get(pod).await.map_err(ClusterError::api(format!("pod {pod} could not be read")))?;
        let spec = found.spec.unwrap_or_default();
        {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
                texts.insert(format!("{namespace}/{pod}/{}", container.name), text.to_owned());
            }
        }
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": self.name});
        let binding: Binding = object(json!({"metadata": {"name": pod}, "target": target}));
        let bound: Result<Value, _> =
            pods.create_subresource("binding", pod, &PostParams::default(), &binding).await;
        bound.map(drop).map_err(ClusterError::api(format!("pod {pod} could not be bound")))
    }
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of fixed parts")
}

/// TLS with a certificate that nobody has signed: the API server of the tests takes any from a node.
fn acceptor() -> Result<TlsAcceptor, ClusterError> {
    let own = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key that was just made");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key))
        .expect("a certificate that was just made");
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, texts: Texts) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, texts) = (acceptor.clone(), Arc::clone(&texts));
        tokio::spawn(async move {
            // Who breaks off while it connects is not answered.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answers = hyper::service::service_fn(move |request| {
                let answer = answer(&request, &texts);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), answers).await;
        });
    }
}

/// `/containerLogs/NAMESPACE/POD/CONTAINER`, with the times that a kubelet puts before the lines.
fn answer(request: &Request<Incoming>, texts: &Texts) -> Response<Full<Bytes>> {
    let wanted = request.uri().path().strip_prefix("/containerLogs/").unwrap_or_default();
    let text = texts.lock().unwrap_or_else(PoisonError::into_inner).get(wanted).cloned();
    let timed = request.uri().query().is_some_and(|query| query.contains("timestamps=true"));
    let (status, body) = match text {
        Some(text) if timed => (
            StatusCode::OK,
            text.lines().map(|line| format!("2026-01-01T00:00:00.000000001Z {line}\n")).collect(),
        ),
        Some(text) => (StatusCode::OK, text),
        None => (StatusCode::NOT_FOUND, format!("no container {wanted}")),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

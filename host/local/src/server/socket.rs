//! The same API over TCP.

use super::cluster::answer;
use super::status::Refusal;
use super::{Shared, bodies};
use http::{Request, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// More connections than this wait.
const MAX_CONNECTIONS: usize = 256;

/// A socket that answers for as long as this is held.
#[derive(Debug)]
pub struct ServeHandle {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl ServeHandle {
    /// The address with its actual port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the cluster is shut down.
    pub async fn wait(mut self) {
        // It is only ever aborted by dropping this handle.
        let _ = (&mut self.task).await;
    }
}

impl Drop for ServeHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens, and answers until the cluster stops.
pub(super) async fn serve(server: Shared, address: SocketAddr) -> std::io::Result<ServeHandle> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(accept(server, listener));
    Ok(ServeHandle { address, task })
}

/// A web page in the user's browser can reach the loopback address too. It is given away by its origin, or, when it has
/// its name resolve to this machine, by the host it believes to speak to.
fn foreign<B>(request: &Request<B>) -> Option<Refusal> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (request.headers().contains_key(header::ORIGIN) || !local).then(|| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "only programs of this machine may use the local cluster",
        )
    })
}

async fn accept(server: Shared, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = server.stopping.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or a connection that broke while waiting.
                    tracing::warn!(%error, "a connection to the local cluster could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = server.stopping.cancelled() => return,
        };
        while connections.try_join_next().is_some() {}
        let server = Arc::clone(&server);
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let server = Arc::clone(&server);
                async move {
                    Ok::<_, Infallible>(match foreign(&request) {
                        Some(refusal) => bodies::refuse(&refusal),
                        None => answer(&server, request).await,
                    })
                }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(600))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the local cluster broke");
            }
            drop(place);
        });
    }
}

//! Bounded waits.

use crate::ClusterError;
use crate::supervisor::Process;
use std::time::{Duration, Instant};

/// What has no event to wait for is looked at so often.
const INTERVAL: Duration = Duration::from_millis(50);

/// Asks until the answer is there, the process has ended, or the bound is over.
///
/// `what` completes the sentence "… within 60 s".
pub(crate) async fn until<T>(
    what: &str,
    bound: Duration,
    process: Option<&Process>,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T, ClusterError> {
    let begun = Instant::now();
    let late = || ClusterError::Late {
        what: what.to_owned(),
        bound,
        log: process
            .map(|process| format!("; its last lines:\n{}", process.last_lines()))
            .unwrap_or_default(),
    };
    loop {
        if let Some(process) = process {
            process.check()?;
        }
        let left = bound.checked_sub(begun.elapsed()).ok_or_else(late)?;
        if let Some(answer) = tokio::time::timeout(left, ask()).await.map_err(|_| late())? {
            return Ok(answer);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A TCP port of this address that nobody has at the moment.
pub(crate) fn free_port(address: std::net::IpAddr) -> Result<u16, ClusterError> {
    std::net::TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ClusterError::io(format!("no free port on {address}")))
}

/// Whether an HTTP server answers with 200.
pub(crate) async fn http_ok(address: std::net::IpAddr, port: u16, path: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect((address, port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await?;
        Ok::<_, std::io::Error>(begin.ends_with(b" 200"))
    };
    ask.await.unwrap_or(false)
}

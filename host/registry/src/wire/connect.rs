//! Which scheme a registry is spoken to with, and the client that does it.

use crate::RegistryError;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A registry that sends nothing for so long has gone away.
const READ_TIME: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;

/// The HTTP client: rustls on ring, the system's certificates and those of the file.
pub(crate) fn client(ca_file: Option<&Path>) -> Result<Client, RegistryError> {
    // rustls takes the first provider that is installed; a second call is refused, which is what we want then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("ilab-host/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIME)
        .read_timeout(READ_TIME)
        .redirect(Policy::custom(redirect));
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(|e| RegistryError::file("read", path, e))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|all| !all.is_empty())
            .ok_or_else(|| RegistryError::content(path, "holds no PEM certificate"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|source| RegistryError::Unreachable { registry: "client".into(), source })
}

/// Registries redirect to where blobs are stored. Never from TLS to plain text, and not for ever.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let before = attempt.previous();
    if before.len() > REDIRECTS {
        return attempt.error("too many redirects");
    }
    if before.last().is_some_and(|url| url.scheme() == "https") && attempt.url().scheme() != "https" {
        return attempt.error("a redirect from https to http");
    }
    attempt.follow()
}

/// Whether this host is this machine, so that nobody is on the way.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether the other side did not understand TLS at all. A certificate that is not trusted is another matter.
pub(crate) fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidMessage(_));
    }
    // What an I/O error is made of is not its source.
    let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    within.is_some_and(|error| speaks_no_tls(error)) || error.source().is_some_and(speaks_no_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_in_place_of_tls_is_found_however_deep() {
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(speaks_no_tls(&std::io::Error::other(std::io::Error::other(plain))));
        assert!(!speaks_no_tls(&std::io::Error::other(rustls::Error::General("x".into()))));
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["localhost.example.com", "10.0.0.1:5000", "ghcr.io", "[::2]:1", "127.0.0.1.nip.io"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}

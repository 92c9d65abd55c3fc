//! The URL of a service that pods reach.

/// The host part, with its port, of `http[s]://HOST[:PORT][/…]`.
///
/// # Errors
/// What is wrong with it, as a fragment that follows its name.
///
/// ```
/// use ilab_core::endpoint::endpoint_host;
/// assert_eq!(endpoint_host("https://s3.example.com/path"), Ok("s3.example.com"));
/// assert_eq!(endpoint_host("http://:9000"), Err("has no host"));
/// ```
pub fn endpoint_host(endpoint: &str) -> Result<&str, &'static str> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"))
        .ok_or("has no scheme: begin it with https:// or http://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') { Err("has no host") } else { Ok(host) }
}

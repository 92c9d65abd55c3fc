//! One request and its answer: authorised, retried, bounded, and its errors told apart.

use super::backoff::{TRIES, wait};
use super::challenge::{Challenge, Token};
use super::connect::{client, is_loopback, speaks_no_tls};
use super::credentials::{self, Credential};
use crate::error::said;
use crate::{Reference, RegistryError};
use ilab_core::text::chain;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// More than any error or token is long.
const SMALL: u64 = 64 << 10;

/// How registries are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Plain HTTP is allowed, for every registry; without it, only for those on this machine.
    pub plain_http: bool,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Docker's configuration file; none: where `DOCKER_CONFIG` or the home folder has it.
    pub docker_config: Option<PathBuf>,
}

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Pull,
    Push,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// What was learnt of one registry.
#[derive(Debug, Clone)]
struct Known {
    base: Url,
    credential: Credential,
}

/// A client for any number of registries. It remembers what it has learnt of each until it is dropped.
pub struct Registry {
    pub(super) http: reqwest::Client,
    options: RegistryOptions,
    known: Mutex<BTreeMap<String, Known>>,
    authorised: Mutex<BTreeMap<(String, String, Action), Authorisation>>,
}

/// What goes into the header `Authorization`.
#[derive(Clone)]
enum Authorisation {
    Bearer(Token),
    Basic(String, String),
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Registry {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::File`] and [`RegistryError::Content`] for a certificate file that cannot be used.
    pub fn new(options: RegistryOptions) -> Result<Self, RegistryError> {
        Ok(Self {
            http: client(options.ca_file.as_deref())?,
            options,
            known: Mutex::default(),
            authorised: Mutex::default(),
        })
    }

    /// Sends what `request` builds, again and again while the error may pass, and answers a successful response.
    pub(super) async fn send(
        &self,
        at: &Reference,
        action: Action,
        request: impl Fn(&reqwest::Client, &Url) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let mut failed = 0;
        loop {
            match self.once(at, action, &request).await {
                Err(error) => failed = self.pause(failed, error).await?,
                Ok(response) => return Ok(response),
            }
        }
    }

    /// Waits after a failed try that may go better next time; the error itself, when it will not or was the last.
    pub(super) async fn pause(&self, failed: u32, error: RegistryError) -> Result<u32, RegistryError> {
        if !error.is_passing() || failed + 1 >= TRIES {
            return Err(error);
        }
        let retry_after = match &error {
            RegistryError::Busy { retry_after, .. } => *retry_after,
            _ => None,
        };
        let pause = wait(failed, retry_after);
        tracing::info!(error = chain(&error), after = ?pause, "a registry is asked again");
        tokio::time::sleep(pause).await;
        Ok(failed + 1)
    }

    /// One try. A registry that wants to know who asks is told, once.
    pub(super) async fn once(
        &self,
        at: &Reference,
        action: Action,
        request: impl Fn(&reqwest::Client, &Url) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let known = self.known(at).await?;
        let key = (at.registry().to_owned(), at.repository().to_owned(), action);
        let mut introduced = false;
        loop {
            let mut built = request(&self.http, &known.base);
            if let Some(authorisation) = self.authorised.lock().await.get(&key).cloned() {
                built = authorise(built, &known.base, &authorisation)?;
            }
            let response = built.send().await.map_err(|e| unreachable(at, e))?;
            if response.status().is_success() {
                return Ok(response);
            }
            if response.status() != StatusCode::UNAUTHORIZED || introduced {
                return Err(refused(at, action, &known.credential, response).await);
            }
            introduced = true;
            let authorisation = self.introduce(at, action, &known, response).await?;
            self.authorised.lock().await.insert(key.clone(), authorisation);
        }
    }

    /// Scheme, host and credentials of a registry.
    async fn known(&self, at: &Reference) -> Result<Known, RegistryError> {
        // Held while it is found out, so that no two ask a helper at once.
        let mut all = self.known.lock().await;
        if let Some(known) = all.get(at.registry()) {
            return Ok(known.clone());
        }
        let config = self.options.docker_config.clone().or_else(credentials::docker_config);
        let known = Known {
            base: self.base(at).await?,
            credential: credentials::find(config.as_deref(), at.registry(), at.credential_key()).await?,
        };
        all.insert(at.registry().to_owned(), known.clone());
        Ok(known)
    }

    /// TLS, unless plain HTTP was asked for, or the registry is on this machine and knows no TLS.
    async fn base(&self, at: &Reference) -> Result<Url, RegistryError> {
        let url = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/", at.host()))
                .map_err(|_| RegistryError::reference(&at.to_string(), "names no host that can be reached"))
        };
        if self.options.plain_http {
            return url("http");
        }
        let secure = url("https")?;
        if is_loopback(at.host())
            && let Err(error) = self.http.get(secure.clone()).send().await
            && speaks_no_tls(&error)
        {
            return url("http");
        }
        Ok(secure)
    }

    /// Answers a registry's challenge.
    async fn introduce(
        &self,
        at: &Reference,
        action: Action,
        known: &Known,
        response: Response,
    ) -> Result<Authorisation, RegistryError> {
        let challenge = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|header| Challenge::parse(header.to_str().ok()?))
            .min_by_key(|challenge| *challenge == Challenge::Basic);
        match (challenge, &known.credential) {
            (None, _) => {
                Err(RegistryError::protocol(at.registry(), "a refusal (401) without a way to log in"))
            }
            (Some(Challenge::Basic), Credential::Basic(user, password)) => {
                Ok(Authorisation::Basic(user.clone(), password.clone()))
            }
            (Some(Challenge::Basic), credential) => Err(refused(at, action, credential, response).await),
            (Some(Challenge::Bearer { realm, service }), _) => {
                self.token(at, action, known, &realm, service.as_deref()).await.map(Authorisation::Bearer)
            }
        }
    }

    /// Buys a token.
    async fn token(
        &self,
        at: &Reference,
        action: Action,
        known: &Known,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Token, RegistryError> {
        let protocol = |problem: &str| RegistryError::protocol(at.registry(), problem);
        let mut url = Url::parse(realm).map_err(|_| protocol("a token server that is no URL"))?;
        // A registry with TLS must not have the password sent in plain text.
        if url.scheme() != "https" && (url.scheme() != "http" || known.base.scheme() == "https") {
            return Err(protocol("a token server without TLS"));
        }
        let scope = format!("repository:{}:{}", at.repository(), action.scope());
        let mut pairs = vec![("scope", scope.as_str())];
        pairs.extend(service.map(|service| ("service", service)));
        let request = match &known.credential {
            Credential::Identity(token) => {
                pairs.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "ilab-host"),
                    ("refresh_token", token),
                ]);
                let mut form = Url::parse("form:").map_err(|_| protocol("no form"))?;
                form.query_pairs_mut().extend_pairs(pairs);
                let body = form.query().unwrap_or_default().to_owned();
                self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            other => {
                url.query_pairs_mut().extend_pairs(pairs);
                match other {
                    Credential::Basic(user, password) => self.http.get(url).basic_auth(user, Some(password)),
                    _ => self.http.get(url),
                }
            }
        };
        let response = request.send().await.map_err(|e| unreachable(at, e))?;
        if !response.status().is_success() {
            return Err(refused(at, action, &known.credential, response).await);
        }
        let json = bounded(at, "a token", response, SMALL).await?;
        Token::parse(&json, Instant::now()).ok_or_else(|| protocol("a token that is none"))
    }
}

/// Adds the header, where the request goes to the registry itself: an upload's place may be elsewhere.
fn authorise(
    request: RequestBuilder,
    base: &Url,
    authorisation: &Authorisation,
) -> Result<RequestBuilder, RegistryError> {
    let target = request.try_clone().and_then(|clone| clone.build().ok());
    if target.is_none_or(|target| target.url().origin() != base.origin()) {
        return Ok(request);
    }
    Ok(match authorisation {
        Authorisation::Bearer(token) if token.is_good(Instant::now()) => {
            request.header(AUTHORIZATION, format!("Bearer {}", token.text))
        }
        // The registry asks again, and a new one is bought.
        Authorisation::Bearer(_) => request,
        Authorisation::Basic(user, password) => request.basic_auth(user, Some(password)),
    })
}

/// Reads a body whole, up to a limit.
pub(super) async fn bounded(
    at: &Reference,
    what: &str,
    mut response: Response,
    limit: u64,
) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(at, e))? {
        let size = body.len() as u64 + chunk.len() as u64;
        if size > limit {
            return Err(RegistryError::TooLarge { what: what.to_owned(), size, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(super) fn unreachable(at: &Reference, error: reqwest::Error) -> RegistryError {
    let registry = at.registry().to_owned();
    if speaks_no_tls(&error) {
        return RegistryError::PlainHttp { registry };
    }
    // The address may hold a token of the storage behind the registry.
    RegistryError::Unreachable { registry, source: error.without_url() }
}

/// An unsuccessful answer in our words.
async fn refused(
    at: &Reference,
    action: Action,
    credential: &Credential,
    response: Response,
) -> RegistryError {
    let registry = at.registry().to_owned();
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let (codes, said) = reasons(&bounded(at, "an error", response, SMALL).await.unwrap_or_default());
    let has = |code: &str| codes.iter().any(|c| c == code);
    match status {
        _ if has("MANIFEST_INVALID")
            || has("UNSUPPORTED")
            || status == StatusCode::UNSUPPORTED_MEDIA_TYPE =>
        {
            RegistryError::MediaTypeRefused { registry, said }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
            registry,
            repository: at.repository().to_owned(),
            action: action.name(),
            said,
            anonymous: *credential == Credential::Anonymous,
        },
        StatusCode::NOT_FOUND => RegistryError::NotFound { reference: at.to_string() },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            RegistryError::Busy { registry, status: status.as_u16(), said, retry_after }
        }
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            RegistryError::Busy { registry, status: status.as_u16(), said, retry_after }
        }
        status => RegistryError::Refused { registry, status: status.as_u16(), said },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The codes and the text of the specification's error document; the beginning of what else there is.
fn reasons(body: &[u8]) -> (Vec<String>, String) {
    let document: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let errors = document.as_ref().and_then(|d| d.get("errors")?.as_array());
    let Some(errors) = errors.filter(|errors| !errors.is_empty()) else {
        return (Vec::new(), said(&String::from_utf8_lossy(body)));
    };
    let text = |error: &serde_json::Value, key: &str| {
        error.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    };
    let codes: Vec<String> = errors.iter().map(|e| text(e, "code")).collect();
    let told: Vec<String> = errors
        .iter()
        .map(|e| {
            [text(e, "code"), text(e, "message")]
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(": ")
        })
        .collect();
    (codes, said(&told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_told_on_one_line() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"},{"code":"X"}]}"#;
        assert_eq!(reasons(body), (vec!["DENIED".into(), "X".into()], r"DENIED: no\u{1b}[31m; X".into()));
        assert_eq!(reasons(b"<html>\nno").1, r"<html>\nno");
        assert_eq!(reasons(br#"{"errors":[1, null]}"#).1, ";");
        assert_eq!(reasons(b""), (Vec::new(), String::new()));
    }
}

//! The user's credentials for a registry, from where `docker login` puts them.

use crate::RegistryError;
use crate::error::said;
use docker_credential::{CredentialRetrievalError as Lookup, DockerCredential};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a credential helper may think; some wait for a person.
const HELPER_TIME: Duration = Duration::from_secs(60);

/// How to introduce oneself. Its debug form shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Not at all.
    Anonymous,
    /// By name and password.
    Basic(String, String),
    /// By a token that buys tokens.
    Identity(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic(..) => "Basic",
            Self::Identity(_) => "Identity",
        })
    }
}

/// Where docker's configuration lies: `DOCKER_CONFIG`, or else in the home folder.
pub(crate) fn docker_config() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// Looks up a registry's credentials: `credHelpers`, then `auths`, then `credsStore`.
pub(crate) async fn find(
    config: Option<&Path>,
    registry: &str,
    key: &str,
) -> Result<Credential, RegistryError> {
    let fail = |problem: String| RegistryError::Credentials { registry: registry.to_owned(), problem };
    let Some(path) = config.map(Path::to_owned) else { return Ok(Credential::Anonymous) };
    let file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Credential::Anonymous),
        Err(source) => return Err(RegistryError::file("read", &path, source)),
    };
    // A helper is a program that may hang: on a thread of its own, nobody has to wait for its end.
    let (answer, answered) = tokio::sync::oneshot::channel();
    let key = key.to_owned();
    std::thread::spawn(move || answer.send(docker_credential::get_credential_from_reader(file, &key)));
    let found = tokio::time::timeout(HELPER_TIME, answered)
        .await
        .map_err(|_| fail(format!("its credential helper has not answered for {} s", HELPER_TIME.as_secs())))?
        .map_err(|_| fail("its credential helper broke off".into()))?;
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) if user.is_empty() && password.is_empty() => {
            Ok(Credential::Anonymous)
        }
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Credential::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credential::Identity(token)),
        Err(Lookup::NoCredentialConfigured) => Ok(Credential::Anonymous),
        // What helpers of all makers say when they have none; docker takes it for anonymous, too.
        Err(Lookup::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(Credential::Anonymous)
        }
        Err(Lookup::HelperFailure { helper, stderr, .. }) => {
            Err(fail(format!("{} fails: {}", said(&helper), said(&stderr))))
        }
        Err(Lookup::HelperCommunicationError) => {
            Err(fail(format!("the credential helper that {} names cannot be run", path.display())))
        }
        Err(Lookup::ConfigReadError | Lookup::ConfigNotFound) => {
            Err(fail(format!("{} is no docker configuration", path.display())))
        }
        Err(other) => Err(fail(format!("{}: {}", path.display(), said(&other.to_string())))),
    }
}

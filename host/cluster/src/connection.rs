//! The client below, and how it comes by new credentials while a run of days goes on.

use crate::error::ClusterError;
use crate::transport::failed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A client that can be made anew from what it was made from.
///
/// kube reads a token's file again about once a minute and asks a credential plugin again when its answer has run out. A
/// token that is revoked before that, as when the Secret or the Pod that it is bound to goes, is refused in between, though
/// a good one lies in the file.
pub(crate) struct Connection {
    current: Mutex<Current>,
    /// None where it would only come by the same credentials again.
    config: Option<kube::Config>,
    /// Held by whoever makes the next one, so that many refusals at once make one.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) client: kube::Client,
    /// How many came before.
    number: u64,
}

impl Connection {
    /// A client that stays what it is.
    pub(crate) fn fixed(client: kube::Client) -> Arc<Self> {
        Arc::new(Self::of(client, None))
    }

    /// A client by this configuration.
    pub(crate) fn open(config: kube::Config) -> Result<Arc<Self>, ClusterError> {
        let auth = &config.auth_info;
        let changes = auth.token_file.is_some() || auth.exec.is_some() || auth.auth_provider.is_some();
        let again = changes.then(|| config.clone());
        let client = kube::Client::try_from(config).map_err(|error| failed("connect".to_owned(), error))?;
        Ok(Arc::new(Self::of(client, again)))
    }

    fn of(client: kube::Client, config: Option<kube::Config>) -> Self {
        let current = Mutex::new(Current { client, number: 0 });
        Self { current, config, renewing: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Nothing that can panic happens under the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn current(&self) -> Current {
        self.lock().clone()
    }

    /// After a refusal of `refused`: a client with credentials that were read since. None when there are no others.
    pub(crate) async fn renewed(&self, refused: &Current) -> Option<Current> {
        let config = self.config.as_ref()?;
        let _one = self.renewing.lock().await;
        let now = self.current();
        if now.number != refused.number {
            return Some(now);
        }
        let config = config.clone();
        // A credential plugin is a program that may take its time.
        let made = tokio::task::spawn_blocking(move || kube::Client::try_from(config)).await;
        match made {
            Ok(Ok(client)) => {
                let next = Current { client, number: now.number + 1 };
                *self.lock() = next.clone();
                Some(next)
            }
            // The refusal says what matters.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the cluster's credentials cannot be read again");
                None
            }
            Err(_) => None,
        }
    }
}

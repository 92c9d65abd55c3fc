//! What is asked for.

use crate::secret::SecretValue;
use ilab_core::contract::{Context, Excerpt, ObjectRef, Plan};
use ilab_core::grants::Grants;
use ilab_core::graph::{Offer, Pipeline};
use ilab_core::guard::Policy;
use ilab_core::names::{RunId, StageName};
use ilab_core::parameters::Resolved;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What the stages themselves do. Both calls are pure and bounded by whoever implements them.
pub trait Stages: Send + Sync {
    /// The manifests of a stage, and how to tell that they are done.
    ///
    /// # Errors
    /// What the stage says is wrong, or why it could not be asked.
    fn render(&self, stage: &StageName, context: &Context) -> Result<Plan, Box<dyn Error + Send + Sync>>;

    /// The outputs of a stage that is done.
    ///
    /// # Errors
    /// What the stage says is wrong, or why it could not be asked.
    fn collect(
        &self,
        stage: &StageName,
        context: &Context,
        excerpts: &[Excerpt],
    ) -> Result<Value, Box<dyn Error + Send + Sync>>;

    /// Tells how an object was seen that a stage waits for, while its verdict was open. For whoever keeps a record of it.
    fn observed(&self, stage: &StageName, object: &ObjectRef, state: &Value) {
        let _ = (stage, object, state);
    }
}

/// Where a credential's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A Secret that exists.
    Named {
        /// Its name.
        secret: String,
    },
    /// Values, from which the host makes a Secret and, where asked, a ConfigMap.
    Literal {
        /// The Secret's name.
        secret_name: String,
        /// What goes into it.
        secret_keys: BTreeMap<String, SecretValue>,
        /// The ConfigMap's name.
        config_map_name: Option<String>,
        /// What goes into it; nothing secret.
        config_map_keys: BTreeMap<String, String>,
    },
}

/// How volumes become claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimOptions {
    /// The storage class; none: the cluster's default.
    pub storage_class: Option<String>,
    /// The access modes of the claims that the host makes.
    pub access_modes: Vec<String>,
    /// Volumes for which a claim exists already, and its name.
    pub existing: BTreeMap<String, String>,
    /// Sizes that replace what the stages ask for.
    pub sizes: BTreeMap<String, String>,
    /// Leave the claims behind when the run is deleted.
    pub keep: bool,
}

impl Default for ClaimOptions {
    fn default() -> Self {
        Self {
            storage_class: None,
            access_modes: vec!["ReadWriteMany".to_owned()],
            existing: BTreeMap::new(),
            sizes: BTreeMap::new(),
            keep: false,
        }
    }
}

/// What becomes of a run that has a record already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// What it has done is not done again; stages that it has begun are refused.
    #[default]
    Never,
    /// It is gone on with; finished stages are not run again, running ones are waited for, failed ones are tried again.
    /// Without a record there is nothing to go on with, which is refused.
    Always,
    /// As [`Resume::Always`] where there is a record; else it is begun.
    IfStarted,
}

/// What is done about what the look at the cluster finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preflight {
    /// An error keeps the run from beginning.
    #[default]
    Enforce,
    /// Errors are told, and the run begins, where it can.
    Warn,
    /// Only what the run cannot begin without is looked at.
    Skip,
}

/// How the run is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// What becomes of a run that has a record already.
    pub resume: Resume,
    /// What is done about what the look at the cluster finds.
    pub preflight: Preflight,
    /// How long trouble that blocks a stage may last (an image that cannot be pulled, no node, no quota) before the stage
    /// counts as failed; none: for ever.
    pub pending_timeout: Option<Duration>,
    /// How long a stage may take, instead of what its plan says.
    pub timeouts: BTreeMap<StageName, Duration>,
    /// How long a single request is tried when the API server is out of reach while the run is under way.
    pub outage: Duration,
    /// Take over fields that another manager owns.
    pub force_conflicts: bool,
    /// Stream the containers' logs as events.
    pub logs: bool,
    /// How many of the lines of a container that runs already are told when a run is taken up again.
    pub attach_lines: u64,
    /// How long a stage may wait without a pod before its Events are looked at.
    pub quiet: Duration,
    /// What the host calls itself in the run record.
    pub host_version: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            resume: Resume::Never,
            preflight: Preflight::Enforce,
            pending_timeout: Some(Duration::from_secs(30 * 60)),
            timeouts: BTreeMap::new(),
            outage: Duration::from_secs(60 * 60),
            force_conflicts: false,
            logs: true,
            attach_lines: 50,
            quiet: Duration::from_secs(10),
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A run, or the next part of one.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The run.
    pub run: RunId,
    /// The one namespace for its objects.
    pub namespace: String,
    /// Every stage, selected or not: the others may have run before, and share volumes.
    pub pipeline: Arc<Pipeline>,
    /// The stages to run now.
    pub selected: BTreeSet<StageName>,
    /// The parameters of the selected stages.
    pub parameters: BTreeMap<StageName, Resolved>,
    /// Where each credential comes from, by its logical name.
    pub credentials: BTreeMap<String, CredentialSource>,
    /// ConfigMaps that exist and stand for keys of a credential: by its logical name, then by key.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// How volumes become claims.
    pub claims: ClaimOptions,
    /// What the guard allows any stage.
    pub policy: Policy,
    /// What each component is granted.
    pub grants: Grants,
    /// How it is carried out.
    pub options: RunOptions,
}

impl RunRequest {
    /// What is to run now, in the pipeline's order.
    pub fn selected_offers(&self) -> impl Iterator<Item = &Offer> {
        self.pipeline.stages().iter().filter(|offer| self.selected.contains(offer.name()))
    }
}

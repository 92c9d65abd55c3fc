//! Whether the cluster would let the host do what it has to: asked line by line of the one table of it.

use super::finding::Finding;
use super::looked;
use crate::bindings;
use crate::error::EngineError;
use crate::planning::{PlannedStage, claim_name, queue_of};
use crate::request::{CredentialSource, RunRequest};
use futures::StreamExt;
use ilab_cluster::{Asks, Cluster, Names, Need, Purpose, needs};
use ilab_core::contract::{Credential, Kind};
use std::collections::BTreeMap;

const CHECK: &str = "permissions";
/// Questions on their way at once.
const AT_ONCE: usize = 8;

/// What a request will ask of the API, with what was planned for it.
///
/// # Errors
/// [`EngineError`] when a volume's size is none.
pub fn asks(request: &RunRequest, planned: &[PlannedStage]) -> Result<Asks, EngineError> {
    asks_of(request, &planned.iter().collect::<Vec<_>>(), BTreeMap::new())
}

pub(super) fn asks_of(
    request: &RunRequest,
    planned: &[&PlannedStage],
    resources: BTreeMap<Kind, String>,
) -> Result<Asks, EngineError> {
    let selected = || request.selected_offers();
    let mut asks = Asks {
        run: Some(request.run.to_string()),
        creates: selected().flat_map(|offer| offer.descriptor.creates.iter().cloned()).collect(),
        resources,
        queues: planned.iter().flat_map(|stage| &stage.plan.manifests).any(|m| queue_of(m).is_some()),
        ..Asks::default()
    };
    for credential in selected().flat_map(|offer| &offer.descriptor.credentials) {
        if let Some(source) = request.credentials.get(&credential.name) {
            ask_for(&mut asks, credential, source);
        }
    }
    for (_, keys) in request.config_maps.iter().filter(|(name, _)| {
        selected().any(|offer| offer.descriptor.credentials.iter().any(|c| c.name == **name))
    }) {
        keys.values().for_each(|name| asks.reads_config_maps.add(name.clone()));
    }
    for volume in bindings::volumes(request, true)?.keys() {
        let claim = claim_name(&request.run, &request.claims.existing, volume);
        if request.claims.existing.contains_key(volume) {
            asks.reads_claims.add(claim);
        } else {
            asks.makes_claims.add(claim);
        }
    }
    Ok(asks)
}

/// Adds what one stage's credential will ask of the API when it comes from this source.
pub fn ask_for(asks: &mut Asks, credential: &Credential, source: &CredentialSource) {
    match source {
        CredentialSource::Named { secret } => {
            asks.reads_secrets.add(secret.clone());
            // The Secret says which; as long as nobody has read it, it may be any.
            if !credential.config_map_keys.is_empty() {
                asks.reads_config_maps = Names::Any;
            }
        }
        CredentialSource::Literal { secret_name, config_map_name, .. } => {
            asks.makes_secrets.add(secret_name.clone());
            if let Some(name) = config_map_name {
                asks.makes_config_maps.add(name.clone());
            }
        }
    }
}

/// Asks for each line whether it would be allowed.
pub(super) async fn check(cluster: &Cluster, asks: &Asks) -> Result<Vec<Finding>, EngineError> {
    let needed: Vec<Need> = needs(asks).into_iter().filter(|need| need.purpose == Purpose::Run).collect();
    let asked = futures::stream::iter(needed.clone())
        .map(|need| {
            let cluster = cluster.clone();
            async move {
                let answer = cluster.may(&need).await;
                (need, answer)
            }
        })
        .buffered(AT_ONCE);
    futures::pin_mut!(asked);
    let mut denied: Vec<Need> = Vec::new();
    while let Some((need, answer)) = asked.next().await {
        match looked(CHECK, "what is allowed", answer)? {
            Ok(true) => {}
            Ok(false) => denied.push(need),
            Err(skipped) => return Ok(vec![skipped]),
        }
    }
    if denied.is_empty() {
        return Ok(vec![Finding::ok(CHECK, format!("all {} that the run needs are given", needed.len()))]);
    }
    // One finding a resource: who gives permissions thinks in resources.
    let mut resources: Vec<(String, Vec<Need>)> = Vec::new();
    for need in denied {
        let mut whole = need.clone();
        whole.verb = "";
        let key = whole.to_string().trim_start().to_owned();
        match resources.iter_mut().find(|(k, _)| *k == key) {
            Some((_, all)) => all.push(need),
            None => resources.push((key, vec![need])),
        }
    }
    let findings = resources.into_iter().map(|(resource, all)| {
        let verbs: Vec<_> = all.iter().map(|n| n.verb).collect();
        let mut whys: Vec<_> = all.iter().map(|n| n.why).collect();
        whys.dedup();
        Finding::error(
            CHECK,
            format!("you may not {} {resource} in namespace {}", verbs.join(", "), cluster.namespace()),
            format!(
                "it is needed to {}; `ilab-host rbac` prints a Role with all that a run needs",
                whys.join(", to ")
            ),
        )
    });
    Ok(findings.collect())
}

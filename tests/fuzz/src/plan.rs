//! What a component returns: it is decoded, checked and guarded without a panic, and errors are a line each.

use ilab_core::contract::{Context, Descriptor, Kind, Plan};
use ilab_core::grants::Grants;
use ilab_core::graph::Offer;
use ilab_core::guard::{Grant, Policy, harden};
use ilab_core::names::PluginDigest;
use ilab_core::plan::check_plan;
use ilab_core::text::is_plain_line;
use serde_json::json;
use std::sync::OnceLock;

fn stage() -> &'static (Offer, Context) {
    static STAGE: OnceLock<(Offer, Context)> = OnceLock::new();
    STAGE.get_or_init(|| {
        let descriptor: Descriptor = serde_json::from_value(json!({
            "name": "fuzz", "summary": "x", "group": "fuzz", "after": [], "parameters": [], "credentials": [], "volumes": [],
            "inputs": [], "outputs": [], "creates": [],
        }))
        .unwrap_or_else(|e| panic!("{e}"));
        let kind = |api_version: &str, kind: &str| Kind { api_version: api_version.into(), kind: kind.into() };
        let creates = vec![kind("batch/v1", "Job"), kind("v1", "ConfigMap")];
        let context = Context {
            run: "r".into(),
            namespace: "ml".into(),
            prefix: "r-fuzz".into(),
            parameters: Default::default(),
            inputs: Default::default(),
            credentials: Vec::new(),
            volumes: Vec::new(),
        };
        let descriptor = Descriptor { creates, ..descriptor };
        (Offer { descriptor, file: "fuzz.wasm".into(), digest: PluginDigest::of(b"") }, context)
    })
}

/// A plan as JSON.
///
/// # Panics
/// When an error is more than a line.
pub fn plan(data: &[u8]) {
    let Ok(mut plan) = serde_json::from_slice::<Plan>(data) else { return };
    let (offer, context) = stage();
    if let Err(error) = check_plan(&plan, context, &offer.descriptor) {
        return assert!(is_plain_line(&error.to_string()), "{error}");
    }
    let Ok(allowance) = Grants::everything().allow(offer) else { return };
    let grant = Grant::of(offer, context, allowance);
    for manifest in &mut plan.manifests {
        harden(manifest);
        if let Err(refused) = Policy::default().admit(manifest, &grant) {
            assert!(is_plain_line(&refused.to_string()), "{refused}");
        }
    }
}

//! Between the component's ABI and [`Stage`](crate::Stage). For [`export_stages!`](crate::export_stages) only.

use crate::contract::Error;
use crate::{Ctx, Plan, Stage};

/// The stage of that name.
///
/// # Errors
/// When the component does not offer it; names those that it does.
pub fn find<'a>(stages: &[&'a dyn Stage], name: &str) -> Result<&'a dyn Stage, Error> {
    stages.iter().copied().find(|stage| stage.name() == name).ok_or_else(|| {
        let offered: Vec<String> = stages.iter().map(|stage| stage.name()).collect();
        Error::other(format!("there is no stage {name:?} here, only {}", offered.join(", ")))
    })
}

/// Renders a stage by its name.
///
/// # Errors
/// Those of [`find`] and of the stage.
pub fn render(stages: &[&dyn Stage], name: &str, ctx: &Ctx) -> Result<Plan, Error> {
    find(stages, name)?.render(ctx)
}

#[cfg(target_arch = "wasm32")]
mod component {
    use crate::bindings::exports::ilab::pipeline::stage as abi;
    use crate::bindings::ilab::pipeline::types;
    use crate::contract::{
        BoundCredential, BoundKey, BoundVolume, Credential, Descriptor, Error, Excerpt, KeyHolder, ObjectRef,
        Output, Parameter,
    };
    use crate::{Ctx, Plan, Stage};
    use serde_json::Value;

    // Without it a panic reaches the host only as `unreachable`.
    fn report_panics() {
        std::panic::set_hook(Box::new(|panic| {
            crate::log::log(crate::log::Level::Error, &panic.to_string());
        }));
    }

    /// `stage.stages`.
    pub fn stages(stages: &[&dyn Stage]) -> Vec<types::Descriptor> {
        report_panics();
        stages.iter().map(|stage| descriptor(stage.descriptor())).collect()
    }

    /// `stage.render`.
    ///
    /// # Errors
    /// What the stage says.
    pub fn render(
        stages: &[&dyn Stage],
        name: &str,
        context: types::Context,
    ) -> Result<types::Plan, types::Error> {
        report_panics();
        let ctx = ctx(context).map_err(error)?;
        super::render(stages, name, &ctx).map(plan).map_err(error)
    }

    /// `stage.collect`.
    ///
    /// # Errors
    /// What the stage says.
    pub fn collect(
        stages: &[&dyn Stage],
        name: &str,
        context: types::Context,
        excerpts: Vec<types::Excerpt>,
    ) -> Result<String, types::Error> {
        report_panics();
        let ctx = ctx(context).map_err(error)?;
        let excerpts: Vec<Excerpt> = excerpts
            .into_iter()
            .map(|e| Excerpt { source: own_object(e.source), container: e.container, text: e.text })
            .collect();
        let outputs =
            super::find(stages, name).and_then(|stage| stage.collect(&ctx, &excerpts)).map_err(error)?;
        Ok(Value::Object(outputs).to_string())
    }

    fn ctx(context: types::Context) -> Result<Ctx, Error> {
        let credentials = context.credentials.into_iter().map(credential).collect();
        let volumes =
            context.volumes.into_iter().map(|v| BoundVolume { name: v.name, claim: v.claim }).collect();
        let names = (context.run, context.namespace, context.prefix);
        Ctx::new(names, context.parameters, &context.inputs, credentials, volumes)
    }

    fn credential(bound: types::BoundCredential) -> BoundCredential {
        let keys = bound
            .keys
            .into_iter()
            .map(|k| BoundKey {
                key: k.key,
                holder: match k.holder {
                    types::KeyHolder::Secret(name) => KeyHolder::Secret(name),
                    types::KeyHolder::ConfigMap(name) => KeyHolder::ConfigMap(name),
                },
            })
            .collect();
        BoundCredential { name: bound.name, keys }
    }

    fn error(error: Error) -> types::Error {
        match error {
            Error::InvalidParameter { name, message } => types::Error::InvalidParameter((name, message)),
            Error::Other(message) => types::Error::Other(message),
        }
    }

    fn object(o: ObjectRef) -> types::ObjectRef {
        types::ObjectRef { api_version: o.api_version, kind: o.kind, name: o.name }
    }

    fn own_object(o: types::ObjectRef) -> ObjectRef {
        ObjectRef { api_version: o.api_version, kind: o.kind, name: o.name }
    }

    fn plan(plan: Plan) -> types::Plan {
        types::Plan {
            manifests: plan.manifests.into_iter().map(|m| m.json).collect(),
            targets: plan
                .targets
                .into_iter()
                .map(|t| types::Target {
                    object: object(t.object),
                    succeeded: t.succeeded,
                    failed: t.failed,
                    reason: t.reason,
                    timeout_seconds: t.timeout_seconds,
                })
                .collect(),
            excerpts: plan
                .excerpts
                .into_iter()
                .map(|e| types::ExcerptSource {
                    object: object(e.object),
                    container: e.container,
                    max_bytes: e.max_bytes,
                })
                .collect(),
        }
    }

    fn parameter(p: Parameter) -> types::Parameter {
        types::Parameter {
            name: p.name,
            help: p.help,
            schema: p.schema.to_string(),
            default: p.default.map(|value| value.to_string()),
            flag: p.flag,
            env: p.env,
        }
    }

    fn output(o: Output) -> types::Output {
        types::Output {
            name: o.name,
            help: o.help,
            schema: o.schema.to_string(),
            sample: o.sample.to_string(),
            sample_parameter: o.sample_parameter,
        }
    }

    fn declared(c: Credential) -> types::Credential {
        types::Credential {
            name: c.name,
            required_keys: c.required_keys,
            optional_keys: c.optional_keys,
            config_map_keys: c.config_map_keys,
        }
    }

    fn descriptor(d: Descriptor) -> types::Descriptor {
        types::Descriptor {
            name: d.name,
            summary: d.summary,
            group: d.group,
            selected_by: d.selected_by.map(|s| types::Selector { flag: s.flag, value: s.value }),
            after: d.after,
            parameters: d.parameters.into_iter().map(parameter).collect(),
            credentials: d.credentials.into_iter().map(declared).collect(),
            volumes: d
                .volumes
                .into_iter()
                .map(|v| types::Volume { name: v.name, size: v.size, read_only: v.read_only })
                .collect(),
            inputs: d.inputs,
            outputs: d.outputs.into_iter().map(output).collect(),
            creates: d
                .creates
                .into_iter()
                .map(|k| types::Kind { api_version: k.api_version, kind: k.kind })
                .collect(),
            licence: d.licence,
            homepage: d.homepage,
        }
    }

    /// The component type's side of [`export_stages!`](crate::export_stages).
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __export_component {
        ($component:ident, $stages:ident) => {
            use $crate::bindings::exports::ilab::pipeline::stage as abi;

            impl abi::Guest for $component {
                fn stages() -> Vec<abi::Descriptor> {
                    $crate::guest::component_stages($stages())
                }
                fn render(stage: String, context: abi::Context) -> Result<abi::Plan, abi::Error> {
                    $crate::guest::component_render($stages(), &stage, context)
                }
                fn collect(
                    stage: String,
                    context: abi::Context,
                    excerpts: Vec<abi::Excerpt>,
                ) -> Result<String, abi::Error> {
                    $crate::guest::component_collect($stages(), &stage, context, excerpts)
                }
            }
            $crate::bindings::export!($component with_types_in $crate::bindings);
        };
    }

    // The interface re-exports the types under its own name; this keeps the two from drifting apart.
    const _: fn(types::Plan) -> abi::Plan = |plan| plan;
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use component::{collect as component_collect, render as component_render, stages as component_stages};

//! The stage `trainer-v2`: trains with Kubeflow Trainer v2, which came after the training operator's PyTorchJob.
//!
//! A TrainJob names a runtime of the cluster (a ClusterTrainingRuntime: image, command, how many processes) and says what
//! this training has differently. Its conditions are `Suspended`, `Complete` and `Failed` only; a `Suspended` of status
//! `False` stays behind after a resume, so that whoever looks at the type alone takes a running job for a suspended one.

use ilab_stage_sdk::k8s::core::v1::{EnvVar, ResourceRequirements};
use ilab_stage_sdk::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use ilab_stage_sdk::settings::QUEUE_LABEL;
use ilab_stage_sdk::trainer::{TrainJob, Trainer};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Parameter, Plan, Stage, export_stages, path_problem, targets};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    runtime: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    nodes: i32,
    gpus: u32,
    model: String,
    queue_name: String,
}

/// One training on a runtime of the cluster.
pub struct TrainerV2;

impl Stage for TrainerV2 {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new("trainer-v2", "trainer", "Trains with Kubeflow Trainer v2")
            .after("?sdg-data-fetch")
            .parameter(
                Parameter::string("runtime", "The ClusterTrainingRuntime")
                    .pattern("^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
                    .default("torch-distributed"),
            )
            .parameter(Parameter::image("image", "Image; empty: the runtime's").or_empty().default(""))
            .parameter(
                Parameter::strings("command", "Command; empty: the runtime's").default(Vec::<String>::new()),
            )
            .parameter(Parameter::strings("args", "Its arguments").default(Vec::<String>::new()))
            .parameter(Parameter::integer("nodes", "Nodes").minimum(1).maximum(1000).default(1))
            .parameter(
                Parameter::integer("gpus", "GPUs a node; 0: what the runtime says")
                    .minimum(0)
                    .maximum(64)
                    .default(0),
            )
            .parameter(Parameter::string("model", "Path of the base model").default("/data/model"))
            .parameter(
                Parameter::string("queue-name", "Kueue's local queue; empty: none")
                    .pattern("^([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?)?$")
                    .default(""),
            )
            .creates::<TrainJob>()
            .licence("Apache-2.0")
            .homepage("https://github.com/instructlab/ilab-host/tree/main/examples/rust-trainjob")
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        if let Some(problem) = path_problem(&settings.model, "/data") {
            return Err(Error::parameter("model", problem));
        }
        let name = ctx.name();
        let mut job = TrainJob::new(&name, &settings.runtime);
        if !settings.queue_name.is_empty() {
            job.metadata.labels = Some([(QUEUE_LABEL.into(), settings.queue_name)].into());
        }
        let some = |words: Vec<String>| (!words.is_empty()).then_some(words);
        job.spec.trainer = Some(Trainer {
            image: (!settings.image.is_empty()).then_some(settings.image),
            command: some(settings.command),
            args: some(settings.args),
            env: Some(vec![
                EnvVar { name: "MODEL".into(), value: Some(settings.model), value_from: None },
                EnvVar { name: "RUN".into(), value: Some(ctx.run().into()), value_from: None },
            ]),
            num_nodes: Some(settings.nodes),
            resources_per_node: (settings.gpus > 0).then(|| gpus(settings.gpus)),
        });
        Ok(Plan::new().apply(&job)?.wait(targets::train_job(&name)))
    }
}

fn gpus(count: u32) -> ResourceRequirements {
    let amounts: BTreeMap<String, Quantity> = [("nvidia.com/gpu".into(), Quantity(count.to_string()))].into();
    ResourceRequirements { claims: None, limits: Some(amounts.clone()), requests: Some(amounts) }
}

export_stages!(TrainerV2);

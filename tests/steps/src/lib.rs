//! Six stages, `step-1` to `step-6`, each after the one before: a workflow in which a test says what every step does.

use ilab_stage_sdk::k8s::batch::v1::Job;
use ilab_stage_sdk::k8s::core::v1::PodSecurityContext;
use ilab_stage_sdk::pod::{self, ContainerExt, PodSpecExt};
use ilab_stage_sdk::pytorch::{PyTorchJob, ReplicaSpec, RunPolicy};
use ilab_stage_sdk::settings::QUEUE_LABEL;
use ilab_stage_sdk::{Ctx, Descriptor, Error, Parameter, Plan, Stage, export_stages, targets};
use serde::Deserialize;

const VOLUME: &str = "data";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    image: String,
    image_pull_policy: String,
    command: Vec<String>,
    workers: i32,
    backoff_limit: i32,
    volume: bool,
    queue: String,
}

/// The step of this number.
pub struct Step(u8);

impl Stage for Step {
    fn descriptor(&self) -> Descriptor {
        let descriptor = Descriptor::new(&self.name(), "steps", "Runs what it is told to")
            .parameter(Parameter::image("image", "Image of the pods").flag("steps-image").default("steps:1"))
            .parameter(
                Parameter::choice("image-pull-policy", "When to pull", &["Never", "IfNotPresent", "Always"])
                    .default("IfNotPresent"),
            )
            .parameter(
                Parameter::strings("command", "Command and arguments")
                    .flag("steps-command")
                    .default(vec!["true".to_owned()]),
            )
            .parameter(
                Parameter::integer("workers", "0: a Job; more: a PyTorchJob with so many workers")
                    .minimum(0)
                    .maximum(8)
                    .default(0),
            )
            .parameter(
                Parameter::integer("backoff-limit", "Further attempts").minimum(0).maximum(9).default(0),
            )
            .parameter(
                Parameter::boolean("volume", "Mount the shared claim at /data")
                    .flag("steps-volume")
                    .default(true),
            )
            .parameter(
                Parameter::string("queue", "Kueue's queue; empty: none").flag("steps-queue").default(""),
            )
            .volume(VOLUME, "1Mi")
            .creates::<Job>()
            .creates::<PyTorchJob>();
        match self.0 {
            1 => descriptor,
            number => descriptor.after(&format!("step-{}", number - 1)),
        }
    }

    fn name(&self) -> String {
        format!("step-{}", self.0)
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let name = ctx.name();
        let mut container = pod::container("pytorch", &settings.image).run(settings.command.clone());
        container.image_pull_policy = Some(settings.image_pull_policy.clone());
        let mut spec =
            pod::spec([if settings.volume { container.mount(VOLUME, "/data") } else { container }]);
        if settings.volume {
            spec = spec.volume(pod::claim_volume(VOLUME, ctx.claim(VOLUME)?));
        }
        // The tests' image is made of the machine's own programs, whose user would be root.
        let user = PodSecurityContext {
            run_as_user: Some(1234),
            fs_group: Some(1234),
            ..spec.security_context.take().unwrap_or_default()
        };
        spec.security_context = Some(user);
        if settings.workers == 0 {
            let mut job = pod::job(&name, "steps", spec, settings.backoff_limit);
            if !settings.queue.is_empty() {
                job.metadata.labels.get_or_insert_default().insert(QUEUE_LABEL.to_owned(), settings.queue);
            }
            return Ok(Plan::new().apply(&job)?.wait(targets::job(&name)));
        }
        let policy = RunPolicy { backoff_limit: Some(settings.backoff_limit), ..RunPolicy::default() };
        let mut job = PyTorchJob::new(&name, policy);
        for (role, replicas) in [("Master", 1), ("Worker", settings.workers)] {
            let pods = ReplicaSpec::new(replicas, "OnFailure", pod::template("steps", spec.clone()));
            job.spec.replicas(role, pods);
        }
        Ok(Plan::new().apply(&job)?.wait(targets::pytorch_job(&name)))
    }
}

export_stages!(Step(1), Step(2), Step(3), Step(4), Step(5), Step(6));

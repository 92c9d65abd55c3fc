//! The stage: where a training starts from and ends up, and its PyTorchJob.

use crate::argv::training_argv;
use crate::preemption;
use crate::settings::{Phase, Settings};
use ilab_stage_sdk::instructlab::{self, DATA_ROOT, data_volume, python_container, scripts, scripts_volume};
use ilab_stage_sdk::k8s::core::v1::ConfigMap;
use ilab_stage_sdk::pod::{self, ContainerExt, PodSpecExt};
use ilab_stage_sdk::pytorch::{PyTorchJob, ReplicaSpec, RunPolicy};
use ilab_stage_sdk::settings::{GpuSettings, PodSettings, ResourceSettings};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Excerpt, Output, Plan, Stage, outputs, path_problem, targets};
use serde_json::{Map, Value, json};

/// The operator looks for a container of this name.
const CONTAINER: &str = "pytorch";
const BASE_MODEL: &str = "/data/model";
const LAST_CHECKPOINT: &str = "train-phase-1.last-checkpoint";
const FIRST_BASE: &str = "train-phase-1.base-model";
const ARCHIVE: &str = "sdg-data-fetch.sha256";

/// The training of one phase.
pub struct Train(pub Phase);

impl Train {
    /// The data's output of `sdg-data-fetch`, and where it is when that stage is not part of the run.
    fn data_input(&self) -> (&'static str, &'static str) {
        match self.0 {
            Phase::Knowledge => {
                ("sdg-data-fetch.knowledge-data", "/data/data/processed_data/knowledge/data.jsonl")
            }
            Phase::Skills => ("sdg-data-fetch.skills-data", "/data/data/processed_data/skills/data.jsonl"),
        }
    }

    /// The model that the training starts from.
    ///
    /// An explicit one is that very model. The one exception: `--model-to-train` of a whole run names the model of
    /// phase 1, and phase 2 goes on from what phase 1 made of it.
    fn base<'a>(&self, settings: &'a Settings, ctx: &'a Ctx) -> Result<&'a str, Error> {
        let given = settings.model_to_train.as_str();
        if !given.is_empty()
            && let Some(problem) = path_problem(given, DATA_ROOT)
        {
            return Err(Error::parameter("model-to-train", format!("{given} {problem}")));
        }
        if self.0 == Phase::Knowledge {
            return Ok(if given.is_empty() { BASE_MODEL } else { given });
        }
        let last = ctx.path_input(LAST_CHECKPOINT, DATA_ROOT)?;
        let trained_from = ctx.path_input(FIRST_BASE, DATA_ROOT)?;
        match (given, last) {
            ("", Some(last)) => Ok(last),
            ("", None) => Err(Error::parameter(
                "model-to-train",
                "there is no checkpoint of phase 1 to go on from: run train-phase-1 first, or name a model",
            )),
            (given, Some(last)) if trained_from == Some(given) => Ok(last),
            (given, _) => Ok(given),
        }
    }

    fn output_dir(&self, settings: &Settings, ctx: &Ctx) -> Result<String, Error> {
        if let Some(problem) = path_problem(&settings.output_root, DATA_ROOT) {
            return Err(Error::parameter("output-root", format!("{} {problem}", settings.output_root)));
        }
        Ok(format!("{}/{}/phase_{}", settings.output_root, ctx.run(), self.0.number()))
    }
}

impl Stage for Train {
    fn descriptor(&self) -> Descriptor {
        let phase = self.0.number();
        let folder = format!("/data/model/output/ilab/phase_{phase}/hf_format");
        let last = format!("{folder}/samples_7200");
        let what = match self.0 {
            Phase::Knowledge => "Trains the model on knowledge",
            Phase::Skills => "Trains what phase 1 made on skills",
        };
        let mut descriptor = instructlab::describe(&self.0.name(), "train", what)
            .selected_by("training-phase", &phase.to_string())
            .after(match self.0 {
                Phase::Knowledge => "sdg-data-fetch",
                Phase::Skills => "train-phase-1",
            })
            .parameters(Settings::parameters(self.0))
            .input(&format!("?{}", self.data_input().0))
            .input(&format!("?{ARCHIVE}"));
        if self.0 == Phase::Skills {
            descriptor = descriptor.input(&format!("?{LAST_CHECKPOINT}")).input(&format!("?{FIRST_BASE}"));
        }
        descriptor
            .output(Output::new(
                "checkpoints",
                "The complete checkpoints, in the order they were made",
                json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
                json!([last]),
            ))
            .output(Output::string("last-checkpoint", "The last of them", &last))
            .output(Output::string("checkpoints-dir", "The folder that they are in", &folder))
            .output(
                Output::string("base-model", "The model that the training started from", BASE_MODEL)
                    .sample_from("model-to-train"),
            )
            .creates::<ConfigMap>()
            .creates::<PyTorchJob>()
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let pods: PodSettings = ctx.parameters()?;
        let gpus: GpuSettings = ctx.parameters()?;
        let resources: ResourceSettings = ctx.parameters()?;
        let base = self.base(&settings, ctx)?;
        let (input, default) = self.data_input();
        let data = ctx.path_input(input, DATA_ROOT)?.unwrap_or(default);
        let output = self.output_dir(&settings, ctx)?;
        let argv = training_argv(&settings, base, data, &output)?;
        if settings.on_demand_checkpointing {
            preemption::check(&settings, data)?;
        }
        let (phase, nnodes, nproc) = (
            self.0.number().to_string(),
            (settings.workers + 1).to_string(),
            gpus.nproc_per_node.to_string(),
        );
        let mode = settings.on_demand_checkpointing.then(|| "--on-demand-checkpointing".to_owned());
        let run_id = run_id(ctx, argv.iter().chain(&mode));
        let own = [
            ("--phase", phase.as_str()),
            ("--run-id", &run_id),
            ("--base-model", base),
            ("--data", data),
            ("--output-dir", &output),
            ("--nnodes", &nnodes),
            ("--nproc-per-node", &nproc),
            ("--module", &settings.module),
        ];
        let own = own.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
        let container = python_container(
            CONTAINER,
            &settings.image,
            "train.py",
            own.chain(mode).chain(["--".to_owned()]).chain(argv),
        )
        .resources(gpus.add_to(resources.resources()))
        .mount("shm", "/dev/shm");
        let spec = data_volume(ctx, pod::spec([pods.with_env(container)?]))?
            .volume(pod::memory_volume("shm", &settings.shm_size));
        let spec = scripts_volume(ctx, spec);
        let mut spec = pods.pod(spec);
        let mut backoff_limit = pods.backoff_limit;
        if settings.on_demand_checkpointing {
            spec.termination_grace_period_seconds = Some(preemption::GRACE_SECONDS);
            backoff_limit = preemption::backoff_limit(backoff_limit, settings.workers);
        }
        let template = pod::template(&self.0.name(), spec);

        let name = ctx.name();
        let mut job = PyTorchJob::new(
            &name,
            RunPolicy {
                backoff_limit: Some(backoff_limit),
                clean_pod_policy: Some("Running".into()),
                active_deadline_seconds: pods.deadline(),
                ..RunPolicy::default()
            },
        );
        job.metadata.labels = pods.labels();
        job.spec.nproc_per_node = Some(nproc);
        if settings.workers > 0 {
            let workers = i32::try_from(settings.workers).unwrap_or(i32::MAX);
            job.spec.replicas("Worker", ReplicaSpec::new(workers, "OnFailure", template.clone()));
        }
        job.spec.replicas("Master", ReplicaSpec::new(1, "OnFailure", template));
        Ok(scripts(ctx, crate::SCRIPTS)?
            .apply(&job)?
            .wait(targets::pytorch_job(&name))
            .read(targets::pytorch_job_ref(&name), CONTAINER))
    }

    fn collect(&self, ctx: &Ctx, excerpts: &[Excerpt]) -> Result<Map<String, Value>, Error> {
        let settings: Settings = ctx.parameters()?;
        let base = self.base(&settings, ctx)?;
        let known = Map::from_iter([("base-model".to_owned(), json!(base))]);
        outputs::collect_with(&self.descriptor(), excerpts, known)
    }
}

/// Tells one training from another that happens to have the same output folder: the same run name on a claim that was
/// kept, with other settings or other data, must not go on from old checkpoints or pass for finished. Nor must a training
/// without on-demand checkpointing go on from a state that only the launcher with it can read.
fn run_id<'a>(ctx: &'a Ctx, argv: impl Iterator<Item = &'a String>) -> String {
    let archive = ctx.input(ARCHIVE).and_then(Value::as_str).unwrap_or_default();
    // FNV-1a: it tells apart, it does not protect.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in argv.map(String::as_str).chain([archive]) {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{}-{hash:016x}", ctx.run())
}

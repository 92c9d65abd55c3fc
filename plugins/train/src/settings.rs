//! What can be set, with the reference's defaults.

use ilab_stage_sdk::Parameter;
use ilab_stage_sdk::instructlab::image_parameter;
use ilab_stage_sdk::settings::{GpuSettings, PodSettings, ResourceSettings};
use serde::Deserialize;
use serde_json::json;

/// One of the two trainings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Phase 1.
    Knowledge,
    /// Phase 2.
    Skills,
}

impl Phase {
    /// 1 or 2.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Knowledge => 1,
            Self::Skills => 2,
        }
    }

    /// `train-phase-1` or `train-phase-2`.
    #[must_use]
    pub fn name(self) -> String {
        format!("train-phase-{}", self.number())
    }

    fn epochs(self) -> i64 {
        match self {
            Self::Knowledge => 7,
            Self::Skills => 10,
        }
    }
}

/// The training's own settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// The image.
    pub image: String,
    /// The model to start from; empty: by phase.
    pub model_to_train: String,
    /// The folder under which each run gets its own.
    pub output_root: String,
    /// Pods besides the master.
    pub workers: u32,
    /// The module that torchrun runs.
    pub module: String,
    /// Rounds through the data.
    pub epochs: u32,
    /// Samples between two updates, over all processes.
    pub effective_batch_size: u32,
    /// Greatest learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub lr_scheduler: String,
    /// Updates until the learning rate is reached.
    pub num_warmup_steps: u32,
    /// Tokens that a process gets at once.
    pub max_batch_len: u32,
    /// Seed of the random numbers.
    pub seed: u32,
    /// How FSDP splits the model.
    pub fsdp_sharding_strategy: String,
    /// Whether parameters wait in main memory.
    pub cpu_offload_params: bool,
    /// Whether the optimizer's state waits in main memory.
    pub cpu_offload_optimizer: bool,
    /// For GPUs without flash attention.
    pub disable_flash_attn: bool,
    /// Further arguments of the module.
    pub extra_args: Vec<String>,
    /// Whether the state is saved when a pod is told to stop, so that a restart loses no step.
    pub on_demand_checkpointing: bool,
    /// Size of `/dev/shm`.
    pub shm_size: String,
}

impl Settings {
    /// The parameters of a training stage, with those of its pods.
    #[must_use]
    pub fn parameters(phase: Phase) -> Vec<Parameter> {
        let mut parameters = vec![
            image_parameter(),
            Parameter::path(
                "model-to-train",
                "Model on the claim to start from; empty: /data/model, then phase 1's",
            )
            .or_empty()
            .default("")
            .flag("model-to-train"),
            Parameter::path(
                "output-root",
                "Folder on the claim for checkpoints; each run gets its own in it",
            )
            .default("/data/model/output"),
            Parameter::integer("workers", "Pods besides the master").minimum(0).maximum(255).default(1),
        ];
        parameters.extend(GpuSettings::parameters());
        parameters.extend(hyperparameters(phase));
        parameters.push(
            Parameter::quantity("shm-size", "Shared memory of a pod; empty: as much as there is")
                .default("8Gi"),
        );
        parameters.extend(ResourceSettings::parameters("2", "16Gi"));
        parameters.extend(PodSettings::parameters(3));
        parameters
    }
}

fn hyperparameters(phase: Phase) -> Vec<Parameter> {
    let flag = |rest: &str| format!("training-{}-{rest}", phase.number());
    let argument = json!({"type": "string", "pattern": "^[A-Za-z0-9_./:=,+@%-]{1,512}$"});
    vec![
        Parameter::string("module", "Python module that torchrun runs, with main_ds's command line")
            .pattern("^[A-Za-z_][A-Za-z0-9_.]{0,199}$")
            .default("instructlab.training.main_ds"),
        Parameter::integer("epochs", "Rounds through the data")
            .minimum(1)
            .maximum(10_000)
            .default(phase.epochs())
            .flag(&flag("epoch-num")),
        Parameter::integer("effective-batch-size", "Samples between two updates, over all processes")
            .minimum(1)
            .maximum(1_048_576)
            .default(3840)
            .flag(&flag("effective-batch-size")),
        Parameter::number("learning-rate", "Greatest learning rate").above(0).maximum(1).default(1e-4),
        Parameter::choice(
            "lr-scheduler",
            "How the learning rate changes",
            &["cosine", "linear", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial"],
        )
        .default("cosine"),
        Parameter::integer("num-warmup-steps", "Updates until the learning rate is reached")
            .minimum(0)
            .maximum(1_000_000)
            .default(800),
        Parameter::integer("max-batch-len", "Tokens that a process gets at once")
            .minimum(1)
            .maximum(16_777_216)
            .default(20_000),
        Parameter::integer("seed", "Seed of the random numbers").minimum(0).maximum(0xffff_ffff).default(42),
        Parameter::choice(
            "fsdp-sharding-strategy",
            "How FSDP splits the model",
            &["HYBRID_SHARD", "FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD"],
        )
        .default("HYBRID_SHARD"),
        Parameter::boolean("cpu-offload-params", "Keep parameters in main memory").default(true),
        Parameter::boolean("cpu-offload-optimizer", "Keep the optimizer's state in main memory")
            .default(true),
        Parameter::boolean("disable-flash-attn", "For GPUs without flash attention").default(false),
        Parameter::new(
            "extra-args",
            "Further arguments of the module, as a JSON list",
            json!({"type": "array", "maxItems": 50, "items": argument}),
        )
        .default(json!([])),
        Parameter::boolean(
            "on-demand-checkpointing",
            "Save the state when a pod is preempted, and go on from it; needs instructlab-training 0.16",
        )
        .default(false),
    ]
}

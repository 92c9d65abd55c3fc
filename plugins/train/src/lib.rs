//! The stages `train-phase-1` and `train-phase-2`: distributed training as a PyTorchJob, first on knowledge, then, from
//! the last checkpoint, on skills.

mod argv;
mod preemption;
mod settings;
mod stage;

pub use argv::training_argv;
pub use settings::{Phase, Settings};
pub use stage::Train;

use ilab_stage_sdk::export_stages;

/// The scripts of the stage's pods, by file name.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("checkpoints.py", include_str!("../../scripts/checkpoints.py")),
    ("fullstate.py", include_str!("../scripts/fullstate.py")),
    ("outputs.py", include_str!("../../scripts/outputs.py")),
    ("preemptible.py", include_str!("../scripts/preemptible.py")),
    ("runner.py", include_str!("../../scripts/runner.py")),
    ("runstate.py", include_str!("../scripts/runstate.py")),
    ("supervise.py", include_str!("../scripts/supervise.py")),
    ("train.py", include_str!("../scripts/train.py")),
    ("trainingargs.py", include_str!("../scripts/trainingargs.py")),
];

export_stages!(Train(Phase::Knowledge), Train(Phase::Skills));

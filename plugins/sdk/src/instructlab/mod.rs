//! What InstructLab's own stages have in common: images, the shared claim, credentials, scripts, evaluation.
//!
//! A stage that replaces one of them wants the same.

mod ca;
mod common;
mod evaluation;

pub use ca::{CaFile, ca_entry_parameter};
pub use common::{
    DATA_ROOT, DATA_VOLUME, HOST_IMAGE, IMAGE, SCRIPTS_DIR, data_volume, describe, host_container,
    host_image_parameter, image_parameter, object_store, object_store_ca_parameter, object_store_pod,
    python_container, scripts, scripts_volume,
};
pub use evaluation::{EvaluationJob, EvaluationSettings, evaluation_job, judge};

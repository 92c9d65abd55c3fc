//! The stage `upload-trained-model`: packs the chosen checkpoint with the evaluation reports and uploads it to the
//! object store the data came from.

use ilab_stage_sdk::instructlab::{
    self, DATA_ROOT, data_volume, host_container, host_image_parameter, object_store,
    object_store_ca_parameter, object_store_pod,
};
use ilab_stage_sdk::k8s::batch::v1::Job;
use ilab_stage_sdk::pod;
use ilab_stage_sdk::settings::PodSettings;
use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Plan, Stage, export_stages, targets};
use serde::Deserialize;

const NAME: &str = "upload-trained-model";
const UPLOAD: &str = "upload-data-object-store";
const CANDIDATE: &str = "mt-bench.best-model";
/// What the chosen checkpoint is called in the archive, where the reference's users look for it. On the claim it keeps its
/// name.
const CANDIDATE_NAME: &str = "model/output/phase_2/hf_format/candidate_model";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    host_image: String,
}

/// The upload.
pub struct Upload;

impl Stage for Upload {
    fn descriptor(&self) -> Descriptor {
        instructlab::describe(NAME, "upload-trained-model", "Uploads the best checkpoint and its scores")
            .after("final-eval")
            .parameter(host_image_parameter())
            .parameter(object_store_ca_parameter())
            .parameters(PodSettings::parameters(2))
            .credential(object_store())
            .input(CANDIDATE)
            .output(Output::string("key", "The object's key", "2026-01-01_00-00-00.data.tar.gz"))
            .output(Output::count("bytes", "Size of the archive", 14_000_000_000))
            .output(Output::string(
                "sha256",
                "SHA-256 of the archive",
                "0000000000000000000000000000000000000000000000000000000000000000",
            ))
            .creates::<Job>()
    }

    fn name(&self) -> String {
        NAME.into()
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let pods: PodSettings = ctx.parameters()?;
        let candidate = ctx.required_path_input(CANDIDATE, DATA_ROOT)?;
        // Checked above to begin with it.
        let candidate = candidate.trim_start_matches(DATA_ROOT).trim_start_matches('/');
        let container = host_container(
            UPLOAD,
            &settings.host_image,
            [
                "data",
                "upload",
                "--root",
                DATA_ROOT,
                "--key-prefix-timestamp",
                "--include",
                "mt-bench-results.txt",
                "--include",
                "mt-bench-best.txt",
                "--include",
                "mt-bench-branch-best.txt",
                // Not written when the data has no knowledge to be examined on.
                "--include-optional",
                "mmlu-branch-best.txt",
                "--include",
                &format!("{candidate}={CANDIDATE_NAME}"),
            ],
        );
        let (container, with_store) = object_store_pod(ctx, container)?;
        let spec = with_store(data_volume(ctx, pod::spec([pods.with_env(container)?]))?);
        let name = ctx.name();
        Ok(Plan::new()
            .apply(&pods.job(&name, "data-upload", spec))?
            .wait(targets::job(&name))
            .read(targets::job_ref(&name), UPLOAD))
    }
}

export_stages!(Upload);

//! The stage `sdg-data-fetch`: brings the archive with data, model and taxonomy from the object store onto the shared
//! claim, and turns its chat data into token sequences.

use ilab_stage_sdk::instructlab::{
    self, data_volume, host_container, host_image_parameter, image_parameter, object_store,
    object_store_ca_parameter, object_store_pod, python_container, scripts, scripts_volume,
};
use ilab_stage_sdk::k8s::{batch::v1::Job, core::v1::ConfigMap};
use ilab_stage_sdk::pod::{self, ContainerExt, PodSpecExt};
use ilab_stage_sdk::settings::{PodSettings, ResourceSettings};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Parameter, Plan, Stage, export_stages, targets};
use serde::Deserialize;

const NAME: &str = "sdg-data-fetch";
const DOWNLOAD: &str = "download-data-object-store";
const PREPROCESS: &str = "sdg-data-preprocess";

/// The scripts of the stage's pod, by file name.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("outputs.py", include_str!("../../scripts/outputs.py")),
    ("preprocess.py", include_str!("../scripts/preprocess.py")),
    ("runner.py", include_str!("../../scripts/runner.py")),
];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    image: String,
    host_image: String,
    force_pull: bool,
    max_seq_len: u32,
    max_batch_len: u32,
}

/// Download and preprocessing.
pub struct Fetch;

impl Stage for Fetch {
    fn descriptor(&self) -> Descriptor {
        instructlab::describe(NAME, "sdg-data-fetch", "Downloads the SDG archive and prepares its data")
            .parameter(image_parameter())
            .parameter(host_image_parameter())
            .parameter(object_store_ca_parameter())
            .parameter(
                Parameter::boolean("force-pull", "Download and unpack again, whatever is there")
                    .default(false)
                    .flag("force-pull"),
            )
            .parameter(
                Parameter::integer("max-seq-len", "Longest sample in tokens; longer ones are dropped")
                    .minimum(1)
                    .maximum(1_048_576)
                    .default(4096),
            )
            .parameter(
                Parameter::integer("max-batch-len", "Tokens that a GPU gets at once in training")
                    .minimum(1)
                    .maximum(16_777_216)
                    .default(20_000),
            )
            .parameters(ResourceSettings::parameters("1", "4Gi"))
            .parameters(PodSettings::parameters(2))
            .credential(object_store())
            .output(Output::count("members", "Files in the archive", 42))
            .output(Output::count("bytes", "Size of the archive", 2_000_000_000))
            .output(Output::string(
                "sha256",
                "SHA-256 of the archive",
                "0000000000000000000000000000000000000000000000000000000000000000",
            ))
            .output(Output::count("skills-samples", "Samples for training phase 2", 1000))
            .output(Output::count("knowledge-samples", "Samples for training phase 1", 1000))
            .output(Output::string(
                "skills-data",
                "Token sequences for training phase 2",
                "/data/data/processed_data/skills/data.jsonl",
            ))
            .output(Output::string(
                "knowledge-data",
                "Token sequences for training phase 1",
                "/data/data/processed_data/knowledge/data.jsonl",
            ))
            .creates::<ConfigMap>()
            .creates::<Job>()
    }

    fn name(&self) -> String {
        NAME.into()
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let pods: PodSettings = ctx.parameters()?;
        let resources: ResourceSettings = ctx.parameters()?;
        if settings.max_batch_len < settings.max_seq_len {
            return Err(Error::parameter(
                "max-batch-len",
                format!("{} is less than max-seq-len {}", settings.max_batch_len, settings.max_seq_len),
            ));
        }
        let mut download = vec!["data", "download", "--into", "/data"];
        if settings.force_pull {
            download.push("--force");
        }
        let download = host_container(DOWNLOAD, &settings.host_image, download);
        let (download, with_store) = object_store_pod(ctx, download)?;
        let preprocess = python_container(
            PREPROCESS,
            &settings.image,
            "preprocess.py",
            [
                "--model",
                "/data/model",
                "--data-dir",
                "/data/data",
                "--output-dir",
                "/data/data/processed_data",
                "--max-seq-len",
                &settings.max_seq_len.to_string(),
                "--max-batch-len",
                &settings.max_batch_len.to_string(),
            ],
        )
        .resources(resources.resources());
        let spec = pod::spec([pods.with_env(preprocess)?]).init([download]);
        let spec = with_store(scripts_volume(ctx, data_volume(ctx, spec)?));
        let name = ctx.name();
        Ok(scripts(ctx, SCRIPTS)?
            .apply(&pods.job(&name, "data-download", spec))?
            .wait(targets::job(&name))
            .read(targets::job_ref(&name), DOWNLOAD)
            .read(targets::job_ref(&name), PREPROCESS))
    }
}

export_stages!(Fetch);

//! The stage `my-eval`: looks at every checkpoint of training phase 2.
//!
//! What is here says what the cluster is to do. It runs in the host, in a sandbox without files, network or clock; the
//! work itself is done by `evaluate.py`, in a pod.

use ilab_stage_sdk::k8s::batch::v1::Job;
use ilab_stage_sdk::k8s::core::v1::ConfigMap;
use ilab_stage_sdk::pod::{self, ContainerExt, PodSpecExt, Resources};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Parameter, Plan, Stage, export_stages, targets};
use serde::Deserialize;
use serde_json::json;

const SCRIPT: &str = include_str!("evaluate.py");
const CHECKPOINTS: &str = "train-phase-2.checkpoints-dir";
const IMAGE: &str = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2";
const SAMPLE: &str = "/data/model/output/ilab/phase_2/hf_format/s";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    image: String,
    image_pull_policy: String,
    run_as_user: i64,
    fs_group: i64,
    memory: String,
}

/// One evaluation of all checkpoints.
pub struct Evaluation;

impl Stage for Evaluation {
    fn descriptor(&self) -> Descriptor {
        let score = json!({
            "type": "object",
            "required": ["model", "score"],
            "properties": {"model": {"type": "string"}, "score": {"type": "number"}},
        });
        let user = "User id of the processes; -1: what image or cluster say";
        Descriptor::new("my-eval", "evaluation", "Tells which share of every checkpoint's weights is finite")
            .selected_by("eval-type", "my-eval")
            .after("?train-phase-2")
            .input(CHECKPOINTS)
            .parameter(Parameter::image("image", "Image with Python, PyTorch and safetensors").default(IMAGE))
            .parameter(
                Parameter::choice(
                    "image-pull-policy",
                    "When images are pulled",
                    &["IfNotPresent", "Always", "Never"],
                )
                .default("IfNotPresent"),
            )
            .parameter(Parameter::integer("run-as-user", user).minimum(-1).default(-1))
            .parameter(
                Parameter::integer("fs-group", "Group that owns the volumes; -1: what the cluster says")
                    .minimum(-1)
                    .default(-1),
            )
            .parameter(Parameter::quantity("memory", "Memory asked for; empty: none").default("4Gi"))
            .volume("data", "200Gi")
            .output(Output::string("best-model", "The best checkpoint", SAMPLE))
            .output(Output::new("best-score", "Its score", json!({"type": "number"}), 1))
            .output(Output::new(
                "scores",
                "The score of each checkpoint",
                json!({"type": "array", "minItems": 1, "items": score}),
                json!([{"model": SAMPLE, "score": 1}]),
            ))
            .creates::<ConfigMap>()
            .creates::<Job>()
            .licence("Apache-2.0")
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let folder = ctx.required_path_input(CHECKPOINTS, "/data")?;
        let command = ["python3", "/ilab/scripts/evaluate.py", "--checkpoints-dir", folder];
        let mut container = pod::container("evaluate", &settings.image)
            .run(command)
            .env("HOME", "/tmp")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .resources(Resources::new().request("memory", &settings.memory))
            .mount_read_only("data", "/data")
            .mount_read_only("scripts", "/ilab/scripts")
            .mount("tmp", "/tmp");
        container.image_pull_policy = Some(settings.image_pull_policy);
        let scripts = ctx.name_with("scripts");
        let mut spec = pod::spec([container])
            .volume(pod::claim_volume("data", ctx.claim("data")?))
            .volume(pod::config_map_volume("scripts", &scripts))
            .volume(pod::scratch_volume("tmp"));
        let context = spec.security_context.get_or_insert_default();
        context.run_as_user = (settings.run_as_user >= 0).then_some(settings.run_as_user);
        context.fs_group = (settings.fs_group >= 0).then_some(settings.fs_group);
        let name = ctx.name();
        Ok(Plan::new()
            .files(&scripts, &[("evaluate.py", SCRIPT)])?
            .apply(&pod::job(&name, "my-eval", spec, 2))?
            .wait(targets::job(&name))
            .read(targets::job_ref(&name), "evaluate"))
    }
}

export_stages!(Evaluation);

#[cfg(test)]
mod tests {
    use super::*;
    use ilab_stage_sdk::testkit::Sample;

    fn sample() -> Sample<'static> {
        Sample::of(&Evaluation).input(CHECKPOINTS, "/data/checkpoints")
    }

    #[test]
    fn the_script_gets_the_folder() {
        let command = sample().object("Job")["spec"]["template"]["spec"]["containers"][0]["command"].clone();
        assert_eq!(command[3], "/data/checkpoints");
    }

    #[test]
    fn a_folder_elsewhere_is_refused() {
        let error = sample().input(CHECKPOINTS, "/etc").try_render().unwrap_err().to_string();
        assert!(error.contains("not below /data"), "{error}");
    }
}

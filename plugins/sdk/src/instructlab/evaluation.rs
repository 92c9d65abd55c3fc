//! What the evaluation stages have in common: the judge, the model server's settings, the Job.

use super::ca::{CaFile, ca_entry_parameter};
use super::common::{data_volume, image_parameter, python_container, scripts, scripts_volume};
use crate::contract::{Credential, Error, Parameter};
use crate::pod::{self, ContainerExt, PodSpecExt, Resources};
use crate::settings::{GpuSettings, PodSettings, ResourceSettings};
use crate::{Ctx, Plan, targets};
use k8s_openapi::api::core::v1::EnvVar;
use serde::Deserialize;

const JUDGE: &str = "judge";

/// Access to the judge model.
///
/// `JUDGE_CA_CERT` names a ConfigMap with the CA certificate, in the entry that `JUDGE_CA_CERT_CM_KEY` or else the
/// parameter `judge-ca-cert-key` names.
#[must_use]
pub fn judge() -> Credential {
    Credential::new(JUDGE, &["JUDGE_API_KEY", "JUDGE_ENDPOINT", "JUDGE_NAME"])
        .optional(&["JUDGE_CA_CERT_CM_KEY"])
        .config_maps(&["JUDGE_CA_CERT"])
}

/// How models are served and judged.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EvaluationSettings {
    image: String,
    server_module: String,
    server_args: Vec<String>,
    max_workers: String,
    startup_timeout: u32,
    judge_timeout: u32,
    merge_system_user_message: bool,
    judge_ca_cert_key: String,
    shm_size: String,
}

impl EvaluationSettings {
    /// The parameters of an evaluation stage, with those of its pods.
    #[must_use]
    pub fn parameters() -> Vec<Parameter> {
        let mut parameters = vec![
            image_parameter(),
            Parameter::string("server-module", "Python module that serves a model, with vLLM's command line")
                .pattern("^[A-Za-z_][A-Za-z0-9_.]{0,199}$")
                .default("vllm.entrypoints.openai.api_server"),
            Parameter::strings("server-args", "Further arguments for it").default(Vec::<String>::new()),
            Parameter::string("max-workers", "Questions asked at a time: a number, or auto")
                .pattern("^(auto|[1-9][0-9]{0,3})$")
                .default("auto"),
            Parameter::integer("startup-timeout", "Seconds that a model server may need to start")
                .minimum(1)
                .maximum(86_400)
                .default(1200),
            Parameter::integer("judge-timeout", "Seconds to wait for the judge to answer at all")
                .minimum(0)
                .maximum(86_400)
                .default(120),
            Parameter::boolean(
                "merge-system-user-message",
                "For models whose chat template has no system role",
            )
            .default(false),
            ca_entry_parameter("judge-ca-cert-key", "judge", "judge-serving-model-ca-cert-cm-key"),
            Parameter::quantity("shm-size", "Shared memory of the model server; empty: as much as there is")
                .default("8Gi"),
        ];
        parameters.extend(GpuSettings::parameters());
        parameters.extend(ResourceSettings::parameters("1", "16Gi"));
        parameters.extend(PodSettings::parameters(2));
        parameters
    }

    /// The arguments that both evaluation scripts understand.
    #[must_use]
    pub fn arguments(&self, outputs: &str, gpus: u32) -> Vec<String> {
        let mut arguments: Vec<String> = [
            ("--outputs", outputs),
            ("--server-module", &self.server_module),
            ("--max-workers", &self.max_workers),
            ("--gpus", &gpus.to_string()),
            ("--startup-timeout", &self.startup_timeout.to_string()),
            ("--judge-timeout", &self.judge_timeout.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .collect();
        // One word each: an argument that begins with a dash would be taken for an option of the script.
        arguments.extend(self.server_args.iter().map(|argument| format!("--server-arg={argument}")));
        if self.merge_system_user_message {
            arguments.push("--merge-system-user-message".into());
        }
        arguments
    }
}

fn judge_env(ctx: &Ctx) -> Result<Vec<EnvVar>, Error> {
    ctx.credential_env(
        JUDGE,
        &[
            ("JUDGE_API_KEY", "JUDGE_API_KEY", true),
            ("JUDGE_ENDPOINT", "JUDGE_ENDPOINT", true),
            ("JUDGE_NAME", "JUDGE_NAME", true),
        ],
    )
}

/// A Job that evaluates in an init container and then prints the outputs file.
///
/// Two containers, so that the log which is read for outputs holds nothing else.
pub struct EvaluationJob<'a> {
    /// The pod's label `app`.
    pub app: &'a str,
    /// The init container that evaluates.
    pub run: &'a str,
    /// The container that prints the outputs.
    pub print: &'a str,
    /// Every script, by file name.
    pub scripts: &'a [(&'a str, &'a str)],
    /// The one that evaluates.
    pub script: &'a str,
    /// The stage's own arguments for it, before the common ones.
    pub arguments: Vec<String>,
    /// The file that it writes its outputs to.
    pub outputs: &'a str,
}

/// The plan of an evaluation stage.
///
/// # Errors
/// When the judge or the claim is not bound, or a parameter cannot work.
pub fn evaluation_job(ctx: &Ctx, job: EvaluationJob<'_>) -> Result<Plan, Error> {
    let settings: EvaluationSettings = ctx.parameters()?;
    let pods: PodSettings = ctx.parameters()?;
    let gpus: GpuSettings = ctx.parameters()?;
    let resources: ResourceSettings = ctx.parameters()?;
    let ca_keys = ("JUDGE_CA_CERT", "JUDGE_CA_CERT_CM_KEY");
    let ca = CaFile::of(ctx, JUDGE, ca_keys, &settings.judge_ca_cert_key, "JUDGE_CA_CERT_PATH");
    let mut arguments = job.arguments;
    arguments.extend(settings.arguments(job.outputs, gpus.count()));
    let run = python_container(job.run, &settings.image, job.script, arguments)
        .envs(judge_env(ctx)?)
        .resources(gpus.add_to(resources.resources()))
        .mount("shm", "/dev/shm");
    let run = CaFile::add_to(ca.as_ref(), run);
    let print = pod::container(job.print, &settings.image)
        .run(["cat", job.outputs])
        .resources(Resources::new().request("cpu", "10m").request("memory", "16Mi"))
        .mount_read_only(super::DATA_VOLUME, super::DATA_ROOT);
    let mut spec = pod::spec([print]).init([pods.with_env(run)?]);
    spec = data_volume(ctx, spec)?.volume(pod::memory_volume("shm", &settings.shm_size));
    let spec = scripts_volume(ctx, CaFile::volume_for(ca.as_ref(), spec));
    let name = ctx.name();
    Ok(scripts(ctx, job.scripts)?
        .apply(&pods.job(&name, job.app, spec))?
        .wait(targets::job(&name))
        .read(targets::job_ref(&name), job.print))
}

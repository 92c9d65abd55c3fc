//! What the evaluation stages have in common: the judge, the model server's settings, the Job.

use super::common::{data_volume, image_parameter, python_container, scripts, scripts_volume};
use crate::contract::{Credential, Error, KeyHolder, Parameter};
use crate::pod::{self, ContainerExt, PodSpecExt, Resources};
use crate::settings::{GpuSettings, PodSettings, ResourceSettings};
use crate::{Ctx, Plan, targets};
use k8s_openapi::api::core::v1::{EnvVar, Volume};
use serde::Deserialize;

const JUDGE: &str = "judge";
const CA_VOLUME: &str = "judge-ca";
const CA_DIR: &str = "/tmp/cert";

/// Access to the judge model.
///
/// `JUDGE_CA_CERT` held by a ConfigMap means that ConfigMap, with the certificate in the key that `JUDGE_CA_CERT_CM_KEY`
/// or the parameter `judge-ca-cert-key` names. Held by a Secret it is the certificate itself.
#[must_use]
pub fn judge() -> Credential {
    Credential::new(JUDGE, &["JUDGE_API_KEY", "JUDGE_ENDPOINT", "JUDGE_NAME"])
        .optional(&["JUDGE_CA_CERT", "JUDGE_CA_CERT_CM_KEY"])
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
            Parameter::string("judge-ca-cert-key", "Key of the judge's CA certificate in its ConfigMap")
                .pattern("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$")
                .default("ca-bundle.crt")
                .flag("judge-serving-model-ca-cert-cm-key"),
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

    fn judge_env(&self, ctx: &Ctx) -> Result<(Vec<EnvVar>, Option<Volume>), Error> {
        let mut variables = ctx.credential_env(
            JUDGE,
            &[
                ("JUDGE_API_KEY", "JUDGE_API_KEY", true),
                ("JUDGE_ENDPOINT", "JUDGE_ENDPOINT", true),
                ("JUDGE_NAME", "JUDGE_NAME", true),
            ],
        )?;
        let Some(bound) = ctx.credential(JUDGE) else { return Ok((variables, None)) };
        let Some(holder) = bound.holder("JUDGE_CA_CERT") else { return Ok((variables, None)) };
        let (volume, file) = match holder {
            KeyHolder::ConfigMap(name) => {
                // Kubernetes puts the key's name, which only it may read, into the path.
                let key = bound.env("JUDGE_CA_CERT_CM_KEY", "JUDGE_CA_CERT_CM_KEY");
                let file = match key {
                    Some(variable) => {
                        variables.push(variable);
                        "$(JUDGE_CA_CERT_CM_KEY)"
                    }
                    None => &self.judge_ca_cert_key,
                };
                (pod::config_map_volume(CA_VOLUME, name), file)
            }
            KeyHolder::Secret(name) => {
                (pod::secret_file_volume(CA_VOLUME, name, "JUDGE_CA_CERT", "ca-bundle.crt"), "ca-bundle.crt")
            }
        };
        variables.push(EnvVar {
            name: "JUDGE_CA_CERT_PATH".into(),
            value: Some(format!("{CA_DIR}/{file}")),
            value_from: None,
        });
        Ok((variables, Some(volume)))
    }
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
    let (judge_env, ca) = settings.judge_env(ctx)?;
    let mut arguments = job.arguments;
    arguments.extend(settings.arguments(job.outputs, gpus.count()));
    let mut run = python_container(job.run, &settings.image, job.script, arguments)
        .envs(judge_env)
        .resources(gpus.add_to(resources.resources()))
        .mount("shm", "/dev/shm");
    if ca.is_some() {
        run = run.mount_read_only(CA_VOLUME, CA_DIR);
    }
    let print = pod::container(job.print, &settings.image)
        .run(["cat", job.outputs])
        .resources(Resources::new().request("cpu", "10m").request("memory", "16Mi"))
        .mount_read_only(super::DATA_VOLUME, super::DATA_ROOT);
    let mut spec = pod::spec([print]).init([pods.with_env(run)?]);
    spec = data_volume(ctx, spec)?.volume(pod::memory_volume("shm", &settings.shm_size));
    if let Some(volume) = ca {
        spec = spec.volume(volume);
    }
    let spec = scripts_volume(ctx, spec);
    let name = ctx.name();
    Ok(scripts(ctx, job.scripts)?
        .apply(&pods.job(&name, job.app, spec))?
        .wait(targets::job(&name))
        .read(targets::job_ref(&name), job.print))
}

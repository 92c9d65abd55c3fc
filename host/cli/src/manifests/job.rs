//! The Job in which the host runs inside the cluster.

use super::{labels, metadata, value};
use crate::{CliError, exit};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::collections::BTreeMap;

/// The container, and what calls the program.
const PROGRAM: &str = "ilab-host";
/// Where the compiled components are kept: all that the host writes.
const CACHE: &str = "/var/cache";
/// Where the files that it is given lie.
const VALUES_FOLDER: &str = "/etc/ilab-host";
/// How often the Job tries again, with a growing pause, when the host ended for a reason that may pass: a cluster that did
/// not answer, a Lease that a killed host still holds.
const TRIES: i32 = 6;

/// What differs from Job to Job.
#[derive(Debug)]
pub struct HostJob<'a> {
    /// The Job's name.
    pub name: &'a str,
    /// Where it runs.
    pub namespace: &'a str,
    /// The image.
    pub image: &'a str,
    /// Whose rights it has.
    pub service_account: &'a str,
    /// The user in the container; none: the image's.
    pub user: Option<i64>,
    /// What follows the program's name.
    pub args: Vec<String>,
    /// Files that are given to the host too.
    pub files: Vec<GivenFile>,
}

/// A file of this machine that the host in the pod is to read.
#[derive(Debug)]
pub struct GivenFile {
    /// The option that names it.
    pub option: &'static str,
    /// What it is called in the ConfigMap.
    pub key: &'static str,
    /// What it says.
    pub text: String,
}

/// The ConfigMap with the files that it is given, where there are any, and the Job.
///
/// # Errors
/// When an object has no JSON form, which would be a bug.
pub fn host_job(job: &HostJob<'_>) -> Result<Vec<Value>, CliError> {
    let mut objects = Vec::new();
    let mut args = job.args.clone();
    let mut volumes = vec![Volume {
        name: "cache".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("1Gi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }];
    let mut mounts = vec![VolumeMount {
        name: "cache".to_owned(),
        mount_path: CACHE.to_owned(),
        ..VolumeMount::default()
    }];
    if !job.files.is_empty() {
        let name = format!("{}-values", job.name);
        let data: BTreeMap<_, _> =
            job.files.iter().map(|file| (file.key.to_owned(), file.text.clone())).collect();
        objects.push(value(&ConfigMap {
            metadata: metadata(&name, job.namespace),
            data: Some(data),
            ..ConfigMap::default()
        })?);
        args.extend(job.files.iter().map(|file| format!("--{}={VALUES_FOLDER}/{}", file.option, file.key)));
        volumes.push(Volume {
            name: "values".to_owned(),
            config_map: Some(ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        });
        mounts.push(VolumeMount {
            name: "values".to_owned(),
            mount_path: VALUES_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(true),
            containers: vec![container(job, args, mounts)],
            enable_service_links: Some(false),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: job.user,
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            service_account_name: Some(job.service_account.to_owned()),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
    };
    objects.push(value(&Job {
        metadata: metadata(job.name, job.namespace),
        spec: Some(JobSpec {
            backoff_limit: Some(TRIES),
            pod_failure_policy: Some(failure_policy()),
            template,
            ..JobSpec::default()
        }),
        ..Job::default()
    })?);
    Ok(objects)
}

fn container(job: &HostJob<'_>, args: Vec<String>, mounts: Vec<VolumeMount>) -> Container {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect())
    };
    Container {
        name: PROGRAM.to_owned(),
        image: Some(job.image.to_owned()),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(args),
        env: Some(vec![EnvVar {
            name: "XDG_CACHE_HOME".to_owned(),
            value: Some(CACHE.to_owned()),
            ..EnvVar::default()
        }]),
        // Compiling components, once a pod, is what needs most; afterwards the host waits.
        resources: Some(ResourceRequirements {
            requests: quantities(&[("cpu", "100m"), ("memory", "128Mi")]),
            limits: quantities(&[("memory", "512Mi")]),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        // The error's line is then in the pod's status too.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// A node that goes away costs no try; a request that will be refused again, and a stage that failed, end the Job.
fn failure_policy() -> PodFailurePolicy {
    let codes = [exit::USAGE, exit::PLUGIN, exit::STAGE_FAILED];
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }]),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(PROGRAM.to_owned()),
                    operator: "In".to_owned(),
                    values: codes.into_iter().map(i32::from).collect(),
                }),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference put arguments through a list's repr inside YAML: backslashes doubled, line ends became two letters, a
    /// text with both kinds of quotes crashed.
    #[test]
    fn texts_come_out_of_the_yaml_as_they_went_in() {
        let odd = [
            r"back\slash",
            "two\nlines",
            "'single' and \"double\"",
            "a: b",
            "- x",
            "# no comment",
            "yes",
            "0x1f",
            "1e3",
            "~",
            "",
            "\t tab ",
            "{a}",
            "*",
            "&b",
            "!c",
            "%d",
            "ä€😀",
            "trailing:",
            "null",
            "1_000",
            "12:30",
            "\u{85}\u{2028}",
        ];
        let job = HostJob {
            name: "1e3",
            namespace: "123",
            image: "i",
            service_account: "on",
            user: None,
            args: odd.iter().map(|text| (*text).to_owned()).collect(),
            files: vec![GivenFile { option: "values", key: "values.yaml", text: "a: \"b\"\n".to_owned() }],
        };
        let objects = host_job(&job).unwrap();
        for object in &objects {
            let yaml = crate::report::to_yaml(object).unwrap();
            let again: Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(&again, object, "{yaml}");
        }
        let words = objects[1].pointer("/spec/template/spec/containers/0/args").unwrap().as_array().unwrap();
        assert_eq!(words.len(), odd.len() + 1);
        assert_eq!(objects[0]["data"]["values.yaml"], "a: \"b\"\n");
    }
}

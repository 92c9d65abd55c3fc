//! Makes a pod's folder ready for its shim.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::fmt::Write;

use super::Ctx;
use super::fields::{self, ADDRESS};
use super::resolve::{self, Blocked, Lookup};
use super::volumes;
use crate::node::files;
use crate::node::plan::{FORMAT, PodDir, PodPlan, RestartPolicy};

/// Resolves everything the pod refers to, makes its volumes, and writes the shim's orders.
///
/// # Errors
/// Everything that is in the way, so that it is all seen at once.
pub(super) async fn prepare(ctx: &Ctx, dir: &PodDir, pod: &Pod) -> Result<(), Vec<Blocked>> {
    let namespace = pod.namespace().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let init = spec.init_containers.clone().unwrap_or_default();
    let mut lookup = Lookup::new(ctx.client.clone(), &namespace);
    let mut blocked = Vec::new();
    let mut resolved = Vec::new();
    for container in init.iter().chain(&spec.containers) {
        if !is_name(&container.name) {
            blocked.push(Blocked::Config {
                container: container.name.clone(),
                message: "bad container name".to_owned(),
            });
            continue;
        }
        let userns = ctx.sandbox.user_namespace;
        match resolve::container(pod, container, &ctx.images, &mut lookup, userns).await {
            Ok(plan) => resolved.push(plan),
            Err(why) => blocked.push(why),
        }
    }
    if !blocked.is_empty() {
        return Err(blocked);
    }
    files::private_dir(&dir.0).map_err(|error| vec![Blocked::passing(error)])?;
    let ready = volumes::prepare(&ctx.client, &ctx.options.state, dir, pod, &mut lookup)
        .await
        .map_err(|why| vec![why])?;
    for (container, plan) in init.iter().chain(&spec.containers).zip(&mut resolved) {
        match volumes::mounts(container, &ready, &plan.env) {
            Ok(mounts) => plan.mounts = mounts,
            Err(why) => blocked.push(why),
        }
    }
    if !blocked.is_empty() {
        return Err(blocked);
    }
    let hosts = hosts(ctx, pod, &spec, &namespace).await.map_err(|error| vec![Blocked::passing(error)])?;
    let containers = resolved.split_off(init.len());
    let plan = PodPlan {
        format: FORMAT,
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        hostname: fields::hostname(pod),
        namespace,
        restart_policy: match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        },
        active_deadline_seconds: spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok()),
        grace_seconds: grace(pod),
        init: resolved,
        containers,
        sandbox: ctx.sandbox.clone(),
        backoff_base_ms: millis(ctx.options.restart_backoff),
        backoff_max_ms: millis(ctx.options.restart_backoff_max),
        log_bytes: ctx.options.log_bytes,
    };
    files::write_atomic(&dir.hosts(), hosts.as_bytes(), 0o644)
        .and_then(|()| files::write_json(&dir.plan(), &plan))
        .map_err(|error| vec![Blocked::passing(error)])
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long the pod's containers have to end.
pub(super) fn grace(pod: &Pod) -> u64 {
    let seconds = pod.metadata.deletion_grace_period_seconds;
    let seconds =
        seconds.or_else(|| pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds));
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30)
}

/// The name becomes the name of a folder.
fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Every name that means something in the cluster means this machine.
async fn hosts(ctx: &Ctx, pod: &Pod, spec: &PodSpec, namespace: &str) -> Result<String, kube::Error> {
    let mut names = vec![fields::hostname(pod)];
    let services: Api<Service> = Api::namespaced(ctx.client.clone(), namespace);
    for service in services.list(&ListParams::default()).await? {
        let name = service.name_any();
        names.push(format!("{name}.{namespace}.svc.cluster.local"));
        names.push(format!("{name}.{namespace}.svc"));
        names.push(format!("{name}.{namespace}"));
        names.push(name);
    }
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
    names.extend(pods.list_metadata(&ListParams::default()).await?.into_iter().map(|pod| pod.name_any()));
    // The ranks of a training job find the master before it is there.
    if let Some(job) = pod.labels().get("training.kubeflow.org/job-name") {
        names.push(format!("{job}-master-0"));
    }
    names.retain(|name| is_host(name));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let mut text = String::from(
        "# Written by ilab-host.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    );
    for name in names {
        let _ = writeln!(text, "{ADDRESS}\t{name}");
    }
    for alias in spec.host_aliases.iter().flatten() {
        let given: Vec<_> =
            alias.hostnames.iter().flatten().filter(|name| is_host(name)).map(String::as_str).collect();
        if alias.ip.parse::<std::net::IpAddr>().is_ok() && !given.is_empty() {
            let _ = writeln!(text, "{}\t{}", alias.ip, given.join("\t"));
        }
    }
    Ok(text)
}

fn is_host(name: &str) -> bool {
    (1..=253).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
}

/// All containers of a pod.
pub(super) fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

//! One host a run.

use crate::kit::{Host, Place};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test]
async fn the_second_host_on_a_run_is_told_who_has_it() {
    let place = Place::shared("held").await;
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;
    let holder = format!("process {} on ", host.child.id().unwrap());
    place.resume(&[]).end().await.expect(7, &["is being driven by", &holder, "try:"]);
    // The first has not noticed.
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
}

/// The same command, where its process id means nothing to this machine, as on another one.
fn elsewhere(command: &Command) -> Command {
    let mut wrapped = Command::new("bwrap");
    wrapped.args(["--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc", "--"]);
    let command = command.as_std();
    wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    wrapped
}

#[tokio::test]
async fn a_host_that_died_elsewhere_holds_the_run_until_its_lease_is_over() {
    let place = Place::shared("overdue").await;
    let mut host = Host::new(elsewhere(&place.run(false, &["-o", "json"])));
    host.stage("stage-started", 1).await;
    host.kill().await;
    place.resume(&[]).end().await.expect(7, &["is being driven by process ", "last heard of"]);
    // It held the run for fifteen seconds at a time, and twice that is waited for. Only the length is changed here; what
    // is reckoned with it is the host's own.
    let leases: Api<Lease> = place.api();
    let patch = Patch::Merge(json!({"spec": {"leaseDurationSeconds": 1}}));
    leases.patch("ilab-run-one", &PatchParams::default(), &patch).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let _kubelet = place.end_well_from(1);
    let mut host = place.resume(&[]);
    let started = host.stage("stage-started", 1).await;
    assert_eq!(started["reattached"], true);
    host.stage("stage-succeeded", 1).await;
    let lease = leases.get("ilab-run-one").await.unwrap().spec.unwrap();
    assert_eq!((lease.lease_transitions, lease.lease_duration_seconds), (Some(2), Some(15)));
}

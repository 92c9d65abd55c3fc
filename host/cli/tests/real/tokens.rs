//! Credentials that end while a run goes on.

use crate::kit::{PATIENCE, Place, object};
use crate::permissions::{account, role};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A token of the account `runner` that is good for as long as a Secret of this name is there.
async fn token(place: &Place<'_>, secret: &str) -> String {
    let secrets: Api<Secret> = place.api();
    let made =
        secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": secret}}))).await.unwrap();
    let accounts: Api<ServiceAccount> = place.api();
    let request: TokenRequest = object(json!({"spec": {
        "audiences": [], "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": secret, "uid": made.metadata.uid},
    }}));
    let granted = accounts.create_token_request("runner", &PostParams::default(), &request).await.unwrap();
    granted.status.unwrap().token
}

/// Takes the Secret away, and waits until the API server refuses the token that was bound to it.
async fn revoke(place: &Place<'_>, secret: &str, token: &str) {
    let secrets: Api<Secret> = place.api();
    secrets.delete(secret, &DeleteParams::default()).await.unwrap();
    let mut kubeconfig = Kubeconfig::read_from(place.cluster.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info =
            Some(kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() });
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let whoami: Api<SelfSubjectReview> = Api::all(Client::try_from(config).unwrap());
    let begun = Instant::now();
    // It remembers for some seconds that a token was good, and nothing tells when it has forgotten.
    while whoami.create(&PostParams::default(), &SelfSubjectReview::default()).await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the token of {secret} stays good");
        sleep(Duration::from_millis(200)).await;
    }
}

/// A kubeconfig whose user has a file with a token.
fn kubeconfig(place: &Place<'_>, folder: &Path) -> std::path::PathBuf {
    let mut kubeconfig = Kubeconfig::read_from(place.cluster.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(kube::config::AuthInfo {
            token_file: Some(folder.join("token").display().to_string()),
            ..Default::default()
        });
    }
    let path = folder.join("kubeconfig");
    std::fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn a_token_that_is_rotated_costs_nothing_and_one_that_is_revoked_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::shared("rotated").await;
    let rules = role(&place).await;
    account(&place, "runner", rules).await;
    let first = token(&place, "first").await;
    std::fs::write(folder.path().join("token"), &first).unwrap();
    let kubeconfig = kubeconfig(&place, folder.path());
    let place = place.by(kubeconfig);
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;

    let second = token(&place, "second").await;
    std::fs::write(folder.path().join("token"), &second).unwrap();
    revoke(&place, "first", &first).await;
    place.kubelet.succeeded(&place.pod(1).await).await.unwrap();
    host.stage("stage-succeeded", 1).await;
    host.stage("stage-started", 2).await;

    revoke(&place, "second", &second).await;
    place.kubelet.succeeded(&place.pod(2).await).await.unwrap();
    host.end().await.expect(4, &["Unauthorized", "try:"]);

    // Nothing is lost by it.
    let third = token(&place, "third").await;
    std::fs::write(folder.path().join("token"), &third).unwrap();
    let _kubelet = place.end_well_from(2);
    let mut host = place.resume(&[]);
    host.stage("stage-succeeded", 2).await;
    assert_eq!(place.record().await["stages"]["step-1"]["attempt"], 1);
}

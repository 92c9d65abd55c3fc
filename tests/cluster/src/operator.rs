//! Kubeflow's training operator, the real one, as a process beside the control plane.
//!
//! It runs with its own service account's rights and answers the API server's admission requests, as it does in a cluster. Two
//! things are done for it, because it is no pod: the Service of its webhook is a name for loopback, and the Secret that it fills
//! with its certificate is copied to files when it has, as a kubelet would.

use crate::apply::{self, apply, read};
use crate::cluster::Cluster;
use crate::control_plane::ControlPlane;
use crate::supervisor::{Process, Supervisor};
use crate::{ClusterError, Identity, wait};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde_json::json;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;

const NAMESPACE: &str = "kubeflow";
const NAME: &str = "training-operator";
const SECRET: &str = "training-operator-webhook-cert";
const WEBHOOK: &str = "validator.training-operator.kubeflow.org";
const CRD: &str = "pytorchjobs.kubeflow.org";
/// The folder with what is in [`SECRET`].
const CERTIFICATES: &str = "serving-certs";
const LAST: &str = "tls.crt";
const START: Duration = Duration::from_secs(120);

/// The image of what a worker does before it starts: it waits for the master's name. `Cluster::with_node` has it.
pub const PROBE_IMAGE: &str = "ilab.test/probe:1";
const INIT_CONTAINER: &str = "- name: init-pytorch
  image: {{.InitContainerImage}}
  imagePullPolicy: IfNotPresent
  command: [/probe, lookup, \"{{.MasterAddr}}\", \"600\"]
  resources: {limits: {cpu: 100m, memory: 64Mi}}
";

impl Cluster {
    /// Installs the CRD of PyTorchJob, without the operator. A cluster of somebody's own must have it.
    ///
    /// # Errors
    /// When it is missing in a cluster of somebody's own, or is not established in time.
    pub async fn install_training_operator_crd(&self) -> Result<(), ClusterError> {
        let client = self.client().await?;
        match self.parts() {
            Some((plane, _)) => install_crd(&client, plane).await,
            None => there(&client).await,
        }
    }

    /// Starts the training operator with its webhook, its CRD and its service account; once: another call finds it running.
    /// In a cluster of somebody's own it must be running already; only its CRD is looked for.
    ///
    /// # Errors
    /// When it does not start; its last lines are in the message.
    pub async fn training_operator(&self) -> Result<(), ClusterError> {
        let client = self.client().await?;
        match self.parts() {
            Some((plane, supervisor)) => {
                self.operator.get_or_try_init(|| start(&client, plane, supervisor)).await?.check()
            }
            None => there(&client).await,
        }
    }
}

async fn there(client: &Client) -> Result<(), ClusterError> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let what = || format!("this cluster has no {CRD}; install Kubeflow's training operator 1.9");
    crds.get(CRD).await.map(drop).map_err(ClusterError::api(what()))
}

async fn install_crd(client: &Client, plane: &ControlPlane) -> Result<(), ClusterError> {
    let file = plane.programs().path("kubeflow/crds/kubeflow.org_pytorchjobs.yaml");
    apply::install_crd(client, &file, CRD).await
}

async fn start(
    client: &Client,
    plane: &ControlPlane,
    supervisor: &Supervisor,
) -> Result<Process, ClusterError> {
    install_crd(client, plane).await?;
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let (webhook, health) = (wait::free_port(loopback)?, wait::free_port(loopback)?);
    apply(client, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await?;
    install_roles(client, plane).await?;
    install_webhook(client, plane, webhook).await?;
    let certificates = supervisor.folder().join(CERTIFICATES);
    fs::create_dir_all(&certificates).map_err(ClusterError::io("the folder for certificates"))?;

    let user = Identity::service_account(NAMESPACE, NAME).username();
    let content = plane.kubeconfig_of(&user, Some("system:serviceaccounts"))?;
    let kubeconfig = supervisor.write("training-operator.kubeconfig", content)?;
    let template = supervisor.write("init-container.yaml", INIT_CONTAINER)?;
    let program = plane.programs().path(NAME);
    // The folder of its certificates is compiled in, and lies in /tmp for all to share: it gets a /tmp of its own.
    let mut command = Command::new("bwrap");
    command
        // Without --die-with-parent: that is the end of the thread that starts it, and a test's thread ends with the test.
        .args(["--dev-bind", "/", "/", "--tmpfs", "/tmp"])
        .arg("--ro-bind")
        .args([supervisor.folder(), supervisor.folder()])
        .arg("--ro-bind")
        .args([&program, &program])
        .args([
            "--ro-bind".as_ref(),
            certificates.as_os_str(),
            "/tmp/k8s-webhook-server/serving-certs".as_ref(),
        ])
        .args(["--setenv", "MY_POD_NAMESPACE", NAMESPACE, "--setenv", "TMPDIR", "/tmp", "--"])
        .arg(&program)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--enable-scheme=pytorchjob", "--metrics-bind-address=0"])
        .arg(format!("--health-probe-bind-address=127.0.0.1:{health}"))
        .arg(format!("--webhook-server-port={webhook}"))
        .arg(format!("--pytorch-init-container-image={PROBE_IMAGE}"))
        .arg("--pytorch-init-container-template-file")
        .arg(template);
    let process = supervisor.spawn(NAME, command)?;
    mount_certificates(client, supervisor, &process).await?;
    // Its log tells of each question that it cannot answer with yes; so this one comes when it can.
    wait::until("the training operator's webhook did not listen", START, Some(&process), async || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, webhook)).await.ok().map(drop)
    })
    .await?;
    wait::until("the training operator was not ready", START, Some(&process), async || {
        wait::http_ok(loopback, health, "/readyz").await.then_some(())
    })
    .await?;
    Ok(process)
}

/// Waits until it has filled its Secret, and writes that out.
async fn mount_certificates(
    client: &Client,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), ClusterError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let filled = wait::until("the training operator made no certificate", START, Some(process), async || {
        secrets.get(SECRET).await.ok()?.data.filter(|data| data.contains_key(LAST))
    });
    let mut data = filled.await?;
    // It looks for this one to see whether all are there.
    let last = data.remove_entry(LAST);
    for (name, content) in data.into_iter().chain(last) {
        supervisor.write(&format!("{CERTIFICATES}/{name}"), content.0)?;
    }
    Ok(())
}

/// Its service account with the rights that its manifests give it.
async fn install_roles(client: &Client, plane: &ControlPlane) -> Result<(), ClusterError> {
    let manifest = |name: &str| read(&plane.programs().path(&format!("kubeflow/rbac/{name}.yaml")));
    let mut account = manifest("service-account")?;
    account["metadata"]["namespace"] = json!(NAMESPACE);
    let mut binding = manifest("cluster-role-binding")?;
    for subject in binding["subjects"].as_array_mut().into_iter().flatten() {
        subject["namespace"] = json!(NAMESPACE);
    }
    for object in [account, manifest("role")?, binding] {
        apply(client, object).await?;
    }
    Ok(())
}

/// The webhook's configuration, its Service, and an empty Secret for its certificate.
async fn install_webhook(client: &Client, plane: &ControlPlane, port: u16) -> Result<(), ClusterError> {
    let file = plane.programs().path("kubeflow/webhook/manifests.yaml");
    let mut webhook = read(&file)?;
    webhook["metadata"]["name"] = json!(WEBHOOK);
    let webhooks = webhook["webhooks"]
        .as_array_mut()
        .ok_or_else(|| ClusterError::unexpected(file.display().to_string(), "it has no webhooks"))?;
    // Only this kind's is served: --enable-scheme.
    webhooks.retain(|webhook| webhook["rules"][0]["resources"] == json!(["pytorchjobs"]));
    for webhook in webhooks {
        let path = webhook["clientConfig"]["service"]["path"].take();
        webhook["clientConfig"]["service"] =
            json!({"namespace": NAMESPACE, "name": NAME, "path": path, "port": port});
    }
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
    });

    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
    });
    for object in [service, secret, webhook] {
        apply(client, object).await?;
    }
    Ok(())
}

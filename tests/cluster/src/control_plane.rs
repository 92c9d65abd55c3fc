//! etcd, API server and controller manager.

use crate::etcd::Etcd;
use crate::pki::{Authority, signing_key};
use crate::supervisor::{Process, Supervisor};
use crate::tools::Programs;
use crate::{ClusterError, kubeconfig, wait};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// A start takes seconds on an idle machine; ten tests may start theirs on a busy one.
const START: Duration = Duration::from_secs(120);
const SERVICES: &str = "10.96.0.0/16";

#[derive(Debug)]
pub(crate) struct ControlPlane {
    authority: Authority,
    address: IpAddr,
    port: u16,
    kubeconfig: PathBuf,
    programs: Programs,
    api_server_flags: Vec<OsString>,
    // Ended in this order, each before what it leans on.
    controllers: Process,
    api_server: Mutex<Option<Process>>,
    etcd: Etcd,
}

impl ControlPlane {
    /// The first address of [`SERVICES`], where pods find the API server.
    pub(crate) const SERVICE: &str = "10.96.0.1";

    pub(crate) async fn start(
        supervisor: &Supervisor,
        programs: Programs,
        address: IpAddr,
    ) -> Result<Self, ClusterError> {
        let etcd = Etcd::start(supervisor, &programs).await?;
        let authority = Authority::new("test-cluster")?;
        let files = Files::write(supervisor, &authority, address)?;
        let flags = files.api_server_flags(&etcd, address);
        let (port, api_server) = start_api_server(supervisor, &programs, address, &flags).await?;
        let server = format!("https://{address}:{port}");
        let write = |name: &str, user: &str, group| {
            let content = kubeconfig::with_certificate(&server, &authority, &authority.client(user, group)?);
            supervisor.write(name, content)
        };
        let kubeconfig = write("kubeconfig", "admin", Some("system:masters"))?;
        ready(&kubeconfig, &api_server).await?;

        let own = write("controllers.kubeconfig", "system:kube-controller-manager", None)?;
        let mut command = programs.command("kube-controller-manager");
        command
            .arg(flag("kubeconfig", &own))
            .arg(flag("root-ca-file", &files.authority))
            .arg(flag("service-account-private-key-file", &files.signing_key))
            .args(["--use-service-account-credentials", "--leader-elect=false", "--secure-port=0"]);
        let controllers = supervisor.spawn("kube-controller-manager", command)?;
        let plane = Self {
            authority,
            address,
            port,
            kubeconfig,
            programs,
            api_server_flags: flags,
            controllers,
            api_server: Mutex::new(Some(api_server)),
            etcd,
        };
        plane.controllers_work().await?;
        Ok(plane)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// The text of a kubeconfig for somebody, with a certificate that says who it is.
    pub(crate) fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> Result<String, ClusterError> {
        let client = self.authority.client(user, group)?;
        Ok(kubeconfig::with_certificate(&self.server(), &self.authority, &client))
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(crate) fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    pub(crate) fn kill_api_server(&self) {
        drop(self.api_server.lock().expect("no panic holds it").take());
    }

    /// Starts it again, at the same port; one that runs is left alone.
    pub(crate) async fn start_api_server(&self, supervisor: &Supervisor) -> Result<(), ClusterError> {
        if self.api_server.lock().expect("no panic holds it").is_some() {
            return Ok(());
        }
        let process = spawn_api_server(supervisor, &self.programs, self.port, &self.api_server_flags)?;
        ready(&self.kubeconfig, &process).await?;
        *self.api_server.lock().expect("no panic holds it") = Some(process);
        Ok(())
    }

    /// Without the service account that they make, no pod can be created.
    async fn controllers_work(&self) -> Result<(), ClusterError> {
        let client = kubeconfig::client(&self.kubeconfig, kubeconfig::read(&self.kubeconfig)?).await?;
        crate::namespace::usable(&client, "default", Some(&self.controllers)).await
    }
}

/// What the programs read from disk.
struct Files {
    authority: PathBuf,
    server: [PathBuf; 2],
    kubelet_client: [PathBuf; 2],
    signing_key: PathBuf,
    signing_public: PathBuf,
}

impl Files {
    fn write(supervisor: &Supervisor, authority: &Authority, address: IpAddr) -> Result<Self, ClusterError> {
        let address = address.to_string();
        let server = authority.server(
            "kube-apiserver",
            &[
                &address,
                "127.0.0.1",
                ControlPlane::SERVICE,
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ],
        )?;
        let kubelet_client = authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        let (private, public) = signing_key()?;
        let write = |name: &str, content: &str| supervisor.write(name, content);
        Ok(Self {
            authority: write("ca.crt", &authority.pem())?,
            server: [write("apiserver.crt", &server.certificate)?, write("apiserver.key", &server.key)?],
            kubelet_client: [
                write("apiserver-kubelet.crt", &kubelet_client.certificate)?,
                write("apiserver-kubelet.key", &kubelet_client.key)?,
            ],
            signing_key: write("tokens.key", &private)?,
            signing_public: write("tokens.pub", &public)?,
        })
    }

    fn api_server_flags(&self, etcd: &Etcd, address: IpAddr) -> Vec<OsString> {
        let mut flags = vec![
            flag("client-ca-file", &self.authority),
            flag("tls-cert-file", &self.server[0]),
            flag("tls-private-key-file", &self.server[1]),
            flag("kubelet-client-certificate", &self.kubelet_client[0]),
            flag("kubelet-client-key", &self.kubelet_client[1]),
            flag("service-account-signing-key-file", &self.signing_key),
            flag("service-account-key-file", &self.signing_public),
        ];
        let texts = [
            format!("--etcd-servers={}", etcd.url()),
            format!("--bind-address={address}"),
            format!("--advertise-address={address}"),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            // OpenShift has it, and so it is part of what the rights that are printed must be enough for.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
            // Nobody writes the endpoints of the Service `kubernetes`: loopback is refused there.
            "--endpoint-reconciler-type=none".to_owned(),
            // The node's name resolves nowhere; its address does.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ];
        flags.extend(texts.map(OsString::from));
        flags
    }
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}

/// A free port may be taken by somebody else before the server has it: another is tried then.
async fn start_api_server(
    supervisor: &Supervisor,
    programs: &Programs,
    address: IpAddr,
    flags: &[OsString],
) -> Result<(u16, Process), ClusterError> {
    let mut tries = 3;
    loop {
        let port = wait::free_port(address)?;
        let process = spawn_api_server(supervisor, programs, port, flags)?;
        let listens = wait::until("the API server did not listen", START, Some(&process), async || {
            tokio::net::TcpStream::connect((address, port)).await.ok().map(drop)
        });
        tries -= 1;
        match listens.await {
            Ok(()) => return Ok((port, process)),
            Err(ClusterError::Ended { log, .. }) if tries > 0 && log.contains("address already in use") => {}
            Err(error) => return Err(error),
        }
    }
}

fn spawn_api_server(
    supervisor: &Supervisor,
    programs: &Programs,
    port: u16,
    flags: &[OsString],
) -> Result<Process, ClusterError> {
    let mut command: Command = programs.command("kube-apiserver");
    command.args(flags).arg(format!("--secure-port={port}"));
    supervisor.spawn("kube-apiserver", command)
}

/// `/readyz` as kubectl asks it.
async fn ready(kubeconfig: &Path, process: &Process) -> Result<(), ClusterError> {
    let client = kubeconfig::client(kubeconfig, kubeconfig::read(kubeconfig)?).await?;
    wait::until("the API server was not ready", START, Some(process), async || {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a request of fixed parts");
        client.request_text(request).await.ok().map(drop)
    })
    .await
}

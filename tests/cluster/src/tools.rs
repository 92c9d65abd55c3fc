//! The programs of the cluster: found in the cache, or built into it.

use crate::ClusterError;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What of Kubernetes is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    ControlPlane,
    Node,
}

/// The folder with the programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Builds what the cache lacks, which takes minutes once a machine; the script tells of it on standard error.
    pub(crate) async fn find(tier: Tier) -> Result<Self, ClusterError> {
        let tier = match tier {
            Tier::ControlPlane => "control-plane",
            Tier::Node => "node",
        };
        folder("kubernetes", &[tier]).await.map(Self)
    }

    /// The path of one of them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }
}

/// The folder with the CRDs of Kueue.
pub(crate) async fn kueue() -> Result<PathBuf, ClusterError> {
    folder("kueue", &[]).await
}

/// What a script of tests/tools prints: the folder that it has filled.
async fn folder(script: &str, args: &[&str]) -> Result<PathBuf, ClusterError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools").join(script);
    let output = tokio::process::Command::new(&script)
        .args(args)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(ClusterError::io(format!("{} does not start", script.display())))?;
    if !output.status.success() {
        return Err(ClusterError::Tools { script, status: output.status });
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

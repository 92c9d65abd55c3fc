//! Images from folders: packed as `docker save` would write them, and imported into the node's containerd.

use super::place::run;
use crate::ClusterError;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// containerd's, as it is reached from this machine.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    socket: PathBuf,
    folder: PathBuf,
}

impl Images {
    pub(super) fn new(folder: &Path) -> Self {
        Self { socket: folder.join("containerd.sock"), folder: folder.to_owned() }
    }

    /// An image of one program, at `/<name>`.
    pub(super) fn import_program(
        &self,
        reference: &str,
        name: &str,
        program: &Path,
    ) -> Result<(), ClusterError> {
        let root = self.scratch()?;
        let place = root.path().join(name);
        fs::copy(program, place)
            .map_err(ClusterError::io(format!("{} cannot be read", program.display())))?;
        self.import_folder(reference, root.path(), &[format!("/{name}")])
    }

    /// An image of a root file system; `entrypoint` may be empty.
    pub(crate) fn import_folder(
        &self,
        reference: &str,
        root: &Path,
        entrypoint: &[String],
    ) -> Result<(), ClusterError> {
        let parts = self.scratch()?;
        let layer = parts.path().join("layer.tar");
        // Root's own tar keeps owners, modes and links, and is in no hurry for memory.
        let mut tar = Command::new("tar");
        run(tar.arg("-C").arg(root).args(["--numeric-owner", "-cf"]).arg(&layer).arg("."))?;
        let digest = sha256(&layer).map_err(ClusterError::io("an image's layer"))?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": entrypoint,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let manifest = json!([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]);
        let write = |name: &str, content: String| {
            fs::write(parts.path().join(name), content).map_err(ClusterError::io("an image's parts"))
        };
        write("config.json", config.to_string())?;
        write("manifest.json", manifest.to_string())?;
        let archive = parts.path().join("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(parts.path()).arg("-cf").arg(&archive);
        run(tar.args(["manifest.json", "config.json", "layer.tar"]))?;
        // What is in the archive is not needed a second time.
        fs::remove_file(&layer).map_err(ClusterError::io("an image's layer"))?;
        self.import_archive(&archive)
    }

    /// An image as `docker save` or `podman save` writes it.
    pub(crate) fn import_archive(&self, archive: &Path) -> Result<(), ClusterError> {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(&self.socket).args(["--namespace", "k8s.io", "images", "import"]);
        run(ctr.arg(archive)).map(drop)
    }

    /// On the file system of the cluster's folder, which is sure to be there and to go.
    fn scratch(&self) -> Result<tempfile::TempDir, ClusterError> {
        tempfile::Builder::new()
            .prefix("image-")
            .tempdir_in(&self.folder)
            .map_err(ClusterError::io("a folder for an image"))
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Into a String nothing fails.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

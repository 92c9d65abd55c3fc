//! Volumes that many pods can write to: folders of this machine.

use crate::ClusterError;
use crate::apply::apply;
use kube::Client;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The storage class of the volumes.
pub const STORAGE_CLASS: &str = "shared";
/// So many claims can be bound at a time.
const COUNT: usize = 16;

/// Makes the class and its volumes.
pub(super) async fn make(client: &Client, folder: &Path) -> Result<(), ClusterError> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    });
    apply(client, class).await?;
    for number in 0..COUNT {
        let name = format!("{STORAGE_CLASS}-{number}");
        let path = path(folder, &name);
        fs::create_dir_all(&path)
            // Pods may run as anybody.
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o777)))
            .map_err(ClusterError::io(format!("{} cannot be made", path.display())))?;
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "storageClassName": STORAGE_CLASS,
                // More than any claim asks for; nobody measures it.
                "capacity": {"storage": "1Pi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": path, "type": "Directory"},
            },
        });
        apply(client, volume).await?;
    }
    Ok(())
}

/// The folder of a volume.
pub(super) fn path(folder: &Path, volume: &str) -> PathBuf {
    folder.join("volumes").join(volume)
}

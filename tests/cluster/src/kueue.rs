//! The kinds of Kueue, without Kueue.

use crate::apply::install_crd;
use crate::cluster::Cluster;
use crate::{ClusterError, tools};

const KUEUE: [&str; 2] = ["localqueues", "workloads"];

impl Cluster {
    /// Installs the CRDs of Kueue's LocalQueue and Workload, without Kueue: a test plays what it says of them. A cluster of
    /// somebody's own must have Kueue.
    ///
    /// # Errors
    /// When they cannot be had, or are not established in time.
    pub async fn install_kueue_crds(&self) -> Result<(), ClusterError> {
        if self.parts().is_none() {
            return Ok(());
        }
        let (client, folder) = (self.client().await?, tools::kueue().await?);
        for plural in KUEUE {
            let file = folder.join(format!("kueue.x-k8s.io_{plural}.yaml"));
            install_crd(&client, &file, &format!("{plural}.kueue.x-k8s.io")).await?;
        }
        Ok(())
    }
}

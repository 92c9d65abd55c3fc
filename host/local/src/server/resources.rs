//! The kinds that are served.

/// One served kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short: &'static [&'static str],
    pub(crate) namespaced: bool,
    /// Whether `status` is written through its own subresource.
    pub(crate) status: bool,
    /// Its shape in the schema.
    pub(crate) shape: &'static str,
    /// Its name in the store.
    pub(crate) id: &'static str,
}

impl Resource {
    /// `v1` or `batch/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `jobs.batch`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Defined by a CustomResourceDefinition on a real cluster, which treats those differently in places.
    pub(crate) fn custom(&self) -> bool {
        self.group == "kubeflow.org"
    }

    /// `metadata.generation` counts changes of its spec.
    pub(crate) fn generation(&self) -> bool {
        matches!(self.kind, "Job" | "PyTorchJob" | "Pod")
    }
}

macro_rules! resource {
    ($group:literal $version:literal $plural:literal $singular:literal $kind:literal $short:expr, $namespaced:literal, $status:literal, $shape:literal) => {
        Resource {
            group: $group,
            version: $version,
            plural: $plural,
            singular: $singular,
            kind: $kind,
            short: &$short,
            namespaced: $namespaced,
            status: $status,
            shape: $shape,
            id: concat!($group, "/", $plural),
        }
    };
}

/// Every kind, in the order that discovery lists them.
pub(crate) static RESOURCES: &[Resource] = &[
    resource!("" "v1" "configmaps" "configmap" "ConfigMap" ["cm"], true, false, "core.v1.ConfigMap"),
    resource!("" "v1" "events" "event" "Event" ["ev"], true, false, "core.v1.Event"),
    resource!("" "v1" "namespaces" "namespace" "Namespace" ["ns"], false, true, "core.v1.Namespace"),
    resource!("" "v1" "nodes" "node" "Node" ["no"], false, true, "core.v1.Node"),
    resource!("" "v1" "persistentvolumeclaims" "persistentvolumeclaim" "PersistentVolumeClaim" ["pvc"], true, true, "core.v1.PersistentVolumeClaim"),
    resource!("" "v1" "pods" "pod" "Pod" ["po"], true, true, "core.v1.Pod"),
    resource!("" "v1" "resourcequotas" "resourcequota" "ResourceQuota" ["quota"], true, true, "core.v1.ResourceQuota"),
    resource!("" "v1" "secrets" "secret" "Secret" [], true, false, "core.v1.Secret"),
    resource!("" "v1" "serviceaccounts" "serviceaccount" "ServiceAccount" ["sa"], true, false, "core.v1.ServiceAccount"),
    resource!("" "v1" "services" "service" "Service" ["svc"], true, true, "core.v1.Service"),
    resource!("batch" "v1" "jobs" "job" "Job" [], true, true, "batch.v1.Job"),
    resource!("coordination.k8s.io" "v1" "leases" "lease" "Lease" [], true, false, "coordination.v1.Lease"),
    resource!("kubeflow.org" "v1" "pytorchjobs" "pytorchjob" "PyTorchJob" [], true, true, "PyTorchJob"),
    resource!("storage.k8s.io" "v1" "storageclasses" "storageclass" "StorageClass" ["sc"], false, false, "storage.v1.StorageClass"),
];

/// Groups besides the core, with their one version.
pub(crate) const GROUPS: &[&str] =
    &["authorization.k8s.io", "batch", "coordination.k8s.io", "kubeflow.org", "storage.k8s.io"];

/// The kind at `/apis/GROUP/VERSION/…/PLURAL`.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The kind of this name in the store.
pub(crate) fn by_id(id: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|r| r.id == id)
}

//! What a hostile stage could try to get created, one trick a line; each is refused by the rule that is meant for it.
//!
//! The stage here is granted all the kinds that it uses, one Secret, one claim, one registry and two GPUs: what it gets
//! beyond is a hole. Hostile components, as against manifests, are in `host/wasm/tests/calls`.

use ilab_core::contract::Kind;
use ilab_core::guard::{Bounds, Exemption, Grant, Images, Level, Limits, Policy, Refused, harden};
use ilab_core::names::{PluginDigest, StageName};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const KINDS: [(&str, &str); 31] = [
    ("v1", "Pod"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Endpoints"),
    ("v1", "Event"),
    ("v1", "ResourceQuota"),
    ("v1", "List"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "JobList"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("kubeflow.org/v1", "PyTorchJob"),
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("apiregistration.k8s.io/v1", "APIService"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("coordination.k8s.io/v1", "Lease"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
];

fn grant() -> Grant {
    let set = |name: &str| BTreeSet::from([name.to_owned()]);
    Grant {
        stage: StageName::new("evil").expect("valid"),
        digest: PluginDigest::of(b"evil"),
        namespace: "ml".into(),
        prefix: "r-evil".into(),
        creates: KINDS
            .map(|(api_version, kind)| Kind { api_version: api_version.into(), kind: kind.into() })
            .to_vec(),
        secrets: set("judge"),
        config_maps: BTreeSet::new(),
        claims: set("data"),
        bounds: Bounds {
            images: vec![Images { whose: "its grant", allowed: vec!["quay.io/team".into()] }],
            limits: vec![Limits {
                whose: "its grant",
                closed: true,
                most: BTreeMap::from([("nvidia.com/gpu".into(), 2000), ("pods".into(), 4000)]),
            }],
            exemptions: vec![Exemption {
                rule: "capabilities",
                value: "IPC_LOCK".into(),
                reason: "RDMA".into(),
            }],
        },
    }
}

fn container() -> Value {
    json!({"name": "main", "image": "quay.io/team/eval:1", "resources": {"limits": {"nvidia.com/gpu": 1}}})
}

/// A pod's spec with something more.
fn pod_spec(more: Value) -> Value {
    put(json!({"restartPolicy": "Never", "containers": [container()]}), more)
}

fn put(mut into: Value, more: Value) -> Value {
    if let (Some(map), Value::Object(more)) = (into.as_object_mut(), more) {
        map.extend(more);
    }
    into
}

fn object(api_version: &str, kind: &str, more: Value) -> Value {
    put(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "r-evil"}}), more)
}

fn job(pod: Value) -> Value {
    object("batch/v1", "Job", json!({"spec": {"template": {"spec": pod}}}))
}

/// A Job whose pod has something more.
fn with(more: Value) -> Value {
    job(pod_spec(more))
}

/// A Job whose container has something more.
fn contained(more: Value) -> Value {
    job(pod_spec(json!({"containers": [put(container(), more)]})))
}

fn secure(more: Value) -> Value {
    contained(json!({"securityContext": more}))
}

fn volume(source: Value) -> Value {
    with(json!({"volumes": [put(json!({"name": "v"}), source)]}))
}

fn env(from: Value) -> Value {
    contained(json!({"env": [{"name": "X", "valueFrom": from}]}))
}

fn meta(more: Value) -> Value {
    let mut job = with(json!({}));
    job["metadata"] = put(job["metadata"].clone(), more);
    job
}

fn template_meta(more: Value) -> Value {
    let mut job = with(json!({}));
    job["spec"]["template"]["metadata"] = more;
    job
}

fn deep(levels: usize, inner: Value) -> Value {
    (0..levels).fold(inner, |inner, _| json!([inner]))
}

fn tricks() -> Vec<(&'static str, &'static str, Value)> {
    let bad_pod = || pod_spec(json!({"hostPID": true}));
    let replicas = |count: u64| json!({"replicas": count, "template": {"spec": pod_spec(json!({}))}});
    vec![
        // The node.
        ("share the node's network", "host-namespaces", with(json!({"hostNetwork": true}))),
        ("see the node's processes", "host-namespaces", with(json!({"hostPID": true}))),
        ("share the node's IPC", "host-namespaces", with(json!({"hostIPC": true}))),
        ("a boolean as text", "host-namespaces", with(json!({"hostNetwork": "yes"}))),
        ("another case, for lenient decoders", "host-namespaces", with(json!({"HostNetwork": true}))),
        ("a long s, which Go folds to s", "field-name", with(json!({"ho\u{17f}tNetwork": true}))),
        ("a Kelvin sign, which Go folds to k", "field-name", with(json!({"hostNetwor\u{212a}": true}))),
        ("be root on the node", "privileged", secure(json!({"privileged": true}))),
        (
            "be root in an init container",
            "privileged",
            with(
                json!({"initContainers": [put(container(), json!({"securityContext": {"privileged": true}}))]}),
            ),
        ),
        ("all capabilities", "capabilities", secure(json!({"capabilities": {"add": ["ALL"]}}))),
        ("load modules", "capabilities", secure(json!({"capabilities": {"add": ["SYS_MODULE"]}}))),
        (
            "hide behind an exemption",
            "capabilities",
            secure(json!({"capabilities": {"add": ["IPC_LOCK", "SYS_ADMIN"]}})),
        ),
        ("nearly the exempted one", "capabilities", secure(json!({"capabilities": {"add": ["ipc_lock"]}}))),
        ("capabilities as a text", "capabilities", secure(json!({"capabilities": "SYS_ADMIN"}))),
        ("added as a text", "capabilities", secure(json!({"capabilities": {"add": "SYS_ADMIN"}}))),
        ("an unmasked /proc", "proc-mount", secure(json!({"procMount": "Unmasked"}))),
        ("no seccomp", "seccomp", secure(json!({"seccompProfile": {"type": "Unconfined"}}))),
        ("a seccomp profile that says nothing", "seccomp", secure(json!({"seccompProfile": {"type": null}}))),
        ("an AppArmor profile without a type", "app-armor", secure(json!({"appArmorProfile": {}}))),
        (
            "no seccomp, the old way",
            "seccomp",
            template_meta(json!({"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}})),
        ),
        ("no AppArmor", "app-armor", secure(json!({"appArmorProfile": {"type": "Unconfined"}}))),
        (
            "no AppArmor, the old way",
            "app-armor",
            template_meta(
                json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}}),
            ),
        ),
        (
            "an SELinux type that may everything",
            "selinux",
            secure(json!({"seLinuxOptions": {"type": "spc_t"}})),
        ),
        ("an SELinux role", "selinux", secure(json!({"seLinuxOptions": {"role": "sysadm_r"}}))),
        (
            "a process of a Windows node",
            "host-process",
            secure(json!({"windowsOptions": {"hostProcess": true}})),
        ),
        (
            "the kernel's settings",
            "sysctls",
            with(json!({"securityContext": {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}})),
        ),
        (
            "a sysctl without a name",
            "sysctls",
            with(json!({"securityContext": {"sysctls": [{"value": "1"}]}})),
        ),
        (
            "a port of the node",
            "host-ports",
            contained(json!({"ports": [{"containerPort": 1, "hostPort": 10250}]})),
        ),
        (
            "have the kubelet ask the metadata server",
            "host-probes",
            contained(json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}})),
        ),
        (
            "have the kubelet connect elsewhere",
            "host-probes",
            contained(json!({"lifecycle": {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 22}}}})),
        ),
        ("the node's files", "host-path", volume(json!({"hostPath": {"path": "/"}}))),
        (
            "the container runtime's socket",
            "host-path",
            volume(json!({"hostPath": {"path": "/run/containerd/containerd.sock", "type": "Socket"}})),
        ),
        (
            "the node's files as a second source",
            "host-path",
            volume(json!({"emptyDir": {}, "hostPath": {"path": "/"}})),
        ),
        ("choose the node", "node-name", with(json!({"nodeName": "control-plane"}))),
        (
            "push out the cluster's own pods",
            "priority-class",
            with(json!({"priorityClassName": "system-cluster-critical"})),
        ),
        (
            "a container to debug with",
            "ephemeral-containers",
            with(json!({"ephemeralContainers": [{"name": "x", "image": "quay.io/team/x"}]})),
        ),
        // Others' data.
        ("an account of the cluster", "service-account", with(json!({"serviceAccountName": "admin"}))),
        ("an account, the old way", "service-account", with(json!({"serviceAccount": "admin"}))),
        ("the account's token", "token-automount", with(json!({"automountServiceAccountToken": true}))),
        (
            "a token by projection",
            "token",
            volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}})),
        ),
        (
            "a certificate by projection",
            "token",
            volume(
                json!({"projected": {"sources": [{"podCertificate": {"signerName": "x", "keyType": "ED25519"}}]}}),
            ),
        ),
        ("somebody's Secret as a volume", "unbound-secret", volume(json!({"secret": {"secretName": "db"}}))),
        (
            "somebody's Secret as a variable",
            "unbound-secret",
            env(json!({"secretKeyRef": {"name": "db", "key": "k"}})),
        ),
        (
            "somebody's Secret, all of it",
            "unbound-secret",
            contained(json!({"envFrom": [{"secretRef": {"name": "db"}}]})),
        ),
        (
            "somebody's Secret by projection",
            "unbound-secret",
            volume(json!({"projected": {"sources": [{"secret": {"name": "db"}}]}})),
        ),
        (
            "somebody's Secret to pull images",
            "unbound-secret",
            with(json!({"imagePullSecrets": [{"name": "db"}]})),
        ),
        (
            "two names for one Secret",
            "unbound-secret",
            env(json!({"secretKeyRef": {"name": "judge", "Name": "db", "key": "k"}})),
        ),
        (
            "a Secret for a driver",
            "volume-source",
            volume(json!({"csi": {"driver": "x", "nodePublishSecretRef": {"name": "judge"}}})),
        ),
        ("somebody's ConfigMap", "unbound-config-map", volume(json!({"configMap": {"name": "other"}}))),
        (
            "a name that only begins like its own",
            "unbound-config-map",
            volume(json!({"configMap": {"name": "r-evilx"}})),
        ),
        (
            "somebody's claim",
            "unbound-claim",
            volume(json!({"persistentVolumeClaim": {"claimName": "other"}})),
        ),
        (
            "a claim of its own",
            "claim-template",
            object("apps/v1", "Deployment", json!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}})),
        ),
        ("a file server", "volume-source", volume(json!({"nfs": {"server": "10.0.0.1", "path": "/"}}))),
        ("an image as a volume", "volume-source", volume(json!({"image": {"reference": "evil.org/x"}}))),
        (
            "an inline claim",
            "volume-source",
            volume(json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}})),
        ),
        (
            "somebody's devices",
            "device-claim",
            with(json!({"resourceClaims": [{"name": "g", "resourceClaimName": "other"}]})),
        ),
        // Images and resources.
        ("another registry", "image-registry", contained(json!({"image": "evil.org/team/eval"}))),
        (
            "a registry that begins like it",
            "image-registry",
            contained(json!({"image": "quay.io.evil.org/team/eval"})),
        ),
        (
            "another path of the registry",
            "image-registry",
            contained(json!({"image": "quay.io/teamevil/eval"})),
        ),
        (
            "the registry as a path",
            "image-registry",
            contained(json!({"image": "evil.org/quay.io/team/eval"})),
        ),
        ("climb in the registry", "image", contained(json!({"image": "quay.io/team/../evil/x"}))),
        ("a terminal escape as an image", "image", contained(json!({"image": "quay.io/team/\u{1b}[2J"}))),
        (
            "more GPUs than granted",
            "resource-limit",
            contained(json!({"resources": {"limits": {"nvidia.com/gpu": 3}}})),
        ),
        (
            "more by requests alone",
            "resource-limit",
            contained(json!({"resources": {"requests": {"nvidia.com/gpu": "3"}}})),
        ),
        (
            "more by containers",
            "resource-limit",
            with(json!({"containers": [container(), container(), container()]})),
        ),
        (
            "more by parallel pods",
            "resource-limit",
            object(
                "batch/v1",
                "Job",
                json!({"spec": {"parallelism": 3, "template": {"spec": pod_spec(json!({}))}}}),
            ),
        ),
        (
            "more by replicas",
            "resource-limit",
            object(
                "kubeflow.org/v1",
                "PyTorchJob",
                json!({"spec": {"pytorchReplicaSpecs": {"Master": replicas(1), "Worker": replicas(2)}}}),
            ),
        ),
        (
            "more by elasticity",
            "resource-limit",
            object(
                "kubeflow.org/v1",
                "PyTorchJob",
                json!({"spec": {"elasticPolicy": {"maxReplicas": 500}, "pytorchReplicaSpecs": {"Worker": replicas(1)}}}),
            ),
        ),
        (
            "more by nodes of a trainer",
            "resource-limit",
            object(
                "trainer.kubeflow.org/v1alpha1",
                "TrainJob",
                json!({"spec": {"trainer": {"numNodes": 9, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 1}}}}}),
            ),
        ),
        (
            "a resource that is not named",
            "resource-limit",
            contained(json!({"resources": {"limits": {"rdma/ib": 1}}})),
        ),
        (
            "a pod on every node",
            "resource-limit",
            object("apps/v1", "DaemonSet", json!({"spec": {"template": {"spec": pod_spec(json!({}))}}})),
        ),
        (
            "a pod every minute",
            "resource-limit",
            object(
                "batch/v1",
                "CronJob",
                json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod_spec(json!({}))}}}}}),
            ),
        ),
        // The object itself.
        ("another namespace", "namespace", meta(json!({"namespace": "kube-system"}))),
        (
            "another namespace, in the template",
            "namespace",
            template_meta(json!({"namespace": "kube-system"})),
        ),
        ("another stage's name", "name-prefix", meta(json!({"name": "r-train"}))),
        ("climb in the API's path", "name-prefix", meta(json!({"name": "r-evil-/../../secrets/db"}))),
        ("a second name", "object-shape", meta(json!({"Name": "other"}))),
        ("a name of the server's choice", "generate-name", meta(json!({"generateName": "r-evil-"}))),
        (
            "an object that cannot be deleted",
            "metadata-field",
            meta(json!({"finalizers": ["evil.org/never"]})),
        ),
        (
            "be deleted with somebody's object, or have it deleted",
            "metadata-field",
            meta(
                json!({"ownerReferences": [{"kind": "Job", "name": "x", "uid": "1", "apiVersion": "batch/v1"}]}),
            ),
        ),
        ("pass for the host's", "reserved-label", meta(json!({"labels": {"ilab.dev/run": "other"}}))),
        (
            "pass for another stage's pod",
            "job-label",
            template_meta(json!({"labels": {"batch.kubernetes.io/job-name": "r-train"}})),
        ),
        (
            "adopt others' pods",
            "manual-selector",
            object(
                "batch/v1",
                "Job",
                json!({"spec": {"manualSelector": true, "selector": {"matchLabels": {"app": "db"}}, "template": {"spec": pod_spec(json!({}))}}}),
            ),
        ),
        (
            "say that it has succeeded",
            "status",
            put(with(json!({})), json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}})),
        ),
        (
            "a Service for the world",
            "service-exposure",
            object("v1", "Service", json!({"spec": {"type": "LoadBalancer"}})),
        ),
        (
            "a Service that takes somebody's address",
            "service-exposure",
            object("v1", "Service", json!({"spec": {"externalIPs": ["10.0.0.1"]}})),
        ),
        (
            "a Service that points outside",
            "service-exposure",
            object("v1", "Service", json!({"spec": {"externalName": "evil.org"}})),
        ),
        // Kinds, each declared and granted.
        ("a Secret", "kind-refused", object("v1", "Secret", json!({"stringData": {}}))),
        ("an account", "kind-refused", object("v1", "ServiceAccount", json!({}))),
        ("a namespace", "kind-refused", object("v1", "Namespace", json!({}))),
        ("a node", "kind-refused", object("v1", "Node", json!({}))),
        ("a volume of the cluster", "kind-refused", object("v1", "PersistentVolume", json!({"spec": {}}))),
        ("endpoints of a Service", "kind-refused", object("v1", "Endpoints", json!({}))),
        (
            "a list, with anything in it",
            "kind-refused",
            object("v1", "List", json!({"items": [{"kind": "Secret"}]})),
        ),
        ("a list of its own kind", "kind-refused", object("batch/v1", "JobList", json!({"items": []}))),
        ("rights", "kind-refused", object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", json!({}))),
        (
            "rights, in capitals",
            "kind-refused",
            object("RBAC.authorization.k8s.io/v1", "ClusterRoleBinding", json!({})),
        ),
        (
            "a webhook",
            "kind-refused",
            object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", json!({})),
        ),
        ("an API of its own", "kind-refused", object("apiregistration.k8s.io/v1", "APIService", json!({}))),
        (
            "a certificate",
            "kind-refused",
            object("certificates.k8s.io/v1", "CertificateSigningRequest", json!({})),
        ),
        ("the host's Lease", "kind-refused", object("coordination.k8s.io/v1", "Lease", json!({}))),
        (
            "scale somebody's Deployment",
            "kind-refused",
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "db"}}}),
            ),
        ),
        ("a kind that was not granted", "kind-not-granted", object("batch/v2", "Job", json!({}))),
        // Where a template hides.
        (
            "in a CronJob",
            "host-namespaces",
            object(
                "batch/v1",
                "CronJob",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": bad_pod()}}}}}),
            ),
        ),
        (
            "in a worker",
            "host-namespaces",
            object(
                "kubeflow.org/v1",
                "PyTorchJob",
                json!({"spec": {"pytorchReplicaSpecs": {"Worker": {"template": {"spec": bad_pod()}}}}}),
            ),
        ),
        (
            "in an override",
            "host-path",
            object(
                "trainer.kubeflow.org/v1alpha1",
                "TrainJob",
                json!({"spec": {"podTemplateOverrides": [{"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}]}}),
            ),
        ),
        (
            "forty levels down",
            "host-namespaces",
            object("kubeflow.org/v1", "PyTorchJob", json!({"spec": {"x": deep(40, bad_pod())}})),
        ),
        (
            "deeper than anybody looks",
            "too-deep",
            object("kubeflow.org/v1", "PyTorchJob", json!({"spec": {"x": deep(70, bad_pod())}})),
        ),
        (
            "behind a megabyte",
            "too-large",
            object("v1", "ConfigMap", json!({"data": {"x": "x".repeat(1 << 20)}})),
        ),
        (
            "in a ConfigMap that is none",
            "object-shape",
            object("v1", "ConfigMap", json!({"data": {"x": {"spec": bad_pod()}}})),
        ),
        ("no object", "object-shape", json!("hostNetwork: true")),
    ]
}

fn judge(manifest: &Value) -> Vec<String> {
    let mut manifest = manifest.clone();
    harden(&mut manifest);
    let grant = grant();
    let mut rules: Vec<String> = Policy::default()
        .check(&manifest, &grant)
        .into_iter()
        .map(|violation| violation.rule.to_owned())
        .collect();
    let beyond: Vec<Refused> = grant.check_resources(&[manifest]);
    rules.extend(
        beyond.into_iter().flat_map(|refused| refused.violations).map(|violation| violation.rule.to_owned()),
    );
    rules
}

#[test]
fn none_of_the_tricks_gets_through() {
    let tricks = tricks();
    assert!(tricks.len() >= 100, "{}", tricks.len());
    let mut through = Vec::new();
    for (what, rule, manifest) in &tricks {
        let rules = judge(manifest);
        if !rules.iter().any(|found| found == rule) {
            through.push(format!("{what}: wanted {rule}, found {rules:?}"));
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
}

/// Every trick is tried on a manifest that would have passed without it.
#[test]
fn an_honest_stage_passes_under_the_same_grant() {
    for honest in [
        with(json!({})),
        secure(json!({"capabilities": {"add": ["IPC_LOCK"], "drop": ["ALL"]}})),
        volume(json!({"secret": {"secretName": "judge"}})),
        volume(json!({"persistentVolumeClaim": {"claimName": "data"}})),
        volume(json!({"configMap": {"name": "r-evil-scripts"}})),
        env(json!({"secretKeyRef": {"name": "judge", "key": "k"}})),
        object("v1", "Service", json!({"spec": {"clusterIP": "None"}})),
        object("v1", "ConfigMap", json!({"data": {"x": "hostNetwork: true"}})),
        object(
            "batch/v1",
            "Job",
            json!({"spec": {"parallelism": 2, "template": {"spec": pod_spec(json!({}))}}}),
        ),
        template_meta(json!({"labels": {"app": "eval"}, "annotations": {"note": "x"}})),
    ] {
        assert_eq!(judge(&honest), Vec::<String>::new(), "{honest}");
    }
}

/// The stricter level refuses all that the laxer one does.
#[test]
fn restricted_refuses_no_less() {
    let policy = Policy { level: Level::Restricted, ..Policy::default() };
    for (what, rule, manifest) in tricks().into_iter().filter(|(_, rule, _)| *rule != "resource-limit") {
        assert!(policy.check(&manifest, &grant()).iter().any(|violation| violation.rule == rule), "{what}");
    }
}

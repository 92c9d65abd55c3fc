use super::*;
use crate::contract::Kind;
use crate::guard::{Level, harden};
use crate::names::{PluginDigest, StageName};
use serde_json::json;

fn kind(api_version: &str, kind: &str) -> Kind {
    Kind { api_version: api_version.into(), kind: kind.into() }
}

fn grant() -> Grant {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Grant {
        stage: StageName::new("train").unwrap(),
        digest: PluginDigest::of(b"x"),
        namespace: "ml".into(),
        prefix: "r-train".into(),
        creates: vec![
            kind("batch/v1", "Job"),
            kind("batch/v1", "CronJob"),
            kind("kubeflow.org/v1", "PyTorchJob"),
            kind("trainer.kubeflow.org/v1alpha1", "TrainJob"),
            kind("v1", "ConfigMap"),
            kind("v1", "Pod"),
            kind("v1", "Service"),
            kind("v1", "Secret"),
            kind("v1", "PersistentVolumeClaim"),
            kind("v1", "ServiceAccount"),
            kind("v1", "Namespace"),
            kind("v1", "Node"),
            kind("v1", "PersistentVolume"),
            kind("v1", "List"),
            kind("v1", "PodList"),
            kind("v1", "Binding"),
            kind("rbac.authorization.k8s.io/v1", "RoleBinding"),
            kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
            kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            kind("apiregistration.k8s.io/v1", "APIService"),
            kind("authentication.k8s.io/v1", "TokenRequest"),
            kind("networking.k8s.io/v1", "Ingress"),
            kind("certificates.k8s.io/v1", "CertificateSigningRequest"),
            kind("coordination.k8s.io/v1", "Lease"),
        ],
        secrets: set(&["judge"]),
        config_maps: set(&["judge-ca"]),
        claims: set(&["r-data"]),
        bounds: crate::guard::Bounds::default(),
    }
}

/// A Job as the shipped stages make them: everything that is allowed is in it.
fn job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "r-train", "namespace": "ml", "labels": {"kueue.x-k8s.io/queue-name": "q", "app": "x"}},
        "spec": {"backoffLimit": 2, "template": {
            "metadata": {"labels": {"app": "train"}, "annotations": {"sidecar.istio.io/inject": "false"}},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false, "nodeSelector": {"gpu": "a"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}], "imagePullSecrets": [{"name": "judge"}],
                "securityContext": {"runAsNonRoot": true, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "r-data"}}, {"name": "shm", "emptyDir": {"medium": "Memory"}},
                    {"name": "scripts", "configMap": {"name": "r-train-scripts"}}, {"name": "ca", "configMap": {"name": "judge-ca"}},
                    {"name": "key", "secret": {"secretName": "judge"}}, {"name": "pod", "downwardAPI": {"items": []}},
                    {"name": "all", "projected": {"sources": [{"secret": {"name": "judge"}}, {"configMap": {"name": "judge-ca"}}]}},
                ],
                "initContainers": [{"name": "first", "image": "quay.io/a/b:1", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
                "containers": [{
                    "name": "main", "image": "quay.io/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "judge", "key": "k"}}}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "r-train-env", "key": "k"}}}],
                    "envFrom": [{"secretRef": {"name": "judge"}}, {"configMapRef": {"name": "judge-ca"}}],
                    "ports": [{"containerPort": 8000}], "readinessProbe": {"httpGet": {"path": "/", "port": 8000}},
                    "resources": {"limits": {"nvidia.com/gpu": 1}}, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "securityContext": {"privileged": false, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1000},
                }],
            },
        }},
    })
}

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The Job with something more at a place.
fn with(pointer: &str, more: Value) -> Value {
    let mut job = job();
    let at = job.pointer_mut(pointer).unwrap();
    match more {
        Value::Object(more) => at.as_object_mut().unwrap().extend(more),
        other => *at = other,
    }
    job
}

fn rules(policy: &Policy, manifest: &Value) -> Vec<(String, &'static str)> {
    policy.check(manifest, &grant()).into_iter().map(|violation| (violation.path, violation.rule)).collect()
}

fn restricted() -> Policy {
    Policy { level: Level::Restricted, ..Policy::default() }
}

#[test]
fn what_the_shipped_stages_make_passes_both_levels() {
    for policy in [
        Policy::default(),
        restricted(),
        Policy { allowed_registries: vec!["quay.io/a".into()], ..restricted() },
    ] {
        assert_eq!(rules(&policy, &job()), []);
    }
    let scripts = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "r-train-scripts"}, "data": {"run.py": "hostNetwork: true", "hostPath": "x", "privileged": "y"}});
    assert_eq!(rules(&restricted(), &scripts), []);
    let replica = json!({"replicas": 1, "template": job()["spec"]["template"]});
    let pytorch = json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "r-train"}, "spec": {"nprocPerNode": "1", "pytorchReplicaSpecs": {"Master": replica, "Worker": replica}}});
    assert_eq!(rules(&restricted(), &pytorch), []);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "r-train-judge"}, "spec": {"clusterIP": "None", "selector": {"app": "x"}}});
    assert_eq!(rules(&restricted(), &service), []);
    let override_ = json!({"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": {"name": "r-train"},
        "spec": {"trainer": {"image": "quay.io/a/b"}, "podTemplateOverrides": [{"spec": {"containers": [{"name": "node", "env": []}]}}]}});
    assert_eq!(rules(&restricted(), &override_), []);
}

#[test]
fn each_rule_of_pods_refuses_at_its_path() {
    let template = "spec.template.spec";
    let container = "spec.template.spec.containers[0]";
    for (at, more, path, rule) in [
        (POD, json!({"hostNetwork": true}), format!("{template}.hostNetwork"), "host-namespaces"),
        (POD, json!({"hostPID": true}), format!("{template}.hostPID"), "host-namespaces"),
        (POD, json!({"hostIPC": "true"}), format!("{template}.hostIPC"), "host-namespaces"),
        (POD, json!({"HOSTNETWORK": true}), format!("{template}.HOSTNETWORK"), "host-namespaces"),
        (
            CONTAINER,
            json!({"securityContext": {"privileged": true}}),
            format!("{container}.securityContext.privileged"),
            "privileged",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"procMount": "Unmasked"}}),
            format!("{container}.securityContext.procMount"),
            "proc-mount",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}}}),
            format!("{container}.securityContext.capabilities.add[1]"),
            "capabilities",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"capabilities": {"add": "ALL"}}}),
            format!("{container}.securityContext.capabilities.add"),
            "capabilities",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            format!("{container}.securityContext.seccompProfile.type"),
            "seccomp",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            format!("{container}.securityContext.appArmorProfile.type"),
            "app-armor",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
            format!("{container}.securityContext.seLinuxOptions.type"),
            "selinux",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"seLinuxOptions": {"user": "root"}}}),
            format!("{container}.securityContext.seLinuxOptions.user"),
            "selinux",
        ),
        (
            CONTAINER,
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            format!("{container}.securityContext.windowsOptions.hostProcess"),
            "host-process",
        ),
        (
            CONTAINER,
            json!({"ports": [{"containerPort": 1, "hostPort": 80}]}),
            format!("{container}.ports[0].hostPort"),
            "host-ports",
        ),
        (
            CONTAINER,
            json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}}),
            format!("{container}.livenessProbe.httpGet.host"),
            "host-probes",
        ),
        (
            CONTAINER,
            json!({"lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 1}}}}),
            format!("{container}.lifecycle.preStop.tcpSocket.host"),
            "host-probes",
        ),
        (
            POD,
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
            format!("{template}.securityContext.sysctls[0]"),
            "sysctls",
        ),
        (
            "/spec/template/metadata",
            json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}}),
            "spec.template.metadata.annotations[\"container.apparmor.security.beta.kubernetes.io/main\"]"
                .into(),
            "app-armor",
        ),
        (
            "/spec/template/metadata",
            json!({"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}),
            "spec.template.metadata.annotations[\"seccomp.security.alpha.kubernetes.io/pod\"]".into(),
            "seccomp",
        ),
        (
            POD,
            json!({"serviceAccountName": "admin"}),
            format!("{template}.serviceAccountName"),
            "service-account",
        ),
        (POD, json!({"serviceAccount": "default"}), format!("{template}.serviceAccount"), "service-account"),
        (
            POD,
            json!({"automountServiceAccountToken": true}),
            format!("{template}.automountServiceAccountToken"),
            "token-automount",
        ),
        (
            POD,
            json!({"ephemeralContainers": [{"name": "x"}]}),
            format!("{template}.ephemeralContainers"),
            "ephemeral-containers",
        ),
        (POD, json!({"nodeName": "master"}), format!("{template}.nodeName"), "node-name"),
        (
            POD,
            json!({"priorityClassName": "system-node-critical"}),
            format!("{template}.priorityClassName"),
            "priority-class",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}),
            format!("{template}.volumes[0].hostPath"),
            "host-path",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "nfs": {"server": "x"}}]}),
            format!("{template}.volumes[0].nfs"),
            "volume-source",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "csi": {"driver": "x"}}]}),
            format!("{template}.volumes[0].csi"),
            "volume-source",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "image": {"reference": "x"}}]}),
            format!("{template}.volumes[0].image"),
            "volume-source",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}),
            format!("{template}.volumes[0].ephemeral"),
            "volume-source",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "emptyDir": {}, "configMap": {"name": "judge-ca"}}]}),
            format!("{template}.volumes[0]"),
            "volume-source",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "secret": {"secretName": "other"}}]}),
            format!("{template}.volumes[0].secret.secretName"),
            "unbound-secret",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "configMap": {"name": "other"}}]}),
            format!("{template}.volumes[0].configMap.name"),
            "unbound-config-map",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "configMap": {"name": "r-trainer"}}]}),
            format!("{template}.volumes[0].configMap.name"),
            "unbound-config-map",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "other"}}]}),
            format!("{template}.volumes[0].persistentVolumeClaim.claimName"),
            "unbound-claim",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            format!("{template}.volumes[0].projected.sources[0].serviceAccountToken"),
            "token",
        ),
        (
            POD,
            json!({"volumes": [{"name": "a", "projected": {"sources": [{"secret": {"name": "other"}}]}}]}),
            format!("{template}.volumes[0].projected.sources[0].secret.name"),
            "unbound-secret",
        ),
        (
            POD,
            json!({"imagePullSecrets": [{"name": "other"}]}),
            format!("{template}.imagePullSecrets[0].name"),
            "unbound-secret",
        ),
        (
            CONTAINER,
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]}),
            format!("{container}.env[0].valueFrom.secretKeyRef.name"),
            "unbound-secret",
        ),
        (
            CONTAINER,
            json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "other", "key": "k"}}}]}),
            format!("{container}.env[0].valueFrom.configMapKeyRef.name"),
            "unbound-config-map",
        ),
        (
            CONTAINER,
            json!({"envFrom": [{"secretRef": {"name": "other"}}]}),
            format!("{container}.envFrom[0].secretRef.name"),
            "unbound-secret",
        ),
        (
            CONTAINER,
            json!({"envFrom": [{"configMapRef": {"name": "kube-root-ca.crt"}}]}),
            format!("{container}.envFrom[0].configMapRef.name"),
            "unbound-config-map",
        ),
        (CONTAINER, json!({"image": "a b"}), format!("{container}.image"), "image"),
        ("/spec", json!({"manualSelector": true}), "spec.manualSelector".into(), "manual-selector"),
        (
            "/spec/template/metadata",
            json!({"labels": {"job-name": "r-eval"}}),
            "spec.template.metadata.labels.job-name".into(),
            "job-label",
        ),
        (
            "/spec/template/metadata",
            json!({"labels": {"ilab.dev/stage": "eval"}}),
            "spec.template.metadata.labels[\"ilab.dev/stage\"]".into(),
            "reserved-label",
        ),
        (
            "/spec/template/metadata",
            json!({"ownerReferences": [{"kind": "Job"}]}),
            "spec.template.metadata.ownerReferences".into(),
            "metadata-field",
        ),
        (
            "/spec/template/metadata",
            json!({"namespace": "kube-system"}),
            "spec.template.metadata.namespace".into(),
            "namespace",
        ),
        (
            "/spec",
            json!({"volumeClaimTemplates": [{"spec": {}}]}),
            "spec.volumeClaimTemplates".into(),
            "claim-template",
        ),
        ("/spec", json!({"ho\u{17f}tNetwork": true}), "spec.ho\u{17f}tNetwork".into(), "field-name"),
    ] {
        let found = rules(&Policy::default(), &with(at, more.clone()));
        assert!(found.contains(&(path.clone(), rule)), "{more}: wanted {path} [{rule}], found {found:?}");
    }
}

#[test]
fn a_token_must_be_refused_expressly_and_harden_does() {
    let mut silent = job();
    silent.pointer_mut(POD).unwrap().as_object_mut().unwrap().remove("automountServiceAccountToken");
    assert_eq!(
        rules(&Policy::default(), &silent),
        [("spec.template.spec.automountServiceAccountToken".into(), "token-automount")]
    );
    harden(&mut silent);
    assert_eq!(rules(&Policy::default(), &silent), []);
    let mut greedy = with(POD, json!({"automountServiceAccountToken": true}));
    harden(&mut greedy);
    assert_eq!(
        greedy.pointer(POD).unwrap()["automountServiceAccountToken"],
        true,
        "what is said is judged, not mended"
    );
    let mut text = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"containers": "[]"}});
    let before = text.clone();
    harden(&mut text);
    assert_eq!(text, before);
}

#[test]
fn restricted_also_demands() {
    let policy = restricted();
    for (pointer, field, rule) in [
        (CONTAINER, "securityContext", "privilege-escalation"),
        (CONTAINER, "securityContext", "capabilities"),
        ("/spec/template/spec/initContainers/0", "securityContext", "privilege-escalation"),
        (POD, "securityContext", "run-as-non-root"),
        (POD, "securityContext", "seccomp"),
    ] {
        let mut job = job();
        job.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field);
        assert!(
            rules(&policy, &job).iter().any(|(_, found)| *found == rule),
            "{pointer} without {field}: {rule}"
        );
        assert_eq!(rules(&Policy::default(), &job), [], "baseline does not");
    }
    for (more, rule) in [
        (
            json!({"securityContext": {"allowPrivilegeEscalation": true, "capabilities": {"drop": ["ALL"]}}}),
            "privilege-escalation",
        ),
        (json!({"securityContext": {"runAsNonRoot": false}}), "run-as-non-root"),
        (json!({"securityContext": {"runAsUser": 0}}), "run-as-user"),
        (json!({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}}), "capabilities"),
        (json!({"securityContext": {"capabilities": {"drop": ["KILL"]}}}), "capabilities"),
    ] {
        assert!(
            rules(&policy, &with(CONTAINER, more.clone())).iter().any(|(_, found)| *found == rule),
            "{more}: {rule}"
        );
    }
}

#[test]
fn images_come_from_where_they_may() {
    let only = |registries: &[&str], image: &str| {
        let policy = Policy {
            allowed_registries: registries.iter().map(|name| (*name).to_owned()).collect(),
            ..Policy::default()
        };
        let mut job = with(CONTAINER, json!({"image": image}));
        job.pointer_mut(POD).unwrap().as_object_mut().unwrap().remove("initContainers");
        rules(&policy, &job).iter().map(|(_, rule)| *rule).collect::<Vec<_>>()
    };
    for good in ["quay.io/a/b", "QUAY.io/a/b:1", "quay.io/a"] {
        assert_eq!(only(&["quay.io/a/"], good), Vec::<&str>::new(), "{good}");
    }
    for bad in ["quay.io/ab/c", "quay.io.evil.org/a/b", "evil.org/quay.io/a/b", "busybox", "quay.io:443/a/b"]
    {
        assert_eq!(only(&["quay.io/a"], bad), ["image-registry"], "{bad}");
    }
    assert_eq!(only(&["docker.io/library"], "busybox:1"), Vec::<&str>::new());
    let digests = Policy { require_digests: true, ..Policy::default() };
    assert_eq!(
        rules(&digests, &job()),
        [("spec.template.spec.initContainers[0].image".into(), "image-digest")]
    );
    assert!(!rules(&digests, &with(CONTAINER, json!({"image": "a@sha256:12"}))).is_empty());
}

#[test]
fn kinds_names_and_metadata_are_the_stages_own() {
    let of = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "r-train"}});
    // Each is among what the descriptor declares; the host refuses them all the same.
    for known in grant().creates.iter().skip(7) {
        assert_eq!(
            rules(&Policy::default(), &of(&known.api_version, &known.kind)),
            [("kind".into(), "kind-refused")],
            "{known:?}"
        );
    }
    assert_eq!(
        rules(&Policy::default(), &of("apps/v1", "Deployment")),
        [("kind".into(), "kind-not-granted")]
    );
    assert_eq!(rules(&Policy::default(), &of("batch/v1beta1", "Job")), [("kind".into(), "kind-not-granted")]);
    for (pointer, more, path, rule) in [
        ("/metadata", json!({"namespace": "kube-system"}), "metadata.namespace", "namespace"),
        ("/metadata", json!({"namespace": 3}), "metadata.namespace", "namespace"),
        ("/metadata", json!({"name": "r-trainer"}), "metadata.name", "name-prefix"),
        ("/metadata", json!({"name": "other"}), "metadata.name", "name-prefix"),
        ("/metadata", json!({"name": "r-train-../x"}), "metadata.name", "name-prefix"),
        ("/metadata", json!({"name": "r-train-"}), "metadata.name", "name-prefix"),
        ("/metadata", json!({"name": null}), "metadata.name", "name-prefix"),
        ("/metadata", json!({"generateName": "r-train-"}), "metadata.generateName", "generate-name"),
        ("/metadata", json!({"finalizers": ["a/b"]}), "metadata.finalizers", "metadata-field"),
        ("/metadata", json!({"ownerReferences": [{}]}), "metadata.ownerReferences", "metadata-field"),
        ("/metadata", json!({"managedFields": [{}]}), "metadata.managedFields", "metadata-field"),
        ("/metadata", json!({"uid": "1"}), "metadata.uid", "metadata-field"),
        ("/metadata", json!({"resourceVersion": "1"}), "metadata.resourceVersion", "metadata-field"),
        (
            "/metadata",
            json!({"labels": {"ilab.dev/run": "other"}}),
            "metadata.labels[\"ilab.dev/run\"]",
            "reserved-label",
        ),
        (
            "/metadata",
            json!({"annotations": {"x.ILAB.dev/run": "other"}}),
            "metadata.annotations[\"x.ILAB.dev/run\"]",
            "reserved-label",
        ),
        ("", json!({"status": {"succeeded": 1}}), "status", "status"),
        ("", json!({"Kind": "Pod"}), "Kind", "object-shape"),
        ("/metadata", json!({"Name": "other"}), "metadata.Name", "object-shape"),
    ] {
        let found = rules(&Policy::default(), &with(pointer, more.clone()));
        assert_eq!(found, [(path.to_owned(), rule)], "{more}");
    }
    for nothing in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"kind": "Job"}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": []}),
    ] {
        assert!(
            rules(&Policy::default(), &nothing).iter().any(|(_, rule)| *rule == "object-shape"),
            "{nothing}"
        );
    }
    for (more, path) in [
        (json!({"type": "LoadBalancer"}), "spec.type"),
        (json!({"externalIPs": ["1.2.3.4"]}), "spec.externalIPs"),
        (json!({"externalName": "x"}), "spec.externalName"),
    ] {
        let mut service = of("v1", "Service");
        service["spec"] = more;
        assert_eq!(rules(&Policy::default(), &service), [(path.to_owned(), "service-exposure")]);
    }
    let mut data = of("v1", "ConfigMap");
    data["data"] = json!({"a": {"hostNetwork": true}});
    assert_eq!(rules(&Policy::default(), &data), [("data".into(), "object-shape")]);
}

#[test]
fn templates_are_found_wherever_they_are() {
    let bad = with(CONTAINER, json!({"securityContext": {"privileged": true}}))["spec"]["template"].clone();
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "r-train"}, "spec": {"jobTemplate": {"spec": {"template": bad}}}});
    assert_eq!(
        rules(&Policy::default(), &cron),
        [(
            "spec.jobTemplate.spec.template.spec.containers[0].securityContext.privileged".into(),
            "privileged"
        )]
    );
    let pytorch = json!({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "r-train"}, "spec": {"pytorchReplicaSpecs": {"Worker": {"template": bad}}}});
    assert_eq!(
        rules(&Policy::default(), &pytorch),
        [(
            "spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].securityContext.privileged".into(),
            "privileged"
        )]
    );
    // Half a template, as an override of one that somebody else installed.
    let train = json!({"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": {"name": "r-train"},
        "spec": {"podTemplateOverrides": [{"spec": {"serviceAccountName": "admin", "volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}]}});
    assert_eq!(
        rules(&Policy::default(), &train),
        [
            ("spec.podTemplateOverrides[0].spec.serviceAccountName".into(), "service-account"),
            ("spec.podTemplateOverrides[0].spec.volumes[0].hostPath".into(), "host-path")
        ]
    );
}

#[test]
fn size_and_depth_and_the_number_of_complaints_are_bounded() {
    let mut deep = json!({"hostNetwork": true});
    for _ in 0..200 {
        deep = json!([deep]);
    }
    assert_eq!(rules(&Policy::default(), &with("/spec", json!({"x": deep}))), [(String::new(), "too-deep")]);
    assert_eq!(
        rules(&Policy::default(), &with("/spec", json!({"x": "x".repeat(MAX_MANIFEST_BYTES)}))),
        [(String::new(), "too-large")]
    );
    assert_eq!(
        rules(&Policy::default(), &with("/spec", json!({"x": vec![json!({"hostNetwork": true}); 10_000]})))
            .len(),
        MAX_VIOLATIONS
    );
}

#[test]
fn a_refusal_names_stage_component_object_path_and_rule() {
    let error = Policy::default().admit(&with(POD, json!({"hostNetwork": true})), &grant()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "stage train ({}) may not create Job/r-train: spec.template.spec.hostNetwork: a pod may not share the node's namespaces [host-namespaces]",
            grant().digest.short()
        )
    );
    let hostile =
        with(POD, json!({"serviceAccountName\u{1b}[2J": 1, "volumes": [{"name": "a", "\u{1b}[2J\n": {}}]}));
    let text = Policy::default().admit(&hostile, &grant()).unwrap_err().to_string();
    assert!(crate::text::is_plain_line(&text), "{text:?}");
}

#[test]
fn a_policy_is_read_strictly() {
    let policy: Policy = serde_json::from_value(
        json!({"level": "restricted", "allowed-registries": ["quay.io"], "require-digests": true}),
    )
    .unwrap();
    assert_eq!((policy.level, policy.require_digests), (Level::Restricted, true));
    assert!(serde_json::from_value::<Policy>(json!({"levle": "restricted"})).is_err());
    assert!(serde_json::from_value::<Policy>(json!({"level": "privileged"})).is_err());
    assert_eq!(serde_json::from_value::<Policy>(json!({})).unwrap(), Policy::default());
}

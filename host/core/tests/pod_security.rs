//! Every control of the Pod Security Standards, field by field: the guard, the oracle beside this file and the table in
//! docs/guard.md say the same.

mod pss;

use ilab_core::contract::Kind;
use ilab_core::guard::{Bounds, Grant, Level, Policy};
use ilab_core::names::{PluginDigest, StageName};
use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rules of the guard that are controls of the standard.
const OF_THE_STANDARD: [&str; 18] = [
    "app-armor",
    "capabilities",
    "host-namespaces",
    "host-path",
    "host-ports",
    "host-probes",
    "host-process",
    "privilege-escalation",
    "privileged",
    "proc-mount",
    "run-as-non-root",
    "run-as-user",
    "seccomp",
    "selinux",
    "sysctls",
    "volume-source",
    "ephemeral-containers",
    "token",
];

struct Control {
    name: &'static str,
    level: Level,
    rule: &'static str,
    /// `*` stands for each of the three lists of containers.
    fields: &'static [&'static str],
    allowed: Vec<Value>,
    refused: Vec<Value>,
}

const ANNOTATION: &str = "metadata.annotations.container.apparmor.security.beta.kubernetes.io/main";

fn controls() -> Vec<Control> {
    let control = |name, level, rule, fields, allowed: &[Value], refused: &[Value]| Control {
        name,
        level,
        rule,
        fields,
        allowed: allowed.to_vec(),
        refused: refused.to_vec(),
    };
    let (baseline, restricted) = (Level::Baseline, Level::Restricted);
    let capabilities = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";
    let capabilities: Vec<Value> = capabilities.split(' ').map(|name| json!([name])).collect();
    let sysctl = |name: &str| json!([{"name": name, "value": "1"}]);
    let sysctls = [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    ];
    let volume = |source: &str, of: Value| json!([{"name": "v", source: of}]);
    vec![
        control(
            "HostProcess",
            baseline,
            "host-process",
            &[
                "spec.securityContext.windowsOptions.hostProcess",
                "spec.*.securityContext.windowsOptions.hostProcess",
            ],
            &[json!(false)],
            &[json!(true)],
        ),
        control(
            "Host namespaces",
            baseline,
            "host-namespaces",
            &["spec.hostNetwork", "spec.hostPID", "spec.hostIPC"],
            &[json!(false)],
            &[json!(true)],
        ),
        control(
            "Privileged containers",
            baseline,
            "privileged",
            &["spec.*.securityContext.privileged"],
            &[json!(false)],
            &[json!(true)],
        ),
        control(
            "Capabilities",
            baseline,
            "capabilities",
            &["spec.*.securityContext.capabilities.add"],
            &capabilities,
            &[
                json!(["SYS_ADMIN"]),
                json!(["CHOWN", "NET_RAW"]),
                json!(["ALL"]),
                json!(["chown"]),
                json!(["CAP_CHOWN"]),
            ],
        ),
        control(
            "HostPath volumes",
            baseline,
            "host-path",
            &["spec.volumes"],
            &[volume("emptyDir", json!({}))],
            &[volume("hostPath", json!({"path": "/"}))],
        ),
        control(
            "Host ports",
            baseline,
            "host-ports",
            &["spec.*.ports.hostPort"],
            &[json!(0)],
            &[json!(1), json!(65535)],
        ),
        control(
            "Host probes and lifecycle hooks",
            baseline,
            "host-probes",
            &[
                "spec.*.livenessProbe.httpGet.host",
                "spec.*.readinessProbe.httpGet.host",
                "spec.*.startupProbe.httpGet.host",
                "spec.*.livenessProbe.tcpSocket.host",
                "spec.*.readinessProbe.tcpSocket.host",
                "spec.*.startupProbe.tcpSocket.host",
                "spec.*.lifecycle.postStart.httpGet.host",
                "spec.*.lifecycle.preStop.httpGet.host",
                "spec.*.lifecycle.postStart.tcpSocket.host",
                "spec.*.lifecycle.preStop.tcpSocket.host",
            ],
            &[json!("")],
            &[json!("169.254.169.254"), json!("localhost")],
        ),
        control(
            "AppArmor",
            baseline,
            "app-armor",
            &["spec.securityContext.appArmorProfile.type", "spec.*.securityContext.appArmorProfile.type"],
            &[json!("RuntimeDefault"), json!("Localhost")],
            &[json!("Unconfined"), json!(""), json!("runtimedefault")],
        ),
        control(
            "AppArmor, as annotation",
            baseline,
            "app-armor",
            &[ANNOTATION],
            &[json!("runtime/default"), json!("localhost/mine")],
            &[json!("unconfined"), json!("")],
        ),
        control(
            "SELinux type",
            baseline,
            "selinux",
            &["spec.securityContext.seLinuxOptions.type", "spec.*.securityContext.seLinuxOptions.type"],
            &[
                json!(""),
                json!("container_t"),
                json!("container_init_t"),
                json!("container_kvm_t"),
                json!("container_engine_t"),
            ],
            &[json!("spc_t"), json!("container_runtime_t"), json!("unconfined_t")],
        ),
        control(
            "SELinux user and role",
            baseline,
            "selinux",
            &[
                "spec.securityContext.seLinuxOptions.user",
                "spec.*.securityContext.seLinuxOptions.user",
                "spec.securityContext.seLinuxOptions.role",
                "spec.*.securityContext.seLinuxOptions.role",
            ],
            &[json!("")],
            &[json!("system_u"), json!("sysadm_r")],
        ),
        control(
            "/proc mount type",
            baseline,
            "proc-mount",
            &["spec.*.securityContext.procMount"],
            &[json!("Default")],
            &[json!("Unmasked")],
        ),
        control(
            "Seccomp",
            baseline,
            "seccomp",
            &["spec.securityContext.seccompProfile.type", "spec.*.securityContext.seccompProfile.type"],
            &[json!("RuntimeDefault"), json!("Localhost")],
            &[json!("Unconfined"), json!(""), json!("runtime/default")],
        ),
        control(
            "Sysctls",
            baseline,
            "sysctls",
            &["spec.securityContext.sysctls"],
            &sysctls.map(sysctl),
            &[
                sysctl("kernel.msgmax"),
                sysctl("net.core.somaxconn"),
                sysctl("vm.swappiness"),
                sysctl("kernel/shm_rmid_forced"),
            ],
        ),
        control(
            "Volume types",
            restricted,
            "volume-source",
            &["spec.volumes"],
            &[
                volume("configMap", json!({"name": "r-train"})),
                volume("downwardAPI", json!({})),
                volume("emptyDir", json!({})),
                volume("persistentVolumeClaim", json!({"claimName": "data"})),
                volume("projected", json!({"sources": []})),
                volume("secret", json!({"secretName": "judge"})),
            ],
            &[
                volume("awsElasticBlockStore", json!({"volumeID": "x"})),
                volume("azureDisk", json!({"diskName": "x", "diskURI": "x"})),
                volume("azureFile", json!({"secretName": "judge", "shareName": "x"})),
                volume("cephfs", json!({"monitors": []})),
                volume("cinder", json!({"volumeID": "x"})),
                volume("fc", json!({})),
                volume("flexVolume", json!({"driver": "x"})),
                volume("flocker", json!({})),
                volume("gcePersistentDisk", json!({"pdName": "x"})),
                volume("gitRepo", json!({"repository": "x"})),
                volume("glusterfs", json!({"endpoints": "x", "path": "x"})),
                volume("image", json!({"reference": "x"})),
                volume("iscsi", json!({"targetPortal": "x", "iqn": "x", "lun": 0})),
                volume("nfs", json!({"server": "x", "path": "/"})),
                volume("photonPersistentDisk", json!({"pdID": "x"})),
                volume("portworxVolume", json!({"volumeID": "x"})),
                volume("quobyte", json!({"registry": "x", "volume": "x"})),
                volume("rbd", json!({"monitors": [], "image": "x"})),
                volume("scaleIO", json!({"gateway": "x", "system": "x", "secretRef": {"name": "judge"}})),
                volume("storageos", json!({})),
                volume("vsphereVolume", json!({"volumePath": "x"})),
            ],
        ),
        control(
            "Privilege escalation",
            restricted,
            "privilege-escalation",
            &["spec.*.securityContext.allowPrivilegeEscalation"],
            &[json!(false)],
            &[json!(true), Value::Null],
        ),
        control(
            "Running as non-root",
            restricted,
            "run-as-non-root",
            &["spec.securityContext.runAsNonRoot"],
            &[json!(true)],
            &[json!(false), Value::Null],
        ),
        control(
            "Running as non-root, the container",
            restricted,
            "run-as-non-root",
            &["spec.*.securityContext.runAsNonRoot"],
            &[json!(true), Value::Null],
            &[json!(false)],
        ),
        control(
            "Running as non-root user",
            restricted,
            "run-as-user",
            &["spec.securityContext.runAsUser", "spec.*.securityContext.runAsUser"],
            &[json!(1000), Value::Null],
            &[json!(0)],
        ),
        control(
            "Seccomp, demanded",
            restricted,
            "seccomp",
            &["spec.securityContext.seccompProfile"],
            &[json!({"type": "RuntimeDefault"}), json!({"type": "Localhost", "localhostProfile": "x"})],
            &[Value::Null, json!({"type": "Unconfined"})],
        ),
        control(
            "Capabilities, dropped",
            restricted,
            "capabilities",
            &["spec.*.securityContext.capabilities.drop"],
            &[json!(["ALL"]), json!(["KILL", "ALL"])],
            &[Value::Null, json!([]), json!(["all"]), json!(["NET_RAW"])],
        ),
        control(
            "Capabilities, added",
            restricted,
            "capabilities",
            &["spec.*.securityContext.capabilities.add"],
            &[json!(["NET_BIND_SERVICE"]), Value::Null],
            &[json!(["CHOWN"]), json!(["NET_BIND_SERVICE", "KILL"])],
        ),
    ]
}

fn grant() -> Grant {
    Grant {
        stage: StageName::new("train").expect("valid"),
        digest: PluginDigest::of(b"x"),
        namespace: "ml".into(),
        prefix: "r-train".into(),
        creates: vec![Kind { api_version: "v1".into(), kind: "Pod".into() }],
        secrets: BTreeSet::from(["judge".to_owned()]),
        config_maps: BTreeSet::new(),
        claims: BTreeSet::from(["data".to_owned()]),
        bounds: Bounds::default(),
    }
}

const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A pod that level restricted has nothing against, with a container in the list.
fn pod(list: &str) -> Value {
    let container = |name: &str| {
        json!({"name": name, "image": "quay.io/a/b",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
    };
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "r-train"}, "spec": {
        "automountServiceAccountToken": false, "containers": [container("main")],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}});
    pod["spec"][list] = json!([container("main")]);
    pod
}

/// Sets a field; null takes it away.
fn set(pod: &mut Value, path: &str, list: &str, value: &Value) {
    if let Some(key) = path.strip_prefix("metadata.annotations.") {
        pod["metadata"]["annotations"] = json!({key: value});
        return;
    }
    let steps: Vec<&str> = path.split('.').collect();
    let (last, way) = steps.split_last().expect("a path");
    let mut at = pod;
    for step in way {
        at = match *step {
            "*" => &mut at[list][0],
            "ports" => {
                at["ports"] = json!([{"containerPort": 80}]);
                &mut at["ports"][0]
            }
            step => {
                if at[step].is_null() {
                    at[step] = match step {
                        "httpGet" | "tcpSocket" => json!({"port": 80}),
                        _ => json!({}),
                    };
                }
                &mut at[step]
            }
        };
    }
    let map = at.as_object_mut().expect("a mapping");
    if value.is_null() {
        map.remove(*last);
    } else {
        map.insert((*last).to_owned(), value.clone());
    }
}

fn by_guard(pod: &Value, level: Level) -> BTreeSet<&'static str> {
    let policy = Policy { level, ..Policy::default() };
    policy.check(pod, &grant()).into_iter().map(|violation| violation.rule).collect()
}

fn by_oracle(pod: &Value, level: Level) -> BTreeSet<&'static str> {
    let spec: PodSpec = serde_json::from_value(pod["spec"].clone()).unwrap_or_else(|e| panic!("{e}: {pod}"));
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(pod["metadata"]["annotations"].clone()).unwrap_or_default();
    match level {
        Level::Baseline => pss::baseline(&spec, &annotations),
        Level::Restricted => pss::restricted(&spec, &annotations),
    }
}

#[test]
fn every_field_of_every_control_takes_what_is_allowed_and_nothing_else() {
    let mut tried = 0;
    for control in controls() {
        for field in control.fields {
            let lists = if field.contains('*') { &LISTS[..] } else { &LISTS[..1] };
            for list in lists {
                for (value, allowed) in control
                    .allowed
                    .iter()
                    .map(|v| (v, true))
                    .chain(control.refused.iter().map(|v| (v, false)))
                {
                    let mut pod = pod(list);
                    set(&mut pod, field, list, value);
                    let (guard, oracle) = (by_guard(&pod, control.level), by_oracle(&pod, control.level));
                    let what = format!("{}: {field} in {list} = {value}", control.name);
                    assert_eq!(guard.contains(control.rule), !allowed, "the guard, {what}: {guard:?}");
                    assert_eq!(oracle.contains(control.rule), !allowed, "the oracle, {what}: {oracle:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

/// The table between the two marks of docs/guard.md; `BLESS=1` writes it.
#[test]
fn the_table_in_the_documentation_is_this_one() {
    let mut table =
        String::from("| control | level | rule | fields | allowed |\n| --- | --- | --- | --- | --- |\n");
    for control in controls() {
        let fields: Vec<String> = control
            .fields
            .iter()
            .map(|field| {
                format!("`{}`", field.replace("main", "*").replace("spec.*.", "spec.*ontainers[*]."))
            })
            .collect();
        let shown = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            Value::Array(items)
                if items.iter().all(|item| item["name"].is_string()) && control.rule == "sysctls" =>
            {
                items.iter().filter_map(|item| item["name"].as_str()).collect()
            }
            Value::Array(items) if items.iter().all(Value::is_object) => {
                let keys = items.iter().filter_map(Value::as_object).flat_map(Map::keys);
                keys.filter(|key| *key != "name").cloned().collect()
            }
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" + "),
            Value::Object(map) => map["type"].as_str().unwrap_or_default().to_owned(),
            Value::String(text) if text.is_empty() => "an empty text".to_owned(),
            Value::String(text) => text.replace("/mine", "/…"),
            other => other.to_string(),
        };
        let mut allowed: Vec<String> = control.allowed.iter().map(shown).collect();
        // What baseline says nothing about may be left out; what restricted says may be only where it is listed.
        if control.level == Level::Baseline {
            allowed.push("nothing".to_owned());
        }
        let level = if control.level == Level::Baseline { "baseline" } else { "restricted" };
        table.push_str(&format!(
            "| {} | {level} | `{}` | {} | {} |\n",
            control.name,
            control.rule,
            fields.join(", "),
            allowed.join(", ")
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guard.md");
    let text = std::fs::read_to_string(&path).unwrap();
    const MARKS: [&str; 2] = ["<!-- controls -->\n", "<!-- end of controls -->"];
    let (before, rest) = text.split_once(MARKS[0]).expect("the first mark");
    let (known, after) = rest.split_once(MARKS[1]).expect("the second mark");
    if std::env::var_os("BLESS").is_some_and(|value| !value.is_empty()) {
        return std::fs::write(&path, [before, MARKS[0], &table, MARKS[1], after].concat()).unwrap();
    }
    assert_eq!(known, table, "docs/guard.md; BLESS=1 accepts it");
}

/// Some changes of the table, allowed and refused ones alike.
fn changes() -> impl Strategy<Value = Vec<(&'static str, usize, Value)>> {
    let mut all = Vec::new();
    for control in controls() {
        for field in control.fields {
            for value in control.allowed.iter().chain(&control.refused) {
                all.push((*field, value.clone()));
            }
        }
    }
    prop::collection::vec((prop::sample::select(all), 0..LISTS.len()), 0..6)
        .prop_map(|chosen| chosen.into_iter().map(|((field, value), list)| (field, list, value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn the_guard_and_the_oracle_agree_on_pods_with_several_changes(changes in changes(), extra in 0..LISTS.len()) {
        let mut pod = pod(LISTS[extra]);
        for (field, list, value) in &changes {
            // A container to change, where there is none yet.
            if pod["spec"][LISTS[*list]].is_null() {
                pod["spec"][LISTS[*list]] = self::pod(LISTS[*list])["spec"][LISTS[*list]].clone();
            }
            set(&mut pod, field, LISTS[*list], value);
        }
        for level in [Level::Baseline, Level::Restricted] {
            let oracle = by_oracle(&pod, level);
            let mut guard = by_guard(&pod, level);
            guard.retain(|rule| OF_THE_STANDARD.contains(rule));
            // The host's own: nobody is to debug, and what baseline leaves to the cluster is not for a stage.
            guard.remove("ephemeral-containers");
            guard.remove("token");
            if level == Level::Baseline {
                guard.remove("volume-source");
            }
            // It has a rule of its own, and is told by that one alone.
            let mut wanted = oracle.clone();
            if wanted.contains("host-path") && !guard.contains("volume-source") {
                wanted.remove("volume-source");
            }
            prop_assert_eq!(&guard, &wanted, "{:?}: {}", level, pod);
        }
    }
}

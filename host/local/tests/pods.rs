//! Pods on the node: what they see, how they end, what keeps them from starting, and what survives a killed host.

mod support;

use ilab_local::node::{ImageSource, ImageStore};
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use support::{Cluster, json, phase, pod, wait};

fn status<'a>(pod: &'a Value, path: &str) -> &'a Value {
    pod.pointer(&format!("/status/containerStatuses/0{path}")).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_output_and_messages() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let (phase, log) = cluster.run("well", "echo out; echo err >&2", json!({})).await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "out\nerr\n"));

    cluster.pod("badly", "echo why > /dev/termination-log; exit 42", json!({})).await;
    let pod = json(&cluster.ended("badly").await);
    let end = status(&pod, "/state/terminated");
    assert_eq!(
        (end["exitCode"].as_i64(), end["reason"].as_str(), end["message"].as_str()),
        (Some(42), Some("Error"), Some("why\n"))
    );
    assert_eq!(pod.pointer("/status/phase").unwrap(), "Failed");

    // `$$$$` is the shell's `$$`.
    cluster.pod("killed", "sh -c 'kill -9 $$$$'; exit $?", json!({})).await;
    let pod = json(&cluster.ended("killed").await);
    assert_eq!(status(&pod, "/state/terminated/exitCode"), 137);

    cluster.pod("missing", "", json!({"main": {"command": ["no-such-program"]}})).await;
    let pod = json(&cluster.ended("missing").await);
    let end = status(&pod, "/state/terminated");
    assert_eq!((end["exitCode"].as_i64(), end["reason"].as_str()), (Some(128), Some("StartError")));
    assert!(end["message"].as_str().unwrap().contains("no-such-program"), "{end}");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_alone_and_has_no_more_than_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let script = "id -u; hostname; ls /proc | head -1; touch /bin/x 2>/dev/null && echo WRITABLE; touch /tmp/t /run/t /root/t; \
        while read name value; do case $name in CapEff:|NoNewPrivs:) echo $name $value;; esac; done < /proc/self/status; \
        env";
    let (phase, log) = cluster.run("alone", script, json!({})).await;
    assert_eq!(phase, "Succeeded", "{log}");
    for line in
        ["0", "alone", "1", "CapEff: 0000000000000000", "NoNewPrivs: 1", "HOME=/root", "HOSTNAME=alone"]
    {
        assert!(log.lines().any(|found| found == line), "{line} is missing:\n{log}");
    }
    assert!(!log.contains("WRITABLE") && !log.contains("CARGO"), "{log}");
    // Nothing that the host or the sandbox had open is: input, output, error, and the folder that ls reads.
    let (_, log) = cluster.run("open", "exec ls /proc/self/fd", json!({})).await;
    assert_eq!(log, "0\n1\n2\n3\n");
    let (_, log) = cluster
        .run("first", "exec sh -c 'echo $PPID; read pid rest < /proc/self/stat; echo $pid'", json!({}))
        .await;
    assert_eq!(log, "0\n1\n");

    let (phase, log) = cluster
        .run("user", "id -u; id -g; echo $HOME", json!({"securityContext": {"runAsUser": 1234}}))
        .await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "1234\n1234\n/home/guest\n"));
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_in_order_and_a_failing_one_ends_the_pod() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let init = |name: &str, script: &str| {
        json!({"name": name, "image": "test", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "shared", "mountPath": "/new/shared"}]})
    };
    let more = json!({
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [init("one", "echo 1 >> /new/shared/order"), init("two", "echo 2 >> /new/shared/order")],
        "main": {"volumeMounts": [{"name": "shared", "mountPath": "/new/shared"}]},
    });
    let (phase, log) = cluster.run("ordered", "cat /new/shared/order", more).await;
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", "1\n2\n"));

    let more = json!({"volumes": [{"name": "shared", "emptyDir": {"medium": "Memory"}}], "initContainers": [init("bad", "exit 3")]});
    cluster.pod("stopped", "echo never", more).await;
    let pod = json(&cluster.ended("stopped").await);
    assert_eq!(pod.pointer("/status/initContainerStatuses/0/state/terminated/exitCode").unwrap(), 3);
    assert_eq!(status(&pod, "/state/waiting/reason"), "PodInitializing");

    let sidecar = json!({"name": "side", "image": "test", "imagePullPolicy": "Never", "restartPolicy": "Always",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.05; done"]});
    let (phase, _) = cluster.run("beside", "true", json!({"initContainers": [sidecar]})).await;
    assert_eq!(phase, "Succeeded");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_secrets_config_maps_and_the_downward_api() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "conf"}, "data": {"plain": "one", "b": "two"}}))
        .await;
    cluster.create::<Secret>(json!({"metadata": {"name": "key"}, "stringData": {"token": "s3cret"}})).await;
    let more = json!({
        "volumes": [
            {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "plain", "path": "sub/file"}]}},
            {"name": "key", "secret": {"secretName": "key", "defaultMode": 256}},
            {"name": "none", "configMap": {"name": "absent", "optional": true}},
        ],
        "main": {
            "args": ["$(TOKEN) $(NONE) $$(TOKEN)"],
            "env": [
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}},
                {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "BOTH", "value": "$(ME)-$(CONF_b)"},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "x", "optional": true}}},
            ],
            "envFrom": [{"prefix": "CONF_", "configMapRef": {"name": "conf"}}],
            "volumeMounts": [
                {"name": "conf", "mountPath": "/etc/conf"}, {"name": "key", "mountPath": "/etc/key"},
                {"name": "none", "mountPath": "/etc/none"},
            ],
        },
    });
    let script = "echo $0; echo $BOTH; cat /etc/conf/sub/file /etc/key/token; echo; ls /etc/none; echo ${GONE-unset}; touch /etc/conf/x || echo read-only";
    let (phase, log) = cluster.run("told", script, more).await;
    assert_eq!(phase, "Succeeded", "{log}");
    assert!(log.starts_with("s3cret $(NONE) $(TOKEN)\ntold-two\nones3cret\nunset\n"), "{log}");
    assert!(log.contains("read-only\n"), "{log}");
    // The environment, which holds the secret, is not kept.
    let uid =
        json(&cluster.pods().get("told").await.unwrap())["metadata"]["uid"].as_str().unwrap().to_owned();
    wait_gone(&cluster.state.join("pods").join(uid).join("spec.json"));
    cluster.kill().await;
}

fn wait_gone(path: &std::path::Path) {
    // The end is reported before the clean-up is done.
    for _ in 0..100 {
        if !path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} is still there", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_and_the_pod_starts_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let waiting = |reason: &'static str, word: &'static str| {
        move |pod: Option<&Pod>| {
            pod.is_some_and(|pod| {
                let pod = json(pod);
                let state = status(&pod, "/state/waiting");
                state["reason"] == reason && state["message"].as_str().unwrap_or_default().contains(word)
            })
        }
    };
    let env = json!({"main": {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]}});
    cluster.pod("config", "echo $A", env).await;
    wait(cluster.pods(), "config", waiting("CreateContainerConfigError", "configmap \"late\" not found"))
        .await;
    cluster.create::<ConfigMap>(json!({"metadata": {"name": "late"}, "data": {"a": "here"}})).await;
    assert_eq!(phase(&cluster.ended("config").await), "Succeeded");

    cluster.pod("image", "true", json!({"main": {"image": "quay.io/late/image:1"}})).await;
    wait(
        cluster.pods(),
        "image",
        waiting("ErrImageNeverPull", "ilab-host local image import quay.io/late/image:1"),
    )
    .await;
    let images = ImageStore::open(cluster.state.join("images")).unwrap();
    images.import("quay.io/late/image:1", &ImageSource::Folder(support::rootfs()), None).unwrap();
    assert_eq!(phase(&cluster.ended("image").await), "Succeeded");

    let mount = json!({
        "volumes": [{"name": "s", "secret": {"secretName": "late"}}],
        "main": {"volumeMounts": [{"name": "s", "mountPath": "/s"}]},
    });
    cluster.pod("volume", "cat /s/k", mount).await;
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
    wait(cluster.pods(), "volume", waiting("ContainerCreating", "")).await;
    cluster.create::<Secret>(json!({"metadata": {"name": "late"}, "stringData": {"k": "v"}})).await;
    assert_eq!(phase(&cluster.ended("volume").await), "Succeeded");
    let all = events.list(&ListParams::default().fields("involvedObject.name=volume")).await.unwrap();
    let reasons: Vec<_> = all.iter().filter_map(|event| event.reason.clone()).collect();
    for reason in ["Scheduled", "FailedMount", "Pulled", "Created", "Started"] {
        assert!(reasons.iter().any(|found| found == reason), "{reason} is not among {reasons:?}");
    }
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_shared_and_nothing_in_it_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    cluster.create::<PersistentVolumeClaim>(claim).await;
    let mount = |more: Value| {
        let mut mount = json!({"name": "data", "mountPath": "/data"});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "main": {"volumeMounts": [mount]},
        })
    };
    let script = "mkdir /data/sub; echo kept > /data/sub/file; ls -l /data | head -0; ln -s /etc /data/out 2>/dev/null; true";
    assert_eq!(cluster.run("writer", script, mount(json!({}))).await.0, "Succeeded");
    let (_, log) = cluster
        .run(
            "reader",
            "cat /data/sub/file; touch /data/x || echo read-only",
            mount(json!({"readOnly": true})),
        )
        .await;
    assert!(log.starts_with("kept\n") && log.ends_with("read-only\n"), "{log}");
    let (_, log) = cluster.run("part", "cat /data/file; ls /data", mount(json!({"subPath": "sub"}))).await;
    assert_eq!(log, "kept\nfile\n");
    // A container may leave any link it likes: the host does not follow it.
    let claims = cluster.state.join("claims/default");
    let folder = std::fs::read_dir(&claims).unwrap().next().unwrap().unwrap().path();
    let _ = std::fs::remove_file(folder.join("out"));
    std::os::unix::fs::symlink("/etc", folder.join("out")).unwrap();
    cluster.pod("escape", "ls /data", mount(json!({"subPath": "out"}))).await;
    let pod = json(&cluster.ended("escape").await);
    assert_eq!(status(&pod, "/state/terminated/reason"), "StartError");
    // The data goes with the claim, and not before no pod uses it.
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), "default");
    cluster.pod("user", "sleep 1000", mount(json!({}))).await;
    cluster.running("user").await;
    api.delete("data", &DeleteParams::default()).await.unwrap();
    assert!(api.get("data").await.unwrap().metadata.deletion_timestamp.is_some() && folder.exists());
    cluster.pods().delete("user", &DeleteParams::default().grace_period(0)).await.unwrap();
    wait(api, "data", |claim| claim.is_none()).await;
    assert!(!folder.exists());
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_grants_grace_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let more = json!({"terminationGracePeriodSeconds": 30});
    cluster
        .pod("polite", "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.05; done", more)
        .await;
    let pod = cluster.running("polite").await;
    // Before the trap is set, the first process of a container does not hear SIGTERM: so it is on a cluster.
    cluster.said(&pod, "up\n").await;
    let folder = cluster.state.join("pods").join(pod.metadata.uid.unwrap());
    cluster.pods().delete("polite", &DeleteParams::default()).await.unwrap();
    let begun = std::time::Instant::now();
    wait(cluster.pods(), "polite", |pod| pod.is_none()).await;
    assert!(begun.elapsed().as_secs() < 20, "SIGTERM did not end it");
    wait_gone(&folder);

    cluster.pod("deaf", "trap '' TERM; while true; do sleep 0.05; done", json!({})).await;
    cluster.running("deaf").await;
    cluster.pods().delete("deaf", &DeleteParams::default()).await.unwrap();
    wait(cluster.pods(), "deaf", |pod| pod.is_none()).await;

    cluster.pod("late", "sleep 1000", json!({"activeDeadlineSeconds": 1})).await;
    let pod = json(&cluster.ended("late").await);
    assert_eq!(pod.pointer("/status/reason").unwrap(), "DeadlineExceeded");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_finds_its_pods_again_and_runs_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    cluster.pod("done", "echo once", json!({})).await;
    cluster.ended("done").await;
    cluster.pod("goes-on", "echo begun; while [ ! -e /dev/shm/../../tmp/never ] && [ ! -s /etc/go/go ]; do sleep 0.05; done; exit 7",
        json!({"volumes": [{"name": "go", "emptyDir": {}}], "main": {"volumeMounts": [{"name": "go", "mountPath": "/etc/go"}]}})).await;
    let uid = cluster.running("goes-on").await.metadata.uid.unwrap();
    let folder = cluster.state.join("pods").join(&uid);
    let begun = std::fs::read_to_string(folder.join("state.json")).unwrap();
    cluster.kill().await;
    assert_eq!(std::fs::read_to_string(folder.join("state.json")).unwrap(), begun);

    let cluster = Cluster::open(dir.path()).await;
    let pod = cluster.running("goes-on").await;
    assert_eq!(pod.metadata.uid.as_deref(), Some(uid.as_str()));
    // A second shim for it is refused.
    let second =
        Command::new(&support::shim_command()[0]).arg(&folder).stdin(Stdio::null()).output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    std::fs::write(folder.join("volumes/go/go"), "x").unwrap();
    let pod = json(&cluster.ended("goes-on").await);
    assert_eq!(status(&pod, "/state/terminated/exitCode"), 7);
    assert_eq!(status(&pod, "/restartCount"), 0);
    let done = cluster.pods().get("done").await.unwrap();
    assert_eq!(cluster.log(&done, "main", 0), "once\n");
    assert_eq!(status(&json(&done), "/restartCount"), 0);
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ended_while_the_host_was_dead_has_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    cluster.pod("alone", "sleep 0.5; echo late; exit 42", json!({})).await;
    let uid = cluster.running("alone").await.metadata.uid.unwrap();
    cluster.kill().await;
    let exit = dir.path().join("pods").join(uid).join("containers/main/0/exit");
    while !exit.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let cluster = Cluster::open(dir.path()).await;
    let pod = cluster.ended("alone").await;
    assert_eq!(status(&json(&pod), "/state/terminated/exitCode"), 42);
    assert_eq!(cluster.log(&pod, "main", 0), "late\n");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_pod_with_it_and_the_pod_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let kill_shim = |uid: &str| {
        let folder = cluster.state.join("pods").join(uid);
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if line.contains("ilab-local-shim") && line.contains(&*folder.to_string_lossy()) {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                    .unwrap();
            }
        }
    };
    // No other sleep of this length.
    let length = format!("9{}", std::process::id());
    let script = format!("echo up; sleep {length}");
    cluster.pod("once", &script, json!({})).await;
    let pod = cluster.running("once").await;
    cluster.said(&pod, "up\n").await;
    kill_shim(&pod.metadata.uid.unwrap());
    let pod = json(&cluster.ended("once").await);
    assert_eq!(status(&pod, "/state/terminated/reason"), "ContainerStatusUnknown");
    assert!(status(&pod, "/state/terminated/message").as_str().unwrap().contains("lost"));
    let alive = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read_to_string(entry.path().join("cmdline"))
                .is_ok_and(|line| line.contains(&format!("sleep\0{length}")))
        })
    };
    assert!(!alive(), "the container outlived its shim");
    // Killed as early as can be: before the container has asked to die with its parent.
    cluster.pod("early", &script, json!({})).await;
    kill_shim(&cluster.running("early").await.metadata.uid.unwrap());
    cluster.ended("early").await;
    assert!(!alive(), "the container outlived its shim");

    cluster
        .pod(
            "again",
            "[ -e /v/x ] && exit 0; touch /v/x; sleep 98764",
            json!({
                "restartPolicy": "OnFailure", "volumes": [{"name": "v", "emptyDir": {}}],
                "main": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            }),
        )
        .await;
    let uid = cluster.running("again").await.metadata.uid.unwrap();
    let mark = cluster.state.join("pods").join(&uid).join("volumes/v/x");
    while !mark.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    kill_shim(&uid);
    let pod = json(&cluster.ended("again").await);
    assert_eq!(pod.pointer("/status/phase").unwrap(), "Succeeded");
    assert_eq!(status(&pod, "/restartCount"), 1);
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_do_not_become_options_of_the_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let secret = dir.path().join("host-secret");
    std::fs::write(&secret, "host").unwrap();
    let evil = format!("x\0--bind\0{}\0/data", dir.path().display());
    cluster.create::<Secret>(json!({"metadata": {"name": "evil"}, "stringData": {"v": evil}})).await;
    let env = json!([
        {"name": "EVIL", "valueFrom": {"secretKeyRef": {"name": "evil", "key": "v"}}},
    ]);
    cluster.pod("nul", "cat /data/host-secret", json!({"main": {"env": env}})).await;
    let pod = json(&cluster.ended("nul").await);
    let end = status(&pod, "/state/terminated");
    assert_eq!(end["reason"], "StartError");
    assert!(end["message"].as_str().unwrap().contains("NUL"), "{end}");
    // The loader's variables reach the container only, never bubblewrap.
    let env = json!([{"name": "LD_PRELOAD", "value": "/data/evil.so"}, {"name": "--bind", "value": "/"}]);
    let (_, log) = cluster.run("preload", "echo $LD_PRELOAD", json!({"main": {"env": env}})).await;
    assert!(log.contains("/data/evil.so"), "{log}");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_limits_hold() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let more = json!({"main": {"resources": {"limits": {"memory": "32Mi", "cpu": "500m"}}}});
    // A block of 256 MiB in memory.
    let script = "dd if=/dev/zero of=/dev/null bs=256M count=1 2>&1";
    cluster.create::<Pod>(pod("greedy", script, more)).await;
    let pod = json(&cluster.ended("greedy").await);
    let end = status(&pod, "/state/terminated");
    assert_ne!(end["exitCode"], 0, "{end}");
    cluster.kill().await;
}

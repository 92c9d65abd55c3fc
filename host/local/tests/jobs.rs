//! Jobs and training jobs from manifest to end, with the statuses that upstream's controllers write.

mod support;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::{Cluster, conditions, json, pod, wait};

fn job(name: &str, script: &str, spec: Value, pod_spec: Value) -> Value {
    let template = pod(name, script, pod_spec);
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "template": {"spec": template["spec"]},
    }});
    job["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    job
}

fn finished<K: serde::Serialize>(object: Option<&K>) -> bool {
    let ends = ["Complete=True", "Failed=True", "Succeeded=True"];
    object.is_some_and(|object| {
        conditions(object).iter().any(|one| ends.iter().any(|end| one.starts_with(end)))
    })
}

async fn run(cluster: &Cluster, name: &str, manifest: Value) -> Job {
    cluster.create::<Job>(manifest).await;
    wait(cluster.jobs(), name, finished).await.unwrap()
}

async fn pods_of(cluster: &Cluster, label: &str) -> Vec<Pod> {
    cluster.pods().list(&ListParams::default().labels(label)).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_completes_with_upstreams_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let job =
        run(&cluster, "well", job("well", "true", json!({"completions": 3, "parallelism": 2}), json!({})))
            .await;
    assert_eq!(
        conditions(&job),
        ["SuccessCriteriaMet=True/CompletionsReached", "Complete=True/CompletionsReached"]
    );
    let status = json(&job)["status"].clone();
    assert_eq!(
        (status["succeeded"].as_i64(), status["failed"].as_i64(), status["ready"].as_i64()),
        (Some(3), None, Some(0))
    );
    assert!(
        status["startTime"].is_string() && status["completionTime"].is_string() && status["active"].is_null(),
        "{status}"
    );
    assert_eq!(pods_of(&cluster, "job-name=well").await.len(), 3);
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backoff_limit_is_reached_by_failed_pods_and_by_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let failed = run(&cluster, "never", job("never", "exit 1", json!({"backoffLimit": 2}), json!({}))).await;
    assert_eq!(
        conditions(&failed),
        ["FailureTarget=True/BackoffLimitExceeded", "Failed=True/BackoffLimitExceeded"]
    );
    assert_eq!(json(&failed).pointer("/status/failed").unwrap(), 3);
    assert_eq!(pods_of(&cluster, "job-name=never").await.len(), 3);
    assert!(json(&failed).pointer("/status/completionTime").is_none());

    let policy = json!({"restartPolicy": "OnFailure"});
    let failed =
        run(&cluster, "restarts", job("restarts", "exit 1", json!({"backoffLimit": 2}), policy)).await;
    assert_eq!(
        conditions(&failed),
        ["FailureTarget=True/BackoffLimitExceeded", "Failed=True/BackoffLimitExceeded"]
    );
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_said_while_it_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    cluster.create::<Pod>(pod("loop", "exit 5", json!({"restartPolicy": "OnFailure"}))).await;
    let pod = wait(cluster.pods(), "loop", |pod| {
        pod.is_some_and(|pod| {
            let state = json(pod).pointer("/status/containerStatuses/0").cloned().unwrap_or_default();
            state["restartCount"].as_i64() >= Some(2)
                && state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
    })
    .await
    .unwrap();
    let state = json(&pod).pointer("/status/containerStatuses/0").unwrap().clone();
    assert_eq!(state["lastState"]["terminated"]["exitCode"], 5);
    assert!(
        state["state"]["waiting"]["message"].as_str().unwrap().contains("restarting failed container=main"),
        "{state}"
    );
    assert_eq!(support::phase(&pod), "Running");
    cluster.pods().delete("loop", &DeleteParams::default()).await.unwrap();
    wait(cluster.pods(), "loop", |pod| pod.is_none()).await;
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_suspension_indexes_and_time_to_live() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let late =
        run(&cluster, "late", job("late", "sleep 1000", json!({"activeDeadlineSeconds": 1}), json!({})))
            .await;
    assert_eq!(conditions(&late), ["FailureTarget=True/DeadlineExceeded", "Failed=True/DeadlineExceeded"]);

    cluster.create::<Job>(job("held", "true", json!({"suspend": true}), json!({}))).await;
    let held =
        wait(cluster.jobs(), "held", |job| job.is_some_and(|job| !conditions(job).is_empty())).await.unwrap();
    assert_eq!(conditions(&held), ["Suspended=True/JobSuspended"]);
    assert!(pods_of(&cluster, "job-name=held").await.is_empty());
    let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
    cluster.jobs().patch("held", &PatchParams::default(), &patch).await.unwrap();
    let held = wait(cluster.jobs(), "held", finished).await.unwrap();
    assert_eq!(conditions(&held)[0], "Suspended=False/JobResumed");

    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"});
    let indexed =
        run(&cluster, "indexed", job("indexed", "echo $JOB_COMPLETION_INDEX", spec, json!({}))).await;
    assert_eq!(json(&indexed).pointer("/status/completedIndexes").unwrap(), "0-2");
    let mut said: Vec<_> =
        pods_of(&cluster, "job-name=indexed").await.iter().map(|pod| cluster.log(pod, "main", 0)).collect();
    said.sort();
    assert_eq!(said, ["0\n", "1\n", "2\n"]);

    cluster.create::<Job>(job("brief", "true", json!({"ttlSecondsAfterFinished": 0}), json!({}))).await;
    wait(cluster.jobs(), "brief", |job| job.is_some()).await;
    wait(cluster.jobs(), "brief", |job| job.is_none()).await;
    assert!(pods_of(&cluster, "job-name=brief").await.is_empty());
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_share_a_claim() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let mount = json!({
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "main": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    });
    // The first Job comes before its claim, as it may.
    cluster.create::<Job>(job("first", "echo 42 > /data/answer", json!({}), mount.clone())).await;
    cluster.create::<PersistentVolumeClaim>(claim).await;
    assert!(conditions(&wait(cluster.jobs(), "first", finished).await.unwrap())[1].starts_with("Complete"));
    run(&cluster, "second", job("second", "cat /data/answer", json!({}), mount)).await;
    assert_eq!(cluster.log(&pods_of(&cluster, "job-name=second").await[0], "main", 0), "42\n");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_unschedulable_as_on_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let gpu = json!({"main": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}});
    cluster.create::<Pod>(pod("gpu", "true", gpu)).await;
    let scheduled = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| conditions(pod).iter().any(|one| one.starts_with("PodScheduled")))
    };
    let pod = wait(cluster.pods(), "gpu", scheduled).await.unwrap();
    assert_eq!(conditions(&pod), ["PodScheduled=False/Unschedulable"]);
    let message = json(&pod).pointer("/status/conditions/0/message").unwrap().as_str().unwrap().to_owned();
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."), "{message}");

    // Two that want more than half of the memory run one after the other.
    let half = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = half.split_whitespace().nth(1).unwrap().parse().unwrap();
    let greedy = json!({"main": {"resources": {"requests": {"memory": format!("{}Ki", total / 3 * 2)}}}});
    cluster.create::<Pod>(support::pod("one", "sleep 0.3", greedy.clone())).await;
    cluster.running("one").await;
    cluster.create::<Pod>(support::pod("two", "true", greedy)).await;
    let two = wait(cluster.pods(), "two", scheduled).await.unwrap();
    assert_eq!(conditions(&two), ["PodScheduled=False/Unschedulable"]);
    assert_eq!(support::phase(&cluster.ended("two").await), "Succeeded");
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_go_with_their_owner_in_the_way_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    for (name, policy) in [
        ("back", PropagationPolicy::Background),
        ("fore", PropagationPolicy::Foreground),
        ("orphan", PropagationPolicy::Orphan),
    ] {
        run(&cluster, name, job(name, "true", json!({}), json!({}))).await;
        let pod = pods_of(&cluster, &format!("job-name={name}")).await.remove(0).name_any();
        let orphan = policy == PropagationPolicy::Orphan;
        let parameters = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        cluster.jobs().delete(name, &parameters).await.unwrap();
        wait(cluster.jobs(), name, |job| job.is_none()).await;
        if orphan {
            let pod = cluster.pods().get(&pod).await.unwrap();
            assert!(pod.owner_references().is_empty());
        } else {
            wait(cluster.pods(), &pod, |pod| pod.is_none()).await;
        }
    }
    // A running Job's pod is ended, not forgotten.
    cluster.create::<Job>(job("running", "sleep 1000", json!({}), json!({}))).await;
    wait(cluster.jobs(), "running", |job| {
        job.is_some_and(|job| json(job).pointer("/status/ready") == Some(&json!(1)))
    })
    .await;
    cluster.jobs().delete("running", &DeleteParams::foreground()).await.unwrap();
    wait(cluster.jobs(), "running", |job| job.is_none()).await;
    assert!(pods_of(&cluster, "job-name=running").await.is_empty());
    cluster.kill().await;
}

fn training(name: &str, script: &str, policy: &str, run_policy: Value) -> Value {
    let template = |role: &str| {
        let mut spec = pod(name, script, json!({}))["spec"].clone();
        spec.as_object_mut().unwrap().remove("restartPolicy");
        spec["containers"][0]["name"] = json!("pytorch");
        spec["containers"][0]["env"] = json!([{"name": "ROLE", "value": role}]);
        json!({"spec": spec})
    };
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name},
        "spec": {"nprocPerNode": "1", "runPolicy": run_policy, "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "restartPolicy": policy, "template": template("master")},
            "Worker": {"replicas": 2, "restartPolicy": policy, "template": template("worker")},
        }},
    })
}

async fn train(cluster: &Cluster, manifest: Value) -> DynamicObject {
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    let api: Api<DynamicObject> = cluster.training_jobs();
    api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    let seen = async {
        let mut stream = std::pin::pin!(kube::runtime::watcher(
            api,
            kube::runtime::watcher::Config::default().fields(&format!("metadata.name={name}"))
        ));
        loop {
            use futures::StreamExt;
            use kube::runtime::watcher::Event;
            if let Some(Ok(Event::Apply(job) | Event::InitApply(job))) = stream.next().await
                && finished(Some(&job))
            {
                return job;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), seen).await.expect("the training job ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_job_runs_a_pod_a_rank_with_the_operators_environment() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    // Every rank waits for the master's name, which it must find without a network.
    let script =
        "while read ip name; do [ \"$name\" = \"$MASTER_ADDR\" ] && echo master $ip; done < /etc/hosts; env";
    let job = train(
        &cluster,
        training("t", script, "OnFailure", json!({"cleanPodPolicy": "None", "backoffLimit": 3})),
    )
    .await;
    let shown = conditions(&job);
    assert_eq!(shown.first().unwrap(), "Created=True/PyTorchJobCreated");
    assert_eq!(shown.last().unwrap(), "Succeeded=True/PyTorchJobSucceeded");
    assert!(!shown.contains(&"Running=True/PyTorchJobRunning".to_owned()), "{shown:?}");
    assert_eq!(job.data["status"]["replicaStatuses"]["Master"]["succeeded"], 1);
    let mut ports = std::collections::BTreeSet::new();
    for (pod, rank) in [("t-master-0", "0"), ("t-worker-0", "1"), ("t-worker-1", "2")] {
        let pod = cluster.ended(pod).await;
        let log = cluster.log(&pod, "pytorch", 0);
        let value = |name: &str| {
            let found = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("{name} is not in:\n{log}")).to_owned()
        };
        assert!(log.lines().any(|line| line == "master 127.0.0.1"), "{log}");
        for (name, wanted) in [
            ("RANK", rank),
            ("PET_NODE_RANK", rank),
            ("WORLD_SIZE", "3"),
            ("PET_NNODES", "3"),
            ("PET_NPROC_PER_NODE", "1"),
            ("MASTER_ADDR", "t-master-0"),
            ("PET_MASTER_ADDR", "t-master-0"),
            ("PYTHONUNBUFFERED", "1"),
        ] {
            assert_eq!(value(name), wanted, "{name}");
        }
        ports.insert(value("MASTER_PORT"));
        ports.insert(value("PET_MASTER_PORT"));
        assert_eq!(pod.labels()["training.kubeflow.org/job-name"], "t");
        assert_eq!(pod.labels().contains_key("training.kubeflow.org/job-role"), rank == "0");
    }
    assert_eq!(ports.len(), 1);
    cluster.kill().await;
}

/// Pods that are to go do go, and do not outlive the test.
async fn gone(cluster: &Cluster, job: &str, ranks: &[&str]) {
    for rank in ranks {
        wait(cluster.pods(), &format!("{job}-{rank}"), |pod| pod.is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn training_jobs_fail_and_clean_up_as_their_policies_say() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let failed = train(&cluster, training("never", "exit 1", "Never", json!({}))).await;
    assert_eq!(conditions(&failed).last().unwrap(), "Failed=True/PyTorchJobFailed");
    assert!(failed.data["status"]["completionTime"].is_string());

    let looping = train(&cluster, training("loop", "exit 1", "OnFailure", json!({"backoffLimit": 2}))).await;
    let last = looping.data["status"]["conditions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["message"], "Job loop has failed because it has reached the specified backoff limit");
    gone(&cluster, "loop", &["master-0", "worker-0", "worker-1"]).await;

    let script = "[ $ROLE = master ] || sleep 1000";
    let job =
        train(&cluster, training("clean", script, "OnFailure", json!({"cleanPodPolicy": "Running"}))).await;
    assert_eq!(conditions(&job).last().unwrap(), "Succeeded=True/PyTorchJobSucceeded");
    gone(&cluster, "clean", &["worker-0", "worker-1"]).await;
    assert_eq!(support::phase(&cluster.pods().get("clean-master-0").await.unwrap()), "Succeeded");

    let late =
        train(&cluster, training("late", "sleep 1000", "OnFailure", json!({"activeDeadlineSeconds": 1})))
            .await;
    let last = late.data["status"]["conditions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["message"], "Job late has failed because it was active longer than specified deadline");
    gone(&cluster, "late", &["master-0", "worker-0", "worker-1"]).await;
    cluster.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_the_host_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    let spec = json!({"completions": 2, "parallelism": 1});
    cluster.create::<Job>(job("two", "sleep 0.3; echo ran", spec, json!({}))).await;
    wait(cluster.jobs(), "two", |job| {
        job.is_some_and(|job| json(job).pointer("/status/succeeded") == Some(&json!(1)))
    })
    .await;
    cluster.kill().await;
    let cluster = Cluster::open(dir.path()).await;
    let job = wait(cluster.jobs(), "two", finished).await.unwrap();
    assert_eq!(json(&job).pointer("/status/succeeded").unwrap(), 2);
    assert_eq!(pods_of(&cluster, "job-name=two").await.len(), 2);
    cluster.kill().await;
}

/// Not a promise of a figure: prints what this machine does. `cargo test -p ilab-local --test jobs -- --ignored latency --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn latency() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(dir.path()).await;
    cluster.run("warm", "true", json!({})).await;
    let mut times = Vec::new();
    for at in 0..20 {
        let name = format!("p{at}");
        let begun = std::time::Instant::now();
        cluster.create::<Pod>(pod(&name, "true", json!({"main": {"command": ["true"]}}))).await;
        cluster.ended(&name).await;
        times.push(begun.elapsed());
    }
    times.sort();
    println!(
        "pod `true`, create to Succeeded: median {:?}, best {:?}, worst {:?}",
        times[10], times[0], times[19]
    );
    let begun = std::time::Instant::now();
    for at in 0..6 {
        run(&cluster, &format!("j{at}"), job(&format!("j{at}"), "true", json!({}), json!({}))).await;
    }
    println!("six Jobs `true`, one after the other: {:?}", begun.elapsed());
    cluster.kill().await;
}

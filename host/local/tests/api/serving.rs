//! The server itself: discovery, logs, who may ask.

use crate::kit::{PATIENCE, both, job, kind, made, open, refused};
use futures::StreamExt;
use ilab_local::{LocalCluster, LocalError, LocalOptions};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

#[tokio::test]
async fn it_is_discovered_like_any_cluster() {
    both(async |client| {
        let discovered = kube::Discovery::new(client.clone()).run().await.unwrap();
        let kinds: Vec<String> = discovered
            .groups()
            .flat_map(|group| group.recommended_resources())
            .map(|(resource, _)| format!("{}/{}", resource.api_version, resource.kind))
            .collect();
        for kind in ["v1/Pod", "batch/v1/Job", "kubeflow.org/v1/PyTorchJob", "storage.k8s.io/v1/StorageClass"]
        {
            assert!(kinds.iter().any(|known| known == kind), "{kind} in {kinds:?}");
        }
        let aggregated = kube::Discovery::new(client.clone()).run_aggregated().await.unwrap();
        assert!(aggregated.has_group("kubeflow.org"));
        assert_eq!(client.apiserver_version().await.unwrap().minor, "34");
        let unknown: Api<DynamicObject> = Api::all_with(
            client.clone(),
            &ApiResource::from_gvk(&GroupVersionKind::gvk("no.such", "v1", "Thing")),
        );
        assert_eq!(kind(unknown.list(&ListParams::default()).await).0, 404);
        let review = json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs"}}});
        let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .body(serde_json::to_vec(&review).unwrap())
            .unwrap();
        let answer: Value = client.request(request).await.unwrap();
        assert_eq!(answer["status"]["allowed"], true);
    })
    .await;
}

#[tokio::test]
async fn logs_are_followed_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let pod: Pod =
        made(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}));
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let waiting = refused(pods.logs("p", &LogParams::default()).await);
    assert_eq!(waiting.message, "container \"c\" in pod \"p\" is waiting to start: ContainerCreating");
    let attempts = folder.path().join("pods").join(pod.uid().unwrap()).join("containers/c");
    let (zero, one) = (attempts.join("0"), attempts.join("1"));
    std::fs::create_dir_all(&zero).unwrap();
    std::fs::write(zero.join("log"), "old\n").unwrap();
    std::fs::write(zero.join("exit"), "{}").unwrap();
    std::fs::create_dir_all(&one).unwrap();
    std::fs::write(one.join("log"), "a\nb\nc\n").unwrap();
    let with = |params: LogParams| {
        let pods = pods.clone();
        async move { pods.logs("p", &params).await.unwrap() }
    };
    assert_eq!(with(LogParams::default()).await, "a\nb\nc\n");
    assert_eq!(with(LogParams { tail_lines: Some(2), ..LogParams::default() }).await, "b\nc\n");
    assert_eq!(with(LogParams { limit_bytes: Some(3), ..LogParams::default() }).await, "a\nb");
    assert_eq!(with(LogParams { previous: true, ..LogParams::default() }).await, "old\n");
    let wrong = LogParams { container: Some("../../c".into()), ..LogParams::default() };
    assert_eq!(kind(pods.logs("p", &wrong).await).0, 400);
    // What is written just before the end is not lost, nor what follows in a new file when one is full.
    let following = tokio::spawn({
        let pods = pods.clone();
        async move {
            let params = LogParams { follow: true, ..LogParams::default() };
            let log = pods.log_stream("p", &params).await.unwrap();
            futures::AsyncBufReadExt::lines(log).map(|line| line.unwrap() + "\n").boxed()
        }
    });
    let mut log = std::fs::File::options().append(true).open(one.join("log")).unwrap();
    std::io::Write::write_all(&mut log, b"last\n").unwrap();
    let text = tokio::time::timeout(PATIENCE, async {
        let mut lines = following.await.unwrap();
        let mut text = String::new();
        for expected in ["a\n", "b\n", "c\n", "last\n"] {
            text.push_str(&lines.next().await.unwrap());
            assert!(text.ends_with(expected));
        }
        std::fs::rename(one.join("log"), one.join("log.1")).unwrap();
        std::io::Write::write_all(&mut log, b"full\n").unwrap();
        std::fs::write(one.join("log"), "new\n").unwrap();
        std::fs::write(one.join("exit"), "{}").unwrap();
        while let Some(line) = lines.next().await {
            text.push_str(&line);
        }
        text
    });
    assert_eq!(text.await.unwrap(), "a\nb\nc\nlast\nfull\nnew\n");
}

#[tokio::test]
async fn with_a_shim_command_there_are_a_node_and_controllers() {
    let folder = tempfile::tempdir().unwrap();
    let shim = vec![env!("CARGO_BIN_EXE_ilab-local-shim").into()];
    let options = || LocalOptions { shim_command: Some(shim.clone()), ..LocalOptions::new(folder.path()) };
    let cluster = LocalCluster::open(options()).await.unwrap();
    assert!(cluster.sandbox().is_some());
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());
    jobs.create(&PostParams::default(), &made(job("j"))).await.unwrap();
    // The image is not there: the job has its pod, the pod its node, and the node says what is missing.
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let mut events = pods.watch(&WatchParams::default().labels("job-name=j"), "0").await.unwrap().boxed();
    let waiting = async {
        loop {
            let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = events.next().await.unwrap().unwrap()
            else {
                continue;
            };
            let statuses = pod.status.unwrap_or_default().container_statuses.unwrap_or_default();
            let reason = statuses.into_iter().find_map(|status| status.state?.waiting?.reason);
            if let Some(reason) = reason.filter(|reason| reason.contains("Image")) {
                return (pod.spec.unwrap_or_default().node_name, reason);
            }
        }
    };
    let (node, _) = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(node.as_deref(), Some("local"));
    cluster.shutdown().await.unwrap();
    LocalCluster::open(options()).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn only_this_machines_programs_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let outside = cluster.serve("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(outside, Err(LocalError::NotLoopback { .. })));
    let served = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let ask = async |headers: &str| -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
        let request = format!("GET /version HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert!(ask("Host: localhost:1\r\n").await.contains("200"));
    assert!(ask("Host: [::1]:1\r\n").await.contains("200"));
    // A page in a browser, by its origin, or by a name of its own that resolves to this machine.
    assert!(ask("Host: localhost\r\nOrigin: http://evil.example\r\n").await.contains("403"));
    assert!(ask("Host: evil.example\r\n").await.contains("403"));
}

//! What is looked at before a run, against the embedded cluster: it changes nothing, and tells everything at once.

mod kit;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use ilab_cluster::Cluster;
use ilab_core::contract::*;
use ilab_core::graph::Offer;
use ilab_engine::*;
use ilab_local::{LocalCluster, LocalOptions};
use kit::*;
use kube::client::Body;
use serde_json::{Value, json};
use std::error::Error;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Test stages, with a pod template that asks for GPUs on request, or of a kind that nobody knows.
#[derive(Default)]
struct Wanting {
    inner: TestStages,
    gpus: u64,
    kind: Option<(&'static str, &'static str)>,
    queue: Option<&'static str>,
}

impl Stages for Wanting {
    fn render(
        &self,
        name: &ilab_core::names::StageName,
        context: &Context,
    ) -> Result<Plan, Box<dyn Error + Send + Sync>> {
        let mut plan = self.inner.render(name, context)?;
        if self.gpus > 0 {
            plan.manifests[1]["spec"]["template"]["spec"]["containers"][0]["resources"] =
                json!({"limits": {"nvidia.com/gpu": self.gpus.to_string()}});
        }
        if let Some((api_version, kind)) = self.kind {
            plan.manifests.push(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": format!("{}-odd", context.prefix)}}));
        }
        if let Some(queue) = self.queue {
            plan.manifests[1]["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": queue});
        }
        Ok(plan)
    }

    fn collect(
        &self,
        name: &ilab_core::names::StageName,
        context: &Context,
        excerpts: &[Excerpt],
    ) -> Result<Value, Box<dyn Error + Send + Sync>> {
        self.inner.collect(name, context, excerpts)
    }
}

type Answer = Option<(u16, Value)>;

/// The embedded cluster behind something that may answer in its place, and that notes every request.
struct Watched {
    cluster: LocalCluster,
    seen: Arc<Mutex<Vec<(Method, String)>>>,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = LocalCluster::open(LocalOptions::new(folder.path())).await.unwrap();
        Self { cluster, seen: Arc::default(), _folder: folder }
    }

    fn through(&self, instead: impl Fn(&str, &Value) -> Answer + Clone + Send + Sync + 'static) -> Cluster {
        let (client, seen) = (self.cluster.client(), Arc::clone(&self.seen));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, seen, instead) = (client.clone(), Arc::clone(&seen), instead.clone());
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await?.to_bytes();
                let value = serde_json::from_slice(&bytes).unwrap_or_default();
                seen.lock().unwrap().push((parts.method.clone(), parts.uri.path().to_owned()));
                if let Some((code, answer)) = instead(parts.uri.path(), &value) {
                    let body = Body::from(answer.to_string().into_bytes());
                    return Ok::<_, Box<dyn Error + Send + Sync>>(
                        Response::builder().status(code).body(body).unwrap(),
                    );
                }
                let request = Request::from_parts(parts, Body::from(bytes.to_vec()));
                Ok(client.send(request).await?)
            }
        });
        Cluster::new(kube::Client::new(service, "default"), "default")
    }

    fn plain(&self) -> Cluster {
        self.through(|_, _| None)
    }

    /// Requests that changed something, or could have.
    fn writes(&self) -> Vec<(Method, String)> {
        let seen = self.seen.lock().unwrap();
        let writes =
            seen.iter().filter(|(method, path)| *method != Method::GET && !path.ends_with("accessreviews"));
        writes.cloned().collect()
    }

    async fn create(&self, path: &str, object: &Value) {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        self.cluster.client().request::<Value>(request).await.unwrap();
    }
}

fn denied() -> Answer {
    Some((403, json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"})))
}

fn asking() -> RunRequest {
    asking_of(offer("fetch", &[]))
}

fn asking_of(offer: Offer) -> RunRequest {
    let mut request = request(vec![offer]);
    request.options.preflight = Preflight::Enforce;
    request
}

fn needing(key: &str) -> RunRequest {
    needing_of(key, offer("fetch", &[]))
}

fn needing_of(key: &str, mut offer: Offer) -> RunRequest {
    offer.descriptor.credentials = vec![Credential {
        name: "store".into(),
        required_keys: vec![key.into()],
        optional_keys: vec!["endpoint".into()],
        config_map_keys: vec!["ca".into()],
    }];
    let mut request = asking_of(offer);
    request.credentials.insert("store".into(), CredentialSource::Named { secret: "s3".into() });
    request
}

async fn examine(cluster: &Cluster, request: RunRequest, stages: Wanting) -> Vec<Finding> {
    doctor(cluster, request, Arc::new(stages)).await.unwrap()
}

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|f| f.severity == Severity::Error).collect()
}

#[track_caller]
fn tells(findings: &[Finding], severity: Severity, check: &str, part: &str) {
    let found = findings.iter().any(|f| f.severity == severity && f.check == check && f.what.contains(part));
    assert!(found, "no {severity:?} of {check} with {part:?} in {findings:#?}");
}

/// Starts a run and lets go of it as soon as it has begun, or gives its error.
async fn begin(
    cluster: Cluster,
    request: RunRequest,
    stages: Wanting,
) -> (Result<Outcome, EngineError>, Vec<Event>) {
    let (send, mut receive) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let runner = Runner::new(cluster, Arc::new(stages), request);
    let stopping = stop.clone();
    let collect = async {
        let mut events = Vec::new();
        while let Some(event) = receive.recv().await {
            if matches!(event, Event::StageStarted { .. }) {
                stopping.cancel();
            }
            events.push(event);
        }
        events
    };
    tokio::join!(runner.run(send, stop), collect)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_cluster_everything_is_as_it_should_be() {
    let local = Watched::open().await;
    let findings = examine(&local.plain(), asking(), Wanting::default()).await;
    assert!(findings.iter().all(|f| f.severity == Severity::Ok), "{findings:#?}");
    for check in ["server", "run", "namespace", "kinds", "permissions", "storage", "gpus", "quota"] {
        assert!(findings.iter().any(|f| f.check == check), "{check} is not in {findings:#?}");
    }
    assert_eq!(local.writes(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_is_told_at_once_and_nothing_was_changed() {
    let local = Watched::open().await;
    local
        .create(
            "/api/v1/namespaces/default/resourcequotas",
            &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"requests.storage": "1Mi"}}}),
        )
        .await;
    let mut wanting = offer("fetch", &[]);
    wanting.descriptor.creates.push(Kind { api_version: "example.com/v1".into(), kind: "Odd".into() });
    wanting.descriptor.volumes.push(Volume { name: "more".into(), size: "1Gi".into(), read_only: true });
    let mut request = needing_of("bucket", wanting);
    request.claims.storage_class = Some("nfs".into());
    request.claims.existing.insert("more".into(), "shared".into());
    let stages = || Wanting {
        gpus: 8,
        kind: Some(("example.com/v1", "Odd")),
        queue: Some("team"),
        ..Wanting::default()
    };
    let findings = examine(&local.plain(), request.clone(), stages()).await;
    for (check, part) in [
        ("kinds", "does not know Odd"),
        ("credentials", "no Secret s3"),
        ("storage", "no StorageClass nfs"),
        ("storage", "no claim shared"),
        ("gpus", "asks for nvidia.com/gpu: 1 pod with 8 each"),
        ("quota", "ResourceQuota small allows 1Mi requests.storage"),
        ("queue", "has no Kueue"),
    ] {
        tells(&findings, Severity::Error, check, part);
    }
    assert!(errors(&findings).iter().all(|f| !f.hint.is_empty()), "{findings:#?}");
    // A run refuses for the same reasons, and has created nothing either.
    let (result, _) = begin(local.plain(), request, stages()).await;
    let Err(EngineError::Unready(refused)) = result else { panic!("{result:?}") };
    assert_eq!(refused.iter().collect::<Vec<_>>(), errors(&findings));
    assert_eq!(local.writes(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_are_asked_for_one_by_one_and_told_by_resource() {
    let local = Watched::open().await;
    let cluster = local.through(|path, body| {
        let asked = body.pointer("/spec/resourceAttributes")?;
        let refuse = path.ends_with("selfsubjectaccessreviews")
            && (asked["resource"] == "leases" || asked["subresource"] == "log" || asked["resource"] == "jobs" && asked["verb"] == "delete");
        refuse.then(|| (201, json!({"kind": "SelfSubjectAccessReview", "spec": body["spec"], "status": {"allowed": false}})))
    });
    let findings = examine(&cluster, asking(), Wanting::default()).await;
    tells(
        &findings,
        Severity::Error,
        "permissions",
        "may not get, update leases.coordination.k8s.io/ilab-run-one",
    );
    tells(&findings, Severity::Error, "permissions", "may not create leases.coordination.k8s.io in");
    tells(&findings, Severity::Error, "permissions", "may not get pods/log");
    tells(&findings, Severity::Error, "permissions", "may not delete jobs.batch");
    assert_eq!(errors(&findings).len(), 4, "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_may_not_look_at_is_skipped_and_keeps_no_run_from_beginning() {
    let local = Watched::open().await;
    let secretive = |path: &str, _: &Value| {
        let hidden = ["/nodes", "/storageclasses", "/resourcequotas", "/limitranges", "/namespaces/default"];
        hidden.iter().any(|h| path.ends_with(h)).then(denied).flatten()
    };
    let stages = || Wanting { gpus: 1, ..Wanting::default() };
    let findings = examine(&local.through(secretive), asking(), stages()).await;
    for check in ["namespace", "storage", "gpus", "quota"] {
        tells(&findings, Severity::Skipped, check, "may not be looked at");
    }
    assert!(errors(&findings).is_empty(), "{findings:#?}");
    let (result, _) = begin(local.through(secretive), asking(), stages()).await;
    assert!(matches!(result, Ok(Outcome::Detached { .. })), "{result:?}");
}

/// B5: the reference swallowed every error but 404 when it read a Secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_a_secret_that_may_not_be_read_or_lacks_keys_is_told() {
    let local = Watched::open().await;
    let secretive = |path: &str, _: &Value| path.ends_with("/secrets/s3").then(denied).flatten();
    let findings = examine(&local.through(secretive), needing("bucket"), Wanting::default()).await;
    tells(&findings, Severity::Error, "credentials", "may not read the Secret s3");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"},
        "stringData": {"other": "x", "empty": "", "endpoint": "s3.example.com", "ca": "store-ca"}});
    local.create("/api/v1/namespaces/default/secrets", &secret).await;
    for key in ["bucket", "empty"] {
        let findings = examine(&local.plain(), needing(key), Wanting::default()).await;
        tells(&findings, Severity::Error, "credentials", &format!("the Secret s3 lacks {key}"));
        tells(&findings, Severity::Error, "credentials", "the key endpoint of the Secret s3 has no scheme");
        tells(&findings, Severity::Error, "credentials", "there is no ConfigMap store-ca");
        assert!(
            findings.iter().all(|f| !f.what.contains("s3.example.com")),
            "a value was told: {findings:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_can_be_told_and_the_run_begun_all_the_same() {
    let local = Watched::open().await;
    let mut request = asking();
    request.options.preflight = Preflight::Warn;
    let (result, events) =
        begin(local.plain(), request.clone(), Wanting { gpus: 8, ..Wanting::default() }).await;
    assert!(matches!(result, Ok(Outcome::Detached { .. })), "{result:?}");
    let told = events.iter().any(|e| matches!(e, Event::Preflight { finding } if finding.check == "gpus"));
    assert!(told, "{events:#?}");
    // A stage that runs asks for nothing new: it is taken up again although the cluster could not hold another.
    request.options.preflight = Preflight::Enforce;
    request.options.resume = Resume::Always;
    let (result, _) = begin(local.plain(), request, Wanting { gpus: 8, ..Wanting::default() }).await;
    assert!(matches!(result, Ok(Outcome::Detached { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_started_again_and_again_goes_on() {
    let local = Watched::open().await;
    let mut request = asking();
    request.options.resume = Resume::IfStarted;
    for attempt in 0..2 {
        let (result, events) = begin(local.plain(), request.clone(), Wanting::default()).await;
        assert!(matches!(result, Ok(Outcome::Detached { .. })), "{attempt}: {result:?}");
        let resumed = events.iter().any(|e| matches!(e, Event::RunStarted { resumed: true, .. }));
        assert_eq!(resumed, attempt > 0);
    }
    let jobs = local.writes().into_iter().filter(|(_, path)| path.contains("/jobs")).count();
    assert_eq!(jobs, 1, "the Job is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_left_by_an_earlier_run_of_the_name_is_not_taken_over() {
    let local = Watched::open().await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "one-data", "labels": {"ilab.dev/run": "one"}},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}});
    local.create("/api/v1/namespaces/default/persistentvolumeclaims", &claim).await;
    let findings = examine(&local.plain(), asking(), Wanting::default()).await;
    tells(&findings, Severity::Error, "storage", "one-data exists already and belongs to an earlier run");
}

/// What somebody else has set is never overwritten silently, and never used silently either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_somebody_else_has_set_is_a_conflict_unless_it_is_taken_over() {
    let local = Watched::open().await;
    // The host is cut off after it has made the objects, and before it could write that down.
    let saves = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&saves);
    let cut = local.through(move |path, body| {
        let save = path.ends_with("/configmaps/ilab-run-one") && !body.is_null();
        let mut saves = counted.lock().unwrap();
        *saves += u32::from(save);
        (save && *saves == 3).then(denied).flatten()
    });
    let (result, _) = begin(cut, asking(), Wanting::default()).await;
    assert!(matches!(&result, Err(EngineError::Cluster(e)) if e.code() == Some(403)), "{result:?}");
    let path = "/api/v1/namespaces/default/configmaps/one-fetch-scripts";
    let edited = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one-fetch-scripts"}, "data": {"a": "edited"}});
    let request = Request::builder()
        .method("PATCH")
        .uri(format!("{path}?fieldManager=somebody&force=true"))
        .header("content-type", "application/apply-patch+yaml")
        .body(edited.to_string().into_bytes())
        .unwrap();
    local.cluster.client().request::<Value>(request).await.unwrap();
    let mut again = asking();
    again.options.resume = Resume::Always;
    let (result, _) = begin(local.plain(), again.clone(), Wanting::default()).await;
    let error = result.unwrap_err();
    assert!(ilab_core::text::chain(&error).contains("somebody"), "{}", ilab_core::text::chain(&error));
    assert!(error.hint().unwrap().contains("--force-conflicts"), "{error}");
    again.options.force_conflicts = true;
    let (result, _) = begin(local.plain(), again, Wanting::default()).await;
    assert!(matches!(result, Ok(Outcome::Detached { .. })), "{result:?}");
    let object =
        ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "one-fetch-scripts".into() };
    let now = local.plain().get(&object).await.unwrap().unwrap();
    assert_eq!(now["data"]["a"], "b");
}

/// The API server checks everything, and has kept nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_tells_what_would_be_there_and_changes_nothing() {
    let local = Watched::open().await;
    let stages: Arc<dyn Stages> = Arc::new(Wanting::default());
    let rehearsed = rehearse(&local.plain(), asking(), Arc::clone(&stages)).await.unwrap();
    let objects: Vec<_> = rehearsed.iter().map(|r| r.object.to_string()).collect();
    assert_eq!(objects, ["PersistentVolumeClaim/one-data", "ConfigMap/one-fetch-scripts", "Job/one-fetch"]);
    for one in &rehearsed {
        assert!(one.before.is_none());
        let after = one.after.as_ref().unwrap();
        assert_eq!(after["metadata"]["labels"]["ilab.dev/run"], "one");
    }
    // Defaults are the server's to know.
    assert_eq!(rehearsed[2].after.as_ref().unwrap()["spec"]["backoffLimit"], 6);
    let cluster = local.plain();
    for one in &rehearsed {
        assert_eq!(cluster.get(&one.object).await.unwrap(), None, "{} was made", one.object);
    }
    // What the server does not accept is told for each object.
    let refusing = local.through(|path, _| path.ends_with("/jobs/one-fetch").then(denied).flatten());
    let rehearsed = rehearse(&refusing, asking(), stages).await.unwrap();
    assert_eq!(rehearsed.iter().filter(|r| r.after.is_err()).count(), 1);
}

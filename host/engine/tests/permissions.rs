//! The table of permissions against what a run really asks for: nothing is missing from it, and nothing in it is idle.

mod kit;

use ilab_cluster::{Cluster, Need, needs};
use ilab_core::contract::Credential;
use ilab_engine::*;
use kit::fake::Fake;
use kit::*;
use std::collections::{BTreeMap, BTreeSet};

/// A request as RBAC sees it: group, resource with its subresource, name, verb.
type Seen = (String, String, Option<String>, &'static str);

fn seen(line: &str) -> Option<Seen> {
    let (method, uri) = line.split_once(' ')?;
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (root, rest) = path.split_once("/namespaces/")?;
    let group = root.strip_prefix("/apis/").and_then(|r| r.split('/').next()).unwrap_or("");
    let mut parts = rest.split('/').skip(1);
    let mut resource = parts.next()?.to_owned();
    let mut name = parts.next().map(ToOwned::to_owned);
    if let Some(sub) = parts.next() {
        resource = format!("{resource}/{sub}");
    }
    // A list or watch of one name is a right to that name.
    if let Some(one) = query.split('&').find_map(|p| p.strip_prefix("fieldSelector=metadata.name=")) {
        name = Some(one.to_owned());
    }
    let verb = match method {
        "GET" if query.contains("watch=true") => "watch",
        "GET" if rest.split('/').count() > 2 => "get",
        "GET" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => return None,
    };
    Some((group.to_owned(), resource, name, verb))
}

fn covers(need: &Need, (group, resource, name, verb): &Seen) -> bool {
    need.group == *group
        && need.resource == *resource
        && need.verb == *verb
        && (need.name.is_none() || need.name == *name)
}

fn asked() -> RunRequest {
    let mut offers = vec![offer("fetch", &[]), offer("train", &["fetch"])];
    for (at, (name, keys)) in [("store", ["bucket"]), ("judge", ["key"])].into_iter().enumerate() {
        let credential = Credential {
            name: name.into(),
            required_keys: keys.iter().map(|k| (*k).to_owned()).collect(),
            optional_keys: vec![],
            config_map_keys: vec![],
        };
        offers[at].descriptor.credentials.push(credential);
    }
    let mut request = request(offers);
    request.credentials.insert("store".into(), CredentialSource::Named { secret: "s3".into() });
    request.credentials.insert(
        "judge".into(),
        CredentialSource::Literal {
            secret_name: "made".into(),
            secret_keys: BTreeMap::from([("key".into(), SecretValue::new("x"))]),
            config_map_name: Some("made".into()),
            config_map_keys: BTreeMap::from([("url".into(), "https://j".into())]),
        },
    );
    request
}

#[tokio::test]
async fn every_request_of_a_run_is_in_the_table_and_nothing_in_it_is_idle() {
    let fake = Fake::new();
    let secret = serde_json::json!({"metadata": {"name": "s3"}, "data": {"bucket": "Yg=="}});
    fake.put("/api/v1/namespaces/ns/secrets/s3", secret);
    // A watch that has to begin anew lists; a stage that fails is cleared away; Events are asked for then.
    let run = start(&fake, asked());
    appears(&fake, "jobs/one-fetch").await;
    fake.until("the watch", |f| (f.count("jobs?") > 0).then_some(())).await;
    let watched = |line: &String| line.contains("/events?") && line.contains("watch=true");
    fake.until("the watch of Events", |f| f.requests().iter().any(watched).then_some(())).await;
    fake.compact();
    fake.cut();
    fake.pod("one-fetch", "p", serde_json::json!({"phase": "Failed"}));
    fake.set_status("jobs/one-fetch", value(FAILED));
    run.failure().await;
    let mut again = asked();
    again.options.resume = Resume::Always;
    let ends = controller(&fake);
    start(&fake, again.clone()).end().await.0.unwrap();
    ends.abort();
    // What `runs list` and `runs delete` do.
    let cluster = Cluster::new(fake.client(), "ns");
    let store = ilab_cluster::RecordStore::new(cluster.clone());
    assert_eq!(store.list().await.unwrap().len(), 1);
    let asked_before = fake.requests().len();
    let removal = tokio::spawn({
        let run = again.run.clone();
        async move { remove(&cluster, &run, Some(None), |_| {}).await }
    });
    let watches = |f: &Fake, part: &str, watch: bool| {
        let since = f.requests().split_off(asked_before);
        since.iter().any(|line| line.contains(part) && line.contains("watch=true") == watch)
    };
    for watch in [true, false] {
        for part in ["leases?", "persistentvolumeclaims?"] {
            fake.until(part, |f| watches(f, part, watch).then_some(())).await;
        }
        fake.compact();
        fake.cut();
    }
    // There is no garbage collector here.
    for path in fake.objects().keys().filter(|path| !path.ends_with("/secrets/s3")) {
        fake.remove(path.trim_start_matches('/'));
    }
    assert_eq!(removal.await.unwrap().unwrap(), Removed::Done);

    let table = needs(&asks(&asked(), &[]).unwrap());
    let all: BTreeSet<Seen> = fake.requests().iter().filter_map(|line| seen(line)).collect();
    let strange: Vec<_> = all.iter().filter(|seen| !table.iter().any(|need| covers(need, seen))).collect();
    assert!(strange.is_empty(), "asked for and not in the table: {strange:#?}");
    // A PATCH that makes something is a create for RBAC too, which no request line shows.
    let made: BTreeSet<String> = all.iter().filter(|s| s.3 == "patch").map(|s| s.1.clone()).collect();
    let idle: Vec<_> = table
        .iter()
        .filter(|need| !all.iter().any(|seen| covers(need, seen)))
        .filter(|need| !(need.verb == "create" && made.contains(&need.resource)))
        // A ConfigMap that is deleted is gone at once here, so nobody waits for it.
        .filter(|need| !(need.verb == "watch" && need.resource == "configmaps"))
        .map(ToString::to_string)
        .collect();
    assert!(idle.is_empty(), "in the table and not asked for: {idle:#?}");
}

//! Pods whose status the script writes.

use super::manifests::pod;
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    talk.tell("create", "POST pods", pod("p")).await;
    talk.ask("logs of one that waits", "GET pods/p/log").await;
    talk.ask("logs of a container that is not there", "GET pods/p/log?container=none").await;
    talk.ask("logs of what is not there", "GET pods/none/log").await;
    talk.kubelet.running("p").await.expect("the pod's status is written");
    let shown = |pod: &Value| json!({"status": pod["status"], "generation": pod["metadata"]["generation"]});
    let running = talk.quietly("GET pods/p", Value::Null).await.body;
    talk.note("running", &shown(&running));
    talk.kubelet
        .waiting("p", "ImagePullBackOff", "no such image")
        .await
        .expect("the pod's status is written");
    let waiting = talk.quietly("GET pods/p", Value::Null).await.body;
    talk.note("waiting", &shown(&waiting));
    talk.kubelet.failed("p", 3, "Error").await.expect("the pod's status is written");
    let failed = talk.quietly("GET pods/p", Value::Null).await.body;
    talk.note("failed", &shown(&failed));
    talk.tell("a label", "MERGE pods/p", json!({"metadata": {"labels": {"more": "1"}}})).await;
    talk.tell("an unknown phase", "MERGE pods/p/status", json!({"status": {"phase": "Dancing"}})).await;
    let answer = talk.quietly("DELETE pods/p", Value::Null).await;
    talk.note("delete", &json!([answer.code, answer.body["kind"], answer.body["metadata"]["name"]]));
    talk.note_gone("it goes", "pods/p").await;

    // One that a node has is given time, which no kubelet uses here.
    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("conformance");
    talk.quietly("POST pods", bound).await;
    let marked = talk.quietly("DELETE pods/bound", Value::Null).await;
    let shown = |answer: &crate::talk::Answer| {
        json!([answer.code, answer.body["kind"], answer.body["metadata"]["deletionGracePeriodSeconds"]])
    };
    talk.note("delete one that a node has", &shown(&marked));
    let shorter = talk.quietly("DELETE pods/bound?gracePeriodSeconds=5", Value::Null).await;
    talk.note("in less time", &shown(&shorter));
    let longer = talk.quietly("DELETE pods/bound?gracePeriodSeconds=20", Value::Null).await;
    talk.note("in more time", &shown(&longer));
    talk.quietly("DELETE pods/bound?gracePeriodSeconds=0", Value::Null).await;
    talk.note_gone("at once", "pods/bound").await;
}

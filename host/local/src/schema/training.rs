//! What the training operator's webhook refuses: the embedded cluster has no webhooks, and a plan that is refused on a cluster must
//! not work here.

use crate::server::resources::Resource;
use serde_json::Value;

/// The webhook's name, which is in its refusals.
const WEBHOOK: &str = "validator.pytorchjob.training-operator.kubeflow.org";
const ROLES: [&str; 2] = ["Master", "Worker"];
const CONTAINER: &str = "pytorch";
const NAME: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Why the operator does not take a training job; nothing when it does.
pub(crate) fn refused(resource: &Resource, job: &Value) -> Option<String> {
    if resource.kind != "PyTorchJob" {
        return None;
    }
    let mut faults = Vec::new();
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    // Its pods have a Service, whose name begins with the job's.
    if let Some(wrong) = name_of_service(name) {
        faults.push(format!("metadata.name: Invalid value: {name:?}: should match: {wrong}"));
    }
    let managed = &job["spec"]["runPolicy"]["managedBy"];
    if let Some(by) = managed.as_str()
        && !matches!(by, "kubeflow.org/training-operator" | "kueue.x-k8s.io/multikueue")
    {
        faults.push(format!(
            "spec.runPolicy.managedBy: Unsupported value: {by:?}: supported values: \"kubeflow.org/training-operator\", \"kueue.x-k8s.io/multikueue\""
        ));
    }
    if job["spec"]["pytorchReplicaSpecs"].is_null() {
        faults.push("spec.pytorchReplicaSpecs: Required value: must be required".to_owned());
    }
    for (role, replica) in job["spec"]["pytorchReplicaSpecs"].as_object().into_iter().flatten() {
        replicas(role, replica, &mut faults);
    }
    let text = match faults.as_slice() {
        [] => return None,
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Some(format!("admission webhook {WEBHOOK:?} denied the request: {text}"))
}

fn name_of_service(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    let bytes = name.as_bytes();
    let fits = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && !name.ends_with('-')
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    (!fits).then_some(NAME)
}

fn replicas(role: &str, replica: &Value, faults: &mut Vec<String>) {
    let at = format!("spec.pytorchReplicaSpecs[{role}]");
    if !ROLES.contains(&role) {
        faults.push(format!("{at}: Unsupported value: {role:?}: supported values: \"Master\", \"Worker\""));
    }
    let containers =
        replica["template"]["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let list = format!("{at}.template.spec.containers");
    if containers.is_empty() {
        faults.push(format!("{list}: Required value: must be specified"));
    }
    for (index, container) in containers.iter().enumerate() {
        if container["image"].as_str().unwrap_or_default().is_empty() {
            faults.push(format!("{list}[{index}].image: Required value: must be required"));
        }
    }
    if !containers.iter().any(|container| container["name"] == CONTAINER) {
        faults
            .push(format!("{list}: Required value: must have at least one container with name {CONTAINER}"));
    }
    let count = replica["replicas"].as_i64();
    // Not even the default of 1 is filled in before it looks.
    if role == "Master" && count != Some(1) {
        faults.push(format!("{at}.replicas: Forbidden: must be 1"));
    } else if role != "Master" && count.is_some_and(|count| count < 1) {
        faults.push(format!("{at}.replicas: Forbidden: must be at least 1"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::resources::find;
    use serde_json::json;

    fn why(name: &str, specs: &Value) -> Option<String> {
        let resource = find("kubeflow.org", "v1", "pytorchjobs").unwrap();
        refused(resource, &json!({"metadata": {"name": name}, "spec": {"pytorchReplicaSpecs": specs}}))
    }

    fn replica(replicas: &Value, container: &str) -> Value {
        json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": container, "image": "x"}]}}})
    }

    #[test]
    fn what_the_operator_takes_is_taken() {
        let worker = replica(&json!(2), "pytorch");
        assert_eq!(why("job", &json!({"Master": replica(&json!(1), "pytorch"), "Worker": worker})), None);
        assert_eq!(why("job", &json!({"Worker": replica(&Value::Null, "pytorch")})), None);
    }

    #[test]
    fn what_it_does_not_is_refused_with_its_words() {
        let fault = |name: &str, specs: &Value| {
            let why = why(name, specs).unwrap();
            why.split_once("denied the request: ").unwrap().1.to_owned()
        };
        let master = |replicas: &Value, container: &str| json!({"Master": replica(replicas, container)});
        assert_eq!(
            fault("job", &master(&json!(1), "main")),
            "spec.pytorchReplicaSpecs[Master].template.spec.containers: Required value: must have at least one container with name pytorch"
        );
        for count in [json!(2), json!(0), Value::Null] {
            let told = fault("job", &master(&count, "pytorch"));
            assert_eq!(told, "spec.pytorchReplicaSpecs[Master].replicas: Forbidden: must be 1", "{count}");
        }
        assert!(
            fault("1.job", &master(&json!(1), "pytorch"))
                .starts_with("metadata.name: Invalid value: \"1.job\"")
        );
        let none = fault("job", &json!({"Worker": {"replicas": 0, "template": {"spec": {}}}}));
        assert!(
            none.starts_with('[')
                && none.contains("must be specified, ")
                && none.contains("must be at least 1"),
            "{none}"
        );
        let role = fault("job", &json!({"Helper": replica(&json!(1), "pytorch")}));
        assert!(
            role.starts_with("spec.pytorchReplicaSpecs[Helper]: Unsupported value: \"Helper\""),
            "{role}"
        );
    }
}

//! A training job's conditions, with the operator's rules for which of them exclude each other.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::node::kubelet::time;

/// The list `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions(Vec<Value>);

impl Conditions {
    /// From a status.
    pub(super) fn of(value: &Value) -> Self {
        Self(value.as_array().cloned().unwrap_or_default())
    }

    /// For a status.
    pub(super) fn json(&self) -> Value {
        json!(self.0)
    }

    /// Whether there is one of this type that is True.
    pub(super) fn is_true(&self, kind: &str) -> bool {
        self.0.iter().any(|one| one["type"] == kind && one["status"] == "True")
    }

    /// Sets one. Nothing changes after Failed, nor when status and reason stay the same; Running and Restarting replace
    /// each other; an end makes Running False.
    pub(super) fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        if self.is_true("Failed") {
            return;
        }
        let now = time(Timestamp::now());
        let before = self.0.iter().find(|one| one["type"] == kind);
        let mut since = json!(now);
        if let Some(before) = before.filter(|before| before["status"] == status) {
            if before["reason"] == reason {
                return;
            }
            since = before["lastTransitionTime"].clone();
        }
        let excluded = match kind {
            "Running" => "Restarting",
            "Restarting" => "Running",
            _ => "",
        };
        self.0.retain(|one| one["type"] != kind && one["type"] != excluded);
        if matches!(kind, "Succeeded" | "Failed") {
            for one in self.0.iter_mut().filter(|one| one["type"] == "Running") {
                one["status"] = json!("False");
            }
        }
        self.0.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": since,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(conditions: &Conditions) -> Vec<String> {
        let one =
            |one: &Value| format!("{}={}", one["type"].as_str().unwrap(), one["status"].as_str().unwrap());
        conditions.0.iter().map(one).collect()
    }

    #[test]
    fn running_restarting_and_the_end() {
        let mut conditions = Conditions::default();
        let mut set = |kind: &str, status: &str| {
            conditions.set(kind, status, kind, String::new());
            shown(&conditions)
        };
        assert_eq!(set("Created", "True"), ["Created=True"]);
        assert_eq!(set("Running", "True"), ["Created=True", "Running=True"]);
        assert_eq!(set("Restarting", "True"), ["Created=True", "Restarting=True"]);
        assert_eq!(set("Running", "True"), ["Created=True", "Running=True"]);
        assert_eq!(set("Succeeded", "True"), ["Created=True", "Running=False", "Succeeded=True"]);
        assert_eq!(set("Failed", "True"), ["Created=True", "Running=False", "Succeeded=True", "Failed=True"]);
        assert_eq!(
            set("Running", "True"),
            ["Created=True", "Running=False", "Succeeded=True", "Failed=True"]
        );
    }
}

//! One walk over the manifest that every rule hangs on.

use super::bounds::Exempted;
use super::path::{Step, render};
use super::policy::{Grant, Judgement, Policy, Violation};
use super::{images, object, pods, references};
use crate::contract::ObjectRef;
use serde_json::{Map, Value};

/// The deepest manifest.
pub const MAX_DEPTH: usize = 64;
/// The longest manifest, in bytes of JSON.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;
/// The most violations that are told of one manifest.
pub const MAX_VIOLATIONS: usize = 50;

/// The guard at work on one manifest.
pub(super) struct Guard<'a> {
    pub(super) policy: &'a Policy,
    pub(super) grant: &'a Grant,
    path: Vec<Step<'a>>,
    violations: Vec<Violation>,
    exempted: Vec<Exempted>,
}

impl Policy {
    /// Everything that the manifest may not have; empty: it may be applied.
    ///
    /// Call [`harden`](super::harden) first: `automountServiceAccountToken` must be false in every pod.
    ///
    /// ```
    /// use ilab_core::{contract::Kind, guard::{Grant, Policy}, names::{PluginDigest, StageName}};
    /// let grant = Grant {
    ///     stage: StageName::new("train")?, digest: PluginDigest::of(b""), namespace: "ml".into(), prefix: "r-train".into(),
    ///     creates: vec![Kind { api_version: "v1".into(), kind: "Pod".into() }],
    ///     secrets: Default::default(), config_maps: Default::default(), claims: Default::default(),
    ///     bounds: Default::default(),
    /// };
    /// let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "r-train"}, "spec": {
    ///     "hostNetwork": true, "automountServiceAccountToken": false, "containers": [{"name": "a", "image": "b"}]}});
    /// let violations = Policy::default().check(&pod, &grant);
    /// assert_eq!((violations[0].path.as_str(), violations[0].rule), ("spec.hostNetwork", "host-namespaces"));
    /// # Ok::<(), ilab_core::names::InvalidName>(())
    /// ```
    #[must_use]
    pub fn check(&self, manifest: &Value, grant: &Grant) -> Vec<Violation> {
        self.judge(manifest, grant).violations
    }

    /// As [`check`](Self::check), with the exemptions that the manifest made use of.
    #[must_use]
    pub fn judge(&self, manifest: &Value, grant: &Grant) -> Judgement {
        let mut guard =
            Guard { policy: self, grant, path: Vec::new(), violations: Vec::new(), exempted: Vec::new() };
        guard.whole(manifest);
        Judgement { violations: guard.violations, exempted: guard.exempted }
    }
}

impl<'a> Guard<'a> {
    fn whole(&mut self, manifest: &'a Value) {
        let Some(map) = manifest.as_object() else {
            return self.refuse("object-shape", "it is not a Kubernetes object");
        };
        if depth_exceeds(manifest, MAX_DEPTH) {
            return self.refuse("too-deep", format!("it is nested more than {MAX_DEPTH} deep"));
        }
        if json_bytes(manifest) > MAX_MANIFEST_BYTES {
            return self.refuse("too-large", format!("it has more than {MAX_MANIFEST_BYTES} bytes"));
        }
        object::check(self, map);
        // The text of a ConfigMap is text: `hostNetwork` may well be the name of a file in it.
        let is_config_map = map.get("kind").and_then(Value::as_str) == Some("ConfigMap")
            && map.get("apiVersion").and_then(Value::as_str) == Some("v1");
        for (key, value) in map {
            if is_config_map && matches!(key.as_str(), "data" | "binaryData") {
                self.at(Step::Key(key), |guard| object::check_data(guard, value));
                continue;
            }
            self.field(key, value);
        }
    }

    /// Notes a violation where the guard is.
    pub(super) fn refuse(&mut self, rule: &'static str, message: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { path: render(&self.path), rule, message: message.into() });
        }
    }

    /// Whether the grant lifts a rule for this value; that it did is noted.
    pub(super) fn lifts(&mut self, rule: &'static str, value: &str) -> bool {
        let grant = self.grant;
        let found =
            grant.bounds.exemptions.iter().find(|lifted| lifted.rule == rule && lifted.value == value);
        if let Some(exemption) = found.filter(|_| self.exempted.len() < MAX_VIOLATIONS) {
            self.exempted.push(Exempted { path: render(&self.path), exemption: exemption.clone() });
        }
        found.is_some()
    }

    /// Does something one step further in.
    pub(super) fn at(&mut self, step: Step<'a>, work: impl FnOnce(&mut Self)) {
        self.path.push(step);
        work(self);
        self.path.pop();
    }

    /// Whether the guard is at a field of the object's own metadata, which has its own rules.
    pub(super) fn is_top_metadata(&self) -> bool {
        matches!(self.path.as_slice(), [Step::Key("metadata"), Step::Key(_)])
    }

    fn walk(&mut self, value: &'a Value) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        match value {
            Value::Object(map) => self.map(map),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.at(Step::Index(index), |guard| guard.walk(item));
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, map: &'a Map<String, Value>) {
        if pods::is_pod_spec(map) {
            pods::check_pod_spec(self, map);
        }
        for (key, value) in map {
            self.field(key, value);
        }
    }

    /// All rules that go by a field's name, then what is in it.
    fn field(&mut self, key: &'a str, value: &'a Value) {
        self.at(Step::Key(key), |guard| {
            // Go's decoder also takes U+017F for `s` and U+212A for `k`; no Kubernetes field needs either.
            if !key.is_ascii() {
                guard.refuse("field-name", "field names are ASCII");
            }
            if super::path::is_set(value) {
                object::check_field(guard, key, value);
                pods::check_field(guard, key, value);
                references::check_field(guard, key, value);
                images::check_field(guard, key, value);
            }
            guard.walk(value);
        });
    }
}

/// How a manifest is called in a message.
pub(super) fn describe(manifest: &Value) -> String {
    ObjectRef::of(manifest)
        .map_or_else(|| "an object without apiVersion, kind or name".to_owned(), |object| object.to_string())
}

/// The length of a value's JSON text, which is not kept.
fn json_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value that has no JSON text counts as one that is too long.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

/// Without recursion, because what is measured is how deep recursion would go.
fn depth_exceeds(value: &Value, most: usize) -> bool {
    let mut level = vec![value];
    for _ in 0..=most {
        let mut next: Vec<&Value> = Vec::new();
        for value in level {
            match value {
                Value::Object(map) => next.extend(map.values()),
                Value::Array(items) => next.extend(items),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        level = next;
    }
    true
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

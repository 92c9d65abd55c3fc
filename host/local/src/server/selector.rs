//! Label and field selectors, with the grammar and the refusals of the real server.

use super::request::Request;
use super::resources::Resource;
use super::status::Refusal;
use crate::schema;
use crate::store::Key;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
    Exists,
    Absent,
}

/// What a list, a watch or a deletion is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// `metadata.name=…`, answered from the key alone.
    pub(crate) name: Option<String>,
    namespace: Option<String>,
    labels: Vec<(String, Test)>,
    /// JSON pointer, wanted value, whether it has to be equal.
    fields: Vec<(String, String, bool)>,
}

fn broken(what: &str, text: &str) -> Refusal {
    let text: String = text.chars().take(256).collect();
    Refusal::bad_request(format!("unable to parse {what} {text:?}"))
}

/// Splits at commas outside parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn label(part: &str) -> Option<(String, Test)> {
    let own = |text: &str| text.trim().to_owned();
    let key = |text: &str| {
        let text = text.trim();
        schema::qualified(text).is_none().then(|| text.to_owned())
    };
    let fits = |text: &str| schema::label_value(text.trim()).is_none().then(|| own(text));
    if let Some(rest) = part.strip_prefix('!') {
        return Some((key(rest)?, Test::Absent));
    }
    for (operator, negative) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((name, value)) = part.split_once(operator) {
            let values = vec![fits(value)?];
            return Some((key(name)?, if negative { Test::NotIn(values) } else { Test::In(values) }));
        }
    }
    for (operator, above) in [('>', true), ('<', false)] {
        if let Some((name, bound)) = part.split_once(operator) {
            let bound = bound.trim().parse().ok()?;
            return Some((key(name)?, if above { Test::Above(bound) } else { Test::Below(bound) }));
        }
    }
    let Some((name, rest)) = part.split_once(char::is_whitespace) else {
        return Some((key(part)?, Test::Exists));
    };
    let (negative, set) = match rest.trim().strip_prefix("notin") {
        Some(set) => (true, set),
        None => (false, rest.trim().strip_prefix("in")?),
    };
    let values =
        set.trim().strip_prefix('(')?.strip_suffix(')')?.split(',').map(fits).collect::<Option<Vec<_>>>()?;
    Some((key(name)?, if negative { Test::NotIn(values) } else { Test::In(values) }))
}

/// Fields besides name and namespace that each kind may be selected by.
fn selectable(resource: &Resource) -> &'static [&'static str] {
    match resource.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Job" => &["status.successful"],
        "Secret" => &["type"],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        _ => &[],
    }
}

impl Selector {
    /// The selectors of a request.
    pub(crate) fn of(request: &Request, resource: &Resource) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        if let Some(text) = request.param("labelSelector") {
            for part in parts(text) {
                selector.labels.push(label(part).ok_or_else(|| broken("requirement", part))?);
            }
        }
        for part in request.param("fieldSelector").map(parts).unwrap_or_default() {
            let (field, value, equal) = [("!=", false), ("==", true), ("=", true)]
                .into_iter()
                .find_map(|(operator, equal)| {
                    part.split_once(operator).map(|(field, value)| (field, value, equal))
                })
                .ok_or_else(|| broken("field selector", part))?;
            match (field, equal) {
                ("metadata.name", true) if selector.name.is_none() => selector.name = Some(value.to_owned()),
                ("metadata.namespace", true) => selector.namespace = Some(value.to_owned()),
                _ if matches!(field, "metadata.name" | "metadata.namespace")
                    || selectable(resource).contains(&field) =>
                {
                    let path = match field {
                        "source" => "source.component",
                        "status.successful" => "status.succeeded",
                        other => other,
                    };
                    let pointer = format!("/{}", path.replace('.', "/"));
                    selector.fields.push((pointer, value.to_owned(), equal));
                }
                _ => {
                    return Err(Refusal::bad_request(format!("field label not supported: {field}")));
                }
            }
        }
        Ok(selector)
    }

    /// Whether the key alone rules an object out.
    pub(crate) fn admits(&self, key: &Key) -> bool {
        self.name.as_ref().is_none_or(|name| *name == key.name)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }

    /// Whether the object has to be looked at.
    pub(crate) fn looks(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, object: &[u8]) -> bool {
        if !self.looks() {
            return true;
        }
        let Ok(object) = serde_json::from_slice::<Value>(object) else { return false };
        let labels = &object["metadata"]["labels"];
        let number = |value: Option<&str>| value.and_then(|text| text.parse::<i64>().ok());
        let labelled = self.labels.iter().all(|(name, test)| {
            let value = labels.get(name).and_then(Value::as_str);
            match test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
                Test::Above(bound) => number(value).is_some_and(|number| number > *bound),
                Test::Below(bound) => number(value).is_some_and(|number| number < *bound),
            }
        });
        labelled
            && self.fields.iter().all(|(pointer, wanted, equal)| {
                let value = match object.pointer(pointer) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                (value == *wanted) == *equal
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::resources::find;
    use http::{HeaderMap, Method};

    fn selector(query: &str) -> Result<Selector, Refusal> {
        let uri = format!("/?{query}").replace(' ', "%20").parse().unwrap();
        let request = Request::new(Method::GET, &uri, HeaderMap::new(), bytes::Bytes::new()).unwrap();
        Selector::of(&request, find("", "v1", "pods").unwrap())
    }

    fn hit(query: &str) -> bool {
        selector(query).unwrap().matches(
            br#"{"metadata":{"name":"p","labels":{"a":"1","b/c":"x"}},"status":{"phase":"Running"}}"#,
        )
    }

    #[test]
    fn label_grammar() {
        for yes in ["a=1", "a==1", "a!=2", "a", "!z", "a in (1, 2)", "a notin (3,4),b/c=x", "z!=1", ""] {
            assert!(hit(&format!("labelSelector={yes}")), "{yes}");
        }
        for no in ["a=2", "a!=1", "z", "!a", "a in (2,3)", "a notin (1)", "a=1,b/c=y"] {
            assert!(!hit(&format!("labelSelector={no}")), "{no}");
        }
        for bad in ["a in 1", "a b c", "=x", "a in (1"] {
            assert!(selector(&format!("labelSelector={bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_those_of_the_kind() {
        assert!(hit("fieldSelector=status.phase=Running"));
        assert!(!hit("fieldSelector=status.phase!=Running"));
        assert!(selector("fieldSelector=spec.foo=1").is_err());
        assert_eq!(selector("fieldSelector=metadata.name=p").unwrap().name.as_deref(), Some("p"));
    }
}

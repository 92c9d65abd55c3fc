//! A request taken apart.

use super::status::Refusal;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

/// The largest body, as on a real API server.
pub(crate) const MAX_BODY: usize = 3 << 20;
/// Nothing that Kubernetes means nests deeper; a parser's own bound is 128.
const MAX_DEPTH: usize = 100;

/// One request, its body read.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Undoes percent encoding; `plus` also that of forms.
fn decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if plus => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

impl Request {
    pub(crate) fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        let broken = || Refusal::bad_request("the request's address is not properly encoded");
        let segments = uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| decode(segment, false))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(broken)?;
        let query = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(broken)?;
        Ok(Self { method, segments, query, headers, body })
    }

    /// A query parameter that is not empty.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A query parameter that is true or false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.param(name), Some("true" | "1" | "True"))
    }

    /// A query parameter that is a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.param(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Refusal::bad_request(format!(
                        "strconv.ParseInt: parsing {value:?}: invalid syntax in {name}"
                    ))
                })
            })
            .transpose()
    }

    fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The content type without its parameters.
    pub(crate) fn content_type(&self) -> &str {
        self.header(http::header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }

    pub(crate) fn accept(&self) -> &str {
        self.header(http::header::ACCEPT)
    }

    /// Who writes: `fieldManager`, or the first word of the user agent.
    pub(crate) fn manager(&self) -> String {
        match self.param("fieldManager") {
            Some(manager) => manager.to_owned(),
            None => {
                let agent = self.header(http::header::USER_AGENT);
                let word = agent.split('/').next().unwrap_or_default();
                if word.is_empty() { "unknown".to_owned() } else { word.chars().take(128).collect() }
            }
        }
    }

    /// `dryRun=All`.
    pub(crate) fn dry_run(&self) -> Result<bool, Refusal> {
        match self.param("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Refusal::bad_request(format!(
                "invalid dryRun value {other:?}: the one supported value is \"All\""
            ))),
        }
    }

    /// The body as an object: JSON, or YAML where its content type says so.
    pub(crate) fn object(&self) -> Result<Value, Refusal> {
        let kind = self.content_type();
        let value: Value = match kind {
            "application/vnd.kubernetes.protobuf" => {
                return Err(Refusal::unsupported_media(kind, "application/json, application/yaml"));
            }
            "application/yaml" | "application/apply-patch+yaml" => self.yaml()?,
            _ => serde_json::from_slice(&self.body)
                .map_err(|error| Refusal::bad_request(format!("the body is not valid JSON: {error}")))?,
        };
        if !value.is_object() {
            return Err(Refusal::bad_request("the body must be an object"));
        }
        if depth(&value) > MAX_DEPTH {
            return Err(Refusal::bad_request("the body nests too deeply"));
        }
        Ok(value)
    }

    fn yaml(&self) -> Result<Value, Refusal> {
        // Most clients send JSON under the YAML type, and JSON is quicker and exact to read.
        if let Ok(value) = serde_json::from_slice(&self.body) {
            return Ok(value);
        }
        let text = std::str::from_utf8(&self.body)
            .map_err(|_| Refusal::bad_request("error decoding YAML: the body is not UTF-8"))?;
        serde_saphyr::from_str(text)
            .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))
    }
}

fn depth(value: &Value) -> usize {
    let inner: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => return 0,
    };
    1 + inner.map(depth).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request {
        let uri = uri.parse().unwrap();
        Request::new(Method::GET, &uri, HeaderMap::new(), Bytes::new()).unwrap()
    }

    #[test]
    fn addresses_are_decoded() {
        let request = request("/api/v1/pods?&labelSelector=a%3Db%2Cc&watch=true&empty=&name=a+b");
        assert_eq!(request.segments, ["api", "v1", "pods"]);
        assert_eq!(request.param("labelSelector"), Some("a=b,c"));
        assert!(request.flag("watch"));
        assert_eq!(request.param("empty"), None);
        assert_eq!(request.param("name"), Some("a b"));
    }

    #[test]
    fn broken_encoding_is_refused() {
        for bad in ["/a?x=%zz", "/a?x=%4", "/%ff"] {
            let uri = bad.parse().unwrap();
            assert!(Request::new(Method::GET, &uri, HeaderMap::new(), Bytes::new()).is_err(), "{bad}");
        }
    }
}

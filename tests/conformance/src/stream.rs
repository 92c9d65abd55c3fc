//! The lines of a watch.

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

/// A stream of JSON documents, one a line.
pub(crate) struct Lines {
    body: Body,
    begun: Vec<u8>,
}

impl Lines {
    pub(crate) fn of(body: Body) -> Self {
        Self { body, begun: Vec::new() }
    }

    /// The next one; none when the stream has ended, in good order or not.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                let shown = || Value::String(String::from_utf8_lossy(&line).into_owned());
                return Some(serde_json::from_slice(&line).unwrap_or_else(|_| shown()));
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.begun.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn lines_are_put_together() {
        let mut lines = Lines::of(Body::from(b"{\"a\":1}\n{\"b\":\n".to_vec()));
        assert_eq!(lines.next().await, Some(json!({"a": 1})));
        assert_eq!(lines.next().await, Some(json!("{\"b\":\n")));
        assert_eq!(lines.next().await, None);
    }
}

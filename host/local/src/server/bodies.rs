//! What an answer consists of.

use super::status::Refusal;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;
use std::convert::Infallible;

/// An answer's body: whole or a stream.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An answer.
pub(crate) type Answer = Response<Body>;

/// Bytes of one content type.
pub(crate) fn whole(code: StatusCode, content_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes).boxed_unsync());
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Bytes that are JSON already.
pub(crate) fn raw(code: StatusCode, bytes: Bytes) -> Answer {
    whole(code, "application/json", bytes)
}

/// A value as JSON.
pub(crate) fn json(code: StatusCode, value: &Value) -> Answer {
    raw(code, Bytes::from(value.to_string()))
}

/// A refusal.
pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    json(refusal.code, &refusal.body())
}

/// A stream of chunks.
pub(crate) fn stream<S>(content_type: &'static str, chunks: S) -> Answer
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    use futures::StreamExt;
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(http_body::Frame::data(chunk)));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Adds warnings, which kubectl shows.
pub(crate) fn warn(mut answer: Answer, warnings: &[String]) -> Answer {
    for warning in warnings.iter().take(16) {
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| match c {
                '"' | '\\' => vec!['\\', c],
                _ => vec![c],
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(header::WARNING, value);
        }
    }
    answer
}

//! Predicates: any text is refused or judged, within its bounds, and what is said is a line.

use crate::lines;
use ilab_core::contract::{ObjectRef, Target};
use ilab_core::text::is_plain_line;
use ilab_core::verdict::{Predicates, Verdict};
use serde_json::Value;

/// Three lines of CEL (succeeded, failed, reason), then an object as JSON.
///
/// # Panics
/// When an error or a reason is more than a line, or the same question gets two answers.
pub fn verdict(data: &[u8]) {
    let Some([succeeded, failed, reason, object]) = lines::<4>(data) else { return };
    let target = Target {
        object: ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() },
        succeeded: succeeded.to_owned(),
        failed: failed.to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        timeout_seconds: None,
    };
    let predicates = match Predicates::compile(&target) {
        Ok(predicates) => predicates,
        Err(error) => return assert!(is_plain_line(&error.to_string()), "{error}"),
    };
    let object: Option<Value> = serde_json::from_str(object).ok();
    let verdict = predicates.judge(object.as_ref());
    assert_eq!(verdict, predicates.judge(object.as_ref()));
    if let Verdict::Failed { reason: text } | Verdict::Pending { why: text } = verdict {
        assert!(is_plain_line(&text), "{text:?}");
    }
}

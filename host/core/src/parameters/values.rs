//! The values file.

use super::ParameterError;
use crate::nearest::nearest;
use crate::text::escaped;
use serde_json::Value;

/// What `apiVersion` of a values file must be.
pub const API_VERSION: &str = "ilab.dev/v1";
/// The longest values file, in bytes.
pub const MAX_VALUES_BYTES: usize = 1024 * 1024;

const KEYS: [&str; 3] = ["apiVersion", "stages", "options"];

/// Parses a values file: YAML (and so JSON) with `apiVersion`, `stages` and `options`.
///
/// `stages` maps a stage to its parameters; `options` maps a flag of `run`, without dashes, to a value. Names of stages,
/// parameters and flags are checked by [`resolve`](super::resolve), which knows them.
///
/// # Errors
/// [`ParameterError::ValuesFile`] when it is no YAML mapping of that shape; [`ParameterError::UnknownKey`] for another
/// top-level key.
///
/// ```
/// use ilab_core::parameters::parse_values;
/// let values = parse_values("apiVersion: ilab.dev/v1\nstages:\n  train-phase-1:\n    epochs: 2\n")?;
/// assert_eq!(values["stages"]["train-phase-1"]["epochs"], 2);
/// # Ok::<(), ilab_core::parameters::ParameterError>(())
/// ```
pub fn parse_values(text: &str) -> Result<Value, ParameterError> {
    let refuse = |problem: String| ParameterError::ValuesFile { problem };
    if text.len() > MAX_VALUES_BYTES {
        return Err(refuse(format!("it has {} bytes, more than {MAX_VALUES_BYTES}", text.len())));
    }
    let value: Value = serde_saphyr::from_str(text).map_err(|error| refuse(one_line(&error.to_string())))?;
    check_shape(&value, "")?;
    Ok(value)
}

/// A parser's message may show the place over several lines; an error here is one line.
fn one_line(message: &str) -> String {
    escaped(message.lines().next().unwrap_or("not YAML").trim_end_matches([' ', ':']), 300)
}

/// Checks what does not depend on the pipeline.
pub(super) fn check_shape(value: &Value, file: &str) -> Result<(), ParameterError> {
    let refuse = |problem: String| ParameterError::ValuesFile { problem };
    let Some(map) = value.as_object() else {
        return Err(refuse(format!("it must be a mapping with the keys {}", KEYS.join(", "))));
    };
    if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(ParameterError::UnknownKey {
            file: file.to_owned(),
            key: key.clone(),
            nearest: nearest(key, KEYS),
            valid: KEYS.map(str::to_owned).to_vec(),
        });
    }
    match map.get("apiVersion").map(|version| version.as_str().unwrap_or("")) {
        Some(API_VERSION) => {}
        Some(other) => {
            return Err(refuse(format!(
                "apiVersion is {}, this host knows {API_VERSION}",
                crate::text::quoted(other, 60)
            )));
        }
        None => return Err(refuse(format!("it needs the line `apiVersion: {API_VERSION}`"))),
    }
    for key in ["stages", "options"] {
        if map.get(key).is_some_and(|part| !part.is_object() && !part.is_null()) {
            return Err(refuse(format!("{key} must be a mapping")));
        }
    }
    for (stage, parameters) in map.get("stages").and_then(Value::as_object).into_iter().flatten() {
        if !parameters.is_object() && !parameters.is_null() {
            return Err(refuse(format!("stages.{} must be a mapping of its parameters", escaped(stage, 60))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_values_file_says_what_it_is() {
        for (text, needle) in [
            ("", "mapping"),
            ("- a", "mapping"),
            ("stages: {}", "apiVersion: ilab.dev/v1"),
            ("apiVersion: v2", "this host knows"),
            ("apiVersion: ilab.dev/v1\nstages: 3", "stages must be"),
            ("apiVersion: ilab.dev/v1\nstages: {a: 3}", "stages.a must be"),
            ("apiVersion: ilab.dev/v1\nstage: {}", "did you mean stages?"),
            ("apiVersion: [", "values file: "),
            ("apiVersion: ilab.dev/v1\napiVersion: ilab.dev/v1", "values file: "),
        ] {
            let message = parse_values(text).unwrap_err().to_string();
            assert!(message.contains(needle), "{text:?}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
        assert!(parse_values("apiVersion: ilab.dev/v1\nstages:\noptions:\n").is_ok());
    }

    #[test]
    fn yaml_bombs_end_early() {
        let mut bomb =
            String::from("apiVersion: ilab.dev/v1\nstages:\n  a: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let line =
                format!("  b{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
            bomb.push_str(&line);
        }
        assert!(parse_values(&bomb).is_err());
        assert!(parse_values(&"[".repeat(100_000)).is_err());
        assert!(parse_values(&"a".repeat(MAX_VALUES_BYTES + 1)).is_err());
    }
}

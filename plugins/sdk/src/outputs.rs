//! How a container tells its results: one line `ILAB_OUTPUTS {json}`, the last of its kind.

use crate::contract::{Descriptor, Error, Excerpt};
use serde_json::{Map, Value};

/// What the line begins with.
pub const MARKER: &str = "ILAB_OUTPUTS ";

/// The object in the last line of `text` that begins with `ILAB_OUTPUTS `.
///
/// The last one, because a container that was restarted, or a library that is talkative, may have printed earlier
/// ones.
///
/// # Errors
/// When there is no such line, or what follows is no JSON object.
///
/// ```
/// let log = "starting\nILAB_OUTPUTS {\"members\": 3}\nbye\n";
/// assert_eq!(ilab_stage_sdk::outputs::from_log(log)?["members"], 3);
/// # Ok::<(), ilab_stage_sdk::Error>(())
/// ```
pub fn from_log(text: &str) -> Result<Map<String, Value>, Error> {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(MARKER))
        .ok_or_else(|| Error::other("the log has no line that begins with ILAB_OUTPUTS"))?;
    serde_json::from_str(line.trim())
        .map_err(|e| Error::other(format!("the ILAB_OUTPUTS line of the log is no JSON object: {e}")))
}

/// The declared outputs out of what the excerpts say together; a later excerpt wins.
///
/// # Errors
/// When an excerpt has no outputs line, or a declared output is in none.
pub fn collect(descriptor: &Descriptor, excerpts: &[Excerpt]) -> Result<Map<String, Value>, Error> {
    collect_with(descriptor, excerpts, Map::new())
}

/// Like [`collect`], with outputs that the stage knows by itself; what an excerpt says wins.
///
/// # Errors
/// As [`collect`].
pub fn collect_with(
    descriptor: &Descriptor,
    excerpts: &[Excerpt],
    known: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut said = known;
    for excerpt in excerpts {
        let values = from_log(&excerpt.text)
            .map_err(|e| Error::other(format!("{} {}: {e}", excerpt.source.name, excerpt.container)))?;
        said.extend(values);
    }
    let mut outputs = Map::new();
    for output in &descriptor.outputs {
        let value = said.remove(&output.name).ok_or_else(|| {
            Error::other(format!("the containers printed no value for the output {}", output.name))
        })?;
        outputs.insert(output.name.clone(), value);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ObjectRef, Output};

    fn excerpt(text: &str) -> Excerpt {
        let source = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "j".into() };
        Excerpt { source, container: "c".into(), text: text.into() }
    }

    #[test]
    fn the_last_line_counts_and_what_surrounds_it_does_not() {
        let log = "ILAB_OUTPUTS {\"a\":1}\nnoise ILAB_OUTPUTS {\"a\":9}\nILAB_OUTPUTS {\"a\":2}\r\ntrailing";
        assert_eq!(from_log(log).unwrap()["a"], 2);
    }

    #[test]
    fn what_is_no_outputs_line_is_an_error_and_not_an_empty_result() {
        for log in [
            "",
            "nothing",
            "ILAB_OUTPUTS",
            "ILAB_OUTPUTS []",
            "ILAB_OUTPUTS {\"a\":NaN}",
            "ILAB_OUTPUTS {\"a\"",
        ] {
            assert!(from_log(log).is_err(), "{log}");
        }
        // A stack overflow would take the whole component down.
        let deep = format!("ILAB_OUTPUTS {{\"a\":{}", "[".repeat(100_000));
        assert!(from_log(&deep).is_err());
    }

    #[test]
    fn only_declared_outputs_are_kept_and_all_of_them_are_needed() {
        let descriptor = Descriptor::new("s", "g", "x")
            .output(Output::count("a", "", 1))
            .output(Output::count("b", "", 1));
        let both = [excerpt("ILAB_OUTPUTS {\"a\":1,\"extra\":2}"), excerpt("ILAB_OUTPUTS {\"b\":3}")];
        let outputs = collect(&descriptor, &both).unwrap();
        assert_eq!(serde_json::to_string(&outputs).unwrap(), r#"{"a":1,"b":3}"#);
        let error = collect(&descriptor, &both[..1]).unwrap_err().to_string();
        assert!(error.contains("output b"), "{error}");
    }
}

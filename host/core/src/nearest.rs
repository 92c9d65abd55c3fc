//! The nearest valid name for a name that is not.

/// The candidate that somebody most likely meant, if one is near enough to be worth saying.
///
/// ```
/// use ilab_core::nearest::nearest;
/// assert_eq!(nearest("epoch", ["epochs", "batch-size"]), Some("epochs".to_owned()));
/// assert_eq!(nearest("xyzzy", ["epochs", "batch-size"]), None);
/// ```
#[must_use]
pub fn nearest<S: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    // A hostile or accidental megabyte is nobody's typing error, and the distance is quadratic.
    if name.len() > 200 {
        return None;
    }
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let candidate = candidate.as_ref();
            (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate.to_owned())
        })
        .filter(|(distance, candidate)| {
            let longest = wanted.len().max(candidate.len());
            *distance <= (longest / 3).max(1) || starts_alike(&wanted, candidate)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

fn starts_alike(wanted: &str, candidate: &str) -> bool {
    wanted.len() >= 3
        && (candidate.starts_with(wanted) || wanted.starts_with(candidate) && candidate.len() >= 3)
}

/// What follows an unknown name in a message: a suggestion, and the valid names.
///
/// ```
/// use ilab_core::nearest::hint;
/// let valid = ["fetch".to_owned(), "upload".to_owned()];
/// assert_eq!(hint(Some("fetch"), &valid), "; did you mean fetch? valid: fetch, upload");
/// assert_eq!(hint(None, &[]), "; there are none");
/// ```
#[must_use]
pub fn hint(nearest: Option<&str>, valid: &[String]) -> String {
    let mut out = String::new();
    if let Some(nearest) = nearest {
        out.push_str("; did you mean ");
        out.push_str(nearest);
        out.push('?');
    }
    match (valid, out.is_empty()) {
        ([], true) => out.push_str("; there are none"),
        ([], false) => {}
        (valid, first) => {
            out.push_str(if first { "; valid: " } else { " valid: " });
            out.push_str(&valid.join(", "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_name() {
        let names = ["train-phase-1", "train-phase-2", "fetch", "upload"];
        for (typed, meant) in [
            ("train-phase1", "train-phase-1"),
            ("fecth", "fetch"),
            ("Upload", "upload"),
            ("train-phase-3", "train-phase-1"),
        ] {
            assert_eq!(nearest(typed, names).as_deref(), Some(meant), "{typed}");
        }
        for typed in ["", "q", "something else entirely", &"x".repeat(100_000)] {
            assert_eq!(nearest(typed, names), None, "{typed:.20}");
        }
    }
}

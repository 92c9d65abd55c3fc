//! The differences that are known, each with the reason why it is left.

use crate::transcript::Difference;
use serde::Deserialize;

/// The list, as text: `differences.yaml` beside this crate's manifest.
pub const LIST: &str = include_str!("../differences.yaml");

/// Differences that have one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// What it is about, as a heading.
    pub title: String,
    /// Why it is left, and what it means to somebody who writes a stage.
    pub why: String,
    /// Where.
    pub differs: Vec<Entry>,
}

/// Differences of one kind. In `exchange` and `path` a `*` stands for any text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The exchange's name.
    pub exchange: String,
    /// Where in the answer.
    pub path: String,
    /// What Kubernetes has there, as JSON; `nothing` when it is not there.
    pub kubernetes: String,
    /// What the embedded cluster has.
    pub embedded: String,
}

impl Entry {
    fn covers(&self, difference: &Difference) -> bool {
        fits(&self.exchange, &difference.exchange)
            && fits(&self.path, &difference.path)
            && fits(&self.kubernetes, &difference.kubernetes)
            && fits(&self.embedded, &difference.embedded)
    }
}

/// Reads a list.
///
/// # Errors
/// When it is not one.
pub fn read(text: &str) -> Result<Vec<Topic>, serde_saphyr::Error> {
    serde_saphyr::from_str(text)
}

/// Everything that is wrong with a list, given what differs; nothing when it tells all there is and no more.
///
/// Entries of exchanges that `told` denies are left out: not every cluster can be asked everything.
#[must_use]
pub fn faults(known: &[Topic], found: &[Difference], told: impl Fn(&Entry) -> bool) -> Vec<String> {
    let entries = || known.iter().flat_map(|topic| &topic.differs);
    let unknown = found.iter().filter(|one| !entries().any(|entry| entry.covers(one)));
    let idle = entries().filter(|entry| told(entry) && !found.iter().any(|one| entry.covers(one)));
    unknown
        .map(|one| format!("not in the list: {one}"))
        .chain(idle.map(|entry| {
            format!(
                "does not differ any more: {}: {} ({} | {})",
                entry.exchange, entry.path, entry.kubernetes, entry.embedded
            )
        }))
        .collect()
}

/// Whether a text is as the pattern says.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(exchange: &str, path: &str, kubernetes: &str, embedded: &str) -> Difference {
        let own = str::to_owned;
        Difference {
            exchange: own(exchange),
            path: own(path),
            kubernetes: own(kubernetes),
            embedded: own(embedded),
        }
    }

    #[test]
    fn a_list_must_tell_everything_and_nothing_else() {
        let list = "
- title: t
  why: w
  differs:
  - {exchange: jobs/*, path: body.a, kubernetes: '1', embedded: nothing}
  - {exchange: pods/x, path: 'body.b[*]', kubernetes: '1', embedded: '*'}
";
        let known = read(list).unwrap();
        let all = |_: &Entry| true;
        let both =
            [difference("jobs/one", "body.a", "1", "nothing"), difference("pods/x", "body.b[3]", "1", "7")];
        assert_eq!(faults(&known, &both, all), [""; 0]);
        let other_value = [difference("jobs/one", "body.a", "2", "nothing"), both[1].clone()];
        let told = faults(&known, &other_value, all);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("not in the list: jobs/one: body.a"), "{told:?}");
        assert!(told[1].starts_with("does not differ any more: jobs/*"), "{told:?}");
        assert_eq!(faults(&known, &both[..1], |entry| entry.exchange != "pods/x"), [""; 0]);
        assert_eq!(faults(&known, &both[..1], all).len(), 1);
    }

    #[test]
    fn patterns() {
        for (pattern, text) in
            [("a", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c*e", "abcde"), ("*", ""), ("a*a", "aa")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "b"), ("*c", "cb"), ("a*a", "a"), ("a*x*e", "abcde")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_list_can_be_read_and_gives_reasons() {
        for topic in read(LIST).unwrap() {
            assert!(topic.why.len() > 20 && !topic.differs.is_empty(), "{}", topic.title);
        }
    }
}

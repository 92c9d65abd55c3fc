//! Whom a certificate names: an issuer's word for who somebody is.

use ilab_core::text::escaped;
use regex::Regex;
use std::fmt;

/// The issuer of the identities of GitHub's workflows.
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// What a name has to be.
#[derive(Debug, Clone)]
pub struct Name(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Equal(String),
    /// A URL up to a slash.
    Below(String),
    Matching(Regex),
}

impl Name {
    /// Exactly this.
    ///
    /// # Errors
    /// A fragment, when it is empty.
    pub fn equal(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".into());
        }
        Ok(Self(Kind::Equal(text.to_owned())))
    }

    /// Whatever this regular expression finds something in, as cosign means it: `^` and `$` bind it to the ends.
    ///
    /// # Errors
    /// A fragment, when it is none or empty.
    pub fn containing(expression: &str) -> Result<Self, String> {
        if expression.is_empty() {
            return Err("is empty, and so would trust everybody".into());
        }
        match Regex::new(expression) {
            Ok(regex) => Ok(Self(Kind::Matching(regex))),
            Err(regex::Error::CompiledTooBig(_)) => Err("is too large".into()),
            // The parser draws the place with an arrow below it; its last line says what is wrong.
            Err(error) => {
                let text = error.to_string();
                let line = text.lines().last().unwrap_or_default();
                Err(format!("is no regular expression: {}", escaped(line.trim_start_matches("error: "), 200)))
            }
        }
    }

    /// Whatever this regular expression describes from end to end.
    pub(super) fn matching(expression: &str) -> Result<Self, String> {
        // By itself first, so that no parenthesis closes the group around it.
        Self::containing(expression)?;
        Self::containing(&format!("^(?:{expression})$"))
    }

    /// A URL that begins with this one, at a slash.
    pub(super) fn below(prefix: &str) -> Result<Self, String> {
        let rest = prefix.strip_prefix("https://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || path.trim_matches('/').is_empty() {
            return Err("is no https URL with a path".into());
        }
        Ok(Self(Kind::Below(format!("{}/", prefix.trim_end_matches('/')))))
    }

    fn is(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Equal(equal) => text == equal,
            Kind::Below(prefix) => text.starts_with(prefix),
            Kind::Matching(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Equal(text) => f.write_str(&escaped(text, 200)),
            Kind::Below(prefix) => write!(f, "{}…", escaped(prefix, 200)),
            Kind::Matching(regex) => write!(f, "/{}/", escaped(regex.as_str(), 200)),
        }
    }
}

/// Who has to have been certified.
#[derive(Debug, Clone)]
pub struct Identity {
    issuer: Name,
    subject: Name,
    /// Where the source has to have been, whatever the subject says: a workflow that others may use carries their signatures.
    source: Option<Name>,
}

impl Identity {
    /// Whom this issuer knows by this e-mail address or URL.
    #[must_use]
    pub fn new(issuer: Name, subject: Name) -> Self {
        Self { issuer, subject, source: None }
    }

    /// A workflow of GitHub's in a repository of this owner, run for it. The error is a fragment.
    pub(super) fn github(owner: &str, repo: Option<&str>) -> Result<Self, String> {
        for (part, what) in [(Some(owner), "an owner"), (repo, "a repo")] {
            let sound = |part: &str| {
                !part.is_empty()
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            };
            if part.is_some_and(|part| !sound(part)) {
                return Err(format!("has {what} that GitHub cannot have"));
            }
        }
        let (subject, source) = match repo {
            Some(repo) => {
                let url = format!("https://github.com/{owner}/{repo}");
                (Name(Kind::Below(format!("{url}/"))), Name(Kind::Equal(url)))
            }
            None => {
                let url = Name(Kind::Below(format!("https://github.com/{owner}/")));
                (url.clone(), url)
            }
        };
        Ok(Self { issuer: Name(Kind::Equal(GITHUB.to_owned())), subject, source: Some(source) })
    }

    /// Whether this is who was certified; else why not, as a fragment.
    pub(super) fn is(&self, holder: &Holder) -> Result<(), String> {
        if !self.issuer.is(&holder.issuer) || !self.subject.is(&holder.subject) {
            return Err(format!("it is by {holder}"));
        }
        match (&self.source, &holder.source) {
            (Some(wanted), Some(source)) if !wanted.is(source) => {
                Err(format!("it is by {holder}, for {}", escaped(source, 200)))
            }
            (Some(_), None) => Err(format!("it is by {holder}, and does not say for which repository")),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.subject, self.issuer)
    }
}

/// Who was certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The e-mail address or URL.
    pub(super) subject: String,
    /// Who knows them by it.
    pub(super) issuer: String,
    /// The repository that a workflow ran for, as a URL.
    pub(super) source: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", escaped(&self.subject, 200), escaped(&self.issuer, 200))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(subject: &str, source: Option<&str>) -> Holder {
        Holder { subject: subject.into(), issuer: GITHUB.into(), source: source.map(str::to_owned) }
    }

    #[test]
    fn a_name_is_equal_below_or_matches() {
        let equal = Name::equal("me@example.com").unwrap();
        assert!(equal.is("me@example.com") && !equal.is("me@example.com.evil"));
        let below = Name::below("https://github.com/team/stages").unwrap();
        assert!(below.is("https://github.com/team/stages/.github/workflows/x.yml@refs/heads/main"));
        assert!(
            !below.is("https://github.com/team/stages-evil/x") && !below.is("https://github.com/team/stages")
        );
        let found = Name::containing("@example\\.com$").unwrap();
        assert!(found.is("me@example.com") && !found.is("me@example.com.evil"));
        let whole = Name::matching("me|you@example\\.com").unwrap();
        assert!(whole.is("me") && whole.is("you@example.com"));
        assert!(!whole.is("me@evil") && !whole.is("not-you@example.com"));
    }

    #[test]
    fn names_that_cannot_be_meant_are_refused() {
        for (name, says) in [
            (Name::equal(" "), "is empty"),
            (Name::containing(""), "trust everybody"),
            (Name::containing("("), "unclosed group"),
            (Name::matching("x)|(?:y"), "unopened group"),
            (Name::containing("\\w{9999}{9999}"), "too large"),
            (Name::below("https://github.com/"), "no https URL"),
            (Name::below("http://github.com/team"), "no https URL"),
            (Name::below("https:///team"), "no https URL"),
        ] {
            let problem = name.unwrap_err();
            assert!(problem.contains(says) && !problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_workflow_of_github_has_to_run_for_its_own_repository() {
        let repository = "https://github.com/team/stages";
        let workflow = &format!("{repository}/.github/workflows/release.yml@refs/tags/v1");
        let team = Identity::github("team", None).unwrap();
        let stages = Identity::github("team", Some("stages")).unwrap();
        for wanted in [&team, &stages] {
            wanted.is(&holder(workflow, Some(repository))).unwrap();
            let why = wanted.is(&holder(workflow, Some("https://github.com/evil/stages"))).unwrap_err();
            assert!(why.contains("for https://github.com/evil/stages"), "{why}");
            wanted.is(&holder(workflow, None)).unwrap_err();
            wanted.is(&holder("https://github.com/team-evil/stages/x", Some(repository))).unwrap_err();
            let other = Holder { issuer: "https://evil".into(), ..holder(workflow, Some(repository)) };
            wanted.is(&other).unwrap_err();
        }
        let other = "https://github.com/team/other/x";
        team.is(&holder(other, Some("https://github.com/team/other"))).unwrap();
        stages.is(&holder(other, Some("https://github.com/team/other"))).unwrap_err();
        for (owner, repo) in [("", None), ("team/x", None), ("team", Some("")), ("team", Some("a/b"))] {
            assert!(Identity::github(owner, repo).unwrap_err().contains("GitHub cannot have"));
        }
    }
}

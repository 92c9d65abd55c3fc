//! What a registry answers to a stranger: the `WWW-Authenticate` header, and the tokens it leads to.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How a registry wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With a token, which the realm sells.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
    },
    /// With name and password in every request.
    Basic,
}

impl Challenge {
    /// The first challenge of a header that we can answer. A bearer token is preferred: a password travels less.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let all = challenges(header);
        let bearer = all.iter().find_map(|(scheme, parameters)| {
            let realm = parameters.get("realm").filter(|_| scheme == "bearer")?;
            Some(Self::Bearer { realm: realm.clone(), service: parameters.get("service").cloned() })
        });
        bearer.or_else(|| all.iter().any(|(scheme, _)| scheme == "basic").then_some(Self::Basic))
    }
}

type Parameters = BTreeMap<String, String>;

/// Splits a header into challenges. Lenient: what it does not understand, it leaves out.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut all: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, left) = value_of(value.trim_start());
            if let Some((_, parameters)) = all.last_mut() {
                parameters.entry(word).or_insert(value);
            }
            rest = left;
        } else {
            if !word.is_empty() {
                all.push((word, Parameters::new()));
            }
            rest = after;
        }
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    all
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// What a token server sells.
#[derive(Deserialize)]
struct Sold {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A token, and until when it is worth something.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    good_until: Instant,
}

impl Token {
    /// Reads a token server's answer. None when it holds no token.
    pub(crate) fn parse(json: &[u8], now: Instant) -> Option<Self> {
        let sold: Sold = serde_json::from_slice(json).ok()?;
        let text = sold
            .token
            .or(sold.access_token)
            .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()))?;
        // The specification's default is a minute. Some seconds less, so that it does not end on the way.
        let seconds = sold.expires_in.unwrap_or(60).clamp(10, 3600) - 5;
        Some(Self { text, good_until: now + Duration::from_secs(seconds) })
    }

    pub(crate) fn is_good(&self, now: Instant) -> bool {
        now < self.good_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_all_spellings_are_understood() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into) })
        };
        for (header, expected) in [
            (
                r#"Bearer realm="https://a/token",service="a",scope="repository:x:pull,push""#,
                bearer("https://a/token", Some("a")),
            ),
            (r#"bearer  Realm = "https://a/t" , scope="x""#, bearer("https://a/t", None)),
            (r#"Basic realm="Registry, \"really\"", Bearer realm=https://b/t"#, bearer("https://b/t", None)),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Negotiate, Digest realm=\"x\"", None),
            ("Bearer", None),
            ("", None),
            (r#"Bearer realm="never ends"#, bearer("never ends", None)),
            (",,,=\"", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_end() {
        let now = Instant::now();
        let token = Token::parse(br#"{"access_token": "abc", "expires_in": 100}"#, now).unwrap();
        assert!(
            token.is_good(now + Duration::from_secs(94)) && !token.is_good(now + Duration::from_secs(96))
        );
        for none in [&b"{}"[..], b"[]", b"", br#"{"token":""}"#, br#"{"token":"a\r\nX: y"}"#] {
            assert!(Token::parse(none, now).is_none());
        }
    }
}

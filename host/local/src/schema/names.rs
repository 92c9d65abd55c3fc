//! Names as Kubernetes takes them.

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn label_like(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn word_like(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && end(text.chars().next())
        && end(text.chars().next_back())
}

/// What is wrong with a DNS-1123 subdomain.
pub(crate) fn dns_subdomain(text: &str) -> Option<&'static str> {
    if text.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    (!text.split('.').all(label_like)).then_some(SUBDOMAIN)
}

/// What is wrong with a DNS-1123 label.
pub(crate) fn dns_label(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!label_like(text)).then_some(LABEL)
}

/// What is wrong with a label's value.
pub(crate) fn label_value(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!text.is_empty() && !word_like(text)).then_some(VALUE)
}

/// What is wrong with a label's or an annotation's key.
pub(crate) fn qualified(text: &str) -> Option<&'static str> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            if let Some(wrong) = dns_subdomain(prefix) {
                return Some(wrong);
            }
            name
        }
        None => text,
    };
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (!word_like(name)).then_some(KEY)
}

/// What is wrong with a key of a ConfigMap or Secret.
pub(super) fn data_key(text: &str) -> Option<&'static str> {
    if text.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    let fits = !text.is_empty()
        && !matches!(text, "." | "..")
        && !text.starts_with("..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (!fits).then_some("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_rules() {
        assert!(dns_subdomain("a.b-c.1").is_none() && dns_label("a-1").is_none());
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", "ä", &"a".repeat(254)] {
            assert!(dns_subdomain(bad).is_some(), "{bad}");
        }
        assert!(dns_label("a.b").is_some());
        assert!(label_value("").is_none() && label_value("a b").is_some());
        assert!(qualified("x.io/a").is_none() && qualified("x.io/").is_some() && qualified("/a").is_some());
        assert!(data_key("..").is_some() && data_key("../x").is_some() && data_key("a.py").is_none());
    }
}

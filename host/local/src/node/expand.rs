//! `$(VAR)` in commands, arguments and environment values, as Kubernetes expands it.

/// A value may not grow beyond this: Linux refuses longer single strings, and doubling references would fill memory.
pub(crate) const MAX_VALUE: usize = 128 * 1024;

/// A value that grew beyond [`MAX_VALUE`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an expanded value is longer than {MAX_VALUE} bytes")]
pub(crate) struct TooLong;

/// Replaces `$(NAME)` by its value; `$$` is a dollar sign; an unknown or unfinished reference stays as it is.
pub(crate) fn expand<'a>(input: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, TooLong> {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value(name) {
                Some(text) => out.push_str(text),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
        if out.len() > MAX_VALUE {
            return Err(TooLong);
        }
    }
    out.push_str(rest);
    if out.len() > MAX_VALUE { Err(TooLong) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_kubernetes_does() {
        let value = |name: &str| match name {
            "A" => Some("one"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (input, output) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "one"),
            ("x$(A)y$(A)z", "xoneyonez"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$$$$(A)", "$$(A)"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(EMPTY)", ""),
            ("$(B)", "$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$(A$(A)", "$(A$(A)"),
            ("$()", "$()"),
            ("ü$(A)ü$ü", "üoneü$ü"),
            ("100%$", "100%$"),
        ] {
            assert_eq!(expand(input, value).as_deref(), Ok(output), "{input}");
        }
    }

    #[test]
    fn a_doubling_value_is_stopped() {
        let long = "x".repeat(MAX_VALUE / 2 + 1);
        assert_eq!(expand("$(L)$(L)", |_| Some(&long)), Err(TooLong));
    }
}

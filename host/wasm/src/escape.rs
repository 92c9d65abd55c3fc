//! Text of strangers made safe to print.
//!
//! Guests, containers and clusters send text that ends on a terminal. Control characters there can move the cursor,
//! retitle the window or answer for the user; bidirectional and invisible ones can make one thing read as another.

use ilab_core::text::is_unsafe;
use std::borrow::Cow;
use std::fmt::Write;

/// One line: every control, bidirectional-override and invisible formatting character becomes a visible escape.
///
/// ```
/// use ilab_wasm::escape::escape;
/// assert_eq!(escape("plain, ünïcode ✓"), "plain, ünïcode ✓");
/// assert_eq!(escape("\u{1b}[2J\u{202e}x\n"), r"\u{1b}[2J\u{202e}x\n");
/// ```
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    neutralise(text, |_| false)
}

/// Several lines: like [`escape`], but line feeds and tabs stay.
///
/// ```
/// use ilab_wasm::escape::escape_lines;
/// assert_eq!(escape_lines("a\n\tb\r\u{7}"), "a\n\tb\\r\\u{7}");
/// ```
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    neutralise(text, |c| c == '\n' || c == '\t')
}

fn neutralise(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let bad = |c: char| is_unsafe(c) && !keep(c);
    let Some(first) = text.find(bad) else { return Cow::Borrowed(text) };
    let (head, tail) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(head);
    for c in tail.chars() {
        match c {
            c if !bad(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", c.escape_unicode());
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unsafe_is_left() {
        let hostile: String = (0..0x11_0000).filter_map(char::from_u32).collect();
        assert!(!escape(&hostile).chars().any(is_unsafe));
        assert!(!escape_lines(&hostile).chars().any(|c| is_unsafe(c) && c != '\n' && c != '\t'));
    }

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(escape("emoji 👩‍🔬 and ä"), Cow::Borrowed(_)));
    }
}

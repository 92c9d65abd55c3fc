//! Foreign text made fit for a terminal: control characters escaped, length bounded.

use std::borrow::Cow;

/// The text in quotes, escaped, cut after `max` characters.
///
/// Everything that a guest, a manifest or a cluster said goes through this before a person reads it.
///
/// ```
/// use ilab_core::text::quoted;
/// assert_eq!(quoted("a\u{1b}[2J", 20), r#""a\u{1b}[2J""#);
/// assert_eq!(quoted("abcdef", 3), r#""abc…""#);
/// ```
#[must_use]
pub fn quoted(text: &str, max: usize) -> String {
    format!("\"{}\"", escaped(text, max))
}

/// The text escaped and cut after `max` characters, without quotes. Line breaks become `\n`.
///
/// ```
/// use ilab_core::text::escaped;
/// assert_eq!(escaped("two\nlines", 20), r"two\nlines");
/// ```
#[must_use]
pub fn escaped(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max) + 4);
    for (count, c) in text.chars().enumerate() {
        if count == max {
            out.push('…');
            break;
        }
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The text itself, cut after `max` characters: what a cluster says may be long, and nobody reads all of it.
///
/// Unlike [`escaped`] it leaves the text as it is; that is for who shows it.
///
/// ```
/// use ilab_core::text::bounded;
/// assert_eq!(bounded("abc", 3), "abc");
/// assert_eq!(bounded("äbcd", 3), "äbc…");
/// ```
#[must_use]
pub fn bounded(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An error and all of its causes in one line, each said once.
///
/// ```
/// use ilab_core::text::chain;
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(chain(&error), "the disk is full");
/// ```
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// What a YAML parser says is wrong, on one line: its first, without the word `error` that stands before the whole anyway.
#[must_use]
pub fn yaml_problem(error: &impl std::fmt::Display) -> String {
    let message = error.to_string();
    let first = message.lines().next().unwrap_or("not YAML");
    escaped(first.trim_start_matches("error: ").trim_end_matches([' ', ':']), 300)
}

/// A word of a command that people may copy into a shell: as it is, or in single quotes.
///
/// ```
/// use ilab_core::text::shell_word;
/// assert_eq!(shell_word("oci://localhost:5000/eval:1"), "oci://localhost:5000/eval:1");
/// assert_eq!(shell_word("it's mine.wasm"), r"'it'\''s mine.wasm'");
/// ```
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A JSON value on one line, escaped and bounded.
#[must_use]
pub fn shown(value: &serde_json::Value, max: usize) -> String {
    escaped(&value.to_string(), max)
}

/// Whether a terminal, or a reader, may be misled by it. The joiners of emoji and of Persian are not among them.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Bidirectional marks, embeddings, overrides and isolates; line and paragraph separators.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Zero-width space, word joiner and invisible operators, byte-order mark.
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            // Interlinear annotations and tag characters: text that no one sees.
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether nothing in a text of several lines is [unsafe](is_unsafe) but its line breaks.
///
/// ```
/// use ilab_core::text::is_plain;
/// assert!(is_plain("kind: Job\nname: größer\n"));
/// assert!(!is_plain("a\u{202e}b") && !is_plain("a\u{1b}[2J") && !is_plain("a\u{7f}"));
/// ```
#[must_use]
pub fn is_plain(text: &str) -> bool {
    // Of long texts nearly all is plain ASCII, which bytes tell several times as fast as characters.
    let plain = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
    text.bytes().all(plain) || !text.contains(misleading)
}

/// Unsafe, and no line break.
fn misleading(c: char) -> bool {
    is_unsafe(c) && c != '\n'
}

/// JSON in which what is [unsafe](is_unsafe) stands as an escape: the same value, fit for a terminal. Line breaks between values stay.
///
/// ```
/// use ilab_core::text::plain_json;
/// assert_eq!(plain_json("[\n\"a\u{202e}b\"]"), "[\n\"a\\u202eb\"]");
/// ```
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    // Between values there is no other control character than a line break, and in a text there is none.
    if is_plain(json) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if misleading(c) {
            let units =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether the text is one line that a terminal shows as it is.
#[must_use]
pub fn is_plain_line(text: &str) -> bool {
    !text.chars().any(is_unsafe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_hides_text_gets_through() {
        for hostile in ["\u{1b}[31m", "\r", "\u{202e}", "\u{9b}31m", "\u{200b}", "\u{7f}"] {
            let safe = escaped(hostile, 100);
            assert!(is_plain_line(&safe), "{safe:?}");
            assert!(!is_plain_line(hostile));
        }
        assert_eq!(escaped("grüße 🎉", 100), "grüße 🎉");
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        assert_eq!(escaped(&"ä".repeat(1000), 5), "äääää…");
    }
}

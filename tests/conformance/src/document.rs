//! The list of differences as a part of docs/conformance.md.

use crate::known::Topic;
use std::fmt::Write;

const BEGIN: &str = "<!-- From tests/conformance/differences.yaml, by `make bless`. -->\n";

/// The document with its list as it should be.
///
/// # Panics
/// When the document has no place for the list.
#[must_use]
pub fn with_list(document: &str, known: &[Topic]) -> String {
    let (before, _) = document.split_once(BEGIN).expect("the document has a line that begins the list");
    format!("{before}{BEGIN}{}", list(known))
}

fn list(known: &[Topic]) -> String {
    let mut text = String::new();
    for topic in known {
        let _ = write!(
            text,
            "\n### {}\n\n{}\n\n| exchange | where | Kubernetes | embedded |\n| --- | --- | --- | --- |\n",
            topic.title,
            topic.why.trim()
        );
        for entry in &topic.differs {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                code(&entry.exchange),
                code(&entry.path),
                code(&entry.kubernetes),
                code(&entry.embedded),
            );
        }
    }
    text
}

/// A value in a cell: code, but for the word that there is none.
fn code(text: &str) -> String {
    match text {
        crate::NOTHING => text.to_owned(),
        "*" => "anything".to_owned(),
        text => format!("`{}`", text.replace('|', "\\|")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::read;

    #[test]
    fn the_list_is_put_in_the_place_of_the_old_one() {
        let known = read(
            "
- title: A title
  why: Because of it.
  differs:
  - {exchange: a/b, path: body.x, kubernetes: '\"a|b\"', embedded: nothing}
",
        )
        .unwrap();
        let document = format!("# Head\n\n{BEGIN}an old list\n");
        let made = with_list(&document, &known);
        assert!(made.starts_with("# Head\n") && !made.contains("an old list"), "{made}");
        assert!(made.contains("### A title\n\nBecause of it.\n"), "{made}");
        assert!(made.ends_with("| `a/b` | `body.x` | `\"a\\|b\"` | nothing |\n"), "{made}");
        assert_eq!(with_list(&made, &known), made);
    }
}

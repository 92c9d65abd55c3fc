//! The grants file as text: one document is put into it, and all others stay as people wrote them.

use super::file::{API_VERSION, GrantedKind, PluginGrant, read};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The documents of a YAML stream. Three dashes at the beginning of a line separate them, whatever they stand in.
pub(super) fn documents(text: &str) -> impl Iterator<Item = &str> {
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") || bare.starts_with("---\t") {
            // What follows the dashes on their line belongs to the document that they begin.
            ends.push((at, at + 3));
        }
        at += line.len();
    }
    let starts = std::iter::once(0).chain(ends.clone().into_iter().map(|(_, start)| start));
    let stops = ends.into_iter().map(|(stop, _)| stop).chain(std::iter::once(text.len()));
    starts.zip(stops).map(|(start, stop)| &text[start..stop])
}

/// A grant as a document. Kinds among `unseen` get a remark.
#[must_use]
pub fn document(grant: &PluginGrant, unseen: &BTreeSet<GrantedKind>) -> String {
    // Writing to a String does not fail.
    let mut out =
        format!("apiVersion: {API_VERSION}\nkind: Grant\ndigest: {}\n", scalar(grant.digest.as_str()));
    let _ = writeln!(out, "plugin: {}", scalar(&grant.plugin));
    list(
        &mut out,
        "kinds",
        grant.kinds.iter().map(|kind| {
            let remark =
                if unseen.contains(kind) { " # declared, but not created with the samples" } else { "" };
            format!("{{apiVersion: {}, kind: {}}}{remark}", scalar(&kind.api_version), scalar(&kind.kind))
        }),
    );
    list(&mut out, "credentials", grant.credentials.iter().map(|name| scalar(name)));
    list(&mut out, "volumes", grant.volumes.iter().map(|name| scalar(name)));
    list(&mut out, "configMaps", grant.config_maps.iter().map(|name| scalar(name)));
    list(&mut out, "images", grant.images.iter().map(|name| scalar(name)));
    if let Some(limits) = &grant.limits {
        out.push_str(if limits.is_empty() { "limits: {}\n" } else { "limits:\n" });
        for (name, amount) in limits {
            let _ = writeln!(out, "  {}: {}", scalar(name), scalar(amount));
        }
    }
    if !grant.exemptions.is_empty() {
        list(
            &mut out,
            "exemptions",
            grant.exemptions.iter().map(|e| {
                format!(
                    "{{rule: {}, value: {}, reason: {}}}",
                    scalar(&e.rule),
                    scalar(&e.value),
                    quote(&e.reason)
                )
            }),
        );
    }
    out
}

fn list(out: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        let _ = writeln!(out, "{key}: []");
        return;
    }
    let _ = writeln!(out, "{key}:");
    for item in items {
        let _ = writeln!(out, "- {item}");
    }
}

/// A text that YAML reads as that text.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    let digest = text.strip_prefix("sha256:").is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
    if plain || digest { text.to_owned() } else { quote(text) }
}

/// In double quotes, as JSON has them, which YAML understands; what JSON leaves as it is and YAML does not is escaped.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || !crate::text::is_plain_line(c.encode_utf8(&mut [0; 4])) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Puts a grant's document into the text of a grants file: in place of the one for the same component, or for an earlier
/// build of the same file, or at the end. All other text stays as it is, and remarks before the document too.
///
/// ```
/// use ilab_core::grants::{document, parse_grants, splice};
/// let old = "# Ours.\napiVersion: ilab.dev/v1\nkind: Ceiling\nimages: [quay.io]\n";
/// # let digest = ilab_core::names::PluginDigest::of(b"");
/// # let text = format!("apiVersion: ilab.dev/v1\nkind: Grant\ndigest: {digest}\nplugin: a.wasm\n");
/// # let grant = parse_grants("", &text)?.grants.remove(0);
/// let new = splice(old, &grant, &document(&grant, &Default::default()));
/// assert!(new.starts_with(old) && parse_grants("", &new)?.grants.len() == 1);
/// # Ok::<(), ilab_core::grants::GrantsError>(())
/// ```
#[must_use]
pub fn splice(text: &str, grant: &PluginGrant, document: &str) -> String {
    let of = |part: &str, key: &str, wanted: &str| {
        let value = read(part).ok().flatten();
        value.is_some_and(|value| {
            value.get("kind").and_then(Value::as_str) == Some("Grant")
                && value.get(key).and_then(Value::as_str) == Some(wanted)
        })
    };
    let parts: Vec<&str> = documents(text).collect();
    let place = parts.iter().position(|part| of(part, "digest", grant.digest.as_str())).or_else(|| {
        parts.iter().position(|part| !grant.plugin.is_empty() && of(part, "plugin", &grant.plugin))
    });
    let Some(place) = place else {
        let mut out = text.to_owned();
        if !out.trim().is_empty() {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            if !out.trim_end().ends_with("---") {
                out.push_str("---\n");
            }
        }
        out.push_str(document);
        return out;
    };
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str("---");
        }
        if index != place {
            out.push_str(part);
            continue;
        }
        if index > 0 {
            out.push('\n');
        }
        let remarks = part.lines().skip_while(|line| line.trim().is_empty());
        for line in remarks.take_while(|line| line.starts_with('#')) {
            out.push_str(line);
            out.push('\n');
        }
        out.push_str(document);
    }
    out
}

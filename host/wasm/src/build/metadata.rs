//! What a component says about itself to tools: the custom sections that wasm-tools and registries read.

use crate::WIT_VERSION;
use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};

/// Holds the contract's version; the other sections have the names that wasm-tools gave them.
const CONTRACT: &str = "ilab:pipeline";
const NAME: &str = "component-name";
/// What of a text is kept: a component is a stranger's, and this is printed.
const MOST: usize = 4096;

/// What a project says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where it is described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Where its source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a component's own custom sections say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// What the project says about itself.
    #[serde(flatten)]
    pub facts: Facts,
    /// The version of the contract that it was built with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
}

/// Appends the sections to a component.
pub(crate) fn append(component: &mut Vec<u8>, facts: &Facts) {
    // A subsection 0 is the component's own name.
    let mut name = vec![0];
    let mut text = Vec::new();
    leb128(&mut text, facts.name.len());
    text.extend_from_slice(facts.name.as_bytes());
    leb128(&mut name, text.len());
    name.extend_from_slice(&text);
    section(component, NAME, &name);
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    for (name, text) in [
        ("version", facts.version.clone()),
        ("description", optional(&facts.description)),
        ("licenses", optional(&facts.licence)),
        ("homepage", optional(&facts.homepage)),
        ("source", optional(&facts.source)),
        (CONTRACT, WIT_VERSION.to_owned()),
    ] {
        if !text.is_empty() {
            section(component, name, text.as_bytes());
        }
    }
}

fn section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = Vec::new();
    leb128(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    component.push(0);
    leb128(component, section.len());
    component.extend_from_slice(&section);
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Reads the sections of the outermost component. Of what is there twice the last counts; what cannot be read is left
/// out: they are words for people, and nothing depends on them.
#[must_use]
pub fn read_metadata(component: &[u8]) -> Metadata {
    let mut found = Metadata::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::Version { encoding: Encoding::Component | Encoding::Module, .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::CustomSection(section)) if depth == 1 => {
                take(&mut found, section.name(), section.data());
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

fn take(found: &mut Metadata, name: &str, data: &[u8]) {
    if name == NAME {
        found.facts.name = own_name(data).unwrap_or_default();
        return;
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text[..text.floor_char_boundary(MOST)].to_owned();
    match name {
        "version" => found.facts.version = text,
        "description" => found.facts.description = Some(text),
        "licenses" => found.facts.licence = Some(text),
        "homepage" => found.facts.homepage = Some(text),
        "source" => found.facts.source = Some(text),
        CONTRACT => found.contract = Some(text),
        _ => {}
    }
}

/// The name in subsection 0, which comes first.
fn own_name(data: &[u8]) -> Option<String> {
    let mut reader = wasmparser::BinaryReader::new(data, 0);
    if reader.read_u8().ok()? != 0 {
        return None;
    }
    reader.read_var_u32().ok()?;
    let name = reader.read_string().ok()?;
    Some(name[..name.floor_char_boundary(MOST)].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_stays_valid_and_says_what_it_is() {
        let mut component =
            wat::parse_str("(component (component (@custom \"version\" \"inner\")))").unwrap();
        let facts = Facts {
            name: "my-eval".to_owned(),
            version: "0.1.0".to_owned(),
            description: Some("x".repeat(300)),
            licence: None,
            homepage: Some("https://example.com/ä".to_owned()),
            source: None,
        };
        append(&mut component, &facts);
        let engine = crate::engine::engine(&crate::Limits::default()).unwrap();
        wasmtime::component::Component::new(&engine, &component).unwrap();
        let read = read_metadata(&component);
        assert_eq!(read, Metadata { facts, contract: Some(WIT_VERSION.to_owned()) });
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(read_metadata(b"\0asm"), Metadata::default());
        let mut component = wat::parse_str("(component)").unwrap();
        section(&mut component, "version", &[0xff]);
        section(&mut component, NAME, &[0, 200, 200]);
        section(&mut component, "source", "s".repeat(MOST + 1).as_bytes());
        let read = read_metadata(&component);
        assert_eq!(read.facts.version, "");
        assert_eq!(read.facts.name, "");
        assert_eq!(read.facts.source.unwrap().len(), MOST);
    }
}

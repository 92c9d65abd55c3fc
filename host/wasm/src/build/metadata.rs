//! What a component says about itself to tools: the custom sections that wasm-tools and registries read.

/// Appends one custom section for each fact to a component.
pub(crate) fn append(component: &mut Vec<u8>, facts: &[(&str, &str)]) {
    for (name, text) in facts {
        if text.is_empty() {
            continue;
        }
        let mut section = Vec::new();
        leb128(&mut section, name.len());
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(text.as_bytes());
        component.push(0);
        leb128(component, section.len());
        component.extend_from_slice(&section);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_stays_valid() {
        let mut component = wat::parse_str("(component)").unwrap();
        let long = "x".repeat(300);
        append(&mut component, &[("version", "0.1.0"), ("licenses", ""), ("description", &long)]);
        let engine = crate::engine::engine(&crate::Limits::default()).unwrap();
        wasmtime::component::Component::new(&engine, &component).unwrap();
        assert!(component.ends_with(long.as_bytes()));
    }
}

//! Files that are no components, components of something else, and components that ask for what nobody offers.

use crate::kit::{RUN, Trick, good, of_bytes};
use std::fs::File;
use std::path::Path;
use std::process::Command;

const WIT: &str = include_str!("../../../../wit/stage.wit");

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn made(name: &'static str, make: fn(&Path)) -> Trick {
    Trick { name, bytes: Vec::new(), make: Some(make), command: RUN }
}

/// The component for a contract that says something else.
fn other(from: &str, to: &str) -> Vec<u8> {
    assert!(WIT.contains(from), "{from} is not in the contract");
    good().build_for(&WIT.replace(from, to))
}

/// Asks for one more interface of the contract's own package.
fn asking() -> Vec<u8> {
    let exec = "interface exec { run: func(command: string); }\nworld stage-plugin {\n    import exec;\n";
    let wit = WIT.replace("world stage-plugin {\n", exec);
    let import = r#"(import "ilab:pipeline/exec@0.1.0" "run" (func (param i32 i32)))"#;
    good().imports(import).build_for(&wit)
}

pub(crate) fn tricks() -> Vec<Trick> {
    let good = good().build();
    let whole = good.len();
    let stage = r#"(instance $i) (export "ilab:pipeline/stage@0.1.0" (instance $i))"#;
    let with = |more: &str| text(&format!("(component {more} {stage})"));
    vec![
        of_bytes("an empty file", Vec::new()),
        of_bytes("a script", b"#!/bin/sh\nrm -rf ~\n".to_vec()),
        of_bytes("escapes in a file's place", b"\x1b]0;owned\x07\x1b[2J".to_vec()),
        of_bytes("a core module", text("(module)")),
        of_bytes("half a header", good[..5].to_vec()),
        of_bytes("a header and nothing else", good[..8].to_vec()),
        of_bytes("half a component", good[..whole / 2].to_vec()),
        of_bytes("a component without its last byte", good[..whole - 1].to_vec()),
        of_bytes("a component with a byte too many", [&good[..], &[1]].concat()),
        of_bytes("ones behind the header", [&good[..8], &[0xff; 64]].concat()),
        of_bytes(
            "a section that claims four gigabytes",
            [&good[..8], &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, b'x']].concat(),
        ),
        of_bytes(
            "a component of something else",
            text(
                r#"(component (core module $m (func (export "run"))) (core instance $i (instantiate $m))
               (func $f (canon lift (core func $i "run"))) (export "run" (func $f)))"#,
            ),
        ),
        of_bytes(
            "another version of the contract",
            other("package ilab:pipeline@0.1.0", "package ilab:pipeline@0.2.0"),
        ),
        of_bytes(
            "a version of the contract that is far away",
            other("package ilab:pipeline@0.1.0", "package ilab:pipeline@999.0.0"),
        ),
        of_bytes("a contract that only looks the same", other("summary: string,", "summary: list<u8>,")),
        of_bytes("a contract with a field less", other("        homepage: option<string>,\n", "")),
        of_bytes("stage without its functions", with("")),
        of_bytes(
            "the contract under another's name",
            other("package ilab:pipeline@0.1.0", "package evil:pipeline@0.1.0"),
        ),
        of_bytes("asks to run commands", asking()),
        of_bytes("asks for HTTP", with(r#"(import "wasi:http/types@0.2.0" (instance))"#)),
        of_bytes("asks for a WASI of tomorrow", with(r#"(import "wasi:cli/environment@0.3.0" (instance))"#)),
        of_bytes("asks for a key store", with(r#"(import "wasi:keyvalue/store@0.2.0" (instance))"#)),
        of_bytes("asks for a function without a package", with(r#"(import "system" (func))"#)),
        of_bytes("asks for a whole component", with(r#"(import "acme:shell/exec@1.0.0" (component))"#)),
        of_bytes("asks for a core module", with(r#"(import "acme:code" (core module))"#)),
        of_bytes(
            "a log that takes what it should not",
            with(
                r#"(import "ilab:pipeline/host-log@0.1.0" (instance (export "log" (func (param "x" u32)))))"#,
            ),
        ),
        of_bytes(
            "asks for a file system that there is not",
            with(r#"(import "wasi:filesystem/types@0.2.0" (instance (export "wipe" (func))))"#),
        ),
        made("a folder in a component's place", |path| std::fs::create_dir(path).unwrap()),
        made("a link to nowhere", |path| std::os::unix::fs::symlink("/nonexistent/x.wasm", path).unwrap()),
        made("a link to a device that never ends", |path| {
            std::os::unix::fs::symlink("/dev/zero", path).unwrap()
        }),
        made("a pipe that nobody writes to", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        made("a terabyte", |path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ]
}

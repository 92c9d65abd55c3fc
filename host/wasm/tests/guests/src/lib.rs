//! One component that offers a well-behaved stage and many that are not: each is named after what it does wrong.

#![allow(missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({ path: "../../../../wit", world: "stage-plugin" });

use exports::ilab::pipeline::stage::{Context, Descriptor, Error, Excerpt, Guest, Plan};
use ilab::pipeline::host_log::{Level, log};
use ilab::pipeline::types::{ExcerptSource, Kind, ObjectRef, Parameter, Target};
use std::hint::black_box;

/// Every stage; the tests iterate over what the component says.
const NAMES: [&str; 18] = [
    "good",
    "loop",
    "bomb",
    "recursion",
    "flood",
    "giant-line",
    "giant-string",
    "many-manifests",
    "trap",
    "panic",
    "bad-json",
    "not-an-object",
    "deep-json",
    "refuse",
    "escape",
    "echo",
    "recursion-in-memory",
    "monster-line",
];

struct Component;

fn plan(manifests: Vec<String>) -> Plan {
    Plan { manifests, targets: vec![], excerpts: vec![] }
}

fn job(context: &Context) -> ObjectRef {
    ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: context.prefix.clone() }
}

fn good(context: &Context) -> Plan {
    let manifest = format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"{}","namespace":"{}"}}}}"#,
        context.prefix, context.namespace
    );
    Plan {
        manifests: vec![manifest],
        targets: vec![Target {
            object: job(context),
            succeeded: "condition(object, 'Complete')".into(),
            failed: "condition(object, 'Failed')".into(),
            reason: Some("'it failed'".into()),
            timeout_seconds: Some(60),
        }],
        excerpts: vec![ExcerptSource { object: job(context), container: "main".into(), max_bytes: 1024 }],
    }
}

/// Recursion that needs no memory, so that it is the host's stack that it fills, not the one in its own memory.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    recurse(depth.wrapping_add(1)).rotate_left(7) ^ depth
}

/// Recursion that needs much memory: it fills the stack that the compiler keeps in the guest's own memory.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse_in_memory(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse_in_memory(depth + 1) + frame[7]
}

impl Guest for Component {
    fn stages() -> Vec<Descriptor> {
        NAMES
            .iter()
            .map(|name| Descriptor {
                name: (*name).to_owned(),
                summary: format!("A stage for tests: {name}"),
                group: "hostile".into(),
                selected_by: None,
                after: vec![],
                parameters: vec![Parameter {
                    name: "size".into(),
                    help: "How much of it".into(),
                    schema: r#"{"type":"integer","minimum":0}"#.into(),
                    default: Some("1".into()),
                    flag: None,
                    env: None,
                }],
                credentials: vec![],
                volumes: vec![],
                inputs: vec![],
                outputs: vec![],
                creates: vec![Kind { api_version: "batch/v1".into(), kind: "Job".into() }],
                licence: Some("Apache-2.0".into()),
                homepage: None,
            })
            .collect()
    }

    fn render(stage: String, context: Context) -> Result<Plan, Error> {
        match stage.as_str() {
            "good" => Ok(good(&context)),
            "loop" => loop {
                black_box(());
            },
            "bomb" => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    held.push(black_box(vec![1; 16 << 20]));
                }
            }
            "recursion" => Ok(plan(vec![recurse(0).to_string()])),
            "recursion-in-memory" => Ok(plan(vec![recurse_in_memory(0).to_string()])),
            "flood" => {
                for line in 0..200_000 {
                    log(Level::Info, &format!("line {line} of a flood that nobody wants to read in full"));
                }
                Ok(good(&context))
            }
            "giant-line" => {
                log(Level::Warn, &"x".repeat(3 << 20));
                Ok(good(&context))
            }
            "monster-line" => {
                log(Level::Warn, &"x".repeat(16 << 20));
                Ok(good(&context))
            }
            "giant-string" => Ok(plan(vec![format!("\"{}\"", "x".repeat(16 << 20))])),
            "many-manifests" => Ok(plan(vec!["{}".to_owned(); 1_000_000])),
            "trap" => core::arch::wasm32::unreachable(),
            "panic" => {
                std::panic::set_hook(Box::new(|info| log(Level::Error, &info.to_string())));
                panic!("the guest gave up")
            }
            "bad-json" => Ok(plan(vec!["{\"apiVersion\": batch}".into()])),
            "not-an-object" => Ok(plan(vec!["{}".into(), "[1, 2]".into()])),
            "deep-json" => Ok(plan(vec![format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))])),
            "refuse" => Err(Error::InvalidParameter(("size".into(), "too much\u{1b}[2J".into()))),
            "escape" => {
                log(Level::Info, "\u{1b}]0;owned\u{7}\u{202e}red\nsecond line");
                Ok(good(&context))
            }
            "echo" => Ok(plan(vec![format!(
                r#"{{"parameters":{},"inputs":{},"run":"{}"}}"#,
                context.parameters, context.inputs, context.run
            )])),
            other => Err(Error::Other(format!("no stage {other}"))),
        }
    }

    fn collect(stage: String, _context: Context, excerpts: Vec<Excerpt>) -> Result<String, Error> {
        match stage.as_str() {
            "bad-json" => Ok("{".into()),
            "not-an-object" => Ok("7".into()),
            "refuse" => Err(Error::Other("nothing to collect".into())),
            _ => Ok(format!(r#"{{"bytes":{}}}"#, excerpts.iter().map(|e| e.text.len()).sum::<usize>())),
        }
    }
}

export!(Component);

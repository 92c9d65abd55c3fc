//! Code that does what it should not while it is called, and words that are none.

use crate::kit::{Trick, described, descriptor, good, job, put, trick};
use ilab_test_support::Puppet;
use serde_json::{Value, json};

/// For ever.
const LOOP: &str = "(loop $l (br $l))";

fn rendering(name: &'static str, text: &str) -> Trick {
    trick(name, &good().before_render(text))
}

/// With something more in the module.
fn with(name: &'static str, module: &str, text: &str) -> Trick {
    trick(name, &good().module(module).before_render(text))
}

fn returning(name: &'static str, result: Value) -> Trick {
    trick(name, &good().render(result))
}

/// A pointer and a length, as a text or a list lies in memory.
fn span(pointer: u32, length: u32) -> Value {
    let bytes: Vec<u8> = [pointer.to_le_bytes(), length.to_le_bytes()].concat();
    json!({"$raw": bytes})
}

/// Six megabytes of memory that is zero, and so text.
const GROW: &str = "(drop (memory.grow (i32.const 100)))";
const FIVE_MIB: u32 = 5 << 20;

pub(crate) fn tricks() -> Vec<Trick> {
    let plan = put(json!({"manifests": [job(json!({})).to_string()]}), json!({}));
    vec![
        // Time.
        trick("describes itself for ever", &good().before_stages(LOOP)),
        rendering("renders for ever", LOOP),
        with("begins for ever", "(func $s (loop $l (br $l))) (start $s)", ""),
        trick("looks for room for ever", &good().before_realloc(LOOP)),
        rendering(
            "logs for ever",
            "(loop $l (call $log (i32.const 1) (i32.const 65536) (i32.const 8)) (br $l))",
        ),
        rendering(
            "grows its memory by nothing for ever",
            "(loop $l (drop (memory.grow (i32.const 0))) (br $l))",
        ),
        // Memory, tables, stack.
        rendering("takes memory bit by bit", "(loop $l (drop (memory.grow (i32.const 256))) (br $l))"),
        rendering("takes a gigabyte at once", "(drop (memory.grow (i32.const 16384)))"),
        with("begins with half a gigabyte", "(memory 8192)", ""),
        with("begins with four gigabytes in sixteen memories", &"(memory 4096)".repeat(16), ""),
        with("has more memories than anybody needs", &"(memory 0)".repeat(40), ""),
        with("begins with a table of a million", "(table 1000000 funcref)", ""),
        with(
            "grows a table",
            "(table $t 1 funcref)",
            "(loop $l (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $l))",
        ),
        with("has more tables than anybody needs", &"(table 1 funcref)".repeat(99), ""),
        with("recurses", "(func $r (call $r))", "(call $r)"),
        with(
            "recurses with all that a frame can hold",
            "(func $r (param i64 i64 i64 i64) (result i64) (i64.add (local.get 0) (call $r (local.get 1) (local.get 2) (local.get 3) (i64.const 1))))",
            "(drop (call $r (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
        ),
        // What breaks off.
        trick("gives up when it is asked what it is", &good().before_stages("(unreachable)")),
        rendering("gives up", "(unreachable)"),
        with("gives up before it begins", "(func $s (unreachable)) (start $s)", ""),
        trick("gives up when room is looked for", &good().before_realloc("(unreachable)")),
        rendering("divides by zero", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        rendering("makes a number of what is none", "(drop (i32.trunc_f32_u (f32.const nan)))"),
        rendering("reads what is not its own", "(drop (i32.load (i32.const -8)))"),
        rendering("writes what is not its own", "(i64.store (i32.const -8) (i64.const -1))"),
        rendering(
            "copies what is not its own",
            "(memory.copy (i32.const 0) (i32.const -65536) (i32.const 65536))",
        ),
        with(
            "calls a function that is not there",
            "(table $t 1 funcref) (type $f (func))",
            "(call_indirect $t (type $f) (i32.const 0))",
        ),
        with(
            "calls a function as another",
            "(table $t 1 funcref) (elem (table $t) (i32.const 0) func $g) (func $g (param i32)) (type $f (func))",
            "(call_indirect $t (type $f) (i32.const 0))",
        ),
        rendering(
            "waits for another thread",
            "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
        ),
        // Where things are.
        rendering("a plan behind its memory", "(return (i32.const -64))"),
        rendering("a plan that is not aligned", "(return (i32.const 65537))"),
        trick("hands out memory that it does not have", &good().before_realloc("(return (i32.const -16))")),
        trick(
            "says something while it is being told",
            &good().before_realloc("(call $log (i32.const 1) (i32.const 65536) (i32.const 1))"),
        ),
        trick("a summary of four gigabytes", &described(json!({"summary": span(0, u32::MAX)}))),
        trick("a summary that begins at the end", &described(json!({"summary": span(u32::MAX - 8, 4)}))),
        trick("two thousand million stages", &Puppet::new(span(65_536, i32::MAX as u32)).render(json!({}))),
        // How much.
        trick(
            "a summary of five megabytes",
            &described(json!({"summary": span(0, FIVE_MIB)})).before_stages(GROW),
        ),
        trick("twenty thousand stages", &Puppet::new(span(0, 20_000)).before_stages(GROW)),
        trick(
            "a million manifests",
            &good().render(json!({"ok": {"manifests": span(0, 800_000)}})).before_render(GROW),
        ),
        rendering(
            "a word of five megabytes in the log",
            &format!("{GROW} (call $log (i32.const 1) (i32.const 0) (i32.const {FIVE_MIB}))"),
        ),
        // What they are.
        trick("a name that is no text", &described(json!({"name": {"$bytes": [0xff, 0xfe]}}))),
        trick("half a character", &described(json!({"summary": {"$bytes": [0xe2, 0x82]}}))),
        trick("a surrogate", &described(json!({"summary": {"$bytes": [0xed, 0xa0, 0x80]}}))),
        trick("a licence that is neither there nor not", &described(json!({"licence": {"$raw": [7]}}))),
        returning("a result that is neither good nor bad", json!({"$raw": [9]})),
        returning("an error of no kind", json!({"err": {"$raw": [5]}})),
        rendering(
            "logs at a level that there is not",
            "(call $log (i32.const 77) (i32.const 65536) (i32.const 1))",
        ),
        rendering("logs what is not its own", "(call $log (i32.const 1) (i32.const -8) (i32.const 4))"),
        rendering(
            "logs what is no text",
            "(i32.store8 (i32.const 0) (i32.const 255)) (call $log (i32.const 1) (i32.const 0) (i32.const 1))",
        ),
        // What is in the words.
        returning("a manifest that is no JSON", json!({"ok": {"manifests": ["{"]}})),
        returning("a manifest that is a list", json!({"ok": {"manifests": ["[]"]}})),
        returning("a manifest with something behind it", json!({"ok": {"manifests": ["{} {}"]}})),
        returning(
            "a manifest that is deeper than anybody can look",
            json!({"ok": {"manifests": [format!("{{\"a\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000))]}}),
        ),
        returning(
            "an error that clears the screen",
            json!({"err": {"other": "\u{1b}[2J\u{1b}]52;c;b3duZWQ=\u{7}"}}),
        ),
        returning(
            "an error of many lines",
            json!({"err": {"other": "no\nerror: all is well\r\n  try: rm -rf ~"}}),
        ),
        returning("an error without a word", json!({"err": {"other": ""}})),
        returning("an error of a megabyte", json!({"err": {"other": "x".repeat(1 << 20)}})),
        returning(
            "an error about a parameter that it does not have",
            json!({"err": {"invalid-parameter": ["\u{202e}", "evil"]}}),
        ),
        trick(
            "gives up with words that clear the screen",
            &good()
                .module("(data (i32.const 0) \"\\1b[2J\\e2\\80\\ae\")")
                .before_render("(call $log (i32.const 3) (i32.const 0) (i32.const 7)) (unreachable)"),
        ),
        trick("offers nothing", &Puppet::new(json!([])).render(json!({"ok": plan}))),
        trick("offers one stage twice", &Puppet::new(json!([descriptor(json!({})), descriptor(json!({}))]))),
    ]
}

/// What a component logs is bounded and cannot touch a terminal; it is no reason to refuse it.
#[test]
fn a_flood_of_words_is_cut_and_what_they_do_to_a_terminal_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evil.wasm");
    let flood = good().module("(data (i32.const 0) \"\\1b[2Jevil\\0a\\e2\\80\\aelive\")").before_render(
        "(loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 16))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 50000))))",
    );
    std::fs::write(&file, flood.build()).unwrap();
    let output = crate::kit::given(crate::kit::RUN, &file);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(crate::kit::is_plain(&said), "{said:?}");
    assert!(said.lines().count() < 300, "{} lines", said.lines().count());
    assert!(said.contains("log lines were dropped"), "{said}");
}

//! Compiling in a process of its own. This program is that process, when it is called so.

use ilab_wasm::{Host, Limits, LoadProblem, compile_child_main};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const CHILD: &str = "compile-component";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == CHILD) {
        return compile_child_main(args);
    }
    // What the test runner would do, for three tests.
    compiles_and_keeps();
    errors_come_through();
    time_and_memory_are_bounded();
    println!("3 tests of compiling in a child passed");
    ExitCode::SUCCESS
}

fn this() -> Vec<OsString> {
    vec![std::env::current_exe().unwrap().into_os_string(), CHILD.into()]
}

/// A component with the right export and the wrong functions: it compiles, and only then is refused.
fn write(path: &Path, functions: usize) {
    let body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (local.get 0)))".repeat(200);
    let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(functions);
    let text = format!(
        "(component (core module {functions}) (instance $i) (export \"ilab:pipeline/stage@0.1.0\" (instance $i)))"
    );
    std::fs::write(path, wat::parse_str(&text).unwrap()).unwrap();
}

fn problem(limits: Limits, command: Vec<OsString>, cache: Option<&Path>, functions: usize) -> LoadProblem {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    write(&file, functions);
    refused(&file, limits, command, cache)
}

fn refused(file: &Path, limits: Limits, command: Vec<OsString>, cache: Option<&Path>) -> LoadProblem {
    let host = Host::new(limits, cache.map(Path::to_owned)).unwrap().with_compile_command(command);
    host.load(file).unwrap_err().problem
}

fn compiles_and_keeps() {
    let cache = tempfile::tempdir().unwrap();
    for cache in [None, Some(cache.path())] {
        let problem = problem(Limits::default(), this(), cache, 1);
        assert!(matches!(problem, LoadProblem::Signature { .. }), "{problem}");
    }
    let kept = std::fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(kept, 2, "the code and its record");
    // With the code in the cache, nothing is started.
    let again = problem(Limits::default(), vec!["/nowhere/at/all".into()], Some(cache.path()), 1);
    assert!(matches!(again, LoadProblem::Signature { .. }), "{again}");
}

fn errors_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    write(&file, 3);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, bytes).unwrap();
    let host = Host::new(Limits::default(), None).unwrap().with_compile_command(this());
    let truncated = host.load(&file).unwrap_err().problem;
    assert!(matches!(truncated, LoadProblem::Truncated), "{truncated}");
    for (command, expected) in [
        (vec!["/nowhere/at/all".into()], "the compiler process does not start"),
        (vec!["/bin/false".into()], "the compiler process died (exit status: 1)"),
        (
            vec!["/bin/echo".into(), "ok 0123".into()],
            "the compile command is another version of this program",
        ),
        (vec![], "the compile command is empty"),
    ] {
        let problem = problem(Limits::default(), command, None, 1).to_string();
        assert!(problem.contains(expected), "{problem}");
    }
}

fn time_and_memory_are_bounded() {
    let short = Limits { compile_time: Duration::from_millis(150), ..Limits::default() };
    let slow = problem(short, vec!["/bin/sh".into(), "-c".into(), "exec sleep 60".into()], None, 1);
    assert_eq!(slow.to_string(), "compiling it took longer than 0.15 s and was stopped");
    // Seconds of work for the compiler, and as little as that needs for the parser of the text.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    write(&file, 2_000);
    let short = Limits { compile_time: Duration::from_millis(50), ..Limits::default() };
    let large = refused(&file, short, this(), None);
    assert!(matches!(large, LoadProblem::CompileTime { .. }), "{large}");
    if cfg!(target_os = "linux") {
        let tight = Limits { compile_memory_bytes: 48 << 20, ..Limits::default() };
        let hungry = refused(&file, tight, this(), None);
        assert!(matches!(hungry, LoadProblem::Compile { .. }), "{hungry}");
    }
}

//! Compiling a component: in this process, or in one of its own that can be stopped.
//!
//! A component can be made so that compiling it takes hours and all memory; nothing inside a process bounds that. So a
//! program that loads strangers' components names a command that ends in [`compile_child_main`].

use crate::cache::{engine_key, hash};
use crate::error::LoadProblem;
use crate::limits::Limits;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use wasmtime::Engine;

/// What the compiling process may say.
const ANSWER_BYTES: u64 = 16 << 10;

/// Compiles in this process.
pub(crate) fn here(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadProblem> {
    engine.precompile_component(bytes).map_err(|error| refused(&format!("{error:#}")))
}

/// Sorts what the compiler says.
pub(crate) fn refused(detail: &str) -> LoadProblem {
    // The parser's two ways to say that the file ends before what its own lengths promise.
    if detail.contains("unexpected end") || detail.contains("is out of bounds (bound = ") {
        LoadProblem::Truncated
    } else if detail.contains("failed to parse WebAssembly") || detail.contains("(at offset 0x") {
        LoadProblem::Invalid { detail: detail.to_owned() }
    } else {
        LoadProblem::Compile { detail: detail.to_owned() }
    }
}

/// Compiles `component`, whose SHA-256 is `sha256`, into `output` by a process that is killed when time is up.
pub(crate) fn in_child(
    command: &[OsString],
    limits: &Limits,
    engine: &Engine,
    component: &Path,
    sha256: &str,
    output: &Path,
) -> Result<(), LoadProblem> {
    let failed = |detail: String| LoadProblem::Compile { detail };
    let (program, args) =
        command.split_first().ok_or_else(|| failed("the compile command is empty".to_owned()))?;
    let mut child = Command::new(program)
        .args(args)
        .args([component.as_os_str(), OsStr::new(sha256), output.as_os_str()])
        .arg(limits.component_bytes.to_string())
        .arg(limits.compile_time.as_secs().saturating_add(1).to_string())
        .arg(limits.compile_memory_bytes.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("the compiler process does not start: {error}")))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(failed("the compiler process has no output".to_owned()));
    };
    let (sender, receiver) = mpsc::channel();
    let reader =
        std::thread::Builder::new().name("wasm-compile".to_owned()).stack_size(128 << 10).spawn(move || {
            let mut answer = String::new();
            let read = stdout.take(ANSWER_BYTES).read_to_string(&mut answer);
            // Nobody listens any more when time is up.
            let _ = sender.send(read.map(|_| answer));
        });
    let answer = match &reader {
        Ok(_) => receiver.recv_timeout(limits.compile_time),
        Err(_) => Err(mpsc::RecvTimeoutError::Disconnected),
    };
    if answer.is_err() {
        // It may just have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait();
    match answer {
        Err(mpsc::RecvTimeoutError::Timeout) => Err(LoadProblem::CompileTime { limit: limits.compile_time }),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(failed("the compiler process could not be followed".to_owned()))
        }
        Ok(Err(error)) => Err(failed(format!("the compiler process talks nonsense: {error}"))),
        Ok(Ok(answer)) => match answer.trim_end().split_once(' ') {
            Some(("ok", key)) if key == engine_key(engine) => Ok(()),
            Some(("ok", _)) => {
                Err(failed("the compile command is another version of this program".to_owned()))
            }
            Some(("changed", _)) => Err(LoadProblem::Changed),
            Some(("refused", detail)) => Err(refused(detail)),
            Some(("failed", detail)) => Err(failed(detail.to_owned())),
            _ => Err(failed(format!(
                "the compiler process died ({}); it may use {} of memory",
                status.map_or_else(|e| e.to_string(), |s| s.to_string()),
                crate::limits::bytes(limits.compile_memory_bytes)
            ))),
        },
    }
}

/// The whole of a process that compiles one component: the program behind
/// [`Host::with_compile_command`](crate::Host::with_compile_command).
///
/// The arguments are what the host appended to that command. It bounds its own processor time and memory, reads the
/// component, compiles it to the file it was told, and answers with one line on standard output.
///
/// # Example
/// ```no_run
/// // ilab-host compile-component COMPONENT SHA256 OUTPUT …
/// let code = ilab_wasm::compile_child_main(std::env::args_os().skip(2));
/// # let _ = code;
/// ```
pub fn compile_child_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = args.into_iter().collect::<Vec<_>>();
    let answer = match child(&args) {
        Ok(key) => format!("ok {key}"),
        Err(Answer::Changed) => "changed -".to_owned(),
        Err(Answer::Refused(detail)) => format!("refused {}", one_line(&detail)),
        Err(Answer::Failed(detail)) => format!("failed {}", one_line(&detail)),
    };
    match writeln!(std::io::stdout(), "{answer}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

enum Answer {
    Changed,
    Refused(String),
    Failed(String),
}

fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text[..text.floor_char_boundary(4096)].to_owned()
}

fn child(args: &[OsString]) -> Result<String, Answer> {
    let [component, sha256, output, numbers @ ..] = args else {
        return Err(Answer::Failed("this is not a command for people".to_owned()));
    };
    let numbers = numbers.iter().map(|n| n.to_str()?.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let Some([component_bytes, seconds, memory]) = numbers.as_deref() else {
        return Err(Answer::Failed("this is not a command for people".to_owned()));
    };
    bound(Duration::from_secs(*seconds), *memory);
    let io = |error: std::io::Error| Answer::Failed(error.to_string());
    let mut bytes = Vec::new();
    let mut file = File::open(component).map_err(io)?.take(*component_bytes);
    file.read_to_end(&mut bytes).map_err(io)?;
    if hash(bytes.as_slice()).map_err(io)?.0.as_str() != *sha256 {
        return Err(Answer::Changed);
    }
    let engine =
        crate::engine::engine(&Limits::default()).map_err(|error| Answer::Failed(error.to_string()))?;
    let code = engine.precompile_component(&bytes).map_err(|error| Answer::Refused(format!("{error:#}")))?;
    std::fs::write(output, code).map_err(io)?;
    Ok(engine_key(&engine))
}

/// Bounds this process, as far as the system can; the parent's clock holds anyway.
fn bound(time: Duration, memory: u64) {
    use nix::sys::resource::{Resource, setrlimit};
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let seconds = time.as_secs().saturating_mul(threads);
    for (resource, limit) in
        [(Resource::RLIMIT_CPU, seconds), (Resource::RLIMIT_DATA, memory), (Resource::RLIMIT_CORE, 0)]
    {
        if let Err(error) = setrlimit(resource, limit, limit) {
            tracing::debug!(?resource, %error, "the compiler process could not be bounded");
        }
    }
}

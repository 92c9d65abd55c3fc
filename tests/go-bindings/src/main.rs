//! Writes the Go bindings of the contract, `go-bindings [--check]`; with `--check` it compares them and writes nothing.
//!
//! They are kept in the repository, as is the custom with Go, so that the SDK is a module like any other.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wit_bindgen_core::{Files, wit_parser::Resolve};
use wit_bindgen_go::{Format, Opts};

const PACKAGE: &str = "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings";
/// The generated code's own support module, which is not to be had from every proxy; the SDK has what of it is used.
const SUPPORT: (&str, &str) =
    ("go.bytecodealliance.org/pkg/wit/", "github.com/instructlab/ilab-host/plugins/sdk-go/internal/");

fn bindings(root: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root.join("wit"))?;
    let world = resolve.select_world(&[package], Some("stage-plugin"))?;
    let opts = Opts { format: Format::True, pkg_name: Some(PACKAGE.to_owned()), ..Opts::default() };
    let mut files = Files::default();
    opts.build().generate(&mut resolve, world, &mut files)?;
    files
        .iter()
        .map(|(path, bytes)| {
            let text = narrow(&std::str::from_utf8(bytes)?.replace(SUPPORT.0, SUPPORT.1));
            Ok((path.to_owned(), text))
        })
        .collect()
}

/// The Go compiler lets an exported function have 128 bytes of arguments, and pointers count as eight though they have four:
/// they come in as numbers. The contract's `render` has sixteen arguments.
fn narrow(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let signature = line
            .strip_prefix("func wasm_export_")
            .and_then(|rest| rest.split_once('('))
            .and_then(|(name, rest)| Some((name, rest.split_once(')')?)))
            .filter(|(_, (parameters, _))| parameters.matches("arg").count() > 8);
        let Some((name, (parameters, rest))) = signature else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let mut pointers = String::new();
        let narrowed: Vec<String> = parameters
            .split(", ")
            .map(|parameter| match parameter.strip_suffix(" uintptr") {
                Some(name) => {
                    pointers.push_str(&format!("\t{name} := uintptr(pointer_{name})\n"));
                    format!("pointer_{name} uint32")
                }
                None => parameter.to_owned(),
            })
            .collect();
        out.push_str(&format!("func wasm_export_{name}({}){rest}\n{pointers}", narrowed.join(", ")));
    }
    out
}

fn run(check: bool) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder: PathBuf = root.join("plugins/sdk-go/internal/bindings");
    for (path, text) in bindings(&root)? {
        let place = folder.join(&path);
        if check {
            let there = std::fs::read_to_string(&place).unwrap_or_default();
            if there != text {
                return Err(format!("{path} is not what the contract makes; run: cargo run --manifest-path tests/go-bindings/Cargo.toml").into());
            }
            continue;
        }
        if let Some(above) = place.parent() {
            std::fs::create_dir_all(above)?;
        }
        std::fs::write(&place, text)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|word| word == "--check");
    match run(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

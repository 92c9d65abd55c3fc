//! Running cargo on a stage's crate, and making a component of what it built.

use super::output::{Built, put};
use super::{BuildError, Facts, TARGET, Toolchain, metadata};
use crate::encode;
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is to be built, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The crate's folder.
    pub dir: PathBuf,
    /// The package; none: the one whose Cargo.toml lies in the folder.
    pub package: Option<String>,
    /// The cargo profile. `guest` (small, and a trap instead of unwinding) need not be defined by the crate.
    pub profile: String,
    /// Where cargo builds; none: the folder `guest` in the crate's own target folder, so that a native build does not
    /// have to wait.
    pub target_dir: Option<PathBuf>,
}

impl Build {
    /// The crate in a folder, with profile `guest`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), package: None, profile: "guest".to_owned(), target_dir: None }
    }
}

/// Compiles a crate and writes it as a component to `output`, at once or not at all.
///
/// Cargo's messages go to standard error. The component holds no path of this machine, and says in custom sections
/// what the crate's Cargo.toml says about version, licence, homepage and description.
///
/// # Errors
/// [`BuildError`]: no crate there, it does not compile, it makes no component, or the file cannot be written.
pub fn build_crate(toolchain: &Toolchain, build: &Build, output: &Path) -> Result<Built, BuildError> {
    let manifest = build.dir.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::NotACrate { dir: build.dir.clone() });
    }
    let described = describe(toolchain, build, &manifest)?;
    let package = described.package(build, &manifest)?;
    let module = compile(toolchain, build, &manifest, &described, package)?;
    let core = std::fs::read(&module).map_err(|source| BuildError::Io { path: module, source })?;
    let mut component =
        encode(&core).map_err(|source| BuildError::Encode { package: package.name.clone(), source })?;
    let facts = Facts {
        name: package.name.clone(),
        version: package.version.clone(),
        description: package.description.clone(),
        licence: package.license.clone(),
        homepage: package.homepage.clone(),
        source: package.repository.clone(),
    };
    metadata::append(&mut component, &facts);
    put(output, &component)
}

/// The part of `cargo metadata` that matters here.
#[derive(Deserialize)]
struct Described {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    description: Option<String>,
    license: Option<String>,
    homepage: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Described {
    fn package(&self, build: &Build, manifest: &Path) -> Result<&Package, BuildError> {
        let here = manifest.canonicalize().unwrap_or_else(|_| manifest.to_owned());
        let found = self.packages.iter().find(|p| match &build.package {
            Some(name) => p.name == *name,
            None => p.manifest_path.canonicalize().is_ok_and(|path| path == here),
        });
        let package = found.ok_or_else(|| BuildError::WhichPackage {
            dir: build.dir.clone(),
            packages: self.packages.iter().map(|p| p.name.clone()).collect(),
        })?;
        if package.targets.iter().any(|t| t.crate_types.iter().any(|c| c == "cdylib")) {
            Ok(package)
        } else {
            Err(BuildError::NoModule { package: package.name.clone() })
        }
    }

    /// Whether the workspace defines the profile itself.
    fn defines(&self, profile: &str) -> bool {
        let header = format!("[profile.{profile}");
        std::fs::read_to_string(self.workspace_root.join("Cargo.toml")).is_ok_and(|text| {
            text.lines().any(|line| {
                line.trim().strip_prefix(&header).is_some_and(|rest| rest.starts_with([']', '.']))
            })
        })
    }
}

fn describe(toolchain: &Toolchain, build: &Build, manifest: &Path) -> Result<Described, BuildError> {
    let mut command = toolchain.cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| BuildError::Start { program, source })?;
    let failed = |detail: String| BuildError::Describe { dir: build.dir.clone(), detail };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// A line of cargo's JSON messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn compile(
    toolchain: &Toolchain,
    build: &Build,
    manifest: &Path,
    described: &Described,
    package: &Package,
) -> Result<PathBuf, BuildError> {
    let target_dir = build.target_dir.clone().unwrap_or_else(|| described.target_directory.join("guest"));
    let mut command = toolchain.cargo();
    command
        .args(["build", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(["--profile", &build.profile, "--package", &package.name])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .args(toolchain.build_args())
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", remap(toolchain))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if build.profile == "guest" && !described.defines("guest") {
        for setting in [
            "inherits='release'",
            "opt-level='s'",
            "lto=true",
            "codegen-units=1",
            "panic='abort'",
            "strip='symbols'",
        ] {
            command.arg("--config").arg(format!("profile.guest.{setting}"));
        }
    }
    let program = PathBuf::from(command.get_program());
    let start = |source| BuildError::Start { program: program.clone(), source };
    let mut child = command.spawn().map_err(start)?;
    let mut module = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(start)?;
            let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
            if message.reason == "compiler-artifact"
                && message.manifest_path.as_ref() == Some(&package.manifest_path)
            {
                module = message
                    .filenames
                    .into_iter()
                    .find(|f| f.extension().is_some_and(|e| e == "wasm"))
                    .or(module);
            }
        }
    }
    let status = child.wait().map_err(start)?;
    if !status.success() {
        return Err(BuildError::Compile { package: package.name.clone(), status });
    }
    module.ok_or_else(|| BuildError::NoModule { package: package.name.clone() })
}

/// Flags that keep this machine's paths out of the component: panic messages name source files. Cargo itself names those
/// of the workspace from its root. The flags are the same for every workspace: with others, builds that share a folder
/// would compile the standard library again each time that they take turns.
fn remap(toolchain: &Toolchain) -> String {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let prefixes = [
        Some((toolchain.sysroot().join("lib/rustlib/src/rust"), "/rust")),
        home.map(|home| (home.join("registry/src"), "/crates")),
    ];
    prefixes
        .into_iter()
        .flatten()
        // The variable is split at blanks, and there is no way to quote one.
        .filter(|(from, _)| !from.to_string_lossy().contains(char::is_whitespace))
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_crate_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = match Toolchain::probe() {
            Ok(toolchain) => toolchain,
            // Without one there is nothing to ask; the error is tested where it is made.
            Err(_) => return,
        };
        let build = Build::new(folder.path());
        let error = build_crate(&toolchain, &build, &folder.path().join("x.wasm")).unwrap_err();
        assert!(matches!(error, BuildError::NotACrate { .. }), "{error}");
        std::fs::write(folder.path().join("Cargo.toml"), "[package\n").unwrap();
        let error = build_crate(&toolchain, &build, &folder.path().join("x.wasm")).unwrap_err();
        assert!(matches!(error, BuildError::Describe { .. }), "{error}");
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        std::fs::write(
            folder.path().join("Cargo.toml"),
            "[package]\nname = \"x\"\nedition = \"2024\"\n[workspace]\n",
        )
        .unwrap();
        let error = build_crate(&toolchain, &build, &folder.path().join("x.wasm")).unwrap_err();
        assert!(matches!(error, BuildError::NoModule { .. }), "{error}");
        let wrong = Build { package: Some("y".to_owned()), ..build };
        let error = build_crate(&toolchain, &wrong, &folder.path().join("x.wasm")).unwrap_err();
        assert!(error.to_string().ends_with("there are x"), "{error}");
    }
}

//! Programs that builds need and that package registries have: installed once, into a folder of the user's cache.

use super::BuildError;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes Python sources a component.
pub(super) const COMPONENTIZE_PY: &str = "componentize-py";
const COMPONENTIZE_PY_VERSION: &str = "0.25.1";
/// QuickJS as a component's engine, with the bundler and the type checker that go with it.
const JAVASCRIPT: &str = "componentize-qjs";
const JAVASCRIPT_VERSION: &str = "0.4.5";
const JAVASCRIPT_BESIDE: [&str; 2] = ["rolldown@1.3.3", "typescript@7.0.2"];

/// Where tools are kept, and who is told that one is being installed.
pub struct Tools<'a> {
    folder: PathBuf,
    say: &'a dyn Fn(&str),
}

impl<'a> Tools<'a> {
    /// Tools in a folder; `say` gets a line for people before anything that takes long.
    pub fn new(folder: impl Into<PathBuf>, say: &'a dyn Fn(&str)) -> Self {
        Self { folder: folder.into(), say }
    }

    /// Tells people something.
    pub(super) fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// The folder with componentize-py, as a Python path.
    pub(super) fn componentize_py(&self) -> Result<PathBuf, BuildError> {
        self.installed(COMPONENTIZE_PY, COMPONENTIZE_PY_VERSION, |folder| {
            let mut pip = program("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
                .arg(folder)
                .arg(format!("{COMPONENTIZE_PY}=={COMPONENTIZE_PY_VERSION}"));
            pip
        })
    }

    /// The folder that npm has made of what JavaScript needs.
    pub(super) fn javascript(&self) -> Result<PathBuf, BuildError> {
        self.installed(JAVASCRIPT, JAVASCRIPT_VERSION, |folder| {
            let mut npm = program("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
                .arg("--prefix")
                .arg(folder)
                .arg(format!("{JAVASCRIPT}@{JAVASCRIPT_VERSION}"))
                .args(JAVASCRIPT_BESIDE);
            npm
        })
    }

    /// The folder of a tool, made whole or not at all.
    fn installed(
        &self,
        tool: &'static str,
        version: &str,
        command: impl Fn(&Path) -> Command,
    ) -> Result<PathBuf, BuildError> {
        let name = format!("{}-{version}", tool.rsplit('/').next().unwrap_or(tool));
        let place = self.folder.join(&name);
        if place.is_dir() {
            return Ok(place);
        }
        let io = |source| BuildError::Io { path: self.folder.clone(), source };
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        (self.say)(&format!("installing {tool} {version} (once, into {})", self.folder.display()));
        let new =
            tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(&self.folder).map_err(io)?;
        let mut command = command(new.path());
        let program = PathBuf::from(command.get_program());
        // What it has to say is for people, and not this program's data.
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|source| BuildError::Start { program: program.clone(), source })?;
        if !output.status.success() {
            let detail = last_lines(&[output.stdout, output.stderr].concat(), 6);
            return Err(BuildError::Install { tool, version: version.to_owned(), program, detail });
        }
        let kept = new.keep();
        // Another build may have been quicker: then its copy is as good.
        if let Err(source) = std::fs::rename(&kept, &place)
            && !place.is_dir()
        {
            return Err(io(source));
        }
        if kept.is_dir() {
            std::fs::remove_dir_all(&kept).map_err(io)?;
        }
        Ok(place)
    }
}

/// A program of the path, away from settings that are meant for another project.
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for variable in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NODE_OPTIONS", "NODE_PATH", "GOFLAGS"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a program of a build; what it prints goes to standard error.
pub(super) fn run(tool: &'static str, mut command: Command) -> Result<(), BuildError> {
    let program = PathBuf::from(command.get_program());
    let output =
        command.stdin(Stdio::null()).output().map_err(|source| BuildError::Start { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(BuildError::Tool { tool, status: output.status, detail: last_lines(&said, 40) })
}

/// What a program prints.
pub(super) fn printed(tool: &'static str, command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let program = PathBuf::from(command.get_program());
    let output =
        command.stdin(Stdio::null()).output().map_err(|source| BuildError::Start { program, source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(BuildError::Tool { tool, status: output.status, detail: last_lines(&output.stderr, 6) })
}

fn last_lines(said: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}

/// Folders as the value of a path variable; one that holds a separator cannot be in it.
pub(super) fn path_list<P: AsRef<OsStr>>(folders: &[P]) -> Result<std::ffi::OsString, BuildError> {
    std::env::join_paths(folders).map_err(|error| BuildError::BadProject {
        file: folders.first().map(|f| PathBuf::from(f.as_ref())).unwrap_or_default(),
        detail: error.to_string(),
    })
}

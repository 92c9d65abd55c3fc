//! Which Rust toolchain of this machine can compile to WebAssembly.

use super::{BuildError, TARGET};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian puts its toolchain, beside one of rustup that may be first on the path.
const SYSTEM: &str = "/usr/bin";

/// A Rust toolchain that can compile stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    /// The standard library has to be built along, from sources that the toolchain brings.
    build_std: bool,
    /// The linker, where the toolchain does not bring its own.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Looks for a toolchain: the one on the path, then the system's; one with the target installed wins over one that
    /// has to build the standard library.
    ///
    /// # Errors
    /// [`BuildError::NoToolchain`], which names the commands that install one.
    pub fn probe() -> Result<Self, BuildError> {
        let mut usable = Vec::new();
        let mut found = Vec::new();
        for (rustc, cargo) in candidates() {
            match Self::examine(&rustc, &cargo) {
                Ok(toolchain) if !toolchain.build_std => return Ok(toolchain),
                Ok(toolchain) => usable.push(toolchain),
                Err(lack) => found.push(format!("{} {lack}", rustc.display())),
            }
        }
        usable.into_iter().next().ok_or(BuildError::NoToolchain { found })
    }

    fn examine(rustc: &Path, cargo: &Path) -> Result<Self, String> {
        let output = Command::new(rustc)
            .args(["--print", "sysroot"])
            .output()
            .map_err(|error| format!("does not start: {error}"))?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if !output.status.success() || !sysroot.is_absolute() {
            return Err("does not tell its sysroot".to_owned());
        }
        let lib = sysroot.join("lib/rustlib");
        let installed = has_entry(&lib.join(TARGET).join("lib"), |name| name.starts_with("libstd-"));
        let sources = lib.join("src/rust/library/std/Cargo.toml").is_file();
        if !installed && !sources {
            return Err(format!("has neither {TARGET} nor the sources of the standard library"));
        }
        let own_linker = std::fs::read_dir(&lib).is_ok_and(|mut targets| {
            targets.any(|t| t.is_ok_and(|t| t.path().join("bin/rust-lld").is_file()))
        });
        let linker =
            if own_linker { None } else { Some(on_path("wasm-ld").ok_or("has no linker: lld is missing")?) };
        Ok(Self { cargo: cargo.to_owned(), rustc: rustc.to_owned(), sysroot, build_std: !installed, linker })
    }

    /// Whether the standard library is built along, which takes minutes the first time.
    #[must_use]
    pub fn builds_std(&self) -> bool {
        self.build_std
    }

    /// The compiler.
    #[must_use]
    pub fn rustc(&self) -> &Path {
        &self.rustc
    }

    /// Where the compiler and its libraries are.
    pub(crate) fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// Cargo, set up to use this compiler and nothing that an outer cargo left in the environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            if is_leftover(&name) {
                command.env_remove(name);
            }
        }
        command.env("RUSTC", &self.rustc);
        if self.build_std {
            // build-std is a nightly feature that these compilers have, switched off.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    /// Arguments of `cargo build` that this toolchain needs.
    pub(crate) fn build_args(&self) -> &'static [&'static str] {
        if self.build_std { &["-Z", "build-std=std,panic_abort"] } else { &[] }
    }
}

/// What `cargo run` and `cargo test` set for their children, and flags that are meant for native code.
fn is_leftover(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    const FIXED: [&str; 10] = [
        "CARGO",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ];
    FIXED.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_")
}

/// Compilers, each with its cargo.
fn candidates() -> Vec<(PathBuf, PathBuf)> {
    let mut all = Vec::new();
    if let (Some(rustc), Some(cargo)) = (on_path("rustc"), on_path("cargo")) {
        all.push((rustc, cargo));
    }
    let system = (Path::new(SYSTEM).join("rustc"), Path::new(SYSTEM).join("cargo"));
    if system.0.is_file() && system.1.is_file() && all.iter().all(|(rustc, _)| *rustc != system.0) {
        all.push(system);
    }
    all
}

fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn has_entry(folder: &Path, test: impl Fn(&str) -> bool) -> bool {
    std::fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| e.file_name().to_str().is_some_and(&test))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_both_ways_to_install() {
        let text = BuildError::NoToolchain { found: vec!["/x/rustc has nothing".to_owned()] }.to_string();
        assert!(text.contains("rustup target add wasm32-unknown-unknown"), "{text}");
        assert!(
            text.contains("apt-get install rustc-web cargo-web rust-web-src lld (/x/rustc")
                || text.contains("lld` (/x/rustc"),
            "{text}"
        );
    }

    #[test]
    fn a_compiler_without_anything_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let rustc = folder.path().join("rustc");
        std::fs::write(&rustc, format!("#!/bin/sh\necho {}\n", folder.path().display())).unwrap();
        std::fs::set_permissions(&rustc, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let lack = Toolchain::examine(&rustc, &rustc).unwrap_err();
        assert_eq!(lack, "has neither wasm32-unknown-unknown nor the sources of the standard library");
        let std = folder.path().join("lib/rustlib/wasm32-unknown-unknown/lib");
        std::fs::create_dir_all(&std).unwrap();
        std::fs::write(std.join("libstd-0.rlib"), "").unwrap();
        let bin = folder.path().join("lib/rustlib/host/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("rust-lld"), "").unwrap();
        let toolchain = Toolchain::examine(&rustc, &rustc).unwrap();
        assert!(!toolchain.builds_std() && toolchain.linker.is_none());
    }

    #[test]
    fn cargos_own_variables_do_not_leak() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTFLAGS"] {
            assert!(is_leftover(name.as_ref()), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!is_leftover(name.as_ref()), "{name}");
        }
    }
}

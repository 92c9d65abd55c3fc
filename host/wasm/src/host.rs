//! The host of components: finds their files and loads what is in them.

use crate::cache::Cache;
use crate::engine::{Ticker, engine};
use crate::error::{HostError, LoadError, LoadProblem};
use crate::limits::Limits;
use crate::link::Shared;
use crate::log::{LogSink, TracingSink};
use crate::memory::Memory;
use crate::plugin::Plugin;
use crate::source::{self, Seen};
use crate::state::Identity;
use std::any::Any;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Is told when a component is compiled, which takes seconds where its language brings a runtime; once, for what is made is
/// kept.
pub trait CompileWatch: Send + Sync {
    /// It begins; the answer is dropped when it has ended, well or not.
    fn begins(&self, file: &Path, bytes: u64) -> Box<dyn Any>;
}

/// Loads components. Cheap to make; compiles only what the cache does not have.
pub struct Host(Shared);

impl Host {
    /// A host with these limits, that keeps compiled components in a folder (made with mode 0700 where it is missing).
    ///
    /// # Errors
    /// [`HostError`] when the engine does not start, or the folder cannot be used or belongs to someone else.
    pub fn new(limits: Limits, cache: Option<PathBuf>) -> Result<Self, HostError> {
        let engine = engine(&limits)?;
        let cache = cache.map(|folder| Cache::open(folder, &engine)).transpose()?.map(Arc::new);
        Ok(Self(Shared {
            engine,
            limits,
            seen: Arc::new(Seen::open(cache.as_ref().and_then(|cache| cache.memory("files")))),
            cache,
            sink: Arc::new(TracingSink),
            compile_command: None,
            compile_watch: None,
            ticker: Arc::new(Ticker::new()),
            lean: Arc::default(),
            with_wasi: Arc::default(),
        }))
    }

    /// Sends what components log elsewhere than to `tracing`.
    #[must_use]
    pub fn with_log_sink(mut self, sink: Arc<dyn LogSink>) -> Self {
        self.0.sink = sink;
        self
    }

    /// Compiles in a process of its own, so that [`Limits::compile_time`] and [`Limits::compile_memory_bytes`] hold.
    ///
    /// The command is a program and its first arguments; it has to pass those that the host appends to
    /// [`compile_child_main`](crate::compile_child_main). As a rule it is this very program with a hidden subcommand.
    #[must_use]
    pub fn with_compile_command(mut self, command: Vec<OsString>) -> Self {
        self.0.compile_command = Some(command.into());
        self
    }

    /// Tells somebody when a component is compiled.
    #[must_use]
    pub fn with_compile_watch(mut self, watch: Arc<dyn CompileWatch>) -> Self {
        self.0.compile_watch = Some(watch);
        self
    }

    /// A place beside the compiled components where a program remembers what it has found out about what they say; none
    /// without a cache. The name is a file's.
    #[must_use]
    pub fn memory(&self, name: &str) -> Option<Memory> {
        self.0.cache.as_ref()?.memory(name)
    }

    /// The limits that hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Loads every `*.wasm` of a folder, in the order of their names.
    ///
    /// # Errors
    /// [`LoadError`] for the first that cannot be loaded, or when there is none.
    pub fn load_folder(&self, folder: &Path) -> Result<Vec<Plugin>, LoadError> {
        let fail = |problem| LoadError { file: folder.to_owned(), digest: None, problem };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|e| fail(LoadProblem::Io(e)))? {
            let path = entry.map_err(|e| fail(LoadProblem::Io(e)))?.path();
            if path.extension().is_some_and(|e| e == "wasm") && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(fail(LoadProblem::NoPlugins));
        }
        files.sort();
        files.iter().map(|file| self.load(file)).collect()
    }

    /// Loads files, and every `*.wasm` of folders, in the order given. One file that is named twice is loaded once.
    ///
    /// # Errors
    /// [`LoadError`] for the first that cannot be loaded, or when a folder has none.
    pub fn load_paths(&self, paths: &[PathBuf]) -> Result<Vec<Plugin>, LoadError> {
        let mut plugins: Vec<Plugin> = Vec::new();
        for path in paths {
            let more = if path.is_dir() { self.load_folder(path)? } else { vec![self.load(path)?] };
            for plugin in more {
                let known = plugins
                    .iter()
                    .any(|p| p.digest() == plugin.digest() && same_file(p.file(), plugin.file()));
                if !known {
                    plugins.push(plugin);
                }
            }
        }
        Ok(plugins)
    }

    /// Loads one component: checks and links it, and compiles it when the cache does not have it. One that this program
    /// has [remembered](Plugin::remember) is linked when it is first called.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read, is too large, is no component, is none of ours, asks for what this host
    /// does not offer, or cannot be compiled.
    pub fn load(&self, path: &Path) -> Result<Plugin, LoadError> {
        self.load_as(path, None, path)
    }

    /// Loads one component whose bytes are known beforehand: others are refused before anything is done with them. `name` is
    /// what people know it by, in place of the file.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`LoadProblem::Digest`].
    pub fn load_pinned(&self, path: &Path, expected: &str, name: &str) -> Result<Plugin, LoadError> {
        self.load_as(path, Some(expected), Path::new(name))
    }

    fn load_as(&self, path: &Path, expected: Option<&str>, name: &Path) -> Result<Plugin, LoadError> {
        let fail = |digest, problem| LoadError { file: name.to_owned(), digest, problem };
        let digest = source::digest(path, self.0.limits.component_bytes, &self.0.seen)
            .map_err(|problem| fail(None, problem))?;
        self.0.seen.keep();
        if let Some(expected) = expected.filter(|expected| *expected != digest.as_str()) {
            return Err(fail(Some(digest), LoadProblem::Digest { expected: expected.to_owned() }));
        }
        let identity = Identity { file: name.to_owned(), path: path.to_owned(), digest };
        Plugin::load(self.0.clone(), identity)
            .map_err(|(identity, problem)| fail(Some(identity.digest.clone()), problem))
    }
}

fn same_file(one: &Path, two: &Path) -> bool {
    one == two || matches!((one.canonicalize(), two.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

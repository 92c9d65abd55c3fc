//! The host of components: finds, checks, compiles and links them.

use crate::bindings::StagePluginPre;
use crate::bindings::host_log::Level;
use crate::cache::{Cache, hash};
use crate::check;
use crate::compile;
use crate::engine::{Ticker, engine};
use crate::error::{HostError, LoadError, LoadProblem};
use crate::limits::Limits;
use crate::log::{LogSink, TracingSink};
use crate::memory::Memory;
use crate::plugin::{Plugin, PluginInner};
use crate::state::{Identity, State};
use crate::wasi;
use ilab_core::names::PluginDigest;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime::component::{Component, Linker, WasmStr};
use wasmtime::{Engine, StoreContextMut};

/// Loads components. Cheap to make; compiles only what the cache does not have.
pub struct Host {
    engine: Engine,
    limits: Limits,
    cache: Option<Cache>,
    sink: Arc<dyn LogSink>,
    compile_command: Option<Vec<OsString>>,
    ticker: Arc<Ticker>,
    /// For components that ask for nothing but the log.
    lean: Linker<State>,
    /// The same with an empty WASI; made when the first component asks for it.
    with_wasi: OnceLock<Linker<State>>,
}

impl Host {
    /// A host with these limits, that keeps compiled components in a folder (made with mode 0700 where it is missing).
    ///
    /// # Errors
    /// [`HostError`] when the engine does not start, or the folder cannot be used or belongs to someone else.
    pub fn new(limits: Limits, cache: Option<PathBuf>) -> Result<Self, HostError> {
        let engine = engine(&limits)?;
        let cache = cache.map(|folder| Cache::open(folder, &engine)).transpose()?;
        let lean = linker(&engine).map_err(|error| HostError::Engine { detail: format!("{error:#}") })?;
        Ok(Self {
            engine,
            limits,
            cache,
            sink: Arc::new(TracingSink),
            compile_command: None,
            ticker: Arc::new(Ticker::new()),
            lean,
            with_wasi: OnceLock::new(),
        })
    }

    /// Sends what components log elsewhere than to `tracing`.
    #[must_use]
    pub fn with_log_sink(mut self, sink: Arc<dyn LogSink>) -> Self {
        self.sink = sink;
        self
    }

    /// Compiles in a process of its own, so that [`Limits::compile_time`] and [`Limits::compile_memory_bytes`] hold.
    ///
    /// The command is a program and its first arguments; it has to pass those that the host appends to
    /// [`compile_child_main`](crate::compile_child_main). As a rule it is this very program with a hidden subcommand.
    #[must_use]
    pub fn with_compile_command(mut self, command: Vec<OsString>) -> Self {
        self.compile_command = Some(command);
        self
    }

    /// A place beside the compiled components where a program remembers what it has found out about what they say; none
    /// without a cache. The name is a file's.
    #[must_use]
    pub fn memory(&self, name: &str) -> Option<Memory> {
        self.cache.as_ref()?.memory(name)
    }

    /// The limits that hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
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

    /// Loads one component: checks and links it, and compiles it when the cache does not have it.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read, is too large, is no component, is none of ours, asks for what this host
    /// does not offer, or cannot be compiled.
    pub fn load(&self, path: &Path) -> Result<Plugin, LoadError> {
        let mut digest = None;
        self.load_inner(path, &mut digest).map_err(|problem| LoadError {
            file: path.to_owned(),
            digest,
            problem,
        })
    }

    fn load_inner(&self, path: &Path, seen: &mut Option<PluginDigest>) -> Result<Plugin, LoadProblem> {
        let mut source = Source::open(path, self.limits.component_bytes)?;
        *seen = Some(source.digest.clone());
        let component = self.component(path, &mut source)?;
        let facts = check::interface(&self.engine, &component)?;
        let linker = if facts.wasi { self.wasi_linker()? } else { &self.lean };
        let signature = |error: wasmtime::Error| LoadProblem::Signature { detail: format!("{error:#}") };
        let pre = linker.instantiate_pre(&component).map_err(signature)?;
        let pre = StagePluginPre::new(pre).map_err(signature)?;
        let memory = self.cache.as_ref().and_then(|cache| cache.stages(&source.digest));
        Ok(Plugin::new(PluginInner {
            identity: Arc::new(Identity { file: path.to_owned(), digest: source.digest }),
            engine: self.engine.clone(),
            limits: self.limits.clone(),
            sink: Arc::clone(&self.sink),
            ticker: Arc::clone(&self.ticker),
            pre,
            facts,
            descriptors: OnceLock::new(),
            memory,
        }))
    }

    fn wasi_linker(&self) -> Result<&Linker<State>, LoadProblem> {
        if let Some(linker) = self.with_wasi.get() {
            return Ok(linker);
        }
        let made =
            linker(&self.engine).and_then(|mut linker| wasi::add_to_linker(&mut linker).map(|()| linker));
        let made = made.map_err(|error| LoadProblem::Host { detail: format!("{error:#}") })?;
        Ok(self.with_wasi.get_or_init(|| made))
    }

    fn component(&self, path: &Path, source: &mut Source) -> Result<Component, LoadProblem> {
        let Some(cache) = &self.cache else {
            return self.compile_uncached(path, source);
        };
        if let Some(component) = cache.find(&source.digest).and_then(|code| self.deserialize(&code).ok()) {
            return Ok(component);
        }
        tracing::debug!(file = %path.display(), digest = source.digest.as_str(), "compiling");
        let bytes = source.bytes()?;
        let mut code = match cache.temporary() {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(folder = %cache.folder().display(), %error, "the compile cache cannot be written");
                return self.compile_uncached(path, source);
            }
        };
        let kept =
            self.compile_to(path, source, &bytes, &mut code)?.and_then(|()| cache.keep(&source.digest, code));
        match kept {
            Ok(code) => self.deserialize(&code),
            // A full disk, for example: slower, but no reason to stop.
            Err(error) => {
                tracing::warn!(folder = %cache.folder().display(), %error, "a compiled component cannot be kept");
                Component::from_binary(&self.engine, &bytes)
                    .map_err(|e| LoadProblem::Compile { detail: format!("{e:#}") })
            }
        }
    }

    /// Compiles into a file. The inner result is about writing it.
    fn compile_to(
        &self,
        path: &Path,
        source: &Source,
        bytes: &[u8],
        code: &mut tempfile::NamedTempFile,
    ) -> Result<std::io::Result<()>, LoadProblem> {
        match &self.compile_command {
            Some(command) => {
                let sha256 = source.digest.as_str().trim_start_matches("sha256:");
                compile::in_child(command, &self.limits, &self.engine, path, sha256, code.path())?;
                Ok(Ok(()))
            }
            None => {
                let compiled = compile::here(&self.engine, bytes)?;
                Ok(std::io::Write::write_all(code, &compiled))
            }
        }
    }

    /// Compiles without keeping the result.
    fn compile_uncached(&self, path: &Path, source: &mut Source) -> Result<Component, LoadProblem> {
        let bytes = source.bytes()?;
        if self.compile_command.is_none() {
            return Component::from_binary(&self.engine, &bytes)
                .map_err(|error| compile::refused(&format!("{error:#}")));
        }
        let folder = tempfile::tempdir().map_err(LoadProblem::Io)?;
        let mut code = tempfile::NamedTempFile::new_in(folder.path()).map_err(LoadProblem::Io)?;
        self.compile_to(path, source, &bytes, &mut code)?.map_err(LoadProblem::Io)?;
        self.deserialize(code.path())
    }

    #[expect(unsafe_code, reason = "loading native code that this program compiled is unsafe by nature")]
    fn deserialize(&self, code: &Path) -> Result<Component, LoadProblem> {
        // SAFETY: the file was written by this program (or a child of it) in a folder that only its user can write,
        // for an engine with the same key, and has the SHA-256 that was recorded then; it is replaced by renaming,
        // never written in place, so the mapping does not change.
        unsafe { Component::deserialize_file(&self.engine, code) }
            .map_err(|error| LoadProblem::Host { detail: format!("{error:#}") })
    }
}

fn same_file(one: &Path, two: &Path) -> bool {
    one == two || matches!((one.canonicalize(), two.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A component's file, hashed.
struct Source {
    file: File,
    digest: PluginDigest,
    limit: u64,
}

impl Source {
    fn open(path: &Path, limit: u64) -> Result<Self, LoadProblem> {
        let mut file = File::open(path).map_err(LoadProblem::Io)?;
        let meta = file.metadata().map_err(LoadProblem::Io)?;
        if !meta.is_file() {
            return Err(LoadProblem::Io(std::io::Error::other("not a regular file")));
        }
        if meta.len() > limit {
            return Err(LoadProblem::TooLarge { size: meta.len(), limit });
        }
        let mut head = Vec::with_capacity(8);
        (&mut file).take(8).read_to_end(&mut head).map_err(LoadProblem::Io)?;
        check::header(&head)?;
        file.rewind().map_err(LoadProblem::Io)?;
        let (sha256, size) = hash((&mut file).take(limit + 1)).map_err(LoadProblem::Io)?;
        if size > limit {
            return Err(LoadProblem::TooLarge { size, limit });
        }
        let digest = serde_json::from_value(format!("sha256:{sha256}").into())
            .map_err(|error| LoadProblem::Host { detail: error.to_string() })?;
        Ok(Self { file, digest, limit })
    }

    /// The bytes that the digest was made of.
    fn bytes(&mut self) -> Result<Vec<u8>, LoadProblem> {
        let mut bytes = Vec::new();
        self.file.rewind().map_err(LoadProblem::Io)?;
        (&mut self.file).take(self.limit).read_to_end(&mut bytes).map_err(LoadProblem::Io)?;
        if PluginDigest::of(&bytes) != self.digest {
            return Err(LoadProblem::Changed);
        }
        Ok(bytes)
    }
}

/// A linker with what every component may call: the log.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let mut log = linker.instance(&format!("ilab:pipeline/host-log@{}", crate::WIT_VERSION))?;
    // The message stays in the guest's memory and is looked at there; only its beginning is copied.
    log.func_wrap("log", |mut store: StoreContextMut<'_, State>, (level, message): (Level, WasmStr)| {
        const LOOKED_AT: usize = 1 << 20;
        let text = message.to_str(&store)?;
        let text = text[..text.floor_char_boundary(LOOKED_AT)].to_owned();
        store.data_mut().log(level, &text);
        Ok(())
    })?;
    Ok(linker)
}

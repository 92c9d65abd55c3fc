//! From a component's file to something that can be called: compiled, or found compiled, and linked.

use crate::bindings::StagePluginPre;
use crate::bindings::host_log::Level;
use crate::cache::Cache;
use crate::check::{self, Facts};
use crate::compile;
use crate::engine::Ticker;
use crate::error::LoadProblem;
use crate::host::CompileWatch;
use crate::limits::Limits;
use crate::log::LogSink;
use crate::source::{self, Seen};
use crate::state::State;
use crate::wasi;
use ilab_core::names::PluginDigest;
use std::any::Any;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use wasmtime::component::{Component, Linker, WasmStr};
use wasmtime::{Engine, StoreContextMut};

/// What a host and the plugins that it loaded have in common. Clones share everything but the settings.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) sink: Arc<dyn LogSink>,
    pub(crate) compile_command: Option<Arc<[OsString]>>,
    pub(crate) compile_watch: Option<Arc<dyn CompileWatch>>,
    pub(crate) ticker: Arc<Ticker>,
    /// For components that ask for nothing but the log; made when the first is linked.
    pub(crate) lean: Arc<OnceLock<Linker<State>>>,
    /// The same with an empty WASI.
    pub(crate) with_wasi: Arc<OnceLock<Linker<State>>>,
}

impl Shared {
    /// Compiles a component where the cache does not have it, and links it.
    pub(crate) fn link(
        &self,
        path: &Path,
        digest: &PluginDigest,
    ) -> Result<(StagePluginPre<State>, Facts), LoadProblem> {
        let component = self.component(path, digest)?;
        let facts = check::interface(&self.engine, &component)?;
        let signature = |error: wasmtime::Error| LoadProblem::Signature { detail: format!("{error:#}") };
        let pre = self.linker(facts.wasi)?.instantiate_pre(&component).map_err(signature)?;
        Ok((StagePluginPre::new(pre).map_err(signature)?, facts))
    }

    fn linker(&self, wasi: bool) -> Result<&Linker<State>, LoadProblem> {
        let place = if wasi { &self.with_wasi } else { &self.lean };
        if let Some(linker) = place.get() {
            return Ok(linker);
        }
        let made = linker(&self.engine).and_then(|mut linker| {
            if wasi { wasi::add_to_linker(&mut linker).map(|()| linker) } else { Ok(linker) }
        });
        let made = made.map_err(|error| LoadProblem::Host { detail: format!("{error:#}") })?;
        Ok(place.get_or_init(|| made))
    }

    fn component(&self, path: &Path, digest: &PluginDigest) -> Result<Component, LoadProblem> {
        let Some(cache) = &self.cache else {
            let bytes = self.bytes(path, digest)?;
            let _watched = self.watched(path, &bytes);
            return self.compile_bytes(path, digest, &bytes);
        };
        if let Some(component) = cache.find(digest).and_then(|code| self.deserialize(&code).ok()) {
            return Ok(component);
        }
        tracing::debug!(file = %path.display(), digest = digest.as_str(), "compiling");
        let bytes = self.bytes(path, digest)?;
        let _watched = self.watched(path, &bytes);
        let mut code = match cache.temporary() {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(folder = %cache.folder().display(), %error, "the compile cache cannot be written");
                return self.compile_bytes(path, digest, &bytes);
            }
        };
        let kept = self.compile_to(path, digest, &bytes, &mut code)?.and_then(|()| cache.keep(digest, code));
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

    fn bytes(&self, path: &Path, digest: &PluginDigest) -> Result<Vec<u8>, LoadProblem> {
        source::bytes(path, self.limits.component_bytes, digest)
    }

    /// Compiles into a file. The inner result is about writing it.
    fn compile_to(
        &self,
        path: &Path,
        digest: &PluginDigest,
        bytes: &[u8],
        code: &mut tempfile::NamedTempFile,
    ) -> Result<std::io::Result<()>, LoadProblem> {
        match &self.compile_command {
            Some(command) => {
                let sha256 = digest.as_str().trim_start_matches("sha256:");
                compile::in_child(command, &self.limits, &self.engine, path, sha256, code.path())?;
                Ok(Ok(()))
            }
            None => {
                let compiled = compile::here(&self.engine, bytes)?;
                Ok(std::io::Write::write_all(code, &compiled))
            }
        }
    }

    fn watched(&self, path: &Path, bytes: &[u8]) -> Option<Box<dyn Any>> {
        self.compile_watch.as_ref().map(|watch| watch.begins(path, bytes.len() as u64))
    }

    /// Compiles without keeping the result.
    fn compile_bytes(
        &self,
        path: &Path,
        digest: &PluginDigest,
        bytes: &[u8],
    ) -> Result<Component, LoadProblem> {
        if self.compile_command.is_none() {
            return Component::from_binary(&self.engine, bytes)
                .map_err(|error| compile::refused(&format!("{error:#}")));
        }
        let folder = tempfile::tempdir().map_err(LoadProblem::Io)?;
        let mut code = tempfile::NamedTempFile::new_in(folder.path()).map_err(LoadProblem::Io)?;
        self.compile_to(path, digest, bytes, &mut code)?.map_err(LoadProblem::Io)?;
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

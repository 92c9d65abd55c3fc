//! What belongs to one call: the guest's allowances, where its log goes, and an empty WASI should it ask for one.

use crate::bindings::host_log::Level;
use crate::escape::escape;
use crate::limits::Limits;
use crate::log::{Budget, LogLevel, LogLine, LogSink};
use crate::wasi::{Wasi, World};
use ilab_core::names::PluginDigest;
use std::path::PathBuf;
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Which component this is, for messages.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What people know it by: its file, or its reference in a registry.
    pub(crate) file: PathBuf,
    /// Where its bytes are.
    pub(crate) path: PathBuf,
    pub(crate) digest: PluginDigest,
}

/// A store's data: made for one call and dropped after it.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) handles: usize,
    pub(crate) world: World,
    log: Log,
}

struct Log {
    identity: Arc<Identity>,
    stage: Option<String>,
    sink: Arc<dyn LogSink>,
    budget: Budget,
    last_error: Option<String>,
    silent: bool,
}

impl State {
    pub(crate) fn new(
        identity: Arc<Identity>,
        stage: Option<String>,
        sink: Arc<dyn LogSink>,
        limits: &Limits,
        world: World,
    ) -> Self {
        Self {
            limiter: Limiter::new(limits),
            wasi: None,
            handles: limits.handles,
            world,
            log: Log { identity, stage, sink, budget: Budget::new(limits), last_error: None, silent: true },
        }
    }

    /// Passes a message of the guest on, as far as its allowance goes.
    pub(crate) fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.say(level, message);
    }

    fn say(&mut self, level: LogLevel, message: &str) {
        let Log { identity, stage, sink, budget, last_error, silent } = &mut self.log;
        *silent = false;
        if level == LogLevel::Error {
            *last_error = Some(one_line(message));
        }
        budget.spend(message, |text| {
            sink.line(&LogLine {
                file: &identity.file,
                digest: &identity.digest,
                stage: stage.as_deref(),
                level,
                text,
            });
        });
    }

    /// Whether the guest has said nothing so far.
    pub(crate) fn silent(&self) -> bool {
        self.log.silent && self.wasi.as_ref().is_none_or(|wasi| wasi.stderr_text().is_empty())
    }

    /// Ends the log: what a WASI guest wrote to its standard error, and a word about what was dropped. Returns the last
    /// error that was logged.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if let Some(text) = self.wasi.as_ref().map(|w| w.stderr_text()).filter(|t| !t.is_empty()) {
            self.say(LogLevel::Warn, &text);
            if self.log.last_error.is_none() {
                // Where a language writes why it gave up; the first line says it, the rest is its stack.
                self.log.last_error = text.lines().find(|l| !l.trim().is_empty()).map(one_line);
            }
        }
        if let Some(text) = self.log.budget.farewell() {
            let Log { identity, stage, sink, .. } = &self.log;
            let (level, text) = (LogLevel::Warn, text.as_str());
            sink.line(&LogLine {
                file: &identity.file,
                digest: &identity.digest,
                stage: stage.as_deref(),
                level,
                text,
            });
        }
        self.log.last_error.take()
    }
}

/// A message short enough for the middle of an error.
fn one_line(message: &str) -> String {
    const MAX: usize = 400;
    let cut = &message[..message.floor_char_boundary(MAX)];
    let text = escape(cut.trim_end());
    if cut.len() < message.len() { format!("{text}…") } else { text.into_owned() }
}

/// Counts what the instances of one call have, all together, and remembers which limit was hit.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    elements: usize,
    memory_limit: usize,
    element_limit: usize,
    tables: usize,
    memories: usize,
    instances: usize,
    pub(crate) hit: Option<Hit>,
}

/// A limit that was hit, with what it would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    Memory(usize),
    Table(usize),
}

impl Limiter {
    fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            elements: 0,
            memory_limit: limits.memory_bytes,
            element_limit: limits.table_elements,
            tables: limits.tables,
            memories: limits.memories,
            instances: limits.instances,
            hit: None,
        }
    }
}

fn grow(used: &mut usize, limit: usize, current: usize, desired: usize) -> Result<(), usize> {
    let wanted = used.saturating_add(desired.saturating_sub(current));
    if wanted > limit {
        return Err(wanted);
    }
    *used = wanted;
    Ok(())
}

/// Growth beyond a limit ends the call, rather than telling the guest that there is no memory: a guest that handles
/// that goes on in some other way, and the user never learns why.
impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        grow(&mut self.memory, self.memory_limit, current, desired).map(|()| true).map_err(|wanted| {
            self.hit = Some(Hit::Memory(wanted));
            wasmtime::Error::msg("memory limit")
        })
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        grow(&mut self.elements, self.element_limit, current, desired).map(|()| true).map_err(|wanted| {
            self.hit = Some(Hit::Table(wanted));
            wasmtime::Error::msg("table limit")
        })
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 40, None).is_ok());
        assert!(limiter.memory_growing(40, 41, None).is_err());
        assert_eq!(limiter.hit, Some(Hit::Memory(101)));
    }
}

//! What stages say, bounded and made safe, on its way to whoever wants it.

use crate::escape::escape;
use crate::limits::{Limits, bytes};
use ilab_core::names::PluginDigest;
use std::path::Path;

/// How important a line is, in the guest's opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the stage's author.
    Debug,
    /// For the person who runs it.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// One line that a stage logged. Its text holds no control characters.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// The component's file.
    pub file: &'a Path,
    /// The component's digest.
    pub digest: &'a PluginDigest,
    /// The stage that was called; none while the component describes its stages.
    pub stage: Option<&'a str>,
    /// How important it is.
    pub level: LogLevel,
    /// What was said.
    pub text: &'a str,
}

/// Takes the lines that stages log. Called on the thread that called the stage, while the guest waits.
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn line(&self, line: &LogLine<'_>);
}

/// Hands lines to `tracing`, target `ilab_wasm::guest`. The default.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, line: &LogLine<'_>) {
        let stage = line.stage.unwrap_or("-");
        macro_rules! emit {
            ($level:ident) => {
                tracing::$level!(target: "ilab_wasm::guest", stage, digest = line.digest.short(), "{}", line.text)
            };
        }
        match line.level {
            LogLevel::Debug => emit!(debug),
            LogLevel::Info => emit!(info),
            LogLevel::Warn => emit!(warn),
            LogLevel::Error => emit!(error),
        }
    }
}

/// What is left of a call's allowance for logging, and what it cost so far.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: usize,
    lines: usize,
    dropped: u64,
    limit_bytes: usize,
    limit_lines: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: limits.log_bytes,
            lines: limits.log_lines,
            dropped: 0,
            limit_bytes: limits.log_bytes,
            limit_lines: limits.log_lines,
        }
    }

    /// Hands the lines of a message to `out` as far as the allowance goes; counts the rest.
    pub(crate) fn spend(&mut self, message: &str, mut out: impl FnMut(&str)) {
        if self.lines == 0 || self.bytes == 0 {
            // Not even looked at: a flood must not cost more than the calls themselves.
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        for line in message.lines() {
            if self.lines == 0 || self.bytes == 0 {
                self.dropped = self.dropped.saturating_add(1);
                continue;
            }
            let cut = floor_char_boundary(line, self.bytes);
            self.bytes -= cut.len();
            self.lines -= 1;
            if cut.len() < line.len() {
                self.bytes = 0;
                out(&format!("{}… (cut)", escape(cut)));
            } else {
                out(&escape(cut));
            }
        }
    }

    /// What to say about the lines that were dropped, if any.
    pub(crate) fn farewell(&self) -> Option<String> {
        (self.dropped > 0).then(|| {
            format!(
                "{} more log lines were dropped: a call may log {} lines and {}",
                self.dropped,
                self.limit_lines,
                bytes(self.limit_bytes as u64)
            )
        })
    }
}

fn floor_char_boundary(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(limits: &Limits, messages: &[&str]) -> (Vec<String>, Option<String>) {
        let mut budget = Budget::new(limits);
        let mut lines = Vec::new();
        for message in messages {
            budget.spend(message, |line| lines.push(line.to_owned()));
        }
        (lines, budget.farewell())
    }

    #[test]
    fn lines_and_bytes_are_bounded() {
        let limits = Limits { log_lines: 2, log_bytes: 10, ..Limits::default() };
        let (lines, rest) = spend(&limits, &["a\nb\nc", "d"]);
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(rest.unwrap(), "2 more log lines were dropped: a call may log 2 lines and 10 bytes");
        let (lines, _) = spend(&limits, &["ääääää", "x"]);
        assert_eq!(lines, ["äääää… (cut)"]);
        let (lines, rest) = spend(&limits, &["\u{1b}[1m"]);
        assert_eq!(lines, ["\\u{1b}[1m"]);
        assert_eq!(rest, None);
    }
}

//! Events for a person: a line for what happened, and on a terminal a moving line for each stage that runs.

use ilab_core::names::StageName;
use ilab_engine::{Event, StageFailure};
use ilab_wasm::escape::escape;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

/// Longest value of an output that is shown; `runs status` has the whole.
const VALUE_WIDTH: usize = 100;

/// Shows a run on stderr.
#[derive(Debug)]
pub struct Terminal {
    bars: Option<MultiProgress>,
    running: BTreeMap<StageName, ProgressBar>,
}

impl Terminal {
    /// Draws on stderr when that is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, running: BTreeMap::new() }
    }

    /// Shows one event. Everything that a pod, a component or the cluster said is escaped.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, namespace, stages, resumed } => {
                let names: Vec<_> = stages.iter().map(StageName::as_str).collect();
                let verb = if *resumed { "resuming" } else { "starting" };
                self.say(&format!("{verb} run {run} in namespace {namespace}: {}", names.join(" → ")));
            }
            Event::Preflight { finding } => {
                self.say(&format!("warning: {} (try: {})", escape(&finding.what), escape(&finding.hint)))
            }
            Event::Ungranted { stage, file, digest } => {
                let (file, digest) = (escape(file), digest.short());
                self.say(&format!(
                    "warning: {stage}: {file} ({digest}) has no grant and may do what it asks for"
                ));
            }
            Event::Exempted { stage, path, value, reason, rule, .. } => {
                let (path, value, reason) = (escape(path), escape(value), escape(reason));
                self.say(&format!("{stage}: {path}: {value} by an exemption: {reason} [{rule}]"));
            }
            Event::StageReused { stage, .. } => self.say(&format!("{stage}: finished before, not run again")),
            Event::ObjectApplied { stage: Some(stage), object, created: true, .. } => {
                self.say(&format!("{stage}: created {object}"));
            }
            Event::ObjectApplied { stage: None, object, created: true, .. } => {
                self.say(&format!("created {object}"))
            }
            Event::StageStarted { stage, attempt, reattached } => self.started(stage, *attempt, *reattached),
            Event::Pending { stage, why, .. } => match self.running.get(stage) {
                Some(bar) => bar.set_message(escape(why).into_owned()),
                None => self.say(&format!("{stage}: {}", escape(why))),
            },
            Event::Queued { stage, queue, admitted: true, .. } => {
                self.say(&format!("{stage}: admitted by the queue {}", escape(queue)));
            }
            Event::Queued { stage, queue, message, .. } => {
                self.say(&format!("{stage}: waits in the queue {}: {}", escape(queue), escape(message)));
            }
            Event::Trouble { stage, message, hint, .. } => {
                self.say(&format!("{stage}: trouble: {} (try: {})", escape(message), escape(hint)));
            }
            Event::TroubleOver { stage } => self.say(&format!("{stage}: the trouble is over")),
            Event::LogLine { stage, container, line, .. } => {
                self.say(&format!("{stage} {container} | {}", escape(line)));
            }
            Event::LogUnavailable { stage, pod, container, why } => {
                self.say(&format!("{stage}: no log of {pod}/{container}: {}", escape(why)));
            }
            Event::StageSucceeded { stage, outputs, seconds } => {
                self.ended(stage);
                self.say(&format!("{stage}: succeeded after {}{}", time(*seconds), shown(outputs)));
            }
            Event::StageFailed { failure } => {
                self.ended(&failure.stage);
                self.say(&failed(failure));
            }
            Event::Retrying { what, why, after_seconds } => {
                self.say(&format!("retrying {} in {}: {}", escape(what), time(*after_seconds), escape(why)));
            }
            Event::Detached { run, resume, .. } => {
                self.say(&format!("let go of run {run}; what was started goes on. Come back with: {resume}"));
            }
            Event::RunFinished { run, succeeded: true } => self.say(&format!("run {run} has succeeded")),
            _ => {}
        }
    }

    fn started(&mut self, stage: &StageName, attempt: u32, reattached: bool) {
        let again = match (reattached, attempt) {
            (true, _) => " (taken up again)".to_owned(),
            (false, 0 | 1) => String::new(),
            (false, n) => format!(" (attempt {n})"),
        };
        self.say(&format!("{stage}: started{again}"));
        let Some(bars) = &self.bars else { return };
        let bar = bars.add(ProgressBar::new_spinner().with_prefix(stage.to_string()));
        bar.set_style(
            ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(250));
        self.running.insert(stage.clone(), bar);
    }

    fn ended(&mut self, stage: &StageName) {
        if let Some(bar) = self.running.remove(stage) {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) if !self.running.is_empty() => bars.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }
}

/// Everything that is known of a failure, most telling first.
fn failed(failure: &StageFailure) -> String {
    let mut text = format!("{}: FAILED: {}", failure.stage, escape(&failure.reason));
    if let Some(pod) = &failure.pod {
        let _ = write!(text, "\n  pod {}", escape(pod));
        if let Some(container) = &failure.container {
            let _ = write!(text, ", container {}", escape(container));
        }
        if let Some(code) = failure.exit_code {
            let _ = write!(text, ", exit code {code}");
        }
    }
    for line in &failure.last_lines {
        let _ = write!(text, "\n  | {}", escape(line));
    }
    for event in &failure.events {
        let _ = write!(text, "\n  event: {}", escape(event));
    }
    if !failure.still_running.is_empty() {
        let names: Vec<_> = failure.still_running.iter().map(StageName::as_str).collect();
        let _ = write!(text, "\n  still running: {}", names.join(", "));
    }
    let _ = write!(text, "\n  go on from here with: {}", failure.resume);
    text
}

fn shown(outputs: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in outputs {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let cut: String = value.chars().take(VALUE_WIDTH).collect();
        let dots = if cut.len() < value.len() { "…" } else { "" };
        let _ = write!(text, "\n  {} = {}{dots}", escape(name), escape(&cut));
    }
    text
}

/// Seconds as `0.4s`, `12s`, `3m05s`, `2h03m`.
fn time(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration in seconds fits, and is not negative"
    )]
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..=9 => format!("{seconds:.1}s"),
        10..=59 => format!("{whole}s"),
        60..=3599 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([0.42, 12.0, 185.0, 7380.0].map(time), ["0.4s", "12s", "3m05s", "2h03m"]);
    }

    #[test]
    fn a_failure_says_everything_and_escapes_what_others_said() {
        let failure: StageFailure = serde_json::from_value(serde_json::json!({
            "run": "ilab", "stage": "mt-bench", "reason": "Job has reached its backoff limit", "object": null,
            "pod": "ilab-mt-bench-x", "container": "run", "exit-code": 3, "last-lines": ["\u{1b}[2Jboom"],
            "events": ["BackOff"], "hint": null, "still-running": [], "resume": "ilab-host run --resume ilab",
        }))
        .unwrap();
        let text = failed(&failure);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        for part in ["mt-bench: FAILED", "exit code 3", "boom", "event: BackOff", "run --resume ilab"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

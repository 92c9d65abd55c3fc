//! A progress bar for a transfer: drawn on a terminal, a line now and then elsewhere.

use ilab_objects::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a log, which is no terminal, gets a line.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a transfer is.
pub struct TransferBar {
    what: &'static str,
    bar: Option<ProgressBar>,
    last: Mutex<Instant>,
}

impl TransferBar {
    /// A bar for one transfer.
    pub fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let bar = ProgressBar::no_length().with_message(what);
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { what, bar, last: Mutex::new(Instant::now()) }
    }

    /// Takes a step.
    pub fn show(&self, progress: Progress) {
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.bytes);
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            match progress.total {
                Some(total) => eprintln!("{}: {} of {total} bytes", self.what, progress.bytes),
                None => eprintln!("{}: {} bytes", self.what, progress.bytes),
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

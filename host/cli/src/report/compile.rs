//! What a person sees while a component is compiled for the first time.

use ilab_wasm::CompileWatch;
use ilab_wasm::escape::escape;
use indicatif::{ProgressBar, ProgressStyle};
use std::any::Any;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// Smaller ones are compiled before anybody could read it.
const WORTH_TELLING: u64 = 1 << 20;
/// How fast components are compiled, in bytes a second, as far as the bar knows: half as fast as where it was measured (19 MB of
/// Python in five seconds on two cores). It holds before its end when a machine is slower still.
const RATE: u64 = 2 << 20;
const STEP: Duration = Duration::from_millis(100);

/// A bar on a terminal, a line elsewhere.
pub struct CompileBar;

impl CompileWatch for CompileBar {
    fn begins(&self, file: &Path, bytes: u64) -> Box<dyn Any> {
        if bytes < WORTH_TELLING {
            return Box::new(());
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let told = format!("compiling {} ({} MB, once)", escape(&name), bytes / 1_000_000);
        if !std::io::stderr().is_terminal() {
            eprintln!("{told}");
            return Box::new(());
        }
        Box::new(Drawn::new(told, bytes))
    }
}

/// Draws until it is dropped.
struct Drawn {
    bar: ProgressBar,
    ends: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drawn {
    fn new(told: String, bytes: u64) -> Self {
        let steps = (bytes * 10 / RATE).max(1);
        let style = ProgressStyle::with_template("{msg} {bar:30} {elapsed}");
        let bar = ProgressBar::new(steps)
            .with_message(told)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (ends, ended) = std::sync::mpsc::channel::<()>();
        let drawn = bar.clone();
        let thread = std::thread::spawn(move || {
            // The compiler does not say how far it is: the bar goes by time, and stays short of its end until it is there.
            while ended.recv_timeout(STEP) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if drawn.position() + 1 < steps {
                    drawn.inc(1);
                }
                drawn.tick();
            }
        });
        Self { bar, ends: Some(ends), thread: Some(thread) }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        drop(self.ends.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

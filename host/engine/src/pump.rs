//! Events on their way to whoever reads them: a slow reader holds up log lines, never the run.

use crate::event::Event;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

/// How many log lines wait for the reader before the containers' logs are read no further.
const LINES: usize = 1024;

/// Where events go in.
#[derive(Debug, Clone)]
pub(crate) struct Say {
    /// What happens; few, so never held up.
    pub(crate) events: UnboundedSender<Event>,
    /// What containers print; any number, so held up by a slow reader.
    pub(crate) lines: Sender<Event>,
}

impl Say {
    pub(crate) fn say(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Starts forwarding to `out`.
pub(crate) fn start(out: Sender<Event>) -> (Say, JoinHandle<()>) {
    let (events, happened) = mpsc::unbounded_channel();
    let (lines, printed) = mpsc::channel(LINES);
    (Say { events, lines }, tokio::spawn(forward(happened, printed, out)))
}

async fn forward(mut happened: UnboundedReceiver<Event>, mut printed: Receiver<Event>, out: Sender<Event>) {
    let mut listened = true;
    loop {
        let event = tokio::select! {
            biased;
            Some(event) = happened.recv() => event,
            Some(event) = printed.recv() => event,
            else => return,
        };
        // A reader that went away does not stop the run, and must not stop the containers' logs from being drained.
        if listened && out.send(event).await.is_err() {
            listened = false;
        }
    }
}

/// Waits until everything is told, for a while.
pub(crate) async fn finish(pump: JoinHandle<()>, limit: Duration) {
    let abort = pump.abort_handle();
    if tokio::time::timeout(limit, pump).await.is_err() {
        abort.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        Event::Retrying { what: n.to_string(), why: String::new(), after_seconds: 0.0 }
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_up_lines_but_not_events() {
        let (out, mut read) = mpsc::channel(1);
        let (say, pump) = start(out);
        for n in 0..10_000 {
            say.say(event(n));
        }
        let mut sent = 0;
        while say.lines.try_send(event(sent)).is_ok() {
            sent += 1;
        }
        assert!(sent <= LINES + 1, "{sent}");
        drop(say);
        let mut count = 0;
        while read.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 10_000 + sent);
        pump.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_went_away_stops_nothing() {
        let (out, read) = mpsc::channel(1);
        drop(read);
        let (say, pump) = start(out);
        for n in 0..LINES * 3 {
            say.lines.send(event(n)).await.unwrap();
        }
        drop(say);
        finish(pump, Duration::from_secs(5)).await;
    }
}

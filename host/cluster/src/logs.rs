//! Container logs, line by line, through cut connections.

use crate::backoff::Backoff;
use crate::error::{Class, ClusterError};
use crate::lines::{Lines, Overlong};
use crate::transport::{Call, Cluster, cut};
use futures::Stream;
use jiff::Timestamp;

/// A line of a log may have this many bytes; the rest of it is dropped.
pub const MAX_LINE: usize = 16 * 1024;

/// Which log, and how much of it.
#[derive(Debug, Clone, Default)]
pub struct LogRequest {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Stay until the container ends.
    pub follow: bool,
    /// Of the container's attempt before this one.
    pub previous: bool,
    /// Only this many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only this many bytes from the beginning.
    pub limit_bytes: Option<u64>,
    /// Only lines after this, exclusively: where an earlier request ended.
    pub after: Option<Timestamp>,
}

/// A line of a log. It may hold anything: escape it before printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, as the node says.
    pub time: Option<Timestamp>,
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Whether it was longer than [`MAX_LINE`].
    pub cut: bool,
}

/// How often a cut log is taken up again without a new line.
const MAX_ATTEMPTS: u32 = 20;

impl Cluster {
    /// The lines of a container's log.
    ///
    /// A connection that is cut is taken up again after the last line that came, so that no line is lost and none
    /// comes twice. The stream ends when the log does; while following, that is when the container has ended, or when
    /// the node says so too early: whoever knows the pod compares, and asks again with `after`.
    pub fn logs(
        &self,
        request: LogRequest,
    ) -> impl Stream<Item = Result<LogLine, ClusterError>> + Send + use<> {
        let cluster = self.clone();
        async_stream::stream! {
            let what = format!("read the log of {} in {}", request.container, request.pod);
            let pods = match cluster.collection("v1", "Pod").await {
                Ok(path) => path,
                Err(error) => { yield Err(error); return; }
            };
            let path = format!("{pods}/{}/log", crate::transport::encode(&request.pod));
            let mut place = Place { after: request.after, same: if request.after.is_some() { u64::MAX } else { 0 }, untimed: 0 };
            let mut backoff = Backoff::default();
            let mut attempts = 0;
            let mut first = true;
            loop {
                let timed = cluster.kinds.timed_logs();
                let call = log_call(&what, &path, &request, &place, first, timed);
                let error = 'attempt: {
                    let mut lines = match cluster.once(&call).await {
                        Ok(answer) => Lines::new(answer.into_body(), MAX_LINE + 64, Overlong::Cut),
                        Err(error) => break 'attempt error,
                    };
                    let mut skip = place.resume();
                    loop {
                        match lines.next().await {
                            Ok(None) => return,
                            Err(source) => break 'attempt cut(&what, source),
                            Ok(Some(line)) => {
                                let line = read(&line.bytes, line.cut);
                                if place.is_new(&line, &mut skip) {
                                    attempts = 0;
                                    backoff.reset();
                                    yield Ok(line);
                                }
                            }
                        }
                    }
                };
                // A server that does not know when its lines were written, such as the embedded cluster: asked without.
                if timed && error.code() == Some(400) && error.to_string().contains("timestamps") {
                    cluster.kinds.no_timed_logs();
                    continue;
                }
                attempts += 1;
                // Without times a log is taken up again by counting its lines, which needs all of them.
                let countable = timed || (request.tail_lines.is_none() && request.after.is_none());
                if !countable {
                    yield Err(error);
                    return;
                }
                if error.class() == Class::Permanent || attempts > MAX_ATTEMPTS {
                    yield Err(error);
                    return;
                }
                first = false;
                let wait = backoff.wait(error.retry_after());
                cluster.tell(&what, &error, wait);
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// The end of a container's log: whole lines, `max_bytes` at most, and at most the last ten thousand lines.
    ///
    /// # Errors
    /// What the API server says, for example that the pod is gone.
    pub async fn log_end(
        &self,
        pod: &str,
        container: &str,
        max_bytes: usize,
    ) -> Result<String, ClusterError> {
        let request = LogRequest {
            pod: pod.to_owned(),
            container: container.to_owned(),
            tail_lines: Some(10_000),
            ..LogRequest::default()
        };
        let lines = self.logs(request);
        futures::pin_mut!(lines);
        let mut kept = std::collections::VecDeque::new();
        let mut bytes = 0;
        while let Some(line) = futures::StreamExt::next(&mut lines).await {
            let line = line?;
            bytes += line.text.len() + 1;
            kept.push_back(line.text);
            while bytes > max_bytes {
                let Some(gone) = kept.pop_front() else { break };
                bytes -= gone.len() + 1;
            }
        }
        let mut text = String::with_capacity(bytes);
        for line in kept {
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }
}

fn log_call(what: &str, path: &str, request: &LogRequest, place: &Place, first: bool, timed: bool) -> Call {
    let mut call = Call::get(what, path).query("container", request.container.clone());
    if timed {
        call = call.query("timestamps", "true");
    }
    if request.follow {
        call = call.query("follow", "true");
    }
    if request.previous {
        call = call.query("previous", "true");
    }
    if let (Some(lines), true) = (request.tail_lines, first) {
        call = call.query("tailLines", lines.to_string());
    }
    if let Some(bytes) = request.limit_bytes {
        call = call.query("limitBytes", bytes.to_string());
    }
    if let (Some(after), true) = (place.after, timed) {
        // The server's clock has seconds here; lines that came already are skipped below.
        let second = Timestamp::from_second(after.as_second()).unwrap_or(after);
        call = call.query("sinceTime", second.to_string());
    }
    call
}

/// How far a log has been read.
struct Place {
    /// The time of the last line.
    after: Option<Timestamp>,
    /// How many lines of exactly that time have come.
    same: u64,
    /// How many lines without a time have come.
    untimed: u64,
}

/// What has still to be skipped after a log was taken up again.
struct Skip {
    same: u64,
    untimed: u64,
    until: Option<Timestamp>,
}

impl Place {
    fn resume(&self) -> Skip {
        Skip { same: self.same, untimed: self.untimed, until: self.after }
    }

    fn is_new(&mut self, line: &LogLine, skip: &mut Skip) -> bool {
        let Some(time) = line.time else {
            if skip.untimed > 0 {
                skip.untimed -= 1;
                return false;
            }
            self.untimed += 1;
            return true;
        };
        if let Some(until) = skip.until {
            if time < until {
                return false;
            }
            if time == until && skip.same > 0 {
                skip.same -= 1;
                return false;
            }
        }
        if self.after == Some(time) {
            self.same = self.same.saturating_add(1);
        } else {
            self.after = Some(time);
            self.same = 1;
        }
        true
    }
}

/// Splits the time that the server puts in front.
fn read(bytes: &[u8], cut: bool) -> LogLine {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let time = bytes.iter().take(40).position(|b| *b == b' ').and_then(|at| {
        let time = std::str::from_utf8(&bytes[..at]).ok()?;
        time.contains('T').then(|| time.parse::<Timestamp>().ok().map(|time| (time, at + 1))).flatten()
    });
    let (time, rest) = match time {
        Some((time, at)) => (Some(time), &bytes[at..]),
        None => (None, bytes),
    };
    let long = rest.len() > MAX_LINE;
    let rest = if long { &rest[..MAX_LINE] } else { rest };
    LogLine { time, text: String::from_utf8_lossy(rest).into_owned(), cut: cut || long }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u32, text: &str) -> LogLine {
        read(format!("2026-01-01T00:00:{second:02}.5Z {text}").as_bytes(), false)
    }

    #[test]
    fn the_time_is_split_off_and_a_line_without_is_kept_whole() {
        let timed = line(1, "hello world");
        assert_eq!((timed.text.as_str(), timed.time.is_some()), ("hello world", true));
        assert_eq!(read(b"no time here", false).text, "no time here");
        assert_eq!(read(b"2026-01-01T00:00:01Z ", false).text, "");
        assert_eq!(read(b"\xff\r", false).text, "\u{fffd}");
    }

    #[test]
    fn a_log_taken_up_again_repeats_no_line_and_loses_none() {
        let mut place = Place { after: None, same: 0, untimed: 0 };
        let mut skip = place.resume();
        for l in [line(1, "a"), line(2, "b"), line(2, "c")] {
            assert!(place.is_new(&l, &mut skip));
        }
        let mut skip = place.resume();
        let again = [line(1, "a"), line(2, "b"), line(2, "c"), line(2, "d"), line(3, "e")];
        let new: Vec<_> =
            again.iter().filter(|l| place.is_new(l, &mut skip)).map(|l| l.text.as_str()).collect();
        assert_eq!(new, ["d", "e"]);
        let mut place = Place { after: None, same: 0, untimed: 2 };
        let mut skip = place.resume();
        let new: Vec<_> = [read(b"x", false), read(b"y", false), read(b"z", false)]
            .into_iter()
            .filter(|l| place.is_new(l, &mut skip))
            .map(|l| l.text)
            .collect();
        assert_eq!(new, ["z"]);
    }

    #[test]
    fn lines_are_bounded() {
        let long = read("x".repeat(MAX_LINE + 10).as_bytes(), false);
        assert!(long.cut && long.text.len() == MAX_LINE);
    }
}

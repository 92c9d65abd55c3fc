//! Waiting longer and longer between attempts, never in step with others.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Somebody is told that an attempt failed and another follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrying {
    /// What is tried, for example `watch Job/ilab-fetch`.
    pub what: String,
    /// Why it failed.
    pub why: String,
    /// When it is tried again.
    pub after: Duration,
}

/// Doubles from `first` to `most`, and takes a random part of the upper half of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(30))
    }
}

impl Backoff {
    /// A backoff between these two.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait now. What the server asks for (`Retry-After`) is a lower bound, capped at ten minutes so that
    /// no server can put the host to sleep for good.
    pub fn wait(&mut self, retry_after: Option<Duration>) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.most);
        let half = full / 2;
        let own = half + half.mul_f64(random());
        match retry_after {
            // A little more than asked, or everybody who was told the same second comes at once.
            Some(asked) => asked.min(Duration::from_secs(600)) + own / 4,
            None => own,
        }
    }

    /// The next wait is the first again: something worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number in 0..1 from the hasher's keys, which the standard library draws at random: jitter needs no better.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what a f64 holds")]
    let number = bits as f64 / (1u64 << 53) as f64;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_never_shrinks_below_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait(None);
            let full = Duration::from_millis(full);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.wait(None) <= Duration::from_millis(100));
    }

    #[test]
    fn honours_what_the_server_asks_for() {
        let mut backoff = Backoff::default();
        let wait = backoff.wait(Some(Duration::from_secs(7)));
        assert!(wait >= Duration::from_secs(7) && wait < Duration::from_secs(8), "{wait:?}");
        assert!(Backoff::default().wait(Some(Duration::from_secs(1 << 40))) <= Duration::from_secs(601));
    }
}

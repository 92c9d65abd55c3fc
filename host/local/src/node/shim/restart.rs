//! When a container is started again: as the kubelet does it.

use std::time::Duration;

use crate::node::plan::RestartPolicy;

/// Whether a container that ended so is started again.
pub(super) fn wanted(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// The pauses of one container: none before the first restart, then the base, doubling to the maximum.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    base: Duration,
    max: Duration,
    restarts: u32,
}

impl Backoff {
    /// For a container that was started again this often already.
    pub(super) fn new(base: Duration, max: Duration, restarts: u32) -> Self {
        Self { base, max, restarts }
    }

    /// The pause before the next start, after an attempt that took this long.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        if ran >= self.max * 2 {
            self.restarts = 0;
        }
        let pause = match self.restarts {
            0 => Duration::ZERO,
            restarts => self.base.saturating_mul(1 << (restarts - 1).min(20)).min(self.max),
        };
        self.restarts = self.restarts.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_maximum_and_a_long_run_resets_them() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(10), seconds(300), 0);
        let pauses: Vec<_> = (0..8).map(|_| backoff.next(seconds(1)).as_secs()).collect();
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.next(seconds(600)), Duration::ZERO);
        assert_eq!(backoff.next(seconds(1)), seconds(10));
        assert_eq!(Backoff::new(seconds(10), seconds(300), u32::MAX).next(seconds(1)), seconds(300));
    }

    #[test]
    fn policies() {
        use RestartPolicy::{Always, Never, OnFailure};
        for (policy, code, again) in [
            (Always, 0, true),
            (Always, 1, true),
            (OnFailure, 0, false),
            (OnFailure, 137, true),
            (Never, 1, false),
        ] {
            assert_eq!(wanted(policy, code), again, "{policy:?} {code}");
        }
    }
}

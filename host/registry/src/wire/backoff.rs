//! How often, and after how long, something is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How often something is tried before its error is told.
pub(crate) const TRIES: u32 = 5;
/// No registry may keep us waiting longer between two of them.
const LONGEST: Duration = Duration::from_secs(60);

/// The wait after a failed try (the first is 0): half a second, doubled each time, its upper half random; not less than the
/// registry asks for.
pub(crate) fn wait(failed: u32, retry_after: Option<Duration>) -> Duration {
    let full = Duration::from_millis(500) * 2_u32.saturating_pow(failed.min(5));
    let own = full / 2 + full.mul_f64(random() / 2.0);
    retry_after.map_or(own, |asked| asked.min(LONGEST) + own / 4)
}

/// A number in 0..1 from the hasher's keys, which the standard library draws at random: jitter needs no better.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_honour_what_is_asked_for() {
        for failed in 0..TRIES {
            let full = Duration::from_millis(500 << failed);
            let wait = wait(failed, None);
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        let asked = wait(0, Some(Duration::from_secs(7)));
        assert!(asked >= Duration::from_secs(7) && asked < Duration::from_secs(8));
        assert!(wait(0, Some(Duration::from_secs(1 << 40))) < Duration::from_secs(61));
    }
}

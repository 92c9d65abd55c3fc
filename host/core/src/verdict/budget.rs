//! What an evaluation may cost.

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;
use std::sync::atomic::{AtomicI64, Ordering};

/// The most loop iterations of one evaluation, over all loops together.
pub const MAX_STEPS: i64 = 10_000;
/// The most data that one evaluation may read or build: a unit a value, and one more for every 16 bytes of text.
pub const MAX_WEIGHT: i64 = 1_000_000;

/// The budget of one evaluation. Looked at afterwards too, because an error may be hidden by `|| true`.
#[derive(Debug)]
pub(super) struct Budget {
    steps: AtomicI64,
    weight: AtomicI64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: AtomicI64::new(MAX_STEPS), weight: AtomicI64::new(MAX_WEIGHT) }
    }

    /// Counts one iteration.
    pub(super) fn step(&self) -> Result<(), ExecutionError> {
        if self.steps.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(Self::exhausted_error()) }
    }

    /// Counts all that a value holds. Stops walking when the budget is gone.
    pub(super) fn weigh(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        let text = |length: usize| 1 + i64::try_from(length / 16).unwrap_or(i64::MAX / 2);
        if let Some(string) = value.downcast_ref::<CelString>() {
            return self.charge(text(string.inner().len()));
        }
        if let Some(list) = value.downcast_ref::<CelList>() {
            self.charge(1)?;
            return list.inner().iter().try_for_each(|item| self.weigh(item.as_ref()));
        }
        if let Some(map) = value.downcast_ref::<CelMap>() {
            self.charge(1)?;
            return map.inner().iter().try_for_each(|(key, item)| {
                self.weigh(key.inner())?;
                self.weigh(item.as_ref())
            });
        }
        if let Some(optional) = value.downcast_ref::<CelOptional>() {
            self.charge(1)?;
            return optional.inner().map_or(Ok(()), |inner| self.weigh(inner));
        }
        if let Some(bytes) = value.downcast_ref::<CelBytes>() {
            return self.charge(text(bytes.inner().len()));
        }
        self.charge(1)
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.load(Ordering::Relaxed) < 0 || self.weight.load(Ordering::Relaxed) < 0
    }

    fn charge(&self, units: i64) -> Result<(), ExecutionError> {
        if self.weight.fetch_sub(units, Ordering::Relaxed) >= units {
            Ok(())
        } else {
            Err(Self::exhausted_error())
        }
    }

    fn exhausted_error() -> ExecutionError {
        ExecutionError::function_error("predicate", "it does more than its budget allows")
    }
}

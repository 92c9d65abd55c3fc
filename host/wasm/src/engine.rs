//! The engine's settings, and the clock that ends calls.

use crate::error::HostError;
use crate::limits::Limits;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wasmtime::{Config, Engine, EngineWeak};

/// How often the clock ticks while calls run: how exact the limit on their time is.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The engine that loads, calls and compiles. Nothing in it that changes the compiled code depends on the limits, so
/// that one cache serves all.
pub(crate) fn engine(limits: &Limits) -> Result<Engine, HostError> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        // Same input, same output, on every processor: these are the two things in WebAssembly that may differ.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    Engine::new(&config).map_err(|error| HostError::Engine { detail: format!("{error:#}") })
}

/// Advances the engine's epoch while calls run. Its thread starts with the first call and sleeps between calls.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<TickerState>,
    wake: Condvar,
}

#[derive(Default)]
struct TickerState {
    calls: usize,
    thread: bool,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, TickerState> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this lives, the epoch advances.
pub(crate) struct Ticking<'a>(&'a Shared);

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// The epochs that are at least this long.
    pub(crate) fn epochs(time: Duration) -> u64 {
        // One more, because the first is already part gone.
        u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).saturating_add(1)
    }

    /// Starts ticking.
    pub(crate) fn start(&self, engine: &Engine) -> std::io::Result<Ticking<'_>> {
        let mut state = self.shared.lock();
        if !state.thread {
            let (shared, engine) = (Arc::clone(&self.shared), engine.weak());
            std::thread::Builder::new()
                .name("wasm-clock".to_owned())
                .stack_size(128 << 10)
                .spawn(move || tick(&shared, &engine))?;
            state.thread = true;
        }
        state.calls += 1;
        if state.calls == 1 {
            self.shared.wake.notify_all();
        }
        Ok(Ticking(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut state = shared.lock();
    loop {
        // Without calls it waits for one; with calls, for the next tick or the end.
        while state.calls == 0 && !state.stop {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return;
        }
        drop(state);
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        state = shared.lock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_round_up() {
        assert_eq!(Ticker::epochs(Duration::ZERO), 1);
        assert_eq!(Ticker::epochs(Duration::from_millis(11)), 3);
        assert!(Ticker::epochs(Duration::MAX) > 1 << 40);
    }

    #[test]
    fn the_compiled_code_does_not_depend_on_limits() {
        let one = engine(&Limits::default()).unwrap();
        let two =
            engine(&Limits { stack_bytes: 64 << 10, memory_bytes: 1 << 20, ..Limits::default() }).unwrap();
        assert_eq!(crate::cache::engine_key(&one), crate::cache::engine_key(&two));
    }
}

//! The empty WASI, for languages whose runtimes insist on one.
//!
//! No files, no environment, no arguments, no sockets. The wall clock stands still; the monotonic clock advances by a
//! millisecond whenever it is read, so that a runtime which waits for time to pass gets on; waiting itself takes no
//! time: every pollable is ready at once, because a guest that really slept could not be stopped. Random numbers are
//! always the same ones. So a render gives the same plan every time.

use crate::state::State;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// What of a guest's standard error is kept.
const STDERR_BYTES: usize = 64 << 10;
/// What a guest may ask of random bytes at once.
const RANDOM_BYTES: u64 = 1 << 20;
/// Seed of the random numbers; its digits mean nothing.
const RANDOM: &[u8] = b"ilab-host renders are reproducible: these bytes are not random";

/// What a component that asks for WASI can see of a world: clocks and random numbers. They are the same in every run
/// ([`World::default`]); another one is for finding out whether a component looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Where the wall clock stands, in seconds since 1970.
    pub wall_seconds: u64,
    /// By how much the monotonic clock advances a look.
    pub step_nanos: u64,
    /// What the random numbers begin with.
    pub seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self { wall_seconds: 0, step_nanos: 1_000_000, seed: 0 }
    }
}

/// The WASI of one call.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    stderr: Stderr,
}

impl Wasi {
    fn new(handles: usize, world: World) -> Self {
        let mut random = RANDOM.to_vec();
        if world.seed != 0 {
            random.splice(0..0, world.seed.to_le_bytes());
        }
        let stderr = Stderr::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        let ctx = WasiCtx::builder()
            .stderr(stderr.clone())
            .secure_random(Deterministic::new(random.clone()))
            .insecure_random(Deterministic::new(random))
            .insecure_random_seed(u128::from(world.seed))
            .max_random_size(RANDOM_BYTES)
            .wall_clock(Still(Duration::from_secs(world.wall_seconds)))
            .monotonic_clock(Steps { step: world.step_nanos, now: AtomicU64::new(0) })
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { ctx, table, stderr }
    }

    /// What the guest wrote to its standard error, as far as it was kept.
    pub(crate) fn stderr_text(&self) -> String {
        let kept = self.stderr.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Made when a guest first asks: most never do.
        let (handles, world) = (self.handles, self.world);
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(handles, world)));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Adds the empty WASI to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance(POLL)?;
    poll.func_wrap("poll", |_: StoreContextMut<'_, State>, (list,): (Vec<Resource<DynPollable>>,)| {
        let count = u32::try_from(list.len())?;
        wasmtime::ensure!(count > 0, "empty poll list");
        Ok(((0..count).collect::<Vec<u32>>(),))
    })?;
    poll.func_wrap(
        "[method]pollable.ready",
        |_: StoreContextMut<'_, State>, (_,): (Resource<DynPollable>,)| Ok((true,)),
    )?;
    poll.func_wrap(
        "[method]pollable.block",
        |_: StoreContextMut<'_, State>, (_,): (Resource<DynPollable>,)| Ok(()),
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The interface as wasmtime-wasi names it; a test fails when a new version names it otherwise.
const POLL: &str = "wasi:io/poll@0.2.12";

/// A wall clock that stands.
struct Still(Duration);

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A monotonic clock that advances by a step a look.
struct Steps {
    step: u64,
    now: AtomicU64,
}

impl HostMonotonicClock for Steps {
    fn resolution(&self) -> u64 {
        self.step
    }

    fn now(&self) -> u64 {
        self.now.fetch_add(self.step, Ordering::Relaxed)
    }
}

/// Keeps the first bytes and forgets the rest.
#[derive(Clone, Default)]
struct Stderr {
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Stderr {
    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = STDERR_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STDERR_BYTES)
    }
}

impl tokio::io::AsyncWrite for Stderr {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

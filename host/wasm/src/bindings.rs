//! What wasmtime generates from `wit/`. Nothing outside this crate sees it.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "stage-plugin",
});

pub(crate) use ilab::pipeline::{host_log, types};

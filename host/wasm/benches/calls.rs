//! What a start and a call cost. Budgets: one warm render of a Rust stage 0.2 ms; everything of six stages 10 ms.

use criterion::{Criterion, criterion_group, criterion_main};
use ilab_core::contract::Context;
use ilab_core::names::StageName;
use ilab_wasm::build::{Build, Toolchain, build_crate};
use ilab_wasm::{Host, Limits};
use serde_json::Map;
use std::hint::black_box;
use std::path::Path;

fn context() -> Context {
    Context {
        run: "bench".to_owned(),
        namespace: "bench".to_owned(),
        prefix: "bench-good".to_owned(),
        parameters: Map::new(),
        inputs: Map::new(),
        credentials: vec![],
        volumes: vec![],
    }
}

fn calls(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the cache");
    let component = folder.path().join("guest.wasm");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guest");
    let build = Build { target_dir: Some(target), ..Build::new(dir) };
    let toolchain = Toolchain::probe().expect("a toolchain");
    build_crate(&toolchain, &build, &component).expect("the guest");
    let cache = Some(folder.path().join("cache"));
    let host = Host::new(Limits::default(), cache.clone()).expect("a host");
    let plugin = host.load(&component).expect("the guest loads");
    let (stage, context) = (StageName::new("good").expect("a name"), context());

    criterion.bench_function("engine", |b| {
        b.iter(|| Host::new(Limits::default(), cache.clone()).expect("a host"))
    });
    criterion.bench_function("load-warm", |b| b.iter(|| host.load(black_box(&component)).expect("it loads")));
    criterion.bench_function("describe", |b| b.iter(|| plugin.describe().expect("it describes")));
    criterion
        .bench_function("render-warm", |b| b.iter(|| plugin.render(&stage, &context).expect("it renders")));
    criterion.bench_function("collect-warm", |b| {
        b.iter(|| plugin.collect(&stage, &context, &[]).expect("it collects"));
    });
}

criterion_group!(benches, calls);
criterion_main!(benches);

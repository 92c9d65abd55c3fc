//! The hand-off: from the moment a watch can tell that a stage is done to the next stage's first create being sent.
//!
//! Measured against an API server in memory, so it is the host's own share: rendering, guarding, collecting, the record
//! and its requests, without a network. The budget with a real server is 20 ms at the 99th percentile.

#[path = "../tests/kit/mod.rs"]
mod kit;

use ilab_engine::Outcome;
use kit::fake::Fake;
use kit::*;
use std::time::Duration;
use tokio::time::Instant;

const ROUNDS: usize = 300;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut handed = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let fake = Fake::new();
        let run = start(&fake, request(vec![offer("fetch", &[]), offer("train", &["fetch"])]));
        appears(&fake, "jobs/one-fetch").await;
        fake.until("the watches", |f| (f.count("watch=true") >= 2).then_some(())).await;
        pod_succeeds(&fake, "one-fetch", &[r#"{"score": 1}"#]);
        // So that the pods' watch is not what is measured.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let done = Instant::now();
        fake.set_status("jobs/one-fetch", value(COMPLETE));
        let sent = fake
            .until("the next create", |f| {
                let of = |r: &String| r.starts_with("PATCH") && r.contains("one-train");
                f.timed_requests().into_iter().find(|(_, r)| of(r)).map(|(at, _)| at)
            })
            .await;
        handed.push(sent - done);
        appears(&fake, "jobs/one-train").await;
        job_succeeds(&fake, "one-train", 2);
        assert!(matches!(run.end().await.0, Ok(Outcome::Finished { .. })));
    }
    handed.sort();
    let at = |part: f64| handed[((ROUNDS - 1) as f64 * part) as usize];
    println!("hand-off, {ROUNDS} rounds: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}

//! What whole processes of ilab-host cost: processor time and memory, as the system counts them.
//!
//! `cargo bench -p ilab-host --bench whole_process [-- PATH/TO/ilab-host]`; prints a table for docs/performance.md. `ILAB_BENCH_RUNS` says
//! how often each command runs, after two runs that warm the caches. A process's memory is its largest resident set, with the pages
//! of files that it shares with others; the table has the largest of all runs.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RUNS: usize = 100;
const WARM_UP: usize = 2;

/// The system's count of all children that have ended.
fn children() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("a count")
}

/// Processor time of one run, in milliseconds.
fn run(host: &Path, arguments: &[&str]) -> f64 {
    let spent = |usage: Usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let before = spent(children());
    let output = Command::new(host)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    (spent(children()) - before) as f64 / 1000.0
}

/// Which of the rows a process measures; without it, it has one such process for each, for the system's count of children has no
/// beginning but that of their parent.
const ROW: &str = "ILAB_BENCH_ROW";

fn main() {
    // Cargo itself adds `--bench`.
    let other = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let host = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_ilab-host").into());
    let asked = std::env::var("ILAB_BENCH_RUNS").ok();
    let runs = asked.map_or(RUNS, |text| text.parse().expect("ILAB_BENCH_RUNS is a number"));
    let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");
    let dry_run = ["run", "--plugins", plugins, "--dry-run", "--sdg-object-store-secret", "store"];
    let dry_run = [&dry_run[..], &["--judge-serving-model-secret", "judge"]].concat();
    let rows = [
        ("`version`", &["version"][..]),
        ("`run --help`", &["run", "--plugins", plugins, "--help"]),
        ("`run --dry-run`, six stages", &dry_run),
    ];
    if let Ok(row) = std::env::var(ROW) {
        let (name, arguments) = rows[row.parse::<usize>().expect("a number")];
        let mut times: Vec<f64> = (0..runs).map(|_| run(&host, arguments)).collect();
        times.sort_by(f64::total_cmp);
        let (fastest, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
        let resident = children().max_rss() as f64 / 1024.0;
        println!("| {name} | {median:.1} ms ({fastest:.1} to {most:.1}) | {resident:.1} MiB |");
        return;
    }
    println!("| command | processor time, median (all) | resident, most |\n| --- | --- | --- |");
    for (row, (_, arguments)) in rows.iter().enumerate() {
        for _ in 0..WARM_UP {
            run(&host, arguments);
        }
        let myself = std::env::current_exe().expect("a path");
        let ended = Command::new(myself).args(std::env::args().skip(1)).env(ROW, row.to_string()).status();
        assert!(ended.expect("it starts").success());
    }
    let size = std::fs::metadata(&host).map_or(0, |meta| meta.len());
    println!("\nthe program: {:.1} MiB", size as f64 / f64::from(1 << 20));
}

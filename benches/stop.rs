//! Time from the stop signal to the exit of the real binary, quoting 8 offers on the simulated ledger.
//!
//! `cargo bench --bench stop` (`NEO_BENCH_RUNS=20` for more runs than 5). At real speed a stop in order is bounded by the
//! ledger: the cancels must be seen in a validated one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may fail loudly, and prints"
)]

#[cfg(unix)]
#[path = "../tests/engine/mod.rs"]
mod engine;

#[cfg(unix)]
fn main() {
    use std::time::Instant;

    let runs: usize = std::env::var("NEO_BENCH_RUNS").map_or(5, |text| text.parse().unwrap());
    let cases: [(&str, &str, &[&str]); 3] = [
        ("in order, real speed (a ledger every 3.9 s)", "1", &["INT"]),
        ("in order, 20 times real speed", "20", &["INT"]),
        ("urgent (two signals), real speed", "1", &["INT", "TERM"]),
    ];
    for (name, speed, signals) in cases {
        let mut times_ms: Vec<u128> = (0..runs)
            .map(|_| {
                let engine = engine::Engine::new();
                let mut running = engine.start(&["--speed", speed, "--set", "quote.levels=4"]);
                running.until_it_quotes();
                let begun = Instant::now();
                for signal in signals {
                    running.signal(signal);
                }
                running.wait();
                assert!(engine.record().session(None).unwrap().ended_at.is_some());
                begun.elapsed().as_millis()
            })
            .collect();
        times_ms.sort_unstable();
        let (median, max) = (times_ms[times_ms.len() / 2], times_ms[times_ms.len() - 1]);
        println!("{name}: p50 {median} ms, max {max} ms, {runs} runs");
    }
}

#[cfg(not(unix))]
fn main() {
    println!("the stop benchmark sends Unix signals");
}

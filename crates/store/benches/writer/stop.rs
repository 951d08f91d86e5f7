//! The record's part of a stop: everything queued is written, the session closed, the file sealed.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chrono::Utc;
use neo_store::Options;
use neo_store::record::{EndReason, EndedAtSource, Record, SessionEnd};

use crate::Figure;
use crate::rows::{PATIENCE, Running, fill, ms, options, percentile};

/// Rows that wait when the stop begins.
const QUEUED: u32 = 100_000;

fn once() -> Duration {
    let running = Running::start(&Options { queue_capacity: 131_072, ..options() });
    // The thread is held inside an acknowledgement until the stop begins.
    let (release, wait) = channel::<()>();
    running.writer.flush(Box::new(move |_| wait.recv_timeout(PATIENCE).unwrap())).unwrap();
    for n in 0..QUEUED {
        running.writer.record(Record::Fill(fill(n))).unwrap();
    }
    let end = SessionEnd {
        ended_at: Utc::now(),
        ended_at_source: EndedAtSource::Clean,
        ending_value_rlusd: Err("a benchmark".into()),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: EndReason::StopCommand,
        end_detail: None,
    };
    let (tell, told) = channel();
    let started = Instant::now();
    release.send(()).unwrap();
    running.writer.close_session(end, Vec::new(), Box::new(move |result| tell.send(result).unwrap())).unwrap();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    running.seal();
    started.elapsed()
}

/// The median and the worst of a few (`NEO_BENCH_RUNS`).
pub fn run() -> Vec<Figure> {
    let runs: u32 = std::env::var("NEO_BENCH_RUNS").map_or(5, |text| text.parse().unwrap());
    let mut times: Vec<Duration> = (0..runs).map(|_| once()).collect();
    let (median, worst) = (ms(percentile(&mut times, 50)), ms(percentile(&mut times, 100)));
    let what = "stop with 100,000 rows queued (written, closed, sealed), median / worst";
    vec![Figure::new(what, format!("{median} / {worst}"), "< 2 s")]
}

//! From a record handed over to its acknowledgement, at a steady pace.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use neo_store::record::Record;

use crate::Figure;
use crate::rows::{PATIENCE, Running, fill, ms, options, percentile};

/// How long each pace is kept.
const SECONDS: u32 = 10;

fn at_pace(rows_per_s: u32) -> Figure {
    let running = Running::start(&options());
    let (tell, told) = channel();
    let started = Instant::now();
    for n in 0..rows_per_s * SECONDS {
        let due = started + Duration::from_secs(1) * n / rows_per_s;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (tell, handed) = (tell.clone(), Instant::now());
        let ack = Box::new(move |result: Result<u64, _>| tell.send(result.map(|_| handed.elapsed())).unwrap());
        running.writer.record_durably(vec![Record::Fill(fill(n))], ack).unwrap();
    }
    drop(tell);
    let mut times: Vec<Duration> =
        (0..rows_per_s * SECONDS).map(|_| told.recv_timeout(PATIENCE).unwrap().unwrap()).collect();
    running.seal();
    let (p50, p99) = (ms(percentile(&mut times, 50)), ms(percentile(&mut times, 99)));
    Figure::new(format!("acknowledged at {rows_per_s} rows a second, p50 / p99"), format!("{p50} / {p99}"), "")
}

/// Both paces.
pub fn run() -> Vec<Figure> {
    vec![at_pace(200), at_pace(2_000)]
}

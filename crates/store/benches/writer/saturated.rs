//! Durable rows a second through the writer, beside one transaction of the same rows on a bare connection with the same
//! pragmas. The ratio is what the queue, the numbering and the group commits cost.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use neo_store::record::{Fill, Record};
use rusqlite::{Connection, params};

use crate::Figure;
use crate::rows::{PATIENCE, Running, fill, open, options, percentile};

/// Rows of one measurement.
const ROWS: u32 = 50_000;
/// Pairs of measurements.
const PAIRS: usize = 9;

/// From the first record queued to the last one durable.
fn through_the_writer(fills: &[Fill]) -> Duration {
    let running = Running::start(&options());
    let (done, wait) = channel();
    let records: Vec<Record> = fills.iter().cloned().map(Record::Fill).collect();
    let started = Instant::now();
    for record in records {
        // The queue holds more than ROWS, so it is never full here.
        running.writer.record(record).unwrap();
    }
    running.writer.flush(Box::new(move |result| done.send(result).unwrap())).unwrap();
    wait.recv_timeout(PATIENCE).unwrap().unwrap();
    let spent = started.elapsed();
    running.seal();
    spent
}

/// One transaction with one prepared statement, into the same tables.
fn raw_transaction(fills: &[Fill]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("neo.db");
    drop(open(&path, &options()));
    let mut conn = Connection::open(&path).unwrap();
    let pragmas = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768;";
    conn.execute_batch(pragmas).unwrap();
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).unwrap();
    let started = Instant::now();
    let tx = conn.transaction().unwrap();
    let mut insert = tx
        .prepare(
            "INSERT INTO fills (seq, session, tx_hash, offer_sequence, role, side, xrp_drops, rlusd, price, mid_price,
                 ledger_index, transaction_index, close_time, recorded_at)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
        .unwrap();
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    for (n, f) in (1_i64..).zip(fills) {
        insert
            .execute(params![
                n,
                f.tx_hash,
                f.offer_sequence,
                f.role.as_str(),
                f.side.as_str(),
                f.xrp.get(),
                f.rlusd.to_string(),
                f.price.to_string(),
                f.mid_price.map(|mid| mid.to_string()),
                f.ledger_index,
                f.transaction_index,
                time(f.close_time),
                time(f.recorded_at)
            ])
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
    started.elapsed()
}

/// The rates, and their ratio pair by pair.
pub fn run() -> Vec<Figure> {
    let fills: Vec<Fill> = (0..ROWS).map(fill).collect();
    let pairs: Vec<_> = (0..PAIRS).map(|_| (through_the_writer(&fills), raw_transaction(&fills))).collect();
    let mut writer: Vec<Duration> = pairs.iter().map(|pair| pair.0).collect();
    let mut raw: Vec<Duration> = pairs.iter().map(|pair| pair.1).collect();
    let rate = |time: Duration| format!("{:.0}", f64::from(ROWS) / time.as_secs_f64());
    let (writer, raw) = (percentile(&mut writer, 50), percentile(&mut raw, 50));
    let ratio = raw.as_secs_f64() / writer.as_secs_f64();
    let mut ratios: Vec<f64> = pairs.iter().map(|(writer, raw)| raw.as_secs_f64() / writer.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let spread = format!("{:.2} to {:.2}", ratios[0], ratios[PAIRS - 1]);
    vec![
        Figure::new("durable rows a second through the writer", rate(writer), ""),
        Figure::new("the same rows in one raw transaction", rate(raw), ""),
        Figure::new("ratio of the medians (pairs)", format!("{ratio:.2} ({spread})"), ">= 0.80"),
    ]
}

//! Durable rows a second through the writer, beside one transaction of the same rows on a bare connection with the same
//! pragmas, in the same run. The ratio is what the queue, the numbering and the group commits cost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figure"
)]

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use neo_market::{Dec, Drops, Side};
use neo_store::record::{Fill, Mode, NewSession, Record, Role};
use neo_store::{Identity, Options, Store};
use rusqlite::{Connection, params};

/// Rows of one measurement.
const ROWS: u32 = 50_000;

fn fills() -> Vec<Fill> {
    let at = DateTime::from_timestamp_millis(1_776_540_079_123).unwrap();
    (0..ROWS)
        .map(|n| Fill {
            tx_hash: format!("{n:064X}"),
            offer_sequence: n,
            role: Role::Maker,
            side: Side::Bid,
            xrp: Drops::new(25_000_000),
            rlusd: Dec::from_parts(6_003_250_000_000_001, -14).unwrap(),
            price: Dec::from_parts(2_401_300_000_000_001, -15).unwrap(),
            mid_price: Some(Dec::from_parts(24_013, -4).unwrap()),
            ledger_index: 100_000_000 + n / 10,
            transaction_index: n % 10,
            close_time: at,
            recorded_at: at,
        })
        .collect()
}

fn open(path: &Path) -> Store {
    let identity = Identity { mode: Mode::Sim, network: "sim".into(), account: "r".into() };
    Store::open(path, &identity, &Options::new(Utc::now), Utc::now()).unwrap()
}

fn begin(store: &mut Store) -> i64 {
    let session = NewSession {
        started_at: Utc::now(),
        config: String::new(),
        config_hash: String::new(),
        version: String::new(),
        seed: None,
    };
    store.begin_session(&session).unwrap()
}

/// From the first record queued to the last one durable.
fn through_the_writer(fills: &[Fill]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("neo.db"));
    let session = begin(&mut store);
    let (writer, thread) = store.start_writer(session).unwrap();
    let (done, wait) = channel();
    let records: Vec<Record> = fills.iter().cloned().map(Record::Fill).collect();
    let started = Instant::now();
    for record in records {
        // The queue holds more than ROWS, so it is never full here.
        writer.record(record).unwrap();
    }
    writer.flush(Box::new(move |result| done.send(result).unwrap())).unwrap();
    assert_eq!(wait.recv().unwrap().unwrap(), u64::from(ROWS));
    let spent = started.elapsed();
    drop(writer);
    thread.join(Duration::from_secs(30)).unwrap();
    spent
}

/// One transaction with one prepared statement, into the same tables.
fn raw_transaction(fills: &[Fill]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("neo.db");
    let mut store = open(&path);
    begin(&mut store);
    drop(store);
    let mut conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0;").unwrap();
    let started = Instant::now();
    let tx = conn.transaction().unwrap();
    let mut insert = tx
        .prepare(
            "INSERT INTO fills (seq, session, tx_hash, offer_sequence, role, side, xrp_drops, rlusd, price, mid_price,
                 ledger_index, transaction_index, close_time, recorded_at)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
        .unwrap();
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
                f.close_time.to_rfc3339_opts(SecondsFormat::Millis, true),
                f.recorded_at.to_rfc3339_opts(SecondsFormat::Millis, true)
            ])
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn writer(c: &mut Criterion) {
    let fills = fills();
    let mut group = c.benchmark_group("durable_rows");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(ROWS)));
    group.measurement_time(Duration::from_secs(8)).warm_up_time(Duration::from_secs(1));
    group.bench_function(BenchmarkId::new("writer", ROWS), |b| {
        b.iter_custom(|n| (0..n).map(|_| through_the_writer(&fills)).sum());
    });
    group.bench_function(BenchmarkId::new("raw_transaction", ROWS), |b| {
        b.iter_custom(|n| (0..n).map(|_| raw_transaction(&fills)).sum());
    });
    group.finish();
    // Interleaved, so that whatever else the machine does falls on both alike.
    let pairs: Vec<_> = (0..9).map(|_| (through_the_writer(&fills), raw_transaction(&fills))).collect();
    let writer = median(pairs.iter().map(|pair| pair.0).collect());
    let raw = median(pairs.iter().map(|pair| pair.1).collect());
    let rate = |time: Duration| f64::from(ROWS) / time.as_secs_f64();
    println!(
        "durable rows/s: writer {:.0}, raw single transaction {:.0}, ratio {:.2}",
        rate(writer),
        rate(raw),
        rate(writer) / rate(raw)
    );
}

criterion_group!(benches, writer);
criterion_main!(benches);

//! What weeks of a record weigh: the rows of each table, with old snapshots kept and thinned out, as a session writes them.
//!
//! `cargo bench -p neo-store --bench retention` writes four weeks twice, a ledger every 3.9 s, with the mix of rows of a
//! session on the simulated ledger; `-- 7` writes seven days, `-- 7 2` only with snapshots older than two thinned out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figures"
)]

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use neo_market::{Balances, Dec, Drops, Side};
use neo_store::record::*;
use neo_store::{Identity, Options, Store, verify};

const LEDGER_MS: i64 = 3_900;
const KEEP_DAYS: u32 = 14;
const PATIENCE: Duration = Duration::from_secs(120);
/// Hexadecimal digits of a signed OfferCreate.
const BLOB: usize = 500;

thread_local!(static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) });

fn main() {
    let asked: Vec<u32> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let days = asked.first().copied().unwrap_or(28);
    println!("{days} days, a ledger every {LEDGER_MS} ms");
    let both = vec![0, KEEP_DAYS];
    for keep_days in asked.get(1).map_or(both, |keep_days| vec![*keep_days]) {
        let folder = tempfile::tempdir().unwrap();
        weeks(&folder.path().join("neo.db"), days, keep_days);
    }
}

fn time(ledger: u32) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_776_540_079_123 + i64::from(ledger) * LEDGER_MS).unwrap()
}

fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap()
}

/// A session a day; each begins by thinning out what has grown old, as an engine of weeks does hour by hour.
fn weeks(path: &Path, days: u32, keep_days: u32) {
    let per_day = u32::try_from(86_400_000 / LEDGER_MS).unwrap();
    let (mut worst_ms, mut hours, mut total_us, mut peak) = (0.0_f64, 0, 0, 0);
    for day in 0..days {
        NOW.set(time(day * per_day));
        let options = Options { monotonic_us, snapshots_keep_days: keep_days, ..Options::new(|| NOW.get()) };
        let identity = Identity { mode: Mode::Sim, network: "sim".into(), account: "r".into() };
        let mut store = Store::open(path, &identity, &options, NOW.get()).unwrap();
        // One hour of a session at a time, to see how long the writer would be held up.
        loop {
            let started = Instant::now();
            let done = store.thin(Some(0)).unwrap();
            let took = started.elapsed();
            if done.hours > 0 {
                worst_ms = worst_ms.max(took.as_secs_f64() * 1e3);
                total_us += took.as_micros();
                hours += done.hours;
            }
            if done.finished {
                break;
            }
        }
        session(store, day * per_day + 1, (day + 1) * per_day);
        peak = peak.max(std::fs::metadata(path).unwrap().len());
        if day % 7 == 6 {
            println!(
                "keep_days {keep_days}, day {}: {} MB",
                day + 1,
                std::fs::metadata(path).unwrap().len() / 1_000_000
            );
        }
    }
    weigh(path, keep_days, days);
    if hours > 0 {
        println!(
            "{hours} hours thinned out, {:.1} ms each on average, {worst_ms:.1} ms at most",
            total_us as f64 / 1e3 / hours as f64
        );
    }
    let found = verify(path).unwrap();
    println!(
        "verify: clean {}, {} rows, {} thinned out, largest file {peak} bytes\n",
        found.is_clean(),
        found.facts.rows,
        found.facts.thinned
    );
}

fn session(mut store: Store, first: u32, last: u32) {
    let started_at = time(first);
    let new = NewSession {
        started_at,
        config: "x".repeat(6_000),
        config_hash: "0".repeat(64),
        version: "0.1.0".into(),
        seed: Some(1),
    };
    let number = store.begin_session(&new).unwrap();
    let (writer, thread) = store.start_writer(number).unwrap();
    let durably = |records: Vec<Record>| {
        let (tell, told) = channel();
        writer.record_durably(records, Box::new(move |result| tell.send(result).unwrap())).unwrap();
        told.recv_timeout(PATIENCE).unwrap().unwrap();
    };
    let mut records = vec![Record::SessionOpened(SessionOpened {
        ledger_index: first,
        close_time: time(first),
        starting_value_rlusd: snapshot(first, SnapshotKind::Opening).total_value_rlusd,
    })];
    for n in first..=last {
        records.extend(ledger(n, if n == first { SnapshotKind::Opening } else { SnapshotKind::Ledger }));
        if records.len() > 4_000 {
            NOW.set(time(n));
            durably(std::mem::take(&mut records));
        }
    }
    records.push(Record::Valuation(snapshot(last, SnapshotKind::Closing)));
    records.extend([Processor::Orders, Processor::Valuer].map(|by| Record::LedgerProcessed {
        ledger_hash: None,
        ledger_index: last,
        close_time: time(last),
        by,
    }));
    durably(records);
    let end = SessionEnd {
        ended_at: time(last) + TimeDelta::milliseconds(1),
        ended_at_source: EndedAtSource::Clean,
        ending_value_rlusd: Ok(snapshot(last, SnapshotKind::Closing).total_value_rlusd.unwrap()),
        end_ledger_index: Some(last),
        end_close_time: Some(time(last)),
        end_reason: EndReason::Elapsed,
        end_detail: None,
    };
    let (tell, told) = channel();
    writer.close_session(end, Vec::new(), Box::new(move |result| tell.send(result).unwrap())).unwrap();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    let (tell, told) = channel();
    writer.seal(Box::new(move |result| tell.send(result).unwrap())).unwrap();
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    thread.join(PATIENCE).unwrap();
}

/// Nine transactions in ten ledgers, each with its fee; a fill in four of nine; as three hours of the simulated market had.
fn ledger(n: u32, kind: SnapshotKind) -> Vec<Record> {
    let mut records = Vec::new();
    let (ledger_index, close_time, recorded_at) = (n, time(n), time(n));
    let tx_hash = format!("{:016X}{n:048X}", u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    if kind == SnapshotKind::Ledger && !n.is_multiple_of(10) {
        records.push(Record::Intent(Intent {
            tx_hash: tx_hash.clone(),
            purpose: Purpose::Replace,
            sequence: n,
            offer_sequence: Some(n.saturating_sub(4)),
            last_ledger_sequence: n + 5,
            fee: Drops::new(10),
            blob: "A".repeat(BLOB),
            ledger_index,
            recorded_at,
        }));
        records.push(Record::Order(Order {
            offer_sequence: n,
            tx_hash: tx_hash.clone(),
            side: Side::Bid,
            level: 1,
            price: Dec::from_parts(24_013, -4).unwrap(),
            size: Drops::new(100_000_000),
            rlusd: Dec::from_parts(24_013, -2).unwrap(),
            mid_price: Some(Dec::from_parts(24_037_125, -7).unwrap()),
            replaces: Some(n.saturating_sub(4)),
            expiration: Some(time(n + 30)),
            ledger_index,
            close_time,
            recorded_at,
        }));
        records.push(Record::IntentUpdate(IntentUpdate {
            tx_hash: tx_hash.clone(),
            state: IntentState::Validated,
            engine_result: Some("tesSUCCESS".into()),
            ledger_index: Some(n),
            recorded_at,
        }));
        for state in [OrderState::Resting, OrderState::Replaced] {
            records.push(Record::OrderEvent(OrderEvent {
                offer_sequence: n,
                state,
                remaining: Drops::ZERO,
                tx_hash: Some(tx_hash.clone()),
                detail: None,
                ledger_index,
                close_time,
                recorded_at,
            }));
        }
        records.push(Record::Flow(Flow {
            tx_hash: Some(tx_hash.clone()),
            cause: FlowCause::Fee,
            xrp: Drops::new(-10),
            rlusd: Dec::zero(),
            detail: None,
            ledger_index,
            close_time,
            recorded_at,
        }));
        if n % 9 < 4 {
            records.push(Record::Fill(Fill {
                tx_hash,
                offer_sequence: n,
                role: Role::Maker,
                side: Side::Bid,
                xrp: Drops::ZERO,
                rlusd: Dec::zero(),
                price: Dec::from_parts(24_013, -4).unwrap(),
                mid_price: Some(Dec::from_parts(24_037_125, -7).unwrap()),
                ledger_index,
                transaction_index: 3,
                close_time,
                recorded_at,
            }));
        }
    }
    records.push(Record::Valuation(snapshot(n, kind)));
    records
}

/// Fees so far are what is gone of the XRP.
fn snapshot(n: u32, kind: SnapshotKind) -> ValuationSnapshot {
    let per_day = u32::try_from(86_400_000 / LEDGER_MS).unwrap();
    // The first ledger of a day has no transaction, whatever its number.
    let firsts = (0..n.div_ceil(per_day))
        .map(|day| day * per_day + 1)
        .filter(|first| *first <= n && !first.is_multiple_of(10))
        .count();
    let fees = i64::from(n - n / 10) - i64::try_from(firsts).unwrap();
    let (xrp, rlusd) = (Drops::new(10_000_000_000 - 10 * fees), Dec::from_parts(24_999_123_456_789, -9).unwrap());
    let mark = Dec::from_parts(24_037_125, -7).unwrap();
    let balances = Balances { xrp, rlusd, reserve: Drops::new(2_800_000) };
    ValuationSnapshot {
        kind,
        ledger_index: n,
        close_time: time(n),
        total_value_rlusd: neo_market::value(&balances, Some(mark)).unwrap(),
        xrp,
        reserve: balances.reserve,
        rlusd,
        mark_price: Some(mark),
        mark_source: "book_mid".into(),
        mark_age_ledgers: 0,
        mark_sources: None,
        best_bid: Some(Dec::from_parts(2_403, -3).unwrap()),
        best_ask: Some(Dec::from_parts(24_044, -4).unwrap()),
        our_bid: Some(Dec::from_parts(24_013, -4).unwrap()),
        our_ask: Some(Dec::from_parts(24_061, -4).unwrap()),
        recorded_at: time(n),
    }
}

fn weigh(path: &Path, keep_days: u32, days: u32) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let (pages, free) = (number("PRAGMA page_count"), number("PRAGMA freelist_count"));
    println!("keep_days {keep_days}: {} bytes after {days} days, {} of them free pages", pages * 4_096, free * 4_096);
    let mut statement = conn
        .prepare(
            "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat AS d JOIN sqlite_schema AS s ON s.name = d.name
             WHERE d.aggregate = 1 GROUP BY 1 ORDER BY 2 DESC LIMIT 8",
        )
        .unwrap();
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for table in tables {
        let (name, bytes): (String, i64) = table.unwrap();
        let rows = number(&format!("SELECT count(*) FROM {name}"));
        println!("  {name}: {rows} rows, {bytes} bytes, {} a row with its indexes", bytes / rows.max(1));
    }
}

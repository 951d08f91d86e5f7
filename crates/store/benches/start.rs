//! What a start reads back from a record of weeks: a snapshot of each ledger, an intent in every second one, as many fees.
//!
//! `cargo bench -p neo-store --bench start` makes a record of 30 days, a ledger every 4 s, and reads it as `neo run` does
//! before a session; `-- 7` makes one of seven days. The rows are written with SQL: how long that takes is no matter here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its figures"
)]

use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use neo_market::Trigger;
use neo_market::triggers::worth::{Sample, Worth};
use neo_store::record::*;
use neo_store::{Identity, Options, Store, WorthRow};
use rusqlite::params;

const LEDGER_S: i64 = 4;
/// Seconds from 1970 to the ledger's epoch.
const EPOCH_S: i64 = 946_684_800;
/// Hexadecimal digits of a signed OfferCreate.
const BLOB: usize = 500;
const ROUNDS: u32 = 3;

fn main() {
    let days: u32 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(30);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("neo.db");
    let ledgers = fill(&path, days);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("{days} days: {ledgers} snapshots, {} intents, {} MB", ledgers / 2, bytes / 1_000_000);
    let opened = Instant::now();
    let store = open(&path);
    println!("{:>32} {:>9.1} ms", "open", opened.elapsed().as_secs_f64() * 1e3);
    let last = u32::try_from(ledgers).unwrap();
    for days in [1, 7, 31] {
        time(&format!("worth of {days} days"), || worth(&store, days));
    }
    for window_s in [300, 86_400] {
        time(&format!("rejects of {window_s} s"), || store.rejects(window_s).unwrap().len());
    }
    time("standing latches", || store.standing_latches().unwrap().len());
    time("resumed from", || usize::from(store.resumed_from(Trigger::Fees).unwrap().is_some()));
    time("settled since the last ledger", || store.settled_since(last).unwrap().len());
    time("unsettled intents", || store.unsettled_intents().unwrap().len());
    time("fees of the last day", || store.fees_of_last_day().unwrap().len());
    time("open orders", || store.open_orders().unwrap().len());
    time("last balances", || usize::from(store.last_balances().unwrap().is_some()));
}

/// The best of some rounds, and how many rows it gave.
fn time(what: &str, read: impl Fn() -> usize) {
    let round = |_| {
        let started = Instant::now();
        let rows = read();
        (started.elapsed(), rows)
    };
    let (best, rows) = (0..ROUNDS).map(round).min().unwrap();
    println!("{what:>32} {:>9.1} ms {rows:>8} rows", best.as_secs_f64() * 1e3);
}

/// As the engine takes it over.
fn worth(store: &Store, days: u32) -> usize {
    let (mut worth, mut rows) = (Worth::new(days), 0);
    store
        .worth_history(days, |row| {
            rows += 1;
            match row {
                WorthRow::Flow { xrp, rlusd, .. } => worth.flow(xrp, rlusd).unwrap(),
                WorthRow::Held { close_time, xrp, rlusd, mark } => {
                    let at_s = u32::try_from(close_time.timestamp() - EPOCH_S).unwrap();
                    worth.remember(&Sample { at_s, xrp, rlusd, mark }).unwrap();
                }
            }
        })
        .unwrap();
    rows
}

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_776_540_000, 0).unwrap()
}

fn open(path: &Path) -> Store {
    let identity = Identity { mode: Mode::Sim, network: "sim".into(), account: "r".into() };
    Store::open(path, &identity, &Options::new(begin), begin()).unwrap()
}

fn fill(path: &Path, days: u32) -> i64 {
    let mut store = open(path);
    let new = NewSession {
        started_at: begin(),
        config: "x".into(),
        config_hash: "0".repeat(64),
        version: "0.1.0".into(),
        seed: Some(1),
    };
    store.begin_session(&new).unwrap();
    drop(store);
    let ledgers = i64::from(days) * 86_400 / LEDGER_S;
    let mut conn = rusqlite::Connection::open(path).unwrap();
    let tx = conn.transaction().unwrap();
    {
        let mut snapshot = tx
            .prepare(
                "INSERT INTO valuation_snapshots (seq, session, kind, ledger_index, close_time, total_value_rlusd, xrp_drops,
                     reserve_drops, rlusd, mark_price, mark_source, mark_age_ledgers, best_bid, best_ask, recorded_at,
                     mark_sources)
                 VALUES (?1, 1, 'ledger', ?2, ?3, ?4, ?5, 1200000, ?6, ?7, 'book_mid', 0, ?8, ?9, ?3, ?10)",
            )
            .unwrap();
        let mut intent = tx
            .prepare(
                "INSERT INTO intents (seq, session, tx_hash, purpose, sequence, last_ledger_sequence, fee_drops, blob,
                     ledger_index, recorded_at, state, engine_result, settled_ledger_index, updated_at)
                 VALUES (?1, 1, ?2, 'replace', ?3, ?3 + 5, 10, ?4, ?3, ?5, 'validated', ?6, ?3 + 1, ?5)",
            )
            .unwrap();
        let mut fee = tx
            .prepare(
                "INSERT INTO flows (seq, session, tx_hash, cause, xrp_drops, rlusd, ledger_index, close_time, recorded_at)
                 VALUES (?1, 1, ?2, 'fee', -10, '0', ?3, ?4, ?4)",
            )
            .unwrap();
        let (blob, mut seq) = ("AB".repeat(BLOB / 2), 1);
        for n in 0..ledgers {
            let at = (begin() + TimeDelta::seconds(n * LEDGER_S)).to_rfc3339_opts(SecondsFormat::Millis, true);
            // A price that wanders, to ten-thousandths.
            let mid = 24_000 + (n * 7_919 % 1_009) - (n * 104_729 % 503) + n % 17;
            let (bid, ask) = (format!("2.{:04}", mid - 20_000 - 5), format!("2.{:04}", mid - 20_000 + 5));
            let (xrp, rlusd) =
                (10_000_000_000 - n % 997 * 1_000_000, format!("{}.{:06}", 25_000 + n % 1_200, n % 999_983));
            let mark = format!("2.{:04}", mid - 20_000);
            let sources = format!(r#"[{{"source":"book_mid","price":"{mark}","age_ledgers":0,"weight":"1"}}]"#);
            snapshot.execute(params![seq, n + 1, at, "49000.123456", xrp, rlusd, mark, bid, ask, sources]).unwrap();
            seq += 1;
            if n % 2 == 0 {
                let (hash, result) = (format!("{n:064X}"), if n % 200 == 0 { "tecKILLED" } else { "tesSUCCESS" });
                intent.execute(params![seq, hash, n + 1, blob, at, result]).unwrap();
                fee.execute(params![seq + 1, hash, n + 1, at]).unwrap();
                seq += 2;
            }
        }
        tx.execute("UPDATE meta SET durable_seq = ?1", [seq - 1]).unwrap();
        tx.execute("UPDATE sessions SET last_ledger_index = ?1, starting_ledger_index = 1", [ledgers]).unwrap();
    }
    tx.commit().unwrap();
    ledgers
}

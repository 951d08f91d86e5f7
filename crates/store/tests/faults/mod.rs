//! Cases of a failing disk, one after the other or many at a time, and what must be true after each.

pub mod errands;
pub mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use neo_disk::{Fault, How, Kind, Lasting};
use neo_store::{Store, schema};
use rusqlite::Connection;

use crate::common::*;

/// Cases at a time: most of their time they wait for the writer's next attempt.
const WORKERS: usize = 12;

/// How long the fault lasts, and what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One operation.
    Once,
    /// From then on.
    Always,
    /// From then on, until the writer has said that the disk refuses.
    Recovers,
}

/// One case: which operation fails and how.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub kind: Kind,
    pub how: How,
    pub after: u64,
    pub mode: Mode,
}

impl Case {
    pub fn fault(self) -> Fault {
        let lasting = if self.mode == Mode::Once { Lasting::Once } else { Lasting::UntilRecovered };
        // A disk that is full, broken or read-only refuses whatever comes after, not only more of the same.
        let kinds = if self.mode == Mode::Once { vec![self.kind] } else { Kind::ALL.to_vec() };
        Fault { kinds, after: self.after, lasting, how: self.how }
    }
}

/// A case for each operation of a run that does so many of each kind.
pub fn cases(counts: &BTreeMap<Kind, u64>, modes: &[Mode]) -> Vec<Case> {
    let mut cases = Vec::new();
    for how in How::ALL {
        for mode in modes.iter().copied() {
            if mode == Mode::Once {
                for (kind, count) in counts.iter().filter(|(kind, _)| how.concerns(**kind)) {
                    cases.extend((0..*count).map(|after| Case { kind: *kind, how, after, mode }));
                }
            } else {
                // All kinds that it concerns are counted together: each operation is where it begins once.
                let all: u64 = counts.iter().filter(|(kind, _)| how.concerns(**kind)).map(|(_, count)| *count).sum();
                cases.extend((0..all).map(|after| Case { kind: Kind::Write, how, after, mode }));
            }
        }
    }
    cases
}

/// Runs every case and gives what went wrong, each with its case. `FAULT_EVERY=7` runs every seventh.
pub fn run_all(cases: &[Case], run: impl Fn(Case) + Sync) -> Vec<String> {
    let every = std::env::var("FAULT_EVERY").map_or(1, |text| text.parse().unwrap());
    let cases: Vec<Case> = cases.iter().copied().step_by(every).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(*case))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                        wrong.lock().unwrap().push(format!("{case:?}: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// What a sound record holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// Every number with the record's own id, where it has one.
    pub rows: BTreeMap<i64, String>,
    /// How each session ended.
    pub sessions: BTreeMap<i64, String>,
}

impl Contents {
    /// The ids; none may be there twice.
    pub fn ids(&self) -> BTreeSet<String> {
        let ids: Vec<&String> = self.rows.values().filter(|id| !id.is_empty()).collect();
        let set: BTreeSet<String> = ids.iter().copied().cloned().collect();
        assert_eq!(ids.len(), set.len(), "an id is there twice");
        set
    }
}

/// The next start on a good disk: it opens, SQLite finds nothing wrong, the numbers have no gap, no session is open.
pub fn next_start(db: &Path) -> Contents {
    drop(Store::open(db, &identity(), &options(), at(300)).expect("the next start"));
    let conn = Connection::open(db).unwrap();
    let integrity: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    // Intents and orders share their hashes: the table is part of the id. Checkpoints have none.
    let selects = schema::SEQUENCED.map(|table| match table {
        "intents" | "orders" | "fills" | "flows" => format!("SELECT seq, '{table} ' || tx_hash AS id FROM {table}"),
        "faults" => String::from("SELECT seq, cause AS id FROM faults"),
        _ => format!("SELECT seq, '' AS id FROM {table}"),
    });
    let all: Vec<(i64, String)> =
        query(&conn, &format!("SELECT seq, id FROM ({}) ORDER BY seq", selects.join(" UNION ALL ")));
    let numbers: Vec<i64> = all.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=all.len() as i64).collect::<Vec<_>>(), "the numbers have no gap and none is there twice");
    let watermark: i64 = conn.query_row("SELECT durable_seq FROM meta", [], |row| row.get(0)).unwrap();
    assert_eq!(watermark, all.len() as i64);
    let sessions: Vec<(i64, String)> =
        query(&conn, "SELECT number, coalesce(ended_at_source, 'open') FROM sessions ORDER BY number");
    assert!(sessions.iter().all(|(_, source)| source != "open"), "{sessions:?}");
    Contents { rows: all.into_iter().collect(), sessions: sessions.into_iter().collect() }
}

fn query(conn: &Connection, sql: &str) -> Vec<(i64, String)> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

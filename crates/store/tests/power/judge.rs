//! What a power cut left, opened as the next start opens it.

use std::collections::BTreeMap;
use std::path::Path;

use neo_store::{Store, StoreError, schema};
use rusqlite::Connection;

use super::{Told, told_by};
use crate::common::*;

/// What was found in an image.
#[derive(Debug, Default)]
pub struct Found {
    /// The file is malformed, and how.
    pub malformed: Option<String>,
    /// The start refuses a log that SQLite would drop in part: whoever insists loses that part.
    pub refused_log: bool,
    /// Acknowledged rows that are not there.
    pub lost: u64,
    /// The same, of those that were acknowledged before the last checkpoint that finished.
    pub lost_before_checkpoint: u64,
    /// Rows that were acknowledged since that checkpoint: what may be lost at most without a sync for each commit.
    pub since_checkpoint: u64,
    /// Sessions whose beginning or end was acknowledged and is not there.
    pub lost_sessions: u64,
    /// Anything that may never be, whatever was synced: gaps, foreign rows, an open session.
    pub wrong: Vec<String>,
}

/// Opens the record at `db` as a start does, and compares it with what was told by `position` operations.
pub fn judge(db: &Path, position: usize, told: &Told, reference: &BTreeMap<i64, String>) -> Found {
    let mut found = Found::default();
    let open = || Store::open(db, &identity(), &options(), at(300));
    let mut opened = open();
    if matches!(&opened, Err(StoreError::StrayWal { .. })) {
        found.refused_log = true;
        // What SQLite alone would have made of it.
        let conn = Connection::open(db).unwrap();
        let folded = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        found.malformed = folded.err().map(|error| error.to_string());
        drop(conn);
        opened = open();
    }
    match opened {
        Ok(store) => drop(store),
        Err(error) => {
            found.malformed = Some(error.to_string());
            if !matches!(&error, StoreError::Damaged { .. } | StoreError::NotADatabase { .. }) {
                found.wrong.push(format!("it does not open: {error}"));
            }
            return found;
        }
    }
    let conn = Connection::open(db).unwrap();
    match contents(&conn) {
        Ok((rows, durable_seq)) => found.compare(&rows, durable_seq, position, told, reference),
        Err(error) => {
            found.malformed = Some(error);
            return found;
        }
    }
    found.sessions(&conn, position, told);
    found
}

/// The rows, and the watermark, of a file that SQLite finds nothing wrong with.
fn contents(conn: &Connection) -> Result<(BTreeMap<i64, String>, i64), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let integrity: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(text)?;
    if integrity != "ok" {
        return Err(integrity);
    }
    let foreign: i64 =
        conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).map_err(text)?;
    if foreign > 0 {
        return Err(format!("{foreign} rows of no session"));
    }
    let durable_seq = conn.query_row("SELECT durable_seq FROM meta", [], |row| row.get(0)).map_err(text)?;
    Ok((rows(conn).map_err(text)?, durable_seq))
}

/// Every numbered row: its number, its table and what tells it from the others.
pub fn rows(conn: &Connection) -> rusqlite::Result<BTreeMap<i64, String>> {
    let key = |table: &str| match table {
        "intents" | "orders" | "fills" | "flows" => "tx_hash",
        "order_events" => "offer_sequence || state",
        "valuation_snapshots" => "ledger_index",
        "checkpoints" => "cause || wal_frames",
        "refusals" | "trips" => "reason",
        _ => "cause",
    };
    let selects = schema::SEQUENCED
        .map(|table| format!("SELECT seq, '{table} ' || session || ' ' || {} AS what FROM {table}", key(table)));
    let mut statement =
        conn.prepare(&format!("SELECT seq, what FROM ({}) ORDER BY seq", selects.join(" UNION ALL ")))?;
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()?;
    let (number, map): (usize, BTreeMap<i64, String>) = (all.len(), all.into_iter().collect());
    assert_eq!(number, map.len(), "a number is there twice");
    Ok(map)
}

impl Found {
    /// The rows must be a beginning of the reference, without a gap, and not shorter than what was acknowledged.
    fn compare(
        &mut self,
        rows: &BTreeMap<i64, String>,
        durable_seq: i64,
        position: usize,
        told: &Told,
        reference: &BTreeMap<i64, String>,
    ) {
        if !rows.iter().eq(reference.iter().take(rows.len())) {
            self.wrong.push(format!("{} rows are no beginning of the run's", rows.len()));
        }
        if usize::try_from(durable_seq) != Ok(rows.len()) {
            self.wrong.push(format!("{} rows, but the watermark is {durable_seq}", rows.len()));
        }
        let (there, acknowledged) = (rows.len() as u64, told_by(&told.acks, position));
        let checkpointed = told_by(&told.checkpoints, position);
        self.lost = acknowledged.saturating_sub(there);
        self.lost_before_checkpoint = checkpointed.saturating_sub(there);
        self.since_checkpoint = acknowledged.saturating_sub(checkpointed);
    }

    /// The start has closed what was open, and kept the ends that were told.
    fn sessions(&mut self, conn: &Connection, position: usize, told: &Told) {
        let mut statement =
            conn.prepare("SELECT number, coalesce(ended_at_source, 'open') FROM sessions ORDER BY number").unwrap();
        let there: BTreeMap<i64, String> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
        let open = there.iter().filter(|(_, source)| *source == "open").count();
        if open > 0 {
            self.wrong.push(format!("{open} sessions are open after the start"));
        }
        let (begun, closed) = (told.begun.iter(), told.closed.iter());
        let missing = begun.filter(|(at, number)| *at <= position && !there.contains_key(number)).count();
        let reopened = closed
            .filter(|(at, number)| *at <= position && there.get(number).is_none_or(|source| source != "clean"))
            .count();
        self.lost_sessions = (missing + reopened) as u64;
    }
}

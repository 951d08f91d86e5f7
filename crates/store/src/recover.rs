//! Closing the session that a killed engine left open, from what it made durable.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::apply::end_session;
use crate::columns::Columns;
use crate::error::StoreError;
use crate::open::{Options, Store};
use crate::read::Reader;
use crate::record::{EndReason, EndedAtSource, SessionEnd, SessionNumber};

/// Closes what a killed engine left open in the file at `path`, as the next start would, and gives the sessions' numbers.
/// A file that is not there or holds nobody's records yet has none. `clock` is the real time.
///
/// # Errors
/// As for [`Store::open`]; [`crate::LockError::Held`] inside it while an engine lives on the file.
pub fn recover(path: &Path, clock: fn() -> DateTime<Utc>) -> Result<Vec<SessionNumber>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let Some(identity) = Reader::identity_of(path)? else { return Ok(Vec::new()) };
    let store = Store::open(path, &identity, &Options::new(clock), clock())?;
    Ok(store.recovered().to_vec())
}

/// Closes every open session in one transaction and gives their numbers. The caller holds the file's lock: an open
/// session is therefore nobody's.
pub(crate) fn close_open_sessions(conn: &mut Connection) -> rusqlite::Result<Vec<SessionNumber>> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let open = {
        let mut statement =
            tx.prepare("SELECT number FROM sessions WHERE ended_at IS NULL AND imported = 0 ORDER BY number")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<SessionNumber>>>()?
    };
    for number in &open {
        let end = recovered_end(&tx, *number)?;
        end_session(&tx, *number, &end)?;
    }
    tx.commit()?;
    Ok(open)
}

/// The end that the durable records prove: the latest of the last commit and the last record's own time.
fn recovered_end(tx: &Transaction<'_>, number: SessionNumber) -> rusqlite::Result<SessionEnd> {
    let snapshot = last_snapshot(tx, number)?;
    let ending_value_rlusd = match &snapshot {
        None => Err(String::from("the engine was killed before it had recorded a valuation snapshot")),
        Some(Snapshot { value: Some(value), .. }) => Ok(*value),
        Some(Snapshot { value: None, source, ledger_index, .. }) => {
            Err(format!("the last valuation snapshot, at ledger {ledger_index}, had no price: {source}"))
        }
    };
    tx.query_row(
        "SELECT max(last_seen_at, started_at,
                    coalesce((SELECT max(recorded_at) FROM fills WHERE session = number), ''),
                    coalesce((SELECT max(recorded_at) FROM valuation_snapshots WHERE session = number), '')
                ) AS ended_at,
                last_ledger_index, last_close_time
         FROM sessions WHERE number = ?1",
        [number],
        |row| {
            let last_ledger: Option<u32> = row.get("last_ledger_index")?;
            let (end_ledger_index, end_close_time) = match (last_ledger, &snapshot) {
                (Some(index), _) => (Some(index), row.time_opt("last_close_time")?),
                (None, Some(snapshot)) => (Some(snapshot.ledger_index), Some(snapshot.close_time)),
                (None, None) => (None, None),
            };
            let value_ledger_index = snapshot.as_ref().map(|snapshot| snapshot.ledger_index);
            let detail = serde_json::json!({
                "recovered": "the engine ended without closing its session; ended_at is its last durable record",
                "ending_value_ledger_index": value_ledger_index,
            });
            Ok(SessionEnd {
                ended_at: row.time("ended_at")?,
                ended_at_source: EndedAtSource::Recovered,
                ending_value_rlusd,
                end_ledger_index,
                end_close_time,
                end_reason: EndReason::Crash,
                end_detail: Some(detail.to_string()),
            })
        },
    )
}

struct Snapshot {
    value: Option<neo_market::Dec>,
    source: String,
    ledger_index: u32,
    close_time: chrono::DateTime<chrono::Utc>,
}

fn last_snapshot(tx: &Transaction<'_>, number: SessionNumber) -> rusqlite::Result<Option<Snapshot>> {
    tx.query_row(
        "SELECT total_value_rlusd, mark_source, ledger_index, close_time FROM valuation_snapshots
         WHERE session = ?1 ORDER BY seq DESC LIMIT 1",
        [number],
        |row| {
            Ok(Snapshot {
                value: row.dec_opt("total_value_rlusd")?,
                source: row.get("mark_source")?,
                ledger_index: row.get("ledger_index")?,
                close_time: row.time("close_time")?,
            })
        },
    )
    .optional()
}

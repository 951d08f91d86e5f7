//! Closing the session that a killed engine left open, from what it made durable.
//!
//! The records tell an end always; a stop note beside the database, where a watchdog left one, tells it better.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Serialize;

use crate::apply::end_session;
use crate::close::insert_faults;
use crate::columns::Columns;
use crate::error::StoreError;
use crate::open::{Options, Store};
use crate::read::{SELECT_SESSION, session_row};
use crate::record::{EndReason, EndedAtSource, SessionEnd, SessionNumber};
use crate::rows::SessionRow;
use crate::schema::SEQUENCED;
use crate::stop_note::{self, Found, StopNote};

/// A session that was closed from its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// As it was found, open.
    pub before: SessionRow,
    /// As it is now.
    pub after: SessionRow,
    /// True when no `-wal` was beside the file, which a killed engine always leaves: it was deleted, or the file was
    /// copied without it, and what came after the last checkpoint is lost; or another program has folded it in.
    pub log_is_gone: bool,
}

/// What is said of a log that is gone.
const LOG_IS_GONE: &str = "the engine was killed and its -wal is gone: if it was deleted, or the file copied without it, \
    what came after the last checkpoint is lost; if another program opened the record and closed it, nothing is";

/// Closes the sessions that a killed engine left open in the record at `path`, and leaves it as one file, or, where a
/// replicator owns checkpoints, its `-wal` as it needs it. Done again it finds nothing to do.
///
/// # Errors
/// [`StoreError::Locked`] while an engine holds the file, and as [`Store::open_existing`].
pub fn recover(path: &Path, options: &Options, now: DateTime<Utc>) -> Result<Vec<Recovery>, StoreError> {
    let store = Store::open_existing(path, options, now)?;
    let recoveries = store.recoveries().to_vec();
    store.close()?;
    Ok(recoveries)
}

/// Closes every open session in one transaction. The caller holds the file's lock: an open session is therefore
/// nobody's. What the stop note tells goes before what the records prove.
pub(crate) fn close_open_sessions(
    conn: &mut Connection,
    path: &Path,
    log_is_gone: bool,
) -> rusqlite::Result<Vec<Recovery>> {
    let note = note_beside(path);
    let (closed, used) = close_with(conn, note.as_ref(), log_is_gone)?;
    // Only now is what it says durable elsewhere.
    if let Some(note) = note {
        done_with_note(path, used || already_told(conn, &note)?, &note);
    }
    Ok(closed)
}

/// The same from the records alone, for a copy that is not in the record's place yet.
pub(crate) fn close_from_records(conn: &mut Connection) -> rusqlite::Result<Vec<Recovery>> {
    close_with(conn, None, false).map(|(closed, _)| closed)
}

/// A note that cannot be read is no reason not to start: the records still tell an end.
fn note_beside(path: &Path) -> Option<StopNote> {
    let aside = match stop_note::find(path) {
        Ok(Found::Nothing) => return None,
        Ok(Found::Note(note)) => return Some(*note),
        Ok(Found::Torn(error)) => {
            tracing::error!(error, "the stop note beside the database is torn and says nothing; it is set aside");
            stop_note::set_aside(path)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = aside {
        tracing::error!(%error, "the stop note beside the database cannot be read; check the permissions of its folder");
    }
    None
}

fn done_with_note(path: &Path, is_ours: bool, note: &StopNote) {
    let done: io::Result<()> = if is_ours {
        stop_note::remove(path)
    } else {
        tracing::warn!(session = note.session, "the stop note is of another database's session; it is set aside");
        stop_note::set_aside(path).map(|_| ())
    };
    if let Err(error) = done {
        tracing::error!(%error, "the stop note could not be taken away; the next start looks at it again");
    }
}

/// True for the note of a session of this database that is closed: it was closed after the note was written.
fn already_told(conn: &Connection, note: &StopNote) -> rusqlite::Result<bool> {
    let started = conn
        .query_row("SELECT started_at FROM sessions WHERE number = ?1", [note.session], |row| row.time("started_at"))
        .optional()?;
    Ok(started.is_some_and(|started_at| note.is_of(note.session, started_at)))
}

/// Closes the open sessions; true when the note was used for one.
fn close_with(
    conn: &mut Connection,
    note: Option<&StopNote>,
    log_is_gone: bool,
) -> rusqlite::Result<(Vec<Recovery>, bool)> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let open = {
        let sql = format!("{SELECT_SESSION} WHERE ended_at IS NULL AND imported = 0 ORDER BY number");
        crate::read::query(&tx, &sql, [], session_row)?
    };
    let (mut closed, mut used) = (Vec::new(), false);
    for before in open {
        let mut end = recovered_end(&tx, &before, log_is_gone)?;
        if let Some(note) = note.filter(|note| note.is_of(before.number, before.started_at)) {
            used = true;
            end = noted_end(note, end);
            insert_faults(&tx, before.number, &note.faults)?;
        }
        end_session(&tx, before.number, &end)?;
        let after = tx.query_row(&format!("{SELECT_SESSION} WHERE number = ?1"), [before.number], session_row)?;
        closed.push(Recovery { before, after, log_is_gone });
    }
    tx.commit()?;
    Ok((closed, used))
}

/// The end that the note tells. The values are the records': the note has none. A note without an end tells only what
/// was sent before the engine died.
fn noted_end(note: &StopNote, proven: SessionEnd) -> SessionEnd {
    let detail = serde_json::json!({
        "cause": note.cause,
        "hung_stage": note.stage,
        "unrecorded_cancels": note.unrecorded,
        "recovered": "ended_at is the stop note's, where it has one; the values are the last durable record's",
    });
    let end = SessionEnd { end_detail: Some(detail.to_string()), ..proven };
    match note.ended_at {
        // A clock that was set back meanwhile must not end the session before its last record.
        Some(ended_at) => SessionEnd {
            ended_at: ended_at.max(end.ended_at),
            ended_at_source: EndedAtSource::StopNote,
            end_reason: note.end_reason,
            ..end
        },
        None => end,
    }
}

/// The end that the durable records prove.
fn recovered_end(tx: &Transaction<'_>, session: &SessionRow, log_is_gone: bool) -> rusqlite::Result<SessionEnd> {
    let number = session.number;
    let (ended_at, last_record_in) = last_record(tx, session)?;
    let snapshot = last_snapshot(tx, number)?;
    let ending_value_rlusd = match &snapshot {
        None => Err(String::from("the engine was killed before it had recorded a valuation snapshot")),
        Some(Snapshot { value: Some(value), .. }) => Ok(*value),
        Some(Snapshot { value: None, source, ledger_index, .. }) => {
            Err(format!("the last valuation snapshot, at ledger {ledger_index}, had no price: {source}"))
        }
    };
    let (end_ledger_index, end_close_time) = match (session.last_ledger_index, &snapshot) {
        (Some(index), _) => (Some(index), session.last_close_time),
        (None, Some(snapshot)) => (Some(snapshot.ledger_index), Some(snapshot.close_time)),
        (None, None) => (None, None),
    };
    let value_ledger_index = snapshot.as_ref().map(|snapshot| snapshot.ledger_index);
    let detail = serde_json::json!({
        "recovered": "the engine ended without closing its session; ended_at is its last durable record",
        "ended_at_from": last_record_in,
        "log": log_is_gone.then_some(LOG_IS_GONE),
        "ending_value_ledger_index": value_ledger_index,
    });
    Ok(SessionEnd {
        ended_at,
        ended_at_source: EndedAtSource::Recovered,
        ending_value_rlusd,
        end_ledger_index,
        end_close_time,
        end_reason: EndReason::Crash,
        end_detail: Some(detail.to_string()),
    })
}

/// The time of the session's last durable record of any table, and where it was found. Times are text of one width, so
/// the largest is the latest.
fn last_record(tx: &Transaction<'_>, session: &SessionRow) -> rusqlite::Result<(DateTime<Utc>, &'static str)> {
    let mut last = (session.started_at.max(session.last_seen_at), "sessions");
    let of_rows = |table: &str| format!("SELECT max(recorded_at) AS at FROM {table} WHERE session = ?1");
    let mut sources: Vec<(&'static str, String)> = SEQUENCED.iter().map(|table| (*table, of_rows(table))).collect();
    // A later session may have learned the fate of this one's transactions: that is no sign of life of this one.
    let updated = "SELECT max(updated_at) AS at FROM intents
                   WHERE session = ?1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE number > ?1)";
    sources.push(("intents", updated.to_string()));
    for (table, sql) in sources {
        if let Some(at) = tx.query_row(&sql, [session.number], |row| row.time_opt("at"))?
            && at > last.0
        {
            last = (at, table);
        }
    }
    Ok(last)
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

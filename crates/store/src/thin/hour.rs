//! One hour of one session: what is surplus in it, and taking that out.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::numbers::steps;
use super::rule::{Age, RULE, Seen, age, surplus};
use crate::columns::{count, time};
use crate::record::{SessionNumber, SnapshotKind};

/// Rows that are taken for an hour at most. At a ledger every four seconds it has 900.
const ROWS_MAX: usize = 4_096;

const COLUMNS: &str = "seq, session, kind, ledger_index, close_time, recorded_at, xrp_drops, rlusd";

/// Since when a row is too young to be thinned out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) keep_days: u32,
    pub(crate) now: DateTime<Utc>,
}

impl Limit {
    fn since(self) -> DateTime<Utc> {
        let days = TimeDelta::days(i64::from(self.keep_days));
        self.now.checked_sub_signed(days).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

/// What comes after a row.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing that is old enough.
    Nothing,
    /// An hour; nothing may be surplus in it.
    Hour(Hour),
}

/// An hour that was looked at.
#[derive(Debug)]
pub(crate) struct Hour {
    pub(crate) session: SessionNumber,
    /// The last row of it: where the next hour is looked for.
    pub(crate) last_seq: i64,
    /// Numbers and ledgers of the rows that go, ascending.
    surplus: Vec<(i64, i64)>,
}

impl Hour {
    /// Rows that go.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.surplus.len()).unwrap_or(u64::MAX)
    }
}

/// Looks at the hour that begins after the row `after_seq`. Reads only.
pub(crate) fn next(conn: &Connection, after_seq: i64, limit: Limit) -> rusqlite::Result<Next> {
    let (hour, follower) = read(conn, after_seq)?;
    let (Some(first), Some(last)) = (hour.first(), hour.last()) else { return Ok(Next::Nothing) };
    let found = |surplus| Ok(Next::Hour(Hour { session: first.session, last_seq: last.seq, surplus }));
    match age(&hour, limit.since(), limit.now) {
        Age::Young => return Ok(Next::Nothing),
        Age::Unknown => return found(Vec::new()),
        Age::Old => {}
    }
    let before = before(conn, first.seq)?;
    let from = before.as_ref().map_or(first.ledger_index, |before| before.ledger_index.min(first.ledger_index));
    let to = hour.iter().map(|seen| seen.ledger_index).max().unwrap_or(from);
    let ends_session = follower.is_none_or(|follower| follower.session != first.session);
    let gone = surplus(before.as_ref(), &hour, ends_session, &moved(conn, from, to)?);
    let ledger_of = |seq: &i64| hour.iter().find(|seen| seen.seq == *seq).map_or(0, |seen| seen.ledger_index);
    found(gone.iter().map(|seq| (*seq, ledger_of(seq))).collect())
}

/// The rows of the hour, and the snapshot that follows it.
fn read(conn: &Connection, after_seq: i64) -> rusqlite::Result<(Vec<Seen>, Option<Seen>)> {
    let sql = format!("SELECT {COLUMNS} FROM valuation_snapshots WHERE seq > ?1 ORDER BY seq");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([after_seq])?;
    let mut hour: Vec<Seen> = Vec::new();
    while let Some(row) = rows.next()? {
        let seen = seen(row)?;
        if hour.len() >= ROWS_MAX || hour.first().is_some_and(|first| !first.same_hour(&seen)) {
            return Ok((hour, Some(seen)));
        }
        hour.push(seen);
    }
    Ok((hour, None))
}

fn before(conn: &Connection, seq: i64) -> rusqlite::Result<Option<Seen>> {
    let sql = format!("SELECT {COLUMNS} FROM valuation_snapshots WHERE seq < ?1 ORDER BY seq DESC LIMIT 1");
    conn.prepare_cached(&sql)?.query_row([seq], seen).optional()
}

/// A value that cannot be read is `None`: such a row stays, and `neo verify` tells of it.
fn seen(row: &Row<'_>) -> rusqlite::Result<Seen> {
    let text = |column: usize| row.get_ref(column).map(|value| value.as_str().ok().map(str::to_string));
    let moment = |text: Option<String>| {
        text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|at| at.with_timezone(&Utc))
    };
    Ok(Seen {
        seq: row.get(0)?,
        session: row.get(1)?,
        kind: text(2)?.and_then(|word| SnapshotKind::from_word(&word)),
        ledger_index: row.get(3)?,
        close_time: moment(text(4)?),
        recorded_at: moment(text(5)?),
        xrp_drops: row.get(6)?,
        rlusd: text(7)?.and_then(|text| text.parse().ok()),
    })
}

/// Ledgers in which more than a fee moved a balance.
fn moved(conn: &Connection, from: i64, to: i64) -> rusqlite::Result<BTreeSet<i64>> {
    let sql = "SELECT ledger_index FROM fills WHERE ledger_index BETWEEN ?1 AND ?2
               UNION ALL SELECT ledger_index FROM flows WHERE ledger_index BETWEEN ?1 AND ?2 AND cause <> 'fee'";
    conn.prepare_cached(sql)?.query_map([from, to], |row| row.get(0))?.collect()
}

/// Takes the surplus out and writes down what it was. Inside the caller's transaction: both or neither.
pub(crate) fn take_out(conn: &Connection, hour: &Hour, limit: Limit) -> rusqlite::Result<()> {
    let (Some((first_seq, first_ledger)), Some((last_seq, last_ledger))) = (hour.surplus.first(), hour.surplus.last())
    else {
        return Ok(());
    };
    let mut delete = conn.prepare_cached("DELETE FROM valuation_snapshots WHERE seq = ?1 AND kind = 'ledger'")?;
    for (seq, _) in &hour.surplus {
        let removed = delete.execute([seq])?;
        if removed != 1 {
            return Err(rusqlite::Error::StatementChangedRows(removed));
        }
    }
    let numbers: Vec<i64> = hour.surplus.iter().map(|(seq, _)| *seq).collect();
    conn.prepare_cached(
        "INSERT INTO thinned (first_seq, last_seq, session, first_ledger, last_ledger, rows_removed, steps, rule,
             keep_days, thinned_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        first_seq,
        last_seq,
        hour.session,
        first_ledger,
        last_ledger,
        count(hour.rows()),
        steps(&numbers),
        RULE,
        limit.keep_days,
        time(limit.now)
    ])?;
    Ok(())
}

//! What a repaired record lacks, and from which ledger the history of it is to be fetched.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::read::query;
use crate::schema::SEQUENCED;
use crate::thin;

/// Rows that were recorded and are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The number of the first.
    pub first_seq: i64,
    /// The number of the last.
    pub last_seq: i64,
    /// Everything up to this ledger was recorded before them; `None` when that is not known.
    pub after_ledger: Option<u32>,
    /// Nothing after this ledger was recorded among them; `None` when that is not known.
    pub to_ledger: Option<u32>,
}

/// Every number from 1 to the watermark that no row has, no earlier repair knows of and that was not thinned out.
pub(super) fn find(conn: &Connection, watermark: i64) -> rusqlite::Result<Vec<Gap>> {
    let rows = SEQUENCED.map(|table| format!("SELECT seq AS low, seq AS high FROM {table}")).join(" UNION ALL ");
    let sql = format!("{rows} UNION ALL SELECT first_seq, last_seq FROM repair_gaps ORDER BY 1, 2");
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    let mut thinned = thin::all_numbers(conn)?.into_iter().peekable();
    let mut next = 1_i64;
    let mut hole = |next: &mut i64, end: i64| {
        while let Some(removed) = thinned.next_if(|removed| *removed <= end) {
            if removed > *next {
                found.push((*next, removed.saturating_sub(1)));
            }
            *next = (*next).max(removed.saturating_add(1));
        }
        if end >= *next {
            found.push((*next, end));
        }
    };
    while let Some(row) = rows.next()? {
        let (low, high): (i64, i64) = (row.get(0)?, row.get(1)?);
        hole(&mut next, low.saturating_sub(1));
        next = next.max(high.saturating_add(1));
    }
    hole(&mut next, watermark);
    found.into_iter().map(|(first, last)| gap(conn, first, last)).collect()
}

fn gap(conn: &Connection, first_seq: i64, last_seq: i64) -> rusqlite::Result<Gap> {
    let (after_ledger, to_ledger) = (complete_before(conn, first_seq)?, begun_after(conn, last_seq)?);
    Ok(Gap { first_seq, last_seq, after_ledger, to_ledger })
}

/// The last ledger that was wholly recorded by the rows before `seq`. Each of the two that record does so ledger by
/// ledger: a snapshot ends the valuer's part of a ledger, a signed transaction follows the orders' part of it, and a
/// fill or an event may be in the middle of it.
fn complete_before(conn: &Connection, seq: i64) -> rusqlite::Result<Option<u32>> {
    let valuer = "SELECT ledger_index FROM valuation_snapshots WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
    let valuer: Option<i64> = conn.query_row(valuer, [seq], |row| row.get(0)).optional()?;
    let orders = conn
        .query_row(&format!("{} WHERE seq < ?1 ORDER BY seq DESC LIMIT 1", orders_part()), [seq], |row| row.get(0))
        .optional()?;
    let session: Option<i64> = conn
        .query_row(&format!("{} WHERE seq < ?1 ORDER BY seq DESC LIMIT 1", all_parts()), [seq], |row| row.get(0))
        .optional()?;
    // The sessions before the one of the row before are here to their ends.
    let floor = "SELECT last_ledger_index FROM sessions
                 WHERE number < ?1 AND imported = 0 AND last_ledger_index IS NOT NULL ORDER BY number DESC LIMIT 1";
    let floor: Option<i64> = conn.query_row(floor, [session.unwrap_or(0)], |row| row.get(0)).optional()?;
    let rows = match (valuer, orders) {
        (Some(valuer), Some(orders)) => Some(valuer.min(orders)),
        _ => None,
    };
    // The record begins after the first ledger of its first session.
    let begin = "SELECT starting_ledger_index FROM sessions
                 WHERE imported = 0 AND starting_ledger_index IS NOT NULL ORDER BY number LIMIT 1";
    let begin: Option<i64> = conn.query_row(begin, [], |row| row.get(0)).optional()?;
    Ok(rows.max(floor).or(begin).and_then(|ledger| u32::try_from(ledger).ok()))
}

/// The ledger that both had come to with their first rows after `seq`.
fn begun_after(conn: &Connection, seq: i64) -> rusqlite::Result<Option<u32>> {
    let valuer = "SELECT ledger_index FROM valuation_snapshots WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let valuer: Option<i64> = conn.query_row(valuer, [seq], |row| row.get(0)).optional()?;
    let orders: Option<i64> = conn
        .query_row(&format!("{} WHERE seq > ?1 ORDER BY seq LIMIT 1", orders_part()), [seq], |row| row.get(0))
        .optional()?;
    Ok(match (valuer, orders) {
        (Some(valuer), Some(orders)) => u32::try_from(valuer.max(orders.saturating_add(1))).ok(),
        _ => None,
    })
}

/// The orders' rows with the ledger that they prove complete.
fn orders_part() -> String {
    let whole = ["intents", "orders"].map(|table| format!("SELECT ledger_index AS complete, seq FROM {table}"));
    let begun = ["fills", "order_events"].map(|table| format!("SELECT ledger_index - 1, seq FROM {table}"));
    format!("SELECT complete FROM ({})", [whole, begun].concat().join(" UNION ALL "))
}

fn all_parts() -> String {
    format!(
        "SELECT session FROM ({})",
        SEQUENCED.map(|table| format!("SELECT session, seq FROM {table}")).join(" UNION ALL ")
    )
}

/// From which ledger on the history is to be fetched, and up to which ledger rows may be missing.
pub(super) fn refetch(conn: &Connection, gaps: &[Gap]) -> rusqlite::Result<(Option<u32>, Option<u32>)> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, Option<u32>>(0));
    let to = number("SELECT max(last_ledger_index) FROM sessions WHERE imported = 0")?;
    let mut from = gaps.iter().filter_map(|gap| gap.after_ledger).min();
    // A transaction whose fate was known when the file broke, and is not any more.
    let unsettled = "SELECT min(ledger_index) FROM intents WHERE state IN ('intended', 'submitted', 'unknown')";
    from = [from, number(unsettled)?].into_iter().flatten().min();
    // The session says that it recorded more ledgers than there are snapshots of.
    let last = "SELECT seq FROM valuation_snapshots ORDER BY seq DESC LIMIT 1";
    let last: Option<i64> = conn.query_row(last, [], |row| row.get(0)).optional()?;
    let ends_at = "SELECT max(ledger_index) FROM valuation_snapshots";
    if let (Some(to), Some(ends_at)) = (to, number(ends_at)?)
        && ends_at < to
        && let Some(last) = last
    {
        let tail = complete_before(conn, last.saturating_add(1))?.or(Some(ends_at));
        from = [from, tail].into_iter().flatten().min();
    }
    Ok((from, to))
}

/// All numbers that rows have, for a watermark.
pub(super) fn last_seq(conn: &Connection) -> rusqlite::Result<i64> {
    let mut last = 0;
    for table in SEQUENCED {
        let seqs = query(conn, &format!("SELECT coalesce(max(seq), 0) FROM {table}"), [], |row| row.get::<_, i64>(0))?;
        last = seqs.into_iter().fold(last, i64::max);
    }
    Ok(last)
}

//! What a repaired record lacks, and from which ledger the history of it is to be fetched.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::read::query;
use crate::schema::SEQUENCED;
use crate::thin;
use crate::world::NEWEST_ERA;

/// Rows that were recorded and are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The number of the first.
    pub first_seq: i64,
    /// The number of the last.
    pub last_seq: i64,
    /// Everything up to this ledger of their era was recorded before them; `None` when that is not known.
    pub after_ledger: Option<u32>,
    /// Nothing after this ledger of their era was recorded among them; `None` when that is not known.
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

/// Ledgers are numbered anew in each era: a hole is told in the numbers of its own. One that reaches from the end of an era
/// into the next covers what both lack.
fn gap(conn: &Connection, first_seq: i64, last_seq: i64) -> rusqlite::Result<Gap> {
    let newest = newest_era(conn)?;
    let into = era_after(conn, last_seq)?.unwrap_or(newest);
    let from = era_before(conn, first_seq)?.unwrap_or(into);
    let mut after_ledger = complete_before(conn, first_seq, from)?;
    let mut to_ledger = begun_after(conn, last_seq, into)?;
    // No row of an era that is over comes any more.
    if into < newest && to_ledger.is_none() {
        to_ledger = ended_at(conn, into)?;
    }
    if from != into {
        let (begun, ended) = (complete_before(conn, first_seq, into)?, ended_at(conn, from)?);
        after_ledger = after_ledger.zip(begun).map(|(one, other)| one.min(other));
        to_ledger = to_ledger.zip(ended).map(|(one, other)| one.max(other));
    }
    Ok(Gap { first_seq, last_seq, after_ledger, to_ledger })
}

fn newest_era(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(era), 0) FROM sessions", [], |row| row.get(0))
}

fn era_before(conn: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    era_at(conn, seq, "WHERE seq < ?1 ORDER BY seq DESC LIMIT 1")
}

fn era_after(conn: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    era_at(conn, seq, "WHERE seq > ?1 ORDER BY seq LIMIT 1")
}

fn era_at(conn: &Connection, seq: i64, which: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT era FROM sessions WHERE number = ({} {which})", all_parts());
    conn.query_row(&sql, [seq], |row| row.get(0)).optional()
}

/// The last ledger that a session of that era recorded.
fn ended_at(conn: &Connection, era: i64) -> rusqlite::Result<Option<u32>> {
    let sql = "SELECT max(last_ledger_index) FROM sessions WHERE imported = 0 AND era = ?1";
    conn.query_row(sql, [era], |row| row.get(0))
}

/// The last ledger of that era that was wholly recorded by the rows before `seq`. Each of the two that record does so
/// ledger by ledger: a snapshot ends the valuer's part of a ledger, a signed transaction follows the orders' part of it,
/// and a fill or an event may be in the middle of it.
fn complete_before(conn: &Connection, seq: i64, era: i64) -> rusqlite::Result<Option<u32>> {
    let last = |parts: String| -> rusqlite::Result<Option<i64>> {
        let sql = format!("{parts} WHERE seq < ?1 AND session IN {OF_ERA} ORDER BY seq DESC LIMIT 1");
        conn.query_row(&sql, [seq, era], |row| row.get(0)).optional()
    };
    let (valuer, orders, session) = (last(valuers_part())?, last(orders_part())?, last(all_parts())?);
    // The sessions before the one of the row before are here to their ends.
    let floor = "SELECT last_ledger_index FROM sessions
                 WHERE number < ?1 AND era = ?2 AND imported = 0 AND last_ledger_index IS NOT NULL
                 ORDER BY number DESC LIMIT 1";
    let floor: Option<i64> = conn.query_row(floor, [session.unwrap_or(0), era], |row| row.get(0)).optional()?;
    let rows = match (valuer, orders) {
        (Some(valuer), Some(orders)) => Some(valuer.min(orders)),
        _ => None,
    };
    // An era's record begins after the first ledger of its first session.
    let begin = "SELECT starting_ledger_index FROM sessions
                 WHERE era = ?1 AND imported = 0 AND starting_ledger_index IS NOT NULL ORDER BY number LIMIT 1";
    let begin: Option<i64> = conn.query_row(begin, [era], |row| row.get(0)).optional()?;
    Ok(rows.max(floor).or(begin).and_then(|ledger| u32::try_from(ledger).ok()))
}

/// The ledger that both had come to with their first rows of that era after `seq`.
fn begun_after(conn: &Connection, seq: i64, era: i64) -> rusqlite::Result<Option<u32>> {
    let first = |parts: String| -> rusqlite::Result<Option<i64>> {
        let sql = format!("{parts} WHERE seq > ?1 AND session IN {OF_ERA} ORDER BY seq LIMIT 1");
        conn.query_row(&sql, [seq, era], |row| row.get(0)).optional()
    };
    Ok(match (first(valuers_part())?, first(orders_part())?) {
        (Some(valuer), Some(orders)) => u32::try_from(valuer.max(orders.saturating_add(1))).ok(),
        _ => None,
    })
}

/// The sessions of the era that is the second parameter.
const OF_ERA: &str = "(SELECT number FROM sessions WHERE era = ?2)";

fn valuers_part() -> String {
    String::from("SELECT ledger_index FROM valuation_snapshots")
}

/// The orders' rows with the ledger that they prove complete.
fn orders_part() -> String {
    let whole =
        ["intents", "orders"].map(|table| format!("SELECT ledger_index AS complete, seq, session FROM {table}"));
    let begun = ["fills", "order_events"].map(|table| format!("SELECT ledger_index - 1, seq, session FROM {table}"));
    format!("SELECT complete FROM ({})", [whole, begun].concat().join(" UNION ALL "))
}

fn all_parts() -> String {
    format!(
        "SELECT session FROM ({})",
        SEQUENCED.map(|table| format!("SELECT session, seq FROM {table}")).join(" UNION ALL ")
    )
}

/// From which ledger on the history is to be fetched, and up to which ledger rows may be missing; of the newest era, for the
/// ledgers of the others are gone.
pub(super) fn refetch(conn: &Connection, gaps: &[Gap]) -> rusqlite::Result<(Option<u32>, Option<u32>)> {
    let newest = newest_era(conn)?;
    let of_newest = |sql: &str| conn.query_row(&format!("{sql} session IN {NEWEST_ERA}"), [], |row| row.get(0));
    let to = ended_at(conn, newest)?;
    let mut from: Option<u32> = None;
    for gap in gaps {
        if era_after(conn, gap.last_seq)?.is_none_or(|era| era == newest) {
            from = [from, complete_before(conn, gap.first_seq, newest)?].into_iter().flatten().min();
        }
    }
    // A transaction whose fate was known when the file broke, and is not any more; not one that no node knows of.
    let unsettled = "SELECT min(ledger_index) FROM intents WHERE (state IN ('intended', 'submitted')
                         OR state = 'unknown' AND settled_ledger_index IS NULL) AND";
    from = [from, of_newest(unsettled)?].into_iter().flatten().min();
    // The session says that it recorded more ledgers than there are snapshots of.
    let ends_at: Option<u32> = of_newest("SELECT max(ledger_index) FROM valuation_snapshots WHERE")?;
    if let Some(to) = to
        && ends_at.is_none_or(|ends_at| ends_at < to)
    {
        let last = "SELECT coalesce(max(seq), 0) FROM valuation_snapshots";
        let last: i64 = conn.query_row(last, [], |row| row.get(0))?;
        let tail = complete_before(conn, last.saturating_add(1), newest)?.or(ends_at);
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

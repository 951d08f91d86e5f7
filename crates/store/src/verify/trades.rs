//! Fills, signed transactions and offers against each other.

use rusqlite::Connection;

use super::repairs::Repairs;
use super::sessions::Session;
use super::{Check, Report, text};
use crate::record::SessionNumber;

/// Checks fills, intents and orders.
pub(super) fn check(
    conn: &Connection,
    sessions: &[Session],
    repairs: &Repairs,
    report: &mut Report,
) -> rusqlite::Result<()> {
    fills_twice(conn, report)?;
    fills_without_order(conn, sessions, repairs, report)?;
    intents(conn, sessions, report)?;
    orders(conn, sessions, report)
}

/// Without the index that keeps them apart, and whatever the case of the hash: one transaction fills an offer once.
fn fills_twice(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT upper(tx_hash), offer_sequence, count(*), max(session) FROM fills NOT INDEXED
               GROUP BY 1, 2, era HAVING count(*) > 1 ORDER BY min(seq)";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (hash, offer, times) = (text(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        let text = format!(
            "the fill of offer {offer} by {hash} is recorded {times} times; look the transaction up on the ledger: one \
             of the rows is wrong"
        );
        report.error(Check::Fills, Some(row.get(3)?), text);
    }
    Ok(())
}

fn fills_without_order(
    conn: &Connection,
    sessions: &[Session],
    repairs: &Repairs,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let sql = "SELECT seq, session, tx_hash, offer_sequence, ledger_index FROM fills AS f
               WHERE NOT EXISTS (SELECT 1 FROM orders AS o
                                 WHERE o.offer_sequence = f.offer_sequence AND o.side = f.side)
               ORDER BY seq";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, session, hash, offer) = (row.get::<_, i64>(0)?, row.get(1)?, text(row, 2)?, row.get::<_, i64>(3)?);
        if find(sessions, session).is_some_and(|session| session.is_history) {
            continue;
        }
        if let Some(repair) = repairs.explains_order(seq, row.get(4)?) {
            let text = format!(
                "fill {seq} is of offer {offer}, whose order is not there: lost to the damage that repair {repair} mended"
            );
            report.note(Check::Fills, Some(session), text);
            continue;
        }
        let text = format!(
            "fill {seq} (transaction {hash}) is of offer {offer}, and no order of that side has that number: an offer \
             placed by another program on this account, or a lost row; look the offer up on the ledger"
        );
        report.error(Check::Fills, Some(session), text);
    }
    Ok(())
}

/// The next run looks for what was still open at the end; not for what lies in ledgers that no node has.
const UNKNOWN: &str = "their fate could not be learned before the end; the next `neo run` looks again, but for those of ledgers that \
                       no node has: `faults` names these";

fn intents(conn: &Connection, sessions: &[Session], report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT session, state, count(*), min(tx_hash) FROM intents
               WHERE state NOT IN ('validated', 'dead') GROUP BY session, state ORDER BY session, state";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, state, count, hash) = (row.get(0)?, text(row, 1)?, row.get::<_, i64>(2)?, text(row, 3)?);
        if find(sessions, number).is_some_and(|session| session.is_open) {
            continue;
        }
        let what = format!("S{number} has {count} signed transactions that are {state} (one is {hash})");
        if state == "unknown" {
            let text = format!("{what}: {UNKNOWN}");
            report.note(Check::Intents, Some(number), text);
        } else if settled_by_now(sessions, number) {
            let text = format!("{what} although a session since then ended cleanly; look them up on the ledger");
            report.error(Check::Intents, Some(number), text);
        } else if being_settled(sessions) {
            report.note(Check::Intents, Some(number), format!("{what}; the open session is to learn their fate"));
        } else {
            report.warning(
                Check::Intents,
                Some(number),
                format!("{what}; the next `neo run` learns what became of them"),
            );
        }
    }
    Ok(())
}

fn orders(conn: &Connection, sessions: &[Session], report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT session, state, count(*), min(offer_sequence) FROM orders
               WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown')
               GROUP BY session, state ORDER BY session, state";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, state, count, offer) = (row.get(0)?, text(row, 1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?);
        if find(sessions, number).is_some_and(|session| session.is_open) {
            continue;
        }
        let what = format!("S{number} has {count} offers that are {state} (one is {offer})");
        if state == "unknown" {
            let text = format!("{what}: {UNKNOWN}");
            report.note(Check::Orders, Some(number), text);
        } else if being_settled(sessions) {
            report.note(Check::Orders, Some(number), format!("{what}; the open session is to find and cancel them"));
        } else {
            let text = format!("{what}: they may still be on the ledger; the next `neo run` finds and cancels them");
            report.warning(Check::Orders, Some(number), text);
        }
    }
    Ok(())
}

fn find(sessions: &[Session], number: SessionNumber) -> Option<&Session> {
    sessions.iter().find(|session| session.number == number)
}

/// True when the session itself or a later one ran its stop sequence, whose stage `settle` learns every fate.
fn settled_by_now(sessions: &[Session], number: SessionNumber) -> bool {
    sessions.iter().any(|session| session.number >= number && session.is_clean)
}

/// True while a session is open, which settles what the ones before it left.
fn being_settled(sessions: &[Session]) -> bool {
    sessions.last().is_some_and(|session| session.is_open)
}

//! Results, made again: of each session the parts must be what its value changed by, and of each fill it must be known, or
//! said why not, where the price went.

use neo_market::Dec;
use neo_market::result::moves::Change;
use neo_market::result::split::Split;
use rusqlite::{Connection, Row};

use super::repairs::Repairs;
use super::sessions::Session;
use super::{Check, Report, Severity, text};
use crate::moves::{Book, SessionMoves};
use crate::read::check_row;
use crate::record::SessionNumber;

/// Checks results and mark-outs.
pub(super) fn check(
    conn: &Connection,
    sessions: &[Session],
    repairs: &Repairs,
    report: &mut Report,
) -> rusqlite::Result<()> {
    match Book::read(conn, 0, SessionNumber::MAX) {
        Ok(book) => results(&book, sessions, repairs, report),
        // Which one it is, another check tells.
        Err(error) if error.sqlite_error_code().is_none() => {
            let text = format!("the results cannot be made again, because a row cannot be read: {error}");
            report.error(Check::Results, None, text);
        }
        Err(error) => return Err(error),
    }
    forms(conn, report)?;
    unmeasured(conn, sessions, report)?;
    without_fill(conn, sessions, repairs, report)
}

fn results(book: &Book, sessions: &[Session], repairs: &Repairs, report: &mut Report) {
    for session in sessions.iter().filter(|session| !session.is_history) {
        // A session that valued no ledger has no result; why its values are not known is in its row.
        let Ok(moves) = book.session(session.number) else { continue };
        // Beyond this a dying engine recorded one half of a ledger, and nobody the other half yet.
        let whole = sessions.iter().filter(|since| since.number >= session.number && since.era == session.era);
        if whole.filter_map(|since| since.last_ledger_index).max() < Some(i64::from(moves.closing_ledger)) {
            continue;
        }
        result(session.number, &moves, repairs, report);
    }
}

fn result(number: SessionNumber, session: &SessionMoves, repairs: &Repairs, report: &mut Report) {
    let (from, to) = (session.opening_ledger, session.closing_ledger);
    let made = Split::of(&session.moves).and_then(|split| Ok((split.difference, session.moves.left_over()?)));
    let (value, left) = match made {
        Ok((value, left)) if value.is_ok_and(Dec::is_zero) && left == Change::default() => return,
        // Without a price the balances tell.
        Ok((Err(_), left)) if left == Change::default() => return,
        Ok((value, left)) => {
            (value.map_or_else(|_| "an unknown number of".to_string(), |value| value.to_string()), left)
        }
        Err(error) => {
            let text = format!("the result of S{number} cannot be summed: {error}; look for an absurd amount");
            return report.error(Check::Results, Some(number), text);
        }
    };
    let what = format!(
        "the result of S{number} does not add up: from ledger {from} to {to}, {} XRP and {} RLUSD, worth {value} RLUSD, \
         came from no fill, fee or flow",
        left.xrp, left.rlusd
    );
    match repairs.explains_ledgers(i64::from(from), i64::from(to)) {
        Some((severity, repair)) => {
            let text = format!("{what}: rows were lost to the damage that repair {repair} mended");
            report.add(Check::Results, severity, Some(number), text);
        }
        None => {
            let text = format!("{what}; the check of the balances says after which ledger");
            report.error(Check::Results, Some(number), text);
        }
    }
}

/// Each row is one that this version understands, and of the ledger that it says.
fn forms(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT m.*, f.ledger_index AS filled_in FROM markouts AS m LEFT JOIN fills AS f ON f.tx_hash = m.tx_hash
                   AND f.offer_sequence = m.offer_sequence AND f.role = m.role AND f.era = m.era ORDER BY m.id";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, session): (i64, SessionNumber) = (row.get("id")?, row.get("session")?);
        let wrong = match check_row("markouts", row) {
            Err(error) => Some(format!("cannot be read: {error}")),
            Ok(()) => other_ledger(row)?,
        };
        if let Some(wrong) = wrong {
            let text = format!("row {id} of markouts {wrong}; the row was changed: compare with the newest backup");
            report.error(Check::MarkOuts, Some(session), text);
        }
    }
    Ok(())
}

fn other_ledger(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let (at, ledgers): (i64, i64) = (row.get("ledger_index")?, row.get("ledgers")?);
    let filled_in: Option<i64> = row.get("filled_in")?;
    let wrong = filled_in.filter(|filled_in| filled_in.saturating_add(ledgers) != at);
    Ok(wrong.map(|filled_in| format!("is of ledger {at}, which is not {ledgers} after the fill's ledger {filled_in}")))
}

/// Fills of closed sessions that nothing says of where the price went.
fn unmeasured(conn: &Connection, sessions: &[Session], report: &mut Report) -> rusqlite::Result<()> {
    let horizons = neo_market::result::mark_out::HORIZONS_LEDGERS;
    let sql = format!(
        "SELECT session, count(*), min(seq) FROM fills WHERE (SELECT count(*) FROM markouts AS m
             WHERE m.tx_hash = fills.tx_hash AND m.offer_sequence = fills.offer_sequence AND m.role = fills.role AND m.era = fills.era) < {}
         GROUP BY session ORDER BY session",
        horizons.len()
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, fills, first): (SessionNumber, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some(session) = sessions.iter().find(|session| session.number == number) else { continue };
        if session.is_open || session.is_history {
            continue;
        }
        let what = format!("{fills} fills of S{number} (one is {first}) have not all of their mark-outs");
        // Closed while its writer hung, a session may get rows after its end.
        let (severity, why) = if session.is_clean {
            (Severity::Error, "a row of markouts was lost; compare with the newest backup")
        } else {
            (Severity::Note, "they were recorded after the session had been closed")
        };
        report.add(Check::MarkOuts, severity, Some(number), format!("{what}: {why}"));
    }
    Ok(())
}

/// Mark-outs of what is no fill. A dying engine may have measured one that only the next session records.
fn without_fill(
    conn: &Connection,
    sessions: &[Session],
    repairs: &Repairs,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let sql = "SELECT min(id), session, tx_hash, ledger_index - ledgers FROM markouts AS m
               WHERE NOT EXISTS (SELECT 1 FROM fills AS f WHERE f.tx_hash = m.tx_hash
                   AND f.offer_sequence = m.offer_sequence AND f.role = m.role AND f.era = m.era)
               GROUP BY tx_hash, offer_sequence, role, era ORDER BY 1";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, number, filled_in) = (row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(3)?);
        let session = sessions.iter().find(|session| session.number == number);
        let whole = session.and_then(|session| session.last_ledger_index);
        if whole.is_none_or(|whole| filled_in > whole) {
            continue;
        }
        let what = format!("row {id} of markouts is of transaction {}, of which no fill is recorded", text(row, 2)?);
        match repairs.explains_ledgers(filled_in.saturating_sub(1), filled_in) {
            Some((severity, repair)) => {
                let text = format!("{what}: lost to the damage that repair {repair} mended");
                report.add(Check::MarkOuts, severity, Some(number), text);
            }
            None => {
                let text = format!("{what}; a row was changed or lost: look the transaction up on the ledger");
                report.error(Check::MarkOuts, Some(number), text);
            }
        }
    }
    Ok(())
}

//! The sessions: numbered and dated in order, closed, and closed with a source and a reason.

use std::path::Path;

use rusqlite::Connection;

use super::{Check, Report, text, text_opt};
use crate::record::{EndReason, EndedAtSource, SessionNumber};

/// What the other checks need of a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) number: SessionNumber,
    pub(super) is_open: bool,
    /// Ended by the stop sequence.
    pub(super) is_clean: bool,
    /// From a database of another schema: its offers and flows were never recorded.
    pub(super) is_history: bool,
    /// The last ledger that was wholly recorded.
    pub(super) last_ledger_index: Option<i64>,
    /// The world that it traded in: another number is another ledger.
    pub(super) era: i64,
    pub(super) starting_value: Option<String>,
    pub(super) ending_value: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    source: Option<String>,
    reason: Option<String>,
    value_reason: Option<String>,
}

/// Checks the sessions and gives them, the oldest first.
pub(super) fn check(
    conn: &Connection,
    path: &Path,
    engine_runs: bool,
    report: &mut Report,
) -> rusqlite::Result<Vec<Session>> {
    let sessions = read(conn)?;
    let mut before: Option<&Session> = None;
    for session in &sessions {
        // What another program recorded is taken as it is: its numbers may have gaps and its ends may be unknown.
        if session.is_history {
            continue;
        }
        if let Some(before) = before {
            order(before, session, report);
        }
        if session.is_open {
            open(session, sessions.last().map(|last| last.number), path, engine_runs, report);
        } else {
            ended(session, report);
        }
        before = Some(session);
    }
    Ok(sessions)
}

fn read(conn: &Connection) -> rusqlite::Result<Vec<Session>> {
    let sql = "SELECT number, started_at, ended_at, ended_at_source, end_reason, ending_value_rlusd,
                   ending_value_reason, starting_value_rlusd, last_ledger_index, imported, era FROM sessions ORDER BY number";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let (ended_at, source) = (text_opt(row, 2)?, text_opt(row, 3)?);
        let is_history: bool = row.get(9)?;
        Ok(Session {
            number: row.get(0)?,
            is_open: ended_at.is_none() && !is_history,
            is_clean: source.as_deref() == Some(EndedAtSource::Clean.as_str()),
            is_history,
            last_ledger_index: row.get(8)?,
            era: row.get(10)?,
            starting_value: text_opt(row, 7)?,
            ending_value: text_opt(row, 5)?,
            started_at: text(row, 1)?,
            ended_at,
            source,
            reason: text_opt(row, 4)?,
            value_reason: text_opt(row, 6)?,
        })
    })?;
    rows.collect()
}

/// Times are text of one width in UTC, so that their order is the order of time.
fn order(before: &Session, session: &Session, report: &mut Report) {
    let number = session.number;
    if number != before.number.saturating_add(1) {
        let text = format!(
            "S{number} follows S{}: sessions between them are missing; look for them in a backup",
            before.number
        );
        report.error(Check::Sessions, Some(number), text);
    }
    let last = before.ended_at.as_ref().unwrap_or(&before.started_at);
    if session.started_at < *last {
        let text = format!(
            "S{number} began at {}, before S{} had ended ({last}): the clock was set back, or a row was changed; keep \
             the host's clock in step",
            session.started_at, before.number
        );
        report.warning(Check::Sessions, Some(number), text);
    }
}

fn open(session: &Session, last: Option<SessionNumber>, path: &Path, engine_runs: bool, report: &mut Report) {
    let number = session.number;
    if last != Some(number) {
        let text = format!("S{number} is open although later sessions exist; the next `neo run` closes it");
        report.error(Check::Sessions, Some(number), text);
    } else if engine_runs {
        report.note(Check::Sessions, Some(number), format!("S{number} is open: an engine runs it"));
    } else {
        let text = format!(
            "S{number} is open and no engine holds {}: it was killed; the next `neo run` closes the session from its \
             last record",
            path.display()
        );
        report.error(Check::Sessions, Some(number), text);
    }
}

fn ended(session: &Session, report: &mut Report) {
    let number = session.number;
    let mut error = |text: String| report.error(Check::Sessions, Some(number), text);
    match &session.source {
        None => error(format!("S{number} has ended_at but no ended_at_source: it was written by another program")),
        Some(word) if EndedAtSource::from_word(word).is_none() => {
            error(format!(
                "S{number} has the ended_at_source {word:?}, which this version does not know; use the newer one"
            ));
        }
        Some(_) => {}
    }
    match &session.reason {
        None => error(format!("S{number} has ended_at but no end_reason: it was written by another program")),
        Some(word) if EndReason::from_word(word).is_none() => {
            error(format!(
                "S{number} has the end_reason {word:?}, which this version does not know; use the newer one"
            ));
        }
        Some(_) => {}
    }
    if session.ending_value.is_none() && session.value_reason.is_none() {
        error(format!(
            "S{number} has neither an ending value nor a reason why it is unknown; see `neo report S{number}`"
        ));
    }
    if let Some(ended_at) = &session.ended_at
        && *ended_at < session.started_at
    {
        let text = format!(
            "S{number} ended at {ended_at}, before it began ({}): the clock was set back, or a row was changed; keep \
             the host's clock in step",
            session.started_at
        );
        report.warning(Check::Sessions, Some(number), text);
    }
}

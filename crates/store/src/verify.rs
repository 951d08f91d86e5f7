//! Is the record whole and true? Every check reads, none writes, and what is found is a value with the next step in it.
//!
//! The checks hold the file against itself: SQLite's own structure, the numbers of the rows, the sessions' ends, fills
//! against offers, and the balances, which are derived again from fills and flows and compared with every snapshot to
//! the last drop and digit. Then the backups beside the file.

mod backups;
mod balances;
mod forms;
mod marks;
mod repairs;
mod results;
mod sequence;
mod sessions;
mod thinned;
mod trades;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::error::StoreError;
use crate::lock::{is_held, lock_path, with_suffix};
use crate::mend;
use crate::open::{read_every_page, sqlite};
use crate::read::Reader;
use crate::record::SessionNumber;
use crate::schema::SEQUENCED;
use crate::writer::wal_bytes;

/// Findings of one check and severity that are told one by one; the rest is counted.
const TOLD: usize = 20;
/// A log longer than this is not being checkpointed.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// SQLite's `integrity_check`: pages, indexes, constraints.
    Integrity,
    /// SQLite's `foreign_key_check`: every row has the session that it names.
    ForeignKeys,
    /// The rows' numbers are 1, 2, 3, ... without a gap or a double, up to the watermark.
    Sequence,
    /// Sessions are numbered and dated in order, and closed with a source and a reason.
    Sessions,
    /// Each fill is there once and has its offer.
    Fills,
    /// Each signed transaction of a closed session has an outcome.
    Intents,
    /// No closed session has an offer that may still be on the ledger.
    Orders,
    /// Fills and flows explain every change between two snapshots exactly.
    Balances,
    /// Each value has its form; each snapshot's value follows from its balances and price, and each session's from its
    /// snapshots.
    Values,
    /// Each session's result, made again from its rows: the parts are what its value changed by.
    Results,
    /// Of each fill it is known, or said why not, where the price went.
    MarkOuts,
    /// What repairs could not bring back, and what they left to fetch.
    Repairs,
    /// What was thinned out is gone and named, row by row.
    Thinned,
    /// Each backup is there, is what was written, and can be read.
    Backups,
    /// The write-ahead log is of a bounded size.
    Wal,
}

impl Check {
    /// All checks, in the order they are told.
    pub const ALL: [Check; 15] = [
        Check::Integrity,
        Check::ForeignKeys,
        Check::Sequence,
        Check::Sessions,
        Check::Fills,
        Check::Intents,
        Check::Orders,
        Check::Balances,
        Check::Values,
        Check::Results,
        Check::MarkOuts,
        Check::Repairs,
        Check::Thinned,
        Check::Backups,
        Check::Wal,
    ];

    /// The word shown to people and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Check::Integrity => "integrity",
            Check::ForeignKeys => "foreign_keys",
            Check::Sequence => "sequence",
            Check::Sessions => "sessions",
            Check::Fills => "fills",
            Check::Intents => "intents",
            Check::Orders => "orders",
            Check::Balances => "balances",
            Check::Values => "values",
            Check::Results => "results",
            Check::MarkOuts => "mark_outs",
            Check::Repairs => "repairs",
            Check::Thinned => "thinned",
            Check::Backups => "backups",
            Check::Wal => "wal",
        }
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The record is not whole or not true.
    Error,
    /// Something must be done, or looked at, for the record to stay so.
    Warning,
    /// Worth knowing; nothing is wrong.
    Note,
}

impl Severity {
    /// The word shown to people and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// By which check.
    pub check: Check,
    /// How much it weighs.
    pub severity: Severity,
    /// In which session, where one is concerned.
    pub session: Option<SessionNumber>,
    /// What it is, and the next step.
    pub text: String,
}

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Sessions, open ones included.
    pub sessions: u64,
    /// Rows that carry a sequence number.
    pub rows: u64,
    /// The watermark.
    pub durable_seq: u64,
    /// Fills.
    pub fills: u64,
    /// Snapshots whose balances were derived again and compared.
    pub balances_checked: u64,
    /// Repairs that were made.
    pub repairs: u64,
    /// Snapshots that were thinned out.
    pub thinned: u64,
    /// Backups that are present and proved readable.
    pub backups_readable: u64,
    /// Length of the write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// True while an engine holds the file's lock.
    pub engine_runs: bool,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// SQLite's structure itself is broken; the other checks were not tried then.
    pub malformed: bool,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub facts: Facts,
}

impl Verification {
    /// True when nothing was found but notes.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.malformed && self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Looks at everything in the record at `path` and the backups beside it. Writes nothing, and leaves no `-wal` or
/// `-shm` that was not there. It may run beside an engine: then the checks see one moment, and keep checkpoints from
/// truncating the log while they last.
///
/// # Errors
/// As for [`Reader::open`] when the file is not ours; [`StoreError::Damaged`] when it cannot be read to the end.
pub fn verify(path: &Path) -> Result<Verification, StoreError> {
    // Asked twice: an engine that stops or starts meanwhile must not be taken for a session that nobody holds.
    let ran = engine_runs(path)?;
    let alone = !ran;
    let has_log = alone && crate::look::refuse_stray(path)?.has_log;
    let reader = Reader::open(path)?;
    if has_log {
        crate::look::compare_records(path, &reader.conn)?;
    }
    let failed = sqlite(path, "verifying");
    let mut report = Report::default();
    let mut facts = Facts::default();
    integrity(&reader.conn, &mut report).map_err(&failed)?;
    let malformed = !report.findings.is_empty();
    if malformed {
        report.error(Check::Integrity, None, format!("start no engine on it. {}", mend::commands(path)));
    }
    if !malformed {
        let tx = reader.conn.unchecked_transaction().map_err(&failed)?;
        // The first read fixes the moment that all checks see; only then is the lock asked about again.
        facts.sessions = count(&tx, "SELECT count(*) FROM sessions").map_err(&failed)?;
        facts.engine_runs = ran || engine_runs(path)?;
        rows(&tx, path, &mut report, &mut facts).map_err(&failed)?;
        let listed = backups::listed(&tx).map_err(&failed)?;
        tx.finish().map_err(&failed)?;
        facts.backups_readable = backups::check(path, &listed, &mut report);
    }
    facts.wal_bytes = wal_bytes(&with_suffix(path, "-wal"));
    wal(&facts, &mut report);
    Ok(Verification { malformed, findings: report.finish(), facts })
}

fn rows(conn: &Connection, path: &Path, report: &mut Report, facts: &mut Facts) -> rusqlite::Result<()> {
    foreign_keys(conn, report)?;
    facts.fills = count(conn, "SELECT count(*) FROM fills")?;
    for table in SEQUENCED {
        facts.rows = facts.rows.saturating_add(count(conn, &format!("SELECT count(*) FROM {table}"))?);
    }
    let repairs = repairs::read(conn)?;
    facts.repairs = repairs.count();
    let thinned = thinned::read(conn, report)?;
    facts.thinned = thinned.count();
    facts.durable_seq = sequence::check(conn, &repairs, &thinned, report)?;
    let sessions = sessions::check(conn, path, facts.engine_runs, report)?;
    trades::check(conn, &sessions, &repairs, report)?;
    facts.balances_checked = balances::check(conn, &sessions, &repairs, report)?;
    results::check(conn, &sessions, &repairs, report)?;
    repairs.tell(report);
    thinned.tell(report);
    marks::check(conn, report)?;
    forms::check(conn, report)
}

fn engine_runs(path: &Path) -> Result<bool, StoreError> {
    Ok(is_held(&lock_path(path))?)
}

fn count(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or(0))
}

fn integrity(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
        let mut lines = statement.query_map([], |row| text(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        lines.retain(|line| line != "ok");
        Ok(lines)
    };
    let mut lines = check()?;
    if !lines.is_empty() {
        // A page that the disk does not give counts as damage here; no backup is a remedy for that.
        read_every_page(conn)?;
        lines = check()?;
    }
    for line in lines {
        report.error(Check::Integrity, None, format!("SQLite says: {line}"));
    }
    Ok(())
}

fn foreign_keys(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, rowid, parent) = (text(row, 0)?, row.get::<_, Option<i64>>(1)?, text(row, 2)?);
        let rowid = rowid.map_or_else(|| "?".to_string(), |rowid| rowid.to_string());
        report.error(
            Check::ForeignKeys,
            None,
            format!(
                "row {rowid} of {table} names a row of {parent} that is not there; a row was deleted by hand or lost: \
                 compare with the newest backup"
            ),
        );
    }
    Ok(())
}

fn wal(facts: &Facts, report: &mut Report) {
    if facts.wal_bytes > WAL_BYTES_MAX {
        let why = "a reader that stays open, or an external replicator, keeps checkpoints from finishing";
        let text = format!("the write-ahead log has {} bytes: {why}; end that program", facts.wal_bytes);
        report.warning(Check::Wal, None, text);
    } else if facts.wal_bytes > 0 && !facts.engine_runs {
        let text = format!(
            "the write-ahead log has {} bytes and no engine runs: it belongs to the file, never delete it; the next \
             `neo run` folds it in",
            facts.wal_bytes
        );
        report.note(Check::Wal, None, text);
    }
}

/// Text as it is, whatever is in it: a check must not stop at a value that is no UTF-8.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(text_opt(row, column)?.unwrap_or_default())
}

/// As [`text`]; `None` for NULL.
fn text_opt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// Where the checks put what they find.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    counts: BTreeMap<(Check, Severity), usize>,
}

impl Report {
    fn error(&mut self, check: Check, session: Option<SessionNumber>, text: String) {
        self.add(check, Severity::Error, session, text);
    }

    fn warning(&mut self, check: Check, session: Option<SessionNumber>, text: String) {
        self.add(check, Severity::Warning, session, text);
    }

    fn note(&mut self, check: Check, session: Option<SessionNumber>, text: String) {
        self.add(check, Severity::Note, session, text);
    }

    fn add(&mut self, check: Check, severity: Severity, session: Option<SessionNumber>, text: String) {
        let count = self.counts.entry((check, severity)).or_default();
        *count += 1;
        if *count <= TOLD {
            self.findings.push(Finding { check, severity, session, text });
        }
    }

    /// What was found, by check and weight, with a last line for what was only counted.
    fn finish(mut self) -> Vec<Finding> {
        for ((check, severity), count) in self.counts {
            if let Some(more @ 1..) = count.checked_sub(TOLD) {
                let text = format!("and {more} more of this kind");
                self.findings.push(Finding { check, severity, session: None, text });
            }
        }
        self.findings.sort_by_key(|finding| (finding.check, finding.severity));
        self.findings
    }
}

//! `neo backup`, `neo restore`, and the backup before each session.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use neo_actors::clock::{monotonic_ms, now};
use neo_store::backup::{self, Retention, Taken, list};
use neo_store::open::Store;
use neo_store::restore::{self, Lost, Present, Restored, Settled};
use serde::Serialize;

use crate::cli::BackupArgs;
use crate::config::{self, StoreSettings};
use crate::exit::ExitCode;
use crate::output::{Out, printable, table};
use crate::sessions::moment;

/// What `neo backup --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    taken: &'a Taken,
    /// How long it took, verification included.
    ms: u64,
}

/// Takes a backup, or lists those there are.
///
/// # Errors
/// [`neo_store::BackupError`], mistakes in the configuration, and what standard output refused.
pub fn take(args: &BackupArgs, out: &mut Out) -> Result<ExitCode> {
    let config = config::load(args.config.as_deref(), &[])?.config;
    let db = args.read.db.db.clone().unwrap_or_else(|| config.session.db_path());
    if args.list {
        return listing(&db, args.read.json, out);
    }
    let begun = monotonic_ms();
    let taken = backup::take(&db, &retention(&config.store), now(), &mut |_| {})?;
    let ms = monotonic_ms().saturating_sub(begun);
    if args.read.json {
        out.json_line(&Report { taken: &taken, ms })?;
        return Ok(ExitCode::Clean);
    }
    for line in taken_lines(&taken, ms) {
        out.line(&line)?;
    }
    Ok(ExitCode::Clean)
}

/// Puts a backup in the place of the record.
///
/// # Errors
/// [`neo_store::BackupError`], and what standard output refused.
pub fn restore(db: &Path, asked: &str, json: bool, out: &mut Out) -> Result<ExitCode> {
    let done = restore::restore(db, asked, now(), &mut |_| {})?;
    if json {
        out.json_line(&done)?;
        return Ok(ExitCode::Clean);
    }
    for line in restored_lines(&done) {
        out.line(&line)?;
    }
    Ok(ExitCode::Clean)
}

/// The backup that goes before a session. Without it none begins: a disk that cannot take the backup is no disk to
/// trade on.
///
/// # Errors
/// [`neo_store::BackupError`].
pub fn before_session(store: &mut Store, settings: &StoreSettings) -> Result<()> {
    let begun = monotonic_ms();
    match store.backup(&retention(settings), now())? {
        Some(taken) => {
            let ms = monotonic_ms().saturating_sub(begun);
            let removed = taken.removed.len();
            tracing::info!(backup = %taken.file.path.display(), size = taken.file.size, removed, ms, "backed up");
        }
        None => tracing::debug!("a new record: nothing to back up"),
    }
    Ok(())
}

/// The rules of `[store]`.
pub(crate) fn retention(settings: &StoreSettings) -> Retention {
    Retention { last: settings.backups_keep, daily: settings.backups_daily, weekly: settings.backups_weekly }
}

fn listing(db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let files = list(db)?;
    if json {
        for file in &files {
            out.json_line(file)?;
        }
        return Ok(ExitCode::Clean);
    }
    if files.is_empty() {
        out.line(&format!("no backup of {} yet; take one with `neo backup`", db.display()))?;
        return Ok(ExitCode::Clean);
    }
    let heading = ["name", "taken (UTC)", "bytes"].map(str::to_string).to_vec();
    let rows = files.iter().map(|file| vec![file.name.clone(), moment(file.taken_at), file.size.to_string()]);
    for line in table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &[2]) {
        out.line(&line)?;
    }
    Ok(ExitCode::Clean)
}

fn taken_lines(taken: &Taken, ms: u64) -> Vec<String> {
    let took = humantime::format_duration(Duration::from_millis(ms));
    let mut lines = vec![
        format!("backed up to {}", taken.file.path.display()),
        format!("{}, {} bytes, verified, in {took}", taken.contents, taken.file.size),
        format!("SHA-256 {}", taken.sha256),
    ];
    if !taken.removed.is_empty() {
        lines.push(format!("removed by the rules of [store]: {}", taken.removed.join(", ")));
    }
    lines
}

fn restored_lines(done: &Restored) -> Vec<String> {
    let mut lines = Vec::new();
    match &done.settled {
        Some(Settled::PutBack) => {
            lines.push("an earlier restore had been cut short: what it had moved was put back first".to_string());
        }
        Some(Settled::WasDone { set_aside }) => lines.push(format!(
            "an earlier restore had been cut short when it was done; the record before it is in {}",
            set_aside.display()
        )),
        None => {}
    }
    lines.push(format!("restored {} from {}", done.db.display(), done.backup.display()));
    let sum = if done.verified.sha256_checked { "as written down" } else { "NOT checked: no .sha256 beside it" };
    lines.push(format!("it holds {}; SHA-256 {} ({sum})", done.verified.contents, done.verified.sha256));
    if let Some(aside) = &done.set_aside {
        lines.push(format!("the former record was set aside, untouched, in {}", aside.display()));
    }
    match &done.former {
        Present::Missing => lines.push("there was no record before".to_string()),
        Present::Malformed { detail } => lines
            .push(format!("the former record is malformed ({}), so what is lost cannot be told", printable(detail))),
        Present::Readable { lost, .. } => lines.extend(lost_lines(lost)),
    }
    lines
}

fn lost_lines(lost: &Lost) -> Vec<String> {
    if lost.is_nothing() {
        return vec!["nothing was lost: the backup has all that the former record had".to_string()];
    }
    let named = |numbers: &[i64]| numbers.iter().map(|number| format!("S{number}")).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if lost.another_record {
        lines.push("the backup is of another record, begun at another time: all of the former one is lost".to_string());
    }
    if !lost.sessions.is_empty() {
        lines.push(format!("lost, begun after the backup: {}", named(&lost.sessions)));
    }
    if !lost.cut_sessions.is_empty() {
        lines.push(format!("lost in part, from the backup on: {}", named(&lost.cut_sessions)));
    }
    let tables: Vec<_> = lost.rows_by_table.iter().map(|(table, rows)| format!("{rows} {table}")).collect();
    let tables = if tables.is_empty() { String::new() } else { format!(" ({})", tables.join(", ")) };
    lines.push(format!("lost rows: {}{tables}", lost.rows));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_was_lost_is_said_in_words() {
        let lost = Lost {
            another_record: false,
            sessions: vec![39, 40],
            cut_sessions: vec![38],
            rows: 12,
            rows_by_table: BTreeMap::from([("fills", 9), ("flows", 3)]),
        };
        let expected = [
            "lost, begun after the backup: S39, S40",
            "lost in part, from the backup on: S38",
            "lost rows: 12 (9 fills, 3 flows)",
        ];
        assert_eq!(lost_lines(&lost), expected);
        assert!(lost_lines(&Lost::default())[0].starts_with("nothing was lost"));
        let other = Lost { another_record: true, sessions: vec![1], ..Lost::default() };
        assert!(lost_lines(&other)[0].contains("another record"));
    }
}

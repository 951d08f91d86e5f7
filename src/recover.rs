//! `neo recover`, and `--repair` here and for `neo run`: what an operator does when an engine died or the record broke.

use std::path::Path;

use anyhow::Result;
use neo_actors::clock::now;
use neo_store::open::{Identity, Options};
use neo_store::repair::{self, Outcome, Progress, ReadAs, Repaired, Step, TableAccount, Whose};
use neo_store::restore::Settled;
use neo_store::{Recovery, SessionRow};
use serde::Serialize;

use crate::cli::RecoverArgs;
use crate::config;
use crate::exit::ExitCode;
use crate::output::{Out, printable, table};
use crate::progress::Bar;
use crate::sessions::moment;
use crate::venue;

/// What `neo recover --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The file.
    db: &'a Path,
    /// What `--repair` did; nothing was asked for where it is null.
    repair: Option<&'a Outcome>,
    /// The sessions that were closed.
    sessions: &'a [Recovery],
}

/// Closes the sessions that a killed engine left open; with `--repair` it mends a damaged record before.
///
/// # Errors
/// [`neo_store::StoreError`] and [`neo_store::BackupError`], mistakes in the configuration, and what standard output
/// refused.
pub fn run(args: &RecoverArgs, out: &mut Out) -> Result<ExitCode> {
    let config = config::load(args.config.as_deref(), &[])?.config;
    let db = args.read.db.db.clone().unwrap_or_else(|| config.session.db_path());
    let outcome = match args.repair {
        true => Some(mend(&db, &Whose::AsFound(venue::identity(&config)?))?),
        false => None,
    };
    let mut sessions = match &outcome {
        Some(Outcome::Repaired(repaired)) => repaired.closed.clone(),
        _ => Vec::new(),
    };
    // With a replicator what is in the `-wal` is its to write back.
    let options = Options { checkpoints: config.store.checkpoint, ..Options::new(now) };
    sessions.extend(neo_store::recover::recover(&db, &options, now())?);
    if args.read.json {
        out.json_line(&Report { db: &db, repair: outcome.as_ref(), sessions: &sessions })?;
        return Ok(ExitCode::Clean);
    }
    if let Some(outcome) = &outcome {
        for line in outcome_lines(&db, outcome) {
            out.line(&printable(&line))?;
        }
    }
    for line in recovered_lines(&db, &sessions) {
        out.line(&printable(&line))?;
    }
    Ok(ExitCode::Clean)
}

/// `neo run --repair`: mends the record, if it is damaged, and tells of it before the session begins.
///
/// # Errors
/// As [`run`].
pub fn before_session(db: &Path, identity: Identity, json: bool, out: &mut Out) -> Result<()> {
    /// One of the lines of `neo run --json`.
    #[derive(Serialize)]
    struct Event<'a> {
        event: &'static str,
        #[serde(flatten)]
        outcome: &'a Outcome,
    }
    if !db.exists() && !neo_store::repair::has_remains(db) {
        return Ok(());
    }
    let outcome = mend(db, &Whose::Only(identity))?;
    if json {
        out.json_line(&Event { event: "repair", outcome: &outcome })?;
        return Ok(());
    }
    for line in outcome_lines(db, &outcome) {
        out.line(&printable(&line))?;
    }
    Ok(())
}

fn mend(db: &Path, whose: &Whose) -> Result<Outcome> {
    let mut bar = Bar::stderr();
    let done = repair::repair(db, whose, now(), &mut |progress| {
        bar.draw(&doing(progress.step), progress.rows, rows_of(&progress));
    });
    bar.clear()?;
    Ok(done?)
}

fn rows_of(progress: &Progress) -> Option<u64> {
    // Before and after the rows are read there is nothing to count.
    matches!(progress.step, Step::Salvaging(_)).then_some(progress.rows_expected).flatten()
}

fn doing(step: Step) -> String {
    match step {
        Step::Backups => "verifying the backups".to_string(),
        Step::Begun => "beginning the new record".to_string(),
        Step::Salvaging(table) => format!("reading {table}"),
        Step::Accounting => "looking for what is missing".to_string(),
        Step::Built => "the new record is whole".to_string(),
        Step::Exchanging(_) => "setting the damaged record aside".to_string(),
    }
}

fn outcome_lines(db: &Path, outcome: &Outcome) -> Vec<String> {
    let (settled, lines) = match outcome {
        Outcome::Sound { settled } => (settled, vec![format!("{} is not damaged; nothing to repair", db.display())]),
        Outcome::Repaired(repaired) => (&repaired.settled, repaired_lines(repaired)),
    };
    let before = match settled {
        Some(Settled::PutBack) => Some(
            "an earlier exchange of the files had been cut short: what it had moved was put back first".to_string(),
        ),
        Some(Settled::WasDone { set_aside }) => Some(format!(
            "an earlier exchange of the files had been cut short when it was done; the former files are in {}",
            set_aside.display()
        )),
        None => None,
    };
    before.into_iter().chain(lines).collect()
}

fn repaired_lines(done: &Repaired) -> Vec<String> {
    let mut lines = vec![format!("repaired {} (repair {}): {}", done.db.display(), done.repair, done.cause)];
    if let Some(aside) = &done.set_aside {
        lines.push(format!("the damaged files were set aside, untouched, in {}", aside.display()));
    }
    match (&done.backup, &done.backup_contents) {
        (Some(backup), Some(contents)) => lines.push(format!("based on {} ({contents})", backup.display())),
        _ => lines.push("there is no good backup: based on what could be read alone".to_string()),
    }
    for refused in &done.backups_refused {
        lines.push(format!("not used: {} ({})", refused.name, refused.reason));
    }
    lines.push(match done.read_as {
        ReadAs::WithWal => "the damaged file was read with its -wal".to_string(),
        ReadAs::Alone => "the damaged file was read without a -wal".to_string(),
        ReadAs::WithContentsOfBackup => "its table of contents is broken: that of the backup was used".to_string(),
        ReadAs::Unreadable => "nothing could be read of the damaged file".to_string(),
    });
    lines.extend(table_lines(&done.tables));
    lines.extend(missing_lines(done));
    lines.push(format!("it holds {} now; `neo verify --db \"{}\"` checks it", done.contents, done.db.display()));
    lines
}

/// Tables that have anything, one a line.
fn table_lines(tables: &[TableAccount]) -> Vec<String> {
    let heading = ["table", "in backup", "read", "added", "updated", "conflicting", "refused", "not read"];
    let told = tables.iter().filter(|of| of.from_backup + of.read > 0 || of.unread.is_some());
    let rows = told.map(|of| {
        let counts = [of.from_backup, of.read, of.added, of.updated, of.conflicting, of.refused];
        let unread = of.unread.clone().unwrap_or_default();
        std::iter::once(of.table.to_string()).chain(counts.map(|n| n.to_string())).chain([unread]).collect()
    });
    let all: Vec<Vec<String>> = std::iter::once(heading.map(str::to_string).to_vec()).chain(rows).collect();
    table(&all, &[1, 2, 3, 4, 5, 6])
}

fn missing_lines(done: &Repaired) -> Vec<String> {
    let mut lines = Vec::new();
    if done.missing_rows == 0 && done.watermark_read {
        lines.push("no row is missing".to_string());
    } else if done.missing_rows == 0 {
        lines.push("no row is known to be missing".to_string());
    } else {
        let gaps: Vec<String> =
            done.gaps.iter().take(8).map(|gap| format!("{} to {}", gap.first_seq, gap.last_seq)).collect();
        let more = done.gaps.len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
        lines.push(format!("lost rows: {} (numbers {}{more})", done.missing_rows, gaps.join(", ")));
    }
    if !done.watermark_read {
        lines.push(
            "the watermark could not be read: rows after the last one may be lost and nobody can tell".to_string(),
        );
    }
    if !done.sessions_from_records.is_empty() {
        let numbers: Vec<String> = done.sessions_from_records.iter().map(|number| format!("S{number}")).collect();
        lines.push(format!("their own rows were lost, they stand by their records: {}", numbers.join(", ")));
    }
    if let Some(from) = done.refetch_from_ledger {
        lines.push(format!("the next `neo run` fetches the account's history from ledger {from} on again"));
    }
    lines
}

fn recovered_lines(db: &Path, sessions: &[Recovery]) -> Vec<String> {
    if sessions.is_empty() {
        return vec![format!("{}: no session is open; nothing to recover", db.display())];
    }
    sessions.iter().flat_map(|Recovery { before, after, .. }| [before_line(before), after_line(after)]).collect()
}

fn before_line(row: &SessionRow) -> String {
    format!(
        "S{} before: open, begun {}, last seen {}, {} fills",
        row.number,
        moment(row.started_at),
        moment(row.last_seen_at),
        row.fills
    )
}

fn after_line(row: &SessionRow) -> String {
    let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_string());
    let value = match (&row.ending_value_rlusd, &row.ending_value_reason) {
        (Some(value), _) => format!("ending value {value} RLUSD"),
        (None, reason) => format!("ending value not known: {}", word(reason.clone())),
    };
    format!(
        "S{} after:  ended {} ({}, {}), {value}",
        row.number,
        row.ended_at.map_or_else(|| "-".to_string(), moment),
        word(row.end_reason.map(|reason| reason.to_string())),
        word(row.ended_at_source.map(|source| source.to_string()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::session;

    #[test]
    fn each_session_is_told_before_and_after() {
        let before = SessionRow { ended_at: None, ended_at_source: None, end_reason: None, ..session() };
        let after = SessionRow {
            ended_at_source: Some(neo_store::record::EndedAtSource::Recovered),
            end_reason: Some(neo_store::record::EndReason::Crash),
            ending_value_rlusd: None,
            ending_value_reason: Some("no snapshot".to_string()),
            ..session()
        };
        let lines = recovered_lines(Path::new("x.db"), &[Recovery { before, after, log_is_gone: false }]);
        assert!(lines[0].starts_with("S39 before: open, begun 2026-04-18 19:00:00"), "{lines:?}");
        assert_eq!(
            lines[1],
            "S39 after:  ended 2026-04-18 19:30:02 (crash, recovered), ending value not known: no snapshot"
        );
        assert!(recovered_lines(Path::new("x.db"), &[])[0].contains("nothing to recover"));
    }

    #[test]
    fn a_table_line_says_what_became_of_its_rows() {
        let fills = TableAccount {
            table: "fills",
            from_backup: 9,
            read: 20,
            added: 11,
            refused: 1,
            unread: Some("seq 7 to 8 could not be read".to_string()),
            ..TableAccount::default()
        };
        let lines = table_lines(&[fills, TableAccount { table: "flows", ..TableAccount::default() }]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(cells[..7], ["fills", "9", "20", "11", "0", "0", "1"]);
        assert!(lines[1].ends_with("seq 7 to 8 could not be read"), "{lines:?}");
    }
}

//! `neo backfill`: closes the sessions of a predecessor's database.

use anyhow::Result;
use neo_actors::clock::now;
use neo_store::old::{Backfilled, Change, Mapping, Outcome, backfill};
use serde_json::Value;

use crate::cli::BackfillArgs;
use crate::exit::ExitCode;
use crate::output::{Out, printable, table};

/// Sets `ended_at` where it can be told, and says what it was and is for each session. Clean also when nothing was left
/// to do, and when sessions are left that have no record to tell their end.
///
/// # Errors
/// [`neo_store::old::OldError`], and what standard output refused.
pub fn run(args: &BackfillArgs, out: &mut Out) -> Result<ExitCode> {
    let mapping = Mapping::parse(&args.old.map)?;
    let done = backfill(&args.old.old, &mapping, args.dry_run, now())?;
    if args.old.json {
        out.json_line(&done)?;
    } else {
        for line in lines(&done) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

fn lines(done: &Backfilled) -> Vec<String> {
    let heading = ["session", "ended_at before", "ended_at after", "from", ""].map(str::to_string).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(done.sessions.iter().map(cells)).collect();
    let mut lines = table(&rows, &[]);
    lines.push(format!("times read from {}", printable(&done.read_from.join(", "))));
    lines.extend(done.notes.iter().map(|note| format!("note: {}", printable(note))));
    let [set, kept, without, open] =
        [Outcome::Set, Outcome::Kept, Outcome::NoRecord, Outcome::LeftOpen].map(|outcome| done.count(outcome));
    let did = if done.dry_run { "would be set" } else { "set" };
    lines.push(format!(
        "{set} {did} (marked in neo_backfill), {kept} had an ended_at, {without} have no record, {open} left open"
    ));
    lines.push(match &done.backup {
        Some(backup) => format!("backup: {}", printable(&backup.display().to_string())),
        None if done.dry_run => "dry run: nothing was written".to_string(),
        None => "nothing to do: nothing was written".to_string(),
    });
    lines
}

fn cells(change: &Change) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::Null => "NULL".to_string(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let told = match change.outcome {
        Outcome::Set => "set".to_string(),
        Outcome::Kept => "kept".to_string(),
        Outcome::NoRecord | Outcome::LeftOpen => printable(change.reason.as_deref().unwrap_or("left open")),
    };
    let source = printable(change.source.as_deref().unwrap_or("-"));
    vec![printable(&change.session), plain(&change.before), plain(&change.after), source, told]
}

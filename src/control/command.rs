//! `neo stop` and `neo status`.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use neo_actors::clock::now;

use super::{Outcome, Progress, request_status, request_stop};
use crate::dashboard::render;
use crate::exit::ExitCode;
use crate::output::Out;

/// Columns of the status when standard output is no terminal.
const WIDTH: u16 = 100;

/// Stops the engine that runs on `db`, says how far it is and how its session ended, and gives its exit code.
///
/// # Errors
/// [`super::ControlError`], and what standard output refused.
pub fn stop(db: &Path, urgent: bool, wait: Duration, json: bool, out: &mut Out) -> Result<ExitCode> {
    let mut shown = None;
    // The stop goes on whether its progress can be printed or not; the first refusal is given back at the end.
    let mut printed = Ok(());
    let outcome = request_stop(db, urgent, wait, &mut |progress| {
        if printed.is_ok() && shown.as_ref() != Some(progress) {
            printed = show(progress, json, out);
            shown = Some(progress.clone());
        }
    })?;
    printed?;
    if json {
        out.json_line(&outcome)?;
    } else {
        out.line(&sentence(&outcome))?;
    }
    Ok(exit_code(outcome.exit_code))
}

/// Shows what the engine that runs on `db` does.
///
/// # Errors
/// [`super::ControlError`], and what standard output refused.
pub fn status(db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let status = request_status(db)?;
    if json {
        out.json_line(&status)?;
    } else {
        let width = console::Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| columns);
        for line in render(&status, usize::from(width), now()) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

fn show(progress: &Progress, json: bool, out: &mut Out) -> io::Result<()> {
    if json {
        return Ok(());
    }
    let Progress { open_offers, in_flight, queued_records } = progress;
    out.line(&format!(
        "stopping: {open_offers} offers open, {in_flight} transactions in flight, {queued_records} records queued"
    ))
}

/// `S39 ended at 2026-04-18 19:21:19Z (stop_command, clean), exit code 0`
fn sentence(outcome: &Outcome) -> String {
    let known = |word: &Option<String>| word.clone().unwrap_or_else(|| "not known".to_string());
    let mut text = match outcome.ended_at {
        Some(at) => format!("S{} ended at {}", outcome.session, at.format("%Y-%m-%d %H:%M:%SZ")),
        None => format!("S{} ended, but ended_at was NOT written", outcome.session),
    };
    text.push_str(&format!(" ({}, {})", known(&outcome.end_reason), known(&outcome.ended_at_source)));
    if !outcome.failed_stages.is_empty() {
        text.push_str(&format!("; not done: {}", outcome.failed_stages.join(", ")));
    }
    text.push_str(&format!(", exit code {}", outcome.exit_code));
    text
}

fn exit_code(code: i32) -> ExitCode {
    let known = [ExitCode::Clean, ExitCode::Usage, ExitCode::Database, ExitCode::Deadline, ExitCode::Fault];
    // A code that this version does not know is a failure.
    known.into_iter().find(|exit| exit.code() == code).unwrap_or(ExitCode::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            exit_code: 0,
            session: 39,
            end_reason: Some("stop_command".to_string()),
            ended_at: Some("2026-04-18T19:21:19.123Z".parse().unwrap()),
            ended_at_source: Some("clean".to_string()),
            failed_stages: Vec::new(),
        }
    }

    #[test]
    fn the_outcome_is_one_sentence() {
        assert_eq!(sentence(&outcome()), "S39 ended at 2026-04-18 19:21:19Z (stop_command, clean), exit code 0");
        let failed = Outcome {
            exit_code: 1,
            ended_at: None,
            ended_at_source: None,
            failed_stages: vec!["cancel".into(), "close".into()],
            ..outcome()
        };
        assert_eq!(
            sentence(&failed),
            "S39 ended, but ended_at was NOT written (stop_command, not known); not done: cancel, close, exit code 1"
        );
    }

    #[test]
    fn the_engines_exit_code_is_kept_and_an_unknown_one_is_a_failure() {
        for code in [0, 1, 2, 3, 4, 70] {
            assert_eq!(exit_code(code).code(), code);
        }
        assert_eq!(exit_code(99), ExitCode::Failed);
    }
}

//! The last words of a session: how it ended, what it came to, where the records are.

use std::path::Path;

use neo_actors::Status;
use neo_store::record::StageOutcome;
use serde_json::{Value, json};

use super::render::signed;
use crate::output::printable;
use crate::supervisor::Ending;

/// The closing summary for people.
pub(super) fn summary(ending: &Ending, status: &Status, db: &Path, session: i64) -> Vec<String> {
    let mut lines = vec![how(ending, session)];
    for row in ending.stages.iter().filter(|row| row.outcome != StageOutcome::Done) {
        let error = row.error.as_deref().unwrap_or("no reason given");
        lines.push(format!("  {} {}: {}", row.stage, row.outcome, printable(error)));
    }
    lines.push(format!("  fills   {} bid, {} ask", status.bid_fills, status.ask_fills));
    lines.push(format!("  value   {}", value(ending, status)));
    let db = printable(&db.display().to_string());
    lines.push(format!("  record  {db}; `neo report S{session} --db {db}` tells it all"));
    lines
}

fn how(ending: &Ending, session: i64) -> String {
    let stages_ms: u64 = ending.stages.iter().map(|row| row.ms).fold(0, u64::saturating_add);
    match &ending.end {
        Some(end) if ending.closed => format!(
            "S{session} ended at {} ({}, {}), {} stop stages in {stages_ms} ms, exit code {}",
            end.ended_at.format("%Y-%m-%d %H:%M:%SZ"),
            end.end_reason,
            end.ended_at_source,
            ending.stages.len(),
            ending.exit.code()
        ),
        _ => format!(
            "S{session} is NOT closed: ended_at could not be written; the next start closes it. Exit code {}",
            ending.exit.code()
        ),
    }
}

fn value(ending: &Ending, status: &Status) -> String {
    let start = status.starting_value_rlusd;
    let at_start = start.map_or_else(|| "not known".to_string(), |value| format!("{value:.2}"));
    match ending.end.as_ref().map(|end| &end.ending_value_rlusd) {
        Some(Ok(value)) => {
            let change = match start.map(|start| value.sub(start)) {
                Some(Ok(change)) => format!(" ({})", signed(change)),
                Some(Err(_)) | None => String::new(),
            };
            format!("{at_start} -> {value:.2} RLUSD{change}")
        }
        Some(Err(reason)) => format!("{at_start} at the start, at the end not known: {}", printable(reason)),
        None => format!("{at_start} at the start, at the end not known"),
    }
}

/// The same as fields of the `session_closed` event.
pub(super) fn closed_fields(ending: &Ending, status: &Status, db: &Path, session: i64) -> Value {
    let end = ending.end.as_ref().filter(|_| ending.closed);
    let not_done: Vec<_> = ending.stages.iter().filter(|row| row.outcome != StageOutcome::Done).collect();
    json!({
        "session": session,
        "exit_code": ending.exit.code(),
        "ended_at": end.map(|end| end.ended_at),
        "ended_at_source": end.map(|end| end.ended_at_source),
        "end_reason": end.map(|end| end.end_reason),
        "starting_value_rlusd": status.starting_value_rlusd,
        "ending_value_rlusd": end.and_then(|end| end.ending_value_rlusd.as_ref().ok()),
        "ending_value_reason": end.and_then(|end| end.ending_value_rlusd.as_ref().err()),
        "bid_fills": status.bid_fills,
        "ask_fills": status.ask_fills,
        "stages_not_done": not_done,
        "db": db,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;
    use neo_store::record::{EndReason, EndedAtSource, SessionEnd, Stage, StopStage};

    fn ending() -> Ending {
        let stage = |stage, outcome, error| StopStage { stage, outcome, ms: 100, error };
        Ending {
            exit: ExitCode::Failed,
            end: Some(SessionEnd {
                ended_at: "2026-04-18T19:21:19.123Z".parse().unwrap(),
                ended_at_source: EndedAtSource::Clean,
                ending_value_rlusd: Ok("101.255".parse().unwrap()),
                end_ledger_index: Some(7),
                end_close_time: None,
                end_reason: EndReason::Signal,
                end_detail: None,
            }),
            stages: vec![
                stage(Stage::Quiesce, StageOutcome::Done, None),
                stage(Stage::Cancel, StageOutcome::TimedOut, Some("offer 5\x1b is open".to_string())),
            ],
            closed: true,
        }
    }

    fn status() -> Status {
        Status { starting_value_rlusd: Some("100".parse().unwrap()), bid_fills: 2, ask_fills: 1, ..Status::default() }
    }

    #[test]
    fn the_summary_says_how_what_and_where() {
        assert_eq!(
            summary(&ending(), &status(), Path::new("data/neo-sim.db"), 39),
            [
                "S39 ended at 2026-04-18 19:21:19Z (signal, clean), 2 stop stages in 200 ms, exit code 1",
                "  cancel timed_out: offer 5\\u{1b} is open",
                "  fills   2 bid, 1 ask",
                "  value   100.00 -> 101.26 RLUSD (+1.26)",
                "  record  data/neo-sim.db; `neo report S39 --db data/neo-sim.db` tells it all",
            ]
        );
    }

    #[test]
    fn a_session_that_is_not_closed_is_never_called_ended() {
        let open = Ending { closed: false, ..ending() };
        let text = summary(&open, &status(), Path::new("x.db"), 39).join("\n");
        assert!(text.contains("S39 is NOT closed") && !text.contains("S39 ended"), "{text}");
        assert!(closed_fields(&open, &status(), Path::new("x.db"), 39)["ended_at"].is_null());
    }

    #[test]
    fn an_unknown_value_has_its_reason() {
        let mut unknown = ending();
        unknown.end.as_mut().unwrap().ending_value_rlusd = Err("no mark price".to_string());
        assert_eq!(value(&unknown, &status()), "100.00 at the start, at the end not known: no mark price");
        let fields = closed_fields(&unknown, &status(), Path::new("x.db"), 39);
        assert!(fields["ending_value_rlusd"].is_null());
        assert_eq!(fields["ending_value_reason"], "no mark price");
        assert_eq!(fields["stages_not_done"][0]["stage"], "cancel");
    }
}

//! A stop stage that hangs is ended by the watchdog, which closes the session itself, or leaves a note of its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(all(unix, debug_assertions))]

mod engine;

use std::path::PathBuf;

use engine::{Engine, stderr};
use neo_store::record::{EndReason, EndedAtSource, Stage, StageOutcome};
use rusqlite::Connection;

const LIMITS: [&str; 6] = ["--speed", "20", "--set", "supervisor.frozen_ms=1500", "--set", "stop.deadline_ms=6000"];

fn note_of(engine: &Engine) -> PathBuf {
    let mut name = engine.db().into_os_string();
    name.push(".stop-note");
    PathBuf::from(name)
}

#[test]
fn the_watchdog_closes_a_session_whose_stage_hangs_and_says_which() {
    let engine = Engine::new();
    let run =
        engine.with_db("run", &["--for", "20s"]).args(LIMITS).env("NEO_FAIL", "stage:freeze:flush").output().unwrap();
    assert_eq!(run.status.code(), Some(4), "{}", stderr(&run));
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Watchdog));
    assert_eq!(session.end_reason, Some(EndReason::Deadline));
    assert!(session.end_detail.unwrap().contains("\"hung_stage\":\"flush\""));
    let stages = engine.record().stop_stages(session.number).unwrap();
    let hung: Vec<Stage> =
        stages.iter().filter(|row| row.outcome == StageOutcome::TimedOut).map(|row| row.stage).collect();
    assert_eq!(hung, [Stage::Flush], "{stages:?}");
    assert_eq!(stages.len(), 5, "the stages before it are told too: {stages:?}");
    assert!(!note_of(&engine).exists());
}

#[test]
fn where_the_database_is_locked_the_watchdog_leaves_a_note_and_the_next_start_closes_the_session() {
    let engine = Engine::new();
    let mut command = engine.with_db("run", &LIMITS);
    command.env("NEO_FAIL", "stage:freeze:quiesce");
    let mut running = engine.spawn(command);
    running.until_it_quotes();
    // Another program that writes and does not end.
    let locker = Connection::open(engine.db()).unwrap();
    locker.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    running.signal("TERM");
    assert_eq!(running.wait(), 4, "{}", engine.stderr());
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(note_of(&engine)).unwrap()).unwrap();
    assert_eq!((&note["session"], &note["stage"]), (&1.into(), &"quiesce".into()), "{note}");
    locker.execute_batch("ROLLBACK").unwrap();
    drop(locker);
    let next = engine.neo("run", &["--for", "12s", "--speed", "20"]);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    let session = engine.record().session(Some(1)).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::StopNote));
    assert_eq!(session.end_reason, Some(EndReason::Deadline));
    assert_eq!(
        session.ended_at.map(|at| serde_json::json!(at)),
        Some(note["ended_at"].clone()).filter(|at| !at.is_null()).map(|at| {
            // The database keeps milliseconds.
            let at: chrono::DateTime<chrono::Utc> = serde_json::from_value(at).unwrap();
            serde_json::json!(chrono::DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap())
        })
    );
    assert!(!note_of(&engine).exists());
    assert_eq!(engine.neo("verify", &[]).status.code(), Some(0));
}

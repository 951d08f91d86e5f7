//! A trigger's latch and stop in the real engine: the file, the record, a restart, `neo resume`, `neo supervise`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::{Engine, stderr, stdout};
use neo_store::record::EndReason;
use serde_json::Value;

/// So little that any market loses it within minutes.
const DRAWDOWN: [&str; 2] = ["--set", "risk.triggers.drawdown_pct.limit=0.01"];

fn latch(engine: &Engine) -> PathBuf {
    let mut name = engine.db().into_os_string();
    name.push(".latch");
    name.into()
}

fn number(engine: &Engine, sql: &str) -> i64 {
    let connection = rusqlite::Connection::open(engine.db()).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Quotes that were signed in a session.
fn quotes(engine: &Engine, session: i64) -> i64 {
    number(engine, &format!("SELECT count(*) FROM intents WHERE purpose <> 'cancel' AND session = {session}"))
}

fn run(engine: &Engine, more: &[&str]) -> Option<i32> {
    let mut arguments = vec!["--for", "5m", "--speed", "max"];
    arguments.extend(more);
    let ran = engine.neo("run", &arguments);
    assert!(ran.status.code() != Some(101), "{}", stderr(&ran));
    ran.status.code()
}

#[test]
fn a_drawdown_latches_over_a_restart_until_the_operator_resumes() {
    let engine = Engine::new();
    assert_eq!(run(&engine, &DRAWDOWN), Some(0));
    let held = std::fs::read_to_string(latch(&engine)).unwrap();
    assert!(held.starts_with("drawdown_pct latch at ") && held.contains("% below the highest value"), "{held}");
    let later = "SELECT count(*) FROM intents JOIN trips WHERE purpose <> 'cancel'
                 AND intents.ledger_index >= trips.ledger_index";
    assert!(quotes(&engine, 1) > 0);
    assert_eq!(number(&engine, later), 0, "nothing is quoted from the trip on");
    let trips = engine.record().trips(1).unwrap();
    assert_eq!(trips.len(), 1);
    assert_eq!((trips[0].record.trigger.as_str(), trips[0].record.cleared), ("drawdown_pct", None));
    let report = stdout(&engine.neo("report", &["latest"]));
    assert!(report.contains("drawdown_pct latch: ") && report.contains("(latched until `neo resume`"), "{report}");
    let exported = stdout(&engine.neo("export", &["trips"]));
    assert!(exported.lines().count() == 2 && exported.contains("drawdown_pct,latch,"), "{exported}");

    // Restarted, with the trigger and without, it stays paused.
    assert_eq!((run(&engine, &DRAWDOWN), run(&engine, &[])), (Some(0), Some(0)));
    assert_eq!((quotes(&engine, 2), quotes(&engine, 3)), (0, 0), "a latch survives restarts");
    assert_eq!(number(&engine, "SELECT count(*) FROM trips"), 1, "it is tripped already");

    let resumed = engine.neo("resume", &[]);
    assert_eq!(resumed.status.code(), Some(0));
    assert!(stdout(&resumed).contains("resumed from the triggers drawdown_pct"), "{}", stdout(&resumed));
    assert!(!latch(&engine).exists());
    assert_eq!(run(&engine, &[]), Some(0));
    assert!(quotes(&engine, 4) > 0, "it quotes again");
    let cleared = engine.record().trips(1).unwrap()[0].record.cleared.expect("the next session says so");
    assert_eq!(cleared.by.as_str(), "operator");
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

fn status(engine: &Engine) -> Option<Value> {
    serde_json::from_slice(&engine.neo("status", &["--json"]).stdout).ok()
}

/// Asks until an answer is there.
fn until<T>(what: &str, engine: &Engine, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(120) {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no {what}:\n{}", engine.stderr());
}

#[test]
fn a_running_engine_that_latched_is_resumed_within_its_session() {
    let engine = Engine::new();
    let mut arguments = vec!["--speed", "40"];
    arguments.extend(DRAWDOWN);
    let mut running = engine.start(&arguments);
    running.until_it_quotes();
    let trip = until("trip", &engine, || status(&engine)?["trips"].as_array()?.first().cloned());
    assert_eq!((&trip["trigger"], &trip["action"]), (&"drawdown_pct".into(), &"latch".into()), "{trip}");
    until("latch", &engine, || latch(&engine).exists().then_some(()));
    let resumed = engine.neo("resume", &["--json"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    // It may trip anew soon: what counts is that the first trip was ended and quotes were signed after it.
    let again = "SELECT count(*) FROM intents WHERE purpose <> 'cancel' AND ledger_index >=
                 (SELECT cleared_ledger_index FROM trips WHERE cleared_by = 'operator' ORDER BY seq LIMIT 1)";
    until("quotes", &engine, || (number(&engine, again) > 0).then_some(()));
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    assert_eq!(engine.record().sessions().unwrap().len(), 1);
}

#[test]
fn a_stop_ends_the_session_as_risk_and_no_supervisor_starts_it_again() {
    let engine = Engine::new();
    let db = engine.db();
    let mut arguments = vec!["supervise", "--", "run", "--db", db.to_str().unwrap(), "--for", "5m", "--speed", "max"];
    arguments.extend(DRAWDOWN);
    arguments.extend(["--set", "risk.triggers.drawdown_pct.action=stop"]);
    let ran = engine.command(&arguments).output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", stderr(&ran));
    let sessions = engine.record().sessions().unwrap();
    assert_eq!(sessions.len(), 1, "it is not started again");
    assert_eq!(sessions[0].end_reason, Some(EndReason::Risk));
    let detail = sessions[0].end_detail.clone().unwrap();
    assert!(detail.contains("drawdown_pct") && detail.contains("below the highest value"), "{detail}");
    // Whoever starts it again finds it paused.
    assert_eq!(run(&engine, &DRAWDOWN), Some(0));
    assert_eq!(quotes(&engine, 2), 0);
    assert_eq!(engine.neo("resume", &[]).status.code(), Some(0));
}

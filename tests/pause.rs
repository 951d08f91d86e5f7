//! `neo pause` and `neo resume`: quotes go and come back, the session goes on, and a restart forgets nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use engine::{Engine, stderr, stdout};
use neo_store::record::EndReason;
use serde_json::Value;

fn json(engine: &Engine, command: &str, args: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["--json"];
    all.extend(args);
    let ran = engine.neo(command, &all);
    let value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", stdout(&ran), stderr(&ran)));
    (ran.status.code(), value)
}

#[test]
fn a_pause_leaves_no_offer_and_a_resume_brings_them_back_within_one_session() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let (code, paused) = json(&engine, "pause", &["--reason", "news"]);
    assert_eq!((code, &paused["open_offers"], &paused["in_flight"]), (Some(0), &0.into(), &0.into()), "{paused}");
    assert!(paused["paused"].as_str().unwrap().ends_with(".pause: news"), "{paused}");
    let (_, status) = json(&engine, "status", &[]);
    assert!(status["withheld_reason"].as_str().unwrap().contains("news"), "{status}");

    let (code, resumed) = json(&engine, "resume", &[]);
    assert_eq!((code, &resumed["paused"]), (Some(0), &Value::Null));
    running.until_it_quotes();
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let sessions = engine.record().sessions().unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].end_reason, Some(EndReason::Signal));
    assert_eq!(engine.neo("verify", &[]).status.code(), Some(0));
}

#[test]
fn a_pause_outlives_the_engine_and_the_folders_kill_file_is_not_taken_away() {
    let engine = Engine::new();
    let (code, paused) = json(&engine, "pause", &[]);
    assert_eq!((code, &paused["session"]), (Some(0), &Value::Null), "no engine runs: {paused}");
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let placed = || {
        let query = "SELECT count(*) FROM intents WHERE purpose <> 'cancel'";
        let connection = rusqlite::Connection::open(engine.db()).unwrap();
        connection.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(placed(), 0, "a session that begins paused quotes nothing");

    let kill = engine.db().with_file_name("KILL");
    std::fs::write(&kill, "everything stops\n").unwrap();
    let (code, resumed) = json(&engine, "resume", &[]);
    assert_eq!(code, Some(1), "{resumed}");
    assert_eq!(resumed["paused"], "paused by the file KILL: everything stops");
    assert!(kill.exists());
    std::fs::remove_file(kill).unwrap();
    assert_eq!(json(&engine, "resume", &[]).0, Some(0));
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(placed() > 0);
}

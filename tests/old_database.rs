//! `neo backfill` and `neo import`, as an operator runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod engine;

use engine::{Engine, stderr, stdout};
use rusqlite::Connection;
use serde_json::Value;

fn old(engine: &Engine) -> String {
    let path = engine.folder().join("old.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY, started_at TEXT, ended_at TEXT, starting_value REAL,
             ending_value REAL);
         CREATE TABLE fills (session_id INTEGER, filled_at TEXT, price REAL);
         CREATE TABLE valuation_snapshots (session_id INTEGER, timestamp TEXT, total_value_rlusd REAL);
         INSERT INTO sessions (id, started_at) VALUES (1, '2026-04-18T10:00:00'), (2, '2026-04-18T11:00:00');
         INSERT INTO fills VALUES (1, '2026-04-18T10:20:00', 2.4013);",
    )
    .unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn old_sessions_are_closed_imported_listed_and_reported() {
    let engine = Engine::new();
    let old = old(&engine);
    let dry = engine.command(&["backfill", &old, "--dry-run"]).output().unwrap();
    assert!(dry.status.success() && stdout(&dry).contains("1 would be set"), "{}{}", stdout(&dry), stderr(&dry));
    for expected in [1, 0] {
        let run = engine.command(&["backfill", &old, "--json"]).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
        let done: Value = serde_json::from_str(&stdout(&run)).unwrap();
        let set = done["sessions"].as_array().unwrap().iter().filter(|one| one["outcome"] == "set").count();
        assert_eq!(set, expected, "{done}");
    }
    let unclear = engine.command(&["backfill", &old, "--map", "fills.time=moon"]).output().unwrap();
    assert_eq!(unclear.status.code(), Some(2), "{}", stderr(&unclear));

    let import = engine.neo("import", &[&old]);
    assert_eq!(import.status.code(), Some(0), "{}", stderr(&import));
    assert!(stdout(&import).contains("the next session is S3"), "{}", stdout(&import));
    let listed = stdout(&engine.neo("sessions", &[]));
    assert!(
        listed.contains("S1") && listed.contains("imported (backfilled)") && listed.contains("not known"),
        "{listed}"
    );
    for session in ["S1", "S2"] {
        for format in [&[session][..], &[session, "--json"]] {
            let report = engine.neo("report", format);
            assert_eq!(report.status.code(), Some(0), "{}{}", stdout(&report), stderr(&report));
        }
    }
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(engine.record().session(None).unwrap().number, 3);
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "history is no finding: {}{}", stdout(&verify), stderr(&verify));
}

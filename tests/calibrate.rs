//! `neo calibrate`, as an operator runs it: on a session, on a predecessor's, and on too little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod engine;

use engine::{Engine, stderr, stdout};
use rusqlite::Connection;
use serde_json::Value;

#[test]
fn a_session_and_a_predecessors_are_calibrated_and_too_little_is_no_failure() {
    let engine = Engine::new();
    let old = engine.folder().join("old.db");
    let conn = Connection::open(&old).unwrap();
    conn.execute_batch(
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY, started_at TEXT, ended_at TEXT, starting_value REAL,
             ending_value REAL, bid_offset_bps REAL, ask_offset_bps REAL);
         CREATE TABLE fills (session_id INTEGER, filled_at TEXT, price REAL, side TEXT);
         CREATE TABLE valuation_snapshots (session_id INTEGER, timestamp TEXT, total_value_rlusd REAL);
         INSERT INTO sessions VALUES (1, '2026-04-18T10:00:00', '2026-04-18T12:00:00', 1, 1, 12, 15);
         INSERT INTO fills VALUES (1, '2026-04-18T10:20:00', 2.4013, 'buy'), (1, '2026-04-18T10:30:00', 2.5, 'sell');",
    )
    .unwrap();
    conn.close().unwrap();
    let import = engine.neo("import", &[old.to_str().unwrap()]);
    assert_eq!(import.status.code(), Some(0), "{}", stderr(&import));

    let few = engine.neo("calibrate", &["--json"]);
    assert_eq!(few.status.code(), Some(0), "{}", stderr(&few));
    let told: Value = serde_json::from_str(&stdout(&few)).unwrap();
    assert_eq!((&told["data_suffice"], &told["sessions"][0]["fills"]), (&false.into(), &2.into()), "{told}");
    let why = told["sides"][0]["data_do_not_suffice"][0].as_str().unwrap();
    assert!(why.contains("2 fills in 4.0 hours") && why.contains("about 16.0 hours more"), "{why}");

    let run = engine.neo("run", &["--for", "10m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let picture = engine.folder().join("fit.svg");
    let both = engine.neo("calibrate", &["--sessions", "S1..S2", "--picture", picture.to_str().unwrap()]);
    let shown = stdout(&both);
    assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
    for wanted in ["S1", "S2", "Fills of one offer by its distance", "chance a ledger", "current offsets"] {
        assert!(shown.contains(wanted), "{wanted}:\n{shown}");
    }
    assert!(std::fs::read_to_string(&picture).unwrap().ends_with("</svg>\n"));

    let wrong = engine.neo("calibrate", &["--sessions", "S9"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("neo sessions"), "{}", stderr(&wrong));
}

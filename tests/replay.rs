//! `neo replay` of the real binary: a recorded session's market, traded once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::path::{Path, PathBuf};

use engine::{Engine, stderr, stdout};
use rusqlite::types::Value as Sql;
use serde_json::Value;

/// Records a simulated session's market; our own offers in it are no part of the replay.
fn recorded(engine: &Engine, duration: &str) -> PathBuf {
    let file = engine.folder().join("rec.jsonl.gz");
    let set = format!("feed.record={}", file.display());
    let wide = "quote.bid_offset_bps=200";
    let arguments = ["--for", duration, "--speed", "max", "--seed", "3", "--set", &set, "--set", wide];
    let run = engine.neo("run", &arguments);
    assert!(run.status.success(), "{}", stderr(&run));
    file
}

/// All rows of a table but for the columns that hold real time, or count rows of it too (checkpoints go by real time).
fn rows(db: &Path, table: &str) -> Vec<Vec<Sql>> {
    let conn = rusqlite::Connection::open(db).unwrap();
    let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")).unwrap();
    let timed = |name: &&str| !["seq", "recorded_at", "updated_at"].contains(name);
    let names: Vec<String> = statement.column_names().filter(timed).map(str::to_string).collect();
    let read = |row: &rusqlite::Row<'_>| names.iter().map(|name| row.get(name.as_str())).collect();
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

fn replay(engine: &Engine, file: &Path, db: &str, more: &[&str]) -> std::process::Output {
    let mut arguments = vec!["replay", file.to_str().unwrap(), "--db", db];
    arguments.extend(more);
    engine.command(&arguments).output().unwrap()
}

#[test]
fn a_recording_is_traded_the_same_way_twice_and_ends_in_order() {
    let engine = Engine::new();
    let file = recorded(&engine, "10m");
    let inside = ["--json", "--set", "quote.bid_offset_bps=5", "--set", "quote.ask_offset_bps=5"];
    let mut reports = Vec::new();
    for db in ["one.db", "two.db"] {
        let run = replay(&engine, &file, db, &inside);
        assert!(run.status.success(), "{}{}", stdout(&run), stderr(&run));
        reports.push(serde_json::from_slice::<Value>(&run.stdout).unwrap());
    }
    let (one, two) = (&reports[0], &reports[1]);
    for (field, value) in [("mode", "replay"), ("end_reason", "elapsed"), ("network", "replay-65001")] {
        assert_eq!(one[field], value, "{one}");
    }
    assert_eq!(one["clean"], true, "{one}");
    for field in ["ending_ledger_index", "ending_value_rlusd", "trading_s"] {
        assert_eq!(one[field], two[field]);
    }
    for table in ["fills", "orders", "valuation_snapshots", "flows"] {
        let of = |db: &str| rows(&engine.folder().join(db), table);
        assert_eq!(of("one.db"), of("two.db"), "{table}");
        assert!(!of("one.db").is_empty(), "{table}");
    }
    // Other quotes are other fills.
    let run =
        replay(&engine, &file, "three.db", &["--set", "quote.ask_offset_bps=80", "--set", "quote.bid_offset_bps=80"]);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(stdout(&run).contains("ledgers without a whole book"), "{}", stdout(&run));
    assert_ne!(rows(&engine.folder().join("three.db"), "fills"), rows(&engine.folder().join("one.db"), "fills"));
}

#[test]
fn what_cannot_be_replayed_is_refused_with_what_to_do() {
    let engine = Engine::new();
    let refused = |output: std::process::Output, text: &str| {
        assert!(!output.status.success(), "{}", stdout(&output));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    };
    let none = engine.folder().join("none.jsonl.gz");
    refused(replay(&engine, &none, "a.db", &[]), "there is no recording");
    let other = engine.folder().join("other.jsonl.gz");
    std::fs::write(&other, "t_ms,price\n").unwrap();
    refused(replay(&engine, &other, "a.db", &[]), "no recording of neo");
    let short = recorded(&engine, "20s");
    refused(replay(&engine, &short, "a.db", &[]), "record longer");
    let issuer = ["--set", "account.issuer=rrrrrrrrrrrrrrrrrrrrBZbvji"];
    refused(replay(&engine, &short, "a.db", &issuer), "account.issuer");
    refused(engine.command(&["run", "--mode", "replay"]).output().unwrap(), "neo replay FILE");
    refused(engine.neo("run", &["--set", "sim.recording=x"]), "neo replay FILE");
    assert!(!engine.folder().join("a.db").exists());
}

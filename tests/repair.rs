//! The real engine on a record that broke: it starts nothing, says what mends it, mends it when asked, and fetches from
//! the ledger what was lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::collections::BTreeSet;
use std::path::PathBuf;

use engine::{Engine, stderr, stdout};
use serde_json::Value;

const SHORT: [&str; 6] = ["--for", "4m", "--speed", "max", "--seed", "7"];
const PAGE: usize = 4_096;

fn run(engine: &Engine, more: &[&str]) -> std::process::Output {
    engine.neo("run", &[&SHORT[..], more].concat())
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn beside(engine: &Engine, suffix: &str) -> PathBuf {
    let mut name = engine.db().into_os_string();
    name.push(suffix);
    name.into()
}

/// Zeroes a page of a table in the middle of what was recorded after the backup.
fn damage(engine: &Engine, table: &str) {
    let conn = rusqlite::Connection::open(engine.db()).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path";
    let mut statement = conn.prepare(sql).unwrap();
    let pages: Vec<i64> = statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(statement);
    conn.close().unwrap();
    let page = usize::try_from(pages[pages.len() - 1]).unwrap();
    let mut bytes = std::fs::read(engine.db()).unwrap();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0);
    std::fs::write(engine.db(), bytes).unwrap();
}

/// Every fill by what names it and what it was of.
fn fills(engine: &Engine) -> BTreeSet<(String, i64, i64, String)> {
    let conn = rusqlite::Connection::open(engine.db()).unwrap();
    let mut statement = conn.prepare("SELECT tx_hash, offer_sequence, xrp_drops, rlusd FROM fills").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_damaged_record_starts_nothing_is_mended_when_asked_and_made_whole_from_the_ledger() {
    let engine = Engine::new();
    for _ in 0..2 {
        let session = run(&engine, &[]);
        assert_eq!(session.status.code(), Some(0), "{}", stderr(&session));
    }
    let before = fills(&engine);
    assert!(before.len() > 10, "{} fills", before.len());
    damage(&engine, "fills");
    damage(&engine, "flows");
    let broken = std::fs::read(engine.db()).unwrap();

    // Nothing starts, every command says the same way out, and not a byte is changed.
    for (command, more) in [("run", &SHORT[..]), ("recover", &[]), ("backup", &[])] {
        let refused = engine.neo(command, more);
        assert_eq!(refused.status.code(), Some(3), "{command}: {}", stderr(&refused));
        let said = stderr(&refused);
        for needed in
            ["neo run --repair --db", "neo recover --repair --db", "neo restore latest --db", "neo verify --db"]
        {
            assert!(said.contains(needed), "{command}: {said}");
        }
        assert!(std::fs::read(engine.db()).unwrap() == broken, "{command}");
    }
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(3));
    assert!(format!("{}{}", stdout(&verified), stderr(&verified)).contains("neo recover --repair --db"));
    assert!(!beside(&engine, "-wal").exists());

    // Mended and traded on in one go; the first line is the account of the repair.
    let mended = run(&engine, &["--repair", "--json"]);
    assert_eq!(mended.status.code(), Some(0), "{}", stderr(&mended));
    let account: Value = serde_json::from_str(stdout(&mended).lines().next().unwrap()).unwrap();
    assert_eq!((&account["event"], &account["outcome"]), (&"repair".into(), &"repaired".into()), "{account}");
    assert!(account["missing_rows"].as_u64().unwrap() > 0, "{account}");
    let aside = engine.folder().join(account["set_aside"].as_str().unwrap());
    assert!(std::fs::read(aside.join("neo test é.db")).unwrap() == broken, "set aside untouched");

    // What was lost came back from the ledger, each fill once; nothing else is missing.
    let after = fills(&engine);
    assert!(after.is_superset(&before), "missing: {:?}", before.difference(&after).collect::<Vec<_>>());
    let verified = engine.neo("verify", &["--json"]);
    let verdict = json(&verified);
    assert_eq!(verified.status.code(), Some(0), "{verdict:#}");
    let notes = verdict["findings"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["text"].as_str().unwrap().contains("repair 1")), "{verdict:#}");
    let sessions = engine.record().sessions().unwrap();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session.ended_at.is_some()));

    // Once is enough: the next session fetches nothing again, and a repair finds nothing to do.
    let again = engine.neo("recover", &["--repair", "--json"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let again = json(&again);
    assert_eq!((&again["repair"]["outcome"], &again["sessions"]), (&"sound".into(), &Value::Array(vec![])), "{again}");
    assert!(engine.is_one_file());
}

#[test]
#[cfg(unix)]
fn a_killed_session_is_recovered_without_a_new_one() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let refused = engine.neo("recover", &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("neo stop"), "{}", stderr(&refused));
    running.signal("KILL");
    running.wait();
    let recovered = engine.neo("recover", &[]);
    assert_eq!(recovered.status.code(), Some(0), "{}", stderr(&recovered));
    let said = stdout(&recovered);
    assert!(said.contains("S1 before: open") && said.contains("S1 after:  ended"), "{said}");
    assert!(said.contains("(crash, recovered)"), "{said}");
    assert!(engine.is_one_file());
    let again = json(&engine.neo("recover", &["--json"]));
    assert_eq!((&again["sessions"], &again["repair"]), (&Value::Array(vec![]), &Value::Null), "{again}");
}

//! Backups and restores by the real binary: before each session, beside a running engine, and back again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use engine::{Engine, stderr, stdout};
use neo_store::backup::{list, verify};
use serde_json::Value;

const SHORT: [&str; 6] = ["--for", "60s", "--speed", "max", "--seed", "7"];

fn json(output: &std::process::Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_session_is_preceded_by_a_backup_and_a_restore_says_what_it_loses() {
    let engine = Engine::new();
    let run = || {
        let run = engine.neo("run", &SHORT);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    };
    run();
    assert!(list(&engine.db()).unwrap().is_empty(), "there was nothing to lose");
    run();
    let before_second = list(&engine.db()).unwrap().remove(0);
    assert_eq!(verify(&before_second.path).unwrap().contents.last_session, Some(1));
    let listing = stdout(&engine.neo("backup", &["--list"]));
    assert!(listing.contains(&before_second.name), "{listing}");

    let fills = engine.record().session(Some(2)).unwrap().fills;
    let done = json(&engine.neo("restore", &["latest", "--json"]));
    assert_eq!(done["former"]["lost"]["sessions"], serde_json::json!([2]), "{done}");
    assert_eq!(done["former"]["lost"]["rows_by_table"]["fills"].as_u64().unwrap_or(0), fills, "{done}");
    assert_eq!(engine.record().sessions().unwrap().len(), 1);
    let aside = engine.folder().join(done["set_aside"].as_str().unwrap());
    assert!(aside.join("neo test é.db").exists());
    let listed: String = stdout(&engine.neo("sessions", &[]));
    assert!(listed.contains("S1") && !listed.contains("S2"), "{listed}");

    // The engine goes on from the backup: its next session is S2 again, and it closes.
    run();
    let record = engine.record();
    assert_eq!(record.sessions().unwrap().len(), 2);
    assert!(record.session(Some(2)).unwrap().ended_at.is_some());
    drop(record);
    assert!(engine.is_one_file());
}

#[test]
fn a_backup_is_taken_beside_a_running_engine_and_a_restore_is_refused() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "5"]);
    running.until_it_quotes();
    let taken = json(&engine.neo("backup", &["--json"]));
    assert_eq!(taken["contents"]["sessions"], 1);
    let path = list(&engine.db()).unwrap().remove(0).path;
    assert_eq!(verify(&path).unwrap().sha256, taken["sha256"]);

    let refused = engine.neo("restore", &[]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("neo stop"), "{}", stderr(&refused));

    let stopped = engine.neo("stop", &[]);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    assert!(engine.is_one_file(), "the backup left the seal nothing to trip over");
    let said = engine.neo("restore", &[taken["name"].as_str().unwrap()]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let said = stdout(&said);
    assert!(said.contains("lost in part, from the backup on: S1") && said.contains("set aside, untouched"), "{said}");
    let nothing = engine.neo("restore", &["nonesuch"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(stderr(&nothing).contains("neo backup --list"), "{}", stderr(&nothing));
}

//! Old snapshots are thinned out by the real binary: before a session, and by `neo thin`; what a session came to stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use engine::{Engine, stderr, stdout};
use serde_json::Value;

const SHORT: [&str; 6] = ["--for", "10m", "--speed", "max", "--seed", "7"];

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

/// A session of ten minutes, recorded half a year ago.
fn an_old_session() -> Engine {
    let engine = Engine::new();
    let run = engine.neo("run", &SHORT);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let conn = rusqlite::Connection::open(engine.db()).unwrap();
    let older = "strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at, '-180 days')";
    conn.execute(&format!("UPDATE valuation_snapshots SET recorded_at = {older}"), []).unwrap();
    conn.close().unwrap();
    engine
}

/// The report without what tells of each snapshot.
fn report(engine: &Engine) -> (Value, u64) {
    let mut report = json(&engine.neo("report", &["S1", "--json"]));
    let inventory = report["inventory"].as_object_mut().unwrap();
    inventory.remove("xrp_sparkline").unwrap();
    let count = inventory.remove("snapshots").unwrap().as_u64().unwrap();
    (report, count)
}

fn verified(engine: &Engine) -> Value {
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    json(&verify)["facts"].clone()
}

#[test]
fn the_next_session_thins_out_what_is_old_after_its_backup_and_the_result_stays() {
    let engine = an_old_session();
    let (before, count) = report(&engine);
    let dry = json(&engine.neo("thin", &["--dry-run", "--json"]));
    assert_eq!((&dry["keep_days"], &dry["dry_run"]), (&14.into(), &true.into()), "{dry}");
    let rows = dry["rows"].as_u64().unwrap();
    assert!(rows > 40, "{dry}");
    assert_eq!(report(&engine).1, count, "a dry run removes nothing");

    let run = engine.neo("run", &SHORT);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(report(&engine), (before.clone(), count - rows), "to the last digit");
    assert_eq!(verified(&engine)["thinned"], rows);
    let backup = neo_store::backup::list(&engine.db()).unwrap().remove(0);
    assert_eq!(neo_store::Reader::open(&backup.path).unwrap().valuations(1).unwrap().len() as u64, count);
}

#[test]
fn neo_thin_does_it_without_a_session_and_takes_a_backup_first() {
    let engine = an_old_session();
    let (before, count) = report(&engine);
    let done = json(&engine.neo("thin", &["--json"]));
    let rows = done["rows"].as_u64().unwrap();
    assert!(rows > 40 && done["finished"] == true, "{done}");
    assert!(
        std::path::Path::new(done["backup"].as_str().unwrap()).exists()
            || engine.folder().join(done["backup"].as_str().unwrap()).exists()
    );
    assert_eq!(report(&engine), (before, count - rows));
    assert_eq!(verified(&engine)["thinned"], rows);
    assert!(engine.is_one_file());
    let again = stdout(&engine.neo("thin", &[]));
    assert!(again.contains("nothing to thin out"), "{again}");
    assert_eq!(neo_store::backup::list(&engine.db()).unwrap().len(), 1, "no backup for nothing");
}

#[test]
fn all_is_kept_where_that_is_asked_and_a_record_in_use_is_left_alone() {
    let engine = an_old_session();
    let (_, count) = report(&engine);
    let mut running = engine.start(&["--speed", "5", "--set", "store.snapshots_keep_days=0"]);
    running.until_it_quotes();
    let refused = engine.neo("thin", &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    let stopped = engine.neo("stop", &[]);
    assert_eq!(stopped.status.code(), Some(0), "{}", stderr(&stopped));
    assert_eq!(running.wait(), 0);
    assert_eq!(report(&engine).1, count);
}

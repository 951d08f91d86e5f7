//! A record that another program holds, or that a replicator owns: what it costs, and what it must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::time::Duration;

use engine::{Engine, stderr, stdout};
use neo_store::record::{CheckpointCause, EndReason, EndedAtSource, Stage, StageOutcome};
use rusqlite::Connection;
use serde_json::Value;

const SHORT: [&str; 4] = ["--for", "60s", "--speed", "max"];

/// Waits for something that the engine does by itself; the limit is only there so that a failure ends.
fn until(what: &str, engine: &Engine, mut seen: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if seen() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never seen: {what}\n{}", engine.stderr());
}

fn status(engine: &Engine) -> Option<Value> {
    serde_json::from_slice(&engine.neo("status", &["--json"]).stdout).ok()
}

fn wal_bytes(engine: &Engine) -> u64 {
    let mut name = engine.db().into_os_string();
    name.push("-wal");
    std::fs::metadata(name).map_or(0, |metadata| metadata.len())
}

/// Another program that has begun to write.
fn write_lock(engine: &Engine) -> Connection {
    let conn = Connection::open(engine.db()).unwrap();
    conn.busy_timeout(Duration::from_secs(30)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

#[test]
fn a_write_lock_of_less_than_the_busy_time_out_ends_nothing() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let other = write_lock(&engine);
    // The writer waits for the lock: what comes after stays in the queue.
    until("a queue", &engine, || {
        status(&engine).is_some_and(|status| status["queued_records"].as_u64().is_some_and(|queued| queued > 0))
    });
    other.execute_batch("COMMIT").unwrap();
    until("an empty queue", &engine, || status(&engine).is_some_and(|status| status["queued_records"] == 0));
    assert_eq!(engine.neo("stop", &[]).status.code(), Some(0), "{}", engine.stderr());
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    assert_eq!(engine.record().session(None).unwrap().end_reason, Some(EndReason::StopCommand));
}

/// Holds the write lock until the engine says that it stops, and gives what became of the session.
fn held_until_it_stops(more: &[&str]) -> String {
    let engine = Engine::new();
    let mut arguments = vec!["--speed", "20"];
    arguments.extend(more);
    let mut running = engine.start(&arguments);
    running.until_it_quotes();
    let other = write_lock(&engine);
    until("the stop", &engine, || status(&engine).is_some_and(|status| status["phase"] == "stopping"));
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    assert_eq!(running.wait(), 3, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Disk), Some(EndedAtSource::Clean)));
    let faults = engine.record().faults(session.number).unwrap();
    assert!(!faults.is_empty(), "the record tells why");
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    let next = engine.neo("run", &SHORT);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    session.end_detail.unwrap()
}

#[test]
fn a_write_lock_of_more_than_the_busy_time_out_ends_the_session_and_loses_nothing() {
    let detail = held_until_it_stops(&[]);
    assert!(detail.contains("refuses to be written"), "{detail}");
}

#[test]
fn a_commit_that_takes_longer_than_its_limit_is_noticed_while_it_hangs() {
    let detail = held_until_it_stops(&["--set", "store.commit_limit_ms=300"]);
    assert!(detail.contains("commit_limit_ms = 300"), "{detail}");
}

#[test]
fn a_reader_that_blocks_checkpoints_is_told_once_and_so_is_its_end() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20", "--set", "store.checkpoint_s=1"]);
    running.until_it_quotes();
    let other = Connection::open(engine.db()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
    let told = |text: &str| {
        let faults = engine.record().faults(1).unwrap();
        faults.iter().filter(|row| row.record.actor == "checkpoint" && row.record.cause.contains(text)).count()
    };
    until("the blocked checkpoint", &engine, || told("a reader blocks it") == 1);
    assert!(status(&engine).is_some_and(|status| status["checkpoint_busy"] == true));
    other.execute_batch("COMMIT").unwrap();
    until("the free checkpoint", &engine, || told("get through again") == 1);
    assert_eq!(engine.neo("stop", &[]).status.code(), Some(0), "{}", engine.stderr());
    assert_eq!(running.wait(), 0);
    assert_eq!((told("a reader blocks it"), told("get through again")), (1, 1));
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.end_detail, None);
}

#[test]
fn a_program_that_reads_the_record_over_the_end_is_recorded_and_no_failure() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let other = Connection::open(engine.db()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    let detail: Value = serde_json::from_str(&session.end_detail.unwrap()).unwrap();
    assert!(detail["wal_left_bytes"].as_u64().unwrap() > 0, "{detail}");
    other.execute_batch("COMMIT").unwrap();
}

fn external(engine: &Engine) {
    let mut arguments = SHORT.to_vec();
    arguments.extend(["--set", "store.checkpoint=external"]);
    let run = engine.neo("run", &arguments);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
}

#[test]
#[cfg(unix)]
fn with_a_replicator_recovering_leaves_the_wal_too() {
    let engine = Engine::new();
    external(&engine);
    let mut running = engine.start(&["--speed", "20", "--set", "store.checkpoint=external"]);
    running.until_it_quotes();
    running.signal("KILL");
    running.wait();
    let (killed, file) = (wal_bytes(&engine), std::fs::read(engine.db()).unwrap());
    for repair in [&[][..], &["--repair"]] {
        let mut recover = engine.with_db("recover", repair);
        let recovered = recover.env("NEO_STORE__CHECKPOINT", "external").output().unwrap();
        assert_eq!(recovered.status.code(), Some(0), "{}", stderr(&recovered));
        assert!(wal_bytes(&engine) >= killed, "{} of {killed}", wal_bytes(&engine));
        assert!(std::fs::read(engine.db()).unwrap() == file, "nothing is written back");
    }
    let session = engine.record().session(Some(2)).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Crash), Some(EndedAtSource::Recovered)));

    // Without a replicator it leaves one file.
    let recovered = engine.neo("recover", &[]);
    assert_eq!(recovered.status.code(), Some(0), "{}", stderr(&recovered));
    assert!(engine.is_one_file());
}

#[test]
fn with_a_replicator_no_checkpoint_is_ours_and_the_wal_stays_for_it() {
    let engine = Engine::new();
    external(&engine);
    let first = wal_bytes(&engine);
    assert!(first > 100_000, "the whole session is in the -wal: {first}");
    let session = engine.record().session(None).unwrap();
    let detail: Value = serde_json::from_str(session.end_detail.as_deref().unwrap()).unwrap();
    assert!(detail["wal_left_bytes"].as_u64().unwrap() > 100_000, "{detail}");
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    assert!(engine.record().checkpoints(1).unwrap().is_empty());
    let stages = engine.record().stop_stages(1).unwrap();
    let skipped: Vec<Stage> =
        stages.iter().filter(|row| row.outcome == StageOutcome::Skipped).map(|row| row.stage).collect();
    assert_eq!(skipped, [Stage::Checkpoint]);
    for command in ["verify", "report", "backup"] {
        let done = engine.neo(command, &[]);
        assert_eq!(done.status.code(), Some(0), "{command}: {}{}", stdout(&done), stderr(&done));
    }
    assert!(wal_bytes(&engine) >= first, "looking takes nothing from the replicator");

    // A killed engine's session is closed by the next start, and that start leaves the -wal too.
    let mut running = engine.start(&["--speed", "20", "--set", "store.checkpoint=external"]);
    running.until_it_quotes();
    running.signal("KILL");
    running.wait();
    let killed = wal_bytes(&engine);
    external(&engine);
    assert!(killed > first && wal_bytes(&engine) > killed);
    assert_eq!(engine.record().session(Some(2)).unwrap().ended_at_source, Some(EndedAtSource::Recovered));
    assert_eq!(engine.record().sessions().unwrap().len(), 3);

    // Without the replicator the engine takes them over again.
    let own = engine.neo("run", &SHORT);
    assert_eq!(own.status.code(), Some(0), "{}", stderr(&own));
    assert!(engine.is_one_file());
    let causes: Vec<_> = engine.record().checkpoints(4).unwrap().iter().map(|row| row.record.cause).collect();
    assert!(causes.contains(&CheckpointCause::Stop) && causes.contains(&CheckpointCause::Seal), "{causes:?}");
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
}

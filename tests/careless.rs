//! Careless hands while an engine runs: programs that hold its file, a disk that is full or read-only, a log that was
//! deleted, a clock that is set back. Each has a stated outcome (docs/record.md, "Careless hands").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stderr, reason = "says what is skipped")]
#![cfg(target_os = "linux")]

mod engine;

use std::time::Duration;

use engine::mounted::Mounted;
use engine::witness::{Said, Witness, missing, open};
use engine::{Engine, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource};
use rusqlite::Connection;
use serde_json::Value;

/// Waits until the engine says of itself what is looked for.
fn until(engine: &Engine, witness: &mut Witness, looked_for: impl Fn(&Value) -> bool) {
    for _ in 0..600 {
        assert!(!witness.has_ended(), "the engine ended:\n{}", engine.stderr());
        let output = engine.neo("status", &["--json"]);
        if output.status.success() && looked_for(&serde_json::from_slice(&output.stdout).unwrap()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it was not seen within a minute:\n{}", engine.stderr());
}

fn quotes(status: &Value) -> bool {
    status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())
}

/// The next session goes well, nothing that was called durable is missing, and nothing is found.
fn assert_mended(engine: &Engine, said: &Said) {
    let again = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(missing(&open(engine).unwrap(), said), None);
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    assert!(engine.record().sessions().unwrap().iter().all(|session| session.ended_at.is_some()));
}

fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_reader_that_stays_open_keeps_the_log_from_shrinking_and_costs_no_row() {
    let engine = Engine::new();
    let mut witness = Witness::start(&engine, &["--speed", "20", "--set", "store.checkpoint_s=1"]);
    until(&engine, &mut witness, quotes);
    let reader = Connection::open(engine.db()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM fills", [], |row| row.get(0)).unwrap();
    until(&engine, &mut witness, |status| status["checkpoint_busy"] == true);
    signal(witness.pid(), "TERM");
    let (code, said) = witness.wait();
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean), "{}", engine.stderr());
    assert_eq!(code, 0, "a log that another program keeps is no failure: {}", engine.stderr());
    assert!(session.end_detail.unwrap().contains("wal_left_bytes"), "but it is said");
    drop(reader);
    assert_mended(&engine, &said);
}

#[test]
fn a_write_lock_held_for_a_moment_is_waited_for() {
    let engine = Engine::new();
    let mut witness = Witness::start(&engine, &["--speed", "20"]);
    until(&engine, &mut witness, quotes);
    let other = Connection::open(engine.db()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    for _ in 0..5 {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
    }
    drop(other);
    signal(witness.pid(), "TERM");
    let (code, said) = witness.wait();
    assert_eq!(code, 0, "{}", engine.stderr());
    assert_mended(&engine, &said);
}

#[test]
fn a_write_lock_that_is_not_let_go_ends_the_session_and_the_next_start_closes_it() {
    let engine = Engine::new();
    let mut witness = Witness::start(&engine, &["--speed", "20"]);
    until(&engine, &mut witness, quotes);
    let other = Connection::open(engine.db()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (code, said) = witness.wait();
    assert_eq!(code, 3, "{}", engine.stderr());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert_mended(&engine, &said);
}

#[test]
fn a_full_disk_ends_the_session_and_loses_nothing_that_was_called_durable() {
    let engine = Engine::with_record("disk/neo test é.db");
    let Some(disk) = Mounted::tmpfs(&engine.folder().join("disk"), 24) else { return };
    // The world is on another disk, as the real one is.
    let world = engine.folder().join("world");
    std::fs::create_dir(&world).unwrap();
    std::os::unix::fs::symlink(&world, engine.db().with_extension("ledger")).unwrap();
    let mut witness = Witness::start(&engine, &["--speed", "50"]);
    until(&engine, &mut witness, quotes);
    let filler = disk.fill();
    let (code, said) = witness.wait();
    assert_eq!(code, 3, "{}", engine.stderr());
    std::fs::remove_file(filler).unwrap();
    assert_mended(&engine, &said);
    let ended = engine.record().session(said.session).unwrap();
    assert!(matches!(ended.end_reason, Some(EndReason::Disk | EndReason::Crash)), "{:?}", ended.end_reason);
    engine.kill_world();
}

#[test]
fn a_read_only_folder_is_refused_with_what_to_do_and_readers_still_read() {
    let engine = Engine::with_record("disk/neo test é.db");
    let Some(disk) = Mounted::tmpfs(&engine.folder().join("disk"), 24) else { return };
    let first = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    disk.read_only();
    let short = ["--for", "20s", "--speed", "max"];
    let refused = engine.neo("run", &short);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("give write permission or set log.dir"), "{}", stderr(&refused));
    let logs = format!("log.dir={}", engine.folder().display());
    let refused = engine.neo("run", &[&short[..], &["--set", &logs]].concat());
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("check the permissions of its folder"), "{}", stderr(&refused));
    for command in ["sessions", "report", "verify"] {
        let read = engine.neo(command, &[]);
        assert_eq!(read.status.code(), Some(0), "{command}: {}{}", stdout(&read), stderr(&read));
    }
    disk.writable();
    let again = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
}

/// The fills that were lost with the log come back from the ledger, and it is said that the log is gone.
#[test]
fn a_log_that_was_deleted_after_a_kill_is_missed_and_its_fills_come_back() {
    let engine = Engine::new();
    let first = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let mut witness = Witness::start(&engine, &["--speed", "max"]);
    until(&engine, &mut witness, |status| status["bid_fills"].as_u64().unwrap_or(0) > 5);
    let said = witness.kill();
    let fills = || engine.record().sessions().unwrap().iter().map(|session| session.fills).sum::<u64>();
    let before = fills();
    let mut wal = engine.db().into_os_string();
    wal.push("-wal");
    std::fs::remove_file(wal).unwrap();
    let again = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert!(stderr(&again).contains("its -wal is gone"), "{}", stderr(&again));
    // What the dead engine had sent last may get in only now. Nobody knows any more that it was ours, and then the
    // session ends as for another engine's offers; the next one sweeps them.
    if again.status.code() != Some(0) {
        assert!(stderr(&again).contains("no engine on this record signed"), "{}", stderr(&again));
        let third = engine.neo("run", &["--for", "20s", "--speed", "max"]);
        assert_eq!(third.status.code(), Some(0), "{}", stderr(&third));
    }
    let killed = engine.record().session(said.session).unwrap();
    assert!(killed.end_detail.unwrap().contains("its -wal is gone"));
    // The offers' own rows are not on the ledger: what is found is that they are missing, and nothing else.
    let verified = engine.neo("verify", &["--json"]);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    for finding in verified["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == "error") {
        assert!(["fills", "intents", "orders"].contains(&finding["check"].as_str().unwrap()), "{finding:#}");
    }
    assert!(fills() >= before, "{before} fills were recorded, {} are there", fills());
}

/// The clock of the engine's process is set back by an hour in the middle of its session, with Debian's faketime.
#[test]
fn a_clock_that_is_set_back_stops_nothing_and_is_told() {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    if !std::path::Path::new(LIBRARY).exists() {
        eprintln!("SKIPPED: {LIBRARY} is not there; install the package faketime");
        return;
    }
    let engine = Engine::new();
    let offset = engine.folder().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    let mut witness = Witness::start_with(&engine, &["--speed", "20", "--set", "store.checkpoint_s=1"], |command| {
        command.env("LD_PRELOAD", LIBRARY).env("FAKETIME_TIMESTAMP_FILE", &offset);
        command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    until(&engine, &mut witness, quotes);
    std::fs::write(&offset, "-3600").unwrap();
    let seen = |status: &Value| status["durable_seq"].as_u64().unwrap_or(0);
    let before = std::cell::Cell::new(None);
    until(&engine, &mut witness, |status| {
        let first = before.get().unwrap_or(seen(status));
        before.set(Some(first));
        seen(status) > first + 50
    });
    signal(witness.pid(), "TERM");
    let (code, said) = witness.wait();
    assert_eq!(code, 0, "{}", engine.stderr());
    let session = engine.record().session(said.session).unwrap();
    assert!(session.ended_at.unwrap() < session.started_at, "the record says what the clock said");
    let verified = engine.neo("verify", &["--json"]);
    assert_eq!(verified.status.code(), Some(1));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    let findings = verified["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["check"] == "sessions" && finding["severity"] == "warning"));
    assert!(findings.iter().any(|finding| finding["text"].as_str().unwrap().contains("the clock was set back")));
    assert_eq!(missing(&open(&engine).unwrap(), &said), None);
}

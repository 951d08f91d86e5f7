//! The real engine on a disk that begins to refuse while it quotes: it stops by itself with exit code 3, nothing that it
//! called durable is lost, and its session is closed at once or by the next start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(unix)]

mod engine;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use engine::{Engine, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource};
use neo_store::schema;
use rusqlite::Connection;
use serde_json::Value;

/// What the disk does.
#[derive(Debug)]
struct Trouble {
    fault: &'static str,
    kind: &'static str,
    /// So many operations succeed: the engine quotes by then.
    after: u32,
    /// So many are refused; `None`: all that come.
    times: Option<u32>,
}

/// What an engine said on its standard output, and its exit code.
#[derive(Debug, Default)]
struct Said {
    session: Option<i64>,
    durable_seq: u64,
    exit: Option<i32>,
}

/// The example, which `cargo test` builds beside the binary.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_neo")).with_file_name("examples").join("neo_on_a_failing_disk");
    assert!(program.exists(), "{} is missing: cargo build --example neo_on_a_failing_disk", program.display());
    program
}

fn run_on(engine: &Engine, trouble: &Trouble, speed: &str) -> Said {
    let mut command = Command::new(program());
    let log = std::fs::File::create(engine.folder().join("stderr.txt")).unwrap();
    // An engine that does not notice the disk ends by itself, with another exit code, instead of hanging the test.
    command.args(["run", "--db"]).arg(engine.db()).args(["--json", "--for", "30m", "--speed", speed]);
    // The whole stop is short; checkpoints are frequent, so that some of them meet the fault.
    command.args(["--set", "stop.deadline_ms=6000", "--set", "store.checkpoint_s=1"]);
    command.current_dir(engine.folder()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NEO_")) {
        command.env_remove(name);
    }
    command.env("DISK_FOLDER", engine.folder()).env("DISK_FAULT", trouble.fault).env("DISK_KIND", trouble.kind);
    command.env("DISK_AFTER", trouble.after.to_string());
    if let Some(times) = trouble.times {
        command.env("DISK_TIMES", times.to_string());
    }
    let mut child = command.spawn().unwrap();
    let mut said = Said::default();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        said.session = event["session"].as_i64().filter(|session| *session > 0).or(said.session);
        said.durable_seq = event["durable_seq"].as_u64().unwrap_or(0).max(said.durable_seq);
    }
    said.exit = child.wait().unwrap().code();
    said
}

/// Every number up to the highest that was reported is there once.
fn assert_all_there(engine: &Engine, said: &Said) {
    let conn = Connection::open(engine.db()).unwrap();
    let union = schema::SEQUENCED.map(|table| format!("SELECT seq FROM {table}")).join(" UNION ALL ");
    let sql = format!("SELECT count(*), count(DISTINCT seq) FROM ({union}) WHERE seq <= ?1");
    let wanted = i64::try_from(said.durable_seq).unwrap();
    let there = conn.query_row(&sql, [wanted], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(there, (wanted, wanted), "{said:?}");
}

/// A fault that came before anything was recorded proves nothing: then again, and later.
fn once_it_trades(trouble: &Trouble, speed: &str) -> (Engine, Said) {
    for later in 0..5 {
        let engine = Engine::new();
        let trouble = Trouble { after: trouble.after + later * trouble.after / 2, ..*trouble };
        let said = run_on(&engine, &trouble, speed);
        if said.session == Some(1) && said.durable_seq > 0 {
            return (engine, said);
        }
    }
    panic!("it never traded: {trouble:?}");
}

/// The engine stops with exit code 3; the next one, on a good disk, finds everything. Gives how the session ended.
fn stopped_by(trouble: &Trouble, speed: &str) -> (EndedAtSource, EndReason) {
    let (engine, said) = once_it_trades(trouble, speed);
    assert_eq!(said.exit, Some(3), "{said:?}\n{}", engine.stderr());
    let at_once = engine.record().session(Some(1)).unwrap().ended_at;

    let again = engine.neo("run", &["--for", "20s", "--speed", "max"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let verified = engine.neo("verify", &["--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    assert_all_there(&engine, &said);
    let session = engine.record().session(Some(1)).unwrap();
    if at_once.is_some() {
        assert_eq!(session.ended_at, at_once, "the first end stands");
    }
    (session.ended_at_source.unwrap(), session.end_reason.unwrap())
}

#[test]
fn a_disk_that_refuses_for_good_ends_the_session_and_the_next_start_closes_it() {
    for (fault, kind, after, speed) in [
        ("full", "write", 700, "20"),
        ("broken", "write", 1_000, "max"),
        ("full", "sync", 100, "max"),
        ("broken", "sync", 80, "20"),
        ("read-only", "any", 1_200, "max"),
    ] {
        let trouble = Trouble { fault, kind, after, times: None };
        let end = stopped_by(&trouble, speed);
        // A commit whose sync failed was not acknowledged, and may be there all the same. Else the stop note, which is no
        // database, tells the next start what the database did not take.
        let by_itself = kind == "sync" && end == (EndedAtSource::Watchdog, EndReason::Disk);
        assert!(by_itself || end == (EndedAtSource::StopNote, EndReason::Disk), "{fault} {kind}: {end:?}");
    }
}

#[test]
fn a_disk_that_recovers_during_the_stop_has_the_end_written_at_once() {
    for (fault, kind, after, speed) in
        [("full", "write", 800, "max"), ("short", "write", 700, "20"), ("broken", "sync", 90, "max")]
    {
        let trouble = Trouble { fault, kind, after, times: Some(5) };
        let (source, reason) = stopped_by(&trouble, speed);
        assert_eq!(reason, EndReason::Disk, "{fault} {kind}");
        assert!(matches!(source, EndedAtSource::Clean | EndedAtSource::Watchdog), "{fault} {kind}: {source:?}");
    }
}

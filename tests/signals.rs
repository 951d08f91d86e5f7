//! What Unix signals do beside ending a session: an ignored SIGHUP stays ignored, SIGQUIT tells what the engine is doing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(target_os = "linux")]

mod engine;

use engine::{Engine, stderr};
use neo_store::record::{EndReason, EndedAtSource};
use serde_json::Value;

#[test]
fn under_nohup_a_closed_terminal_does_not_end_the_session() {
    let engine = Engine::new();
    let mut running = engine.start_by(&["sh", "-c", r#"trap "" HUP; exec "$0" "$@""#], &["--speed", "20"]);
    running.until_it_quotes();
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!((mask("SigIgn:") & 1, mask("SigCgt:") & 1), (1, 0), "SIGHUP is not ignored any more: {status}");
    running.signal("HUP");
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "{}", stderr(&stop));
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.end_reason, Some(EndReason::StopCommand));
}

#[test]
fn without_nohup_a_closed_terminal_ends_the_session() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    running.signal("HUP");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.end_reason, Some(EndReason::TerminalClosed));
    assert_eq!(log_of(&engine).matches("stop stage done").count(), 8, "each stage's outcome is in the log");
}

#[test]
fn sigquit_writes_a_dump_to_the_log_and_closes_the_session() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    running.signal("QUIT");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Signal), Some(EndedAtSource::Clean)));
    assert!(engine.is_one_file());

    let dump = dump_in(&engine);
    assert_eq!(dump["phase"], "quoting", "{dump}");
    assert!(!dump["open_offers"].as_array().unwrap().is_empty(), "{dump}");
    assert!(dump["writer"]["durable_seq"].as_u64().unwrap() > 0, "{dump}");
    assert_eq!(dump["writer"]["alive"], true);
    let beats = dump["last_beat_ms"].as_object().unwrap();
    let actors: Vec<&str> = beats.keys().map(String::as_str).collect();
    assert_eq!(actors, ["checkpoint", "feed", "orders", "valuer", "writer"], "{dump}");
    let threads: Vec<&str> =
        dump["threads"].as_array().unwrap().iter().map(|thread| thread.as_str().unwrap()).collect();
    assert!(threads.iter().any(|thread| thread.starts_with("neo-writer ")), "{dump}");
    assert_eq!(dump["unknown"], serde_json::json!([]), "{dump}");
}

/// The loop that answers otherwise stands still: the watchdog answers, and closes the session when its time has come.
#[test]
#[cfg(debug_assertions)]
fn sigquit_writes_a_dump_while_the_supervisor_stands_still() {
    let engine = Engine::new();
    let mut command = engine.with_db("run", &["--speed", "20", "--set", "supervisor.frozen_ms=2000"]);
    command.env("NEO_FAIL", "supervisor:freeze:quoting");
    let mut running = engine.spawn(command);
    running.until_it_quotes();
    running.signal("QUIT");
    assert_eq!(running.wait(), 70, "{}", engine.stderr());
    let dumps = dumps_in(&engine);
    assert_eq!(dumps.len(), 2, "one for the signal, one for what hung: {dumps:?}");
    for dump in &dumps {
        assert_eq!(dump["writer"]["alive"], true, "{dump}");
        assert!(dump["threads"].as_array().is_some_and(|threads| !threads.is_empty()), "{dump}");
    }
    assert_eq!(dumps[0]["phase"], "quoting");
    assert!(dumps[0]["events_waiting"].as_u64().unwrap() > 0, "the request to stop is not read: {}", dumps[0]);
}

/// The dump in the log's JSON lines.
fn dump_in(engine: &Engine) -> Value {
    let mut dumps = dumps_in(engine);
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    dumps.remove(0)
}

fn log_of(engine: &Engine) -> String {
    let log = std::fs::read_dir(engine.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .unwrap();
    std::fs::read_to_string(log).unwrap()
}

fn dumps_in(engine: &Engine) -> Vec<Value> {
    let text = log_of(engine);
    let told = text.lines().filter(|line| line.contains("diagnostic dump")).map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let dump = line.pointer("/dump").or_else(|| line.pointer("/fields/dump")).unwrap_or_else(|| panic!("{line}"));
        serde_json::from_str(dump.as_str().unwrap()).unwrap()
    });
    told.collect()
}

#[test]
fn a_third_request_and_more_change_nothing_that_is_being_written() {
    // At real speed the second request comes while the cancels are waited for.
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "1"]);
    running.until_it_quotes();
    for signal in ["INT", "TERM", "INT", "HUP", "TERM"] {
        running.signal(signal);
    }
    let code = running.wait();
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean), "{}", engine.stderr());
    assert_eq!(code, 1, "offers were not waited for: {}", engine.stderr());
    let stages = engine.record().stop_stages(session.number).unwrap();
    assert_eq!(stages.len(), 8, "{stages:?}");
    assert!(engine.is_one_file());
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stdout));
}

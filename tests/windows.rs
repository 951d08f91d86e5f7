//! Every way a session can end on Windows. Runs on Windows and, by `scripts/windows-check`, under Wine on Debian.
//!
//! Console events are delivered by `scripts/windows/console_event.c`: the tests that need it are ignored unless asked
//! for, and find it through `NEO_CONSOLE_EVENT`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(windows)]

mod engine;

use std::process::Command;

use engine::{Engine, Running, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource, StageOutcome};
use neo_store::rows::SessionRow;

/// Blanks, umlauts and a Greek letter, in the folder and in the file.
const RECORD: &str = r"Räume und Straßen\neo α.db";
/// What Windows gives a closed console.
const CLOSE_MS: u32 = 5_000;

/// A console event, by its number in Windows.
#[derive(Clone, Copy, Debug)]
enum Event {
    C = 0,
    Break = 1,
    Close = 2,
    LogOff = 5,
    Shutdown = 6,
}

/// Delivers the event; for the last three, as Windows does, the process has ended when this returns. Gives what the
/// helper saw.
fn deliver(event: Event, running: &Running<'_>) -> String {
    let helper = std::env::var_os("NEO_CONSOLE_EVENT").expect("NEO_CONSOLE_EVENT names console_event.exe");
    let arguments = [running.pid(), event as u32, CLOSE_MS].map(|number| number.to_string());
    let output = Command::new(helper).args(arguments).output().unwrap();
    assert!(output.status.success(), "{event:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn engine() -> Engine {
    Engine::with_record(RECORD)
}

/// One file, nothing found by `neo verify`, and the last session as it was recorded.
fn closed(engine: &Engine) -> SessionRow {
    assert!(engine.is_one_file(), "a -wal or -shm was left: {}", engine.stderr());
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "{}{}", stdout(&verify), engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert!(session.ended_at.is_some(), "ended_at is NULL: {}", engine.stderr());
    session
}

fn assert_whole_sequence(engine: &Engine, reason: EndReason) {
    let session = closed(engine);
    assert_eq!((session.end_reason, session.ended_at_source), (Some(reason), Some(EndedAtSource::Clean)));
    assert_eq!(session.end_detail, None);
    assert!(session.ending_value_rlusd.is_some());
    let stages = engine.record().stop_stages(session.number).unwrap();
    assert_eq!(stages.len(), 8, "{stages:?}");
    assert!(stages.iter().all(|row| row.outcome == StageOutcome::Done), "{stages:?}");
}

/// Closed by the stop sequence in the time that Windows gives, though its cancels cannot be waited for.
fn assert_urgent(engine: &Engine, reason: EndReason, code: i32, seen: &str) {
    assert!(seen.contains("ended by itself"), "{seen}{}", engine.stderr());
    let session = closed(engine);
    assert_eq!((session.end_reason, session.ended_at_source), (Some(reason), Some(EndedAtSource::Clean)));
    assert!(session.ending_value_rlusd.is_some());
    let stages = engine.record().stop_stages(session.number).unwrap();
    assert_eq!(stages.len(), 8, "{stages:?}");
    assert_eq!(code, 1, "the cancels were not seen in a ledger: {stages:?}");
    let detail = session.end_detail.unwrap();
    assert!(detail.contains(r#""urgent":true"#), "{detail}");
}

#[test]
fn the_time_given_with_for_ends_the_session() {
    let engine = engine();
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_whole_sequence(&engine, EndReason::Elapsed);
}

#[test]
fn neo_stop_ends_the_session_and_exits_with_its_outcome() {
    let engine = engine();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), stderr(&stop));
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    assert_whole_sequence(&engine, EndReason::StopCommand);
}

#[test]
#[ignore = "needs NEO_CONSOLE_EVENT; scripts/windows-check runs it"]
fn ctrl_c_and_ctrl_break_run_the_whole_sequence() {
    for event in [Event::C, Event::Break] {
        let engine = engine();
        let mut running = engine.start(&["--speed", "20"]);
        running.until_it_quotes();
        deliver(event, &running);
        assert_eq!(running.wait(), 0, "{event:?}: {}", engine.stderr());
        assert_whole_sequence(&engine, EndReason::Signal);
    }
}

#[test]
#[ignore = "needs NEO_CONSOLE_EVENT; scripts/windows-check runs it"]
fn a_closed_console_a_log_off_and_a_shutdown_close_the_session_in_time() {
    for event in [Event::Close, Event::LogOff, Event::Shutdown] {
        // At real speed no ledger closes in time: the stop must not wait for one.
        let engine = engine();
        let mut running = engine.start(&["--speed", "1"]);
        running.until_it_quotes();
        let seen = deliver(event, &running);
        assert_urgent(&engine, EndReason::ConsoleClosed, running.wait(), &seen);
    }
}

#[test]
#[ignore = "needs NEO_CONSOLE_EVENT; scripts/windows-check runs it"]
fn a_console_that_is_closed_while_the_engine_stops_turns_the_stop_urgent() {
    let engine = engine();
    let mut running = engine.start(&["--speed", "1"]);
    running.until_it_quotes();
    deliver(Event::C, &running);
    let seen = deliver(Event::Close, &running);
    assert_urgent(&engine, EndReason::Signal, running.wait(), &seen);
}

#[test]
#[ignore = "needs NEO_CONSOLE_EVENT; scripts/windows-check runs it"]
fn a_console_that_is_closed_while_the_engine_starts_leaves_no_open_session() {
    let engine = engine();
    let mut running = engine.start(&["--speed", "1"]);
    running.until_it_answers();
    let seen = deliver(Event::Close, &running);
    running.wait();
    assert!(seen.contains("ended by itself"), "{seen}{}", engine.stderr());
    let session = closed(&engine);
    assert_eq!(session.end_reason, Some(EndReason::ConsoleClosed));
}

/// The negative control: what the tests above see is the holding handler's doing.
#[cfg(debug_assertions)]
#[test]
#[ignore = "needs NEO_CONSOLE_EVENT; scripts/windows-check runs it"]
fn without_the_holding_handler_a_closed_console_loses_the_end() {
    let engine = engine();
    let mut run = engine.with_db("run", &["--speed", "1"]);
    run.env("FAIL_CONSOLE_HANDLER", "1");
    let mut running = engine.spawn(run);
    running.until_it_quotes();
    let seen = deliver(Event::Close, &running);
    assert!(seen.contains("terminated") && seen.contains("the handler returned"), "{seen}");
    running.wait();
    assert_eq!(engine.record().session(None).unwrap().ended_at, None, "{}", engine.stderr());
    assert_eq!(engine.neo("verify", &[]).status.code(), Some(1), "neo verify does not see the open session");
    assert_recovered(&engine);
}

#[test]
fn a_killed_engine_is_recovered_by_the_next_start() {
    let engine = engine();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    running.kill();
    assert_eq!(engine.record().session(None).unwrap().ended_at, None);
    assert_recovered(&engine);
}

/// The next session closes the one that was left open.
fn assert_recovered(engine: &Engine) {
    let run = engine.neo("run", &["--for", "1m", "--speed", "20"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let killed = engine.record().session(Some(1)).unwrap();
    assert_eq!((killed.end_reason, killed.ended_at_source), (Some(EndReason::Crash), Some(EndedAtSource::Recovered)));
    let next = closed(engine);
    assert_eq!((next.number, next.resumed_from), (2, Some(1)));
}

#[test]
fn a_second_engine_on_the_record_is_refused_and_told_whose_it_is() {
    let engine = engine();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let second = engine.neo("run", &["--for", "1m"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    assert!(stderr(&second).contains(&format!("process {}", running.pid())), "{}", stderr(&second));
    assert_eq!(engine.neo("stop", &[]).status.code(), Some(0));
    assert_eq!(running.wait(), 0);
}

#[test]
fn backup_restore_and_the_readers_work_on_such_a_path() {
    let engine = engine();
    let neo = |command: &str, more: &[&str], code: i32| {
        let output = engine.neo(command, more);
        assert_eq!(output.status.code(), Some(code), "neo {command}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    };
    neo("run", &["--for", "1m", "--speed", "max"], 0);
    neo("backup", &[], 0);
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    // Paused, so that no offer is placed after the backup: a restored record would rightly miss its row.
    neo("pause", &[], 0);
    neo("backup", &[], 0);
    neo("restore", &["latest"], 3);
    neo("stop", &[], 0);
    assert_eq!(running.wait(), 0);
    neo("resume", &[], 0);
    assert_eq!(neo("sessions", &["--json"], 0).matches("\"session\"").count(), 2);
    let listed = neo("backup", &["--list"], 0);
    assert!(listed.matches("neo α-").count() >= 3, "{listed}");

    // The last backup was taken while S2 ran: restored, S2 is there and is closed by the next start.
    neo("restore", &["latest"], 0);
    let run = engine.neo("run", &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let session = closed(&engine);
    assert_eq!((session.number, session.resumed_from), (3, Some(2)));
    assert!(neo("report", &["latest"], 0).contains("S3"));
}

#[test]
fn a_network_share_is_refused_before_any_server_is_asked() {
    let engine = engine();
    let run = engine.command(&["run", "--for", "1m", "--db", r"\\server\folder\neo.db"]).output().unwrap();
    assert_eq!(run.status.code(), Some(3), "{}", stderr(&run));
    assert!(stderr(&run).contains(r"network share \\server\folder"), "{}", stderr(&run));
}

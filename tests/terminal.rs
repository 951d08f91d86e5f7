//! A terminal that is closed, a pipe whose reader is gone, one that nobody reads, a log disk that is full: the session is
//! closed, and the exit code says what happened to the session, not to the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
// `setsid` is util-linux's, `/dev/full` is Linux's.
#![cfg(target_os = "linux")]

mod engine;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use engine::{Engine, Running, stderr};
use neo_store::record::{EndReason, EndedAtSource, StageOutcome};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

fn assert_closed(engine: &Engine, code: i32, reason: EndReason) {
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.end_reason, Some(reason));
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    let stages = engine.record().stop_stages(session.number).unwrap();
    assert!(stages.iter().all(|row| row.outcome == StageOutcome::Done), "{stages:?}");
    assert_eq!(code, 0, "{stages:?}");
    assert!(engine.is_one_file());
}

/// A terminal of our own: its master, which closes it, and its slave.
fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (master, slave)
}

/// The engine as the only program of a terminal, as a shell's `exec` would leave it.
fn on_terminal<'a>(engine: &'a Engine, slave: &OwnedFd) -> Running<'a> {
    let run = engine.with_db("run", &["--speed", "20"]);
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(run.get_program()).args(run.get_args()).current_dir(engine.folder());
    let end = || Stdio::from(slave.try_clone().unwrap());
    command.stdin(end()).stdout(end()).stderr(end());
    engine.spawn_as_is(command)
}

#[test]
fn a_terminal_that_is_closed_ends_the_session_in_order() {
    let engine = Engine::new();
    let (master, slave) = terminal();
    let mut running = on_terminal(&engine, &slave);
    drop(slave);
    running.until_it_quotes();
    drop(master);
    let code = running.wait();
    assert_closed(&engine, code, EndReason::TerminalClosed);
}

#[test]
fn a_terminal_that_stands_still_holds_up_nothing() {
    let engine = Engine::new();
    // Nobody reads the master: once the terminal's buffer is full, writing to it waits for ever.
    let (master, slave) = terminal();
    let mut running = on_terminal(&engine, &slave);
    running.until_it_quotes();
    std::thread::sleep(std::time::Duration::from_secs(2));
    running.signal("TERM");
    let code = running.wait();
    assert_closed(&engine, code, EndReason::Signal);
    drop((master, slave));
}

#[test]
fn closed_standard_streams_hold_up_nothing() {
    let engine = Engine::new();
    let run = engine.with_db("run", &["--for", "30s", "--speed", "20"]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(run.get_program()).args(run.get_args());
    let code = engine.spawn_as_is(command.current_dir(engine.folder())).wait();
    assert_closed(&engine, code, EndReason::Elapsed);
}

#[test]
fn a_reader_that_leaves_ends_nothing() {
    let engine = Engine::new();
    let (out, to_out) = std::io::pipe().unwrap();
    let (err, to_err) = std::io::pipe().unwrap();
    let mut command = engine.with_db("run", &["--json", "--for", "60s", "--speed", "20"]);
    command.stdout(to_out).stderr(to_err);
    let mut running = engine.spawn_as_is(command);
    running.until_it_quotes();
    drop((out, err));
    let code = running.wait();
    assert_closed(&engine, code, EndReason::Elapsed);
}

#[test]
fn pipes_that_nobody_reads_hold_up_nothing() {
    let engine = Engine::new();
    let (out, to_out) = std::io::pipe().unwrap();
    let (err, to_err) = std::io::pipe().unwrap();
    // Two thousand ledgers, a line of JSON each: far more than a pipe holds.
    let mut command = engine.with_db("run", &["--json", "--for", "10m", "--speed", "100", "--set", "log.level=debug"]);
    command.stdout(to_out).stderr(to_err);
    let mut running = engine.spawn_as_is(command);
    running.until_it_quotes();
    let code = running.wait();
    assert_closed(&engine, code, EndReason::Elapsed);
    drop((out, err));
}

/// A mistake is told before there is a session; nobody reads it, and the program ends all the same.
#[test]
fn a_mistake_that_nobody_reads_is_still_an_exit_code() {
    let engine = Engine::new();
    let (err, to_err) = std::io::pipe().unwrap();
    // Fills the pipe.
    rustix::fs::fcntl_setfl(&to_err, OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&to_err, &[b'x'; 4_096]).is_ok() {}
    rustix::fs::fcntl_setfl(&to_err, OFlags::empty()).unwrap();
    let mut command = engine.with_db("run", &["--set", "quote.levels=0"]);
    command.stdout(Stdio::null()).stderr(to_err);
    let code = engine.spawn_as_is(command).wait();
    assert_eq!(code, 2);
    drop(err);
}

#[test]
fn a_full_log_disk_is_told_and_ends_nothing() {
    let engine = Engine::new();
    let logs = engine.folder().join("logs");
    std::fs::create_dir(&logs).unwrap();
    // Today's and tomorrow's file, on a disk that is full.
    let today = chrono::Utc::now().date_naive();
    for day in [today, today.succ_opt().unwrap()] {
        std::os::unix::fs::symlink("/dev/full", logs.join(format!("neo test é.{day}.jsonl"))).unwrap();
    }
    let set = format!("log.dir={}", logs.display());
    let run = engine.neo("run", &["--for", "30s", "--speed", "20", "--set", &set]);
    assert!(stderr(&run).contains("the log file cannot be written"), "{}", stderr(&run));
    assert_closed(&engine, run.status.code().unwrap(), EndReason::Elapsed);
    drop(File::open("/dev/full").unwrap());
}

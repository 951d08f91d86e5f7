//! A disk that takes the log file's lines and never returns: no stop is held up by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(target_os = "linux")]

mod engine;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use engine::Engine;
use neo_store::record::{EndReason, EndedAtSource};

/// A write to a full pipe that nobody reads hangs, as one to a disk that is gone does.
#[test]
fn a_log_file_that_hangs_holds_up_no_stop() {
    let engine = Engine::new();
    let logs = engine.folder().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let today = chrono::Utc::now().date_naive();
    let stem = engine.db().file_stem().unwrap().to_str().unwrap().to_string();
    let pipes = [today, today.succ_opt().unwrap()].map(|day| {
        let path = logs.join(format!("{stem}.{day}.jsonl"));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Open at both ends, so that nobody who opens it waits.
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        OpenOptions::new().read(true).write(true).custom_flags(nonblock).open(path).unwrap()
    });
    let dir = format!("log.dir={}", logs.display());
    let mut running = engine.start(&["--speed", "5", "--set", &dir]);
    running.until_it_quotes();
    for mut pipe in &pipes {
        let full = loop {
            if let Err(error) = pipe.write(&[b'\n'; 512]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    assert_eq!(session.end_reason, Some(EndReason::Signal));
    assert!(engine.is_one_file());
    drop(pipes);
}

//! Bad input of every kind gets a clear error, loses nothing, and never panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use engine::{Engine, stderr, stdout};

fn refused(output: &std::process::Output, code: i32, telling: &[&str]) {
    let text = format!("{}{}", stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in telling {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let engine = Engine::new();
    let file = engine.folder().join("bad.toml");
    std::fs::write(&file, "[quote]\nlevles = 2\nbid_offset_bps = \"-3\"\n[store]\ncheckpoint_s = 0\n").unwrap();
    let path = file.to_str().unwrap();
    let check = engine.command(&["config", "check", path]).output().unwrap();
    refused(&check, 2, &["levles", "levels", "bid_offset_bps", "checkpoint_s"]);
    let run = engine.neo("run", &["--config", path, "--for", "1s"]);
    refused(&run, 2, &["levles"]);
    assert!(!engine.db().exists(), "nothing was begun");
    let missing = engine.neo("run", &["--config", "nowhere.toml"]);
    refused(&missing, 2, &["nowhere.toml"]);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let engine = Engine::new();
    let text = "this is no database, it is somebody's letter, and it is long enough to have a header of sixteen bytes";
    std::fs::write(engine.db(), text).unwrap();
    refused(&engine.neo("run", &["--for", "1s"]), 3, &["neo test"]);
    assert_eq!(std::fs::read_to_string(engine.db()).unwrap(), text);
    refused(&engine.neo("sessions", &[]), 3, &["neo test"]);
    refused(&engine.neo("verify", &[]), 3, &["neo test"]);
    assert_eq!(std::fs::read_to_string(engine.db()).unwrap(), text);
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let engine = Engine::new();
    let made = std::process::Command::new("sqlite3")
        .arg(engine.db())
        .arg("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
        .status();
    if made.is_err() {
        println!("sqlite3 is not installed: not tried");
        return;
    }
    let before = std::fs::read(engine.db()).unwrap();
    refused(&engine.neo("run", &["--for", "1s"]), 3, &["neo test"]);
    assert_eq!(std::fs::read(engine.db()).unwrap(), before);
}

#[test]
fn a_record_that_is_not_there_is_said_to_be_not_there() {
    let engine = Engine::new();
    refused(&engine.neo("sessions", &[]), 3, &["neo test"]);
    refused(&engine.neo("report", &[]), 3, &["neo test"]);
    refused(&engine.neo("status", &[]), 1, &["no engine is running"]);
}

#[test]
fn a_second_engine_on_the_same_record_is_refused_with_the_first_ones_process_id() {
    let engine = Engine::new();
    let mut first = engine.start(&["--speed", "20"]);
    first.until_it_quotes();
    let pid = first.pid().to_string();
    refused(&engine.neo("run", &["--for", "1s"]), 3, &[&pid, "neo stop"]);
    assert_eq!(engine.neo("stop", &[]).status.code(), Some(0));
    assert_eq!(first.wait(), 0);
}

#[test]
fn a_tape_with_a_mistake_names_line_and_field() {
    let engine = Engine::new();
    let tape = engine.folder().join("tape.csv");
    std::fs::write(&tape, "t_ms,price,qty_xrp,notional_usd,taker_side\n0,2.5,10,25,buy\n100,abc,10,25,sell\n").unwrap();
    refused(&engine.neo("run", &["--tape", tape.to_str().unwrap()]), 1, &["line 3", "price"]);
    assert!(!engine.db().exists());
}

#[test]
fn a_mode_that_run_does_not_have_says_what_does() {
    let engine = Engine::new();
    let settings = [
        "network.kind=testnet",
        "network.url=ws://127.0.0.1:1",
        "account.issuer=rQhWct2fv4Vc4KRjRgMrxa8xPN9Zx9iLKV",
        "account.address=rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De",
    ];
    let mut arguments = vec!["--mode", "replay", "--for", "1s"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    refused(&engine.neo("run", &arguments), 2, &["replay", "neo replay FILE"]);
    assert!(!engine.db().exists());
}

/// An engine that was killed while it started its ledger must not make the next one start a second.
#[test]
fn a_world_has_one_ledger_and_a_second_one_is_refused() {
    let engine = Engine::new();
    let endpoint = engine.folder().join("endpoint.json");
    let start = |linger: &str| {
        let arguments = ["sim-ledger", "--listen", "127.0.0.1:0", "--linger", linger, "--endpoint"];
        let mut command = engine.command(&arguments);
        command.arg(&endpoint).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = start("60s");
    while !endpoint.exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first ledger ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let before = std::fs::read(&endpoint).unwrap();
    let second = start("1s").wait_with_output().unwrap();
    refused(&second, 3, &["a simulated ledger", &first.id().to_string()]);
    assert_eq!(std::fs::read(&endpoint).unwrap(), before);
    first.kill().unwrap();
    first.wait().unwrap();
}

//! For weeks unattended: metrics are scraped, alerts reach a program, and a disk that fills ends the session in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stderr, reason = "says what is skipped")]
#![cfg(unix)]

mod engine;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use engine::{Engine, Running, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource};
use rusqlite::Connection;
use serde_json::Value;

/// Waits until something is there.
fn until<T>(engine: &Engine, what: &str, look: impl Fn() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} was not seen within a minute:\n{}", engine.stderr());
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// The port that the system chose, from the log.
fn address_of_metrics(engine: &Engine) -> SocketAddr {
    until(engine, "the address of the metrics", || {
        let log = engine.stderr();
        let line = log.lines().find(|line| line.contains("metrics are served"))?;
        let start = line.find("127.0.0.1:")?;
        let address: String = line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
        Some(address.parse().unwrap())
    })
}

fn value(page: &str, sample: &str) -> Option<String> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ').map(str::to_string))
}

#[test]
fn the_metrics_of_a_session_are_served_while_it_runs_and_agree_with_its_status() {
    let engine = Engine::new();
    let mut running =
        engine.start(&["--speed", "20", "--set", "metrics.listen=127.0.0.1:0", "--set", "store.min_free_mb=1"]);
    running.until_it_quotes();
    let address = address_of_metrics(&engine);
    // The look-out asks the disk on a thread of its own, which may be later than the first quote.
    let page = || ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
    until(&engine, "the disk's free space", || page().contains("\nneo_disk_free_bytes ").then_some(()));
    // A client that says nothing and stays.
    let stalled = TcpStream::connect(address).unwrap();
    let reply = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, page) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    let status: Value = serde_json::from_slice(&engine.neo("status", &["--json"]).stdout).unwrap();
    assert_eq!(value(page, "neo_session_number").unwrap(), status["session"].to_string());
    assert_eq!(value(page, "neo_phase{phase=\"quoting\"}").unwrap(), "1");
    assert_eq!(value(page, "neo_node_connected").unwrap(), "1");
    assert!(value(page, "neo_value_rlusd").unwrap().starts_with(|digit: char| digit.is_ascii_digit()));
    for sample in ["neo_durable_seq", "neo_disk_free_bytes", "neo_ledger_index", "neo_open_offers{side=\"bid\"}"] {
        assert!(value(page, sample).unwrap().parse::<u64>().unwrap() > 0, "{sample}: {page}");
    }
    assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "PUT /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    drop(stalled);
    assert!(TcpStream::connect(address).is_err(), "nothing is served after the session");
}

#[test]
fn an_address_that_is_taken_or_open_to_others_is_refused_before_a_session_begins() {
    let engine = Engine::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("metrics.listen={}", taken.local_addr().unwrap());
    let refused = engine.neo("run", &["--for", "20s", "--speed", "max", "--set", &listen]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("name another port, or leave it out"), "{}", stderr(&refused));
    let refused = engine.neo("run", &["--for", "20s", "--set", "metrics.listen=0.0.0.0:9464"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("loopback only"), "{}", stderr(&refused));
    assert_eq!(engine.record().sessions().unwrap().len(), 0);
}

/// Settings that append each alert to a file, and the file.
fn alerts_file(engine: &Engine) -> (PathBuf, String) {
    let file = engine.folder().join("alerts é.jsonl");
    (file.clone(), format!("alerts.command=[\"tee\", \"-a\", {:?}]", file.to_str().unwrap()))
}

fn alerts(file: &PathBuf) -> Vec<Value> {
    // Nothing has been told yet.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter(|line| line.ends_with('}')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind(file: &PathBuf, kind: &str) -> Option<Value> {
    alerts(file).into_iter().find(|alert| alert["kind"] == kind)
}

#[test]
fn a_reader_that_blocks_checkpoints_is_told_to_the_program_once() {
    let engine = Engine::new();
    let (file, command) = alerts_file(&engine);
    let more = ["--speed", "20", "--set", "store.checkpoint_s=1", "--set", &command];
    let mut running = engine.start(&more);
    running.until_it_quotes();
    let reader = Connection::open(engine.db()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM fills", [], |row| row.get(0)).unwrap();
    let alert = until(&engine, "the alert", || of_kind(&file, "checkpoint_blocked"));
    assert!(alert["text"].as_str().unwrap().contains("end the program that reads the record"), "{alert}");
    assert_eq!((&alert["session"], &alert["pid"]), (&1.into(), &running.pid().into()));
    assert_eq!(alert["db"], engine.db().to_str().unwrap());
    drop(reader);
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    assert_eq!(alerts(&file).len(), 1, "{:?}", alerts(&file));
}

// Faults are injected into debug builds only.
#[cfg(debug_assertions)]
#[test]
fn a_fault_that_ends_the_session_is_told_before_the_process_ends() {
    let engine = Engine::new();
    let (file, command) = alerts_file(&engine);
    let mut run = engine.with_db("run", &["--speed", "20", "--set", &command]);
    run.env("NEO_FAIL", "orders:error:quoting");
    assert_eq!(engine.spawn(run).wait(), 70, "{}", engine.stderr());
    let alert = of_kind(&file, "fault").unwrap();
    assert!(alert["text"].as_str().unwrap().starts_with("orders: "), "{alert}");
}

#[cfg(debug_assertions)]
#[test]
fn a_program_that_fails_is_logged_and_counted_and_is_no_fault() {
    let engine = Engine::new();
    let more = ["--speed", "20", "--set", "metrics.listen=127.0.0.1:0", "--set", "alerts.command=[\"false\"]"];
    let mut run = engine.with_db("run", &more);
    run.env("NEO_FAIL", "feed:panic:quoting");
    let running = engine.spawn(run);
    let address = address_of_metrics(&engine);
    let sample = "neo_alerts_total{kind=\"fault\",outcome=\"failed\"}";
    let page = until(&engine, sample, || {
        let reply = ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
        value(&reply, sample).is_some().then_some(reply)
    });
    assert_eq!(value(&page, sample).unwrap(), "1");
    assert_eq!(value(&page, "neo_faults_total{part=\"feed\"}").unwrap(), "1");
    until(&engine, "the restart", || {
        let reply = ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
        value(&reply, "neo_actor_restarts_total{actor=\"feed\"}").filter(|count| count == "1")
    });
    stop_in_order(&engine, running);
    assert!(engine.stderr().contains("an alert was not delivered"), "{}", engine.stderr());
}

fn stop_in_order(engine: &Engine, running: Running<'_>) {
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_is_told_and_ends_the_session_in_order_and_the_next_start_is_refused() {
    let engine = Engine::with_record("disk/neo test é.db");
    let Some(disk) = engine::mounted::Mounted::tmpfs(&engine.folder().join("disk"), 48) else { return };
    // The world is on another disk, as the real one is.
    let world = engine.folder().join("world");
    std::fs::create_dir(&world).unwrap();
    std::os::unix::fs::symlink(&world, engine.db().with_extension("ledger")).unwrap();
    let (file, command) = alerts_file(&engine);
    let limit = ["--set", "store.min_free_mb=16"];
    let more = [&["--speed", "20", "--set", &command], &limit[..]].concat();
    let mut running = engine.start(&more);
    running.until_it_quotes();
    let filler = engine.db().with_file_name("filler");
    std::fs::write(&filler, vec![0; 22 << 20]).unwrap();
    let alert = until(&engine, "the alert", || of_kind(&file, "disk_low"));
    assert!(alert["text"].as_str().unwrap().contains("store.min_free_mb = 16"), "{alert}");
    std::fs::write(&filler, vec![0; 34 << 20]).unwrap();
    assert_eq!(running.wait(), 3, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean), "{}", engine.stderr());
    assert_eq!(session.end_reason, Some(EndReason::Disk));
    assert!(session.end_detail.unwrap().contains("store.min_free_mb"), "the cause is in the record");
    assert!(session.ending_value_rlusd.is_some() && engine.is_one_file());
    let short = [&["--for", "20s", "--speed", "max"], &limit[..]].concat();
    let refused = engine.neo("run", &short);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("MB free, less than store.min_free_mb = 16"), "{}", stderr(&refused));
    assert_eq!(engine.record().sessions().unwrap().len(), 1, "no session began");
    std::fs::remove_file(filler).unwrap();
    let again = engine.neo("run", &short);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let verified = engine.neo("verify", &[]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    engine.kill_world();
    drop(disk);
}

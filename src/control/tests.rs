//! Both ends over a real loopback connection.

use std::io::BufRead;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use neo_actors::SharedStatus;
use parking_lot::Mutex;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn outcome() -> Outcome {
    Outcome {
        exit_code: 4,
        session: 39,
        end_reason: Some("stop_command".to_string()),
        ended_at: Some("2026-04-18T19:21:19.123Z".parse().unwrap()),
        ended_at_source: Some("clean".to_string()),
        failed_stages: vec!["cancel".to_string()],
    }
}

struct Engine {
    dir: tempfile::TempDir,
    stops: crossbeam_channel::Receiver<bool>,
    status: SharedStatus,
    server: Option<ControlServer>,
}

impl Engine {
    fn start() -> Engine {
        let dir = tempfile::tempdir().unwrap();
        let status: SharedStatus = Arc::new(Mutex::new(Status { session: 39, ..Status::default() }));
        let (told, stops) = crossbeam_channel::unbounded();
        let on_stop = Arc::new(move |urgent| told.send(urgent).unwrap());
        let server = ControlServer::start(&dir.path().join("neo.db"), 39, Arc::clone(&status), on_stop).unwrap();
        Engine { dir, stops, status, server: Some(server) }
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("neo.db")
    }

    fn file(&self) -> ControlFile {
        ControlFile::read(&self.db()).unwrap()
    }

    /// What the server answers to these bytes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.file().port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut line = String::new();
        io::BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn status_is_what_the_engine_shows() {
    let engine = Engine::start();
    engine.status.lock().ledger_index = 1234;
    let status = request_status(&engine.db()).unwrap();
    assert_eq!(status, *engine.status.lock());
    assert_eq!(status.ledger_index, 1234);
}

#[test]
fn stop_waits_for_the_outcome_and_every_waiter_gets_it() {
    let mut engine = Engine::start();
    let db = engine.db();
    let (progressed, progress) = crossbeam_channel::unbounded();
    let waiters: Vec<_> = [false, true]
        .into_iter()
        .map(|urgent| {
            let (db, progressed) = (db.clone(), progressed.clone());
            std::thread::spawn(move || {
                request_stop(&db, urgent, PATIENCE, &mut |p| progressed.send(p.clone()).unwrap())
            })
        })
        .collect();
    let mut asked: Vec<_> = (0..2).map(|_| engine.stops.recv_timeout(PATIENCE).unwrap()).collect();
    asked.sort_unstable();
    assert_eq!(asked, [false, true]);
    assert_eq!(progress.recv_timeout(PATIENCE).unwrap().open_offers, 0);
    engine.server.take().unwrap().finish(outcome());
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap().unwrap(), outcome());
    }
    assert!(!control_path(&db).exists());
    assert!(matches!(request_status(&db), Err(ControlError::NotRunning { .. })));
}

#[test]
fn an_engine_that_goes_without_an_outcome_is_lost_not_clean() {
    let mut engine = Engine::start();
    let db = engine.db();
    let waiter = std::thread::spawn(move || request_stop(&db, false, PATIENCE, &mut |_| {}));
    engine.stops.recv_timeout(PATIENCE).unwrap();
    drop(engine.server.take());
    assert!(matches!(waiter.join().unwrap(), Err(ControlError::Lost { .. })));
    assert!(!control_path(&engine.db()).exists());
}

#[test]
fn a_wrong_token_commands_nothing() {
    let engine = Engine::start();
    let file = engine.file();
    for token in ["", "x", &file.token[1..], &file.token.replace(|_: char| true, "0")] {
        let line = serde_json::json!({ "token": token, "command": "stop" }).to_string() + "\n";
        assert_eq!(engine.say(line.as_bytes()), "{\"error\":\"bad_token\"}\n");
    }
    ControlFile { token: "0".repeat(64), ..file }.write(&control_path(&engine.db())).unwrap();
    let refused = request_stop(&engine.db(), false, PATIENCE, &mut |_| {});
    assert!(matches!(refused, Err(ControlError::WrongToken { .. })));
    assert!(engine.stops.is_empty());
    // The file is another's now: the server leaves it.
    let db = engine.db();
    drop(engine.server);
    assert!(control_path(&db).exists());
}

#[test]
fn garbage_is_refused_and_the_server_lives_on() {
    let engine = Engine::start();
    let deep = "[".repeat(60_000) + "\n";
    for garbage in [&b"GET / HTTP/1.1\n"[..], b"\n", b"\xff\xfe\n", b"{\"command\":\"stop\"}\n", deep.as_bytes()] {
        assert_eq!(engine.say(garbage), "{\"error\":\"bad_request\"}\n");
    }
    // Longer than a line may be, without an end. A reset instead of the refusal is as good.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, engine.file().port)).unwrap();
    let too_long = vec![b'x'; 2 * LINE_BYTES_MAX as usize];
    if stream.write_all(&too_long).is_ok() {
        let mut line = String::new();
        if io::BufReader::new(stream).read_line(&mut line).is_ok() {
            assert!(line.is_empty() || line.contains("bad_request"), "{line}");
        }
    }
    assert_eq!(request_status(&engine.db()).unwrap().session, 39);
    assert!(engine.stops.is_empty());
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let mut engine = Engine::start();
    let silent = TcpStream::connect((Ipv4Addr::LOCALHOST, engine.file().port)).unwrap();
    assert_eq!(request_status(&engine.db()).unwrap().session, 39);
    engine.server.take().unwrap().finish(outcome());
    assert!(!control_path(&engine.db()).exists());
    drop(silent);
}

#[test]
fn a_file_left_by_a_killed_engine_is_told_from_a_running_one() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("neo.db");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    ControlFile { pid: 7, port, token: new_token(), session: 12 }.write(&control_path(&db)).unwrap();
    let text = request_status(&db).unwrap_err().to_string();
    for part in ["S12", "process 7", "neo sessions"] {
        assert!(text.contains(part), "{text}");
    }
    fs::write(control_path(&db), "{").unwrap();
    assert!(matches!(request_status(&db), Err(ControlError::BadFile { .. })));
    fs::write(control_path(&db), b"\xff").unwrap();
    assert!(matches!(request_status(&db), Err(ControlError::BadFile { .. })));
}

#[test]
fn an_engine_that_does_not_answer_is_a_time_out_and_a_stranger_is_named_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("neo.db");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    ControlFile { pid: 7, port, token: new_token(), session: 12 }.write(&control_path(&db)).unwrap();
    let timed_out = request_stop(&db, false, Duration::from_millis(20), &mut |_| {});
    assert!(matches!(timed_out, Err(ControlError::TimedOut { pid: 7, .. })), "{timed_out:?}");
    let stranger = std::thread::spawn(move || {
        // The first connection is the one that timed out.
        let connections: Vec<_> = listener.incoming().take(2).map(Result::unwrap).collect();
        (&connections[1]).write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
        connections
    });
    let answer = request_stop(&db, false, PATIENCE, &mut |_| {});
    assert!(matches!(answer, Err(ControlError::Protocol { .. })), "{answer:?}");
    stranger.join().unwrap();
}

#[test]
fn tokens_are_long_and_never_the_same() {
    let tokens: std::collections::BTreeSet<_> = (0..50).map(|_| new_token()).collect();
    assert_eq!(tokens.len(), 50);
    assert!(tokens.iter().all(|token| token.len() == 64));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let engine = Engine::start();
    let mode = fs::metadata(control_path(&engine.db())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

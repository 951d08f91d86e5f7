//! What systemd hears from the real binary, over a socket of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(target_os = "linux")]

mod engine;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::Engine;
use serde_json::Value;

/// The service manager's end.
struct Systemd {
    socket: UnixDatagram,
    name: String,
}

impl Systemd {
    fn by_path(engine: &Engine) -> Systemd {
        let path = engine.folder().join("notify.sock");
        Systemd::of(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_string())
    }

    fn abstract_name() -> Systemd {
        let name = format!("neo-test-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Systemd::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    }

    fn of(socket: UnixDatagram, name: String) -> Systemd {
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Systemd { socket, name }
    }

    /// The next message; `None` when none comes within the socket's patience.
    fn hear(&self) -> Option<String> {
        let mut bytes = [0_u8; 4_096];
        self.socket.recv(&mut bytes).ok().map(|length| String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Everything up to the first message that has this text in it.
    fn until(&self, text: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(message) = self.hear() {
            heard.push(message);
            if heard.last().is_some_and(|message| message.contains(text)) {
                return heard;
            }
        }
        panic!("{text} never came: {heard:#?}");
    }

    fn drain(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.hear().is_some() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn started(engine: &Engine, mut command: Command) -> Child {
    let log = std::fs::File::create(engine.folder().join("stderr.txt")).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

fn status(engine: &Engine) -> Value {
    let output = engine.neo("status", &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

#[test]
fn ready_when_it_quotes_pings_while_it_lives_and_the_stop_with_its_time() {
    let engine = Engine::new();
    let systemd = Systemd::by_path(&engine);
    let mut command = engine.with_db("run", &["--speed", "20"]);
    command.env("NOTIFY_SOCKET", &systemd.name).env("WATCHDOG_USEC", "1000000");
    let mut child = started(&engine, command);
    let before = systemd.until("READY=1");
    let quotes = status(&engine);
    assert!(quotes["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty()), "ready without a quote: {quotes}");
    assert!(before[..before.len() - 1].iter().all(|message| message.contains("EXTEND_TIMEOUT_USEC")), "{before:?}");
    for _ in 0..3 {
        let message = systemd.hear().unwrap();
        assert!(message.contains("WATCHDOG=1") && message.contains("STATUS=S1 at ledger"), "{message}");
    }

    // Frozen, whatever the reason: nothing is heard. Thawed, it goes on.
    signal("STOP", child.id());
    systemd.drain();
    systemd.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(systemd.hear(), None, "a frozen engine pings");
    systemd.socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    signal("CONT", child.id());
    systemd.until("WATCHDOG=1");

    signal("TERM", child.id());
    let stop = systemd.until("STATUS=stopping: seal done");
    let first = stop.iter().find(|message| message.contains("STOPPING=1")).unwrap();
    assert!(first.contains("EXTEND_TIMEOUT_USEC=70000000") && first.contains("stopping: signal"), "{first}");
    for stage in ["quiesce", "settle", "cancel", "value", "flush", "checkpoint", "close"] {
        assert!(stop.iter().any(|message| message.contains(&format!("stopping: {stage} done"))), "{stage}: {stop:?}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", engine.stderr());
}

#[test]
fn under_neo_supervise_the_engine_speaks_and_the_supervisor_bridges_a_restart() {
    let engine = Engine::new();
    let systemd = Systemd::abstract_name();
    let db = engine.db();
    let neo = env!("CARGO_BIN_EXE_neo");
    let line = "export WATCHDOG_PID=$$; exec \"$0\" supervise --wait 3s -- run --db \"$1\" --speed 20";
    let mut command = Command::new("sh");
    command.args(["-c", line, neo, db.to_str().unwrap()]).current_dir(engine.folder()).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", &systemd.name).env("WATCHDOG_USEC", "1000000");
    let mut child = started(&engine, command);
    systemd.until("READY=1");
    systemd.until("STATUS=S1 at ledger");
    let pid = u32::try_from(status(&engine)["pid"].as_u64().unwrap()).unwrap();
    assert_ne!(pid, child.id(), "the engine is the child");
    signal("KILL", pid);
    let heard = systemd.until("STATUS=the engine has crashed");
    assert!(heard.last().unwrap().contains("WATCHDOG=1"), "{heard:?}");
    systemd.until("STATUS=S2 at ledger");
    signal("TERM", child.id());
    systemd.until("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", engine.stderr());
}

#[test]
fn a_manager_that_does_not_listen_costs_nothing_but_a_warning() {
    let engine = Engine::new();
    let mut command = engine.with_db("run", &["--for", "1m", "--speed", "max"]);
    command.env("NOTIFY_SOCKET", engine.folder().join("nobody.sock")).env("WATCHDOG_USEC", "200000");
    let mut child = started(&engine, command);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", engine.stderr());
    assert_eq!(engine.stderr().matches("systemd does not listen").count(), 1, "{}", engine.stderr());
}

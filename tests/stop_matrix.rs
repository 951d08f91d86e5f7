//! Every way to ask for a stop, at every moment: the session is closed, the record is whole, and where the ledger could be
//! reached nothing of ours is left on it.
//!
//! Some cells of the matrix by default, each row and column at least once; `MATRIX=all` for all of them, `MATRIX=SEED` for
//! another sample. `scripts/stop-matrix` runs all and writes the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stderr, reason = "progress of a long run")]
#![cfg(unix)]

mod engine;

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use engine::pty::{self, Window};
use engine::{Engine, stdout, world};
use neo_store::record::{EndReason, EndedAtSource};
use rusqlite::Connection;
use serde_json::Value;

/// How a stop is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Int,
    Term,
    Hup,
    StopCommand,
    Elapsed,
    /// The window of a real terminal is closed.
    TerminalClosed,
    /// SIGTERM to an engine that was started without standard output and error.
    OutputClosed,
    /// SIGTERM to an engine whose output nobody reads any more.
    ReaderGone,
    /// SIGINT, and another at once.
    Twice,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A session exists; nothing is quoted yet.
    Starting,
    /// Quotes rest, nothing is on its way.
    Idle,
    /// Quotes are renewed at twenty times real speed.
    Quoting,
    /// A transaction is submitted and not validated.
    InFlight,
    /// The node was killed a moment ago.
    NodeGone,
    /// A checkpoint is being tried while a reader blocks it; the reader goes when the stop is asked for.
    Checkpoint,
    /// `neo backup` runs.
    Backup,
}

const WAYS: [Way; 9] = [
    Way::Int,
    Way::Term,
    Way::Hup,
    Way::StopCommand,
    Way::Elapsed,
    Way::TerminalClosed,
    Way::OutputClosed,
    Way::ReaderGone,
    Way::Twice,
];
const MOMENTS: [Moment; 7] = [
    Moment::Starting,
    Moment::Idle,
    Moment::Quoting,
    Moment::InFlight,
    Moment::NodeGone,
    Moment::Checkpoint,
    Moment::Backup,
];
/// Longer than the longest stop that is allowed: an engine that still runs then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The engine of one cell.
struct Cell {
    engine: Engine,
    child: Child,
    window: Option<Window>,
    /// `neo stop`, which waits for the outcome.
    asking: Option<Child>,
    way: Way,
    moment: Moment,
}

impl Cell {
    fn start(way: Way, moment: Moment) -> Cell {
        let engine = Engine::new();
        let speed = if matches!(moment, Moment::Idle | Moment::InFlight) { "1" } else { "20" };
        let mut more = vec!["--speed", speed, "--set", "store.checkpoint_s=1", "--set", "feed.outage_ms=3000"];
        if way == Way::Elapsed {
            more.extend(["--for", if speed == "1" || moment == Moment::Starting { "8s" } else { "2m" }]);
        }
        let mut command = engine.with_db("run", &more);
        let mut window = None;
        match way {
            Way::TerminalClosed => {
                let (shown, terminal) = pty::open();
                // A session leader whose controlling terminal is that one.
                command = within("setsid", &["--ctty"], command);
                let copy = || terminal.try_clone().unwrap();
                command.stdin(copy()).stdout(copy()).stderr(copy());
                window = Some(shown);
            }
            Way::OutputClosed => command = within("sh", &["-c", "exec \"$0\" \"$@\" >&- 2>&-"], command),
            Way::ReaderGone => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
            _ => {
                let file = |name: &str| std::fs::File::create(engine.folder().join(name)).unwrap();
                command.stdout(file("stdout.txt")).stderr(file("stderr.txt"));
            }
        }
        let mut child = command.spawn().unwrap();
        // From here on whoever read is gone.
        drop((child.stdout.take(), child.stderr.take()));
        Cell { engine, child, window, asking: None, way, moment }
    }

    /// Waits until the engine says of itself what is looked for. False when it has ended before.
    fn until(&mut self, looked_for: impl Fn(&Value) -> bool) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let output = self.engine.neo("status", &["--json"]);
            if output.status.success() && looked_for(&serde_json::from_slice(&output.stdout).unwrap()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        panic!("{:?} {:?}: not seen within a minute\n{}", self.way, self.moment, self.engine.stderr());
    }

    /// Brings the engine to the moment; what is given back must live until the stop was asked for.
    fn come_to_the_moment(&mut self) -> Hold {
        let quotes = |status: &Value| status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty());
        let mut hold = Hold::default();
        match self.moment {
            Moment::Starting => {
                self.until(|status| status["session"] == 1);
            }
            Moment::Quoting => {
                self.until(quotes);
            }
            Moment::Idle => {
                self.until(|status| quotes(status) && status["in_flight"] == 0);
            }
            Moment::InFlight => {
                self.until(|status| status["in_flight"].as_u64().is_some_and(|transactions| transactions > 0));
            }
            Moment::NodeGone => {
                self.until(quotes);
                self.engine.kill_world();
            }
            Moment::Checkpoint => {
                self.until(quotes);
                let reader = Connection::open(self.engine.db()).unwrap();
                reader.execute_batch("BEGIN; SELECT count(*) FROM sessions;").unwrap();
                hold.reader = Some(reader);
                self.until(|status| status["checkpoint_busy"] == true);
            }
            Moment::Backup => {
                self.until(quotes);
                hold.backup = Some(self.engine.with_db("backup", &[]).stdout(Stdio::null()).spawn().unwrap());
            }
        }
        hold
    }

    fn ask(&mut self) {
        let pid = self.child.id();
        match self.way {
            Way::Int => signal(pid, "INT"),
            Way::Term | Way::OutputClosed | Way::ReaderGone => signal(pid, "TERM"),
            Way::Hup => signal(pid, "HUP"),
            Way::Elapsed => {}
            Way::TerminalClosed => drop(self.window.take()),
            Way::StopCommand => {
                let mut stop = self.engine.with_db("stop", &[]);
                self.asking = Some(stop.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            }
            Way::Twice => {
                signal(pid, "INT");
                std::thread::sleep(Duration::from_millis(20));
                // By then it may be done already.
                Command::new("kill").args(["-s", "INT", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
            }
        }
    }

    fn wait(&mut self) -> i32 {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(mut asking) = self.asking.take() {
                    let told = asking.wait().unwrap();
                    assert_eq!(told.code(), status.code(), "neo stop ends with the engine's outcome");
                }
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().unwrap();
        panic!("{:?} {:?}: it hangs\n{}", self.way, self.moment, self.engine.stderr());
    }

    /// What is wrong after the end.
    fn examine(&self, code: i32) -> Vec<String> {
        let mut wrong = Vec::new();
        let session = self.engine.record().session(Some(1)).unwrap();
        if session.ended_at.is_none() || session.ended_at_source != Some(EndedAtSource::Clean) {
            wrong.push(format!("ended_at {:?} by {:?}", session.ended_at, session.ended_at_source));
        }
        let reason = session.end_reason;
        if reason != Some(self.reason()) {
            wrong.push(format!("end_reason {reason:?}, expected {:?}", self.reason()));
        }
        if !self.codes().contains(&code) {
            wrong.push(format!("exit code {code}, expected one of {:?}", self.codes()));
        }
        let verified = self.engine.neo("verify", &[]);
        if verified.status.code() != Some(0) {
            wrong.push(format!("neo verify: {}", stdout(&verified)));
        }
        if !self.engine.is_one_file() {
            wrong.push("a -wal or -shm is left".to_string());
        }
        let left = world::offers_left(&self.engine);
        if code == 0 && left != Some(0) {
            wrong.push(format!("offers left on the ledger: {left:?}"));
        }
        if !wrong.is_empty() {
            wrong.push(format!("end_detail {:?}\n{}", session.end_detail, self.engine.stderr()));
        }
        wrong
    }

    fn reason(&self) -> EndReason {
        match (self.way, self.moment) {
            // Without a node no ledger closes and no trading time passes.
            (Way::Elapsed, Moment::NodeGone) => EndReason::Fault,
            (Way::Elapsed, _) => EndReason::Elapsed,
            (Way::StopCommand, _) => EndReason::StopCommand,
            (Way::Hup | Way::TerminalClosed, _) => EndReason::TerminalClosed,
            (Way::Int | Way::Term | Way::OutputClosed | Way::ReaderGone | Way::Twice, _) => EndReason::Signal,
        }
    }

    fn codes(&self) -> &'static [i32] {
        match (self.way, self.moment) {
            (Way::Elapsed, Moment::NodeGone) => &[70],
            // What rested on the ledger cannot be proven gone.
            (_, Moment::NodeGone) => &[1, 4],
            // Before the first ledger there is nothing to prove it by; in a hurry nothing is waited for.
            (Way::Elapsed, _) => &[0],
            (_, Moment::Starting) | (Way::Twice, _) => &[0, 1],
            _ => &[0],
        }
    }
}

/// What must last until the stop was asked for.
#[derive(Default)]
struct Hold {
    reader: Option<Connection>,
    backup: Option<Child>,
}

impl Hold {
    fn let_go(self) {
        drop(self.reader);
        if let Some(mut backup) = self.backup {
            assert!(backup.wait().unwrap().success(), "the backup beside the stop");
        }
    }
}

/// The same command inside another program that becomes it.
fn within(program: &str, arguments: &[&str], command: Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "SIG{name}");
}

/// Runs one cell; gives the exit code, the time from the request to the end, and what was wrong.
fn run(way: Way, moment: Moment) -> (i32, Duration, Vec<String>) {
    let mut cell = Cell::start(way, moment);
    let hold = cell.come_to_the_moment();
    let asked = Instant::now();
    cell.ask();
    if way == Way::Elapsed && moment == Moment::Checkpoint {
        cell.until(|status| status["phase"] == "stopping");
    }
    hold.let_go();
    let code = cell.wait();
    let spent = asked.elapsed();
    (code, spent, cell.examine(code))
}

/// The cells to run: all, or each row and column once and a sample.
fn cells() -> Vec<(Way, Moment)> {
    let all: Vec<(Way, Moment)> = WAYS.iter().flat_map(|way| MOMENTS.map(|moment| (*way, moment))).collect();
    let seed = match std::env::var("MATRIX") {
        Ok(word) if word == "all" => return all,
        Ok(word) => word.parse().expect("MATRIX is `all` or a number"),
        Err(_) => 1_usize,
    };
    let mut chosen: Vec<_> =
        WAYS.iter().enumerate().map(|(n, way)| (*way, MOMENTS[(n + seed) % MOMENTS.len()])).collect();
    // Steps of a prime that divides neither 9 nor 7 nor 63.
    let sample = (1..=4).map(|n| all[(seed * 31 + n * 23) % all.len()]);
    chosen.extend(sample.filter(|cell| !chosen.contains(cell)).collect::<Vec<_>>());
    chosen
}

#[test]
fn every_way_to_stop_at_every_moment_closes_the_session() {
    let cells = Mutex::new(cells().into_iter());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((way, moment)) = cells.lock().unwrap().next() else { return };
                    let (code, spent, wrong) = run(way, moment);
                    eprintln!("| {way:?} | {moment:?} | {code} | {} ms | {} |", spent.as_millis(), verdict(&wrong));
                    results.lock().unwrap().push((way, moment, wrong));
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let wrong: Vec<_> = results.iter().filter(|(_, _, wrong)| !wrong.is_empty()).collect();
    eprintln!("{} cells, {} wrong", results.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn verdict(wrong: &[String]) -> &'static str {
    if wrong.is_empty() { "closed" } else { "WRONG" }
}

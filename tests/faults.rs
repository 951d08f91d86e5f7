//! Whatever panics, fails or freezes, and whenever: the session is closed, the record is whole, and no offer is left.
//!
//! `cargo test` runs each place, each moment and each kind at least once and a seeded sample of the rest; with
//! `FAULTS=all` (`scripts/fault-matrix`) it runs them all. Debug builds only: release builds have no failpoints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail loudly"
)]
#![cfg(all(unix, debug_assertions))]

mod engine;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Child, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::{Engine, stderr, stdout};
use neo_store::SessionRow;
use neo_store::record::{EndReason, EndedAtSource};

const PLACES: [&str; 10] = [
    "feed",
    "websocket",
    "orders",
    "orders-state",
    "valuer",
    "writer-watch",
    "checkpoint",
    "writer",
    "supervisor",
    "stage",
];
const KINDS: [&str; 3] = ["panic", "error", "freeze"];
const MOMENTS: [&str; 10] =
    ["start", "quoting", "quiesce", "settle", "cancel", "value", "flush", "checkpoint", "close", "seal"];
/// No cell may take longer: the engine's own limits are far below it, other work on the machine may not be.
const DEADLINE: Duration = Duration::from_secs(90);
/// Cells that run side by side.
const AT_ONCE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    place: usize,
    kind: usize,
    moment: usize,
}

impl Cell {
    fn place(self) -> &'static str {
        PLACES[self.place]
    }

    fn kind(self) -> &'static str {
        KINDS[self.kind]
    }

    fn moment(self) -> &'static str {
        MOMENTS[self.moment]
    }

    fn request(self) -> String {
        format!("{}:{}:{}", self.place(), self.kind(), self.moment())
    }

    /// Cells whose place is not passed at that moment, so that nothing can happen.
    fn is_possible(self) -> bool {
        // A stage has no moment before the stop.
        self.place() != "stage" || self.moment >= 2
    }

    /// The actors' threads end with the stage `value`: what strikes later finds nobody. In `value` it may or may not.
    fn is_sure(self) -> bool {
        match self.place() {
            "writer" | "supervisor" | "stage" => true,
            // A stop stage may be over before the actor does something again.
            _ => self.moment < 2,
        }
    }

    /// Exit codes, reasons and sources that are right.
    fn wanted(self) -> (Vec<i32>, Vec<EndReason>, Vec<EndedAtSource>) {
        use EndReason::{Deadline, Disk, Elapsed, Fault};
        use EndedAtSource::{Clean, StopNote, Watchdog};
        let (trading, frozen) = (self.moment < 2, self.kind() == "freeze");
        let closed = self.moment() == "seal";
        match self.place() {
            "feed" | "websocket" | "valuer" | "checkpoint" if trading => (vec![0], vec![Elapsed], vec![Clean]),
            "orders" | "orders-state" | "writer-watch" if trading => (vec![70], vec![Fault], vec![Clean]),
            // Nothing happened, it was put right, or a thread did not end in order.
            "feed" | "websocket" | "valuer" | "checkpoint" => (vec![0, 1], vec![Elapsed], vec![Clean]),
            "orders" | "orders-state" | "writer-watch" => (vec![0, 1, 70], vec![Elapsed, Fault], vec![Clean]),
            // What cannot be recorded is not traded: one refused commit ends the session.
            "writer" if self.kind() == "error" && trading => (vec![3], vec![Disk], vec![Clean]),
            // In the stop it is tried again.
            "writer" if self.kind() == "error" => (vec![0, 1], vec![Elapsed], vec![Clean]),
            "writer" if closed => (vec![1, 4], vec![Elapsed], vec![Clean]),
            // What a frozen writer holds is free again when the process has ended.
            "writer" if frozen => (vec![70], vec![Fault], vec![StopNote, Watchdog]),
            "writer" => (vec![70], vec![Fault], vec![Watchdog]),
            // A disk that is busy for half a second turns the watchdog's close into a stop note; `hang.rs` tells the two apart.
            "supervisor" if trading && frozen => (vec![70], vec![Fault], vec![Watchdog, StopNote]),
            "supervisor" if trading => (vec![70], vec![Fault], vec![Clean]),
            _ if frozen && closed => (vec![4], vec![Elapsed], vec![Clean]),
            _ if frozen => (vec![4], vec![Deadline], vec![Watchdog, StopNote]),
            _ if self.moment() == "close" => (vec![1], vec![Elapsed], vec![Watchdog]),
            _ => (vec![1], vec![Elapsed], vec![Clean]),
        }
    }

    /// Only a frozen actor that holds the orders' state leaves offers: nobody else can know them.
    fn may_leave_offers(self) -> bool {
        self.place() == "orders-state" && self.kind() == "freeze"
    }
}

/// What a cell came to.
struct Result {
    cell: Cell,
    seconds: f32,
    told: String,
    wrong: Vec<String>,
}

fn run(cell: Cell) -> Result {
    let begun = Instant::now();
    let engine = Engine::new();
    let length = if cell.moment < 2 { "100s" } else { "30s" };
    let mut command = engine.with_db("run", &["--for", length, "--speed", "20", "--set", "supervisor.frozen_ms=1500"]);
    command.args(["--set", "stop.deadline_ms=10000", "--set", "stop.urgent_deadline_ms=3000"]);
    command.env("NEO_FAIL", cell.request()).stdout(Stdio::null());
    let log = std::fs::File::create(engine.folder().join("stderr.txt")).unwrap();
    let child = command.stderr(log).spawn().unwrap();
    let (code, in_time) = wait(child);
    let mut wrong = Vec::new();
    if !in_time {
        wrong.push(format!("it did not end within {DEADLINE:?}"));
    }
    let next = engine.neo("run", &["--for", "12s", "--speed", "20"]);
    let told = examine(cell, &engine, code, &next, &mut wrong);
    if !wrong.is_empty() {
        wrong.push(format!("the log:\n{}", last_lines(&engine.stderr())));
        wrong.push(format!("the next start's log:\n{}", last_lines(&stderr(&next))));
    }
    Result { cell, seconds: begun.elapsed().as_secs_f32(), told, wrong }
}

fn wait(mut child: Child) -> (Option<i32>, bool) {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    (child.wait().unwrap().code(), false)
}

fn examine(cell: Cell, engine: &Engine, code: Option<i32>, next: &Output, wrong: &mut Vec<String>) -> String {
    let (codes, reasons, sources) = cell.wanted();
    if !code.is_some_and(|code| codes.contains(&code)) {
        wrong.push(format!("exit code {code:?}, not one of {codes:?}"));
    }
    if next.status.code() != Some(0) {
        wrong.push(format!("the next start ended with {:?}", next.status.code()));
    }
    let session = match engine.record().session(Some(1)) {
        Ok(session) => session,
        Err(error) => {
            wrong.push(format!("no session: {error}"));
            return String::new();
        }
    };
    if session.ended_at.is_none() {
        wrong.push("ended_at is NULL".to_string());
    }
    if !session.end_reason.is_some_and(|reason| reasons.contains(&reason)) {
        wrong.push(format!("end_reason {:?}, not one of {reasons:?}", session.end_reason));
    }
    if !session.ended_at_source.is_some_and(|source| sources.contains(&source)) {
        wrong.push(format!("ended_at_source {:?}, not one of {sources:?}", session.ended_at_source));
    }
    let verified = engine.neo("verify", &["--json"]);
    if verified.status.code() != Some(0) {
        wrong.push(format!("neo verify: {:?} {}", verified.status.code(), stdout(&verified)));
    }
    if !cell.may_leave_offers() && stderr(next).contains("that no order of this session made") {
        wrong.push("offers of ours were left on the ledger".to_string());
    }
    if (cell.place(), cell.kind(), cell.moment()) == ("writer", "panic", "quoting") {
        wrong.extend(unrecorded_cancels(&session).is_empty().then(|| "no cancel left without a record".to_string()));
    }
    let faults = check_faults(cell, engine, wrong);
    tell(code, &session, &faults)
}

/// The fault is a row, with how it got there if it was a panic.
fn check_faults(cell: Cell, engine: &Engine, wrong: &mut Vec<String>) -> String {
    let rows = engine.record().faults(1).unwrap();
    let ours: Vec<_> = rows.iter().filter(|row| row.record.cause.contains("NEO_FAIL")).collect();
    let is_row = match (cell.place(), cell.kind()) {
        // A stage's error is the stage's outcome, and a task that ends says nothing.
        ("stage", "error") | ("websocket", "error") => false,
        ("supervisor", "error") => cell.moment < 2,
        // One refused commit is no fault: it is tried again.
        ("writer", "error") => false,
        (_, kind) => kind != "freeze",
    };
    if cell.is_sure() && is_row && ours.is_empty() {
        wrong.push(format!("no fault row tells of it: {rows:#?}"));
    }
    if cell.is_sure() && cell.kind() == "freeze" && cell.moment < 9 && rows.is_empty() {
        wrong.push("no fault row tells of the freeze".to_string());
    }
    let panicked = ours.iter().filter(|row| row.record.cause.starts_with("panicked at"));
    if panicked.into_iter().any(|row| row.record.backtrace.as_ref().is_none_or(String::is_empty)) {
        wrong.push(format!("a panic without a backtrace: {rows:#?}"));
    }
    let told: BTreeSet<&str> = rows.iter().map(|row| row.record.actor.as_str()).collect();
    told.into_iter().collect::<Vec<_>>().join(", ")
}

/// Hashes of the cancels that left while nothing could be recorded.
fn unrecorded_cancels(session: &SessionRow) -> Vec<String> {
    let detail: serde_json::Value = serde_json::from_str(session.end_detail.as_deref().unwrap_or("{}")).unwrap();
    serde_json::from_value(detail["unrecorded_cancels"].clone()).unwrap_or_default()
}

fn tell(code: Option<i32>, session: &SessionRow, faults: &str) -> String {
    let code = code.map_or_else(|| "none".to_string(), |code| code.to_string());
    let source = session.ended_at_source.map_or("NULL", EndedAtSource::as_str);
    let reason = session.end_reason.map_or("NULL", EndReason::as_str);
    format!("{code} | {reason} | {source} | {faults}")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| line.chars().take(400).collect()).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for place in (0..PLACES.len()).rev() {
        for moment in 0..MOMENTS.len() {
            cells.extend((0..KINDS.len()).map(|kind| Cell { place, kind, moment }));
        }
    }
    cells.retain(|cell| cell.is_possible());
    cells
}

/// Every place, moment and kind once or more, each place struck while the session quotes, and a seeded sample.
fn sample(seed: u64) -> Vec<Cell> {
    let all = all();
    let mut chosen: BTreeSet<Cell> = (0..PLACES.len())
        .map(|place| Cell { place, kind: place % 3, moment: if PLACES[place] == "stage" { 4 } else { 1 } })
        .collect();
    // The columns, through the places that are there at every moment.
    for moment in 0..MOMENTS.len() {
        let place = if moment % 2 == 0 { 8 } else { 7 };
        chosen.insert(Cell { place, kind: moment % 3, moment });
    }
    let mut state = seed;
    for _ in 0..6 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chosen.insert(all[usize::try_from(state >> 33).unwrap() % all.len()]);
    }
    chosen.into_iter().filter(|cell| cell.is_possible()).collect()
}

#[test]
fn whatever_fails_whenever_the_session_is_closed_and_the_record_is_whole() {
    let seed = std::env::var("FAULTS_SEED").map_or(1, |text| text.parse().unwrap());
    let cells = match std::env::var("FAULTS") {
        Ok(all_of_them) if all_of_them == "all" => all(),
        Ok(named) => {
            let is_named = |cell: &Cell| named.split(',').any(|part| cell.request().contains(part));
            all().into_iter().filter(is_named).collect()
        }
        Err(_) => sample(seed),
    };
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let result = run(*cell);
                    let verdict = if result.wrong.is_empty() { "right" } else { "WRONG" };
                    eprintln!("{verdict} {} {:.1} s: {}", cell.request(), result.seconds, result.told);
                    for wrong in &result.wrong {
                        eprintln!("    {wrong}");
                    }
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|result| (result.cell.place, result.cell.moment, result.cell.kind));
    write_table(&results);
    let wrong: Vec<String> = results
        .iter()
        .filter(|r| !r.wrong.is_empty())
        .map(|r| format!("{}: {:?}", r.cell.request(), r.wrong.first()))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cells are wrong: {wrong:#?}", wrong.len(), results.len());
}

#[test]
fn a_disk_that_goes_on_refusing_ends_the_session_and_leaves_no_offer() {
    let engine = Engine::new();
    let run = engine
        .with_db("run", &["--for", "10m", "--speed", "20"])
        .env("NEO_FAIL", "writer:error:quoting:always")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(3), "{}", stderr(&run));
    let next = engine.neo("run", &["--for", "12s", "--speed", "20"]);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert!(!stderr(&next).contains("that no order of this session made"), "{}\n{}", stderr(&run), stderr(&next));
    let session = engine.record().session(Some(1)).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Disk), Some(EndedAtSource::Watchdog)));
    assert!(!unrecorded_cancels(&session).is_empty(), "{:?}", session.end_detail);
    assert_eq!(engine.neo("verify", &[]).status.code(), Some(0));
    let told = engine.record().faults(1).unwrap();
    assert!(told.iter().any(|row| row.record.cause.contains("NEO_FAIL")), "{told:?}");
}

/// For `scripts/fault-matrix`: the table of what every cell came to.
fn write_table(results: &[Result]) {
    let Ok(path) = std::env::var("FAULTS_TABLE") else { return };
    let mut table =
        String::from("| place | moment | kind | exit | end_reason | ended_at_source | fault rows of | s | |\n");
    table.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for result in results {
        let cell = result.cell;
        let verdict = if result.wrong.is_empty() { "right" } else { "**wrong**" };
        writeln!(
            table,
            "| {} | {} | {} | {} | {:.1} | {verdict} |",
            cell.place(),
            cell.moment(),
            cell.kind(),
            result.told,
            result.seconds
        )
        .unwrap();
    }
    std::fs::write(path, table).unwrap();
}

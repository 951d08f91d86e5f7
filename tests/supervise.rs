//! `neo supervise`: crashes are mended, what cannot be mended is told, signals reach the engine.
//!
//! 6 kills by default; `KILLS=100 KILL_SEED=7` for more and for others. `scripts/supervise-harness` runs it with progress.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![allow(clippy::print_stderr, reason = "progress of a long run")]
#![cfg(unix)]

mod engine;

use std::collections::BTreeSet;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use engine::{Engine, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// A `neo supervise` that runs, and is ended with its engine when the test is over.
struct Supervised<'a> {
    engine: &'a Engine,
    child: Child,
}

impl<'a> Supervised<'a> {
    fn start(engine: &'a Engine, own: &[&str], run: &[&str]) -> Supervised<'a> {
        let log = std::fs::File::create(engine.folder().join("stderr.txt")).unwrap();
        let child = supervise(engine, own, run).stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
        Supervised { engine, child }
    }

    /// Waits until an engine other than `before` has a session; gives its process id.
    fn engine_pid(&mut self, before: Option<u32>) -> u32 {
        for _ in 0..1_200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the supervisor ended with {status}:\n{}", self.engine.stderr());
            }
            if let Some(pid) = status_of(self.engine).and_then(|status| pid_in(&status))
                && Some(pid) != before
            {
                return pid;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no engine:\n{}", self.engine.stderr());
    }

    /// Waits until the engine has quotes on the ledger; gives its process id.
    fn until_it_quotes(&mut self, before: Option<u32>) -> u32 {
        for _ in 0..600 {
            let pid = self.engine_pid(before);
            let quotes = status_of(self.engine).is_some_and(|status| {
                pid_in(&status) == Some(pid) && status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())
            });
            if quotes {
                return pid;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no quotes:\n{}", self.engine.stderr());
    }

    fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        // Only after a failure: the supervisor first, else it starts another engine.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            if let Some(pid) = status_of(self.engine).and_then(|status| pid_in(&status)) {
                kill("KILL", pid);
            }
        }
    }
}

fn kill(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{name} to {pid}");
}

fn status_of(engine: &Engine) -> Option<Value> {
    let output = engine.neo("status", &["--json"]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn pid_in(status: &Value) -> Option<u32> {
    status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

fn supervise(engine: &Engine, own: &[&str], run: &[&str]) -> Command {
    let db = engine.db();
    let mut arguments = vec!["supervise"];
    arguments.extend(own);
    arguments.extend(["--", "run", "--db", db.to_str().unwrap()]);
    arguments.extend(run);
    engine.command(&arguments)
}

fn output(engine: &Engine, own: &[&str], run: &[&str]) -> Output {
    supervise(engine, own, run).output().unwrap()
}

fn open(engine: &Engine) -> Connection {
    Connection::open_with_flags(engine.db(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

fn count(engine: &Engine, sql: &str) -> i64 {
    open(engine).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn assert_verified(engine: &Engine) {
    let verified = engine.neo("verify", &["--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
}

#[test]
fn a_session_that_ends_in_order_ends_the_supervisor_with_its_exit_code() {
    let engine = Engine::new();
    let run = output(&engine, &[], &["--for", "1m", "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(engine.record().sessions().unwrap().len(), 1);
    assert_verified(&engine);
}

#[test]
fn a_killed_engine_is_recovered_and_started_again_and_its_successor_names_it() {
    let engine = Engine::new();
    let mut supervised = Supervised::start(&engine, &["--wait", "100ms"], &["--speed", "20"]);
    let first = supervised.until_it_quotes(None);
    kill("KILL", first);
    supervised.until_it_quotes(Some(first));
    supervised.signal("TERM");
    assert_eq!(supervised.wait(), 0, "{}", engine.stderr());
    let (killed, next) = (engine.record().session(Some(1)).unwrap(), engine.record().session(Some(2)).unwrap());
    assert_eq!((killed.ended_at_source, killed.end_reason), (Some(EndedAtSource::Recovered), Some(EndReason::Crash)));
    assert_eq!(next.resumed_from, Some(1));
    assert_eq!((next.ended_at_source, next.end_reason), (Some(EndedAtSource::Clean), Some(EndReason::Signal)));
    assert!(engine.stderr().contains("killed by signal 9"), "{}", engine.stderr());
    assert_verified(&engine);
}

#[test]
fn with_a_replicator_the_supervisor_leaves_the_wal_of_a_killed_engine() {
    let engine = Engine::new();
    let external = ["--speed", "20", "--set", "store.checkpoint=external"];
    let mut supervised = Supervised::start(&engine, &["--max-restarts", "0"], &external);
    let pid = supervised.until_it_quotes(None);
    kill("KILL", pid);
    assert_ne!(supervised.wait(), 0);
    let wal = std::fs::metadata(format!("{}-wal", engine.db().display())).map_or(0, |wal| wal.len());
    assert!(wal > 0, "it is the replicator's");
    assert_eq!(engine.record().session(Some(1)).unwrap().end_reason, Some(EndReason::Crash));
}

#[test]
fn with_orphans_adopted_the_successor_keeps_the_offers_that_still_stand() {
    let engine = Engine::new();
    // Nobody trades, so that every offer still stands when the successor comes.
    let run = ["--speed", "20", "--set", "orders.orphans=adopt", "--set", "sim.takers.arrivals_per_ledger=0"];
    let mut supervised = Supervised::start(&engine, &["--wait", "20ms"], &run);
    let first = supervised.until_it_quotes(None);
    kill("KILL", first);
    supervised.until_it_quotes(Some(first));
    let swept = count(&engine, "SELECT count(*) FROM intents WHERE session = 2 AND purpose = 'cancel'");
    assert!(engine.stderr().contains("taken over"), "{}", engine.stderr());
    assert_eq!(swept, 0, "an adopted offer is not cancelled: {}", engine.stderr());
    supervised.signal("TERM");
    assert_eq!(supervised.wait(), 0, "{}", engine.stderr());
    let open_orders =
        count(&engine, "SELECT count(*) FROM orders WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown')");
    assert_eq!(open_orders, 0, "the first session's offers have an end in the record");
    assert_verified(&engine);
}

#[test]
fn a_session_ended_by_a_fault_is_started_again_and_named() {
    let engine = Engine::new();
    let mut supervised =
        Supervised::start(&engine, &["--wait", "100ms"], &["--speed", "20", "--set", "feed.outage_ms=1000"]);
    let first = supervised.until_it_quotes(None);
    engine.kill_world();
    supervised.until_it_quotes(Some(first));
    supervised.signal("INT");
    assert_eq!(supervised.wait(), 0, "{}", engine.stderr());
    assert_eq!(engine.record().session(Some(1)).unwrap().end_reason, Some(EndReason::Fault));
    assert_eq!(engine.record().session(Some(2)).unwrap().resumed_from, Some(1));
    assert!(engine.stderr().contains("exit code 70"), "{}", engine.stderr());
}

#[test]
fn signals_are_passed_on_once_each_and_a_second_one_makes_the_stop_urgent() {
    for (name, reason) in [("INT", EndReason::Signal), ("HUP", EndReason::TerminalClosed)] {
        let engine = Engine::new();
        let mut supervised = Supervised::start(&engine, &[], &["--speed", "20"]);
        supervised.until_it_quotes(None);
        supervised.signal(name);
        assert_eq!(
            supervised.wait(),
            0,
            "{name}: one signal is one request, so the stop is not urgent: {}",
            engine.stderr()
        );
        assert_eq!(engine.record().session(None).unwrap().end_reason, Some(reason), "{name}");
    }
    // Real speed: cancels need a ledger of four seconds, so that the second signal finds the stop waiting.
    let engine = Engine::new();
    let mut supervised = Supervised::start(&engine, &[], &[]);
    supervised.until_it_quotes(None);
    supervised.signal("TERM");
    while status_of(&engine).is_some_and(|status| status["phase"] != "stopping") {
        std::thread::sleep(Duration::from_millis(20));
    }
    supervised.signal("TERM");
    assert_eq!(supervised.wait(), 1, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert!(session.end_detail.unwrap().contains("\"urgent\":true"));
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
}

#[test]
fn a_crash_loop_ends_with_a_clear_message() {
    let engine = Engine::new();
    let alerts = engine.folder().join("alerts.jsonl");
    // An engine that cannot start its simulated ledger would be one; here it is killed at once, each time.
    let mut supervised = Supervised::start(
        &engine,
        &["--max-restarts", "2", "--wait", "20ms", "--jitter-seed", "7"],
        &["--speed", "20", "--set", &format!("alerts.command=[\"tee\", \"-a\", {:?}]", alerts.to_str().unwrap())],
    );
    let mut killed = None;
    for _ in 0..3 {
        let pid = supervised.engine_pid(killed);
        kill("KILL", pid);
        killed = Some(pid);
    }
    assert_eq!(supervised.wait(), 70, "{}", engine.stderr());
    assert!(engine.stderr().contains("crash loop: 2 restarts within 600 s"), "{}", engine.stderr());
    let alert: Value = serde_json::from_str(&std::fs::read_to_string(alerts).unwrap()).unwrap();
    assert_eq!((&alert["kind"], &alert["session"]), (&"crash_loop".into(), &Value::Null));
    let open = count(&engine, "SELECT count(*) FROM sessions WHERE ended_at IS NULL");
    assert_eq!((engine.record().sessions().unwrap().len(), open), (3, 0), "the last one is closed too");
    let lines = std::fs::read_dir(engine.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect::<String>();
    let told = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(
        told.into_iter()
            .any(|line| line["actor"] == "supervise" && line["message"].as_str().unwrap().contains("crash loop"))
    );
}

#[test]
fn what_a_restart_cannot_mend_is_not_restarted() {
    let engine = Engine::new();
    let wrong = output(&engine, &[], &["--set", "quote.levels=99"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    let nothing = output(&engine, &[], &["--no-such-flag"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
    let fresh = output(&engine, &[], &["--fresh", "--yes"]);
    assert_eq!(fresh.status.code(), Some(2), "{}", stderr(&fresh));
    let other = engine.command(&["supervise", "--", "verify"]).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
    assert!(!engine.db().exists(), "nothing was started");

    std::fs::write(engine.db(), b"this is no database, whatever its name says. ".repeat(100)).unwrap();
    let broken = output(&engine, &["--wait", "10s"], &["--for", "1m"]);
    assert_eq!(broken.status.code(), Some(3), "{}", stderr(&broken));
    assert!(stderr(&broken).contains("not started again"), "{}", stderr(&broken));
}

#[test]
fn a_killed_supervisor_leaves_a_trading_engine_and_a_second_one_is_refused() {
    let engine = Engine::new();
    let mut supervised = Supervised::start(&engine, &[], &["--speed", "20"]);
    let pid = supervised.until_it_quotes(None);
    supervised.signal("KILL");
    assert_eq!(supervised.wait(), -1);
    let second = output(&engine, &[], &["--speed", "20"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    assert!(stderr(&second).contains(&format!("held by process {pid}")), "{}", stderr(&second));
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "the engine went on: {}", stderr(&stop));
    let session = engine.record().session(None).unwrap();
    assert_eq!((session.number, session.end_reason), (1, Some(EndReason::StopCommand)));
}

#[test]
fn a_stop_while_waiting_for_a_restart_is_a_stop() {
    let engine = Engine::new();
    let mut supervised = Supervised::start(&engine, &["--wait", "1h", "--wait-max", "1h"], &["--speed", "20"]);
    let pid = supervised.until_it_quotes(None);
    kill("KILL", pid);
    while !engine.stderr().contains("starting it again") {
        std::thread::sleep(Duration::from_millis(20));
    }
    supervised.signal("TERM");
    assert_eq!(supervised.wait(), 70, "{}", engine.stderr());
    assert_eq!(count(&engine, "SELECT count(*) FROM sessions WHERE ended_at IS NULL"), 0);
}

/// SplitMix64 (Steele, Lea, Flood 2014): moments that a seed repeats, as far as the machine does.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Kills engine after engine under one supervisor; gives how many of them had quotes on the ledger.
fn kill_again_and_again(engine: &Engine, supervised: &mut Supervised<'_>, kills: u64, moments: &mut Moments) -> u64 {
    let (mut pid, mut quoted, started) = (None, 0, Instant::now());
    for kill_number in 1..=kills {
        // One in three dies in its first moments, while it recovers, sweeps and connects.
        let young = moments.below(3) == 0;
        let next = if young { supervised.engine_pid(pid) } else { supervised.until_it_quotes(pid) };
        std::thread::sleep(Duration::from_millis(moments.below(if young { 300 } else { 2_000 })));
        quoted += u64::from(
            status_of(engine)
                .is_some_and(|status| status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())),
        );
        kill("KILL", next);
        pid = Some(next);
        if kill_number % 10 == 0 {
            eprintln!("{kill_number} of {kills} kills in {} s", started.elapsed().as_secs());
        }
    }
    supervised.until_it_quotes(pid);
    quoted
}

#[test]
fn killed_again_and_again_every_session_is_closed_every_fill_is_there_once_and_nothing_is_left() {
    let (kills, seed) = (setting("KILLS", 6), setting("KILL_SEED", 1));
    let engine = Engine::new();
    let allowed = kills.to_string();
    let own = ["--max-restarts", &allowed, "--within", "10h", "--wait", "20ms", "--wait-max", "100ms"];
    let mut supervised = Supervised::start(&engine, &own, &["--speed", "50", "--set", "store.checkpoint_s=1"]);
    let quoted = kill_again_and_again(&engine, &mut supervised, kills, &mut Moments(seed));
    supervised.signal("TERM");
    assert_eq!(supervised.wait(), 0, "{}", engine.stderr());

    assert_verified(&engine);
    let sessions = engine.record().sessions().unwrap();
    assert!(sessions.len() as u64 > kills, "{} sessions", sessions.len());
    for session in &sessions {
        assert!(session.ended_at.is_some(), "S{} is open", session.number);
    }
    let unnamed: Vec<i64> = sessions
        .iter()
        .filter(|row| row.number > 1 && row.resumed_from != Some(row.number - 1))
        .map(|row| row.number)
        .collect();
    assert!(unnamed.is_empty(), "sessions that do not name the killed one before them: {unnamed:?}");
    let unsettled = count(&engine, "SELECT count(*) FROM intents WHERE state NOT IN ('validated', 'dead')");
    let open_orders =
        count(&engine, "SELECT count(*) FROM orders WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown')");
    let fills = count(&engine, "SELECT count(*) FROM fills");
    let twice = count(
        &engine,
        "SELECT count(*) FROM (SELECT 1 FROM fills GROUP BY upper(tx_hash), offer_sequence HAVING count(*) > 1)",
    );
    let strangers = count(&engine, "SELECT count(*) FROM faults WHERE cause LIKE '%signed elsewhere%'");
    assert_eq!((unsettled, open_orders, twice, strangers), (0, 0, 0, 0), "unsettled, open, twice, strangers");
    let (on_ledger, missing) = fills_on_the_ledger(&engine);
    assert!(missing.is_empty(), "fills that only the ledger or only the record has: {missing:?}");
    eprintln!(
        "summary: seed {seed}, {kills} kills ({quoted} with quotes on the ledger), {} sessions, all closed; {fills} fills, \
         each once, {on_ledger} transactions of them on the ledger, none missing; no offer and no intent left",
        sessions.len()
    );
    assert!(fills > 0 && quoted > 0, "nothing was tried");
}

/// The world after its end, read from its own state: transactions in which the maker traded, by hash, and those of them
/// where the record says otherwise. No offer of ours may stand in it.
fn fills_on_the_ledger(engine: &Engine) -> (usize, Vec<String>) {
    let bytes = std::fs::read(engine.db().with_extension("ledger").join("state.json")).unwrap();
    let config = neo::config::Config::load(None, std::iter::empty(), &[]).unwrap().config;
    let mut node = neo_sim::Node::load(&bytes, &config.sim).unwrap();
    let maker = neo_ledger::keys::Keypair::from_seed(&neo_sim::maker_seed()).unwrap().address();
    assert_eq!(node.validated_state().offers_of(maker).count(), 0, "an orphan offer");
    let recorded: BTreeSet<String> = {
        let conn = open(engine);
        let mut statement = conn.prepare("SELECT DISTINCT upper(tx_hash) FROM fills").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let connection = node.connect();
    let first = engine.record().session(Some(1)).unwrap().starting_ledger_index.unwrap();
    let (mut marker, mut traded) = (None, BTreeSet::new());
    loop {
        let request = neo_ledger::request::account_tx(1, maker, first, None, marker.as_ref(), true);
        let said: String = node.request(connection, &request).into_iter().map(|out| out.text).collect();
        let neo_ledger::message::Message::Response(response) = neo_ledger::message::parse(&said).unwrap() else {
            panic!("{said}")
        };
        let page = neo_ledger::result::AccountTx::from_value(&response.result.unwrap()).unwrap();
        for transaction in &page.transactions {
            let own = neo_ledger::meta::own_transaction(transaction, maker, config.sim.token(), None).unwrap();
            if own.is_some_and(|own| !own.fills.is_empty()) {
                traded.insert(transaction.hash.to_string().to_uppercase());
            }
        }
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    let missing = traded.symmetric_difference(&recorded).cloned().collect();
    (traded.len(), missing)
}

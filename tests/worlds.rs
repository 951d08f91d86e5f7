//! A stand-alone node as others use it: its ledgers close when they like, and it is reset and used again under the same
//! record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use engine::node::{StandAlone, until};
use engine::{Engine, stderr, stdout};
use neo_ledger::keys::written;
use neo_ledger::{Address, Algorithm, Keypair};
use neo_market::{Dec, Drops};
use neo_store::record::{EndReason, FlowCause};
use serde_json::Value;

const XRP: u64 = 1_000_000;

/// An account's seed, another one for each test: one account has one engine on a machine.
struct Trader {
    seed: String,
    account: Address,
}

impl Trader {
    fn new(n: u8) -> Trader {
        let pair = Keypair::from_entropy([n; 16], Algorithm::Secp256k1).unwrap();
        Trader { seed: written([n; 16], &pair).unwrap().0, account: pair.address() }
    }

    fn command(&self, engine: &Engine, arguments: &[&str], config: &Path) -> Command {
        let mut command = engine.command(arguments);
        command.arg("--config").arg(config).env("NEO_SESSION__DB", engine.db()).env("NEO_WALLET_SEED", &self.seed);
        command
    }

    fn neo(&self, engine: &Engine, arguments: &[&str], config: &Path) -> Output {
        self.command(engine, arguments, config).output().unwrap()
    }

    /// What a script does on a node that was just started: the same each time, hash for hash.
    fn funded(&self, engine: &Engine, node: &mut StandAlone, config: &Path) {
        node.fund(self.account, 10_000 * XRP);
        let setup = self.neo(engine, &["setup", "--yes", "--limit", "5000000"], config);
        assert_eq!(setup.status.code(), Some(0), "{}", stderr(&setup));
        node.issue(self.account, "20000");
    }
}

/// The newest session's closing value is what the ledger says, all that its record knows verifies, and no offer stands.
fn is_the_ledgers(engine: &Engine, node: &mut StandAlone, account: Address) {
    assert_eq!(node.offers(account), 0, "an offer of ours is left on the ledger");
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert!(record.reconcile(session.number).unwrap().adds_up());
    let closing = record.last_valuation(session.number).unwrap().unwrap();
    assert_eq!((closing.xrp, closing.rlusd), (node.account(account).balance, node.held(account)));
    for flow in record.flows(session.number).unwrap() {
        assert_ne!(flow.record.cause, FlowCause::Unexplained, "{flow:?}");
    }
}

fn deposits(engine: &Engine, session: i64) -> Vec<(String, Drops, Dec)> {
    let flows = engine.record().flows(session).unwrap().into_iter().map(|flow| flow.record);
    let deposits = flows.filter(|flow| flow.cause == FlowCause::Deposit);
    deposits.map(|flow| (flow.tx_hash.unwrap(), flow.xrp, flow.rlusd)).collect()
}

/// A ledger is closed, and again, until the engine's status shows it.
fn until_status(engine: &Engine, node: &mut StandAlone, enough: impl Fn(&Value) -> bool) {
    until(|| {
        node.close();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let status = engine.neo("status", &["--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        enough(&status).then_some(())
    });
}

fn quotes(status: &Value) -> bool {
    status["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())
}

/// The configuration without the engine as the one who closes ledgers.
fn closed_by_others(config: &Path) -> PathBuf {
    let text = std::fs::read_to_string(config).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("ledger_accept")).collect();
    std::fs::write(config, without.join("\n") + "\n[feed]\nsilence_ms = 5000\n").unwrap();
    config.to_path_buf()
}

#[test]
fn on_a_node_whose_ledgers_others_close_a_session_waits_as_long_as_they_take() {
    let (engine, trader) = (Engine::new(), Trader::new(131));
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, trader.account, "");
    trader.funded(&engine, &mut node, &config);
    let config = closed_by_others(&config);
    let running = engine.spawn(trader.command(&engine, &["run"], &config));
    until_status(&engine, &mut node, quotes);
    // Nobody closes a ledger for twice as long as a node of a network may be silent.
    let before = engine.neo("status", &["--json"]);
    std::thread::sleep(std::time::Duration::from_secs(11));
    let after = engine.neo("status", &["--json"]);
    let index = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap()["ledger_index"].clone();
    assert_eq!(index(&before), index(&after));
    let deposit = node.fund(trader.account, 7_654_321);
    let mut stop = engine.with_db("stop", &[]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let stopped = until(|| {
        node.close();
        std::thread::sleep(std::time::Duration::from_millis(200));
        stop.try_wait().unwrap()
    });
    assert_eq!((stopped.code(), running.wait()), (Some(0), 0), "{}", engine.stderr());
    assert!(!engine.stderr().contains("silent"), "{}", engine.stderr());
    assert!(deposits(&engine, 1).contains(&(deposit, Drops::new(7_654_321), Dec::zero())));
    let faults = engine.record().faults(1).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn a_node_that_was_reset_is_another_era_of_the_record_above_and_below_its_last_ledger() {
    let (engine, trader) = (Engine::new(), Trader::new(132));
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, trader.account, "");
    // The same script in three worlds: one deposit has the same hash in each.
    let mut hashes = Vec::new();
    for (session, more, ledgers) in [(1, "", 0), (2, "tick_size = 6\n", 60), (3, "tick_size = 7\n", 0)] {
        if session > 1 {
            node.reset(&engine, &["--manual"], more);
        }
        trader.funded(&engine, &mut node, &config);
        (0..ledgers).for_each(|_| node.close());
        let mut running = engine.spawn(trader.command(&engine, &["run", "--for", "60s"], &config));
        running.until_it_quotes();
        hashes.push(node.fund(trader.account, 5_000_001));
        assert_eq!(running.wait(), 0, "S{session}: {}", engine.stderr());
        is_the_ledgers(&engine, &mut node, trader.account);
        let deposit = (hashes[0].clone(), Drops::new(5_000_001), Dec::zero());
        assert!(deposits(&engine, session).contains(&deposit), "S{session}: {:?}", deposits(&engine, session));
        let faults = engine.record().faults(session).unwrap();
        let told = faults.iter().filter(|fault| fault.record.cause.contains("another chain")).count();
        assert_eq!(told, usize::from(session > 1), "S{session}: {faults:?}");
    }
    assert_eq!((&hashes[0], &hashes[0]), (&hashes[1], &hashes[2]), "the script is the same");
    // On the same ledger the era goes on.
    let run = trader.neo(&engine, &["run", "--for", "20s"], &config);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(engine.record().faults(4).unwrap().is_empty());
    is_the_ledgers(&engine, &mut node, trader.account);
    // A network has one ledger: another is a mistake.
    node.reset(&engine, &["--manual"], "");
    trader.funded(&engine, &mut node, &config);
    (0..60).for_each(|_| node.close());
    let sessions = engine.record().sessions().unwrap().len();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"standalone\"", "\"custom\"")).unwrap();
    let conn = rusqlite::Connection::open(engine.db()).unwrap();
    let renamed = "UPDATE meta SET network = 'custom-65001'; UPDATE sessions SET network = 'custom-65001'";
    conn.execute_batch(renamed).unwrap();
    conn.close().unwrap();
    let run = trader.neo(&engine, &["run", "--for", "20s"], &config);
    assert_eq!(run.status.code(), Some(3), "{}", stderr(&run));
    let said = stderr(&run);
    assert!(said.contains("another chain") && said.contains("--db"), "{said}");
    assert_eq!(engine.record().sessions().unwrap().len(), sessions);
}

#[test]
fn a_node_that_is_reset_under_a_session_ends_it_and_the_next_one_goes_on_in_the_new_world() {
    let (engine, trader) = (Engine::new(), Trader::new(133));
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, trader.account, "");
    trader.funded(&engine, &mut node, &config);
    let mut running = engine.spawn(trader.command(&engine, &["run"], &config));
    running.until_it_quotes();
    // Not funded yet, and far below: nothing of the session is there.
    node.reset(&engine, &["--manual"], "tick_size = 6\n");
    assert_eq!(running.wait(), 70, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.end_reason, Some(EndReason::Fault));
    assert!(session.end_detail.unwrap().contains("another chain"));
    let faults = engine.record().faults(1).unwrap();
    assert!(faults.iter().any(|fault| fault.record.cause.contains("another chain")), "{faults:?}");
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));

    trader.funded(&engine, &mut node, &config);
    let run = trader.neo(&engine, &["run", "--for", "40s"], &config);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    is_the_ledgers(&engine, &mut node, trader.account);
    let old = engine.record().intents(1).unwrap();
    let open = old.iter().filter(|row| matches!(row.state.as_str(), "intended" | "submitted")).count();
    assert_eq!(open, 0, "nothing of the old world is waited for");
}

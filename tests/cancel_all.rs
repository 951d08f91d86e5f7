//! `neo cancel-all`: with and without an engine, with and without a record, no offer of the account is left on the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::path::Path;
use std::process::{Command, Output};

use engine::node::StandAlone;
use engine::{Engine, stderr, stdout};
use neo_ledger::keys::written;
use neo_ledger::{Address, Algorithm, Keypair};
use neo_store::record::EndReason;
use serde_json::{Value, json};

const XRP: u64 = 1_000_000;
/// Quotes that nobody takes and that stand long: what goes, goes by a cancel.
const FAR: &str = "[quote]\nbid_offset_bps = \"300\"\nask_offset_bps = \"300\"\nexpiration_s = 3600\n";

/// A throw-away seed, another one for each test: one account has one engine on a machine.
fn seed_of(n: u8) -> String {
    let pair = Keypair::from_entropy([n; 16], Algorithm::Secp256k1).unwrap();
    written([n; 16], &pair).unwrap().0
}

fn key(seed: &str) -> Keypair {
    Keypair::from_seed(seed).unwrap()
}

fn command(engine: &Engine, arguments: &[&str], config: &Path, seed: &str) -> Command {
    let mut command = engine.command(arguments);
    command.arg("--config").arg(config).env("NEO_SESSION__DB", engine.db()).env("NEO_WALLET_SEED", seed);
    command
}

fn neo(engine: &Engine, arguments: &[&str], config: &Path, seed: &str) -> Output {
    command(engine, arguments, config, seed).output().unwrap()
}

/// `neo cancel-all --yes --json` and what it said, which must be one line of JSON.
fn told(output: &Output) -> (Option<i32>, Value) {
    let said =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}{}", stdout(output), stderr(output)));
    (output.status.code(), said)
}

/// An account with XRP, a trust line and RLUSD.
fn ready(engine: &Engine, node: &mut StandAlone, seed: &str, config: &Path) -> Address {
    let account = key(seed).address();
    node.fund(account, 10_000 * XRP);
    let setup = neo(engine, &["setup", "--yes", "--limit", "5000000"], config, seed);
    assert_eq!(setup.status.code(), Some(0), "{}", stderr(&setup));
    node.issue(account, "20000");
    account
}

#[test]
fn what_a_killed_engine_left_is_cancelled_and_the_next_session_is_clean() {
    let engine = Engine::new();
    let seed = seed_of(121);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), FAR);
    let account = ready(&engine, &mut node, &seed, &config);
    let mut running = engine.spawn(command(&engine, &["run"], &config, &seed));
    running.until_it_quotes();
    running.kill();
    let standing = node.offers(account);
    assert!(standing > 0);

    // The offers are shown only to who can answer, and nothing is done without an answer.
    let unasked = neo(&engine, &["cancel-all"], &config, &seed);
    assert!(unasked.status.code() == Some(1) && stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
    assert!(node.offers(account) > 0);

    let before = node.account(account);
    let (code, said) = told(&neo(&engine, &["cancel-all", "--yes", "--json"], &config, &seed));
    assert_eq!((code, &said["left"], &said["engine"]), (Some(0), &json!(0), &json!("none")), "{said}");
    assert_eq!(said["paused"], Value::Null, "without an engine nothing is paused: {said}");
    assert_eq!(node.offers(account), 0);
    // Whatever the killed engine had signed can get in no more.
    assert!(said["ledger_index"].as_u64().unwrap() >= u64::from(before.ledger_index) + 5, "{said}");
    let cancels: Vec<_> = node
        .history(account)
        .into_iter()
        .filter(|transaction| transaction.kind == "OfferCancel" && transaction.ledger_index > before.ledger_index)
        .collect();
    let fees: u64 = cancels.iter().map(|cancel| cancel.fee.get().unsigned_abs()).sum();
    assert_eq!(said["fees_drops"], fees, "{said}");
    assert!(said["cancelled"].as_u64().unwrap() > 0, "{said}");

    let again = neo(&engine, &["cancel-all", "--yes"], &config, &seed);
    assert!(again.status.success() && stdout(&again).contains("shows no offer"), "{}", stdout(&again));

    let next = neo(&engine, &["run", "--for", "20s"], &config, &seed);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert_eq!(node.offers(account), 0);
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert!(record.reconcile(session.number).unwrap().adds_up());
    assert!(!record.intents(session.number).unwrap().is_empty(), "it quotes: nothing is paused");
}

#[test]
fn a_running_engine_is_paused_and_goes_on_when_it_is_told_to() {
    let engine = Engine::new();
    let seed = seed_of(122);
    let mut node = StandAlone::start(&engine, &["--speed", "10"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "");
    let account = ready(&engine, &mut node, &seed, &config);
    let mut running = engine.spawn(command(&engine, &["run"], &config, &seed));
    running.until_it_quotes();
    // From another record the engine is not reached, and its account is not touched.
    let elsewhere = engine.folder().join("other.db");
    let arguments = ["cancel-all", "--yes", "--db", elsewhere.to_str().unwrap()];
    let refused = neo(&engine, &arguments, &config, &seed);
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--db"), "{}", stderr(&refused));

    let (code, said) = told(&neo(&engine, &["cancel-all", "--yes", "--json"], &config, &seed));
    assert_eq!((code, &said["left"], &said["engine"]), (Some(0), &json!(0), &json!("flat")), "{said}");
    assert!(said["paused"].as_str().unwrap().contains("neo cancel-all"), "{said}");
    assert_eq!((&said["session"], &said["cancelled"]), (&json!(1), &json!(0)), "the engine did it: {said}");
    assert_eq!(node.offers(account), 0);
    let status: Value = serde_json::from_slice(&engine.neo("status", &["--json"]).stdout).unwrap();
    assert!(status["withheld_reason"].as_str().unwrap().contains("neo cancel-all"), "{status}");

    assert_eq!(engine.neo("resume", &[]).status.code(), Some(0));
    running.until_it_quotes();
    running.signal("TERM");
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    let sessions = engine.record().sessions().unwrap();
    assert_eq!((sessions.len(), sessions[0].end_reason), (1, Some(EndReason::Signal)));
    assert!(engine.record().faults(1).unwrap().is_empty());
    assert_eq!(engine.neo("verify", &[]).status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn offers_of_an_engine_that_hangs_are_cancelled_beside_it() {
    let engine = Engine::new();
    let seed = seed_of(123);
    let mut node = StandAlone::start(&engine, &["--speed", "10"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), FAR);
    let account = ready(&engine, &mut node, &seed, &config);
    let mut running = engine.spawn(command(&engine, &["run"], &config, &seed));
    running.until_it_quotes();
    running.signal("STOP");
    let cancel = neo(&engine, &["cancel-all", "--yes", "--json", "--wait", "2s"], &config, &seed);
    let (code, said) = told(&cancel);
    assert_eq!((code, &said["left"], &said["engine"]), (Some(0), &json!(0), &json!("stuck")), "{said}");
    assert!(said["cancelled"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(node.offers(account), 0);
    running.signal("KILL");
    running.wait();
    // It is paused still, so the next session quotes nothing, and its record is true.
    let next = neo(&engine, &["run", "--for", "20s"], &config, &seed);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert_eq!(node.offers(account), 0);
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
}

#[test]
fn more_offers_than_a_page_and_a_round_and_on_any_book_go_without_a_record() {
    let engine = Engine::new();
    let seed = seed_of(124);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "");
    let account = key(&seed).address();
    node.fund(account, 10_000 * XRP);
    let usd = json!({"currency": "USD", "issuer": node.token().issuer, "value": "1000000"});
    let rlusd = json!({"currency": node.token().currency, "issuer": node.token().issuer, "value": "1000000"});
    let offer = |n: u32| {
        let pays = if n.is_multiple_of(2) { &usd } else { &rlusd };
        json!({"TransactionType": "OfferCreate", "TakerGets": (XRP + u64::from(n)).to_string(), "TakerPays": pays})
    };
    node.submit_all(&key(&seed), (0..450).map(offer).collect());
    assert_eq!(node.account(account).owner_count, 450, "more than one page, and an account that has no trust line");

    let stranger = neo(&engine, &["cancel-all", "--yes"], &config, &seed_of(125));
    assert_eq!(stranger.status.code(), Some(1), "{}", stderr(&stranger));
    assert!(stdout(&stranger).contains("no regular key"), "{}", stdout(&stranger));
    assert_eq!(node.account(account).owner_count, 450);

    let (code, said) = told(&neo(&engine, &["cancel-all", "--yes", "--json"], &config, &seed));
    assert_eq!((code, &said["left"]), (Some(0), &json!(0)), "{said}");
    assert_eq!((&said["found"], &said["cancelled"], &said["fees_drops"]), (&json!(450), &json!(450), &json!(4500)));
    assert_eq!(node.account(account).owner_count, 0);
    assert!(!engine.db().exists(), "no record is made");
}

#[test]
fn behind_a_hole_with_tickets_set_aside_nothing_is_left_and_the_tickets_are_told() {
    let engine = Engine::new();
    let seed = seed_of(126);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "");
    let account = key(&seed).address();
    node.fund(account, 10_000 * XRP);
    let first = node.account(account).sequence;
    node.submit(&key(&seed), json!({"TransactionType": "TicketCreate", "TicketCount": 3}));
    let pays = json!({"currency": "USD", "issuer": node.token().issuer, "value": "1000000"});
    let offer =
        |drops: u64| json!({"TransactionType": "OfferCreate", "TakerGets": drops.to_string(), "TakerPays": pays});
    node.submit_all(&key(&seed), (0..4).map(|n| offer(XRP + n)).collect());
    assert_eq!(node.account(account).owner_count, 7);
    // Signed by whoever was killed, behind a number that nobody used: once the first cancel fills that hole it gets in, or a
    // cancel of the same number does.
    let last = node.account(account).ledger_index + 20;
    assert_eq!(node.hand_over(&key(&seed), 1, last, offer(2 * XRP)), "terPRE_SEQ");

    let (code, said) = told(&neo(&engine, &["cancel-all", "--yes", "--json"], &config, &seed));
    assert_eq!((code, &said["left"]), (Some(0), &json!(0)), "{said}");
    let tickets = json!([first + 1, first + 2, first + 3]);
    assert_eq!((&said["tickets"], &said["tickets_unknown"]), (&tickets, &Value::Null), "{said}");
    assert!(said["cancelled"].as_u64() >= Some(4), "{said}");
    assert_eq!((node.offers(account), node.account(account).owner_count), (0, 3));
    let again = neo(&engine, &["cancel-all", "--yes"], &config, &seed);
    let words =
        format!("3 tickets are left ({}, {}, {}): each holds an owner reserve", first + 1, first + 2, first + 3);
    assert!(again.status.success() && stdout(&again).contains(&words), "{}", stdout(&again));
}

#[test]
fn on_the_simulated_ledger_it_works_on_the_world_that_runs() {
    let engine = Engine::new();
    let none = engine.neo("cancel-all", &["--yes"]);
    assert!(none.status.success() && stdout(&none).contains("nothing to cancel"), "{}{}", stdout(&none), stderr(&none));
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    let (code, said) = told(&engine.neo("cancel-all", &["--yes", "--json"]));
    assert_eq!((code, &said["left"], &said["engine"]), (Some(0), &json!(0), &json!("flat")), "{said}");
    assert_eq!(engine.neo("resume", &[]).status.code(), Some(0));
    running.until_it_quotes();
    running.kill();

    let (code, said) = told(&engine.neo("cancel-all", &["--yes", "--json"]));
    assert_eq!((code, &said["left"], &said["engine"]), (Some(0), &json!(0), &json!("none")), "{said}");
    assert!(said["cancelled"].as_u64().unwrap() > 0, "{said}");
    let next = engine.neo("run", &["--for", "1m", "--speed", "20"]);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert_eq!(engine::world::offers_left(&engine), Some(0));
    let verify = engine.neo("verify", &[]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    let record = engine.record();
    assert!(record.reconcile(2).unwrap().adds_up());
}

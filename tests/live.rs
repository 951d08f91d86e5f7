//! Mode live: the real binary against a node that is another process, known by the configuration alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use engine::node::{StandAlone, until};
use engine::{Engine, Running, stderr, stdout};
use neo_ledger::keys::{entropy_of, written};
use neo_ledger::{Address, Algorithm, Keypair};
use neo_market::{Dec, Drops, Side};
use neo_store::record::{EndReason, EndedAtSource, FlowCause, Role};
use serde_json::{Value, json};

/// A throw-away seed, another one for each test: one account has one engine on a machine.
fn seed_of(n: u8) -> String {
    let pair = Keypair::from_entropy([n; 16], Algorithm::Secp256k1).unwrap();
    written([n; 16], &pair).unwrap().0
}

/// One that names the other algorithm.
const ED25519: &str = "sEdSKaCy2JT7JaM7v95H9SxkhP9wS2r";
const XRP: u64 = 1_000_000;

fn key(seed: &str) -> Keypair {
    Keypair::from_seed(seed).unwrap()
}

/// `neo COMMAND --config FILE` with a seed.
fn neo(engine: &Engine, arguments: &[&str], config: &Path, seed: Option<&str>) -> Output {
    command(engine, arguments, config, seed).output().unwrap()
}

fn command(engine: &Engine, arguments: &[&str], config: &Path, seed: Option<&str>) -> Command {
    let mut command = engine.command(arguments);
    command.arg("--config").arg(config).env("NEO_SESSION__DB", engine.db());
    if let Some(seed) = seed {
        command.env("NEO_WALLET_SEED", seed);
    }
    command
}

fn start<'a>(engine: &'a Engine, config: &Path, seed: Option<&str>, more: &[&str]) -> Running<'a> {
    let mut arguments = vec!["run", "--mode", "live"];
    arguments.extend(more);
    engine.spawn(command(engine, &arguments, config, seed))
}

/// An account with XRP, a trust line made by `neo setup`, and RLUSD.
fn ready(engine: &Engine, node: &mut StandAlone, seed: &str, config: &Path) -> Address {
    let account = key(seed).address();
    node.fund(account, 10_000 * XRP);
    let setup = neo(engine, &["setup", "--yes", "--json", "--limit", "5000000"], config, Some(seed));
    assert_eq!(setup.status.code(), Some(0), "{}", stderr(&setup));
    let told: Value = serde_json::from_str(&stdout(&setup)).unwrap();
    assert_eq!((&told["trust_line"], &told["limit"]), (&json!("made"), &json!("5000000")), "{told}");
    node.issue(account, "20000");
    account
}

/// The session is closed, its record true, and equal to what the ledger says, to the last digit.
fn record_is_the_ledgers(engine: &Engine, node: &mut StandAlone, account: Address) {
    assert_eq!(node.offers(account), 0, "an offer of ours is left on the ledger");
    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert_eq!((session.ended_at_source, session.end_detail.as_deref()), (Some(EndedAtSource::Clean), None));
    let closing = record.last_valuation(session.number).unwrap().unwrap();
    assert!(record.reconcile(session.number).unwrap().adds_up());

    // Each transaction's change of the balances, from the ledger; and the same from the record's fills and flows.
    let (first, last) = (session.starting_ledger_index.unwrap(), session.ending_ledger_index.unwrap());
    let token = node.token();
    let mut on_ledger: BTreeMap<String, (Drops, Dec)> = BTreeMap::new();
    for transaction in node.history(account) {
        if !(first + 1..=last).contains(&transaction.ledger_index) {
            continue;
        }
        let (mut xrp, mut rlusd) = (Drops::ZERO, Dec::zero());
        if let Some((after, Some(before))) = transaction.meta.root(account).and_then(|root| root.account_drops()) {
            xrp = after.sub(before).unwrap();
        }
        for line in transaction.meta.nodes.iter().filter_map(|entry| entry.line_balance(account, token)) {
            rlusd = rlusd.add(line.now.sub(line.before.unwrap_or(line.now)).unwrap()).unwrap();
        }
        if xrp != Drops::ZERO || !rlusd.is_zero() {
            on_ledger.insert(transaction.hash.to_string(), (xrp, rlusd));
        }
    }
    let mut recorded: BTreeMap<String, (Drops, Dec)> = BTreeMap::new();
    let mut add = |hash: &str, xrp: Drops, rlusd: Dec| {
        let sum = recorded.entry(hash.to_string()).or_insert((Drops::ZERO, Dec::zero()));
        *sum = (sum.0.add(xrp).unwrap(), sum.1.add(rlusd).unwrap());
    };
    for fill in record.fills(session.number).unwrap() {
        let fill = fill.record;
        // What an earlier session missed is recorded by the next one.
        if fill.ledger_index <= first {
            continue;
        }
        match fill.side {
            Side::Bid => add(&fill.tx_hash, fill.xrp, fill.rlusd.neg()),
            Side::Ask => add(&fill.tx_hash, Drops::ZERO.sub(fill.xrp).unwrap(), fill.rlusd),
        }
    }
    for flow in record.flows(session.number).unwrap() {
        let flow = flow.record;
        assert_ne!(flow.cause, FlowCause::Unexplained, "{flow:?}");
        if flow.ledger_index > first {
            add(flow.tx_hash.as_deref().unwrap(), flow.xrp, flow.rlusd);
        }
    }
    assert_eq!(recorded, on_ledger);
    if node.account(account).ledger_index == closing.ledger_index {
        assert_eq!((closing.xrp, closing.rlusd), (node.account(account).balance, node.held(account)));
    }
}

/// Every file that the engine wrote, and what it printed, without the key.
fn nothing_tells_the_key(engine: &Engine, seed: &str, printed: &[&[u8]]) {
    let (entropy, _) = entropy_of(seed).unwrap();
    let hex = neo_ledger::hex::encode_upper(&entropy);
    let secrets = [seed.as_bytes().to_vec(), hex.to_lowercase().into_bytes(), hex.into_bytes(), entropy.to_vec()];
    let holds = |bytes: &[u8]| secrets.iter().any(|secret| bytes.windows(secret.len()).any(|part| part == *secret));
    let mut looked_at = 0;
    let mut folders = vec![engine.folder().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "key") {
                assert!(!holds(&std::fs::read(&path).unwrap()), "{} tells the key", path.display());
                looked_at += 1;
            }
        }
    }
    // The record, its log and the two standard streams at least.
    assert!(looked_at >= 4, "{looked_at} files");
    for (number, text) in printed.iter().enumerate() {
        assert!(!text.is_empty() && !holds(text), "output {number} tells the key");
    }
}

#[test]
fn on_a_node_that_closes_on_request_a_session_trades_and_records_what_the_ledger_did() {
    let engine = Engine::new();
    let seed = seed_of(101);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "[log]\nlevel = \"trace\"\n");
    let account = ready(&engine, &mut node, &seed, &config);
    let preflight = neo(&engine, &["preflight"], &config, Some(seed.as_str()));
    assert_eq!(preflight.status.code(), Some(0), "{}{}", stdout(&preflight), stderr(&preflight));
    let again = neo(&engine, &["setup", "--yes"], &config, Some(seed.as_str()));
    assert!(again.status.success() && stdout(&again).contains("nothing to do"), "{}", stdout(&again));

    let mut running = start(&engine, &config, Some(seed.as_str()), &["--for", "60s", "--json"]);
    let status = running.until_it_quotes();
    assert_eq!((&status["mode"], status["withheld_reason"].is_null()), (&json!("live"), true), "{status}");
    // What nobody announced.
    let xrp = node.fund(account, 123_456_789);
    // A balance has sixteen digits: what arrives beyond them is the ledger's rounding, not a deposit.
    let rlusd = node.issue(account, "77.12345678901");
    let status = engine.neo("status", &[]);
    let status_json = engine.neo("status", &["--json"]);
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    }
    assert_eq!(running.wait(), 0, "{}", engine.stderr());

    record_is_the_ledgers(&engine, &mut node, account);
    let record = engine.record();
    let session = record.session(None).unwrap();
    assert_eq!((session.end_reason, session.network.as_str()), (Some(EndReason::Elapsed), "standalone-65001"));
    let fills = record.fills(1).unwrap();
    assert!(!fills.is_empty(), "nothing was filled");
    assert!(fills.iter().any(|fill| fill.record.role == Role::Maker), "{fills:?}");
    let deposits: BTreeSet<(String, Drops, String)> = record
        .flows(1)
        .unwrap()
        .into_iter()
        .filter(|flow| flow.record.cause == FlowCause::Deposit)
        .map(|flow| (flow.record.tx_hash.unwrap(), flow.record.xrp, flow.record.rlusd.to_string()))
        .collect();
    let expected = [(xrp, Drops::new(123_456_789), "0".to_string()), (rlusd, Drops::ZERO, "77.12345678901".into())];
    assert_eq!(deposits, BTreeSet::from(expected));
    // From 1025 on the network's id is in each transaction.
    for intent in record.intents(1).unwrap() {
        assert_eq!(node.fields(&intent.intent.tx_hash)["NetworkID"], 65_001);
    }
    let checked = engine.command(&["config", "check", config.to_str().unwrap()]).output().unwrap();
    let report = engine.neo("report", &["--json"]);
    let printed = [&status.stdout, &status_json.stdout, &checked.stdout, &report.stdout, &preflight.stdout];
    nothing_tells_the_key(&engine, &seed, &printed.map(Vec::as_slice));
}

#[cfg(unix)]
#[test]
fn on_a_node_that_closes_by_itself_a_stop_leaves_nothing_and_a_key_file_does() {
    use std::os::unix::fs::PermissionsExt as _;
    let engine = Engine::new();
    // Up to 1024 a transaction must not name its network.
    let mut node = StandAlone::start(&engine, &["--speed", "10"], 1_024, "");
    let file = engine.folder().join("key");
    std::fs::write(&file, format!("{ED25519}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let with_file = format!("key_file = {:?}\n", file.to_str().unwrap());
    let config = node.config(&engine, key(ED25519).address(), "");
    let account = ready(&engine, &mut node, ED25519, &config);
    let config = node.config(&engine, account, &with_file);
    let mut running = start(&engine, &config, None, &[]);
    running.until_it_quotes();
    assert!(node.offers(account) > 0);
    until(|| {
        let status: Value = serde_json::from_slice(&engine.neo("status", &["--json"]).stdout).ok()?;
        (status["bid_fills"].as_u64()? + status["ask_fills"].as_u64()? > 0).then_some(())
    });
    let stop = engine.neo("stop", &[]);
    assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), stderr(&stop));
    assert_eq!(running.wait(), 0, "{}", engine.stderr());
    record_is_the_ledgers(&engine, &mut node, account);
    for intent in engine.record().intents(1).unwrap() {
        let fields = node.fields(&intent.intent.tx_hash);
        assert!(fields.get("NetworkID").is_none(), "{fields}");
    }
    // Killed, it leaves its offers; the next session finds and cancels them, and records what they were filled with.
    let mut running = start(&engine, &config, None, &[]);
    running.until_it_quotes();
    running.kill();
    assert!(node.offers(account) > 0);
    let next = neo(&engine, &["run", "--for", "20s"], &config, None);
    assert_eq!(next.status.code(), Some(0), "{}", stderr(&next));
    assert_eq!(engine.record().session(None).unwrap().resumed_from, Some(2));
    record_is_the_ledgers(&engine, &mut node, account);
    nothing_tells_the_key(&engine, ED25519, &[]);
}

#[cfg(unix)]
#[test]
fn another_program_signs_and_the_engine_never_sees_the_seed() {
    use std::os::unix::fs::PermissionsExt as _;
    let engine = Engine::new();
    let (seed, seed_file) = (seed_of(103), engine.folder().join("only-the-signer-reads-this"));
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "");
    let account = ready(&engine, &mut node, &seed, &config);
    std::fs::write(&seed_file, &seed).unwrap();
    std::fs::set_permissions(&seed_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let signer = Path::new(env!("CARGO_BIN_EXE_neo")).with_file_name("examples").join("signer");
    assert!(signer.exists(), "{} is missing: cargo build --example signer", signer.display());
    let (entropy, _) = neo_ledger::keys::entropy_of(&seed).unwrap();
    let public = neo_ledger::keys::written(entropy, &key(&seed)).unwrap().1;
    let account_lines = |file: &Path| {
        format!("signer = [{:?}, {:?}]\npublic_key = {public:?}\n", signer.to_str().unwrap(), file.to_str().unwrap())
    };
    let config = node.config(&engine, account, &account_lines(&seed_file));
    let preflight = neo(&engine, &["preflight"], &config, None);
    assert_eq!(preflight.status.code(), Some(0), "{}{}", stdout(&preflight), stderr(&preflight));
    let run = neo(&engine, &["run", "--for", "40s"], &config, None);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(engine.record().intents(1).unwrap().len() > 4);
    assert_eq!(node.offers(account), 0, "the cancels are signed by it, too");
    record_is_the_ledgers(&engine, &mut node, account);
    // One that takes its time holds the orders' state while it signs, and that is no freeze.
    let (program, file) = (signer.display(), seed_file.display());
    let slow = format!("while read -r line; do sleep 0.24; echo \"$line\"; done | {program} {file}");
    let lines = format!("signer = [\"sh\", \"-c\", {slow:?}]\npublic_key = {public:?}\nsigner_timeout_ms = 1200\n");
    let run = neo(&engine, &["run", "--for", "20s"], &node.config(&engine, account, &lines), None);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(node.offers(account), 0);
    record_is_the_ledgers(&engine, &mut node, account);
    // A program that cannot sign is found before the session.
    let config = node.config(&engine, account, &account_lines(&engine.folder().join("absent")));
    let refused = neo(&engine, &["run", "--for", "40s"], &config, None);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("account.signer"), "{}", stderr(&refused));
    std::fs::remove_file(seed_file).unwrap();
    nothing_tells_the_key(&engine, &seed, &[]);
}

#[test]
fn a_regular_key_trades_for_the_account_and_a_disabled_master_key_does_not() {
    let engine = Engine::new();
    let seed = seed_of(102);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let config = node.config(&engine, key(&seed).address(), "");
    let account = ready(&engine, &mut node, &seed, &config);
    let stranger = neo(&engine, &["run", "--for", "10s"], &config, Some(ED25519));
    assert_eq!(stranger.status.code(), Some(2), "{}", stderr(&stranger));
    assert!(stderr(&stranger).contains("no regular key"), "{}", stderr(&stranger));

    let regular = key(ED25519).address();
    node.submit(&key(&seed), json!({"TransactionType": "SetRegularKey", "RegularKey": regular}));
    node.submit(&key(&seed), json!({"TransactionType": "AccountSet", "SetFlag": 4}));
    let master = neo(&engine, &["run", "--for", "10s"], &config, Some(seed.as_str()));
    assert_eq!(master.status.code(), Some(2), "{}", stderr(&master));
    assert!(stderr(&master).contains("disabled"), "{}", stderr(&master));
    assert!(!engine.db().exists(), "a refused start makes no record");

    let session = neo(&engine, &["run", "--for", "20s"], &config, Some(ED25519));
    assert_eq!(session.status.code(), Some(0), "{}", stderr(&session));
    record_is_the_ledgers(&engine, &mut node, account);
    let intents = engine.record().intents(1).unwrap();
    assert!(!intents.is_empty());
    for intent in intents {
        let fields = node.fields(&intent.intent.tx_hash);
        assert_eq!(fields["SigningPubKey"], key(ED25519).public_key(), "{fields}");
    }
}

#[test]
fn what_must_not_be_traded_on_is_refused_before_there_is_a_record() {
    let engine = Engine::new();
    let seed = seed_of(103);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "");
    let account = key(&seed).address();
    let config = node.config(&engine, account, "");
    let refused = |exit: i32, says: &str, config: &Path, seed: Option<&str>, more: &[&str]| {
        let mut arguments = vec!["run", "--for", "10s"];
        arguments.extend(more);
        let run = neo(&engine, &arguments, config, seed);
        let said = stderr(&run);
        assert_eq!(run.status.code(), Some(exit), "{says}: {said}");
        assert!(said.contains(says), "{says}: {said}");
        assert!(!engine.db().exists(), "{says}: a record was made");
    };
    let seed = Some(seed.as_str());
    refused(2, "NEO_WALLET_SEED", &config, None, &[]);
    refused(2, "not a family seed", &config, Some("sn259rEFXrQrWyx3Q7XneWcwV6dfM"), &[]);
    refused(2, "sEd", &config, Some(ED25519), &["--set", "account.key_type=secp256k1"]);
    refused(2, "network 65001", &config, seed, &["--set", "network.network_id=65002"]);
    refused(1, "send it at least", &config, seed, &[]);
    let setup = neo(&engine, &["setup", "--yes"], &config, seed);
    assert_eq!(setup.status.code(), Some(1), "{}", stderr(&setup));
    node.fund(account, 100 * XRP);
    refused(1, "neo setup", &config, seed, &[]);
    let nobody = key(ED25519).address().to_string();
    refused(2, "is not on this ledger", &config, seed, &["--set", &format!("account.issuer={nobody}")]);
    refused(2, "the issuer of RLUSD on testnet", &config, seed, &["--set", "network.kind=testnet"]);
    refused(2, "real ledger goes on", &config, seed, &["--fresh", "--yes"]);
    let unasked = neo(&engine, &["setup"], &config, seed);
    assert!(unasked.status.code() == Some(1) && stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
    assert_eq!(node.history(account).len(), 1, "the payment that funded it, and nothing of its own");
    // A node that is not there, and one that lets nobody close its ledgers.
    refused(70, "not reached", &config, seed, &["--set", "network.url=ws://127.0.0.1:1"]);
    let engine = Engine::new();
    let node = StandAlone::start(&engine, &["--speed", "1"], 65_001, "");
    let config = node.config(&engine, account, "");
    let run = neo(&engine, &["run", "--set", "network.ledger_accept=true"], &config, seed);
    assert_eq!(run.status.code(), Some(2), "{}", stderr(&run));
    assert!(stderr(&run).contains("network.ledger_accept"), "{}", stderr(&run));
}

#[test]
fn a_node_that_is_amendment_blocked_is_refused() {
    let engine = Engine::new();
    let seed = seed_of(104);
    let blocked = "[faults]\namendment_blocked = { per_ledger = 1.0 }\n";
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, blocked);
    node.close();
    let config = node.config(&engine, key(&seed).address(), "");
    for command in ["run", "preflight"] {
        let run = neo(&engine, &[command], &config, Some(seed.as_str()));
        assert_eq!(run.status.code(), Some(1), "{}{}", stdout(&run), stderr(&run));
        let said = format!("{}{}", stdout(&run), stderr(&run));
        assert!(said.contains("amendment blocked"), "{said}");
    }
    assert!(!engine.db().exists());
}

#[test]
fn preflight_tells_everything_that_is_wrong_at_once_and_in_json() {
    let engine = Engine::new();
    let seed = seed_of(105);
    let mut node = StandAlone::start(&engine, &["--manual"], 65_001, "tick_size = 5\ntransfer_rate = 1002000000\n");
    let config = node.config(&engine, key(&seed).address(), "");
    node.fund(key(&seed).address(), 2 * XRP);
    let wrong = |seed: Option<&str>| {
        let run = neo(&engine, &["preflight", "--json"], &config, seed);
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        let told: Value = serde_json::from_str(&stdout(&run)).unwrap();
        assert_eq!(told["verdict"], "problems");
        let rows = told["checks"].as_array().unwrap().clone();
        let bad =
            rows.iter().filter(|row| row["verdict"] != "ok").map(|row| row["check"].as_str().unwrap().to_string());
        bad.collect::<Vec<_>>()
    };
    assert_eq!(wrong(Some(seed.as_str())), ["trust line", "funds"]);
    assert_eq!(wrong(Some(ED25519)), ["key", "trust line", "funds"]);
    assert_eq!(wrong(None), ["key", "trust line", "funds"]);
    ready(&engine, &mut node, &seed, &config);
    assert_eq!(wrong(Some(seed.as_str())), ["transfer rate"]);
    assert!(!engine.db().exists(), "preflight makes nothing");
}

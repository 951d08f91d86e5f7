//! A world built like the one that the recorded requests were asked in: the same accounts, the same transactions in the
//! same ledgers as far as they are known.

use std::collections::BTreeMap;

use neo_ledger::{Hash, LedgerTime, sha512_half};
use serde_json::{Map, Value as Json, json};

use crate::apply::tx::{Signer, Tx};
use crate::node::Node;
use crate::scenario::Scenario;

pub(super) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/api/rippled");
const MASTER: &str = "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh";
const ISSUER: &str = "rhfgRW9rZ4fr6xeobJA36tPwLY6sZDYBHc";
const MAKER: &str = "rUYkdjQkbCqYDQsgm7BrFqgQ8bAQp6v12x";
const TAKER: &str = "rHe513FWpYtgJLhsPSP6pFrroDYJReZ3gt";
const LP: &str = "rnPzs9sc5LfiYXfNhzHeknd648gUwVT3Cg";
const POOR: &str = "rRU1rt4Sj3h8eBmQ5jrC5gjnmF8NqkGrc";
/// The pool's account: a real ledger takes it from the hash of its parent.
const POOL: &str = "rarHcL2rtKR1RipedTL2VxLdF6mRMDYZvo";
const RLUSD: &str = "524C555344000000000000000000000000000000";
/// The close time of ledger 4, less its age.
const START_S: u32 = 848_722_879;
/// The last ledger of the recorded world.
const LAST: u32 = 28;

/// Reads a file of the fixtures; `None` when they are not there, which is said.
pub(super) fn fixture(name: &str) -> Option<Json> {
    match std::fs::read_to_string(format!("{FIXTURES}/{name}")) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            eprintln!(
                "skipped: {FIXTURES}/{name} is not here ({error}); the recorded messages are not part of the project"
            );
            None
        }
    }
}

/// Transactions with their hashes, by ledger.
type Ledgers = BTreeMap<u32, Vec<(Hash, Map<String, Json>)>>;

/// Transactions as the recorded answers show them.
fn recorded() -> Option<Ledgers> {
    let cases = fixture("requests/account_tx.v1.json")?;
    let mut ledgers = Ledgers::new();
    for row in cases
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|case| case["response"]["result"]["transactions"].as_array().cloned().unwrap_or_default())
    {
        let Some(tx) = row["tx"].as_object() else { continue };
        let hash: Hash = tx["hash"].as_str().unwrap().parse().unwrap();
        let ledger = u32::try_from(tx["ledger_index"].as_u64().unwrap()).unwrap();
        let rows = ledgers.entry(ledger).or_default();
        if rows.iter().all(|(known, _)| *known != hash) {
            let mut tx = tx.clone();
            for field in ["ctid", "date", "DeliverMax", "hash", "inLedger", "ledger_index"] {
                tx.remove(field);
            }
            rows.push((hash, tx));
        }
    }
    Some(ledgers)
}

/// What no recorded answer shows, but the world's state tells.
fn unknown(ledger: u32) -> Vec<Json> {
    let rlusd = |value: &str| json!({ "currency": RLUSD, "issuer": ISSUER, "value": value });
    let pay = |from: &str, to: &str, amount: Json| json!({ "TransactionType": "Payment", "Account": from, "Destination": to, "Amount": amount, "Fee": "10" });
    let trust = |account: &str| json!({ "TransactionType": "TrustSet", "Account": account, "LimitAmount": rlusd("1000000000"), "Fee": "10" });
    match ledger {
        // The issuer is funded first: the master's sequence numbers decide.
        4 => [ISSUER, LP, POOR].map(|to| pay(MASTER, to, json!("10000000000"))).to_vec(),
        5 => vec![json!({ "TransactionType": "AccountSet", "Account": ISSUER, "SetFlag": 8, "Fee": "10" })],
        6 => vec![trust(LP), trust(POOR)],
        7 => [LP, POOR].map(|to| pay(ISSUER, to, rlusd("20000"))).to_vec(),
        8 => vec![json!({
            "TransactionType": "AMMCreate", "Account": LP, "Amount": "2000000000", "Amount2": rlusd("4000"),
            "TradingFee": 300, "Fee": "200000",
        })],
        27 => vec![json!({
            "TransactionType": "OfferCreate", "Account": POOR, "TakerGets": rlusd("3700"), "TakerPays": "2000000000",
            "Fee": "10",
        })],
        _ => Vec::new(),
    }
}

/// The world, and what of it could not be done here.
pub(super) fn build() -> Option<(Node, Vec<String>)> {
    let recorded = recorded()?;
    let scenario = Scenario {
        network_id: 0,
        market: false,
        close_interval_ms: 1_000,
        start_time_s: START_S,
        issuer: Some(ISSUER.parse().unwrap()),
        ..Scenario::default()
    };
    let mut node = Node::new(&scenario, 1).unwrap();
    for account in [ISSUER, MAKER, TAKER, LP, POOR] {
        node.history.track(account.parse().unwrap());
    }
    node.chain.pool_account = Some(POOL.parse().unwrap());
    let mut refused = Vec::new();
    assert_eq!(node.ledger_index(), 2);
    for ledger in 3..=LAST {
        let mut txs: Vec<(Option<Hash>, Json)> = Vec::new();
        txs.extend(unknown(ledger).into_iter().map(|json| (None, json)));
        let known = recorded.get(&ledger).cloned().unwrap_or_default();
        txs.extend(known.into_iter().map(|(hash, json)| (Some(hash), Json::Object(json))));
        // The issuer, then those whose sequence number is known, then the others.
        txs.sort_by_key(|(_, json)| (json["Destination"] != ISSUER, json["Sequence"].as_u64().unwrap_or(u64::MAX)));
        for (hash, mut json) in txs {
            let account = json["Account"].as_str().unwrap().parse().unwrap();
            let sequence = node.chain.open().account(account).map_or(0, |root| root.sequence);
            // A step before was refused: the account's later sequence numbers shift.
            json["Sequence"] = json!(sequence);
            json.as_object_mut().unwrap().entry("SigningPubKey").or_insert(json!(""));
            let hash = hash.unwrap_or_else(|| sha512_half(&[json.to_string().as_bytes()]));
            let kind = json["TransactionType"].as_str().unwrap().to_string();
            let result = match Tx::parse(json, hash, Signer::Simulation) {
                Ok(tx) => node.chain.submit(tx, false).result.token.to_string(),
                Err(error) => error.to_string(),
            };
            if !result.starts_with("tes") && !result.starts_with("tec") {
                refused.push(format!("{kind} in ledger {ledger}: {result}"));
            }
        }
        node.close_ledger();
    }
    assert_eq!(node.ledger_index(), LAST);
    assert_eq!(node.close_time(), LedgerTime(START_S + LAST - 2));
    node.allow_ledger_accept(false);
    node.set_port(26_007);
    Some((node, refused))
}

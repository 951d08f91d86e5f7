//! Methods that no recorded request covers, and rules of their own.

use neo_ledger::keys::Keypair;
use serde_json::{Value as Json, json};

use crate::api::objects;
use crate::node::{ConnectionId, Node};
use crate::scenario::Scenario;

/// The well-known seed of the master account of every stand-alone rippled.
const MASTER_SEED: &str = "snoPBrXtMeMyMHUVTgbuqAfg1SUTb";

struct Client {
    node: Node,
    id: ConnectionId,
}

impl Client {
    fn new() -> Client {
        let mut node = Node::new(&Scenario { market: false, network_id: 7, ..Scenario::default() }, 1).unwrap();
        let id = node.connect();
        Client { node, id }
    }

    /// Messages that a request makes go out; the answer is the last.
    fn all(&mut self, request: Json) -> Vec<Json> {
        let outgoing = self.node.request(self.id, &request.to_string());
        outgoing.iter().map(|out| serde_json::from_str(&out.text).unwrap()).collect()
    }

    fn ask(&mut self, request: Json) -> Json {
        self.all(request).pop().unwrap()
    }

    fn submit(&mut self, seed: &str, fields: Json) -> Vec<Json> {
        let pair = Keypair::from_seed(seed).unwrap();
        let mut json = fields;
        json["Account"] = json!(pair.address());
        json["Fee"] = json!("10");
        if json.get("Sequence").is_none() {
            let root = self.node.chain.open().account(pair.address()).unwrap();
            json["Sequence"] = json!(root.sequence);
        }
        self.all(json!({ "command": "submit", "tx_blob": pair.sign_json(&json).unwrap().blob }))
    }
}

#[test]
fn the_master_account_pays_with_its_well_known_seed() {
    let mut client = Client::new();
    let wallet = client.ask(json!({ "command": "wallet_propose" }))["result"].clone();
    assert!(wallet["warning"].as_str().unwrap().contains("simulated"), "{wallet}");
    let seed = wallet["master_seed"].as_str().unwrap().to_string();
    assert_eq!(json!(Keypair::from_seed(&seed).unwrap().address()), wallet["account_id"]);
    let pay = json!({ "TransactionType": "Payment", "Destination": wallet["account_id"], "Amount": "5000000" });
    let answer = client.submit(MASTER_SEED, pay.clone()).pop().unwrap();
    assert_eq!(answer["result"]["engine_result"], "tesSUCCESS", "{answer}");
    let hash = answer["result"]["tx_json"]["hash"].clone();
    // Known, and not validated, until the ledger closes.
    let pending = client.ask(json!({ "command": "tx", "transaction": hash, "api_version": 2 }))["result"].clone();
    assert_eq!((&pending["validated"], &pending["hash"]), (&json!(false), &hash));
    client.node.close_ledger();
    let found = client.ask(json!({ "command": "tx", "transaction": hash, "api_version": 2 }))["result"].clone();
    assert_eq!((&found["validated"], &found["meta"]["delivered_amount"]), (&json!(true), &json!("5000000")));
    let other = client.ask(json!({ "command": "wallet_propose" }))["result"].clone();
    assert_ne!(other["account_id"], wallet["account_id"]);
}

#[test]
fn wallets_follow_from_what_is_given() {
    let mut client = Client::new();
    // The values of xrpl.org's example of wallet_propose.
    let wallet = client.ask(json!({ "command": "wallet_propose", "passphrase": "snoPBrXtMeMyMHUVTgbuqAfg1SUTb" }));
    let result = &wallet["result"];
    assert_eq!(result["account_id"], "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh");
    assert_eq!(result["public_key"], "aBQG8RQAzjs1eTKFEAQXr2gS4utcDiEC9wmi7pfUPTi27VCahwgw");
    assert_eq!(result["master_seed_hex"], "DEDCE9CE67B451D852FD4E846FCDE31C");
    assert!(result.get("warning").is_none());
    let brain = client.ask(json!({ "command": "wallet_propose", "passphrase": "masterpassphrase" }));
    assert_eq!(brain["result"]["master_seed"], "snoPBrXtMeMyMHUVTgbuqAfg1SUTb");
    assert!(brain["result"]["warning"].is_string());
    for (field, value, error) in [
        ("key_type", json!("rsa"), "invalidParams"),
        ("key_type", json!(5), "invalidParams"),
        ("seed", json!("foo"), "badSeed"),
        ("seed_hex", json!("12"), "badSeed"),
    ] {
        let answer = client.ask(json!({ "command": "wallet_propose", field: value }));
        assert_eq!(answer["error"], error, "{field}: {answer}");
    }
}

#[test]
fn a_proposed_transaction_is_told_to_those_who_asked() {
    let mut client = Client::new();
    let destination = Keypair::from_seed("sEdTM1uX8pu2do5XvTnutH6HsouMaM2").unwrap().address();
    client.ask(json!({
        "command": "subscribe", "streams": ["transactions_proposed"], "accounts_proposed": [destination],
        "api_version": 2,
    }));
    let pay = json!({ "TransactionType": "Payment", "Destination": destination, "Amount": "5000000" });
    let messages = client.submit(MASTER_SEED, pay.clone());
    assert_eq!(messages.len(), 3, "by the stream, by the account, and the answer");
    assert_eq!((&messages[0]["status"], &messages[0]["validated"]), (&json!("proposed"), &json!(false)));
    assert_eq!(messages[0], messages[1]);
    let mut refused = pay.clone();
    refused["Sequence"] = json!(1);
    assert_eq!(client.submit(MASTER_SEED, refused).len(), 1, "what the open ledger refuses is not told");
    let validated: Vec<Json> =
        client.node.close_ledger().iter().map(|out| serde_json::from_str(&out.text).unwrap()).collect();
    assert_eq!(validated.len(), 2);
    assert!(validated.iter().all(|message| message["validated"] == json!(true)));
}

#[test]
fn a_sequence_gap_is_told_when_it_fills() {
    let mut client = Client::new();
    client.ask(json!({ "command": "subscribe", "streams": ["transactions_proposed"] }));
    let destination = Keypair::from_seed("sEdTM1uX8pu2do5XvTnutH6HsouMaM2").unwrap().address();
    let pay = |sequence: u32| {
        json!({
            "TransactionType": "Payment", "Destination": destination, "Amount": "5000000", "Sequence": sequence,
        })
    };
    assert_eq!(client.submit(MASTER_SEED, pay(2)).len(), 1);
    assert_eq!(client.submit(MASTER_SEED, pay(1)).len(), 3);
}

#[test]
fn what_nests_too_deep_or_is_no_object_is_told_back() {
    let mut client = Client::new();
    let nested = |depth: usize| format!("{{\"command\":\"ping\",\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let ask = |client: &mut Client, text: &str| {
        let outgoing = client.node.request(client.id, text);
        serde_json::from_str::<Json>(&outgoing.last().unwrap().text).unwrap()
    };
    assert_eq!(ask(&mut client, &nested(25))["status"], "success");
    for text in [nested(26), nested(20_000), "\u{0}".to_string(), "nul".to_string(), "5".to_string()] {
        let answer = ask(&mut client, &text);
        assert_eq!((&answer["error"], answer["value"].as_str()), (&json!("jsonInvalid"), Some(text.as_str())));
    }
    let large = format!("{{\"command\":\"ping\",\"a\":\"{}\"}}", "x".repeat(1_000_000));
    assert_eq!(ask(&mut client, &large)["error"], "jsonInvalid");
}

#[test]
fn entries_are_paged_and_found_again() {
    let mut node = Node::new(&Scenario::default(), 1).unwrap();
    let id = node.connect();
    let mut client = Client { node, id };
    let (mut seen, mut marker) = (Vec::new(), Json::Null);
    loop {
        let mut request = json!({ "command": "ledger_data", "ledger_index": "validated", "limit": 16 });
        if !marker.is_null() {
            request["marker"] = marker;
        }
        let result = client.ask(request)["result"].clone();
        seen.extend(result["state"].as_array().unwrap().clone());
        marker = result["marker"].clone();
        if marker.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), objects::all(client.node.chain.validated()).count());
    for entry in seen.iter().step_by(5) {
        let request = json!({ "command": "ledger_entry", "index": entry["index"], "ledger_index": "validated" });
        assert_eq!(client.ask(request)["result"]["node"], *entry);
    }
    let binary =
        json!({ "command": "ledger_entry", "index": seen[0]["index"], "ledger_index": "validated", "binary": true });
    assert!(client.ask(binary)["result"]["node_binary"].as_str().unwrap().starts_with("11"));
}

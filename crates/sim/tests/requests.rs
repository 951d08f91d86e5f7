//! Requests of any kind: every one is answered once, with an error or a result, and none stops the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::cell::RefCell;

use neo_sim::{Node, Scenario};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

/// The methods, and names that are none.
const METHODS: &[&str] = &[
    "account_channels",
    "account_currencies",
    "account_info",
    "account_lines",
    "account_nfts",
    "account_objects",
    "account_offers",
    "account_tx",
    "amm_info",
    "book_changes",
    "book_offers",
    "feature",
    "fee",
    "gateway_balances",
    "ledger",
    "ledger_accept",
    "ledger_closed",
    "ledger_current",
    "ledger_data",
    "ledger_entry",
    "path_find",
    "ping",
    "random",
    "server_info",
    "server_state",
    "sign",
    "simulate",
    "submit",
    "submit_multisigned",
    "subscribe",
    "transaction_entry",
    "tx",
    "unsubscribe",
    "version",
    "wallet_propose",
    "peers",
    "foo_bar",
    "",
];
/// Fields that the methods read.
const FIELDS: &[&str] = &[
    "account",
    "accounts",
    "accounts_proposed",
    "account_root",
    "amm",
    "amm_account",
    "api_version",
    "asset",
    "asset2",
    "binary",
    "books",
    "both",
    "ctid",
    "deletion_blockers_only",
    "expand",
    "feature",
    "forward",
    "hotwallet",
    "id",
    "ident",
    "index",
    "key_type",
    "ledger",
    "ledger_hash",
    "ledger_index",
    "ledger_index_max",
    "ledger_index_min",
    "limit",
    "marker",
    "max_ledger",
    "min_ledger",
    "offer",
    "params",
    "passphrase",
    "peer",
    "queue",
    "ripple_state",
    "ripplerpc",
    "seed",
    "seed_hex",
    "signer_lists",
    "snapshot",
    "streams",
    "taker",
    "taker_gets",
    "taker_pays",
    "ticket",
    "transaction",
    "transactions",
    "tx_blob",
    "tx_hash",
    "tx_json",
    "type",
    "url",
];
/// Texts that mean something somewhere.
const TEXTS: &[&str] = &[
    "",
    "validated",
    "current",
    "closed",
    "-1",
    "5",
    "4294967295",
    "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",
    "rUYkdjQkbCqYDQsgm7BrFqgQ8bAQp6v12x",
    "XRP",
    "USD",
    "524C555344000000000000000000000000000000",
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "C000000500000000",
    "ledger",
    "transactions",
    "offer",
    "state",
    "OfferCreate",
    "120007",
    "sEdTM1uX8pu2do5XvTnutH6HsouMaM2",
    "secp256k1",
    "2.0",
    "00000000000000000000000000000000000000000000000000000000000000AB,0",
    ",",
    "\u{0}",
    "é",
    "1e400",
];
const INNER: &[&str] = &[
    "currency",
    "issuer",
    "account",
    "seq",
    "accounts",
    "ledger",
    "TransactionType",
    "Account",
    "Fee",
    "Sequence",
    "TakerGets",
    "TakerPays",
    "Amount",
    "value",
    "taker_gets",
    "taker_pays",
    "both",
    "snapshot",
    "ticket_seq",
    "LimitAmount",
    "asset",
    "asset2",
    "Flags",
    "Destination",
    "owner",
];

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        3 => prop::sample::select(TEXTS).prop_map(|text| json!(text)),
        1 => any::<bool>().prop_map(|is| json!(is)),
        1 => (-3_i64..40).prop_map(|number| json!(number)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => Just(Json::Null),
        1 => ".{0,12}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|rows| json!(rows)),
            prop::collection::vec((prop::sample::select(INNER), inner), 0..5).prop_map(|fields| Json::Object(
                fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
            )),
        ]
    })
}

fn request() -> impl Strategy<Value = Map<String, Json>> {
    let fields = prop::collection::vec((prop::sample::select(FIELDS), value()), 0..6);
    (prop::sample::select(METHODS), fields).prop_map(|(method, fields)| {
        let mut request: Map<String, Json> =
            fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        request.insert("command".to_string(), json!(method));
        request
    })
}

thread_local! {
    static NODE: RefCell<Node> = RefCell::new(Node::new(&Scenario::default(), 1).unwrap());
}

fn answered(node: &mut Node, text: &str) -> Json {
    let id = node.connect();
    let outgoing = node.request(id, text);
    node.disconnect(id);
    let answers: Vec<Json> = outgoing
        .iter()
        .map(|out| serde_json::from_str::<Json>(&out.text).unwrap())
        .filter(|message| message["type"] == "response" || message["type"] == "error")
        .collect();
    assert_eq!(answers.len(), 1, "{text}");
    answers[0].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_answered_once(request in request()) {
        NODE.with_borrow_mut(|node| {
            let answer = answered(node, &Json::Object(request.clone()).to_string());
            let fine = answer["status"] == "success" && answer["result"].is_object();
            let failed = answer["status"] == "error" && answer["error"].is_string();
            assert!(fine != failed, "{answer}");
            // The node's own mistakes are called internal; only two methods have rippled's.
            let may = matches!(request["command"].as_str(), Some("account_tx")) || request.values().any(|value| value.is_array() || value.is_object());
            assert!(answer["error"] != "internal" || may, "{}", Json::Object(request.clone()));
            let mut params = request.clone();
            let method = params.remove("command").unwrap();
            let body = json!({ "method": method, "params": [params] }).to_string();
            let (_, reply) = node.post(body.as_bytes());
            assert!(reply.status == 400 || serde_json::from_str::<Json>(&reply.body).unwrap().is_object(), "{body}");
        });
    }

    #[test]
    fn any_text_is_answered_once(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        NODE.with_borrow_mut(|node| {
            assert!(answered(node, &text)["error"].is_string());
            let (outgoing, reply) = node.post(&bytes);
            assert!(outgoing.is_empty() && reply.status == 400);
        });
    }
}

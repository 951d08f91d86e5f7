//! The node's core: the same seed gives the same world, a saved world goes on, and answers have a node's shape.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

use neo_ledger::Address;
use neo_ledger::keys::{Keypair, Signed};
use neo_sim::{ConnectionId, Node, Scenario, maker_seed};
use serde_json::{Value as Json, json};

fn node(seed: u64) -> Node {
    Node::new(&Scenario::default(), seed).unwrap()
}

/// Sends a request; gives the response and what came before it.
fn ask(node: &mut Node, id: ConnectionId, request: Json) -> (Json, Vec<Json>) {
    let text = request.to_string();
    let mut messages: Vec<Json> =
        node.request(id, &text).into_iter().map(|out| serde_json::from_str(&out.text).unwrap()).collect();
    (messages.pop().unwrap(), messages)
}

fn result(node: &mut Node, id: ConnectionId, mut request: Json) -> Json {
    request["id"] = json!(1);
    request["api_version"] = json!(2);
    let (response, _) = ask(node, id, request);
    assert_eq!(response["status"], "success", "{response}");
    response["result"].clone()
}

fn keys(json: &Json) -> String {
    json.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
}

fn sign(node: &Node, pair: &Keypair, fields: Json, sequence: u64) -> Signed {
    let mut json = fields;
    json["Account"] = json!(pair.address());
    json["Sequence"] = json!(sequence);
    json["NetworkID"] = json!(node.scenario().network_id);
    if json.get("Fee").is_none() {
        json["Fee"] = json!("10");
    }
    pair.sign_json(&json).unwrap()
}

fn ask_offer(node: &Node, price: &str) -> Json {
    let token = node.scenario().token();
    json!({
        "TransactionType": "OfferCreate", "TakerGets": "1000000",
        "TakerPays": { "currency": token.currency, "issuer": token.issuer, "value": price },
    })
}

fn maker() -> (Keypair, Address) {
    let pair = Keypair::from_seed(&maker_seed()).unwrap();
    let address = pair.address();
    (pair, address)
}

fn submit(node: &mut Node, id: ConnectionId, signed: &Signed) -> Json {
    result(node, id, json!({ "command": "submit", "tx_blob": signed.blob }))
}

fn sequence(node: &mut Node, id: ConnectionId, account: Address) -> u64 {
    let info = result(node, id, json!({ "command": "account_info", "account": account, "ledger_index": "validated" }));
    info["account_data"]["Sequence"].as_u64().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_digest_after_every_ledger() {
    let (mut one, mut two, mut other) = (node(1), node(1), node(2));
    for _ in 0..60 {
        one.close_ledger();
        two.close_ledger();
        other.close_ledger();
        assert_eq!(one.digest().unwrap(), two.digest().unwrap());
        assert_eq!(one.last_ledger(), two.last_ledger());
        assert_ne!(one.last_ledger().account_hash, other.last_ledger().account_hash);
    }
    assert_ne!(one.digest().unwrap(), other.digest().unwrap());
    assert_eq!(one.close_time().0, 820_540_800 + (u32::from(one.ledger_index() as u16) - 1) * 3_900 / 1_000);
}

#[test]
fn a_saved_world_goes_on_as_if_it_had_not_stopped() {
    let mut one = node(1);
    for _ in 0..40 {
        one.close_ledger();
    }
    let saved = one.save().unwrap();
    let mut two = Node::load(&saved, one.scenario()).unwrap();
    assert_eq!(two.save().unwrap(), saved);
    for _ in 0..40 {
        one.close_ledger();
        two.close_ledger();
        assert_eq!(one.digest().unwrap(), two.digest().unwrap());
    }
    assert!(Node::load(b"{}", one.scenario()).is_err());
    let elsewhere = Scenario { network_id: 65_002, ..Scenario::default() };
    assert!(Node::load(&saved, &elsewhere).is_err());
}

#[test]
fn the_market_trades_and_only_fees_are_lost() {
    let mut node = node(4);
    let (_, account) = maker();
    let before = node.balances(account).unwrap().unwrap();
    assert_eq!((before.xrp.get(), before.rlusd.to_string().as_str()), (9_999_999_990, "25000"));
    let id = node.connect();
    result(&mut node, id, json!({ "command": "subscribe", "streams": ["ledger", "transactions"] }));
    let mut fills = 0;
    for _ in 0..200 {
        let messages: Vec<Json> =
            node.close_ledger().into_iter().map(|out| serde_json::from_str(&out.text).unwrap()).collect();
        assert_eq!(messages[0]["type"], "ledgerClosed");
        assert_eq!(messages[0]["txn_count"], json!(messages.len() - 1));
        let indexes: Vec<u64> = messages[1..].iter().map(|m| m["meta"]["TransactionIndex"].as_u64().unwrap()).collect();
        assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>());
        let is_fill = |m: &&Json| {
            m["tx_json"]["Flags"].as_u64().unwrap_or(0) & 0x0002_0000 != 0 && m["engine_result"] == "tesSUCCESS"
        };
        fills += messages[1..].iter().filter(is_fill).count();
    }
    assert!(fills > 50, "{fills}");
    let drops: i64 = node.validated_state().accounts().map(|(_, root)| root.balance).sum();
    let ledger = result(&mut node, id, json!({ "command": "ledger", "ledger_index": "validated" }));
    assert_eq!(ledger["ledger"]["total_coins"], json!(drops.to_string()));
    assert_eq!(node.balances(account).unwrap().unwrap(), before);
}

#[test]
fn answers_have_the_fields_of_a_real_node() {
    let mut node = node(1);
    node.close_ledger();
    let id = node.connect();
    let (pair, account) = maker();
    let rlusd = json!({ "currency": node.scenario().token().currency, "issuer": node.scenario().token().issuer });
    let info = result(&mut node, id, json!({ "command": "server_info" }));
    assert_eq!(keys(&info["info"]["validated_ledger"]), "age base_fee_xrp hash reserve_base_xrp reserve_inc_xrp seq");
    assert_eq!(info["info"]["network_id"], 65_001);
    let info =
        result(&mut node, id, json!({ "command": "account_info", "account": account, "ledger_index": "validated" }));
    assert_eq!(keys(&info), "account_data account_flags ledger_hash ledger_index validated");
    let expected = "Account Balance Flags LedgerEntryType OwnerCount PreviousTxnID PreviousTxnLgrSeq Sequence index";
    assert_eq!(keys(&info["account_data"]), expected);
    let lines = result(&mut node, id, json!({ "command": "account_lines", "account": account }));
    let expected = "account balance currency limit limit_peer no_ripple quality_in quality_out";
    assert_eq!(keys(&lines["lines"][0]), expected);
    let book = json!({ "command": "book_offers", "taker_gets": { "currency": "XRP" }, "taker_pays": rlusd, "ledger_index": "validated" });
    let book = result(&mut node, id, book);
    let expected = "Account BookDirectory BookNode Flags LedgerEntryType OwnerNode PreviousTxnID PreviousTxnLgrSeq \
                    Sequence TakerGets TakerPays index owner_funds quality";
    assert_eq!(keys(&book["offers"][0]), expected);
    assert!(book["offers"][1].get("owner_funds").is_none());
    let prices: Vec<f64> =
        book["offers"].as_array().unwrap().iter().map(|o| o["quality"].as_str().unwrap().parse().unwrap()).collect();
    assert!(prices.len() == 5 && prices.is_sorted(), "{prices:?}");
    let stream = result(&mut node, id, json!({ "command": "subscribe", "streams": ["ledger"], "accounts": [account] }));
    let expected =
        "fee_base ledger_hash ledger_index ledger_time network_id reserve_base reserve_inc validated_ledgers";
    assert_eq!(keys(&stream), expected);
    let next = sequence(&mut node, id, account);
    let signed = sign(&node, &pair, ask_offer(&node, "3"), next);
    let submitted = submit(&mut node, id, &signed);
    let expected = "accepted account_sequence_available account_sequence_next applied broadcast engine_result \
                    engine_result_code engine_result_message kept open_ledger_cost queued tx_blob tx_json \
                    validated_ledger_index";
    assert_eq!(keys(&submitted), expected);
    let (_, messages) = ask(&mut node, id, json!({ "command": "ledger_accept" }));
    let expected = "fee_base ledger_hash ledger_index ledger_time network_id reserve_base reserve_inc txn_count type \
                    validated_ledgers";
    assert_eq!(keys(&messages[0]), expected);
    let ours = messages.iter().find(|m| m["hash"] == json!(signed.hash)).unwrap();
    let expected = "close_time_iso ctid engine_result engine_result_code engine_result_message hash ledger_hash \
                    ledger_index meta status tx_json type validated";
    assert_eq!(keys(ours), expected);
    assert!(ours["tx_json"]["owner_funds"].is_string() && ours["tx_json"]["date"].is_u64());
    let offers = result(&mut node, id, json!({ "command": "account_offers", "account": account }));
    assert_eq!(keys(&offers["offers"][0]), "flags quality seq taker_gets taker_pays");
    assert_eq!(offers["offers"][0]["quality"], "0.000003");
    let info =
        result(&mut node, id, json!({ "command": "account_info", "account": account, "ledger_index": "validated" }));
    assert_eq!(info["account_data"]["PreviousTxnID"], json!(signed.hash));
    let found = result(&mut node, id, json!({ "command": "tx", "transaction": signed.hash }));
    assert_eq!(keys(&found), "close_time_iso ctid hash ledger_hash ledger_index meta tx_json validated");
    neo_ledger::message::ValidatedTransaction::from_account_tx(&found).unwrap();
    assert!(matches!(neo_ledger::message::parse(&ours.to_string()), Ok(neo_ledger::message::Message::Transaction(_))));
}

#[test]
fn account_tx_pages_cover_everything_once_in_both_directions() {
    let mut node = node(1);
    let id = node.connect();
    let (pair, account) = maker();
    let first = sequence(&mut node, id, account);
    for number in 0..7 {
        let signed = sign(&node, &pair, ask_offer(&node, "3"), first + number);
        assert_eq!(submit(&mut node, id, &signed)["engine_result"], "tesSUCCESS");
        if number % 3 == 2 {
            node.close_ledger();
        }
    }
    node.close_ledger();
    let mut seen = Vec::new();
    for forward in [true, false] {
        let (mut hashes, mut marker) = (Vec::new(), Json::Null);
        loop {
            let mut request = json!({ "command": "account_tx", "account": account, "limit": 2, "forward": forward });
            if !marker.is_null() {
                request["marker"] = marker;
            }
            let page = result(&mut node, id, request);
            hashes.extend(page["transactions"].as_array().unwrap().iter().map(|t| t["hash"].clone()));
            marker = page["marker"].clone();
            if marker.is_null() {
                break;
            }
        }
        seen.push(hashes);
    }
    // Funding, trust line and issue, then the seven.
    assert_eq!(seen[0].len(), 10);
    seen[1].reverse();
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn refusals_are_those_of_a_real_node() {
    let mut node = node(1);
    let id = node.connect();
    let (pair, account) = maker();
    let next = sequence(&mut node, id, account);
    let outcome = |node: &mut Node, fields: Json, sequence: u64| {
        let signed = sign(node, &pair, fields, sequence);
        submit(node, id, &signed)["engine_result"].as_str().unwrap().to_string()
    };
    let offer = ask_offer(&node, "3");
    let mut cheap = offer.clone();
    cheap["Fee"] = json!("9");
    assert_eq!(outcome(&mut node, cheap, next), "telINSUF_FEE_P");
    let mut late = offer.clone();
    late["LastLedgerSequence"] = json!(3);
    assert_eq!(outcome(&mut node, late, next), "tefMAX_LEDGER");
    assert_eq!(outcome(&mut node, offer.clone(), next - 1), "tefPAST_SEQ");
    // A gap: held, and applied once it fills.
    assert_eq!(outcome(&mut node, offer.clone(), next + 1), "terPRE_SEQ");
    assert_eq!(outcome(&mut node, offer.clone(), next), "tesSUCCESS");
    node.close_ledger();
    assert_eq!(sequence(&mut node, id, account), next + 2);
    let stranger = Keypair::from_entropy([3; 16], neo_ledger::keys::Algorithm::Ed25519).unwrap();
    let signed = sign(&node, &stranger, offer, 1);
    assert_eq!(submit(&mut node, id, &signed)["engine_result"], "terNO_ACCOUNT");
    let mut forged = ask_offer(&node, "3");
    for (field, value) in [("Account", json!(account)), ("Sequence", json!(next + 2)), ("Fee", json!("10"))] {
        forged[field] = value;
    }
    forged["NetworkID"] = json!(node.scenario().network_id);
    let forged = stranger.sign_json(&forged).unwrap();
    assert_eq!(submit(&mut node, id, &forged)["engine_result"], "tefBAD_AUTH");
    let good = sign(&node, &pair, ask_offer(&node, "3"), next + 2).blob;
    let flipped = good.replacen("0F4240", "0F4241", 1);
    assert_ne!(flipped, good);
    let (answer, _) = ask(&mut node, id, json!({ "id": 7, "command": "submit", "tx_blob": flipped }));
    assert_eq!(answer["error"], "invalidTransaction", "{answer}");
    assert_eq!(answer["error_exception"], "fails local checks: Invalid signature.");
    for (request, error) in [
        (json!({ "command": "foo" }), "unknownCmd"),
        (json!({ "id": 1 }), "missingCommand"),
        (json!({ "command": "ping", "api_version": 99 }), "invalid_API_version"),
        (json!({ "command": "account_info", "account": "foo" }), "actMalformed"),
        (json!({ "command": "account_info", "account": "rszpna9fEpbrBNxv1zzWaxRcNdN8Z2DDpY" }), "actNotFound"),
        (json!({ "command": "account_info", "account": account, "ledger_index": 99 }), "lgrNotFound"),
        (json!({ "command": "account_offers", "account": 12 }), "invalidParams"),
        (json!({ "command": "tx", "transaction": "0".repeat(64) }), "txnNotFound"),
        (json!({ "command": "subscribe", "streams": ["foo"] }), "malformedStream"),
        (json!({ "command": "book_offers", "taker_gets": { "currency": "XRP" } }), "invalidParams"),
    ] {
        let (answer, _) = ask(&mut node, id, request.clone());
        assert_eq!((&answer["error"], &answer["status"]), (&json!(error), &json!("error")), "{request}");
    }
}

#[test]
fn a_tape_is_traded_at_its_prices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape.csv");
    std::fs::write(&path, "t_ms,price,qty_xrp,notional_usd,taker_side\n0,2.5,10,25,sell\n5000,2.51,10,25.1,buy\n")
        .unwrap();
    let scenario = Scenario { tape: Some(path.clone()), ..Scenario::default() };
    let mut node = Node::new(&scenario, 1).unwrap();
    node.close_ledger();
    assert_eq!(node.fundamental_price().unwrap().to_string(), "2.5");
    node.close_ledger();
    assert_eq!(node.fundamental_price().unwrap().to_string(), "2.51");
    std::fs::write(&path, "t_ms,price\n").unwrap();
    assert!(Node::new(&scenario, 1).is_err());
}

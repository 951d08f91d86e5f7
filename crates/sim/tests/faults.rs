//! Faults at the node's surface: text in, text out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use neo_ledger::Address;
use neo_ledger::keys::{Keypair, Signed};
use neo_sim::faults::{Cut, FaultPlan, Times};
use neo_sim::{ConnectionId, Node, Scenario, maker_seed};
use serde_json::{Value as Json, json};

/// A ledger by which the world has begun.
const SOON: u32 = 12;

fn scenario(change: impl FnOnce(&mut FaultPlan)) -> Scenario {
    let mut scenario = Scenario::default();
    change(&mut scenario.faults);
    scenario
}

fn node(change: impl FnOnce(&mut FaultPlan)) -> Node {
    Node::new(&scenario(change), 1).unwrap()
}

fn ask(node: &mut Node, id: ConnectionId, request: Json) -> Json {
    let mut messages = node.request(id, &request.to_string());
    serde_json::from_str(&messages.pop().expect("an answer").text).unwrap()
}

fn result(node: &mut Node, id: ConnectionId, request: Json) -> Json {
    let answer = ask(node, id, request);
    assert_eq!(answer["status"], "success", "{answer}");
    answer["result"].clone()
}

fn close(node: &mut Node) -> Vec<Json> {
    node.close_ledger().into_iter().map(|out| serde_json::from_str(&out.text).unwrap()).collect()
}

/// Closes ledgers until the last one has this index.
fn close_until(node: &mut Node, index: u32) {
    while node.ledger_index() < index {
        node.close_ledger();
    }
}

fn indexes(messages: &[Json]) -> Vec<u64> {
    let closed = messages.iter().filter(|message| message["type"] == "ledgerClosed");
    closed.map(|message| message["ledger_index"].as_u64().unwrap()).collect()
}

fn subscribed(node: &mut Node) -> ConnectionId {
    let id = node.connect();
    result(node, id, json!({ "command": "subscribe", "streams": ["ledger", "transactions"] }));
    id
}

fn info(node: &mut Node, id: ConnectionId) -> Json {
    result(node, id, json!({ "command": "server_info" }))["info"].clone()
}

fn maker() -> (Keypair, Address) {
    let pair = Keypair::from_seed(&maker_seed()).unwrap();
    let address = pair.address();
    (pair, address)
}

fn sequence(node: &Node) -> u64 {
    u64::from(node.validated_state().account(maker().1).unwrap().sequence)
}

/// An ask of one XRP, far from the middle.
fn offer(node: &Node, sequence: u64, fee: u64, last: Option<u32>) -> Signed {
    let token = node.scenario().token();
    let mut json = json!({
        "TransactionType": "OfferCreate", "TakerGets": "1000000", "Account": maker().1, "Sequence": sequence,
        "TakerPays": { "currency": token.currency, "issuer": token.issuer, "value": "3" },
        "NetworkID": node.scenario().network_id, "Fee": fee.to_string(),
    });
    if let Some(last) = last {
        json["LastLedgerSequence"] = json!(last);
    }
    maker().0.sign_json(&json).unwrap()
}

fn submit(node: &mut Node, id: ConnectionId, signed: &Signed) -> Json {
    result(node, id, json!({ "command": "submit", "tx_blob": signed.blob }))
}

fn is_validated(node: &mut Node, id: ConnectionId, signed: &Signed) -> bool {
    ask(node, id, json!({ "command": "tx", "transaction": signed.hash }))["result"]["validated"] == true
}

#[test]
fn connections_drop_and_the_next_one_is_served() {
    for (cut, times) in [(Cut::Torn, 0), (Cut::TooSlow, 1)] {
        let mut node = node(|plan| {
            let which = if times == 0 { &mut plan.disconnect } else { &mut plan.slow_reader };
            *which = Times::at(&[SOON], 1);
        });
        let (one, two) = (subscribed(&mut node), subscribed(&mut node));
        close_until(&mut node, SOON - 1);
        assert_eq!((node.take_cuts(), node.clients()), (vec![], 2));
        assert!(close(&mut node).is_empty(), "the line broke before the ledger's messages");
        assert_eq!((node.take_cuts(), node.clients()), (vec![(one, cut), (two, cut)], 0));
        subscribed(&mut node);
        assert_eq!(indexes(&close(&mut node)), [u64::from(SOON) + 1]);
        assert!(node.take_cuts().is_empty());
    }
}

#[test]
fn slow_down_is_answered_until_the_load_wears_off() {
    let mut node = node(|plan| plan.slow_down = Times::at(&[SOON], 2));
    let id = subscribed(&mut node);
    close_until(&mut node, SOON);
    let answer = ask(&mut node, id, json!({ "id": 4, "command": "server_info" }));
    assert_eq!((&answer["error"], &answer["error_code"], &answer["id"]), (&json!("slowDown"), &json!(10), &json!(4)));
    let (_, reply) = node.post(br#"{"method":"server_info"}"#);
    assert!(reply.body.contains("slowDown"), "{}", reply.body);
    // A client that closes the ledgers is not shut out for ever.
    assert_eq!(ask(&mut node, id, json!({ "command": "ledger_accept" }))["status"], "success");
    let refused = (0..100).filter(|_| ask(&mut node, id, json!({ "command": "ping" }))["status"] == "error").count();
    assert_eq!(refused, 32);
    close(&mut node);
    info(&mut node, id);
}

#[test]
fn messages_are_lost_delayed_doubled_and_mixed_up() {
    let run = |change: &dyn Fn(&mut FaultPlan)| {
        let mut node = node(|plan| change(plan));
        // The subscription's answer may be lost too.
        let id = node.connect();
        node.request(id, &json!({ "command": "subscribe", "streams": ["ledger"] }).to_string());
        (0..200).flat_map(|_| indexes(&close(&mut node))).collect::<Vec<u64>>()
    };
    let all = run(&|_| {});
    let lost = run(&|plan| plan.messages.lost = 0.1);
    assert!(lost.len() < all.len() && lost.is_sorted() && lost.iter().all(|index| all.contains(index)));
    let doubled = run(&|plan| plan.messages.duplicated = 0.1);
    assert!(doubled.len() > all.len() && doubled.is_sorted());
    let delayed = run(&|plan| (plan.messages.delayed, plan.messages.delay_ledgers) = (0.1, 3));
    assert!(!delayed.is_sorted());
    let late = delayed.windows(2).filter_map(|two| two[0].checked_sub(two[1])).max().unwrap();
    assert!((1..=3).contains(&late), "{late}");
    let mut node = node(|plan| plan.messages.reordered = 0.2);
    let id = node.connect();
    node.request(id, &json!({ "command": "subscribe", "streams": ["ledger", "transactions"] }).to_string());
    let mixed = (0..50).filter(|_| close(&mut node).first().is_some_and(|first| first["type"] != "ledgerClosed"));
    assert!(mixed.count() > 0);
}

#[test]
fn a_node_that_fell_behind_says_so_and_catches_up() {
    let mut node = node(|plan| plan.behind = Times::at(&[SOON], 40));
    let id = subscribed(&mut node);
    close_until(&mut node, SOON - 1);
    let blob = offer(&node, sequence(&node), 10, None);
    for missed in 1..=40 {
        assert!(close(&mut node).is_empty());
        let info = info(&mut node, id);
        assert_eq!((&info["server_state"], &info["validated_ledger"]["seq"]), (&json!("syncing"), &json!(SOON - 1)));
        assert_eq!(info["validated_ledger"]["age"], missed * 3_900 / 1_000);
    }
    // After two minutes a method that needs a current ledger is refused.
    for (version, error) in [(1, "noCurrent"), (2, "notSynced")] {
        let request = json!({ "command": "submit", "tx_blob": blob.blob, "api_version": version });
        assert_eq!(ask(&mut node, id, request)["error"], error);
    }
    let expected: Vec<u64> = (u64::from(SOON)..=u64::from(SOON) + 40).collect();
    assert_eq!(indexes(&close(&mut node)), expected);
    let info = info(&mut node, id);
    assert_eq!((&info["server_state"], &info["validated_ledger"]["age"]), (&json!("full"), &json!(0)));
}

#[test]
fn a_node_forgets_history() {
    let mut node = node(|plan| (plan.forgets, plan.forgets_keep) = (Times::at(&[40], 1), 5));
    let id = subscribed(&mut node);
    close_until(&mut node, 39);
    let first = |node: &mut Node| {
        info(node, id)["complete_ledgers"].as_str().unwrap().split('-').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(first(&mut node), 1);
    let ledger = json!({ "command": "ledger", "ledger_index": 20 });
    result(&mut node, id, ledger.clone());
    close(&mut node);
    assert_eq!(first(&mut node), 36);
    assert_eq!(ask(&mut node, id, ledger)["error"], "lgrNotFound");
    // What comes later is remembered as usual.
    close_until(&mut node, 60);
    assert_eq!(first(&mut node), 36);
}

#[test]
fn a_ledger_is_missing_on_the_stream() {
    let mut node = node(|plan| plan.gap = Times::at(&[SOON], 2));
    subscribed(&mut node);
    close_until(&mut node, SOON - 2);
    let seen: Vec<u64> = (0..4).flat_map(|_| indexes(&close(&mut node))).collect();
    assert_eq!(seen, [u64::from(SOON) - 1, u64::from(SOON) + 2]);
    let id = node.connect();
    result(&mut node, id, json!({ "command": "ledger", "ledger_index": SOON }));
}

#[test]
fn some_transactions_are_accepted_and_never_get_in() {
    let mut node = node(|plan| plan.never_in = 1.0);
    let id = node.connect();
    let (next, last) = (sequence(&node), node.ledger_index() + 4);
    let lost = offer(&node, next, 10, Some(last));
    let said = submit(&mut node, id, &lost);
    assert_eq!((&said["engine_result"], &said["applied"]), (&json!("tesSUCCESS"), &json!(true)));
    assert_eq!(said["account_sequence_next"], next + 1);
    for _ in 0..3 {
        close(&mut node);
        assert!(!is_validated(&mut node, id, &lost));
        assert_eq!(sequence(&node), next);
        // Sent again, it meets the same fate.
        assert_eq!(submit(&mut node, id, &lost)["engine_result"], "tesSUCCESS");
    }
    (0..3).for_each(|_| drop(close(&mut node)));
    assert_eq!(submit(&mut node, id, &lost)["engine_result"], "tefMAX_LEDGER");
    let offers = result(&mut node, id, json!({ "command": "account_offers", "account": maker().1 }));
    assert_eq!(offers["offers"], json!([]));
}

#[test]
fn a_fee_spike_queues_what_offers_too_little() {
    let mut node = node(|plan| (plan.fee_spike, plan.fee_spike_factor) = (Times::at(&[SOON], 3), 50));
    let id = node.connect();
    close_until(&mut node, SOON - 1);
    assert_eq!(info(&mut node, id)["load_factor"], 50);
    let fee = result(&mut node, id, json!({ "command": "fee" }));
    assert_eq!((&fee["drops"]["open_ledger_fee"], &fee["drops"]["base_fee"]), (&json!("500"), &json!("10")));
    assert_eq!(result(&mut node, id, json!({ "command": "server_state" }))["state"]["load_factor"], 50 * 256);
    let next = sequence(&node);
    // The first must leave the queue too soon; then two in a row; the last comes after a hole.
    let hasty = offer(&node, next, 10, Some(SOON + 1));
    assert_eq!(submit(&mut node, id, &hasty)["engine_result"], "telCAN_NOT_QUEUE");
    let queued = [offer(&node, next, 10, Some(SOON + 20)), offer(&node, next + 1, 499, None)];
    for signed in &queued {
        let said = submit(&mut node, id, signed);
        assert_eq!((&said["engine_result"], &said["queued"]), (&json!("terQUEUED"), &json!(true)));
        assert_eq!((&said["applied"], &said["open_ledger_cost"]), (&json!(false), &json!("500")));
    }
    let after_a_hole = offer(&node, next + 5, 10, None);
    assert_eq!(submit(&mut node, id, &after_a_hole)["engine_result"], "telCAN_NOT_QUEUE");
    assert_eq!(result(&mut node, id, json!({ "command": "fee" }))["current_queue_size"], "2");
    for _ in 0..3 {
        close(&mut node);
        assert!(!is_validated(&mut node, id, &queued[0]));
    }
    assert_eq!(info(&mut node, id)["load_factor"], 1);
    close(&mut node);
    assert!(queued.iter().all(|signed| is_validated(&mut node, id, signed)));
}

#[test]
fn what_offers_enough_gets_in_during_a_fee_spike() {
    let mut node = node(|plan| plan.fee_spike = Times::at(&[SOON], 30));
    let id = node.connect();
    close_until(&mut node, SOON);
    let signed = offer(&node, sequence(&node), 1_000, None);
    assert_eq!(submit(&mut node, id, &signed)["engine_result"], "tesSUCCESS");
    close(&mut node);
    assert!(is_validated(&mut node, id, &signed));
}

#[test]
fn an_amendment_blocked_node_says_so_and_serves_no_more() {
    let mut node = node(|plan| plan.amendment_blocked = Times::at(&[SOON], 5));
    let id = subscribed(&mut node);
    close_until(&mut node, SOON - 1);
    assert!(close(&mut node).is_empty());
    let info = info(&mut node, id);
    assert_eq!((&info["amendment_blocked"], &info["server_state"]), (&json!(true), &json!("connected")));
    assert_eq!(info["warnings"][0]["id"], 1002);
    let signed = offer(&node, sequence(&node), 10, None);
    let refused = ask(&mut node, id, json!({ "command": "submit", "tx_blob": signed.blob }));
    assert_eq!((&refused["error"], &refused["error_code"]), (&json!("amendmentBlocked"), &json!(14)));
    (0..5).for_each(|_| drop(close(&mut node)));
    assert_eq!(submit(&mut node, id, &signed)["engine_result"], "tesSUCCESS");
}

#[test]
fn the_issuer_freezes_a_line_one_way_and_both_ways_and_everything() {
    let (one_way, both_ways, all) = ("freeze_peer", "deep_freeze_peer", "globalFreeze");
    for freeze in [one_way, both_ways, all] {
        let mut node = node(|plan| {
            let which = match freeze {
                "freeze_peer" => &mut plan.line_freeze,
                "deep_freeze_peer" => &mut plan.deep_freeze,
                _ => &mut plan.global_freeze,
            };
            *which = Times::at(&[SOON], 10);
        });
        let id = node.connect();
        let frozen = |node: &mut Node| {
            if freeze == all {
                let issuer = node.scenario().issuer();
                let asked = json!({ "command": "account_info", "account": issuer });
                result(node, id, asked)["account_flags"][freeze] == true
            } else {
                let asked = json!({ "command": "account_lines", "account": maker().1 });
                result(node, id, asked)["lines"][0][freeze] == true
            }
        };
        close_until(&mut node, SOON - 1);
        assert!(!frozen(&mut node));
        close_until(&mut node, SOON);
        assert!(frozen(&mut node), "{freeze}");
        // Frozen RLUSD buys nothing; that it cannot be bought either takes more than a freeze one way.
        let token = node.scenario().token();
        let rlusd = json!({ "currency": token.currency, "issuer": token.issuer, "value": "1" });
        let mut offers = |gets: &Json, pays: &Json, ahead: u64| {
            let offer = json!({
                "TransactionType": "OfferCreate", "TakerPays": pays, "TakerGets": gets, "Account": maker().1,
                "Sequence": sequence(&node) + ahead, "NetworkID": node.scenario().network_id, "Fee": "10",
            });
            submit(&mut node, id, &maker().0.sign_json(&offer).unwrap())["engine_result"].clone()
        };
        let (bid, ask) = (offers(&rlusd, &json!("1000000"), 0), offers(&json!("1000000"), &rlusd, 1));
        assert_eq!(bid, if freeze == all { "tecFROZEN" } else { "tecUNFUNDED_OFFER" }, "{freeze}");
        assert_eq!(ask, if freeze == one_way { "tesSUCCESS" } else { "tecFROZEN" }, "{freeze}");
        close_until(&mut node, SOON + 10);
        assert!(!frozen(&mut node));
    }
}

#[test]
fn tick_size_and_reserves_change_and_come_back() {
    let mut node = node(|plan| {
        (plan.tick_size, plan.tick_size_to) = (Times::at(&[SOON], 5), 4);
        (plan.reserve, plan.reserve_base_to_drops) = (Times::at(&[SOON], 5), 7_000_000);
    });
    let id = subscribed(&mut node);
    let issuer = node.scenario().issuer();
    let tick = |node: &mut Node| {
        let asked = json!({ "command": "account_info", "account": issuer, "ledger_index": "validated" });
        result(node, id, asked)["account_data"]["TickSize"].clone()
    };
    let reserve = |node: &mut Node| info(node, id)["validated_ledger"]["reserve_base_xrp"].clone();
    close_until(&mut node, SOON - 2);
    assert_eq!((tick(&mut node), reserve(&mut node)), (Json::Null, json!(1)));
    close_until(&mut node, SOON);
    assert_eq!((tick(&mut node), reserve(&mut node)), (json!(4), json!(7)));
    close_until(&mut node, SOON + 5);
    assert_eq!((tick(&mut node), reserve(&mut node)), (Json::Null, json!(1)));
}

#[test]
fn the_issuer_claws_back_from_the_maker() {
    let mut node = node(|plan| plan.clawback = Times::at(&[SOON], 1));
    let held = |node: &Node| node.balances(maker().1).unwrap().unwrap().rlusd.to_string();
    close_until(&mut node, SOON - 1);
    assert_eq!(held(&node), "25000");
    close_until(&mut node, SOON + 3);
    assert_eq!(held(&node), "24000");
}

#[test]
fn faults_that_only_show_move_no_trade() {
    let rough = scenario(|plan| {
        plan.disconnect.per_ledger = 0.2;
        plan.slow_down.per_ledger = 0.2;
        plan.gap.per_ledger = 0.2;
        plan.forgets.per_ledger = 0.1;
        plan.messages.lost = 0.2;
        plan.behind = Times::at(&[20], 7);
        plan.never_in = 1.0;
    });
    let (mut calm, mut rough) = (Node::new(&Scenario::default(), 1).unwrap(), Node::new(&rough, 1).unwrap());
    for _ in 0..60 {
        calm.close_ledger();
        rough.close_ledger();
    }
    assert_eq!(rough.ledger_index(), calm.ledger_index());
    assert_eq!(rough.digest().unwrap(), calm.digest().unwrap());
}

#[test]
fn a_world_loaded_while_the_node_is_behind_goes_on_as_the_first_would() {
    let scenario = scenario(|plan| {
        plan.behind = Times::at(&[20], 10);
        plan.global_freeze = Times::at(&[18], 20);
        plan.reserve = Times::at(&[18], 20);
    });
    let mut one = Node::new(&scenario, 1).unwrap();
    close_until(&mut one, 19);
    (0..4).for_each(|_| drop(one.close_ledger()));
    assert_eq!(one.ledger_index(), 19);
    let mut two = Node::load(&one.save().unwrap(), &scenario).unwrap();
    assert_eq!(two.health(), one.health());
    for _ in 0..40 {
        one.close_ledger();
        two.close_ledger();
        assert_eq!(two.ledger_index(), one.ledger_index());
        assert_eq!(two.last_ledger().account_hash, one.last_ledger().account_hash);
        assert_eq!(two.digest().unwrap(), one.digest().unwrap());
    }
    assert!(one.ledger_index() > 50);
}

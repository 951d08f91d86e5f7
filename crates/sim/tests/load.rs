//! A ledger under load, at the node's surface: what it costs, who waits, and who gets in when. The figures of the first test
//! are those that a rippled 2.6.1 with the same settings answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use neo_ledger::keys::{Algorithm, Keypair, Signed};
use neo_sim::faults::Times;
use neo_sim::{ConnectionId, Node, Scenario};
use serde_json::{Value as Json, json};

const MASTER_SEED: &str = "snoPBrXtMeMyMHUVTgbuqAfg1SUTb";

/// A node that runs alone, whose ledgers take twenty transactions cheaply.
struct World {
    node: Node,
    client: ConnectionId,
}

impl World {
    fn new(change: impl FnOnce(&mut Scenario)) -> World {
        let mut scenario = Scenario { market: false, network_id: 0, ..Scenario::default() };
        let queue = &mut scenario.queue;
        (queue.minimum_txn_in_ledger, queue.maximum_txn_in_ledger) = (20, Some(20));
        (queue.minimum_queue_size, queue.ledgers_in_queue) = (24, 1);
        change(&mut scenario);
        let mut node = Node::new(&scenario, 1).unwrap();
        let client = node.connect();
        World { node, client }
    }

    fn ask(&mut self, request: Json) -> Json {
        let mut messages = self.node.request(self.client, &request.to_string());
        let answer: Json = serde_json::from_str(&messages.pop().unwrap().text).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["result"].clone()
    }

    fn close(&mut self) {
        self.node.close_ledger();
    }

    fn fund(&mut self, names: &[u8], drops: u64) -> Vec<Keypair> {
        let master = Keypair::from_seed(MASTER_SEED).unwrap();
        let pairs: Vec<Keypair> =
            names.iter().map(|name| Keypair::from_entropy([*name; 16], Algorithm::Ed25519).unwrap()).collect();
        for pair in &pairs {
            let fields =
                json!({ "TransactionType": "Payment", "Destination": pair.address(), "Amount": drops.to_string() });
            let sequence = self.next(&master);
            assert_eq!(self.send(&master, sequence, 10, fields)["engine_result"], "tesSUCCESS");
        }
        self.close();
        pairs
    }

    /// The account's next sequence, those that wait not counted.
    fn next(&mut self, pair: &Keypair) -> u32 {
        let info = json!({ "command": "account_info", "account": pair.address(), "ledger_index": "current" });
        u32::try_from(self.ask(info)["account_data"]["Sequence"].as_u64().unwrap()).unwrap()
    }

    fn signed(pair: &Keypair, sequence: u32, fee: u64, fields: Json) -> Signed {
        let mut json = fields;
        if json.get("TransactionType").is_none() {
            json["TransactionType"] = json!("AccountSet");
        }
        json["Account"] = json!(pair.address());
        json["Sequence"] = json!(sequence);
        json["Fee"] = json!(fee.to_string());
        pair.sign_json(&json).unwrap()
    }

    fn send(&mut self, pair: &Keypair, sequence: u32, fee: u64, fields: Json) -> Json {
        let signed = World::signed(pair, sequence, fee, fields);
        self.ask(json!({ "command": "submit", "tx_blob": signed.blob }))
    }

    /// Engine result, cost of the open ledger, and next sequence to use.
    fn said(&mut self, pair: &Keypair, sequence: u32, fee: u64, fields: Json) -> (String, String, u64) {
        let said = self.send(pair, sequence, fee, fields);
        let text = |field: &str| said[field].as_str().unwrap().to_string();
        (text("engine_result"), text("open_ledger_cost"), said["account_sequence_available"].as_u64().unwrap())
    }

    /// Three accounts send seven transactions each: one more than the ledger takes cheaply.
    fn fill(&mut self, pairs: &[Keypair]) {
        for pair in pairs {
            let first = self.next(pair);
            for sequence in first..first + 7 {
                assert_eq!(self.send(pair, sequence, 10, json!({}))["engine_result"], "tesSUCCESS");
            }
        }
    }

    fn queue_of(&mut self, pair: &Keypair) -> Json {
        let request =
            json!({ "command": "account_info", "account": pair.address(), "ledger_index": "current", "queue": true });
        self.ask(request)["queue_data"].clone()
    }

    fn fee(&mut self) -> Json {
        self.ask(json!({ "command": "fee" }))
    }

    fn sizes(&mut self) -> [String; 4] {
        let fee = self.fee();
        ["current_ledger_size", "expected_ledger_size", "current_queue_size", "max_queue_size"]
            .map(|field| fee[field].as_str().unwrap_or("none").to_string())
    }
}

fn sell(world: &Keypair, xrp: u64) -> Json {
    let price = json!({ "currency": "USD", "issuer": world.address(), "value": "20" });
    json!({ "TransactionType": "OfferCreate", "TakerGets": (xrp * 1_000_000).to_string(), "TakerPays": price })
}

#[test]
fn a_full_ledger_costs_and_queues_as_recorded() {
    let mut world = World::new(|_| {});
    let pairs = world.fund(&[1, 2, 3, 4, 5], 1_000_000_000);
    let [fill @ .., maker, taker] = pairs.as_slice() else { panic!() };
    world.fill(fill);
    assert_eq!(world.sizes(), ["21", "20", "0", "24"]);
    let fee = world.fee();
    assert_eq!(
        fee["drops"],
        json!({ "base_fee": "10", "median_fee": "5000", "minimum_fee": "10", "open_ledger_fee": "5513" })
    );
    assert_eq!(fee["levels"]["open_ledger_level"], "141120");
    let first = world.next(maker);
    let answer =
        |result: &str, cost: &str, ahead: u32| (result.to_string(), cost.to_string(), u64::from(first + ahead));
    assert_eq!(world.said(maker, first, 10, sell(taker, 10)), answer("terQUEUED", "5512", 1));
    assert_eq!(world.said(maker, first + 1, 10, sell(taker, 11)), answer("terQUEUED", "5512", 2));
    assert_eq!(world.said(maker, first, 12, sell(taker, 10)), answer("telCAN_NOT_QUEUE_FEE", "5512", 2));
    assert_eq!(world.said(maker, first, 13, sell(taker, 10)), answer("terQUEUED", "5512", 2));
    assert_eq!(world.said(maker, first + 3, 10, sell(taker, 5)), answer("telCAN_NOT_QUEUE", "5512", 2));
    let flags = world.send(maker, first + 3, 10, sell(taker, 6));
    let flag = |name: &str| flags[name].as_bool().unwrap();
    assert!(flag("accepted") && flag("kept") && !flag("applied") && !flag("broadcast") && !flag("queued"));
    let next = world.next(taker);
    let paid = world.said(taker, next, 5_513, json!({}));
    assert_eq!(paid, ("tesSUCCESS".to_string(), "6050".to_string(), u64::from(next + 1)));
    let soon = world.node.ledger_index() + 2;
    let hasty = world.said(taker, next + 1, 10, json!({ "LastLedgerSequence": soon }));
    assert_eq!(hasty.0, "telCAN_NOT_QUEUE");
    assert_eq!(world.said(taker, next + 1, 6_051, json!({})).1, "6612");
    for ahead in 2..10 {
        assert_eq!(world.said(maker, first + ahead, 10, sell(taker, 5)), answer("terQUEUED", "6612", ahead + 1));
    }
    for ahead in 10..12 {
        assert_eq!(world.said(maker, first + ahead, 10, sell(taker, 5)), answer("telCAN_NOT_QUEUE_FULL", "6612", 10));
    }
    let queue = world.queue_of(maker);
    assert_eq!((&queue["sequence_count"], &queue["txn_count"]), (&json!(10), &json!(10)));
    assert_eq!((&queue["lowest_sequence"], &queue["highest_sequence"]), (&json!(first), &json!(first + 9)));
    assert_eq!(queue["max_spend_drops_total"], "61000103");
    assert_eq!(
        queue["transactions"][0],
        json!({ "auth_change": false, "fee": "13", "fee_level": "332", "max_spend_drops": "10000013", "seq": first })
    );
    assert_eq!(queue["auth_change_queued"], false);
    for pair in &fill[..2] {
        let next = world.next(pair);
        (next..next + 7).for_each(|sequence| assert_eq!(world.said(pair, sequence, 10, json!({})).0, "terQUEUED"));
    }
    assert_eq!(world.sizes(), ["23", "20", "24", "24"]);
    let next = world.next(&fill[0]);
    assert_eq!(world.said(&fill[0], next, 10, json!({ "SetFlag": 4 })).0, "telCAN_NOT_QUEUE_BLOCKS");
    let next = world.next(&fill[2]);
    assert_eq!(world.said(&fill[2], next, 10, json!({})).0, "telCAN_NOT_QUEUE_FULL", "the whole queue is full");
    // The next ledger takes 27 cheaply: all that waited; and the node tries by itself what it could not queue.
    world.close();
    let [held, expected, waiting, most] = world.sizes();
    assert_eq!((expected.as_str(), most.as_str()), ("27", "27"));
    assert_eq!((held.as_str(), waiting.as_str()), ("27", "0"));
    assert_eq!(world.next(maker), first + 12, "the eleventh and the twelfth are among them");
    world.close();
    assert_eq!(world.sizes()[0], "0");
}

#[test]
fn what_waits_gets_in_by_what_it_pays() {
    let mut world = World::new(|scenario| {
        (scenario.queue.target_txn_in_ledger, scenario.queue.minimum_queue_size) = (20, 100);
    });
    let pairs = world.fund(&[1, 2, 3, 4, 5, 6], 1_000_000_000);
    let (fill, [cheap, middle, dear]) = pairs.split_at(3) else { panic!() };
    world.fill(fill);
    for (pair, fee) in [(cheap, 20), (middle, 30), (dear, 40)] {
        let first = world.next(pair);
        (first..first + 10).for_each(|sequence| assert_eq!(world.said(pair, sequence, fee, json!({})).0, "terQUEUED"));
    }
    let before = [cheap, middle, dear].map(|pair| world.next(pair));
    world.close();
    // 20 cheap ones and one more: the dearest account, the middle one, and the first of the cheap.
    let after = [cheap, middle, dear].map(|pair| world.next(pair));
    let done: Vec<u32> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    assert_eq!(done, [1, 10, 10]);
    assert_eq!(world.sizes(), ["21", "20", "9", "100"]);
    world.close();
    assert_eq!(world.sizes(), ["9", "20", "0", "100"]);
}

#[test]
fn one_that_pays_for_all_before_it_takes_them_along() {
    let mut world = World::new(|_| {});
    let pairs = world.fund(&[1, 2, 3, 4], 1_000_000_000);
    let (fill, [maker]) = pairs.split_at(3) else { panic!() };
    world.fill(fill);
    let first = world.next(maker);
    (first..first + 2).for_each(|sequence| assert_eq!(world.said(maker, sequence, 10, json!({})).0, "terQUEUED"));
    // Levels 141120, 154880 and 169280, less the two that are there: 18155 drops.
    assert_eq!(world.said(maker, first + 2, 18_154, json!({})).0, "terQUEUED");
    assert_eq!(world.next(maker), first, "a drop too little for three");
    assert_eq!(world.said(maker, first + 2, 30_000, json!({})).0, "tesSUCCESS");
    assert_eq!((world.next(maker), world.sizes()[2].as_str()), (first + 3, "0"));
    assert_eq!(world.queue_of(maker), json!({ "txn_count": 0 }));
}

#[test]
fn tickets_wait_behind_sequences_and_fail_hard_waits_for_nothing() {
    let mut world = World::new(|_| {});
    let pairs = world.fund(&[1, 2, 3, 4], 1_000_000_000);
    let (fill, [maker]) = pairs.split_at(3) else { panic!() };
    let first = world.next(maker);
    world.send(maker, first, 10, json!({ "TransactionType": "TicketCreate", "TicketCount": 3 }));
    world.close();
    world.fill(fill);
    let ticket = |number: u32| json!({ "TicketSequence": number });
    assert_eq!(world.said(maker, 0, 10, ticket(first + 2)).0, "terQUEUED");
    assert_eq!(world.said(maker, 0, 10, ticket(first + 1)).0, "terQUEUED");
    assert_eq!(world.said(maker, 0, 10, ticket(first)).0, "tefNO_TICKET");
    assert_eq!(world.said(maker, 0, 10, ticket(first + 40)).0, "terPRE_TICKET");
    let next = world.next(maker);
    assert_eq!(world.said(maker, next, 10, json!({})).0, "terQUEUED");
    let queue = world.queue_of(maker);
    assert_eq!((&queue["ticket_count"], &queue["sequence_count"]), (&json!(2), &json!(1)));
    assert_eq!((&queue["lowest_ticket"], &queue["highest_ticket"]), (&json!(first + 1), &json!(first + 2)));
    assert_eq!(
        (&queue["transactions"][0]["seq"], &queue["transactions"][2]["ticket"]),
        (&json!(next), &json!(first + 2))
    );
    let signed = World::signed(maker, next + 1, 10, json!({}));
    let hard = world.ask(json!({ "command": "submit", "tx_blob": signed.blob, "fail_hard": true }));
    assert_eq!((&hard["engine_result"], &hard["kept"]), (&json!("telCAN_NOT_QUEUE"), &json!(false)));
    let ledger = world.ask(json!({ "command": "ledger", "ledger_index": "current", "queue": true }));
    let rows = ledger["queue_data"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["retries_remaining"]), (3, &json!(10)));
    world.close();
    world.close();
    assert_eq!((world.next(maker), world.queue_of(maker)), (next + 1, json!({ "txn_count": 0 })));
    assert!(
        world.ask(json!({ "command": "ledger", "ledger_index": "current", "queue": true })).get("queue_data").is_none()
    );
}

#[test]
fn the_load_is_told() {
    let mut world = World::new(|_| {});
    let pairs = world.fund(&[1, 2, 3], 1_000_000_000);
    world.ask(json!({ "command": "subscribe", "streams": ["server"] }));
    let listener = world.client;
    world.client = world.node.connect();
    let mut told: Vec<Json> = Vec::new();
    let (last, first) = (world.next(&pairs[0]), world.next(&pairs[1]));
    for sequence in (first..first + 20).chain([first + 20]) {
        let signed = World::signed(&pairs[1], sequence, 10, json!({}));
        let request = json!({ "command": "submit", "tx_blob": signed.blob }).to_string();
        let said = world.node.request(world.client, &request).into_iter().filter(|out| out.connection == listener);
        told.extend(said.map(|out| serde_json::from_str(&out.text).unwrap()));
    }
    // The first change tells where it stands, as a rippled does; then only the one that makes it dear.
    let levels: Vec<u64> = told.iter().map(|said| said["load_factor"].as_u64().unwrap()).collect();
    assert_eq!(levels, [256, 141_120], "{told:?}");
    assert_eq!(
        told[1],
        json!({ "base_fee": 10, "load_base": 256, "load_factor": 141_120, "load_factor_fee_escalation": 141_120,
            "load_factor_fee_queue": 256, "load_factor_fee_reference": 256, "load_factor_server": 256,
            "server_status": "full", "type": "serverStatus" })
    );
    let info = world.ask(json!({ "command": "server_info" }))["info"].clone();
    assert_eq!((&info["load_factor"], &info["load_factor_server"]), (&json!(551.25), &json!(1)));
    assert_eq!(world.ask(json!({ "command": "server_state" }))["state"]["load_factor_fee_escalation"], 141_120);
    assert_eq!(world.said(&pairs[0], last, 10, json!({})).0, "terQUEUED");
    let closed = world.node.close_ledger();
    let calm = closed.iter().filter(|out| out.connection == listener).map(|out| out.text.clone()).collect::<String>();
    assert!(calm.contains("\"load_factor\":256"), "{calm}");
}

#[test]
fn a_crowd_makes_room_for_itself_and_late_ledgers_take_it_away() {
    let mut scenario = Scenario::default();
    (scenario.queue.minimum_txn_in_ledger, scenario.faults.crowd_transactions) = (50, 100);
    scenario.faults.crowd = Times::at(&[20], 2);
    (scenario.close_interval_ms, scenario.close_jitter_ms) = (4_000, 4_000);
    let mut node = Node::new(&scenario, 1).unwrap();
    let client = node.connect();
    let mut expected = Vec::new();
    let mut dear = 0;
    for _ in 0..80 {
        node.close_ledger();
        let text = node.request(client, r#"{"command":"fee"}"#).pop().unwrap().text;
        let fee: Json = serde_json::from_str(&text).unwrap();
        dear += u32::from(fee["result"]["drops"]["open_ledger_fee"] != "10");
        expected.push(fee["result"]["expected_ledger_size"].as_str().unwrap().parse::<u64>().unwrap());
    }
    assert_eq!(dear, 1, "the second crowd finds the room that the first has made");
    assert!(expected.iter().any(|size| *size >= 120), "{expected:?}");
    assert_eq!(expected.last(), Some(&50), "a ledger came late and took it back: {expected:?}");
}

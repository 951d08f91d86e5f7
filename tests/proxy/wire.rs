//! One connection between the engine and a node, without a socket: messages in, messages out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use neo_ledger::sha512_half;
use serde_json::{Value, json};

use super::plan::{Fault, Plan, Spell};

/// What a node answers of one ledger, as it was read when that was the newest.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// By method, the two sides of the book apart.
    pub answers: BTreeMap<&'static str, Value>,
    /// Its header, as the ledger stream tells it.
    pub header: Value,
}

/// What all wires share.
#[derive(Debug)]
pub struct World {
    /// When faults happen.
    pub plan: Plan,
    /// Newest ledger.
    pub newest: u32,
    /// Pictures of the last ledgers.
    pub pictures: BTreeMap<u32, Picture>,
    /// What happened so far.
    pub counts: BTreeMap<Fault, u64>,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that a fault ended.
    pub broken: u64,
    /// Requests of the engine, by method, over all connections.
    pub requests: BTreeMap<String, u64>,
    /// How often each signed transaction was handed over, by its hash.
    pub handed_over: BTreeMap<String, u64>,
    /// Signed transactions in the order in which they were first seen.
    submissions: BTreeMap<String, u64>,
    /// What never left, by the transaction's hash.
    pub lost: BTreeSet<String>,
    /// What was applied without an answer.
    pub unanswered: BTreeSet<String>,
}

impl World {
    /// One without faults so far.
    pub fn new(plan: Plan) -> World {
        World {
            plan,
            newest: 0,
            pictures: BTreeMap::new(),
            counts: BTreeMap::new(),
            opened: 0,
            broken: 0,
            requests: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            submissions: BTreeMap::new(),
            lost: BTreeSet::new(),
            unanswered: BTreeSet::new(),
        }
    }

    /// A fault happened.
    pub fn happened(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }
}

/// A node as its clients see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    /// Its number.
    pub number: usize,
    /// What is wrong with it now.
    pub spell: Option<Spell>,
    /// Ledger in which that is over.
    pub until: u32,
    /// Messages that it sent over all connections.
    pub messages: u64,
    /// Connections that are open now.
    pub open: usize,
    /// The first ledger of its history, where there is a gap.
    pub floor: u32,
}

impl Node {
    /// Whether this is wrong with it now.
    pub fn has(&self, fault: Fault) -> bool {
        self.spell.is_some_and(|spell| spell.fault == fault)
    }

    /// The newest ledger that its clients may see.
    pub fn sees(&self, newest: u32) -> u32 {
        match self.spell {
            Some(Spell { fault: Fault::Behind, amount, .. }) => newest.saturating_sub(amount),
            _ => newest,
        }
    }
}

/// What leaves a wire.
#[derive(Debug, Default)]
pub struct Out {
    /// To the engine.
    pub down: Vec<String>,
    /// To the node.
    pub up: Vec<String>,
    /// The connection breaks.
    pub cut: bool,
}

/// How an answer is changed.
#[derive(Clone, Debug)]
enum Change {
    ServerInfo,
    Subscribed,
    AnswerLost(String),
}

/// One connection.
#[derive(Debug, Default)]
pub struct Wire {
    changes: BTreeMap<u64, Change>,
    /// Messages of a stalled line, both ways.
    held_down: VecDeque<String>,
    held_up: VecDeque<String>,
    /// Messages of ledgers that the node has not reached.
    ahead: VecDeque<String>,
    /// A message that the next one overtakes.
    overtaken: Option<String>,
    /// Messages that come when this ledger has closed.
    late: Vec<(u32, String)>,
    half_open: bool,
}

impl Wire {
    /// The node sent a message.
    pub fn node_said(&mut self, text: String, node: &mut Node, world: &mut World) -> Out {
        let mut out = Out::default();
        let mut message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "response" {
            match message["id"].as_u64().and_then(|id| self.changes.remove(&id)) {
                Some(Change::AnswerLost(hash)) => {
                    world.happened(Fault::AnswerLost);
                    world.unanswered.insert(hash);
                    out.cut = true;
                    return out;
                }
                Some(Change::ServerInfo) => change_server_info(&mut message["result"]["info"], node, world),
                Some(Change::Subscribed) if node.has(Fault::Behind) => {
                    let seen = node.sees(world.newest);
                    if let Some(picture) = world.pictures.get(&seen) {
                        let header = picture.header.as_object().unwrap().clone();
                        message["result"].as_object_mut().unwrap().extend(header);
                    }
                }
                _ => {}
            }
        } else if ledger_of(&message) > node.sees(world.newest.max(ledger_of(&message))) {
            self.ahead.push_back(text);
            return out;
        }
        self.pass(message.to_string(), node, world, &mut out);
        out
    }

    /// On its way to the engine, with what may happen to any message.
    fn pass(&mut self, text: String, node: &mut Node, world: &mut World, out: &mut Out) {
        node.messages += 1;
        let mut ready = Vec::new();
        match world.plan.message(node.number, node.messages) {
            Some(Fault::Lose) => world.happened(Fault::Lose),
            Some(Fault::Delay) => {
                world.happened(Fault::Delay);
                self.late.push((world.newest + 1, text));
            }
            Some(Fault::Reorder) if self.overtaken.is_none() => self.overtaken = Some(text),
            Some(Fault::Duplicate) => {
                world.happened(Fault::Duplicate);
                ready.extend([text.clone(), text]);
            }
            _ => ready.push(text),
        }
        if !ready.is_empty()
            && let Some(overtaken) = self.overtaken.take()
        {
            world.happened(Fault::Reorder);
            ready.push(overtaken);
        }
        self.down(ready, node, world, out);
    }

    fn down(&mut self, ready: Vec<String>, node: &Node, world: &mut World, out: &mut Out) {
        if node.has(Fault::HalfOpen) {
            if !ready.is_empty() {
                world.happened(Fault::HalfOpen);
            }
            self.half_open = true;
        } else if node.has(Fault::Stall) {
            world.happened(Fault::Stall);
            self.held_down.extend(ready);
        } else {
            out.down.extend(ready);
        }
    }

    /// The engine sent a message.
    pub fn engine_said(&mut self, text: String, node: &mut Node, world: &mut World) -> Out {
        let mut out = Out::default();
        if node.has(Fault::Stall) {
            self.held_up.push_back(text);
            return out;
        }
        let mut request: Value = serde_json::from_str(&text).unwrap();
        let id = request["id"].as_u64().unwrap();
        let command = request["command"].as_str().unwrap().to_string();
        *world.requests.entry(command.clone()).or_default() += 1;
        let seen = node.sees(world.newest);
        let picture = world.pictures.get(&seen).filter(|_| node.has(Fault::Behind));
        match command.as_str() {
            "server_info" => drop(self.changes.insert(id, Change::ServerInfo)),
            "subscribe" => drop(self.changes.insert(id, Change::Subscribed)),
            "account_tx" => {
                if let Some(answer) = history(&mut request, node, seen, world) {
                    self.pass(answer, node, world, &mut out);
                    return out;
                }
            }
            "submit" => match self.submitted(id, &request, node, world) {
                Submitted::Passed => {}
                Submitted::Swallowed(answer) => {
                    self.pass(answer, node, world, &mut out);
                    return out;
                }
            },
            _ => {
                let sells_xrp = request["taker_gets"]["currency"] == "XRP";
                let whose = |picture: &Picture| picture.answers["account_info"]["account_data"]["Account"].clone();
                let ours = picture.is_none_or(|picture| request["account"] == whose(picture));
                let method = match (command.as_str(), sells_xrp) {
                    ("account_info", _) if !ours => "issuer",
                    ("book_offers", true) => "asks",
                    ("book_offers", false) => "bids",
                    (other, _) => other,
                };
                if let Some(result) = picture.and_then(|picture| picture.answers.get(method)) {
                    let answer = json!({"id": id, "status": "success", "type": "response", "result": result});
                    world.happened(Fault::Behind);
                    self.pass(answer.to_string(), node, world, &mut out);
                    return out;
                }
            }
        }
        out.up.push(request.to_string());
        out
    }

    fn submitted(&mut self, id: u64, request: &Value, _: &Node, world: &mut World) -> Submitted {
        let blob = request["tx_blob"].as_str().unwrap().to_string();
        let next = world.submissions.len() as u64;
        let number = *world.submissions.entry(blob.clone()).or_insert(next);
        let bytes = neo_ledger::hex::decode(&blob).unwrap();
        let hash = sha512_half(&[b"TXN\0".as_slice(), &bytes]).to_string();
        *world.handed_over.entry(hash.clone()).or_default() += 1;
        match world.plan.submission(number) {
            Some(Fault::LostSubmission) => {
                world.happened(Fault::LostSubmission);
                world.lost.insert(hash.clone());
                let result = json!({"accepted": true, "applied": true, "broadcast": true, "kept": true, "queued": false,
                    "engine_result": "tesSUCCESS", "engine_result_code": 0, "open_ledger_cost": "10",
                    "engine_result_message": "The transaction was applied.", "tx_blob": blob,
                    "tx_json": {"hash": hash}, "validated_ledger_index": world.newest});
                let answer = json!({"id": id, "status": "success", "type": "response", "result": result});
                Submitted::Swallowed(answer.to_string())
            }
            Some(Fault::AnswerLost) => {
                self.changes.insert(id, Change::AnswerLost(hash));
                Submitted::Passed
            }
            _ => Submitted::Passed,
        }
    }

    /// A ledger closed, or something began or ended: what waited for that.
    pub fn looked_at(&mut self, node: &mut Node, world: &mut World) -> Out {
        let mut out = Out::default();
        if self.half_open && !node.has(Fault::HalfOpen) {
            // What got lost on the way does not come back: the line is dead.
            out.cut = true;
            return out;
        }
        if !node.has(Fault::Stall) {
            out.down.extend(std::mem::take(&mut self.held_down));
            for text in std::mem::take(&mut self.held_up) {
                let more = self.engine_said(text, node, world);
                out.up.extend(more.up);
                out.down.extend(more.down);
            }
        }
        let seen = node.sees(world.newest);
        while self.ahead.front().is_some_and(|text| ledger_of(&serde_json::from_str(text).unwrap()) <= seen) {
            let text = self.ahead.pop_front().unwrap();
            self.pass(text, node, world, &mut out);
        }
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(ledger, _)| *ledger <= world.newest);
        self.late = rest;
        let due: Vec<(u32, String)> = due;
        self.down(due.into_iter().map(|(_, text)| text).collect(), node, world, &mut out);
        out
    }
}

enum Submitted {
    Passed,
    Swallowed(String),
}

/// The ledger that a stream's message is of; 0 for any other message.
fn ledger_of(message: &Value) -> u32 {
    match message["type"].as_str() {
        Some("ledgerClosed" | "transaction") => message["ledger_index"].as_u64().map_or(0, |index| index as u32),
        _ => 0,
    }
}

fn change_server_info(info: &mut Value, node: &Node, world: &mut World) {
    let seen = node.sees(world.newest);
    if node.has(Fault::WrongNetwork) {
        world.happened(Fault::WrongNetwork);
        info["network_id"] = json!(1);
    }
    if node.has(Fault::Behind)
        && let Some(picture) = world.pictures.get(&seen)
    {
        info["validated_ledger"]["seq"] = json!(seen);
        info["validated_ledger"]["hash"] = picture.header["ledger_hash"].clone();
        info["validated_ledger"]["age"] = json!(4 * (world.newest - seen));
        info["complete_ledgers"] = json!(format!("1-{seen}"));
    }
    if node.has(Fault::HistoryGap) || node.has(Fault::HistoryClamped) {
        info["complete_ledgers"] = json!(format!("1-{},{}-{seen}", node.floor.saturating_sub(3), node.floor));
    }
}

/// The answer of a node that does not have the history that is asked for; `None` when it has, then `request` is asked
/// instead. In version 2 of the API a range that is not all there is refused (rippled, `AccountTx.cpp`, `getLedgerRange`);
/// in version 1 it was cut to what there is.
fn history(request: &mut Value, node: &Node, seen: u32, world: &mut World) -> Option<String> {
    let refused = |request: &Value, error: &str, code: u32| {
        json!({"id": request["id"], "status": "error", "type": "response", "error": error, "error_code": code,
            "error_message": "Not all of this is here."})
        .to_string()
    };
    let min = request["ledger_index_min"].as_u64().unwrap_or(0) as u32;
    if node.has(Fault::Behind) {
        world.happened(Fault::Behind);
        if min > seen {
            return Some(refused(request, "invalidLgrRange", 79));
        }
        request["ledger_index_max"] = json!(seen);
    }
    if min < node.floor && node.has(Fault::HistoryGap) {
        world.happened(Fault::HistoryGap);
        return Some(refused(request, "lgrIdxMalformed", 58));
    }
    if min < node.floor && node.has(Fault::HistoryClamped) {
        world.happened(Fault::HistoryClamped);
        request["ledger_index_min"] = json!(node.floor);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(fault: Fault, amount: u32) -> Node {
        Node { spell: Some(Spell { fault, ledgers: 9, amount }), until: 99, floor: 50, ..Node::default() }
    }

    fn world(plan: Plan) -> World {
        World { newest: 60, ..World::new(plan) }
    }

    fn closed(index: u32) -> String {
        json!({"type": "ledgerClosed", "ledger_index": index}).to_string()
    }

    #[test]
    fn a_fair_wire_passes_everything_in_order() {
        let (mut wire, mut node, mut world) = (Wire::default(), Node::default(), world(Plan::calm()));
        let down: Vec<String> =
            (61..70).flat_map(|index| wire.node_said(closed(index), &mut node, &mut world).down).collect();
        assert_eq!(down, (61..70).map(closed).collect::<Vec<_>>());
        let request = json!({"id": 1, "command": "account_info"}).to_string();
        assert_eq!(wire.engine_said(request.clone(), &mut node, &mut world).up, [request]);
        assert!(world.counts.is_empty());
    }

    #[test]
    fn a_stalled_wire_holds_both_ways_and_a_half_open_one_is_dead_afterwards() {
        let (mut wire, mut node, mut world) = (Wire::default(), node(Fault::Stall, 0), world(Plan::calm()));
        let request = json!({"id": 1, "command": "account_info"}).to_string();
        assert!(wire.node_said(closed(60), &mut node, &mut world).down.is_empty());
        assert!(wire.engine_said(request.clone(), &mut node, &mut world).up.is_empty());
        node.spell = None;
        let out = wire.looked_at(&mut node, &mut world);
        assert_eq!((out.down, out.up, out.cut), (vec![closed(60)], vec![request], false));
        node.spell = Some(Spell { fault: Fault::HalfOpen, ledgers: 1, amount: 0 });
        assert!(wire.node_said(closed(60), &mut node, &mut world).down.is_empty());
        node.spell = None;
        assert!(wire.looked_at(&mut node, &mut world).cut);
        assert_eq!(world.counts, BTreeMap::from([(Fault::Stall, 1), (Fault::HalfOpen, 1)]));
    }

    #[test]
    fn messages_are_lost_doubled_late_and_overtaken() {
        for fault in [Fault::Lose, Fault::Delay, Fault::Reorder, Fault::Duplicate] {
            let mut world = world(Plan::only(1, fault, 100));
            let (mut wire, mut node, mut down) = (Wire::default(), Node::default(), Vec::new());
            for index in 61..260 {
                world.newest = index;
                let mut all = wire.node_said(closed(index), &mut node, &mut world).down;
                all.extend(wire.looked_at(&mut node, &mut world).down);
                down.extend(all);
            }
            let happened = world.counts[&fault] as usize;
            let mut sorted = down.clone();
            sorted.sort();
            sorted.dedup();
            match fault {
                Fault::Lose => assert_eq!(down.len(), 199 - happened),
                Fault::Duplicate => assert_eq!((down.len(), sorted.len()), (199 + happened, 199)),
                _ => assert!(down != (61..260).map(closed).collect::<Vec<_>>() && sorted.len() >= 198, "{fault}"),
            }
        }
    }

    #[test]
    fn a_node_behind_tells_nothing_of_what_it_has_not_reached() {
        let (mut wire, mut node, mut world) = (Wire::default(), node(Fault::Behind, 2), world(Plan::calm()));
        let picture = |index: u32| Picture {
            answers: BTreeMap::from([("account_info", json!({"ledger_index": index}))]),
            header: json!({"ledger_index": index, "ledger_hash": "AB"}),
        };
        world.pictures.extend([(58, picture(58)), (60, picture(60))]);
        assert!(wire.node_said(closed(60), &mut node, &mut world).down.is_empty());
        assert_eq!(wire.node_said(closed(58), &mut node, &mut world).down, [closed(58)]);
        let ask = |command: &str, min: u32| json!({"id": 1, "command": command, "ledger_index_min": min}).to_string();
        let answer = wire.engine_said(ask("account_info", 0), &mut node, &mut world).down;
        assert!(answer[0].contains("\"ledger_index\":58"), "{answer:?}");
        let refused = wire.engine_said(ask("account_tx", 59), &mut node, &mut world).down;
        assert!(refused[0].contains("invalidLgrRange"));
        let passed = wire.engine_said(ask("account_tx", 58), &mut node, &mut world).up;
        assert!(passed[0].contains("\"ledger_index_max\":58"));
        world.newest = 62;
        assert_eq!(wire.looked_at(&mut node, &mut world).down, [closed(60)]);
    }

    #[test]
    fn a_gap_is_refused_or_passed_over_in_silence() {
        let ask = |min: u32| json!({"id": 1, "command": "account_tx", "ledger_index_min": min}).to_string();
        let (mut wire, mut world) = (Wire::default(), world(Plan::calm()));
        let refused = wire.engine_said(ask(49), &mut node(Fault::HistoryGap, 0), &mut world).down;
        assert!(refused[0].contains("lgrIdxMalformed"));
        let clamped = wire.engine_said(ask(49), &mut node(Fault::HistoryClamped, 0), &mut world).up;
        assert!(clamped[0].contains("\"ledger_index_min\":50"));
        assert_eq!(wire.engine_said(ask(50), &mut node(Fault::HistoryGap, 0), &mut world).up, [ask(50)]);
    }

    #[test]
    fn a_submission_is_lost_at_every_node_or_applied_without_a_word() {
        let submit = |blob: &str| json!({"id": 7, "command": "submit", "tx_blob": blob}).to_string();
        let (mut one, mut two, mut node) = (Wire::default(), Wire::default(), Node::default());
        let mut lost = world(Plan::only(1, Fault::LostSubmission, 1_000));
        for wire in [&mut one, &mut two] {
            let out = wire.engine_said(submit("AB"), &mut node, &mut lost);
            assert!(out.up.is_empty() && out.down[0].contains("tesSUCCESS"));
        }
        assert_eq!((lost.lost.len(), lost.counts[&Fault::LostSubmission]), (1, 2));
        let mut unanswered = world(Plan::only(1, Fault::AnswerLost, 1_000));
        assert_eq!(one.engine_said(submit("CD"), &mut node, &mut unanswered).up.len(), 1);
        let answer = json!({"id": 7, "type": "response", "result": {}}).to_string();
        let out = one.node_said(answer, &mut node, &mut unanswered);
        assert!(out.cut && out.down.is_empty());
        assert_eq!(unanswered.counts, BTreeMap::from([(Fault::AnswerLost, 1)]));
    }
}

//! The feed's promises against a node that is a handful of JSON texts.

use neo_ledger::types::Currency;
use neo_market::Dec;
use serde_json::{Value, json};

use super::*;

const ROOT: [char; 3] = ['A', 'B', 'C'];

pub(super) fn account() -> Address {
    Address([1; 20])
}

pub(super) fn token() -> Token {
    Token { currency: Currency::RLUSD, issuer: Address([2; 20]) }
}

fn core(last_processed: Option<u32>) -> FeedCore {
    FeedCore::new(FeedConfig {
        account: account(),
        token: token(),
        network_id: 65_001,
        closes: Closes::Network,
        nodes: 1,
        seed: 1,
        is_public: false,
        looks: Looks { line: true, ..Looks::EXACT },
        depth: 10,
        price: ReferenceConfig::default(),
        dust: Drops::ZERO,
        silence_ms: 20_000,
        request_timeout_ms: 10_000,
        audit_ledgers: 1_000,
        last_processed,
        last_hash: None,
        refetch_from: None,
    })
}

pub(super) fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

pub(super) fn closed(index: u32) -> Value {
    let time = 800_000_000_u32.saturating_add(index.saturating_mul(4));
    json!({"type": "ledgerClosed", "ledger_index": index, "ledger_hash": hash('9'), "ledger_time": time,
        "fee_base": 10, "reserve_base": 1_000_000, "reserve_inc": 200_000, "txn_count": 1, "validated_ledgers": "1-9"})
}

/// A payment of `xrp` drops to us, as the stream and the history show it.
pub(super) fn payment(index: u32, id: char, balance_before: u64) -> Value {
    let root = neo_ledger::sha512_half(&[b"\0a".as_slice(), &account().0]);
    json!({
        "ledger_index": index, "validated": true, "hash": hash(id), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "Payment", "Account": Address([3; 20]).to_string(), "Fee": "10", "Sequence": 5},
        "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [{"ModifiedNode": {
            "LedgerEntryType": "AccountRoot", "LedgerIndex": root.to_string(),
            "FinalFields": {"Account": account().to_string(), "Balance": (balance_before + 5).to_string(), "Sequence": 7,
                "OwnerCount": 0, "Flags": 0},
            "PreviousFields": {"Balance": balance_before.to_string()}}}]}
    })
}

pub(super) fn stream(mut transaction: Value) -> Value {
    transaction["type"] = json!("transaction");
    transaction
}

fn validated(transaction: &Value) -> ValidatedTransaction {
    match message::parse(&stream(transaction.clone()).to_string()) {
        Ok(Message::Transaction(stream)) => stream.transaction,
        other => panic!("{other:?}"),
    }
}

/// The ledger that a request names by its number.
fn at_of(request: &Value) -> u32 {
    u32::try_from(request["ledger_index"].as_u64().unwrap()).unwrap()
}

/// A node with one account, answering from its present ledger.
pub(super) struct FakeNode {
    pub(super) index: u32,
    pub(super) balance: u64,
    pub(super) root: char,
    pub(super) history: Vec<Value>,
    pub(super) has_history: bool,
    /// The first ledger that its history has.
    pub(super) history_from: u64,
    /// The last ledger that its history has, where that is not the newest.
    pub(super) history_upto: Option<u32>,
    /// The issuer's flags, and what stands on our line.
    pub(super) issuer_flags: u32,
    pub(super) lines: Vec<Value>,
    pub(super) objects: Vec<Value>,
    /// Answers with what it has as if that were all that was asked for.
    pub(super) cuts_short: bool,
    /// False when it is blocked by an amendment.
    pub(super) fit: bool,
    /// How old its newest ledger is, in seconds.
    pub(super) age_s: u64,
    /// What the hashes of its ledgers are made of: another letter is another chain.
    pub(super) chain: char,
    /// What it says of a range that it does not have.
    pub(super) range_error: &'static str,
    /// Accounts that are not on its ledger.
    pub(super) missing: Vec<Address>,
    /// Numbers of ledgers that it does not have, or does not have any more.
    pub(super) lacks: std::ops::Range<u64>,
    /// What it says of the pool, or the error.
    pub(super) pool: Result<Value, &'static str>,
    /// Offers of the book: asks, bids.
    pub(super) book: [Vec<Value>; 2],
}

impl FakeNode {
    /// Our line as `ledger_entry` shows it, from the row of `lines`; its last transaction is the row's `txn`.
    fn line_entry(&self) -> Option<Value> {
        let row = self.lines.first()?;
        let amount = |of: Address, value: &Value| json!({"currency": token().currency, "issuer": of, "value": value});
        let flags = if row["freeze_peer"] == true { 0x0081_0000 } else { 0x0001_0000 };
        Some(json!({"LedgerEntryType": "RippleState", "Flags": flags, "LowLimit": amount(account(), &row["limit"]),
            "HighLimit": amount(token().issuer, &row["limit_peer"]), "Balance": amount(Address([0; 20]), &row["balance"]),
            "PreviousTxnID": row["txn"].as_str().map_or_else(|| hash('7'), str::to_string), "PreviousTxnLgrSeq": 1}))
    }

    pub(super) fn answer(&self, request: &Value) -> Value {
        let at = request["ledger_index"].as_u64().unwrap_or_else(|| u64::from(self.index));
        if at > u64::from(self.index) && request["command"] != "ledger" {
            return json!({"id": request["id"], "type": "response", "status": "error", "error": "lgrNotFound"});
        }
        if request["command"] == "ledger_entry" && self.line_entry().is_none() {
            return json!({"id": request["id"], "type": "response", "status": "error", "error": "entryNotFound"});
        }
        let mut answer = self.answer_now(request);
        let of_a_ledger = request["ledger_index"].is_u64() && request["command"] != "amm_info";
        if answer["result"]["ledger_index"].is_u64() && of_a_ledger {
            answer["result"]["ledger_index"] = json!(at);
        }
        answer
    }

    fn answer_now(&self, request: &Value) -> Value {
        let too_early = request["ledger_index_min"].as_u64().is_some_and(|from| from < self.history_from);
        if request["command"] == "account_tx" && (!self.has_history || (too_early && !self.cuts_short)) {
            return json!({"id": request["id"], "type": "response", "status": "error", "error": self.range_error,
                "error_code": 79, "error_message": "Ledger range is invalid."});
        }
        if let (Some("amm_info"), Err(error)) = (request["command"].as_str(), &self.pool) {
            return json!({"id": request["id"], "type": "response", "status": "error", "error": error});
        }
        let asked_of = request["account"].as_str().and_then(|account| account.parse().ok());
        let absent = asked_of.is_some_and(|account| self.missing.contains(&account));
        if request["command"] == "account_info" && absent {
            return json!({"id": request["id"], "type": "response", "status": "error", "error": "actNotFound"});
        }
        if request["command"] == "ledger" {
            let index = request["ledger_index"].as_u64().unwrap();
            if index > u64::from(self.index) + 1 || self.lacks.contains(&index) {
                return json!({"id": request["id"], "type": "response", "status": "error", "error": "lgrNotFound"});
            }
            if index == u64::from(self.index) + 1 {
                let result = json!({"ledger_current_index": index, "validated": false});
                return json!({"id": request["id"], "type": "response", "status": "success", "result": result});
            }
            let ledger = json!({"close_time": closed(at_of(request))["ledger_time"]});
            let result =
                json!({"ledger": ledger, "ledger_index": index, "ledger_hash": hash(self.chain), "validated": true});
            return json!({"id": request["id"], "type": "response", "status": "success", "result": result});
        }
        let result = match request["command"].as_str().unwrap() {
            "amm_info" => self.pool.clone().unwrap(),
            "subscribe" if request["streams"].is_null() => json!({}),
            "server_info" => json!({"info": {"network_id": 65_001, "build_version": "2.6.1", "complete_ledgers": "1-9",
                "server_state": "full", "amendment_blocked": !self.fit, "validated_ledger": {"seq": self.index, "hash": hash(self.chain), "age": self.age_s,
                "base_fee_xrp": 0.00001, "reserve_base_xrp": 1, "reserve_inc_xrp": 0.2}}}),
            "subscribe" => {
                let mut result = closed(self.index);
                result["ledger_hash"] = json!(hash(self.chain));
                result.as_object_mut().unwrap().remove("type");
                result
            }
            "account_info" if request["account"] == token().issuer.to_string() => json!({"ledger_index": self.index,
                "validated": true, "account_data": {"Account": token().issuer.to_string(), "Balance": "1", "Sequence": 1,
                "OwnerCount": 0, "Flags": self.issuer_flags, "TickSize": 5, "TransferRate": 1_002_000_000_u32,
                "PreviousTxnID": hash('8'), "PreviousTxnLgrSeq": 1}}),
            "account_info" => json!({"ledger_index": self.index, "validated": true, "account_data": {
                "Account": account().to_string(), "Balance": self.balance.to_string(), "Sequence": 7, "OwnerCount": 0,
                "Flags": 0, "PreviousTxnID": hash(self.root), "PreviousTxnLgrSeq": 1, "LedgerEntryType": "AccountRoot"}}),
            "ledger_accept" => json!({"ledger_current_index": self.index + 2}),
            "ledger_entry" => json!({"ledger_index": self.index, "index": hash('7'), "node": self.line_entry()}),
            "account_objects" => json!({"ledger_index": self.index, "account_objects": self.objects}),
            "account_offers" => json!({"ledger_index": self.index, "account": account().to_string(), "offers": []}),
            "book_offers" => {
                let side = usize::from(request["taker_gets"]["currency"] != "XRP");
                json!({"ledger_index": self.index, "offers": self.book[side]})
            }
            "account_tx" => json!({"account": account().to_string(), "ledger_index_min": self.history_from.max(1),
                "ledger_index_max": self.history_upto.unwrap_or(self.index), "transactions": self.history}),
            other => panic!("{other} is not expected"),
        };
        json!({"id": request["id"], "type": "response", "status": "success", "result": result})
    }
}

/// A feed, its node, and what it said.
pub(super) struct Bench {
    pub(super) core: FeedCore,
    pub(super) node: FakeNode,
    pub(super) updates: Vec<LedgerUpdate>,
    pub(super) replies: Vec<SubmissionReply>,
    pub(super) others: Vec<FeedEffect>,
    /// How often the node was asked to close a ledger.
    pub(super) closes_asked: usize,
    /// So many ledgers are closed by somebody else, one after each request.
    pub(super) closes_between: u32,
    /// Every request.
    pub(super) asked: Vec<String>,
    /// Each change of whether a node is seen.
    pub(super) seen: Vec<bool>,
}

impl Bench {
    pub(super) fn new(last_processed: Option<u32>) -> Bench {
        let history = Vec::new();
        let node = FakeNode {
            index: 100,
            balance: 50_000_000,
            root: ROOT[0],
            history,
            has_history: true,
            history_from: 0,
            history_upto: None,
            issuer_flags: 0,
            lines: vec![],
            objects: vec![],
            cuts_short: false,
            fit: true,
            age_s: 1,
            chain: '9',
            range_error: "invalidLgrRange",
            missing: vec![],
            lacks: 0..0,
            pool: Err("actNotFound"),
            book: [vec![], vec![]],
        };
        Bench {
            core: core(last_processed),
            node,
            updates: vec![],
            replies: vec![],
            others: vec![],
            closes_asked: 0,
            closes_between: 0,
            asked: vec![],
            seen: vec![],
        }
    }

    /// Connected and live at the node's ledger.
    pub(super) fn live(last_processed: Option<u32>) -> Bench {
        let mut bench = Bench::new(last_processed);
        bench.on(FeedInput::Tick, 0);
        bench.on(FeedInput::Connected, 1);
        assert!(bench.core.is_live());
        bench
    }

    pub(super) fn on(&mut self, input: FeedInput<'_>, now_ms: u64) {
        let effects = self.core.on(input, now_ms).unwrap();
        if self.seen.last().copied().unwrap_or(false) != self.core.sees_node() {
            self.seen.push(self.core.sees_node());
        }
        self.carry(effects, now_ms);
    }

    pub(super) fn carry(&mut self, effects: Vec<FeedEffect>, now_ms: u64) {
        for effect in effects {
            match effect {
                FeedEffect::Send(text) => {
                    let request: Value = serde_json::from_str(&text).unwrap();
                    self.asked.push(text.clone());
                    self.closes_asked += usize::from(request["command"] == "ledger_accept");
                    if request["command"] == "submit" {
                        self.others.push(FeedEffect::Send(text));
                        continue;
                    }
                    let answer = self.node.answer(&request).to_string();
                    self.on(FeedInput::Text(&answer), now_ms);
                    self.close_between(&request, now_ms);
                }
                FeedEffect::Update(update) => self.updates.push(*update),
                FeedEffect::Reply(reply) => self.replies.push(reply),
                other => self.others.push(other),
            }
        }
    }

    /// Somebody else closes a ledger after our request.
    fn close_between(&mut self, request: &Value, now_ms: u64) {
        let greeting = ["server_info", "subscribe"].contains(&request["command"].as_str().unwrap());
        if self.closes_between > 0 && !greeting {
            self.closes_between -= 1;
            self.node.index += 1;
            let closed = closed(self.node.index).to_string();
            self.on(FeedInput::Text(&closed), now_ms);
        }
    }

    pub(super) fn hear(&mut self, message: &Value) {
        self.on(FeedInput::Text(&message.to_string()), 10);
    }

    pub(super) fn left(&self) -> bool {
        self.others.iter().any(|effect| matches!(effect, FeedEffect::Disconnect(..)))
    }
}

#[test]
fn the_first_update_is_the_ledger_that_was_read_whole() {
    let bench = Bench::live(None);
    assert_eq!(bench.updates.len(), 1);
    let update = &bench.updates[0];
    assert_eq!((update.ledger.index, update.account.xrp), (100, Drops::new(50_000_000)));
    assert_eq!(update.offers, Some(vec![]));
}

#[test]
fn a_node_on_another_network_is_refused_for_good() {
    let mut bench = Bench::new(None);
    bench.core.config.network_id = 1;
    let first = bench.core.on(FeedInput::Connected, 0).unwrap();
    let FeedEffect::Send(text) = &first[0] else { panic!("server_info first") };
    let answer = bench.node.answer(&serde_json::from_str(text).unwrap()).to_string();
    let refused = bench.core.on(FeedInput::Text(&answer), 1);
    assert!(matches!(refused, Err(FeedError::WrongNetwork { expected: 1, found: 65_001 })));
}

#[test]
fn a_ledgers_transactions_come_with_it_whichever_comes_first() {
    for closed_first in [true, false] {
        let mut bench = Bench::live(None);
        (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_005, ROOT[1]);
        let transaction = stream(payment(101, ROOT[1], 50_000_000));
        if closed_first {
            // The account's state names a transaction that the stream has not brought: history has it.
            bench.node.history = vec![payment(101, ROOT[1], 50_000_000)];
            bench.hear(&closed(101));
            bench.hear(&transaction);
        } else {
            bench.hear(&transaction);
            bench.hear(&transaction);
            bench.hear(&closed(101));
        }
        assert_eq!(bench.updates.len(), 2, "closed first: {closed_first}");
        let update = &bench.updates[1];
        assert_eq!(update.ledger.index, 101);
        assert_eq!(update.transactions.len(), 1, "once, however often it came");
        assert_eq!(update.transactions[0].xrp_change, Drops::new(5));
    }
}

#[test]
fn a_transaction_lost_between_two_that_came_is_noticed_and_read() {
    let mut bench = Bench::live(None);
    let first = payment(101, 'B', 50_000_000);
    let mut second = payment(101, 'C', 50_000_005);
    second["meta"]["TransactionIndex"] = json!(1);
    second["meta"]["AffectedNodes"][0]["ModifiedNode"]["PreviousTxnID"] = json!(hash('B'));
    (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_010, 'C');
    bench.node.history = vec![first, second.clone()];
    // The account's newest transaction is the one that came; only its link shows that another is missing.
    bench.hear(&stream(second));
    bench.hear(&closed(101));
    let update = bench.updates.last().unwrap();
    assert_eq!((update.ledger.index, update.transactions.len()), (101, 2));
}

#[test]
fn a_ledger_that_was_asked_for_and_is_not_told_of_is_missed() {
    let mut bench = Bench::live(None);
    bench.core.config.closes = Closes::WhenDone;
    let silence_ms = bench.core.config.silence_ms;
    bench.on(FeedInput::Tick, 10 * silence_ms);
    assert!(!bench.left(), "nobody asked for a ledger: the node owes none");
    let asked_ms = 10 * silence_ms;
    bench.on(FeedInput::LedgerDone(100), asked_ms);
    bench.on(FeedInput::Tick, asked_ms + silence_ms);
    assert!(!bench.left());
    bench.on(FeedInput::Tick, asked_ms + silence_ms + 1);
    assert!(bench.left());
}

#[test]
fn a_ledger_that_came_is_not_waited_for() {
    let mut bench = Bench::live(None);
    bench.core.config.closes = Closes::WhenDone;
    bench.on(FeedInput::LedgerDone(100), 20);
    bench.node.index = 101;
    bench.hear(&closed(101));
    bench.on(FeedInput::Tick, 100 * bench.core.config.silence_ms);
    assert!(!bench.left());
}

/// Somebody else's ask of 9 XRP at 2.5 appears or goes.
fn others_offer(index: u32, id: char, node: &str) -> Value {
    let fields = json!({"Account": Address([8; 20]).to_string(), "Sequence": 3, "TakerGets": "9000000", "TakerPays": {
        "currency": token().currency.to_string(), "issuer": token().issuer.to_string(), "value": "22.5"}});
    let kind = if node == "CreatedNode" { "NewFields" } else { "FinalFields" };
    json!({
        "ledger_index": index, "validated": true, "hash": hash(id), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "OfferCreate", "Account": Address([8; 20]).to_string(), "Fee": "10", "Sequence": 3},
        "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [
            {node: {"LedgerEntryType": "Offer", "LedgerIndex": hash('6'), kind: fields}}]}
    })
}

#[test]
fn a_duplicate_that_comes_late_does_not_bring_a_gone_offer_back() {
    let mut bench = Bench::live(None);
    let created = stream(others_offer(101, 'D', "CreatedNode"));
    let asks = |bench: &Bench| bench.updates.last().unwrap().view.asks.len();
    for (index, message) in [(101, &created), (102, &stream(others_offer(102, 'E', "DeletedNode"))), (103, &created)] {
        bench.node.index = index;
        bench.hear(message);
        bench.hear(&closed(index));
        assert_eq!(bench.updates.last().unwrap().ledger.index, index);
        assert_eq!(asks(&bench), usize::from(index == 101), "ledger {index}");
    }
}

#[test]
fn a_missing_ledger_is_filled_from_history_before_anybody_hears_of_the_next() {
    let mut bench = Bench::live(None);
    (bench.node.index, bench.node.balance, bench.node.root) = (104, 50_000_005, ROOT[1]);
    bench.node.history = vec![payment(102, ROOT[1], 50_000_000)];
    bench.hear(&closed(104));
    let update = bench.updates.last().unwrap();
    assert_eq!((update.ledger.index, update.transactions.len()), (104, 1));
    assert_eq!(update.transactions[0].ledger_index, 102);
}

#[test]
fn a_restart_reads_what_happened_since_the_last_recorded_ledger() {
    let mut bench = Bench::new(Some(90));
    bench.node.history = vec![payment(90, ROOT[2], 1), payment(95, ROOT[0], 49_999_995)];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    let update = &bench.updates[0];
    assert_eq!(update.transactions.len(), 1, "ledger 90 is in the record already");
    assert_eq!(update.transactions[0].ledger_index, 95);
}

#[test]
fn a_lost_connection_answers_open_submissions_and_is_tried_again_later_each_time() {
    let mut bench = Bench::live(None);
    let submission = Submission { hash: Hash([7; 32]), blob: "00".into() };
    bench.on(FeedInput::Submit(submission.clone()), 20);
    bench.on(FeedInput::Disconnected(Parting::Lost, "reset"), 30);
    assert_eq!(bench.replies.len(), 1);
    assert!(bench.replies[0].result.is_err());
    bench.on(FeedInput::Submit(submission), 40);
    assert_eq!(bench.replies.len(), 2, "without a connection the answer is at once: not sent");
    let connects =
        |bench: &Bench| bench.others.iter().filter(|effect| matches!(effect, FeedEffect::Connect(_))).count();
    let before = connects(&bench);
    bench.on(FeedInput::Tick, 31);
    assert_eq!(connects(&bench), before, "not at once");
    bench.on(FeedInput::Tick, 529);
    assert_eq!(connects(&bench), before, "not before half a second is over");
    bench.on(FeedInput::Tick, 655);
    assert_eq!(connects(&bench), before + 1, "and a quarter of it");
    bench.on(FeedInput::Disconnected(Parting::Lost, "refused"), 655);
    bench.on(FeedInput::Tick, 1_654);
    assert_eq!(connects(&bench), before + 1, "the second wait is longer");
    bench.on(FeedInput::Tick, 1_905);
    assert_eq!(connects(&bench), before + 2);
}

#[test]
fn a_silent_node_and_an_unanswered_request_are_left() {
    let mut bench = Bench::live(None);
    bench.on(FeedInput::Tick, 20_000);
    assert!(!bench.left());
    bench.on(FeedInput::Tick, 20_002);
    assert!(bench.left());

    let mut core = core(None);
    core.on(FeedInput::Connected, 0).unwrap();
    assert!(core.on(FeedInput::Tick, 10_000).unwrap().is_empty());
    let effects = core.on(FeedInput::Tick, 10_001).unwrap();
    assert!(effects.iter().any(|effect| matches!(effect, FeedEffect::Disconnect(..))));
}

#[test]
fn a_stand_alone_nodes_ledgers_are_closed_at_the_engines_own_pace() {
    let mut bench = Bench::new(None);
    bench.core.config.closes = Closes::Every(1_000);
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert_eq!(bench.closes_asked, 0, "nobody closes a ledger while it is being read");
    for now_ms in [250, 500, 750, 1_000, 1_250, 1_500] {
        bench.on(FeedInput::Tick, now_ms);
    }
    assert_eq!(bench.closes_asked, 2, "at 250 and at 1250 ms");
    // What the engine has done with a ledger is not waited for.
    bench.on(FeedInput::LedgerDone(100), 1_600);
    assert_eq!(bench.closes_asked, 2);
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 1_700);
    bench.on(FeedInput::Tick, 2_400);
    assert_eq!(bench.closes_asked, 2, "nobody is there to close it");
    // On a network nobody asks.
    let mut bench = Bench::live(None);
    bench.on(FeedInput::Tick, 9_000);
    assert_eq!(bench.closes_asked, 0);
}

#[test]
fn a_ledger_whose_message_was_lost_does_not_hold_the_picture_up() {
    let mut bench = Bench::new(None);
    bench.core.config.closes = Closes::Every(1_000);
    bench.on(FeedInput::Tick, 0);
    // Somebody else closed a ledger between the subscription and the reading, and its message was lost.
    let greeting = bench.core.on(FeedInput::Connected, 1).unwrap();
    let answers = |bench: &Bench, effects: &[FeedEffect]| -> Vec<String> {
        let text = |effect: &FeedEffect| match effect {
            FeedEffect::Send(text) => Some(bench.node.answer(&serde_json::from_str(text).unwrap()).to_string()),
            _ => None,
        };
        effects.iter().filter_map(text).collect()
    };
    let subscribing = bench.core.on(FeedInput::Text(&answers(&bench, &greeting)[0]), 2).unwrap();
    let reading = bench.core.on(FeedInput::Text(&answers(&bench, &subscribing)[0]), 3).unwrap();
    bench.node.index = 101;
    for text in answers(&bench, &reading) {
        bench.on(FeedInput::Text(&text), 4);
    }
    let told: Vec<u32> = bench.updates.iter().map(|update| update.ledger.index).collect();
    assert!(bench.core.is_live() && told == [100], "the picture is of the ledger that was told: {told:?}");
    bench.on(FeedInput::Tick, 250);
    assert_eq!(bench.closes_asked, 1);
}

#[test]
fn hostile_messages_are_no_panic_and_no_update() {
    let huge = format!("{{\"type\":\"ledgerClosed\",\"ledger_index\":{}}}", "9".repeat(400));
    let absurd = closed(101).to_string().replace("1000000", "99999999999999999999");
    let texts = [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        "{\"type\":7}",
        "{\"id\":1}",
        "{\"type\":\"transaction\",\"validated\":true}",
        "{\"type\":\"ledgerClosed\"}",
        "{\"id\":99999999999999999999,\"result\":{}}",
        &huge,
        &absurd,
    ];
    for text in texts {
        let mut bench = Bench::live(None);
        bench.on(FeedInput::Text(text), 10);
        assert_eq!(bench.updates.len(), 1, "{text:.60}");
    }
    for text in ["nonsense", &huge, &absurd] {
        let mut bench = Bench::live(None);
        bench.on(FeedInput::Text(text), 10);
        assert!(bench.left(), "a node that does not speak the protocol is left: {text:.60}");
    }
}

#[test]
fn after_a_repair_history_is_asked_for_from_before_the_hole_and_told_once() {
    let mut bench = Bench::new(Some(90));
    bench.core = FeedCore::new(FeedConfig { refetch_from: Some(40), ..core(Some(90)).config });
    bench.node.history =
        vec![payment(40, ROOT[2], 1), payment(45, ROOT[1], 49_999_990), payment(95, ROOT[0], 49_999_995)];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    let ledgers: Vec<u32> = bench.updates[0].transactions.iter().map(|own| own.ledger_index).collect();
    assert_eq!(ledgers, [45, 95], "after the hole's beginning, what is in the record too");
    assert_eq!(bench.updates[0].history_lost, None);
}

#[test]
fn a_node_that_has_not_the_hole_s_history_still_gives_what_is_new() {
    let mut bench = Bench::new(Some(90));
    bench.core = FeedCore::new(FeedConfig { refetch_from: Some(40), ..core(Some(90)).config });
    bench.node.history_from = 60;
    bench.node.history = vec![payment(95, ROOT[0], 49_999_995)];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    let ledgers: Vec<u32> = bench.updates[0].transactions.iter().map(|own| own.ledger_index).collect();
    assert_eq!(ledgers, [95]);
    assert!(bench.updates[0].history_lost.as_ref().unwrap().contains("from ledger 40 on"), "and the hole is told");
}

#[test]
fn a_node_without_our_history_is_followed_from_now_on_and_the_hole_is_told() {
    let mut bench = Bench::new(Some(90));
    bench.node.has_history = false;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    assert!(bench.updates[0].history_lost.as_ref().unwrap().contains("90"));
    (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_005, ROOT[1]);
    bench.hear(&stream(payment(101, ROOT[1], 50_000_000)));
    bench.hear(&closed(101));
    let next = bench.updates.last().unwrap();
    assert_eq!((next.ledger.index, next.transactions.len(), &next.history_lost), (101, 1, &None));
}

#[test]
fn where_history_is_cut_short_what_comes_after_the_cut_is_told() {
    let mut bench = Bench::new(Some(40));
    (bench.node.history_from, bench.node.cuts_short) = (95, true);
    bench.node.history = vec![payment(95, ROOT[1], 50_000_000), payment(99, ROOT[0], 50_000_005)];
    bench.node.balance = 50_000_010;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    let ledgers: Vec<u32> = bench.updates[0].transactions.iter().map(|own| own.ledger_index).collect();
    assert_eq!(ledgers, [95, 99]);
    let lost = bench.updates[0].history_lost.as_ref().unwrap();
    assert!(lost.contains("from ledger 40 on") && lost.contains("begins with ledger 95"), "{lost}");
    // The very next ledger after the last recorded one is no cut.
    let mut bench = Bench::new(Some(94));
    (bench.node.history_from, bench.node.cuts_short) = (95, true);
    bench.node.history = vec![payment(95, ROOT[0], 50_000_000)];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert_eq!((bench.updates[0].transactions.len(), &bench.updates[0].history_lost), (1, &None));
}

#[test]
fn what_the_stream_brought_before_the_history_was_found_missing_is_not_forgotten() {
    let mut bench = Bench::new(Some(90));
    bench.node.has_history = false;
    bench.on(FeedInput::Tick, 0);
    // The transaction of the ledger to come is on the stream before that ledger closes.
    bench.core.keep(validated(&payment(101, ROOT[1], 50_000_000)));
    bench.on(FeedInput::Connected, 1);
    (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_005, ROOT[1]);
    bench.hear(&closed(101));
    let told: Vec<usize> = bench.updates.iter().map(|update| update.transactions.len()).collect();
    assert_eq!(told, [0, 1]);
}

#[test]
fn a_node_is_behind_by_where_it_is_and_not_by_what_another_told() {
    let mut bench = with_a_warm_second();
    let told = bench.node.index;
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    // The second is farther behind than is waited for, and refuses a range that begins after its newest ledger.
    (bench.node.index, bench.node.has_history) = (told - 50, false);
    bench.on(FeedInput::Connected, 101);
    assert!(bench.left());
    assert!(bench.core.without_history.is_empty(), "it is late: its history is not lost");
    assert_eq!(bench.core.processed, Some(told));
}

#[test]
fn a_transaction_that_is_not_understood_is_read_again_before_its_ledger_is_told() {
    let mut bench = Bench::live(None);
    // An offer of ours without its Sequence: whose it is cannot be told.
    let mut broken = payment(101, ROOT[1], 50_000_000);
    let offer = json!({"ModifiedNode": {"LedgerEntryType": "Offer", "LedgerIndex": hash('7'), "FinalFields": {
        "Account": account().to_string(), "TakerGets": "5", "TakerPays": {"currency": token().currency.to_string(),
        "issuer": token().issuer.to_string(), "value": "1"}}, "PreviousFields": {"TakerGets": "9"}}});
    broken["meta"]["AffectedNodes"].as_array_mut().unwrap().push(offer);
    (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_005, ROOT[1]);
    bench.hear(&stream(broken));
    bench.hear(&closed(101));
    assert_eq!(bench.updates.len(), 1, "half a ledger is not told");
    assert!(bench.left());
    bench.node.history = vec![payment(101, ROOT[1], 50_000_000)];
    bench.on(FeedInput::Disconnected(Parting::Lost, "left"), 20);
    bench.on(FeedInput::Tick, 10_000);
    bench.on(FeedInput::Connected, 10_001);
    let update = bench.updates.last().unwrap();
    assert_eq!((update.ledger.index, update.transactions.len()), (101, 1), "read whole, it is told once");
}

#[test]
fn an_absurd_ledger_index_is_a_node_to_leave() {
    for index in [u32::MAX, 100 + MAX_LEDGERS_AHEAD + 1] {
        let mut bench = Bench::live(None);
        bench.hear(&closed(index));
        assert!(bench.left(), "{index}");
        assert_eq!(bench.updates.len(), 1);
    }
}

/// What the second connection is asked to do, so far.
fn second(bench: &Bench) -> Vec<&SecondEffect> {
    bench
        .others
        .iter()
        .filter_map(|effect| if let FeedEffect::Second(effect) = effect { Some(effect) } else { None })
        .collect()
}

/// Answers the newest question to the second node.
fn second_answers(bench: &mut Bench, now_ms: u64) {
    let Some(SecondEffect::Send(text)) = second(bench).last().copied().cloned() else { panic!("nothing was asked") };
    let answer = bench.node.answer(&serde_json::from_str(&text).unwrap()).to_string();
    bench.on(FeedInput::Second(SecondInput::Text(&answer)), now_ms);
}

/// Live on the first of two nodes, with the second one warm.
pub(super) fn with_a_warm_second() -> Bench {
    let mut bench = Bench::new(None);
    (bench.core.config.nodes, bench.core.nodes) = (2, Nodes::new(2, 1));
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    bench.on(FeedInput::Tick, 2);
    assert_eq!(second(&bench), [&SecondEffect::Connect(1)]);
    bench.on(FeedInput::Second(SecondInput::Connected), 3);
    second_answers(&mut bench, 4);
    second_answers(&mut bench, 5);
    assert!(bench.core.second.is_warm());
    bench
}

#[test]
fn the_node_that_stands_by_takes_over_at_once_and_nothing_is_missed() {
    let mut bench = with_a_warm_second();
    bench.on(FeedInput::Disconnected(Parting::Lost, "reset"), 1_000);
    assert_eq!(second(&bench).last(), Some(&&SecondEffect::Promote));
    assert_eq!(bench.core.node(), 1);
    // A ledger closed meanwhile, with a payment to us.
    (bench.node.index, bench.node.balance, bench.node.root) = (102, 50_000_005, ROOT[1]);
    bench.node.history = vec![payment(101, ROOT[1], 50_000_000)];
    bench.on(FeedInput::Connected, 1_001);
    assert!(bench.core.is_live());
    let update = bench.updates.last().unwrap();
    assert_eq!((update.ledger.index, update.transactions.len()), (102, 1));
    // The first one stands by now, after its wait.
    bench.on(FeedInput::Tick, 1_100);
    assert_ne!(second(&bench).last(), Some(&&SecondEffect::Connect(0)));
    bench.on(FeedInput::Tick, 1_700);
    assert_eq!(second(&bench).last(), Some(&&SecondEffect::Connect(0)));
}

#[test]
fn history_that_the_new_node_lacks_is_taken_from_another_before_it_is_called_lost() {
    for cut_short in [false, true] {
        let mut bench = with_a_warm_second();
        (bench.node.history_from, bench.node.cuts_short) = (10_000, cut_short);
        let told = bench.updates.len();
        bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
        bench.on(FeedInput::Connected, 101);
        assert!(bench.left(), "the second node lacks it, the first may have it");
        bench.on(FeedInput::Disconnected(Parting::Unfit, "no history"), 102);
        assert_eq!(bench.updates.len(), told);
        // The first is back, and has it.
        bench.node.history_from = 0;
        bench.on(FeedInput::Tick, 5_000);
        bench.on(FeedInput::Connected, 5_001);
        let last = bench.updates.last().unwrap();
        assert_eq!((bench.updates.len(), last.history_lost.clone()), (told + 1, None));
    }
}

#[test]
fn a_node_behind_the_record_is_waited_for() {
    let mut bench = with_a_warm_second();
    let (told, reached) = (bench.updates.len(), bench.node.index);
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    bench.node.index = reached - 2;
    bench.on(FeedInput::Connected, 101);
    for index in [reached - 1, reached] {
        assert_eq!((bench.updates.len(), bench.core.is_following()), (told, false));
        bench.node.index = index;
        bench.hear(&closed(index));
    }
    let last = bench.updates.last().unwrap();
    assert_eq!((bench.updates.len(), last.ledger.index, last.history_lost.clone()), (told + 1, reached, None));
}

#[test]
fn a_first_node_behind_the_second_is_left_and_one_on_another_chain_stops_everything() {
    let mut bench = with_a_warm_second();
    for index in [101, 102] {
        bench.on(FeedInput::Second(SecondInput::Text(&closed(index).to_string())), 1_000);
    }
    bench.on(FeedInput::Tick, 1_000);
    assert!(!bench.left());
    bench.on(FeedInput::Tick, 13_000);
    assert!(bench.left());

    let mut bench = with_a_warm_second();
    let mut other = closed(101);
    other["ledger_hash"] = json!(hash('8'));
    bench.on(FeedInput::Second(SecondInput::Text(&other.to_string())), 1_000);
    bench.node.index = 101;
    let said = bench.core.on(FeedInput::Text(&closed(101).to_string()), 1_001);
    assert!(matches!(said, Err(FeedError::Differs { index: 101 })), "{said:?}");
}

/// A node that stalls is behind, silent and owes an answer in the same moment: it is left once, and the one that takes its
/// place is not left with it.
#[test]
fn a_node_with_two_reasons_to_be_left_is_left_once() {
    let mut bench = with_a_warm_second();
    for index in [101, 102] {
        bench.on(FeedInput::Second(SecondInput::Text(&closed(index).to_string())), 15_000);
    }
    bench.on(FeedInput::Submit(Submission { hash: Hash([7; 32]), blob: "AB".into() }), 15_000);
    bench.on(FeedInput::Tick, 15_000);
    let effects = bench.core.on(FeedInput::Tick, 27_001).unwrap();
    let partings = effects.iter().filter(|effect| matches!(effect, FeedEffect::Disconnect(..))).count();
    assert_eq!(partings, 1, "{effects:?}");
}

#[test]
fn a_submission_goes_to_both_nodes_the_same_blob() {
    let mut bench = with_a_warm_second();
    bench.on(FeedInput::Submit(Submission { hash: Hash([7; 32]), blob: "AB".into() }), 20);
    let SecondEffect::Send(text) = second(&bench).last().unwrap() else { panic!("not sent") };
    let sent: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&sent["command"], &sent["tx_blob"]), (&json!("submit"), &json!("AB")));
    // Its answer is nobody's.
    let answer = json!({"id": sent["id"], "type": "response", "status": "error", "error": "slowDown"}).to_string();
    bench.on(FeedInput::Second(SecondInput::Text(&answer)), 21);
    assert!(bench.replies.is_empty() && bench.core.second.is_warm());
}

#[test]
fn a_public_nodes_limits_hold_submissions_back_in_order_and_lose_none() {
    let mut bench = Bench::live(None);
    bench.core.config.is_public = true;
    let sent = |bench: &Bench| {
        let blob = |effect: &FeedEffect| match effect {
            FeedEffect::Send(text) => {
                serde_json::from_str::<Value>(text).unwrap()["tx_blob"].as_str().map(str::to_string)
            }
            _ => None,
        };
        bench.others.iter().filter_map(blob).collect::<Vec<_>>()
    };
    let all: Vec<String> = (0..60_u8).map(|n| format!("{n:02X}")).collect();
    for (n, blob) in all.iter().enumerate() {
        let hash = Hash([u8::try_from(n).unwrap(); 32]);
        bench.on(FeedInput::Submit(Submission { hash, blob: blob.clone() }), 20);
    }
    let at_once = sent(&bench).len();
    assert!((20..=30).contains(&at_once), "{at_once}");
    for now_ms in (20..60_000).step_by(250) {
        bench.core.heard_ms = now_ms;
        bench.core.asked.clear();
        bench.on(FeedInput::Tick, now_ms);
    }
    assert_eq!(sent(&bench), all);
    // What waits when the connection goes is answered as not sent: the orders send the same blob again.
    for _ in 0..40 {
        bench.on(FeedInput::Submit(Submission { hash: Hash([99; 32]), blob: "FF".into() }), 60_000);
    }
    bench.on(FeedInput::Disconnected(Parting::Lost, "reset"), 60_001);
    assert_eq!(bench.replies.len(), 40);
}

#[test]
fn a_node_that_is_not_fit_is_left_at_its_greeting_and_when_it_becomes_so() {
    let mut bench = Bench::new(None);
    bench.on(FeedInput::Tick, 0);
    bench.node.fit = false;
    bench.on(FeedInput::Connected, 1);
    assert!(bench.left() && bench.updates.is_empty());

    let mut bench = Bench::live(None);
    bench.core.config.audit_ledgers = 1;
    bench.node.fit = false;
    bench.node.index = 101;
    bench.hear(&closed(101));
    assert!(bench.left());
}

#[test]
fn a_node_that_asks_us_to_slow_down_is_left_alone_for_longer_than_one_that_was_lost() {
    for (parting, wait_ms) in [(Parting::Lost, 625), (Parting::Overloaded, 15_000), (Parting::Unfit, 18_750)] {
        let mut bench = Bench::live(None);
        bench.on(FeedInput::Disconnected(parting, "gone"), 0);
        let connects =
            |bench: &Bench| bench.others.iter().filter(|effect| matches!(effect, FeedEffect::Connect(_))).count();
        let before = connects(&bench);
        bench.on(FeedInput::Tick, wait_ms * 4 / 5 - 1);
        assert_eq!(connects(&bench), before, "{parting:?}");
        bench.on(FeedInput::Tick, wait_ms);
        assert_eq!(connects(&bench), before + 1, "{parting:?}");
    }
}

#[test]
fn the_tokens_rules_are_read_at_the_start_and_followed_with_every_ledger() {
    let mut bench = Bench::new(None);
    bench.node.lines = vec![json!({"account": token().issuer.to_string(), "currency": Currency::RLUSD, "balance": "7",
        "limit": "500", "limit_peer": "0", "freeze_peer": true, "quality_in": 0, "quality_out": 0})];
    bench.node.objects = vec![json!({"LedgerEntryType": "Ticket"})];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    let first = &bench.updates[0];
    assert_eq!(first.owned.as_ref().map(neo_ledger::Owned::reserves), Some(1));
    assert_eq!((first.terms.issuer.tick_size, first.terms.issuer.transfer_rate), (Some(5), Some(1_002_000_000)));
    let line = first.terms.line.unwrap();
    assert_eq!((line.limit, line.frozen, line.deep_frozen), (Dec::from_i64(500), true, false));
    assert!(!first.terms.issuer.global_freeze);
    // The issuer freezes everything: no transaction touches our account, and the next ledger says so all the same.
    (bench.node.index, bench.node.issuer_flags) = (101, 0x0040_0000);
    bench.hear(&closed(101));
    let next = bench.updates.last().unwrap();
    assert_eq!((next.ledger.index, next.terms.issuer.global_freeze), (101, true));
    assert_eq!(next.terms.line, Some(line), "the line is as it was read");
    // The line's own freeze is lifted by a transaction that touches it.
    let limit = |of: Address, value: &str| json!({"currency": Currency::RLUSD, "issuer": of, "value": value});
    let lifted = json!({"ledger_index": 102, "validated": true, "hash": hash('D'), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "TrustSet", "Account": token().issuer, "Fee": "10", "Sequence": 5},
        "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [{"ModifiedNode": {
            "LedgerEntryType": "RippleState", "LedgerIndex": hash('7'), "PreviousFields": {"Flags": 0x0081_0000},
            "FinalFields": {"Flags": 0x0001_0000, "Balance": limit(Address([0; 20]), "7"),
                "LowLimit": limit(account(), "500"), "HighLimit": limit(token().issuer, "0")}}}]}});
    bench.node.index = 102;
    bench.node.lines[0]["freeze_peer"] = json!(false);
    bench.node.lines[0]["txn"] = json!(hash('D'));
    bench.hear(&stream(lifted));
    bench.hear(&closed(102));
    let line = bench.updates.last().unwrap().terms.line.unwrap();
    assert_eq!((line.frozen, line.limit), (false, Dec::from_i64(500)));
}

#[test]
fn a_list_that_is_wanted_again_comes_with_the_next_ledger() {
    let mut bench = Bench::live(None);
    bench.node.index = 101;
    bench.hear(&closed(101));
    assert_eq!(bench.updates.last().unwrap().offers, None);
    bench.on(FeedInput::ListAgain, 10);
    bench.node.index = 102;
    bench.hear(&closed(102));
    let update = bench.updates.last().unwrap();
    assert_eq!((update.ledger.index, &update.offers), (102, &Some(vec![])));
    bench.node.index = 103;
    bench.hear(&closed(103));
    assert_eq!(bench.updates.last().unwrap().offers, None, "once");
}

#[test]
fn a_node_too_far_behind_the_record_to_be_waited_for_is_left_and_its_history_is_not_lost() {
    // The node refuses a range that begins after its newest ledger.
    let mut bench = Bench::new(Some(150));
    bench.node.has_history = false;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.left() && bench.updates.is_empty());
    assert_eq!((bench.core.processed, bench.core.history_lost.is_none()), (Some(150), true));
    // A world that began again is far behind: history is lost, and said to be.
    let mut bench = Bench::new(Some(90_000));
    bench.node.has_history = false;
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.updates[0].history_lost.is_some());
}

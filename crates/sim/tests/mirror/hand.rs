//! Recordings written by hand, and a client with offers in their mirror.

use std::path::{Path, PathBuf};

use neo_ledger::keys::Keypair;
use neo_ledger::recording::{Direction, Header, Moment, Rotation, Series};
use neo_ledger::{Address, Asset, Book, Currency, Hash, Message, Token, message, request, sha512_half};
use neo_market::Drops;
use neo_sim::state::{LineKey, OfferKey, State};
use neo_sim::{ConnectionId, Node, Outgoing, Scenario, maker_seed};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

pub const ISSUER: Address = Address([9; 20]);
pub const XRP: i64 = 1_000_000;
/// The ledger of a recording's first picture.
pub const FIRST: u32 = 1_000;

pub fn token() -> Token {
    Token { currency: Currency::RLUSD, issuer: ISSUER }
}

pub fn owner(number: u8) -> Address {
    Address([number; 20])
}

/// A recording that is being written.
pub struct Recording {
    pub folder: TempDir,
    pub series: Series,
    pub token: Token,
    next_id: u64,
    next_us: u64,
    hashes: u32,
}

impl Recording {
    pub fn new(token: Token, account: Option<Address>) -> Recording {
        let folder = tempfile::tempdir().unwrap();
        let header = Header::new(0, "ws://node", account, token, "2026-01-01T00:00:00Z".to_string());
        let series = Series::new(&folder.path().join("r.jsonl.gz"), header, Rotation { part_bytes: 1 << 30, keep: 0 });
        Recording { folder, series, token, next_id: 0, next_us: 0, hashes: 0 }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("r.jsonl.gz")
    }

    fn at(&mut self) -> Moment {
        self.next_us += 1_000;
        Moment { unix_ms: 0, monotonic_us: self.next_us }
    }

    pub fn sent(&mut self, text: &str) {
        let at = self.at();
        self.series.message(at, 1, Direction::Sent, text).unwrap();
    }

    pub fn said(&mut self, text: &str) {
        let at = self.at();
        self.series.message(at, 1, Direction::Recv, text).unwrap();
    }

    pub fn gap(&mut self) {
        let at = self.at();
        self.series.gap(at, "lost", 0).unwrap();
    }

    pub fn closed(&mut self, index: u32) {
        let time = 800_000_000 + index * 4;
        let text = json!({
            "type": "ledgerClosed", "ledger_index": index, "ledger_hash": "AB".repeat(32), "ledger_time": time,
            "fee_base": 10, "reserve_base": 1_000_000, "reserve_inc": 200_000, "txn_count": 1,
        });
        self.said(&text.to_string());
    }

    /// Asks for both sides and answers.
    pub fn picture(&mut self, index: u32, bids: &[Json], asks: &[Json]) {
        let (xrp, token) = (Asset::Xrp, Asset::Token(self.token));
        for (gets, pays, offers) in [(xrp, token, asks), (token, xrp, bids)] {
            self.next_id += 1;
            let id = self.next_id;
            self.sent(&request::book_offers(id, gets, pays, None, 400));
            let answer = json!({
                "id": id, "type": "response", "status": "success",
                "result": { "ledger_index": index, "validated": true, "offers": offers },
            });
            self.said(&answer.to_string());
        }
    }

    /// Asks for the pool and answers with the one of a state.
    pub fn pool_told(&mut self, index: u32, state: &State) {
        let pool = state.amms().next().map(|(pair, amm)| {
            let line = LineKey::of(amm.account, self.token.issuer, self.token.currency);
            let balance = state.line(line).unwrap().balance;
            let held = if line.low == amm.account { balance } else { balance.neg() };
            let of = |issuer: Address, currency: Json, value: String| json!({ "currency": currency, "issuer": issuer, "value": value });
            json!({
                "account": amm.account, "amount": state.account(amm.account).unwrap().balance.to_string(),
                "amount2": of(self.token.issuer, json!(self.token.currency), held.text()),
                "lp_token": of(amm.account, json!(pair.lp_currency()), amm.lp_token_balance.text()),
                "trading_fee": amm.trading_fee, "asset2_frozen": false,
            })
        });
        self.pool_said(index, pool.as_ref());
    }

    /// Asks for the pool and answers with this one, or that there is none.
    pub fn pool_said(&mut self, index: u32, pool: Option<&Json>) {
        self.next_id += 1;
        self.sent(&request::amm_info(self.next_id, self.token));
        let answer = match pool {
            Some(pool) => json!({
                "id": self.next_id, "type": "response", "status": "success",
                "result": { "amm": pool, "ledger_index": index, "validated": true },
            }),
            None => json!({ "id": self.next_id, "type": "response", "status": "error", "error": "actNotFound" }),
        };
        self.said(&answer.to_string());
    }

    /// A transaction of the ledger.
    pub fn tx(&mut self, index: u32, place: u32, nodes: &[Json]) {
        self.hashes += 1;
        let hash: Hash = sha512_half(&[&self.hashes.to_be_bytes()]);
        let text = json!({
            "type": "transaction", "validated": true, "engine_result": "tesSUCCESS", "ledger_index": index, "hash": hash,
            "meta": { "TransactionIndex": place, "TransactionResult": "tesSUCCESS", "AffectedNodes": nodes },
            "tx_json": { "Account": owner(77), "TransactionType": "OfferCreate", "Sequence": 1, "Fee": "10" },
        });
        self.said(&text.to_string());
    }

    pub fn replay(&mut self, change: impl FnOnce(&mut Scenario)) -> Client {
        self.series.finish().unwrap();
        Client::of(&self.file(), change)
    }
}

/// An offer's fields: `ask` sells XRP; the price is in thousandths of a token for an XRP.
pub fn fields(ask: bool, owner: Address, sequence: u32, drops: i64, price: i64) -> Json {
    let token = token();
    // drops * price / 1e9, written exactly.
    let value = format!("{}e-9", i128::from(drops) * i128::from(price));
    let value = neo_ledger::amount::parse_token_value(&value).unwrap().to_string();
    let amount = json!({ "currency": token.currency, "issuer": token.issuer, "value": value });
    let (gets, pays) = if ask { (json!(drops.to_string()), amount) } else { (amount, json!(drops.to_string())) };
    json!({ "Account": owner, "Sequence": sequence, "TakerGets": gets, "TakerPays": pays, "Flags": 0 })
}

fn node(action: &str, fields: &Json, more: Json) -> Json {
    let mut node = json!({ "LedgerEntryType": "Offer", "LedgerIndex": "CD".repeat(32) });
    let name = if action == "CreatedNode" { "NewFields" } else { "FinalFields" };
    node[name] = fields.clone();
    if !more.is_null() {
        node["PreviousFields"] = more;
    }
    json!({ action: node })
}

/// A real offer whose sizes change.
#[derive(Clone, Copy)]
pub struct Real {
    pub ask: bool,
    pub owner: u8,
    pub sequence: u32,
    pub price: i64,
}

pub fn ask(owner: u8, price: i64) -> Real {
    Real { ask: true, owner, sequence: 7, price }
}

pub fn bid(owner: u8, price: i64) -> Real {
    Real { ask: false, owner, sequence: 8, price }
}

impl Real {
    pub fn of(self, xrp: i64) -> Json {
        fields(self.ask, owner(self.owner), self.sequence, xrp * XRP, self.price)
    }

    pub fn placed(self, xrp: i64) -> Json {
        node("CreatedNode", &self.of(xrp), Json::Null)
    }

    pub fn taken(self, from: i64, to: i64) -> Json {
        let before = self.of(from);
        let previous = json!({ "TakerGets": before["TakerGets"], "TakerPays": before["TakerPays"] });
        node(if to == 0 { "DeletedNode" } else { "ModifiedNode" }, &self.of(to), previous)
    }

    pub fn cancelled(self, xrp: i64) -> Json {
        node("DeletedNode", &self.of(xrp), Json::Null)
    }
}

/// A client of a mirrored ledger that keeps the book as the engine does.
pub struct Client {
    pub node: Node,
    pub id: ConnectionId,
    key: Keypair,
    book: Book,
    token: Token,
    /// Validated transactions that the client was told of.
    pub told: u64,
}

impl Client {
    pub fn of(file: &Path, change: impl FnOnce(&mut Scenario)) -> Client {
        let mut scenario = Scenario { recording: Some(file.to_path_buf()), ..Scenario::default() };
        change(&mut scenario);
        let node = Node::new(&scenario, 1).unwrap();
        Client::at(node)
    }

    pub fn at(mut node: Node) -> Client {
        let id = node.connect();
        let token = node.scenario().token();
        let key = Keypair::from_seed(&maker_seed()).unwrap();
        // Nobody is left out: the book must be the ledger's, ours in it.
        let book = Book::new(token, Address([0; 20]));
        let mut client = Client { node, id, key, book, token, told: 0 };
        let subscribed = client.ask(&request::subscribe_market(1, token));
        assert_eq!(subscribed["status"], "success", "{subscribed}");
        let (bids, asks) = client.sides();
        client.book.reset(client.node.ledger_index(), &asks, &bids).unwrap();
        client
    }

    pub fn ask(&mut self, request: &str) -> Json {
        let mut messages = self.node.request(self.id, request);
        serde_json::from_str(&messages.pop().unwrap().text).unwrap()
    }

    fn sides(&mut self) -> (Vec<Json>, Vec<Json>) {
        let (xrp, token) = (Asset::Xrp, Asset::Token(self.token));
        let mut side = |gets, pays| {
            let answer = self.ask(&request::book_offers(2, gets, pays, None, 400));
            answer["result"]["offers"].as_array().unwrap().clone()
        };
        (side(token, xrp), side(xrp, token))
    }

    pub fn maker(&self) -> Address {
        self.key.address()
    }

    /// Places an offer into the open ledger; gives its sequence.
    pub fn place(&mut self, ask: bool, xrp: i64, price: i64) -> u32 {
        let sequence = self.node_sequence();
        let mut json = fields(ask, self.maker(), sequence, xrp * XRP, price);
        let token = serde_json::to_value(self.token).unwrap();
        for amount in ["TakerGets", "TakerPays"] {
            if json[amount].is_object() {
                json[amount]["issuer"] = token["issuer"].clone();
            }
        }
        let more = json!({
            "TransactionType": "OfferCreate", "Fee": "10", "NetworkID": self.node.scenario().network_id,
        });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let signed = self.key.sign_json(&json).unwrap();
        let answer = self.ask(&request::submit(3, &signed.blob, false));
        assert_eq!(answer["result"]["engine_result"], "tesSUCCESS", "{answer}");
        sequence
    }

    /// Cancels an offer, in the open ledger.
    pub fn cancel(&mut self, sequence: u32) {
        let json = json!({
            "TransactionType": "OfferCancel", "Account": self.maker(), "Sequence": self.node_sequence(),
            "OfferSequence": sequence, "Fee": "10", "NetworkID": self.node.scenario().network_id,
        });
        let signed = self.key.sign_json(&json).unwrap();
        let answer = self.ask(&request::submit(3, &signed.blob, false));
        assert_eq!(answer["result"]["engine_result"], "tesSUCCESS", "{answer}");
    }

    fn node_sequence(&mut self) -> u32 {
        let request = json!({ "id": 4, "command": "account_info", "account": self.maker(), "ledger_index": "current" });
        let answer = self.ask(&request.to_string());
        u32::try_from(answer["result"]["account_data"]["Sequence"].as_u64().unwrap()).unwrap()
    }

    /// Closes a ledger; the book that the client keeps must be the ledger's.
    pub fn close(&mut self) {
        let said = self.node.close_ledger();
        self.closed(said);
    }

    /// What the node said as a ledger closed.
    pub fn closed(&mut self, said: Vec<Outgoing>) {
        for outgoing in said {
            if let Message::Transaction(stream) = message::parse(&outgoing.text).unwrap() {
                self.told += 1;
                self.book.apply(&stream.transaction).unwrap();
            }
        }
        let (bids, asks) = self.sides();
        let mut fresh = Book::new(self.token, Address([0; 20]));
        fresh.reset(self.node.ledger_index(), &asks, &bids).unwrap();
        let (index, now) = (self.node.ledger_index(), self.node.close_time());
        let view = |book: &Book| book.view(index, 20, now, Drops::new(0)).unwrap();
        assert_eq!(view(&self.book), view(&fresh), "the client's book after ledger {index}");
    }

    /// XRP that is left of an offer of ours; 0 when it is gone.
    pub fn left(&self, sequence: u32) -> i64 {
        self.left_of(self.maker(), sequence)
    }

    pub fn left_of(&self, account: Address, sequence: u32) -> i64 {
        let key = OfferKey { account, sequence };
        self.drops_of(key).map_or(0, |drops| {
            assert_eq!(drops % XRP, 0, "{drops}");
            drops / XRP
        })
    }

    pub fn drops_of(&self, key: OfferKey) -> Option<i64> {
        let offer = self.node.validated_state().offer(key)?;
        let text = if offer.taker_gets.is_xrp() { offer.taker_gets.text() } else { offer.taker_pays.text() };
        Some(text.parse().unwrap())
    }

    pub fn left_of_real(&self, real: Real) -> i64 {
        self.left_of(owner(real.owner), real.sequence)
    }
}

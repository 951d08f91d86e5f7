//! What must be true of the ledger whatever is sent to it: random transactions of all kinds from one seed, in ledgers of
//! several, and after each ledger the whole state is looked at.
//!
//! `NEO_PROPERTIES=1000000` tries so many transactions instead of a few thousand, `NEO_PROPERTIES_SEED=7` from another seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stderr, reason = "the figures of the run")]

#[path = "../common/mod.rs"]
mod common;
mod moves;
mod pools;
mod tokens;

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset, Currency, LedgerTime, Token, sha512_half};
use neo_sim::amendment::Amendments;
use neo_sim::amount::Value;
use neo_sim::apply::Rules;
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::image;
use neo_sim::ledger::{Chain, ClosedTx};
use neo_sim::rng::Rng;
use neo_sim::state::{
    AccountRoot, Book, Entry, Key, LSF_DEFAULT_RIPPLE, LSF_GLOBAL_FREEZE, LSF_HIGH_RESERVE, LSF_LOW_RESERVE, Offer,
    State,
};
use pools::{Pools, Told};
use serde_json::{Map, Value as Json, json};

const TRADERS: u8 = 6;
const ISSUERS: [Address; 2] = [Address([41; 20]), Address([42; 20])];
/// Transactions until which every ledger's whole state is compared.
const SHORT_RUN: u64 = 5_000;
const START_DROPS: i64 = 1_000_000_000_000;
const FUNDED_DROPS: i64 = 1_000_000;

fn trader(number: u64) -> Address {
    Address([1 + u8::try_from(number % u64::from(TRADERS)).unwrap(); 20])
}

fn tokens() -> [Token; 3] {
    let of = |code: &str, issuer| Token { currency: code.parse::<Currency>().unwrap(), issuer };
    [of("USD", ISSUERS[0]), of("EUR", ISSUERS[1]), of("GBP", ISSUERS[1])]
}

/// A chain that random transactions are sent to.
struct World {
    chain: Chain,
    rng: Rng,
    sent: u64,
    results: BTreeMap<&'static str, u64>,
    /// Transactions that succeeded, by type.
    done: BTreeMap<String, u64>,
    told: Told,
    pools: Pools,
}

impl World {
    fn new(seed: u64) -> World {
        let rules = Rules {
            network_id: 1,
            base_fee_drops: 10,
            reserve_base_drops: 1_000_000,
            reserve_inc_drops: 200_000,
            amendments: Amendments::default(),
        };
        let mut state = State::default();
        for account in (0..u64::from(TRADERS)).map(trader).chain(ISSUERS) {
            let is_issuer = ISSUERS.contains(&account);
            let flags = if is_issuer { LSF_DEFAULT_RIPPLE } else { 0 };
            let transfer_rate = if account == ISSUERS[1] { 1_002_000_000 } else { 0 };
            let root =
                AccountRoot { balance: START_DROPS, sequence: 1, flags, transfer_rate, ..AccountRoot::default() };
            state.put_account(account, root);
        }
        state.commit();
        let told = state.accounts().map(|(address, root)| {
            let (key, entry) = (Key::Account(address), Entry::Account(root.clone()));
            (image::index_of(key).to_string(), plain(&image::fields(key, &entry)))
        });
        let told = told.collect();
        let chain = Chain::new(rules, state, 5, LedgerTime(1_000));
        World {
            chain,
            rng: Rng::new(seed),
            sent: 0,
            results: BTreeMap::new(),
            done: BTreeMap::new(),
            told,
            pools: Pools::default(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.bits() % limit
    }

    fn send(&mut self) {
        let (account, mut fields) = self.transaction();
        let Some(sequence) = self.chain.open().account(account).map(|root| root.sequence) else { return };
        fields["Account"] = json!(account);
        fields["Sequence"] = json!(sequence);
        let ticket = self.chain.open().tickets_of(account).next().map(|(key, _)| key.sequence);
        if let Some(ticket) = ticket.filter(|_| self.sent.is_multiple_of(3)) {
            (fields["Sequence"], fields["TicketSequence"]) = (json!(0), json!(ticket));
        }
        if fields.get("Fee").is_none() {
            fields["Fee"] = json!("10");
        }
        let hash = sha512_half(&[fields.to_string().as_bytes(), &self.sent.to_be_bytes()]);
        self.sent += 1;
        let has_paths = if fields.get("Paths").is_some() { " by paths" } else { "" };
        let kind = format!("{}{has_paths}", fields["TransactionType"].as_str().unwrap());
        if let Ok(tx) = Tx::parse(fields, hash, Signer::Simulation) {
            let submitted = self.chain.submit(tx, false);
            *self.results.entry(submitted.result.token).or_default() += 1;
            if submitted.result.is_success() {
                *self.done.entry(kind).or_default() += 1;
            }
        }
    }

    fn close(&mut self) {
        let salt = self.rng.bits();
        let before = self.chain.header().total_drops;
        let time = LedgerTime(self.chain.header().close_time.0 + 4);
        let closed = self.chain.close(salt, time);
        self.xrp_is_kept(before, &closed);
        self.counts_are_right();
        self.metadata_tells_all(&closed);
        self.no_book_is_crossed();
    }

    fn xrp_is_kept(&self, before: i64, closed: &[ClosedTx]) {
        let state = self.chain.validated();
        let all: i64 = state.accounts().map(|(_, root)| root.balance).sum();
        let fees: i64 = closed.iter().map(|closed| closed.fee).sum();
        assert_eq!(all, before - fees, "ledger {}", self.chain.header().index);
        assert_eq!(all, self.chain.header().total_drops);
        assert!(state.accounts().all(|(_, root)| root.balance >= 0));
    }

    /// The reserve counts what an account owns; and a trader owes nobody.
    fn counts_are_right(&self) {
        let state = self.chain.validated();
        for (account, root) in state.accounts().filter(|(_, root)| root.amm_id.is_none()) {
            let lines = state.lines_of(account).filter(|(key, line)| {
                line.flags & if key.low == account { LSF_LOW_RESERVE } else { LSF_HIGH_RESERVE } != 0
            });
            let owned = lines.count() + state.offers_of(account).count() + state.tickets_of(account).count();
            assert_eq!(
                usize::try_from(root.owner_count).unwrap(),
                owned,
                "{account}, ledger {}",
                self.chain.header().index
            );
        }
        for (number, token) in (0..u64::from(TRADERS)).flat_map(|number| tokens().map(|token| (number, token))) {
            let balance = state.token_balance(trader(number), token);
            assert!(balance >= neo_sim::amount::TokenValue::ZERO, "{} owes {}", trader(number), balance.text());
        }
    }

    /// What the metadata says, put together, is the state.
    fn metadata_tells_all(&mut self, closed: &[ClosedTx]) {
        for tx in closed {
            for node in tx.meta.json["AffectedNodes"].as_array().unwrap() {
                let (kind, body) = node.as_object().unwrap().iter().next().unwrap();
                if body["LedgerEntryType"] == "DirectoryNode" {
                    continue;
                }
                let index = body["LedgerIndex"].as_str().unwrap().to_string();
                let fields = |name: &str| body.get(name).and_then(Json::as_object).map(plain);
                match kind.as_str() {
                    "CreatedNode" => assert!(self.told.insert(index, fields("NewFields").unwrap()).is_none()),
                    "DeletedNode" => assert!(self.told.remove(&index).is_some()),
                    _ => {
                        if let Some(fields) = fields("FinalFields") {
                            assert!(self.told.insert(index, fields).is_some());
                        }
                    }
                }
            }
            self.pools.check(&self.told, tx);
            tokens::check(&self.told, tx);
        }
        // The whole state: after each ledger of a short run, now and then in a long one.
        if self.sent > SHORT_RUN && !self.chain.header().index.is_multiple_of(200) {
            return;
        }
        let state = self.chain.validated();
        let all: BTreeMap<String, Map<String, Json>> = state
            .entries()
            .map(|(key, entry)| (image::index_of(key).to_string(), plain(&image::fields(key, &entry))))
            .collect();
        for (index, fields) in &all {
            assert_eq!(self.told.get(index), Some(fields), "{index}, ledger {}", self.chain.header().index);
        }
        assert_eq!(self.told.len(), all.len());
    }

    /// No two offers of some size that their owners can honour stand crossed by more than rounding.
    fn no_book_is_crossed(&self) {
        for token in tokens() {
            let asks = Book { pays: Asset::Token(token), gets: Asset::Xrp };
            let (ask, bid) = (self.best(asks), self.best(asks.reversed()));
            if let (Some(ask), Some(bid)) = (ask, bid) {
                assert!(
                    ask * bid > 1.0 - 1e-5,
                    "{} is crossed: {ask} {bid}, ledger {}",
                    token.currency,
                    self.chain.header().index
                );
            }
        }
    }

    /// What a taker pays for one of what he gets from the best offer that can be taken.
    fn best(&self, book: Book) -> Option<f64> {
        let state = self.chain.validated();
        let now = self.chain.header().close_time;
        let live = |owner: Address, offer: &Offer| {
            let frozen = [book.pays, book.gets].iter().any(|asset| match asset {
                Asset::Xrp => false,
                Asset::Token(token) => {
                    state.account(token.issuer).unwrap().flags & LSF_GLOBAL_FREEZE != 0
                        || state
                            .line(neo_sim::state::LineKey::of(owner, token.issuer, token.currency))
                            .is_none_or(|line| line.flags & 0x00C0_0000 != 0)
                }
            });
            let has = match (book.gets, offer.taker_gets) {
                (Asset::Xrp, Value::Drops(drops)) => drops >= FUNDED_DROPS,
                (Asset::Token(token), Value::Token(gets)) => state.token_balance(owner, token) >= gets,
                _ => false,
            };
            let large = [offer.taker_gets, offer.taker_pays].iter().all(|side| number(*side) >= 1.0);
            offer.expiration.is_none_or(|expiration| expiration > now) && !frozen && has && large
        };
        let (_, offer) = state.book(book).find(|(key, offer)| live(key.account, offer))?;
        Some(number(offer.taker_pays) / number(offer.taker_gets))
    }
}

/// XRP or tokens, near enough.
fn number(value: Value) -> f64 {
    match value {
        Value::Drops(drops) => drops as f64 / 1e6,
        Value::Token(value) => value.text().parse().unwrap(),
    }
}

/// An entry without what the state does not keep, and without fields that have their default: a created entry's are left
/// out of its metadata.
fn plain(fields: &Map<String, Json>) -> Map<String, Json> {
    const NOT_KEPT: [&str; 9] = [
        "index",
        "LedgerEntryType",
        "PreviousTxnID",
        "PreviousTxnLgrSeq",
        "BookNode",
        "OwnerNode",
        "LowNode",
        "HighNode",
        "AccountTxnID",
    ];
    let is_default =
        |value: &Json| *value == json!(0) || *value == json!("0") || *value == json!({ "currency": "XRP" });
    let kept = fields.iter().filter(|(name, value)| !NOT_KEPT.contains(&name.as_str()) && !is_default(value));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl World {
    /// A transaction that must succeed.
    fn must(&mut self, account: Address, fields: Json) {
        let sequence = self.chain.open().account(account).unwrap().sequence;
        let fields = common::with(fields, json!({ "Account": account, "Sequence": sequence, "Fee": "10" }));
        let hash = sha512_half(&[fields.to_string().as_bytes()]);
        assert!(self.chain.submit(Tx::parse(fields, hash, Signer::Simulation).unwrap(), false).result.is_success());
    }
}

fn run(seed: u64, transactions: u64) -> World {
    let mut world = World::new(seed);
    // The first issuer may claw back, which it can declare only while it owes nobody.
    world.must(ISSUERS[0], json!({ "TransactionType": "AccountSet", "SetFlag": 16 }));
    for account in (0..u64::from(TRADERS)).map(trader) {
        for token in tokens() {
            let limit = json!({ "currency": token.currency, "issuer": token.issuer, "value": "1000000000" });
            world.must(account, json!({ "TransactionType": "TrustSet", "LimitAmount": limit }));
        }
    }
    world.close();
    while world.sent < transactions {
        for _ in 0..1 + world.below(20) {
            world.send();
        }
        world.close();
    }
    world
}

#[test]
fn whatever_is_sent_the_ledger_stays_a_ledger() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let world = run(number("NEO_PROPERTIES_SEED", 1), number("NEO_PROPERTIES", 3_000));
    eprintln!("{} transactions, {} ledgers: {:?}", world.sent, world.chain.header().index, world.results);
    eprintln!("{} changes of pools; succeeded: {:?}", world.pools.changes, world.done);
    let results = ["tesSUCCESS", "tecPATH_PARTIAL", "tecKILLED", "tecUNFUNDED_OFFER", "tecFROZEN"];
    assert!(results.iter().all(|result| world.results.contains_key(result)), "{:?}", world.results);
    let kinds = ["OfferCreate", "Payment", "Payment by paths", "Clawback", "AMMCreate", "AMMDeposit", "AMMWithdraw"];
    assert!(kinds.iter().all(|kind| world.done.contains_key(*kind)), "{:?}", world.done);
    assert!(world.chain.validated().amms().next().is_some(), "no pool is left at the end");
}

#[test]
fn one_seed_gives_one_ledger() {
    let end = |seed| run(seed, 400).chain.header().hash;
    assert_eq!(end(5), end(5));
    assert_ne!(end(5), end(6));
}

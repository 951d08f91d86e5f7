//! From a recording's lines to mirrored ledgers. Pure: lines in, ledgers out, in the order of their indexes.
//!
//! A ledger is whole when a later one has closed; it is given out a few ledgers later, so that a late answer still finds
//! it. A side of the book is sound from a fresh snapshot on, until something may be missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use neo_ledger::message::{self, LedgerClosed, Message, Response, ValidatedTransaction};
use neo_ledger::recording::{Direction, Line, RecordingError, What};
use neo_ledger::{Address, Hash, LedgerTime, Token};
use neo_market::Side;
use serde_json::Value as Json;

use super::pool::{self, Picture, PoolChange};
use super::standing::{Share, Standing, Touched, listed, pool_share, touched};

/// Ledgers that must have closed after one before it is given out.
const HOLD: u32 = 3;
/// Ledgers given out whose transactions are remembered: another connection may send them once more.
const RECENT: u32 = 64;
/// What a node says that has no pool of the pair, or that knows no pools.
const NO_POOL: [&str; 2] = ["actNotFound", "unknownCmd"];
/// Most ledgers that are filled in where a recording has none: about a month.
const MOST_MISSING: u32 = 700_000;

/// A transaction that touched the pair's books or its pool.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorTx {
    /// Its hash.
    pub hash: Hash,
    /// Its place in its ledger.
    pub index: u32,
    /// Who sent it: the holder of a pool's auction slot pays the pool less.
    pub account: Address,
    /// The offers of the pair that it touched, in the order of the metadata.
    pub touched: Vec<Touched>,
    /// What the pool gave.
    pub pool: Option<Share>,
    /// What it left of the pool.
    pub pool_change: Option<PoolChange>,
}

/// A ledger of the real chain, as far as it concerns the pair.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorLedger {
    /// Its index.
    pub index: u32,
    /// When it closed; between its neighbours' times where the recording has none.
    pub close_time: LedgerTime,
    /// The reference fee, in drops; like the reserves that of the ledger before where the recording has none.
    pub base_fee_drops: i64,
    /// Reserve of an account, in drops.
    pub reserve_base_drops: i64,
    /// More reserve for each object, in drops.
    pub reserve_inc_drops: i64,
    /// Its transactions, in their order.
    pub txs: Vec<MirrorTx>,
    /// Whether bids and asks are known without a hole before its transactions, in this order.
    pub sound: [bool; 2],
    /// Both sides as they stand after its transactions, where the recorder asked.
    pub snapshots: BTreeMap<Side, Vec<Standing>>,
    /// Whether the pool is known without a hole before its transactions.
    pub pool_sound: bool,
    /// The pool as it stands after its transactions, where the recorder asked.
    pub pool: Option<Picture>,
}

impl MirrorLedger {
    /// True where something is missing: on a side of which that is so nothing trades.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.sound != [true, true]
    }

    /// Whether each side, bids first, is known after this ledger.
    #[must_use]
    pub fn sound_after(&self) -> [bool; 2] {
        Side::BOTH.map(|side| self.sound[place(side)] || self.snapshots.contains_key(&side))
    }

    /// Whether the pool is known after this ledger.
    #[must_use]
    pub fn pool_sound_after(&self) -> bool {
        self.pool_sound || self.pool.is_some()
    }
}

/// The place of a side in pairs.
pub(super) const fn place(side: Side) -> usize {
    match side {
        Side::Bid => 0,
        Side::Ask => 1,
    }
}

/// A line of a recording, or that a run of the recorder begins here: connections and requests count anew.
#[derive(Debug)]
pub enum Item {
    /// A line.
    Line(Line),
    /// Another run.
    Run,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Book(Side),
    Pool,
    Subscribe,
}

/// A ledger that is being put together.
#[derive(Debug, Default)]
struct Draft {
    closed: Option<LedgerClosed>,
    txs: BTreeMap<u32, MirrorTx>,
    snapshots: BTreeMap<Side, Vec<Standing>>,
    pool: Option<Picture>,
    /// Some of its transactions may be missing.
    broken: bool,
    /// What one of them did to the pool is not understood.
    pool_broken: bool,
}

/// Puts ledgers together.
#[derive(Debug)]
pub struct Assembler {
    token: Token,
    asked: HashMap<(u64, u64), Asked>,
    drafts: BTreeMap<u32, Draft>,
    /// Transactions of the ledgers given out lately.
    recent: BTreeMap<u32, BTreeSet<Hash>>,
    last_closed: Option<u32>,
    /// What the ledger given out last said.
    given: Option<LedgerClosed>,
    sound: [bool; 2],
    pool_sound: bool,
    /// Ledgers that must have closed after one before it is given out.
    hold: u32,
}

impl Assembler {
    /// For the books of a token against XRP.
    #[must_use]
    pub fn new(token: Token) -> Assembler {
        Assembler {
            hold: HOLD,
            token,
            asked: HashMap::new(),
            drafts: BTreeMap::new(),
            recent: BTreeMap::new(),
            last_closed: None,
            given: None,
            sound: [false, false],
            pool_sound: false,
        }
    }

    /// For a market that is followed as it goes: a ledger is given out when the next one has closed, no later. A late
    /// answer is asked for again.
    #[must_use]
    pub fn following(token: Token) -> Assembler {
        Assembler { hold: 1, ..Assembler::new(token) }
    }

    /// Whether each side, bids first, is known after what was given out.
    #[must_use]
    pub fn sound(&self) -> [bool; 2] {
        self.sound
    }

    /// Whether the pool is known after what was given out.
    #[must_use]
    pub fn pool_sound(&self) -> bool {
        self.pool_sound
    }

    /// The connection is another one, or the recorder was started again: what was asked before is not answered.
    pub(super) fn restart(&mut self) {
        self.asked.clear();
        self.gap();
    }

    /// Takes what comes next.
    pub fn take(&mut self, item: Item) {
        match item {
            Item::Run => self.restart(),
            Item::Line(Line { what: What::Gap { .. }, .. }) => self.gap(),
            Item::Line(Line { what: What::Message { conn, dir: Direction::Sent, payload, .. }, .. }) => {
                self.sent(conn, payload.as_str());
            }
            Item::Line(Line { what: What::Message { conn, dir: Direction::Recv, payload, .. }, .. }) => {
                self.received(conn, payload.as_str());
            }
        }
    }

    /// From the last closed ledger on something may be missing.
    pub(super) fn gap(&mut self) {
        for draft in self.drafts.range_mut(self.last_closed.unwrap_or(0)..).map(|(_, draft)| draft) {
            draft.snapshots.clear();
            draft.pool = None;
        }
        let Some(last) = self.last_closed else { return };
        self.draft(last.max(self.first_open())).broken = true;
    }

    /// The first ledger that was not given out.
    fn first_open(&self) -> u32 {
        self.given.as_ref().map_or(0, |given| given.ledger_index.saturating_add(1))
    }

    fn draft(&mut self, index: u32) -> &mut Draft {
        self.drafts.entry(index).or_default()
    }

    pub(super) fn sent(&mut self, conn: u64, text: &str) {
        // What this recorder sent and is no JSON asks for nothing.
        let Ok(request) = serde_json::from_str::<Json>(text) else { return };
        let (Some(id), Some(command)) = (request["id"].as_u64(), request["command"].as_str()) else { return };
        let asked = match command {
            "book_offers" => match self.side_of_request(&request) {
                Some(side) => Asked::Book(side),
                None => return,
            },
            "amm_info" if self.is_of_pair(&request) => Asked::Pool,
            "subscribe" => Asked::Subscribe,
            _ => return,
        };
        self.asked.insert((conn, id), asked);
    }

    /// Asks sell XRP.
    fn side_of_request(&self, request: &Json) -> Option<Side> {
        let (gets, pays) = (&request["taker_gets"], &request["taker_pays"]);
        match () {
            () if is_xrp(gets) && self.is_token(pays) => Some(Side::Ask),
            () if self.is_token(gets) && is_xrp(pays) => Some(Side::Bid),
            () => None,
        }
    }

    fn is_of_pair(&self, request: &Json) -> bool {
        let (one, two) = (&request["asset"], &request["asset2"]);
        (is_xrp(one) && self.is_token(two)) || (self.is_token(one) && is_xrp(two))
    }

    fn is_token(&self, asset: &Json) -> bool {
        let named = (asset["currency"].as_str(), asset["issuer"].as_str());
        named == (Some(self.token.currency.to_string().as_str()), Some(self.token.issuer.to_string().as_str()))
    }

    pub(super) fn received(&mut self, conn: u64, text: &str) {
        match message::parse(text) {
            Ok(Message::LedgerClosed(closed)) => self.closed(closed),
            Ok(Message::Transaction(stream)) => self.transaction(&stream.transaction),
            Ok(Message::Response(response)) => self.answered(conn, response),
            Ok(Message::Other { .. }) => {}
            // It may have been a transaction of the books.
            Err(_) => self.gap(),
        }
    }

    fn closed(&mut self, closed: LedgerClosed) {
        let index = closed.ledger_index;
        if index < self.first_open() {
            return;
        }
        // Nobody could fill what lies between: a node's mistake, which must not end what comes after it.
        if let Some(last) = self.last_closed.filter(|last| index > last.saturating_add(MOST_MISSING)) {
            tracing::warn!(
                ledger = index,
                after = last,
                "a recorded ledgerClosed is passed over: no chain jumps so far"
            );
            return self.gap();
        }
        let last = self.last_closed.map_or(index, |last| last.max(index));
        self.last_closed = Some(last);
        self.draft(index).closed.get_or_insert(closed);
    }

    fn transaction(&mut self, tx: &ValidatedTransaction) {
        let (touched, pool) = (touched(tx, self.token), pool_share(tx, self.token));
        let (touched, pool) = match (touched, pool) {
            (Ok(touched), Ok(pool)) => (touched, pool),
            // An amount that cannot be: what it did to the books is not known.
            _ => return self.gap(),
        };
        let pool_change = pool::changed(tx, self.token).unwrap_or_else(|error| {
            tracing::warn!(hash = %tx.hash, %error, "what a transaction did to the pool is not understood");
            self.pool_gap(tx.ledger_index);
            None
        });
        if touched.is_empty() && pool.is_none() && pool_change.is_none() {
            return;
        }
        if tx.ledger_index < self.first_open() {
            let known = self.recent.get(&tx.ledger_index).is_some_and(|hashes| hashes.contains(&tx.hash));
            // Too late for its ledger, unless it only comes again.
            if !known {
                self.gap();
            }
            return;
        }
        let ledger_index = tx.ledger_index;
        let (hash, index, account) = (tx.hash, tx.transaction_index, tx.account);
        let tx = MirrorTx { hash, index, account, touched, pool, pool_change };
        self.draft(ledger_index).txs.insert(index, tx);
    }

    /// From this ledger on the pool is not known.
    fn pool_gap(&mut self, index: u32) {
        let draft = self.draft(index.max(self.first_open()));
        (draft.pool, draft.pool_broken) = (None, true);
    }

    fn answered(&mut self, conn: u64, response: Response) {
        let Some(asked) = response.id.and_then(|id| self.asked.remove(&(conn, id))) else { return };
        let result = match (response.result, asked) {
            (Ok(result), _) => result,
            (Err(error), Asked::Pool) if NO_POOL.contains(&error.error.as_str()) => {
                let index = self.last_closed.unwrap_or(0).max(self.first_open());
                self.draft(index).pool = Some(Picture::Absent);
                return;
            }
            // Any other refusal tells nothing; the recorder asks again.
            (Err(_), _) => return,
        };
        let ledger_index = result["ledger_index"].as_u64().and_then(|index| u32::try_from(index).ok());
        match asked {
            Asked::Pool => {
                let Some(index) = ledger_index.filter(|index| *index >= self.first_open()) else { return };
                match pool::told(&result, self.token) {
                    Ok(pool) => self.draft(index).pool = Some(Picture::Pool(Box::new(pool))),
                    Err(error) => tracing::warn!(%error, "what was recorded of the pool is not understood"),
                }
            }
            Asked::Subscribe => {
                // Only the stream of ledgers is answered with one.
                if let Ok(closed) = LedgerClosed::from_value(&result) {
                    self.closed(closed);
                }
            }
            Asked::Book(side) => {
                let Some(index) = ledger_index else { return };
                let offers = result["offers"].as_array().map(|offers| listed(offers, side, self.token));
                if let Some(Ok(offers)) = offers
                    && index >= self.first_open()
                {
                    self.draft(index).snapshots.insert(side, offers);
                }
            }
        }
    }

    /// The next ledger, when it is whole; at the recording's `end` the last ones are as well.
    pub fn next_ledger(&mut self, end: bool) -> Option<MirrorLedger> {
        let last = self.last_closed?;
        let index = match &self.given {
            Some(given) => given.ledger_index.saturating_add(1),
            None => self.drafts.iter().find(|(_, draft)| draft.closed.is_some()).map(|(index, _)| *index)?,
        };
        if index > last || (!end && last < index.saturating_add(self.hold)) {
            return None;
        }
        self.drafts.retain(|later, _| *later >= index);
        let heard = self.drafts.get(&index).and_then(|draft| draft.closed.clone());
        let missing = heard.is_none();
        let closed = heard.or_else(|| self.filled(index))?;
        // Only a ledger that is given out gives up what was heard of it. Nothing was heard of a missing one.
        let draft = self.drafts.remove(&index).unwrap_or_default();
        if missing || draft.broken {
            self.sound = [false, false];
        }
        self.pool_sound &= !(missing || draft.broken || draft.pool_broken);
        let ledger = MirrorLedger {
            index,
            close_time: closed.ledger_time,
            base_fee_drops: closed.fee_base.get(),
            reserve_base_drops: closed.reserve_base.get(),
            reserve_inc_drops: closed.reserve_inc.get(),
            txs: draft.txs.into_values().collect(),
            sound: self.sound,
            snapshots: draft.snapshots,
            pool_sound: self.pool_sound,
            pool: draft.pool,
        };
        self.sound = ledger.sound_after();
        self.pool_sound = ledger.pool_sound_after();
        self.recent.insert(index, ledger.txs.iter().map(|tx| tx.hash).collect());
        self.recent.retain(|earlier, _| earlier.saturating_add(RECENT) > index);
        self.given = Some(closed);
        Some(ledger)
    }

    /// A ledger that the recording has nothing of: its time lies between its neighbours'.
    fn filled(&self, index: u32) -> Option<LedgerClosed> {
        let before = self.given.as_ref()?;
        let (next, after) = self.drafts.iter().find_map(|(index, draft)| Some((*index, draft.closed.as_ref()?)))?;
        let steps = next.saturating_sub(before.ledger_index);
        if steps > MOST_MISSING {
            return None;
        }
        let time = u64::from(after.ledger_time.0.saturating_sub(before.ledger_time.0)) / u64::from(steps.max(1));
        let time = LedgerTime(before.ledger_time.0.saturating_add(u32::try_from(time).unwrap_or(u32::MAX)));
        Some(LedgerClosed { ledger_index: index, ledger_time: time, ..before.clone() })
    }
}

fn is_xrp(asset: &Json) -> bool {
    asset["currency"].as_str() == Some("XRP")
}

/// Ledgers out of a recording's lines.
pub struct Ledgers<I> {
    items: I,
    assembler: Assembler,
    ended: bool,
}

impl<I: Iterator<Item = Result<Item, RecordingError>>> Ledgers<I> {
    /// For the books of a token against XRP.
    pub fn new(items: I, token: Token) -> Ledgers<I> {
        Ledgers { items, assembler: Assembler::new(token), ended: false }
    }
}

impl<I: Iterator<Item = Result<Item, RecordingError>>> Iterator for Ledgers<I> {
    type Item = Result<MirrorLedger, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ledger) = self.assembler.next_ledger(self.ended) {
                return Some(Ok(ledger));
            }
            if self.ended {
                return None;
            }
            match self.items.next() {
                Some(Ok(item)) => self.assembler.take(item),
                Some(Err(error)) => {
                    // What was read before it is good.
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use neo_ledger::{Address, Currency};
    use serde_json::json;

    use super::*;

    fn closes(index: u32) -> LedgerClosed {
        let value = json!({"ledger_index": index, "ledger_hash": "AB".repeat(32), "ledger_time": 800_000_000,
            "fee_base": 10, "reserve_base": 1_000_000, "reserve_inc": 200_000});
        LedgerClosed::from_value(&value).unwrap()
    }

    #[test]
    fn a_ledger_that_jumps_absurdly_is_passed_over_as_a_gap_and_what_follows_is_read() {
        let mut assembler = Assembler::new(Token { currency: Currency::RLUSD, issuer: Address([9; 20]) });
        for index in [1_000, 1_001, 50_000_000, 1_002, 1_003] {
            assembler.closed(closes(index));
        }
        assembler.sound = [true, true];
        let ledgers: Vec<MirrorLedger> = std::iter::from_fn(|| assembler.next_ledger(true)).collect();
        assert_eq!(ledgers.iter().map(|ledger| ledger.index).collect::<Vec<_>>(), [1_000, 1_001, 1_002, 1_003]);
        assert_eq!(ledgers.iter().map(MirrorLedger::has_gap).collect::<Vec<_>>(), [false, true, true, true]);
    }
}

//! The market's participants: background makers around a fundamental price, and takers by chance or by tape.
//!
//! Prices and sizes are drawn as floats; what they send becomes whole drops and six decimals at one point,
//! [`amounts`].

mod pool;

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset};
use neo_market::Dec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::amount::{TokenValue, Value};
use crate::apply::meta::amount_json;
use crate::apply::tx::{TF_IMMEDIATE_OR_CANCEL, TF_SELL};
use crate::rng::{Rng, RngPlace};
use crate::scenario::{Price, PriceKind, Scenario, participant};
use crate::tape::Tape;

/// Accounts that takers trade from, in turn.
pub const TAKER_ACCOUNTS: usize = 8;
/// Prices stay within these: what is further out is no market.
const PRICE_RANGE: (f64, f64) = (1e-4, 1e6);
const BPS: f64 = 1e4;
/// Tells the seed of the prices from the seed of the rest.
const PRICE_SEED: u64 = 0x7072_6963_6573;

/// Drops and RLUSD of an order, rounded to whole drops and millionths: the one point where a drawn number becomes an
/// amount. `None` when nothing is left of one of them.
#[must_use]
pub fn amounts(price: f64, size_xrp: f64) -> Option<(Value, Value)> {
    let whole = |number: f64| (number.is_finite() && number < 1e15).then_some(number.round() as i64);
    let drops = whole(size_xrp * 1e6).filter(|drops| *drops > 0)?;
    let millionths = whole(price * size_xrp * 1e6).filter(|value| *value > 0)?;
    Some((Value::Drops(drops), Value::Token(TokenValue::new(millionths, -6).ok()?)))
}

/// What a participant sends, without sequence and fee.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Who sends it.
    pub account: Address,
    /// The transaction's own fields.
    pub fields: Map<String, Json>,
    /// The quote that this renews: side and level.
    pub slot: Option<Slot>,
}

/// A place in a background maker's quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// True for the side that sells XRP.
    pub ask: bool,
    /// Distance from the middle, from 0.
    pub level: u32,
}

/// The participants and what they know.
#[derive(Clone, Debug)]
pub struct Generator {
    scenario: Scenario,
    rlusd: Asset,
    tape: Option<Tape>,
    rng: Rng,
    /// Where prices are drawn from when somebody knows them ahead: takers must not shift them.
    price_rng: Rng,
    price: f64,
    anchor: f64,
    ledgers: u64,
    elapsed_ms: u64,
    next_taker: u64,
    quotes: BTreeMap<Slot, u32>,
}

/// What of a generator is written down. The price is kept bit by bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorState {
    rng: RngPlace,
    #[serde(default)]
    price_rng: Option<RngPlace>,
    price_bits: u64,
    ledgers: u64,
    elapsed_ms: u64,
    next_taker: u64,
    quotes: Vec<(Slot, u32)>,
}

impl Generator {
    /// Participants of a new world.
    #[must_use]
    pub fn new(scenario: &Scenario, tape: Option<Tape>, seed: u64) -> Generator {
        let anchor = tape.as_ref().and_then(Tape::first_price).unwrap_or_else(|| to_float(scenario.start_price));
        Generator {
            scenario: scenario.clone(),
            rlusd: scenario.rlusd(),
            tape,
            rng: Rng::new(seed),
            price_rng: Rng::new(seed ^ PRICE_SEED),
            price: anchor,
            anchor,
            ledgers: 0,
            elapsed_ms: 0,
            next_taker: 0,
            quotes: BTreeMap::new(),
        }
    }

    /// The seed of what is drawn now.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.rng.place().seed
    }

    /// What is to be written down.
    #[must_use]
    pub fn save(&self) -> GeneratorState {
        GeneratorState {
            rng: self.rng.place(),
            price_rng: Some(self.price_rng.place()),
            price_bits: self.price.to_bits(),
            ledgers: self.ledgers,
            elapsed_ms: self.elapsed_ms,
            next_taker: self.next_taker,
            quotes: self.quotes.iter().map(|(slot, sequence)| (*slot, *sequence)).collect(),
        }
    }

    /// Goes on where a saved one was.
    pub fn restore(&mut self, saved: GeneratorState) {
        self.rng = Rng::at(saved.rng);
        self.price_rng = saved.price_rng.map_or_else(|| Rng::new(saved.rng.seed ^ PRICE_SEED), Rng::at);
        let price = f64::from_bits(saved.price_bits);
        self.price = if price.is_finite() { price.clamp(PRICE_RANGE.0, PRICE_RANGE.1) } else { self.anchor };
        self.ledgers = saved.ledgers;
        self.elapsed_ms = saved.elapsed_ms;
        self.next_taker = saved.next_taker;
        self.quotes = saved.quotes.into_iter().collect();
    }

    /// A new run on a world that goes on: a tape is played from its first trade, and another seed draws other numbers.
    pub fn begin_run(&mut self, seed: u64) {
        self.elapsed_ms = 0;
        if self.rng.place().seed != seed {
            self.rng = Rng::new(seed);
            self.price_rng = Rng::new(seed ^ PRICE_SEED);
        }
    }

    /// The background maker's quotes around the price as it is, before anybody trades.
    #[must_use]
    pub fn opening_quotes(&self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        self.quote(&mut drafts);
        drafts
    }

    /// The background maker's account.
    #[must_use]
    pub fn maker_account() -> Address {
        participant("background maker")
    }

    /// The takers' accounts.
    #[must_use]
    pub fn taker_accounts() -> Vec<Address> {
        (0..TAKER_ACCOUNTS).map(|number| participant(&format!("taker {number}"))).collect()
    }

    /// The fundamental price, RLUSD for one XRP, to eight places.
    #[must_use]
    pub fn price(&self) -> f64 {
        self.price
    }

    /// Remembers the sequence at which a quote was placed, so that its successor can replace it.
    pub fn quoted(&mut self, slot: Slot, sequence: u32) {
        self.quotes.insert(slot, sequence);
    }

    /// What the participants send into the ledger that is about to close: quotes around the price as it was, then
    /// takers at the price as it is now.
    pub fn next_ledger(&mut self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        if self.ledgers.is_multiple_of(u64::from(self.scenario.makers.refresh_ledgers)) {
            self.quote(&mut drafts);
        }
        self.provide(&mut drafts);
        self.ledgers += 1;
        let from_ms = self.elapsed_ms;
        self.elapsed_ms += u64::from(self.scenario.close_interval_ms);
        if self.tape.is_some() {
            self.play_tape(from_ms, &mut drafts);
        } else {
            self.move_price();
            self.draw_takers(&mut drafts);
        }
        drafts
    }

    fn quote(&self, drafts: &mut Vec<Draft>) {
        let makers = &self.scenario.makers;
        for level in 0..makers.levels {
            let distance = (makers.spread_bps + makers.level_step_bps * f64::from(level)) / BPS;
            for ask in [false, true] {
                let price = self.price * if ask { 1.0 + distance } else { 1.0 - distance };
                let slot = Slot { ask, level };
                let Some(mut draft) = self.order(Self::maker_account(), !ask, price, makers.size_xrp, 0) else {
                    continue;
                };
                if let Some(sequence) = self.quotes.get(&slot) {
                    draft.fields.insert("OfferSequence".to_string(), json!(sequence));
                }
                drafts.push(Draft { slot: Some(slot), ..draft });
            }
        }
    }

    fn move_price(&mut self) {
        let (kind, moves) = (self.scenario.price_kind(), &self.scenario.price);
        let rng = if self.has_informed() { &mut self.price_rng } else { &mut self.rng };
        self.price = moved(self.price, self.anchor, kind, moves, rng);
    }

    fn has_informed(&self) -> bool {
        self.scenario.takers.informed_share > 0.0
    }

    /// The price so many ledgers ahead.
    fn coming_price(&self, ledgers: u32) -> f64 {
        let (kind, mut rng) = (self.scenario.price_kind(), self.price_rng.clone());
        (0..ledgers).fold(self.price, |price, _| moved(price, self.anchor, kind, &self.scenario.price, &mut rng))
    }

    fn draw_takers(&mut self, drafts: &mut Vec<Draft>) {
        let takers = self.scenario.takers.clone();
        let coming = self.has_informed().then(|| self.coming_price(takers.informed_ahead_ledgers));
        for _ in 0..self.rng.poisson(takers.arrivals_per_ledger) {
            let buys = self.rng.bits() & 1 == 0;
            let size = takers.size_xrp_median * (takers.size_sigma * self.rng.normal()).exp();
            let knows = coming.filter(|_| self.rng.unit() < takers.informed_share);
            match knows {
                // He wants no more than the change that he knows of.
                Some(coming) => self.take(coming > self.price, coming, 0.0, size.min(1e6), drafts),
                None => self.take(buys, self.price, takers.limit_bps, size.min(1e6), drafts),
            }
        }
    }

    fn play_tape(&mut self, from_ms: u64, drafts: &mut Vec<Draft>) {
        let Some(tape) = self.tape.take() else { return };
        let limit_bps = self.scenario.takers.limit_bps;
        let length = tape.duration_ms().saturating_add(1);
        let (from, to) = (from_ms, self.elapsed_ms);
        let round = if self.scenario.tape_loop { from / length } else { 0 };
        let (from, to) = (from.saturating_sub(round * length), to.saturating_sub(round * length));
        for trade in tape.between(from, to) {
            self.price = trade.price.clamp(PRICE_RANGE.0, PRICE_RANGE.1);
            self.take(trade.taker_buys, trade.price, limit_bps, trade.qty_xrp, drafts);
        }
        if self.scenario.tape_loop && to > length {
            for trade in tape.between(0, to - length) {
                self.price = trade.price.clamp(PRICE_RANGE.0, PRICE_RANGE.1);
                self.take(trade.taker_buys, trade.price, limit_bps, trade.qty_xrp, drafts);
            }
        }
        self.tape = Some(tape);
    }

    fn take(&mut self, buys: bool, price: f64, limit_bps: f64, size_xrp: f64, drafts: &mut Vec<Draft>) {
        let number = usize::try_from(self.next_taker).unwrap_or(0) % TAKER_ACCOUNTS;
        self.next_taker += 1;
        let limit = limit_bps / BPS;
        let worst = price * if buys { 1.0 + limit } else { 1.0 - limit };
        let flags = TF_IMMEDIATE_OR_CANCEL | if buys { 0 } else { TF_SELL };
        let account = participant(&format!("taker {number}"));
        drafts.extend(self.order(account, buys, worst, size_xrp, flags));
    }

    fn order(&self, account: Address, buys: bool, price: f64, size_xrp: f64, flags: u32) -> Option<Draft> {
        let (xrp, rlusd) = amounts(price, size_xrp)?;
        let (xrp, rlusd) = (amount_json(xrp, Asset::Xrp), amount_json(rlusd, self.rlusd));
        let (gets, pays) = if buys { (rlusd, xrp) } else { (xrp, rlusd) };
        let mut fields = Map::new();
        fields.insert("TransactionType".to_string(), json!("OfferCreate"));
        fields.insert("TakerGets".to_string(), gets);
        fields.insert("TakerPays".to_string(), pays);
        if flags != 0 {
            fields.insert("Flags".to_string(), json!(flags));
        }
        Some(Draft { account, fields, slot: None })
    }
}

/// The price one ledger later. All numbers are drawn in every ledger, so that a changed setting does not shift what
/// follows.
fn moved(price: f64, anchor: f64, kind: PriceKind, moves: &Price, rng: &mut Rng) -> f64 {
    let mut change = moves.volatility_bps_per_ledger / BPS * rng.normal();
    let (jumps, size) = (rng.unit() < moves.jump_probability, rng.normal());
    if kind == PriceKind::Constant {
        return price;
    }
    if jumps && kind == PriceKind::Jumps {
        change += moves.jump_bps / BPS * size;
    }
    let back = moves.reversion * (anchor / price).ln();
    let drift = moves.drift_bps_per_ledger / BPS;
    (price * (change + back + drift).exp()).clamp(PRICE_RANGE.0, PRICE_RANGE.1)
}

fn to_float(price: Dec) -> f64 {
    // Text that a decimal prints always parses; 1 is only named to keep the function total.
    price.to_string().parse().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(text: &str) -> Option<Tape> {
        Some(Tape::parse(&format!("{}\n{text}", crate::tape::HEADER)).unwrap())
    }

    #[test]
    fn drawn_numbers_become_drops_and_millionths() {
        let (xrp, rlusd) = amounts(2.4, 1.234_567_89).unwrap();
        assert_eq!((xrp.text().as_str(), rlusd.text().as_str()), ("1234568", "2.962963"));
        assert_eq!(amounts(2.4, 1e-7), None);
        assert_eq!(amounts(f64::NAN, 1.0), None);
        assert_eq!(amounts(1e6, 1e12), None);
    }

    #[test]
    fn the_same_seed_sends_the_same_and_a_saved_one_goes_on() {
        let scenario = Scenario::default();
        let mut one = Generator::new(&scenario, None, 5);
        let mut two = Generator::new(&scenario, None, 5);
        for _ in 0..50 {
            assert_eq!(one.next_ledger(), two.next_ledger());
        }
        let text = serde_json::to_string(&one.save()).unwrap();
        let mut three = Generator::new(&scenario, None, 99);
        three.restore(serde_json::from_str(&text).unwrap());
        for _ in 0..50 {
            assert_eq!(one.next_ledger(), three.next_ledger());
        }
    }

    #[test]
    fn each_trade_of_a_tape_is_sent_once_in_its_ledger() {
        let trades = "0,2.5,1,2.5,buy\n3899,2.6,2,5.2,sell\n3900,2.7,3,8.1,buy\n7900,2.8,4,11.2,sell\n";
        let mut scenario = Scenario::default();
        scenario.makers.levels = 0;
        let mut once = Generator::new(&scenario, tape(trades), 1);
        let counts: Vec<usize> = (0..5).map(|_| once.next_ledger().len()).collect();
        assert_eq!(counts, [2, 1, 1, 0, 0]);
        scenario.tape_loop = true;
        let mut looped = Generator::new(&scenario, tape(trades), 1);
        let total: usize = (0..81).map(|_| looped.next_ledger().len()).sum();
        // 81 intervals are 315,900 ms: 39 whole tapes of 7,901 ms and the first 7,761 ms of the fortieth.
        assert_eq!(total, 39 * 4 + 3);
    }
}

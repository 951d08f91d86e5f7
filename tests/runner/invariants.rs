//! What must be true of every offer that is signed and of every ledger that closes, whatever the strategy and the faults.

use std::collections::BTreeMap;

use neo_actors::messages::LedgerUpdate;
use neo_ledger::types::Address;
use neo_market::quote::{crosses, is_nearer, kept_from};
use neo_market::{Dec, Drops, QuoteConfig, RiskConfig, Rounding, Side};
use neo_sim::Node;
use neo_sim::amount::Value;
use neo_store::record::{Fill, Order, Role};

/// A move of the middle within a ledger that no margin foresees, in basis points: six deviations of the simulated market's
/// usual ones and more. Nothing on the ledger is post-only, so what is in flight then may take.
const JUMP_BPS: i64 = 20;
/// The background makers follow the price after so many ledgers at the latest.
const FOLLOWED_AFTER: u32 = 2;

/// What was broken, and how much was looked at.
pub struct Invariants {
    maker: Address,
    quote: QuoteConfig,
    risk: RiskConfig,
    seen: u32,
    /// Each break, told.
    pub broken: Vec<String>,
    /// Fills that took.
    pub took: Vec<Fill>,
    /// Offers that were signed: the price, and the ledger that they were priced on.
    prices: BTreeMap<u32, (Dec, u32)>,
    middles: BTreeMap<u32, Dec>,
    /// Offers that were signed.
    pub offers: u64,
    /// Ledgers that closed with the account in view.
    pub ledgers: u64,
}

impl Invariants {
    pub fn new(maker: Address, quote: QuoteConfig, risk: RiskConfig) -> Invariants {
        Invariants {
            maker,
            quote,
            risk,
            seen: 0,
            broken: Vec::new(),
            took: Vec::new(),
            prices: BTreeMap::new(),
            middles: BTreeMap::new(),
            offers: 0,
            ledgers: 0,
        }
    }

    /// Another engine's, which goes on from what this one's has signed.
    pub fn go_on_from(&mut self, before: &Invariants) {
        self.prices.clone_from(&before.prices);
        self.middles.clone_from(&before.middles);
    }

    /// A ledger is told of.
    pub fn told(&mut self, update: &LedgerUpdate) {
        if let Some(middle) = update.view.mid().unwrap() {
            self.middles.insert(update.view.ledger_index, middle);
        }
    }

    /// An offer is signed on this view of the market: it keeps its margin from it, and rests on no old data.
    pub fn signed(&mut self, update: &LedgerUpdate, order: &Order) {
        self.offers += 1;
        self.prices.insert(order.offer_sequence, (order.price, order.ledger_index));
        let mut broken = |what: String| self.broken.push(format!("ledger {}: {what}: {order:?}", update.ledger.index));
        if let Some(nearest) = update.view.nearest(order.side.opposite()).unwrap() {
            let kept = kept_from(order.side, nearest, self.quote.taking_guard_bps).unwrap();
            if crosses(order.side, order.price, nearest) {
                broken(format!("it would cross {nearest}"));
            } else if is_nearer(order.side, order.price, kept) {
                broken(format!("it stands within the least margin of {nearest}"));
            }
        }
        let age = update.ledger.index.saturating_sub(update.view.ledger_index);
        if age > self.risk.max_data_age_ledgers || order.ledger_index != update.ledger.index {
            broken(format!("it rests on data of {age} ledgers ago"));
        }
        if let Err(reason) = &update.reference {
            broken(format!("there is no reference: {reason}"));
        }
        if order.size.to_xrp().unwrap() > self.risk.max_order_xrp {
            broken("it is larger than the limit".to_string());
        }
    }

    /// A fill is recorded. One that took did so at our price or a better one.
    pub fn filled(&mut self, fill: &Fill) {
        if fill.role != Role::Taker {
            return;
        }
        self.took.push(fill.clone());
        // The ledger rounds XRP to a drop, and tokens in their last digits.
        let worse = |(price, _): &(Dec, u32)| {
            let drop = match fill.side {
                Side::Bid => Drops::new(1),
                Side::Ask => Drops::new(-1),
            };
            let slack = price.mul(Dec::from_parts(1, -12).unwrap(), Rounding::Up).unwrap();
            let most = fill.xrp.add(drop).unwrap().to_xrp().unwrap().mul(*price, Rounding::HalfEven).unwrap();
            match fill.side {
                Side::Bid => fill.rlusd > most.add(slack).unwrap(),
                Side::Ask => fill.rlusd < most.sub(slack).unwrap(),
            }
        };
        if self.prices.get(&fill.offer_sequence).is_none_or(worse) {
            self.broken.push(format!("an offer of ours took beyond its price: {fill:?}"));
        }
    }

    /// Fills that took in a market that did not jump while the offer was on its way.
    pub fn took_by_accident(&self) -> Vec<&Fill> {
        self.took.iter().filter(|fill| !self.jumped(fill)).collect()
    }

    fn jumped(&self, fill: &Fill) -> bool {
        let Some((_, priced)) = self.prices.get(&fill.offer_sequence) else { return false };
        let middles: Vec<Dec> =
            self.middles.range(*priced..=fill.ledger_index + FOLLOWED_AFTER).map(|(_, middle)| *middle).collect();
        middles.windows(2).any(|pair| {
            let moved = pair[1].sub(pair[0]).unwrap().abs().mul(Dec::from_i64(10_000), Rounding::Down).unwrap();
            moved > pair[0].mul(Dec::from_i64(JUMP_BPS), Rounding::Up).unwrap()
        })
    }

    /// Nothing was broken and nothing taken by accident.
    pub fn hold(&self, what: &str) {
        let broken = &self.broken;
        assert!(broken.is_empty(), "{what}: {} breaks, the first of them\n{}", broken.len(), broken[0]);
        let took = self.took_by_accident();
        assert!(took.is_empty(), "{what}: {} fills took: {:?}", took.len(), took[0]);
    }

    /// Were every offer that now stands filled, the limits would hold.
    pub fn ledger(&mut self, node: &Node) {
        if node.ledger_index() == self.seen {
            return;
        }
        self.seen = node.ledger_index();
        let state = node.validated_state();
        let Some(account) = state.account(self.maker) else { return };
        self.ledgers += 1;
        let (mut bids, mut asks) = (0, 0);
        for (_, offer) in state.offers_of(self.maker) {
            match (&offer.taker_pays, &offer.taker_gets) {
                (Value::Drops(drops), _) => bids += drops,
                (_, Value::Drops(drops)) => asks += drops,
                _ => self.broken.push(format!("ledger {}: an offer of another book: {offer:?}", self.seen)),
            }
        }
        let xrp = |drops: i64| Drops::new(drops).to_xrp().unwrap();
        let (most, least) = (xrp(account.balance + bids), xrp(account.balance - asks));
        let above = |limit: Option<Dec>| limit.is_some_and(|limit| bids > 0 && most > limit);
        let below = |limit: Option<Dec>| limit.is_some_and(|limit| asks > 0 && least < limit);
        if above(self.risk.max_inventory_xrp) || below(self.risk.min_inventory_xrp) {
            self.broken.push(format!("ledger {}: exposed from {least} to {most} XRP", self.seen));
        }
    }
}

//! What must be true of every offer that is signed and of every ledger that closes, whatever the strategy and the faults.

use std::collections::BTreeMap;

use neo_actors::messages::LedgerUpdate;
use neo_ledger::types::Address;
use neo_market::quote::crosses;
use neo_market::{Dec, Drops, RiskConfig, Rounding, Side};
use neo_sim::Node;
use neo_sim::amount::Value;
use neo_store::record::{Fill, Order, Role};

/// What was broken, and how much was looked at.
pub struct Invariants {
    maker: Address,
    risk: RiskConfig,
    seen: u32,
    /// Each break, told.
    pub broken: Vec<String>,
    /// Fills that took: no offer is signed that would, but the market may move before a ledger includes it, and nothing on the
    /// ledger is post-only.
    pub took: Vec<String>,
    prices: BTreeMap<u32, Dec>,
    /// Offers that were signed.
    pub offers: u64,
    /// Ledgers that closed with the account in view.
    pub ledgers: u64,
}

impl Invariants {
    pub fn new(maker: Address, risk: RiskConfig) -> Invariants {
        Invariants {
            maker,
            risk,
            seen: 0,
            broken: Vec::new(),
            took: Vec::new(),
            prices: BTreeMap::new(),
            offers: 0,
            ledgers: 0,
        }
    }

    /// An offer is signed on this view of the market: it neither crosses it nor rests on old data.
    pub fn signed(&mut self, update: &LedgerUpdate, order: &Order) {
        self.offers += 1;
        self.prices.insert(order.offer_sequence, order.price);
        let mut broken = |what: String| self.broken.push(format!("ledger {}: {what}: {order:?}", update.ledger.index));
        let nearest = update.view.nearest(order.side.opposite()).unwrap();
        if let Some(nearest) = nearest.filter(|nearest| crosses(order.side, order.price, *nearest)) {
            broken(format!("it would cross {nearest}"));
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
        self.took.push(format!("{fill:?}"));
        // Beyond our price by more than the last digits of an amount.
        let worse = |price: &Dec| {
            let slack = price.mul(Dec::from_parts(1, -9).unwrap(), Rounding::Up).unwrap();
            match fill.side {
                Side::Bid => fill.price > price.add(slack).unwrap(),
                Side::Ask => fill.price < price.sub(slack).unwrap(),
            }
        };
        if self.prices.get(&fill.offer_sequence).is_none_or(worse) {
            self.broken.push(format!("an offer of ours took beyond its price: {fill:?}"));
        }
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

//! What the market and our account look like at one validated ledger.

use serde::{Deserialize, Serialize};

use crate::{AmountError, Dec, Drops, Rounding};

/// The side of the XRP/RLUSD book that an offer of ours stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Buys XRP, pays RLUSD.
    Bid,
    /// Sells XRP, receives RLUSD.
    Ask,
}

impl Side {
    /// Both sides, bid first.
    pub const BOTH: [Side; 2] = [Side::Bid, Side::Ask];

    /// The word used on the screen, in SQL and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Bid => "bid",
            Side::Ask => "ask",
        }
    }

    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Side {
        match self {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        }
    }
}

/// Offers of one price, ours left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookLevel {
    /// RLUSD for one XRP.
    pub price: Dec,
    /// XRP that can be traded at this price, funded.
    pub size: Drops,
}

/// The book at one validated ledger, without our own offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketView {
    /// Index of the validated ledger.
    pub ledger_index: u32,
    /// Bids, the highest price first.
    pub bids: Vec<BookLevel>,
    /// Asks, the lowest price first.
    pub asks: Vec<BookLevel>,
}

impl MarketView {
    /// The best price of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Dec> {
        match side {
            Side::Bid => self.bids.first(),
            Side::Ask => self.asks.first(),
        }
        .map(|level| level.price)
    }

    /// The middle of the best bid and ask; `None` while a side is empty.
    ///
    /// # Errors
    /// [`AmountError`] when the prices are absurd.
    pub fn mid(&self) -> Result<Option<Dec>, AmountError> {
        let (Some(bid), Some(ask)) = (self.best(Side::Bid), self.best(Side::Ask)) else { return Ok(None) };
        Ok(Some(bid.add(ask)?.div(Dec::from_i64(2), Rounding::HalfEven)?))
    }
}

/// Our account at one validated ledger, as the ledger states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    /// All XRP of the account, the reserve included.
    pub xrp: Drops,
    /// XRP that the reserve holds back: base plus increment times owned objects.
    pub reserve: Drops,
    /// RLUSD on the trust line.
    pub rlusd: Dec,
}

impl Balances {
    /// XRP above the reserve; never below zero.
    #[must_use]
    pub fn spendable_xrp(&self) -> Drops {
        Drops::new(self.xrp.get().saturating_sub(self.reserve.get()).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mid_needs_both_sides() {
        let level = |price: &str| BookLevel { price: price.parse().unwrap(), size: Drops::new(1) };
        let mut view = MarketView { ledger_index: 1, bids: vec![level("2.4")], asks: vec![] };
        assert_eq!(view.mid().unwrap(), None);
        view.asks.push(level("2.5"));
        assert_eq!(view.mid().unwrap(), Some("2.45".parse().unwrap()));
    }

    #[test]
    fn the_reserve_is_never_spendable() {
        let balances = Balances { xrp: Drops::new(5), reserve: Drops::new(7), rlusd: Dec::zero() };
        assert_eq!(balances.spendable_xrp(), Drops::ZERO);
    }
}

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

/// The market at one validated ledger: the book without our own offers, the pool, the last trade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketView {
    /// Index of the validated ledger.
    pub ledger_index: u32,
    /// Bids, the highest price first.
    pub bids: Vec<BookLevel>,
    /// Asks, the lowest price first.
    pub asks: Vec<BookLevel>,
    /// The pair's automated market maker, where there is one and its state is known.
    pub amm: Option<AmmView>,
    /// The newest trade that was seen, by whatever it traded with.
    pub last_trade: Option<LastTrade>,
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

    /// The best price of a side that an offer can be taken at: the book's, or the pool's where that is better.
    ///
    /// # Errors
    /// [`AmountError`] when the pool's balances are absurd.
    pub fn nearest(&self, side: Side) -> Result<Option<Dec>, AmountError> {
        let book = self.best(side);
        let Some(pool) = self.amm.as_ref().map(|pool| pool.price(side)).transpose()?.flatten() else { return Ok(book) };
        Ok(Some(match (book, side) {
            (None, _) => pool,
            (Some(book), Side::Bid) => book.max(pool),
            (Some(book), Side::Ask) => book.min(pool),
        }))
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

/// The pair's automated market maker as the ledger states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmmView {
    /// The validated ledger that this was true at.
    pub ledger_index: u32,
    /// XRP in the pool.
    pub xrp: Drops,
    /// RLUSD in the pool.
    pub token: Dec,
    /// What the pool keeps of each payment into it, in units of 1/100000, as the ledger's AMM entry has it: 1000 at
    /// most (rippled, `include/xrpl/protocol/AMMCore.h`).
    pub trading_fee: u16,
}

impl AmmView {
    /// The pool's price before its fee, RLUSD for one XRP: the quotient of its balances, as both weigh the same (XLS-30,
    /// the spot price). `None` for a pool that is empty on a side.
    ///
    /// # Errors
    /// [`AmountError`] for absurd balances.
    pub fn marginal_price(&self) -> Result<Option<Dec>, AmountError> {
        if self.xrp <= Drops::ZERO || !self.token.is_positive() {
            return Ok(None);
        }
        self.token.div(self.xrp.to_xrp()?, Rounding::HalfEven).map(Some)
    }

    /// The price that the pool trades the next drop of XRP at, its fee included, RLUSD for one XRP: as [`Side::Bid`] what
    /// it pays, as [`Side::Ask`] what it asks. Between the two lies its fee band, where it takes part in no trade.
    ///
    /// With a fee of `f`, a swap that puts `i` into a pool of `in` and `out` gives `out - in * out / (in + i * (1 - f))`
    /// (rippled, `src/xrpld/app/misc/AMMHelpers.h`, `swapAssetIn`; XLS-30, section 6.1). For a small `i` that is
    /// `out / in * (1 - f)` for each unit, so the pool buys XRP at `marginal * (1 - f)`, and sells it, RLUSD being what is
    /// put in, at `marginal / (1 - f)`. Any larger trade is at a worse price for who takes it. `None` for a pool that is
    /// empty on a side.
    ///
    /// # Errors
    /// [`AmountError`] for absurd balances.
    pub fn price(&self, side: Side) -> Result<Option<Dec>, AmountError> {
        let Some(marginal) = self.marginal_price()? else { return Ok(None) };
        // Above zero whatever the entry says: 16 bits end at 65 per cent.
        let kept = Dec::one().sub(Dec::from_parts(i64::from(self.trading_fee), -5)?)?;
        match side {
            Side::Bid => marginal.mul(kept, Rounding::Down),
            Side::Ask => marginal.div(kept, Rounding::Up),
        }
        .map(Some)
    }
}

/// A trade of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTrade {
    /// RLUSD for one XRP.
    pub price: Dec,
    /// The validated ledger that it happened in.
    pub ledger_index: u32,
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
        let mut view = MarketView { ledger_index: 1, bids: vec![level("2.4")], ..MarketView::default() };
        assert_eq!(view.mid().unwrap(), None);
        view.asks.push(level("2.5"));
        assert_eq!(view.mid().unwrap(), Some("2.45".parse().unwrap()));
    }

    fn pool(xrp: &str, token: &str, trading_fee: u16) -> AmmView {
        let xrp = Drops::from_xrp(xrp.parse().unwrap(), Rounding::Down).unwrap();
        AmmView { ledger_index: 1, xrp, token: token.parse().unwrap(), trading_fee }
    }

    #[test]
    fn the_band_of_a_pool_is_what_its_fee_leaves_of_the_marginal_price() {
        let some = |text: &str| Some(text.parse::<Dec>().unwrap());
        let dear = pool("1000", "2400", 1000);
        assert_eq!(dear.marginal_price().unwrap(), some("2.4"));
        assert_eq!(dear.price(Side::Bid).unwrap(), some("2.376"), "one per cent of what comes in stays in the pool");
        let ask = dear.price(Side::Ask).unwrap().unwrap();
        assert_eq!(
            ask.mul("0.99".parse().unwrap(), Rounding::Down).unwrap().round_places(20, Rounding::HalfEven).unwrap(),
            "2.4".parse().unwrap()
        );
        let free = pool("1000", "2400", 0);
        assert_eq!((free.price(Side::Bid).unwrap(), free.price(Side::Ask).unwrap()), (some("2.4"), some("2.4")));
    }

    #[test]
    fn a_pool_that_is_empty_on_a_side_has_no_price() {
        for empty in [pool("0", "1", 0), pool("1", "0", 0)] {
            assert_eq!(empty.marginal_price().unwrap(), None);
            assert_eq!(empty.price(Side::Bid).unwrap(), None);
        }
        assert_eq!(pool("-1", "1", 0).marginal_price().unwrap(), None);
        let absurd = pool("1", "1", u16::MAX);
        assert!(absurd.price(Side::Bid).unwrap() < absurd.price(Side::Ask).unwrap());
    }

    proptest::proptest! {
        /// The band is what a swap of rippled's formula gives at its best: a small one comes near it, none beats it.
        #[test]
        fn no_swap_is_better_than_the_band(
            xrp in 1_000_000_i64..1_000_000_000_000, token in 1_i64..1_000_000_000, fee in 0_u16..=1000, part in 1_i64..1_000_000,
        ) {
            let pool = AmmView { ledger_index: 1, xrp: Drops::new(xrp), token: Dec::from_parts(token, -2).unwrap(), trading_fee: fee };
            let (x, t) = (pool.xrp.to_xrp().unwrap(), pool.token);
            let kept = Dec::one().sub(Dec::from_parts(fee.into(), -5).unwrap()).unwrap();
            let swap = |inside: Dec, outside: Dec, put: Dec| {
                let grown = inside.add(put.mul(kept, Rounding::Down).unwrap()).unwrap();
                outside.sub(inside.mul(outside, Rounding::Up).unwrap().div(grown, Rounding::Up).unwrap()).unwrap()
            };
            let put = x.mul(Dec::from_parts(part, -9).unwrap(), Rounding::Down).unwrap();
            let (bid, ask) = (pool.price(Side::Bid).unwrap().unwrap(), pool.price(Side::Ask).unwrap().unwrap());
            proptest::prop_assert!(bid <= ask);
            let paid = swap(x, t, put).div(put, Rounding::Down).unwrap();
            let asked = t.mul(Dec::from_parts(part, -9).unwrap(), Rounding::Down).unwrap();
            let got = swap(t, x, asked);
            proptest::prop_assume!(got.is_positive());
            let cost = asked.div(got, Rounding::Up).unwrap();
            proptest::prop_assert!(paid <= bid && cost >= ask, "{paid} {bid}, {cost} {ask}");
            // A part p of the pool moves its price by less than p.
            let p = Dec::one().add(Dec::from_parts(part.saturating_add(1), -9).unwrap()).unwrap();
            proptest::prop_assert!(paid.mul(p, Rounding::Up).unwrap() >= bid.round_places(20, Rounding::Down).unwrap());
        }
    }

    #[test]
    fn the_reserve_is_never_spendable() {
        let balances = Balances { xrp: Drops::new(5), reserve: Drops::new(7), rlusd: Dec::zero() };
        assert_eq!(balances.spendable_xrp(), Drops::ZERO);
    }
}

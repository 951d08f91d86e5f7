//! What the feed knows of the market beside the book: the pool and the newest trades.

use std::collections::BTreeMap;

use neo_ledger::own;
use neo_ledger::pool::AmmInfo;
use neo_ledger::traded::Traded;
use neo_ledger::types::Address;
use neo_market::{AmmView, AmountError, Drops, LastTrade};

/// The pool, as far as the followed node has told of it.
#[derive(Debug)]
pub struct Pool {
    /// By ledger: one is asked for with each ledger, and the answer may be of a later one than is told of next.
    readings: BTreeMap<u32, AmmView>,
    /// Whose transactions are subscribed to on this connection.
    followed: Option<Address>,
    /// False once the node has none: then it is asked again with the next fresh picture only.
    exists: bool,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool { readings: BTreeMap::new(), followed: None, exists: true }
    }
}

impl Pool {
    /// A connection begins: nothing is subscribed to, and another node may know a pool.
    pub fn connected(&mut self) {
        *self = Pool::default();
    }

    /// Whether it is worth asking for with a ledger.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// The node has told of it; gives the account that is to be subscribed to, the first time. A frozen pool has no price.
    pub fn read(&mut self, info: AmmInfo) -> Option<Address> {
        self.exists = true;
        if info.frozen {
            self.readings.clear();
        } else {
            self.readings.insert(info.pool.ledger_index, info.pool);
        }
        let is_new = self.followed != Some(info.account);
        self.followed = Some(info.account);
        is_new.then_some(info.account)
    }

    /// The transactions of its account cannot be subscribed to: that is asked for again.
    pub fn not_followed(&mut self) {
        self.followed = None;
    }

    /// The node has none, or cannot tell.
    pub fn none(&mut self) {
        self.exists = false;
        self.readings.clear();
    }

    /// The pool as it was last read at `ledger_index` or at most `max_age` ledgers before: an older reading is no news, neither
    /// for a price nor for what may stand beside the pool. Ledgers only go up.
    pub fn at(&mut self, ledger_index: u32, max_age: u32) -> Option<AmmView> {
        let newest = self.readings.range(..=ledger_index).next_back().map(|(_, pool)| *pool)?;
        self.readings = self.readings.split_off(&newest.ledger_index);
        (ledger_index - newest.ledger_index <= max_age).then_some(newest)
    }
}

/// The newest trades of the market: those of one ledger count as one, at their average price.
#[derive(Debug, Default)]
pub struct Trades {
    ledger_index: u32,
    sum: Traded,
    last: Option<LastTrade>,
}

impl Trades {
    /// Adds a transaction's trade. One of an earlier ledger than the newest came too late to be news.
    ///
    /// # Errors
    /// [`AmountError`] for absurd amounts.
    pub fn add(&mut self, ledger_index: u32, traded: Traded) -> Result<(), AmountError> {
        if traded.xrp <= Drops::ZERO || ledger_index < self.ledger_index {
            return Ok(());
        }
        if ledger_index > self.ledger_index {
            (self.ledger_index, self.sum) = (ledger_index, Traded::default());
        }
        self.sum = self.sum.plus(traded)?;
        Ok(())
    }

    /// The newest ledger's trades of at least `dust`: a single drop can be traded at any price.
    ///
    /// # Errors
    /// [`AmountError`] for absurd amounts.
    pub fn last(&mut self, dust: Drops) -> Result<Option<LastTrade>, AmountError> {
        if self.sum.xrp >= dust.max(Drops::new(1))
            && let Some(price) = own::price(self.sum.xrp, self.sum.token)?.filter(|price| price.is_positive())
        {
            self.last = Some(LastTrade { price, ledger_index: self.ledger_index });
        }
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traded(xrp: i64, token: &str) -> Traded {
        Traded { xrp: Drops::new(xrp), token: token.parse().unwrap() }
    }

    #[test]
    fn the_trades_of_a_ledger_are_one_and_dust_sets_no_price() {
        let mut trades = Trades::default();
        let dust = Drops::new(1_000_000);
        assert_eq!(trades.last(dust).unwrap(), None);
        trades.add(7, traded(3_000_000, "7.2")).unwrap();
        trades.add(7, traded(1_000_000, "2.44")).unwrap();
        let last = |price: &str, ledger_index| Some(LastTrade { price: price.parse().unwrap(), ledger_index });
        assert_eq!(trades.last(dust).unwrap(), last("2.41", 7));
        trades.add(8, traded(1, "1000000")).unwrap();
        assert_eq!(trades.last(dust).unwrap(), last("2.41", 7), "a drop at any price");
        trades.add(7, traded(9_000_000, "9")).unwrap();
        assert_eq!(trades.last(dust).unwrap(), last("2.41", 7), "too late");
        trades.add(8, traded(999_999, "0")).unwrap();
        assert_eq!(trades.last(dust).unwrap(), last("1000000", 8), "the sum of a ledger counts");
        trades.add(9, Traded::default()).unwrap();
        assert_eq!(trades.last(dust).unwrap().unwrap().ledger_index, 8);
        assert_eq!(Trades::default().last(Drops::ZERO).unwrap(), None);
    }

    fn info(ledger_index: u32, frozen: bool) -> AmmInfo {
        let pool = AmmView { ledger_index, xrp: Drops::new(1), token: "1".parse().unwrap(), trading_fee: 0 };
        AmmInfo { account: Address([4; 20]), pool, frozen }
    }

    #[test]
    fn a_ledger_is_never_told_with_a_later_ledgers_pool() {
        let mut pool = Pool::default();
        assert_eq!(pool.read(info(5, false)), Some(Address([4; 20])));
        assert_eq!(pool.read(info(7, false)), None, "subscribed to once");
        let at = |pool: &mut Pool, index| pool.at(index, 3).map(|pool| pool.ledger_index);
        assert_eq!(at(&mut pool, 4), None);
        assert_eq!([at(&mut pool, 5), at(&mut pool, 6), at(&mut pool, 7), at(&mut pool, 9)], [5, 5, 7, 7].map(Some));
        pool.read(info(9, false));
        assert_eq!((at(&mut pool, 12), at(&mut pool, 13)), (Some(9), None), "too old to say anything");
        pool.read(info(10, true));
        assert_eq!(at(&mut pool, 10), None, "frozen");
        pool.none();
        assert!(!pool.exists());
        pool.connected();
        assert_eq!((pool.exists(), pool.read(info(11, false))), (true, Some(Address([4; 20]))));
    }
}

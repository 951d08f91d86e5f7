//! How far from the middle each ledger's trades reached: what `neo calibrate` learns from a market that nobody quoted in.
//! Pure: mirrored ledgers in, distances out.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::LedgerTime;
use neo_market::reference::reference;
use neo_market::{
    AmountError, BookLevel, Dec, Drops, LastTrade, MarketView, Outside, ReferenceConfig, Rounding, Side, bps_from_mid,
};

use super::read::{MirrorLedger, MirrorTx, place};
use super::standing::Standing;
use crate::amount::Quality;
use crate::state::OfferKey;

/// Offers smaller than an XRP make no price, as in the engine's own default.
const DUST: i64 = 1_000_000;

/// What distances are measured from.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// The middle of the book.
    Mid,
    /// The price that an engine of this configuration would quote around. Of a recording the book and the trades are known, the
    /// pool's balances and an outside price are not: their weights go to the others.
    Reference(&'a ReferenceConfig),
}

/// What all ledgers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Those before which there was a price to measure from.
    pub ledgers: Vec<Reached>,
    /// How many others had two sides and yet no price that could be trusted, by the reason's word.
    pub without_price: BTreeMap<&'static str, u64>,
}

/// What one ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its index.
    pub index: u32,
    /// When it closed.
    pub close_time: LedgerTime,
    /// The price before it that distances are measured from.
    pub from: Dec,
    /// The best bid and ask before it.
    pub best: [Dec; 2],
    /// How far the farther of the two is from that price, in basis points: nearer to it not all who would have traded are seen.
    pub half_spread_bps: Dec,
    /// Bids, then asks: price and XRP of everything that was traded.
    pub traded: [Vec<(Dec, Drops)>; 2],
    /// What an ordinary transaction cost, in drops.
    pub base_fee: Drops,
    /// Bids, then asks: how far from the middle the farthest trade of the side was, in basis points; none where nothing
    /// was traded.
    pub farthest_bps: [Option<Dec>; 2],
    /// Bids, then asks: whether all that was traded is known.
    pub sound: [bool; 2],
}

/// The book as far as the ledgers tell of it.
#[derive(Default)]
struct Book {
    offers: BTreeMap<OfferKey, (Side, Quality, i64)>,
    last_trade: Option<LastTrade>,
}

impl Book {
    fn best(&self, side: Side) -> Option<Quality> {
        let of_side = self.offers.values().filter(|(of, _, xrp)| *of == side && *xrp >= DUST);
        of_side.map(|(_, quality, _)| *quality).min()
    }

    /// Bid and ask, where there are both and they do not cross.
    fn both_best(&self) -> Result<Option<[Dec; 2]>, AmountError> {
        let (Some(bid), Some(ask)) = (self.best(Side::Bid), self.best(Side::Ask)) else { return Ok(None) };
        let best = [price(Side::Bid, bid)?, price(Side::Ask, ask)?];
        Ok(Some(best).filter(|[bid, ask]| bid <= ask))
    }

    /// What an engine would see of it after a ledger.
    fn view(&self, ledger_index: u32) -> Result<MarketView, AmountError> {
        let level = |side: Side| -> Result<Vec<BookLevel>, AmountError> {
            let mut by_quality: BTreeMap<Quality, i64> = BTreeMap::new();
            for (of, quality, xrp) in self.offers.values() {
                if *of == side && *xrp >= DUST {
                    let sum = by_quality.entry(*quality).or_default();
                    *sum = sum.saturating_add(*xrp);
                }
            }
            let levels = by_quality.into_iter();
            levels.map(|(quality, xrp)| Ok(BookLevel { price: price(side, quality)?, size: Drops::new(xrp) })).collect()
        };
        let (bids, asks) = (level(Side::Bid)?, level(Side::Ask)?);
        Ok(MarketView { ledger_index, bids, asks, amm: None, last_trade: self.last_trade })
    }

    fn put(&mut self, offer: &Standing, xrp: i64) {
        if xrp > 0 {
            self.offers.insert(offer.key, (offer.side, offer.quality, xrp));
        } else {
            self.offers.remove(&offer.key);
        }
    }

    fn transaction(&mut self, tx: &MirrorTx) {
        let touched: BTreeSet<OfferKey> = tx.touched.iter().map(|touched| touched.offer.key).collect();
        for side in Side::BOTH {
            let traded = tx.touched.iter().filter(|touched| touched.offer.side == side && touched.traded() > 0);
            // What is better than a traded offer and was not touched has no funds.
            if let Some(last) = traded.map(|touched| touched.offer.quality).max() {
                self.offers.retain(|key, (of, quality, _)| *of != side || *quality >= last || touched.contains(key));
            }
        }
        for touched in &tx.touched {
            self.put(&touched.offer, touched.after().map_or(0, |sizes| sizes.xrp));
        }
    }
}

/// How far each ledger reached.
///
/// # Errors
/// A price that no decimal holds.
pub fn reached<'a>(ledgers: impl Iterator<Item = &'a MirrorLedger>, measured: From<'_>) -> Result<Depth, AmountError> {
    let (mut book, mut all) = (Book::default(), Depth::default());
    for ledger in ledgers {
        if let Some(best) = book.both_best()? {
            match price_to_measure_from(&book, best, ledger.index, measured)? {
                Ok(from) => all.ledgers.push(one(ledger, from, best)?),
                Err(why) => *all.without_price.entry(why).or_default() += 1,
            }
        }
        for tx in &ledger.txs {
            book.transaction(tx);
            if let Some((price, _)) = traded(tx)?.into_iter().flatten().next_back() {
                book.last_trade = Some(LastTrade { price, ledger_index: ledger.index });
            }
        }
        for (side, offers) in &ledger.snapshots {
            book.offers.retain(|_, (of, ..)| of != side);
            offers.iter().for_each(|offer| book.put(offer, offer.sizes.xrp));
        }
    }
    Ok(all)
}

fn price_to_measure_from(
    book: &Book,
    [bid, ask]: [Dec; 2],
    before: u32,
    measured: From<'_>,
) -> Result<Result<Dec, &'static str>, AmountError> {
    match measured {
        From::Mid => Ok(Ok(bid.add(ask)?.div(Dec::from_i64(2), Rounding::HalfEven)?)),
        From::Reference(config) => {
            let view = book.view(before.saturating_sub(1))?;
            Ok(reference(&view, &Outside::default(), config).map(|found| found.price).map_err(|why| why.kind()))
        }
    }
}

/// Bids, then asks: price and XRP of what a transaction traded.
fn traded(tx: &MirrorTx) -> Result<[Vec<(Dec, Drops)>; 2], AmountError> {
    let mut all = [Vec::new(), Vec::new()];
    for side in Side::BOTH {
        let offers = tx.touched.iter().filter(|touched| touched.offer.side == side && touched.traded() > 0);
        let pool = tx.pool.filter(|pool| pool.side == side).map(|pool| (pool.quality, pool.xrp));
        let of_side = offers.map(|touched| (touched.offer.quality, touched.traded())).chain(pool);
        for (quality, xrp) in of_side {
            if let Some(into) = all.get_mut(place(side)) {
                into.push((price(side, quality)?, Drops::new(xrp)));
            }
        }
    }
    Ok(all)
}

fn one(ledger: &MirrorLedger, from: Dec, best: [Dec; 2]) -> Result<Reached, AmountError> {
    let mut all = [Vec::new(), Vec::new()];
    for tx in &ledger.txs {
        for (into, of_tx) in all.iter_mut().zip(traded(tx)?) {
            into.extend(of_tx);
        }
    }
    let mut farthest_bps = [None; 2];
    for (side, (of_side, farthest)) in Side::BOTH.into_iter().zip(all.iter().zip(&mut farthest_bps)) {
        for (price, _) in of_side {
            *farthest = (*farthest).max(Some(bps_from_mid(side, *price, from)?));
        }
    }
    let [bid, ask] = best;
    let half_spread_bps = bps_from_mid(Side::Bid, bid, from)?.max(bps_from_mid(Side::Ask, ask, from)?);
    let (index, close_time, sound) = (ledger.index, ledger.close_time, ledger.sound);
    let base_fee = Drops::new(ledger.base_fee_drops);
    Ok(Reached { index, close_time, from, best, half_spread_bps, traded: all, base_fee, farthest_bps, sound })
}

/// Digits of a price that its rate, of sixteen, still tells.
const PRICE_DIGITS: usize = 15;

/// RLUSD for one XRP: an ask's rate is the token for a drop, a bid's drops for one of the token.
fn price(side: Side, quality: Quality) -> Result<Dec, AmountError> {
    let (rate, drops) = (quality.rate().to_dec()?, Dec::from_i64(1_000_000));
    let exact = match side {
        Side::Ask => rate.mul(drops, Rounding::HalfEven),
        Side::Bid => drops.div(rate, Rounding::HalfEven),
    };
    // A bid's rate is the rounded inverse of its price: the last of its sixteen digits is none of the price's.
    exact?.round_digits(PRICE_DIGITS, Rounding::HalfEven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::csv::ledgers;
    use neo_market::reference::PriceSource;

    #[test]
    fn the_farthest_trade_of_each_side_is_measured_from_the_middle_before_its_ledger() {
        let quotes = "time,bid,bid_size,ask,ask_size\n1776506400000,1.99,100,2.01,100\n1776506409000,2.09,5,2.11,5\n";
        let trades = "time,side,price,size\n1776506404000,buy,2.01,1\n1776506405000,buy,2.02,1\n\
            1776506406000,sell,1.96,1\n1776506416000,sell,2.09,1\n";
        let all = reached(ledgers(trades, Some(quotes)).unwrap().iter(), From::Mid).unwrap().ledgers;
        let told: Vec<_> = all.iter().map(|one| (one.from.to_string(), one.farthest_bps)).collect();
        let d = |text: &str| Some(text.parse::<Dec>().unwrap());
        assert_eq!(told[0], ("2".to_string(), [d("200"), d("100")]));
        assert_eq!(all[0].half_spread_bps.to_string(), "50");
        // Both sides went with those trades: there is no middle until the next quote.
        assert_eq!(told[1].0, "2.1");
        assert_eq!(all.iter().map(|one| one.index).collect::<Vec<_>>(), [1_001, 1_003, 1_004]);
        assert!(told[2].1[0].is_some() && told[1].1 == [None, None]);
    }

    #[test]
    fn distances_are_measured_from_the_price_that_an_engine_would_quote_around() {
        // Four times as much is bid as asked: the microprice is nearer to the ask.
        let quotes =
            "time,bid,bid_size,ask,ask_size\n1776506400000,1.99,400,2.01,100\n1776506409000,1.99,100,2.01,100\n";
        let trades = "time,side,price,size\n1776506404000,buy,2.01,3\n1776506405000,buy,2.02,7\n";
        let all = ledgers(trades, Some(quotes)).unwrap();
        let config = ReferenceConfig { source: PriceSource::Microprice, ..ReferenceConfig::default() };
        let told = reached(all.iter(), From::Reference(&config)).unwrap();
        let first = &told.ledgers[0];
        assert_eq!(first.from.to_string(), "2.006");
        let d = |text: &str| text.parse::<Dec>().unwrap();
        let [bids, asks] = &first.traded;
        assert!(bids.is_empty() && asks[..] == [(d("2.01"), xrp("3")), (d("2.02"), xrp("7"))], "{asks:?}");
        assert_eq!(first.farthest_bps[1], Some(bps_from_mid(Side::Ask, d("2.02"), d("2.006")).unwrap()));
        assert_eq!((first.best, first.base_fee), ([d("1.99"), d("2.01")], Drops::new(10)));
        // What demands an outside price has none, and says so.
        let demanding = ReferenceConfig { outside_required: true, ..config };
        let none = reached(all.iter(), From::Reference(&demanding)).unwrap();
        assert!(none.ledgers.is_empty() && none.without_price["outside_price_missing"] > 0, "{none:?}");
    }

    fn xrp(text: &str) -> Drops {
        Drops::from_xrp(text.parse().unwrap(), Rounding::Down).unwrap()
    }
}

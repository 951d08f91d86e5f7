//! How far from the middle each ledger's trades reached: what `neo calibrate` learns from a market that nobody quoted in.
//! Pure: mirrored ledgers in, distances out.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::LedgerTime;
use neo_market::{AmountError, Dec, Rounding, Side, bps_from_mid};

use super::read::{MirrorLedger, MirrorTx, place};
use super::standing::Standing;
use crate::amount::Quality;
use crate::state::OfferKey;

/// Offers smaller than an XRP make no price, as in the engine's own default.
const DUST: i64 = 1_000_000;

/// What one ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its index.
    pub index: u32,
    /// When it closed.
    pub close_time: LedgerTime,
    /// The middle of the book before it.
    pub middle: Dec,
    /// Half of the spread then, in basis points.
    pub half_spread_bps: Dec,
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
}

impl Book {
    fn best(&self, side: Side) -> Option<Quality> {
        let of_side = self.offers.values().filter(|(of, _, xrp)| *of == side && *xrp >= DUST);
        of_side.map(|(_, quality, _)| *quality).min()
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

/// How far each ledger reached; ledgers before which no middle is known are left out.
///
/// # Errors
/// A price that no decimal holds.
pub fn reached<'a>(ledgers: impl Iterator<Item = &'a MirrorLedger>) -> Result<Vec<Reached>, AmountError> {
    let (mut book, mut all) = (Book::default(), Vec::new());
    for ledger in ledgers {
        if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
            let (bid, ask) = (price(Side::Bid, bid)?, price(Side::Ask, ask)?);
            let middle = bid.add(ask)?.div(Dec::from_i64(2), Rounding::HalfEven)?;
            if bid <= ask {
                all.push(one(ledger, middle, bps_from_mid(Side::Ask, ask, middle)?)?);
            }
        }
        ledger.txs.iter().for_each(|tx| book.transaction(tx));
        for (side, offers) in &ledger.snapshots {
            book.offers.retain(|_, (of, ..)| of != side);
            offers.iter().for_each(|offer| book.put(offer, offer.sizes.xrp));
        }
    }
    Ok(all)
}

fn one(ledger: &MirrorLedger, middle: Dec, half_spread_bps: Dec) -> Result<Reached, AmountError> {
    let mut farthest_bps = [None; 2];
    for side in Side::BOTH {
        let offers = |tx: &MirrorTx| {
            let traded = tx.touched.iter().filter(|touched| touched.offer.side == side && touched.traded() > 0);
            let pool = tx.pool.filter(|pool| pool.side == side).map(|pool| pool.quality);
            traded.map(|touched| touched.offer.quality).chain(pool).max()
        };
        if let Some(worst) = ledger.txs.iter().filter_map(offers).max()
            && let Some(farthest) = farthest_bps.get_mut(place(side))
        {
            *farthest = Some(bps_from_mid(side, price(side, worst)?, middle)?);
        }
    }
    let (index, close_time, sound) = (ledger.index, ledger.close_time, ledger.sound);
    Ok(Reached { index, close_time, middle, half_spread_bps, farthest_bps, sound })
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

    #[test]
    fn the_farthest_trade_of_each_side_is_measured_from_the_middle_before_its_ledger() {
        let quotes = "time,bid,bid_size,ask,ask_size\n1776506400000,1.99,100,2.01,100\n1776506409000,2.09,5,2.11,5\n";
        let trades = "time,side,price,size\n1776506404000,buy,2.01,1\n1776506405000,buy,2.02,1\n\
            1776506406000,sell,1.96,1\n1776506416000,sell,2.09,1\n";
        let all = reached(ledgers(trades, Some(quotes)).unwrap().iter()).unwrap();
        let told: Vec<_> = all.iter().map(|one| (one.middle.to_string(), one.farthest_bps)).collect();
        let d = |text: &str| Some(text.parse::<Dec>().unwrap());
        assert_eq!(told[0], ("2".to_string(), [d("200"), d("100")]));
        assert_eq!(all[0].half_spread_bps.to_string(), "50");
        // Both sides went with those trades: there is no middle until the next quote.
        assert_eq!(told[1].0, "2.1");
        assert_eq!(all.iter().map(|one| one.index).collect::<Vec<_>>(), [1_001, 1_003, 1_004]);
        assert!(told[2].1[0].is_some() && told[1].1 == [None, None]);
    }
}

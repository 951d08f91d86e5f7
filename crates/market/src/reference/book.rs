//! What a book says of the price.

use super::{BookPrice, Source};
use crate::decimal::LEDGER_DIGITS;
use crate::{AmountError, BookLevel, Dec, Drops, MarketView, Rounding};

/// The book's price of a kind; `mid` is its middle. A book whose sizes say nothing gives the middle.
///
/// # Errors
/// [`AmountError`] for absurd prices or sizes.
pub fn price(view: &MarketView, mid: Dec, kind: BookPrice, depth_xrp: Dec) -> Result<(Source, Dec), AmountError> {
    Ok(match kind {
        BookPrice::Mid => (Source::BookMid, mid),
        BookPrice::Microprice => (Source::Microprice, microprice(view)?.unwrap_or(mid)),
        BookPrice::DepthWeighted => (Source::DepthWeighted, depth_weighted(view, depth_xrp)?.unwrap_or(mid)),
    })
}

/// `(bid * ask_size + ask * bid_size) / (bid_size + ask_size)` of the best level of each side: nearer to the ask the more
/// stands on the bid (Gatheral and Oomen 2010, "Zero-intelligence realized variance estimation", where it is called the
/// microprice; Stoikov 2018, "The micro-price", where it is the weighted mid). `None` while a side is empty.
///
/// # Errors
/// [`AmountError`] for absurd prices or sizes.
pub fn microprice(view: &MarketView) -> Result<Option<Dec>, AmountError> {
    let (Some(bid), Some(ask)) = (view.bids.first(), view.asks.first()) else { return Ok(None) };
    let (bid_size, ask_size) = (bid.size.to_xrp()?, ask.size.to_xrp()?);
    let both = bid_size.add(ask_size)?;
    if !bid_size.is_positive() || !ask_size.is_positive() {
        return Ok(None);
    }
    let sum = bid.price.mul(ask_size, Rounding::HalfEven)?.add(ask.price.mul(bid_size, Rounding::HalfEven)?)?;
    within_the_touch(sum.div(both, Rounding::HalfEven)?, bid, ask).map(Some)
}

/// The middle of two averages: what selling so much XRP into the bids brings for one, and what buying as much from the asks
/// costs. So much is `depth_xrp`, or what the thinner side has. One small offer at the top does not move it as it moves the
/// middle, and a thin book's distant levels never carry it beyond the best prices. `None` while a side is empty.
///
/// It is the middle of the volume-weighted average prices of two market orders of that size.
///
/// # Errors
/// [`AmountError`] for absurd prices or sizes.
pub fn depth_weighted(view: &MarketView, depth_xrp: Dec) -> Result<Option<Dec>, AmountError> {
    let (Some(bid), Some(ask)) = (view.bids.first(), view.asks.first()) else { return Ok(None) };
    let wanted = Drops::from_xrp(depth_xrp, Rounding::Down)?;
    let depth = wanted.min(size_of(&view.bids)).min(size_of(&view.asks));
    if depth <= Drops::ZERO {
        return Ok(None);
    }
    let sum = average(&view.bids, depth)?.add(average(&view.asks, depth)?)?;
    within_the_touch(sum.div(Dec::from_i64(2), Rounding::HalfEven)?, bid, ask).map(Some)
}

fn size_of(levels: &[BookLevel]) -> Drops {
    Drops::new(levels.iter().fold(0, |sum: i64, level| sum.saturating_add(level.size.get().max(0))))
}

/// The average price of the first `depth` XRP of a side that has as many.
fn average(levels: &[BookLevel], depth: Drops) -> Result<Dec, AmountError> {
    let (mut left, mut paid) = (depth, Dec::zero());
    for level in levels {
        let part = level.size.max(Drops::ZERO).min(left);
        paid = paid.add(level.price.mul(part.to_xrp()?, Rounding::HalfEven)?)?;
        left = left.sub(part)?;
    }
    paid.div(depth.to_xrp()?, Rounding::HalfEven)
}

fn within_the_touch(price: Dec, bid: &BookLevel, ask: &BookLevel) -> Result<Dec, AmountError> {
    Ok(price.round_digits(LEDGER_DIGITS, Rounding::HalfEven)?.max(bid.price).min(ask.price))
}

//! How much of what a pool gave it would have given before an offer of ours: pure, by the ledger's own rule.
//!
//! A pool stands beside the book with an offer that is made up for the occasion: of the size at which its price meets the best
//! price of the book. That is taken first, then the book's offer, then what the pool has up to the next price
//! (rippled, `BookStep.cpp`, `AMMLiquidity.cpp`; where one strand is paid through). So each offer of ours at which a real
//! trade went by is a stop on the pool's way: what it gave beyond it would have been taken of ours first.

use neo_market::Side;

use super::standing::{Reserves, Share};
use crate::amendment::Amendments;
use crate::amm_math::{change_spot_price, within_relative_distance};
use crate::amount::{ArithmeticError, InOut, Quality, Value};
use crate::number::Rounding;

/// Prices this near are one and the same, as in `apply::flow::pool`.
const NEAR: (i64, i32) = (1, -7);

/// For each stop, best first, the drops that the pool gave (or took) before it: at most what it gave in all.
///
/// # Errors
/// [`ArithmeticError`] for balances of which no price can be computed.
pub(crate) fn before_each(
    share: &Share,
    reserves: Reserves,
    trading_fee: u16,
    stops: &[Quality],
    amendments: &Amendments,
) -> Result<Vec<i64>, ArithmeticError> {
    let mut pool = reserves_of(share.side, reserves);
    let mut given = 0_i64;
    let mut all = Vec::with_capacity(stops.len());
    for stop in stops {
        if given < share.xrp
            && let Some(offer) = offer(pool, *stop, trading_fee, amendments)?
        {
            pool = InOut { input: pool.input.add(offer.input)?, output: pool.output.sub(offer.output)? };
            given = given.saturating_add(xrp_of(offer));
        }
        all.push(given.min(share.xrp));
    }
    Ok(all)
}

/// The pool's offer against a book whose best price this is.
fn offer(pool: InOut, book: Quality, fee: u16, amendments: &Amendments) -> Result<Option<InOut>, ArithmeticError> {
    if !pool.input.is_positive() || !pool.output.is_positive() {
        return Ok(None);
    }
    let spot = Quality::of(pool);
    let near = Rounding::Nearest.number(NEAR.0, NEAR.1)?;
    if !book.is_worse_than(spot) || within_relative_distance(spot.rate(), book.rate(), near)? {
        return Ok(None);
    }
    let offer = change_spot_price(pool, book, fee, amendments)?;
    Ok(offer.filter(|offer| offer.input.is_positive() && offer.output.is_positive()))
}

/// What goes in and what comes out where the pool stands in for offers of a side: asks give XRP.
const fn reserves_of(side: Side, Reserves { xrp, token }: Reserves) -> InOut {
    match side {
        Side::Ask => InOut { input: Value::Token(token), output: Value::Drops(xrp) },
        Side::Bid => InOut { input: Value::Drops(xrp), output: Value::Token(token) },
    }
}

fn xrp_of(offer: InOut) -> i64 {
    match (offer.input, offer.output) {
        (Value::Drops(drops), _) | (_, Value::Drops(drops)) => drops,
        (Value::Token(_), Value::Token(_)) => 0,
    }
}

//! The margin that a new offer keeps from the best opposite price, so that it does not take when it arrives.
//!
//! Nothing on the ledger is post-only, and a ledger or more goes by between the book that an offer is priced on and the
//! one that it meets. What the price moves meanwhile is guessed from what it has moved: so many deviations over the time
//! in flight, and never less than a least margin. A level that would stand nearer is placed at the margin: farther from
//! the reference than its own distance, so it gives away nothing that the distance is for, and the account goes on
//! quoting both sides. What rests already takes nothing and stays, even where no new offer can be placed at the margin:
//! see [`crate::plan::plan`].

use super::QuoteConfig;
use super::level::Levels;
use super::{BPS, favourable};
use crate::model::{self, Measured, ModelError, RollingVolatility};
use crate::{AmountError, Dec, MarketView, Rounding, Side};

/// Seconds of a ledger, about. Close times are rounded and say no better.
const LEDGER_S: u32 = 4;
/// Moves of a price that the guard goes by already.
const FEW_MOVES: u32 = 3;
/// Decimal places of the margin.
const BPS_PLACES: i32 = 3;
/// The margin is less than this part of the price, however wild the market: half of it.
pub const MOST_GUARD_BPS: i64 = 5_000;

/// A level that is placed farther from the market than its distance says, because there it could take on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The side.
    pub side: Side,
    /// The level, 0 nearest the middle.
    pub level: u8,
    /// The price of its distance, where an offer that rests already may stay.
    pub own: Dec,
    /// The price that a new offer gets.
    pub price: Dec,
    /// The best price of the other side, the pool's included.
    pub best: Dec,
    /// The margin from it, in basis points.
    pub margin_bps: Dec,
}

/// The right prices of an offer that rests on a level where nothing new is placed: only the price that a new offer would
/// be moved to cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stays {
    /// The price of the level's distance, the nearest one.
    pub own: Dec,
    /// The farthest one.
    pub farthest: Dec,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Moved { own, price, best, margin_bps, .. } = self;
        write!(
            f,
            "at its price {own} it could take from the best opposite price {best} before a ledger has it: it is placed at \
             {price}, {margin_bps} bps and its steps away from that (taking_guard_bps, taking_guard_deviations)"
        )
    }
}

/// What the guard goes by: how much the prices move that an offer may meet. The pool moves while the book stands still,
/// and a level of a thin book is gone for a ledger and back, so each side's best price is measured beside the reference.
#[derive(Clone, Debug)]
pub struct Moves {
    sides: [RollingVolatility; 2],
}

impl Moves {
    /// Nothing measured yet, over a window in seconds.
    #[must_use]
    pub fn new(window_s: u32) -> Moves {
        Moves { sides: [RollingVolatility::new(window_s), RollingVolatility::new(window_s)] }
    }

    /// Takes in a ledger's market.
    ///
    /// # Errors
    /// [`AmountError`] when the pool's balances are absurd.
    pub fn observe(&mut self, close_time_s: u32, view: &MarketView) -> Result<(), AmountError> {
        for (side, moves) in Side::BOTH.into_iter().zip(&mut self.sides) {
            if let Some(price) = view.nearest(side)? {
                moves.observe(close_time_s, price);
            }
        }
        Ok(())
    }

    /// The largest deviation of `reference` and of both sides, from the few moves on that are better than nothing.
    ///
    /// # Errors
    /// [`ModelError`] for prices that differ absurdly.
    pub fn measured(&self, reference: &RollingVolatility) -> Result<Measured, ModelError> {
        let mut largest = Measured::TooFew(0);
        for moves in self.sides.iter().chain([reference]) {
            largest = match (largest, moves.measured_from(FEW_MOVES)?) {
                (Measured::Sigma(a), Measured::Sigma(b)) => Measured::Sigma(a.max(b)),
                (Measured::TooFew(_), other) | (other, Measured::TooFew(_)) => other,
            };
        }
        Ok(largest)
    }
}

/// The margin in basis points for offers that reach a ledger `ledgers` after the one they are priced on: the larger of
/// `taking_guard_bps` and `taking_guard_deviations` deviations of the price over that time. While the volatility is not
/// measured, it is the former.
///
/// # Errors
/// [`ModelError`] for a volatility that fits no amount.
pub fn guard_bps(volatility: Measured, ledgers: u32, config: &QuoteConfig) -> Result<Dec, ModelError> {
    let (least, deviations) = (config.taking_guard_bps, config.taking_guard_deviations);
    let Measured::Sigma(sigma) = volatility else { return Ok(least) };
    if !deviations.is_positive() {
        return Ok(least);
    }
    let most = Dec::from_i64(MOST_GUARD_BPS);
    let deviation = model::deviation_over(sigma, ledgers.max(1).saturating_mul(LEDGER_S), BPS_PLACES)?.min(most);
    Ok(deviation.mul(deviations, Rounding::Up)?.round_places(BPS_PLACES, Rounding::Up)?.max(least).min(most))
}

/// The nearest price that is `away_bps` from the best opposite price, rounded away from it.
///
/// # Errors
/// [`AmountError`] for absurd prices.
pub fn kept_from(side: Side, best: Dec, away_bps: Dec) -> Result<Dec, AmountError> {
    let rounding = favourable(side);
    let factor = match side {
        Side::Bid => Dec::from_i64(BPS).sub(away_bps)?,
        Side::Ask => Dec::from_i64(BPS).add(away_bps)?,
    };
    best.mul(factor, rounding)?.mul(Dec::from_parts(1, -4)?, rounding)
}

/// True when an offer of `side` at `price` stands nearer to the opposite side than `kept`.
#[must_use]
pub fn is_nearer(side: Side, price: Dec, kept: Dec) -> bool {
    match side {
        Side::Bid => price > kept,
        Side::Ask => price < kept,
    }
}

impl Levels<'_> {
    /// Where a level is placed whose price is `own`, if that is too near to the best opposite price. The steps between
    /// levels stay: the ladder moves as one, and no two levels meet.
    pub(super) fn kept_away(&self, side: Side, level: u8, own: Dec) -> Result<Option<Moved>, AmountError> {
        let margin_bps = self.guard_bps;
        if !margin_bps.is_positive() {
            return Ok(None);
        }
        let Some(best) = self.view.nearest(side.opposite())? else { return Ok(None) };
        let away = margin_bps.add(self.config.step_bps(side, level)?)?;
        let price = kept_from(side, best, away)?.round_places(self.config.price_places, favourable(side))?;
        Ok(is_nearer(side, own, price).then_some(Moved { side, level, own, price, best, margin_bps }))
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

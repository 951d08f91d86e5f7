//! Leaning against inventory: who owns too much of one asset quotes so that it is rather sold than bought.
//!
//! The middle that quotes stand around moves, and the side that would add to the excess gets smaller. The limits of
//! [`crate::risk`] know nothing of it, and have the last word.

use crate::problem::Problems;
use crate::quote::{BPS, QuoteConfig};
use crate::{AmountError, Balances, Dec, Drops, MarketView, Rounding, Side};

/// Decimal places of a lean: enough for a drop in all XRP there is, few enough that a half is a half.
const LEAN_PLACES: i32 = 18;

/// How far the account leans: 1 when all is XRP, -1 when all is RLUSD, 0 at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    lean: Dec,
}

impl Skew {
    /// No skew: quotes stand around the middle, in full size.
    #[must_use]
    pub fn none() -> Skew {
        Skew { lean: Dec::zero() }
    }

    /// [`Skew::at`] the middle of the market.
    ///
    /// # Errors
    /// [`AmountError`] for absurd balances or prices.
    pub fn of(balances: &Balances, view: &MarketView, config: &QuoteConfig) -> Result<Skew, AmountError> {
        Skew::at(balances, view.mid()?, config)
    }

    /// The lean of what the account owns, the reserve included, at `price` (RLUSD for one XRP). None without a target, and
    /// while there is no price or nothing owned.
    ///
    /// The distance from the target counts as a part of the way to its end, so both ends are 1 whatever the target.
    ///
    /// # Errors
    /// [`AmountError`] for absurd balances or prices.
    pub fn at(balances: &Balances, price: Option<Dec>, config: &QuoteConfig) -> Result<Skew, AmountError> {
        let (Some(target), Some(price)) = (config.inventory_target_pct, price) else { return Ok(Skew::none()) };
        let target = target.mul(Dec::from_parts(1, -2)?, Rounding::HalfEven)?;
        let Some(share) = xrp_share(balances, price)? else { return Ok(Skew::none()) };
        let off = share.sub(target)?;
        let way = if off.is_negative() { target } else { Dec::one().sub(target)? };
        // A target at an end leaves no way beyond it.
        if !way.is_positive() {
            return Ok(Skew::none());
        }
        Ok(Skew { lean: off.div(way, Rounding::HalfEven)?.round_places(LEAN_PLACES, Rounding::HalfEven)? })
    }

    /// From -1 (all RLUSD) over 0 (at the target) to 1 (all XRP).
    #[must_use]
    pub fn lean(&self) -> Dec {
        self.lean
    }

    /// The price that quotes stand around: `mid` (the middle, or the reference in its place), lower by up to `skew_bps`
    /// with too much XRP, higher with too little. It moves only so far that the first level stays a step of the price off
    /// the best opposite price, of the book or of the pool: a quote that stood without skew is never lost to it.
    ///
    /// # Errors
    /// [`AmountError`] for absurd prices.
    pub fn middle(&self, view: &MarketView, mid: Dec, config: &QuoteConfig) -> Result<Dec, AmountError> {
        if self.lean.is_zero() {
            return Ok(mid);
        }
        let bps = self.lean.mul(config.skew_bps, Rounding::HalfEven)?;
        let factor = Dec::from_i64(BPS).sub(bps)?;
        let moved = mid.mul(factor, Rounding::HalfEven)?.mul(Dec::from_parts(1, -4)?, Rounding::HalfEven)?;
        let step = Dec::from_parts(1, config.price_places.saturating_neg())?;
        // Limits are rounded towards the book: the price's own rounding, away from it, then lands on the step.
        let ten_thousand = Dec::from_i64(BPS);
        if self.lean.is_negative() {
            let Some(ask) = view.nearest(Side::Ask)? else { return Ok(mid) };
            let factor = ten_thousand.sub(config.offset_bps(Side::Bid, 0)?)?;
            let highest = ask.sub(step)?.mul(ten_thousand, Rounding::Up)?.div(factor, Rounding::Up)?;
            Ok(moved.min(highest).max(mid))
        } else {
            let Some(bid) = view.nearest(Side::Bid)? else { return Ok(mid) };
            let factor = ten_thousand.add(config.offset_bps(Side::Ask, 0)?)?;
            let lowest = bid.add(step)?.mul(ten_thousand, Rounding::Down)?.div(factor, Rounding::Down)?;
            Ok(moved.max(lowest).min(mid))
        }
    }

    /// XRP of a level of a side that has `size` (XRP) without skew: smaller by up to `skew_size_pct` on the side that would
    /// add to the excess.
    ///
    /// # Errors
    /// [`AmountError`] for absurd sizes.
    pub fn size(&self, side: Side, size: Dec, config: &QuoteConfig) -> Result<Drops, AmountError> {
        let adds = match side {
            Side::Bid => self.lean,
            Side::Ask => self.lean.neg(),
        };
        if !adds.is_positive() {
            return Drops::from_xrp(size, Rounding::Down);
        }
        let percent = adds.mul(config.skew_size_pct, Rounding::HalfEven)?;
        let left = Dec::from_i64(100).sub(percent)?.mul(Dec::from_parts(1, -2)?, Rounding::HalfEven)?;
        Drops::from_xrp(size.mul(left, Rounding::Down)?, Rounding::Down)
    }
}

/// Notes every mistake of the skew's settings.
pub(crate) fn check(config: &QuoteConfig, found: &mut Problems) {
    let hundred = Dec::from_i64(100);
    if let Some(target) = config.inventory_target_pct {
        let between = target.is_positive() && target < hundred;
        let reason = "a market maker needs some of both assets";
        let fix = "use more than 0 and less than 100, such as 50, or leave the key out for no skew";
        found.require(between, "inventory_target_pct", target, reason, fix);
    }
    let bps = !config.skew_bps.is_negative() && config.skew_bps < Dec::from_i64(BPS);
    let reason = "the middle moves by a part of itself";
    found.require(bps, "skew_bps", config.skew_bps, reason, "use 0 to a few times the offsets, such as 10");
    let percent = !config.skew_size_pct.is_negative() && config.skew_size_pct <= hundred;
    let reason = "a size gets smaller by a part of itself";
    found.require(percent, "skew_size_pct", config.skew_size_pct, reason, "use 0 to 100, such as 50");
}

/// The part of the total value that is XRP, 0 to 1; `None` when nothing is owned.
///
/// Each step is rounded in a way that keeps its order, so more XRP is never a smaller share.
fn xrp_share(balances: &Balances, mid: Dec) -> Result<Option<Dec>, AmountError> {
    let xrp_value = balances.xrp.to_xrp()?.mul(mid, Rounding::HalfEven)?;
    match (xrp_value.is_positive(), balances.rlusd.is_positive()) {
        (false, false) => Ok(None),
        (false, true) => Ok(Some(Dec::zero())),
        (true, false) => Ok(Some(Dec::one())),
        (true, true) => {
            let others = balances.rlusd.div(xrp_value, Rounding::HalfEven)?;
            Dec::one().div(Dec::one().add(others)?, Rounding::HalfEven).map(Some)
        }
    }
}

#[cfg(test)]
#[path = "skew_tests.rs"]
mod tests;

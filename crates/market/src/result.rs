//! What quoting earned: distances from the middle by side, and in the modules below the result in parts that add up.

pub mod holding;
#[cfg(test)]
mod laws;
pub mod lots;
pub mod mark_out;
pub mod moves;
pub mod split;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::quote::BPS;
use crate::{AmountError, Dec, Drops, Rounding, Side};

/// Decimal places of a result in basis points.
const RESULT_PLACES: i32 = 2;

/// A price that counted, beside the middle it is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillPoint {
    /// Our side of the fill.
    pub side: Side,
    /// RLUSD for one XRP: the order's price for the quoted spread, the fill's for the captured one.
    pub price: Dec,
    /// The middle at placement for the quoted spread, of the ledger before the fill for the captured one; `None` when
    /// it was not known.
    pub mid: Option<Dec>,
    /// XRP filled.
    pub size: Drops,
}

/// Half-spreads of one side, weighted by volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadStats {
    /// The side.
    pub side: Side,
    /// Number of fills.
    pub fills: u64,
    /// XRP filled.
    pub volume: Drops,
    /// Distance of the filled orders' prices from the middle at placement, in basis points to two places; `None` when
    /// no middle was known.
    pub quoted_half_spread_bps: Option<Dec>,
    /// Distance of the fill prices from the middle of the ledger before, in basis points to two places; `None` when no
    /// middle was known.
    pub captured_half_spread_bps: Option<Dec>,
}

impl SpreadStats {
    /// The figures of `side`. Each fill is given twice: in `quoted` with its order's price and the middle at placement,
    /// in `captured` with its own price and the middle of the ledger before. Points of the other side are passed over,
    /// points without a middle count as fills but not towards the half-spreads.
    ///
    /// # Errors
    /// [`AmountError`] when a middle is zero or the volume does not fit.
    pub fn new(
        side: Side,
        quoted: impl IntoIterator<Item = FillPoint>,
        captured: impl IntoIterator<Item = FillPoint>,
    ) -> Result<SpreadStats, AmountError> {
        let (quoted, captured) = (Tally::of(side, quoted)?, Tally::of(side, captured)?);
        Ok(SpreadStats {
            side,
            fills: captured.fills,
            volume: captured.volume,
            quoted_half_spread_bps: quoted.mean_bps()?,
            captured_half_spread_bps: captured.mean_bps()?,
        })
    }
}

#[derive(Default)]
struct Tally {
    fills: u64,
    volume: Drops,
    /// XRP of the points with a middle.
    measured_xrp: Dec,
    /// Basis points times XRP, summed over the points with a middle.
    weighted_bps: Dec,
}

impl Tally {
    fn of(side: Side, points: impl IntoIterator<Item = FillPoint>) -> Result<Tally, AmountError> {
        let mut tally = Tally::default();
        for point in points.into_iter().filter(|point| point.side == side) {
            tally.fills += 1;
            tally.volume = tally.volume.add(point.size)?;
            if let Some(mid) = point.mid {
                let xrp = point.size.to_xrp()?;
                let bps = bps_from_mid(side, point.price, mid)?;
                tally.measured_xrp = tally.measured_xrp.add(xrp)?;
                tally.weighted_bps = tally.weighted_bps.add(bps.mul(xrp, Rounding::HalfEven)?)?;
            }
        }
        Ok(tally)
    }

    fn mean_bps(&self) -> Result<Option<Dec>, AmountError> {
        if self.measured_xrp.is_zero() {
            return Ok(None);
        }
        let mean = self.weighted_bps.div(self.measured_xrp, Rounding::HalfEven)?;
        mean.round_places(RESULT_PLACES, Rounding::HalfEven).map(Some)
    }
}

/// Distance of `price` from `mid` in basis points of `mid`, positive when in our favour: a bid below, an ask above.
///
/// # Errors
/// [`AmountError::DivisionByZero`] when `mid` is zero.
pub fn bps_from_mid(side: Side, price: Dec, mid: Dec) -> Result<Dec, AmountError> {
    let in_our_favour = match side {
        Side::Bid => mid.sub(price)?,
        Side::Ask => price.sub(mid)?,
    };
    in_our_favour.mul(Dec::from_i64(BPS), Rounding::HalfEven)?.div(mid, Rounding::HalfEven)
}

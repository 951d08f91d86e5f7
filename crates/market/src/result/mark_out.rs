//! Where the price went after a fill: what it gained or lost by having traded then.

use serde::Serialize;

use super::{RESULT_PLACES, bps_from_mid};
use crate::{AmountError, Dec, Drops, Rounding, Side};

/// Validated ledgers after a fill at which the middle is looked at.
pub const HORIZONS_LEDGERS: [u32; 3] = [1, 5, 30];

/// A fill beside the middle of a later ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkOutPoint {
    /// Our side.
    pub side: Side,
    /// XRP filled.
    pub xrp: Drops,
    /// RLUSD filled.
    pub rlusd: Dec,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// The middle of the later ledger; `None` when it is not known.
    pub mid: Option<Dec>,
}

impl MarkOutPoint {
    /// The gain in RLUSD: the XRP at the later middle against what was paid or got for it.
    ///
    /// # Errors
    /// [`AmountError`] when it does not fit 34 digits.
    fn gain(&self, mid: Dec) -> Result<Dec, AmountError> {
        let worth = self.xrp.to_xrp()?.mul_exact(mid)?;
        match self.side {
            Side::Bid => worth.sub_exact(self.rlusd),
            Side::Ask => self.rlusd.sub_exact(worth),
        }
    }
}

/// The mark-outs of one side after so many ledgers; gains are positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkOutStats {
    /// Ledgers after the fills.
    pub ledgers: u32,
    /// The side.
    pub side: Side,
    /// Fills whose later middle is known.
    pub fills: u64,
    /// Fills whose later middle is not known; they are in no figure here.
    pub unknown: u64,
    /// XRP of the known ones.
    pub volume: Drops,
    /// The mean gain in basis points of the later middle, each fill alike, to two places; `None` without a known one.
    pub mean_bps: Option<Dec>,
    /// The same weighted by volume.
    pub weighted_bps: Option<Dec>,
    /// The sum of the gains in RLUSD, exact; `None` without a known one.
    pub gain_rlusd: Option<Dec>,
}

impl MarkOutStats {
    /// The figures of `side`; points of the other side are passed over.
    ///
    /// # Errors
    /// [`AmountError`] when a middle is zero or a sum does not fit.
    pub fn of<'a>(
        ledgers: u32,
        side: Side,
        points: impl IntoIterator<Item = &'a MarkOutPoint>,
    ) -> Result<MarkOutStats, AmountError> {
        let (mut fills, mut unknown, mut volume) = (0_u64, 0, Drops::ZERO);
        let (mut bps_sum, mut weighted, mut gain) = (Dec::zero(), Dec::zero(), Dec::zero());
        for point in points.into_iter().filter(|point| point.side == side) {
            let Some(mid) = point.mid else {
                unknown += 1;
                continue;
            };
            fills += 1;
            volume = volume.add(point.xrp)?;
            let bps = bps_from_mid(side, point.price, mid)?;
            bps_sum = bps_sum.add(bps)?;
            weighted = weighted.add(bps.mul(point.xrp.to_xrp()?, Rounding::HalfEven)?)?;
            gain = gain.add_exact(point.gain(mid)?)?;
        }
        let mean = |sum: Dec, weight: Dec| {
            if weight.is_zero() {
                return Ok(None);
            }
            sum.div(weight, Rounding::HalfEven)?.round_places(RESULT_PLACES, Rounding::HalfEven).map(Some)
        };
        let count = Dec::from_i64(i64::try_from(fills).unwrap_or(i64::MAX));
        Ok(MarkOutStats {
            ledgers,
            side,
            fills,
            unknown,
            volume,
            mean_bps: mean(bps_sum, count)?,
            weighted_bps: mean(weighted, volume.to_xrp()?)?,
            gain_rlusd: (fills > 0).then_some(gain),
        })
    }
}

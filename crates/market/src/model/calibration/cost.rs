//! What a fill costs: how far the price goes against us afterwards, by the distance that the fill was made at.

use super::{MIN_MARK_OUTS, MarkOut, Shortage};
use crate::model::statistics::{Estimate, Mean, Z95, student_975};

/// Distances whose deviation is smaller than this, in basis points, tell nothing of how the cost depends on them.
const NO_SPREAD_BPS: f64 = 0.01;

/// The cost of a fill, `mean + slope (d - center)` at a distance `d`.
///
/// Who takes more than a small trader would knows more, so that farther fills may cost more. The slope is 0 unless the data
/// show one (95 %): a slope that is not there makes the offset less certain for nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// What the price moved against us, over the fills, in basis points; its error is widened for few of them as Student's
    /// distribution is wider than the normal one.
    pub mean: Mean,
    /// Mean distance of these fills, in basis points.
    pub center_bps: f64,
    /// Basis points of cost for each of distance.
    pub slope: f64,
    /// Its standard error; 0 where the slope is taken for none.
    pub slope_error: f64,
    /// True where the distances are how far a market's trades reached, which is beyond the offer that they would have filled.
    pub of_reach: bool,
}

impl Cost {
    /// The cost that these fills tell of.
    ///
    /// # Errors
    /// [`Shortage::TooFewMarkOuts`].
    pub fn of(mark_outs: &[MarkOut], of_reach: bool) -> Result<Cost, Shortage> {
        let moves: Vec<f64> = mark_outs.iter().map(|each| each.distance_bps - each.gain_bps).collect();
        let too_few = Shortage::TooFewMarkOuts { have: moves.len() as u64 };
        if (moves.len() as u64) < MIN_MARK_OUTS {
            return Err(too_few);
        }
        let mean = Mean::of(&moves).ok_or(too_few)?;
        let n = moves.len() as f64;
        let center_bps = mark_outs.iter().map(|each| each.distance_bps).sum::<f64>() / n;
        let level = Cost { mean: widened(mean, 1), center_bps, slope: 0.0, slope_error: 0.0, of_reach };
        let away = |each: &MarkOut| each.distance_bps - center_bps;
        let spread = mark_outs.iter().map(|each| away(each).powi(2)).sum::<f64>();
        if (spread / n).sqrt() < NO_SPREAD_BPS {
            return Ok(level);
        }
        let together = mark_outs.iter().zip(&moves).map(|(each, moved)| away(each) * (moved - mean.value)).sum::<f64>();
        let slope = together / spread;
        let rest = |(each, moved): (&MarkOut, &f64)| (moved - mean.value - slope * away(each)).powi(2);
        let variance = mark_outs.iter().zip(&moves).map(rest).sum::<f64>() / (n - 2.0);
        let line = widened(Mean { error: (variance / n).sqrt(), ..mean }, 2);
        let slope_error = (variance / spread).sqrt() * factor(mean.count, 2);
        if slope.abs() > Z95 * slope_error {
            return Ok(Cost { mean: line, slope, slope_error, ..level });
        }
        Ok(level)
    }

    /// The same without a fill behind it: no cost is known of.
    #[cfg(test)]
    pub(super) const fn fixed(value: f64, error: f64) -> Cost {
        Cost { mean: Mean { count: 50, value, error }, center_bps: 10.0, slope: 0.0, slope_error: 0.0, of_reach: false }
    }

    /// Where the line's center lies for an offer's own distance. Trades that reach an offer go 1/k beyond it on average,
    /// whatever its distance: the law is exponential.
    pub(super) fn center(&self, k: f64) -> f64 {
        if self.of_reach { self.center_bps - 1.0 / k } else { self.center_bps }
    }

    /// The cost of a fill of an offer at a distance, under a law of this `k`.
    #[must_use]
    pub fn at(&self, distance_bps: f64, k: f64) -> f64 {
        self.mean.value + self.slope * (distance_bps - self.center(k))
    }

    /// The variance of [`Cost::at`], k being known.
    pub(super) fn variance_at(&self, distance_bps: f64, k: f64) -> f64 {
        self.mean.error.powi(2) + (self.slope_error * (distance_bps - self.center(k))).powi(2)
    }

    /// The mean cost with its interval.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        Estimate::normal(self.mean.value, self.mean.error)
    }
}

/// How much wider Student's distribution is than the normal one after `estimated` numbers were taken from `count` values.
fn factor(count: u64, estimated: u64) -> f64 {
    student_975(count.saturating_sub(estimated)) / Z95
}

fn widened(mean: Mean, estimated: u64) -> Mean {
    Mean { error: mean.error * factor(mean.count, estimated), ..mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fills(count: usize, moved: impl Fn(usize, f64) -> f64) -> Vec<MarkOut> {
        let one = |at: usize| {
            let distance_bps = if at.is_multiple_of(2) { 8.0 } else { 16.0 };
            MarkOut { distance_bps, gain_bps: distance_bps - moved(at, distance_bps) }
        };
        (0..count).map(one).collect()
    }

    /// Two up, two down, so that it has nothing to do with the distance.
    fn noise(at: usize) -> f64 {
        if at % 4 < 2 { 1.0 } else { -1.0 }
    }

    #[test]
    fn the_cost_is_what_the_price_moved_against_us() {
        let cost = Cost::of(&fills(20, |at, _| 3.0 + noise(at)), false).unwrap();
        assert!((cost.mean.value - 3.0).abs() < 1e-12 && cost.slope.abs() < 1e-12 && cost.mean.count == 20);
        // Student's 2.093 in the place of 1.96.
        let error = (20.0_f64 / 19.0 / 20.0).sqrt() * 2.093 / Z95;
        assert!((cost.mean.error / error - 1.0).abs() < 1e-3, "{cost:?}");
        assert_eq!(Cost::of(&fills(9, |_, _| 3.0), false), Err(Shortage::TooFewMarkOuts { have: 9 }));
    }

    #[test]
    fn a_cost_that_grows_with_the_distance_is_seen_and_one_that_seems_to_is_not_believed() {
        let cost = Cost::of(&fills(40, |at, distance| 0.5 * distance + noise(at)), false).unwrap();
        assert!((cost.slope - 0.5).abs() < 1e-12 && (cost.center_bps - 12.0).abs() < 1e-12, "{cost:?}");
        assert!((cost.at(20.0, 0.1) - 10.0).abs() < 1e-12 && cost.variance_at(20.0, 0.1) > cost.variance_at(12.0, 0.1));
        let weak = Cost::of(&fills(40, |at, distance| 0.01 * distance + noise(at)), false).unwrap();
        assert!(weak.slope.abs() < 1e-12 && (weak.at(20.0, 0.1) - weak.mean.value).abs() < 1e-12, "{weak:?}");
    }

    #[test]
    fn trades_reach_one_over_k_beyond_the_offer_that_they_fill() {
        let cost = Cost::of(&fills(40, |at, distance| 0.5 * distance + noise(at)), true).unwrap();
        // What reaches an offer at 10 bps goes to 20 on average, and that costs 10.
        assert!((cost.at(10.0, 0.1) - 10.0).abs() < 1e-12, "{cost:?}");
    }
}

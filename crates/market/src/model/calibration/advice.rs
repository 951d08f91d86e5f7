//! What an offset would earn, which one earns most, and whether a run's fills are what the law expects.

use super::{Cost, Exposure, Fit, Outcome, Shortage};
use crate::model::Intensity;
use crate::model::statistics::{Estimate, Mean, poisson_at_least, poisson_at_most};

/// What a quote on one side is up against, beside the law of arrivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Economics {
    /// What a fill costs afterwards.
    pub cost: Cost,
    /// The part of an offer that a fill takes, 0 to 1: a trade may be smaller than the offer.
    pub share: Mean,
    /// The ledger's fee for one transaction, in basis points of an offer's value.
    pub fee_bps: f64,
    /// Transactions that renew one offer in an hour, those after fills left out.
    pub renewals_per_hour: f64,
}

impl Economics {
    /// Offers that are filled whole, for no fee.
    #[must_use]
    pub const fn of(cost: Cost) -> Economics {
        let share = Mean { count: 0, value: 1.0, error: 0.0 };
        Economics { cost, share, fee_bps: 0.0, renewals_per_hour: 0.0 }
    }

    /// What one fill at a distance brings, in basis points of the offer's value; a transaction follows it.
    fn gain(&self, distance_bps: f64, k: f64) -> f64 {
        self.share.value * (distance_bps - self.cost.at(distance_bps, k)) - self.fee_bps
    }
}

/// The offset that earns most on one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advice {
    /// Basis points from the price that distances are measured from.
    pub offset_bps: Estimate,
    /// What one offer there earns an hour after fees, in basis points of its value.
    pub profit_bps_per_hour: Estimate,
    /// How often one offer there is filled in an hour.
    pub fills_per_hour: f64,
}

/// What one offer at `offset_bps` that is renewed at once earns an hour, in basis points of its value:
/// lambda(d) (s (d - c(d)) - f) - r f, with c what a fill costs, s the part of the offer that it takes, f the fee of a
/// transaction, r the renewals. The interval is by the delta method over A, k, c and s.
#[must_use]
pub fn profit_per_hour(fit: &Fit, with: &Economics, offset_bps: f64) -> Estimate {
    let (k, per_hour) = (fit.law().k(), 3_600.0 * fit.law().rate(offset_bps));
    let traded = per_hour * with.gain(offset_bps, k);
    let value = traded - with.renewals_per_hour * with.fee_bps;
    let edge = offset_bps - with.cost.at(offset_bps, k);
    // Where the cost's center moves with k, so does the profit.
    let by_k = if with.cost.of_reach { per_hour * with.share.value * with.cost.slope / k.powi(2) } else { 0.0 };
    let of_law = traded.powi(2) * fit.var_ln_rate(offset_bps)
        + 2.0 * traded * by_k * fit.cov_ln_rate_k(offset_bps)
        + by_k.powi(2) * fit.var_k();
    let variance = of_law
        + (per_hour * with.share.value).powi(2) * with.cost.variance_at(offset_bps, k)
        + (per_hour * edge * with.share.error).powi(2);
    Estimate::normal(value, variance.max(0.0).sqrt())
}

/// The offset that earns most: where c(d) = m + b (d - x), d* = 1/k + (m - b x + f/s) / (1 - b), the top of
/// [`profit_per_hour`]. (Without b and f it is the limit of Avellaneda and Stoikov's half spread for a maker who fears no
/// inventory, with the cost of a fill on top.)
///
/// 1/k is as sure as k is, and its interval lopsided; the rest has one by the delta method. The two rest on different numbers
/// and are put together as G. Y. Zou and A. Donner do (Statistics in Medicine 27(10), 2008, 1693-1702): the squares of their
/// reaches add up, to each side by itself.
///
/// Never nearer than the law was seen from.
///
/// # Errors
/// [`Shortage::NoneEarns`] where a fill costs as much more as it is farther away.
pub fn advise(fit: &Fit, with: &Economics) -> Result<Advice, Shortage> {
    let (k, cost) = (fit.k(), &with.cost);
    let kept = 1.0 - cost.slope;
    if kept <= 0.0 {
        return Err(Shortage::NoneEarns { slope: cost.slope });
    }
    // Of trades that reached somewhere the center moves with k: then 1/k counts for more, or less.
    let of_k = if cost.of_reach { 1.0 / kept } else { 1.0 };
    let fee = with.fee_bps / with.share.value;
    let rest = cost.mean.value + fee - cost.slope * cost.center_bps;
    // By the slope's derivative of the whole, 1/k included where it counts for more.
    let by_slope = (cost.mean.value + fee - cost.center(k.value)) / kept.powi(2);
    let error = (cost.mean.error / kept).hypot(by_slope * cost.slope_error);
    let width = Estimate { value: of_k / k.value, low: of_k / k.high, high: of_k / k.low };
    let offset_bps = no_nearer(together(width, Estimate::normal(rest / kept, error)), fit.seen_from_bps);
    Ok(Advice {
        offset_bps,
        profit_bps_per_hour: profit_per_hour(fit, with, offset_bps.value),
        fills_per_hour: 3_600.0 * fit.law().rate(offset_bps.value),
    })
}

/// Where nobody was seen to trade nearer, standing nearer brings no more fills and less for each: whoever would trade there alone
/// is not known. The interval's lower end stays, for those.
fn no_nearer(offset: Estimate, seen_from_bps: Option<f64>) -> Estimate {
    let Some(from) = seen_from_bps else { return offset };
    Estimate { value: offset.value.max(from), low: offset.low, high: offset.high.max(from) }
}

/// The sum of two independent estimates.
fn together(one: Estimate, other: Estimate) -> Estimate {
    let value = one.value + other.value;
    Estimate {
        value,
        low: value - (one.value - one.low).hypot(other.value - other.low),
        high: value + (one.high - one.value).hypot(other.high - other.value),
    }
}

/// A run's fills beside what a law expects of its quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmation {
    /// Fills there were.
    pub fills: u64,
    /// Fills expected.
    pub expected: f64,
    /// Chance of none at all.
    pub chance_of_none: f64,
    /// Chance of so few or fewer.
    pub chance_of_so_few: f64,
    /// Chance of so many or more.
    pub chance_of_so_many: f64,
}

/// Holds a run against a law that was fitted to other data. The number of fills is taken for Poisson's; of intervals it
/// varies less, so that what is called unlikely is so.
#[must_use]
pub fn confirm(law: &Intensity, exposures: &[Exposure]) -> Confirmation {
    let fills = exposures.iter().map(|each| each.outcome.fills()).sum();
    let expected = exposures
        .iter()
        .map(|each| match each.outcome {
            Outcome::Interval(_) => law.chance(each.distance_bps, each.time_s),
            Outcome::Count(_) => law.rate(each.distance_bps) * each.time_s,
        })
        .sum();
    let unfilled = exposures.iter().map(|each| law.rate(each.distance_bps) * each.time_s).sum::<f64>();
    Confirmation {
        fills,
        expected,
        chance_of_none: (-unfilled).exp(),
        chance_of_so_few: poisson_at_most(fills, expected),
        chance_of_so_many: poisson_at_least(fills, expected),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit;
    use super::*;
    use crate::model::statistics::Z95;

    fn some_fit() -> Fit {
        let count = |distance_bps, count| Exposure { distance_bps, time_s: 3_600.0, outcome: Outcome::Count(count) };
        fit(&[count(5.0, 200), count(15.0, 50)]).unwrap()
    }

    fn with(fee_bps: f64) -> Economics {
        Economics { fee_bps, ..Economics::of(Cost::fixed(3.0, 0.5)) }
    }

    fn is_the_top(fit: &Fit, with: &Economics) {
        let best = advise(fit, with).unwrap();
        for away in [-2.0, -0.5, -0.1, 0.1, 0.5, 2.0] {
            let beside = profit_per_hour(fit, with, best.offset_bps.value + away);
            assert!(beside.value < best.profit_bps_per_hour.value, "{away} from {best:?}");
        }
    }

    #[test]
    fn the_advised_offset_is_the_top_of_the_profit() {
        let (fit, plain) = (some_fit(), with(0.0));
        let best = advise(&fit, &plain).unwrap().offset_bps.value;
        assert!((best - (10.0 / 4.0_f64.ln() + 3.0)).abs() < 1e-5);
        assert!(profit_per_hour(&fit, &plain, 2.0).value < 0.0, "nearer than a fill costs");
        is_the_top(&fit, &plain);
        let half = Mean { count: 40, value: 0.5, error: 0.05 };
        is_the_top(&fit, &Economics { share: half, renewals_per_hour: 40.0, ..with(0.8) });
        for (slope, of_reach) in [(0.4, false), (0.4, true), (-0.3, true)] {
            let cost = Cost { slope, slope_error: 0.05, of_reach, ..Cost::fixed(3.0, 0.5) };
            is_the_top(&fit, &Economics { share: half, fee_bps: 0.2, ..Economics::of(cost) });
        }
    }

    #[test]
    fn fees_and_small_trades_take_from_the_profit_and_a_fee_moves_the_offset() {
        let (fit, plain) = (some_fit(), with(0.0));
        let half = Economics { share: Mean { count: 40, value: 0.5, error: 0.0 }, ..plain };
        let value = |with: &Economics| profit_per_hour(&fit, with, 10.0).value;
        assert!((value(&half) * 2.0 - value(&plain)).abs() < 1e-9);
        // 100 fills an hour at 10 bps, each with a transaction, and 40 renewals: 140 fees of 0.1.
        let fees = Economics { fee_bps: 0.1, renewals_per_hour: 40.0, ..plain };
        assert!((value(&plain) - value(&fees) - 0.1 * (3_600.0 * fit.law().rate(10.0) + 40.0)).abs() < 1e-9);
        let offset = |with: &Economics| advise(&fit, with).unwrap().offset_bps.value;
        assert!((offset(&fees) - offset(&plain) - 0.1).abs() < 1e-9);
        let both = Economics { fee_bps: 0.1, ..half };
        assert!((offset(&both) - offset(&plain) - 0.2).abs() < 1e-9, "a half fill pays the whole fee");
    }

    /// Beside the slope nothing is unsure here: what it adds to the interval is its own error by how far the offset moves.
    #[test]
    fn the_slope_widens_the_interval_by_how_far_it_moves_the_offset() {
        let fit = some_fit();
        for of_reach in [false, true] {
            let offset = |slope: f64, slope_error: f64| {
                let cost = Cost { slope, slope_error, of_reach, ..Cost::fixed(9.0, 0.0) };
                advise(&fit, &Economics::of(cost)).unwrap().offset_bps
            };
            let (step, error) = (1e-5, 0.02);
            let moves = (offset(0.3 + step, 0.0).value - offset(0.3 - step, 0.0).value) / (2.0 * step);
            let reach = |estimate: Estimate| estimate.high - estimate.value;
            let added = (reach(offset(0.3, error)).powi(2) - reach(offset(0.3, 0.0)).powi(2)).sqrt();
            let wanted = Z95 * moves.abs() * error;
            assert!((added - wanted).abs() < 1e-3 * wanted, "{added} {wanted}, of reach: {of_reach}");
        }
    }

    #[test]
    fn where_a_fill_costs_as_much_more_as_it_is_farther_no_offset_earns() {
        let cost = Cost { slope: 1.1, slope_error: 0.1, ..Cost::fixed(3.0, 0.5) };
        assert_eq!(advise(&some_fit(), &Economics::of(cost)), Err(Shortage::NoneEarns { slope: 1.1 }));
    }

    #[test]
    fn an_offset_that_the_law_was_not_seen_at_is_not_recommended() {
        let advice = |floor_bps: f64| {
            let depths: Vec<f64> = (0..100).map(|at| floor_bps + 0.1 * f64::from(at)).collect();
            let fit = super::super::from_depths(&depths, floor_bps, 3_600.0).unwrap();
            (1.0 / fit.law().k() + 3.0, advise(&fit, &with(0.0)).unwrap())
        };
        let (top, near) = advice(2.0);
        assert!((near.offset_bps.value - top).abs() < 1e-9 && top < 9.0, "{near:?}");
        let (_, far) = advice(12.0);
        assert!((far.offset_bps.value - 12.0).abs() < 1e-9 && far.offset_bps.low < top, "{far:?}");
    }

    #[test]
    fn the_interval_is_lopsided_as_that_of_one_over_k_is() {
        let fit = some_fit();
        let Estimate { value, low, high } = advise(&fit, &with(0.0)).unwrap().offset_bps;
        let k = fit.k();
        let up = (1.0 / k.low - 1.0 / k.value).hypot(0.5 * Z95);
        let down = (1.0 / k.value - 1.0 / k.high).hypot(0.5 * Z95);
        assert!((high - value - up).abs() < 1e-9 && (value - low - down).abs() < 1e-9 && up > down);
    }

    #[test]
    fn a_run_without_fills_is_unlikely_where_many_were_expected() {
        let law = some_fit().law();
        let quiet: Vec<Exposure> =
            (0..900).map(|_| Exposure { distance_bps: 15.0, time_s: 4.0, outcome: Outcome::Interval(false) }).collect();
        let told = confirm(&law, &quiet);
        // 50 an hour, 900 intervals of 4 s: 50 arrivals, in a little fewer intervals.
        assert!((told.expected - 48.6).abs() < 0.1, "{told:?}");
        assert!((told.chance_of_none.ln() + 50.0).abs() < 1e-3 && told.chance_of_so_few < 1e-20);
        assert!((told.chance_of_so_many - 1.0).abs() < 1e-12);
    }
}

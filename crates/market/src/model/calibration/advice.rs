//! What an offset would earn, which one earns most, and whether a run's fills are what the law expects.

use super::{Exposure, Fit, Outcome};
use crate::model::Intensity;
use crate::model::statistics::{Estimate, Mean, poisson_at_least, poisson_at_most};

/// The offset that earns most on one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advice {
    /// Basis points from the mid.
    pub offset_bps: Estimate,
    /// What one offer there earns an hour, in basis points of its value.
    pub profit_bps_per_hour: Estimate,
    /// How often one offer there is filled in an hour.
    pub fills_per_hour: f64,
}

/// What one offer at `offset_bps` that is renewed at once earns an hour, in basis points of its value: lambda(d) (d - c),
/// c what the mid moves against us after a fill. The interval is by the delta method over A, k and c.
#[must_use]
pub fn profit_per_hour(fit: &Fit, adverse_bps: &Mean, offset_bps: f64) -> Estimate {
    let per_hour = 3_600.0 * fit.law().rate(offset_bps);
    let value = per_hour * (offset_bps - adverse_bps.value);
    let variance = value * value * fit.var_ln_rate(offset_bps) + (per_hour * adverse_bps.error).powi(2);
    Estimate::normal(value, variance.sqrt())
}

/// The offset that earns most: d* = 1/k + c, where A exp(-k d) (d - c) has its top. (It is the limit of Avellaneda and
/// Stoikov's half spread for a maker who fears no inventory, with the cost of a fill on top.) Its interval is by the delta
/// method: var d* = var k / k^4 + var c, the two being told by different numbers.
#[must_use]
pub fn advise(fit: &Fit, adverse_bps: &Mean) -> Advice {
    let k = fit.law().k();
    let offset = 1.0 / k + adverse_bps.value;
    let variance = fit.var_k() / k.powi(4) + adverse_bps.error.powi(2);
    Advice {
        offset_bps: Estimate::normal(offset, variance.sqrt()),
        profit_bps_per_hour: profit_per_hour(fit, adverse_bps, offset),
        fills_per_hour: 3_600.0 * fit.law().rate(offset),
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

    fn some_fit() -> Fit {
        let count = |distance_bps, count| Exposure { distance_bps, time_s: 3_600.0, outcome: Outcome::Count(count) };
        fit(&[count(5.0, 200), count(15.0, 50)]).unwrap()
    }

    const COST: Mean = Mean { count: 50, value: 3.0, error: 0.5 };

    #[test]
    fn the_advised_offset_is_the_top_of_the_profit() {
        let (fit, advice) = (some_fit(), advise(&some_fit(), &COST));
        let best = advice.offset_bps.value;
        assert!((best - (10.0 / 4.0_f64.ln() + 3.0)).abs() < 1e-5);
        for away in [-2.0, -0.5, 0.5, 2.0] {
            assert!(profit_per_hour(&fit, &COST, best + away).value < advice.profit_bps_per_hour.value);
        }
        assert!(profit_per_hour(&fit, &COST, 2.0).value < 0.0, "nearer than a fill costs");
    }

    #[test]
    fn the_interval_is_that_of_small_changes() {
        let (fit, advice) = (some_fit(), advise(&some_fit(), &COST));
        let k = fit.law().k();
        let slope = (1.0 / (k + 1e-6) - 1.0 / (k - 1e-6)) / 2e-6;
        let error = (slope * slope * fit.var_k() + 0.25).sqrt();
        let Estimate { value, high, .. } = advice.offset_bps;
        assert!(((high - value) / 1.96 / error - 1.0).abs() < 1e-3);
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

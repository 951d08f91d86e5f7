//! How much more must be seen before the law is known well enough.

use super::{Exposure, Fit};
use crate::model::statistics::{Z95, poisson_interval};

/// The interval of k that is aimed for: so much of it to either side.
pub const WIDTH: f64 = 0.25;
/// Two levels tell most of k when they are so many times 1/k apart: there (1 + e^x) / x^2, the variance by hours, is least.
const APART: f64 = 2.218;

/// What would tell k to within [`WIDTH`] of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Hours more of it.
    pub more_hours: f64,
    /// True where they are only the least: nothing was filled, so the rate is below what no fill in this time allows.
    pub at_least: bool,
    /// The two distances to quote at, both all the time, in basis points; `None` where what is seen now, continued, does.
    pub levels_bps: Option<(f64, f64)>,
    /// Fills of all that time, what there are included.
    pub fills: f64,
}

/// What would tell k, from what was quoted. With a law: as much more as its error demands, the same distances going on.
/// Without: two levels, by the rate that was seen and as if 1/k were the mean distance quoted (the best offset where fills cost
/// nothing). `None` where nothing was quoted, and where k is known so well already.
#[must_use]
pub fn wanted(exposures: &[Exposure], fit: Option<&Fit>) -> Option<Wanted> {
    if let Some(fit) = fit {
        let width = (fit.k().high - fit.k().value) / fit.k().value;
        let times = (width / WIDTH).powi(2);
        let (hours, fills) = (fit.exposed_s / 3_600.0, fit.fills as f64);
        let more =
            Wanted { more_hours: hours * (times - 1.0), at_least: false, levels_bps: None, fills: fills * times };
        return (times > 1.0).then_some(more);
    }
    let usable = || exposures.iter().filter(|each| each.time_s > 0.0 && (each.time_s * each.distance_bps).is_finite());
    let exposed_s = usable().map(|each| each.time_s).sum::<f64>();
    if exposed_s <= 0.0 {
        return None;
    }
    let fills = usable().map(|each| each.outcome.fills()).sum::<u64>();
    let mean_bps = usable().map(|each| each.distance_bps * each.time_s).sum::<f64>() / exposed_s;
    let (near_bps, k) = (mean_bps.max(1.0), 1.0 / mean_bps.max(1.0));
    let count = if fills == 0 { poisson_interval(0).high } else { fills as f64 };
    let near_per_hour = count / (exposed_s / 3_600.0);
    // Var k = (1/n1 + 1/n2) / (d2 - d1)^2, with n the fills at each.
    let of_far = (-APART).exp();
    let near_fills = (Z95 / WIDTH).powi(2) * (1.0 + 1.0 / of_far) / APART.powi(2);
    Some(Wanted {
        more_hours: near_fills / near_per_hour,
        at_least: fills == 0,
        levels_bps: Some((near_bps, near_bps + APART / k)),
        fills: near_fills * (1.0 + of_far),
    })
}

impl Wanted {
    /// The same for a market's trades, of which those beyond `floor_bps` tell in `observed_s` seconds: the error of k is
    /// 1/sqrt(n - 2) of it.
    #[must_use]
    pub fn trades(depths_bps: &[f64], floor_bps: f64, observed_s: f64) -> Option<Wanted> {
        let beyond = depths_bps.iter().filter(|depth| **depth > floor_bps).count() as f64;
        let fills = (Z95 / WIDTH).powi(2) + 2.0;
        let count = if beyond > 0.0 { beyond } else { poisson_interval(0).high };
        let more_hours = observed_s / 3_600.0 * (fills / count - 1.0);
        let wanted = Wanted { more_hours, at_least: beyond <= 0.0, levels_bps: None, fills };
        (observed_s > 0.0 && more_hours > 0.0).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, fit};
    use super::*;

    fn count(distance_bps: f64, time_s: f64, count: u32) -> Exposure {
        Exposure { distance_bps, time_s, outcome: Outcome::Count(count) }
    }

    #[test]
    fn so_many_hours_at_two_levels_tell_k_as_well_as_is_wanted() {
        // Two fills an hour 10 bps away: 1/k is thought to be 10 bps.
        let told = wanted(&[count(10.0, 36_000.0, 20)], None).unwrap();
        let (near, far) = told.levels_bps.unwrap();
        assert!((near - 10.0).abs() < 1e-9 && (far - 32.18).abs() < 1e-9 && !told.at_least, "{told:?}");
        // Quoted so, by a law of that k, its interval is as wide as was aimed for.
        let (fills, time_s) = (2.0 * told.more_hours, 3_600.0 * told.more_hours);
        let found = fit(&[
            count(near, time_s * 1_000.0, (fills * 1_000.0).round() as u32),
            count(far, time_s * 1_000.0, (fills * 1_000.0 * (-APART).exp()).round() as u32),
        ]);
        let k = found.unwrap().k();
        assert!(((k.high - k.value) / k.value * 1_000.0_f64.sqrt() - WIDTH).abs() < 0.002, "{k:?}");
    }

    #[test]
    fn no_fill_allows_a_rate_and_no_more() {
        let told = wanted(&[count(10.0, 3_600.0, 0)], None).unwrap();
        let one = wanted(&[count(10.0, 3_600.0, 1)], None).unwrap();
        assert!(told.at_least && (one.more_hours / told.more_hours - 3.689).abs() < 0.001, "{told:?} {one:?}");
        assert_eq!(wanted(&[], None), None);
        assert_eq!(wanted(&[count(f64::NAN, 3_600.0, 0)], None), None);
    }

    #[test]
    fn a_law_that_is_known_roughly_wants_more_of_the_same() {
        let rough = fit(&[count(5.0, 3_600.0, 20), count(15.0, 3_600.0, 5)]).unwrap();
        let told = wanted(&[], Some(&rough)).unwrap();
        let times = ((rough.k().high / rough.k().value - 1.0) / WIDTH).powi(2);
        assert!((told.more_hours - 2.0 * (times - 1.0)).abs() < 1e-9 && (told.fills - 25.0 * times).abs() < 1e-9);
        let sure = fit(&[count(5.0, 3_600.0, 20_000), count(15.0, 3_600.0, 5_000)]).unwrap();
        assert_eq!(wanted(&[], Some(&sure)), None);
        let trades = Wanted::trades(&[7.0; 10], 5.0, 36_000.0).unwrap();
        assert!((trades.fills - 63.46).abs() < 0.01 && (trades.more_hours - 53.46).abs() < 0.01, "{trades:?}");
    }
}

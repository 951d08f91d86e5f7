//! The law of arrivals that explains the fills best, and how surely.

use super::{Exposure, MIN_FILLS, Outcome, Shortage};
use crate::model::Intensity;
use crate::model::statistics::{Estimate, Z95};

/// Steps of Newton's method; it takes about ten.
const MAX_STEPS: usize = 100;

/// lambda(d) = A exp(-k d) by maximum likelihood, A a second, d in basis points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    law: Intensity,
    /// Fills that it rests on.
    pub fills: u64,
    /// Seconds of quoting that it rests on, each offer counted.
    pub exposed_s: f64,
    /// Nearer than this nothing was seen of it; `None` where offers stood as near as was wanted.
    pub seen_from_bps: Option<f64>,
    /// Variance of ln A.
    var_ln_a: f64,
    /// Variance of k.
    var_k: f64,
    /// Covariance of ln A and k.
    cov: f64,
}

impl Fit {
    /// The law.
    #[must_use]
    pub fn law(&self) -> Intensity {
        self.law
    }

    /// A, arrivals a second at the mid, with its interval (normal in ln A).
    #[must_use]
    pub fn a(&self) -> Estimate {
        let reach = Z95 * self.var_ln_a.sqrt();
        let a = self.law.a();
        Estimate { value: a, low: a * (-reach).exp(), high: a * reach.exp() }
    }

    /// k, a basis point, with its interval.
    #[must_use]
    pub fn k(&self) -> Estimate {
        Estimate::normal(self.law.k(), self.var_k.sqrt())
    }

    /// Variance of k.
    #[must_use]
    pub fn var_k(&self) -> f64 {
        self.var_k
    }

    /// Covariance of k and the logarithm of the rate at a distance.
    pub(super) fn cov_ln_rate_k(&self, distance_bps: f64) -> f64 {
        self.cov - distance_bps * self.var_k
    }

    /// The rate at a distance, arrivals a second, with its interval (normal in its logarithm).
    #[must_use]
    pub fn rate(&self, distance_bps: f64) -> Estimate {
        let reach = Z95 * self.var_ln_rate(distance_bps).sqrt();
        let value = self.law.rate(distance_bps);
        Estimate { value, low: value * (-reach).exp(), high: value * reach.exp() }
    }

    /// Variance of the logarithm of the rate at a distance.
    #[must_use]
    pub fn var_ln_rate(&self, distance_bps: f64) -> f64 {
        (self.var_ln_a - 2.0 * distance_bps * self.cov + distance_bps * distance_bps * self.var_k).max(0.0)
    }
}

/// Fits the law to quotes that stood and were filled or not. Of an interval only whether there was a fill counts, not
/// when: its likelihood is 1 - exp(-lambda t) or exp(-lambda t); that of a count is Poisson's.
///
/// # Errors
/// [`Shortage`] when the data do not suffice.
pub fn fit(exposures: &[Exposure]) -> Result<Fit, Shortage> {
    let usable: Vec<Exposure> = exposures
        .iter()
        .filter(|each| each.distance_bps.is_finite() && each.time_s.is_finite() && each.time_s > 0.0)
        .copied()
        .collect();
    let fills = usable.iter().map(|each| each.outcome.fills()).sum::<u64>();
    let exposed_s = usable.iter().map(|each| each.time_s).sum::<f64>();
    if usable.is_empty() {
        return Err(Shortage::NothingQuoted);
    }
    if fills < MIN_FILLS {
        let hours = exposed_s / 3_600.0;
        let more_hours = (fills > 0).then(|| hours * (MIN_FILLS as f64 / fills as f64 - 1.0));
        return Err(Shortage::TooFewFills { fills, hours, more_hours });
    }
    // Distances around their mean: the two unknowns then hardly depend on each other.
    let center = usable.iter().map(|each| each.distance_bps * each.time_s).sum::<f64>() / exposed_s;
    let spread = usable.iter().map(|each| (each.distance_bps - center).powi(2) * each.time_s).sum::<f64>() / exposed_s;
    if spread.sqrt() < 0.01 {
        return Err(Shortage::OneDistance { distance_bps: center });
    }
    let start = Point { ln_rate: (fills as f64 / exposed_s).ln(), k: 0.0 };
    let (found, info) = climb(&usable, center, start);
    let determinant = info.aa * info.kk - info.ak * info.ak;
    // The inverse of the information, in which the sign of the mixed term is turned.
    let (var_rate, var_k, cov_rate) = (info.kk / determinant, info.aa / determinant, info.ak / determinant);
    let error = var_k.sqrt();
    let certain = error.is_finite() && found.k > Z95 * error;
    let times_more = (found.k > 0.0 && error.is_finite()).then(|| (1.5 * Z95 * error / found.k).powi(2));
    let no_decay = Shortage::NoDecay { k: found.k, error, times_more };
    // ln A = ln rate at the center + k center.
    let ln_a = found.ln_rate + found.k * center;
    let (true, Ok(law)) = (certain, Intensity::new(ln_a.exp(), found.k)) else { return Err(no_decay) };
    let var_ln_a = var_rate + 2.0 * center * cov_rate + center * center * var_k;
    Ok(Fit { law, fills, exposed_s, seen_from_bps: None, var_ln_a, var_k, cov: cov_rate + center * var_k })
}

/// Fits the law to how far through the mid trades of the market reached: of those beyond `floor_bps` (nearer ones are
/// not all seen), k is one over the mean depth beyond it, and A follows from their number in `observed_s` seconds.
/// Depths of both sides together need twice the time.
///
/// # Errors
/// [`Shortage`] when the data do not suffice.
pub fn from_depths(depths_bps: &[f64], floor_bps: f64, observed_s: f64) -> Result<Fit, Shortage> {
    let beyond: Vec<f64> =
        depths_bps.iter().filter(|depth| **depth > floor_bps).map(|depth| depth - floor_bps).collect();
    let (fills, n) = (beyond.len() as u64, beyond.len() as f64);
    if !(observed_s > 0.0 && observed_s.is_finite()) {
        return Err(Shortage::NothingQuoted);
    }
    if fills < MIN_FILLS {
        let hours = observed_s / 3_600.0;
        let more_hours = (fills > 0).then(|| hours * (MIN_FILLS as f64 / n - 1.0));
        return Err(Shortage::TooFewFills { fills, hours, more_hours });
    }
    // (n - 1) / sum is without bias.
    let k = (n - 1.0) / beyond.iter().sum::<f64>();
    let var_k = k * k / (n - 2.0);
    let a = n / observed_s * (k * floor_bps).exp();
    let unfit = Shortage::NoDecay { k, error: var_k.sqrt(), times_more: None };
    let law = Intensity::new(a, k).map_err(|_| unfit)?;
    // The number of trades and their depths are independent: ln A = ln(n / t) + k floor.
    let var_ln_a = 1.0 / n + floor_bps * floor_bps * var_k;
    let seen_from_bps = Some(floor_bps);
    Ok(Fit { law, fills, exposed_s: observed_s, seen_from_bps, var_ln_a, var_k, cov: floor_bps * var_k })
}

#[derive(Clone, Copy)]
struct Point {
    /// Of the rate at the center.
    ln_rate: f64,
    k: f64,
}

/// Fisher's information of (ln rate, k), the sign of k turned.
#[derive(Clone, Copy, Default)]
struct Information {
    aa: f64,
    ak: f64,
    kk: f64,
}

/// Newton's method with the expected information; a step that does not gain is halved.
fn climb(data: &[Exposure], center: f64, start: Point) -> (Point, Information) {
    let mut at = start;
    let mut height = log_likelihood(data, center, at);
    for _ in 0..MAX_STEPS {
        let (slope, info) = slope_at(data, center, at);
        let determinant = info.aa * info.kk - info.ak * info.ak;
        let rise = (info.kk * slope.ln_rate + info.ak * slope.k) / determinant;
        let turn = (info.aa * slope.k + info.ak * slope.ln_rate) / determinant;
        if !(rise.is_finite() && turn.is_finite()) {
            break;
        }
        let mut share = 1.0;
        let mut next = at;
        let mut gained = f64::NEG_INFINITY;
        while share > 1e-6 && gained < height {
            next = Point { ln_rate: at.ln_rate + share * rise, k: at.k + share * turn };
            gained = log_likelihood(data, center, next);
            share /= 2.0;
        }
        if gained - height <= 1e-10 || gained.is_nan() {
            break;
        }
        (at, height) = (next, gained);
    }
    (at, slope_at(data, center, at).1)
}

fn expected(each: &Exposure, center: f64, at: Point) -> f64 {
    (at.ln_rate - at.k * (each.distance_bps - center)).exp() * each.time_s
}

fn log_likelihood(data: &[Exposure], center: f64, at: Point) -> f64 {
    data.iter()
        .map(|each| {
            let mean = expected(each, center, at);
            match each.outcome {
                Outcome::Interval(true) => (-(-mean).exp_m1()).ln(),
                Outcome::Interval(false) => -mean,
                Outcome::Count(count) => f64::from(count) * mean.ln() - mean,
            }
        })
        .sum()
}

/// The slope in (ln rate, k) and the information.
fn slope_at(data: &[Exposure], center: f64, at: Point) -> (Point, Information) {
    let mut slope = Point { ln_rate: 0.0, k: 0.0 };
    let mut info = Information::default();
    for each in data {
        let mean = expected(each, center, at);
        let chance = -(-mean).exp_m1();
        let (score, weight) = match each.outcome {
            Outcome::Count(count) => (f64::from(count) - mean, mean),
            Outcome::Interval(filled) => {
                let score = if filled { mean * (1.0 / chance - 1.0) } else { -mean };
                (score, mean * mean * (1.0 - chance) / chance)
            }
        };
        if !weight.is_finite() {
            continue;
        }
        let away = each.distance_bps - center;
        slope.ln_rate += score;
        slope.k -= score * away;
        info.aa += weight;
        info.ak += weight * away;
        info.kk += weight * away * away;
    }
    (slope, info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(distance_bps: f64, time_s: f64, count: u32) -> Exposure {
        Exposure { distance_bps, time_s, outcome: Outcome::Count(count) }
    }

    #[test]
    fn two_distances_give_the_law_through_both() {
        // 200 fills an hour at 5 bps, 50 at 15 bps: k = ln 4 / 10, A = 400 an hour.
        let found = fit(&[count(5.0, 3_600.0, 200), count(15.0, 3_600.0, 50)]).unwrap();
        assert!((found.law().k() - 4.0_f64.ln() / 10.0).abs() < 1e-6);
        assert!((found.law().a() * 3_600.0 - 400.0).abs() < 1e-3);
        // Var k = (1/200 + 1/50) / 100; var ln A by (3/2)^2 / 200 + (1/2)^2 / 50.
        assert!((found.var_k() - 0.025 / 100.0).abs() < 1e-8);
        assert!((found.var_ln_rate(0.0) - (2.25 / 200.0 + 0.25 / 50.0)).abs() < 1e-6);
        assert!((found.var_ln_rate(5.0) - 1.0 / 200.0).abs() < 1e-6);
    }

    #[test]
    fn an_interval_is_not_taken_for_a_moment() {
        // Chances of a fill within 4 s of 1 - exp(-0.4) and 1 - exp(-0.1): rates of 0.1 and 0.025 a second.
        let mut data = Vec::new();
        for (distance_bps, filled) in [(5.0, 3_297), (15.0, 952)] {
            let outcome = |at| Outcome::Interval(at < filled);
            data.extend((0..10_000).map(|at| Exposure { distance_bps, time_s: 4.0, outcome: outcome(at) }));
        }
        let found = fit(&data).unwrap();
        assert!((found.law().rate(5.0) - 0.1).abs() < 1e-4, "{found:?}");
        assert!((found.law().rate(15.0) - 0.025).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn data_that_do_not_suffice_say_what_is_missing() {
        assert_eq!(fit(&[]), Err(Shortage::NothingQuoted));
        let few = fit(&[count(5.0, 3_600.0, 3), count(10.0, 3_600.0, 1)]);
        assert_eq!(few, Err(Shortage::TooFewFills { fills: 4, hours: 2.0, more_hours: Some(3.0) }));
        assert!(few.unwrap_err().to_string().contains("about 3.0 hours more"));
        let none = fit(&[count(5.0, 3_600.0, 0)]);
        assert_eq!(none, Err(Shortage::TooFewFills { fills: 0, hours: 1.0, more_hours: None }));
        let one = fit(&[count(8.0, 3_600.0, 40), count(8.0, 3_600.0, 60)]);
        assert!(matches!(one, Err(Shortage::OneDistance { distance_bps }) if (distance_bps - 8.0).abs() < 1e-9));
        let rising = fit(&[count(5.0, 3_600.0, 20), count(15.0, 3_600.0, 60)]);
        assert!(matches!(rising, Err(Shortage::NoDecay { times_more: None, .. })), "{rising:?}");
        let unsure = fit(&[count(5.0, 3_600.0, 12), count(15.0, 3_600.0, 8)]);
        assert!(matches!(unsure, Err(Shortage::NoDecay { times_more: Some(more), .. }) if more > 2.0), "{unsure:?}");
        assert!(from_depths(&[3.0; 5], 0.0, 100.0).is_err() && from_depths(&[3.0; 50], 0.0, 0.0).is_err());
    }

    #[test]
    fn absurd_distances_and_times_are_passed_over() {
        let mut data = vec![count(5.0, 3_600.0, 200), count(15.0, 3_600.0, 50)];
        let clean = fit(&data).unwrap();
        data.extend([count(f64::NAN, 5.0, 1), count(5.0, -1.0, 1), count(5.0, f64::INFINITY, 1)]);
        assert_eq!(fit(&data).unwrap(), clean);
    }
}

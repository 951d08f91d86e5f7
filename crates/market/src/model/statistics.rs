//! What a count or a mean says, and how surely: intervals of 95 %.

/// Deviations of a normal variable that hold 95 %.
pub const Z95: f64 = 1.959_963_984_540_054;

/// A number with the interval that holds the true one in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// A value whose error is normal with the deviation `error`.
    #[must_use]
    pub fn normal(value: f64, error: f64) -> Estimate {
        Estimate { value, low: value - Z95 * error, high: value + Z95 * error }
    }

    /// The same in another unit, `factor` (above zero) times as many.
    #[must_use]
    pub fn times(self, factor: f64) -> Estimate {
        Estimate { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// True when `truth` is inside.
    #[must_use]
    pub fn holds(&self, truth: f64) -> bool {
        self.low <= truth && truth <= self.high
    }
}

/// A mean of independent values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Mean {
    /// The mean of `values`; `None` below two, where nothing is known of its error.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Mean> {
        let count = values.len() as f64;
        let value = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|each| (each - value) * (each - value)).sum::<f64>();
        let error = (squares / (count - 1.0) / count).sqrt();
        (values.len() >= 2 && value.is_finite()).then_some(Mean { count: values.len() as u64, value, error })
    }

    /// Its interval by Student's distribution.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let reach = student_975(self.count.saturating_sub(1)) * self.error;
        Estimate { value: self.value, low: self.value - reach, high: self.value + reach }
    }
}

/// The 97.5 % quantile of Student's distribution: exact for one to three degrees of freedom, else Cornish and Fisher's
/// expansion, right to half a per cent.
#[must_use]
pub fn student_975(degrees: u64) -> f64 {
    match degrees {
        0 => f64::INFINITY,
        1 => 12.706,
        2 => 4.303,
        3 => 3.182,
        _ => {
            let (z, n) = (Z95, degrees as f64);
            let (first, second) = ((z.powi(3) + z) / 4.0, (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0);
            let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            z + first / n + second / (n * n) + third / (n * n * n)
        }
    }
}

/// Chance of at most `count` arrivals where `mean` are expected.
#[must_use]
pub fn poisson_at_most(count: u64, mean: f64) -> f64 {
    let n = count as f64;
    if n < mean { tail_down(n, mean) } else { 1.0 - tail_up(n + 1.0, mean) }
}

/// Chance of at least `count` arrivals where `mean` are expected.
#[must_use]
pub fn poisson_at_least(count: u64, mean: f64) -> f64 {
    let n = count as f64;
    if count == 0 {
        return 1.0;
    }
    if n > mean { tail_up(n, mean) } else { 1.0 - tail_down(n - 1.0, mean) }
}

/// P(n) + P(n-1) + ..., for n below the mean.
fn tail_down(n: f64, mean: f64) -> f64 {
    let (mut at, mut term, mut sum) = (n, 1.0, 0.0);
    while term > sum * 1e-17 {
        sum += term;
        term *= at / mean;
        at -= 1.0;
    }
    (ln_poisson(n, mean)).exp() * sum
}

/// P(n) + P(n+1) + ..., for n above the mean.
fn tail_up(n: f64, mean: f64) -> f64 {
    let (mut at, mut term, mut sum) = (n, 1.0, 0.0);
    while term > sum * 1e-17 {
        sum += term;
        at += 1.0;
        term *= mean / at;
    }
    ln_poisson(n, mean).exp() * sum
}

fn ln_poisson(n: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if n > 0.0 { f64::NEG_INFINITY } else { 0.0 };
    }
    n * mean.ln() - mean - ln_factorial(n)
}

/// ln(n!), by Stirling's series above 20.
fn ln_factorial(n: f64) -> f64 {
    if n > 20.0 {
        let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3));
        return n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + series;
    }
    let (mut sum, mut factor) = (0.0, 2.0);
    while factor <= n {
        sum += f64::ln(factor);
        factor += 1.0;
    }
    sum
}

/// The mean that `count` arrivals tell of, by the exact interval (Garwood, "Fiducial limits for the Poisson distribution",
/// Biometrika 28, 1936): with none, the upper end is 3.69.
#[must_use]
pub fn poisson_interval(count: u64) -> Estimate {
    let n = count as f64;
    let most = n + 10.0 + 8.0 * (n + 1.0).sqrt();
    let low = if count == 0 { 0.0 } else { root(0.0, n, |mean| poisson_at_least(count, mean) < 0.025) };
    let high = root(n, most, |mean| poisson_at_most(count, mean) > 0.025);
    Estimate { value: n, low, high }
}

/// Where `below` turns from true to false.
fn root(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_tabled_intervals() {
        // Garwood's table.
        for (count, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390), (100, 81.364, 121.627)] {
            let interval = poisson_interval(count);
            assert!(
                (interval.low - low).abs() < 0.001 && (interval.high - high).abs() < 0.001,
                "{count}: {interval:?}"
            );
        }
        let many = poisson_interval(1_000_000);
        assert!((many.low - 998_041.0).abs() < 2.0 && (many.high - 1_001_962.0).abs() < 3.0, "{many:?}");
    }

    #[test]
    fn the_chances_of_a_count_add_up() {
        for mean in [0.1, 3.0, 40.0, 2_000.0] {
            for count in [1_u64, 3, 40, 1_950, 2_100] {
                let sum = poisson_at_most(count - 1, mean) + poisson_at_least(count, mean);
                assert!((sum - 1.0).abs() < 1e-9, "{count} of {mean}: {sum}");
            }
        }
        assert!((poisson_at_most(0, 3.0) - (-3.0_f64).exp()).abs() < 1e-12);
        assert!((poisson_at_most(2, 3.0) - 8.5 * (-3.0_f64).exp()).abs() < 1e-12);
        assert_eq!((poisson_at_least(0, 0.0).to_bits(), poisson_at_least(1, 0.0).to_bits()), (1.0_f64.to_bits(), 0));
    }

    #[test]
    fn few_values_tell_less_of_their_mean() {
        assert!(Mean::of(&[1.0]).is_none() && Mean::of(&[]).is_none());
        let mean = Mean::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!((mean.value - 2.0).abs() < 1e-12 && (mean.error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((mean.estimate().high - 2.0 - 4.303 * mean.error).abs() < 1e-9);
        for (degrees, tabled) in [(4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042), (1_000, 1.962)] {
            assert!((student_975(degrees) / tabled - 1.0).abs() < 0.006, "{degrees}");
        }
    }
}

//! How often a quote at a distance is taken.

use super::{ModelError, positive};

/// Arrivals that reach a quote at distance d from the mid: lambda(d) = A exp(-k d), a Poisson rate (Avellaneda and
/// Stoikov 2008, eq. 20, from eq. 12: order sizes of a power law and a price impact that is logarithmic in size).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intensity {
    a: f64,
    k: f64,
}

impl Intensity {
    /// A law from A (arrivals per unit of time at the mid) and k (per unit of distance).
    ///
    /// # Errors
    /// [`ModelError::Parameter`] unless both are above zero.
    pub fn new(a: f64, k: f64) -> Result<Intensity, ModelError> {
        Ok(Intensity { a: positive("A", a)?, k: positive("k", k)? })
    }

    /// Arrivals per unit of time at the mid.
    #[must_use]
    pub fn a(&self) -> f64 {
        self.a
    }

    /// Decay per unit of distance.
    #[must_use]
    pub fn k(&self) -> f64 {
        self.k
    }

    /// Arrivals per unit of time that reach `distance`.
    #[must_use]
    pub fn rate(&self, distance: f64) -> f64 {
        self.a * (-self.k * distance).exp()
    }

    /// Chance that at least one arrival reaches `distance` within `time`: 1 - exp(-lambda time).
    #[must_use]
    pub fn chance(&self, distance: f64, time: f64) -> f64 {
        -(-self.rate(distance) * time).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_fall_by_half_every_ln_2_over_k() {
        let law = Intensity::new(140.0, 1.5).unwrap();
        let half = 2.0_f64.ln() / 1.5;
        assert!((law.rate(half) - 70.0).abs() < 1e-9);
        assert!((law.rate(0.0) - 140.0).abs() < 1e-12);
        assert!((law.chance(half, 0.01) - (1.0 - (-0.7_f64).exp())).abs() < 1e-12);
        assert!(law.chance(-100.0, 1.0) <= 1.0);
    }

    #[test]
    fn a_law_without_arrivals_or_decay_is_none() {
        for (a, k) in [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)] {
            assert!(Intensity::new(a, k).is_err(), "{a} {k}");
        }
    }
}

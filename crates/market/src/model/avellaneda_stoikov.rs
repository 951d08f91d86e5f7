//! Quotes of a maker with a horizon, who fears inventory (Avellaneda and Stoikov 2008).

use super::{Distances, ModelError, base_distance, not_negative, positive};

/// The finite-horizon quotes of Avellaneda and Stoikov (2008), section 3.2, for exponential utility, a mid that is an
/// arithmetic Brownian motion, and arrivals of A exp(-k d) on both sides. A itself does not enter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvellanedaStoikov {
    gamma: f64,
    sigma: f64,
    k: f64,
}

impl AvellanedaStoikov {
    /// A maker of risk aversion `gamma` (per unit of money; 0 fears nothing), in a market of volatility `sigma` (distance
    /// per square root of time) and decay `k` (per unit of distance).
    ///
    /// # Errors
    /// [`ModelError::Parameter`].
    pub fn new(gamma: f64, sigma: f64, k: f64) -> Result<AvellanedaStoikov, ModelError> {
        Ok(AvellanedaStoikov {
            gamma: not_negative("gamma", gamma)?,
            sigma: not_negative("sigma", sigma)?,
            k: positive("k", k)?,
        })
    }

    /// The price at which the maker is indifferent to one unit more or less, as a distance from the mid:
    /// r - s = -q gamma sigma^2 (T - t), eq. 29.
    #[must_use]
    pub fn reservation(&self, inventory: f64, time_left: f64) -> f64 {
        -inventory * self.risk(time_left)
    }

    /// The whole spread around the reservation price: gamma sigma^2 (T - t) + (2 / gamma) ln(1 + gamma / k), eq. 30.
    #[must_use]
    pub fn spread(&self, time_left: f64) -> f64 {
        self.risk(time_left) + 2.0 * base_distance(self.gamma, self.k)
    }

    /// Both quotes as distances from the mid: half the spread, moved by the reservation price.
    #[must_use]
    pub fn distances(&self, inventory: f64, time_left: f64) -> Distances {
        let (half, moved) = (self.spread(time_left) / 2.0, self.reservation(inventory, time_left));
        Distances { bid: half - moved, ask: half + moved }
    }

    fn risk(&self, time_left: f64) -> f64 {
        self.gamma * self.sigma * self.sigma * time_left.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper() -> AvellanedaStoikov {
        AvellanedaStoikov::new(0.1, 2.0, 1.5).unwrap()
    }

    #[test]
    fn the_average_spread_is_the_published_one() {
        // Table 1: 1.49 over T = 1.
        let steps = 200;
        let sum: f64 = (0..steps).map(|step| paper().spread(1.0 - f64::from(step) * 0.005)).sum();
        assert!((sum / f64::from(steps) - 1.49).abs() < 0.005);
    }

    #[test]
    fn who_is_long_asks_low_and_bids_low() {
        let (flat, long) = (paper().distances(0.0, 1.0), paper().distances(3.0, 1.0));
        assert!((flat.bid - flat.ask).abs() < 1e-12);
        // 3 * 0.1 * 4 * 1 = 1.2 lower.
        assert!((long.bid - flat.bid - 1.2).abs() < 1e-12 && (flat.ask - long.ask - 1.2).abs() < 1e-12);
        // At the end of the horizon inventory is no risk any more.
        assert_eq!(paper().distances(3.0, 0.0), paper().distances(0.0, -1.0));
    }

    #[test]
    fn absurd_parameters_are_refused() {
        assert!(AvellanedaStoikov::new(-0.1, 2.0, 1.5).is_err());
        assert!(AvellanedaStoikov::new(0.1, f64::NAN, 1.5).is_err());
        assert!(AvellanedaStoikov::new(0.1, 2.0, 0.0).is_err());
        assert!(AvellanedaStoikov::new(0.0, 2.0, 1.5).is_ok());
    }
}

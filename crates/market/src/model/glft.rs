//! Quotes of a maker without a horizon, in closed form (Gueant, Lehalle and Fernandez-Tapia 2013).

use super::{Distances, Intensity, ModelError, base_distance, not_negative};

/// The closed-form approximation of the stationary quotes of Gueant, Lehalle and Fernandez-Tapia (2013), section 4:
///
/// bid distance (q) = (1/gamma) ln(1 + gamma/k) + (2q + 1)/2 c, ask distance (q) = (1/gamma) ln(1 + gamma/k) - (2q - 1)/2 c,
/// c = sqrt( sigma^2 gamma / (2 k A) (1 + gamma/k)^(1 + k/gamma) ),
///
/// q in units of one quote's size. The approximation is good while the price moves little between two arrivals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glft {
    base: f64,
    skew: f64,
}

impl Glft {
    /// A maker of risk aversion `gamma` in a market of volatility `sigma` and arrivals `law`, all in the same units of
    /// time and distance.
    ///
    /// # Errors
    /// [`ModelError::Parameter`]; [`ModelError::NotFinite`] when the parameters are absurd together.
    pub fn new(gamma: f64, sigma: f64, law: &Intensity) -> Result<Glft, ModelError> {
        let (gamma, sigma) = (not_negative("gamma", gamma)?, not_negative("sigma", sigma)?);
        let (a, k) = (law.a(), law.k());
        // (1 + gamma/k)^(1 + k/gamma) is exp((1 + gamma/k) base k), and e as gamma goes to 0.
        let base = base_distance(gamma, k);
        let growth = ((1.0 + gamma / k) * base * k).exp();
        let skew = (sigma * sigma * gamma / (2.0 * k * a) * growth).sqrt();
        if !skew.is_finite() {
            return Err(ModelError::NotFinite { value: skew });
        }
        Ok(Glft { base, skew })
    }

    /// How far both quotes move for one unit of inventory.
    #[must_use]
    pub fn skew(&self) -> f64 {
        self.skew
    }

    /// Both quotes as distances from the mid, for an inventory in units of one quote's size.
    #[must_use]
    pub fn distances(&self, inventory: f64) -> Distances {
        Distances {
            bid: self.base + (2.0 * inventory + 1.0) / 2.0 * self.skew,
            ask: self.base - (2.0 * inventory - 1.0) / 2.0 * self.skew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quotes that the closed form approximates: the slowest eigenvector v of the paper's system of linear equations,
    /// alpha q^2 on the diagonal and -eta beside it, found by iteration; bid distance (q) = ln(v(q) / v(q+1)) / k + base.
    fn exact_bid(gamma: f64, sigma: f64, (a, k): (f64, f64), inventory: usize, bound: usize) -> f64 {
        let alpha = k / 2.0 * gamma * sigma * sigma;
        let eta = a * (1.0 + gamma / k).powf(-(1.0 + k / gamma));
        let width = 2 * bound + 1;
        let diagonal = |at: usize| alpha * (at as f64 - bound as f64).powi(2);
        let shift = diagonal(0) + 2.0 * eta;
        let mut v = vec![1.0; width];
        for _ in 0..200_000 {
            let next: Vec<f64> = (0..width)
                .map(|at| {
                    let below = if at == 0 { 0.0 } else { v[at - 1] };
                    let above = v.get(at + 1).copied().unwrap_or(0.0);
                    (shift - diagonal(at)) * v[at] + eta * (below + above)
                })
                .collect();
            let most = next.iter().copied().fold(0.0, f64::max);
            v = next.into_iter().map(|x| x / most).collect();
        }
        (v[bound + inventory] / v[bound + inventory + 1]).ln() / k + (1.0 + gamma / k).ln() / gamma
    }

    #[test]
    fn the_closed_form_is_near_the_solution_of_the_papers_equations() {
        // Arrivals that outweigh the moves of the price between two of them.
        let (sigma, a, k) = (0.3, 0.9, 0.3);
        for gamma in [0.01, 0.3] {
            let quotes = Glft::new(gamma, sigma, &Intensity::new(a, k).unwrap()).unwrap();
            let exact = |inventory| exact_bid(gamma, sigma, (a, k), inventory, 30);
            for inventory in [0, 1, 3] {
                let (ours, exact) = (quotes.distances(inventory as f64).bid, exact(inventory));
                assert!((ours - exact).abs() < 0.02 * exact, "inventory {inventory}: {ours} beside {exact}");
            }
            let step = exact(2) - exact(1);
            assert!((quotes.skew() / step - 1.0).abs() < 0.03, "gamma {gamma}: {} beside {step}", quotes.skew());
        }
    }

    #[test]
    fn quotes_mirror_with_the_inventory_and_stay_when_nothing_moves() {
        let law = Intensity::new(0.9, 0.3).unwrap();
        let quotes = Glft::new(0.01, 0.3, &law).unwrap();
        assert!((quotes.distances(2.0).bid - quotes.distances(-2.0).ask).abs() < 1e-12);
        assert!(quotes.distances(2.0).bid > quotes.distances(0.0).bid);
        let calm = Glft::new(0.01, 0.0, &law).unwrap();
        assert_eq!(calm.distances(5.0), calm.distances(0.0));
        let fearless = Glft::new(0.0, 0.3, &law).unwrap().distances(7.0);
        assert!((fearless.bid - 1.0 / 0.3).abs() < 1e-9 && (fearless.ask - 1.0 / 0.3).abs() < 1e-9);
        assert!(Glft::new(1e300, 1e300, &law).is_err());
    }
}

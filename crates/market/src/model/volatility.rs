//! How much the mid moves in one ledger.
//!
//! All in basis points per square root of a ledger, so that a move over n ledgers is sqrt(n) times as large. Ledgers
//! that were not seen widen the step, not the estimate.

use super::{ModelError, positive};

/// A move beyond so many deviations counts as that many: one bad print must not widen the quotes for an hour.
const CLIP: f64 = 4.0;
/// Moves before a deviation is told.
const WARM_UP: u32 = 10;

/// A mid at a ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mid {
    /// The validated ledger.
    pub ledger_index: u32,
    /// Its mid; only ratios count.
    pub price: f64,
}

/// The log move between two mids in basis points per square root of a ledger, and the ledgers it took; `None` for a
/// price that is none or a ledger that is not later.
fn step(before: Mid, after: Mid) -> Option<(f64, f64)> {
    let ledgers = f64::from(after.ledger_index.checked_sub(before.ledger_index)?);
    let ratio = after.price / before.price;
    let usable = ledgers > 0.0 && before.price > 0.0 && after.price > 0.0 && ratio.is_finite();
    usable.then(|| (ratio.ln() * 10_000.0 / ledgers.sqrt(), ledgers))
}

fn steps(mids: &[Mid]) -> impl Iterator<Item = (f64, f64)> {
    mids.windows(2).filter_map(|pair| match pair {
        [before, after] => step(*before, *after),
        _ => None,
    })
}

/// Realised volatility: the root of the mean squared move. `None` below two usable moves.
#[must_use]
pub fn realised(mids: &[Mid]) -> Option<f64> {
    let (count, sum) =
        steps(mids).fold((0_u32, 0.0), |(count, sum), (move_bps, _)| (count + 1, sum + move_bps * move_bps));
    (count >= 2).then(|| (sum / f64::from(count)).sqrt())
}

/// Bipower variation (Barndorff-Nielsen and Shephard 2004): pi/2 times the mean product of neighbouring moves' sizes. A
/// single jump has calm neighbours, so it hardly counts. `None` below three usable moves.
#[must_use]
pub fn bipower(mids: &[Mid]) -> Option<f64> {
    let moves: Vec<f64> = steps(mids).map(|(move_bps, _)| move_bps.abs()).collect();
    let products: Vec<f64> = moves.windows(2).map(|pair| pair.iter().product()).collect();
    let count = u32::try_from(products.len()).unwrap_or(u32::MAX);
    (count >= 2).then(|| (std::f64::consts::FRAC_PI_2 * products.iter().sum::<f64>() / f64::from(count)).sqrt())
}

/// An exponentially weighted deviation that follows the market: squared moves weigh half after `half_life` ledgers. A
/// move beyond four deviations counts as four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewma {
    half_life: f64,
    last: Option<Mid>,
    variance: f64,
    moves: u32,
}

impl Ewma {
    /// An estimate without data, of a half-life in ledgers.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] unless the half-life is above zero.
    pub fn new(half_life_ledgers: f64) -> Result<Ewma, ModelError> {
        let half_life = positive("half_life_ledgers", half_life_ledgers)?;
        Ok(Ewma { half_life, last: None, variance: 0.0, moves: 0 })
    }

    /// Takes the mid of a ledger in; what is no price, and a ledger that is not later, is passed over.
    pub fn observe(&mut self, mid: Mid) {
        let Some(last) = self.last else {
            if mid.price.is_finite() && mid.price > 0.0 {
                self.last = Some(mid);
            }
            return;
        };
        let Some((move_bps, ledgers)) = step(last, mid) else { return };
        self.last = Some(mid);
        let limit = if self.moves < WARM_UP { f64::INFINITY } else { CLIP * self.variance.sqrt() };
        // A market that did not move at all gives no scale to clip by.
        let clipped = if limit > 0.0 { move_bps.abs().min(limit) } else { move_bps.abs() };
        self.moves = self.moves.saturating_add(1);
        let fading = 1.0 - (-ledgers * std::f64::consts::LN_2 / self.half_life).exp();
        let weight = fading.max(1.0 / f64::from(self.moves));
        self.variance += weight * (clipped * clipped - self.variance);
    }

    /// Basis points per square root of a ledger; `None` before ten moves.
    #[must_use]
    pub fn sigma_bps(&self) -> Option<f64> {
        (self.moves >= WARM_UP).then(|| self.variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mid that moves up and down by `bps` in every ledger, with no trend.
    fn zigzag(bps: f64, count: u32) -> Vec<Mid> {
        let up = (bps / 10_000.0).exp();
        (0..count).map(|at| Mid { ledger_index: at, price: if at % 2 == 0 { 2.0 } else { 2.0 * up } }).collect()
    }

    #[test]
    fn a_steady_market_has_its_own_deviation() {
        let mids = zigzag(5.0, 200);
        assert!((realised(&mids).unwrap() - 5.0).abs() < 1e-6);
        // pi/2 undoes what the mean product of two normal moves loses; these are no normal moves.
        assert!((bipower(&mids).unwrap() - 5.0 * std::f64::consts::FRAC_PI_2.sqrt()).abs() < 1e-6);
        let mut ewma = Ewma::new(50.0).unwrap();
        mids.iter().for_each(|mid| ewma.observe(*mid));
        assert!((ewma.sigma_bps().unwrap() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn ledgers_that_were_not_seen_do_not_widen_the_estimate() {
        // A move of 10 bps over four ledgers is 5 bps per square root of a ledger.
        let far: Vec<Mid> =
            zigzag(10.0, 100).iter().map(|mid| Mid { ledger_index: mid.ledger_index * 4, ..*mid }).collect();
        assert!((realised(&far).unwrap() - 5.0).abs() < 1e-6);
    }

    #[test]
    fn one_jump_hardly_counts_where_it_is_robust() {
        let mut mids = zigzag(5.0, 200);
        mids.iter_mut().skip(100).for_each(|mid| mid.price *= 1.05);
        assert!(realised(&mids).unwrap() > 30.0);
        assert!(bipower(&mids).unwrap() < 12.0);
        let mut ewma = Ewma::new(50.0).unwrap();
        mids.iter().take(102).for_each(|mid| ewma.observe(*mid));
        assert!(ewma.sigma_bps().unwrap() < 6.5, "{ewma:?}");
    }

    #[test]
    fn it_follows_a_market_that_changes() {
        let mut ewma = Ewma::new(20.0).unwrap();
        zigzag(2.0, 100).iter().for_each(|mid| ewma.observe(*mid));
        let wild = zigzag(8.0, 200);
        wild.iter().for_each(|mid| ewma.observe(Mid { ledger_index: mid.ledger_index + 101, ..*mid }));
        assert!((ewma.sigma_bps().unwrap() - 8.0).abs() < 0.5, "{ewma:?}");
    }

    #[test]
    fn what_is_no_price_is_passed_over() {
        let mut ewma = Ewma::new(20.0).unwrap();
        for price in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            ewma.observe(Mid { ledger_index: 1, price });
        }
        assert_eq!(ewma.sigma_bps(), None);
        let still = [Mid { ledger_index: 3, price: 1.0 }, Mid { ledger_index: 3, price: 2.0 }];
        assert_eq!((realised(&still), bipower(&still)), (None, None));
        assert!(Ewma::new(0.0).is_err());
    }
}

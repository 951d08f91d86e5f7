//! How much the reference price moves in a second, over the last minutes.

use std::collections::VecDeque;

use super::{ModelError, to_amount, to_float};
use crate::{Dec, Rounding};

/// Moves before a deviation is told.
pub const WARM_UP_MOVES: u32 = 10;
/// A move beyond so many deviations of the others counts as that many: one bad print must not widen quotes for minutes.
const CLIP: f64 = 4.0;
/// Largest moves that have no part in the scale that moves are clipped by: a bad print goes and comes back.
const OUTLIERS: usize = 2;
/// Decimal places of the deviation that is told.
const PLACES: i32 = 6;

/// The realised volatility of the prices within a window of ledger time: the root of the sum of squared log moves divided
/// by the time that they took, in basis points per square root of a second.
///
/// The sum is divided by time and not by moves, so that ledgers which were not seen, and close times that are rounded,
/// change nothing. Nothing of it outlives the process.
#[derive(Clone, Debug)]
pub struct RollingVolatility {
    window_s: u32,
    prices: VecDeque<(u32, f64)>,
}

/// What a window of prices says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// The deviation in basis points per square root of a second.
    Sigma(Dec),
    /// So many moves are in the window, fewer than [`WARM_UP_MOVES`].
    TooFew(u32),
}

impl RollingVolatility {
    /// A window without prices, in seconds.
    #[must_use]
    pub fn new(window_s: u32) -> RollingVolatility {
        RollingVolatility { window_s, prices: VecDeque::new() }
    }

    /// Takes in the price at a ledger's close time, in seconds. What is no price, and a time that is not later, is passed
    /// over; prices that are older than the window are forgotten.
    pub fn observe(&mut self, close_time_s: u32, price: Dec) {
        let price = to_float(price);
        let later = self.prices.back().is_none_or(|(last, _)| close_time_s > *last);
        if !later || !price.is_finite() || price <= 0.0 {
            return;
        }
        self.prices.push_back((close_time_s, price));
        let oldest = close_time_s.saturating_sub(self.window_s);
        while self.prices.front().is_some_and(|(at, _)| *at < oldest) {
            self.prices.pop_front();
        }
    }

    /// The deviation, once there are enough moves.
    ///
    /// # Errors
    /// [`ModelError`] for prices that differ absurdly.
    pub fn measured(&self) -> Result<Measured, ModelError> {
        self.measured_from(WARM_UP_MOVES)
    }

    /// The deviation, once there are so many moves: a rough one of few is better than none where nothing waits for it.
    ///
    /// # Errors
    /// [`ModelError`] for prices that differ absurdly.
    pub fn measured_from(&self, least_moves: u32) -> Result<Measured, ModelError> {
        let moves: Vec<(f64, f64)> =
            self.prices.iter().zip(self.prices.iter().skip(1)).map(|(before, after)| step(*before, *after)).collect();
        let count = u32::try_from(moves.len()).unwrap_or(u32::MAX);
        if count < least_moves.max(1) {
            return Ok(Measured::TooFew(count));
        }
        let time: f64 = moves.iter().map(|(_, seconds)| seconds).sum();
        let scale = scale(&moves);
        let usual = time / f64::from(count);
        let squares: f64 = moves
            .iter()
            .map(|(bps, seconds)| {
                // A move over a gap may be larger by the root of its length. A market that stands still gives no scale.
                let limit = CLIP * scale * (seconds / usual).max(1.0).sqrt();
                let clipped = if limit > 0.0 { bps.abs().min(limit) } else { bps.abs() };
                clipped * clipped
            })
            .sum();
        to_amount((squares / time).sqrt(), PLACES, Rounding::Up).map(Measured::Sigma)
    }
}

/// The log move in basis points and the seconds that it took.
fn step(before: (u32, f64), after: (u32, f64)) -> (f64, f64) {
    ((after.1 / before.1).ln() * 10_000.0, f64::from(after.0.saturating_sub(before.0)))
}

/// The root of the mean squared move without the largest ones.
fn scale(moves: &[(f64, f64)]) -> f64 {
    let mut squares: Vec<f64> = moves.iter().map(|(bps, _)| bps * bps).collect();
    squares.sort_by(f64::total_cmp);
    squares.truncate(squares.len().saturating_sub(OUTLIERS));
    let count = u32::try_from(squares.len()).unwrap_or(u32::MAX).max(1);
    (squares.iter().sum::<f64>() / f64::from(count)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    /// A price that goes up and down by about 10 bps every `every_s` seconds.
    fn zigzag(every_s: u32, count: u32, window_s: u32) -> RollingVolatility {
        let mut volatility = RollingVolatility::new(window_s);
        for at in 0..count {
            volatility.observe(at * every_s, d(if at % 2 == 0 { "2" } else { "2.002" }));
        }
        volatility
    }

    fn sigma(volatility: &RollingVolatility) -> f64 {
        match volatility.measured().unwrap() {
            Measured::Sigma(sigma) => to_float(sigma),
            Measured::TooFew(count) => panic!("{count} moves only"),
        }
    }

    #[test]
    fn moves_count_by_the_time_that_they_took() {
        // 9.995 bps every 4 seconds.
        assert!((sigma(&zigzag(4, 50, 300)) - 9.995 / 2.0).abs() < 0.001);
        assert!((sigma(&zigzag(1, 50, 300)) - 9.995).abs() < 0.001);
        // Close times that are rounded to 10 seconds and never equal, as the ledger's: the same prices, the same time.
        let mut rounded = RollingVolatility::new(300);
        let mut last = 0;
        for at in 0..50_u32 {
            last = (at * 4 / 10 * 10).max(last + 1);
            rounded.observe(last, d(if at % 2 == 0 { "2" } else { "2.002" }));
        }
        assert!((sigma(&rounded) - 9.995 / 2.0).abs() < 0.1, "{}", sigma(&rounded));
    }

    #[test]
    fn it_says_nothing_before_ten_moves_and_after_a_gap() {
        let mut volatility = zigzag(4, 10, 300);
        assert_eq!(volatility.measured().unwrap(), Measured::TooFew(9));
        volatility.observe(40, d("2"));
        assert!(matches!(volatility.measured().unwrap(), Measured::Sigma(_)));
        // An hour of silence: what was before it is no measure of now.
        volatility.observe(3_640, d("2.2"));
        assert_eq!(volatility.measured().unwrap(), Measured::TooFew(0));
    }

    #[test]
    fn one_bad_print_hardly_counts_and_a_wild_market_does() {
        let calm = sigma(&zigzag(4, 70, 300));
        let mut printed = zigzag(4, 69, 300);
        printed.observe(69 * 4, d("2.2"));
        printed.observe(70 * 4, d("2.002"));
        assert!(sigma(&printed) < 1.3 * calm, "{} beside {calm}", sigma(&printed));
        let mut wild = zigzag(4, 70, 300);
        for at in 70..140_u32 {
            wild.observe(at * 4, d(if at % 2 == 0 { "2" } else { "2.02" }));
        }
        assert!(sigma(&wild) > 8.0 * calm);
    }

    #[test]
    fn a_market_that_stands_still_is_measured_as_still() {
        let mut still = RollingVolatility::new(300);
        (0..20).for_each(|at| still.observe(at * 4, d("2.4")));
        assert_eq!(still.measured().unwrap(), Measured::Sigma(Dec::zero()));
        // The first move after it counts whole: there is no scale to clip it by.
        still.observe(80, d("2.41"));
        assert!(sigma(&still) > 4.0, "{}", sigma(&still));
    }

    #[test]
    fn what_is_no_price_or_no_later_is_passed_over() {
        let mut volatility = zigzag(4, 20, 300);
        let before = sigma(&volatility);
        for (at, price) in [(76, "9"), (3, "9"), (80, "0"), (80, "-1")] {
            volatility.observe(at, d(price));
        }
        assert!((sigma(&volatility) - before).abs() < f64::EPSILON);
    }
}

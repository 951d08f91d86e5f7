//! The statistics of quoting: where to quote, how often a quote is taken, how much the price moves.
//!
//! The one module that computes with binary floats. What leaves it becomes an amount in [`to_amount`] and nowhere else;
//! what enters it comes through [`to_float`]. No money is held here: distances, rates, deviations.
//!
//! Formulas are from the papers that each item names:
//! - M. Avellaneda, S. Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8(3), 2008, 217-224;
//! - O. Gueant, C.-A. Lehalle, J. Fernandez-Tapia, "Dealing with the inventory risk: a solution to the market making
//!   problem", Mathematics and Financial Economics 7(4), 2013, 477-507;
//! - O. E. Barndorff-Nielsen, N. Shephard, "Power and bipower variation with stochastic volatility and jumps", Journal
//!   of Financial Econometrics 2(1), 2004, 1-37.
#![allow(clippy::float_arithmetic, reason = "the one module for it; what leaves becomes an amount in `to_amount`")]

mod avellaneda_stoikov;
pub mod calibration;
mod glft;
mod intensity;
mod rolling;
pub mod statistics;
mod volatility;

use thiserror::Error;

pub use avellaneda_stoikov::AvellanedaStoikov;
pub use glft::Glft;
pub use intensity::Intensity;
pub use rolling::{Measured, RollingVolatility, WARM_UP_MOVES};
pub use volatility::{Ewma, Mid, bipower, realised};

use crate::{AmountError, Dec, Rounding};

/// Where to stand, as distances from the mid in the unit of the model's volatility. A negative distance is beyond the
/// mid: the model wants to be rid of inventory at any price; whoever quotes has to bound it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distances {
    /// Of the bid below the mid.
    pub bid: f64,
    /// Of the ask above the mid.
    pub ask: f64,
}

/// Why a model gives no number.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ModelError {
    /// A parameter that must be above zero (or, where it says so, not below) is not.
    #[error("{what} = {value}: {fix}")]
    Parameter {
        /// The parameter.
        what: &'static str,
        /// What was given.
        value: f64,
        /// What can be used.
        fix: &'static str,
    },
    /// The result is no finite number.
    #[error("the model gave {value}, which is no finite number; its parameters are absurd")]
    NotFinite {
        /// What came out.
        value: f64,
    },
    /// The result fits no amount.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// A float as an amount of `places` decimal places, rounded as told: the one place where a model's number becomes an
/// amount. The shortest digits that name the float are rounded, so 0.1 is 0.1 and not 0.1000000000000000055.
///
/// # Errors
/// [`ModelError::NotFinite`], [`ModelError::Amount`] for what is larger than any ledger amount.
pub fn to_amount(value: f64, places: i32, rounding: Rounding) -> Result<Dec, ModelError> {
    if !value.is_finite() {
        return Err(ModelError::NotFinite { value });
    }
    let exact: Dec = format!("{value:e}").parse()?;
    Ok(exact.round_places(places, rounding)?)
}

/// An amount as the nearest float; infinite where it is beyond a float's range.
#[must_use]
pub fn to_float(amount: Dec) -> f64 {
    // A decimal's text is a float's text.
    amount.to_string().parse().unwrap_or(f64::NAN)
}

/// What a deviation per square root of a second (`sigma`) is over so many seconds, rounded up to `places`.
///
/// # Errors
/// [`ModelError`] when it fits no amount.
pub fn deviation_over(sigma: Dec, seconds: u32, places: i32) -> Result<Dec, ModelError> {
    to_amount(to_float(sigma) * f64::from(seconds).sqrt(), places, Rounding::Up)
}

/// `value` when it is finite and above zero.
fn positive(what: &'static str, value: f64) -> Result<f64, ModelError> {
    let fix = "use a finite number above 0";
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(ModelError::Parameter { what, value, fix }) }
}

/// `value` when it is finite and not below zero.
fn not_negative(what: &'static str, value: f64) -> Result<f64, ModelError> {
    let fix = "use a finite number, 0 or more";
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(ModelError::Parameter { what, value, fix }) }
}

/// ln(1 + gamma/k) / gamma, half the spread of a maker who fears no inventory; 1/k as gamma goes to 0.
fn base_distance(gamma: f64, k: f64) -> f64 {
    let ratio = gamma / k;
    if ratio < 1e-8 { 1.0 / k } else { ratio.ln_1p() / gamma }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_becomes_an_amount_by_the_rounding_that_is_asked_for() {
        let amount = |value, places, rounding| to_amount(value, places, rounding).unwrap().to_string();
        assert_eq!(amount(0.1, 20, Rounding::HalfEven), "0.1");
        assert_eq!(amount(2.401_25, 4, Rounding::Down), "2.4012");
        assert_eq!(amount(2.401_25, 4, Rounding::Up), "2.4013");
        assert_eq!(amount(2.5, 0, Rounding::HalfEven), "2");
        assert_eq!(amount(-2.401_25, 4, Rounding::Down), "-2.4012");
        assert_eq!(amount(1e-30, 6, Rounding::Up), "0.000001");
        assert_eq!(amount(0.0, 2, Rounding::Up), "0");
    }

    #[test]
    fn what_is_no_number_becomes_no_amount() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(to_amount(value, 2, Rounding::Down), Err(ModelError::NotFinite { .. })));
        }
        assert!(matches!(to_amount(1e200, 2, Rounding::Down), Err(ModelError::Amount(_))));
    }

    #[test]
    fn an_amount_goes_in_and_out_unchanged() {
        for text in ["2.4013", "0.000001", "123456789.123456", "-7"] {
            let amount: Dec = text.parse().unwrap();
            assert_eq!(to_amount(to_float(amount), 15, Rounding::HalfEven).unwrap(), amount);
        }
    }

    #[test]
    fn a_maker_without_fear_stands_one_over_k_away() {
        assert!((base_distance(0.0, 1.5) - 1.0 / 1.5).abs() < 1e-12);
        assert!((base_distance(1e-7, 1.5) - 1.0 / 1.5).abs() < 1e-7);
        assert!((2.0 * base_distance(0.1, 1.5) - 1.290_770_423_7).abs() < 1e-9);
    }
}

//! Decimals that hold every valid ledger amount, with rounding that is always spelled out.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use dec::{Context, Decimal};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Digits kept by [`Dec`]: enough for the exact sum or product of two ledger amounts of 16 digits.
pub const PRECISION: usize = 34;
/// Digits of a token amount on the ledger (mantissa 10^15 to 10^16 - 1).
pub const LEDGER_DIGITS: usize = 16;
/// Largest exponent of a token amount's leading digit on the ledger (9999999999999999e80).
const MAX_ADJUSTED_EXPONENT: isize = 120;
/// Decimal places beyond which a value is printed in scientific notation.
const MAX_PLAIN_PLACES: i32 = 40;

/// The way a result that does not fit is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
    /// To the nearest, ties to the even digit.
    HalfEven,
}

impl Rounding {
    fn to_dec(self) -> dec::Rounding {
        match self {
            Rounding::Down => dec::Rounding::Down,
            Rounding::Up => dec::Rounding::Up,
            Rounding::HalfEven => dec::Rounding::HalfEven,
        }
    }
}

/// Why an amount could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AmountError {
    /// The text is not a finite decimal number.
    #[error("{text:?} is not a decimal number; write it like 12.5 or 1e-6")]
    NotANumber {
        /// What was given.
        text: String,
    },
    /// The result is larger than any ledger amount.
    #[error("the amount is out of range: {operation} overflowed")]
    Overflow {
        /// The operation that overflowed.
        operation: &'static str,
    },
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The value has digits that an exact conversion would lose.
    #[error("{value} does not convert exactly to {target}")]
    Inexact {
        /// The value that was to be converted.
        value: String,
        /// What it was to become.
        target: &'static str,
    },
}

/// A finite decimal number of up to 34 digits, always in lowest terms (no trailing zeros).
///
/// Sums and products of ledger amounts are exact; where a result has more digits, it is rounded the way the caller
/// says.
/// It is written and read as text (`"2.4013"`), never as a binary float.
#[derive(Clone, Copy)]
pub struct Dec(Decimal<12>);

#[expect(clippy::should_implement_trait, reason = "the operators cannot return the error that these do")]
impl Dec {
    /// Zero.
    #[must_use]
    pub fn zero() -> Dec {
        Dec(Decimal::zero())
    }

    /// One.
    #[must_use]
    pub fn one() -> Dec {
        Dec::from_i64(1)
    }

    /// A whole number.
    #[must_use]
    pub fn from_i64(n: i64) -> Dec {
        Dec(context(Rounding::HalfEven).from_i64(n)).reduced()
    }

    /// A mantissa and a power of ten: `from_parts(25, -1)` is 2.5.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] when the value is larger than any ledger amount.
    pub fn from_parts(mantissa: i64, exponent: i32) -> Result<Dec, AmountError> {
        let mut cx = context(Rounding::HalfEven);
        let mut d = cx.from_i64(mantissa);
        if !d.is_zero() {
            d.set_exponent(exponent);
        }
        finish(cx, d, "from_parts")
    }

    /// The mantissa in the ledger's normal form (10^15 to 10^16 - 1, signed) and its exponent; zero is `(0, 0)`.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when the value has more than 16 digits.
    pub fn to_ledger_parts(self) -> Result<(i64, i32), AmountError> {
        if self.is_zero() {
            return Ok((0, 0));
        }
        let inexact = || AmountError::Inexact { value: self.to_string(), target: "a ledger amount" };
        let exponent = self.0.exponent();
        let digits = i32::try_from(self.0.digits()).map_err(|_| inexact())?;
        let shift = 16 - digits;
        if shift < 0 {
            return Err(inexact());
        }
        let mut coefficient = self.0;
        coefficient.set_exponent(0);
        let whole: i64 = context(Rounding::HalfEven).try_into_i64(coefficient).map_err(|_| inexact())?;
        let scale = 10_i64.checked_pow(shift.unsigned_abs()).ok_or_else(inexact)?;
        Ok((whole.checked_mul(scale).ok_or_else(inexact)?, exponent - shift))
    }

    /// True for zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// True for values below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_negative() && !self.0.is_zero()
    }

    /// True for values above zero.
    #[must_use]
    pub fn is_positive(self) -> bool {
        !self.is_zero() && !self.0.is_negative()
    }

    /// The value without its sign.
    #[must_use]
    pub fn abs(self) -> Dec {
        if self.is_negative() { self.neg() } else { self }
    }

    /// The value with its sign turned.
    #[must_use]
    pub fn neg(self) -> Dec {
        let mut d = self.0;
        context(Rounding::HalfEven).minus(&mut d);
        Dec(d).reduced()
    }

    /// Sum, exact up to 34 digits and rounded half-even beyond.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn add(self, rhs: Dec) -> Result<Dec, AmountError> {
        let mut cx = context(Rounding::HalfEven);
        let mut d = self.0;
        cx.add(&mut d, &rhs.0);
        finish(cx, d, "addition")
    }

    /// Difference, exact up to 34 digits and rounded half-even beyond.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn sub(self, rhs: Dec) -> Result<Dec, AmountError> {
        let mut cx = context(Rounding::HalfEven);
        let mut d = self.0;
        cx.sub(&mut d, &rhs.0);
        finish(cx, d, "subtraction")
    }

    /// Product, exact up to 34 digits and rounded as told beyond.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn mul(self, rhs: Dec, rounding: Rounding) -> Result<Dec, AmountError> {
        let mut cx = context(rounding);
        let mut d = self.0;
        cx.mul(&mut d, &rhs.0);
        finish(cx, d, "multiplication")
    }

    /// Quotient of 34 digits, rounded as told.
    ///
    /// # Errors
    /// [`AmountError::DivisionByZero`], [`AmountError::Overflow`].
    pub fn div(self, rhs: Dec, rounding: Rounding) -> Result<Dec, AmountError> {
        if rhs.is_zero() {
            return Err(AmountError::DivisionByZero);
        }
        let mut cx = context(rounding);
        let mut d = self.0;
        cx.div(&mut d, &rhs.0);
        finish(cx, d, "division")
    }

    /// The exact sum.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when it has more than 34 digits, [`AmountError::Overflow`].
    pub fn add_exact(self, rhs: Dec) -> Result<Dec, AmountError> {
        let mut cx = context(Rounding::HalfEven);
        let mut d = self.0;
        cx.add(&mut d, &rhs.0);
        finish_exact(cx, d, "addition", || format!("{self} + {rhs}"))
    }

    /// The exact difference.
    ///
    /// # Errors
    /// As [`Dec::add_exact`].
    pub fn sub_exact(self, rhs: Dec) -> Result<Dec, AmountError> {
        self.add_exact(rhs.neg())
    }

    /// The exact product.
    ///
    /// # Errors
    /// As [`Dec::add_exact`].
    pub fn mul_exact(self, rhs: Dec) -> Result<Dec, AmountError> {
        let mut cx = context(Rounding::HalfEven);
        let mut d = self.0;
        cx.mul(&mut d, &rhs.0);
        finish_exact(cx, d, "multiplication", || format!("{self} * {rhs}"))
    }

    /// Rounded to `digits` significant digits (16 for the ledger).
    ///
    /// # Errors
    /// [`AmountError::Overflow`] when rounding up leaves the range.
    pub fn round_digits(self, digits: usize, rounding: Rounding) -> Result<Dec, AmountError> {
        let mut cx = context(rounding);
        let overflow = |_| AmountError::Overflow { operation: "rounding" };
        cx.set_precision(digits).map_err(overflow)?;
        let mut d = self.0;
        cx.plus(&mut d);
        finish(cx, d, "rounding")
    }

    /// Rounded to `places` decimal places; a negative number rounds to tens, hundreds, ...
    ///
    /// # Errors
    /// [`AmountError::Overflow`] when the result needs more than 34 digits.
    pub fn round_places(self, places: i32, rounding: Rounding) -> Result<Dec, AmountError> {
        if self.0.exponent() >= -places {
            return Ok(self);
        }
        let mut cx = context(rounding);
        let mut quantum = cx.from_i64(1);
        quantum.set_exponent(-places);
        let mut d = self.0;
        cx.quantize(&mut d, &quantum);
        finish(cx, d, "rounding")
    }

    /// The whole number this value is.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when it is not a whole number or does not fit.
    pub fn to_i64(self) -> Result<i64, AmountError> {
        let inexact = || AmountError::Inexact { value: self.to_string(), target: "a whole number" };
        if self.0.exponent() < 0 {
            return Err(inexact());
        }
        let mut cx = context(Rounding::HalfEven);
        cx.try_into_i64(self.0).map_err(|_| inexact())
    }

    /// The smaller of the two.
    #[must_use]
    pub fn min(self, other: Dec) -> Dec {
        if other < self { other } else { self }
    }

    /// The larger of the two.
    #[must_use]
    pub fn max(self, other: Dec) -> Dec {
        if other > self { other } else { self }
    }

    fn reduced(self) -> Dec {
        if self.0.is_zero() {
            return Dec(Decimal::zero());
        }
        let mut d = self.0;
        context(Rounding::HalfEven).reduce(&mut d);
        Dec(d)
    }
}

fn context(rounding: Rounding) -> Context<Decimal<12>> {
    let mut cx = Context::<Decimal<12>>::default();
    cx.set_rounding(rounding.to_dec());
    // 34 is below the 36 digits that Decimal<12> holds, so this cannot fail; were it to, 36 digits would be kept.
    if cx.set_precision(PRECISION).is_err() {
        cx.clear_status();
    }
    cx
}

fn finish(cx: Context<Decimal<12>>, d: Decimal<12>, operation: &'static str) -> Result<Dec, AmountError> {
    let status = cx.status();
    if status.overflow() || status.invalid_operation() || !d.is_finite() {
        return Err(AmountError::Overflow { operation });
    }
    let reduced = Dec(d).reduced();
    let adjusted = reduced.0.exponent() as isize + reduced.0.digits() as isize - 1;
    if adjusted > MAX_ADJUSTED_EXPONENT {
        return Err(AmountError::Overflow { operation });
    }
    // Smaller than any ledger amount, products included: the ledger rounds to zero there as well.
    if adjusted < -3 * MAX_ADJUSTED_EXPONENT {
        return Ok(Dec::zero());
    }
    Ok(reduced)
}

/// As [`finish`], and nothing may have been lost: neither digits beyond the precision nor a value below the range.
fn finish_exact(
    cx: Context<Decimal<12>>,
    d: Decimal<12>,
    operation: &'static str,
    what: impl FnOnce() -> String,
) -> Result<Dec, AmountError> {
    let rounded = cx.status().inexact();
    let vanishes = !d.is_zero();
    let result = finish(cx, d, operation)?;
    if rounded || (vanishes && result.is_zero()) {
        return Err(AmountError::Inexact { value: what(), target: "a decimal of 34 digits" });
    }
    Ok(result)
}

impl Ord for Dec {
    fn cmp(&self, other: &Dec) -> Ordering {
        // Finite numbers always compare; equal is only named to keep the function total.
        context(Rounding::HalfEven).partial_cmp(&self.0, &other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Dec {
    fn partial_cmp(&self, other: &Dec) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Dec {
    fn eq(&self, other: &Dec) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Dec {}

impl Default for Dec {
    fn default() -> Dec {
        Dec::zero()
    }
}

impl FromStr for Dec {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Dec, AmountError> {
        let not_a_number = || AmountError::NotANumber { text: text.chars().take(64).collect() };
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        if !plain || text.len() > 128 {
            return Err(not_a_number());
        }
        let mut cx = context(Rounding::HalfEven);
        let d = cx.parse(text).map_err(|_| not_a_number())?;
        if cx.status().inexact() {
            return Err(AmountError::Inexact { value: text.to_string(), target: "a decimal of 34 digits" });
        }
        finish(cx, d, "parsing")
    }
}

impl fmt::Display for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.0.exponent();
        let text = if (-MAX_PLAIN_PLACES..=MAX_PLAIN_PLACES).contains(&exponent) {
            self.0.to_standard_notation_string()
        } else {
            self.0.to_string()
        };
        match f.precision() {
            None => f.pad(&text),
            Some(places) => {
                let places_i32 = i32::try_from(places).unwrap_or(MAX_PLAIN_PLACES);
                let rounded = self.round_places(places_i32, Rounding::HalfEven).unwrap_or(*self);
                pad_places(f, &rounded.0.to_standard_notation_string(), places)
            }
        }
    }
}

/// Writes `text` with exactly `places` decimal places: columns on the screen line up.
fn pad_places(f: &mut fmt::Formatter<'_>, text: &str, places: usize) -> fmt::Result {
    let have = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let mut padded = text.to_string();
    if have == 0 && places > 0 {
        padded.push('.');
    }
    padded.extend(std::iter::repeat_n('0', places.saturating_sub(have)));
    match f.width() {
        Some(width) => write!(f, "{padded:>width$}"),
        None => f.write_str(&padded),
    }
}

impl fmt::Debug for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Dec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Dec, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    #[test]
    fn exact_results_refuse_to_lose_a_digit() {
        let d = |text: &str| text.parse::<Dec>().unwrap();
        assert_eq!(d("1e33").add_exact(d("1")).unwrap(), d("1000000000000000000000000000000001"));
        assert!(matches!(d("1e34").add_exact(d("1")), Err(AmountError::Inexact { .. })));
        assert!(matches!(d("1e34").sub_exact(d("1e-1")), Err(AmountError::Inexact { .. })));
        // Digits that are zeros are none.
        assert_eq!(d("1e34").add_exact(d("1e34")).unwrap(), d("2e34"));
        let long = d("1.00000000000000001");
        assert_eq!(long.mul_exact(d("3")).unwrap(), d("3.00000000000000003"));
        assert!(matches!(long.mul_exact(d("1.000000000000000000001")), Err(AmountError::Inexact { .. })));
        let small = d("1e-200");
        assert!(matches!(small.mul_exact(small), Err(AmountError::Inexact { .. })));
    }

    #[test]
    fn text_round_trips_over_the_whole_ledger_range() {
        for text in ["0", "-1.5", "9999999999999999e80", "1000000000000000e-96", "0.000001", "123456789012.3456"] {
            let value = d(text);
            assert_eq!(d(&value.to_string()), value, "{text}");
        }
        assert_eq!(d("9999999999999999e80").to_ledger_parts().unwrap(), (9_999_999_999_999_999, 80));
        assert_eq!(d("1e-81").to_ledger_parts().unwrap(), (1_000_000_000_000_000, -96));
        assert_eq!(d("-2.5").to_ledger_parts().unwrap(), (-2_500_000_000_000_000, -15));
        assert_eq!(Dec::from_parts(-2_500_000_000_000_000, -15).unwrap(), d("-2.5"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "abc", "NaN", "Infinity", "1,5", "0x10", "1e", "--1", &"9".repeat(40), &"9".repeat(200)] {
            assert!(text.parse::<Dec>().is_err(), "{text:?}");
        }
        assert!("1e200".parse::<Dec>().is_err());
    }

    #[test]
    fn rounding_goes_the_way_it_is_told() {
        assert_eq!(d("0.251").round_places(1, Rounding::HalfEven).unwrap(), d("0.3"));
        assert_eq!(d("0.201").round_places(1, Rounding::Up).unwrap(), d("0.3"));
        assert_eq!(d("-0.29").round_places(1, Rounding::Down).unwrap(), d("-0.2"));
        assert_eq!(d("1").div(d("3"), Rounding::Down).unwrap().round_digits(3, Rounding::Up).unwrap(), d("0.334"));
        assert_eq!(d("12345").round_places(-2, Rounding::Down).unwrap(), d("12300"));
        assert_eq!(d("1").div(Dec::zero(), Rounding::Down), Err(AmountError::DivisionByZero));
    }

    #[test]
    fn printing_with_places_pads_and_rounds() {
        assert_eq!(format!("{:.4}", d("2.5")), "2.5000");
        assert_eq!(format!("{:.2}", d("2.499")), "2.50");
        assert_eq!(format!("{:>8.1}", d("3")), "     3.0");
        assert_eq!(format!("{:.0}", d("3")), "3");
    }

    proptest::proptest! {
        #[test]
        fn sums_of_ledger_amounts_are_exact(a in -9_999_999_999_999_999_i64..=9_999_999_999_999_999,
                                            b in -9_999_999_999_999_999_i64..=9_999_999_999_999_999,
                                            shift in 0_i32..18) {
            let (x, y) = (Dec::from_parts(a, -shift).unwrap(), Dec::from_parts(b, 0).unwrap());
            let exact = i128::from(a) + i128::from(b) * 10_i128.pow(shift.unsigned_abs());
            let sum = x.add(y).unwrap();
            proptest::prop_assert_eq!(sum.sub(y).unwrap(), x);
            proptest::prop_assert_eq!(sum, format!("{exact}e-{shift}").parse().unwrap());
        }
    }
}

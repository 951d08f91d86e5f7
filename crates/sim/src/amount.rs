//! Amounts in the ledger's own arithmetic: whole drops, and token values of 16 digits.
//!
//! A token value is a mantissa of 10^15 to 10^16 - 1 and an exponent of -96 to 80, as rippled's `STAmount`. Where
//! rippled rounds in an odd way (an added five before a division's rounding, two kinds of drop rounding), this module
//! does the same, because an offer's quality and the last drop of a fill depend on it. Behaviour after rippled 2.6.1
//! (`STAmount`, `Number`, `Quality`) with every fix amendment in force.

// Sums can fail, which the operators' traits cannot say.
#![allow(clippy::should_implement_trait)]

use std::cmp::Ordering;

use neo_ledger::{Amount, Asset};
use neo_market::{AmountError, Dec, Drops};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Smallest mantissa of a token value that is not zero.
pub const MIN_MANTISSA: u128 = 1_000_000_000_000_000;
/// Largest mantissa of a token value.
pub const MAX_MANTISSA: u128 = 9_999_999_999_999_999;
/// Smallest exponent of a token value; anything smaller is zero.
pub const MIN_EXPONENT: i32 = -96;
/// Largest exponent of a token value; anything larger is an error.
pub const MAX_EXPONENT: i32 = 80;
/// Most drops there can be (100 billion XRP).
pub const MAX_DROPS: i64 = 100_000_000_000_000_000;
/// A transfer rate of one, in the ledger's billionths.
pub const PARITY_RATE: u32 = 1_000_000_000;
/// Exponents for which rippled prints a plain decimal.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -25..=-5;
/// Digits that a product with a rate keeps before it is rounded.
const RATIO_DIGITS: u32 = 18;
const TEN_TO_14: u128 = 100_000_000_000_000;
const TEN_TO_17: u128 = 100_000_000_000_000_000;

/// Why an amount could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ArithmeticError {
    /// The result is larger than the ledger can hold.
    #[error("{operation} overflows what the ledger can hold; use smaller amounts")]
    Overflow {
        /// What was computed.
        operation: &'static str,
    },
    /// Division by zero.
    #[error("{operation} divides by zero; give an amount above zero")]
    DivisionByZero {
        /// What was computed.
        operation: &'static str,
    },
    /// The square root of a negative number.
    #[error("a pool's arithmetic took the root of a negative number; use smaller amounts")]
    NegativeRoot,
    /// XRP and a token were mixed.
    #[error("{operation} mixes XRP and a token; give two amounts of one asset")]
    Mixed {
        /// What was computed.
        operation: &'static str,
    },
}

/// Where a result goes that does not fit its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    TowardsZero,
    Upward,
    Downward,
}

/// Token value: mantissa (signed, 10^15 to 10^16 - 1) times ten to the exponent; zero is `(0, -100)` as in rippled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenValue {
    mantissa: i64,
    exponent: i32,
}

impl TokenValue {
    /// Nothing.
    pub const ZERO: TokenValue = TokenValue { mantissa: 0, exponent: -100 };
    /// The smallest value above zero.
    pub const SMALLEST: TokenValue = TokenValue { mantissa: 1_000_000_000_000_000, exponent: MIN_EXPONENT };

    /// `mantissa` times ten to `exponent`, rounded to 16 digits (nearest, ties to even).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] above 9999999999999999e80.
    pub fn new(mantissa: i64, exponent: i32) -> Result<TokenValue, ArithmeticError> {
        normalize(u128::from(mantissa.unsigned_abs()), exponent, mantissa < 0, false, Mode::Nearest)
    }

    /// The signed mantissa.
    #[must_use]
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// The exponent.
    #[must_use]
    pub const fn exponent(self) -> i32 {
        self.exponent
    }

    /// True for zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// With the sign turned.
    #[must_use]
    pub const fn neg(self) -> TokenValue {
        TokenValue { mantissa: -self.mantissa, exponent: self.exponent }
    }

    /// Sum, rounded to 16 digits (nearest, ties to even).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn add(self, rhs: TokenValue) -> Result<TokenValue, ArithmeticError> {
        if self.is_zero() {
            return Ok(rhs);
        }
        if rhs.is_zero() {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= rhs.exponent { (self, rhs) } else { (rhs, self) };
        let gap = (high.exponent - low.exponent).unsigned_abs();
        // Beyond 21 digits the smaller one is less than a hundred-thousandth of the last digit: it never decides.
        if gap > 21 {
            return Ok(high);
        }
        let sum = i128::from(high.mantissa) * 10_i128.pow(gap) + i128::from(low.mantissa);
        normalize(sum.unsigned_abs(), low.exponent, sum < 0, false, Mode::Nearest)
    }

    /// Difference, rounded to 16 digits (nearest, ties to even).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn sub(self, rhs: TokenValue) -> Result<TokenValue, ArithmeticError> {
        self.add(rhs.neg())
    }

    /// This value times `numerator / denominator`: transfer fees and the qualities of lines. As in rippled
    /// (`IOUAmount`, `mulRatio`) the quotient is cut at 18 digits, rounded to the nearest 16, and only then moved by one
    /// up or down when the cut lost something, so that it may be one above the exact ceiling.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`], [`ArithmeticError::DivisionByZero`].
    pub fn mul_ratio(self, numerator: u32, denominator: u32, round_up: bool) -> Result<TokenValue, ArithmeticError> {
        if denominator == 0 {
            return Err(ArithmeticError::DivisionByZero { operation: "a transfer rate" });
        }
        if numerator == denominator || self.is_zero() {
            return Ok(self);
        }
        let denominator = u128::from(denominator);
        let product = u128::from(self.mantissa.unsigned_abs()) * u128::from(numerator);
        let (mut low, mut rest, mut exponent) = (product / denominator, product % denominator, self.exponent);
        if rest > 0
            && let Some(room) = RATIO_DIGITS.checked_sub(ceil_log10(low))
        {
            let scale = 10_u128.pow(room);
            exponent = exponent.saturating_sub_unsigned(room);
            low = low * scale + rest * scale / denominator;
            rest = rest * scale % denominator;
        }
        let mut inexact = rest > 0;
        if let Some(surplus) = ceil_log10(low).checked_sub(RATIO_DIGITS) {
            let scale = 10_u128.pow(surplus);
            inexact |= !low.is_multiple_of(scale);
            low /= scale;
            exponent = exponent.saturating_add_unsigned(surplus);
        }
        let negative = self.mantissa < 0;
        let near = normalize(low, exponent, negative, false, Mode::Nearest)?;
        if !inexact || round_up == negative {
            return Ok(near);
        }
        let step = if negative { -1 } else { 1 };
        if near.is_zero() {
            let smallest = TokenValue::SMALLEST;
            return Ok(if negative { smallest.neg() } else { smallest });
        }
        TokenValue::new(near.mantissa + step, near.exponent)
    }

    /// The value as rippled prints it.
    #[must_use]
    pub fn text(self) -> String {
        if self.is_zero() {
            return "0".to_string();
        }
        if self.exponent != 0 && !PLAIN_EXPONENTS.contains(&self.exponent) {
            return format!("{}e{}", self.mantissa, self.exponent);
        }
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(0);
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        match fraction.trim_end_matches('0') {
            "" => format!("{sign}{whole}"),
            fraction => format!("{sign}{whole}.{fraction}"),
        }
    }

    /// From a decimal of at most 16 digits.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when it has more digits; [`AmountError::Overflow`] when it is too large.
    pub fn from_dec(value: Dec) -> Result<TokenValue, AmountError> {
        let (mantissa, exponent) = value.to_ledger_parts()?;
        TokenValue::new(mantissa, exponent).map_err(|_| AmountError::Overflow { operation: "a token value" })
    }

    /// As a decimal; exact.
    ///
    /// # Errors
    /// None in practice: every token value is a decimal.
    pub fn to_dec(self) -> Result<Dec, AmountError> {
        if self.is_zero() { Ok(Dec::zero()) } else { Dec::from_parts(self.mantissa, self.exponent) }
    }
}

impl Ord for TokenValue {
    fn cmp(&self, other: &TokenValue) -> Ordering {
        let (left, right) = (self.mantissa.signum(), other.mantissa.signum());
        if left != right || left == 0 {
            return left.cmp(&right);
        }
        let magnitude = self.exponent.cmp(&other.exponent).then(self.mantissa.abs().cmp(&other.mantissa.abs()));
        if left < 0 { magnitude.reverse() } else { magnitude }
    }
}

impl PartialOrd for TokenValue {
    fn partial_cmp(&self, other: &TokenValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An amount without the name of what it is of: drops, or a token value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Drops of XRP.
    Drops(i64),
    /// So much of a token.
    Token(TokenValue),
}

impl Value {
    /// Nothing, of XRP or of a token.
    #[must_use]
    pub const fn zero(xrp: bool) -> Value {
        if xrp { Value::Drops(0) } else { Value::Token(TokenValue::ZERO) }
    }

    /// The same kind of nothing.
    #[must_use]
    pub const fn cleared(self) -> Value {
        Value::zero(self.is_xrp())
    }

    /// True for drops.
    #[must_use]
    pub const fn is_xrp(self) -> bool {
        matches!(self, Value::Drops(_))
    }

    /// -1, 0 or 1.
    #[must_use]
    pub const fn signum(self) -> i64 {
        match self {
            Value::Drops(drops) => drops.signum(),
            Value::Token(value) => value.mantissa.signum(),
        }
    }

    /// True for zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.signum() == 0
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.signum() > 0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`], [`ArithmeticError::Mixed`].
    pub fn add(self, rhs: Value) -> Result<Value, ArithmeticError> {
        let overflow = ArithmeticError::Overflow { operation: "a sum of drops" };
        match (self, rhs) {
            (Value::Drops(a), Value::Drops(b)) => a.checked_add(b).map(Value::Drops).ok_or(overflow),
            (Value::Token(a), Value::Token(b)) => a.add(b).map(Value::Token),
            _ => Err(ArithmeticError::Mixed { operation: "a sum" }),
        }
    }

    /// Difference.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`], [`ArithmeticError::Mixed`].
    pub fn sub(self, rhs: Value) -> Result<Value, ArithmeticError> {
        self.add(rhs.neg())
    }

    /// With the sign turned.
    #[must_use]
    pub const fn neg(self) -> Value {
        match self {
            // Drops are checked to be within 10^17 wherever they enter, so this cannot wrap.
            Value::Drops(drops) => Value::Drops(drops.wrapping_neg()),
            Value::Token(value) => Value::Token(value.neg()),
        }
    }

    /// The smaller of two amounts of one kind; the first when they are not comparable.
    #[must_use]
    pub fn min(self, other: Value) -> Value {
        if other < self { other } else { self }
    }

    /// Times `numerator / denominator` (transfer fees); drops carry none and stay as they are.
    ///
    /// # Errors
    /// As [`TokenValue::mul_ratio`].
    pub fn mul_ratio(self, numerator: u32, denominator: u32, round_up: bool) -> Result<Value, ArithmeticError> {
        match self {
            Value::Drops(_) => Ok(self),
            Value::Token(value) => value.mul_ratio(numerator, denominator, round_up).map(Value::Token),
        }
    }

    /// The amount with its asset, as the ledger's messages carry it.
    ///
    /// # Errors
    /// [`AmountError`] when kind and asset disagree.
    pub fn to_amount(self, asset: Asset) -> Result<Amount, AmountError> {
        match (self, asset) {
            (Value::Drops(drops), Asset::Xrp) => Ok(Amount::Xrp(Drops::new(drops))),
            (Value::Token(value), Asset::Token(token)) => Ok(Amount::Token { value: value.to_dec()?, token }),
            _ => Err(AmountError::Inexact { value: self.text(), target: "an amount of the other asset" }),
        }
    }

    /// Value and asset of an amount.
    ///
    /// # Errors
    /// [`AmountError`] when the value is none that the ledger holds.
    pub fn from_amount(amount: &Amount) -> Result<(Value, Asset), AmountError> {
        match amount {
            Amount::Xrp(drops) => Ok((Value::Drops(drops.get()), Asset::Xrp)),
            Amount::Token { value, token } => Ok((Value::Token(TokenValue::from_dec(*value)?), Asset::Token(*token))),
        }
    }

    /// The number as the ledger's messages print it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Value::Drops(drops) => drops.to_string(),
            Value::Token(value) => value.text(),
        }
    }

    /// Magnitude, exponent and sign for multiplication and division: drops are scaled to 16 digits first.
    fn parts(self) -> (u128, i32, bool) {
        match self {
            Value::Token(value) => (u128::from(value.mantissa.unsigned_abs()), value.exponent, value.mantissa < 0),
            Value::Drops(drops) => {
                let (mut magnitude, mut exponent) = (u128::from(drops.unsigned_abs()), 0);
                while magnitude > 0 && magnitude < MIN_MANTISSA {
                    magnitude *= 10;
                    exponent -= 1;
                }
                (magnitude, exponent, drops < 0)
            }
        }
    }
}

impl PartialOrd for Value {
    /// `None` between XRP and a token.
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Drops(a), Value::Drops(b)) => Some(a.cmp(b)),
            (Value::Token(a), Value::Token(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// Rounds `magnitude / 10^digits` the way `mode` says; `sticky` tells that nonzero digits were dropped before.
fn shift_right(magnitude: u128, digits: u32, negative: bool, sticky: bool, mode: Mode) -> u128 {
    let Some(divisor) = 10_u128.checked_pow(digits) else { return 0 };
    let (quotient, rest) = (magnitude / divisor, magnitude % divisor);
    let any = rest != 0 || sticky;
    let up = match mode {
        Mode::TowardsZero => false,
        Mode::Upward => any && !negative,
        Mode::Downward => any && negative,
        Mode::Nearest => match (rest * 2).cmp(&divisor) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => digits > 0 && (sticky || quotient % 2 == 1),
        },
    };
    quotient + u128::from(up)
}

fn digits_of(magnitude: u128) -> u32 {
    magnitude.checked_ilog10().map_or(0, |log| log + 1)
}

/// The decimal logarithm, rounded up.
fn ceil_log10(magnitude: u128) -> u32 {
    magnitude.checked_ilog10().map_or(0, |log| if magnitude == 10_u128.pow(log) { log } else { log + 1 })
}

/// Brings a magnitude and exponent into a token value's normal form.
fn normalize(
    magnitude: u128,
    exponent: i32,
    negative: bool,
    sticky: bool,
    mode: Mode,
) -> Result<TokenValue, ArithmeticError> {
    if magnitude == 0 {
        return Ok(TokenValue::ZERO);
    }
    let digits = digits_of(magnitude);
    let (mut mantissa, mut exponent) = (magnitude, exponent);
    if let Some(missing) = 16_u32.checked_sub(digits).filter(|missing| *missing > 0) {
        mantissa *= 10_u128.pow(missing);
        exponent = exponent.saturating_sub_unsigned(missing);
    } else {
        let surplus = digits - 16;
        mantissa = shift_right(magnitude, surplus, negative, sticky, mode);
        exponent = exponent.saturating_add_unsigned(surplus);
    }
    if mantissa > MAX_MANTISSA {
        mantissa /= 10;
        exponent = exponent.saturating_add(1);
    }
    if exponent < MIN_EXPONENT {
        return Ok(TokenValue::ZERO);
    }
    let overflow = ArithmeticError::Overflow { operation: "a token value" };
    if exponent > MAX_EXPONENT {
        return Err(overflow);
    }
    let mantissa = i64::try_from(mantissa).map_err(|_| overflow)?;
    Ok(TokenValue { mantissa: if negative { -mantissa } else { mantissa }, exponent })
}

/// Brings a magnitude and exponent into drops.
fn to_drops(magnitude: u128, exponent: i32, negative: bool, mode: Mode) -> Result<i64, ArithmeticError> {
    let overflow = ArithmeticError::Overflow { operation: "an amount of XRP" };
    if magnitude == 0 || exponent <= -20 {
        return Ok(0);
    }
    let drops = if exponent < 0 {
        shift_right(magnitude, exponent.unsigned_abs(), negative, false, mode)
    } else {
        let scale = 10_u128.checked_pow(exponent.unsigned_abs()).ok_or(overflow)?;
        magnitude.checked_mul(scale).ok_or(overflow)?
    };
    let drops = i64::try_from(drops).map_err(|_| overflow)?;
    if drops > MAX_DROPS {
        return Err(overflow);
    }
    Ok(if negative { -drops } else { drops })
}

fn make(xrp: bool, magnitude: u128, exponent: i32, negative: bool, mode: Mode) -> Result<Value, ArithmeticError> {
    if xrp {
        to_drops(magnitude, exponent, negative, mode).map(Value::Drops)
    } else {
        normalize(magnitude, exponent, negative, false, mode).map(Value::Token)
    }
}

/// Rounds away from zero before the last digit is cut, as rippled's two canonicalising helpers do.
fn round_away(xrp: bool, value: &mut u128, exponent: &mut i32, strict: bool) {
    if xrp && *exponent < 0 {
        let (mut remainder, mut loops) = (false, 0);
        while *exponent < -1 {
            remainder |= !value.is_multiple_of(10);
            *value /= 10;
            *exponent += 1;
            loops += 1;
        }
        // The legacy form forgets what it cut once it cut two digits; the strict form remembers.
        let all = if strict { remainder } else { loops < 2 };
        *value = (*value + if all { 10 } else { 9 }) / 10;
        *exponent += 1;
    } else if !xrp && *value > MAX_MANTISSA {
        while *value > 10 * MAX_MANTISSA {
            *value /= 10;
            *exponent += 1;
        }
        *value = (*value).div_ceil(10);
        *exponent += 1;
    }
}

/// What was rounded up to nothing becomes the smallest amount.
fn at_least_smallest(result: Value, round_up: bool, negative: bool) -> Value {
    match result {
        Value::Drops(0) if round_up && !negative => Value::Drops(1),
        Value::Token(value) if value.is_zero() && round_up && !negative => Value::Token(TokenValue::SMALLEST),
        other => other,
    }
}

fn multiply_rounded(a: Value, b: Value, xrp: bool, round_up: bool, strict: bool) -> Result<Value, ArithmeticError> {
    if a.is_zero() || b.is_zero() {
        return Ok(Value::zero(xrp));
    }
    let ((m1, e1, n1), (m2, e2, n2)) = (a.parts(), b.parts());
    let negative = n1 != n2;
    let away = negative != round_up;
    let mut magnitude = (m1 * m2 + if away { TEN_TO_14 - 1 } else { 0 }) / TEN_TO_14;
    let mut exponent = e1 + e2 + 14;
    if away {
        round_away(xrp, &mut magnitude, &mut exponent, strict);
    }
    let mode = if strict { Mode::TowardsZero } else { Mode::Nearest };
    let result = make(xrp, magnitude, exponent, negative, mode)?;
    Ok(at_least_smallest(result, round_up, negative))
}

fn divide_rounded(num: Value, den: Value, xrp: bool, round_up: bool, strict: bool) -> Result<Value, ArithmeticError> {
    if den.is_zero() {
        return Err(ArithmeticError::DivisionByZero { operation: "a price" });
    }
    if num.is_zero() {
        return Ok(Value::zero(xrp));
    }
    let ((m1, e1, n1), (m2, e2, n2)) = (num.parts(), den.parts());
    let negative = n1 != n2;
    let away = negative != round_up;
    let mut magnitude = (m1 * TEN_TO_17 + if away { m2 - 1 } else { 0 }) / m2;
    let mut exponent = e1 - e2 - 17;
    if away {
        round_away(xrp, &mut magnitude, &mut exponent, false);
    }
    let mode = match (strict, round_up != negative) {
        (false, _) => Mode::Nearest,
        (true, true) => Mode::Upward,
        (true, false) => Mode::Downward,
    };
    let result = make(xrp, magnitude, exponent, negative, mode)?;
    Ok(at_least_smallest(result, round_up, negative))
}

/// Product rounded up (away from zero) or down, in the form that forgets digits below a tenth of a drop.
///
/// # Errors
/// [`ArithmeticError::Overflow`].
pub fn mul_round(a: Value, b: Value, xrp: bool, round_up: bool) -> Result<Value, ArithmeticError> {
    multiply_rounded(a, b, xrp, round_up, false)
}

/// Product rounded up (away from zero) or down, with every digit counted.
///
/// # Errors
/// [`ArithmeticError::Overflow`].
pub fn mul_round_strict(a: Value, b: Value, xrp: bool, round_up: bool) -> Result<Value, ArithmeticError> {
    multiply_rounded(a, b, xrp, round_up, true)
}

/// Quotient rounded up or down, in rippled's older form.
///
/// # Errors
/// [`ArithmeticError::Overflow`], [`ArithmeticError::DivisionByZero`].
pub fn div_round(num: Value, den: Value, xrp: bool, round_up: bool) -> Result<Value, ArithmeticError> {
    divide_rounded(num, den, xrp, round_up, false)
}

/// Quotient rounded up or down, in rippled's stricter form.
///
/// # Errors
/// [`ArithmeticError::Overflow`], [`ArithmeticError::DivisionByZero`].
pub fn div_round_strict(num: Value, den: Value, xrp: bool, round_up: bool) -> Result<Value, ArithmeticError> {
    divide_rounded(num, den, xrp, round_up, true)
}

/// Quotient as rippled's plain `divide`: truncated at 17 or 18 digits, five added, then rounded to nearest.
///
/// # Errors
/// [`ArithmeticError::Overflow`], [`ArithmeticError::DivisionByZero`].
pub fn divide(num: Value, den: Value, xrp: bool) -> Result<Value, ArithmeticError> {
    if den.is_zero() {
        return Err(ArithmeticError::DivisionByZero { operation: "a quality" });
    }
    if num.is_zero() {
        return Ok(Value::zero(xrp));
    }
    let ((m1, e1, n1), (m2, e2, n2)) = (num.parts(), den.parts());
    make(xrp, m1 * TEN_TO_17 / m2 + 5, e1 - e2 - 17, n1 != n2, Mode::Nearest)
}

/// Product as rippled's plain `multiply`: rounded to 16 digits, then to drops where it is XRP.
///
/// # Errors
/// [`ArithmeticError::Overflow`].
pub fn multiply(a: Value, b: Value, xrp: bool) -> Result<Value, ArithmeticError> {
    if a.is_zero() || b.is_zero() {
        return Ok(Value::zero(xrp));
    }
    let ((m1, e1, n1), (m2, e2, n2)) = (a.parts(), b.parts());
    let product = normalize(m1 * m2, e1 + e2, n1 != n2, false, Mode::Nearest)?;
    let magnitude = u128::from(product.mantissa.unsigned_abs());
    make(xrp, magnitude, product.exponent, product.mantissa < 0, Mode::Nearest)
}

/// What a taker pays for one unit of what he gets, in the 64-bit form that orders a book: exponent plus 100 in the top
/// byte, mantissa below it. The lowest is the best for the taker; XRP counts in drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quality(pub u64);

/// What goes in and what comes out of an offer, from the taker's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InOut {
    /// What the taker pays.
    pub input: Value,
    /// What the taker gets.
    pub output: Value,
}

impl Quality {
    /// One for one.
    pub const ONE: Quality = Quality(85 << 56 | 1_000_000_000_000_000);

    /// The quality of an exchange of `input` for `output`; zero when there is none (rippled's `getRate`).
    #[must_use]
    pub fn of(amounts: InOut) -> Quality {
        match divide(amounts.input, amounts.output, false) {
            Ok(Value::Token(rate)) => Quality::of_rate(rate),
            _ => Quality(0),
        }
    }

    fn of_rate(rate: TokenValue) -> Quality {
        let (Ok(exponent), Ok(mantissa)) = (u64::try_from(rate.exponent + 100), u64::try_from(rate.mantissa)) else {
            return Quality(0);
        };
        if rate.is_zero() { Quality(0) } else { Quality(exponent << 56 | mantissa) }
    }

    /// True when a taker would rather have `other`.
    #[must_use]
    pub const fn is_worse_than(self, other: Quality) -> bool {
        self.0 > other.0
    }

    /// The next better quality, for offers that must not take an equal one.
    #[must_use]
    pub const fn next_better(self) -> Quality {
        Quality(self.0.saturating_sub(1))
    }

    /// The rate as a token value.
    #[must_use]
    pub fn rate(self) -> TokenValue {
        let mantissa = i64::try_from(self.0 & 0x00FF_FFFF_FFFF_FFFF).unwrap_or(0);
        let exponent = i32::try_from(self.0 >> 56).unwrap_or(0) - 100;
        if mantissa == 0 { TokenValue::ZERO } else { TokenValue { mantissa, exponent } }
    }

    /// Rounded up to so many significant digits (an issuer's tick size, 3 to 15; 16 changes nothing).
    #[must_use]
    pub fn round(self, digits: u8) -> Quality {
        let step = 10_u64.pow(u32::from(16_u8.saturating_sub(digits)));
        let mantissa = self.0 & 0x00FF_FFFF_FFFF_FFFF;
        Quality((self.0 & !0x00FF_FFFF_FFFF_FFFF) | (mantissa.div_ceil(step) * step))
    }

    /// The part of `amounts` with no more than `limit` going in; what comes out is rounded as told.
    ///
    /// # Errors
    /// [`ArithmeticError`].
    pub fn limit_in(self, amounts: InOut, limit: Value, round_up: bool) -> Result<InOut, ArithmeticError> {
        if amounts.input <= limit {
            return Ok(amounts);
        }
        let output = div_round_strict(limit, Value::Token(self.rate()), amounts.output.is_xrp(), round_up)?;
        Ok(InOut { input: limit, output: output.min(amounts.output) })
    }

    /// The quality of this exchange and then `next`.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn then(self, next: Quality) -> Result<Quality, ArithmeticError> {
        if self == Quality::ONE {
            return Ok(next);
        }
        let rate = mul_round(Value::Token(self.rate()), Value::Token(next.rate()), false, true)?;
        match rate {
            Value::Token(rate) => Ok(Quality::of_rate(rate)),
            Value::Drops(_) => Ok(Quality(0)),
        }
    }

    /// As [`Quality::limit_in`], or in the older form that always rounds up (before fixReducedOffersV2).
    ///
    /// # Errors
    /// [`ArithmeticError`].
    pub fn part_in(self, amounts: InOut, limit: Value, round_up: bool, strict: bool) -> Result<InOut, ArithmeticError> {
        if strict || amounts.input <= limit {
            return self.limit_in(amounts, limit, round_up);
        }
        let output = div_round(limit, Value::Token(self.rate()), amounts.output.is_xrp(), true)?;
        Ok(InOut { input: limit, output: output.min(amounts.output) })
    }

    /// As [`Quality::limit_out`], or in the older form that always rounds up (before fixReducedOffersV1).
    ///
    /// # Errors
    /// [`ArithmeticError`].
    pub fn part_out(
        self,
        amounts: InOut,
        limit: Value,
        round_up: bool,
        strict: bool,
    ) -> Result<InOut, ArithmeticError> {
        if strict || amounts.output <= limit {
            return self.limit_out(amounts, limit, round_up);
        }
        let input = mul_round(limit, Value::Token(self.rate()), amounts.input.is_xrp(), true)?;
        Ok(InOut { input: input.min(amounts.input), output: limit })
    }

    /// The part of `amounts` with no more than `limit` coming out; what goes in is rounded as told.
    ///
    /// # Errors
    /// [`ArithmeticError`].
    pub fn limit_out(self, amounts: InOut, limit: Value, round_up: bool) -> Result<InOut, ArithmeticError> {
        if amounts.output <= limit {
            return Ok(amounts);
        }
        let input = mul_round_strict(limit, Value::Token(self.rate()), amounts.input.is_xrp(), round_up)?;
        Ok(InOut { input: input.min(amounts.input), output: limit })
    }
}

#[cfg(test)]
mod tests;

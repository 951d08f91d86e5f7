//! rippled's `Number`: 16 decimal digits, with the direction of rounding chosen for each step (2.6.1, `Number.cpp`).
//!
//! The AMM's results depend on it to the last digit, so the odd corners are kept: a sum is rounded by the sign of the
//! operand that was shifted, a quotient is cut at 17 or 18 digits before it is rounded, and a root is the value at
//! which Newton's steps stop changing under the given rounding.

mod guard;

use std::cmp::Ordering;

use self::guard::Guard;
use crate::amount::{ArithmeticError, TokenValue, Value};

const MIN_MANTISSA: i64 = 1_000_000_000_000_000;
const MAX_MANTISSA: i64 = 9_999_999_999_999_999;
const MIN_EXPONENT: i32 = -32_768;
const MAX_EXPONENT: i32 = 32_768;
const DIVISION_SCALE: u128 = 100_000_000_000_000_000;
/// Newton's method doubles the digits at each step; more steps than this would be a fault.
const MAX_ROOT_STEPS: usize = 200;

/// Mantissa (signed, 10^15 to 10^16 - 1) times ten to the exponent; zero is `(0, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    mantissa: i64,
    exponent: i32,
}

/// Where a result goes that does not fit 16 digits, and the arithmetic that sends it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest; a tie to the even digit.
    Nearest,
    /// Towards zero.
    TowardsZero,
    /// Towards plus infinity.
    Upward,
    /// Towards minus infinity.
    Downward,
}

const fn overflow(operation: &'static str) -> ArithmeticError {
    ArithmeticError::Overflow { operation }
}

/// Magnitude, exponent and sign.
struct Parts {
    magnitude: u64,
    exponent: i32,
    negative: bool,
}

impl Parts {
    /// One up in the last digit, shifted when it overflows the 16 digits.
    const fn step_up(&mut self) {
        self.magnitude += 1;
        if self.magnitude > MAX_MANTISSA.unsigned_abs() {
            self.magnitude /= 10;
            self.exponent += 1;
        }
    }

    fn number(self) -> Result<Number, ArithmeticError> {
        if self.exponent > MAX_EXPONENT {
            return Err(overflow("a pool's arithmetic"));
        }
        if self.exponent < MIN_EXPONENT || self.magnitude == 0 {
            return Ok(Number::ZERO);
        }
        let mantissa = i64::try_from(self.magnitude).map_err(|_| overflow("a pool's arithmetic"))?;
        Ok(Number { mantissa: if self.negative { -mantissa } else { mantissa }, exponent: self.exponent })
    }
}

impl Number {
    /// Nothing.
    pub const ZERO: Number = Number { mantissa: 0, exponent: 0 };
    /// One.
    pub const ONE: Number = Number { mantissa: MIN_MANTISSA, exponent: -15 };

    /// A whole number of at most 15 digits, exactly.
    #[must_use]
    pub const fn whole(value: u32) -> Number {
        if value == 0 {
            return Number::ZERO;
        }
        let (mut mantissa, mut exponent) = (value as i64, 0);
        while mantissa < MIN_MANTISSA {
            mantissa *= 10;
            exponent -= 1;
        }
        Number { mantissa, exponent }
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

    /// -1, 0 or 1.
    #[must_use]
    pub const fn signum(self) -> i64 {
        self.mantissa.signum()
    }

    /// With the sign turned.
    #[must_use]
    pub const fn neg(self) -> Number {
        Number { mantissa: -self.mantissa, exponent: self.exponent }
    }

    /// A token value; exact.
    #[must_use]
    pub const fn of_token(value: TokenValue) -> Number {
        if value.is_zero() {
            return Number::ZERO;
        }
        Number { mantissa: value.mantissa(), exponent: value.exponent() }
    }

    fn parts(self) -> Parts {
        Parts { magnitude: self.mantissa.unsigned_abs(), exponent: self.exponent, negative: self.mantissa < 0 }
    }

    /// As a token value.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] above what a token can be.
    pub fn to_token(self) -> Result<TokenValue, ArithmeticError> {
        TokenValue::new(self.mantissa, self.exponent)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let (left, right) = (self.mantissa.signum(), other.mantissa.signum());
        if left != right || left == 0 {
            return left.cmp(&right);
        }
        let magnitude = self.exponent.cmp(&other.exponent).then(self.mantissa.abs().cmp(&other.mantissa.abs()));
        if left < 0 { magnitude.reverse() } else { magnitude }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Rounding {
    /// `mantissa` times ten to `exponent`, in 16 digits.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn number(self, mantissa: i64, exponent: i32) -> Result<Number, ArithmeticError> {
        if mantissa == 0 {
            return Ok(Number::ZERO);
        }
        let mut parts = Parts { magnitude: mantissa.unsigned_abs(), exponent, negative: mantissa < 0 };
        while parts.magnitude < MIN_MANTISSA.unsigned_abs() && parts.exponent > MIN_EXPONENT {
            parts.magnitude *= 10;
            parts.exponent -= 1;
        }
        let mut guard = Guard::new(parts.negative);
        while parts.magnitude > MAX_MANTISSA.unsigned_abs() {
            guard.push(parts.magnitude % 10);
            parts.magnitude /= 10;
            parts.exponent = parts.exponent.checked_add(1).ok_or(overflow("a pool's arithmetic"))?;
        }
        if parts.exponent < MIN_EXPONENT || parts.magnitude < MIN_MANTISSA.unsigned_abs() {
            return Ok(Number::ZERO);
        }
        if guard.moves(parts.magnitude, self) {
            parts.step_up();
        }
        parts.number()
    }

    /// An amount as a number; more than 16 digits of drops are rounded.
    ///
    /// # Errors
    /// None in practice: every amount is within a number's range.
    pub fn of(self, value: Value) -> Result<Number, ArithmeticError> {
        match value {
            Value::Drops(drops) => self.number(drops, 0),
            Value::Token(value) => Ok(Number::of_token(value)),
        }
    }

    /// A number as an amount of XRP (whole drops, rounded) or of a token (the same 16 digits).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] when it is more than the ledger can hold.
    pub fn to_value(self, number: Number, xrp: bool) -> Result<Value, ArithmeticError> {
        if xrp { self.to_whole(number).map(Value::Drops) } else { number.to_token().map(Value::Token) }
    }

    /// A number as a whole one.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] when it does not fit 64 bits.
    pub fn to_whole(self, number: Number) -> Result<i64, ArithmeticError> {
        let too_large = overflow("an amount of XRP");
        let Parts { mut magnitude, mut exponent, negative } = number.parts();
        let mut guard = Guard::new(negative);
        while exponent < 0 && (magnitude > 0 || guard.digits > 0) {
            guard.push(magnitude % 10);
            magnitude /= 10;
            exponent += 1;
        }
        while exponent > 0 && magnitude > 0 {
            magnitude = magnitude.checked_mul(10).ok_or(too_large)?;
            exponent -= 1;
        }
        if guard.moves(magnitude, self) {
            magnitude += 1;
        }
        let whole = i64::try_from(magnitude).map_err(|_| too_large)?;
        Ok(if negative { -whole } else { whole })
    }

    /// Sum.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn add(self, x: Number, y: Number) -> Result<Number, ArithmeticError> {
        if y.signum() == 0 {
            return Ok(x);
        }
        if x.signum() == 0 {
            return Ok(y);
        }
        if x == y.neg() {
            return Ok(Number::ZERO);
        }
        let (mut x, mut y) = (x.parts(), y.parts());
        let mut guard = Guard::new(match x.exponent.cmp(&y.exponent) {
            Ordering::Less => x.negative,
            Ordering::Greater => y.negative,
            Ordering::Equal => false,
        });
        let high = x.exponent.max(y.exponent);
        for low in [&mut x, &mut y] {
            while low.exponent < high {
                guard.push(low.magnitude % 10);
                low.magnitude /= 10;
                low.exponent += 1;
            }
        }
        if x.negative == y.negative { self.grow(x, &y, guard) } else { self.shrink(x, y, guard) }
    }

    /// The sum of two magnitudes of one exponent and sign.
    fn grow(self, mut x: Parts, y: &Parts, mut guard: Guard) -> Result<Number, ArithmeticError> {
        x.magnitude += y.magnitude;
        if x.magnitude > MAX_MANTISSA.unsigned_abs() {
            guard.push(x.magnitude % 10);
            x.magnitude /= 10;
            x.exponent += 1;
        }
        if guard.moves(x.magnitude, self) {
            x.step_up();
        }
        x.number()
    }

    /// The difference of two magnitudes of one exponent; the guard's digits belong to the smaller one.
    fn shrink(self, x: Parts, y: Parts, mut guard: Guard) -> Result<Number, ArithmeticError> {
        let (mut larger, smaller) = if x.magnitude > y.magnitude { (x, y) } else { (y, x) };
        larger.magnitude -= smaller.magnitude;
        while larger.magnitude < MIN_MANTISSA.unsigned_abs() {
            larger.magnitude = (larger.magnitude * 10).saturating_sub(guard.pop());
            larger.exponent -= 1;
            if larger.magnitude == 0 {
                return Ok(Number::ZERO);
            }
        }
        if guard.moves(larger.magnitude, self) {
            larger.magnitude -= 1;
            if larger.magnitude < MIN_MANTISSA.unsigned_abs() {
                larger.magnitude *= 10;
                larger.exponent -= 1;
            }
        }
        larger.number()
    }

    /// Difference.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn sub(self, x: Number, y: Number) -> Result<Number, ArithmeticError> {
        self.add(x, y.neg())
    }

    /// Product.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn mul(self, x: Number, y: Number) -> Result<Number, ArithmeticError> {
        if x.signum() == 0 || y.signum() == 0 {
            return Ok(Number::ZERO);
        }
        let (x, y) = (x.parts(), y.parts());
        let mut product = u128::from(x.magnitude) * u128::from(y.magnitude);
        let mut exponent = x.exponent.saturating_add(y.exponent);
        let negative = x.negative != y.negative;
        let mut guard = Guard::new(negative);
        while product > u128::from(MAX_MANTISSA.unsigned_abs()) {
            guard.push(u64::try_from(product % 10).unwrap_or(0));
            product /= 10;
            exponent = exponent.saturating_add(1);
        }
        let magnitude = u64::try_from(product).map_err(|_| overflow("a pool's arithmetic"))?;
        let mut parts = Parts { magnitude, exponent, negative };
        if guard.moves(parts.magnitude, self) {
            parts.step_up();
        }
        parts.number()
    }

    /// Quotient: cut at 17 or 18 digits, then rounded to 16.
    ///
    /// # Errors
    /// [`ArithmeticError::DivisionByZero`], [`ArithmeticError::Overflow`].
    pub fn div(self, x: Number, y: Number) -> Result<Number, ArithmeticError> {
        if y.signum() == 0 {
            return Err(ArithmeticError::DivisionByZero { operation: "a pool's arithmetic" });
        }
        if x.signum() == 0 {
            return Ok(Number::ZERO);
        }
        let (x, y) = (x.parts(), y.parts());
        let quotient = u128::from(x.magnitude) * DIVISION_SCALE / u128::from(y.magnitude);
        let magnitude = i64::try_from(quotient).map_err(|_| overflow("a pool's arithmetic"))?;
        let exponent = x.exponent.saturating_sub(y.exponent).saturating_sub(17);
        self.number(if x.negative == y.negative { magnitude } else { -magnitude }, exponent)
    }

    /// `x` to the power of `n`, by squaring.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`].
    pub fn power(self, x: Number, n: u32) -> Result<Number, ArithmeticError> {
        match n {
            0 => Ok(Number::ONE),
            1 => Ok(x),
            _ => {
                let half = self.power(x, n / 2)?;
                let square = self.mul(half, half)?;
                if n.is_multiple_of(2) { Ok(square) } else { self.mul(square, x) }
            }
        }
    }

    /// The square root.
    ///
    /// # Errors
    /// [`ArithmeticError::NegativeRoot`] below zero.
    pub fn root2(self, x: Number) -> Result<Number, ArithmeticError> {
        if x.signum() < 0 {
            return Err(ArithmeticError::NegativeRoot);
        }
        if x.signum() == 0 || x == Number::ONE {
            return Ok(x);
        }
        // Between zero and one, with an even exponent taken out.
        let mut scale = x.exponent + 16;
        scale += i32::from(scale % 2 != 0);
        let x = Number { mantissa: x.mantissa, exponent: x.exponent - scale };
        // The first guess: a parabola through the root's curve.
        let linear = self.add(self.mul(Number::whole(60).neg(), x)?, Number::whole(144))?;
        let mut root = self.div(self.add(self.mul(linear, x)?, Number::whole(18))?, Number::whole(105))?;
        let mut last = Number::ZERO;
        for _ in 0..MAX_ROOT_STEPS {
            let before = std::mem::replace(&mut last, root);
            root = self.div(self.add(root, self.div(x, root)?)?, Number::whole(2))?;
            // The second comparison catches a value that jumps between two neighbours for ever.
            if root == last || root == before {
                break;
            }
        }
        Ok(Number { mantissa: root.mantissa, exponent: root.exponent + scale / 2 })
    }
}

#[cfg(test)]
mod tests;

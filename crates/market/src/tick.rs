//! What the token's issuer does to an offer: the grid that its rate is rounded to, and the fee that its owner pays.
//!
//! A tick size is a number of significant digits of the rate (rippled, `CreateOffer.cpp`, `applyGuts`; `Quality.cpp`,
//! `round`). An offer without `tfSell`, as all of ours are, keeps what it asks for and gives less, so that its rate is
//! the next one on the grid. What is signed here is what such a rounding leaves unchanged: the offer that the record
//! knows is the offer that rests.

use serde::{Deserialize, Serialize};

use crate::decimal::LEDGER_DIGITS;
use crate::{AmountError, Dec, Drops, Quote, Rounding, Side};

/// Rates of this many digits are not rounded (rippled, `Quality::maxTickSize`).
const ALL_DIGITS: u8 = 16;
/// A transfer rate that takes nothing, in billionths.
const FREE: u32 = 1_000_000_000;
/// Drops that a size is made smaller by, at most, to find legs that the ledger leaves as they are.
const SEARCHED_DROPS: i64 = 256;
/// Largest mantissa of a token amount.
const MAX_MANTISSA: u128 = 9_999_999_999_999_999;
/// Digits that the price of a quote on the grid is told with.
const PRICE_DIGITS: usize = 12;

/// What an issuer has set, as far as it changes an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerRules {
    /// Significant digits of an offer's rate, 3 to 15; `None`, 0 or 16: all.
    pub tick_size: Option<u8>,
    /// Billionths that moving the token costs; `None`, 0 or 1,000,000,000: nothing.
    pub transfer_rate: Option<u32>,
}

impl IssuerRules {
    /// The digits that a rate is rounded to, where it is.
    #[must_use]
    pub fn grid(self) -> Option<u8> {
        self.tick_size.filter(|digits| (1..ALL_DIGITS).contains(digits))
    }

    /// What the owner of a resting offer pays for one token that a taker receives: one, and the fee.
    ///
    /// The owner pays it where his offer is crossed by another (rippled, `CreateOffer.cpp`, `flowCross`, and
    /// `BookStep.cpp`, `rate`), and in no other case: a payment's fee is its sender's, and XRP knows none. It touches our
    /// bids alone: who fills an ask pays the fee for what we receive.
    fn rate(self) -> Result<Option<Dec>, AmountError> {
        let rate = self.transfer_rate.filter(|rate| *rate > FREE);
        rate.map(|rate| Dec::from_parts(rate.into(), -9)).transpose()
    }

    /// The tokens that bids may promise: with the fee of each, all of `rlusd`.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn promisable(self, rlusd: Dec) -> Result<Dec, AmountError> {
        match self.rate()? {
            Some(rate) if rlusd.is_positive() => {
                rlusd.div(rate, Rounding::Down)?.round_digits(LEDGER_DIGITS, Rounding::Down)
            }
            _ => Ok(rlusd),
        }
    }

    /// The price of the offer for which we pay or receive `price`: a bid stands lower by the fee.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn offered(self, side: Side, price: Dec) -> Result<Dec, AmountError> {
        match (side, self.rate()?) {
            (Side::Bid, Some(rate)) => price.div(rate, Rounding::Down),
            _ => Ok(price),
        }
    }
}

/// The legs that rest when an offer of these legs is placed and meets nothing: XRP and token. `None` when one of them
/// rounds to nothing, and nothing rests.
///
/// # Errors
/// [`AmountError`] for a leg that is no amount of the ledger.
pub fn as_placed(
    side: Side,
    size: Drops,
    rlusd: Dec,
    tick_size: Option<u8>,
) -> Result<Option<(Drops, Dec)>, AmountError> {
    if size <= Drops::ZERO || !rlusd.is_positive() {
        return Ok(None);
    }
    let grid = IssuerRules { tick_size, transfer_rate: None }.grid();
    let Some(digits) = grid else { return Ok(Some((size, rlusd))) };
    let (xrp, token) = (Scaled::of_drops(size)?, Scaled::of_token(rlusd)?);
    let placed = match side {
        // The bid asks for XRP: what it gives, the token, is what its rate is made of.
        Side::Bid => xrp.divided(xrp.divided(token)?.rounded(digits))?.to_token().map(|rlusd| (size, rlusd))?,
        Side::Ask => token.divided(token.divided(xrp)?.rounded(digits))?.to_drops().map(|size| (size, rlusd))?,
    };
    Ok(Some(placed).filter(|(size, rlusd)| *size > Drops::ZERO && rlusd.is_positive()))
}

impl Quote {
    /// The quote of at most `size` at `price` or better that rests exactly as it is signed. `None` when no size within a
    /// few drops does.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd prices.
    pub fn on_grid(
        side: Side,
        level: u8,
        price: Dec,
        size: Drops,
        tick_size: Option<u8>,
    ) -> Result<Option<Quote>, AmountError> {
        let exact = Quote::new(side, level, price, size)?;
        let rules = IssuerRules { tick_size, transfer_rate: None };
        let Some(digits) = rules.grid().filter(|_| exact.rlusd.is_positive()) else { return Ok(Some(exact)) };
        let (xrp, token) = (Scaled::of_drops(size)?, Scaled::of_token(exact.rlusd)?);
        let (paid, given) = if side == Side::Bid { (xrp, token) } else { (token, xrp) };
        let near = paid.divided(given)?.rounded(digits);
        // At a price that is on the grid itself, only the next rate may be as good as asked for.
        for rate in [near, near.next(digits)] {
            for fewer in 0..SEARCHED_DROPS {
                let size = size.sub(Drops::new(fewer))?;
                if size <= Drops::ZERO {
                    break;
                }
                if let Some(rlusd) = stays(side, size, price, rate, digits)? {
                    let price = told(side, size, rlusd)?;
                    return Ok(Some(Quote { side, level, price, size, rlusd }));
                }
            }
        }
        Ok(None)
    }
}

/// The token leg beside `size` that makes an offer of this rate which the ledger leaves unchanged and which is no worse
/// than `price`, if there is one.
fn stays(side: Side, size: Drops, price: Dec, rate: Scaled, digits: u8) -> Result<Option<Dec>, AmountError> {
    let xrp = Scaled::of_drops(size)?;
    let rlusd = match side {
        Side::Bid => xrp.divided(rate)?.to_token()?,
        // Rounded down, so that the rate is not pushed to the next one of the grid.
        Side::Ask => {
            let drops = Dec::from_i64(size.get());
            drops.mul(rate.to_token()?, Rounding::Down)?.round_digits(LEDGER_DIGITS, Rounding::Down)?
        }
    };
    if as_placed(side, size, rlusd, Some(digits))? != Some((size, rlusd)) {
        return Ok(None);
    }
    let asked = size.to_xrp()?.mul(price, if side == Side::Bid { Rounding::Down } else { Rounding::Up })?;
    let fair = if side == Side::Bid { rlusd <= asked } else { rlusd >= asked };
    Ok(fair.then_some(rlusd))
}

/// The price of these legs, rounded so that they are never worse than it.
fn told(side: Side, size: Drops, rlusd: Dec) -> Result<Dec, AmountError> {
    let rounding = if side == Side::Bid { Rounding::Up } else { Rounding::Down };
    rlusd.div(size.to_xrp()?, rounding)?.round_digits(PRICE_DIGITS, rounding)
}

/// A positive amount or rate of 16 digits: what rippled's `divide` works on (`STAmount.cpp`). Drops count as units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scaled {
    mantissa: u128,
    exponent: i32,
}

impl Scaled {
    fn of_drops(drops: Drops) -> Result<Scaled, AmountError> {
        Scaled::of_token(Dec::from_i64(drops.get()))
    }

    fn of_token(value: Dec) -> Result<Scaled, AmountError> {
        let (mantissa, exponent) = value.to_ledger_parts()?;
        let overflow = |_| AmountError::Overflow { operation: "a leg" };
        Ok(Scaled { mantissa: u128::try_from(mantissa).map_err(overflow)?, exponent })
    }

    /// 17 more digits, a half of the last one added, rounded to the nearest even.
    fn divided(self, by: Scaled) -> Result<Scaled, AmountError> {
        let whole = (self.mantissa * 10_u128.pow(17)).checked_div(by.mantissa).ok_or(AmountError::DivisionByZero)?;
        let (mut mantissa, mut exponent) = (whole + 5, self.exponent - by.exponent - 17);
        let surplus = mantissa.checked_ilog10().unwrap_or(0).saturating_sub(15);
        mantissa = nearest_even(mantissa, surplus);
        exponent = exponent.saturating_add_unsigned(surplus);
        if mantissa > MAX_MANTISSA {
            (mantissa, exponent) = (mantissa / 10, exponent + 1);
        }
        Ok(Scaled { mantissa, exponent })
    }

    /// The next rate with this many digits, itself included.
    fn rounded(self, digits: u8) -> Scaled {
        let step = step(digits);
        Scaled { mantissa: self.mantissa.div_ceil(step) * step, ..self }.normal()
    }

    /// The next rate of the grid.
    fn next(self, digits: u8) -> Scaled {
        Scaled { mantissa: self.mantissa + step(digits), ..self }.normal()
    }

    /// Back to 16 digits: only a power of ten can have 17, and keeps its value.
    fn normal(self) -> Scaled {
        if self.mantissa <= MAX_MANTISSA {
            return self;
        }
        Scaled { mantissa: self.mantissa / 10, exponent: self.exponent + 1 }
    }

    fn to_token(self) -> Result<Dec, AmountError> {
        let overflow = |_| AmountError::Overflow { operation: "a leg" };
        Dec::from_parts(i64::try_from(self.mantissa).map_err(overflow)?, self.exponent)
    }

    /// Whole drops, to the nearest even.
    fn to_drops(self) -> Result<Drops, AmountError> {
        let overflow = || AmountError::Overflow { operation: "an amount of XRP" };
        let drops = if self.exponent < 0 {
            nearest_even(self.mantissa, self.exponent.unsigned_abs())
        } else {
            let scale = 10_u128.checked_pow(self.exponent.unsigned_abs()).ok_or_else(overflow)?;
            self.mantissa.checked_mul(scale).ok_or_else(overflow)?
        };
        i64::try_from(drops).map(Drops::new).map_err(|_| overflow())
    }
}

fn step(digits: u8) -> u128 {
    10_u128.pow(u32::from(ALL_DIGITS.saturating_sub(digits)))
}

fn nearest_even(value: u128, digits: u32) -> u128 {
    let Some(divisor) = 10_u128.checked_pow(digits) else { return 0 };
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => digits > 0 && quotient % 2 == 1,
    };
    quotient + u128::from(up)
}

#[cfg(test)]
#[path = "tick_tests.rs"]
mod tests;

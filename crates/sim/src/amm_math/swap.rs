//! Swaps, and the offer that moves a pool's price.

use super::{DOWN, NEAREST, Result, UP, fee, fee_mult, square, within_relative_distance};
use crate::amendment::{Amendment, Amendments};
use crate::amount::{ArithmeticError, InOut, Quality, TokenValue, Value};
use crate::number::{Number, Rounding};

/// Most drops that an amount's own format holds: rippled's answer where a swap has no price.
const MAX_NATIVE: i64 = 9_000_000_000_000_000_000;

/// What comes out of a pool for what goes in, rounded in the pool's favour. `pool.input` is the balance of the asset that
/// goes in.
///
/// # Errors
/// [`ArithmeticError`].
pub fn swap_in(pool: InOut, input: Value, trading_fee: u16, amendments: &Amendments) -> Result<Value> {
    let xrp = pool.output.is_xrp();
    if !amendments.enabled(Amendment::FixAmmV1V1) {
        let m = NEAREST;
        let (pool_in, pool_out) = (m.of(pool.input)?, m.of(pool.output)?);
        let grown = m.add(pool_in, m.mul(m.of(input)?, fee_mult(m, trading_fee)?)?)?;
        return DOWN.to_value(m.sub(pool_out, m.div(m.mul(pool_in, pool_out)?, grown)?)?, xrp);
    }
    let product = UP.mul(UP.of(pool.input)?, UP.of(pool.output)?)?;
    let fee = fee(UP, trading_fee)?;
    let taken = DOWN.mul(DOWN.of(input)?, DOWN.sub(Number::ONE, fee)?)?;
    let grown = DOWN.add(DOWN.of(pool.input)?, taken)?;
    if grown.signum() <= 0 {
        return Ok(Value::zero(xrp));
    }
    let left = UP.div(product, grown)?;
    let output = DOWN.sub(DOWN.of(pool.output)?, left)?;
    if output.signum() < 0 { Ok(Value::zero(xrp)) } else { DOWN.to_value(output, xrp) }
}

/// What must go into a pool for what comes out, rounded in the pool's favour; the largest amount there is when that
/// would empty it.
///
/// # Errors
/// [`ArithmeticError`].
pub fn swap_out(pool: InOut, output: Value, trading_fee: u16, amendments: &Amendments) -> Result<Value> {
    let xrp = pool.input.is_xrp();
    if !amendments.enabled(Amendment::FixAmmV1V1) {
        let m = NEAREST;
        let (pool_in, pool_out) = (m.of(pool.input)?, m.of(pool.output)?);
        let left = m.sub(pool_out, m.of(output)?)?;
        let grown = m.div(m.mul(pool_in, pool_out)?, left)?;
        return UP.to_value(m.div(m.sub(grown, pool_in)?, fee_mult(m, trading_fee)?)?, xrp);
    }
    let product = UP.mul(UP.of(pool.input)?, UP.of(pool.output)?)?;
    let left = DOWN.sub(DOWN.of(pool.output)?, DOWN.of(output)?)?;
    if left.signum() <= 0 {
        return largest(xrp);
    }
    let grown = UP.div(product, left)?;
    let added = UP.sub(grown, UP.of(pool.input)?)?;
    let kept = DOWN.sub(Number::ONE, fee(UP, trading_fee)?)?;
    let input = UP.div(added, kept)?;
    if input.signum() < 0 { Ok(Value::zero(xrp)) } else { UP.to_value(input, xrp) }
}

fn largest(xrp: bool) -> Result<Value> {
    if xrp {
        return Ok(Value::Drops(MAX_NATIVE));
    }
    TokenValue::new(9_999_999_999_999_999, 80).map(Value::Token)
}

/// The offer that brings a pool's price to `quality`: after it either the spot price or its own price is that of the
/// order book. `None` when the pool's price is no better.
///
/// # Errors
/// [`ArithmeticError`].
pub fn change_spot_price(
    pool: InOut,
    quality: Quality,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Option<InOut>> {
    if quality.rate().is_zero() {
        return Ok(None);
    }
    if !amendments.enabled(Amendment::FixAmmV1V1) {
        return change_spot_price_before_v1_1(pool, quality, trading_fee, amendments);
    }
    // XRP comes first: it is rounded down to whole drops, which can only better the offer's quality.
    let offer = if pool.output.is_xrp() {
        offer_from_output(pool, quality, trading_fee, amendments)?
    } else {
        offer_from_input(pool, quality, trading_fee, amendments)?
    };
    Ok(offer.filter(|amounts| !Quality::of(*amounts).is_worse_than(quality)))
}

/// The smaller root, in the form that does not cancel; `None` when there is none.
fn smallest_root(a: Number, b: Number, c: Number) -> Result<Option<Number>> {
    let m = NEAREST;
    let discriminant = m.sub(square(b)?, m.mul(m.mul(Number::whole(4), a)?, c)?)?;
    if discriminant.signum() < 0 {
        return Ok(None);
    }
    let root = m.root2(discriminant)?;
    let below = if b.signum() > 0 { m.sub(b.neg(), root)? } else { m.add(b.neg(), root)? };
    m.div(m.mul(Number::whole(2), c)?, below).map(Some)
}

/// A little less, for an offer whose rounding made its quality a little worse than asked.
fn reduced(rounded: Value) -> Result<Number> {
    Rounding::TowardsZero.mul(Rounding::TowardsZero.of(rounded)?, NEAREST.number(9_999, -4)?)
}

/// The smaller of two solutions, when both are above zero.
fn smallest_positive(solution: Option<Number>, limit: Number) -> Option<Number> {
    let solution = solution.filter(|solution| solution.signum() > 0)?;
    (limit.signum() > 0).then(|| solution.min(limit))
}

fn offer_from_output(
    pool: InOut,
    quality: Quality,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Option<InOut>> {
    let m = NEAREST;
    let (pool_in, pool_out, rate) = (m.of(pool.input)?, m.of(pool.output)?, Number::of_token(quality.rate()));
    let f = fee_mult(m, trading_fee)?;
    let slope = m.div(m.mul(pool_in, m.sub(Number::ONE, m.div(Number::ONE, f)?)?)?, rate)?;
    let b = m.sub(slope, m.mul(Number::whole(2), pool_out)?)?;
    let c = m.sub(square(pool_out)?, m.div(m.mul(pool_in, pool_out)?, rate)?)?;
    let solution = smallest_root(Number::ONE, b, c)?;
    let limit = m.sub(pool_out, m.div(pool_in, m.mul(rate, f)?)?)?;
    let Some(proposed) = smallest_positive(solution, limit) else { return Ok(None) };
    let amounts = |proposed| -> Result<InOut> {
        let output = DOWN.to_value(proposed, pool.output.is_xrp())?;
        Ok(InOut { input: swap_out(pool, output, trading_fee, amendments)?, output })
    };
    let first = amounts(proposed)?;
    if Quality::of(first).is_worse_than(quality) {
        return amounts(reduced(first.output)?).map(Some);
    }
    Ok(Some(first))
}

fn offer_from_input(pool: InOut, quality: Quality, trading_fee: u16, amendments: &Amendments) -> Result<Option<InOut>> {
    let m = NEAREST;
    let (pool_in, pool_out, rate) = (m.of(pool.input)?, m.of(pool.output)?, Number::of_token(quality.rate()));
    let f = fee_mult(m, trading_fee)?;
    let b = m.mul(pool_in, m.add(Number::ONE, f)?)?;
    let c = m.sub(square(pool_in)?, m.mul(m.mul(pool_in, pool_out)?, rate)?)?;
    let solution = smallest_root(f, b, c)?;
    let limit = m.sub(m.mul(pool_out, rate)?, m.div(pool_in, f)?)?;
    let Some(proposed) = smallest_positive(solution, limit) else { return Ok(None) };
    let amounts = |proposed| -> Result<InOut> {
        let input = DOWN.to_value(proposed, pool.input.is_xrp())?;
        Ok(InOut { input, output: swap_in(pool, input, trading_fee, amendments)? })
    };
    let first = amounts(proposed)?;
    if Quality::of(first).is_worse_than(quality) {
        return amounts(reduced(first.input)?).map(Some);
    }
    Ok(Some(first))
}

fn change_spot_price_before_v1_1(
    pool: InOut,
    quality: Quality,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Option<InOut>> {
    let m = NEAREST;
    let (pool_in, pool_out, rate) = (m.of(pool.input)?, m.of(pool.output)?, Number::of_token(quality.rate()));
    let f = fee_mult(m, trading_fee)?;
    let b = m.mul(pool_in, m.add(Number::ONE, f)?)?;
    let c = m.sub(square(pool_in)?, m.mul(m.mul(pool_in, pool_out)?, rate)?)?;
    let discriminant = m.sub(square(b)?, m.mul(m.mul(Number::whole(4), f)?, c)?)?;
    if discriminant.signum() < 0 {
        return Ok(None);
    }
    let proposed = m.div(m.add(b.neg(), m.root2(discriminant)?)?, m.mul(Number::whole(2), f)?)?;
    let limit = m.sub(m.mul(pool_out, rate)?, m.div(pool_in, f)?)?;
    let Some(proposed) = smallest_positive(Some(proposed), limit) else { return Ok(None) };
    let input = UP.to_value(proposed, pool.input.is_xrp())?;
    let offer = InOut { input, output: swap_in(pool, input, trading_fee, amendments)? };
    let tolerance = NEAREST.number(1, -7)?;
    let near = within_relative_distance(Quality::of(offer).rate(), quality.rate(), tolerance)?;
    if Quality::of(offer).is_worse_than(quality) && !near {
        return Err(ArithmeticError::Overflow { operation: "a pool's offer" });
    }
    Ok(Some(offer))
}

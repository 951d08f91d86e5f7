//! What a pool gives and takes: swaps, and pool tokens against deposits and withdrawals.
//!
//! The formulas are those of XLS-30; which way each step rounds is rippled's (2.6.1, `AMMHelpers.cpp`, `AMMHelpers.h`),
//! with fixAMMv1_1 and fixAMMv1_3 in force or not. Rounding always favours the pool, so that the root of the product of
//! its assets never falls below its tokens.

use crate::amendment::{Amendment, Amendments};
use crate::amm::FEE_SCALE;
use crate::amount::{ArithmeticError, InOut, Quality, TokenValue, Value, multiply};
use crate::number::{Number, Rounding};

const NEAREST: Rounding = Rounding::Nearest;
const UP: Rounding = Rounding::Upward;
const DOWN: Rounding = Rounding::Downward;
/// Most drops that an amount's own format holds: rippled's answer where a swap has no price.
const MAX_NATIVE: i64 = 9_000_000_000_000_000_000;

type Result<T> = std::result::Result<T, ArithmeticError>;

/// Whether liquidity comes or goes: it decides the direction of every rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Assets come in, tokens go out.
    Deposit,
    /// Tokens come in, assets go out.
    Withdraw,
}

impl Direction {
    /// Tokens: fewer are given, more are taken.
    const fn tokens(self) -> Rounding {
        match self {
            Direction::Deposit => DOWN,
            Direction::Withdraw => UP,
        }
    }

    /// Assets: more are taken, fewer are given.
    const fn assets(self) -> Rounding {
        match self {
            Direction::Deposit => UP,
            Direction::Withdraw => DOWN,
        }
    }
}

/// A fee as a number.
fn fee(rounding: Rounding, fee: u16) -> Result<Number> {
    rounding.div(Number::whole(u32::from(fee)), Number::whole(FEE_SCALE))
}

/// One less a fee.
fn fee_mult(rounding: Rounding, trading_fee: u16) -> Result<Number> {
    rounding.sub(Number::ONE, fee(rounding, trading_fee)?)
}

/// One less half a fee.
fn fee_mult_half(trading_fee: u16) -> Result<Number> {
    NEAREST.sub(Number::ONE, NEAREST.div(fee(NEAREST, trading_fee)?, Number::whole(2))?)
}

fn square(x: Number) -> Result<Number> {
    NEAREST.mul(x, x)
}

/// `balance` times `fraction`, every step rounded the same way.
fn part_of(balance: Value, fraction: Number, rounding: Rounding) -> Result<Value> {
    let part = rounding.mul(rounding.of(balance)?, fraction)?;
    rounding.to_value(part, balance.is_xrp())
}

fn tokens_of(balance: TokenValue, fraction: Number, rounding: Rounding) -> Result<TokenValue> {
    rounding.mul(Number::of_token(balance), fraction)?.to_token()
}

/// One amount over another.
fn ratio(part: Value, whole: Value) -> Result<Number> {
    NEAREST.div(NEAREST.of(part)?, NEAREST.of(whole)?)
}

/// One number of tokens over another.
///
/// # Errors
/// [`ArithmeticError`].
pub fn token_ratio(part: TokenValue, whole: TokenValue) -> Result<Number> {
    NEAREST.div(Number::of_token(part), Number::of_token(whole))
}

/// Tokens of a new pool: the root of the product of its assets.
///
/// # Errors
/// [`ArithmeticError`].
pub fn initial_tokens(a: Value, b: Value, amendments: &Amendments) -> Result<TokenValue> {
    let rounding = if amendments.enabled(Amendment::FixAmmV1V3) { DOWN } else { NEAREST };
    let product = rounding.mul(rounding.of(a)?, rounding.of(b)?)?;
    rounding.root2(product)?.to_token()
}

/// Tokens for a deposit of one asset (equation 3).
///
/// # Errors
/// [`ArithmeticError`].
pub fn tokens_for_deposit(
    balance: Value,
    deposit: Value,
    tokens: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<TokenValue> {
    let m = NEAREST;
    let f1 = fee_mult(m, trading_fee)?;
    let f2 = m.div(fee_mult_half(trading_fee)?, f1)?;
    let r = ratio(deposit, balance)?;
    let c = m.sub(m.root2(m.add(square(f2)?, m.div(r, f1)?)?)?, f2)?;
    let (above, below) = (m.sub(r, c)?, m.add(Number::ONE, c)?);
    if amendments.enabled(Amendment::FixAmmV1V3) {
        tokens_of(tokens, m.div(above, below)?, DOWN)
    } else {
        m.div(m.mul(Number::of_token(tokens), above)?, below)?.to_token()
    }
}

/// The deposit of one asset that so many tokens cost (equation 4, which solves 3 for the deposit).
///
/// # Errors
/// [`ArithmeticError`].
pub fn deposit_for_tokens(
    balance: Value,
    tokens: TokenValue,
    wanted: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Value> {
    let m = NEAREST;
    let f1 = fee_mult(m, trading_fee)?;
    let f2 = m.div(fee_mult_half(trading_fee)?, f1)?;
    let t1 = token_ratio(wanted, tokens)?;
    let t2 = m.add(Number::ONE, t1)?;
    let d = m.sub(f2, m.div(t1, t2)?)?;
    let a = m.div(Number::ONE, square(t2)?)?;
    let b = m.sub(m.div(m.mul(Number::whole(2), d)?, t2)?, m.div(Number::ONE, f1)?)?;
    let c = m.sub(square(d)?, square(f2)?)?;
    let fraction = positive_root(a, b, c)?;
    part_of(balance, fraction, if amendments.enabled(Amendment::FixAmmV1V3) { UP } else { NEAREST })
}

/// Tokens that a withdrawal of one asset costs (equation 7).
///
/// # Errors
/// [`ArithmeticError`].
pub fn tokens_for_withdrawal(
    balance: Value,
    withdrawal: Value,
    tokens: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<TokenValue> {
    let m = NEAREST;
    let r = ratio(withdrawal, balance)?;
    let f1 = fee(m, trading_fee)?;
    let c = m.sub(m.add(m.mul(r, f1)?, Number::whole(2))?, f1)?;
    let root = m.root2(m.sub(square(c)?, m.mul(Number::whole(4), r)?)?)?;
    let difference = m.sub(c, root)?;
    if amendments.enabled(Amendment::FixAmmV1V3) {
        tokens_of(tokens, m.div(difference, Number::whole(2))?, UP)
    } else {
        m.div(m.mul(Number::of_token(tokens), difference)?, Number::whole(2))?.to_token()
    }
}

/// The withdrawal of one asset that so many tokens buy (equation 8, which solves 7 for the withdrawal).
///
/// # Errors
/// [`ArithmeticError`].
pub fn withdrawal_for_tokens(
    balance: Value,
    tokens: TokenValue,
    given: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Value> {
    let m = NEAREST;
    let f = fee(m, trading_fee)?;
    let t1 = token_ratio(given, tokens)?;
    let above = m.sub(square(t1)?, m.mul(t1, m.sub(Number::whole(2), f)?)?)?;
    let below = m.sub(m.mul(t1, f)?, Number::ONE)?;
    if amendments.enabled(Amendment::FixAmmV1V3) {
        part_of(balance, m.div(above, below)?, DOWN)
    } else {
        m.to_value(m.div(m.mul(m.of(balance)?, above)?, below)?, balance.is_xrp())
    }
}

/// The larger root of `a x^2 + b x + c`.
fn positive_root(a: Number, b: Number, c: Number) -> Result<Number> {
    let m = NEAREST;
    let discriminant = m.sub(square(b)?, m.mul(m.mul(Number::whole(4), a)?, c)?)?;
    m.div(m.add(b.neg(), m.root2(discriminant)?)?, m.mul(Number::whole(2), a)?)
}

/// The deposit at which one token costs `price`, and its tokens (equation 3 solved for that price).
///
/// # Errors
/// [`ArithmeticError`].
pub fn deposit_at_price(
    balance: Value,
    tokens: TokenValue,
    price: Value,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<Value> {
    let m = NEAREST;
    let two = Number::whole(2);
    let (amount, e) = (m.of(balance)?, m.of(price)?);
    let f1 = fee_mult(m, trading_fee)?;
    let f2 = m.div(fee_mult_half(trading_fee)?, f1)?;
    let c = m.div(m.mul(f1, amount)?, m.mul(e, Number::of_token(tokens))?)?;
    let d = m.sub(m.add(f1, m.mul(c, f2)?)?, c)?;
    let a1 = square(c)?;
    let cf = m.mul(m.mul(square(c)?, f2)?, f2)?;
    let b1 = m.sub(m.add(cf, m.mul(two, c)?)?, square(d)?)?;
    let cff = m.mul(m.mul(m.mul(two, c)?, f2)?, f2)?;
    let c1 = m.sub(m.add(cff, Number::ONE)?, m.mul(m.mul(two, d)?, f2)?)?;
    if amendments.enabled(Amendment::FixAmmV1V3) {
        part_of(balance, m.mul(f1, positive_root(a1, b1, c1)?)?, UP)
    } else {
        let deposit = m.mul(m.mul(f1, amount)?, positive_root(a1, b1, c1)?)?;
        m.to_value(deposit, balance.is_xrp())
    }
}

/// Tokens for a deposit at a price of `price` each.
///
/// # Errors
/// [`ArithmeticError`].
pub fn tokens_at_price(
    deposit: Value,
    price: Value,
    tokens: TokenValue,
    amendments: &Amendments,
) -> Result<TokenValue> {
    if !amendments.enabled(Amendment::FixAmmV1V3) {
        return ratio(deposit, price)?.to_token();
    }
    let m = Direction::Deposit.tokens();
    let bought = m.div(m.of(deposit)?, m.of(price)?)?.to_token()?;
    keepable_tokens(tokens, bought, Direction::Deposit)
}

/// Tokens whose withdrawal gives one unit of the asset for each `price` of them (equation 8 solved for that price).
///
/// # Errors
/// [`ArithmeticError`].
pub fn tokens_withdrawn_at_price(
    balance: Value,
    tokens: TokenValue,
    price: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<TokenValue> {
    let m = NEAREST;
    let all = Number::of_token(tokens);
    let ae = m.mul(m.of(balance)?, Number::of_token(price))?;
    let f = fee(m, trading_fee)?;
    let below = m.sub(m.mul(all, f)?, ae)?;
    let above = m.add(all, m.mul(ae, m.sub(f, Number::whole(2))?)?)?;
    if !amendments.enabled(Amendment::FixAmmV1V3) {
        return m.div(m.mul(all, above)?, below)?.to_token();
    }
    let given = tokens_of(tokens, m.div(above, below)?, Direction::Withdraw.tokens())?;
    keepable_tokens(tokens, given, Direction::Withdraw)
}

/// What so many tokens withdraw at a price of `price` of them for each unit.
///
/// # Errors
/// [`ArithmeticError`].
pub fn withdrawal_at_price(given: TokenValue, price: TokenValue, xrp: bool, amendments: &Amendments) -> Result<Value> {
    let m = if amendments.enabled(Amendment::FixAmmV1V3) { Direction::Withdraw.assets() } else { NEAREST };
    m.to_value(m.div(Number::of_token(given), Number::of_token(price))?, xrp)
}

/// The part of `tokens` that the pool's balance, with its 16 digits, really changes by.
///
/// # Errors
/// [`ArithmeticError`].
pub fn keepable_tokens(balance: TokenValue, tokens: TokenValue, direction: Direction) -> Result<TokenValue> {
    let (balance, tokens) = (Number::of_token(balance), Number::of_token(tokens));
    let changed = match direction {
        Direction::Deposit => DOWN.sub(DOWN.add(balance, tokens)?.to_token().map(Number::of_token)?, balance)?,
        Direction::Withdraw => DOWN.add(DOWN.sub(tokens, balance)?.to_token().map(Number::of_token)?, balance)?,
    };
    changed.to_token()
}

/// A part of an asset's balance, for a deposit or withdrawal of both assets; `fraction` was computed as a token value.
///
/// # Errors
/// [`ArithmeticError`].
pub fn asset_part_by_value(
    balance: Value,
    fraction: TokenValue,
    direction: Direction,
    amendments: &Amendments,
) -> Result<Value> {
    if amendments.enabled(Amendment::FixAmmV1V3) {
        part_of(balance, Number::of_token(fraction), direction.assets())
    } else {
        multiply(balance, Value::Token(fraction), balance.is_xrp())
    }
}

/// A part of an asset's balance, for a deposit or withdrawal of both assets.
///
/// # Errors
/// [`ArithmeticError`].
pub fn asset_part(balance: Value, fraction: Number, direction: Direction, amendments: &Amendments) -> Result<Value> {
    part_of(balance, fraction, if amendments.enabled(Amendment::FixAmmV1V3) { direction.assets() } else { NEAREST })
}

/// The fraction of the pool that `part` of `whole` is, and its tokens; under fixAMMv1_3 the fraction is that of the
/// tokens which the pool's balance can keep.
///
/// # Errors
/// [`ArithmeticError`].
pub fn fraction_and_tokens(
    part: Value,
    whole: Value,
    tokens: TokenValue,
    direction: Direction,
    amendments: &Amendments,
) -> Result<(Number, TokenValue)> {
    let fraction = ratio(part, whole)?;
    if !amendments.enabled(Amendment::FixAmmV1V3) {
        return Ok((fraction, tokens_of(tokens, fraction, NEAREST)?));
    }
    let share = keepable_tokens(tokens, tokens_of(tokens, fraction, direction.tokens())?, direction)?;
    Ok((token_ratio(share, tokens)?, share))
}

/// Tokens and deposit that belong together: `asked` was turned into `tokens_out`, which the pool's balance may keep less
/// of, so that less is deposited (rippled, `adjustAssetInByTokens`).
///
/// # Errors
/// [`ArithmeticError`].
pub fn settle_deposit(
    balance: Value,
    asked: Value,
    tokens: TokenValue,
    tokens_out: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<(TokenValue, Value)> {
    if !amendments.enabled(Amendment::FixAmmV1V3) {
        return Ok((tokens_out, asked));
    }
    let mut out = tokens_out;
    let mut deposit = deposit_for_tokens(balance, tokens, out, trading_fee, amendments)?;
    if deposit > asked {
        // Rounding went the wrong way: the same again with as much less as it went over.
        let less = asked.sub(deposit.sub(asked)?)?;
        let again = tokens_for_deposit(balance, less, tokens, trading_fee, amendments)?;
        out = keepable_tokens(tokens, again, Direction::Deposit)?;
        deposit = deposit_for_tokens(balance, tokens, out, trading_fee, amendments)?;
    }
    Ok((out, asked.min(deposit)))
}

/// Tokens and withdrawal that belong together (rippled, `adjustAssetOutByTokens`).
///
/// # Errors
/// [`ArithmeticError`].
pub fn settle_withdrawal(
    balance: Value,
    asked: Value,
    tokens: TokenValue,
    tokens_in: TokenValue,
    trading_fee: u16,
    amendments: &Amendments,
) -> Result<(TokenValue, Value)> {
    if !amendments.enabled(Amendment::FixAmmV1V3) {
        return Ok((tokens_in, asked));
    }
    let mut given = tokens_in;
    let mut withdrawal = withdrawal_for_tokens(balance, tokens, given, trading_fee, amendments)?;
    if withdrawal > asked {
        let less = asked.sub(withdrawal.sub(asked)?)?;
        let again = tokens_for_withdrawal(balance, less, tokens, trading_fee, amendments)?;
        given = keepable_tokens(tokens, again, Direction::Withdraw)?;
        withdrawal = withdrawal_for_tokens(balance, tokens, given, trading_fee, amendments)?;
    }
    Ok((given, asked.min(withdrawal)))
}

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

/// True when two values differ by less than this part of the larger one.
///
/// # Errors
/// [`ArithmeticError`].
pub fn within_relative_distance(a: TokenValue, b: TokenValue, distance: Number) -> Result<bool> {
    if a == b {
        return Ok(true);
    }
    let (low, high) = (Number::of_token(a.min(b)), Number::of_token(a.max(b)));
    Ok(NEAREST.div(NEAREST.sub(high, low)?, high)? < distance)
}

/// Amounts and tokens before fixAMMv1_3: when the pool's balance keeps fewer tokens than computed, the amounts shrink with
/// them (rippled, `adjustAmountsByLPTokens`).
pub(crate) struct Legacy {
    /// The asset's amount.
    pub amount: Value,
    /// The other asset's amount.
    pub amount2: Option<Value>,
    /// The tokens.
    pub tokens: TokenValue,
}

impl Legacy {
    /// The adjusted amounts; unchanged under fixAMMv1_3, which adjusted them before.
    pub fn adjusted(
        self,
        balance: Value,
        pool_tokens: TokenValue,
        trading_fee: u16,
        direction: Direction,
        amendments: &Amendments,
    ) -> Result<Legacy> {
        if amendments.enabled(Amendment::FixAmmV1V3) {
            return Ok(self);
        }
        let kept = keepable_tokens(pool_tokens, self.tokens, direction)?;
        if kept.is_zero() {
            let amount2 = self.amount2.map(Value::cleared);
            return Ok(Legacy { amount: self.amount.cleared(), amount2, tokens: kept });
        }
        if kept >= self.tokens {
            return Ok(Legacy { tokens: kept, ..self });
        }
        let favourable = amendments.enabled(Amendment::FixAmmV1V1);
        let chosen = |new: Value, old: Value| if favourable { new } else { new.min(old) };
        if let Some(amount2) = self.amount2 {
            let fraction = token_ratio(kept, self.tokens)?;
            let amount = chosen(part_of(self.amount, fraction, NEAREST)?, self.amount);
            let amount2 = chosen(part_of(amount2, fraction, NEAREST)?, amount2);
            return Ok(Legacy { amount, amount2: Some(amount2), tokens: kept });
        }
        let new = match direction {
            Direction::Deposit => deposit_for_tokens(balance, pool_tokens, kept, trading_fee, amendments)?,
            Direction::Withdraw => {
                let given = if favourable { kept } else { self.tokens };
                withdrawal_for_tokens(balance, pool_tokens, given, trading_fee, amendments)?
            }
        };
        Ok(Legacy { amount: chosen(new, self.amount), amount2: None, tokens: kept })
    }
}

#[cfg(test)]
mod tests;

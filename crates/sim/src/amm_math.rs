//! What a pool gives and takes: swaps, and pool tokens against deposits and withdrawals.
//!
//! The formulas are those of XLS-30; which way each step rounds is rippled's (2.6.1, `AMMHelpers.cpp`, `AMMHelpers.h`),
//! with fixAMMv1_1 and fixAMMv1_3 in force or not. Rounding always favours the pool, so that the root of the product of
//! its assets never falls below its tokens.

mod legacy;
mod swap;

use crate::amendment::{Amendment, Amendments};
use crate::amm::FEE_SCALE;
use crate::amount::{ArithmeticError, TokenValue, Value, multiply};
use crate::number::{Number, Rounding};
pub(crate) use legacy::Legacy;
pub use swap::{change_spot_price, swap_in, swap_out};

const NEAREST: Rounding = Rounding::Nearest;
const UP: Rounding = Rounding::Upward;
const DOWN: Rounding = Rounding::Downward;

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

#[cfg(test)]
mod tests;

//! The terms of a deposit or withdrawal, computed from the pool's balances: which amounts against how many tokens.

use crate::amendment::{Amendment, Amendments};
use crate::amm_math::{
    Direction, asset_part, asset_part_by_value, deposit_at_price, deposit_for_tokens, fraction_and_tokens,
    initial_tokens, keepable_tokens, settle_deposit, settle_withdrawal, tokens_at_price, tokens_for_deposit,
    tokens_for_withdrawal, tokens_withdrawn_at_price, withdrawal_at_price, withdrawal_for_tokens,
};
use crate::amount::{ArithmeticError, TokenValue, Value, divide};
use crate::apply::Failure;
use crate::number::{Number, Rounding};
use crate::ter::Ter;

/// A pool's balances, in the order the transaction names its assets.
#[derive(Clone, Copy)]
pub(super) struct Pool {
    pub balance: Value,
    pub balance2: Value,
    pub tokens: TokenValue,
    pub fee: u16,
    pub amendments: Amendments,
}

/// Amounts against tokens, and the least that the sender accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    pub amount: Value,
    pub amount2: Option<Value>,
    pub tokens: TokenValue,
    pub least: Option<Value>,
    pub least2: Option<Value>,
    pub least_tokens: Option<TokenValue>,
}

/// Why there are no terms.
pub(super) enum Refusal {
    /// A result.
    Result(Ter),
    /// The arithmetic failed, which rippled throws.
    Arithmetic,
}

impl From<ArithmeticError> for Refusal {
    fn from(_: ArithmeticError) -> Refusal {
        Refusal::Arithmetic
    }
}

impl From<Ter> for Refusal {
    fn from(result: Ter) -> Refusal {
        Refusal::Result(result)
    }
}

impl Refusal {
    /// What the transaction ends with; `caught` where rippled catches what its arithmetic throws.
    pub(super) const fn failure(&self, caught: bool) -> Failure {
        match self {
            Refusal::Result(result) => Failure(*result),
            Refusal::Arithmetic if caught => Failure(Ter::TEC_INTERNAL),
            Refusal::Arithmetic => Failure(Ter::TEF_EXCEPTION),
        }
    }
}

const fn plain(amount: Value, amount2: Option<Value>, tokens: TokenValue) -> Terms {
    Terms { amount, amount2, tokens, least: None, least2: None, least_tokens: None }
}

impl Pool {
    fn strict(&self) -> bool {
        self.amendments.enabled(Amendment::FixAmmV1V3)
    }

    /// What no tokens at all end with.
    fn no_tokens(&self) -> Ter {
        if self.strict() { Ter::TEC_AMM_INVALID_TOKENS } else { Ter::TEC_AMM_FAILED }
    }

    /// Under fixAMMv1_3, what the pool's balance can keep of the tokens; none is an error when `refused`.
    fn keep(&self, tokens: TokenValue, direction: Direction) -> Result<TokenValue, Refusal> {
        if !self.strict() {
            return Ok(tokens);
        }
        let kept = keepable_tokens(self.tokens, tokens, direction)?;
        if kept.is_zero() { Err(Ter::TEC_AMM_INVALID_TOKENS.into()) } else { Ok(kept) }
    }

    fn refuse_none(&self, tokens: TokenValue) -> Result<TokenValue, Refusal> {
        if self.strict() && tokens.is_zero() { Err(Ter::TEC_AMM_INVALID_TOKENS.into()) } else { Ok(tokens) }
    }

    /// The part of both assets that so many tokens are.
    fn both_by_tokens(&self, tokens: TokenValue, direction: Direction) -> Result<(Value, Value), Refusal> {
        let fraction = match divide(Value::Token(tokens), Value::Token(self.tokens), false)? {
            Value::Token(fraction) => fraction,
            Value::Drops(_) => return Err(Refusal::Arithmetic),
        };
        let part = |balance| asset_part_by_value(balance, fraction, direction, &self.amendments);
        Ok((part(self.balance)?, part(self.balance2)?))
    }

    /// Both assets for `wanted` tokens.
    pub(super) fn deposit_both_for_tokens(
        &self,
        wanted: TokenValue,
        least: Option<Value>,
        least2: Option<Value>,
    ) -> Result<Terms, Refusal> {
        let tokens = self.keep(wanted, Direction::Deposit)?;
        let (amount, amount2) = self.both_by_tokens(tokens, Direction::Deposit)?;
        Ok(Terms { least, least2, ..plain(amount, Some(amount2), tokens) })
    }

    /// Both assets, all of one and no more than `amount` and `amount2`.
    pub(super) fn deposit_both(
        &self,
        amount: Value,
        amount2: Value,
        least_tokens: Option<TokenValue>,
    ) -> Result<Terms, Refusal> {
        let share = |part, whole| -> Result<(Number, TokenValue), Refusal> {
            let (fraction, tokens) =
                fraction_and_tokens(part, whole, self.tokens, Direction::Deposit, &self.amendments)?;
            if tokens.is_zero() { Err(self.no_tokens().into()) } else { Ok((fraction, tokens)) }
        };
        let part = |balance, fraction| asset_part(balance, fraction, Direction::Deposit, &self.amendments);
        let (fraction, tokens) = share(amount, self.balance)?;
        let other = part(self.balance2, fraction)?;
        if other <= amount2 {
            return Ok(Terms { least_tokens, ..plain(amount, Some(other), tokens) });
        }
        let (fraction, tokens) = share(amount2, self.balance2)?;
        let other = part(self.balance, fraction)?;
        if other <= amount {
            return Ok(Terms { least_tokens, ..plain(other, Some(amount2), tokens) });
        }
        Err(Ter::TEC_AMM_FAILED.into())
    }

    /// Deposit and tokens for `amount` of one asset, as far as the balances keep them.
    fn one_asset_in(&self, amount: Value) -> Result<(TokenValue, Value), Refusal> {
        let bought = tokens_for_deposit(self.balance, amount, self.tokens, self.fee, &self.amendments)?;
        let tokens = if self.strict() { keepable_tokens(self.tokens, bought, Direction::Deposit)? } else { bought };
        if tokens.is_zero() {
            return Err(self.no_tokens().into());
        }
        let (tokens, amount) = settle_deposit(self.balance, amount, self.tokens, tokens, self.fee, &self.amendments)?;
        Ok((self.refuse_none(tokens)?, amount))
    }

    /// `amount` of one asset.
    pub(super) fn deposit_one(&self, amount: Value, least_tokens: Option<TokenValue>) -> Result<Terms, Refusal> {
        let (tokens, amount) = self.one_asset_in(amount)?;
        Ok(Terms { least_tokens, ..plain(amount, None, tokens) })
    }

    /// One asset, at most `most`, for `wanted` tokens.
    pub(super) fn deposit_one_for_tokens(&self, most: Value, wanted: TokenValue) -> Result<Terms, Refusal> {
        let tokens = self.keep(wanted, Direction::Deposit)?;
        let amount = deposit_for_tokens(self.balance, self.tokens, tokens, self.fee, &self.amendments)?;
        if amount > most { Err(Ter::TEC_AMM_FAILED.into()) } else { Ok(plain(amount, None, tokens)) }
    }

    /// One asset at no more than `price` for a token: `amount` of it if that is cheap enough, else as much as is.
    pub(super) fn deposit_one_at_price(&self, amount: Value, price: Value) -> Result<Terms, Refusal> {
        let m = Rounding::Nearest;
        if !amount.is_zero() {
            let (tokens, amount) = self.one_asset_in(amount)?;
            if tokens.mantissa() < 0 {
                return Err(self.no_tokens().into());
            }
            if m.div(m.of(amount)?, Number::of_token(tokens))? <= m.of(price)? {
                return Ok(plain(amount, None, tokens));
            }
        }
        let amount = deposit_at_price(self.balance, self.tokens, price, self.fee, &self.amendments)?;
        if !amount.is_positive() {
            return Err(Ter::TEC_AMM_FAILED.into());
        }
        let tokens = tokens_at_price(amount, price, self.tokens, &self.amendments)?;
        let (tokens, amount) = settle_deposit(self.balance, amount, self.tokens, tokens, self.fee, &self.amendments)?;
        Ok(plain(amount, None, self.refuse_none(tokens)?))
    }

    /// Both assets into an empty pool, as into a new one.
    pub(super) fn deposit_into_empty(&self, amount: Value, amount2: Value) -> Result<Terms, Refusal> {
        Ok(plain(amount, Some(amount2), initial_tokens(amount, amount2, &self.amendments)?))
    }

    /// Both assets for `given` tokens; all of the pool for all of them.
    pub(super) fn withdraw_both_for_tokens(&self, given: TokenValue, all: bool) -> Result<Terms, Refusal> {
        if given == self.tokens {
            return Ok(plain(self.balance, Some(self.balance2), given));
        }
        let tokens = if all { self.refuse_none(given)? } else { self.keep(given, Direction::Withdraw)? };
        let (amount, amount2) = self.both_by_tokens(tokens, Direction::Withdraw)?;
        // So few tokens that one side would get nothing.
        if amount.is_zero() || amount2.is_zero() {
            return Err(Ter::TEC_AMM_FAILED.into());
        }
        Ok(plain(amount, Some(amount2), tokens))
    }

    /// Both assets, all of one and no more than `amount` and `amount2`.
    pub(super) fn withdraw_both(&self, amount: Value, amount2: Value) -> Result<Terms, Refusal> {
        let share = |part, whole| -> Result<(Number, TokenValue), Refusal> {
            let (fraction, tokens) =
                fraction_and_tokens(part, whole, self.tokens, Direction::Withdraw, &self.amendments)?;
            Ok((fraction, self.refuse_none(tokens)?))
        };
        let part = |balance, fraction| asset_part(balance, fraction, Direction::Withdraw, &self.amendments);
        let (fraction, tokens) = share(amount, self.balance)?;
        let other = part(self.balance2, fraction)?;
        if other <= amount2 {
            return Ok(plain(amount, Some(other), tokens));
        }
        let (fraction, tokens) = share(amount2, self.balance2)?;
        let other = part(self.balance, fraction)?;
        if self.strict() && other > amount {
            return Err(Ter::TEC_AMM_FAILED.into());
        }
        Ok(plain(other, Some(amount2), tokens))
    }

    /// `amount` of one asset.
    pub(super) fn withdraw_one(&self, amount: Value) -> Result<Terms, Refusal> {
        let cost = tokens_for_withdrawal(self.balance, amount, self.tokens, self.fee, &self.amendments)?;
        let tokens = if self.strict() { keepable_tokens(self.tokens, cost, Direction::Withdraw)? } else { cost };
        if tokens.is_zero() {
            return Err(self.no_tokens().into());
        }
        let (tokens, amount) =
            settle_withdrawal(self.balance, amount, self.tokens, tokens, self.fee, &self.amendments)?;
        Ok(plain(amount, None, self.refuse_none(tokens)?))
    }

    /// One asset, at least `least` unless that is zero, for `given` tokens.
    pub(super) fn withdraw_one_for_tokens(&self, least: Value, given: TokenValue, all: bool) -> Result<Terms, Refusal> {
        let tokens = if all { self.refuse_none(given)? } else { self.keep(given, Direction::Withdraw)? };
        let amount = withdrawal_for_tokens(self.balance, self.tokens, tokens, self.fee, &self.amendments)?;
        if least.is_zero() || amount >= least {
            Ok(plain(amount, None, tokens))
        } else {
            Err(Ter::TEC_AMM_FAILED.into())
        }
    }

    /// One asset, at least `least` unless that is zero, at `price` tokens for a unit.
    pub(super) fn withdraw_one_at_price(&self, least: Value, price: TokenValue) -> Result<Terms, Refusal> {
        let tokens = tokens_withdrawn_at_price(self.balance, self.tokens, price, self.fee, &self.amendments)?;
        if tokens.mantissa() <= 0 {
            return Err(self.no_tokens().into());
        }
        let amount = withdrawal_at_price(tokens, price, self.balance.is_xrp(), &self.amendments)?;
        if least.is_zero() || amount >= least {
            Ok(plain(amount, None, tokens))
        } else {
            Err(Ter::TEC_AMM_FAILED.into())
        }
    }
}

//! Amounts and tokens as they belonged together before fixAMMv1_3.

use super::{
    Direction, NEAREST, Result, deposit_for_tokens, keepable_tokens, part_of, token_ratio, withdrawal_for_tokens,
};
use crate::amendment::{Amendment, Amendments};
use crate::amount::{TokenValue, Value};

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

//! Clawback of a trust line's tokens by their issuer (rippled 2.6.1, `Clawback.cpp`).

use neo_ledger::{Address, Asset, Token};

use super::funds::credit;
use super::tx::Tx;
use super::{Context, Failure};
use crate::amendment::Amendment;
use crate::amount::{TokenValue, Value};
use crate::state::{LSF_ALLOW_CLAWBACK, LSF_NO_FREEZE, LineKey, State};
use crate::ter::Ter;

/// What is to be taken back. The amount names the holder where it otherwise names the issuer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clawback {
    /// How much, of which token, from whom (in place of the issuer).
    pub amount: (Value, Asset),
    /// True when `Holder` is given, which belongs to other kinds of tokens.
    pub has_holder: bool,
}

impl Clawback {
    /// Checks that need no ledger.
    pub(super) fn preflight(&self, issuer: Address) -> Ter {
        match self.amount {
            _ if self.has_holder => Ter::TEM_MALFORMED,
            (Value::Token(value), Asset::Token(token)) if token.issuer != issuer && value.mantissa() > 0 => {
                Ter::SUCCESS
            }
            _ => Ter::TEM_BAD_AMOUNT,
        }
    }

    /// The holder, what is asked for, and the token as its issuer knows it.
    fn parts(&self, issuer: Address) -> Result<(Address, TokenValue, Token), Failure> {
        match self.amount {
            (Value::Token(value), Asset::Token(token)) => {
                Ok((token.issuer, value, Token { currency: token.currency, issuer }))
            }
            _ => Err(Failure(Ter::TEF_INTERNAL)),
        }
    }

    /// Checks against the ledger.
    pub(super) fn preclaim(&self, state: &State, tx: &Tx, context: &Context<'_>) -> Result<Ter, Failure> {
        let (holder, _, token) = self.parts(tx.account)?;
        let (Some(issuer), Some(holder_root)) = (state.account(tx.account), state.account(holder)) else {
            return Ok(Ter::TER_NO_ACCOUNT);
        };
        if holder_root.amm_id.is_some() {
            // Since vaults have accounts too, rippled has one name for both.
            let vaults = context.rules.enabled(Amendment::SingleAssetVault);
            return Ok(if vaults { Ter::TEC_PSEUDO_ACCOUNT } else { Ter::TEC_AMM_ACCOUNT });
        }
        if issuer.flags & LSF_ALLOW_CLAWBACK == 0 || issuer.flags & LSF_NO_FREEZE != 0 {
            return Ok(Ter::TEC_NO_PERMISSION);
        }
        if state.line(LineKey::of(holder, tx.account, token.currency)).is_none() {
            return Ok(Ter::TEC_NO_LINE);
        }
        Ok(match state.token_balance(holder, token).mantissa() {
            // The other side is the one that owes: he is no issuer here.
            ..0 => Ter::TEC_NO_PERMISSION,
            0 => Ter::TEC_INSUFFICIENT_FUNDS,
            1.. => Ter::SUCCESS,
        })
    }

    /// Takes back what there is, at most what is asked for; frozen or not.
    pub(super) fn apply(&self, state: &mut State, tx: &Tx) -> Result<Ter, Failure> {
        let (holder, asked, token) = self.parts(tx.account)?;
        let held = state.token_balance(holder, token);
        credit(state, holder, tx.account, token, if held < asked { held } else { asked })?;
        Ok(Ter::SUCCESS)
    }
}

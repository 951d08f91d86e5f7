//! AMMCreate, AMMDeposit, AMMWithdraw and AMMVote (rippled 2.6.1, `AMMCreate.cpp`, `AMMDeposit.cpp`, `AMMWithdraw.cpp`,
//! `AMMVote.cpp`, `AMMUtils.cpp`).
//!
//! Each is a check against the ledger before the fee is taken, the terms computed from the pool's balances alone, and
//! the moves. After each the pool is checked as rippled's `ValidAMM` does.

mod create;
mod deposit;
mod holdings;
pub mod request;
mod terms;
mod vote;
mod withdraw;

use neo_ledger::LedgerTime;

pub use request::{Liquidity, Request};

use self::holdings::{Freeze, holds};
use super::tx::Tx;
use super::{Context, Failure, Rules};
use crate::amendment::Amendment;
use crate::amm::{
    AUCTION_SLOT_DISCOUNT, AUCTION_SLOT_SECONDS, Amm, AssetPair, AuctionSlot, VOTE_WEIGHT_SCALE, VoteSlot,
};
use crate::amm_math::{initial_tokens, within_relative_distance};
use crate::amount::{ArithmeticError, TokenValue, Value};
use crate::number::{Number, Rounding};
use crate::state::State;
use crate::ter::Ter;

/// True when pools are allowed at all.
pub(super) const fn is_enabled(rules: &Rules) -> bool {
    rules.enabled(Amendment::Amm) && rules.enabled(Amendment::FixUniversalNumber)
}

/// What a transaction must offer at least in the open ledger, in drops: a new pool costs one owner's reserve.
pub(super) const fn base_fee(request: &Request, rules: &Rules) -> i64 {
    match request {
        Request::Create { .. } => rules.reserve_inc_drops,
        _ => rules.base_fee_drops,
    }
}

pub(super) fn preclaim(state: &State, context: &Context<'_>, tx: &Tx, request: &Request) -> Ter {
    let checked = match request {
        Request::Create { amount, amount2, .. } => {
            create::preclaim(state, context.rules, tx.account, *amount, *amount2)
        }
        Request::Deposit(terms) => deposit::preclaim(state, context.rules, tx, terms),
        Request::Withdraw(terms) => withdraw::preclaim(state, context.rules, tx, terms),
        Request::Vote { assets, .. } => vote::preclaim(state, tx.account, AssetPair::of(assets.0, assets.1)),
    };
    checked.err().unwrap_or(Ter::SUCCESS)
}

pub(super) fn transact(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    request: &Request,
) -> Result<Ter, Failure> {
    let pair = match request {
        Request::Create { amount, amount2, trading_fee } => {
            create::create(state, tx.account, context, *amount, *amount2, *trading_fee)?
        }
        Request::Deposit(terms) => deposit::deposit(state, tx, context, terms)?,
        Request::Withdraw(terms) => withdraw::withdraw(state, tx, context, prior_balance, terms)?,
        Request::Vote { assets, trading_fee } => {
            vote::vote(state, tx.account, AssetPair::of(assets.0, assets.1), *trading_fee)?
        }
    };
    let is_new = matches!(request, Request::Create { .. });
    if is_sound(state, context.rules, pair, is_new)? {
        Ok(Ter::SUCCESS)
    } else {
        Err(Failure(Ter::TEC_INVARIANT_FAILED))
    }
}

/// True when a pool's balances carry its tokens: their product's root is no less, but for the last digits of a number
/// (one part in 10^11). A new pool's tokens are that root to the last digit. A pool that is gone is sound.
pub(crate) fn is_sound(state: &State, rules: &Rules, pair: AssetPair, is_new: bool) -> Result<bool, ArithmeticError> {
    let Some(amm) = state.amm(pair) else { return Ok(true) };
    let [a, b] = [pair.asset, pair.asset2].map(|asset| holds(state, rules, amm.account, asset, Freeze::Ignored));
    let tokens = amm.lp_token_balance;
    if a.signum() < 0 || b.signum() < 0 || tokens.mantissa() < 0 {
        return Ok(false);
    }
    if is_new {
        return Ok(tokens == initial_tokens(a, b, &rules.amendments)?);
    }
    let m = Rounding::Nearest;
    let root = m.root2(m.mul(m.of(a)?, m.of(b)?)?)?;
    if root >= Number::of_token(tokens) {
        return Ok(true);
    }
    Ok(!tokens.is_zero() && within_relative_distance(root.to_token()?, tokens, m.number(1, -11)?)?)
}

/// The fee, the vote and the auction slot of whoever fills a pool first (rippled, `initializeFeeAuctionVote`).
fn start(amm: &mut Amm, account: neo_ledger::Address, trading_fee: u16, parent_close_time: LedgerTime) {
    amm.trading_fee = trading_fee;
    amm.vote_slots = vec![VoteSlot { account, trading_fee, weight: VOTE_WEIGHT_SCALE }];
    amm.auction_slot = Some(AuctionSlot {
        account,
        auth_accounts: amm.auction_slot.take().map(|slot| slot.auth_accounts).unwrap_or_default(),
        discounted_fee: trading_fee / AUCTION_SLOT_DISCOUNT,
        expiration: LedgerTime(parent_close_time.0.saturating_add(AUCTION_SLOT_SECONDS)),
        price: TokenValue::ZERO,
    });
}

/// The value of an amount of pool tokens; a field that names XRP there is none.
const fn token_value(value: Value) -> Option<TokenValue> {
    match value {
        Value::Token(value) => Some(value),
        Value::Drops(_) => None,
    }
}

//! AMMWithdraw: pool tokens back for assets, and the end of a pool that is empty.

use neo_ledger::{Address, Asset};

use super::holdings::{Freeze, check_movable, holds, lp_tokens, ordered};
use super::request::{
    Liquidity, TF_LIMIT_LP_TOKEN, TF_LP_TOKEN, TF_ONE_ASSET_LP_TOKEN, TF_ONE_ASSET_WITHDRAW_ALL, TF_SINGLE_ASSET,
    TF_TWO_ASSET, TF_WITHDRAW_ALL, WITHDRAW_MODES,
};
use super::terms::{Pool, Refusal, Terms};
use super::token_value;
use crate::amendment::Amendment;
use crate::amm::{Amm, AssetPair, MAX_DELETED_LINES};
use crate::amm_math::{Direction, Legacy, within_relative_distance};
use crate::amount::{TokenValue, Value};
use crate::apply::funds::{adjust_owner_count, credit, move_value};
use crate::apply::tx::Tx;
use crate::apply::{Context, Failure, Rules};
use crate::number::Rounding;
use crate::state::{Key, LSF_HIGH_RESERVE, LSF_LOW_RESERVE, LineKey, State};
use crate::ter::Ter;

/// Entries an account may own before a trust line needs reserve.
const FREE_LINES: u32 = 2;

const ALL_TOKENS: u32 = TF_WITHDRAW_ALL | TF_ONE_ASSET_WITHDRAW_ALL;

pub(super) fn preclaim(state: &State, rules: &Rules, tx: &Tx, terms: &Liquidity) -> Result<(), Ter> {
    let pair = AssetPair::of(terms.assets.0, terms.assets.1);
    let amm = state.amm(pair).ok_or(Ter::TER_NO_AMM)?;
    let assets = ordered(pair, terms.amount.map(|(_, asset)| asset));
    let balance = |asset| holds(state, rules, amm.account, asset, Freeze::Ignored);
    let balances = [(balance(assets.0), assets.0), (balance(assets.1), assets.1)];
    if amm.lp_token_balance.is_zero() {
        return Err(Ter::TEC_AMM_EMPTY);
    }
    if balances.iter().any(|(balance, _)| !balance.is_positive()) || amm.lp_token_balance.mantissa() < 0 {
        return Err(Ter::TEC_INTERNAL);
    }
    let movable = |asset| match check_movable(state, tx.account, amm.account, asset) {
        Ter::SUCCESS => Ok(()),
        refused => Err(refused),
    };
    for (amount, (balance, _)) in [terms.amount, terms.amount2].into_iter().zip(balances) {
        let Some((value, asset)) = amount else { continue };
        if value > balance {
            return Err(Ter::TEC_AMM_BALANCE);
        }
        movable(asset)?;
    }
    let lp_token = Asset::Token(amm.lp_token(pair));
    let held = lp_tokens(state, pair, amm, tx.account);
    if held.mantissa() <= 0 {
        return Err(Ter::TEC_AMM_BALANCE);
    }
    if let Some((tokens, asset)) = terms.tokens.filter(|_| !tx.has(ALL_TOKENS)) {
        if asset != lp_token {
            return Err(Ter::TEM_BAD_AMM_TOKENS);
        }
        if token_value(tokens).is_none_or(|tokens| tokens > held) {
            return Err(Ter::TEC_AMM_INVALID_TOKENS);
        }
    }
    if terms.price.is_some_and(|(_, asset)| asset != lp_token) {
        return Err(Ter::TEM_BAD_AMM_TOKENS);
    }
    if tx.has(TF_LP_TOKEN | TF_WITHDRAW_ALL) {
        movable(assets.0)?;
        movable(assets.1)?;
    }
    Ok(())
}

pub(super) fn withdraw(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    asked: &Liquidity,
) -> Result<AssetPair, Failure> {
    let rules = context.rules;
    let pair = AssetPair::of(asked.assets.0, asked.assets.1);
    let mut amm = state.amm(pair).cloned().ok_or(Failure(Ter::TEC_INTERNAL))?;
    let held = lp_tokens(state, pair, &amm, tx.account);
    if rules.enabled(Amendment::FixAmmV1V1) && is_only_provider(state, pair, &amm, tx.account)? {
        // Rounding can leave the last provider's tokens and the pool's a little apart.
        let near = Rounding::Nearest.number(1, -3)?;
        if !within_relative_distance(held, amm.lp_token_balance, near)? {
            return Err(Failure(Ter::TEC_AMM_INVALID_TOKENS));
        }
        amm.lp_token_balance = held;
    }
    let assets = ordered(pair, asked.amount.map(|(_, asset)| asset));
    let balance = |asset| holds(state, rules, amm.account, asset, Freeze::IsZero);
    let pool = Pool {
        balance: balance(assets.0),
        balance2: balance(assets.1),
        tokens: amm.lp_token_balance,
        fee: amm.trading_fee_of(tx.account, context.parent_close_time),
        amendments: rules.amendments,
    };
    let mode = tx.flags & WITHDRAW_MODES;
    let caught = mode == TF_LP_TOKEN || mode == TF_WITHDRAW_ALL;
    let terms = terms(&pool, mode, asked, held).map_err(|refusal| refusal.failure(caught))?;
    // All of a pool's tokens give all of it, however they were asked for.
    let all = tx.has(ALL_TOKENS) || (caught && terms.tokens == pool.tokens);
    let provider = Provider { account: tx.account, held, prior_balance };
    let given = give(state, rules, &provider, (pair, &amm), assets, &pool, &terms, all)?;
    amm.lp_token_balance = pool.tokens.sub(given)?;
    let deleted = amm.lp_token_balance.is_zero() && delete(state, pair, &amm)?;
    if !deleted {
        state.put_amm(pair, amm);
    }
    Ok(pair)
}

/// True when nobody else has a line for the pool's tokens (rippled, `isOnlyLiquidityProvider`).
fn is_only_provider(state: &State, pair: AssetPair, amm: &Amm, account: Address) -> Result<bool, Failure> {
    let currency = pair.lp_currency();
    let (mut own, mut assets) = (0, 0);
    for (key, _) in state.lines_of(amm.account) {
        if key.currency != currency {
            assets += 1;
        } else if key.peer_of(amm.account) == account {
            own += 1;
        } else {
            return Ok(false);
        }
    }
    if own == 1 && (1..=2).contains(&assets) { Ok(true) } else { Err(Failure(Ter::TEC_INTERNAL)) }
}

fn terms(pool: &Pool, mode: u32, asked: &Liquidity, held: TokenValue) -> Result<Terms, Refusal> {
    let value = |amount: Option<(Value, Asset)>| amount.map(|(value, _)| value);
    let (amount, amount2) = (value(asked.amount), value(asked.amount2));
    let all = mode & ALL_TOKENS != 0;
    let tokens = if all { Some(held) } else { value(asked.tokens).and_then(token_value) };
    match (mode, amount, amount2, tokens) {
        (TF_TWO_ASSET, Some(amount), Some(amount2), _) => pool.withdraw_both(amount, amount2),
        (TF_ONE_ASSET_LP_TOKEN | TF_ONE_ASSET_WITHDRAW_ALL, Some(least), _, Some(tokens)) => {
            pool.withdraw_one_for_tokens(least, tokens, all)
        }
        (TF_LIMIT_LP_TOKEN, Some(least), _, _) => match value(asked.price).and_then(token_value) {
            Some(price) => pool.withdraw_one_at_price(least, price),
            None => Err(Ter::TEC_INTERNAL.into()),
        },
        (TF_SINGLE_ASSET, Some(amount), _, _) => pool.withdraw_one(amount),
        (TF_LP_TOKEN | TF_WITHDRAW_ALL, _, _, Some(tokens)) => pool.withdraw_both_for_tokens(tokens, all),
        _ => Err(Ter::TEC_INTERNAL.into()),
    }
}

/// Who withdraws: his pool tokens, and his XRP before the fee.
struct Provider {
    account: Address,
    held: TokenValue,
    prior_balance: i64,
}

/// Moves the assets and takes the tokens; the tokens that were taken.
#[allow(clippy::too_many_arguments, reason = "one step of one transaction, with all that it was computed from")]
fn give(
    state: &mut State,
    rules: &Rules,
    provider: &Provider,
    (pair, amm): (AssetPair, &Amm),
    assets: (Asset, Asset),
    pool: &Pool,
    terms: &Terms,
    all: bool,
) -> Result<TokenValue, Failure> {
    let mut settled = Legacy { amount: terms.amount, amount2: terms.amount2, tokens: terms.tokens };
    if !all {
        settled = settled
            .adjusted(pool.balance, pool.tokens, pool.fee, Direction::Withdraw, &pool.amendments)
            .map_err(|_| Failure(Ter::TEF_EXCEPTION))?;
    }
    let Legacy { amount, amount2, tokens } = settled;
    if tokens.mantissa() <= 0 || tokens > provider.held {
        return Err(Failure(Ter::TEC_AMM_INVALID_TOKENS));
    }
    if rules.enabled(Amendment::FixAmmV1V1) && tokens > pool.tokens {
        return Err(Failure(Ter::TEC_INTERNAL));
    }
    let (all_of_one, all_of_other) = (amount == pool.balance, amount2 == Some(pool.balance2));
    // One side of the pool cannot go alone, all tokens are all of the pool, and there is no more than that.
    if all_of_one != all_of_other
        || (tokens == pool.tokens && !(all_of_one && all_of_other))
        || amount > pool.balance
        || amount2.is_some_and(|amount2| amount2 > pool.balance2)
    {
        return Err(Failure(Ter::TEC_AMM_BALANCE));
    }
    for (value, asset) in [(Some(amount), assets.0), (amount2, assets.1)] {
        let Some(value) = value else { continue };
        if !has_reserve(state, rules, provider, asset) {
            return Err(Failure(Ter::TEC_INSUFFICIENT_RESERVE));
        }
        move_value(state, amm.account, provider.account, asset, value, value)?;
    }
    credit(state, provider.account, amm.account, amm.lp_token(pair), tokens)?;
    Ok(tokens)
}

/// True when the line that would be made for the asset has its reserve (fixAMMv1_2).
fn has_reserve(state: &State, rules: &Rules, provider: &Provider, asset: Asset) -> bool {
    let Asset::Token(token) = asset else { return true };
    let has_line = state.line(LineKey::of(provider.account, token.issuer, token.currency)).is_some();
    if !rules.enabled(Amendment::FixAmmV1V2) || has_line {
        return true;
    }
    let Some(root) = state.account(provider.account) else { return false };
    root.owner_count < FREE_LINES
        || provider.prior_balance.max(root.balance) >= rules.reserve(root.owner_count.saturating_add(1))
}

/// Removes an empty pool with its account and what lines are left of it; false when so many lines are left that the
/// pool stays, empty, for an AMMDelete.
fn delete(state: &mut State, pair: AssetPair, amm: &Amm) -> Result<bool, Failure> {
    let lines: Vec<_> = state.lines_of(amm.account).map(|(key, line)| (key, line.flags, line.balance)).collect();
    let is_complete = lines.len() <= MAX_DELETED_LINES;
    for (key, flags, balance) in lines.into_iter().take(MAX_DELETED_LINES) {
        let (owner, reserve) =
            if key.low == amm.account { (key.high, LSF_HIGH_RESERVE) } else { (key.low, LSF_LOW_RESERVE) };
        if !balance.is_zero() || flags & reserve == 0 {
            return Err(Failure(Ter::TEC_INTERNAL));
        }
        state.put(Key::Line(key), None);
        adjust_owner_count(state, owner, -1)?;
    }
    if is_complete {
        state.put(Key::Amm(pair), None);
        state.put(Key::Account(amm.account), None);
    }
    Ok(is_complete)
}

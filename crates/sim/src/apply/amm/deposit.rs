//! AMMDeposit: assets into a pool for its tokens.

use neo_ledger::{Address, Asset};

use super::create::send_tokens;
use super::holdings::{Freeze, check_movable, holds, is_asset_frozen, lp_tokens, ordered, require_auth, spendable};
use super::request::{
    DEPOSIT_MODES, Liquidity, TF_LIMIT_LP_TOKEN, TF_LP_TOKEN, TF_ONE_ASSET_LP_TOKEN, TF_SINGLE_ASSET, TF_TWO_ASSET,
    TF_TWO_ASSET_IF_EMPTY,
};
use super::terms::{Pool, Refusal, Terms};
use super::token_value;
use crate::amendment::Amendment;
use crate::amm::{Amm, AssetPair};
use crate::amm_math::{Direction, Legacy};
use crate::amount::{TokenValue, Value};
use crate::apply::funds::move_value;
use crate::apply::tx::Tx;
use crate::apply::{Context, Failure, Rules};
use crate::state::{LineKey, State};
use crate::ter::Ter;

pub(super) fn preclaim(state: &State, rules: &Rules, tx: &Tx, terms: &Liquidity) -> Result<(), Ter> {
    let pair = AssetPair::of(terms.assets.0, terms.assets.1);
    let amm = state.amm(pair).ok_or(Ter::TER_NO_AMM)?;
    let balances = [pair.asset, pair.asset2].map(|asset| holds(state, rules, amm.account, asset, Freeze::Ignored));
    if tx.has(TF_TWO_ASSET_IF_EMPTY) {
        if !amm.lp_token_balance.is_zero() {
            return Err(Ter::TEC_AMM_NOT_EMPTY);
        }
        if balances.iter().any(|balance| !balance.is_zero()) {
            return Err(Ter::TEC_INTERNAL);
        }
    } else {
        if amm.lp_token_balance.is_zero() {
            return Err(Ter::TEC_AMM_EMPTY);
        }
        if balances.iter().any(|balance| !balance.is_positive()) || amm.lp_token_balance.mantissa() < 0 {
            return Err(Ter::TEC_INTERNAL);
        }
    }
    if rules.enabled(Amendment::AmmClawback) {
        for asset in [terms.assets.0, terms.assets.1] {
            succeed(require_auth(state, asset, tx.account))?;
            if is_asset_frozen(state, tx.account, asset) {
                return Err(Ter::TEC_FROZEN);
            }
        }
    }
    if tx.has(TF_LP_TOKEN) {
        // The amounts are the least that is accepted; both assets move.
        for asset in [pair.asset, pair.asset2] {
            succeed(check_movable(state, tx.account, amm.account, asset))?;
        }
    } else {
        for (value, asset) in terms.amount.into_iter().chain(terms.amount2) {
            succeed(check_movable(state, tx.account, amm.account, asset))?;
            succeed(funded(state, rules, tx.account, pair, amm, (value, asset), Ter::TEC_INSUF_RESERVE_LINE))?;
        }
    }
    if terms.tokens.is_some_and(|(_, asset)| asset != Asset::Token(amm.lp_token(pair))) {
        return Err(Ter::TEM_BAD_AMM_TOKENS);
    }
    // A deposit of tokens alone needs the reserve of the line for the pool's tokens as well.
    if lp_tokens(state, pair, amm, tx.account).is_zero() && spendable(state, rules, tx.account, 1) <= 0 {
        return Err(Ter::TEC_INSUF_RESERVE_LINE);
    }
    Ok(())
}

fn succeed(result: Ter) -> Result<(), Ter> {
    if result.is_success() { Ok(()) } else { Err(result) }
}

/// Whether an account can pay an amount in; `no_reserve` when the reserve of a new line is what it lacks.
fn funded(
    state: &State,
    rules: &Rules,
    account: Address,
    pair: AssetPair,
    amm: &Amm,
    (value, asset): (Value, Asset),
    no_reserve: Ter,
) -> Ter {
    match asset {
        Asset::Xrp => {
            let has_line = state.line(LineKey::of(account, amm.account, pair.lp_currency())).is_some();
            let xrp = Value::Drops(spendable(state, rules, account, u32::from(!has_line)));
            if xrp >= value {
                Ter::SUCCESS
            } else if has_line {
                Ter::TEC_UNFUNDED_AMM
            } else {
                no_reserve
            }
        }
        Asset::Token(token) => {
            let has = token.issuer == account || holds(state, rules, account, asset, Freeze::Ignored) >= value;
            if has { Ter::SUCCESS } else { Ter::TEC_UNFUNDED_AMM }
        }
    }
}

pub(super) fn deposit(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    asked: &Liquidity,
) -> Result<AssetPair, Failure> {
    let rules = context.rules;
    let pair = AssetPair::of(asked.assets.0, asked.assets.1);
    let mut amm = state.amm(pair).cloned().ok_or(Failure(Ter::TEC_INTERNAL))?;
    let assets = ordered(pair, asked.amount.map(|(_, asset)| asset));
    let balance = |asset| holds(state, rules, amm.account, asset, Freeze::IsZero);
    let is_empty = amm.lp_token_balance.is_zero();
    let fee = if is_empty {
        asked.trading_fee.unwrap_or(0)
    } else {
        amm.trading_fee_of(tx.account, context.parent_close_time)
    };
    let pool = Pool {
        balance: balance(assets.0),
        balance2: balance(assets.1),
        tokens: amm.lp_token_balance,
        fee,
        amendments: rules.amendments,
    };
    let mode = tx.flags & DEPOSIT_MODES;
    let terms = terms(&pool, mode, asked).map_err(|refusal| refusal.failure(mode == TF_LP_TOKEN))?;
    let received = take(state, rules, tx.account, (pair, &amm), assets, &pool, terms)?;
    amm.lp_token_balance = pool.tokens.add(received)?;
    if is_empty {
        super::start(&mut amm, tx.account, fee, context.parent_close_time);
    }
    state.put_amm(pair, amm);
    Ok(pair)
}

fn terms(pool: &Pool, mode: u32, asked: &Liquidity) -> Result<Terms, Refusal> {
    let value = |amount: Option<(Value, Asset)>| amount.map(|(value, _)| value);
    let (amount, amount2, price) = (value(asked.amount), value(asked.amount2), value(asked.price));
    let tokens = value(asked.tokens).and_then(token_value);
    match (mode, amount, amount2, tokens) {
        (TF_LP_TOKEN, least, least2, Some(tokens)) => pool.deposit_both_for_tokens(tokens, least, least2),
        (TF_TWO_ASSET, Some(amount), Some(amount2), least) => pool.deposit_both(amount, amount2, least),
        (TF_SINGLE_ASSET, Some(amount), _, least) => pool.deposit_one(amount, least),
        (TF_ONE_ASSET_LP_TOKEN, Some(most), _, Some(tokens)) => pool.deposit_one_for_tokens(most, tokens),
        (TF_TWO_ASSET_IF_EMPTY, Some(amount), Some(amount2), _) => pool.deposit_into_empty(amount, amount2),
        (TF_LIMIT_LP_TOKEN, Some(amount), _, _) => match price {
            Some(price) => pool.deposit_one_at_price(amount, price),
            None => Err(Ter::TEC_INTERNAL.into()),
        },
        _ => Err(Ter::TEC_INTERNAL.into()),
    }
}

/// Moves the assets and the tokens; the tokens that were given.
fn take(
    state: &mut State,
    rules: &Rules,
    account: Address,
    (pair, amm): (AssetPair, &Amm),
    assets: (Asset, Asset),
    pool: &Pool,
    terms: Terms,
) -> Result<TokenValue, Failure> {
    let Legacy { amount, amount2, tokens } =
        Legacy { amount: terms.amount, amount2: terms.amount2, tokens: terms.tokens }
            .adjusted(pool.balance, pool.tokens, pool.fee, Direction::Deposit, &pool.amendments)
            .map_err(|_| Failure(Ter::TEF_EXCEPTION))?;
    if tokens.mantissa() <= 0 {
        return Err(Failure(Ter::TEC_AMM_INVALID_TOKENS));
    }
    let short = terms.least.is_some_and(|least| amount < least)
        || terms.least2.is_some_and(|least| amount2.is_none_or(|amount2| amount2 < least))
        || terms.least_tokens.is_some_and(|least| tokens < least);
    if short {
        return Err(Failure(Ter::TEC_AMM_FAILED));
    }
    for (value, asset) in [(Some(amount), assets.0), (amount2, assets.1)] {
        let Some(value) = value else { continue };
        if !value.is_positive() {
            return Err(Failure(Ter::TEM_BAD_AMOUNT));
        }
        let paid = funded(state, rules, account, pair, amm, (value, asset), Ter::TEC_UNFUNDED_AMM);
        if !paid.is_success() {
            return Err(Failure(paid));
        }
        move_value(state, account, amm.account, asset, value, value)?;
    }
    send_tokens(state, amm.account, account, amm.lp_token(pair), tokens)?;
    Ok(tokens)
}

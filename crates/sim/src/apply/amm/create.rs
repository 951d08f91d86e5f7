//! AMMCreate: a new pool, its account and its first tokens.

use neo_ledger::{Address, Asset, Token, sha512_half};

use super::holdings::{Freeze, holds, is_asset_frozen, require_auth, spendable};
use crate::amendment::Amendment;
use crate::amm::{Amm, AssetPair};
use crate::amm_math::initial_tokens;
use crate::amount::{TokenValue, Value};
use crate::apply::funds::move_value;
use crate::apply::{Context, Failure, Rules};
use crate::state::{
    AccountRoot, LSF_ALLOW_CLAWBACK, LSF_AMM_NODE, LSF_DEFAULT_RIPPLE, LSF_DEPOSIT_AUTH, LSF_DISABLE_MASTER, LineKey,
    State,
};
use crate::ter::Ter;

/// How many addresses are tried for a pool's account.
const ADDRESS_ATTEMPTS: u16 = 256;

pub(super) fn preclaim(
    state: &State,
    rules: &Rules,
    account: Address,
    amount: (Value, Asset),
    amount2: (Value, Asset),
) -> Result<(), Ter> {
    let amounts = [amount, amount2];
    if state.amm(AssetPair::of(amount.1, amount2.1)).is_some() {
        return Err(Ter::TEC_DUPLICATE);
    }
    for (_, asset) in amounts {
        let authorized = require_auth(state, asset, account);
        if !authorized.is_success() {
            return Err(authorized);
        }
    }
    if amounts.iter().any(|(_, asset)| is_asset_frozen(state, account, *asset)) {
        return Err(Ter::TEC_FROZEN);
    }
    let issuer = |asset| match asset {
        Asset::Xrp => None,
        Asset::Token(Token { issuer, .. }) => state.account(issuer),
    };
    if amounts.iter().filter_map(|(_, asset)| issuer(*asset)).any(|root| root.flags & LSF_DEFAULT_RIPPLE == 0) {
        return Err(Ter::TER_NO_RIPPLE);
    }
    // The line for the pool's tokens needs reserve.
    let xrp = spendable(state, rules, account, 1);
    if xrp <= 0 {
        return Err(Ter::TEC_INSUF_RESERVE_LINE);
    }
    let lacks = |(value, asset): (Value, Asset)| match asset {
        Asset::Xrp => Value::Drops(xrp) < value,
        Asset::Token(token) => token.issuer != account && holds(state, rules, account, asset, Freeze::IsZero) < value,
    };
    if amounts.into_iter().any(lacks) {
        return Err(Ter::TEC_UNFUNDED_AMM);
    }
    if amounts.iter().filter_map(|(_, asset)| issuer(*asset)).any(|root| root.amm_id.is_some()) {
        return Err(Ter::TEC_AMM_INVALID_TOKENS);
    }
    if rules.enabled(Amendment::AmmClawback) {
        return Ok(());
    }
    for (_, asset) in amounts {
        match (asset, issuer(asset)) {
            (Asset::Token(_), None) => return Err(Ter::TEC_INTERNAL),
            (_, Some(root)) if root.flags & LSF_ALLOW_CLAWBACK != 0 => return Err(Ter::TEC_NO_PERMISSION),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn create(
    state: &mut State,
    account: Address,
    context: &Context<'_>,
    amount: (Value, Asset),
    amount2: (Value, Asset),
    trading_fee: u16,
) -> Result<AssetPair, Failure> {
    let pair = AssetPair::of(amount.1, amount2.1);
    let pool = pool_address(state, pair, context).ok_or(Failure(Ter::TEC_DUPLICATE))?;
    let root = AccountRoot {
        // Since SingleAssetVault a zero tells such accounts apart.
        sequence: if context.rules.enabled(Amendment::SingleAssetVault) { 0 } else { context.ledger_index },
        flags: LSF_DISABLE_MASTER | LSF_DEFAULT_RIPPLE | LSF_DEPOSIT_AUTH,
        amm_id: Some(pair.id()),
        ..AccountRoot::default()
    };
    state.put_account(pool, root);
    let tokens = initial_tokens(amount.0, amount2.0, &context.rules.amendments)?;
    let mut amm = Amm {
        account: pool,
        lp_token_balance: tokens,
        trading_fee,
        vote_slots: Vec::new(),
        auction_slot: None,
        previous: None,
        mirrored: false,
    };
    super::start(&mut amm, account, trading_fee, context.parent_close_time);
    let lp_token = amm.lp_token(pair);
    if state.line(LineKey::of(pool, account, lp_token.currency)).is_some() {
        return Err(Failure(Ter::TEC_DUPLICATE));
    }
    state.put_amm(pair, amm);
    send_tokens(state, pool, account, lp_token, tokens)?;
    for (value, asset) in [amount, amount2] {
        move_value(state, account, pool, asset, value, value)?;
        if let Asset::Token(token) = asset {
            let key = LineKey::of(pool, token.issuer, token.currency);
            let mut line = state.line(key).cloned().ok_or(Failure(Ter::TEC_INTERNAL))?;
            line.flags |= LSF_AMM_NODE;
            state.put_line(key, line);
        }
    }
    Ok(pair)
}

/// Gives pool tokens to a provider.
pub(super) fn send_tokens(
    state: &mut State,
    pool: Address,
    to: Address,
    lp_token: Token,
    tokens: TokenValue,
) -> Result<(), Failure> {
    let value = Value::Token(tokens);
    move_value(state, pool, to, Asset::Token(lp_token), value, value)
}

/// The address of a new pool's account: the one handed in, or the first free one that follows from the pool's id.
fn pool_address(state: &State, pair: AssetPair, context: &Context<'_>) -> Option<Address> {
    if let Some(address) = context.pool_account {
        return state.account(address).is_none().then_some(address);
    }
    let id = pair.id();
    let candidate = |attempt: u16| {
        let hash = sha512_half(&[&attempt.to_be_bytes(), &id.0]);
        let mut address = [0; 20];
        for (to, from) in address.iter_mut().zip(hash.0) {
            *to = from;
        }
        Address(address)
    };
    (0..ADDRESS_ATTEMPTS).map(candidate).find(|address| state.account(*address).is_none())
}

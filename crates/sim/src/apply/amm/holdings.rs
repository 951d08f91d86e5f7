//! What accounts and pools hold, and may hold, as the AMM's rules ask it.

use neo_ledger::{Address, Asset, Token};

use crate::amendment::Amendment;
use crate::amm::{Amm, AssetPair};
use crate::amount::{TokenValue, Value};
use crate::apply::Rules;
use crate::apply::funds::{is_deep_frozen, is_frozen};
use crate::state::{
    LSF_HIGH_AUTH, LSF_HIGH_FREEZE, LSF_LOW_AUTH, LSF_LOW_FREEZE, LSF_REQUIRE_AUTH, LineKey, State, TrustLine,
};
use crate::ter::Ter;

/// Whether what is frozen counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// It counts.
    Ignored,
    /// It is as good as nothing.
    IsZero,
}

fn line_of(state: &State, holder: Address, token: Token) -> Option<&TrustLine> {
    state.line(LineKey::of(holder, token.issuer, token.currency))
}

/// XRP above the reserve of so many entries more; a pool has none (rippled, `xrpLiquid`).
pub(super) fn spendable(state: &State, rules: &Rules, account: Address, more_entries: u32) -> i64 {
    let Some(root) = state.account(account) else { return 0 };
    let reserve = if root.amm_id.is_some() { 0 } else { rules.reserve(root.owner_count.saturating_add(more_entries)) };
    root.balance.saturating_sub(reserve).max(0)
}

/// What an account has of an asset; an issuer has nothing of his own (rippled, `accountHolds`).
pub(super) fn holds(state: &State, rules: &Rules, account: Address, asset: Asset, freeze: Freeze) -> Value {
    match asset {
        Asset::Xrp => Value::Drops(spendable(state, rules, account, 0)),
        Asset::Token(token) if freeze == Freeze::IsZero && is_stuck(state, rules, account, token) => {
            Value::Token(TokenValue::ZERO)
        }
        Asset::Token(token) => Value::Token(state.token_balance(account, token)),
    }
}

fn is_stuck(state: &State, rules: &Rules, account: Address, token: Token) -> bool {
    is_frozen(state, account, token)
        || is_deep_frozen(state, account, token)
        || (rules.enabled(Amendment::FixFrozenLpTokenTransfer) && has_frozen_assets(state, account, token))
}

/// True for tokens of a pool of whose assets one is frozen for the holder.
fn has_frozen_assets(state: &State, holder: Address, token: Token) -> bool {
    let Some((pair, _)) = state.amm_of(token.issuer) else { return false };
    [pair.asset, pair.asset2].into_iter().any(|asset| is_asset_frozen(state, holder, asset))
}

/// True when the issuer froze all his tokens, or the holder's.
pub(super) fn is_asset_frozen(state: &State, holder: Address, asset: Asset) -> bool {
    matches!(asset, Asset::Token(token) if is_frozen(state, holder, token))
}

/// True when the issuer froze the holder's line.
pub(super) fn is_line_frozen(state: &State, holder: Address, asset: Asset) -> bool {
    let Asset::Token(token) = asset else { return false };
    if token.issuer == holder {
        return false;
    }
    let key = LineKey::of(holder, token.issuer, token.currency);
    let flag = if token.issuer == key.low { LSF_LOW_FREEZE } else { LSF_HIGH_FREEZE };
    state.line(key).is_some_and(|line| line.flags & flag != 0)
}

/// Whether an account may hold an asset: an issuer who approves his holders must have approved it (rippled,
/// `requireAuth`).
pub(super) fn require_auth(state: &State, asset: Asset, account: Address) -> Ter {
    let Asset::Token(token) = asset else { return Ter::SUCCESS };
    let asks = state.account(token.issuer).is_some_and(|issuer| issuer.flags & LSF_REQUIRE_AUTH != 0);
    if token.issuer == account || !asks {
        return Ter::SUCCESS;
    }
    let approved = if account > token.issuer { LSF_LOW_AUTH } else { LSF_HIGH_AUTH };
    match line_of(state, account, token) {
        None => Ter::TEC_NO_LINE,
        Some(line) if line.flags & approved == 0 => Ter::TEC_NO_AUTH,
        Some(_) => Ter::SUCCESS,
    }
}

/// The checks of an account and a pool for an asset that is to move between them.
pub(super) fn check_movable(state: &State, account: Address, pool: Address, asset: Asset) -> Ter {
    let authorized = require_auth(state, asset, account);
    if !authorized.is_success() {
        authorized
    } else if is_asset_frozen(state, pool, asset) || is_line_frozen(state, account, asset) {
        Ter::TEC_FROZEN
    } else {
        Ter::SUCCESS
    }
}

/// An account's pool tokens.
pub(super) fn lp_tokens(state: &State, pair: AssetPair, amm: &Amm, account: Address) -> TokenValue {
    state.token_balance(account, amm.lp_token(pair))
}

/// The two assets in the order a transaction names them: `first` and the other one, or as the entry has them.
pub(super) fn ordered(pair: AssetPair, first: Option<Asset>) -> (Asset, Asset) {
    let first = first.filter(|asset| pair.has(*asset)).unwrap_or(pair.asset);
    (first, pair.other(first))
}

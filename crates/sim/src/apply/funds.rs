//! Who has what: spendable funds, and moving XRP and tokens between accounts.

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset, Token};

use super::{Failure, Rules};
use crate::amount::{TokenValue, Value};
use crate::state::{
    Key, LSF_DEFAULT_RIPPLE, LSF_GLOBAL_FREEZE, LSF_HIGH_FREEZE, LSF_HIGH_NO_RIPPLE, LSF_HIGH_RESERVE, LSF_LOW_FREEZE,
    LSF_LOW_NO_RIPPLE, LSF_LOW_RESERVE, LineKey, LineQualities, State, TrustLine,
};
use crate::ter::Ter;

/// RippleState flag: the low account froze the line deeply.
pub(crate) const LSF_LOW_DEEP_FREEZE: u32 = 0x0200_0000;
/// RippleState flag: the high account froze the line deeply.
pub(crate) const LSF_HIGH_DEEP_FREEZE: u32 = 0x0400_0000;

/// The most entries each account owned while a crossing runs: what is freed by a deletion cannot be spent in the same
/// crossing (rippled, `PaymentSandbox::ownerCountHook`).
pub(crate) type OwnerCounts = BTreeMap<Address, u32>;

/// XRP above the reserve; never below zero.
pub(crate) fn spendable_xrp(state: &State, rules: &Rules, account: Address, counts: Option<&OwnerCounts>) -> i64 {
    let Some(root) = state.account(account) else { return 0 };
    // A pool has no reserve: all its XRP is for trading.
    if root.amm_id.is_some() {
        return root.balance.max(0);
    }
    let held = counts.and_then(|counts| counts.get(&account)).copied().unwrap_or(0);
    root.balance.saturating_sub(rules.reserve(root.owner_count.max(held))).max(0)
}

/// True when the holder's tokens cannot leave him.
pub(crate) fn is_frozen(state: &State, holder: Address, token: Token) -> bool {
    if is_globally_frozen(state, token) {
        return true;
    }
    let key = LineKey::of(holder, token.issuer, token.currency);
    let flag = if token.issuer == key.low { LSF_LOW_FREEZE } else { LSF_HIGH_FREEZE };
    holder != token.issuer && state.line(key).is_some_and(|line| line.flags & flag != 0)
}

/// True when either side froze the line deeply: nothing comes in and nothing goes out.
pub(crate) fn is_deep_frozen(state: &State, holder: Address, token: Token) -> bool {
    let key = LineKey::of(holder, token.issuer, token.currency);
    let flags = LSF_LOW_DEEP_FREEZE | LSF_HIGH_DEEP_FREEZE;
    holder != token.issuer && state.line(key).is_some_and(|line| line.flags & flags != 0)
}

/// True when the issuer froze everything.
pub(crate) fn is_globally_frozen(state: &State, token: Token) -> bool {
    state.account(token.issuer).is_some_and(|issuer| issuer.flags & LSF_GLOBAL_FREEZE != 0)
}

/// What an account could pay out of an asset, at most. An issuer has whatever is asked of his own token.
pub(crate) fn available(
    state: &State,
    rules: &Rules,
    account: Address,
    asset: Asset,
    asked: Value,
    counts: Option<&OwnerCounts>,
) -> Value {
    match asset {
        Asset::Xrp => Value::Drops(spendable_xrp(state, rules, account, counts)),
        Asset::Token(token) if token.issuer == account => asked,
        Asset::Token(token) if is_frozen(state, account, token) || is_deep_frozen(state, account, token) => {
            Value::Token(TokenValue::ZERO)
        }
        Asset::Token(token) => Value::Token(state.token_balance(account, token)),
    }
}

/// The transfer rate of an asset when it moves between two accounts that do not issue it.
pub(crate) fn transfer_rate(state: &State, asset: Asset) -> u32 {
    match asset {
        Asset::Xrp => crate::amount::PARITY_RATE,
        Asset::Token(token) => match state.account(token.issuer).map_or(0, |issuer| issuer.transfer_rate) {
            0 => crate::amount::PARITY_RATE,
            rate => rate,
        },
    }
}

/// Adds drops to an account (or takes them).
pub(crate) fn add_xrp(state: &mut State, account: Address, drops: i64) -> Result<(), Failure> {
    if drops == 0 {
        return Ok(());
    }
    let mut root = state.account(account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
    root.balance = root.balance.checked_add(drops).filter(|b| *b >= 0).ok_or(Failure(Ter::TEC_INTERNAL))?;
    state.put_account(account, root);
    Ok(())
}

/// Changes how many entries an account pays reserve for.
pub(crate) fn adjust_owner_count(state: &mut State, account: Address, change: i32) -> Result<(), Failure> {
    let mut root = state.account(account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
    root.owner_count = root.owner_count.saturating_add_signed(change);
    state.put_account(account, root);
    Ok(())
}

/// Moves a token between a holder and its issuer (`to` or `from` is the issuer), making the line if there is none and
/// removing it when nothing of it is left (rippled, `rippleCredit`).
pub(crate) fn credit(
    state: &mut State,
    from: Address,
    to: Address,
    token: Token,
    value: TokenValue,
) -> Result<(), Failure> {
    if value.is_zero() || from == to {
        return Ok(());
    }
    let key = LineKey::of(from, to, token.currency);
    let Some(mut line) = state.line(key).cloned() else {
        let receiver = if to == token.issuer { from } else { to };
        let signed = if receiver == to { value } else { value.neg() };
        return create_line(state, receiver, token, TokenValue::ZERO, signed, 0);
    };
    let before = if from == key.low { line.balance } else { line.balance.neg() };
    let after = before.sub(value)?;
    let from_ripples = state.account(from).is_some_and(|root| root.flags & LSF_DEFAULT_RIPPLE != 0);
    let mut removed = false;
    if releases_reserve(&line, key, from, from_ripples, before, after) {
        adjust_owner_count(state, from, -1)?;
        line.flags &= !reserve_flag(key, from);
        removed = after.is_zero() && line.flags & reserve_flag(key, to) == 0;
    }
    line.balance = if from == key.low { after } else { after.neg() };
    // The metadata of a removed line shows its last balance.
    state.put_line(key, line);
    if removed {
        state.put(Key::Line(key), None);
    }
    Ok(())
}

/// The flag that says that an account pays reserve for a line.
pub(crate) fn reserve_flag(key: LineKey, account: Address) -> u32 {
    if account == key.low { LSF_LOW_RESERVE } else { LSF_HIGH_RESERVE }
}

/// True when a sender stops to pay for a line: his balance falls to nothing and he set nothing apart from its defaults.
pub(crate) fn releases_reserve(
    line: &TrustLine,
    key: LineKey,
    sender: Address,
    sender_ripples: bool,
    before: TokenValue,
    after: TokenValue,
) -> bool {
    let (no_ripple, freeze, limit) = if sender == key.low {
        (LSF_LOW_NO_RIPPLE, LSF_LOW_FREEZE, line.low_limit)
    } else {
        (LSF_HIGH_NO_RIPPLE, LSF_HIGH_FREEZE, line.high_limit)
    };
    let falls_to_nothing = before.mantissa() > 0 && after.mantissa() <= 0;
    let no_ripple_is_default = (line.flags & no_ripple != 0) != sender_ripples;
    falls_to_nothing
        && line.flags & reserve_flag(key, sender) != 0
        && no_ripple_is_default
        && line.flags & freeze == 0
        && limit.is_zero()
        && line.qualities.of_side(sender == key.low) == (0, 0)
}

/// Makes a trust line that `holder` pays reserve for. `held` is the holder's starting balance; `flags` are more flags
/// for the new line.
pub(crate) fn create_line(
    state: &mut State,
    holder: Address,
    token: Token,
    limit: TokenValue,
    held: TokenValue,
    flags: u32,
) -> Result<(), Failure> {
    let (key, line) = new_line(state, holder, token, limit, held, flags);
    state.put_line(key, line);
    adjust_owner_count(state, holder, 1)
}

/// The line that [`create_line`] makes.
pub(crate) fn new_line(
    state: &State,
    holder: Address,
    token: Token,
    limit: TokenValue,
    held: TokenValue,
    flags: u32,
) -> (LineKey, TrustLine) {
    let key = LineKey::of(holder, token.issuer, token.currency);
    let is_low = holder == key.low;
    let lacks_ripple = |account| state.account(account).is_some_and(|root| root.flags & LSF_DEFAULT_RIPPLE == 0);
    let (own_no_ripple, peer_no_ripple) =
        if is_low { (LSF_LOW_NO_RIPPLE, LSF_HIGH_NO_RIPPLE) } else { (LSF_HIGH_NO_RIPPLE, LSF_LOW_NO_RIPPLE) };
    let mut all = flags | reserve_flag(key, holder);
    // A line that a payment or a fill makes starts without rippling unless its holder ripples by default.
    if limit.is_zero() && lacks_ripple(holder) {
        all |= own_no_ripple;
    }
    if lacks_ripple(token.issuer) {
        all |= peer_no_ripple;
    }
    let zero = TokenValue::ZERO;
    let line = TrustLine {
        balance: if is_low { held } else { held.neg() },
        low_limit: if is_low { limit } else { zero },
        high_limit: if is_low { zero } else { limit },
        flags: all,
        qualities: LineQualities::default(),
        previous: None,
    };
    (key, line)
}

/// Moves an amount from one account to another. With a token each side is settled with the issuer, so that `sent` may
/// be more than `received` by the transfer fee.
pub(crate) fn move_value(
    state: &mut State,
    from: Address,
    to: Address,
    asset: Asset,
    sent: Value,
    received: Value,
) -> Result<(), Failure> {
    match (asset, sent, received) {
        (Asset::Xrp, Value::Drops(sent), Value::Drops(received)) => {
            add_xrp(state, from, -sent)?;
            add_xrp(state, to, received)
        }
        (Asset::Token(token), Value::Token(sent), Value::Token(received)) => {
            credit(state, from, token.issuer, token, sent)?;
            credit(state, token.issuer, to, token, received)
        }
        _ => Err(Failure(Ter::TEF_INTERNAL)),
    }
}

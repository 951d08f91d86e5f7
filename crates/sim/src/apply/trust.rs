//! TrustSet and AccountSet.

use neo_ledger::{Address, Token};

use super::funds::{adjust_owner_count, create_line};
use super::tx::{
    ASF_DEFAULT_RIPPLE, ASF_GLOBAL_FREEZE, TF_CLEAR_FREEZE, TF_CLEAR_NO_RIPPLE, TF_SET_FREEZE, TF_SET_NO_RIPPLE, Tx,
};
use super::{Context, Failure};
use crate::amount::TokenValue;
use crate::state::{
    Entry, Key, LSF_DEFAULT_RIPPLE, LSF_GLOBAL_FREEZE, LSF_HIGH_FREEZE, LSF_HIGH_NO_RIPPLE, LSF_HIGH_RESERVE,
    LSF_LOW_FREEZE, LSF_LOW_NO_RIPPLE, LSF_LOW_RESERVE, LineKey, State, TrustLine,
};
use crate::ter::Ter;

/// Entries an account may own before a trust line needs reserve.
const FREE_LINES: u32 = 2;

pub(super) fn trust_set(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    limit: (TokenValue, Token),
) -> Result<Ter, Failure> {
    let (limit, token) = limit;
    if state.account(token.issuer).is_none() {
        return Ok(Ter::TEC_NO_DST);
    }
    let owner_count = state.account(tx.account).map_or(0, |root| root.owner_count);
    let needed = if owner_count < FREE_LINES { 0 } else { context.rules.reserve(owner_count.saturating_add(1)) };
    let key = LineKey::of(tx.account, token.issuer, token.currency);
    let is_low = tx.account == key.low;
    let Some(mut line) = state.line(key).cloned() else {
        if limit.is_zero() && tx.flags & (TF_SET_NO_RIPPLE | TF_SET_FREEZE) == 0 {
            return Ok(Ter::TEC_NO_LINE_REDUNDANT);
        }
        if prior_balance < needed {
            return Ok(Ter::TEC_NO_LINE_INSUF_RESERVE);
        }
        let flags = wanted_flags(tx, is_low, 0);
        create_line(state, tx.account, token, limit, TokenValue::ZERO, flags)?;
        return Ok(Ter::SUCCESS);
    };
    if is_low {
        line.low_limit = limit;
    } else {
        line.high_limit = limit;
    }
    line.flags = wanted_flags(tx, is_low, line.flags);
    let raised = settle_reserves(state, key, &mut line, tx.account)?;
    if raised && prior_balance < needed {
        return Ok(Ter::TEC_NO_LINE_INSUF_RESERVE);
    }
    let unused = line.balance.is_zero() && line.flags & (LSF_LOW_RESERVE | LSF_HIGH_RESERVE) == 0;
    state.put(Key::Line(key), (!unused).then_some(Entry::Line(line)));
    Ok(Ter::SUCCESS)
}

/// The line's flags after the transaction's own.
fn wanted_flags(tx: &Tx, is_low: bool, flags: u32) -> u32 {
    let (no_ripple, freeze) =
        if is_low { (LSF_LOW_NO_RIPPLE, LSF_LOW_FREEZE) } else { (LSF_HIGH_NO_RIPPLE, LSF_HIGH_FREEZE) };
    let mut flags = flags;
    for (set, clear, flag) in
        [(TF_SET_NO_RIPPLE, TF_CLEAR_NO_RIPPLE, no_ripple), (TF_SET_FREEZE, TF_CLEAR_FREEZE, freeze)]
    {
        if tx.has(set) && !tx.has(clear) {
            flags |= flag;
        } else if tx.has(clear) && !tx.has(set) {
            flags &= !flag;
        }
    }
    flags
}

/// Each side pays reserve for a line that it uses: holds something, limits something, or set apart from its defaults.
/// True when `account` starts to pay.
fn settle_reserves(state: &mut State, key: LineKey, line: &mut TrustLine, account: Address) -> Result<bool, Failure> {
    let mut raised = false;
    for (owner, limit, held, reserve, no_ripple, freeze) in [
        (key.low, line.low_limit, line.balance, LSF_LOW_RESERVE, LSF_LOW_NO_RIPPLE, LSF_LOW_FREEZE),
        (key.high, line.high_limit, line.balance.neg(), LSF_HIGH_RESERVE, LSF_HIGH_NO_RIPPLE, LSF_HIGH_FREEZE),
    ] {
        let ripples = state.account(owner).is_some_and(|root| root.flags & LSF_DEFAULT_RIPPLE != 0);
        let apart = (line.flags & no_ripple != 0) == ripples;
        let uses = !limit.is_zero() || held.mantissa() > 0 || apart || line.flags & freeze != 0;
        let pays = line.flags & reserve != 0;
        if uses && !pays {
            line.flags |= reserve;
            adjust_owner_count(state, owner, 1)?;
            raised |= owner == account;
        } else if !uses && pays {
            line.flags &= !reserve;
            adjust_owner_count(state, owner, -1)?;
        }
    }
    Ok(raised)
}

/// Flag numbers that an AccountSet sets and clears.
pub(super) struct Options {
    pub set: Option<u32>,
    pub clear: Option<u32>,
}

pub(super) fn account_set(
    state: &mut State,
    account: Address,
    options: Options,
    tick_size: Option<u8>,
    transfer_rate: Option<u32>,
) -> Result<Ter, Failure> {
    let mut root = state.account(account).cloned().ok_or(Failure(Ter::TEF_INTERNAL))?;
    for (number, flag) in [(ASF_DEFAULT_RIPPLE, LSF_DEFAULT_RIPPLE), (ASF_GLOBAL_FREEZE, LSF_GLOBAL_FREEZE)] {
        if options.set == Some(number) {
            root.flags |= flag;
        }
        if options.clear == Some(number) {
            root.flags &= !flag;
        }
    }
    if let Some(size) = tick_size {
        root.tick_size = size;
    }
    if let Some(rate) = transfer_rate {
        root.transfer_rate = if rate == crate::amount::PARITY_RATE { 0 } else { rate };
    }
    state.put_account(account, root);
    Ok(Ter::SUCCESS)
}

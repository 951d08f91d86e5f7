//! Payment of XRP, and of a token between its issuer and holders. Cross-currency payments are not modelled yet.

use neo_ledger::{Address, Asset, Token};

use super::funds::{add_xrp, credit, is_frozen, move_value, transfer_rate};
use super::tx::Tx;
use super::{Context, Failure};
use crate::amount::{PARITY_RATE, TokenValue, Value};
use crate::state::{AccountRoot, LineKey, State};
use crate::ter::Ter;

pub(super) fn pay(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    destination: Address,
    amount: (Value, Asset),
    send_max: Option<(Value, Asset)>,
) -> Result<Ter, Failure> {
    match amount {
        (Value::Drops(drops), Asset::Xrp) => pay_xrp(state, tx, context, prior_balance, destination, drops),
        (Value::Token(value), Asset::Token(token)) => {
            let most = match send_max {
                Some((Value::Token(most), _)) => most,
                _ => value,
            };
            pay_token(state, tx.account, destination, token, value, most)
        }
        _ => Err(Failure(Ter::TEM_BAD_AMOUNT)),
    }
}

fn pay_xrp(
    state: &mut State,
    tx: &Tx,
    context: &Context<'_>,
    prior_balance: i64,
    destination: Address,
    drops: i64,
) -> Result<Ter, Failure> {
    let is_new = state.account(destination).is_none();
    if is_new && drops < context.rules.reserve(0) {
        return Ok(Ter::TEC_NO_DST_INSUF_XRP);
    }
    let owner_count = state.account(tx.account).map_or(0, |root| root.owner_count);
    // The fee may come out of the reserve.
    let needed = drops.saturating_add(context.rules.reserve(owner_count).max(tx.fee));
    if prior_balance < needed {
        return Ok(Ter::TEC_UNFUNDED_PAYMENT);
    }
    add_xrp(state, tx.account, -drops)?;
    if is_new {
        let root = AccountRoot {
            balance: drops,
            // New accounts count from the ledger's index, so that a deleted one's transactions cannot come back.
            sequence: context.ledger_index,
            owner_count: 0,
            flags: 0,
            tick_size: 0,
            transfer_rate: 0,
            amm_id: None,
            previous: None,
        };
        state.put_account(destination, root);
    } else {
        add_xrp(state, destination, drops)?;
    }
    Ok(Ter::SUCCESS)
}

fn pay_token(
    state: &mut State,
    from: Address,
    to: Address,
    token: Token,
    value: TokenValue,
    most: TokenValue,
) -> Result<Ter, Failure> {
    if state.account(to).is_none() {
        return Ok(Ter::TEC_NO_DST);
    }
    if from == token.issuer {
        return Ok(match room(state, to, token)? {
            Some(room) if room >= value => {
                credit(state, from, to, token, value)?;
                Ter::SUCCESS
            }
            Some(room) if room.mantissa() > 0 => Ter::TEC_PATH_PARTIAL,
            _ => Ter::TEC_PATH_DRY,
        });
    }
    let held = state.token_balance(from, token);
    // Frozen tokens can only go back to their issuer.
    if held.mantissa() <= 0 || (to != token.issuer && is_frozen(state, from, token)) {
        return Ok(Ter::TEC_PATH_DRY);
    }
    let rate = if to == token.issuer { PARITY_RATE } else { transfer_rate(state, Asset::Token(token)) };
    let sent = value.mul_ratio(rate, PARITY_RATE, true)?;
    if sent > most || sent > held {
        return Ok(Ter::TEC_PATH_PARTIAL);
    }
    if to != token.issuer {
        match room(state, to, token)? {
            Some(room) if room >= value => {}
            Some(room) if room.mantissa() > 0 => return Ok(Ter::TEC_PATH_PARTIAL),
            _ => return Ok(Ter::TEC_PATH_DRY),
        }
    }
    move_value(state, from, to, Asset::Token(token), Value::Token(sent), Value::Token(value))?;
    Ok(Ter::SUCCESS)
}

/// How much more of a token a holder accepts; `None` without a trust line.
fn room(state: &State, holder: Address, token: Token) -> Result<Option<TokenValue>, Failure> {
    let key = LineKey::of(holder, token.issuer, token.currency);
    let Some(line) = state.line(key) else { return Ok(None) };
    let (limit, held) =
        if holder == key.low { (line.low_limit, line.balance) } else { (line.high_limit, line.balance.neg()) };
    Ok(Some(limit.sub(held)?))
}

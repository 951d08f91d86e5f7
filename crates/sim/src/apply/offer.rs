//! OfferCreate and OfferCancel (rippled's `CreateOffer`).

use neo_ledger::{Address, Asset, LedgerTime, Token};

use super::flow::{self, Crossing, Hop, Request, View};
use super::funds::{adjust_owner_count, available, is_deep_frozen, is_globally_frozen};
use super::tx::{Body, TF_FILL_OR_KILL, TF_IMMEDIATE_OR_CANCEL, TF_PASSIVE, TF_SELL, Tx};
use super::{Context, Done, Failure};
use crate::amendment::Amendment;
use crate::amount::{
    InOut, PARITY_RATE, Quality, TokenValue, Value, div_round, div_round_strict, divide, mul_round, multiply,
};
use crate::state::{
    Book, Key, LSF_HIGH_AUTH, LSF_LOW_AUTH, LSF_PASSIVE, LSF_REQUIRE_AUTH, LSF_SELL, LineKey, Offer, OfferKey, State,
};
use crate::ter::Ter;

/// Rates of this many digits are not rounded.
const MAX_TICK_SIZE: u8 = 16;

/// More drops than there are: what a sale may bring.
const ANY_DROPS: i64 = 9_000_000_000_000_000_000;
/// Exponent of a transfer rate's billionths.
const RATE_EXPONENT: i32 = -9;

/// Removes an offer and its owner's reserve for it; nothing when there is none.
pub(crate) fn delete(state: &mut State, key: OfferKey) -> Result<(), Failure> {
    if state.offer(key).is_none() {
        return Ok(());
    }
    state.put(Key::Offer(key), None);
    adjust_owner_count(state, key.account, -1)
}

pub(super) fn preclaim(
    state: &State,
    context: &Context<'_>,
    account: Address,
    taker_gets: (Value, Asset),
    pays: Asset,
    expiration: Option<LedgerTime>,
    offer_sequence: Option<u32>,
) -> Ter {
    let (gets_value, gets) = taker_gets;
    let frozen = |asset| matches!(asset, Asset::Token(token) if is_globally_frozen(state, token));
    if frozen(gets) || frozen(pays) {
        return Ter::TEC_FROZEN;
    }
    if !available(state, context.rules, account, gets, gets_value, None).is_positive() {
        return Ter::TEC_UNFUNDED_OFFER;
    }
    let sequence = state.account(account).map_or(0, |root| root.sequence);
    if offer_sequence.is_some_and(|cancelled| cancelled >= sequence) {
        return Ter::TEM_BAD_SEQUENCE;
    }
    if expiration.is_some_and(|expiration| expiration <= context.parent_close_time) {
        return Ter::TEC_EXPIRED;
    }
    match pays {
        Asset::Token(token) => accepts(state, context, account, token),
        Asset::Xrp => Ter::SUCCESS,
    }
}

/// Whether an account may hold what it wants to buy (rippled, `checkAcceptAsset`).
fn accepts(state: &State, context: &Context<'_>, account: Address, token: Token) -> Ter {
    let (no_issuer, no_line, no_auth) = if context.retry {
        (Ter::TER_NO_ACCOUNT, Ter::TER_NO_LINE, Ter::TER_NO_AUTH)
    } else {
        (Ter::TEC_NO_ISSUER, Ter::TEC_NO_LINE, Ter::TEC_NO_AUTH)
    };
    let Some(issuer) = state.account(token.issuer) else { return no_issuer };
    if token.issuer == account {
        return Ter::SUCCESS;
    }
    let key = LineKey::of(account, token.issuer, token.currency);
    if issuer.flags & LSF_REQUIRE_AUTH != 0 {
        let flag = if token.issuer == key.low { LSF_LOW_AUTH } else { LSF_HIGH_AUTH };
        match state.line(key) {
            None => return no_line,
            Some(line) if line.flags & flag == 0 => return no_auth,
            Some(_) => {}
        }
    }
    if is_deep_frozen(state, account, token) { Ter::TEC_FROZEN } else { Ter::SUCCESS }
}

/// An offer being created: what it still wants to exchange, and the quality it will stand at.
struct Draft {
    taker_gets: Value,
    taker_pays: Value,
    book: Book,
    quality: Quality,
}

pub(super) fn create(state: &mut State, tx: &Tx, context: &Context<'_>, prior_balance: i64) -> Result<Done, Failure> {
    let Body::OfferCreate { taker_gets, taker_pays, expiration, offer_sequence } = &tx.body else {
        return Err(Failure(Ter::TEF_INTERNAL));
    };
    if let Some(sequence) = *offer_sequence {
        delete(state, OfferKey { account: tx.account, sequence })?;
    }
    let book = Book { pays: taker_pays.1, gets: taker_gets.1 };
    let quality = Quality::of(InOut { input: taker_pays.0, output: taker_gets.0 });
    let mut draft = Draft { taker_gets: taker_gets.0, taker_pays: taker_pays.0, book, quality };
    round_to_tick(state, tx, &mut draft)?;
    if draft.taker_gets.is_zero() || draft.taker_pays.is_zero() {
        return Ok(Ter::SUCCESS.into());
    }
    let (before_gets, before_pays) = (draft.taker_gets, draft.taker_pays);
    let done = cross(state, tx, context, &mut draft)?;
    if !done.result.is_success() {
        return Ok(done);
    }
    let crossed = before_gets != draft.taker_gets || before_pays != draft.taker_pays;
    let killed = Done { result: Ter::TEC_KILLED, dead_offers: done.dead_offers.clone(), delivered: None };
    if draft.taker_gets.is_zero() || draft.taker_pays.is_zero() {
        return Ok(done);
    }
    if tx.has(TF_FILL_OR_KILL) {
        return Ok(killed);
    }
    if tx.has(TF_IMMEDIATE_OR_CANCEL) {
        return Ok(if crossed { done } else { killed });
    }
    let owner_count = state.account(tx.account).map_or(0, |root| root.owner_count);
    if prior_balance < context.rules.reserve(owner_count.saturating_add(1)) {
        return Ok(if crossed { done } else { Ter::TEC_INSUF_RESERVE_OFFER.into() });
    }
    place(state, tx, draft, *expiration)?;
    Ok(done)
}

/// Rounds the rate to the smaller tick size of the issuers, in the placer's favour: a buy lowers what it sells, a sell
/// raises what it buys.
fn round_to_tick(state: &State, tx: &Tx, draft: &mut Draft) -> Result<(), Failure> {
    let tick_of = |asset| match asset {
        Asset::Token(Token { issuer, .. }) => state.account(issuer).map_or(0, |root| root.tick_size),
        Asset::Xrp => 0,
    };
    let set = [draft.book.pays, draft.book.gets].map(tick_of).into_iter().filter(|size| *size > 0);
    let Some(size) = set.min().filter(|size| *size < MAX_TICK_SIZE) else { return Ok(()) };
    let rate = Value::Token(draft.quality.round(size).rate());
    if tx.has(TF_SELL) {
        draft.taker_pays = multiply(draft.taker_gets, rate, draft.taker_pays.is_xrp())?;
    } else {
        draft.taker_gets = divide(draft.taker_pays, rate, draft.taker_gets.is_xrp())?;
    }
    draft.quality = Quality::of(InOut { input: draft.taker_pays, output: draft.taker_gets });
    Ok(())
}

/// Takes what is offered and leaves in `draft` what is to be placed.
fn cross(state: &mut State, tx: &Tx, context: &Context<'_>, draft: &mut Draft) -> Result<Done, Failure> {
    let (account, sell) = (tx.account, tx.has(TF_SELL));
    let (gets, pays) = (draft.book.gets, draft.book.pays);
    let mut view = View::new(state, context.rules, context.parent_close_time);
    let funds = view.funds(account, gets, draft.taker_gets)?;
    if !funds.is_positive() {
        // The fee can push an XRP balance into the reserve after the first check.
        return Ok(Ter::TEC_UNFUNDED_OFFER.into());
    }
    let rate = match gets {
        Asset::Token(token) if token.issuer != account => view.transfer_rate(token.issuer),
        _ => PARITY_RATE,
    };
    let send_max = match rate {
        PARITY_RATE => draft.taker_gets,
        rate => mul_round(draft.taker_gets, rate_value(rate)?, draft.taker_gets.is_xrp(), true)?,
    };
    let limit = Quality::of(InOut { input: send_max, output: draft.taker_pays });
    let deliver = match (sell, draft.taker_pays) {
        (false, pays) => pays,
        (true, Value::Drops(_)) => Value::Drops(ANY_DROPS),
        // Half the largest value leaves room for a transfer rate of two.
        (true, Value::Token(_)) => Value::Token(TokenValue::new(4_999_999_999_999_999, 80)?),
    };
    // Between two tokens XRP is another way round.
    let bridge = [vec![Hop { account: None, currency: Some(None), issuer: None }]];
    let bridged = gets != Asset::Xrp && pays != Asset::Xrp;
    let request = Request {
        from: account,
        to: account,
        deliver: (deliver, pays),
        paths: if bridged { &bridge } else { &[] },
        default_path: true,
        partial: !tx.has(TF_FILL_OR_KILL),
        owner_pays: true,
        crossing: Some(if sell { Crossing::Sell } else { Crossing::Buy }),
        limit_quality: Some(if tx.has(TF_PASSIVE) { limit.next_better() } else { limit }),
        send_max: Some((send_max.min(funds), gets)),
    };
    let flowed = flow::pay(&mut view, &request)?;
    if !flowed.result.is_success() {
        let dead_offers: Vec<OfferKey> = flowed.dead.into_iter().collect();
        for key in &dead_offers {
            delete(state, *key)?;
        }
        return Ok(Done { result: Ter::SUCCESS, dead_offers, delivered: None });
    }
    if view.funds(account, gets, draft.taker_gets)?.is_positive() {
        shrink(draft, flowed.exchanged, rate, sell, context)?;
    } else {
        (draft.taker_gets, draft.taker_pays) = (draft.taker_gets.cleared(), draft.taker_pays.cleared());
    }
    Ok(Ter::SUCCESS.into())
}

fn rate_value(rate: u32) -> Result<Value, Failure> {
    Ok(Value::Token(TokenValue::new(i64::from(rate), RATE_EXPONENT)?))
}

/// Takes what was exchanged off the offer, keeping its rate.
fn shrink(draft: &mut Draft, exchanged: InOut, rate_in: u32, sell: bool, context: &Context<'_>) -> Result<(), Failure> {
    let amounts = InOut { input: draft.taker_pays, output: draft.taker_gets };
    // From the taker's side the roles are turned: he pays TakerGets.
    let rate = Value::Token(Quality::of(InOut { input: amounts.output, output: amounts.input }).rate());
    let (gets_xrp, pays_xrp) = (draft.taker_gets.is_xrp(), draft.taker_pays.is_xrp());
    if sell {
        // What went to the issuer as a fee was not sold.
        let sold = match rate_in {
            PARITY_RATE => exchanged.input,
            rate_in => div_round(exchanged.input, rate_value(rate_in)?, gets_xrp, true)?,
        };
        let rest = draft.taker_gets.sub(sold)?;
        draft.taker_gets = if rest.signum() < 0 { rest.cleared() } else { rest };
        draft.taker_pays = if context.rules.enabled(Amendment::FixReducedOffersV1) {
            div_round_strict(draft.taker_gets, rate, pays_xrp, false)?
        } else {
            div_round(draft.taker_gets, rate, pays_xrp, true)?
        };
    } else {
        let rest = draft.taker_pays.sub(exchanged.output)?;
        draft.taker_pays = if rest.signum() < 0 { rest.cleared() } else { rest };
        draft.taker_gets = mul_round(draft.taker_pays, rate, gets_xrp, true)?;
    }
    Ok(())
}

fn place(state: &mut State, tx: &Tx, draft: Draft, expiration: Option<LedgerTime>) -> Result<(), Failure> {
    adjust_owner_count(state, tx.account, 1)?;
    let flag = |set: u32, ledger_flag: u32| if tx.has(set) { ledger_flag } else { 0 };
    let offer = Offer {
        book: draft.book,
        taker_pays: draft.taker_pays,
        taker_gets: draft.taker_gets,
        quality: draft.quality,
        order: state.take_order(),
        flags: flag(TF_PASSIVE, LSF_PASSIVE) | flag(TF_SELL, LSF_SELL),
        expiration,
        previous: None,
    };
    state.put_offer(OfferKey { account: tx.account, sequence: tx.sequence }, offer);
    Ok(())
}

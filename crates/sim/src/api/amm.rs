//! amm_info.

use neo_ledger::{Address, Asset, Currency, LedgerTime, Token};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields, select};
use crate::amm::{AUCTION_SLOT_SECONDS, Amm, AssetPair, AuctionSlot};
use crate::amount::{TokenValue, Value};
use crate::apply::funds::is_frozen;
use crate::apply::meta::amount_json;
use crate::calendar;
use crate::node::Node;
use crate::state::State;

/// An asset as AMM requests name it (rippled, `issueFromJson`): an issuer for all but XRP.
pub(super) fn issue(json: &Json) -> Option<Asset> {
    let object = json.as_object()?;
    let currency = object.get("currency")?.as_str()?;
    match (currency, object.get("issuer")) {
        ("XRP", None) => Some(Asset::Xrp),
        ("XRP", Some(_)) => None,
        (_, issuer) => {
            let currency: Currency = currency.parse().ok()?;
            Some(Asset::Token(Token { currency, issuer: issuer?.as_str()?.parse().ok()? }))
        }
    }
}

/// What a request names.
struct Named<'a> {
    pool: &'a Amm,
    pair: AssetPair,
    /// The assets in the order of the request, or of the entry.
    assets: (Asset, Asset),
    /// The holder whose share is asked for.
    holder: Option<Address>,
}

fn named<'a>(state: &'a State, request: &Request) -> Result<Named<'a>, ApiError> {
    let (asset, asset2, account) = (request.get("asset"), request.get("asset2"), request.get("amm_account"));
    if asset.is_some() != asset2.is_some() || asset.is_some() == account.is_some() {
        return Err(ApiError::bad_params());
    }
    let malformed = || ApiError::new("issueMalformed", 93, "Issue is malformed.");
    let address = |value: &Json| value.as_str().and_then(|text| text.parse::<Address>().ok());
    let existing = |value: &Json| {
        address(value).filter(|account| state.account(*account).is_some()).ok_or_else(ApiError::account_malformed)
    };
    let found = match (asset, asset2, account) {
        (Some(asset), Some(asset2), _) => {
            let assets = (issue(asset).ok_or_else(malformed)?, issue(asset2).ok_or_else(malformed)?);
            let pair = AssetPair::of(assets.0, assets.1);
            state.amm(pair).map(|pool| (pool, pair, assets))
        }
        (_, _, Some(account)) => {
            state.amm_of(existing(account)?).map(|(pair, pool)| (pool, pair, (pair.asset, pair.asset2)))
        }
        _ => None,
    };
    let holder = request.get("account").map(existing).transpose()?;
    let (pool, pair, assets) = found.ok_or_else(ApiError::account_not_found)?;
    Ok(Named { pool, pair, assets, holder })
}

pub(super) fn amm_info(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let state = selected.state.as_ref();
    let Named { pool, pair, assets, holder } =
        named(state, request).map_err(|error| error.with(selected.fields.clone()))?;
    let lp_token = pool.lp_token(pair);
    let share = match holder {
        None => pool.lp_token_balance,
        Some(holder) if is_frozen(state, holder, lp_token) => TokenValue::ZERO,
        Some(holder) => state.token_balance(holder, lp_token),
    };
    let held = |asset| {
        let value = match asset {
            Asset::Xrp => Value::Drops(state.account(pool.account).map_or(0, |root| root.balance)),
            Asset::Token(token) => Value::Token(state.token_balance(pool.account, token)),
        };
        amount_json(value, asset)
    };
    let mut shown = fields(json!({
        "account": pool.account,
        "amount": held(assets.0),
        "amount2": held(assets.1),
        "lp_token": amount_json(Value::Token(share), Asset::Token(lp_token)),
        "trading_fee": pool.trading_fee,
    }));
    for (name, asset) in [("asset_frozen", assets.0), ("asset2_frozen", assets.1)] {
        if let Asset::Token(token) = asset {
            shown.insert(name.to_string(), json!(is_frozen(state, pool.account, token)));
        }
    }
    let votes: Vec<Json> = pool
        .vote_slots
        .iter()
        .map(|vote| json!({ "account": vote.account, "trading_fee": vote.trading_fee, "vote_weight": vote.weight }))
        .collect();
    if !votes.is_empty() {
        shown.insert("vote_slots".to_string(), json!(votes));
    }
    if let Some(slot) = &pool.auction_slot {
        let header = node.chain.header();
        let now = if selected.validated { header.parent_close_time } else { header.close_time };
        shown.insert("auction_slot".to_string(), auction_slot(slot, lp_token, now));
    }
    let mut result = selected.fields;
    result.insert("amm".to_string(), Json::Object(shown));
    Ok(result)
}

/// A slot's day has twenty parts; after it there is no part (rippled, `ammAuctionTimeSlot`).
const TIME_INTERVALS: u32 = 20;

fn auction_slot(slot: &AuctionSlot, lp_token: Token, now: LedgerTime) -> Json {
    let since = (now.0.saturating_add(AUCTION_SLOT_SECONDS)).checked_sub(slot.expiration.0);
    let part = since
        .filter(|since| *since < AUCTION_SLOT_SECONDS)
        .map(|since| since / (AUCTION_SLOT_SECONDS / TIME_INTERVALS));
    let mut shown = json!({
        "account": slot.account,
        "discounted_fee": slot.discounted_fee,
        "expiration": calendar::iso(slot.expiration).replace('Z', ".000000000+0000"),
        "price": amount_json(Value::Token(slot.price), Asset::Token(lp_token)),
        "time_interval": part.unwrap_or(TIME_INTERVALS),
    });
    if let (false, Json::Object(shown)) = (slot.auth_accounts.is_empty(), &mut shown) {
        let named: Vec<Json> = slot.auth_accounts.iter().map(|account| json!({ "account": account })).collect();
        shown.insert("auth_accounts".to_string(), json!(named));
    }
    shown
}

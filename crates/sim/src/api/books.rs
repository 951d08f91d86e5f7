//! book_offers, and the snapshot of a subscription.

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, select};
use crate::amount::{PARITY_RATE, Value, multiply};
use crate::apply::funds::{available, transfer_rate};
use crate::apply::meta::{amount_json, whole_entry};
use crate::apply::{Failure, Rules};
use crate::node::Node;
use crate::state::{Book, Entry, Key, State};

/// Offers of a page.
pub(super) const OFFERS: select::Limits = select::Limits { least: 0, default: 60, most: 100 };

pub(super) fn book_offers(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    // The missing side is named first for taker_pays, as rippled looks.
    let pays = select::asset(&request.json, "taker_pays");
    if request.get("taker_pays").is_none() {
        pays?;
        return Err(ApiError::missing_field("taker_pays"));
    }
    let gets = select::asset(&request.json, "taker_gets");
    let (pays, gets) = match (pays, gets) {
        (Ok(pays), Ok(gets)) => (pays, gets),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    if pays == gets {
        return Err(ApiError::new("badMarket", 42, "No such market."));
    }
    let taker = match request.get("taker") {
        None => None,
        Some(value) => {
            let text = value.as_str().ok_or_else(|| ApiError::invalid_params("Invalid field 'taker', not string."))?;
            Some(text.parse().map_err(|_| ApiError::invalid_field("taker"))?)
        }
    };
    let limit = select::limit(request, &OFFERS)?;
    let offers = offers(&selected.state, node.chain.rules(), Book { pays, gets }, taker, limit)?;
    let mut result = selected.fields;
    result.insert("offers".to_string(), json!(offers));
    Ok(result)
}

/// A book's offers, best first, with what their owners can honour: an owner's funds are spread over his offers from
/// the best on. Offers without any funds are left out, unless they are the taker's own.
pub(super) fn offers(
    state: &State,
    rules: &Rules,
    book: Book,
    taker: Option<Address>,
    limit: usize,
) -> Result<Vec<Json>, ApiError> {
    let mut left: BTreeMap<Address, Value> = BTreeMap::new();
    let mut rows = Vec::new();
    for (key, offer) in state.book(book) {
        if rows.len() >= limit {
            break;
        }
        let owner = key.account;
        let is_issuer = matches!(book.gets, Asset::Token(token) if token.issuer == owner);
        let is_first = !left.contains_key(&owner);
        let funds = match left.get(&owner) {
            _ if is_issuer => offer.taker_gets,
            Some(funds) => *funds,
            None => {
                let funds = available(state, rules, owner, book.gets, offer.taker_gets, None);
                if funds.is_positive() { funds } else { funds.cleared() }
            }
        };
        let rate = match book.gets {
            Asset::Token(token) if !is_issuer && taker != Some(token.issuer) => transfer_rate(state, book.gets),
            _ => PARITY_RATE,
        };
        let failed = |_| ApiError::internal();
        let limit_out = funds.mul_ratio(PARITY_RATE, rate, false).map_err(failed)?;
        let mut row = whole_entry(Key::Offer(key), &Entry::Offer(offer.clone()));
        let funded = if limit_out >= offer.taker_gets {
            offer.taker_gets
        } else {
            let price = Value::Token(offer.quality.rate());
            let pays = multiply(limit_out, price, offer.taker_pays.is_xrp()).map_err(failed)?.min(offer.taker_pays);
            row.insert("taker_gets_funded".to_string(), amount_json(limit_out, book.gets));
            row.insert("taker_pays_funded".to_string(), amount_json(pays, book.pays));
            limit_out
        };
        let owner_pays = funded.mul_ratio(rate, PARITY_RATE, true).map_err(failed)?.min(funds);
        left.insert(owner, funds.sub(owner_pays).map_err(failed)?);
        if !funds.is_positive() && taker != Some(owner) {
            continue;
        }
        row.insert("quality".to_string(), json!(offer.quality.rate().text()));
        if is_first {
            row.insert("owner_funds".to_string(), json!(funds.text()));
        }
        rows.push(Json::Object(row));
    }
    Ok(rows)
}

impl From<Failure> for ApiError {
    fn from(_: Failure) -> ApiError {
        ApiError::internal()
    }
}

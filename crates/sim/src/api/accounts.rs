//! account_info, account_lines, account_offers, account_objects.

use neo_ledger::{Address, Asset, Token};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::select::{self, Selected};
use super::{Fields, Request, fields};
use crate::amount::Value;
use crate::apply::meta::{amount_json, index_of, whole_entry};
use crate::node::Node;
use crate::state::{
    Entry, Key, LSF_DEFAULT_RIPPLE, LSF_GLOBAL_FREEZE, LSF_HIGH_FREEZE, LSF_HIGH_NO_RIPPLE, LSF_LOW_FREEZE,
    LSF_LOW_NO_RIPPLE, LineKey, TrustLine,
};

pub(super) fn account_info(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let account = select::account(request, Some(&selected))?;
    let Some(root) = selected.state.account(account) else {
        let mut more = selected.fields;
        more.insert("account".to_string(), json!(account));
        return Err(ApiError::account_not_found().with(more));
    };
    let queue = request.flag("queue");
    if queue && selected.validated {
        return Err(ApiError::invalid_params("Invalid parameters.").with(selected.fields));
    }
    let data = whole_entry(Key::Account(account), &Entry::Account(root.clone()));
    let mut result = selected.fields;
    result.insert("account_data".to_string(), Json::Object(data));
    result.insert("account_flags".to_string(), account_flags(root.flags));
    if queue {
        result.insert("queue_data".to_string(), json!({ "txn_count": 0 }));
    }
    Ok(result)
}

fn account_flags(flags: u32) -> Json {
    json!({
        "allowTrustLineClawback": false,
        "allowTrustLineLocking": false,
        "defaultRipple": flags & LSF_DEFAULT_RIPPLE != 0,
        "depositAuth": false,
        "disableMasterKey": false,
        "disallowIncomingCheck": false,
        "disallowIncomingNFTokenOffer": false,
        "disallowIncomingPayChan": false,
        "disallowIncomingTrustline": false,
        "disallowIncomingXRP": false,
        "globalFreeze": flags & LSF_GLOBAL_FREEZE != 0,
        "noFreeze": false,
        "passwordSpent": false,
        "requireAuthorization": false,
        "requireDestinationTag": false,
    })
}

/// The named account of the named ledger, which must exist.
fn existing<'a>(node: &'a Node, request: &Request) -> Result<(Selected<'a>, Address), ApiError> {
    // The account's type is looked at before the ledger, its text after it.
    match request.get("account") {
        None => return Err(ApiError::missing_field("account")),
        Some(value) if !value.is_string() => return Err(ApiError::invalid_field("account")),
        Some(_) => {}
    }
    let selected = select::ledger(node, request)?;
    let account = select::account(request, Some(&selected))?;
    if selected.state.account(account).is_none() {
        return Err(ApiError::account_not_found());
    }
    Ok((selected, account))
}

/// A page of an account's rows as an answer.
fn paged(
    request: &Request,
    selected: Selected<'_>,
    account: Address,
    name: &str,
    rows: Vec<(neo_ledger::Hash, Json)>,
) -> Result<Fields, ApiError> {
    let (page, marker, limited) = select::page(request, rows.into_iter())?;
    let mut result = selected.fields;
    result.insert("account".to_string(), json!(account));
    result.insert(name.to_string(), json!(page));
    if let Some(marker) = marker {
        result.insert("marker".to_string(), json!(marker));
        result.insert("limit".to_string(), json!(select::limit(request, page.len())?));
    } else if limited && name == "account_objects" {
        result.insert("limit".to_string(), json!(select::limit(request, 0)?));
    }
    Ok(result)
}

pub(super) fn account_lines(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    let peer: Option<Address> = match request.get("peer") {
        None => None,
        Some(peer) => {
            let peer = peer.as_str().and_then(|text| text.parse().ok());
            Some(peer.ok_or_else(ApiError::account_malformed)?)
        }
    };
    let rows = selected
        .state
        .lines_of(account)
        .filter(|(key, _)| peer.is_none_or(|peer| key.peer_of(account) == peer))
        .map(|(key, line)| (index_of(Key::Line(key)), line_row(account, key, line)))
        .collect();
    paged(request, selected, account, "lines", rows)
}

fn line_row(account: Address, key: LineKey, line: &TrustLine) -> Json {
    let is_low = account == key.low;
    let (balance, limit, limit_peer) = if is_low {
        (line.balance, line.low_limit, line.high_limit)
    } else {
        (line.balance.neg(), line.high_limit, line.low_limit)
    };
    let mut row = fields(json!({
        "account": key.peer_of(account),
        "balance": balance.text(),
        "currency": key.currency,
        "limit": limit.text(),
        "limit_peer": limit_peer.text(),
        "quality_in": 0,
        "quality_out": 0,
    }));
    let (own, peer) = if is_low {
        ((LSF_LOW_NO_RIPPLE, LSF_LOW_FREEZE), (LSF_HIGH_NO_RIPPLE, LSF_HIGH_FREEZE))
    } else {
        ((LSF_HIGH_NO_RIPPLE, LSF_HIGH_FREEZE), (LSF_LOW_NO_RIPPLE, LSF_LOW_FREEZE))
    };
    for (name, flag) in [("no_ripple", own.0), ("freeze", own.1), ("no_ripple_peer", peer.0), ("freeze_peer", peer.1)] {
        if line.flags & flag != 0 {
            row.insert(name.to_string(), json!(true));
        }
    }
    Json::Object(row)
}

pub(super) fn account_offers(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    select::limit(request, 0)?;
    let rows = selected
        .state
        .offers_of(account)
        .map(|(key, offer)| {
            let mut row = fields(json!({
                "flags": offer.flags,
                "quality": offer.quality.rate().text(),
                "seq": key.sequence,
                "taker_gets": amount_json(offer.taker_gets, offer.book.gets),
                "taker_pays": amount_json(offer.taker_pays, offer.book.pays),
            }));
            if let Some(expiration) = offer.expiration {
                row.insert("expiration".to_string(), json!(expiration));
            }
            (index_of(Key::Offer(key)), Json::Object(row))
        })
        .collect();
    paged(request, selected, account, "offers", rows)
}

pub(super) fn account_objects(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    let kind = request.get("type").and_then(Json::as_str);
    let wanted = |name: &str| kind.is_none_or(|kind| kind == name);
    let mut rows = Vec::new();
    if wanted("offer") && !request.flag("deletion_blockers_only") {
        rows.extend(selected.state.offers_of(account).map(|(key, offer)| {
            (index_of(Key::Offer(key)), Json::Object(whole_entry(Key::Offer(key), &Entry::Offer(offer.clone()))))
        }));
    }
    if wanted("state") {
        rows.extend(selected.state.lines_of(account).map(|(key, line)| {
            (index_of(Key::Line(key)), Json::Object(whole_entry(Key::Line(key), &Entry::Line(line.clone()))))
        }));
    }
    rows.sort_by_key(|(index, _)| *index);
    paged(request, selected, account, "account_objects", rows)
}

/// What an account could give of an asset, as `owner_funds` says it; `None` when it issues it.
pub(super) fn owner_funds(node: &Node, account: Address, asset: Asset) -> Option<Value> {
    match asset {
        Asset::Token(Token { issuer, .. }) if issuer == account => None,
        _ => {
            let (state, rules) = (node.chain.validated(), node.chain.rules());
            let nothing = Value::zero(asset == Asset::Xrp);
            let funds = crate::apply::funds::available(state, rules, account, asset, nothing, None);
            Some(if funds.is_positive() { funds } else { nothing })
        }
    }
}

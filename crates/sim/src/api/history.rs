//! account_tx.

use neo_ledger::Address;
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::select::{self, LedgerName};
use super::transactions::{blobs, entry};
use super::{Fields, Request, fields};
use crate::history::Place;
use crate::node::Node;

/// Transactions of a page when the request does not say, and the most of one.
const PAGE: (usize, usize) = (200, 1_000);

/// Where an account_tx request looks: its ledgers, both included.
fn account_tx_range(node: &Node, request: &Request) -> Result<(u32, u32), ApiError> {
    let (first, last) = (node.history.first_index().unwrap_or(1), node.chain.header().index);
    let bound = |field: &str| -> Result<Option<i64>, ApiError> {
        request.get(field).map(|value| value.as_i64().ok_or_else(ApiError::internal)).transpose()
    };
    let (min, max) = (bound("ledger_index_min")?, bound("ledger_index_max")?);
    if min.is_some() || max.is_some() {
        if request.version > 1 && (request.get("ledger_hash").is_some() || request.get("ledger_index").is_some()) {
            return Err(ApiError::invalid_params("invalidParams"));
        }
        let out_of_range = || ApiError::new("lgrIdxMalformed", 58, "Ledger index malformed.");
        let given = |bound: Option<i64>, open: u32| match bound.filter(|index| *index >= 0) {
            Some(index) => u32::try_from(index).map_err(|_| out_of_range()),
            None => Ok(open),
        };
        let (min_given, max_given) = (given(min, first)?, given(max, last)?);
        if request.version > 1 && ((min_given < first && min_given != 0) || max_given > last) {
            return Err(out_of_range());
        }
        let (min, max) = (min_given.max(first), max_given.min(last));
        if min > max {
            return Err(match request.version {
                1 => ApiError::new("lgrIdxsInvalid", 57, "Ledger indexes invalid."),
                _ => ApiError::new("invalidLgrRange", 79, "Ledger range is invalid."),
            });
        }
        return Ok((min, max));
    }
    if request.get("ledger_index").is_some_and(|value| value.as_i64().is_some_and(|index| index < 0)) {
        return Err(ApiError::internal());
    }
    if request.get("ledger_index").is_none() && request.get("ledger_hash").is_none() {
        return Ok((first, last));
    }
    match select::ledger_name(node, request)? {
        LedgerName::Index(index) if (first..=last).contains(&index) => Ok((index, index)),
        LedgerName::Index(_) => Err(ApiError::ledger_not_found()),
        LedgerName::Validated => Ok((last, last)),
        LedgerName::Current => Err(ApiError::new("lgrNotValidated", 22, "Ledger not validated.")),
    }
}

pub(super) fn account_tx(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    for field in ["binary", "forward"] {
        if request.misuses_flag(field) {
            return Err(ApiError::invalid_field(field));
        }
    }
    let (forward, binary) = (request.flag("forward"), request.flag("binary"));
    let limit = match request.get("limit") {
        None => None,
        Some(value) => {
            let limit = value.as_u64().ok_or_else(ApiError::internal)?;
            Some(usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, PAGE.1))
        }
    };
    let account: Address = select::account(request, None)?;
    let (min, max) = account_tx_range(node, request)?;
    let (mut from, mut to) = ((min, 0), (max, u32::MAX));
    if let Some(marker) = marker_of(request)? {
        if forward {
            from = from.max(marker);
        } else {
            to = to.min(marker);
        }
    }
    let mut places = node.history.of_account(account, from, to);
    if !forward {
        places.reverse();
    }
    let size = limit.unwrap_or(PAGE.0);
    let next = places.get(size).copied();
    let mut transactions = Vec::new();
    for place in places.into_iter().take(size) {
        let record = node.history.at(place).ok_or_else(ApiError::internal)?;
        if binary {
            let (tx, meta) = blobs(record)?;
            let name = if request.version > 1 { "meta_blob" } else { "meta" };
            transactions.push(json!({ "ledger_index": place.0, name: meta, "tx_blob": tx, "validated": true }));
            continue;
        }
        let (shown, mut around) = entry(node, place, record, request.version)?;
        around.insert(if request.version > 1 { "tx_json" } else { "tx" }.to_string(), Json::Object(shown));
        transactions.push(Json::Object(around));
    }
    let mut result = fields(json!({
        "account": account,
        "ledger_index_max": max,
        "ledger_index_min": min,
        "limit": limit.unwrap_or(0),
        "transactions": transactions,
        "validated": true,
    }));
    if let Some((ledger, seq)) = next {
        result.insert("marker".to_string(), json!({ "ledger": ledger, "seq": seq }));
        result.insert("limit".to_string(), json!(size));
    }
    Ok(result)
}

fn marker_of(request: &Request) -> Result<Option<Place>, ApiError> {
    let Some(marker) = request.get("marker") else { return Ok(None) };
    let part = |field: &str| marker.get(field).and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
    match (part("ledger"), part("seq")) {
        (Some(ledger), Some(seq)) => Ok(Some((ledger, seq))),
        _ => Err(ApiError::invalid_params(
            "invalid marker. Provide ledger index via ledger field, and transaction sequence number via seq field",
        )),
    }
}

//! What requests name: a ledger, an account, an asset, a page.

use neo_ledger::{Address, Asset, Currency, Hash, Token};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields};
use crate::node::Node;
use crate::state::State;

/// Rows of a page when the request does not say.
const DEFAULT_LIMIT: usize = 200;
/// Most rows of a page.
const MAX_LIMIT: usize = 10_000;

/// The ledger that a request is about.
pub(crate) struct Selected<'a> {
    /// Its state.
    pub state: &'a State,
    /// What the answer says of it.
    pub fields: Fields,
    /// True for the last closed ledger.
    pub validated: bool,
}

/// A ledger by name, index or hash.
pub(crate) enum LedgerName {
    /// The open one.
    Current,
    /// The last closed one.
    Validated,
    /// One by its index.
    Index(u32),
}

/// Reads which ledger a request names; without a name it is the open one.
pub(crate) fn ledger_name(node: &Node, request: &Request) -> Result<LedgerName, ApiError> {
    if let Some(hash) = request.get("ledger_hash") {
        let malformed = || ApiError::invalid_params("ledgerHashMalformed");
        let hash: Hash = hash.as_str().ok_or_else(malformed)?.parse().map_err(|_| malformed())?;
        let header = node.history.header_by_hash(hash).ok_or_else(ApiError::ledger_not_found)?;
        return Ok(LedgerName::Index(header.index));
    }
    let malformed = || ApiError::invalid_params("ledgerIndexMalformed");
    match request.get("ledger_index").or_else(|| request.get("ledger")) {
        None => Ok(LedgerName::Current),
        Some(Json::Number(number)) => {
            let index = number.as_u64().ok_or_else(malformed)?;
            Ok(LedgerName::Index(u32::try_from(index).map_err(|_| malformed())?))
        }
        Some(Json::String(name)) => match name.as_str() {
            "current" | "" => Ok(LedgerName::Current),
            "validated" | "closed" => Ok(LedgerName::Validated),
            number => number.parse().map(LedgerName::Index).map_err(|_| malformed()),
        },
        Some(_) => Err(malformed()),
    }
}

/// The state of the ledger that a request names. Only the last closed ledger and the open one have a state; of older
/// ones only headers and transactions are kept.
pub(crate) fn ledger<'a>(node: &'a Node, request: &Request) -> Result<Selected<'a>, ApiError> {
    let header = node.chain.header();
    let validated = match ledger_name(node, request)? {
        LedgerName::Validated => true,
        LedgerName::Current => false,
        LedgerName::Index(index) if index == header.index => true,
        LedgerName::Index(index) if index == node.chain.open_index() => false,
        LedgerName::Index(_) => return Err(ApiError::ledger_not_found()),
    };
    let (state, named) = if validated {
        let named = json!({ "ledger_hash": header.hash, "ledger_index": header.index, "validated": true });
        (node.chain.validated(), named)
    } else {
        let named = json!({ "ledger_current_index": node.chain.open_index(), "validated": false });
        (node.chain.open(), named)
    };
    Ok(Selected { state, fields: fields(named), validated })
}

/// The account that a request names; `selected` is repeated beside an error about its text.
pub(crate) fn account(request: &Request, selected: Option<&Selected<'_>>) -> Result<Address, ApiError> {
    let value = request.get("account").ok_or_else(|| ApiError::missing_field("account"))?;
    let text = value.as_str().ok_or_else(|| ApiError::invalid_field("account"))?;
    let more = selected.map(|selected| selected.fields.clone()).unwrap_or_default();
    text.parse().map_err(|_| ApiError::account_malformed().with(more))
}

/// One side of a book that a request names (`taker_gets` or `taker_pays`).
pub(crate) fn asset(request: &Fields, field: &'static str) -> Result<Asset, ApiError> {
    let value = request.get(field).ok_or_else(|| ApiError::missing_field(field))?;
    let object =
        value.as_object().ok_or_else(|| ApiError::invalid_params(format!("Invalid field '{field}', not object.")))?;
    let gets = field == "taker_gets";
    let bad_currency = |text: String| {
        if gets { ApiError::new("dstAmtMalformed", 51, text) } else { ApiError::new("srcCurMalformed", 69, text) }
    };
    let bad_issuer = |text: String| {
        if gets { ApiError::new("dstIsrMalformed", 53, text) } else { ApiError::new("srcIsrMalformed", 70, text) }
    };
    let currency = object.get("currency").ok_or_else(|| ApiError::missing_field(&format!("{field}.currency")))?;
    let currency = currency
        .as_str()
        .ok_or_else(|| ApiError::invalid_params(format!("Invalid field '{field}.currency', not string.")))?;
    let issuer = object.get("issuer");
    if currency == "XRP" {
        return match issuer {
            None => Ok(Asset::Xrp),
            Some(_) => Err(bad_issuer(format!("Unneeded field '{field}.issuer' for XRP currency specification."))),
        };
    }
    let currency: Currency =
        currency.parse().map_err(|_| bad_currency(format!("Invalid field '{field}.currency', bad currency.")))?;
    let Some(issuer) = issuer else {
        return Err(bad_issuer(format!("Invalid field '{field}.issuer', expected non-XRP issuer.")));
    };
    let issuer = issuer
        .as_str()
        .ok_or_else(|| ApiError::invalid_params(format!("Invalid field '{field}.issuer', not string.")))?;
    let issuer = issuer.parse().map_err(|_| bad_issuer(format!("Invalid field '{field}.issuer', bad issuer.")))?;
    Ok(Asset::Token(Token { currency, issuer }))
}

/// The limit that a request sets.
pub(crate) fn limit(request: &Request, default: usize) -> Result<usize, ApiError> {
    match request.get("limit") {
        None => Ok(default),
        Some(value) => {
            let bad = || ApiError::invalid_params("Invalid field 'limit', not unsigned integer.");
            let limit = usize::try_from(value.as_u64().ok_or_else(bad)?).unwrap_or(MAX_LIMIT);
            Ok(limit.min(MAX_LIMIT))
        }
    }
}

/// One page of rows, each with the index of its entry, from the request's marker on; and the marker of the next page.
pub(crate) fn page<T>(
    request: &Request,
    rows: impl Iterator<Item = (Hash, T)>,
) -> Result<(Vec<T>, Option<String>, bool), ApiError> {
    let limit = limit(request, DEFAULT_LIMIT)?.max(1);
    let mut rows = rows.peekable();
    if let Some(marker) = request.get("marker") {
        let bad = || ApiError::invalid_params("Invalid parameters.");
        let (hash, _) = marker.as_str().and_then(|text| text.split_once(',')).ok_or_else(bad)?;
        let hash: Hash = hash.parse().map_err(|_| bad())?;
        // The marker names the last row of the page before; when that row is gone the pages cannot go on.
        if !rows.any(|(index, _)| index == hash) {
            return Err(bad());
        }
    }
    let mut page = Vec::new();
    let mut last = None;
    for (index, row) in rows.by_ref().take(limit) {
        last = Some(index);
        page.push(row);
    }
    let marker = last.filter(|_| rows.peek().is_some()).map(|last| format!("{last},0"));
    let limited = request.get("limit").is_some();
    Ok((page, marker, limited))
}

//! What requests name: a ledger, an account, an asset, a page.

use std::borrow::Cow;

use neo_ledger::{Address, Asset, Currency, Hash, Token};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields};
use crate::ledger::Header;
use crate::node::Node;
use crate::state::State;

/// The ledger that a request is about.
pub(crate) struct Selected<'a> {
    /// Its state.
    pub state: Cow<'a, State>,
    /// What the answer says of it.
    pub fields: Fields,
    /// True for the last closed ledger.
    pub validated: bool,
}

/// A ledger by name, index or hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerName {
    /// The open one.
    Current,
    /// The last closed one.
    Validated,
    /// One by its index.
    Index(u32),
}

/// A value as rippled's JSON turns it into text; `None` where it throws, which becomes `internal`.
pub(crate) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::new()),
        Json::Bool(is) => Some(is.to_string()),
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// Longest text of the old field `ledger` that is an index and no hash.
const LONGEST_INDEX_CHARS: usize = 12;

/// Reads which ledger a request names; without a name it is the open one (rippled, `RPC::lookupLedger`).
pub(crate) fn ledger_name(node: &Node, request: &Request) -> Result<LedgerName, ApiError> {
    let old = match request.get("ledger") {
        None => None,
        Some(value) => Some(text_of(value).ok_or_else(ApiError::internal)?),
    };
    let (old_hash, old_index) = match old {
        Some(text) if text.len() > LONGEST_INDEX_CHARS => (Some(text), None),
        other => (None, other),
    };
    let hash = match (old_hash, request.get("ledger_hash").filter(|_| request.get("ledger").is_none())) {
        (Some(text), _) => Some(text),
        (None, Some(Json::String(text))) => Some(text.clone()),
        (None, Some(_)) => return Err(ApiError::invalid_params("ledgerHashNotString")),
        (None, None) => None,
    };
    if let Some(hash) = hash {
        let hash: Hash = hash.parse().map_err(|_| ApiError::invalid_params("ledgerHashMalformed"))?;
        let header = node.history.header_by_hash(hash).ok_or_else(ApiError::ledger_not_found)?;
        return Ok(LedgerName::Index(header.index));
    }
    let index = match (old_index, request.get("ledger_index")) {
        (Some(text), _) => text,
        (None, Some(value)) => text_of(value).ok_or_else(ApiError::internal)?,
        (None, None) => return Ok(LedgerName::Current),
    };
    match index.as_str() {
        "current" | "" => Ok(LedgerName::Current),
        "validated" | "closed" => Ok(LedgerName::Validated),
        number => match number.parse::<u32>() {
            Ok(number) if !index.starts_with('+') => Ok(LedgerName::Index(number)),
            _ => Err(ApiError::invalid_params("ledgerIndexMalformed")),
        },
    }
}

/// A ledger that is closed, or the open one.
pub(crate) enum Found<'a> {
    /// The open one.
    Open,
    /// A closed one that is remembered.
    Closed(&'a Header),
}

/// The ledger that a request names, of which the header at least is known.
pub(crate) fn header<'a>(node: &'a Node, request: &Request) -> Result<Found<'a>, ApiError> {
    let last = node.chain.header();
    match ledger_name(node, request)? {
        LedgerName::Validated => Ok(Found::Closed(last)),
        LedgerName::Current => Ok(Found::Open),
        LedgerName::Index(index) if index == node.chain.open_index() => Ok(Found::Open),
        LedgerName::Index(index) if index == last.index => Ok(Found::Closed(last)),
        LedgerName::Index(index) => {
            node.history.header(index).map(Found::Closed).ok_or_else(ApiError::ledger_not_found)
        }
    }
}

impl Found<'_> {
    /// What an answer says of the ledger.
    pub(crate) fn fields(&self, node: &Node) -> Fields {
        fields(match self {
            Found::Open => json!({ "ledger_current_index": node.chain.open_index(), "validated": false }),
            Found::Closed(header) => {
                json!({ "ledger_hash": header.hash, "ledger_index": header.index, "validated": true })
            }
        })
    }
}

/// The state of the ledger that a request names: the open one's, or that of one of the last closed ones. Of older ledgers
/// only headers and transactions are kept.
pub(crate) fn ledger<'a>(node: &'a Node, request: &Request) -> Result<Selected<'a>, ApiError> {
    let found = header(node, request)?;
    let (state, validated) = match &found {
        Found::Open => (Cow::Borrowed(node.chain.open()), false),
        Found::Closed(header) => (node.chain.state_at(header.index).ok_or_else(ApiError::ledger_not_found)?, true),
    };
    Ok(Selected { state, fields: found.fields(node), validated })
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

/// Rows of a page: the fewest, those that are given when the request does not say, and the most (rippled, `Tuning.h`).
pub(crate) struct Limits {
    pub least: usize,
    pub default: usize,
    pub most: usize,
}

/// Those of the methods that list what an account owns.
pub(crate) const OWNED: Limits = Limits { least: 10, default: 200, most: 400 };

/// The limit that a request sets.
pub(crate) fn limit(request: &Request, limits: &Limits) -> Result<usize, ApiError> {
    match request.get("limit") {
        None | Some(Json::Null) => Ok(limits.default),
        Some(value) => {
            let limit = value.as_u64().ok_or_else(|| ApiError::expected_field("limit", "unsigned integer"))?;
            Ok(usize::try_from(limit).unwrap_or(usize::MAX).clamp(limits.least, limits.most))
        }
    }
}

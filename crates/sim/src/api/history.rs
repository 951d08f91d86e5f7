//! ledger, tx, account_tx.

use neo_ledger::{Address, Hash};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::select::{self, LedgerName};
use super::{Fields, Request, fields};
use crate::calendar;
use crate::history::{Place, Record};
use crate::ledger::Header;
use crate::node::Node;

/// Transactions of an account_tx page when the request does not say.
const DEFAULT_TRANSACTIONS: usize = 200;
/// Most ledgers that tx searches.
const MAX_SEARCHED_LEDGERS: u64 = 1000;

/// The compact id of a transaction, where the network's id fits it (XLS-15).
pub(super) fn ctid(place: Place, network_id: u32) -> Option<String> {
    let (ledger, index) = place;
    let fits = ledger <= 0x0FFF_FFFF && index <= 0xFFFF && network_id <= 0xFFFF;
    fits.then(|| format!("C{ledger:07X}{index:04X}{network_id:04X}"))
}

/// A transaction's fields as a node shows them: api version 1 repeats a payment's amount as DeliverMax, 2 renames it.
pub(super) fn shown_tx(tx: &Json, version: u64) -> Fields {
    let mut tx = tx.as_object().cloned().unwrap_or_default();
    if tx.get("TransactionType").and_then(Json::as_str) == Some("Payment")
        && let Some(amount) = tx.get("Amount").cloned()
    {
        tx.insert("DeliverMax".to_string(), amount);
        if version > 1 {
            tx.remove("Amount");
        }
    }
    tx
}

/// A record's parts as JSON. The texts were written by this node, so they always read back.
fn parse(record: &Record) -> Result<(Json, Json), ApiError> {
    let read = |text: &str| serde_json::from_str::<Json>(text).map_err(|_| ApiError::internal());
    Ok((read(&record.tx)?, read(&record.meta)?))
}

/// A transaction as `tx`, `account_tx` and an expanded `ledger` show it.
fn entry(node: &Node, place: Place, record: &Record, version: u64) -> Result<(Fields, Fields), ApiError> {
    let (tx, meta) = parse(record)?;
    let header = node.history.header(place.0).ok_or_else(ApiError::internal)?;
    let mut shown = shown_tx(&tx, version);
    let ctid = ctid(place, node.scenario.network_id);
    shown.insert("date".to_string(), json!(header.close_time));
    shown.insert("ledger_index".to_string(), json!(place.0));
    if let Some(ctid) = &ctid {
        shown.insert("ctid".to_string(), json!(ctid));
    }
    let mut around = fields(json!({ "meta": meta, "validated": true }));
    if version > 1 {
        around.extend(fields(json!({
            "close_time_iso": calendar::iso(header.close_time),
            "hash": record.hash,
            "ledger_hash": header.hash,
            "ledger_index": place.0,
        })));
    } else {
        shown.insert("hash".to_string(), json!(record.hash));
        shown.insert("inLedger".to_string(), json!(place.0));
    }
    Ok((shown, around))
}

pub(super) fn tx(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let malformed = || ApiError::new("notImpl", 74, "Not implemented.");
    let range = ["min_ledger", "max_ledger"].map(|field| request.get(field).and_then(Json::as_u64));
    if let [Some(min), Some(max)] = range {
        if max < min {
            return Err(ApiError::new("invalidLgrRange", 79, "Ledger range is invalid."));
        }
        if max - min > MAX_SEARCHED_LEDGERS {
            return Err(ApiError::new("excessiveLgrRange", 78, "Ledger range exceeds 1000."));
        }
    }
    let found = match (request.get("transaction"), request.get("ctid")) {
        (Some(hash), None) => {
            let hash: Hash = hash.as_str().ok_or_else(malformed)?.parse().map_err(|_| malformed())?;
            node.history.find(hash)
        }
        (None, Some(ctid)) => {
            let place =
                ctid.as_str().and_then(place_of).ok_or_else(|| ApiError::invalid_params("Invalid parameters."))?;
            node.history.at(place).map(|record| (place, record))
        }
        _ => return Err(ApiError::invalid_params("Invalid parameters.")),
    };
    let Some((place, record)) = found else {
        let error = ApiError::new("txnNotFound", 29, "Transaction not found.");
        return Err(match range {
            [Some(min), Some(max)] => error.with(fields(json!({ "searched_all": knows(node, min, max) }))),
            _ => error,
        });
    };
    let (shown, mut around) = entry(node, place, record, request.version)?;
    if request.version == 1 {
        around.extend(shown);
    } else {
        if let Some(ctid) = shown.get("ctid") {
            around.insert("ctid".to_string(), ctid.clone());
        }
        around.insert("tx_json".to_string(), Json::Object(shown));
    }
    Ok(around)
}

fn knows(node: &Node, min: u64, max: u64) -> bool {
    let first = u64::from(node.history.first_index().unwrap_or(u32::MAX));
    min >= first && max <= u64::from(node.chain.header().index)
}

fn place_of(ctid: &str) -> Option<Place> {
    let digits = ctid.strip_prefix(['C', 'c']).filter(|digits| digits.len() == 15)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some((u32::try_from(number >> 32).ok()?, u32::try_from(number >> 16 & 0xFFFF).ok()?))
}

/// Where an account_tx request looks: its ledgers, both included.
fn account_tx_range(node: &Node, request: &Request) -> Result<(u32, u32), ApiError> {
    let (first, last) = (node.history.first_index().unwrap_or(1), node.chain.header().index);
    let bound = |field: &str| -> Result<Option<i64>, ApiError> {
        request.get(field).map(|value| value.as_i64().ok_or_else(ApiError::internal)).transpose()
    };
    let (min, max) = (bound("ledger_index_min")?, bound("ledger_index_max")?);
    if min.is_some() || max.is_some() {
        let out_of_range = || ApiError::new("lgrIdxMalformed", 58, "Ledger index malformed.");
        let given = |bound: Option<i64>, open: u32| match bound.filter(|index| *index >= 0) {
            Some(index) => u32::try_from(index).map_err(|_| out_of_range()),
            None => Ok(open),
        };
        let (min_given, max_given) = (given(min, first)?, given(max, last)?);
        if request.version > 1 && (min_given < first || max_given > last) {
            return Err(out_of_range());
        }
        let (min, max) = (min_given.max(first), max_given.min(last));
        if min > max {
            return Err(ApiError::new("invalidLgrRange", 79, "Ledger range is invalid."));
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
        LedgerName::Validated | LedgerName::Current => Ok((last, last)),
    }
}

pub(super) fn account_tx(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let account: Address = select::account(request, None)?;
    let forward = match request.get("forward") {
        None => false,
        Some(value) => value.as_bool().ok_or_else(|| ApiError::invalid_field("forward"))?,
    };
    let limit = match request.get("limit") {
        None => None,
        Some(value) => {
            let limit = value.as_u64().ok_or_else(ApiError::internal)?;
            Some(usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, 1_000))
        }
    };
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
    let size = limit.unwrap_or(DEFAULT_TRANSACTIONS);
    let next = places.get(size).copied();
    let mut transactions = Vec::new();
    for place in places.into_iter().take(size) {
        let record = node.history.at(place).ok_or_else(ApiError::internal)?;
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

pub(super) fn ledger(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    if request.flag("full") || request.flag("accounts") {
        return Err(ApiError::new("noPermission", 6, "You don't have permission for this command."));
    }
    let last = node.chain.header();
    // An index is a number in version 2, text in version 1.
    let index_json = |index: u32| if request.version > 1 { json!(index) } else { json!(index.to_string()) };
    let header = match select::ledger_name(node, request)? {
        LedgerName::Validated => last,
        LedgerName::Index(index) if index != node.chain.open_index() => {
            node.history.header(index).ok_or_else(ApiError::ledger_not_found)?
        }
        LedgerName::Current | LedgerName::Index(_) => {
            let open = node.chain.open_index();
            return Ok(fields(json!({
                "ledger": { "closed": false, "ledger_index": index_json(open), "parent_hash": last.hash },
                "ledger_current_index": open,
                "validated": false,
            })));
        }
    };
    let mut shown = header_json(header);
    shown.insert("ledger_index".to_string(), index_json(header.index));
    if request.flag("transactions") {
        let transactions = ledger_transactions(node, request, header.index)?;
        shown.insert("transactions".to_string(), json!(transactions));
    }
    Ok(fields(json!({
        "ledger": shown,
        "ledger_hash": header.hash,
        "ledger_index": header.index,
        "validated": true,
    })))
}

fn ledger_transactions(node: &Node, request: &Request, index: u32) -> Result<Vec<Json>, ApiError> {
    let mut transactions = Vec::new();
    for (place, record) in node.history.of_ledger(index) {
        if !request.flag("expand") {
            transactions.push(json!(record.hash));
            continue;
        }
        let (tx, meta) = parse(record)?;
        let shown = shown_tx(&tx, request.version);
        if request.version > 1 {
            let (_, mut around) = entry(node, place, record, request.version)?;
            around.insert("tx_json".to_string(), Json::Object(shown));
            transactions.push(Json::Object(around));
        } else {
            let mut shown = shown;
            shown.insert("hash".to_string(), json!(record.hash));
            shown.insert("metaData".to_string(), meta);
            transactions.push(Json::Object(shown));
        }
    }
    Ok(transactions)
}

fn header_json(header: &Header) -> Fields {
    fields(json!({
        "account_hash": header.account_hash,
        "close_flags": 0,
        "close_time": header.close_time,
        "close_time_human": calendar::human(header.close_time, "000000000"),
        "close_time_iso": calendar::iso(header.close_time),
        "close_time_resolution": 10,
        "closed": true,
        "ledger_hash": header.hash,
        "parent_close_time": header.parent_close_time,
        "parent_hash": header.parent_hash,
        "total_coins": header.total_drops.to_string(),
        "transaction_hash": header.transaction_hash,
    }))
}

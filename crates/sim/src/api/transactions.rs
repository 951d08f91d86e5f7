//! tx, transaction_entry, and how a transaction is shown everywhere.

use neo_ledger::{Hash, codec, hex};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::select::{self, Found};
use super::{Fields, Request, fields};
use crate::apply::tx::Tx;
use crate::calendar;
use crate::history::{Place, Record};
use crate::node::Node;

/// Most ledgers that tx searches.
const MAX_SEARCHED_LEDGERS: u64 = 1000;

/// The compact id of a transaction, where the network's id fits it (XLS-15).
pub(super) fn ctid(place: Place, network_id: u32) -> Option<String> {
    let (ledger, index) = place;
    let fits = ledger < 0x0FFF_FFFF && index <= 0xFFFF && network_id < 0xFFFF;
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
pub(super) fn parse(record: &Record) -> Result<(Json, Json), ApiError> {
    let read = |text: &str| serde_json::from_str::<Json>(text).map_err(|_| ApiError::internal());
    Ok((read(&record.tx)?, read(&record.meta)?))
}

/// A record's transaction and metadata in binary, as hex. What answers add to metadata is no part of them.
pub(super) fn blobs(record: &Record) -> Result<(String, String), ApiError> {
    let (tx, mut meta) = parse(record)?;
    if let Json::Object(meta) = &mut meta {
        meta.remove("delivered_amount");
    }
    let blob =
        |json: &Json| codec::encode(json).map(|bytes| hex::encode_upper(&bytes)).map_err(|_| ApiError::internal());
    Ok((blob(&tx)?, blob(&meta)?))
}

/// What version 2 says beside a validated transaction.
pub(super) fn around(node: &Node, place: Place, record: &Record) -> Result<Fields, ApiError> {
    let header = node.history.header(place.0).ok_or_else(ApiError::internal)?;
    Ok(fields(json!({
        "close_time_iso": calendar::iso(header.close_time),
        "hash": record.hash,
        "ledger_hash": header.hash,
        "ledger_index": place.0,
    })))
}

/// A transaction as `tx` and `account_tx` show it: its own fields, and those beside them.
pub(super) fn entry(node: &Node, place: Place, record: &Record, version: u64) -> Result<(Fields, Fields), ApiError> {
    let (tx, meta) = parse(record)?;
    let header = node.history.header(place.0).ok_or_else(ApiError::internal)?;
    let mut shown = shown_tx(&tx, version);
    shown.insert("date".to_string(), json!(header.close_time));
    shown.insert("ledger_index".to_string(), json!(place.0));
    if let Some(ctid) = ctid(place, node.scenario.network_id) {
        shown.insert("ctid".to_string(), json!(ctid));
    }
    let mut beside = fields(json!({ "meta": meta, "validated": true }));
    if version > 1 {
        beside.extend(around(node, place, record)?);
    } else {
        shown.insert("hash".to_string(), json!(record.hash));
        shown.insert("inLedger".to_string(), json!(place.0));
    }
    Ok((shown, beside))
}

/// Which transaction a request names.
enum Named {
    Hash(Hash),
    Place(Place),
}

fn named(node: &Node, request: &Request) -> Result<Named, ApiError> {
    let text = |value: &Json| select::text_of(value).ok_or_else(ApiError::internal);
    match (request.get("transaction"), request.get("ctid")) {
        (Some(hash), None) => text(hash)?.parse().map(Named::Hash).map_err(|_| ApiError::not_impl()),
        (None, Some(ctid)) => {
            let (place, network) = place_of(&text(ctid)?).ok_or_else(ApiError::bad_params)?;
            if network != node.scenario.network_id {
                let said = "Wrong network. You should submit this request to a node running on NetworkID: ";
                return Err(ApiError::new("wrongNetwork", 4, format!("{said}{network}")));
            }
            Ok(Named::Place(place))
        }
        _ => Err(ApiError::bad_params()),
    }
}

pub(super) fn tx(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let named = named(node, request)?;
    let range = searched(request)?;
    let found = match &named {
        Named::Hash(hash) => node.history.find(*hash),
        Named::Place(place) => node.history.at(*place).map(|record| (*place, record)),
    };
    let Some((place, record)) = found else {
        if let Named::Hash(hash) = &named
            && let Some(tx) = node.chain.pending(*hash)
        {
            return Ok(pending(tx, request.version));
        }
        let error = ApiError::new("txnNotFound", 29, "Transaction not found.");
        return Err(match range {
            Some((min, max)) => error.with(fields(json!({ "searched_all": knows(node, min, max) }))),
            None => error,
        });
    };
    if request.flag("binary") {
        return binary(node, request, place, record);
    }
    let (shown, mut beside) = entry(node, place, record, request.version)?;
    if request.version == 1 {
        beside.extend(shown);
    } else {
        if let Some(ctid) = shown.get("ctid") {
            beside.insert("ctid".to_string(), ctid.clone());
        }
        beside.insert("tx_json".to_string(), Json::Object(shown));
    }
    Ok(beside)
}

/// The ledgers that a request wants searched, both included.
fn searched(request: &Request) -> Result<Option<(u64, u64)>, ApiError> {
    let (Some(min), Some(max)) = (request.get("min_ledger"), request.get("max_ledger")) else { return Ok(None) };
    let bad_range = || ApiError::new("invalidLgrRange", 79, "Ledger range is invalid.");
    let number = |value: &Json| value.as_u64().ok_or_else(bad_range);
    let (min, max) = (number(min)?, number(max)?);
    if max < min {
        return Err(bad_range());
    }
    if max - min > MAX_SEARCHED_LEDGERS {
        return Err(ApiError::new("excessiveLgrRange", 78, "Ledger range exceeds 1000."));
    }
    Ok(Some((min, max)))
}

/// A transaction that waits to be validated.
fn pending(tx: &Tx, version: u64) -> Fields {
    let mut shown = shown_tx(&tx.json, version);
    if version > 1 {
        return fields(json!({ "hash": tx.hash, "tx_json": shown, "validated": false }));
    }
    shown.extend(fields(json!({ "hash": tx.hash, "validated": false })));
    shown
}

fn binary(node: &Node, request: &Request, place: Place, record: &Record) -> Result<Fields, ApiError> {
    let (tx, meta) = blobs(record)?;
    let mut result = fields(json!({ "validated": true }));
    if let Some(ctid) = ctid(place, node.scenario.network_id) {
        result.insert("ctid".to_string(), json!(ctid));
    }
    if request.version > 1 {
        result.extend(around(node, place, record)?);
        result.extend(fields(json!({ "tx_blob": tx, "meta_blob": meta })));
    } else {
        let header = node.history.header(place.0).ok_or_else(ApiError::internal)?;
        result.extend(fields(json!({
            "tx": tx, "meta": meta, "hash": record.hash, "inLedger": place.0, "ledger_index": place.0,
            "date": header.close_time,
        })));
    }
    Ok(result)
}

fn knows(node: &Node, min: u64, max: u64) -> bool {
    let first = u64::from(node.history.first_index().unwrap_or(u32::MAX));
    min >= first && max <= u64::from(node.chain.header().index)
}

/// A transaction's place and its network.
fn place_of(ctid: &str) -> Option<(Place, u32)> {
    let digits = ctid.strip_prefix(['C', 'c']).filter(|digits| digits.len() == 15)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u64::from_str_radix(digits, 16).ok()?;
    let part = |shift: u32| u32::try_from(number >> shift & 0xFFFF).ok();
    Some(((u32::try_from(number >> 32).ok()?, part(16)?), part(0)?))
}

pub(super) fn transaction_entry(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let found = select::header(node, request)?;
    let ledger = found.fields(node);
    let failed = |error| Err(ApiError::bare(error).with(ledger.clone()));
    let Some(hash) = request.get("tx_hash") else { return failed("fieldNotFoundTransaction") };
    let Found::Closed(header) = found else { return failed("notYetImplemented") };
    let Some(hash) = select::text_of(hash).and_then(|text| text.parse::<Hash>().ok()) else {
        return failed("malformedRequest");
    };
    let Some((_, record)) = node.history.find(hash).filter(|(place, _)| place.0 == header.index) else {
        return failed("transactionNotFound");
    };
    let (tx, meta) = parse(record)?;
    let mut shown = shown_tx(&tx, request.version);
    let mut result = ledger;
    if request.version > 1 {
        result.extend(fields(json!({
            "close_time_iso": calendar::iso(header.close_time), "hash": record.hash, "meta": meta,
        })));
    } else {
        shown.insert("hash".to_string(), json!(record.hash));
        result.insert("metadata".to_string(), meta);
    }
    result.insert("tx_json".to_string(), Json::Object(shown));
    Ok(result)
}

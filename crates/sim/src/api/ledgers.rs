//! ledger.

use neo_ledger::hex;
use serde_json::{Value as Json, json};

use super::accounts::owner_funds;
use super::error::ApiError;
use super::select::{self, Found};
use super::transactions::{around, blobs, parse, shown_tx};
use super::{Fields, Request, fields, load};
use crate::apply::tx::{Body, Tx};
use crate::calendar;
use crate::history::Record;
use crate::ledger::Header;
use crate::node::Node;

/// How precisely close times are agreed on, in seconds.
const CLOSE_TIME_RESOLUTION_S: u8 = 10;

pub(super) fn ledger(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let names_one = ["ledger", "ledger_hash", "ledger_index"].iter().any(|field| request.get(field).is_some());
    if !names_one {
        let closed = shown_header(request, node.chain.header());
        return Ok(fields(json!({
            "closed": { "ledger": closed }, "open": { "ledger": open_header(node, request) },
        })));
    }
    let found = select::header(node, request)?;
    if request.flag("full") || request.flag("accounts") {
        return Err(ApiError::no_permission());
    }
    let mut result = found.fields(node);
    let mut shown = match &found {
        Found::Open => open_header(node, request),
        Found::Closed(header) => shown_header(request, header),
    };
    if request.flag("transactions") {
        let transactions = match &found {
            Found::Open => open_transactions(node, request),
            Found::Closed(header) => closed_transactions(node, request, header)?,
        };
        shown.insert("transactions".to_string(), json!(transactions));
    }
    result.insert("ledger".to_string(), Json::Object(shown));
    if request.flag("queue") {
        if !matches!(found, Found::Open) {
            return Err(ApiError::bad_params());
        }
        // Without anybody in the queue nothing is said of it.
        if !node.chain.queue().is_empty() {
            let rows = load::queue_rows(node, request, |waits| open_row(node, request, &waits.tx));
            result.insert("queue_data".to_string(), json!(rows));
        }
    }
    Ok(result)
}

/// An index is a number in version 2, text in version 1.
fn index_json(request: &Request, index: u32) -> Json {
    if request.version > 1 { json!(index) } else { json!(index.to_string()) }
}

fn open_header(node: &Node, request: &Request) -> Fields {
    fields(json!({
        "closed": false,
        "ledger_index": index_json(request, node.chain.open_index()),
        "parent_hash": node.chain.header().hash,
    }))
}

fn shown_header(request: &Request, header: &Header) -> Fields {
    if request.flag("binary") {
        return fields(json!({ "closed": true, "ledger_data": hex::encode_upper(&serialised(header)) }));
    }
    let mut shown = header_json(header);
    shown.insert("ledger_index".to_string(), index_json(request, header.index));
    shown
}

/// A header's binary form (rippled, `LedgerHeader.cpp`, `addRaw`).
fn serialised(header: &Header) -> Vec<u8> {
    let mut bytes = header.index.to_be_bytes().to_vec();
    bytes.extend(header.total_drops.to_be_bytes());
    for hash in [&header.parent_hash, &header.transaction_hash, &header.account_hash] {
        bytes.extend(hash.0);
    }
    bytes.extend(header.parent_close_time.0.to_be_bytes());
    bytes.extend(header.close_time.0.to_be_bytes());
    bytes.extend([CLOSE_TIME_RESOLUTION_S, 0]);
    bytes
}

pub(super) fn header_json(header: &Header) -> Fields {
    fields(json!({
        "account_hash": header.account_hash,
        "close_flags": 0,
        "close_time": header.close_time,
        "close_time_human": calendar::human(header.close_time, "000000000"),
        "close_time_iso": calendar::iso(header.close_time),
        "close_time_resolution": CLOSE_TIME_RESOLUTION_S,
        "closed": true,
        "ledger_hash": header.hash,
        "parent_close_time": header.parent_close_time,
        "parent_hash": header.parent_hash,
        "total_coins": header.total_drops.to_string(),
        "transaction_hash": header.transaction_hash,
    }))
}

fn open_transactions(node: &Node, request: &Request) -> Vec<Json> {
    node.chain.open_txs().iter().map(|tx| open_row(node, request, tx)).collect()
}

/// A transaction that is in no closed ledger.
fn open_row(node: &Node, request: &Request, tx: &Tx) -> Json {
    if !request.flag("expand") {
        return json!(tx.hash);
    }
    let mut shown = shown_tx(&tx.json, request.version);
    if let (true, Body::OfferCreate { taker_gets, .. }) = (request.flag("owner_funds"), &tx.body)
        && let Some(funds) = owner_funds(node, node.chain.open(), tx.account, taker_gets.1)
    {
        shown.insert("owner_funds".to_string(), json!(funds.text()));
    }
    if request.version > 1 {
        return json!({ "hash": tx.hash, "tx_json": shown, "validated": false });
    }
    shown.insert("hash".to_string(), json!(tx.hash));
    Json::Object(shown)
}

fn closed_transactions(node: &Node, request: &Request, header: &Header) -> Result<Vec<Json>, ApiError> {
    let mut rows = Vec::new();
    for (place, record) in node.history.of_ledger(header.index) {
        if !request.flag("expand") {
            rows.push(json!(record.hash));
            continue;
        }
        if request.flag("binary") {
            rows.push(binary(request, record)?);
            continue;
        }
        let (tx, meta) = parse(record)?;
        let mut shown = shown_tx(&tx, request.version);
        if request.version > 1 {
            let mut row = around(node, place, record)?;
            row.extend(fields(json!({ "meta": meta, "tx_json": shown, "validated": true })));
            rows.push(Json::Object(row));
        } else {
            shown.insert("hash".to_string(), json!(record.hash));
            shown.insert("metaData".to_string(), meta);
            rows.push(Json::Object(shown));
        }
    }
    Ok(rows)
}

fn binary(request: &Request, record: &Record) -> Result<Json, ApiError> {
    let (tx, meta) = blobs(record)?;
    Ok(if request.version > 1 {
        json!({ "hash": record.hash, "meta_blob": meta, "tx_blob": tx })
    } else {
        json!({ "meta": meta, "tx_blob": tx })
    })
}

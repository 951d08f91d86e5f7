//! submit: a signed blob is decoded, its signature checked, and it goes into the open ledger.

use neo_ledger::codec;
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields, load, select, stream};
use crate::apply::tx::{Signer, Tx};
use crate::node::{Node, Outgoing};
use crate::ter::Ter;

/// Shortest and longest transaction, in hex digits (rippled, `STTx`, `txMinSizeBytes`). The request's own limit is lower.
const MIN_BLOB_DIGITS: usize = 64;
const MAX_BLOB_DIGITS: usize = 2 << 20;

pub(super) fn submit(node: &mut Node, request: &Request) -> (Vec<Outgoing>, Result<Fields, ApiError>) {
    let (blob, tx) = match read(request, node.verifies) {
        Ok(read) => read,
        Err(error) => return (Vec::new(), Err(error)),
    };
    // Only accounts that exist are worth remembering: keys are free, memory is not.
    if node.chain.open().account(tx.account).is_some() {
        node.history.track(tx.account);
    }
    let fail_hard = request.flag("fail_hard");
    let (account, shown) = (tx.account, with_hash(&tx));
    let hash = tx.hash;
    let submitted = node.chain.submit(tx.clone(), fail_hard);
    // What it costs now, with the transaction in it.
    let cost = node.chain.open_cost_drops(&tx);
    if node.faults.never_in(hash) {
        node.chain.keep_out(hash);
    }
    let mut outgoing = stream::proposed_messages(node);
    if submitted.applied {
        outgoing.extend(load::server_status(node));
    }
    let sequence = node.chain.open().account(account).map_or(0, |root| root.sequence);
    let is_queued = submitted.result == Ter::TER_QUEUED;
    let dropped = fail_hard && !submitted.applied;
    let result = fields(json!({
        "accepted": !dropped,
        "account_sequence_available": node.chain.queue().next_sequence(account, sequence),
        "account_sequence_next": sequence,
        "applied": submitted.applied,
        "broadcast": submitted.applied || is_queued,
        "engine_result": submitted.result.token,
        "engine_result_code": submitted.result.code,
        "engine_result_message": submitted.result.message,
        "kept": !dropped,
        "open_ledger_cost": cost.to_string(),
        "queued": is_queued,
        "tx_blob": blob,
        "tx_json": shown,
        "validated_ledger_index": node.chain.header().index,
    }));
    (outgoing, Ok(result))
}

/// The blob of a request and what it says.
fn read(request: &Request, verifies: bool) -> Result<(String, Tx), ApiError> {
    let blob = request.get("tx_blob").ok_or_else(ApiError::no_signing)?;
    let blob = select::text_of(blob).ok_or_else(ApiError::internal)?;
    let is_hex = !blob.is_empty() && blob.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return Err(ApiError::bad_params());
    }
    // rippled reads an odd digit at the beginning as a byte of its own.
    let blob = if blob.len().is_multiple_of(2) { blob } else { format!("0{blob}") };
    if !(MIN_BLOB_DIGITS..=MAX_BLOB_DIGITS).contains(&blob.len()) {
        return Err(ApiError::invalid_transaction("Transaction length invalid"));
    }
    let blob = blob.to_ascii_uppercase();
    let tx = decode(&blob, verifies)?;
    Ok((blob, tx))
}

/// Decodes a blob and checks its signature, unless it is trusted, with rippled's words for what is wrong.
fn decode(blob: &str, verifies: bool) -> Result<Tx, ApiError> {
    let json = codec::decode(blob).map_err(|error| ApiError::invalid_transaction(error.to_string()))?;
    let key = json.get("SigningPubKey").and_then(Json::as_str).unwrap_or_default();
    if key.is_empty() {
        return Err(ApiError::invalid_transaction("fails local checks: Empty SigningPubKey."));
    }
    let signer = if verifies { codec::verify(&json) } else { codec::signer(&json) };
    let signer = signer.map_err(|_| ApiError::invalid_transaction("fails local checks: Invalid signature."))?;
    let hash = codec::transaction_hash(blob).map_err(|error| ApiError::invalid_transaction(error.to_string()))?;
    Tx::parse(json, hash, Signer::Key(signer)).map_err(|error| ApiError::invalid_transaction(error.to_string()))
}

fn with_hash(tx: &Tx) -> Fields {
    let mut shown = tx.json.as_object().cloned().unwrap_or_default();
    shown.insert("hash".to_string(), json!(tx.hash));
    shown
}

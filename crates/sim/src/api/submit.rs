//! submit: a signed blob is decoded, its signature checked, and it goes into the open ledger.

use neo_ledger::codec;
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields};
use crate::apply::tx::{Signer, Tx};
use crate::node::Node;

/// Longest blob that is looked at, in hex digits. A real node refuses transactions far below it.
const MAX_BLOB_DIGITS: usize = 1 << 20;

pub(super) fn submit(node: &mut Node, request: &Request) -> Result<Fields, ApiError> {
    let Some(blob) = request.get("tx_blob") else {
        return Err(ApiError::new("notSupported", 75, "Signing is not supported by this server."));
    };
    let Some(blob) = blob.as_str() else {
        return Err(ApiError::invalid_transaction("Transaction length invalid"));
    };
    let is_hex = !blob.is_empty() && blob.len().is_multiple_of(2) && blob.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex || blob.len() > MAX_BLOB_DIGITS {
        return Err(ApiError::invalid_params("Invalid parameters."));
    }
    let blob = blob.to_ascii_uppercase();
    let tx = read(&blob)?;
    let fail_hard = request.flag("fail_hard");
    // Only accounts that exist are worth remembering: keys are free, memory is not.
    if node.chain.open().account(tx.account).is_some() {
        node.history.track(tx.account);
    }
    let (account, shown) = (tx.account, with_hash(&tx));
    let submitted = node.chain.submit(tx, fail_hard);
    let sequence = node.chain.open().account(account).map_or(0, |root| root.sequence);
    let dropped = fail_hard && !submitted.applied;
    Ok(fields(json!({
        "accepted": !dropped,
        "account_sequence_available": sequence,
        "account_sequence_next": sequence,
        "applied": submitted.applied,
        "broadcast": submitted.applied || submitted.held,
        "engine_result": submitted.result.token,
        "engine_result_code": submitted.result.code,
        "engine_result_message": submitted.result.message,
        "kept": !dropped,
        "open_ledger_cost": node.chain.rules().base_fee_drops.to_string(),
        "queued": false,
        "tx_blob": blob,
        "tx_json": shown,
        "validated_ledger_index": node.chain.header().index,
    })))
}

/// Decodes a blob and checks its signature, with rippled's words for what is wrong.
fn read(blob: &str) -> Result<Tx, ApiError> {
    let json = codec::decode(blob).map_err(|error| ApiError::invalid_transaction(error.to_string()))?;
    let key = json.get("SigningPubKey").and_then(Json::as_str).unwrap_or_default();
    if key.is_empty() {
        return Err(ApiError::invalid_transaction("fails local checks: Empty SigningPubKey."));
    }
    let signer =
        codec::verify(&json).map_err(|_| ApiError::invalid_transaction("fails local checks: Invalid signature."))?;
    let hash = codec::transaction_hash(blob).map_err(|error| ApiError::invalid_transaction(error.to_string()))?;
    Tx::parse(json, hash, Signer::Key(signer)).map_err(|error| ApiError::invalid_transaction(error.to_string()))
}

fn with_hash(tx: &Tx) -> Fields {
    let mut shown = tx.json.as_object().cloned().unwrap_or_default();
    shown.insert("hash".to_string(), json!(tx.hash));
    shown
}

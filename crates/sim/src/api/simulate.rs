//! simulate: what a transaction would do to the open ledger, without doing it (rippled, `Simulate.cpp`).

use std::borrow::Cow;

use neo_ledger::{codec, hex};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields};
use crate::apply::tx::{Signer, Tx};
use crate::history::with_delivered;
use crate::node::Node;

/// Result classes of what would have got into a ledger have words of their own.
const WOULD_APPLY: &str = "The simulated transaction would have been applied.";

pub(super) fn simulate(node: &mut Node, request: &Request) -> Result<Fields, ApiError> {
    let json = completed(node, read(request)?)?;
    let invalid = |said: String| ApiError::invalid_transaction(said);
    let blob = codec::encode(&json).map_err(|error| invalid(error.to_string()))?;
    let hash = codec::transaction_hash(&hex::encode_upper(&blob)).map_err(|error| invalid(error.to_string()))?;
    let tx = Tx::parse(json, hash, Signer::Simulation).map_err(|error| invalid(error.to_string()))?;
    let applied = node.chain.simulate(&tx);
    let mut shown = tx.json.as_object().cloned().unwrap_or_default();
    shown.insert("hash".to_string(), json!(hash));
    let mut result = fields(json!({
        "applied": false,
        "engine_result": applied.result.token,
        "engine_result_code": applied.result.code,
        "engine_result_message": if applied.result.is_success() { WOULD_APPLY } else { applied.result.message },
        "ledger_index": node.chain.open_index(),
    }));
    if request.flag("binary") {
        result.insert("tx_blob".to_string(), json!(hex::encode_upper(&blob)));
    } else {
        result.insert("tx_json".to_string(), Json::Object(shown));
    }
    if let Some(meta) = applied.meta {
        if request.flag("binary") {
            let blob = codec::encode(&meta.json).map_err(|_| ApiError::internal())?;
            result.insert("meta_blob".to_string(), json!(hex::encode_upper(&blob)));
        } else {
            result.insert("meta".to_string(), with_delivered(&tx, applied.result, Cow::Owned(meta.json)).into_owned());
        }
    }
    Ok(result)
}

/// The transaction of a request, as JSON.
fn read(request: &Request) -> Result<Fields, ApiError> {
    for field in ["secret", "seed", "seed_hex", "passphrase"] {
        if request.get(field).is_some() {
            return Err(ApiError::invalid_field(field));
        }
    }
    let json = match (request.get("tx_blob"), request.get("tx_json")) {
        (Some(_), Some(_)) => return Err(ApiError::invalid_params("Can only include one of `tx_blob` and `tx_json`.")),
        (None, None) => return Err(ApiError::invalid_params("Neither `tx_blob` nor `tx_json` included.")),
        (Some(blob), None) => {
            let blob = blob.as_str().ok_or_else(|| ApiError::invalid_field("tx_blob"))?;
            codec::decode(blob).map_err(|_| ApiError::invalid_field("tx_blob"))?
        }
        (None, Some(json)) => json.clone(),
    };
    let Json::Object(json) = json else { return Err(ApiError::expected_field("tx_json", "object")) };
    if !json.contains_key("TransactionType") {
        return Err(ApiError::missing_field("tx.TransactionType"));
    }
    Ok(json)
}

/// Fills in what a client leaves out, and refuses what is signed.
fn completed(node: &Node, mut json: Fields) -> Result<Json, ApiError> {
    let account = json.get("Account").ok_or_else(|| ApiError::missing_field("tx.Account"))?;
    let malformed = || ApiError::new("srcActMalformed", 65, "Invalid field 'tx.Account'.");
    let account = account.as_str().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    let signed = ["TxnSignature", "SigningPubKey"]
        .iter()
        .any(|field| json.get(*field).and_then(Json::as_str).is_some_and(|text| !text.is_empty()));
    if signed {
        return Err(ApiError::new("transactionSigned", 96, "Transaction should not be signed."));
    }
    let root = node.chain.open().account(account);
    let has_ticket = json.contains_key("TicketSequence");
    let sequence = root.map_or(0, |root| if has_ticket { 0 } else { root.sequence });
    if root.is_none() && !has_ticket && !json.contains_key("Sequence") {
        return Err(ApiError::new("srcActNotFound", 67, "Source account not found."));
    }
    let defaults = json!({
        "Fee": node.chain.rules().base_fee_drops.to_string(), "Sequence": sequence, "SigningPubKey": "",
        "TxnSignature": "",
    });
    for (field, value) in fields(defaults) {
        json.entry(field).or_insert(value);
    }
    if node.scenario.network_id > 1024 {
        json.entry("NetworkID").or_insert(json!(node.scenario.network_id));
    }
    Ok(Json::Object(json))
}

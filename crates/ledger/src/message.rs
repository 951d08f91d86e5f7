//! What a node sends over the WebSocket, decoded straight from its text.

use neo_market::Drops;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::amount::MAX_DROPS;
pub use crate::error::ProtocolError;
use crate::error::{MAX_MESSAGE_BYTES, from_text, from_value};
use crate::meta::Meta;
use crate::types::{Address, Hash, LedgerTime, drops_text, shown};

/// A message of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A ledger was validated.
    LedgerClosed(LedgerClosed),
    /// A validated transaction.
    Transaction(Box<StreamTransaction>),
    /// The answer to a request.
    Response(Response),
    /// A message of another kind, transactions that are only proposed (`proposed transaction`) among them.
    Other {
        /// Its field `type`.
        kind: String,
    },
}

/// A validated ledger, as the stream `ledger` tells it and as the answer to its `subscribe` begins it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerClosed {
    /// Its index.
    pub ledger_index: u32,
    /// Its hash.
    pub ledger_hash: Hash,
    /// When it closed, to the resolution of the network.
    pub ledger_time: LedgerTime,
    /// The fee of a reference transaction without load.
    pub fee_base: Drops,
    /// Reserve of an account.
    pub reserve_base: Drops,
    /// Reserve of each object an account owns.
    pub reserve_inc: Drops,
    /// Transactions in it.
    pub txn_count: Option<u32>,
    /// Ledgers that the node holds, such as `2-40` or `2-40,50-60`.
    pub validated_ledgers: Option<String>,
    /// The network.
    pub network_id: Option<u32>,
}

impl LedgerClosed {
    /// Reads the answer to a `subscribe` to the stream `ledger`.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<LedgerClosed, ProtocolError> {
        let ledger: LedgerClosed = from_value(value, "ledger message")?;
        ledger.checked()
    }

    fn checked(self) -> Result<LedgerClosed, ProtocolError> {
        let amounts =
            [("fee_base", self.fee_base), ("reserve_base", self.reserve_base), ("reserve_inc", self.reserve_inc)];
        match amounts.into_iter().find(|(_, drops)| !(0..=MAX_DROPS).contains(&drops.get())) {
            None => Ok(self),
            Some((field, drops)) => Err(ProtocolError::Wrong {
                what: "ledger message",
                field: field.to_string(),
                reason: format!("{} drops are out of range", drops.get()),
            }),
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The number the request carried.
    pub id: Option<u64>,
    /// The result, or the node's refusal.
    pub result: Result<Value, NodeError>,
    /// `load` when the node is about to cut us off.
    pub warning: Option<String>,
}

/// A node's refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node refused the request: {error}{}", self.detail())]
pub struct NodeError {
    /// The error's name, such as `actNotFound`.
    pub error: String,
    /// Its number.
    pub error_code: Option<i64>,
    /// What the node says of it.
    pub message: Option<String>,
}

impl NodeError {
    fn detail(&self) -> String {
        self.message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default()
    }
}

/// A transaction from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTransaction {
    /// True: it is in a validated ledger. Others come as [`Message::Other`].
    pub validated: bool,
    /// The result as the stream states it.
    pub engine_result: Option<String>,
    /// The transaction.
    pub transaction: ValidatedTransaction,
}

/// A transaction of a validated ledger with what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedTransaction {
    /// Its hash.
    pub hash: Hash,
    /// The ledger that holds it.
    pub ledger_index: u32,
    /// Its place in that ledger.
    pub transaction_index: u32,
    /// Who sent it.
    pub account: Address,
    /// The transaction type, such as `OfferCreate`.
    pub kind: String,
    /// Its sequence, or its ticket when it used one.
    pub sequence: u32,
    /// Its field `OfferSequence`.
    pub offer_sequence: Option<u32>,
    /// Its fee.
    pub fee: Drops,
    /// Its result code.
    pub result: String,
    /// When its ledger closed, where the node says so.
    pub close_time: Option<LedgerTime>,
    /// What it changed.
    pub meta: Meta,
}

/// The fields of a transaction's own JSON that we read.
#[derive(Deserialize)]
struct TxFields {
    #[serde(rename = "Account")]
    account: Address,
    #[serde(rename = "TransactionType")]
    kind: String,
    #[serde(rename = "Sequence")]
    sequence: u32,
    #[serde(rename = "TicketSequence", default)]
    ticket_sequence: Option<u32>,
    #[serde(rename = "OfferSequence", default)]
    offer_sequence: Option<u32>,
    #[serde(rename = "Fee", with = "drops_text")]
    fee: Drops,
    #[serde(default)]
    hash: Option<Hash>,
    #[serde(default)]
    date: Option<LedgerTime>,
    #[serde(default)]
    ledger_index: Option<u32>,
}

/// A transaction with its metadata, as streams (API version 1: `transaction`), `account_tx` (version 1: `tx`) and
/// version 2 (`tx_json`) wrap it.
#[derive(Deserialize)]
struct RawTransaction {
    #[serde(rename = "type", default)]
    message_type: Option<String>,
    #[serde(default)]
    validated: Option<bool>,
    #[serde(default)]
    engine_result: Option<String>,
    #[serde(default)]
    hash: Option<Hash>,
    #[serde(default)]
    ledger_index: Option<u32>,
    #[serde(default)]
    transaction: Option<TxFields>,
    #[serde(default)]
    tx: Option<TxFields>,
    #[serde(default)]
    tx_json: Option<TxFields>,
    #[serde(default)]
    meta: Option<Meta>,
}

const STREAM_TX: &str = "transaction message";
const ACCOUNT_TX: &str = "account_tx entry";

impl RawTransaction {
    fn into_validated(self, what: &'static str) -> Result<ValidatedTransaction, ProtocolError> {
        let missing = |field: &str| ProtocolError::Missing { what, field: field.to_string() };
        let tx = self.tx_json.or(self.transaction).or(self.tx).ok_or_else(|| missing("tx_json"))?;
        let meta = self.meta.ok_or_else(|| missing("meta"))?;
        Ok(ValidatedTransaction {
            hash: self.hash.or(tx.hash).ok_or_else(|| missing("hash"))?,
            ledger_index: self.ledger_index.or(tx.ledger_index).ok_or_else(|| missing("ledger_index"))?,
            transaction_index: meta.transaction_index,
            account: tx.account,
            kind: tx.kind,
            // A transaction that uses a ticket has the sequence 0 and is known by its ticket.
            sequence: if tx.sequence == 0 { tx.ticket_sequence.unwrap_or(0) } else { tx.sequence },
            offer_sequence: tx.offer_sequence,
            fee: tx.fee,
            result: meta.result.clone(),
            close_time: tx.date,
            meta,
        })
    }
}

impl ValidatedTransaction {
    /// Reads an entry of `account_tx`, or the answer to `tx` in API version 2.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name; also when the entry is not validated.
    pub fn from_account_tx(entry: &Value) -> Result<ValidatedTransaction, ProtocolError> {
        let raw: RawTransaction = from_value(entry, ACCOUNT_TX)?;
        if raw.validated != Some(true) {
            let reason = "it is not true, so the transaction is not final".to_string();
            return Err(match raw.validated {
                None => ProtocolError::Missing { what: ACCOUNT_TX, field: "validated".to_string() },
                Some(_) => ProtocolError::Wrong { what: ACCOUNT_TX, field: "validated".to_string(), reason },
            });
        }
        raw.into_validated(ACCOUNT_TX)
    }
}

/// What tells the kinds of messages apart; the rest is not looked at.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
}

/// Decodes one message.
///
/// Fields that are not known are passed over; a field that is missing or wrong is an error with its name.
///
/// # Errors
/// [`ProtocolError`].
pub fn parse(text: &str) -> Result<Message, ProtocolError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(ProtocolError::TooLarge { bytes: text.len() });
    }
    // Most of the bytes are transactions: those are decoded in one pass. The text search is only a hint.
    if text.contains(r#""type":"transaction""#)
        && let Ok(raw) = serde_json::from_str::<RawTransaction>(text)
        && raw.message_type.as_deref() == Some("transaction")
    {
        return stream_transaction(raw);
    }
    let envelope: Envelope = from_text(text, "message")?;
    match envelope.kind.as_str() {
        "transaction" => stream_transaction(from_text(text, STREAM_TX)?),
        "ledgerClosed" => {
            let ledger: LedgerClosed = from_text(text, "ledger message")?;
            ledger.checked().map(Message::LedgerClosed)
        }
        "response" | "error" => response(text).map(Message::Response),
        _ => Ok(Message::Other { kind: shown(&envelope.kind) }),
    }
}

fn stream_transaction(raw: RawTransaction) -> Result<Message, ProtocolError> {
    match raw.validated {
        Some(true) => {}
        Some(false) => return Ok(Message::Other { kind: "proposed transaction".to_string() }),
        None => return Err(ProtocolError::Missing { what: STREAM_TX, field: "validated".to_string() }),
    }
    let mut raw = raw;
    let engine_result = raw.engine_result.take();
    let transaction = raw.into_validated(STREAM_TX)?;
    Ok(Message::Transaction(Box::new(StreamTransaction { validated: true, engine_result, transaction })))
}

fn response(text: &str) -> Result<Response, ProtocolError> {
    const WHAT: &str = "response";
    #[derive(Deserialize)]
    struct Raw<'a> {
        // Whatever a request carried comes back; ours carry numbers.
        #[serde(default)]
        id: Option<Value>,
        #[serde(default, borrow)]
        result: Option<&'a RawValue>,
        #[serde(default)]
        error: Option<Value>,
        #[serde(default)]
        error_code: Option<i64>,
        #[serde(default)]
        error_message: Option<String>,
        #[serde(default)]
        error_exception: Option<String>,
        #[serde(default)]
        warning: Option<String>,
    }
    let raw: Raw<'_> = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(e) => return Err(crate::error::describe(text, WHAT, &e)),
    };
    let id = raw.id.as_ref().and_then(Value::as_u64);
    let refused = |error: &Value| NodeError {
        error: error.as_str().map_or_else(|| error.to_string(), str::to_string),
        error_code: raw.error_code,
        message: raw.error_message.clone().or_else(|| raw.error_exception.clone()),
    };
    let result = match (&raw.error, raw.result) {
        (Some(error), _) => Err(refused(error)),
        (None, Some(result)) => {
            let result: Value = from_text(result.get(), WHAT)?;
            // Some servers put the error inside the result, as the HTTP interface does.
            match (result.get("status").and_then(Value::as_str), result.get("error")) {
                (Some("error"), Some(error)) => Err(NodeError {
                    error: error.as_str().map_or_else(|| error.to_string(), str::to_string),
                    error_code: result.get("error_code").and_then(Value::as_i64),
                    message: result.get("error_message").and_then(Value::as_str).map(str::to_string),
                }),
                _ => Ok(result),
            }
        }
        (None, None) => return Err(ProtocolError::Missing { what: WHAT, field: "result".to_string() }),
    };
    Ok(Response { id, result, warning: raw.warning })
}

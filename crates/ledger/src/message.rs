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
    /// Reads an entry of `account_tx`, or the answer to `tx`, of either API version.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name; also when the entry is not validated.
    pub fn from_account_tx(entry: &Value) -> Result<ValidatedTransaction, ProtocolError> {
        let mut raw: RawTransaction = from_value(entry, ACCOUNT_TX)?;
        if raw.tx_json.is_none()
            && raw.transaction.is_none()
            && raw.tx.is_none()
            && entry.get("TransactionType").is_some()
        {
            // `tx` in API version 1 has the transaction's fields beside the others.
            raw.tx = Some(from_value(entry, ACCOUNT_TX)?);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stream_v2() -> Value {
        json!({
            "type": "transaction", "validated": true, "engine_result": "tesSUCCESS", "ledger_index": 40,
            "hash": "57FEF34CE51157BEAA0CA211D4DE62073FD27D6F0E7AD1058ACDF608B71B42A9",
            "meta": {"TransactionIndex": 3, "TransactionResult": "tesSUCCESS", "AffectedNodes": []},
            "tx_json": {"Account": "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De", "TransactionType": "OfferCreate",
                "Sequence": 0, "TicketSequence": 77, "OfferSequence": 5, "Fee": "10", "date": 9},
        })
    }

    fn transaction(value: &Value) -> StreamTransaction {
        match parse(&value.to_string()).unwrap() {
            Message::Transaction(tx) => *tx,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_api_versions_give_the_same_transaction() {
        let v2 = stream_v2();
        let mut v1 = v2.clone();
        let (object, hash) = (v1.as_object_mut().unwrap(), v2["hash"].clone());
        object.remove("hash");
        let mut tx = object.remove("tx_json").unwrap();
        tx["hash"] = hash;
        object.insert("transaction".to_string(), tx);
        let read = transaction(&v2);
        assert_eq!(transaction(&v1), read);
        assert_eq!(read.transaction.hash.to_string(), v2["hash"].as_str().unwrap());
        assert_eq!((read.transaction.sequence, read.transaction.offer_sequence), (77, Some(5)));
        assert_eq!((read.transaction.transaction_index, read.transaction.close_time), (3, Some(LedgerTime(9))));
        // Spaces, as some servers write them, take the slower way to the same end.
        let pretty = serde_json::to_string_pretty(&v2).unwrap();
        assert!(matches!(parse(&pretty).unwrap(), Message::Transaction(tx) if *tx == read));
    }

    #[test]
    fn an_answer_to_tx_reads_the_same_in_both_api_versions() {
        let v2 = stream_v2();
        let mut v1 = v2.clone();
        let fields = v1.as_object_mut().unwrap().remove("tx_json").unwrap();
        v1.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let read = ValidatedTransaction::from_account_tx(&v2).unwrap();
        assert_eq!(ValidatedTransaction::from_account_tx(&v1).unwrap(), read);
    }

    #[test]
    fn every_missing_or_wrong_field_is_named() {
        for pointer in [
            "/validated",
            "/ledger_index",
            "/hash",
            "/meta",
            "/tx_json",
            "/meta/TransactionIndex",
            "/meta/TransactionResult",
            "/meta/AffectedNodes",
            "/tx_json/Account",
            "/tx_json/Sequence",
            "/tx_json/Fee",
            "/tx_json/TransactionType",
        ] {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let mut value = stream_v2();
            value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
            let error = parse(&value.to_string()).unwrap_err();
            assert!(matches!(&error, ProtocolError::Missing { field: f, .. } if f == field), "{pointer}: {error}");
            if ["/meta", "/tx_json"].contains(&pointer) {
                continue;
            }
            let mut value = stream_v2();
            *value.pointer_mut(pointer).unwrap() = json!({"what": -1});
            let error = parse(&value.to_string()).unwrap_err();
            // The position of an object that was not expected is its beginning or its first key.
            assert!(matches!(&error, ProtocolError::Wrong { .. }), "{pointer}: {error}");
        }
        let mut value = stream_v2();
        value["meta"]["TransactionResult"] = json!(0);
        let error = parse(&value.to_string()).unwrap_err();
        assert!(matches!(&error, ProtocolError::Wrong { field, .. } if field == "TransactionResult"), "{error}");
    }

    #[test]
    fn proposed_transactions_are_told_apart() {
        let mut value = stream_v2();
        value["validated"] = json!(false);
        value.as_object_mut().unwrap().remove("meta");
        let kind = "proposed transaction".to_string();
        assert_eq!(parse(&value.to_string()).unwrap(), Message::Other { kind });
        let mut entry = stream_v2();
        entry["validated"] = json!(false);
        assert!(ValidatedTransaction::from_account_tx(&entry).is_err());
    }

    #[test]
    fn hostile_messages_are_errors() {
        let deep = format!("{{\"type\":\"response\",\"result\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for text in ["", "[]", "null", "{", "{}", "{\"type\":5}", "\u{0}", &deep] {
            assert!(parse(text).is_err(), "{}", text.chars().take(40).collect::<String>());
        }
        let big = format!("{{\"type\":\"{}\"}}", "x".repeat(MAX_MESSAGE_BYTES));
        assert!(matches!(parse(&big), Err(ProtocolError::TooLarge { .. })));
        // The words of a transaction inside another message do not make it one.
        let sly = r#"{"type":"ping","a":{"type":"transaction"}}"#;
        assert!(!matches!(parse(sly), Ok(Message::Transaction(_))));
        let mut absurd = json!({"type": "ledgerClosed", "ledger_index": 1, "ledger_hash": "00".repeat(32),
            "ledger_time": 5, "fee_base": 10, "reserve_base": 1, "reserve_inc": 1});
        assert!(matches!(parse(&absurd.to_string()), Ok(Message::LedgerClosed(_))));
        absurd["fee_base"] = json!(-10);
        let error = parse(&absurd.to_string()).unwrap_err();
        assert!(matches!(&error, ProtocolError::Wrong { field, .. } if field == "fee_base"), "{error}");
    }

    #[test]
    fn answers_and_refusals_are_told_apart() {
        let answer = |text: &str| match parse(text).unwrap() {
            Message::Response(response) => response,
            other => panic!("{other:?}"),
        };
        let ok = answer(r#"{"id":7,"type":"response","status":"success","warning":"load","result":{"a":1}}"#);
        assert_eq!((ok.id, ok.result, ok.warning.as_deref()), (Some(7), Ok(json!({"a": 1})), Some("load")));
        let refused = answer(
            r#"{"id":8,"type":"response","status":"error","error":"actNotFound","error_code":19,"error_message":"no"}"#,
        );
        let error =
            NodeError { error: "actNotFound".to_string(), error_code: Some(19), message: Some("no".to_string()) };
        assert_eq!((refused.id, refused.result), (Some(8), Err(error)));
        let inside = answer(r#"{"id":9,"type":"response","result":{"status":"error","error":"slowDown"}}"#);
        assert_eq!(inside.result.unwrap_err().error, "slowDown");
        assert!(parse(r#"{"id":9,"type":"response"}"#).is_err());
    }
}

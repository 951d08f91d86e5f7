//! The transactions that a market maker sends, as typed values and as the ledger's JSON.

use neo_market::Drops;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::types::{Address, Amount, LedgerTime, ParseError, drops_text};

/// OfferCreate: do not take offers at exactly the limit price. It is not post-only (xrpl.org, "OfferCreate").
pub const TF_PASSIVE: u32 = 0x0001_0000;
/// OfferCreate: take what can be taken now, rest nothing.
pub const TF_IMMEDIATE_OR_CANCEL: u32 = 0x0002_0000;
/// OfferCreate: take all of it now or nothing.
pub const TF_FILL_OR_KILL: u32 = 0x0004_0000;
/// OfferCreate: sell all of `TakerGets`, even for more than `TakerPays`.
pub const TF_SELL: u32 = 0x0008_0000;
/// Payment: deliver less rather than fail.
pub const TF_PARTIAL_PAYMENT: u32 = 0x0002_0000;
/// TrustSet: no rippling through this line.
pub const TF_SET_NO_RIPPLE: u32 = 0x0002_0000;
/// TrustSet: rippling through this line.
pub const TF_CLEAR_NO_RIPPLE: u32 = 0x0004_0000;
/// AccountSet: rippling on new trust lines by default, which an issuer needs.
pub const ASF_DEFAULT_RIPPLE: u32 = 8;
/// Largest network id for which the field `NetworkID` must be left out (xrpl.org, "Transaction Common Fields").
pub const MAX_LEGACY_NETWORK_ID: u32 = 1024;

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who sends it and pays the fee.
    pub account: Address,
    /// The account's sequence number; 0 with a ticket.
    pub sequence: u32,
    /// The ticket used instead of the sequence.
    pub ticket_sequence: Option<u32>,
    /// The fee, burnt in full.
    pub fee: Drops,
    /// Flags of the transaction type (`TF_...`).
    pub flags: u32,
    /// The last ledger in which it may be applied.
    pub last_ledger_sequence: Option<u32>,
    /// The network it is for; written only above [`MAX_LEGACY_NETWORK_ID`].
    pub network_id: u32,
    /// What it does.
    pub body: Body,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Places an offer, after deleting `offer_sequence` if given.
    OfferCreate {
        /// What we sell.
        taker_gets: Amount,
        /// What we buy.
        taker_pays: Amount,
        /// When the offer dies: at the first ledger whose parent closed at this time or later.
        expiration: Option<LedgerTime>,
        /// The offer that it replaces.
        offer_sequence: Option<u32>,
    },
    /// Deletes an offer.
    OfferCancel {
        /// The sequence of the transaction that placed the offer.
        offer_sequence: u32,
    },
    /// Sends an amount.
    Payment {
        /// To whom.
        destination: Address,
        /// How much arrives.
        amount: Amount,
        /// Most that may be spent.
        send_max: Option<Amount>,
    },
    /// Creates or changes a trust line.
    TrustSet {
        /// Most that the account will hold of this token.
        limit: Amount,
    },
    /// Changes the account's settings.
    AccountSet {
        /// Setting to turn on (`ASF_...`).
        set_flag: Option<u32>,
        /// Setting to turn off.
        clear_flag: Option<u32>,
        /// Digits of the rate of offers for the account's tokens: 3 to 15, or 0 for all.
        tick_size: Option<u8>,
    },
    /// Sets sequence numbers aside: those that follow the account's own, which goes on behind them.
    TicketCreate {
        /// How many: 1 to 250.
        count: u32,
    },
}

impl Body {
    /// The name of the transaction type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Body::OfferCreate { .. } => "OfferCreate",
            Body::OfferCancel { .. } => "OfferCancel",
            Body::Payment { .. } => "Payment",
            Body::TrustSet { .. } => "TrustSet",
            Body::AccountSet { .. } => "AccountSet",
            Body::TicketCreate { .. } => "TicketCreate",
        }
    }
}

/// Why JSON is no transaction of ours, or a transaction has no JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TxError {
    /// A required field is absent.
    #[error("the transaction has no field {field}; add it")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field has another type or is out of range.
    #[error("the transaction's field {field} is {value}: {reason}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A transaction type this crate does not build.
    #[error("transactions of the type {kind:?} are not supported here")]
    Unsupported {
        /// The type's name.
        kind: String,
    },
    /// An amount that the ledger cannot hold.
    #[error("the transaction's field {field} cannot be written: {source}")]
    Amount {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        source: ParseError,
    },
}

impl Transaction {
    /// The number that identifies the offer this transaction would place: its ticket, or else its sequence.
    #[must_use]
    pub fn identity(&self) -> u32 {
        self.ticket_sequence.unwrap_or(self.sequence)
    }

    /// The ledger's JSON, without signature fields. `NetworkID` is left out up to 1024 and `Flags` when 0.
    ///
    /// # Errors
    /// [`TxError::Amount`] when an amount has more digits than the ledger holds or is out of its range.
    pub fn to_json(&self) -> Result<Value, TxError> {
        let mut json = Json(Map::new());
        json.put("TransactionType", Some(self.body.kind()))?;
        json.put("Account", Some(self.account))?;
        json.put("Sequence", Some(self.sequence))?;
        json.put("TicketSequence", self.ticket_sequence)?;
        json.put("Fee", Some(Amount::Xrp(self.fee)))?;
        json.put("Flags", Some(self.flags).filter(|flags| *flags != 0))?;
        json.put("LastLedgerSequence", self.last_ledger_sequence)?;
        json.put("NetworkID", Some(self.network_id).filter(|id| *id > MAX_LEGACY_NETWORK_ID))?;
        self.body.put(&mut json)?;
        Ok(Value::Object(json.0))
    }

    /// Reads a transaction of the supported types from the ledger's JSON; fields it does not know are passed over.
    ///
    /// # Errors
    /// [`TxError`] with the name of the missing or wrong field, or the unsupported type.
    pub fn from_json(json: &Value) -> Result<Transaction, TxError> {
        Ok(Transaction {
            account: need(json, "Account")?,
            sequence: need(json, "Sequence")?,
            ticket_sequence: get(json, "TicketSequence")?,
            fee: need::<DropsText>(json, "Fee")?.0,
            flags: get(json, "Flags")?.unwrap_or(0),
            last_ledger_sequence: get(json, "LastLedgerSequence")?,
            network_id: get(json, "NetworkID")?.unwrap_or(0),
            body: Body::from_json(json)?,
        })
    }
}

impl Body {
    fn put(&self, json: &mut Json) -> Result<(), TxError> {
        match self {
            Body::OfferCreate { taker_gets, taker_pays, expiration, offer_sequence } => {
                json.put("TakerGets", Some(taker_gets))?;
                json.put("TakerPays", Some(taker_pays))?;
                json.put("Expiration", expiration.as_ref())?;
                json.put("OfferSequence", offer_sequence.as_ref())
            }
            Body::OfferCancel { offer_sequence } => json.put("OfferSequence", Some(offer_sequence)),
            Body::Payment { destination, amount, send_max } => {
                json.put("Destination", Some(destination))?;
                json.put("Amount", Some(amount))?;
                json.put("SendMax", send_max.as_ref())
            }
            Body::TrustSet { limit } => json.put("LimitAmount", Some(limit)),
            Body::AccountSet { set_flag, clear_flag, tick_size } => {
                json.put("SetFlag", set_flag.as_ref())?;
                json.put("ClearFlag", clear_flag.as_ref())?;
                json.put("TickSize", tick_size.as_ref())
            }
            Body::TicketCreate { count } => json.put("TicketCount", Some(count)),
        }
    }

    fn from_json(json: &Value) -> Result<Body, TxError> {
        let kind: String = need(json, "TransactionType")?;
        match kind.as_str() {
            "OfferCreate" => Ok(Body::OfferCreate {
                taker_gets: need(json, "TakerGets")?,
                taker_pays: need(json, "TakerPays")?,
                expiration: get(json, "Expiration")?,
                offer_sequence: get(json, "OfferSequence")?,
            }),
            "OfferCancel" => Ok(Body::OfferCancel { offer_sequence: need(json, "OfferSequence")? }),
            "Payment" => Ok(Body::Payment {
                destination: need(json, "Destination")?,
                amount: need(json, "Amount")?,
                send_max: get(json, "SendMax")?,
            }),
            "TrustSet" => Ok(Body::TrustSet { limit: need(json, "LimitAmount")? }),
            "AccountSet" => Ok(Body::AccountSet {
                set_flag: get(json, "SetFlag")?,
                clear_flag: get(json, "ClearFlag")?,
                tick_size: get(json, "TickSize")?,
            }),
            "TicketCreate" => Ok(Body::TicketCreate { count: need(json, "TicketCount")? }),
            _ => Err(TxError::Unsupported { kind: crate::types::shown(&kind) }),
        }
    }
}

/// The object being written.
struct Json(Map<String, Value>);

impl Json {
    fn put(&mut self, field: &'static str, value: Option<impl Serialize>) -> Result<(), TxError> {
        if let Some(value) = value {
            let refuse = |e: serde_json::Error| TxError::Amount {
                field,
                source: ParseError::TokenValue { text: field.to_string(), reason: e.to_string() },
            };
            self.0.insert(field.to_string(), serde_json::to_value(value).map_err(refuse)?);
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct DropsText(#[serde(with = "drops_text")] Drops);

fn get<T: DeserializeOwned>(json: &Value, field: &'static str) -> Result<Option<T>, TxError> {
    let Some(value) = json.get(field) else { return Ok(None) };
    let wrong = |e: serde_json::Error| TxError::Wrong {
        field,
        value: crate::types::shown(&value.to_string()),
        reason: e.to_string(),
    };
    T::deserialize(value).map(Some).map_err(wrong)
}

fn need<T: DeserializeOwned>(json: &Value, field: &'static str) -> Result<T, TxError> {
    get(json, field)?.ok_or(TxError::Missing { field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Currency, Token};

    fn offer() -> Transaction {
        let token = Token { currency: Currency::RLUSD, issuer: "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De".parse().unwrap() };
        Transaction {
            account: "r37nCkmn4uDXessTksXo4UA2ZL22xHzPeK".parse().unwrap(),
            sequence: 7,
            ticket_sequence: None,
            fee: Drops::new(10),
            flags: 0,
            last_ledger_sequence: Some(99),
            network_id: 1024,
            body: Body::OfferCreate {
                taker_gets: Amount::Xrp(Drops::new(100)),
                taker_pays: Amount::Token { value: "2.5".parse().unwrap(), token },
                expiration: Some(LedgerTime(5)),
                offer_sequence: None,
            },
        }
    }

    #[test]
    fn json_is_the_ledgers_and_reads_back() {
        let mut tx = offer();
        let json = tx.to_json().unwrap();
        assert!(json.get("NetworkID").is_none() && json.get("Flags").is_none() && json.get("OfferSequence").is_none());
        assert_eq!(json["Fee"], "10");
        assert_eq!(json["TakerPays"]["value"], "2.5");
        tx.network_id = 0;
        assert_eq!(Transaction::from_json(&json).unwrap(), tx);
        tx.network_id = 1025;
        tx.flags = TF_PASSIVE;
        let json = tx.to_json().unwrap();
        assert_eq!((json["NetworkID"].as_u64(), json["Flags"].as_u64()), (Some(1025), Some(65536)));
        assert_eq!(Transaction::from_json(&json).unwrap(), tx);
    }

    #[test]
    fn amounts_the_ledger_cannot_hold_are_not_written() {
        let mut tx = offer();
        if let Body::OfferCreate { taker_pays: Amount::Token { value, .. }, .. } = &mut tx.body {
            *value = "1.23456789012345678".parse().unwrap();
        }
        assert!(tx.to_json().unwrap_err().to_string().contains("TakerPays"));
        let mut tx = offer();
        tx.fee = Drops::new(-1);
        assert!(tx.to_json().is_err());
    }

    #[test]
    fn missing_and_wrong_fields_are_named() {
        let mut json = offer().to_json().unwrap();
        json["Sequence"] = Value::from("7");
        assert!(Transaction::from_json(&json).unwrap_err().to_string().contains("Sequence"));
        json.as_object_mut().unwrap().remove("Sequence");
        assert_eq!(Transaction::from_json(&json), Err(TxError::Missing { field: "Sequence" }));
        json["TransactionType"] = Value::from("AMMCreate");
        json["Sequence"] = Value::from(1);
        assert_eq!(Transaction::from_json(&json), Err(TxError::Unsupported { kind: "AMMCreate".to_string() }));
        assert!(Transaction::from_json(&Value::Null).is_err());
    }
}

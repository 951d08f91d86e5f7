//! A transaction as the engine works on it, read from its JSON.

use std::sync::Arc;

use neo_ledger::{Address, Amount, Asset, Hash, LedgerTime};
use serde_json::Value as Json;
use thiserror::Error;

use super::Context;
use super::account::{self, AccountSet};
use super::amm::Request;
use super::clawback::Clawback;
use super::flow::Hop;
use super::ticket;
use super::trust::{self, TrustSet};
use crate::amendment::Amendment;
use crate::amount::{MAX_DROPS, Value};
use crate::ter::Ter;

/// OfferCreate flag: leave offers of an equal quality alone.
pub const TF_PASSIVE: u32 = 0x0001_0000;
/// OfferCreate flag: place nothing in the book.
pub const TF_IMMEDIATE_OR_CANCEL: u32 = 0x0002_0000;
/// OfferCreate flag: all or nothing.
pub const TF_FILL_OR_KILL: u32 = 0x0004_0000;
/// OfferCreate flag: sell all of TakerGets, even for more than TakerPays.
pub const TF_SELL: u32 = 0x0008_0000;
/// Payment flag: use the paths that are given and no default one.
pub const TF_NO_RIPPLE_DIRECT: u32 = 0x0001_0000;
/// Payment flag: less may arrive.
pub const TF_PARTIAL_PAYMENT: u32 = 0x0002_0000;
/// Payment flag: no worse a price than Amount for SendMax.
pub const TF_LIMIT_QUALITY: u32 = 0x0004_0000;
/// AccountSet number of DefaultRipple.
pub const ASF_DEFAULT_RIPPLE: u32 = 8;
/// Flags any transaction may carry (tfFullyCanonicalSig, tfInnerBatchTxn is refused).
const TF_UNIVERSAL: u32 = 0x8000_0000;

/// Who vouches for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key, by the account it belongs to; its signature was verified.
    Key(Address),
    /// The simulation itself: genesis and market participants, who sign nothing.
    Simulation,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Places and crosses an offer.
    OfferCreate {
        /// What it sells.
        taker_gets: (Value, Asset),
        /// What it buys.
        taker_pays: (Value, Asset),
        /// When it dies.
        expiration: Option<LedgerTime>,
        /// The offer it replaces.
        offer_sequence: Option<u32>,
    },
    /// Cancels an offer.
    OfferCancel {
        /// The offer's sequence.
        offer_sequence: u32,
    },
    /// Sends XRP or a token.
    Payment {
        /// Who gets it.
        destination: Address,
        /// How much arrives.
        amount: (Value, Asset),
        /// Most that may be spent.
        send_max: Option<(Value, Asset)>,
        /// Least that must arrive of a partial payment.
        deliver_min: Option<(Value, Asset)>,
        /// Paths beside the default one.
        paths: Option<Vec<Vec<Hop>>>,
        /// The receiver's tag.
        destination_tag: Option<u32>,
    },
    /// Sets a trust line.
    TrustSet(TrustSet),
    /// Sets an account's options.
    AccountSet(Box<AccountSet>),
    /// Sets or removes the key that may sign beside the master key.
    SetRegularKey {
        /// The key's account; none removes it.
        key: Option<Address>,
    },
    /// Makes a pool, changes what is in it, or votes on its fee.
    Amm(Box<Request>),
    /// Sets sequence numbers aside.
    TicketCreate {
        /// How many.
        count: u32,
    },
    /// Takes tokens back from a holder.
    Clawback(Clawback),
    /// A type that this ledger does not know.
    Unsupported,
}

/// Why a transaction cannot be read; rippled answers such a submission with `invalidTransaction`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TxError {
    /// A field is missing.
    #[error("Field '{field}' is required but missing.")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("Field '{field}' has invalid data: {value}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
    },
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Tx {
    /// As it is shown: every field, without the hash.
    pub json: Arc<Json>,
    /// Its hash.
    pub hash: Hash,
    /// Its sender.
    pub account: Address,
    /// The number it uses up: its sequence, or its ticket's.
    pub sequence: u32,
    /// True when it uses a ticket instead of a sequence.
    pub has_ticket: bool,
    /// True when it names both, which is malformed.
    pub has_sequence_and_ticket: bool,
    /// The account's transaction before it, where it insists on one.
    pub account_txn_id: Option<Hash>,
    /// The fee, in drops.
    pub fee: i64,
    /// Its flags.
    pub flags: u32,
    /// The last ledger it may go into.
    pub last_ledger_sequence: Option<u32>,
    /// The network it is for.
    pub network_id: Option<u32>,
    /// Who vouches for it.
    pub signer: Signer,
    /// What it does.
    pub body: Body,
}

impl Tx {
    /// Reads a transaction.
    ///
    /// # Errors
    /// [`TxError`] naming the field that is missing or cannot be read.
    pub fn parse(json: Json, hash: Hash, signer: Signer) -> Result<Tx, TxError> {
        let body = body(&json)?;
        let (sequence, ticket) = (required(&json, "Sequence", number)?, optional(&json, "TicketSequence", number)?);
        Ok(Tx {
            hash,
            account: required(&json, "Account", address)?,
            sequence: if sequence == 0 { ticket.unwrap_or(0) } else { sequence },
            has_ticket: sequence == 0 && ticket.is_some(),
            has_sequence_and_ticket: sequence != 0 && ticket.is_some(),
            account_txn_id: optional(&json, "AccountTxnID", hash_of)?,
            fee: required(&json, "Fee", fee)?,
            flags: optional(&json, "Flags", number)?.unwrap_or(0),
            last_ledger_sequence: optional(&json, "LastLedgerSequence", number)?,
            network_id: optional(&json, "NetworkID", number)?,
            signer,
            body,
            json: Arc::new(json),
        })
    }

    /// True when the flag is set.
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Name of the transaction type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.json.get("TransactionType").and_then(Json::as_str).unwrap_or_default()
    }

    /// True when the account's own key signed; the simulation's participants have no other.
    #[must_use]
    pub fn signed_with_master(&self) -> bool {
        match self.signer {
            Signer::Key(key) => key == self.account,
            Signer::Simulation => true,
        }
    }

    /// Checks that need no ledger (rippled's preflight, and preflight1 before it).
    #[must_use]
    pub fn preflight(&self, context: &Context<'_>) -> Ter {
        if matches!(self.body, Body::Clawback(_)) && !context.rules.enabled(Amendment::Clawback) {
            return Ter::TEM_DISABLED;
        }
        if self.account == Address([0; 20]) {
            return Ter::TEM_BAD_SRC_ACCOUNT;
        }
        if !(0..=MAX_DROPS).contains(&self.fee) {
            return Ter::TEM_BAD_FEE;
        }
        // The one loosens the order of transactions, the other tightens it.
        if self.has_ticket && self.account_txn_id.is_some() {
            return Ter::TEM_INVALID;
        }
        let allowed = TF_UNIVERSAL
            | match &self.body {
                Body::OfferCreate { .. } => TF_PASSIVE | TF_IMMEDIATE_OR_CANCEL | TF_FILL_OR_KILL | TF_SELL,
                Body::TrustSet(_) => trust::FLAGS,
                Body::Payment { .. } => TF_NO_RIPPLE_DIRECT | TF_PARTIAL_PAYMENT | TF_LIMIT_QUALITY,
                Body::AccountSet(_) => account::ACCOUNT_SET_FLAGS,
                Body::Amm(request) => request.flags(),
                Body::OfferCancel { .. }
                | Body::SetRegularKey { .. }
                | Body::TicketCreate { .. }
                | Body::Clawback(_)
                | Body::Unsupported => 0,
            };
        if self.flags & !allowed != 0 {
            return Ter::TEM_INVALID_FLAG;
        }
        self.preflight_body(context)
    }

    fn preflight_body(&self, context: &Context<'_>) -> Ter {
        match &self.body {
            Body::Unsupported => Ter::TEM_DISABLED,
            Body::Amm(request) => request.preflight(self),
            Body::OfferCreate { taker_gets, taker_pays, expiration, offer_sequence } => {
                if self.has(TF_IMMEDIATE_OR_CANCEL) && self.has(TF_FILL_OR_KILL) {
                    Ter::TEM_INVALID_FLAG
                } else if *expiration == Some(LedgerTime(0)) {
                    Ter::TEM_BAD_EXPIRATION
                } else if *offer_sequence == Some(0) {
                    Ter::TEM_BAD_SEQUENCE
                } else if (taker_gets.0.is_xrp() && taker_pays.0.is_xrp())
                    || !taker_gets.0.is_positive()
                    || !taker_pays.0.is_positive()
                {
                    Ter::TEM_BAD_OFFER
                } else if taker_gets.1 == taker_pays.1 {
                    Ter::TEM_REDUNDANT
                } else if [taker_gets.1, taker_pays.1].into_iter().any(super::has_bad_currency) {
                    Ter::TEM_BAD_CURRENCY
                } else {
                    Ter::SUCCESS
                }
            }
            Body::OfferCancel { offer_sequence: 0 } => Ter::TEM_BAD_SEQUENCE,
            Body::Payment { .. } => super::payment::preflight(self),
            Body::TrustSet(request) => request.preflight(self, context),
            Body::AccountSet(request) => request.preflight(self.flags),
            Body::SetRegularKey { key } if *key == Some(self.account) => Ter::TEM_BAD_REGKEY,
            Body::TicketCreate { count } => ticket::preflight(*count),
            Body::Clawback(request) => request.preflight(self.account),
            Body::OfferCancel { .. } | Body::SetRegularKey { .. } => Ter::SUCCESS,
        }
    }
}

fn body(json: &Json) -> Result<Body, TxError> {
    let kind = required(json, "TransactionType", |value| value.as_str().map(str::to_string))?;
    Ok(match kind.as_str() {
        "OfferCreate" => Body::OfferCreate {
            // The one that rippled's format names first, so that it is the one that is missed first.
            taker_pays: required(json, "TakerPays", amount)?,
            taker_gets: required(json, "TakerGets", amount)?,
            expiration: optional(json, "Expiration", number)?.map(LedgerTime),
            offer_sequence: optional(json, "OfferSequence", number)?,
        },
        "OfferCancel" => Body::OfferCancel { offer_sequence: required(json, "OfferSequence", number)? },
        "Payment" => Body::Payment {
            destination: required(json, "Destination", address)?,
            amount: match optional(json, "Amount", amount)? {
                Some(amount) => amount,
                None => required(json, "DeliverMax", amount)?,
            },
            send_max: optional(json, "SendMax", amount)?,
            deliver_min: optional(json, "DeliverMin", amount)?,
            paths: optional(json, "Paths", paths)?,
            destination_tag: optional(json, "DestinationTag", number)?,
        },
        "TrustSet" => Body::TrustSet(TrustSet {
            limit: required(json, "LimitAmount", amount)?,
            quality_in: optional(json, "QualityIn", number)?,
            quality_out: optional(json, "QualityOut", number)?,
        }),
        "AccountSet" => Body::AccountSet(Box::new(AccountSet::read(json)?)),
        "SetRegularKey" => Body::SetRegularKey { key: optional(json, "RegularKey", address)? },
        "TicketCreate" => Body::TicketCreate { count: required(json, "TicketCount", number)? },
        "Clawback" => Body::Clawback(Clawback {
            amount: required(json, "Amount", amount)?,
            has_holder: json.get("Holder").is_some(),
        }),
        other => Request::read(other, json)?.map_or(Body::Unsupported, |request| Body::Amm(Box::new(request))),
    })
}

pub(super) fn required<T>(json: &Json, field: &'static str, read: impl Fn(&Json) -> Option<T>) -> Result<T, TxError> {
    optional(json, field, read)?.ok_or(TxError::Missing { field })
}

pub(super) fn optional<T>(
    json: &Json,
    field: &'static str,
    read: impl Fn(&Json) -> Option<T>,
) -> Result<Option<T>, TxError> {
    let Some(value) = json.get(field) else { return Ok(None) };
    match read(value) {
        Some(value) => Ok(Some(value)),
        None => Err(TxError::Invalid { field, value: value.to_string().chars().take(80).collect() }),
    }
}

pub(super) fn number(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

pub(super) fn address(value: &Json) -> Option<Address> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn hash_of(value: &Json) -> Option<Hash> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// The fee in drops; a token is -1, which is malformed, not unreadable.
fn fee(value: &Json) -> Option<i64> {
    match amount(value)? {
        (Value::Drops(drops), _) => Some(drops),
        (Value::Token(_), _) => Some(-1),
    }
}

fn paths(value: &Json) -> Option<Vec<Vec<Hop>>> {
    value.as_array()?.iter().map(|path| path.as_array()?.iter().map(hop).collect()).collect()
}

fn hop(value: &Json) -> Option<Hop> {
    let part = |field: &str| value.get(field).map(|part| part.as_str().ok_or(())).transpose();
    let currency = match part("currency").ok()? {
        None => None,
        Some("XRP") => Some(None),
        Some(code) => Some(Some(code.parse().ok()?)),
    };
    let party = |text: Option<&str>| text.map(str::parse).transpose().ok();
    Some(Hop { account: party(part("account").ok()?)?, currency, issuer: party(part("issuer").ok()?)? })
}

/// Reads an amount: a string of drops, or a token's object. What can be written but never be right is read, so that the
/// transaction is refused with the right name: drops below zero, and a token that is called XRP.
pub(crate) fn amount(value: &Json) -> Option<(Value, Asset)> {
    if let Some(owed) = value.as_str().and_then(|text| text.strip_prefix('-')) {
        let drops = neo_ledger::types::parse_drops(owed).ok()?.get();
        return Some((Value::Drops(-drops), Asset::Xrp));
    }
    if value.get("currency").and_then(Json::as_str) == Some("XRP") && value.get("issuer").is_some() {
        let mut renamed = value.clone();
        renamed["currency"] = serde_json::json!(super::BAD_CURRENCY);
        return amount(&renamed);
    }
    let amount: Amount = serde::Deserialize::deserialize(value).ok()?;
    Value::from_amount(&amount).ok()
}

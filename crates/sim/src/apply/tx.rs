//! A transaction as the engine works on it, read from its JSON.

use std::sync::Arc;

use neo_ledger::{Address, Amount, Asset, Hash, LedgerTime};
use serde_json::Value as Json;
use thiserror::Error;

use super::amm::Request;
use super::flow::Hop;
use crate::amount::{MAX_DROPS, TokenValue, Value};
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
/// TrustSet flag: let nothing ripple through this line.
pub const TF_SET_NO_RIPPLE: u32 = 0x0002_0000;
/// TrustSet flag: let ripple again.
pub const TF_CLEAR_NO_RIPPLE: u32 = 0x0004_0000;
/// TrustSet flag: freeze the line.
pub const TF_SET_FREEZE: u32 = 0x0010_0000;
/// TrustSet flag: thaw the line.
pub const TF_CLEAR_FREEZE: u32 = 0x0020_0000;
/// AccountSet number of DefaultRipple.
pub const ASF_DEFAULT_RIPPLE: u32 = 8;
/// AccountSet number of GlobalFreeze.
pub const ASF_GLOBAL_FREEZE: u32 = 7;
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
    TrustSet {
        /// The limit, and whose token.
        limit: (TokenValue, neo_ledger::Token),
    },
    /// Sets an account's options.
    AccountSet {
        /// Flag number to set.
        set_flag: Option<u32>,
        /// Flag number to clear.
        clear_flag: Option<u32>,
        /// Tick size of its tokens.
        tick_size: Option<u8>,
        /// Transfer rate of its tokens.
        transfer_rate: Option<u32>,
    },
    /// Makes a pool, changes what is in it, or votes on its fee.
    Amm(Box<Request>),
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
    /// Its sequence; 0 with a ticket.
    pub sequence: u32,
    /// True when it uses a ticket instead of a sequence.
    pub has_ticket: bool,
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
        Ok(Tx {
            hash,
            account: required(&json, "Account", address)?,
            sequence: required(&json, "Sequence", number)?,
            has_ticket: json.get("TicketSequence").is_some(),
            fee: match required(&json, "Fee", amount)? {
                (Value::Drops(drops), _) => drops,
                _ => -1,
            },
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

    /// Checks that need no ledger (rippled's preflight).
    #[must_use]
    pub fn preflight(&self) -> Ter {
        if self.fee < 0 {
            return Ter::TEM_BAD_FEE;
        }
        let allowed = TF_UNIVERSAL
            | match &self.body {
                Body::OfferCreate { .. } => TF_PASSIVE | TF_IMMEDIATE_OR_CANCEL | TF_FILL_OR_KILL | TF_SELL,
                Body::TrustSet { .. } => {
                    TF_SET_NO_RIPPLE | TF_CLEAR_NO_RIPPLE | TF_SET_FREEZE | TF_CLEAR_FREEZE | 0x0001_0000
                }
                Body::Payment { .. } => TF_NO_RIPPLE_DIRECT | TF_PARTIAL_PAYMENT | TF_LIMIT_QUALITY,
                // Its old flags.
                Body::AccountSet { .. } => 0x003F_0000,
                Body::Amm(request) => request.flags(),
                Body::OfferCancel { .. } | Body::Unsupported => 0,
            };
        if self.flags & !allowed != 0 {
            return Ter::TEM_INVALID_FLAG;
        }
        self.preflight_body()
    }

    fn preflight_body(&self) -> Ter {
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
                } else {
                    Ter::SUCCESS
                }
            }
            Body::OfferCancel { offer_sequence: 0 } => Ter::TEM_BAD_SEQUENCE,
            Body::Payment { .. } => super::payment::preflight(self),
            Body::TrustSet { limit } if limit.0.mantissa() < 0 => Ter::TEM_BAD_LIMIT,
            Body::TrustSet { limit } if limit.1.issuer == self.account => Ter::TEM_DST_IS_SRC,
            Body::AccountSet { set_flag, clear_flag, .. } if set_flag.is_some() && set_flag == clear_flag => {
                Ter::TEM_INVALID_FLAG
            }
            Body::AccountSet { tick_size: Some(size), .. } if *size != 0 && !(3..=15).contains(size) => {
                Ter::TEM_BAD_TICK_SIZE
            }
            Body::AccountSet { transfer_rate: Some(rate), .. }
                if *rate != 0 && !(1_000_000_000..=2_000_000_000).contains(rate) =>
            {
                Ter::TEM_BAD_TRANSFER_RATE
            }
            Body::OfferCancel { .. } | Body::TrustSet { .. } | Body::AccountSet { .. } => Ter::SUCCESS,
        }
    }
}

fn body(json: &Json) -> Result<Body, TxError> {
    let kind = required(json, "TransactionType", |value| value.as_str().map(str::to_string))?;
    Ok(match kind.as_str() {
        "OfferCreate" => Body::OfferCreate {
            taker_gets: required(json, "TakerGets", amount)?,
            taker_pays: required(json, "TakerPays", amount)?,
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
        "TrustSet" => Body::TrustSet {
            limit: required(json, "LimitAmount", |value| match amount(value)? {
                (Value::Token(value), Asset::Token(token)) => Some((value, token)),
                _ => None,
            })?,
        },
        "AccountSet" => Body::AccountSet {
            set_flag: optional(json, "SetFlag", number)?,
            clear_flag: optional(json, "ClearFlag", number)?,
            tick_size: optional(json, "TickSize", |value| u8::try_from(value.as_u64()?).ok())?,
            transfer_rate: optional(json, "TransferRate", number)?,
        },
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

fn number(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn address(value: &Json) -> Option<Address> {
    value.as_str().and_then(|text| text.parse().ok())
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

/// Reads an amount: a string of drops, or a token's object. A transaction can carry drops below zero; the checks refuse
/// them by name.
pub(crate) fn amount(value: &Json) -> Option<(Value, Asset)> {
    if let Some(drops) = value.as_str().and_then(|text| text.strip_prefix('-')) {
        let is_number = !drops.is_empty() && drops.bytes().all(|byte| byte.is_ascii_digit());
        let drops = drops.parse::<i64>().ok().filter(|drops| is_number && *drops <= MAX_DROPS)?;
        return Some((Value::Drops(-drops), Asset::Xrp));
    }
    let amount: Amount = serde::Deserialize::deserialize(value).ok()?;
    Value::from_amount(&amount).ok()
}

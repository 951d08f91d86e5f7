//! The answers to our requests, typed. Each `from_value` takes the `result` of a response.

use neo_market::{Dec, Drops, Rounding};
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::amount::parse_token_value;
pub use crate::error::ProtocolError;
use crate::error::from_value;
use crate::message::ValidatedTransaction;
use crate::types::{Address, Amount, Currency, Hash, LedgerTime, drops_text};

/// AccountRoot: the master key must not sign (xrpl.org, "AccountRoot Flags").
const LSF_DISABLE_MASTER: u32 = 0x0010_0000;
/// AccountRoot: everything that it issued is frozen.
const LSF_GLOBAL_FREEZE: u32 = 0x0040_0000;
/// AccountRoot: trust lines to it need its authorisation.
pub const LSF_REQUIRE_AUTH: u32 = 0x0004_0000;

/// `account_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The account.
    pub account: Address,
    /// All its XRP.
    pub balance: Drops,
    /// The sequence of its next transaction.
    pub sequence: u32,
    /// Objects that reserve is paid for.
    pub owner_count: u32,
    /// Flags of the account.
    pub flags: u32,
    /// The key that may sign for it beside, or instead of, its master key.
    pub regular_key: Option<Address>,
    /// The last transaction that changed it.
    pub previous_txn_id: Hash,
    /// Digits of rates of offers for its tokens, when it limits them.
    pub tick_size: Option<u8>,
    /// Billionths that its tokens cost to move, when it asks a fee.
    pub transfer_rate: Option<u32>,
    /// The ledger this is read from.
    pub ledger_index: u32,
    /// True when that ledger is validated.
    pub validated: bool,
}

impl AccountInfo {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<AccountInfo, ProtocolError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Data {
            account: Address,
            #[serde(with = "drops_text")]
            balance: Drops,
            sequence: u32,
            owner_count: u32,
            #[serde(default)]
            flags: u32,
            regular_key: Option<Address>,
            #[serde(rename = "PreviousTxnID")]
            previous_txn_id: Hash,
            tick_size: Option<u8>,
            transfer_rate: Option<u32>,
        }
        #[derive(Deserialize)]
        struct Raw {
            account_data: Data,
            #[serde(alias = "ledger_current_index")]
            ledger_index: u32,
            #[serde(default)]
            validated: bool,
        }
        let Raw { account_data: data, ledger_index, validated } = from_value(value, "account_info")?;
        Ok(AccountInfo {
            account: data.account,
            balance: data.balance,
            sequence: data.sequence,
            owner_count: data.owner_count,
            flags: data.flags,
            regular_key: data.regular_key,
            previous_txn_id: data.previous_txn_id,
            tick_size: data.tick_size,
            transfer_rate: data.transfer_rate,
            ledger_index,
            validated,
        })
    }
}

impl AccountInfo {
    /// True when the master key must not sign any more.
    #[must_use]
    pub const fn master_is_disabled(&self) -> bool {
        self.flags & LSF_DISABLE_MASTER != 0
    }

    /// True when everything that it issued is frozen.
    #[must_use]
    pub const fn has_global_freeze(&self) -> bool {
        self.flags & LSF_GLOBAL_FREEZE != 0
    }
}

/// When the ledger of a `ledger` answer closed.
///
/// # Errors
/// [`ProtocolError`] with the field's name.
pub fn close_time(value: &Value) -> Result<LedgerTime, ProtocolError> {
    let (what, field) = ("ledger", "close_time".to_string());
    let time = value.get("ledger").and_then(|ledger| ledger.get("close_time")).and_then(Value::as_u64);
    let time = time.and_then(|time| u32::try_from(time).ok());
    time.map(LedgerTime).ok_or(ProtocolError::Missing { what, field })
}

/// `server_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The network; absent on a node that stands alone without one.
    pub network_id: Option<u32>,
    /// The server's version.
    pub build_version: String,
    /// The ledgers it holds, such as `2-40`, or `empty`.
    pub complete_ledgers: String,
    /// Its state; `full`, `validating` and `proposing` are fit for use.
    pub server_state: String,
    /// It does not know the network's rules any more: what it says of new ledgers is not to be trusted.
    pub amendment_blocked: bool,
    /// Multiple of the base fee that it asks now.
    pub load_factor: Option<Dec>,
    /// The newest validated ledger; `None` while it has none.
    pub validated: Option<ValidatedLedger>,
}

/// The newest validated ledger of a [`ServerInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedLedger {
    /// Its index.
    pub ledger_index: u32,
    /// Its hash.
    pub hash: Hash,
    /// Seconds since it closed, as the server sees it.
    pub age_s: Option<u64>,
    /// Fee of a reference transaction.
    pub base_fee: Drops,
    /// Reserve of an account.
    pub reserve_base: Drops,
    /// Reserve of each object.
    pub reserve_inc: Drops,
}

impl ServerInfo {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<ServerInfo, ProtocolError> {
        #[derive(Deserialize)]
        struct Ledger {
            seq: u32,
            hash: Hash,
            age: Option<u64>,
            base_fee_xrp: Number,
            reserve_base_xrp: Number,
            reserve_inc_xrp: Number,
        }
        #[derive(Deserialize)]
        struct Info {
            network_id: Option<u32>,
            build_version: String,
            complete_ledgers: String,
            server_state: Option<String>,
            #[serde(default)]
            amendment_blocked: bool,
            load_factor: Option<Number>,
            validated_ledger: Option<Ledger>,
        }
        #[derive(Deserialize)]
        struct Raw {
            info: Info,
        }
        let Raw { info } = from_value(value, "server_info")?;
        let validated = match info.validated_ledger {
            None => None,
            Some(ledger) => Some(ValidatedLedger {
                ledger_index: ledger.seq,
                hash: ledger.hash,
                age_s: ledger.age,
                base_fee: xrp_number(&ledger.base_fee_xrp, "base_fee_xrp")?,
                reserve_base: xrp_number(&ledger.reserve_base_xrp, "reserve_base_xrp")?,
                reserve_inc: xrp_number(&ledger.reserve_inc_xrp, "reserve_inc_xrp")?,
            }),
        };
        let load_factor = info.load_factor.map(|n| decimal(&n, "load_factor")).transpose()?;
        Ok(ServerInfo {
            network_id: info.network_id,
            build_version: info.build_version,
            complete_ledgers: info.complete_ledgers,
            // Servers that only report from a database (Clio) have no state of their own.
            server_state: info.server_state.unwrap_or_else(|| "full".to_string()),
            amendment_blocked: info.amendment_blocked,
            load_factor,
            validated,
        })
    }
}

/// A JSON number as a decimal, by its shortest text: no arithmetic is done in binary.
fn decimal(number: &Number, field: &str) -> Result<Dec, ProtocolError> {
    let wrong = |e: neo_market::AmountError| ProtocolError::Wrong {
        what: "server_info",
        field: field.to_string(),
        reason: e.to_string(),
    };
    number.to_string().parse().map_err(wrong)
}

/// XRP written as a JSON number, which `server_info` does for fees and reserves.
fn xrp_number(number: &Number, field: &str) -> Result<Drops, ProtocolError> {
    let drops = Drops::from_xrp(decimal(number, field)?, Rounding::Up).map_err(|e| e.to_string());
    match drops {
        Ok(drops) if (0..=crate::amount::MAX_DROPS).contains(&drops.get()) => Ok(drops),
        other => {
            let reason = other.err().unwrap_or_else(|| format!("{number} XRP is out of range"));
            Err(ProtocolError::Wrong { what: "server_info", field: field.to_string(), reason })
        }
    }
}

/// `account_lines`: one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLines {
    /// The trust lines.
    pub lines: Vec<TrustLine>,
    /// Asks for the next page.
    pub marker: Option<Value>,
    /// The ledger this is read from.
    pub ledger_index: Option<u32>,
}

/// A trust line as its account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustLine {
    /// The other account.
    pub peer: Address,
    /// The currency.
    pub currency: Currency,
    /// What the account holds; negative when it owes.
    pub balance: Dec,
    /// Most it will hold.
    pub limit: Dec,
    /// True when the other side froze it: nothing can be sold, and only sent back to its issuer.
    pub frozen_by_peer: bool,
    /// True when the other side froze it deeply: nothing can be bought either.
    pub deep_frozen_by_peer: bool,
    /// True when its own side froze it.
    pub frozen: bool,
    /// True when its own side froze it deeply.
    pub deep_frozen: bool,
    /// True when the other side has authorised it, which some issuers ask for.
    pub authorized_by_peer: bool,
}

impl AccountLines {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<AccountLines, ProtocolError> {
        const WHAT: &str = "account_lines";
        #[derive(Deserialize)]
        struct Line {
            account: Address,
            currency: Currency,
            balance: String,
            limit: String,
            #[serde(default)]
            freeze_peer: bool,
            #[serde(default)]
            deep_freeze_peer: bool,
            #[serde(default)]
            freeze: bool,
            #[serde(default)]
            deep_freeze: bool,
            #[serde(default)]
            peer_authorized: bool,
        }
        #[derive(Deserialize)]
        struct Raw {
            lines: Vec<Line>,
            marker: Option<Value>,
            #[serde(alias = "ledger_current_index")]
            ledger_index: Option<u32>,
        }
        let raw: Raw = from_value(value, WHAT)?;
        let number = |text: &str, field: &str| {
            parse_token_value(text).map_err(|e| ProtocolError::Wrong {
                what: WHAT,
                field: field.to_string(),
                reason: e.to_string(),
            })
        };
        let line = |line: Line| {
            Ok(TrustLine {
                peer: line.account,
                currency: line.currency,
                balance: number(&line.balance, "balance")?,
                limit: number(&line.limit, "limit")?,
                frozen_by_peer: line.freeze_peer,
                deep_frozen_by_peer: line.deep_freeze_peer,
                frozen: line.freeze,
                deep_frozen: line.deep_freeze,
                authorized_by_peer: line.peer_authorized,
            })
        };
        let lines = raw.lines.into_iter().map(line).collect::<Result<_, ProtocolError>>()?;
        Ok(AccountLines { lines, marker: raw.marker, ledger_index: raw.ledger_index })
    }
}

/// `account_offers`: one page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AccountOffers {
    /// The offers.
    pub offers: Vec<AccountOffer>,
    /// Asks for the next page.
    pub marker: Option<Value>,
    /// The ledger this is read from.
    #[serde(alias = "ledger_current_index")]
    pub ledger_index: Option<u32>,
}

/// An offer in [`AccountOffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct AccountOffer {
    /// Its identity.
    pub seq: u32,
    /// What it still sells.
    pub taker_gets: Amount,
    /// What it still buys.
    pub taker_pays: Amount,
    /// When it dies.
    pub expiration: Option<LedgerTime>,
    /// Ledger flags.
    #[serde(default)]
    pub flags: u32,
}

impl AccountOffers {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<AccountOffers, ProtocolError> {
        from_value(value, "account_offers")
    }
}

/// `book_offers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookOffers {
    /// The offers as the node sent them, best first, for [`crate::book::Book::reset`].
    pub offers: Vec<Value>,
    /// The ledger this is read from.
    pub ledger_index: u32,
}

impl BookOffers {
    /// Reads the result. The offers themselves are checked by [`crate::book::Book::reset`].
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<BookOffers, ProtocolError> {
        #[derive(Deserialize)]
        struct Raw {
            offers: Vec<Value>,
            #[serde(alias = "ledger_current_index")]
            ledger_index: u32,
        }
        let Raw { offers, ledger_index } = from_value(value, "book_offers")?;
        Ok(BookOffers { offers, ledger_index })
    }
}

/// `account_tx`: one page.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountTx {
    /// The transactions, in the order asked for.
    pub transactions: Vec<ValidatedTransaction>,
    /// Asks for the next page.
    pub marker: Option<Value>,
    /// First ledger the node searched.
    pub ledger_index_min: u32,
    /// Last ledger the node searched.
    pub ledger_index_max: u32,
}

impl AccountTx {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<AccountTx, ProtocolError> {
        #[derive(Deserialize)]
        struct Raw {
            marker: Option<Value>,
            ledger_index_min: u32,
            ledger_index_max: u32,
        }
        let raw: Raw = from_value(value, "account_tx")?;
        let missing = || ProtocolError::Missing { what: "account_tx", field: "transactions".to_string() };
        let entries = value.get("transactions").and_then(Value::as_array).ok_or_else(missing)?;
        let transactions = entries.iter().map(ValidatedTransaction::from_account_tx).collect::<Result<_, _>>()?;
        Ok(AccountTx {
            transactions,
            marker: raw.marker,
            ledger_index_min: raw.ledger_index_min,
            ledger_index_max: raw.ledger_index_max,
        })
    }
}

/// `submit`. Nothing in it is final but the `tem` class of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitResult {
    /// The provisional result.
    pub engine_result: String,
    /// The server's words on it.
    pub engine_result_message: Option<String>,
    /// It was applied to the open ledger.
    pub applied: bool,
    /// It was applied, queued, broadcast or kept.
    pub accepted: bool,
    /// It waits in the queue.
    pub queued: bool,
    /// The server keeps it and may try it again.
    pub kept: bool,
    /// The next sequence with all pending transactions counted.
    pub account_sequence_available: Option<u32>,
    /// What entry into the open ledger costs now.
    pub open_ledger_cost: Option<Drops>,
    /// The transaction's hash.
    pub hash: Hash,
}

impl SubmitResult {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<SubmitResult, ProtocolError> {
        #[derive(Deserialize)]
        struct Tx {
            hash: Hash,
        }
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Cost(#[serde(with = "drops_text")] Drops);
        #[derive(Deserialize)]
        struct Raw {
            engine_result: String,
            engine_result_message: Option<String>,
            applied: bool,
            accepted: bool,
            queued: bool,
            kept: bool,
            account_sequence_available: Option<u32>,
            open_ledger_cost: Option<Cost>,
            hash: Option<Hash>,
            tx_json: Option<Tx>,
        }
        let raw: Raw = from_value(value, "submit")?;
        // Version 2 of the API gives the hash beside the transaction in some servers, inside it in others.
        let missing = || ProtocolError::Missing { what: "submit", field: "hash".to_string() };
        Ok(SubmitResult {
            hash: raw.hash.or(raw.tx_json.map(|tx| tx.hash)).ok_or_else(missing)?,
            engine_result: raw.engine_result,
            engine_result_message: raw.engine_result_message,
            applied: raw.applied,
            accepted: raw.accepted,
            queued: raw.queued,
            kept: raw.kept,
            account_sequence_available: raw.account_sequence_available,
            open_ledger_cost: raw.open_ledger_cost.map(|cost| cost.0),
        })
    }
}

/// `fee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeResult {
    /// The reference fee without load.
    pub base_fee: Drops,
    /// Least that enters the queue.
    pub minimum_fee: Drops,
    /// Least that enters the open ledger at once.
    pub open_ledger_fee: Drops,
    /// Median fee of the last ledger's transactions.
    pub median_fee: Drops,
}

impl FeeResult {
    /// Reads the result.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<FeeResult, ProtocolError> {
        #[derive(Deserialize)]
        struct InDrops {
            #[serde(with = "drops_text")]
            base_fee: Drops,
            #[serde(with = "drops_text")]
            minimum_fee: Drops,
            #[serde(with = "drops_text")]
            open_ledger_fee: Drops,
            #[serde(with = "drops_text")]
            median_fee: Drops,
        }
        #[derive(Deserialize)]
        struct Raw {
            drops: InDrops,
        }
        let Raw { drops } = from_value(value, "fee")?;
        Ok(FeeResult {
            base_fee: drops.base_fee,
            minimum_fee: drops.minimum_fee,
            open_ledger_fee: drops.open_ledger_fee,
            median_fee: drops.median_fee,
        })
    }
}

/// `tx`: a transaction looked up by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxResult {
    /// It is in a validated ledger.
    Validated(Box<ValidatedTransaction>),
    /// The node knows it but it is not final.
    Pending,
}

impl TxResult {
    /// Reads the result. A transaction the node does not know is a [`crate::NodeError`] `txnNotFound` instead.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value) -> Result<TxResult, ProtocolError> {
        // Absent until the transaction is in a validated ledger.
        if value.get("validated").and_then(Value::as_bool) != Some(true) {
            return Ok(TxResult::Pending);
        }
        ValidatedTransaction::from_account_tx(value).map(|tx| TxResult::Validated(Box::new(tx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ACCOUNT: &str = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De";

    #[test]
    fn account_info_names_what_is_missing() {
        let mut value = json!({"account_data": {"Account": ACCOUNT, "Balance": "5", "Sequence": 2, "OwnerCount": 1,
            "Flags": 0, "PreviousTxnID": "00".repeat(32)}, "ledger_index": 9, "validated": true});
        let info = AccountInfo::from_value(&value).unwrap();
        assert_eq!((info.balance, info.sequence, info.ledger_index), (Drops::new(5), 2, 9));
        value["account_data"]["Balance"] = json!(5);
        assert!(
            matches!(AccountInfo::from_value(&value), Err(ProtocolError::Wrong { field, .. }) if field == "Balance")
        );
        value["account_data"].as_object_mut().unwrap().remove("Balance");
        let missing = AccountInfo::from_value(&value);
        assert!(matches!(missing, Err(ProtocolError::Missing { field, .. }) if field == "Balance"));
    }

    #[test]
    fn numbers_of_xrp_become_whole_drops() {
        let mut value = json!({"info": {"build_version": "2.6.1", "complete_ledgers": "2-28", "server_state": "full",
            "load_factor": 1.5, "validated_ledger": {"seq": 28, "hash": "00".repeat(32), "age": 0,
            "base_fee_xrp": 1e-5, "reserve_base_xrp": 1, "reserve_inc_xrp": 0.2}}});
        let validated = ServerInfo::from_value(&value).unwrap().validated.unwrap();
        assert_eq!(validated.base_fee, Drops::new(10));
        assert_eq!((validated.reserve_base, validated.reserve_inc), (Drops::new(1_000_000), Drops::new(200_000)));
        value["info"]["validated_ledger"]["reserve_inc_xrp"] = json!(1e30);
        let error = ServerInfo::from_value(&value).unwrap_err();
        assert!(matches!(error, ProtocolError::Wrong { field, .. } if field == "reserve_inc_xrp"));
        value["info"].as_object_mut().unwrap().remove("validated_ledger");
        assert_eq!(ServerInfo::from_value(&value).unwrap().validated, None);
    }

    #[test]
    fn absurd_lines_are_refused() {
        let value = json!({"lines": [{"account": ACCOUNT, "currency": "USD", "balance": "1e999", "limit": "0"}]});
        let error = AccountLines::from_value(&value).unwrap_err();
        assert!(matches!(error, ProtocolError::Wrong { field, .. } if field == "balance"));
    }
}

//! A trust line as the ledger holds it: `ledger_entry`.
//!
//! A list of lines says what is on them. The entry says also which transaction changed it last: with that, those that were
//! told of can be proven to be all.

use neo_market::Dec;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ProtocolError, from_value};
use crate::meta::{Action, Entry, Fields, Node};
use crate::terms::{LineTerms, line_terms};
use crate::types::{Address, Hash, Token};

const WHAT: &str = "ledger_entry";

/// What a node answers where the entry is not in the ledger (rippled, `LedgerEntry.cpp`).
pub const NO_ENTRY: &str = "entryNotFound";

/// Our trust line at one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLine {
    /// What we hold, from our side; negative when we owe.
    pub balance: Dec,
    /// Its limit, freezes and authorisation.
    pub terms: LineTerms,
    /// The last transaction that changed it.
    pub previous_txn_id: Hash,
    /// The ledger that this is read from.
    pub ledger_index: u32,
}

impl HeldLine {
    /// Reads the result for the line between `account` and the token's issuer.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name, also for another line.
    pub fn from_value(value: &Value, account: Address, token: Token) -> Result<HeldLine, ProtocolError> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "LedgerEntryType")]
            entry: Entry,
            #[serde(rename = "PreviousTxnID")]
            previous_txn_id: Hash,
            #[serde(flatten)]
            fields: Fields,
        }
        #[derive(Deserialize)]
        struct Raw {
            index: Hash,
            node: Line,
            ledger_index: u32,
        }
        let Raw { index, node: Line { entry, previous_txn_id, fields }, ledger_index } = from_value(value, WHAT)?;
        let previous = Fields::default();
        let node = Node { action: Action::Modified, entry, index, fields, previous, previous_txn_id: None };
        let wrong = |field: &str| ProtocolError::Wrong {
            what: WHAT,
            field: field.to_string(),
            reason: format!("it is not the line of {account} for {token}"),
        };
        let balance = node.line_balance(account, token).ok_or_else(|| wrong("Balance"))?.now;
        let terms = line_terms(&node, account, token).ok_or_else(|| wrong("LowLimit"))?;
        Ok(HeldLine { balance, terms, previous_txn_id, ledger_index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;
    use serde_json::json;

    fn said(low: Address, high: Address) -> Value {
        let amount =
            |issuer: Address, value: &str| json!({"currency": Currency::RLUSD, "issuer": issuer, "value": value});
        json!({"index": "0A".repeat(32), "ledger_index": 9, "validated": true, "node": {
            "LedgerEntryType": "RippleState", "Balance": amount(Address([0; 20]), "-7.5"), "Flags": 0x0042_0000,
            "LowLimit": amount(low, "0"), "HighLimit": amount(high, "500"), "LowNode": "0", "HighNode": "0",
            "PreviousTxnID": "0B".repeat(32), "PreviousTxnLgrSeq": 8, "index": "0A".repeat(32)}})
    }

    #[test]
    fn the_entry_is_read_from_our_side() {
        let (issuer, we) = (Address([1; 20]), Address([2; 20]));
        let token = Token { currency: Currency::RLUSD, issuer };
        let line = HeldLine::from_value(&said(issuer, we), we, token).unwrap();
        assert_eq!((line.balance, line.ledger_index), ("7.5".parse().unwrap(), 9));
        assert_eq!((line.terms.limit, line.terms.frozen), (Dec::from_i64(500), true));
        assert_eq!(line.previous_txn_id, Hash([0x0B; 32]));
        // Another line than was asked for, and one without its last transaction, are refused.
        for (field, value) in [
            ("Balance", said(we, issuer)),
            (
                "PreviousTxnID",
                json!({"index": "0A".repeat(32),
            "ledger_index": 9, "node": {"LedgerEntryType": "RippleState"}}),
            ),
        ] {
            let other = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };
            let of = if field == "Balance" { other } else { token };
            let error = HeldLine::from_value(&value, we, of).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}

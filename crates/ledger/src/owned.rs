//! What an account owns on the ledger, by kind, and the reserves that it is charged for it: `account_objects`.
//!
//! Most entries count once in their owner's OwnerCount. The others are told apart here, so that what a node lists can be
//! held against what the account's root says (rippled, `adjustOwnerCount` and its callers).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub use crate::error::ProtocolError;
use crate::error::from_value;
use crate::types::Address;

/// RippleState: the low account is charged for the line (rippled, `lsfLowReserve`).
const LSF_LOW_RESERVE: u64 = 0x0001_0000;
/// RippleState: the high account is charged for it.
const LSF_HIGH_RESERVE: u64 = 0x0002_0000;
/// SignerList: counts once, however many signers it has (rippled, `lsfOneOwnerCount`).
const LSF_ONE_OWNER_COUNT: u64 = 0x0001_0000;
/// An oracle of more pairs than these counts twice (rippled, `SetOracle.cpp`).
const ORACLE_PAIRS: usize = 5;

/// Entries of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kind {
    /// How many are listed.
    objects: u32,
    /// How often they count in the OwnerCount.
    reserves: u32,
}

/// What an account owns, by the names of the ledger's entry types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    kinds: BTreeMap<String, Kind>,
    tickets: BTreeSet<u32>,
}

impl Owned {
    /// Adds what another page lists.
    pub fn join(&mut self, other: Owned) {
        for (name, kind) in other.kinds {
            let mine = self.kinds.entry(name).or_default();
            mine.objects = mine.objects.saturating_add(kind.objects);
            mine.reserves = mine.reserves.saturating_add(kind.reserves);
        }
        self.tickets.extend(other.tickets);
    }

    /// The numbers of its tickets.
    #[must_use]
    pub fn tickets(&self) -> &BTreeSet<u32> {
        &self.tickets
    }

    /// What the OwnerCount must be, by what is listed.
    #[must_use]
    pub fn reserves(&self) -> u32 {
        self.kinds.values().fold(0, |sum, kind| sum.saturating_add(kind.reserves))
    }

    /// How many entries of a type, such as `Offer`, `RippleState` or `Ticket`, are listed.
    #[must_use]
    pub fn count(&self, entry: &str) -> u32 {
        self.kinds.get(entry).map_or(0, |kind| kind.objects)
    }

    /// Everything but the offers, which come and go, and these tickets.
    #[must_use]
    pub fn without_offers_and(&self, tickets: &BTreeSet<u32>) -> Owned {
        let mut others = self.clone();
        others.kinds.remove("Offer");
        let left_out = self.tickets.intersection(tickets).count();
        others.tickets.retain(|ticket| !tickets.contains(ticket));
        if let Some(kind) = others.kinds.get_mut("Ticket") {
            let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
            kind.objects = kind.objects.saturating_sub(left_out);
            kind.reserves = kind.reserves.saturating_sub(left_out);
        }
        others.kinds.retain(|_, kind| kind.objects > 0);
        others
    }

    fn add(&mut self, entry: &str, reserves: u32) {
        let kind = self.kinds.entry(entry.to_string()).or_default();
        kind.objects = kind.objects.saturating_add(1);
        kind.reserves = kind.reserves.saturating_add(reserves);
    }
}

impl fmt::Display for Owned {
    /// `2 Offer, 1 RippleState (0 charged)`; `nothing` when there is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds.is_empty() {
            return f.write_str("nothing");
        }
        for (place, (name, kind)) in self.kinds.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {name}", kind.objects)?;
            if kind.objects != kind.reserves {
                write!(f, " ({} charged)", kind.reserves)?;
            }
        }
        Ok(())
    }
}

/// One page of `account_objects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPage {
    /// What it lists.
    pub owned: Owned,
    /// Asks for the next page.
    pub marker: Option<Value>,
    /// The ledger this is read from.
    pub ledger_index: Option<u32>,
}

impl OwnedPage {
    /// Reads the result of `account_objects` of `account`.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name.
    pub fn from_value(value: &Value, account: Address) -> Result<OwnedPage, ProtocolError> {
        const WHAT: &str = "account_objects";
        #[derive(Deserialize)]
        struct Raw {
            account_objects: Vec<Value>,
            marker: Option<Value>,
            #[serde(alias = "ledger_current_index")]
            ledger_index: Option<u32>,
        }
        let raw: Raw = from_value(value, WHAT)?;
        let account = account.to_string();
        let mut owned = Owned::default();
        for object in &raw.account_objects {
            let entry = object.get("LedgerEntryType").and_then(Value::as_str);
            let entry = entry.ok_or_else(|| ProtocolError::Missing { what: WHAT, field: "LedgerEntryType".into() })?;
            owned.add(entry, reserves_of(entry, object, &account));
            if entry == "Ticket" {
                let number = object.get("TicketSequence").and_then(Value::as_u64);
                owned.tickets.extend(number.and_then(|number| u32::try_from(number).ok()));
            }
        }
        Ok(OwnedPage { owned, marker: raw.marker, ledger_index: raw.ledger_index })
    }
}

/// How often an entry counts in the account's OwnerCount. One that this version does not know counts once, as most do.
fn reserves_of(entry: &str, object: &Value, account: &str) -> u32 {
    let flags = object.get("Flags").and_then(Value::as_u64).unwrap_or(0);
    let items = |field: &str| object.get(field).and_then(Value::as_array).map_or(0, Vec::len);
    match entry {
        "RippleState" => {
            let low = object.pointer("/LowLimit/issuer").and_then(Value::as_str) == Some(account);
            u32::from(flags & if low { LSF_LOW_RESERVE } else { LSF_HIGH_RESERVE } != 0)
        }
        // Both ends list these; whoever made them is charged.
        "Escrow" | "PayChannel" | "Check" => {
            u32::from(object.get("Account").and_then(Value::as_str).is_none_or(|owner| owner == account))
        }
        // Before the list counted once it counted two and one for each signer.
        "SignerList" if flags & LSF_ONE_OWNER_COUNT == 0 => {
            u32::try_from(items("SignerEntries").saturating_add(2)).unwrap_or(u32::MAX)
        }
        "Oracle" if items("PriceDataSeries") > ORACLE_PAIRS => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_count_as_the_ledger_charges_them() {
        let (me, other) = (Address([1; 20]), Address([2; 20]));
        let line = |low: Address, flags: u64| json!({"LedgerEntryType": "RippleState", "Flags": flags, "LowLimit": {"issuer": low.to_string()}});
        let page = json!({"ledger_index": 7, "marker": "more", "account_objects": [
            {"LedgerEntryType": "Offer", "Flags": 0}, {"LedgerEntryType": "Offer"},
            line(me, LSF_LOW_RESERVE), line(me, LSF_HIGH_RESERVE), line(other, LSF_HIGH_RESERVE),
            {"LedgerEntryType": "Check", "Account": other.to_string()},
            {"LedgerEntryType": "Escrow", "Account": me.to_string()},
            {"LedgerEntryType": "SignerList", "SignerEntries": [1, 2, 3]},
            {"LedgerEntryType": "SignerList", "Flags": LSF_ONE_OWNER_COUNT, "SignerEntries": [1, 2, 3]},
            {"LedgerEntryType": "Oracle", "PriceDataSeries": [1, 2, 3, 4, 5, 6]},
            {"LedgerEntryType": "Ticket", "TicketSequence": 9}, {"LedgerEntryType": "Novelty"}]});
        let page = OwnedPage::from_value(&page, me).unwrap();
        // Offers 2, lines 2 of 3, escrow 1, signer lists 5 and 1, oracle 2, ticket 1, novelty 1.
        assert_eq!(page.owned.reserves(), 2 + 2 + 1 + 5 + 1 + 2 + 1 + 1);
        assert_eq!([page.owned.count("Offer"), page.owned.count("RippleState"), page.owned.count("AMM")], [2, 3, 0]);
        assert_eq!((page.marker, page.ledger_index), (Some(json!("more")), Some(7)));
        assert!(page.owned.to_string().contains("3 RippleState (2 charged)"), "{}", page.owned);
        assert_eq!(page.owned.without_offers_and(&BTreeSet::new()).reserves(), page.owned.reserves() - 2);
        let without = page.owned.without_offers_and(&BTreeSet::from([8, 9]));
        assert_eq!((without.reserves(), without.count("Ticket")), (page.owned.reserves() - 3, 0));
        assert_eq!((page.owned.tickets().len(), without.tickets().len()), (1, 0));
    }

    #[test]
    fn an_entry_without_a_type_is_refused() {
        let page = json!({"account_objects": [{"Flags": 0}]});
        assert!(OwnedPage::from_value(&page, Address([1; 20])).unwrap_err().to_string().contains("LedgerEntryType"));
    }
}

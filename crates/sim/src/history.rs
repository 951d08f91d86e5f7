//! What the node remembers: headers and transactions of closed ledgers.
//!
//! Memory is bounded. Headers are kept for the scenario's `history_ledgers`. Transactions that touch a tracked account
//! (funded by the scenario, subscribed to, or a sender of signed transactions) are kept as long as their header, at
//! most [`MAX_TRACKED`] of them (a transaction takes about 3 kB); when there are more, the oldest ledgers are
//! forgotten. All other transactions are kept for [`RECENT_LEDGERS`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use neo_ledger::{Address, Hash};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::apply::tx::{Body, Tx};
use crate::ledger::{ClosedTx, Header};
use crate::ter::Ter;

/// Most transactions of tracked accounts that are remembered.
pub const MAX_TRACKED: usize = 65_536;
/// Ledgers whose other transactions are remembered.
pub const RECENT_LEDGERS: u32 = 256;

/// Place of a transaction: its ledger and its index there.
pub type Place = (u32, u32);

/// A transaction of a closed ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its hash.
    pub hash: Hash,
    /// Its fields, as JSON text.
    pub tx: String,
    /// Its metadata, as JSON text.
    pub meta: String,
    /// Accounts that it touches.
    pub accounts: Vec<Address>,
}

impl Record {
    /// The record of a closed transaction.
    #[must_use]
    pub fn of(closed: &ClosedTx) -> Record {
        let meta = with_delivered(&closed.tx, closed.result, Cow::Borrowed(&closed.meta.json));
        Record {
            hash: closed.tx.hash,
            tx: text_of(&closed.tx.json),
            meta: text_of(&meta),
            accounts: closed.meta.accounts.iter().copied().collect(),
        }
    }
}

/// JSON as text: what its `Display` writes, without the formatter's way there.
pub(crate) fn text_of(json: &Json) -> String {
    // Most messages fit; growing by doubling from nothing would move each several times.
    let mut bytes = Vec::with_capacity(4_096);
    let written = serde_json::to_writer(&mut bytes, json).is_ok();
    let text = Some(bytes).filter(|_| written).and_then(|bytes| String::from_utf8(bytes).ok());
    let mut text = text.unwrap_or_else(|| json.to_string());
    text.shrink_to_fit();
    text
}

/// A payment's metadata with what was delivered, as a node's answers say it (rippled, `DeliveredAmount.cpp`).
pub(crate) fn with_delivered<'a>(tx: &Tx, result: Ter, mut meta: Cow<'a, Json>) -> Cow<'a, Json> {
    let asked = tx.json.get("Amount").or_else(|| tx.json.get("DeliverMax"));
    if let (Body::Payment { .. }, true, Some(amount)) = (&tx.body, result.is_success(), asked)
        && let Json::Object(meta) = meta.to_mut()
    {
        let delivered = meta.get("DeliveredAmount").unwrap_or(amount).clone();
        meta.insert("delivered_amount".to_string(), delivered);
    }
    meta
}

/// The node's memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "HistoryImage", into = "HistoryImage")]
pub struct History {
    headers: BTreeMap<u32, Header>,
    records: BTreeMap<Place, Record>,
    tracked: BTreeSet<Address>,
    by_hash: BTreeMap<Hash, Place>,
    by_account: BTreeMap<Address, BTreeSet<Place>>,
    passing: VecDeque<Place>,
    keep_ledgers: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct HistoryImage {
    headers: Vec<Header>,
    records: Vec<(Place, Record)>,
    tracked: Vec<Address>,
    keep_ledgers: u32,
}

impl From<HistoryImage> for History {
    fn from(image: HistoryImage) -> History {
        let mut history = History::new(image.keep_ledgers);
        history.tracked = image.tracked.into_iter().collect();
        history.headers = image.headers.into_iter().map(|header| (header.index, header)).collect();
        for (place, record) in image.records {
            history.insert(place, record);
        }
        history
    }
}

impl From<History> for HistoryImage {
    fn from(history: History) -> HistoryImage {
        HistoryImage {
            headers: history.headers.into_values().collect(),
            records: history.records.into_iter().collect(),
            tracked: history.tracked.into_iter().collect(),
            keep_ledgers: history.keep_ledgers,
        }
    }
}

impl History {
    /// An empty memory of so many ledgers.
    #[must_use]
    pub fn new(keep_ledgers: u32) -> History {
        History { keep_ledgers, ..History::default() }
    }

    /// Changes how many ledgers are kept, from the next one on.
    pub fn keep(&mut self, ledgers: u32) {
        self.keep_ledgers = ledgers;
    }

    /// Remembers an account's transactions for good, from what is still known on.
    pub fn track(&mut self, account: Address) {
        if !self.tracked.insert(account) {
            return;
        }
        let places: BTreeSet<Place> = self
            .records
            .iter()
            .filter(|(_, record)| record.accounts.contains(&account))
            .map(|(place, _)| *place)
            .collect();
        self.passing.retain(|place| !places.contains(place));
        self.by_account.insert(account, places);
    }

    /// Remembers a closed ledger.
    pub fn close(&mut self, header: Header, records: Vec<Record>) {
        let index = header.index;
        self.headers.insert(index, header);
        for (position, record) in records.into_iter().enumerate() {
            self.insert((index, u32::try_from(position).unwrap_or(u32::MAX)), record);
        }
        self.forget(index);
    }

    fn insert(&mut self, place: Place, record: Record) {
        let mut tracked = false;
        for account in record.accounts.iter().filter(|account| self.tracked.contains(account)) {
            self.by_account.entry(*account).or_default().insert(place);
            tracked = true;
        }
        if !tracked {
            self.passing.push_back(place);
        }
        self.by_hash.insert(record.hash, place);
        self.records.insert(place, record);
    }

    fn forget(&mut self, newest: u32) {
        while let Some(place) = self.passing.front().copied().filter(|(ledger, _)| ledger + RECENT_LEDGERS <= newest) {
            self.passing.pop_front();
            self.remove(place);
        }
        let too_many = |history: &History| history.records.len() - history.passing.len() > MAX_TRACKED;
        while let Some(oldest) = self.first_index().filter(|oldest| *oldest < newest) {
            if newest - oldest < self.keep_ledgers && !too_many(self) {
                break;
            }
            self.forget_ledger(oldest);
        }
    }

    /// Forgets all but the newest so many ledgers.
    pub fn forget_all_but(&mut self, ledgers: u32) {
        let Some(newest) = self.headers.keys().next_back().copied() else { return };
        while let Some(oldest) = self.first_index().filter(|oldest| newest - oldest >= ledgers.max(1)) {
            self.forget_ledger(oldest);
        }
    }

    fn forget_ledger(&mut self, index: u32) {
        self.headers.remove(&index);
        let places: Vec<Place> = self.records.range((index, 0)..=(index, u32::MAX)).map(|(at, _)| *at).collect();
        places.into_iter().for_each(|place| self.remove(place));
        self.passing.retain(|(ledger, _)| *ledger != index);
    }

    fn remove(&mut self, place: Place) {
        let Some(record) = self.records.remove(&place) else { return };
        self.by_hash.remove(&record.hash);
        for account in record.accounts {
            if let Some(places) = self.by_account.get_mut(&account) {
                places.remove(&place);
            }
        }
    }

    /// The oldest ledger that is remembered.
    #[must_use]
    pub fn first_index(&self) -> Option<u32> {
        self.headers.keys().next().copied()
    }

    /// A closed ledger.
    #[must_use]
    pub fn header(&self, index: u32) -> Option<&Header> {
        self.headers.get(&index)
    }

    /// A closed ledger by its hash.
    #[must_use]
    pub fn header_by_hash(&self, hash: Hash) -> Option<&Header> {
        self.headers.values().rev().find(|header| header.hash == hash)
    }

    /// A transaction by its hash.
    #[must_use]
    pub fn find(&self, hash: Hash) -> Option<(Place, &Record)> {
        let place = *self.by_hash.get(&hash)?;
        Some((place, self.records.get(&place)?))
    }

    /// A transaction by its place.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<&Record> {
        self.records.get(&place)
    }

    /// The known transactions of a ledger, in order.
    pub fn of_ledger(&self, index: u32) -> impl Iterator<Item = (Place, &Record)> {
        self.records.range((index, 0)..=(index, u32::MAX)).map(|(place, record)| (*place, record))
    }

    /// Places of an account's known transactions from one place to another (both included), in order.
    #[must_use]
    pub fn of_account(&self, account: Address, from: Place, to: Place) -> Vec<Place> {
        if from > to {
            return Vec::new();
        }
        match self.by_account.get(&account) {
            Some(places) => places.range(from..=to).copied().collect(),
            None => {
                let touches = |(_, record): &(&Place, &Record)| record.accounts.contains(&account);
                self.records.range(from..=to).filter(touches).map(|(place, _)| *place).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use neo_ledger::LedgerTime;

    use super::*;

    fn header(index: u32) -> Header {
        let (hash, time) = (Hash([0; 32]), LedgerTime(0));
        Header {
            index,
            hash,
            parent_hash: hash,
            close_time: time,
            parent_close_time: time,
            total_drops: 0,
            transaction_hash: hash,
            account_hash: hash,
            txn_count: 0,
        }
    }

    fn record(number: u32, account: u8) -> Record {
        let mut hash = [account; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        Record { hash: Hash(hash), tx: "{}".into(), meta: "{}".into(), accounts: vec![Address([account; 20])] }
    }

    #[test]
    fn tracked_transactions_outlive_the_others() {
        let mut history = History::new(1000);
        let (ours, theirs) = (Address([1; 20]), Address([2; 20]));
        history.track(ours);
        for index in 1..=600 {
            history.close(header(index), vec![record(index, 1), record(index, 2)]);
        }
        assert_eq!(history.of_account(ours, (0, 0), (u32::MAX, 0)).len(), 600);
        assert_eq!(history.of_account(theirs, (0, 0), (u32::MAX, 0)).len(), 256);
        assert_eq!(history.first_index(), Some(1));
        history.keep(100);
        history.close(header(601), vec![]);
        assert_eq!(history.first_index(), Some(502));
        assert_eq!(history.of_account(ours, (0, 0), (u32::MAX, 0)).first(), Some(&(502, 0)));
        let text = serde_json::to_string(&history).unwrap();
        let again: History = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert_eq!(again.find(record(600, 2).hash).map(|(place, _)| place), Some((600, 1)));
    }
}

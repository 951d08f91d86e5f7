//! The entries of a state, one by one: the one place that knows all kinds, so that a new kind shows everywhere.

use neo_ledger::{Address, Hash};

use super::Fields;
use crate::apply::meta::{index_of, whole_entry};
use crate::state::{Entry, Key, State};

/// An entry with its place in the ledger.
pub(super) struct Object {
    pub index: Hash,
    pub key: Key,
    pub entry: Entry,
}

impl Object {
    fn of(state: &State, key: Key) -> Option<Object> {
        Some(Object { index: index_of(key), key, entry: state.entry(key)? })
    }

    /// Its fields, as a node shows them.
    pub(super) fn json(&self) -> Fields {
        whole_entry(self.key, &self.entry)
    }

    /// The name of its kind in requests.
    pub(super) fn kind(&self) -> &'static str {
        kind_of(self.key)
    }
}

/// The name of an entry's kind in requests (rippled, `ledger_entries.macro`).
pub(super) fn kind_of(key: Key) -> &'static str {
    match key {
        Key::Account(_) => "account",
        Key::Line(_) => "state",
        Key::Offer(_) => "offer",
        Key::Amm(_) => "amm",
        Key::Ticket(_) => "ticket",
    }
}

/// What stands in an account's directory, in the directory's order.
pub(super) fn owned(state: &State, account: Address) -> Vec<Object> {
    let lines = state.lines_of(account).map(|(key, _)| Key::Line(key));
    let offers = state.offers_of(account).map(|(key, _)| Key::Offer(key));
    let pools = state.amm_of(account).map(|(pair, _)| Key::Amm(pair));
    let tickets = state.tickets_of(account).map(|(key, _)| Key::Ticket(key));
    let keys = lines.chain(offers).chain(pools).chain(tickets);
    let mut objects: Vec<Object> = keys.filter_map(|key| Object::of(state, key)).collect();
    objects.sort_by_key(|object| object.index);
    objects
}

/// All entries of a state, in no order.
pub(super) fn all(state: &State) -> impl Iterator<Item = Key> {
    let accounts = state.accounts().map(|(key, _)| Key::Account(key));
    let lines = state.lines().map(|(key, _)| Key::Line(key));
    let offers = state.offers().map(|(key, _)| Key::Offer(key));
    let pools = state.amms().map(|(key, _)| Key::Amm(key));
    let tickets = state.tickets().map(|(key, _)| Key::Ticket(key));
    accounts.chain(lines).chain(offers).chain(pools).chain(tickets)
}

/// The entry at a place in the ledger.
pub(super) fn at(state: &State, index: Hash) -> Option<Object> {
    all(state).find(|key| index_of(*key) == index).and_then(|key| Object::of(state, key))
}

//! What a client is subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::Address;

use crate::state::Book;

/// A client's subscriptions. Each remembers the API version it was asked in, which its messages are written in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// `ledger`.
    pub ledger: Option<u64>,
    /// `transactions`.
    pub transactions: Option<u64>,
    /// Accounts.
    pub accounts: BTreeMap<Address, u64>,
    /// Books.
    pub books: BTreeMap<Book, u64>,
    /// Streams that are accepted and never send anything here.
    pub silent: BTreeSet<String>,
}

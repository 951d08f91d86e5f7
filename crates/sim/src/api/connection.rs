//! What a client is subscribed to.

use std::collections::BTreeSet;

use neo_ledger::Address;

use crate::state::Book;

/// A client's subscriptions. As in rippled, all its messages are written in the API version of its last subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The API version that messages are written in.
    pub version: u64,
    /// Streams, and those that are accepted and never send anything here.
    pub streams: BTreeSet<&'static str>,
    /// Accounts whose validated transactions are sent.
    pub accounts: BTreeSet<Address>,
    /// Accounts whose transactions are sent before they are validated, too.
    pub proposed_accounts: BTreeSet<Address>,
    /// Books whose transactions are sent.
    pub books: BTreeSet<Book>,
}

impl Connection {
    /// True when this stream is subscribed to.
    pub(crate) fn has(&self, stream: &str) -> bool {
        self.streams.contains(stream)
    }
}

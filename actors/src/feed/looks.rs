//! What no stream tells, and how often it is therefore asked for.
//!
//! A stream brings what touches our account and, of the book, only what succeeded (rippled, `pubValidatedTransaction`). A
//! transaction that changes nothing but our trust line leaves our account's root as it was, so that the root alone does not
//! prove a ledger to be known whole.

/// What is asked for between two fresh pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// The trust line's entry, with every ledger: the proof that no transaction of the token is missing.
    pub line: bool,
    /// A pool that was not there when it was asked for last, every so many ledgers; 0: with the next fresh picture alone. One
    /// that is there is asked for with every ledger.
    pub pool_every: u32,
    /// Both sides of the book, every so many ledgers; 0: with the next fresh picture alone. Funds that leave by a payment
    /// and offers that a failed transaction removes are on no stream.
    pub book_every: u32,
}

impl Looks {
    /// A ledger of the engine's own that hands over each ledger's messages whole and in order, all of the book's among them:
    /// nothing can be missing.
    pub const EXACT: Looks = Looks { line: false, pool_every: 0, book_every: 0 };
    /// A node of one's own.
    pub const OWN_NODE: Looks = Looks { line: true, pool_every: 1, book_every: 1 };

    /// A public node, which counts what is asked: a line or a pool costs what a reading of one entry costs, the book forty
    /// times that.
    #[must_use]
    pub const fn public(book_every: u32) -> Looks {
        Looks { line: true, pool_every: 4, book_every }
    }
}

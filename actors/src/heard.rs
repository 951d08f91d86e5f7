//! Which transactions were worked through already, whatever order they come in.
//!
//! The number of a ledger does not tell: a transaction may come after its ledger was told of. Hashes do, as long as they
//! are remembered; below that the number has to do.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::meta::OwnTransaction;
use neo_ledger::types::Hash;

/// Hashes that are remembered, at least. Whatever comes later than so many of our account's transactions is too late.
const REMEMBERED: usize = 4_096;

/// The transactions that were worked through.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Everything up to this ledger was.
    floor: u32,
    newest: BTreeMap<u32, BTreeSet<Hash>>,
    hashes: usize,
}

impl Heard {
    /// Everything up to this ledger was worked through, and nothing after it.
    #[must_use]
    pub fn up_to(ledger_index: u32) -> Heard {
        Heard { floor: ledger_index, ..Heard::default() }
    }

    /// Whether a transaction is still to be worked through.
    #[must_use]
    pub fn lacks(&self, ledger_index: u32, hash: &Hash) -> bool {
        ledger_index > self.floor && !self.newest.get(&ledger_index).is_some_and(|hashes| hashes.contains(hash))
    }

    /// It is worked through. The oldest ledgers are remembered by their number alone when there are too many.
    pub fn add(&mut self, ledger_index: u32, hash: Hash) {
        if !self.lacks(ledger_index, &hash) {
            return;
        }
        self.newest.entry(ledger_index).or_default().insert(hash);
        self.hashes += 1;
        while self.hashes > REMEMBERED
            && self.newest.len() > 1
            && let Some((oldest, hashes)) = self.newest.pop_first()
        {
            self.hashes -= hashes.len();
            self.floor = self.floor.max(oldest);
        }
    }

    /// The transactions of an update that are still to be worked through; from here on they are.
    pub fn take<'a>(&mut self, transactions: &'a [OwnTransaction]) -> Vec<&'a OwnTransaction> {
        let mut lacking = Vec::new();
        for transaction in transactions {
            if self.lacks(transaction.ledger_index, &transaction.hash) {
                self.add(transaction.ledger_index, transaction.hash);
                lacking.push(transaction);
            }
        }
        lacking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_one_is_new_and_a_repeated_one_is_not() {
        let mut heard = Heard::up_to(90);
        assert!(!heard.lacks(90, &Hash([1; 32])));
        heard.add(100, Hash([1; 32]));
        assert!(!heard.lacks(100, &Hash([1; 32])));
        assert!(heard.lacks(99, &Hash([2; 32])), "of an earlier ledger, and never seen");
    }

    #[test]
    fn what_is_forgotten_counts_as_worked_through() {
        let mut heard = Heard::default();
        for index in 1..=5_000_u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&index.to_be_bytes());
            heard.add(index, Hash(hash));
        }
        assert_eq!((heard.hashes, heard.floor), (REMEMBERED, 904));
        assert!(!heard.lacks(904, &Hash([9; 32])) && heard.lacks(905, &Hash([9; 32])));
        // One ledger is never torn apart, however much it holds.
        for n in 0..5_000_u32 {
            let mut hash = [7; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            heard.add(6_000, Hash(hash));
        }
        assert_eq!((heard.newest.len(), heard.floor), (1, 5_000));
    }
}

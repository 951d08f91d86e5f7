//! Offers that a trade passed over.
//!
//! A trade takes the best offers first (rippled, `BookStep.cpp`). Where one of a worse price was taken and a better one was
//! left as it is, nothing stands behind the better one: its owner's funds went, or a transaction that failed has removed it,
//! and neither is told on the stream of a book (rippled, `pubValidatedTransaction`).

use std::collections::HashSet;

use super::{Book, Key};
use crate::message::ValidatedTransaction;
use crate::meta::Entry;
use crate::types::Hash;
use neo_market::Side;

impl Book {
    /// The same, leaving out what trades pass over until the book is read again: for a book that is kept up from a stream.
    #[must_use]
    pub fn doubting(self, doubts: bool) -> Book {
        Book { doubts, ..self }
    }

    /// The worst rates that a transaction traded at, of offers that are known here.
    pub(super) fn worst_taken(&self, tx: &ValidatedTransaction) -> Vec<(Side, u64)> {
        if !self.doubts || !tx.meta.succeeded() {
            return Vec::new();
        }
        let taken =
            tx.meta.nodes.iter().filter(|node| node.entry == Entry::Offer && node.previous.taker_gets.is_some());
        let mut rates: Vec<(Side, u64)> =
            taken.filter_map(|node| self.offers.get(&node.index)).map(|(side, key)| (*side, key.rate)).collect();
        // The worst of a side comes last, and stays.
        rates.sort_by_key(|(side, rate)| (*side == Side::Ask, std::cmp::Reverse(*rate)));
        rates.dedup_by_key(|(side, _)| *side);
        rates
    }

    /// Leaves out the offers of a better rate that the transaction did not touch; ours are no part of a view anyhow.
    pub(super) fn leave_out_passed(&mut self, tx: &ValidatedTransaction, taken: &[(Side, u64)]) {
        if taken.is_empty() {
            return;
        }
        let touched: HashSet<Hash> = tx.meta.nodes.iter().map(|node| node.index).collect();
        for (side, worst) in taken {
            let (side, first) = (*side, Key { rate: *worst, arrival: 0 });
            let better: HashSet<Key> = self.side_mut(side).range(..first).map(|(key, _)| *key).collect();
            let own = self.own;
            let passed: Vec<Hash> = self
                .offers
                .iter()
                .filter(|(index, (of, key))| *of == side && better.contains(key) && !touched.contains(*index))
                .map(|(index, _)| *index)
                .collect();
            for index in passed {
                if self.offer_mut(index).is_some_and(|offer| offer.owner != own) {
                    self.remove(index);
                }
            }
        }
    }
}

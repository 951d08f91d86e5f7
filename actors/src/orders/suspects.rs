//! Offers that are listed and that no order owns, until enough lists of validated ledgers have shown them.
//!
//! A node that lags lists what is gone already, and an offer on its way may be listed before its transaction was heard:
//! one list alone neither cancels an offer, nor takes it over, nor accuses anybody. Pure.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// The newest ledger whose list showed it.
    ledger_index: u32,
    /// Lists of different ledgers that showed it.
    reads: u32,
    /// It may be of before this session, or of ledgers that nobody saw: nothing is quoted beside it.
    of_before: bool,
}

/// The offers that are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(BTreeMap<u32, Sighting>);

impl Suspects {
    /// The list of this ledger shows the offer. Gives the number of lists that did, and whether it may be of before.
    pub(super) fn see(&mut self, offer: u32, ledger_index: u32, of_before: bool) -> (u32, bool) {
        let sighting = self.0.entry(offer).or_insert(Sighting { ledger_index, reads: 0, of_before });
        if sighting.reads == 0 || ledger_index > sighting.ledger_index {
            sighting.reads = sighting.reads.saturating_add(1);
            sighting.ledger_index = ledger_index;
        }
        sighting.of_before |= of_before;
        (sighting.reads, sighting.of_before)
    }

    /// What is not listed any more was a mistake of a list, or is gone by itself.
    pub(super) fn keep_listed(&mut self, listed: &BTreeSet<u32>) {
        self.0.retain(|offer, _| listed.contains(offer));
    }

    /// It is known now what became of it.
    pub(super) fn clear(&mut self, offer: u32) {
        self.0.remove(&offer);
    }

    /// All that may be of before, for a withdrawal, which waits for no further list.
    pub(super) fn take_of_before(&mut self) -> BTreeSet<u32> {
        let taken = self.of_before().collect();
        self.0.retain(|_, sighting| !sighting.of_before);
        taken
    }

    /// Those that may be of before.
    pub(super) fn of_before(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().filter(|(_, sighting)| sighting.of_before).map(|(offer, _)| *offer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_different_ledgers_count() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.see(7, 100, false), (1, false));
        assert_eq!(suspects.see(7, 100, false), (1, false), "the same list twice");
        assert_eq!(suspects.see(7, 99, false), (1, false), "a list of before");
        assert_eq!(suspects.see(7, 101, true), (2, true));
        suspects.keep_listed(&BTreeSet::new());
        assert_eq!(suspects.see(7, 102, false), (1, false), "it was away in between");
    }

    #[test]
    fn a_withdrawal_takes_what_may_be_of_before_and_no_strangers() {
        let mut suspects = Suspects::default();
        suspects.see(7, 100, true);
        suspects.see(8, 100, false);
        assert_eq!(suspects.take_of_before(), BTreeSet::from([7]));
        assert!(suspects.of_before().next().is_none() && !suspects.is_empty());
        suspects.clear(8);
        assert!(suspects.is_empty());
    }
}

//! How many ledgers go by between the one that an offer is priced on and the one that includes it. Pure.

use std::collections::VecDeque;

/// Offers that are remembered.
const REMEMBERED: usize = 32;
/// What is taken for granted before so many offers were included, and before the first is.
const ENOUGH: usize = 8;
/// The ledger that is closing when an offer is signed, and the next.
const USUAL_LEDGERS: u32 = 2;

/// The ledgers that the newest offers took.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    newest: VecDeque<u32>,
}

impl Latency {
    /// An offer that was signed after one ledger was included in another.
    pub(super) fn included(&mut self, signed_ledger: u32, ledger_index: u32) {
        // Where ledger numbers go back there is no such time.
        let Some(ledgers) = ledger_index.checked_sub(signed_ledger) else { return };
        self.newest.push_back(ledgers);
        if self.newest.len() > REMEMBERED {
            self.newest.pop_front();
        }
    }

    /// The most that one of the newest took: the guard is for the offer that comes late.
    pub(super) fn ledgers(&self) -> u32 {
        let most = self.newest.iter().copied().max().unwrap_or_default().max(1);
        if self.newest.len() < ENOUGH { most.max(USUAL_LEDGERS) } else { most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_the_newest_offers_counts_and_is_forgotten_in_time() {
        let mut latency = Latency::default();
        assert_eq!(latency.ledgers(), 2, "before the first");
        (0..7).for_each(|index| latency.included(index, index + 1));
        assert_eq!(latency.ledgers(), 2, "seven are no measure");
        latency.included(8, 9);
        assert_eq!(latency.ledgers(), 1);
        latency.included(9, 14);
        assert_eq!(latency.ledgers(), 5);
        (20..51).for_each(|index| latency.included(index, index + 1));
        assert_eq!(latency.ledgers(), 5);
        latency.included(60, 61);
        assert_eq!(latency.ledgers(), 1, "33 offers later");
    }

    #[test]
    fn an_offer_of_another_ledgers_numbers_says_nothing() {
        let mut latency = Latency::default();
        latency.included(500, 3);
        assert_eq!(latency.ledgers(), 2);
    }
}

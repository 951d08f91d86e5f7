//! Tickets: sequence numbers set aside, so that a cancel need not wait behind a number that is stuck.
//!
//! A transaction with a ticket is in no order with the others (rippled, `Transactor::checkSeqProxy`): it has Sequence 0,
//! uses its ticket up whether it succeeds or not, and is known by the ticket's number, which no sequence of the account
//! ever was or will be. Each ticket costs an owner reserve while it stands. Only offers that stand can be cancelled so:
//! the ledger refuses a cancel of a number that the account has not come to (rippled, `CancelOffer.cpp`).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A sequence number that no ledger has seen used for so long after its signing is stuck.
pub(super) const STUCK_LEDGERS: u32 = 2;
/// After the ledger refused to make tickets, none are asked for for so long.
const REFUSED_LEDGERS: u32 = 256;

/// The account's tickets. Pure.
#[derive(Clone, Debug, Default)]
pub(super) struct Tickets {
    /// How many are to be kept; 0: none are made, and none are touched.
    wanted: u32,
    free: BTreeSet<u32>,
    /// Those that transactions in flight use.
    used: BTreeSet<u32>,
    /// Tickets of ours may be listed whose making nobody saw: the next list's are taken over.
    adopts: bool,
    not_before: u32,
}

impl Tickets {
    /// Keeps so many.
    pub(super) fn new(wanted: u32) -> Tickets {
        Tickets { wanted, ..Tickets::default() }
    }

    /// True when one is there to be used.
    pub(super) fn any(&self) -> bool {
        !self.free.is_empty()
    }

    /// The one to use next.
    pub(super) fn next(&self) -> Option<u32> {
        self.free.first().copied()
    }

    /// A transaction is signed with it.
    pub(super) fn take(&mut self, ticket: u32) {
        self.free.remove(&ticket);
        self.used.insert(ticket);
    }

    /// The transaction that had it is dead, or never left.
    pub(super) fn give_back(&mut self, ticket: u32) {
        if self.used.remove(&ticket) {
            self.free.insert(ticket);
        }
    }

    /// A ledger has used it up, or may have.
    pub(super) fn spent(&mut self, ticket: u32) {
        self.free.remove(&ticket);
        self.used.remove(&ticket);
    }

    /// The ledger has made these.
    pub(super) fn made(&mut self, tickets: RangeInclusive<u32>) {
        self.free.extend(tickets);
    }

    /// The ledger has refused to make any.
    pub(super) fn refused(&mut self, ledger_index: u32) {
        self.not_before = ledger_index.saturating_add(REFUSED_LEDGERS);
    }

    /// Some may have been made that nobody saw.
    pub(super) fn look(&mut self) {
        self.adopts = self.wanted > 0;
    }

    /// True while a list is wanted.
    pub(super) fn wants_list(&self) -> bool {
        self.adopts
    }

    /// How many are to be made, while `making` are on their way.
    pub(super) fn missing(&self, making: u32, ledger_index: u32) -> u32 {
        let held = self.free.len().saturating_add(self.used.len());
        let held = u32::try_from(held).unwrap_or(u32::MAX).saturating_add(making);
        if ledger_index < self.not_before { 0 } else { self.wanted.saturating_sub(held) }
    }

    /// The account's tickets in a validated ledger; `adopts` takes over what is not known. Gives those of ours that are
    /// gone without our doing.
    pub(super) fn listed(&mut self, tickets: &BTreeSet<u32>, adopts: bool) -> Vec<u32> {
        if self.wanted == 0 {
            return Vec::new();
        }
        if std::mem::take(&mut self.adopts) || adopts {
            self.free.extend(tickets.difference(&self.used));
        }
        let gone: Vec<u32> = self.free.difference(tickets).copied().collect();
        gone.iter().for_each(|ticket| self.spent(*ticket));
        gone
    }

    /// All of ours that stand.
    pub(super) fn ours(&self) -> BTreeSet<u32> {
        self.free.union(&self.used).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_used_once_and_comes_back_from_a_dead_transaction() {
        let mut tickets = Tickets::new(2);
        assert_eq!((tickets.missing(0, 1), tickets.missing(2, 1), tickets.next()), (2, 0, None));
        tickets.made(8..=9);
        tickets.take(8);
        assert_eq!((tickets.next(), tickets.missing(0, 1)), (Some(9), 0));
        tickets.give_back(8);
        tickets.give_back(7);
        assert_eq!((tickets.next(), tickets.ours()), (Some(8), BTreeSet::from([8, 9])));
        tickets.spent(8);
        tickets.give_back(8);
        assert_eq!((tickets.ours(), tickets.missing(0, 1)), (BTreeSet::from([9]), 1));
        tickets.refused(10);
        assert_eq!((tickets.missing(0, 10), tickets.missing(0, 266)), (0, 1));
    }

    #[test]
    fn a_list_takes_away_what_is_gone_and_adds_only_where_one_may_be_unseen() {
        let mut tickets = Tickets::new(1);
        tickets.made(5..=6);
        assert_eq!(tickets.listed(&BTreeSet::from([6, 7]), false), [5]);
        assert_eq!(tickets.ours(), BTreeSet::from([6]));
        tickets.take(6);
        assert_eq!(tickets.listed(&BTreeSet::from([6, 7]), true), Vec::<u32>::new());
        assert_eq!((tickets.next(), tickets.ours()), (Some(7), BTreeSet::from([6, 7])), "6 is in flight");
        tickets.look();
        tickets.listed(&BTreeSet::from([7, 8]), false);
        assert!(tickets.ours().contains(&8) && !tickets.wants_list());
        let mut none = Tickets::new(0);
        none.look();
        assert_eq!((none.listed(&BTreeSet::from([1]), true), none.any(), none.wants_list()), (vec![], false, false));
    }
}

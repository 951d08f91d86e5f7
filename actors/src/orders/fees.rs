//! The budget of fees: what quotes may cost in any 24 hours of ledger time. Pure.
//!
//! Every fee that the ledger took counts, of transactions that failed and of cancels too, and so does what is in flight.
//! Only quotes are held back: a cancel always may go. The day is a window that moves, so quoting comes back by itself.

use std::collections::{BTreeSet, VecDeque};

use neo_ledger::types::{Hash, LedgerTime};
use neo_market::Drops;

/// The window, in seconds of ledger time.
const DAY_S: u32 = 86_400;

/// A fee that the ledger took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePaid {
    /// The transaction.
    pub hash: Hash,
    /// When its ledger closed.
    pub close_time: LedgerTime,
    /// What it burnt.
    pub fee: Drops,
}

/// What was paid in the last 24 hours, and how much may be.
#[derive(Clone, Debug, Default)]
pub(super) struct FeeBudget {
    /// Zero: there is no limit.
    limit: Drops,
    paid: VecDeque<FeePaid>,
    known: BTreeSet<Hash>,
    sum: i64,
    started: bool,
}

impl FeeBudget {
    /// A budget that `before` is charged to.
    pub(super) fn new(limit: Drops, before: &[FeePaid]) -> FeeBudget {
        let mut budget = FeeBudget { limit, ..FeeBudget::default() };
        before.iter().for_each(|paid| budget.pay(*paid));
        budget
    }

    /// Charges a fee once, however often it is told.
    pub(super) fn pay(&mut self, paid: FeePaid) {
        // Without a limit nobody asks.
        if self.limit > Drops::ZERO && self.known.insert(paid.hash) {
            self.sum = self.sum.saturating_add(paid.fee.get());
            let place = self.paid.partition_point(|other| other.close_time <= paid.close_time);
            self.paid.insert(place, paid);
        }
    }

    /// A ledger closed: what is a day old is free again. What the record says of later than the session's first ledger is
    /// of another world, which a simulated ledger begins anew.
    pub(super) fn closed(&mut self, now: LedgerTime) {
        if !std::mem::replace(&mut self.started, true) {
            while let Some(later) = self.paid.back().copied().filter(|paid| paid.close_time > now) {
                self.paid.pop_back();
                self.forget(later);
            }
        }
        while let Some(over) = self.paid.front().copied().filter(|paid| paid.close_time.plus_s(DAY_S) <= now) {
            self.paid.pop_front();
            self.forget(over);
        }
    }

    fn forget(&mut self, paid: FeePaid) {
        self.known.remove(&paid.hash);
        self.sum = self.sum.saturating_sub(paid.fee.get());
    }

    /// Why no quote of this fee may be sent beside what is in flight, if none may.
    pub(super) fn refuses(&self, fee: Drops, in_flight: Drops) -> Option<String> {
        let limit = self.limit.get();
        let after = self.sum.saturating_add(in_flight.get()).saturating_add(fee.get());
        if limit == 0 || after <= limit {
            return None;
        }
        let oldest = self.paid.front().map(|paid| paid.close_time.plus_s(DAY_S).to_unix_s());
        let until = oldest.and_then(|unix_s| chrono::DateTime::from_timestamp(unix_s, 0));
        let until =
            until.map_or_else(String::new, |at| format!("; the first of them is free again at {}", at.to_rfc3339()));
        Some(format!(
            "the fees of the last 24 hours, {} drops, leave no room for a quote in orders.fee_budget_drops_per_day = \
             {limit}{until}",
            self.sum
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(id: u8, close_time: u32, fee: i64) -> FeePaid {
        FeePaid { hash: Hash([id; 32]), close_time: LedgerTime(close_time), fee: Drops::new(fee) }
    }

    #[test]
    fn the_day_is_a_window_that_moves() {
        let mut budget = FeeBudget::new(Drops::new(100), &[paid(1, 1_000, 60)]);
        budget.closed(LedgerTime(1_004));
        assert_eq!(budget.refuses(Drops::new(40), Drops::ZERO), None, "to the last drop");
        assert!(budget.refuses(Drops::new(41), Drops::ZERO).is_some());
        assert!(budget.refuses(Drops::new(10), Drops::new(31)).is_some(), "what is in flight counts");
        budget.pay(paid(2, 1_004, 40));
        budget.pay(paid(2, 1_004, 40));
        let reason = budget.refuses(Drops::new(1), Drops::ZERO).unwrap();
        assert!(reason.contains("100 drops") && reason.contains("2000-01-02T00:16:40"), "{reason}");
        budget.closed(LedgerTime(1_000 + DAY_S - 1));
        assert!(budget.refuses(Drops::new(1), Drops::ZERO).is_some());
        budget.closed(LedgerTime(1_000 + DAY_S));
        assert_eq!(budget.refuses(Drops::new(60), Drops::ZERO), None);
    }

    #[test]
    fn without_a_limit_nothing_is_refused_and_another_worlds_fees_do_not_count() {
        let mut budget = FeeBudget::new(Drops::ZERO, &[paid(1, 1_000, i64::MAX)]);
        budget.closed(LedgerTime(1_000));
        assert_eq!(budget.refuses(Drops::new(1), Drops::ZERO), None);
        let mut budget = FeeBudget::new(Drops::new(100), &[paid(1, 5_000, 100)]);
        budget.closed(LedgerTime(1_000));
        assert_eq!(budget.refuses(Drops::new(100), Drops::ZERO), None);
    }
}

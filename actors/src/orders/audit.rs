//! Audits: what a validated ledger lists of our account, against what the orders believe and what its root says.
//!
//! Pure: lists and counts in, findings out. A finding that stays is told once, and again when it changes; each audit that
//! finds it counts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use neo_ledger::Owned;
use neo_store::record::{Fault, Record};

use crate::status::AuditStatus;

/// What was found, with what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: String,
    pub(super) action: &'static str,
}

impl Finding {
    pub(super) fn record(self, now: DateTime<Utc>) -> Record {
        tracing::error!(cause = self.cause, action = self.action, "an audit found a difference");
        Record::Fault(Fault {
            actor: "orders".into(),
            cause: self.cause,
            backtrace: None,
            action: self.action.into(),
            recorded_at: now,
        })
    }
}

/// The audits of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Audits {
    counts: AuditStatus,
    /// What the audit before found beside offers.
    beside_offers: Option<Owned>,
    /// The last finding about the owner count, until it is gone.
    told: Option<String>,
}

impl Audits {
    pub(super) fn counts(&self) -> AuditStatus {
        self.counts
    }

    /// The list of offers names one that no order owns, or lacks one that we believe in.
    pub(super) fn offer_differs(&mut self) {
        self.counts.offers = self.counts.offers.saturating_add(1);
    }

    /// Tickets of ours are not listed any more, and no transaction of ours used them.
    pub(super) fn tickets_gone(&mut self, gone: &[u32], ledger_index: u32) -> Option<Finding> {
        if gone.is_empty() {
            return None;
        }
        self.counts.objects = self.counts.objects.saturating_add(1);
        let cause =
            format!("our tickets {gone:?} are gone at ledger {ledger_index}, and no transaction of ours used them");
        Some(Finding { cause, action: "others are made; if you did not use them, look who else has the key" })
    }

    /// One audit: the account's entries against its owner count and, without its offers and our tickets, against the audit
    /// before.
    pub(super) fn check(
        &mut self,
        owned: &Owned,
        our_tickets: &BTreeSet<u32>,
        owner_count: u32,
        ledger_index: u32,
    ) -> Vec<Finding> {
        self.counts.audits = self.counts.audits.saturating_add(1);
        let mut findings: Vec<Finding> = self.owner_count(owned, owner_count, ledger_index).into_iter().collect();
        let beside_offers = owned.without_offers_and(our_tickets);
        let before = self.beside_offers.replace(beside_offers.clone());
        if let Some(before) = before.filter(|before| *before != beside_offers) {
            self.counts.objects = self.counts.objects.saturating_add(1);
            let cause = format!(
                "our account owns other entries than at the audit before, and no order made them: {beside_offers} at \
                 ledger {ledger_index}, {before} before"
            );
            let action = "the reserve follows the ledger; if you did not change them, look who else has the key";
            findings.push(Finding { cause, action });
        }
        findings
    }

    fn owner_count(&mut self, owned: &Owned, owner_count: u32, ledger_index: u32) -> Option<Finding> {
        if owned.reserves() == owner_count {
            self.told = None;
            return None;
        }
        self.counts.owner_count = self.counts.owner_count.saturating_add(1);
        let difference = format!("an owner count of {owner_count}, and lists {owned}, which make {}", owned.reserves());
        if self.told.replace(difference.clone()).as_ref() == Some(&difference) {
            return None;
        }
        let cause = format!("ledger {ledger_index} states for our account {difference}");
        let action = "the reserve is reckoned by the owner count; compare the account's entries with an explorer";
        Some(Finding { cause, action })
    }
}

#[cfg(test)]
mod tests {
    use neo_ledger::{Address, OwnedPage};
    use serde_json::json;

    use super::*;

    fn owned(entries: &[&str]) -> Owned {
        let entries: Vec<_> = entries.iter().map(|entry| json!({"LedgerEntryType": entry})).collect();
        OwnedPage::from_value(&json!({"account_objects": entries}), Address([1; 20])).unwrap().owned
    }

    #[test]
    fn an_owner_count_that_its_entries_do_not_make_is_told_once_and_counted_each_time() {
        let mut audits = Audits::default();
        assert_eq!(audits.check(&owned(&["Offer", "Ticket"]), &BTreeSet::new(), 2, 100), []);
        let found = audits.check(&owned(&["Offer", "Offer", "Ticket"]), &BTreeSet::new(), 2, 116);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].cause.contains("owner count of 2") && found[0].cause.contains("2 Offer, 1 Ticket"),
            "{found:?}"
        );
        assert_eq!(audits.check(&owned(&["Offer", "Offer", "Ticket"]), &BTreeSet::new(), 2, 132), [], "told already");
        assert_eq!(audits.check(&owned(&["Offer", "Ticket"]), &BTreeSet::new(), 2, 148), []);
        assert_eq!(
            audits.check(&owned(&["Offer", "Offer", "Ticket"]), &BTreeSet::new(), 2, 164).len(),
            1,
            "it is back"
        );
        let counts = audits.counts();
        assert_eq!((counts.audits, counts.owner_count, counts.objects), (5, 3, 0));
    }

    #[test]
    fn entries_that_nobody_here_made_are_found_and_offers_are_no_such() {
        let mut audits = Audits::default();
        assert_eq!(
            audits.check(&owned(&["Ticket"]), &BTreeSet::new(), 1, 100),
            [],
            "the first audit has none before it"
        );
        assert_eq!(audits.check(&owned(&["Ticket", "Offer", "Offer"]), &BTreeSet::new(), 3, 116), []);
        let found = audits.check(&owned(&["Ticket", "Check"]), &BTreeSet::new(), 2, 132);
        assert!(found[0].cause.contains("1 Check, 1 Ticket at ledger 132, 1 Ticket before"), "{found:?}");
        assert_eq!(audits.check(&owned(&["Ticket", "Check"]), &BTreeSet::new(), 2, 148), [], "that is how it is now");
        assert_eq!(audits.counts().objects, 1);
    }
}

//! Ledgers that no node can show any more: what may have happened in them is unknown, and neither dead nor failed.
//!
//! One thing is still proven: a transaction whose sequence number the account has not used is in no ledger.

use chrono::{DateTime, Utc};
use neo_ledger::own;
use neo_ledger::types::Hash;
use neo_market::Drops;
use neo_store::record::{Fault, IntentState, OrderState, Record};

use super::core::OrdersCore;
use super::settle::intent_update;
use crate::messages::LedgerUpdate;

/// Why the fate of an offer is unknown.
pub(super) const IN_THE_HOLE: &str = "the ledgers that tell are missing from every node's history";

impl OrdersCore {
    /// The update begins after a hole in the history. Whatever is in flight and has used its number was included in there;
    /// what earlier sessions left may have been.
    pub(super) fn lose_the_hole(
        &mut self,
        update: &LedgerUpdate,
        cause: &str,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        self.history_lost = true;
        tracing::error!(cause, "the record has a hole that no node can fill");
        let action = "followed on from the newest ledger; balances are the ledger's".to_string();
        records.push(fault("feed", cause.to_string(), action, now));
        self.maybe_missed.extend(self.inherited.keys().copied());
        let account_sequence = update.account.sequence;
        self.tickets.look();
        // A ticket that is listed is not used.
        let stands = |ticket: &u32| update.owned.as_ref().is_some_and(|owned| owned.tickets().contains(ticket));
        let in_flight = self.in_flight.range(..account_sequence);
        let used = in_flight.filter(|(number, tx)| !(tx.by_ticket && stands(number)));
        let used: Vec<u32> = used.map(|(number, _)| *number).collect();
        let mut unknown = Vec::new();
        for sequence in used {
            let Some(flight) = self.in_flight.remove(&sequence) else { continue };
            unknown.push(flight.hash);
            self.buried.insert(flight.hash);
            self.tickets.spent(sequence);
            records.push(intent_update(&flight.hash, IntentState::Unknown, None, Some(self.ledger_index), now));
            self.see_in_list(sequence, update, now, records);
        }
        self.tell_unknown(&unknown, now, records);
    }

    /// An offer whose transaction nobody saw stands if it is listed, and is ours; else its fate is unknown.
    fn see_in_list(&mut self, sequence: u32, update: &LedgerUpdate, now: DateTime<Utc>, records: &mut Vec<Record>) {
        let listed = update.offers.iter().flatten().find(|offer| offer.sequence == sequence);
        let amounts = listed.and_then(|offer| own::xrp_and_token(&offer.taker_gets, &offer.taker_pays));
        if let (Some((remaining, _)), Some(offer)) = (amounts, self.offers.get_mut(&sequence)) {
            (offer.resting, offer.remaining) = (true, remaining);
            let detail = Some("listed; the ledger that placed it is missing".to_string());
            records.push(self.event(sequence, OrderState::Resting, remaining, detail, now));
        } else if self.offers.remove(&sequence).is_some() {
            records.push(self.event(sequence, OrderState::Unknown, Drops::ZERO, Some(IN_THE_HOLE.to_string()), now));
        }
    }

    /// The last ledger of an earlier session's transaction has passed. Dead, where every ledger since was seen.
    pub(super) fn bury_inherited(&mut self, now: DateTime<Utc>, records: &mut Vec<Record>) {
        let index = self.ledger_index;
        let over: Vec<(Hash, u32)> =
            self.inherited.iter().filter(|(_, last)| **last <= index).map(|(hash, last)| (*hash, *last)).collect();
        let mut unknown = Vec::new();
        for (hash, last) in over {
            self.inherited.remove(&hash);
            let missed = self.maybe_missed.remove(&hash);
            if !missed {
                self.watch_inherited(None, last);
            }
            let state = if missed { IntentState::Unknown } else { IntentState::Dead };
            unknown.extend(missed.then_some(hash));
            records.push(intent_update(&hash, state, None, Some(index), now));
        }
        self.tell_unknown(&unknown, now, records);
    }

    fn tell_unknown(&self, unknown: &[Hash], now: DateTime<Utc>, records: &mut Vec<Record>) {
        if unknown.is_empty() {
            return;
        }
        let hashes = unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let cause = format!("the fate of {} of our transactions is unknown, {IN_THE_HOLE}: {hashes}", unknown.len());
        let action = "recorded as unknown; look them up on a node with full history".to_string();
        records.push(fault("orders", cause, action, now));
    }
}

fn fault(actor: &str, cause: String, action: String, now: DateTime<Utc>) -> Record {
    Record::Fault(Fault { actor: actor.to_string(), cause, backtrace: None, action, recorded_at: now })
}

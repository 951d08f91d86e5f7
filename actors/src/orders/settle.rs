//! What a validated ledger proves of our transactions and offers, and the records of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use neo_ledger::own::{self, FilledOffer, OfferChange, OfferChangeKind, OwnTransaction, Removal};
use neo_ledger::types::Hash;
use neo_market::{Dec, Drops, Side};
use neo_store::record::{Fill, IntentState, IntentUpdate, OrderEvent, OrderState, Purpose, Record, Role};

use super::core::{InFlight, OrdersCore};
use super::fees::FeePaid;
use crate::clock::to_utc;
use crate::messages::OpenOffer;

impl OrdersCore {
    /// A transaction of ours is in a validated ledger: its fate is known.
    pub(super) fn settle(
        &mut self,
        transaction: &OwnTransaction,
        is_history: bool,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        if !transaction.ours {
            return;
        }
        let flight = self.in_flight.remove(&transaction.sequence);
        // Whoever signed it: if it had a ticket, that is used up.
        self.tickets.spent(transaction.sequence);
        // The record may know it from an earlier session even where this one does not.
        let inherited = self.inherited.remove(&transaction.hash).is_some();
        // Given up for dead, and told of late: the ledger is right.
        let raised = self.buried.remove(&transaction.hash);
        if inherited || raised || flight.as_ref().is_some_and(|flight| flight.hash == transaction.hash) {
            let (result, index) = (Some(transaction.result.clone()), Some(transaction.ledger_index));
            records.push(intent_update(&transaction.hash, IntentState::Validated, result, index, now));
        }
        let signed_here = flight.as_ref().is_some_and(|flight| flight.hash == transaction.hash);
        let signed_before = inherited || raised || self.settled.contains(&transaction.hash);
        if !signed_here && !signed_before {
            records.push(self.foreign(transaction, is_history, now));
        }
        if inherited && !signed_here && transaction.result != "tesSUCCESS" {
            self.watch_inherited(transaction.close_time, transaction.ledger_index);
        }
        match flight {
            Some(flight) if signed_here => self.settle_ours(&flight, transaction, now, records),
            Some(flight) => self.settle_robbed(&flight, transaction, now, records),
            // A killed engine's last act may be included after our first ledger: no list of offers showed it.
            None if creates(transaction) && !self.strange.contains(&transaction.sequence) => {
                self.orphans.insert(transaction.sequence);
            }
            None if inherited && transaction.kind == "OfferCreate" => self.settle_offer(transaction, now, records),
            None if inherited && transaction.kind == "TicketCreate" => self.tickets.look(),
            None => {}
        }
    }

    /// The ledger took a fee of ours, whatever the transaction did and whoever signed it.
    pub(super) fn pay(&mut self, transaction: &OwnTransaction) {
        if transaction.ours && transaction.fee > Drops::ZERO {
            let close_time = transaction.close_time.unwrap_or(self.close_time);
            self.fees.pay(FeePaid { hash: transaction.hash, close_time, fee: transaction.fee });
        }
    }

    pub(super) fn settle_ours(
        &mut self,
        flight: &InFlight,
        transaction: &OwnTransaction,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        let succeeded = transaction.result == "tesSUCCESS";
        if !succeeded {
            self.failed_transactions += 1;
            tracing::warn!(hash = %flight.hash, result = transaction.result, purpose = %flight.purpose,
                "a transaction of ours was included without success");
        }
        match flight.purpose {
            Purpose::Place | Purpose::Replace => {}
            Purpose::Cancel => return self.settle_cancel(flight, succeeded),
            Purpose::Ticket => return self.settle_tickets(flight, transaction, succeeded),
        }
        self.latency.included(flight.signed_ledger, transaction.ledger_index);
        if let Some((side, _)) = flight.level {
            self.refusals.hear(side, &transaction.result, transaction.ledger_index);
        }
        self.settle_offer(transaction, now, records);
    }

    /// An OfferCreate of ours that left no offer: a failed one, or a successful one that was filled at once.
    fn settle_offer(&mut self, transaction: &OwnTransaction, now: DateTime<Utc>, records: &mut Vec<Record>) {
        if creates(transaction) {
            return;
        }
        let filled = transaction.fills.iter().any(|fill| fill.offer_sequence == transaction.sequence);
        let succeeded = transaction.result == "tesSUCCESS";
        let state = if succeeded && filled { OrderState::Filled } else { OrderState::Failed };
        self.offers.remove(&transaction.sequence);
        records.push(self.event_in(transaction, transaction.sequence, state, Drops::ZERO, now));
    }

    /// Another transaction of our account has used the number that ours was signed for: ours can never be included.
    pub(super) fn settle_robbed(
        &mut self,
        flight: &InFlight,
        transaction: &OwnTransaction,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        tracing::error!(hash = %transaction.hash, sequence = transaction.sequence,
            "a transaction that this session did not sign has used its sequence number");
        self.hole |= !flight.by_ticket;
        self.failed_transactions += 1;
        let index = Some(transaction.ledger_index);
        records.push(intent_update(&flight.hash, IntentState::Dead, None, index, now));
        if flight.purpose != Purpose::Cancel && self.offers.remove(&transaction.sequence).is_some() {
            records.push(self.event_in(transaction, transaction.sequence, OrderState::Failed, Drops::ZERO, now));
        }
        if creates(transaction) && !self.strange.contains(&transaction.sequence) {
            self.orphans.insert(transaction.sequence);
        }
    }

    /// A validated cancel proves an orphan gone even where a fill had removed it before. Offers of this session are
    /// followed by what removes them.
    pub(super) fn settle_cancel(&mut self, flight: &InFlight, succeeded: bool) {
        if let (true, Some(target)) = (succeeded, flight.target) {
            self.orphans.remove(&target);
        }
    }

    /// The ledger sets the numbers after the transaction's own aside (rippled, `CreateTicket.cpp`). Where it did not, those
    /// that were signed behind them have numbers too high.
    fn settle_tickets(&mut self, flight: &InFlight, transaction: &OwnTransaction, succeeded: bool) {
        let first = transaction.sequence.saturating_add(1);
        if succeeded {
            self.tickets.made(first..=transaction.sequence.saturating_add(flight.makes));
        } else {
            self.tickets.refused(transaction.ledger_index);
            self.hole |= self.in_flight.range(first..).next().is_some();
        }
    }

    pub(super) fn fills_of(
        &mut self,
        transaction: &OwnTransaction,
        mid: Option<Dec>,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        for fill in &transaction.fills {
            match fill.side {
                Side::Bid => self.fills.0 += 1,
                Side::Ask => self.fills.1 += 1,
            }
            self.delays.filled(fill.side, transaction.ledger_index, &self.config.quote);
            if fill.taker {
                tracing::warn!(hash = %transaction.hash, offer = fill.offer_sequence, "our offer crossed on placement");
            }
            records.push(Record::Fill(self.fill_record(transaction, fill, mid, now)));
        }
    }

    pub(super) fn fill_record(
        &self,
        transaction: &OwnTransaction,
        fill: &FilledOffer,
        mid: Option<Dec>,
        now: DateTime<Utc>,
    ) -> Fill {
        Fill {
            tx_hash: transaction.hash.to_string(),
            offer_sequence: fill.offer_sequence,
            role: if fill.taker { Role::Taker } else { Role::Maker },
            side: fill.side,
            xrp: fill.xrp,
            rlusd: fill.token,
            price: fill.price,
            mid_price: mid,
            ledger_index: transaction.ledger_index,
            transaction_index: transaction.transaction_index,
            close_time: to_utc(transaction.close_time.unwrap_or(self.close_time)),
            recorded_at: now,
        }
    }

    pub(super) fn offer_changes(
        &mut self,
        transaction: &OwnTransaction,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        for change in &transaction.offers {
            let remaining =
                own::xrp_and_token(&change.taker_gets, &change.taker_pays).map_or(Drops::ZERO, |(xrp, _)| xrp);
            let state = match change.kind {
                OfferChangeKind::Created => OrderState::Resting,
                OfferChangeKind::Modified => OrderState::PartlyFilled,
                OfferChangeKind::Removed(removal) => removed_state(removal),
            };
            if let Some(offer) = self.offers.get_mut(&change.sequence) {
                offer.resting = true;
                offer.remaining = remaining;
            }
            if matches!(change.kind, OfferChangeKind::Removed(_)) {
                self.offers.remove(&change.sequence);
                self.orphans.remove(&change.sequence);
                self.suspects.clear(change.sequence);
            }
            records.push(self.event_in(transaction, change.sequence, state, remaining, now));
        }
    }

    /// Transactions that no ledger can include any more. Their numbers are a hole: nothing signed after them can apply.
    pub(super) fn bury_the_dead(&mut self, now: DateTime<Utc>, records: &mut Vec<Record>) {
        let index = Some(self.ledger_index);
        self.bury_inherited(now, records);
        let dead: Vec<u32> = self
            .in_flight
            .iter()
            .filter(|(_, tx)| tx.last_ledger_sequence <= self.ledger_index)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in dead {
            let Some(flight) = self.in_flight.remove(&sequence) else { continue };
            tracing::warn!(hash = %flight.hash, sequence, purpose = %flight.purpose, "a transaction of ours is dead");
            if flight.by_ticket {
                self.tickets.give_back(sequence);
            } else {
                self.hole = true;
            }
            self.failed_transactions += 1;
            self.buried.insert(flight.hash);
            records.push(intent_update(&flight.hash, IntentState::Dead, None, index, now));
            if flight.purpose != Purpose::Cancel && self.offers.remove(&sequence).is_some() {
                let detail = Some("no ledger included it up to its LastLedgerSequence".to_string());
                records.push(self.event(sequence, OrderState::Failed, Drops::ZERO, detail, now));
            }
        }
    }

    /// With nothing in flight that has a sequence number, the ledger's number is ours again.
    pub(super) fn resynchronise(&mut self, account_sequence: u32) {
        if self.in_flight.values().all(|tx| tx.by_ticket) {
            self.next_sequence = account_sequence;
            self.hole = false;
        } else {
            self.next_sequence = self.next_sequence.max(account_sequence);
        }
    }

    /// The validated list of offers against what we believe.
    pub(super) fn compare(
        &mut self,
        listed: &[OpenOffer],
        is_history: bool,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        let on_ledger: BTreeSet<u32> = listed.iter().map(|offer| offer.sequence).collect();
        for offer in listed {
            let sequence = &offer.sequence;
            let ours = self.offers.contains_key(sequence) || self.in_flight.contains_key(sequence);
            if ours || self.orphans.contains(sequence) || self.strange.contains(sequence) {
                continue;
            }
            let (reads, of_before) = self.suspects.see(*sequence, self.ledger_index, is_history || self.history_lost);
            if reads == 1 && !is_history {
                self.audits.offer_differs();
            }
            if reads < self.config.orphan_reads {
                continue;
            }
            self.suspects.clear(*sequence);
            if of_before && self.adopt(offer) {
                continue;
            }
            if of_before {
                tracing::warn!(offer = sequence, "an offer of our account that no order of this session made");
                self.orphans.insert(*sequence);
            } else {
                let what = format!("offer {sequence}, which is listed and which nobody saw placed");
                records.push(self.listed_stranger(*sequence, &what, now));
            }
        }
        self.suspects.keep_listed(&on_ledger);
        self.orphans.retain(|sequence| on_ledger.contains(sequence));
        let vanished: Vec<u32> = self
            .offers
            .iter()
            .filter(|(sequence, _)| !on_ledger.contains(sequence) && !self.in_flight.contains_key(sequence))
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in vanished {
            tracing::error!(offer = sequence, "an offer of ours is gone and no transaction that we saw removed it");
            self.audits.offer_differs();
            self.offers.remove(&sequence);
            let detail = Some("absent from the validated list of offers".to_string());
            records.push(self.event(sequence, OrderState::Unknown, Drops::ZERO, detail, now));
        }
    }

    /// A change of an offer that a transaction of a validated ledger made.
    pub(super) fn event_in(
        &self,
        transaction: &OwnTransaction,
        offer_sequence: u32,
        state: OrderState,
        remaining: Drops,
        now: DateTime<Utc>,
    ) -> Record {
        Record::OrderEvent(OrderEvent {
            offer_sequence,
            state,
            remaining,
            tx_hash: Some(transaction.hash.to_string()),
            detail: (transaction.result != "tesSUCCESS").then(|| transaction.result.clone()),
            ledger_index: transaction.ledger_index,
            close_time: to_utc(transaction.close_time.unwrap_or(self.close_time)),
            recorded_at: now,
        })
    }

    /// A change of an offer that no transaction made.
    pub(super) fn event(
        &self,
        offer_sequence: u32,
        state: OrderState,
        remaining: Drops,
        detail: Option<String>,
        now: DateTime<Utc>,
    ) -> Record {
        Record::OrderEvent(OrderEvent {
            offer_sequence,
            state,
            remaining,
            tx_hash: None,
            detail,
            ledger_index: self.ledger_index,
            close_time: to_utc(self.close_time),
            recorded_at: now,
        })
    }
}

pub(super) fn intent_update(
    hash: &Hash,
    state: IntentState,
    engine_result: Option<String>,
    ledger_index: Option<u32>,
    now: DateTime<Utc>,
) -> Record {
    Record::IntentUpdate(IntentUpdate {
        tx_hash: hash.to_string(),
        state,
        engine_result,
        ledger_index,
        recorded_at: now,
    })
}

/// True when the transaction left an offer of its own on the ledger.
fn creates(transaction: &OwnTransaction) -> bool {
    let own = |change: &OfferChange| change.sequence == transaction.sequence;
    transaction.offers.iter().any(|change| own(change) && change.kind == OfferChangeKind::Created)
}

fn removed_state(removal: Removal) -> OrderState {
    match removal {
        Removal::Filled => OrderState::Filled,
        Removal::Cancelled => OrderState::Cancelled,
        Removal::Replaced => OrderState::Replaced,
        Removal::Expired => OrderState::Expired,
        Removal::Unfunded => OrderState::Unfunded,
        Removal::SelfCrossed => OrderState::SelfCrossed,
        Removal::Other => OrderState::Unknown,
    }
}

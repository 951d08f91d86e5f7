//! Signing and sending: durable first, the same blob only, in sequence order.

use chrono::{DateTime, Utc};
use neo_ledger::keys::SignError;
use neo_ledger::tx::{Body, Transaction};
use neo_ledger::types::{Amount, Hash};
use neo_market::plan::Action;
use neo_market::quote::Quote;
use neo_market::{Drops, Side};
use neo_store::record::{Fault, Intent, IntentState, Order, Purpose, Record};

use super::core::{InFlight, Intention, Offer, OrdersCore, OrdersEffect, OrdersError, Sending};
use super::overtaking::waits_for_others;
use super::settle::intent_update;
use crate::clock::to_utc;
use crate::messages::{IntentsDurable, Submission, SubmissionReply};

/// Transactions that are signed together and become durable together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
}

/// What is to be signed.
pub(super) struct Wanted {
    pub(super) body: Body,
    pub(super) purpose: Purpose,
    /// The level that it occupies.
    pub(super) level: Option<(Side, u8)>,
    /// The offer that it cancels or replaces.
    pub(super) target: Option<u32>,
}

/// True when the key is elsewhere and gave no signature: another time it may.
fn is_away(error: &OrdersError) -> bool {
    matches!(error, OrdersError::Sign(SignError::Elsewhere { .. }))
}

impl OrdersCore {
    pub(super) fn act(&mut self, action: Action, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        match action {
            Action::Place(quote) => self.place(&quote, None, now, batch),
            Action::Replace { offer_sequence, quote } => self.place(&quote, Some(offer_sequence), now, batch),
            Action::Cancel { offer_sequence, side, level } => {
                self.cancel(offer_sequence, Some((side, level)), now, batch)
            }
        }
    }

    pub(super) fn place(
        &mut self,
        quote: &Quote,
        replaces: Option<u32>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let xrp = Amount::Xrp(quote.size);
        let rlusd = Amount::Token { value: quote.rlusd, token: self.config.token };
        let (taker_gets, taker_pays) = match quote.side {
            Side::Bid => (rlusd, xrp),
            Side::Ask => (xrp, rlusd),
        };
        let expires = self.close_time.plus_s(self.config.quote.expiration_s);
        let purpose = if replaces.is_some() { Purpose::Replace } else { Purpose::Place };
        let body = Body::OfferCreate { taker_gets, taker_pays, expiration: Some(expires), offer_sequence: replaces };
        let level = Some((quote.side, quote.level));
        let (sequence, hash) = self.sign(Wanted { body, purpose, level, target: replaces }, None, now, batch)?;
        batch.records.push(Record::Order(Order {
            offer_sequence: sequence,
            tx_hash: hash.to_string(),
            side: quote.side,
            level: quote.level,
            price: quote.price,
            size: quote.size,
            rlusd: quote.rlusd,
            mid_price: self.mid,
            replaces,
            expiration: Some(to_utc(expires)),
            ledger_index: self.ledger_index,
            close_time: to_utc(self.close_time),
            recorded_at: now,
        }));
        self.offers.insert(
            sequence,
            Offer {
                side: quote.side,
                level: quote.level,
                price: quote.price,
                remaining: quote.size,
                placed_ledger: self.ledger_index,
                expires: Some(expires),
                resting: false,
            },
        );
        Ok(())
    }

    pub(super) fn cancel(
        &mut self,
        offer_sequence: u32,
        level: Option<(Side, u8)>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let Some(ticket) = self.number_for_cancel(offer_sequence) else { return Ok(()) };
        let body = Body::OfferCancel { offer_sequence };
        let wanted = Wanted { body, purpose: Purpose::Cancel, level, target: Some(offer_sequence) };
        self.sign(wanted, ticket, now, batch)?;
        Ok(())
    }

    pub(super) fn cancel_orphans(&mut self, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        self.cancel_all(self.orphans.iter().map(|offer| (*offer, None)).collect(), now, batch)
    }

    /// A cancel that cannot be signed holds no other up, unless the signer is away: then each would wait for it in vain.
    fn cancel_all(
        &mut self,
        offers: Vec<(u32, Option<(Side, u8)>)>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let mut unsigned = Ok(());
        for (offer, level) in offers {
            let Err(error) = self.cancel(offer, level, now, batch) else { continue };
            let is_away = is_away(&error);
            unsigned = unsigned.and(Err(error));
            if is_away {
                break;
            }
        }
        unsigned
    }

    /// Cancels every offer, resting or in flight, that no cancel in flight is for. Sequence order makes the cancel of an
    /// offer that is still in flight run after it. What rests needs no such order, and goes with a ticket where the
    /// sequence is stuck.
    pub(super) fn withdraw(&mut self, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) -> Result<(), OrdersError> {
        let mut batch = Batch::default();
        // Whoever leaves waits for no further list: a cancel of what is gone takes nothing away.
        self.orphans.append(&mut self.suspects.take_of_before());
        let orphans = self.orphans.iter().map(|offer| (*offer, None));
        let offers = self.offers.iter().map(|(sequence, offer)| (*sequence, Some((offer.side, offer.level))));
        let signed = self.cancel_all(orphans.chain(offers).collect(), now, &mut batch);
        self.conclude_batch(batch, signed, now, effects)
    }

    /// What is signed goes, whatever became of the rest. A signature that did not come from where the key is, is asked for
    /// again with the next ledger; what no key can sign ends the session.
    ///
    /// # Errors
    /// What has nothing to do with signing.
    pub(super) fn conclude_batch(
        &mut self,
        batch: Batch,
        signed: Result<(), OrdersError>,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        let has_signed = !batch.records.is_empty();
        self.persist(batch, effects);
        match signed {
            Ok(()) => {
                self.signer_away &= !has_signed;
                Ok(())
            }
            Err(error) if is_away(&error) => {
                let cause = error.to_string();
                tracing::error!(cause, "what is not signed is tried again with the next ledger");
                if self.intention == Intention::Quote && self.pausing().is_none() {
                    self.withheld = Some(format!("{cause}; it is tried again with the next ledger"));
                }
                // Told once, until it signs again.
                if has_signed || !std::mem::replace(&mut self.signer_away, true) {
                    self.signer_away = true;
                    let action = "what was signed is sent; the rest is tried again with the next ledger".to_string();
                    let actor = "orders".to_string();
                    let fault = Fault { actor, cause, backtrace: None, action, recorded_at: now };
                    effects.push(OrdersEffect::Record(vec![Record::Fault(fault)]));
                }
                Ok(())
            }
            Err(error @ (OrdersError::Sign(_) | OrdersError::SequenceEnd { .. })) => {
                effects.push(OrdersEffect::Broken(error.to_string()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn fee(&self, purpose: Purpose) -> Drops {
        // Until a node has said what the open ledger costs, no less than the ledger's base fee, which is not 10 everywhere.
        let least = self.base_fee.max(Drops::new(10));
        let asked = self.open_ledger_cost.map_or(least, |cost| cost.max(least));
        let ceiling = if purpose == Purpose::Cancel { self.config.cancel_max_fee } else { self.config.max_fee };
        asked.min(ceiling)
    }

    pub(super) fn sign(
        &mut self,
        wanted: Wanted,
        ticket: Option<u32>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(u32, Hash), OrdersError> {
        let Wanted { body, purpose, level, target } = wanted;
        let makes = if let Body::TicketCreate { count } = body { count } else { 0 };
        let sequence = self.next_sequence;
        let next = sequence.checked_add(1).and_then(|next| next.checked_add(makes));
        let next = if ticket.is_some() { Some(sequence) } else { next };
        let next = next.ok_or(OrdersError::SequenceEnd { sequence })?;
        let offset = self.config.last_ledger_offset.saturating_add(self.unheard_ledgers);
        let last_ledger_sequence = self.ledger_index.saturating_add(offset);
        let fee = self.fee(purpose);
        let transaction = Transaction {
            account: self.key.address(),
            sequence: if ticket.is_some() { 0 } else { sequence },
            ticket_sequence: ticket,
            fee,
            flags: 0,
            last_ledger_sequence: Some(last_ledger_sequence),
            network_id: self.config.network_id,
            body,
        };
        let signed = self.key.sign(&transaction)?;
        // Only what is signed has its number: a key that failed once leaves no hole for the cancels of the stop.
        self.next_sequence = next;
        ticket.iter().for_each(|ticket| self.tickets.take(*ticket));
        let sequence = ticket.unwrap_or(sequence);
        batch.records.push(Record::Intent(Intent {
            tx_hash: signed.hash.to_string(),
            purpose,
            sequence,
            offer_sequence: target,
            last_ledger_sequence,
            fee,
            blob: signed.blob.clone(),
            ledger_index: self.ledger_index,
            recorded_at: now,
        }));
        let sending = Sending::AwaitsRecord { batch: self.batch + 1 };
        let hash = signed.hash;
        self.in_flight.insert(
            sequence,
            InFlight {
                hash,
                blob: signed.blob,
                purpose,
                level,
                target,
                last_ledger_sequence,
                fee,
                sending,
                by_ticket: ticket.is_some(),
                makes,
                signed_ledger: self.ledger_index,
                held_back: false,
            },
        );
        Ok((sequence, hash))
    }

    pub(super) fn persist(&mut self, batch: Batch, effects: &mut Vec<OrdersEffect>) {
        if batch.records.is_empty() {
            return;
        }
        self.batch += 1;
        if self.record_lost {
            let cancels = self.hand_over(self.batch);
            let first = self.kept_back_before(&cancels);
            effects.extend(first.into_iter().map(OrdersEffect::Submit));
            effects.push(OrdersEffect::SubmitUnrecorded(cancels));
            return;
        }
        self.awaited.insert(self.batch, batch.records.clone());
        effects.push(OrdersEffect::Persist { batch: self.batch, records: batch.records });
    }

    /// The transactions of a batch, which are on their way to the node from here on. In sequence order.
    fn hand_over(&mut self, batch: u64) -> Vec<Submission> {
        let mut submissions = Vec::new();
        for flight in self.in_flight.values_mut() {
            if flight.sending == (Sending::AwaitsRecord { batch }) {
                flight.sending = Sending::AwaitsReply;
                submissions.push(Submission { hash: flight.hash, blob: flight.blob.clone() });
            }
        }
        submissions
    }

    /// The record holds the intents: now, and not before, they may be sent. In sequence order.
    pub(super) fn durable(
        &mut self,
        durable: &IntentsDurable,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if let Err(reason) = &durable.result {
            return Err(OrdersError::RecordLost { reason: reason.clone() });
        }
        self.awaited.remove(&durable.batch);
        self.take_a_last_look(durable.batch, now, effects)?;
        let mut records = Vec::new();
        let mut submissions = self.hand_over(durable.batch);
        submissions.splice(0..0, self.kept_back_before(&submissions));
        for submission in &submissions {
            records.push(intent_update(&submission.hash, IntentState::Submitted, None, None, now));
        }
        if !records.is_empty() {
            effects.push(OrdersEffect::Record(records));
        }
        effects.extend(submissions.into_iter().map(OrdersEffect::Submit));
        Ok(())
    }

    /// A reply is a hint: it is recorded, it teaches the fee, and it settles nothing.
    ///
    /// # Errors
    /// What a withdrawal that goes on at once gives.
    pub(super) fn reply(
        &mut self,
        reply: SubmissionReply,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        let Some(flight) = self.in_flight.values_mut().find(|tx| tx.hash == reply.hash) else { return Ok(()) };
        flight.sending = if reply.result.is_ok() { Sending::Sent } else { Sending::Unanswered };
        if let Some(cost) = reply.open_ledger_cost {
            self.open_ledger_cost = Some(cost);
        }
        let said = match reply.result {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(hash = %reply.hash, error, "no answer to a submission; it is sent again with the next ledger");
                return Ok(());
            }
        };
        if said != "tesSUCCESS" && said != "terQUEUED" {
            tracing::warn!(hash = %reply.hash, result = said, "a submission was not accepted as it is");
        }
        let is_news = waits_for_others(&said) && !flight.by_ticket && !std::mem::replace(&mut flight.held_back, true);
        let record = intent_update(&reply.hash, IntentState::Submitted, Some(said), None, now);
        effects.push(OrdersEffect::Record(vec![record]));
        if is_news { self.overtake(now, effects) } else { Ok(()) }
    }

    /// The sequence number of a transaction in flight that has no ticket.
    fn number_of(&self, hash: Hash) -> Option<u32> {
        self.in_flight.iter().find(|(_, tx)| tx.hash == hash && !tx.by_ticket).map(|(sequence, _)| *sequence)
    }

    /// True where something in flight can apply only after this number is used. Tickets are in no order with it.
    fn is_waited_for(&self, sequence: u32) -> bool {
        self.in_flight.range(sequence.saturating_add(1)..).any(|(_, tx)| !tx.by_ticket)
    }

    /// Offers that were kept back and that these wait for, on their way again.
    fn kept_back_before(&mut self, behind: &[Submission]) -> Vec<Submission> {
        let Some(last) = behind.iter().filter_map(|submission| self.number_of(submission.hash)).max() else {
            return Vec::new();
        };
        let kept = |(sequence, flight): (&u32, &InFlight)| {
            let kept = flight.sending == Sending::Unanswered && self.too_late(*sequence, flight).is_some();
            kept.then_some(*sequence)
        };
        let kept: Vec<u32> = self.in_flight.range(..last).filter_map(kept).collect();
        let mut again = Vec::new();
        for sequence in kept {
            let Some(flight) = self.in_flight.get_mut(&sequence) else { continue };
            flight.sending = Sending::AwaitsReply;
            again.push(Submission { hash: flight.hash, blob: flight.blob.clone() });
        }
        again
    }

    /// Sends what no node has answered for again: the same blob, so it can only ever count once. An offer that would take
    /// by now is left to its end, or to a market that has moved away, unless later numbers wait for its own: those may be
    /// cancels, which would die with it, and a node may have heard of it already.
    pub(super) fn send_again(&mut self, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) {
        let unanswered = self.in_flight.iter().filter(|(_, tx)| tx.sending == Sending::Unanswered);
        let looked: Vec<_> = unanswered
            .map(|(sequence, flight)| {
                let waited_for = self.is_waited_for(*sequence);
                (*sequence, self.too_late(*sequence, flight).filter(|_| !waited_for))
            })
            .collect();
        let mut records = Vec::new();
        for (sequence, late) in looked {
            if let Some(late) = late {
                self.note_too_late(&late, now);
                continue;
            }
            let Some(flight) = self.in_flight.get_mut(&sequence) else { continue };
            flight.sending = Sending::AwaitsReply;
            records.push(intent_update(&flight.hash, IntentState::Submitted, None, None, now));
            effects.push(OrdersEffect::Submit(Submission { hash: flight.hash, blob: flight.blob.clone() }));
        }
        if !records.is_empty() {
            effects.push(OrdersEffect::Record(records));
        }
    }
}

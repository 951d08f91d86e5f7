//! The last look at an offer before it leaves: where a newer ledger has come since it was signed, and its price is too
//! near to the market there, it does not go. Nothing on the ledger is post-only.
//!
//! Too near is what crosses, or is within half of the margin that a new offer keeps now. A moved offer stands at the whole
//! margin, and part of its flight is over: were the whole asked for once more, the least move would forget it, and beside
//! a record that is slower than a ledger its level would never get out.
//!
//! A record that is slow, or a node that did not answer, may keep a signed offer for ledgers. What has never left is
//! forgotten together with everything that was signed behind it, whose numbers would wait for its own; the next ledger
//! quotes anew. What may have left already is only not sent again, and that only while no later number waits for it.

use chrono::{DateTime, Utc};
use neo_market::quote::{MOST_GUARD_BPS, crosses, guard_bps, is_nearer, kept_from};
use neo_market::{AmountError, Dec, Drops, MarketView, Rounding, Side};
use neo_store::record::{IntentState, OrderState, Purpose};

use super::core::{InFlight, Intention, Offer, OrdersCore, OrdersEffect, OrdersError, Sending};
use super::settle::intent_update;

/// The newest market that was told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Market {
    ledger_index: u32,
    bid: Option<Dec>,
    ask: Option<Dec>,
    /// What a new offer keeps from the best opposite price.
    pub(super) guard_bps: Dec,
}

impl Market {
    fn of(view: &MarketView, guard_bps: Dec) -> Result<Market, AmountError> {
        let (bid, ask) = (view.nearest(Side::Bid)?, view.nearest(Side::Ask)?);
        Ok(Market { ledger_index: view.ledger_index, bid, ask, guard_bps })
    }

    /// The best opposite price, where an offer that was signed after an earlier ledger could take from it by now.
    fn reached_by(&self, side: Side, price: Dec, signed_ledger: u32) -> Option<Dec> {
        let best = match side {
            Side::Bid => self.ask,
            Side::Ask => self.bid,
        };
        let near = |best: Dec| {
            let kept = Dec::from_parts(5, -1)
                .and_then(|half| self.guard_bps.mul(half, Rounding::Up))
                .and_then(|half_bps| kept_from(side, best, half_bps));
            crosses(side, price, best) || kept.map_or(true, |kept| is_nearer(side, price, kept))
        };
        best.filter(|best| signed_ledger < self.ledger_index && near(*best))
    }
}

/// An offer that is not to leave.
pub(super) struct TooLate {
    side: Side,
    level: u8,
    reason: String,
}

impl OrdersCore {
    /// The market of this ledger, and the margin that offers keep in it.
    pub(super) fn look_at(&mut self, view: &MarketView) -> Result<(), AmountError> {
        let ledgers = self.latency.ledgers();
        let measured = self.moves.measured(&self.volatility);
        let guard = measured.and_then(|sigma| guard_bps(sigma, ledgers, &self.config.quote));
        // Prices too absurd to be measured: as far as may be.
        self.market = Market::of(view, guard.unwrap_or(Dec::from_i64(MOST_GUARD_BPS)))?;
        Ok(())
    }

    pub(super) fn note_too_late(&mut self, late: &TooLate, now: DateTime<Utc>) {
        let at = self.at(now);
        if self.not_quoted.note("last_look", Some(late.side), Some(late.level), &late.reason, at) {
            tracing::warn!(reason = late.reason, "a signed offer does not leave");
        }
    }

    /// Why an offer is not to leave any more, if it is not.
    pub(super) fn too_late(&self, sequence: u32, flight: &InFlight) -> Option<TooLate> {
        let makes = matches!(flight.purpose, Purpose::Place | Purpose::Replace);
        let offer = self.offers.get(&sequence).filter(|_| makes)?;
        let best = self.market.reached_by(offer.side, offer.price, flight.signed_ledger)?;
        let Offer { side, level, price, .. } = *offer;
        let reason = format!(
            "the {} at {price} was signed after ledger {}; the best opposite price has come to {best} since: it could take",
            side.as_str(),
            flight.signed_ledger
        );
        Some(TooLate { side, level, reason })
    }

    /// Signed offers that the record has, up to this batch, and that must not leave any more are forgotten, and what was
    /// signed behind the first of them: it has not left either, and its numbers are free again. Some of that may be on its
    /// way to the record still; its death follows it there, because the record takes everything in the order it is given.
    pub(super) fn take_a_last_look(
        &mut self,
        durable: u64,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        let unsent = |tx: &InFlight| matches!(tx.sending, Sending::AwaitsRecord { .. }) && !tx.by_ticket;
        let first = self
            .in_flight
            .iter()
            .filter(|(_, flight)| {
                let recorded = matches!(flight.sending, Sending::AwaitsRecord { batch } if batch <= durable);
                recorded && !flight.by_ticket
            })
            .find_map(|(sequence, flight)| Some((*sequence, self.too_late(*sequence, flight)?)));
        let Some((first, late)) = first else { return Ok(()) };
        // Numbers behind it that have left could not apply before its own is used.
        if self.in_flight.range(first..).any(|(_, flight)| !flight.by_ticket && !unsent(flight)) {
            return Ok(());
        }
        let behind: Vec<u32> =
            self.in_flight.range(first..).filter(|(_, flight)| unsent(flight)).map(|(sequence, _)| *sequence).collect();
        let mut records = Vec::new();
        for sequence in behind {
            let Some(flight) = self.in_flight.remove(&sequence) else { continue };
            records.push(intent_update(&flight.hash, IntentState::Dead, None, None, now));
            if flight.purpose != Purpose::Cancel && self.offers.remove(&sequence).is_some() {
                let detail = Some(format!("never sent: {}", late.reason));
                records.push(self.event(sequence, OrderState::Failed, Drops::ZERO, detail, now));
            }
        }
        self.next_sequence = first;
        self.note_too_late(&late, now);
        effects.push(OrdersEffect::Record(records));
        // Cancels may have been among them.
        let leaves = self.intention == Intention::Withdraw || self.pausing().is_some();
        if leaves { self.withdraw(now, effects) } else { Ok(()) }
    }
}

//! Cancels that go past a stuck sequence number, with tickets, and the tickets that are made for it.

use chrono::{DateTime, Utc};
use neo_ledger::tx::Body;
use neo_market::{AmountError, Drops};
use neo_store::record::Purpose;

use super::core::{InFlight, Intention, OrdersCore, OrdersEffect, OrdersError};
use super::sending::{Batch, Wanted};
use super::tickets::STUCK_LEDGERS;

/// True for what a node says of a transaction that must wait for others, or found no place to wait in (rippled, `TER.h`).
pub(super) fn waits_for_others(said: &str) -> bool {
    matches!(said, "terPRE_SEQ" | "terQUEUED") || said.starts_with("telCAN_NOT_QUEUE")
}

impl OrdersCore {
    /// What a cancel of this offer goes with now: a ticket (`Some(Some)`), the next sequence number (`Some(None)`), or
    /// nothing, because one is on its way already or because none could apply.
    pub(super) fn number_for_cancel(&self, offer_sequence: u32) -> Option<Option<u32>> {
        let cancels = |tx: &&InFlight| tx.purpose == Purpose::Cancel && tx.target == Some(offer_sequence);
        let mut cancels = self.in_flight.values().filter(cancels).peekable();
        let on_its_way = cancels.peek().is_some();
        if cancels.any(|tx| tx.by_ticket) {
            return None;
        }
        match self.tickets.next() {
            Some(ticket) if self.is_stuck() && self.stands(offer_sequence) => Some(Some(ticket)),
            _ => (!on_its_way && !self.hole).then_some(None),
        }
    }

    /// True while the next sequence number would wait behind another.
    pub(super) fn is_stuck(&self) -> bool {
        let stuck = |tx: &InFlight| {
            let late = self.ledger_index >= tx.signed_ledger.saturating_add(STUCK_LEDGERS);
            !tx.by_ticket && (tx.held_back || late)
        };
        self.hole || self.in_flight.values().any(stuck)
    }

    /// True while there is a ticket to go past what is stuck.
    pub(super) fn overtakes(&self) -> bool {
        self.tickets.any() && self.is_stuck()
    }

    /// The ledger refuses to cancel what is not on it yet (rippled, `CancelOffer.cpp`).
    fn stands(&self, offer_sequence: u32) -> bool {
        let rests = self.offers.get(&offer_sequence).is_some_and(|offer| offer.resting);
        rests || self.orphans.contains(&offer_sequence)
    }

    /// The sequence was found stuck between two ledgers: whoever leaves waits for no further one to find another way.
    pub(super) fn overtake(&mut self, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) -> Result<(), OrdersError> {
        let paused = self.intention == Intention::Quote && self.pausing().is_some();
        let leaves = self.intention == Intention::Withdraw || paused;
        if leaves && self.overtakes() { self.withdraw(now, effects) } else { Ok(()) }
    }

    fn tickets_in_flight(&self) -> u32 {
        self.in_flight.values().fold(0, |sum: u32, tx| sum.saturating_add(tx.makes))
    }

    /// Makes up for missing tickets. Signed last, because the account's own number goes on behind them.
    pub(super) fn make_tickets(
        &mut self,
        spendable: Drops,
        reserve_inc: Drops,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let making = self.tickets_in_flight();
        let count = self.tickets.missing(making, self.ledger_index);
        if making > 0 || count == 0 || self.is_stuck() {
            return Ok(());
        }
        let fee = self.fee(Purpose::Ticket);
        let in_flight = self.in_flight.values().fold(0, |sum: i64, tx| sum.saturating_add(tx.fee.get()));
        let cost = reserve_inc.get().saturating_mul(count.into()).saturating_add(fee.get());
        if spendable.get() < cost || self.fees.refuses(fee, Drops::new(in_flight)).is_some() {
            let reason =
                format!("{count} tickets for cancels need {cost} drops or more of the day's fees than there are");
            let at = self.at(now);
            self.not_quoted.note("no_tickets", None, None, &reason, at);
            return Ok(());
        }
        let body = Body::TicketCreate { count };
        self.sign(Wanted { body, purpose: Purpose::Ticket, level: None, target: None }, None, now, batch)?;
        Ok(())
    }

    /// XRP that may be offered when the reserve of the tickets that are still to be made is set aside.
    pub(super) fn less_tickets(&self, spendable: Drops, reserve_inc: Drops) -> Result<Drops, AmountError> {
        let making = self.tickets_in_flight();
        let tickets = making.saturating_add(self.tickets.missing(making, self.ledger_index));
        let reserve = Drops::new(reserve_inc.get().saturating_mul(tickets.into()));
        Ok(spendable.sub(reserve)?.max(Drops::ZERO))
    }
}

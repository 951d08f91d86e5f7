//! From a ledger to approved actions: what to quote, what to change, what the limits say.

use chrono::{DateTime, Utc};
use neo_market::plan::{self, Action, Resting};
use neo_market::quote::{Desired, QuoteConfig};
use neo_market::risk::{Refusal, RiskLimits, RiskState};
use neo_market::{AmountError, Balances, Drops, Side};
use neo_store::record::Purpose;

use super::core::{InFlight, OrdersCore, OrdersEffect, OrdersError};
use super::not_quoted::At;
use super::sending::Batch;
use crate::clock::to_utc;
use crate::messages::LedgerUpdate;

/// [`plan::plan`], or [`plan::withdrawals`].
type Rule = fn(Option<&Desired>, &[Resting], &[(Side, u8)], u32, u32, &QuoteConfig) -> Vec<Action>;

impl OrdersCore {
    pub(super) fn requote(
        &mut self,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        let mut batch = Batch::default();
        let signed = self.quote(update, now, &mut batch);
        self.conclude_batch(batch, signed, now, effects)
    }

    fn quote(&mut self, update: &LedgerUpdate, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        self.cancel_orphans(now, batch)?;
        let held = self.held();
        let balances = update.account.balances(&update.ledger)?;
        let desired = self.desire(update, &balances, now)?;
        if held.is_none() {
            self.carry_out(update, balances, desired.as_ref(), now, batch)?;
            return self.make_tickets(balances.spendable_xrp(), update.ledger.reserve_inc, now, batch);
        }
        self.withheld = held;
        for action in self.plan(desired.as_ref(), plan::withdrawals) {
            self.act(action, now, batch)?;
        }
        Ok(())
    }

    /// Why no offer may be placed for now, if none may. What should not stand any more goes all the same.
    fn held(&self) -> Option<String> {
        if self.hole {
            return Some("waiting until the transactions after a dead one are settled".to_string());
        }
        if !self.orphans.is_empty() {
            return Some("cancelling offers that an earlier session left".to_string());
        }
        let (suspects, reads) = (self.suspects.of_before().count(), self.config.orphan_reads);
        let told = || format!("{suspects} offers that no order owns are listed; {reads} lists must show them first");
        // With tickets, what should go goes past what is stuck; without, its replacement waits behind it.
        let stuck = || "waiting until a stuck transaction is settled; cancels go with tickets".to_string();
        (suspects > 0).then(told).or_else(|| self.overtakes().then(stuck))
    }

    /// Signs what the plan says and the limits approve.
    fn carry_out(
        &mut self,
        update: &LedgerUpdate,
        balances: Balances,
        desired: Option<&Desired>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let limits = RiskLimits::new(self.config.risk.clone());
        let at = self.at(now);
        for action in self.plan(desired, plan::plan) {
            let Some(action) = self.within_budget(action, at) else { continue };
            let state = self.risk_state(update, balances, desired)?;
            match limits.check(action, &state) {
                Ok(approved) => {
                    let action = approved.into_action();
                    self.note_moved(&action, desired, at);
                    self.act(action, now, batch)?;
                }
                Err(refused) => {
                    let (side, level) = refused.action.slot();
                    let reason = refused.reason.to_string();
                    if self.not_quoted.note(refused.reason.kind(), Some(side), Some(level), &reason, at) {
                        tracing::warn!(reason, "a quote was refused");
                    }
                    self.withheld = Some(refused.reason.to_string());
                    let over = matches!(
                        *refused.reason,
                        Refusal::InventoryAboveMax { .. } | Refusal::InventoryBelowMin { .. }
                    );
                    // Both cannot stand, so the old one goes first; the new one has room when it is seen gone.
                    if let (true, Action::Replace { offer_sequence, quote }) = (over, refused.action) {
                        let cancel = Action::Cancel { offer_sequence, side: quote.side, level: quote.level };
                        self.act(cancel, now, batch)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A new offer that stands farther out than its level is counted, as one that is left out is.
    fn note_moved(&mut self, action: &Action, desired: Option<&Desired>, at: At) {
        if matches!(action, Action::Cancel { .. }) {
            return;
        }
        let (side, level) = action.slot();
        if let Some(moved) = desired.and_then(|desired| desired.moved(side, level)) {
            self.not_quoted.note("taking_guard", Some(side), Some(level), &moved.to_string(), at);
        }
    }

    pub(super) fn at(&self, now: DateTime<Utc>) -> At {
        At { ledger_index: self.ledger_index, close_time: to_utc(self.close_time), now }
    }

    /// What is left of an action where the budget has no room for a quote: an offer that was to be replaced stands at the
    /// wrong price, and is withdrawn. A cancel may always go.
    fn within_budget(&mut self, action: Action, at: At) -> Option<Action> {
        let in_flight = self.in_flight.values().fold(0, |sum: i64, tx| sum.saturating_add(tx.fee.get()));
        let purpose = match &action {
            Action::Place(_) => Purpose::Place,
            Action::Replace { .. } => Purpose::Replace,
            Action::Cancel { .. } => return Some(action),
        };
        let Some(reason) = self.fees.refuses(self.fee(purpose), Drops::new(in_flight)) else { return Some(action) };
        let (side, level) = action.slot();
        self.not_quoted.note("fee_budget", Some(side), Some(level), &reason, at);
        self.withheld = Some(reason);
        match action {
            Action::Replace { offer_sequence, quote } => {
                Some(Action::Cancel { offer_sequence, side: quote.side, level: quote.level })
            }
            Action::Place(_) | Action::Cancel { .. } => None,
        }
    }

    /// XRP that may be offered when the fees of a few rounds are set aside.
    pub(super) fn less_fees(&self, spendable: Drops) -> Result<Drops, AmountError> {
        let transactions = 4 * i64::from(self.config.quote.levels.max(1));
        let fees = Drops::new(self.fee(Purpose::Place).get().saturating_mul(transactions));
        Ok(spendable.sub(fees)?.max(Drops::ZERO))
    }

    /// What `rule` says of our offers.
    fn plan(&self, desired: Option<&Desired>, rule: Rule) -> Vec<Action> {
        // What a ticket can overtake keeps no level busy.
        let overtakes = self.overtakes();
        let keeps = |tx: &&InFlight| tx.by_ticket || !overtakes;
        let busy: Vec<(Side, u8)> = self.in_flight.values().filter(keeps).filter_map(|tx| tx.level).collect();
        let resting: Vec<Resting> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.resting)
            .map(|(sequence, offer)| Resting {
                side: offer.side,
                level: offer.level,
                offer_sequence: *sequence,
                price: offer.price,
                remaining: offer.remaining,
                placed_ledger: offer.placed_ledger,
                expires_at_s: offer.expires.map(|time| time.0),
            })
            .collect();
        rule(desired, &resting, &busy, self.ledger_index, self.close_time.0, &self.config.quote)
    }

    /// What the limits are held against: everything open, with what this action or one in flight replaces. That can be
    /// filled until it is gone, and the offer that replaces it stands beside what was traded then.
    pub(super) fn risk_state(
        &self,
        update: &LedgerUpdate,
        balances: Balances,
        desired: Option<&Desired>,
    ) -> Result<RiskState, AmountError> {
        let open = |side: Side| -> Result<Drops, AmountError> {
            self.offers
                .values()
                .filter(|offer| offer.side == side)
                .try_fold(Drops::ZERO, |sum, offer| sum.add(offer.remaining))
        };
        Ok(RiskState {
            balances,
            reference_price: desired.map(|desired| desired.reference_price),
            open_bid_xrp: open(Side::Bid)?,
            open_ask_xrp: open(Side::Ask)?,
            reserve_inc: update.ledger.reserve_inc,
            data_age_ledgers: update.ledger.index.saturating_sub(update.view.ledger_index),
        })
    }
}

//! From a ledger to approved actions: what to quote, what to change, what the limits say.

use chrono::{DateTime, Utc};
use neo_market::plan::{self, Action, Resting};
use neo_market::quote::{self, Conditions, Desired, Funds};
use neo_market::risk::{Refusal, RiskLimits, RiskState};
use neo_market::{AmountError, Balances, Drops, Side, Skew};
use neo_store::record::Purpose;

use super::core::{OrdersCore, OrdersEffect, OrdersError};
use super::not_quoted::At;
use super::sending::Batch;
use crate::clock::to_utc;
use crate::messages::LedgerUpdate;

impl OrdersCore {
    pub(super) fn requote(
        &mut self,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if self.hole {
            self.withheld = Some("waiting until the transactions after a dead one are settled".to_string());
            return Ok(());
        }
        let mut batch = Batch::default();
        self.cancel_orphans(now, &mut batch)?;
        if !self.orphans.is_empty() {
            self.withheld = Some("cancelling offers that an earlier session left".to_string());
            self.persist(batch, effects);
            return Ok(());
        }
        let suspects = self.suspects.of_before().count();
        if suspects > 0 {
            let reads = self.config.orphan_reads;
            self.withheld =
                Some(format!("{suspects} offers that no order owns are listed; {reads} lists must show them first"));
            self.persist(batch, effects);
            return Ok(());
        }
        let balances = update.account.balances(&update.ledger)?;
        let mut funds = Funds::of(&balances, update.ledger.reserve_inc, self.offers.len(), &self.config.quote);
        funds.spendable_xrp = self.less_fees(funds.spendable_xrp)?;
        let skew = Skew::of(&balances, &update.view, &self.config.quote)?;
        let at = self.at(now);
        let conditions = Conditions { rules: self.token_rules.issuer(), skew };
        let desired = match quote::desired_under(&update.view, &funds, &self.config.quote, conditions) {
            Ok(mut desired) => {
                self.withheld = desired.quotes.is_empty().then(|| "no quote is possible with these funds".to_string());
                for side in [Side::Bid, Side::Ask] {
                    // What cannot be renewed is withdrawn: it would come back at an old price with the thaw.
                    let stopped = self.token_rules.stops(side) || self.refusals.must_wait(side, self.ledger_index);
                    desired.quotes.retain(|quote| quote.side != side || !stopped);
                    if let Some(reason) = self.refusals.reason(side) {
                        if self.refusals.must_wait(side, self.ledger_index) {
                            self.not_quoted.note("ledger_refuses", Some(side), None, &reason, at);
                        }
                        self.withheld = Some(reason);
                    }
                    if let (true, Some(reason)) = (self.token_rules.stops(side), self.token_rules.reason()) {
                        self.not_quoted.note("token_rules", Some(side), None, reason, at);
                    }
                }
                for left_out in &desired.withheld {
                    let (side, level) = (Some(left_out.side), Some(left_out.level));
                    self.not_quoted.note(left_out.reason.kind(), side, level, &left_out.reason.to_string(), at);
                }
                Some(desired)
            }
            Err(reason) => {
                self.not_quoted.note(reason.kind(), None, None, &reason.to_string(), at);
                self.withheld = Some(reason.to_string());
                None
            }
        };
        if let Some(reason) = self.token_rules.reason() {
            self.withheld = Some(reason.to_string());
        }
        let limits = RiskLimits::new(self.config.risk.clone());
        for action in self.plan(desired.as_ref()) {
            let Some(action) = self.within_budget(action, at) else { continue };
            let state = self.risk_state(update, balances, desired.as_ref())?;
            match limits.check(action, &state) {
                Ok(approved) => self.act(approved.into_action(), now, &mut batch)?,
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
                        self.act(cancel, now, &mut batch)?;
                    }
                }
            }
        }
        self.persist(batch, effects);
        Ok(())
    }

    fn at(&self, now: DateTime<Utc>) -> At {
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

    pub(super) fn plan(&self, desired: Option<&Desired>) -> Vec<Action> {
        let busy: Vec<(Side, u8)> = self.in_flight.values().filter_map(|tx| tx.level).collect();
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
        plan::plan(desired, &resting, &busy, self.ledger_index, self.close_time.0, &self.config.quote)
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

//! From a ledger to approved actions: what to quote, what to change, what the limits say.

use chrono::{DateTime, Utc};
use neo_market::plan::{self, Action, Resting};
use neo_market::quote::{self, Conditions, Desired, Funds, NoQuote, QuoteConfig};
use neo_market::risk::{Refusal, RiskLimits, RiskState};
use neo_market::{AmountError, Balances, Drops, Rounding, Shape, Side, Skew};
use neo_store::record::Purpose;

use super::core::{OrdersCore, OrdersEffect, OrdersError};
use super::sending::Batch;
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
        if self.hole {
            self.withheld = Some("waiting until the transactions after a dead one are settled".to_string());
            return Ok(());
        }
        let mut batch = Batch::default();
        let signed = self.quote(update, now, &mut batch);
        self.conclude_batch(batch, signed, now, effects)
    }

    fn quote(&mut self, update: &LedgerUpdate, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        self.cancel_orphans(now, batch)?;
        let held = self.held();
        let balances = update.account.balances(&update.ledger)?;
        let desired = self.desire(update, &balances)?;
        if held.is_none() {
            return self.carry_out(update, balances, desired.as_ref(), now, batch);
        }
        self.withheld = held;
        for action in self.plan(desired.as_ref(), plan::withdrawals) {
            self.act(action, now, batch)?;
        }
        Ok(())
    }

    /// Why no offer may be placed for now, if none may. What should not stand any more goes all the same.
    fn held(&self) -> Option<String> {
        if !self.orphans.is_empty() {
            return Some("cancelling offers that an earlier session left".to_string());
        }
        let (suspects, reads) = (self.suspects.of_before().count(), self.config.orphan_reads);
        let told = || format!("{suspects} offers that no order owns are listed; {reads} lists must show them first");
        (suspects > 0).then(told)
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
        for action in self.plan(desired, plan::plan) {
            let Some(action) = self.within_budget(action) else { continue };
            let state = self.risk_state(update, balances, desired)?;
            match limits.check(action, &state) {
                Ok(approved) => self.act(approved.into_action(), now, batch)?,
                Err(refused) => {
                    tracing::warn!(reason = %refused.reason, "a quote was refused");
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

    /// What should stand, and in `withheld` why not all of it does.
    fn desire(&mut self, update: &LedgerUpdate, balances: &Balances) -> Result<Option<Desired>, OrdersError> {
        let desired = match self.wanted(update, balances)? {
            Ok(mut desired) => {
                self.withheld = nothing_quoted(&desired);
                for side in Side::BOTH {
                    let delayed = self.delays.must_wait(side, self.ledger_index);
                    // What cannot be renewed is withdrawn: it would come back at an old price with the thaw.
                    let stopped = self.token_rules.stops(side) || self.refusals.must_wait(side, self.ledger_index);
                    desired.quotes.retain(|quote| quote.side != side || !(stopped || delayed));
                    // A side that waits for a moment is no pause while the other one is quoted.
                    if delayed && desired.quotes.is_empty() {
                        self.withheld = Some(self.delays.reason(side));
                    }
                    if let Some(reason) = self.refusals.reason(side) {
                        self.withheld = Some(reason);
                    }
                }
                Some(desired)
            }
            Err(reason) => {
                self.withheld = Some(reason);
                None
            }
        };
        if let Some(reason) = self.token_rules.reason() {
            self.withheld = Some(reason.to_string());
        }
        Ok(desired)
    }

    /// What the strategy would quote around the ledger's reference price with these balances, or why it quotes nothing.
    fn wanted(&self, update: &LedgerUpdate, balances: &Balances) -> Result<Result<Desired, String>, AmountError> {
        let reference = match &update.reference {
            Ok(reference) => reference.price,
            Err(reason) => return Ok(Err(reason.to_string())),
        };
        let (view, config) = (&update.view, &self.config.quote);
        let mut funds = Funds::of(balances, update.ledger.reserve_inc, self.offers.len(), config);
        funds.spendable_xrp = self.less_fees(funds.spendable_xrp)?;
        let skew = Skew::at(balances, Some(reference), config)?;
        let largest = Some(Drops::from_xrp(self.config.risk.max_order_xrp, Rounding::Down)?);
        let shaped = || {
            let shape = Shape::of((view, reference), balances, self.volatility.measured()?, skew, config)?;
            let (rules, reference, shape) = (self.token_rules.issuer(), Some(reference), Some(shape));
            quote::desired_under(view, &funds, config, Conditions { rules, skew, reference, shape, largest })
        };
        Ok(shaped().map_err(|reason: NoQuote| reason.to_string()))
    }

    /// The reference of a ledger counts for the volatility, if it is of a view of this very ledger.
    pub(super) fn measure(&mut self, update: &LedgerUpdate) {
        let fresh = update.view.ledger_index == update.ledger.index;
        if let (true, Ok(reference)) = (fresh, &update.reference) {
            self.volatility.observe(update.ledger.close_time.0, reference.price);
        }
    }

    /// What is left of an action where the budget has no room for a quote: an offer that was to be replaced stands at the
    /// wrong price, and is withdrawn. A cancel may always go.
    fn within_budget(&mut self, action: Action) -> Option<Action> {
        let in_flight = self.in_flight.values().fold(0, |sum: i64, tx| sum.saturating_add(tx.fee.get()));
        let purpose = match &action {
            Action::Place(_) => Purpose::Place,
            Action::Replace { .. } => Purpose::Replace,
            Action::Cancel { .. } => return Some(action),
        };
        let Some(reason) = self.fees.refuses(self.fee(purpose), Drops::new(in_flight)) else { return Some(action) };
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

/// Why a whole strategy leaves nothing to quote: the reason of the first level, the others' are like it.
fn nothing_quoted(desired: &Desired) -> Option<String> {
    if !desired.quotes.is_empty() {
        return None;
    }
    let first =
        desired.withheld.first().map(|withheld| format!("the first {}: {}", withheld.side.as_str(), withheld.reason));
    Some(first.unwrap_or_else(|| "no quote is possible with these funds".to_string()))
}

//! What is to stand: the strategy's quotes around the ledger's reference price, less what waits or is forbidden.

use chrono::{DateTime, Utc};
use neo_market::quote::{self, Conditions, Desired, Funds, NoQuote};
use neo_market::{AmountError, Balances, Drops, Rounding, Shape, Side, Skew};

use super::core::{OrdersCore, OrdersError};
use crate::messages::LedgerUpdate;

/// Why nothing is quoted: the word that is counted, and the text with the figures.
type NotWanted = (&'static str, String);

impl OrdersCore {
    /// What should stand, and in `withheld` why not all of it does.
    pub(super) fn desire(
        &mut self,
        update: &LedgerUpdate,
        balances: &Balances,
        now: DateTime<Utc>,
    ) -> Result<Option<Desired>, OrdersError> {
        let at = self.at(now);
        let desired = match self.wanted(update, balances)? {
            Ok(mut desired) => {
                self.withheld = nothing_quoted(&desired);
                for side in Side::BOTH {
                    let delayed = self.delays.must_wait(side, self.ledger_index);
                    // What cannot be renewed is withdrawn: it would come back at an old price with the thaw.
                    let stopped = self.token_rules.stops(side) || self.refusals.must_wait(side, self.ledger_index);
                    if stopped || delayed {
                        desired.leave_out(side);
                    }
                    // A side that waits for a moment is no pause while the other one is quoted.
                    if delayed && desired.quotes.is_empty() {
                        self.withheld = Some(self.delays.reason(side));
                    }
                    if let Some(reason) = self.refusals.reason(side) {
                        if self.refusals.must_wait(side, self.ledger_index) {
                            self.not_quoted.note("ledger_refuses", Some(side), None, &reason, at);
                        }
                        self.withheld = Some(reason);
                    }
                    if delayed {
                        self.not_quoted.note("delay_after_fill", Some(side), None, &self.delays.reason(side), at);
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
            Err((kind, reason)) => {
                self.not_quoted.note(kind, None, None, &reason, at);
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
    fn wanted(&self, update: &LedgerUpdate, balances: &Balances) -> Result<Result<Desired, NotWanted>, AmountError> {
        let reference = match &update.reference {
            Ok(reference) => reference.price,
            Err(reason) => return Ok(Err((reason.kind(), reason.to_string()))),
        };
        let (view, config) = (&update.view, &self.config.quote);
        let mut funds = Funds::of(balances, update.ledger.reserve_inc, self.offers.len(), config);
        funds.spendable_xrp = self.less_tickets(self.less_fees(funds.spendable_xrp)?, update.ledger.reserve_inc)?;
        let skew = Skew::at(balances, Some(reference), config)?;
        let largest = Some(Drops::from_xrp(self.config.risk.max_order_xrp, Rounding::Down)?);
        let shaped = || {
            let shape = Shape::of((view, reference), balances, self.volatility.measured()?, skew, config)?;
            let (rules, reference, shape) = (self.token_rules.issuer(), Some(reference), Some(shape));
            let guard_bps = self.market.guard_bps;
            let conditions = Conditions { rules, skew, reference, shape, largest, guard_bps };
            quote::desired_under(view, &funds, config, conditions)
        };
        Ok(shaped().map_err(|reason: NoQuote| (reason.kind(), reason.to_string())))
    }

    /// The reference and the best prices of a ledger count for the volatility, if they are of a view of this very ledger.
    pub(super) fn measure(&mut self, update: &LedgerUpdate) -> Result<(), AmountError> {
        let fresh = update.view.ledger_index == update.ledger.index;
        if !fresh {
            return Ok(());
        }
        if let Ok(reference) = &update.reference {
            self.volatility.observe(update.ledger.close_time.0, reference.price);
        }
        self.moves.observe(update.ledger.close_time.0, &update.view)
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

//! The last gate: nothing is signed that the limits refuse.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::Action;
use crate::problem::{Problem, Problems};
use crate::quote::{BPS, Quote};
use crate::triggers::TriggerConfig;
use crate::{AmountError, Balances, Dec, Drops, Rounding, Side};

/// Limits on what may be offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskConfig {
    /// Most XRP to own, were every open bid filled; no limit when absent.
    pub max_inventory_xrp: Option<Dec>,
    /// Least XRP to own, the reserve included, were every open ask filled; no limit when absent.
    pub min_inventory_xrp: Option<Dec>,
    /// Most XRP in one offer.
    pub max_order_xrp: Dec,
    /// Farthest price of an offer from the reference price, in basis points of the reference.
    pub price_band_bps: Dec,
    /// Oldest view of the market that may be quoted on, in ledgers behind the last validated one.
    pub max_data_age_ledgers: u32,
    /// What has all quotes withdrawn.
    pub triggers: TriggerConfig,
}

impl Default for RiskConfig {
    fn default() -> RiskConfig {
        RiskConfig {
            max_inventory_xrp: None,
            min_inventory_xrp: None,
            max_order_xrp: Dec::from_i64(1_000),
            price_band_bps: Dec::from_i64(500),
            max_data_age_ledgers: 2,
            triggers: TriggerConfig::default(),
        }
    }
}

impl RiskConfig {
    /// Every mistake, in the order of the fields; empty when the configuration can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        let limits = [("max_inventory_xrp", self.max_inventory_xrp), ("min_inventory_xrp", self.min_inventory_xrp)];
        for (key, limit) in limits {
            let value = limit.unwrap_or_default();
            let fix = "use 0 or more, or leave the key out for no limit";
            found.require(!value.is_negative(), key, value, "no account owns less than no XRP", fix);
        }
        if let (Some(max), Some(min)) = (self.max_inventory_xrp, self.min_inventory_xrp) {
            let reason = format!("it is not below max_inventory_xrp = {max}: neither side could be quoted");
            found.require(min < max, "min_inventory_xrp", min, &reason, "use less than max_inventory_xrp");
        }
        let positive = self.max_order_xrp.is_positive();
        let reason = "with no XRP allowed nothing is ever offered";
        found.require(positive, "max_order_xrp", self.max_order_xrp, reason, "use more than 0, such as 1000");
        let band = self.price_band_bps.is_positive() && self.price_band_bps <= Dec::from_i64(BPS);
        let reason = "the band is above 0 and at most 10000 bps of the reference price";
        found.require(band, "price_band_bps", self.price_band_bps, reason, "use a few times your widest offset");
        let age = self.max_data_age_ledgers <= 100;
        let reason = "more than 100 ledgers are over six minutes: quotes on such data are blind";
        found.require(age, "max_data_age_ledgers", self.max_data_age_ledgers, reason, "use 0 to 100, such as 2");
        self.triggers.check(&mut found);
        found.into_vec()
    }
}

/// What the limits are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiskState {
    /// Our account at the last validated ledger.
    pub balances: Balances,
    /// The middle of the book without our offers; `None` when unknown.
    pub reference_price: Option<Dec>,
    /// XRP of all our bids, resting and in flight, the offer that the action replaces among them: it can be filled
    /// before it goes.
    pub open_bid_xrp: Drops,
    /// XRP of all our asks, resting and in flight, the offer that the action replaces among them: it can be filled
    /// before it goes.
    pub open_ask_xrp: Drops,
    /// The ledger's reserve for one more object.
    pub reserve_inc: Drops,
    /// Ledgers between the view quoted on and the last validated ledger.
    pub data_age_ledgers: u32,
}

/// An action that passed the limits. Only [`RiskLimits::check`] makes one, so what is sent was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approved(Action);

impl Approved {
    /// The action.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.0
    }

    /// The action, to be sent.
    #[must_use]
    pub fn into_action(self) -> Action {
        self.0
    }
}

/// An action that is not to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the {} of level {} is refused: {reason}", .action.slot().0.as_str(), .action.slot().1)]
pub struct Refused {
    /// The action.
    pub action: Action,
    /// Why; boxed to keep the result small.
    pub reason: Box<Refusal>,
}

/// Why an action is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The market is not known well enough.
    #[error("the market data is {age} ledgers old, more than max_data_age_ledgers = {limit}; wait for the feed")]
    StaleData {
        /// The age in ledgers.
        age: u32,
        /// The limit.
        limit: u32,
    },
    /// There is no price to hold the offer against.
    #[error("there is no reference price; wait for both sides of the book")]
    NoReferencePrice,
    /// A leg is zero or below.
    #[error("an offer of {size} XRP for {rlusd} RLUSD is none; raise size_xrp")]
    EmptyLeg {
        /// The XRP leg.
        size: Drops,
        /// The RLUSD leg.
        rlusd: Dec,
    },
    /// The offer is too large.
    #[error("{size} XRP are more than max_order_xrp = {limit}; lower size_xrp or raise the limit")]
    OrderTooLarge {
        /// The XRP leg.
        size: Drops,
        /// The limit.
        limit: Dec,
    },
    /// The price of the legs is too far from the reference.
    #[error(
        "the price {price} is more than price_band_bps = {band_bps} from the reference {reference}; check the offsets"
    )]
    OutsideBand {
        /// What the legs pay for one XRP.
        price: Dec,
        /// The reference price.
        reference: Dec,
        /// The limit.
        band_bps: Dec,
    },
    /// Were all bids filled, we would own too much XRP.
    #[error("{would_own} XRP would be owned, more than max_inventory_xrp = {limit}; wait for asks to fill")]
    InventoryAboveMax {
        /// XRP owned were every bid filled.
        would_own: Drops,
        /// The limit.
        limit: Dec,
    },
    /// Were all asks filled, we would own too little XRP.
    #[error("{would_own} XRP would be owned, fewer than min_inventory_xrp = {limit}; wait for bids to fill")]
    InventoryBelowMin {
        /// XRP owned were every ask filled.
        would_own: Drops,
        /// The limit.
        limit: Dec,
    },
    /// The account cannot pay for the offer.
    #[error("the offer needs {needed} {unit}, {available} are available; add funds or lower size_xrp")]
    Unfunded {
        /// What the offer pays.
        needed: Dec,
        /// What the account has for it.
        available: Dec,
        /// `XRP` or `RLUSD`.
        unit: &'static str,
    },
    /// The account cannot hold the reserve of one more offer.
    #[error("one more offer needs a reserve of {needed} XRP, {available} are spendable; add XRP or use fewer levels")]
    NoReserve {
        /// The reserve of one object.
        needed: Drops,
        /// XRP above the present reserve.
        available: Drops,
    },
    /// The arithmetic left the range of amounts.
    #[error("the limits cannot be computed: {0}")]
    Amount(#[from] AmountError),
}

impl Refusal {
    /// The word that is stored and counted; the figures are in the text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Refusal::StaleData { .. } => "stale_data",
            Refusal::NoReferencePrice => "no_reference_price",
            Refusal::EmptyLeg { .. } => "empty_leg",
            Refusal::OrderTooLarge { .. } => "order_too_large",
            Refusal::OutsideBand { .. } => "outside_band",
            Refusal::InventoryAboveMax { .. } => "inventory_above_max",
            Refusal::InventoryBelowMin { .. } => "inventory_below_min",
            Refusal::Unfunded { .. } => "unfunded",
            Refusal::NoReserve { .. } => "no_reserve",
            Refusal::Amount(_) => "amount",
        }
    }
}

/// The limits at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskLimits {
    config: RiskConfig,
}

impl RiskLimits {
    /// Limits of a configuration that is free of [`RiskConfig::problems`].
    #[must_use]
    pub fn new(config: RiskConfig) -> RiskLimits {
        RiskLimits { config }
    }

    /// Approves an action or says which limit refuses it. Cancels are always approved: they only lower the exposure.
    ///
    /// # Errors
    /// [`Refused`]. A refused replacement leaves the old offer standing; cancel it when that is the greater risk.
    pub fn check(&self, action: Action, state: &RiskState) -> Result<Approved, Refused> {
        let checked = match &action {
            Action::Cancel { .. } => Ok(()),
            Action::Place(quote) => self.check_quote(quote, state, state.reserve_inc),
            // The object that goes frees the reserve of the one that comes.
            Action::Replace { quote, .. } => self.check_quote(quote, state, Drops::ZERO),
        };
        match checked {
            Ok(()) => Ok(Approved(action)),
            Err(reason) => Err(Refused { action, reason: Box::new(reason) }),
        }
    }

    fn check_quote(&self, quote: &Quote, state: &RiskState, reserve: Drops) -> Result<(), Refusal> {
        let limit = self.config.max_data_age_ledgers;
        if state.data_age_ledgers > limit {
            return Err(Refusal::StaleData { age: state.data_age_ledgers, limit });
        }
        if quote.size <= Drops::ZERO || !quote.rlusd.is_positive() {
            return Err(Refusal::EmptyLeg { size: quote.size, rlusd: quote.rlusd });
        }
        if quote.size.to_xrp()? > self.config.max_order_xrp {
            return Err(Refusal::OrderTooLarge { size: quote.size, limit: self.config.max_order_xrp });
        }
        self.check_price(quote, state.reference_price)?;
        self.check_inventory(quote, state)?;
        check_funds(quote, state, reserve)
    }

    /// The legs are held against the band, not the price beside them: the legs are what is signed.
    fn check_price(&self, quote: &Quote, reference: Option<Dec>) -> Result<(), Refusal> {
        let reference = reference.filter(|price| price.is_positive()).ok_or(Refusal::NoReferencePrice)?;
        let band_bps = self.config.price_band_bps;
        let size = quote.size.to_xrp()?;
        let fair = size.mul(reference, Rounding::HalfEven)?;
        let off = quote.rlusd.sub(fair)?.abs().mul(Dec::from_i64(BPS), Rounding::HalfEven)?;
        if off > fair.mul(band_bps, Rounding::HalfEven)? {
            let price = quote.rlusd.div(size, Rounding::HalfEven)?.round_digits(16, Rounding::HalfEven)?;
            return Err(Refusal::OutsideBand { price, reference, band_bps });
        }
        Ok(())
    }

    fn check_inventory(&self, quote: &Quote, state: &RiskState) -> Result<(), Refusal> {
        match (quote.side, self.config.max_inventory_xrp, self.config.min_inventory_xrp) {
            (Side::Bid, Some(limit), _) => {
                let would_own = state.balances.xrp.add(state.open_bid_xrp)?.add(quote.size)?;
                let above = would_own.to_xrp()? > limit;
                if above { Err(Refusal::InventoryAboveMax { would_own, limit }) } else { Ok(()) }
            }
            (Side::Ask, _, Some(limit)) => {
                let would_own = state.balances.xrp.sub(state.open_ask_xrp)?.sub(quote.size)?;
                let below = would_own.to_xrp()? < limit;
                if below { Err(Refusal::InventoryBelowMin { would_own, limit }) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

fn check_funds(quote: &Quote, state: &RiskState, reserve: Drops) -> Result<(), Refusal> {
    let spendable = state.balances.spendable_xrp();
    if spendable < reserve {
        return Err(Refusal::NoReserve { needed: reserve, available: spendable });
    }
    let (needed, available, unit) = match quote.side {
        Side::Bid => (quote.rlusd, state.balances.rlusd, "RLUSD"),
        Side::Ask => (quote.size.to_xrp()?, spendable.sub(reserve)?.to_xrp()?, "XRP"),
    };
    if needed > available { Err(Refusal::Unfunded { needed, available, unit }) } else { Ok(()) }
}

#[cfg(test)]
#[path = "risk_tests.rs"]
mod tests;

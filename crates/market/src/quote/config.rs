//! How to quote, as the operator says it.

use serde::{Deserialize, Serialize};

use crate::strategy::Strategy;
use crate::{AmountError, Dec, Rounding, Side};

/// How to quote. Prices are RLUSD for one XRP, sizes XRP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuoteConfig {
    /// Distance of the first bid below the middle, in basis points of the middle.
    pub bid_offset_bps: Dec,
    /// Distance of the first ask above the middle, in basis points of the middle.
    pub ask_offset_bps: Dec,
    /// Offers a side, 1 to 10.
    pub levels: u8,
    /// Distance between two levels of a side, in basis points of the middle.
    pub level_step_bps: Dec,
    /// XRP of each level.
    pub size_xrp: Dec,
    /// Ledgers that an offer rests before a small change of price or size replaces it.
    pub refresh_ledgers: u32,
    /// Difference between a resting and a desired price that is not worth a transaction, in basis points.
    pub tolerance_bps: Dec,
    /// Difference between a resting and a desired size that is not worth a transaction, in percent.
    pub size_tolerance_pct: Dec,
    /// Seconds after which the ledger withdraws an offer by itself; renewed while the engine lives.
    pub expiration_s: u32,
    /// XRP below which no offer is placed.
    pub min_size_xrp: Dec,
    /// Decimal places of a price.
    pub price_places: i32,
    /// Part of the total value to hold as XRP, in percent; quotes do not lean when absent.
    pub inventory_target_pct: Option<Dec>,
    /// How far the price that quotes stand around moves when everything is held as one asset, in basis points.
    pub skew_bps: Dec,
    /// How much smaller the side that would add to it gets then, in percent.
    pub skew_size_pct: Dec,
    /// How the first level's distance is found.
    pub strategy: Strategy,
    /// The models' aversion to inventory, per basis point that one first level of XRP may lose; 0 fears nothing.
    pub gamma_per_bps: Dec,
    /// The models' k: how arrivals fall with the distance from the middle, per basis point; `neo calibrate` measures it.
    pub k_per_bps: Dec,
    /// GLFT's A: arrivals in an hour that would reach a quote at the middle; `neo calibrate` measures it.
    pub intensity_per_hour: Dec,
    /// Seconds that inventory is thought to be held for: Avellaneda-Stoikov's horizon, which is always that far away, and
    /// the time whose moves `volatility_widen` counts.
    pub horizon_s: u32,
    /// Least distance of a model's first level from the reference, in basis points of it.
    pub min_offset_bps: Dec,
    /// Largest distance of a model's or a widened first level from the reference, in basis points of it.
    pub max_offset_bps: Dec,
    /// Seconds of ledger time that the volatility is measured over.
    pub volatility_window_s: u32,
    /// Fixed offsets grow by so many deviations of the price over `horizon_s`; 0: not at all.
    pub volatility_widen: Dec,
    /// Distances of all bids, the first level first, in the place of `bid_offset_bps` and `level_step_bps`.
    pub bid_offsets_bps: Vec<Dec>,
    /// Distances of all asks, the first level first, in the place of `ask_offset_bps` and `level_step_bps`.
    pub ask_offsets_bps: Vec<Dec>,
    /// XRP of each level, the first level first, in the place of `size_xrp`.
    pub sizes_xrp: Vec<Dec>,
    /// Size of each level as a part of what its side can pay with, in percent, in the place of `size_xrp`.
    pub size_pct: Option<Dec>,
    /// Ledgers that no bid stands after one was filled.
    pub bid_delay_after_fill_ledgers: u32,
    /// Ledgers that no ask stands after one was filled.
    pub ask_delay_after_fill_ledgers: u32,
    /// No bid pays more than this, whatever the market says; RLUSD for one XRP.
    pub price_ceiling: Option<Dec>,
    /// No ask takes less than this, whatever the market says; RLUSD for one XRP.
    pub price_floor: Option<Dec>,
    /// By how much a quote's price must be better for its taker than the pool's (AMM's), in basis points of it.
    pub amm_min_edge_bps: Option<Dec>,
    /// Least margin that a new offer keeps from the best opposite price, the pool's included, in basis points of it; 0: none.
    pub taking_guard_bps: Dec,
    /// Deviations of the price over the time in flight that the margin is at least; 0: not by the volatility.
    pub taking_guard_deviations: Dec,
}

impl Default for QuoteConfig {
    fn default() -> QuoteConfig {
        QuoteConfig {
            bid_offset_bps: Dec::from_i64(10),
            ask_offset_bps: Dec::from_i64(10),
            levels: 2,
            level_step_bps: Dec::from_i64(10),
            size_xrp: Dec::from_i64(100),
            refresh_ledgers: 4,
            tolerance_bps: Dec::from_i64(3),
            size_tolerance_pct: Dec::from_i64(10),
            expiration_s: 120,
            min_size_xrp: Dec::from_i64(5),
            price_places: 6,
            inventory_target_pct: None,
            skew_bps: Dec::from_i64(10),
            skew_size_pct: Dec::from_i64(50),
            strategy: Strategy::Fixed,
            gamma_per_bps: hundredths(1),
            k_per_bps: hundredths(10),
            intensity_per_hour: Dec::from_i64(200),
            horizon_s: 60,
            min_offset_bps: Dec::one(),
            max_offset_bps: Dec::from_i64(100),
            volatility_window_s: 300,
            volatility_widen: Dec::zero(),
            bid_offsets_bps: Vec::new(),
            ask_offsets_bps: Vec::new(),
            sizes_xrp: Vec::new(),
            size_pct: None,
            bid_delay_after_fill_ledgers: 0,
            ask_delay_after_fill_ledgers: 0,
            price_ceiling: None,
            price_floor: None,
            amm_min_edge_bps: None,
            taking_guard_bps: Dec::from_i64(5),
            taking_guard_deviations: Dec::from_i64(3),
        }
    }
}

/// A number of hundredths; those asked for here are no larger than an amount.
fn hundredths(count: i64) -> Dec {
    Dec::from_parts(count, -2).unwrap_or_default()
}

impl QuoteConfig {
    /// Distance of a level from the middle before the strategy moves it, in basis points.
    ///
    /// The side's list where there is one, else the side's offset plus `level` steps.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd settings.
    pub fn offset_bps(&self, side: Side, level: u8) -> Result<Dec, AmountError> {
        if let Some(offset) = self.listed_offsets(side).get(usize::from(level)) {
            return Ok(*offset);
        }
        let steps = self.level_step_bps.mul(Dec::from_i64(level.into()), Rounding::HalfEven)?;
        self.first_offset_bps(side).add(steps)
    }

    /// Distance of a level from its side's first, in basis points.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd settings.
    pub fn step_bps(&self, side: Side, level: u8) -> Result<Dec, AmountError> {
        self.offset_bps(side, level)?.sub(self.first_offset_bps(side))
    }

    /// The farthest that a level is ever put from the reference (or from the price that leaning makes of it), in basis
    /// points.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd settings.
    pub fn farthest_bps(&self, side: Side, level: u8) -> Result<Dec, AmountError> {
        if self.needs_volatility() {
            self.max_offset_bps.add(self.step_bps(side, level)?)
        } else {
            self.offset_bps(side, level)
        }
    }

    /// The largest size of a level that is given as such; `None` when sizes are parts of what is owned.
    #[must_use]
    pub fn largest_size_xrp(&self) -> Option<Dec> {
        match self.size_pct {
            Some(_) => None,
            None => Some(self.sizes_xrp.iter().copied().max().unwrap_or(self.size_xrp)),
        }
    }

    /// True when nothing is quoted before the volatility is measured.
    #[must_use]
    pub fn needs_volatility(&self) -> bool {
        self.strategy != Strategy::Fixed || self.volatility_widen.is_positive()
    }

    pub(crate) fn listed_offsets(&self, side: Side) -> &[Dec] {
        match side {
            Side::Bid => &self.bid_offsets_bps,
            Side::Ask => &self.ask_offsets_bps,
        }
    }

    pub(crate) fn first_offset_bps(&self, side: Side) -> Dec {
        let single = match side {
            Side::Bid => self.bid_offset_bps,
            Side::Ask => self.ask_offset_bps,
        };
        self.listed_offsets(side).first().copied().unwrap_or(single)
    }
}

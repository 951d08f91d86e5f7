//! Where the first levels stand: at fixed distances, wider in a wild market, or where a model of inventory wants them.
//!
//! The models count distances in basis points of the reference, time in seconds, and inventory in sizes of the first
//! level, away from `inventory_target_pct`. What they say is kept within `min_offset_bps` and `max_offset_bps`; floats
//! stay in [`crate::model`].

use serde::{Deserialize, Serialize};

use crate::model::{AvellanedaStoikov, Distances, Glft, Intensity, Measured, ModelError, to_amount, to_float};
use crate::problem::Problems;
use crate::quote::{BPS, NoQuote, QuoteConfig};
use crate::skew::Skew;
use crate::{AmountError, Balances, Dec, MarketView, Rounding, Side, model};

/// Decimal places of a distance.
const BPS_PLACES: i32 = 6;
/// Decimal places of an inventory, in sizes.
const SIZE_PLACES: i32 = 12;
/// Seconds in an hour.
const HOUR_S: i64 = 3_600;

/// How the first level's distance is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// `bid_offset_bps` and `ask_offset_bps`, and `skew_bps` against inventory.
    #[default]
    Fixed,
    /// Avellaneda and Stoikov (2008), with a horizon that is always `horizon_s` away.
    AvellanedaStoikov,
    /// Gueant, Lehalle and Fernandez-Tapia (2013), in closed form, without a horizon.
    Glft,
}

impl Strategy {
    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::Fixed => "fixed",
            Strategy::AvellanedaStoikov => "avellaneda_stoikov",
            Strategy::Glft => "glft",
        }
    }
}

/// Where the first levels stand; the others are their steps farther out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The price that distances are counted from, RLUSD for one XRP.
    pub middle: Dec,
    /// Of the first bid below it, in basis points of it.
    pub bid_offset_bps: Dec,
    /// Of the first ask above it, in basis points of it.
    pub ask_offset_bps: Dec,
}

impl Shape {
    /// The shape that a configuration's strategy has in this market, with these balances and this volatility.
    ///
    /// A model's distances are counted from the reference: half of its spread, moved by its reservation price, and then
    /// kept within `min_offset_bps` and `max_offset_bps`. So a bid never stands above the reference less the least
    /// distance, however short of XRP the account is.
    ///
    /// # Errors
    /// [`NoQuote::VolatilityUnknown`] where it is needed and not measured yet, [`NoQuote::Strategy`] when the parameters
    /// are absurd together, [`NoQuote::Amount`].
    pub fn of(
        (view, reference): (&MarketView, Dec),
        balances: &Balances,
        volatility: Measured,
        skew: Skew,
        config: &QuoteConfig,
    ) -> Result<Shape, NoQuote> {
        if !config.needs_volatility() {
            return Ok(Shape::fixed(view, reference, skew, config)?);
        }
        let sigma = match volatility {
            Measured::Sigma(sigma) => sigma,
            Measured::TooFew(moves) => {
                let (needed, window_s) = (model::WARM_UP_MOVES, config.volatility_window_s);
                return Err(NoQuote::VolatilityUnknown { moves, needed, window_s });
            }
        };
        if config.strategy == Strategy::Fixed {
            return widened(Shape::fixed(view, reference, skew, config)?, sigma, config);
        }
        let distances = distances(inventory(balances, reference, config)?, sigma, config).map_err(NoQuote::from)?;
        let bounded = |distance: f64| -> Result<Dec, NoQuote> {
            // Away from zero, so that two quotes of a spread above zero never meet.
            let bps = to_amount(distance, BPS_PLACES, Rounding::Up)?;
            Ok(bps.max(config.min_offset_bps).min(config.max_offset_bps))
        };
        Ok(Shape {
            middle: reference,
            bid_offset_bps: bounded(distances.bid)?,
            ask_offset_bps: bounded(distances.ask)?,
        })
    }

    /// Fixed distances around the price that leaning against inventory makes of the reference.
    ///
    /// # Errors
    /// [`AmountError`] for absurd prices.
    pub fn fixed(view: &MarketView, reference: Dec, skew: Skew, config: &QuoteConfig) -> Result<Shape, AmountError> {
        Ok(Shape {
            middle: skew.middle(view, reference, config)?,
            bid_offset_bps: config.offset_bps(Side::Bid, 0)?,
            ask_offset_bps: config.offset_bps(Side::Ask, 0)?,
        })
    }
}

impl From<ModelError> for NoQuote {
    fn from(error: ModelError) -> NoQuote {
        NoQuote::Strategy { reason: error.to_string() }
    }
}

/// Both distances grow by `volatility_widen` deviations of the price over the horizon, up to the largest distance.
fn widened(shape: Shape, sigma_bps: Dec, config: &QuoteConfig) -> Result<Shape, NoQuote> {
    let more =
        model::deviation_over(sigma_bps, config.horizon_s, BPS_PLACES)?.mul(config.volatility_widen, Rounding::Up)?;
    let wide = |offset: Dec| -> Result<Dec, NoQuote> {
        let wide = offset.add(more)?.round_places(BPS_PLACES, Rounding::Up)?;
        Ok(wide.min(config.max_offset_bps).max(offset))
    };
    let (bid, ask) = (wide(shape.bid_offset_bps)?, wide(shape.ask_offset_bps)?);
    Ok(Shape { bid_offset_bps: bid, ask_offset_bps: ask, ..shape })
}

/// The model's distances of an inventory in sizes.
fn distances(inventory: Dec, sigma_bps: Dec, config: &QuoteConfig) -> Result<Distances, ModelError> {
    let [gamma, sigma, k, q] = [config.gamma_per_bps, sigma_bps, config.k_per_bps, inventory].map(to_float);
    if config.strategy == Strategy::Glft {
        let a = config.intensity_per_hour.div(Dec::from_i64(HOUR_S), Rounding::HalfEven)?;
        Ok(Glft::new(gamma, sigma, &Intensity::new(to_float(a), k)?)?.distances(q))
    } else {
        Ok(AvellanedaStoikov::new(gamma, sigma, k)?.distances(q, f64::from(config.horizon_s)))
    }
}

/// How much more XRP is owned than the target, in sizes of the first level; below zero when less is.
///
/// The target is a part of the total value at `price`, so that a price that moves is no inventory of its own. With sizes
/// that are a share of what is owned, one size is that share of the target.
///
/// # Errors
/// [`AmountError`] for absurd balances, prices or sizes.
pub fn inventory(balances: &Balances, price: Dec, config: &QuoteConfig) -> Result<Dec, AmountError> {
    let Some(target) = config.inventory_target_pct else { return Ok(Dec::zero()) };
    let xrp = balances.xrp.to_xrp()?;
    let total = xrp.add(balances.rlusd.max(Dec::zero()).div(price, Rounding::HalfEven)?)?;
    let percent = Dec::from_parts(1, -2)?;
    let wanted = total.mul(target, Rounding::HalfEven)?.mul(percent, Rounding::HalfEven)?;
    let size = match config.size_pct {
        Some(share) => wanted.mul(share, Rounding::HalfEven)?.mul(percent, Rounding::HalfEven)?,
        None => config.sizes_xrp.first().copied().unwrap_or(config.size_xrp),
    };
    if !size.is_positive() {
        return Ok(Dec::zero());
    }
    xrp.sub(wanted)?.div(size, Rounding::HalfEven)?.round_places(SIZE_PLACES, Rounding::HalfEven)
}

/// Notes every mistake of the strategy's settings.
pub(crate) fn check(config: &QuoteConfig, found: &mut Problems) {
    check_parameters(config, found);
    check_distances(config, found);
    if config.strategy == Strategy::Fixed {
        return;
    }
    let named = config.inventory_target_pct.is_some();
    let reason = format!("strategy = \"{}\" leans towards a target by itself, and has none", config.strategy.as_str());
    let fix = "name the part of the total value to hold as XRP, in percent, such as 50";
    found.require(named, "inventory_target_pct", "(not set)", &reason, fix);
    let widen = config.volatility_widen;
    let reason = "the models count the volatility in by themselves";
    found.require(widen.is_zero(), "volatility_widen", widen, reason, "use 0, or strategy = \"fixed\"");
    for (key, side) in [("bid_offsets_bps", Side::Bid), ("ask_offsets_bps", Side::Ask)] {
        let listed = config.listed_offsets(side).len();
        let reason = "a model decides where the first level stands";
        let fix = "leave the key out: further levels stand level_step_bps apart; or use strategy = \"fixed\"";
        found.require(listed == 0, key, format!("{listed} distances"), reason, fix);
    }
}

fn check_parameters(config: &QuoteConfig, found: &mut Problems) {
    let gamma = config.gamma_per_bps;
    let fix = "use 0 (fears no inventory) or more, such as 0.01";
    found.require(!gamma.is_negative(), "gamma_per_bps", gamma, "an aversion is not negative", fix);
    let reason = "arrivals fall with the distance";
    let fix = "use what neo calibrate finds, or 1 divided by your usual offset, such as 0.1";
    found.require(config.k_per_bps.is_positive(), "k_per_bps", config.k_per_bps, reason, fix);
    let intensity = config.intensity_per_hour;
    let fix = "use what neo calibrate finds, such as 200";
    found.require(intensity.is_positive(), "intensity_per_hour", intensity, "without arrivals nothing is filled", fix);
    let range = (1..=86_400).contains(&config.horizon_s);
    let reason = "inventory is held for a second at least, and a day at most";
    found.require(range, "horizon_s", config.horizon_s, reason, "use 1 to 86400, such as 60");
    let range = (60..=86_400).contains(&config.volatility_window_s);
    let reason = "ten moves of the price, about 40 seconds of ledgers, must fit in, and a day is history";
    found.require(range, "volatility_window_s", config.volatility_window_s, reason, "use 60 to 86400, such as 300");
    let widen = config.volatility_widen;
    let range = !widen.is_negative() && widen <= Dec::from_i64(100);
    found.require(range, "volatility_widen", widen, "it is a number of deviations", "use 0 (off) to 100, such as 1");
}

fn check_distances(config: &QuoteConfig, found: &mut Problems) {
    let (least, most) = (config.min_offset_bps, config.max_offset_bps);
    let reason = "a quote that is beyond the reference would give away more than the spread";
    found.require(!least.is_negative(), "min_offset_bps", least, reason, "use 0 or more, such as 1");
    let reason = format!("it is not above min_offset_bps = {least}");
    found.require(most > least, "max_offset_bps", most, &reason, "use more than min_offset_bps, such as 100");
    if !config.needs_volatility() {
        return;
    }
    for side in Side::BOTH {
        let last = config.farthest_bps(side, config.levels.saturating_sub(1));
        let near = last.is_ok_and(|bps| bps < Dec::from_i64(BPS));
        let reason = "at that distance the last level is 10000 bps or more from the middle: a price of zero or below";
        let fix = "use a smaller bound, step or number of levels";
        found.require(near, "max_offset_bps", most, reason, fix);
        let first = config.first_offset_bps(side);
        let room = config.strategy != Strategy::Fixed || first <= most;
        let reason = format!("the first {} stands {first} bps off already, and offsets only widen", side.as_str());
        found.require(room, "max_offset_bps", most, &reason, "use more than the offsets, or volatility_widen = 0");
    }
}

#[cfg(test)]
#[path = "strategy_tests.rs"]
mod tests;

//! Which offers should stand in the book: levels around a price, as the strategy has shaped them, sized to what we own.

mod checks;
mod config;
mod guard;
mod level;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decimal::LEDGER_DIGITS;
use crate::skew::Skew;
use crate::strategy::Shape;
use crate::{AmountError, Balances, Dec, Drops, IssuerRules, MarketView, Rounding, Side};

use level::Levels;

pub use config::QuoteConfig;
pub use guard::{MOST_GUARD_BPS, Moved, Moves, Stays, guard_bps, is_nearer, kept_from};

/// Decimal places an RLUSD leg is rounded to: the codec keeps 15 digits after the point without loss.
const LEG_PLACES: i32 = 15;
/// Most levels a side.
pub const MAX_LEVELS: u8 = 10;
/// Basis points in one.
pub const BPS: i64 = 10_000;

/// An offer to make, with both legs as they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The side it stands on.
    pub side: Side,
    /// Its place on that side, 0 nearest the middle.
    pub level: u8,
    /// RLUSD for one XRP. The legs never give a worse price than this for us.
    pub price: Dec,
    /// The XRP leg.
    pub size: Drops,
    /// The RLUSD leg: at most 15 decimal places and 16 digits.
    pub rlusd: Dec,
}

impl Quote {
    /// The quote whose RLUSD leg is `size` times `price`, rounded in our favour: a bid pays less, an ask receives more.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd prices.
    pub fn new(side: Side, level: u8, price: Dec, size: Drops) -> Result<Quote, AmountError> {
        let rounding = favourable(side);
        let exact = size.to_xrp()?.mul(price, rounding)?;
        let rlusd = exact.round_places(LEG_PLACES, rounding)?.round_digits(LEDGER_DIGITS, rounding)?;
        Ok(Quote { side, level, price, size, rlusd })
    }
}

/// The rounding of a positive price or RLUSD leg that is never to our cost.
fn favourable(side: Side) -> Rounding {
    match side {
        Side::Bid => Rounding::Down,
        Side::Ask => Rounding::Up,
    }
}

/// What our offers may promise in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funds {
    /// XRP that asks may sell.
    pub spendable_xrp: Drops,
    /// RLUSD that bids may pay.
    pub rlusd: Dec,
}

impl Funds {
    /// What `balances` leave for quoting once the reserve of every offer still to be placed is put aside.
    ///
    /// `resting_offers` are the offers whose reserve `balances` already hold back, `reserve_inc` is the ledger's
    /// reserve for one object.
    #[must_use]
    pub fn of(balances: &Balances, reserve_inc: Drops, resting_offers: usize, config: &QuoteConfig) -> Funds {
        let wanted = i64::from(config.levels).saturating_mul(2);
        let missing = wanted.saturating_sub(i64::try_from(resting_offers).unwrap_or(i64::MAX)).max(0);
        let aside = reserve_inc.get().saturating_mul(missing);
        let spendable = balances.spendable_xrp().get().saturating_sub(aside).max(0);
        Funds { spendable_xrp: Drops::new(spendable), rlusd: balances.rlusd }
    }

    /// A bid that was moved may rest at its own price, which is dearer: that much is promised.
    fn take(&mut self, quote: &Quote, moved: Option<&Moved>) -> Result<(), AmountError> {
        match (quote.side, moved) {
            (Side::Bid, None) => self.rlusd = self.rlusd.sub(quote.rlusd)?,
            (Side::Bid, Some(moved)) => {
                self.rlusd = self.rlusd.sub(quote.size.to_xrp()?.mul(moved.own, Rounding::Up)?)?;
            }
            (Side::Ask, _) => self.spendable_xrp = self.spendable_xrp.sub(quote.size)?,
        }
        Ok(())
    }
}

/// Why a level is not quoted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WithheldReason {
    /// The price would trade at once.
    #[error("its price {price} would cross the best opposite price {best}; widen the offset")]
    WouldCross {
        /// The price of the level.
        price: Dec,
        /// The best price of the other side.
        best: Dec,
    },
    /// The pool would be taken from at once.
    #[error("its price {price} would take from the pool (AMM), which stands at {pool}; widen the offset")]
    WouldTakeFromPool {
        /// The price of the level.
        price: Dec,
        /// What the pool pays or asks, its fee included.
        pool: Dec,
    },
    /// Takers would go to the pool first.
    #[error(
        "the pool (AMM) trades at {pool}, and the price {price} is not better for a taker by amm_min_edge_bps = \
         {edge_bps}: it would be taken only after the pool; narrow the offset, lower taking_guard_deviations if that is \
         what moved it, or leave the key out"
    )]
    PoolGoesFirst {
        /// The price of the level.
        price: Dec,
        /// What the pool pays or asks, its fee included.
        pool: Dec,
        /// The edge asked for.
        edge_bps: Dec,
    },
    /// A bid would pay more than the operator allows.
    #[error("its price {price} is above price_ceiling = {ceiling}; it is quoted again when the market is lower")]
    AboveCeiling {
        /// What the bid would pay, the issuer's fee included.
        price: Dec,
        /// The bound.
        ceiling: Dec,
    },
    /// An ask would take less than the operator allows.
    #[error("its price {price} is below price_floor = {floor}; it is quoted again when the market is higher")]
    BelowFloor {
        /// What the ask would receive.
        price: Dec,
        /// The bound.
        floor: Dec,
    },
    /// The share of the inventory is less than the smallest size.
    #[error(
        "size_pct of what this side can pay with is {size} XRP, fewer than min_size_xrp = {minimum}; raise size_pct or \
         lower min_size_xrp"
    )]
    ShareTooSmall {
        /// The share in XRP.
        size: Drops,
        /// The smallest size.
        minimum: Dec,
    },
    /// Less than the smallest size is affordable.
    #[error("{affordable} XRP can be paid for, fewer than min_size_xrp = {minimum}; add funds or lower size_xrp")]
    InsufficientFunds {
        /// XRP that what is left of the balance allows.
        affordable: Drops,
        /// The smallest size.
        minimum: Dec,
    },
    /// What the skew leaves of the size is less than the smallest.
    #[error(
        "inventory is far from inventory_target_pct, and skew_size_pct leaves {size} XRP of the side that would add to \
         it, fewer than min_size_xrp = {minimum}; it is quoted again nearer the target"
    )]
    Skewed {
        /// XRP that the skew leaves.
        size: Drops,
        /// The smallest size.
        minimum: Dec,
    },
    /// The price is zero or below after rounding.
    #[error("its price {price} is not above zero; use a smaller offset or more price_places")]
    PriceTooSmall {
        /// The price after rounding.
        price: Dec,
    },
    /// No legs near this size rest as they are signed.
    #[error(
        "no offer near {size} XRP at {price} keeps its amounts on the issuer's tick size; change size_xrp a little"
    )]
    OffTheGrid {
        /// The size asked for.
        size: Drops,
        /// The price asked for.
        price: Dec,
    },
    /// The RLUSD leg is under a millionth, where the ledger's encoding is no longer trusted.
    #[error("its RLUSD leg {rlusd} is below 0.000001; use a larger size_xrp")]
    LegTooSmall {
        /// The RLUSD leg.
        rlusd: Dec,
    },
}

impl WithheldReason {
    /// The word that is stored and counted; the figures are in the text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            WithheldReason::WouldCross { .. } => "would_cross",
            WithheldReason::WouldTakeFromPool { .. } => "would_take_from_pool",
            WithheldReason::PoolGoesFirst { .. } => "pool_goes_first",
            WithheldReason::AboveCeiling { .. } => "above_ceiling",
            WithheldReason::BelowFloor { .. } => "below_floor",
            WithheldReason::ShareTooSmall { .. } => "share_too_small",
            WithheldReason::InsufficientFunds { .. } => "insufficient_funds",
            WithheldReason::Skewed { .. } => "skewed",
            WithheldReason::PriceTooSmall { .. } => "price_too_small",
            WithheldReason::OffTheGrid { .. } => "off_the_grid",
            WithheldReason::LegTooSmall { .. } => "leg_too_small",
        }
    }
}

/// A level that is not quoted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The side.
    pub side: Side,
    /// The level, 0 nearest the middle.
    pub level: u8,
    /// Why.
    pub reason: WithheldReason,
    /// Where an offer that rests already may stay, although no new one is placed.
    pub stays: Option<Stays>,
}

/// The offers that should stand, level by level, the bid of a level before its ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// [`Conditions::reference`], else the middle of the book without our offers; RLUSD for one XRP.
    pub reference_price: Dec,
    /// What to offer.
    pub quotes: Vec<Quote>,
    /// The levels left out.
    pub withheld: Vec<Withheld>,
    /// Those of `quotes` that a new offer would stand farther out for than its distance says.
    pub moved: Vec<Moved>,
}

impl Desired {
    /// The quote of a level.
    #[must_use]
    pub fn quote(&self, side: Side, level: u8) -> Option<&Quote> {
        self.quotes.iter().find(|quote| quote.side == side && quote.level == level)
    }

    /// Nothing is placed on this side, and nothing stays there.
    pub fn leave_out(&mut self, side: Side) {
        self.quotes.retain(|quote| quote.side != side);
        self.withheld.iter_mut().filter(|left_out| left_out.side == side).for_each(|left_out| left_out.stays = None);
    }

    /// Where what rests on a level may stay that no new offer is placed on.
    #[must_use]
    pub fn stays(&self, side: Side, level: u8) -> Option<Stays> {
        self.withheld.iter().find(|left_out| left_out.side == side && left_out.level == level)?.stays
    }

    /// How a level's quote was moved away from the market, if it was.
    #[must_use]
    pub fn moved(&self, side: Side, level: u8) -> Option<&Moved> {
        self.moved.iter().find(|moved| moved.side == side && moved.level == level)
    }
}

/// Why nothing can be quoted at all.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoQuote {
    /// A side of the book is empty, so there is no middle.
    #[error("the book of ledger {ledger_index} has no {missing} but ours: no reference price; wait for the market")]
    NoReferencePrice {
        /// The ledger of the view.
        ledger_index: u32,
        /// The empty side; the bid when both are.
        missing: &'static str,
    },
    /// The best bid is above the best ask: the view is not to be trusted.
    #[error("the book of ledger {ledger_index} is crossed: bid {bid} above ask {ask}; take a fresh snapshot")]
    CrossedBook {
        /// The ledger of the view.
        ledger_index: u32,
        /// The best bid.
        bid: Dec,
        /// The best ask.
        ask: Dec,
    },
    /// A best price or the reference is zero or below.
    #[error(
        "the book of ledger {ledger_index} or its reference has the price {price}, not above zero; take a fresh snapshot"
    )]
    AbsurdPrice {
        /// The ledger of the view.
        ledger_index: u32,
        /// The price.
        price: Dec,
    },
    /// The strategy needs the volatility, and has not seen enough of the market.
    #[error(
        "the volatility is not measured yet: {moves} of {needed} moves of the price within volatility_window_s = \
         {window_s}; it quotes when there are as many"
    )]
    VolatilityUnknown {
        /// Moves that were seen.
        moves: u32,
        /// Moves that are needed.
        needed: u32,
        /// The window, in seconds.
        window_s: u32,
    },
    /// The model gives no distance that could be quoted.
    #[error("the strategy gives no quote: {reason}; change its parameters in [quote]")]
    Strategy {
        /// Why.
        reason: String,
    },
    /// The arithmetic left the range of amounts.
    #[error("the quotes cannot be computed: {0}")]
    Amount(#[from] AmountError),
}

impl NoQuote {
    /// The word that is stored and counted; the figures are in the text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            NoQuote::NoReferencePrice { .. } => "no_reference_price",
            NoQuote::CrossedBook { .. } => "crossed_book",
            NoQuote::AbsurdPrice { .. } => "absurd_price",
            NoQuote::VolatilityUnknown { .. } => "volatility_unknown",
            NoQuote::Strategy { .. } => "strategy",
            NoQuote::Amount(_) => "amount",
        }
    }
}

/// The offers that should stand in this market with these funds.
///
/// The reference is the middle of the book without our own offers; each level stands `offset + level * step` basis
/// points from it, its price rounded away from the middle to the configured places. A locked book (best bid equal to
/// best ask) is quoted: rippled leaves one behind when rounding keeps two offers from trading. Sizes of a side never
/// add up to more than `funds`: the level that does not fit is cut down, or withheld below the smallest size. A level
/// that would trade at once is withheld, never moved. `config` is expected to be free of [`QuoteConfig::problems`].
///
/// # Errors
/// [`NoQuote`] when no level can be quoted: no or no sane reference price, or amounts out of range.
pub fn desired(view: &MarketView, funds: &Funds, config: &QuoteConfig) -> Result<Desired, NoQuote> {
    desired_under(view, funds, config, Conditions::default())
}

/// What quotes give way to, beside the market and the funds. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The issuer's tick size and fee.
    pub rules: IssuerRules,
    /// How the quotes lean against inventory.
    pub skew: Skew,
    /// The price that levels stand around before they lean, RLUSD for one XRP; `None` is the middle of the book.
    pub reference: Option<Dec>,
    /// Where the strategy puts the first levels; `None` is fixed offsets, unwidened.
    pub shape: Option<Shape>,
    /// The largest size that a share of the inventory may become; `None` is any.
    pub largest: Option<Drops>,
    /// How far a new offer keeps from the best opposite price, in basis points: [`guard_bps`]; 0: it only does not cross it.
    pub guard_bps: Dec,
}

/// The same where the issuer has a tick size or takes a fee, or quotes lean against inventory.
///
/// Every quote rests exactly as it is signed, at the configured distance or farther and at most at the configured size.
/// The distance of a bid holds for what it costs, the fee included, so that it stands lower by the fee; and bids promise
/// no more than can be paid with it. Levels stand around [`Shape::middle`], in
/// the sizes of [`Skew::size`]. A level that would take from the pool (AMM) is withheld like one that would cross;
/// one that might before a ledger has it is moved away ([`Desired::moved`]).
///
/// # Errors
/// [`NoQuote`], as [`desired`].
pub fn desired_under(
    view: &MarketView,
    funds: &Funds,
    config: &QuoteConfig,
    conditions: Conditions,
) -> Result<Desired, NoQuote> {
    let Conditions { rules, skew, reference, shape, largest, guard_bps } = conditions;
    let reference = middle_of(view, reference)?;
    let mut desired =
        Desired { reference_price: reference, quotes: Vec::new(), withheld: Vec::new(), moved: Vec::new() };
    let shape = match shape {
        Some(shape) => shape,
        None => Shape::fixed(view, reference, skew, config)?,
    };
    let funds = Funds { rlusd: rules.promisable(funds.rlusd)?, ..*funds };
    let levels = Levels { view, config, rules, skew, shape, reference, funds, largest, guard_bps };
    let mut left = funds;
    for level in 0..config.levels {
        for side in Side::BOTH {
            match levels.quote(side, level, &left)? {
                Ok((quote, moved)) => {
                    left.take(&quote, moved.as_ref())?;
                    desired.quotes.push(quote);
                    desired.moved.extend(moved);
                }
                Err((reason, stays)) => desired.withheld.push(Withheld { side, level, reason, stays }),
            }
        }
    }
    Ok(desired)
}

/// The price that levels stand around: the one that is given, else the middle. A view that is absurd or crossed is not
/// quoted around any price; one that is empty on a side only has no middle.
///
/// # Errors
/// [`NoQuote`]: there is no such price.
pub fn middle_of(view: &MarketView, given: Option<Dec>) -> Result<Dec, NoQuote> {
    let ledger_index = view.ledger_index;
    let (bid, ask) = (view.best(Side::Bid), view.best(Side::Ask));
    if let Some(price) = [bid, ask, given].into_iter().flatten().find(|price| !price.is_positive()) {
        return Err(NoQuote::AbsurdPrice { ledger_index, price });
    }
    if let (Some(bid), Some(ask)) = (bid, ask)
        && bid > ask
    {
        return Err(NoQuote::CrossedBook { ledger_index, bid, ask });
    }
    if let Some(given) = given {
        return Ok(given);
    }
    for (side, best) in [(Side::Bid, bid), (Side::Ask, ask)] {
        best.ok_or(NoQuote::NoReferencePrice { ledger_index, missing: side.as_str() })?;
    }
    view.mid()?.ok_or(NoQuote::NoReferencePrice { ledger_index, missing: Side::Bid.as_str() })
}

/// True when an offer of `side` at `price` trades with an opposite offer at `best`.
#[must_use]
pub fn crosses(side: Side, price: Dec, best: Dec) -> bool {
    match side {
        Side::Bid => price >= best,
        Side::Ask => price <= best,
    }
}

#[cfg(test)]
#[path = "quote_tests.rs"]
mod tests;

//! Which offers should stand in the book: fixed offsets around the middle price, sized to what we own.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decimal::LEDGER_DIGITS;
use crate::problem::{Problem, Problems};
use crate::skew::{self, Skew};
use crate::{AmountError, Balances, Dec, Drops, IssuerRules, MarketView, Rounding, Side};

/// Decimal places an RLUSD leg is rounded to: the codec keeps 15 digits after the point without loss.
const LEG_PLACES: i32 = 15;
/// Most levels a side.
pub const MAX_LEVELS: u8 = 10;
/// Basis points in one.
pub const BPS: i64 = 10_000;

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
        }
    }
}

impl QuoteConfig {
    /// Every mistake, in the order of the fields; empty when the configuration can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        self.check_offsets(&mut found);
        self.check_sizes(&mut found);
        self.check_refresh(&mut found);
        skew::check(self, &mut found);
        found.into_vec()
    }

    fn check_offsets(&self, found: &mut Problems) {
        let not_negative = [
            ("bid_offset_bps", self.bid_offset_bps),
            ("ask_offset_bps", self.ask_offset_bps),
            ("level_step_bps", self.level_step_bps),
        ];
        for (key, value) in not_negative {
            found.require(
                !value.is_negative(),
                key,
                value,
                "a distance from the middle is not negative",
                "use 0 or more",
            );
        }
        let both_zero = self.bid_offset_bps.is_zero() && self.ask_offset_bps.is_zero();
        let reason = "with both offsets 0 the bid and the ask meet at the middle";
        found.require(
            !both_zero,
            "bid_offset_bps",
            self.bid_offset_bps,
            reason,
            "make one offset more than 0, such as 10",
        );
        let range = (1..=MAX_LEVELS).contains(&self.levels);
        found.require(range, "levels", self.levels, "the number of levels a side is 1 to 10", "use 1 to 10");
        let step_needed = self.levels > 1 && self.level_step_bps.is_zero();
        let reason = "two levels cannot stand at one price";
        found.require(!step_needed, "level_step_bps", self.level_step_bps, reason, "use more than 0, or levels = 1");
        for (key, side) in [("bid_offset_bps", Side::Bid), ("ask_offset_bps", Side::Ask)] {
            let last = self.offset_bps(side, self.levels.saturating_sub(1));
            let near = last.is_ok_and(|bps| bps < Dec::from_i64(BPS));
            let reason = "the last level is 10000 bps or more from the middle: a price of zero or below";
            found.require(
                near,
                key,
                self.first_offset_bps(side),
                reason,
                "use a smaller offset, step or number of levels",
            );
        }
    }

    fn check_sizes(&self, found: &mut Problems) {
        // All XRP that exist: 10^11.
        let all_xrp = Dec::from_i64(100_000_000_000);
        let possible = self.size_xrp.is_positive() && self.size_xrp <= all_xrp;
        let reason = "a size is above 0 and at most all XRP there is";
        found.require(possible, "size_xrp", self.size_xrp, reason, "use the XRP you want to show a level, such as 100");
        let places = self.size_xrp.round_places(6, Rounding::Down).is_ok_and(|rounded| rounded == self.size_xrp);
        found.require(
            places,
            "size_xrp",
            self.size_xrp,
            "a drop is a millionth of an XRP",
            "use at most 6 decimal places",
        );
        let positive = self.min_size_xrp.is_positive();
        found.require(positive, "min_size_xrp", self.min_size_xrp, "a smallest size is above 0", "use 1 or more");
        let reachable = self.min_size_xrp <= self.size_xrp;
        let reason = format!("it is above size_xrp = {}: nothing would ever be quoted", self.size_xrp);
        found.require(reachable, "min_size_xrp", self.min_size_xrp, &reason, "use at most size_xrp");
        let percent = !self.size_tolerance_pct.is_negative() && self.size_tolerance_pct < Dec::from_i64(100);
        let reason = "the tolerance is a part of the size";
        found.require(
            percent,
            "size_tolerance_pct",
            self.size_tolerance_pct,
            reason,
            "use 0 or more and less than 100",
        );
    }

    fn check_refresh(&self, found: &mut Problems) {
        let reason = "an offer must rest for at least one ledger";
        found.require(self.refresh_ledgers >= 1, "refresh_ledgers", self.refresh_ledgers, reason, "use 1 or more");
        // The ledger rounds an offer's legs, so the price it shows differs from ours in the last digit.
        let reason = "a resting price always differs in its last digit, so every ledger would replace every offer";
        let positive = self.tolerance_bps.is_positive();
        found.require(positive, "tolerance_bps", self.tolerance_bps, reason, "use more than 0, such as 3");
        let range = (30..=86_400).contains(&self.expiration_s);
        let reason = "an offer is renewed in the last third of its life, which must outlast a few ledgers, \
                      and a forgotten one must not outlive a day";
        found.require(range, "expiration_s", self.expiration_s, reason, "use 30 to 86400, such as 120");
        let places = (0..=LEG_PLACES).contains(&self.price_places);
        let reason = "the ledger keeps 15 places at most";
        found.require(places, "price_places", self.price_places, reason, "use 0 to 15, such as 6");
    }

    fn first_offset_bps(&self, side: Side) -> Dec {
        match side {
            Side::Bid => self.bid_offset_bps,
            Side::Ask => self.ask_offset_bps,
        }
    }

    /// Distance of a level from the middle, in basis points: the side's offset plus `level` steps.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for absurd settings.
    pub fn offset_bps(&self, side: Side, level: u8) -> Result<Dec, AmountError> {
        let steps = self.level_step_bps.mul(Dec::from_i64(level.into()), Rounding::HalfEven)?;
        self.first_offset_bps(side).add(steps)
    }
}

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

    fn take(&mut self, quote: &Quote) -> Result<(), AmountError> {
        match quote.side {
            Side::Bid => self.rlusd = self.rlusd.sub(quote.rlusd)?,
            Side::Ask => self.spendable_xrp = self.spendable_xrp.sub(quote.size)?,
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
}

/// The offers that should stand, level by level, the bid of a level before its ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The middle of the book without our offers, RLUSD for one XRP.
    pub reference_price: Dec,
    /// What to offer.
    pub quotes: Vec<Quote>,
    /// The levels left out.
    pub withheld: Vec<Withheld>,
}

impl Desired {
    /// The quote of a level.
    #[must_use]
    pub fn quote(&self, side: Side, level: u8) -> Option<&Quote> {
        self.quotes.iter().find(|quote| quote.side == side && quote.level == level)
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
    /// A best price is zero or below.
    #[error("the book of ledger {ledger_index} has the price {price}, not above zero; take a fresh snapshot")]
    AbsurdPrice {
        /// The ledger of the view.
        ledger_index: u32,
        /// The price.
        price: Dec,
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
}

/// The same where the issuer has a tick size or takes a fee, or quotes lean against inventory.
///
/// Every quote rests exactly as it is signed, at the configured distance or farther and at most at the configured size.
/// The distance of a bid holds for what it costs, the fee included, so that it stands lower by the fee; and bids promise
/// no more than can be paid with it. Levels stand around [`Skew::middle`] instead of the middle, in the sizes of
/// [`Skew::size`].
///
/// # Errors
/// [`NoQuote`], as [`desired`].
pub fn desired_under(
    view: &MarketView,
    funds: &Funds,
    config: &QuoteConfig,
    conditions: Conditions,
) -> Result<Desired, NoQuote> {
    let Conditions { rules, skew } = conditions;
    let mut desired = Desired { reference_price: reference_price(view)?, quotes: Vec::new(), withheld: Vec::new() };
    let around = skew.middle(view, desired.reference_price, config)?;
    let mut left = Funds { rlusd: rules.promisable(funds.rlusd)?, ..*funds };
    for level in 0..config.levels {
        for side in Side::BOTH {
            let wanted = skew.size(side, config)?;
            match quote_level(view, &left, (config, rules), (around, wanted), (side, level))? {
                Ok(quote) => {
                    left.take(&quote)?;
                    desired.quotes.push(quote);
                }
                Err(reason) => desired.withheld.push(Withheld { side, level, reason }),
            }
        }
    }
    Ok(desired)
}

fn reference_price(view: &MarketView) -> Result<Dec, NoQuote> {
    let ledger_index = view.ledger_index;
    let best = |side: Side| view.best(side).ok_or(NoQuote::NoReferencePrice { ledger_index, missing: side.as_str() });
    let (bid, ask) = (best(Side::Bid)?, best(Side::Ask)?);
    if let Some(price) = [bid, ask].into_iter().find(|price| !price.is_positive()) {
        return Err(NoQuote::AbsurdPrice { ledger_index, price });
    }
    if bid > ask {
        return Err(NoQuote::CrossedBook { ledger_index, bid, ask });
    }
    view.mid()?.ok_or(NoQuote::NoReferencePrice { ledger_index, missing: Side::Bid.as_str() })
}

fn quote_level(
    view: &MarketView,
    left: &Funds,
    (config, rules): (&QuoteConfig, IssuerRules),
    (middle, wanted): (Dec, Drops),
    (side, level): (Side, u8),
) -> Result<Result<Quote, WithheldReason>, AmountError> {
    let price = price_at(config, rules, middle, side, level)?;
    if !price.is_positive() {
        return Ok(Err(WithheldReason::PriceTooSmall { price }));
    }
    if let Some(best) = view.best(side.opposite())
        && crosses(side, price, best)
    {
        return Ok(Err(WithheldReason::WouldCross { price, best }));
    }
    if wanted.to_xrp()? < config.min_size_xrp {
        return Ok(Err(WithheldReason::Skewed { size: wanted, minimum: config.min_size_xrp }));
    }
    let size = affordable(left, side, price, wanted)?;
    if size <= Drops::ZERO || size.to_xrp()? < config.min_size_xrp {
        return Ok(Err(WithheldReason::InsufficientFunds { affordable: size, minimum: config.min_size_xrp }));
    }
    let Some(quote) = Quote::on_grid(side, level, price, size, rules.tick_size)? else {
        return Ok(Err(WithheldReason::OffTheGrid { size, price }));
    };
    if quote.rlusd < Dec::from_parts(1, -6)? {
        return Ok(Err(WithheldReason::LegTooSmall { rlusd: quote.rlusd }));
    }
    Ok(Ok(quote))
}

fn price_at(config: &QuoteConfig, rules: IssuerRules, mid: Dec, side: Side, level: u8) -> Result<Dec, AmountError> {
    let offset = config.offset_bps(side, level)?;
    let one = Dec::from_i64(BPS);
    let factor = match side {
        Side::Bid => one.sub(offset)?,
        Side::Ask => one.add(offset)?,
    };
    let rounding = favourable(side);
    let price = mid.mul(factor, rounding)?.mul(Dec::from_parts(1, -4)?, rounding)?;
    rules.offered(side, price)?.round_places(config.price_places, rounding)
}

/// True when an offer of `side` at `price` trades with an opposite offer at `best`.
#[must_use]
pub fn crosses(side: Side, price: Dec, best: Dec) -> bool {
    match side {
        Side::Bid => price >= best,
        Side::Ask => price <= best,
    }
}

/// The largest size up to `wanted` that what is left pays for; zero when nothing is left.
fn affordable(left: &Funds, side: Side, price: Dec, wanted: Drops) -> Result<Drops, AmountError> {
    match side {
        Side::Ask => Ok(wanted.min(left.spendable_xrp.max(Drops::ZERO))),
        Side::Bid if !left.rlusd.is_positive() => Ok(Drops::ZERO),
        Side::Bid if wanted.to_xrp()?.mul(price, Rounding::Up)? <= left.rlusd => Ok(wanted),
        Side::Bid => Drops::from_xrp(left.rlusd.div(price, Rounding::Down)?, Rounding::Down),
    }
}

#[cfg(test)]
#[path = "quote_tests.rs"]
mod tests;

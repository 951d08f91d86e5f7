//! The price that quotes stand around: from the book, the pool, the last trades and a source outside of the ledger, each
//! with its age and its weight; or why none of it can be trusted.
//!
//! The book is always asked, and always without our own offers and dust, as [`MarketView`] has it: one that is crossed gives
//! no reference, whatever the others say. So does one that is empty on a side, unless the operator lets the pool stand alone
//! ([`ReferenceConfig::amm_alone`]).

pub mod book;
pub mod config;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decimal::LEDGER_DIGITS;
use crate::quote::{self, BPS};
use crate::{AmountError, Dec, Drops, MarketView, NoQuote, Rounding, Side};

pub use config::{BookPrice, LocalAddress, OutsideConfig, PriceSource, ReferenceConfig};

/// Decimal places of a weight.
const WEIGHT_PLACES: i32 = 6;

/// What a price was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The middle of the book.
    BookMid,
    /// The book's best prices, weighted by the sizes behind them.
    Microprice,
    /// The book's average prices over a depth.
    DepthWeighted,
    /// The pool's marginal price.
    Amm,
    /// The newest trades.
    LastTrade,
    /// A source outside of the ledger.
    Outside,
}

impl Source {
    /// The word in the record and on the screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::BookMid => "book_mid",
            Source::Microprice => "microprice",
            Source::DepthWeighted => "depth_weighted",
            Source::Amm => "amm",
            Source::LastTrade => "last_trade",
            Source::Outside => "outside",
        }
    }
}

/// How old a price is: what the ledger says is counted in ledgers, anything else in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Age {
    /// Ledgers since.
    #[serde(rename = "age_ledgers")]
    Ledgers(u32),
    /// Seconds since.
    #[serde(rename = "age_s")]
    Seconds(u64),
}

/// One source's price, and what it counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Where it was read.
    pub source: Source,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// How old it was.
    #[serde(flatten)]
    pub age: Age,
    /// Its part of the reference, 0 to 1; 0 for one that was only looked at. The weights of a reference sum to 1.
    pub weight: Dec,
}

/// The reference price of one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// RLUSD for one XRP.
    pub price: Dec,
    /// How it was made: `book_mid`, `microprice`, `depth_weighted` or `blend`.
    pub source: &'static str,
    /// Everything that was read, those that counted first.
    pub readings: Vec<Reading>,
}

/// What is known of the outside price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The newest price, however old.
    pub reading: Option<OutsideReading>,
    /// Why there is none, or none newer.
    pub problem: Option<String>,
}

/// A price from outside of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideReading {
    /// RLUSD for one XRP.
    pub price: Dec,
    /// Seconds since it was true.
    pub age_s: u64,
}

/// Why there is no price that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoReference {
    /// The book is crossed, absurd or empty on a side.
    #[error(transparent)]
    Book(#[from] NoQuote),
    /// An outside price is demanded and there is none.
    #[error("price.outside_required is set and no outside price was read: {why}; mend the source of [price.outside]")]
    OutsideMissing {
        /// What is wrong with the source.
        why: String,
    },
    /// An outside price is demanded and the newest is too old.
    #[error("the outside price is {age_s} s old, price.outside_max_age_s allows {max_s}: {why}; mend its source")]
    OutsideTooOld {
        /// Seconds.
        age_s: u64,
        /// Most seconds.
        max_s: u64,
        /// What is wrong with the source.
        why: String,
    },
    /// The outside price and the book contradict each other: one of them is wrong.
    #[error(
        "the outside price {outside} is {} bps from the book's middle {mid}, price.outside_max_deviation_bps allows {}; one \
         of them is wrong: look at both",
        apart.bps, apart.max_bps
    )]
    OutsideTooFar {
        /// The outside price.
        outside: Dec,
        /// The middle of the book.
        mid: Dec,
        /// How far, of the middle.
        apart: Box<Apart>,
    },
    /// Two sources of the blend contradict each other.
    #[error(
        "{} says {} and {} says {}: {} bps apart, price.max_disagreement_bps allows {}; wait, or give one of them no weight",
        one.0.as_str(),
        one.1,
        other.0.as_str(),
        other.1,
        apart.bps,
        apart.max_bps
    )]
    Disagreement {
        /// A source and its price.
        one: (Source, Dec),
        /// Another.
        other: (Source, Dec),
        /// How far they are apart, of the book's price.
        apart: Box<Apart>,
    },
    /// Every source with a weight is absent or too old.
    #[error("no source of the blend has a price that is new enough; give price.book_weight more than 0, or wait")]
    NoSource,
    /// The arithmetic left the range of amounts.
    #[error("the reference price cannot be computed: {0}")]
    Amount(#[from] AmountError),
}

impl NoReference {
    /// The word that is stored and counted; the figures are in the text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            NoReference::Book(reason) => reason.kind(),
            NoReference::OutsideMissing { .. } => "outside_price_missing",
            NoReference::OutsideTooOld { .. } => "outside_price_too_old",
            NoReference::OutsideTooFar { .. } => "outside_price_too_far",
            NoReference::Disagreement { .. } => "sources_disagree",
            NoReference::NoSource => "no_source",
            NoReference::Amount(_) => "amount",
        }
    }
}

/// How far two prices are from one another, and how far they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Basis points.
    pub bps: Dec,
    /// Most basis points.
    pub max_bps: Dec,
}

/// A source's price, the range within which others do not contradict it, and its weight as configured.
#[derive(Clone, Copy)]
struct Candidate {
    reading: Reading,
    low: Dec,
    high: Dec,
}

/// The reference price of `view` with this outside price.
///
/// Weights of sources that are absent or too old go to the others in proportion. `config` is expected to be free of
/// [`ReferenceConfig::problems`].
///
/// # Errors
/// [`NoReference`] when no price can be trusted: then nothing may be quoted.
pub fn reference(view: &MarketView, outside: &Outside, config: &ReferenceConfig) -> Result<Reference, NoReference> {
    let mid = match quote::middle_of(view, None) {
        Err(reason @ NoQuote::NoReferencePrice { .. }) if config.amm_alone && config.source == PriceSource::Blend => {
            return without_book(view, outside, config, reason);
        }
        middle => middle?,
    };
    check_outside(mid, outside, config)?;
    let (kind, source) = match config.source {
        PriceSource::Mid => (BookPrice::Mid, Source::BookMid.as_str()),
        PriceSource::Microprice => (BookPrice::Microprice, Source::Microprice.as_str()),
        PriceSource::DepthWeighted => (BookPrice::DepthWeighted, Source::DepthWeighted.as_str()),
        PriceSource::Blend => (config.book_price, "blend"),
    };
    let (from, price) = book::price(view, mid, kind, config.depth_xrp)?;
    let book = Reading { source: from, price, age: Age::Ledgers(0), weight: Dec::one() };
    if config.source != PriceSource::Blend {
        let mut readings = vec![book];
        readings.extend(others(view, outside)?.into_iter().map(|candidate| candidate.reading));
        return Ok(Reference { price, source, readings });
    }
    let mut all = vec![Candidate { reading: Reading { weight: config.book_weight, ..book }, low: price, high: price }];
    for mut candidate in others(view, outside)? {
        candidate.reading.weight = config.weight_of(&candidate.reading);
        all.push(candidate);
    }
    // Stable: sources keep their order among those that count and among those that do not.
    all.sort_by_key(|candidate| !candidate.reading.weight.is_positive());
    agree(&all, price, config.max_disagreement_bps)?;
    let mut readings: Vec<Reading> = all.into_iter().map(|candidate| candidate.reading).collect();
    share_out(&mut readings)?;
    Ok(Reference { price: weighted(&readings)?, source, readings })
}

/// The reference while a side of the book is empty: the blend without it, which must have a pool that is new enough and holds
/// `depth_xrp` at least. It may contradict neither the other sources nor the side of the book that is there.
fn without_book(
    view: &MarketView,
    outside: &Outside,
    config: &ReferenceConfig,
    reason: NoQuote,
) -> Result<Reference, NoReference> {
    let mut all = others(view, outside)?;
    for candidate in &mut all {
        candidate.reading.weight = config.weight_of(&candidate.reading);
    }
    let least = Drops::from_xrp(config.depth_xrp, Rounding::Up)?;
    let is_deep = view.amm.as_ref().is_some_and(|pool| pool.xrp >= least);
    let counts =
        |candidate: &&Candidate| candidate.reading.source == Source::Amm && candidate.reading.weight.is_positive();
    let Some(pool) = all.iter().find(counts).copied().filter(|_| is_deep) else { return Err(reason.into()) };
    let price = pool.reading.price;
    check_outside(price, outside, config)?;
    all.sort_by_key(|candidate| !candidate.reading.weight.is_positive());
    agree(&all, price, config.max_disagreement_bps)?;
    // A bid above the pool's band, or an ask below it, that nobody takes: one of the two is not what it seems.
    for side in Side::BOTH {
        let Some(best) = view.best(side) else { continue };
        let gap = if side == Side::Bid { best.sub(pool.high)? } else { pool.low.sub(best)? };
        let bps = apart_bps(gap.max(Dec::zero()), price)?;
        if bps > config.max_disagreement_bps {
            let apart =
                Box::new(Apart { bps: bps.round_places(2, Rounding::Up)?, max_bps: config.max_disagreement_bps });
            return Err(NoReference::Disagreement { one: (Source::Amm, price), other: (Source::BookMid, best), apart });
        }
    }
    let mut readings: Vec<Reading> = all.into_iter().map(|candidate| candidate.reading).collect();
    share_out(&mut readings)?;
    Ok(Reference { price: weighted(&readings)?, source: PriceSource::Blend.as_str(), readings })
}

/// An outside price that is demanded must be there; one that is there and new must not contradict the book.
fn check_outside(mid: Dec, outside: &Outside, config: &ReferenceConfig) -> Result<(), NoReference> {
    let why = || outside.problem.clone().unwrap_or_else(|| "it gave no newer price".to_string());
    let Some(reading) = outside.reading.filter(|reading| reading.price.is_positive()) else {
        return if config.outside_required { Err(NoReference::OutsideMissing { why: why() }) } else { Ok(()) };
    };
    if reading.age_s > config.outside_max_age_s {
        let (age_s, max_s) = (reading.age_s, config.outside_max_age_s);
        return if config.outside_required {
            Err(NoReference::OutsideTooOld { age_s, max_s, why: why() })
        } else {
            Ok(())
        };
    }
    let bps = apart_bps(reading.price.sub(mid)?.abs(), mid)?;
    if bps > config.outside_max_deviation_bps {
        let bps = bps.round_places(2, Rounding::Up)?;
        let apart = Box::new(Apart { bps, max_bps: config.outside_max_deviation_bps });
        return Err(NoReference::OutsideTooFar { outside: reading.price, mid, apart });
    }
    Ok(())
}

/// The sources beside the book, without weight.
fn others(view: &MarketView, outside: &Outside) -> Result<Vec<Candidate>, AmountError> {
    let mut all = Vec::new();
    let ledgers = |index: u32| Age::Ledgers(view.ledger_index.saturating_sub(index));
    if let Some(amm) = &view.amm
        && let (Some(price), Some(low), Some(high)) =
            (amm.marginal_price()?, amm.price(Side::Bid)?, amm.price(Side::Ask)?)
    {
        let price = price.round_digits(LEDGER_DIGITS, Rounding::HalfEven)?;
        let reading = Reading { source: Source::Amm, price, age: ledgers(amm.ledger_index), weight: Dec::zero() };
        all.push(Candidate { reading, low: low.min(price), high: high.max(price) });
    }
    let mut point = |source, price: Dec, age| {
        if price.is_positive() {
            let reading = Reading { source, price, age, weight: Dec::zero() };
            all.push(Candidate { reading, low: price, high: price });
        }
    };
    if let Some(trade) = view.last_trade {
        point(Source::LastTrade, trade.price, ledgers(trade.ledger_index));
    }
    if let Some(reading) = outside.reading {
        point(Source::Outside, reading.price, Age::Seconds(reading.age_s));
    }
    Ok(all)
}

/// No two sources that count may be farther apart than allowed. Whatever lies within the pool's fee band agrees with the
/// pool: nobody could profit from trading with it there.
fn agree(all: &[Candidate], book: Dec, max_bps: Dec) -> Result<(), NoReference> {
    let counted = || all.iter().filter(|candidate| candidate.reading.weight.is_positive());
    for (place, one) in counted().enumerate() {
        for other in counted().skip(place.saturating_add(1)) {
            let gap = one.low.sub(other.high)?.max(other.low.sub(one.high)?).max(Dec::zero());
            let bps = apart_bps(gap, book)?;
            if bps > max_bps {
                let bps = bps.round_places(2, Rounding::Up)?;
                let named = |candidate: &Candidate| (candidate.reading.source, candidate.reading.price);
                return Err(NoReference::Disagreement {
                    one: named(one),
                    other: named(other),
                    apart: Box::new(Apart { bps, max_bps }),
                });
            }
        }
    }
    Ok(())
}

fn apart_bps(distance: Dec, of: Dec) -> Result<Dec, AmountError> {
    distance.mul(Dec::from_i64(BPS), Rounding::Up)?.div(of, Rounding::Up)
}

/// Turns weights into parts that sum to one: the last that counts takes what rounding leaves.
fn share_out(readings: &mut [Reading]) -> Result<(), NoReference> {
    let mut total = Dec::zero();
    for reading in readings.iter() {
        total = total.add(reading.weight)?;
    }
    let counting = readings.iter().filter(|reading| reading.weight.is_positive()).count();
    let Some(last) = counting.checked_sub(1) else { return Err(NoReference::NoSource) };
    let mut left = Dec::one();
    for (place, reading) in readings.iter_mut().take(counting).enumerate() {
        let part = reading.weight.div(total, Rounding::Down)?.round_places(WEIGHT_PLACES, Rounding::Down)?;
        reading.weight = if place == last { left } else { part };
        left = left.sub(reading.weight)?;
    }
    Ok(())
}

/// The weighted mean of the prices, sixteen digits, never outside of them.
fn weighted(readings: &[Reading]) -> Result<Dec, NoReference> {
    let mut counted = readings.iter().filter(|reading| reading.weight.is_positive());
    let Some(first) = counted.next() else { return Err(NoReference::NoSource) };
    let (mut lowest, mut highest) = (first.price, first.price);
    let mut sum = first.price.mul(first.weight, Rounding::HalfEven)?;
    for reading in counted {
        (lowest, highest) = (lowest.min(reading.price), highest.max(reading.price));
        sum = sum.add(reading.price.mul(reading.weight, Rounding::HalfEven)?)?;
    }
    Ok(sum.round_digits(LEDGER_DIGITS, Rounding::HalfEven)?.max(lowest).min(highest))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;

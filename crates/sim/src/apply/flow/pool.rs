//! What an AMM's pool offers beside the offers of a book (rippled, `AMMLiquidity`, `AMMOffer`, `QualityFunction`).
//!
//! A pool has a price for every size, so an offer is made up for the case at hand: of the size at which the pool's price
//! meets the book's, or, when several strands compete, of sizes that grow as the Fibonacci numbers from round to round.

use neo_ledger::{Address, Asset, LedgerTime};

use super::Stop;
use super::view::View;
use crate::amendment::{Amendment, Amendments};
use crate::amm::{AssetPair, FEE_SCALE};
use crate::amm_math::{change_spot_price, swap_in, swap_out, within_relative_distance};
use crate::amount::{ArithmeticError, InOut, Quality, TokenValue, Value};
use crate::apply::Failure;
use crate::apply::funds::is_frozen;
use crate::number::{Number, Rounding};
use crate::ter::Ter;

/// Rounds in which a payment may take from pools (rippled, `AMMContext::MaxIterations`).
const MAX_ROUNDS: usize = 30;
/// How the offers of several strands grow.
const FIBONACCI: [u32; MAX_ROUNDS] = [
    1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946, 17711, 28657, 46368,
    75025, 121_393, 196_418, 317_811, 514_229, 832_040, 1_346_269,
];
/// The first offer of several strands, as a part of the pool: 2.5 / 10,000.
const FIRST_PART: (i64, i32) = (25, -5);
/// Most of a pool that one offer takes: 99 per cent.
const MOST_PART: (i64, i32) = (99, -2);
/// Qualities this near are one and the same.
const NEAR: (i64, i32) = (1, -7);
const NEAREST: Rounding = Rounding::Nearest;

/// The pools' part in a payment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PoolUse {
    /// True when several strands compete.
    pub many_strands: bool,
    /// True when the round under way took from a pool.
    pub used: bool,
    /// Rounds that took from a pool.
    pub rounds: usize,
}

impl PoolUse {
    /// A round's result counts.
    pub(super) const fn count(&mut self) {
        if self.used {
            self.rounds += 1;
        }
        self.used = false;
    }
}

/// A pool as one direction of a book sees it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub account: Address,
    fee: u16,
    input: Asset,
    output: Asset,
    first: InOut,
}

/// An offer made up from a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolOffer {
    pub amounts: InOut,
    pub balances: InOut,
    pub quality: Quality,
}

impl Pool {
    /// The pool of two assets, with the fee that `sender` pays.
    pub(super) fn find(view: &View<'_>, input: Asset, output: Asset, sender: Address) -> Result<Option<Pool>, Stop> {
        let Some(amm) = view.state.amm(AssetPair::of(input, output)) else { return Ok(None) };
        if amm.lp_token_balance.is_zero() || amm.mirrored {
            return Ok(None);
        }
        let time: LedgerTime = view.parent_close_time;
        let (account, fee) = (amm.account, amm.trading_fee_of(sender, time));
        let first = InOut { input: balance(view, account, input), output: balance(view, account, output) };
        let pool = Pool { account, fee, input, output, first };
        pool.balances(view)?;
        Ok(Some(pool))
    }

    fn balances(&self, view: &View<'_>) -> Result<InOut, Stop> {
        let (input, output) = (balance(view, self.account, self.input), balance(view, self.account, self.output));
        if input.signum() < 0 || output.signum() < 0 {
            return Err(Failure(Ter::TEC_INTERNAL).into());
        }
        Ok(InOut { input, output })
    }

    /// The pool's offer against the best quality of the book; none when it has none that is better.
    pub(super) fn offer(&self, view: &View<'_>, book: Option<Quality>) -> Result<Option<PoolOffer>, Stop> {
        if view.pools.rounds >= MAX_ROUNDS {
            return Ok(None);
        }
        let balances = self.balances(view)?;
        if balances.input.is_zero() || balances.output.is_zero() {
            return Ok(None);
        }
        if let Some(book) = book {
            let spot = Quality::of(balances);
            if !book.is_worse_than(spot) || is_near(spot, book, NEAR)? {
                return Ok(None);
            }
        }
        let amendments = &view.rules.amendments;
        // rippled makes no offer of what it cannot compute.
        let offer = match self.made(view, balances, book) {
            Ok(offer) => offer,
            Err(ArithmeticError::Overflow { .. }) if !amendments.enabled(Amendment::FixAmmOverflowOffer) => {
                self.largest(balances, amendments).unwrap_or(None)
            }
            Err(_) => None,
        };
        Ok(offer.filter(|offer| offer.amounts.input.is_positive() && offer.amounts.output.is_positive()))
    }

    fn made(
        &self,
        view: &View<'_>,
        balances: InOut,
        book: Option<Quality>,
    ) -> Result<Option<PoolOffer>, ArithmeticError> {
        let amendments = &view.rules.amendments;
        if view.pools.many_strands {
            let amounts = self.growing(view.pools.rounds, balances, amendments)?;
            let quality = Quality::of(amounts);
            let worse = book.is_some_and(|book| quality.is_worse_than(book));
            return Ok((!worse).then_some(PoolOffer { amounts, balances, quality }));
        }
        let Some(book) = book else { return self.largest(balances, amendments) };
        if let Some(amounts) = change_spot_price(balances, book, self.fee, amendments)? {
            return Ok(Some(PoolOffer { amounts, balances, quality: Quality::of(amounts) }));
        }
        if !amendments.enabled(Amendment::FixAmmV1V2) {
            return Ok(None);
        }
        let largest = self.largest(balances, amendments)?;
        Ok(largest.filter(|offer| book.is_worse_than(Quality::of(offer.amounts))))
    }

    /// An offer whose size grows with the rounds that took from pools.
    fn growing(&self, rounds: usize, balances: InOut, amendments: &Amendments) -> Result<InOut, ArithmeticError> {
        let part = NEAREST.mul(NEAREST.number(FIRST_PART.0, FIRST_PART.1)?, NEAREST.of(self.first.input)?)?;
        let input = Rounding::Upward.to_value(part, self.first.input.is_xrp())?;
        let output = swap_in(self.first, input, self.fee, amendments)?;
        let Some(factor) = rounds.checked_sub(1).and_then(|last| FIBONACCI.get(last)) else {
            return Ok(InOut { input, output });
        };
        let grown = NEAREST.mul(NEAREST.of(output)?, Number::whole(*factor))?;
        let output = Rounding::Downward.to_value(grown, output.is_xrp())?;
        if output >= balances.output {
            return Err(ArithmeticError::Overflow { operation: "an offer larger than the pool" });
        }
        Ok(InOut { input: swap_out(balances, output, self.fee, amendments)?, output })
    }

    /// Nearly all of the pool, for a book that has nothing to compare with.
    fn largest(&self, balances: InOut, amendments: &Amendments) -> Result<Option<PoolOffer>, ArithmeticError> {
        let quality = Quality::of(balances);
        if !amendments.enabled(Amendment::FixAmmOverflowOffer) {
            let input = match balances.input {
                Value::Drops(_) => Value::Drops(9_000_000_000_000_000_000),
                Value::Token(_) => Value::Token(TokenValue::new(4_999_999_999_999_999, 80)?),
            };
            let amounts = InOut { input, output: swap_in(balances, input, self.fee, amendments)? };
            return Ok(Some(PoolOffer { amounts, balances, quality }));
        }
        let part = NEAREST.mul(NEAREST.of(balances.output)?, NEAREST.number(MOST_PART.0, MOST_PART.1)?)?;
        let output = Rounding::Downward.to_value(part, balances.output.is_xrp())?;
        if !output.is_positive() || output >= balances.output {
            return Ok(None);
        }
        let amounts = InOut { input: swap_out(balances, output, self.fee, amendments)?, output };
        Ok(Some(PoolOffer { amounts, balances, quality }))
    }

    /// The part of an offer with no more than `limit` coming out. With several strands it keeps the offer's quality, so
    /// that their order stays; with one it follows the pool's curve.
    pub(super) fn part_out(
        &self,
        view: &View<'_>,
        offer: &PoolOffer,
        amounts: InOut,
        limit: Value,
        round_up: bool,
    ) -> Result<InOut, Stop> {
        if view.pools.many_strands {
            return Ok(offer.quality.limit_out(amounts, limit, round_up)?);
        }
        Ok(InOut { input: swap_out(offer.balances, limit, self.fee, &view.rules.amendments)?, output: limit })
    }

    /// The part of an offer with no more than `limit` going in.
    pub(super) fn part_in(
        &self,
        view: &View<'_>,
        offer: &PoolOffer,
        amounts: InOut,
        limit: Value,
        round_up: bool,
    ) -> Result<InOut, Stop> {
        if view.pools.many_strands {
            let strict = view.rules.enabled(Amendment::FixReducedOffersV2);
            return Ok(offer.quality.part_in(amounts, limit, round_up, strict)?);
        }
        Ok(InOut { input: limit, output: swap_in(offer.balances, limit, self.fee, &view.rules.amendments)? })
    }

    /// How the offer's quality falls with its size.
    pub(super) fn slope(&self, view: &View<'_>, offer: &PoolOffer) -> Result<Slope, Stop> {
        if view.pools.many_strands {
            return Slope::constant(offer.quality);
        }
        Slope::of_pool(offer.balances, self.fee)
    }
}

impl PoolOffer {
    /// True when taking `taken` leaves the pool's product no smaller than before, but for rounding.
    pub(super) fn keeps_product(&self, taken: InOut) -> Result<bool, Stop> {
        if taken.input > self.amounts.input || taken.output > self.amounts.output {
            return Ok(false);
        }
        let product = |pool: InOut| NEAREST.mul(NEAREST.of(pool.input)?, NEAREST.of(pool.output)?);
        let after =
            InOut { input: self.balances.input.add(taken.input)?, output: self.balances.output.sub(taken.output)? };
        let (before, after) = (product(self.balances)?, product(after)?);
        if after >= before {
            return Ok(true);
        }
        let lost = NEAREST.div(NEAREST.sub(before, after)?, before)?;
        Ok(lost < NEAREST.number(NEAR.0, NEAR.1)?)
    }
}

/// What a pool's account holds of an asset, without a reserve; nothing of what is frozen (rippled, `ammAccountHolds`).
fn balance(view: &View<'_>, account: Address, asset: Asset) -> Value {
    match asset {
        Asset::Xrp => Value::Drops(view.root(account).map_or(0, |root| root.balance)),
        Asset::Token(token) if is_frozen(view.state, account, token) => Value::Token(TokenValue::ZERO),
        Asset::Token(token) => Value::Token(view.state.token_balance(account, token)),
    }
}

/// True when two qualities differ by less than this part.
pub(super) fn is_near(a: Quality, b: Quality, part: (i64, i32)) -> Result<bool, Stop> {
    Ok(within_relative_distance(a.rate(), b.rate(), NEAREST.number(part.0, part.1)?)?)
}

impl View<'_> {
    /// True for the account of a pool, which needs no reserve.
    pub(super) fn is_pool(&self, account: Address) -> bool {
        self.root(account).is_some_and(|root| root.amm_id.is_some())
    }

    /// True when `issuer` is a pool and the holder of its tokens may not move one of the pool's assets.
    pub(super) fn pool_token_is_frozen(&self, holder: Address, issuer: Address) -> bool {
        if !self.rules.enabled(Amendment::FixFrozenLpTokenTransfer) || !self.is_pool(issuer) {
            return false;
        }
        let frozen = |asset| matches!(asset, Asset::Token(token) if is_frozen(self.state, holder, token));
        match self.state.amm_of(issuer) {
            Some((pair, _)) => frozen(pair.asset) || frozen(pair.asset2),
            None => true,
        }
    }
}

/// Average quality (out for one in) as a line over what is taken out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    slope: Number,
    start: Number,
    /// Set while the line is level.
    pub constant: Option<Quality>,
}

impl Slope {
    /// An offer's: the same for every size.
    pub(super) fn constant(quality: Quality) -> Result<Slope, Stop> {
        if quality.rate().is_zero() {
            return Err(Failure(Ter::TEC_INTERNAL).into());
        }
        let start = NEAREST.div(Number::ONE, Number::of_token(quality.rate()))?;
        Ok(Slope { slope: Number::ZERO, start, constant: Some(quality) })
    }

    fn of_pool(balances: InOut, fee: u16) -> Result<Slope, Stop> {
        if !balances.input.is_positive() || !balances.output.is_positive() {
            return Err(Failure(Ter::TEC_INTERNAL).into());
        }
        let fee = NEAREST.div(Number::whole(u32::from(fee)), Number::whole(FEE_SCALE))?;
        let kept = NEAREST.sub(Number::ONE, fee)?;
        let input = NEAREST.of(balances.input)?;
        let slope = NEAREST.div(kept.neg(), input)?;
        let start = NEAREST.div(NEAREST.mul(NEAREST.of(balances.output)?, kept)?, input)?;
        Ok(Slope { slope, start, constant: None })
    }

    /// This step's line, then the next one's.
    pub(super) fn then(self, next: Slope) -> Result<Slope, Stop> {
        let slope = NEAREST.add(self.slope, NEAREST.mul(self.start, next.slope)?)?;
        let start = NEAREST.mul(self.start, next.start)?;
        let constant = self.constant.filter(|_| slope.signum() == 0);
        Ok(Slope { slope, start, constant })
    }

    /// How much comes out at this average quality.
    pub(super) fn output_at(self, quality: Quality) -> Result<Option<Number>, Stop> {
        let rate = Number::of_token(quality.rate());
        if self.slope.signum() == 0 || rate.signum() == 0 {
            return Ok(None);
        }
        let up = Rounding::Upward;
        let output = up.div(up.sub(up.div(Number::ONE, rate)?, self.start)?, self.slope)?;
        Ok((output.signum() > 0).then_some(output))
    }
}

/// No more than brings a single strand's average quality to the limit (rippled, `limitOut`).
pub(super) fn limited_output(slope: Slope, limit: Quality, remaining: Value) -> Result<Value, Stop> {
    if slope.constant.is_some() {
        return Ok(remaining);
    }
    let Some(output) = slope.output_at(limit)? else { return Ok(remaining) };
    let output = NEAREST.to_value(output, remaining.is_xrp())?;
    if output == remaining {
        return Ok(remaining);
    }
    // A tiny difference is rounding.
    let (low, high) = if output < remaining { (output, remaining) } else { (remaining, output) };
    let apart = NEAREST.div(NEAREST.sub(NEAREST.of(high)?, NEAREST.of(low)?)?, NEAREST.of(high)?)?;
    Ok(if apart < NEAREST.number(1, -9)? { remaining } else { low })
}

//! A step through a book, and through the pool of the same two assets (rippled, `BookStep`).

use std::collections::BTreeSet;

use neo_ledger::{Address, Asset};

use super::Stop;
use super::offers::{Found, MAX_OFFERS_A_WALK, Walk};
use super::pool::{Pool, PoolOffer, Slope};
use super::step::{Debt, Step};
use super::take::{Cut, Goal, Taking};
use super::view::View;
use crate::amendment::Amendment;
use crate::amount::{InOut, PARITY_RATE, Quality, Value};
use crate::state::{Book, LSF_HIGH_AUTH, LSF_LOW_AUTH, LSF_REQUIRE_AUTH, LineKey, Offer, OfferKey};

/// How offer crossing differs from a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrossingRules {
    /// True for the taker's own book, false for the way round through XRP.
    pub default_path: bool,
    /// The worst quality to take.
    pub threshold: Quality,
}

/// A book between two assets.
#[derive(Clone, Debug)]
pub(super) struct BookStep {
    pub book: Book,
    pub from: Address,
    pub to: Address,
    pub owner_pays: bool,
    pub crossing: Option<CrossingRules>,
    pub pool: Option<Pool>,
    pub inactive: bool,
    pub offers_used: u32,
    pub cache: Option<InOut>,
}

/// What is taken from: an offer of the book, or one made up from the pool.
pub(super) enum Source {
    Offer(Found),
    Pool(PoolOffer),
}

impl Source {
    pub(super) const fn quality(&self) -> Quality {
        match self {
            Source::Offer(found) => found.quality,
            Source::Pool(offer) => offer.quality,
        }
    }

    const fn amounts(&self) -> InOut {
        match self {
            Source::Offer(found) => found.amounts,
            Source::Pool(offer) => offer.amounts,
        }
    }
}

/// The state of one pass over the book.
struct Pass {
    quality: Option<Quality>,
    attempted: bool,
    rate_in: u32,
    rate_out: u32,
}

impl BookStep {
    pub(super) fn debt(&self) -> Debt {
        if self.owner_pays { Debt::Issues } else { Debt::Redeems }
    }

    fn rate(&self, view: &View<'_>, asset: Asset) -> u32 {
        match asset {
            Asset::Token(token) if token.issuer != self.to => view.transfer_rate(token.issuer),
            _ => PARITY_RATE,
        }
    }

    /// The quality to make a pool's offer for, given the book's best. An offer that crosses alone takes from the pool up
    /// to its own limit when the book's best is beyond that.
    fn pool_target(&self, view: &View<'_>, best: Quality) -> Option<Quality> {
        match self.crossing {
            Some(rules) if !view.pools.many_strands && self.pool.is_some() && best.is_worse_than(rules.threshold) => {
                None
            }
            _ => Some(best),
        }
    }

    fn pool_offer(&self, view: &View<'_>, target: Option<Quality>) -> Result<Option<PoolOffer>, Stop> {
        match &self.pool {
            Some(pool) => pool.offer(view, target),
            None => Ok(None),
        }
    }

    /// The better one of the book's best quality and the pool's offer.
    fn tip(&self, view: &View<'_>) -> Result<Option<(Quality, Option<PoolOffer>)>, Stop> {
        let best = view.state.best(self.book).map(|(_, offer)| offer.quality);
        let target = if view.rules.enabled(Amendment::FixAmmV1V1) {
            best.and_then(|best| self.pool_target(view, best))
        } else {
            None
        };
        let offer = self.pool_offer(view, target)?;
        Ok(match (offer, best) {
            (Some(offer), Some(best)) if !best.is_worse_than(offer.quality) => Some((best, None)),
            (Some(offer), _) => Some((offer.quality, Some(offer))),
            (None, best) => best.map(|best| (best, None)),
        })
    }

    /// A quality with the transfer fees that a taker pays for sure.
    fn with_fees(&self, view: &View<'_>, quality: Quality, before: Debt, of_pool: bool) -> Result<Quality, Stop> {
        let exempt =
            !view.rules.enabled(Amendment::FixAmmV1V1) || !of_pool || (self.pool.is_some() && view.pools.many_strands);
        if self.crossing.is_some() && exempt {
            return Ok(quality);
        }
        let rate_in = if before == Debt::Redeems { self.rate(view, self.book.pays) } else { PARITY_RATE };
        let pays_out = self.crossing.is_none() && self.owner_pays && !of_pool;
        let rate_out = if pays_out { self.rate(view, self.book.gets) } else { PARITY_RATE };
        if rate_in == rate_out {
            return Ok(quality);
        }
        let [input, output] = [rate_in, rate_out].map(|rate| Value::Drops(i64::from(rate)));
        Ok(Quality::of(InOut { input, output }).then(quality)?)
    }

    pub(super) fn quality_bound(&self, view: &View<'_>, before: Debt) -> Result<Option<Quality>, Stop> {
        match self.tip(view)? {
            Some((quality, offer)) => self.with_fees(view, quality, before, offer.is_some()).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn slope(&self, view: &View<'_>, before: Debt) -> Result<Option<Slope>, Stop> {
        let Some((quality, offer)) = self.tip(view)? else { return Ok(None) };
        let slope = match (offer, &self.pool) {
            (Some(offer), Some(pool)) => pool.slope(view, &offer)?,
            _ => Slope::constant(quality)?,
        };
        if let Some(quality) = slope.constant {
            return Slope::constant(self.with_fees(view, quality, before, false)?).map(Some);
        }
        let fees = self.with_fees(view, Quality::ONE, before, true)?;
        if fees == Quality::ONE { Ok(Some(slope)) } else { Slope::constant(fees)?.then(slope).map(Some) }
    }

    pub(super) fn reverse(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        wanted: Value,
    ) -> Result<InOut, Stop> {
        self.cache = None;
        let taking = Taking::new(self.book, Goal::Output(wanted));
        self.run(before, view, dead, taking, false)
    }

    pub(super) fn forward(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        spend: Value,
    ) -> Result<InOut, Stop> {
        let Some(reverse) = self.cache else { return Err(Stop::Dry) };
        let taking = Taking::new(self.book, Goal::Input { spend, reverse });
        self.run(before, view, dead, taking, true)
    }

    fn run(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        mut taking: Taking,
        forward: bool,
    ) -> Result<InOut, Stop> {
        let redeems = match before {
            Some(before) => before.debt(view, forward)? == Debt::Redeems,
            None => false,
        };
        self.offers_used = self.take_offers(before, view, dead, &mut taking, redeems)?;
        if self.offers_used >= MAX_OFFERS_A_WALK {
            self.inactive = true;
        }
        let result = taking.result();
        self.cache = Some(result);
        Ok(result)
    }

    /// Takes from the offers of the book's best quality, and before them from the pool while it is better.
    fn take_offers(
        &self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        taking: &mut Taking,
        redeems: bool,
    ) -> Result<u32, Stop> {
        let rate_in = if redeems { self.rate(view, self.book.pays) } else { PARITY_RATE };
        let rate_out = if self.owner_pays { self.rate(view, self.book.gets) } else { PARITY_RATE };
        let mut pass = Pass { quality: None, attempted: false, rate_in, rate_out };
        let mut walk = Walk::new(self.book);
        let mut next = walk.next(view, dead)?;
        let best = next.as_ref().map(|found| found.quality);
        let target = if view.rules.enabled(Amendment::FixAmmV1V1) {
            best.and_then(|best| self.pool_target(view, best))
        } else {
            best
        };
        let mut more = match self.pool_offer(view, target)? {
            Some(offer) => self.take_one(before, view, dead, taking, &mut pass, Source::Pool(offer))?,
            None => true,
        };
        while let Some(found) = next.filter(|_| more) {
            more = self.take_one(before, view, dead, taking, &mut pass, Source::Offer(found))?;
            next = if more { walk.next(view, dead)? } else { None };
        }
        Ok(walk.looked_at)
    }

    /// Takes from one offer; false when the pass is over.
    fn take_one(
        &self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        taking: &mut Taking,
        pass: &mut Pass,
        source: Source,
    ) -> Result<bool, Stop> {
        let quality = source.quality();
        if *pass.quality.get_or_insert(quality) != quality {
            return Ok(false);
        }
        if self.must_go(view, &source) {
            // It goes even when nothing is taken in the end.
            if let Source::Offer(found) = source {
                dead.insert(found.key);
            }
            if !pass.attempted {
                pass.quality = None;
            }
            return Ok(true);
        }
        if self.crossing.is_some_and(|rules| rules.default_path && quality.is_worse_than(rules.threshold)) {
            return Ok(false);
        }
        let cut = self.whole(before, view, pass, &source)?;
        pass.attempted = true;
        taking.take(self, view, &source, cut)
    }

    /// A taker's own offers in his way, and offers whose owners may not hold what they would get.
    fn must_go(&self, view: &View<'_>, source: &Source) -> bool {
        let owner = self.owner(source);
        let own = match (self.crossing, source) {
            (Some(rules), Source::Offer(found)) => {
                rules.default_path
                    && !found.quality.is_worse_than(rules.threshold)
                    && self.from == owner
                    && self.to == owner
            }
            _ => false,
        };
        own || self.lacks_approval(view, owner)
    }

    fn lacks_approval(&self, view: &View<'_>, owner: Address) -> bool {
        let Asset::Token(token) = self.book.pays else { return false };
        if token.issuer == owner || !view.has_flag(token.issuer, LSF_REQUIRE_AUTH) {
            return false;
        }
        let key = LineKey::of(owner, token.issuer, token.currency);
        let flag = if token.issuer == key.high { LSF_HIGH_AUTH } else { LSF_LOW_AUTH };
        view.state.line(key).is_none_or(|line| line.flags & flag == 0)
    }

    fn owner(&self, source: &Source) -> Address {
        match (source, &self.pool) {
            (Source::Offer(found), _) => found.key.account,
            (Source::Pool(_), Some(pool)) => pool.account,
            (Source::Pool(_), None) => self.to,
        }
    }

    /// All of an offer that its owner can pay, with the transfer fees of both sides.
    fn whole(&self, before: Option<&Step>, view: &View<'_>, pass: &Pass, source: &Source) -> Result<Cut, Stop> {
        let owner = self.owner(source);
        let (mut rate_in, mut rate_out) = (pass.rate_in, pass.rate_out);
        if self.crossing.is_some() {
            // Nobody pays a fee for what he sends to himself.
            if before.and_then(Step::direct_from) == Some(owner) {
                rate_in = PARITY_RATE;
            }
            if before.is_some_and(|before| before.book().is_some()) && owner == self.to {
                rate_out = PARITY_RATE;
            }
        }
        let Source::Offer(found) = source else { return Cut::whole(source.amounts(), rate_in, PARITY_RATE) };
        let cut = Cut::whole(found.amounts, rate_in, rate_out)?;
        let is_issuer = matches!(self.book.gets, Asset::Token(token) if token.issuer == owner);
        if is_issuer || found.funds >= cut.owner_gives {
            return Ok(cut);
        }
        let output = found.funds.mul_ratio(PARITY_RATE, rate_out, false)?;
        let offer = self.part_out(view, source, found.amounts, output, false)?;
        let input = offer.input.mul_ratio(rate_in, PARITY_RATE, true)?;
        Ok(Cut { offer, step: InOut { input, output }, owner_gives: found.funds, ..cut })
    }

    /// The part of an offer with no more than `limit` coming out.
    pub(super) fn part_out(
        &self,
        view: &View<'_>,
        source: &Source,
        amounts: InOut,
        limit: Value,
        round_up: bool,
    ) -> Result<InOut, Stop> {
        match (source, &self.pool) {
            (Source::Offer(found), _) => {
                let strict = view.rules.enabled(Amendment::FixReducedOffersV1);
                Ok(found.quality.part_out(amounts, limit, round_up, strict)?)
            }
            (Source::Pool(offer), Some(pool)) => pool.part_out(view, offer, amounts, limit, round_up),
            (Source::Pool(_), None) => Err(Stop::Dry),
        }
    }

    /// The part of an offer with no more than `limit` going in.
    pub(super) fn part_in(
        &self,
        view: &View<'_>,
        source: &Source,
        amounts: InOut,
        limit: Value,
        round_up: bool,
    ) -> Result<InOut, Stop> {
        match (source, &self.pool) {
            (Source::Offer(found), _) => {
                let strict = view.rules.enabled(Amendment::FixReducedOffersV2);
                Ok(found.quality.part_in(amounts, limit, round_up, strict)?)
            }
            (Source::Pool(offer), Some(pool)) => pool.part_in(view, offer, amounts, limit, round_up),
            (Source::Pool(_), None) => Err(Stop::Dry),
        }
    }

    /// Settles with the owner and shrinks the offer; true when nothing of it is left.
    pub(super) fn consume(&self, view: &mut View<'_>, source: &Source, cut: &Cut) -> Result<bool, Stop> {
        if let Source::Pool(offer) = source
            && !offer.keeps_product(cut.offer)?
            && view.rules.enabled(Amendment::FixAmmOverflowOffer)
        {
            return Err(Stop::Dry);
        }
        let owner = self.owner(source);
        let settled = view.settle(owner, self.book.pays, cut.offer.input, true)?
            && view.settle(owner, self.book.gets, cut.owner_gives, false)?;
        if !settled {
            return Err(Stop::Dry);
        }
        match source {
            Source::Pool(_) => {
                view.pools.used = true;
                Ok(true)
            }
            Source::Offer(found) => shrink(view, found, cut.offer),
        }
    }
}

fn shrink(view: &mut View<'_>, found: &Found, taken: InOut) -> Result<bool, Stop> {
    let Some(offer) = view.state.offer(found.key) else { return Err(Stop::Dry) };
    let taker_pays = offer.taker_pays.sub(taken.input)?;
    let taker_gets = offer.taker_gets.sub(taken.output)?;
    let offer = Offer { taker_pays, taker_gets, ..offer.clone() };
    view.state.put_offer(found.key, offer);
    Ok(!taker_pays.is_positive() || !taker_gets.is_positive())
}

//! The payment engine: who can pay what to whom through trust lines, books and pools, at which price.
//!
//! A payment or an offer that crosses becomes strands; a strand is a row of steps ([`step`]), each along a trust line
//! ([`direct`]), through a book and its pool ([`book`], [`pool`]) or in XRP at either end ([`endpoint`]). Round by
//! round the strand with the best price is run for what is still wanted ([`run`]), until all is delivered, spent, dry
//! or too dear. Behaviour after rippled 2.6.1 (`Flow`, `StrandFlow`), to the last digit.

mod book;
mod deferred;
mod direct;
mod endpoint;
mod offers;
mod pool;
mod run;
mod step;
mod strand;
mod take;
mod view;

use std::collections::BTreeSet;

use neo_ledger::{Address, Asset, Currency};

use crate::amendment::Amendment;
use crate::amount::{ArithmeticError, InOut, Quality, Value};
use crate::apply::Failure;
use crate::state::OfferKey;
use crate::ter::Ter;
use pool::{Slope, is_near, limited_output};
use step::{Debt, Step};
use strand::{Strand, strands};
use take::Sorted;
pub(crate) use view::View;

/// Rounds that a payment may have (rippled, `StrandFlow`).
const MAX_ROUNDS: u32 = 1000;
/// Offers that a payment may look at (rippled, `StrandFlow`).
const MAX_OFFERS: u32 = 1500;
/// A strand whose output was cut to meet the limit may miss it by this part.
const LIMIT_TOLERANCE: (i64, i32) = (1, -7);

/// Why a step came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The strand cannot be used.
    Dry,
    /// The transaction has failed.
    Fail(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fail(failure)
    }
}

impl From<ArithmeticError> for Stop {
    fn from(error: ArithmeticError) -> Stop {
        Stop::Fail(error.into())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        match stop {
            Stop::Dry => Failure(Ter::TEC_PATH_DRY),
            Stop::Fail(failure) => failure,
        }
    }
}

/// One hop of a path as a transaction names it: an account to ripple through, or an asset to change into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The account.
    pub account: Option<Address>,
    /// The currency; the inner `None` is XRP.
    pub currency: Option<Option<Currency>>,
    /// The issuer.
    pub issuer: Option<Address>,
}

/// How an offer crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// What counts as all is what is got.
    Buy,
    /// What counts as all is what is spent.
    Sell,
}

/// What is to be paid.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// Who pays.
    pub from: Address,
    /// Who gets it.
    pub to: Address,
    /// What is to arrive.
    pub deliver: (Value, Asset),
    /// Paths beside the default one.
    pub paths: &'a [Vec<Hop>],
    /// True to use the default path.
    pub default_path: bool,
    /// True when less may arrive.
    pub partial: bool,
    /// True when the owners of offers pay the transfer fees of what they give.
    pub owner_pays: bool,
    /// Set for an offer that crosses.
    pub crossing: Option<Crossing>,
    /// The worst quality to take.
    pub limit_quality: Option<Quality>,
    /// Most to spend.
    pub send_max: Option<(Value, Asset)>,
}

/// What a payment came to.
#[derive(Clone, Debug)]
pub(crate) struct Flowed {
    pub result: Ter,
    /// What went through, with success.
    pub exchanged: InOut,
    /// Offers found dead, when the rest is to be taken back.
    pub dead: BTreeSet<OfferKey>,
}

/// Pays. With any result but success the view is left as it was.
pub(crate) fn pay(view: &mut View<'_>, request: &Request<'_>) -> Result<Flowed, Failure> {
    let start = view.state.mark();
    let flowed = flow(view, request);
    if !matches!(&flowed, Ok(flowed) if flowed.result.is_success()) {
        view.state.roll_back(start);
    }
    flowed.map_err(Failure::from)
}

/// The strands that may still bring something, and what has come of them.
struct Flow<'a> {
    request: &'a Request<'a>,
    strands: Vec<Strand>,
    /// Places of the strands to try in this round, and in the next.
    now: Vec<usize>,
    next: Vec<usize>,
    ins: Sorted,
    outs: Sorted,
    remaining_in: Option<Value>,
    remaining_out: Value,
    dead: BTreeSet<OfferKey>,
    looked_at: u32,
}

fn flow(view: &mut View<'_>, request: &Request<'_>) -> Result<Flowed, Stop> {
    let spent = request.send_max.map_or(request.deliver.1, |(_, asset)| asset);
    let nothing = InOut { input: Value::zero(spent == Asset::Xrp), output: request.deliver.0.cleared() };
    let strands = match strands(view, request)? {
        Ok(strands) => strands,
        Err(result) => return Ok(Flowed { result, exchanged: nothing, dead: BTreeSet::new() }),
    };
    view.pools.many_strands = strands.len() > 1;
    let mut flow = Flow {
        request,
        now: Vec::new(),
        next: (0..strands.len()).collect(),
        strands,
        ins: Sorted::new(nothing.input),
        outs: Sorted::new(nothing.output),
        remaining_in: request.send_max.map(|(value, _)| value).filter(|value| value.signum() >= 0),
        remaining_out: request.deliver.0,
        dead: BTreeSet::new(),
        looked_at: 0,
    };
    let result = flow.rounds(view)?;
    let exchanged = InOut { input: flow.ins.total(), output: flow.outs.total() };
    Ok(Flowed { result, exchanged, dead: flow.dead })
}

impl Flow<'_> {
    fn rounds(&mut self, view: &mut View<'_>) -> Result<Ter, Stop> {
        let mut rounds = 0;
        while self.remaining_out.is_positive() && self.remaining_in.is_none_or(Value::is_positive) {
            rounds += 1;
            if rounds >= MAX_ROUNDS {
                return Ok(Ter::TEL_FAILED_PROCESSING);
            }
            if !self.round(view)? {
                break;
            }
        }
        Ok(self.verdict(view))
    }

    /// One round: the best strand that can be run is run. False when it was the last one.
    fn round(&mut self, view: &mut View<'_>) -> Result<bool, Stop> {
        self.choose(view)?;
        view.pools.many_strands = self.now.len() > 1;
        let wanted = self.wanted(view)?;
        let mut dead = BTreeSet::new();
        let best = self.best(view, &mut dead, wanted)?;
        if let Some(exchanged) = best {
            self.ins.insert(exchanged.input)?;
            self.outs.insert(exchanged.output)?;
            self.remaining_out = self.request.deliver.0.sub(self.outs.total())?;
            if let (Some(remaining), Some((most, _))) = (&mut self.remaining_in, self.request.send_max) {
                *remaining = most.sub(self.ins.total())?;
            }
            view.keep()?;
            view.pools.count();
        }
        for key in &dead {
            view.delete_offer(*key)?;
        }
        view.keep()?;
        self.dead.append(&mut dead);
        let sorts = view.rules.enabled(Amendment::FlowSortStrands);
        Ok(best.is_some() && !(sorts && self.looked_at >= MAX_OFFERS))
    }

    /// The strands for this round, best first; those beyond the limit are given up.
    fn choose(&mut self, view: &View<'_>) -> Result<(), Stop> {
        self.now = std::mem::take(&mut self.next);
        if self.now.len() < 2 || !view.rules.enabled(Amendment::FlowSortStrands) {
            return Ok(());
        }
        let mut order = Vec::with_capacity(self.now.len());
        for place in std::mem::take(&mut self.now) {
            let Some(strand) = self.strands.get(place) else { continue };
            let Some(quality) = bound(view, strand)? else { continue };
            if self.request.limit_quality.is_none_or(|limit| !quality.is_worse_than(limit)) {
                order.push((quality, place));
            }
        }
        order.sort_by_key(|(quality, _)| *quality);
        self.now.extend(order.into_iter().map(|(_, place)| place));
        Ok(())
    }

    /// What to ask of a strand: alone, no more than keeps its average price within the limit.
    fn wanted(&self, view: &View<'_>) -> Result<Value, Stop> {
        let (&[place], Some(limit)) = (self.now.as_slice(), self.request.limit_quality) else {
            return Ok(self.remaining_out);
        };
        let Some(strand) = self.strands.get(place) else { return Ok(self.remaining_out) };
        match slope(view, strand)? {
            Some(slope) => limited_output(slope, limit, self.remaining_out),
            None => Ok(self.remaining_out),
        }
    }

    /// Runs strands until one is within the limit, which is left in the view.
    fn best(
        &mut self,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        wanted: Value,
    ) -> Result<Option<InOut>, Stop> {
        let limit = self.request.limit_quality;
        let places = std::mem::take(&mut self.now);
        for (tried, place) in places.iter().enumerate() {
            view.pools.used = false;
            let Some(strand) = self.strands.get_mut(*place) else { continue };
            if let (Some(_), Some(limit)) = (self.request.crossing, limit)
                && bound(view, strand)?.is_none_or(|quality| quality.is_worse_than(limit))
            {
                continue;
            }
            let ran = run::run(strand, view, dead, self.remaining_in, wanted)?;
            self.looked_at = strand.iter().fold(self.looked_at, |sum, step| sum.saturating_add(step.offers_used()));
            let Some(ran) = ran.filter(|ran| !ran.exchanged.output.is_zero()) else { continue };
            let quality = Quality::of(ran.exchanged);
            let beyond = match limit {
                Some(limit) if quality.is_worse_than(limit) => {
                    wanted == self.remaining_out || !is_near(quality, limit, LIMIT_TOLERANCE)?
                }
                _ => false,
            };
            if beyond {
                view.fall_back();
                continue;
            }
            if !ran.inactive {
                self.next.push(*place);
            }
            self.next.extend(places.iter().skip(tried + 1));
            return Ok(Some(ran.exchanged));
        }
        Ok(None)
    }

    fn verdict(&self, view: &View<'_>) -> Ter {
        let (output, asked) = (self.outs.total(), self.request.deliver.0);
        let sells = self.request.crossing == Some(Crossing::Sell);
        let by_output = view.rules.enabled(Amendment::FixFillOrKill) && !sells;
        if output > asked {
            return Ter::TEF_EXCEPTION;
        }
        if output != asked {
            if self.request.partial {
                if output.is_zero() {
                    return Ter::TEC_PATH_DRY;
                }
            } else if self.request.crossing.is_none() || by_output {
                return Ter::TEC_PATH_PARTIAL;
            }
        }
        let all_spent = self.remaining_in.is_none_or(|remaining| remaining.is_zero());
        if self.request.crossing.is_some() && !self.request.partial && !by_output && !all_spent {
            return Ter::TEC_PATH_PARTIAL;
        }
        Ter::SUCCESS
    }
}

/// The best quality a strand can have now; none when it has nothing.
fn bound(view: &View<'_>, strand: &[Step]) -> Result<Option<Quality>, Stop> {
    let (mut all, mut debt, mut before) = (Quality::ONE, Debt::Issues, None);
    for step in strand {
        let (quality, next) = step.quality_bound(before, view, debt)?;
        let Some(quality) = quality else { return Ok(None) };
        all = all.then(quality)?;
        (debt, before) = (next, Some(step));
    }
    Ok(Some(all))
}

/// How a strand's average quality falls with what is taken out of it.
fn slope(view: &View<'_>, strand: &[Step]) -> Result<Option<Slope>, Stop> {
    let (mut all, mut debt, mut before): (Option<Slope>, Debt, _) = (None, Debt::Issues, None);
    for step in strand {
        let (slope, next) = step.slope(before, view, debt)?;
        let Some(slope) = slope else { return Ok(None) };
        all = Some(match all {
            Some(all) => all.then(slope)?,
            None => slope,
        });
        (debt, before) = (next, Some(step));
    }
    Ok(all)
}

impl Hop {
    const fn asset_code(&self) -> Option<Option<Currency>> {
        self.currency
    }
}

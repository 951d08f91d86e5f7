//! Crossing: taking the offers of one book, quality by quality (rippled's `BookStep` and `StrandFlow`, for one book).
//!
//! One round asks the book for what is wanted and takes offers of a single quality. When they would cost more than may
//! be spent, the round is taken back and done again forward from what may be spent. A round whose whole exchange, after
//! rounding, is worse than the taker's limit is taken back as well and ends the crossing: that is why an offer that
//! sells XRP at exactly the bid usually rests.

use std::collections::BTreeSet;

use neo_ledger::{Address, Asset, LedgerTime};

use super::funds::{OwnerCounts, add_xrp, available, credit, transfer_rate};
use super::{Failure, Rules, offer};
use crate::amount::{InOut, PARITY_RATE, Quality, TokenValue, Value};
use crate::state::{Book, Key, Mark, Offer, OfferKey, State};
use crate::ter::Ter;

/// Offers that one round may look at (rippled, `BookStep::maxOffersToConsume`).
const MAX_OFFERS_A_ROUND: u32 = 1000;
/// Offers that a crossing may look at (rippled, `StrandFlow`).
const MAX_OFFERS: u32 = 1500;
/// Rounds that a crossing may have (rippled, `StrandFlow`).
const MAX_ROUNDS: u32 = 1000;

/// What a taker wants of a book.
pub(super) struct Wish {
    pub taker: Address,
    /// The book, from the view of the offers in it: it pays what the taker spends.
    pub book: Book,
    /// The worst quality to take.
    pub threshold: Quality,
    /// Most to spend.
    pub send_max: Value,
    /// What to get.
    pub deliver: Value,
    /// All or nothing.
    pub fill_or_kill: bool,
    /// What counts as all is what is spent, not what is got.
    pub sell: bool,
}

/// A crossing under way.
pub(super) struct Crossing<'a> {
    state: &'a mut State,
    rules: &'a Rules,
    parent_close_time: LedgerTime,
    wish: Wish,
    rate_in: u32,
    rate_out: u32,
    counts: OwnerCounts,
    dead: BTreeSet<OfferKey>,
    considered: u32,
}

/// What a crossing came to.
pub(super) struct Outcome {
    /// What was exchanged; `None` when nothing was or it had to be taken back.
    pub exchanged: Option<InOut>,
    /// Offers found dead.
    pub dead: Vec<OfferKey>,
    /// Owner counts to measure reserves with until the crossing's effects are final.
    pub counts: OwnerCounts,
}

/// One round's direction.
#[derive(Clone, Copy)]
enum Pass {
    /// Back from what is wanted.
    Reverse { wanted: Value },
    /// Forward from what may be spent, with what the reverse pass came to.
    Forward { spend: Value, reverse: InOut },
}

/// What one pass has taken so far.
struct Taken {
    ins: Vec<Value>,
    outs: Vec<Value>,
    result: InOut,
    remaining: Value,
    quality: Option<Quality>,
    attempted: bool,
}

/// An offer at the tip of the book, and what its owner can give.
struct Tip {
    key: OfferKey,
    offer: Offer,
    funds: Value,
}

/// How much of an offer is taken: what the offer exchanges, what the taker sees of it, what the owner gives.
#[derive(Clone, Copy)]
struct Cut {
    offer: InOut,
    step: InOut,
    owner_gives: Value,
}

impl<'a> Crossing<'a> {
    pub(super) fn new(state: &'a mut State, rules: &'a Rules, parent_close_time: LedgerTime, wish: Wish) -> Self {
        let rate = |state: &State, asset| match asset {
            Asset::Token(token) if token.issuer != wish.taker => transfer_rate(state, asset),
            _ => PARITY_RATE,
        };
        let (rate_in, rate_out) = (rate(state, wish.book.pays), rate(state, wish.book.gets));
        let (counts, dead) = (OwnerCounts::new(), BTreeSet::new());
        Crossing { state, rules, parent_close_time, wish, rate_in, rate_out, counts, dead, considered: 0 }
    }

    /// Crosses until the wish is fulfilled, the book is dry or too expensive.
    pub(super) fn run(mut self) -> Result<Outcome, Failure> {
        let start = self.state.mark();
        let (mut ins, mut outs) = (Vec::new(), Vec::new());
        let (mut remaining_in, mut remaining_out) = (self.wish.send_max, self.wish.deliver);
        let mut rounds = 0;
        while remaining_in.is_positive() && remaining_out.is_positive() && rounds < MAX_ROUNDS {
            rounds += 1;
            let round = self.round(remaining_in, remaining_out)?;
            if let Some(taken) = round {
                ins.push(taken.input);
                outs.push(taken.output);
                remaining_in = self.wish.send_max.sub(sum(&mut ins, remaining_in)?)?;
                remaining_out = self.wish.deliver.sub(sum(&mut outs, remaining_out)?)?;
            }
            self.remove_dead()?;
            if round.is_none() || self.considered >= MAX_OFFERS {
                break;
            }
        }
        let input = sum(&mut ins, self.wish.send_max)?;
        let output = sum(&mut outs, self.wish.deliver)?;
        let whole = if self.wish.sell { remaining_in.is_zero() } else { output == self.wish.deliver };
        let failed = output.is_zero() || output > self.wish.deliver || (self.wish.fill_or_kill && !whole);
        if failed {
            self.state.roll_back(start);
            self.counts.clear();
            self.remove_dead()?;
        }
        let exchanged = (!failed).then_some(InOut { input, output });
        Ok(Outcome { exchanged, dead: self.dead.into_iter().collect(), counts: self.counts })
    }

    /// One round; `None` when nothing of the book can be taken any more.
    fn round(&mut self, remaining_in: Value, remaining_out: Value) -> Result<Option<InOut>, Failure> {
        let Some((_, best)) = self.state.best(self.wish.book) else { return Ok(None) };
        if best.quality.is_worse_than(self.wish.threshold) {
            return Ok(None);
        }
        let (mark, counts) = (self.state.mark(), self.counts.clone());
        let mut taken = self.pass(Pass::Reverse { wanted: remaining_out }, mark)?;
        if taken.output.is_positive() && taken.input > remaining_in {
            self.state.roll_back(mark);
            self.counts.clone_from(&counts);
            taken = self.pass(Pass::Forward { spend: remaining_in, reverse: taken }, mark)?;
        }
        if !taken.output.is_positive() || Quality::of(taken).is_worse_than(self.wish.threshold) {
            self.state.roll_back(mark);
            self.counts = counts;
            return Ok(None);
        }
        self.settle_taker(taken)?;
        Ok(Some(taken))
    }

    /// Takes offers of the tip's quality.
    fn pass(&mut self, pass: Pass, mark: Mark) -> Result<InOut, Failure> {
        let Book { pays, gets } = self.wish.book;
        let nothing = InOut { input: Value::zero(pays == Asset::Xrp), output: Value::zero(gets == Asset::Xrp) };
        let remaining = match pass {
            Pass::Reverse { wanted } => wanted,
            Pass::Forward { spend, .. } => spend,
        };
        let (ins, outs) = (Vec::new(), Vec::new());
        let mut taken = Taken { ins, outs, result: nothing, remaining, quality: None, attempted: false };
        let (mut current, mut steps) = (None, 0);
        while let Some(tip) = self.step(&mut current, &mut steps, mark)? {
            let quality = *taken.quality.get_or_insert(tip.offer.quality);
            if quality != tip.offer.quality {
                break;
            }
            if tip.offer.quality.is_worse_than(self.wish.threshold) {
                break;
            }
            if tip.key.account == self.wish.taker {
                // An own offer is not traded with: it goes, even if nothing else is crossed.
                self.dead.insert(tip.key);
                if !taken.attempted {
                    taken.quality = None;
                }
                continue;
            }
            taken.attempted = true;
            let more = match pass {
                Pass::Reverse { wanted } => self.take_reverse(&tip, &mut taken, wanted)?,
                Pass::Forward { spend, reverse } => self.take_forward(&tip, &mut taken, spend, reverse)?,
            };
            if !more {
                break;
            }
        }
        self.considered += steps;
        if taken.remaining.is_zero() {
            // The sum of what was taken may differ from the whole in the last digit: the whole is what counts.
            match pass {
                Pass::Reverse { wanted } => taken.result.output = wanted,
                Pass::Forward { spend, .. } => taken.result.input = spend,
            }
        }
        Ok(taken.result)
    }

    /// Removes the offer just done with and finds the next live one, removing what is dead on the way.
    fn step(&mut self, current: &mut Option<OfferKey>, steps: &mut u32, mark: Mark) -> Result<Option<Tip>, Failure> {
        loop {
            if let Some(key) = current.take() {
                offer::delete(self.state, key, Some(&mut self.counts))?;
            }
            let Some((key, offer)) = self.state.best(self.wish.book) else { return Ok(None) };
            let offer = offer.clone();
            *current = Some(key);
            if *steps >= MAX_OFFERS_A_ROUND {
                return Ok(None);
            }
            *steps += 1;
            let expired = offer.expiration.is_some_and(|expiration| expiration <= self.parent_close_time);
            if expired || !offer.taker_pays.is_positive() || !offer.taker_gets.is_positive() {
                self.dead.insert(key);
                continue;
            }
            let asset = self.wish.book.gets;
            let counts = Some(&self.counts);
            let funds = available(self.state, self.rules, key.account, asset, offer.taker_gets, counts);
            if !funds.is_positive() || self.lost_its_quality(key, &offer, funds)? {
                // Found dead is dead whatever comes of this crossing; died of this crossing is not.
                if !self.funds_changed(mark, key.account) {
                    self.dead.insert(key);
                }
                continue;
            }
            return Ok(Some(Tip { key, offer, funds }));
        }
    }

    /// True when the owner's balance of what he sells was changed since the mark.
    fn funds_changed(&self, mark: Mark, owner: Address) -> bool {
        let key = match self.wish.book.gets {
            Asset::Xrp => Key::Account(owner),
            Asset::Token(token) => Key::Line(crate::state::LineKey::of(owner, token.issuer, token.currency)),
        };
        self.state.entry_at(mark, key) != self.state.entry(key)
    }

    /// Tiny offers whose rounding makes them worse than their place in the book (rippled,
    /// `shouldRmSmallIncreasedQOffer`).
    fn lost_its_quality(&self, key: OfferKey, offer: &Offer, funds: Value) -> Result<bool, Failure> {
        let amounts = InOut { input: offer.taker_pays, output: offer.taker_gets };
        let smallest = match (offer.taker_pays, offer.taker_gets) {
            (_, Value::Drops(_)) => return Ok(false),
            (Value::Token(pays), Value::Token(gets)) if pays >= gets => return Ok(false),
            (Value::Drops(_), _) => Value::Drops(1),
            _ => Value::Token(TokenValue::SMALLEST),
        };
        let is_issuer = matches!(self.wish.book.gets, Asset::Token(token) if token.issuer == key.account);
        let effective = if !is_issuer && funds < amounts.output {
            offer.quality.limit_out(amounts, funds, false)?
        } else {
            amounts
        };
        if !effective.input.is_positive() || !effective.output.is_positive() {
            return Ok(true);
        }
        Ok(effective.input <= smallest && Quality::of(effective).is_worse_than(offer.quality))
    }

    /// What of an offer its owner can honour.
    fn funded_cut(&self, tip: &Tip) -> Result<Cut, Failure> {
        let mut amounts = InOut { input: tip.offer.taker_pays, output: tip.offer.taker_gets };
        let mut step =
            InOut { input: amounts.input.mul_ratio(self.rate_in, PARITY_RATE, true)?, output: amounts.output };
        let mut owner_gives = amounts.output.mul_ratio(self.rate_out, PARITY_RATE, false)?;
        let is_issuer = matches!(self.wish.book.gets, Asset::Token(token) if token.issuer == tip.key.account);
        if !is_issuer && tip.funds < owner_gives {
            owner_gives = tip.funds;
            step.output = owner_gives.mul_ratio(PARITY_RATE, self.rate_out, false)?;
            amounts = tip.offer.quality.limit_out(amounts, step.output, false)?;
            step.input = amounts.input.mul_ratio(self.rate_in, PARITY_RATE, true)?;
        }
        Ok(Cut { offer: amounts, step, owner_gives })
    }

    /// The cut with no more than `limit` coming out.
    fn limit_out(&self, tip: &Tip, cut: Cut, limit: Value) -> Result<Cut, Failure> {
        if limit >= cut.step.output {
            return Ok(cut);
        }
        let owner_gives = limit.mul_ratio(self.rate_out, PARITY_RATE, false)?;
        let offer = tip.offer.quality.limit_out(cut.offer, limit, true)?;
        let input = offer.input.mul_ratio(self.rate_in, PARITY_RATE, true)?;
        Ok(Cut { offer, step: InOut { input, output: limit }, owner_gives })
    }

    /// The cut with no more than `limit` going in.
    fn limit_in(&self, tip: &Tip, cut: Cut, limit: Value) -> Result<Cut, Failure> {
        if limit >= cut.step.input {
            return Ok(cut);
        }
        let offer_limit = limit.mul_ratio(PARITY_RATE, self.rate_in, false)?;
        let offer = tip.offer.quality.limit_in(cut.offer, offer_limit, false)?;
        let owner_gives = offer.output.mul_ratio(self.rate_out, PARITY_RATE, false)?;
        Ok(Cut { offer, step: InOut { input: limit, output: offer.output }, owner_gives })
    }

    fn take_reverse(&mut self, tip: &Tip, taken: &mut Taken, wanted: Value) -> Result<bool, Failure> {
        if !taken.remaining.is_positive() {
            return Ok(false);
        }
        let cut = self.funded_cut(tip)?;
        if cut.step.output <= taken.remaining {
            taken.ins.push(cut.step.input);
            taken.outs.push(cut.step.output);
            taken.result = taken.sums()?;
            taken.remaining = wanted.sub(taken.result.output)?;
            self.consume(tip, cut)?;
            return Ok(true);
        }
        let cut = self.limit_out(tip, cut, taken.remaining)?;
        taken.remaining = taken.remaining.cleared();
        taken.ins.push(cut.step.input);
        taken.result.input = sum(&mut taken.ins, taken.result.input)?;
        taken.result.output = wanted;
        self.consume(tip, cut)
    }

    fn take_forward(&mut self, tip: &Tip, taken: &mut Taken, spend: Value, reverse: InOut) -> Result<bool, Failure> {
        if !taken.remaining.is_positive() {
            return Ok(false);
        }
        let whole = self.funded_cut(tip)?;
        let (mut cut, more) = if whole.step.input <= taken.remaining {
            (whole, true)
        } else {
            (self.limit_in(tip, whole, taken.remaining)?, false)
        };
        let others = sum(&mut taken.outs, cut.step.output.cleared())?;
        taken.ins.push(if more { cut.step.input } else { taken.remaining });
        taken.outs.push(cut.step.output);
        taken.result = taken.sums()?;
        if !more {
            taken.result.input = spend;
        }
        if taken.result.output > reverse.output && taken.result.input <= reverse.input {
            // More out than the reverse pass found for no more in: rounding. Where the same input buys just what the
            // reverse pass found, that is what is taken.
            let rest = reverse.output.sub(others)?;
            let back = self.limit_out(tip, whole, rest)?;
            if back.step.input == taken.remaining {
                taken.result = InOut { input: spend, output: reverse.output };
                taken.ins = vec![spend];
                taken.outs = vec![reverse.output];
                let step = InOut { input: taken.remaining, output: rest };
                cut = Cut { offer: back.offer, step, owner_gives: back.owner_gives };
            }
        }
        taken.remaining = spend.sub(taken.result.input)?;
        let consumed = self.consume(tip, cut)?;
        Ok(more || consumed)
    }

    /// Settles the owner's side and shrinks the offer; true when nothing of it is left.
    fn consume(&mut self, tip: &Tip, cut: Cut) -> Result<bool, Failure> {
        let owner = tip.key.account;
        match (self.wish.book.pays, cut.offer.input) {
            (Asset::Xrp, Value::Drops(drops)) => add_xrp(self.state, owner, drops)?,
            (Asset::Token(token), Value::Token(value)) => credit(self.state, token.issuer, owner, token, value)?,
            _ => return Err(Failure(Ter::TEF_INTERNAL)),
        }
        match (self.wish.book.gets, cut.owner_gives) {
            (Asset::Xrp, Value::Drops(drops)) => add_xrp(self.state, owner, -drops)?,
            (Asset::Token(token), Value::Token(value)) => credit(self.state, owner, token.issuer, token, value)?,
            _ => return Err(Failure(Ter::TEF_INTERNAL)),
        }
        let mut offer = tip.offer.clone();
        offer.taker_pays = offer.taker_pays.sub(cut.offer.input)?;
        offer.taker_gets = offer.taker_gets.sub(cut.offer.output)?;
        let consumed = !offer.taker_pays.is_positive() || !offer.taker_gets.is_positive();
        self.state.put_offer(tip.key, offer);
        Ok(consumed)
    }

    /// Settles the taker's side of a round.
    fn settle_taker(&mut self, taken: InOut) -> Result<(), Failure> {
        let taker = self.wish.taker;
        match (self.wish.book.pays, taken.input) {
            (Asset::Xrp, Value::Drops(drops)) => add_xrp(self.state, taker, -drops)?,
            (Asset::Token(token), Value::Token(value)) => credit(self.state, taker, token.issuer, token, value)?,
            _ => return Err(Failure(Ter::TEF_INTERNAL)),
        }
        match (self.wish.book.gets, taken.output) {
            (Asset::Xrp, Value::Drops(drops)) => add_xrp(self.state, taker, drops),
            (Asset::Token(token), Value::Token(value)) => credit(self.state, token.issuer, taker, token, value),
            _ => Err(Failure(Ter::TEF_INTERNAL)),
        }
    }

    fn remove_dead(&mut self) -> Result<(), Failure> {
        for key in &self.dead {
            offer::delete(self.state, *key, Some(&mut self.counts))?;
        }
        Ok(())
    }
}

impl Taken {
    fn sums(&mut self) -> Result<InOut, Failure> {
        let InOut { input, output } = self.result;
        Ok(InOut { input: sum(&mut self.ins, input)?, output: sum(&mut self.outs, output)? })
    }
}

/// Sum from the smallest to the largest, which keeps the most digits; `like` gives the kind of an empty sum.
fn sum(values: &mut [Value], like: Value) -> Result<Value, Failure> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let mut total = like.cleared();
    for value in values {
        total = total.add(*value)?;
    }
    Ok(total)
}

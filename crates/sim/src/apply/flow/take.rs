//! Taking offers until a goal is reached: back from what is wanted, or forward from what may be spent.

use super::Stop;
use super::book::{BookStep, Source};
use super::view::View;
use crate::amount::{InOut, PARITY_RATE, Value};
use crate::state::Book;
use neo_ledger::Asset;

/// What a pass is after.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// So much is to come out.
    Output(Value),
    /// So much is to go in; `reverse` is what the pass back came to.
    Input { spend: Value, reverse: InOut },
}

/// How much of an offer is taken: what the offer exchanges, what the step sees of it, what the owner pays. The
/// differences are transfer fees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub offer: InOut,
    pub step: InOut,
    pub owner_gives: Value,
    pub rate_in: u32,
    pub rate_out: u32,
}

impl Cut {
    pub(super) fn whole(offer: InOut, rate_in: u32, rate_out: u32) -> Result<Cut, Stop> {
        let input = offer.input.mul_ratio(rate_in, PARITY_RATE, true)?;
        let owner_gives = offer.output.mul_ratio(rate_out, PARITY_RATE, false)?;
        Ok(Cut { offer, step: InOut { input, output: offer.output }, owner_gives, rate_in, rate_out })
    }

    /// With no more than `limit` coming out of the step.
    fn with_output(self, book: &BookStep, view: &View<'_>, source: &Source, limit: Value) -> Result<Cut, Stop> {
        if limit >= self.step.output {
            return Ok(self);
        }
        let owner_gives = limit.mul_ratio(self.rate_out, PARITY_RATE, false)?;
        let offer = book.part_out(view, source, self.offer, limit, true)?;
        let input = offer.input.mul_ratio(self.rate_in, PARITY_RATE, true)?;
        Ok(Cut { offer, step: InOut { input, output: limit }, owner_gives, ..self })
    }

    /// With no more than `limit` going into the step.
    fn with_input(self, book: &BookStep, view: &View<'_>, source: &Source, limit: Value) -> Result<Cut, Stop> {
        if limit >= self.step.input {
            return Ok(self);
        }
        let offer_limit = limit.mul_ratio(PARITY_RATE, self.rate_in, false)?;
        let offer = book.part_in(view, source, self.offer, offer_limit, false)?;
        let owner_gives = offer.output.mul_ratio(self.rate_out, PARITY_RATE, false)?;
        Ok(Cut { offer, step: InOut { input: limit, output: offer.output }, owner_gives, ..self })
    }
}

/// Amounts, kept so that they can be summed from the smallest to the largest, which loses the fewest digits.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    values: Vec<Value>,
    total: Value,
}

impl Sorted {
    pub(super) const fn new(nothing: Value) -> Sorted {
        Sorted { values: Vec::new(), total: nothing }
    }

    /// Adds an amount; its place is needed to leave it out again.
    pub(super) fn insert(&mut self, value: Value) -> Result<usize, Stop> {
        let place = self.values.partition_point(|other| *other <= value);
        self.values.insert(place, value);
        if value.is_xrp() || place + 1 == self.values.len() {
            self.total = self.total.add(value)?;
        } else {
            self.total = self.sum(None)?;
        }
        Ok(place)
    }

    fn sum(&self, without: Option<usize>) -> Result<Value, Stop> {
        let mut total = self.total.cleared();
        for (place, value) in self.values.iter().enumerate() {
            if Some(place) != without {
                total = total.add(*value)?;
            }
        }
        Ok(total)
    }

    /// The sum of all.
    pub(super) const fn total(&self) -> Value {
        self.total
    }

    fn replace(&mut self, value: Value) {
        self.values.clear();
        self.values.push(value);
        self.total = value;
    }
}

/// What a pass has taken so far.
pub(super) struct Taking {
    goal: Goal,
    ins: Sorted,
    outs: Sorted,
    taken: InOut,
    remaining: Value,
}

impl Taking {
    pub(super) fn new(book: Book, goal: Goal) -> Taking {
        let [input, output] = [book.pays, book.gets].map(|asset| Value::zero(asset == Asset::Xrp));
        let remaining = match goal {
            Goal::Output(wanted) => wanted,
            Goal::Input { spend, .. } => spend,
        };
        let (ins, outs) = (Sorted::new(input), Sorted::new(output));
        Taking { goal, ins, outs, taken: InOut { input, output }, remaining }
    }

    /// Takes from an offer; false when the pass is over.
    pub(super) fn take(
        &mut self,
        book: &BookStep,
        view: &mut View<'_>,
        source: &Source,
        whole: Cut,
    ) -> Result<bool, Stop> {
        if !self.remaining.is_positive() {
            return Ok(false);
        }
        match self.goal {
            Goal::Output(wanted) => self.take_reverse(book, view, source, whole, wanted),
            Goal::Input { spend, reverse } => self.take_forward(book, view, source, whole, spend, reverse),
        }
    }

    fn take_reverse(
        &mut self,
        book: &BookStep,
        view: &mut View<'_>,
        source: &Source,
        whole: Cut,
        wanted: Value,
    ) -> Result<bool, Stop> {
        if whole.step.output <= self.remaining {
            self.ins.insert(whole.step.input)?;
            self.outs.insert(whole.step.output)?;
            self.taken = InOut { input: self.ins.total(), output: self.outs.total() };
            self.remaining = wanted.sub(self.taken.output)?;
            book.consume(view, source, &whole)?;
            return Ok(true);
        }
        let cut = whole.with_output(book, view, source, self.remaining)?;
        self.remaining = self.remaining.cleared();
        self.ins.insert(cut.step.input)?;
        self.taken = InOut { input: self.ins.total(), output: wanted };
        // The last digits of two amounts may cancel, so that nothing of an offer is left which was not taken whole.
        book.consume(view, source, &cut)
    }

    fn take_forward(
        &mut self,
        book: &BookStep,
        view: &mut View<'_>,
        source: &Source,
        whole: Cut,
        spend: Value,
        reverse: InOut,
    ) -> Result<bool, Stop> {
        let more = whole.step.input <= self.remaining;
        let mut cut = if more { whole } else { whole.with_input(book, view, source, self.remaining)? };
        self.ins.insert(if more { cut.step.input } else { self.remaining })?;
        let place = self.outs.insert(cut.step.output)?;
        let input = if more { self.ins.total() } else { spend };
        self.taken = InOut { input, output: self.outs.total() };
        if self.taken.output > reverse.output && self.taken.input <= reverse.input {
            // More out than the pass back found for no more in: rounding. Where the same input buys just what was found
            // there, that is what is taken.
            let rest = reverse.output.sub(self.outs.sum(Some(place))?)?;
            let back = whole.with_output(book, view, source, rest)?;
            if back.step.input == self.remaining {
                self.taken = InOut { input: spend, output: reverse.output };
                self.ins.replace(spend);
                self.outs.replace(reverse.output);
                let step = InOut { input: self.remaining, output: rest };
                cut = Cut { offer: back.offer, step, owner_gives: back.owner_gives, ..whole };
            }
        }
        self.remaining = spend.sub(self.taken.input)?;
        let consumed = book.consume(view, source, &cut)?;
        Ok(more || consumed)
    }

    /// What came of it. The sum of what was taken may miss the whole in the last digit; the whole is what counts.
    pub(super) fn result(&self) -> InOut {
        let InOut { input, output } = self.taken;
        match (self.remaining.signum(), self.goal) {
            (..0, _) => InOut { input: input.cleared(), output: output.cleared() },
            (0, Goal::Output(wanted)) => InOut { input, output: wanted },
            (0, Goal::Input { spend, .. }) => InOut { input: spend, output },
            _ => InOut { input, output },
        }
    }
}

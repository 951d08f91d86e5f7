//! A step of a strand, of whatever kind.

use std::collections::BTreeSet;

use neo_ledger::Address;

use super::Stop;
use super::book::BookStep;
use super::direct::Direct;
use super::endpoint::Endpoint;
use super::pool::Slope;
use super::view::View;
use crate::amount::{InOut, PARITY_RATE, Quality, TokenValue, Value};
use crate::apply::Failure;
use crate::state::{Book, OfferKey};
use crate::ter::Ter;

/// Which way a step settles debts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Debt {
    /// The sender gives back what the receiver issued.
    Redeems,
    /// The sender issues his own, or it is XRP.
    Issues,
}

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Xrp(Endpoint),
    Direct(Direct),
    Book(Box<BookStep>),
}

fn drops(value: Value) -> Result<i64, Stop> {
    match value {
        Value::Drops(drops) => Ok(drops),
        Value::Token(_) => Err(Failure(Ter::TEC_INTERNAL).into()),
    }
}

fn tokens(value: Value) -> Result<TokenValue, Stop> {
    match value {
        Value::Token(value) => Ok(value),
        Value::Drops(_) => Err(Failure(Ter::TEC_INTERNAL).into()),
    }
}

impl Step {
    /// True when two strands would go the same way here.
    pub(super) fn is_same(&self, other: &Step) -> bool {
        match (self, other) {
            (Step::Xrp(a), Step::Xrp(b)) => a.account == b.account && a.is_last == b.is_last,
            (Step::Direct(a), Step::Direct(b)) => a.is_same(b),
            (Step::Book(a), Step::Book(b)) => a.book == b.book,
            _ => false,
        }
    }

    /// The sender, when the step goes along a trust line.
    pub(super) fn direct_from(&self) -> Option<Address> {
        match self {
            Step::Direct(direct) => Some(direct.from),
            _ => None,
        }
    }

    /// The book, when the step goes through one.
    pub(super) fn book(&self) -> Option<Book> {
        match self {
            Step::Book(step) => Some(step.book),
            _ => None,
        }
    }

    pub(super) fn debt(&self, view: &View<'_>, forward: bool) -> Result<Debt, Stop> {
        match self {
            Step::Xrp(_) => Ok(Debt::Issues),
            Step::Direct(direct) => direct.debt(view, forward),
            Step::Book(step) => Ok(step.debt()),
        }
    }

    pub(super) fn quality_in(&self, view: &View<'_>) -> u32 {
        match self {
            Step::Direct(direct) => direct.quality_in(view),
            _ => PARITY_RATE,
        }
    }

    /// What must come in for `output` to come out.
    pub(super) fn reverse(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        output: Value,
    ) -> Result<InOut, Stop> {
        match self {
            Step::Xrp(endpoint) => endpoint.run(view, drops(output)?),
            Step::Direct(direct) => direct.reverse(before, view, tokens(output)?),
            Step::Book(step) => step.reverse(before, view, dead, output),
        }
    }

    /// What comes out for `input`.
    pub(super) fn forward(
        &mut self,
        before: Option<&Step>,
        view: &mut View<'_>,
        dead: &mut BTreeSet<OfferKey>,
        input: Value,
    ) -> Result<InOut, Stop> {
        match self {
            Step::Xrp(endpoint) => endpoint.run(view, drops(input)?),
            Step::Direct(direct) => direct.forward(before, view, tokens(input)?),
            Step::Book(step) => step.forward(before, view, dead, input),
        }
    }

    /// What the step last took in and gave out.
    pub(super) fn last_run(&self) -> Option<InOut> {
        match self {
            Step::Xrp(endpoint) => {
                endpoint.cache.map(|drops| InOut { input: Value::Drops(drops), output: Value::Drops(drops) })
            }
            Step::Direct(direct) => {
                direct.cache.map(|cache| InOut { input: Value::Token(cache.input), output: Value::Token(cache.output) })
            }
            Step::Book(step) => step.cache,
        }
    }

    /// The best quality the step can have now; none when there is nothing.
    pub(super) fn quality_bound(
        &self,
        before: Option<&Step>,
        view: &View<'_>,
        before_debt: Debt,
    ) -> Result<(Option<Quality>, Debt), Stop> {
        match self {
            Step::Xrp(_) => Ok((Some(Quality::ONE), Debt::Issues)),
            Step::Direct(direct) => direct.quality_bound(view, before, before_debt).map(|(q, debt)| (Some(q), debt)),
            Step::Book(step) => Ok((step.quality_bound(view, before_debt)?, step.debt())),
        }
    }

    /// How the step's quality falls with what is taken out of it; none when there is nothing.
    pub(super) fn slope(
        &self,
        before: Option<&Step>,
        view: &View<'_>,
        before_debt: Debt,
    ) -> Result<(Option<Slope>, Debt), Stop> {
        if let Step::Book(step) = self {
            return Ok((step.slope(view, before_debt)?, step.debt()));
        }
        let (quality, debt) = self.quality_bound(before, view, before_debt)?;
        Ok((quality.map(Slope::constant).transpose()?, debt))
    }

    /// Offers looked at the last time it ran.
    pub(super) fn offers_used(&self) -> u32 {
        match self {
            Step::Book(step) => step.offers_used,
            _ => 0,
        }
    }

    /// True when it looked at so many offers that it may not run again.
    pub(super) fn is_inactive(&self) -> bool {
        matches!(self, Step::Book(step) if step.inactive)
    }
}

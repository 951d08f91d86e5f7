//! What was earned by selling XRP for more than it had cost, and what the XRP that is left would earn at the closing
//! price: by first in, first out, and by average cost.
//!
//! The opening XRP cost the opening price, a deposit the price of its ledger. A withdrawal leaves at the price of its
//! ledger and fees at the closing price, so that by either method `realised + unrealised` is the split's `trading` to the
//! last digit. A lot is a total cost and not a price: of a lot that is used in part, a share of its cost goes, rounded to
//! [`SHARE_PLACES`] places half to even, and the rest of the cost stays with the rest of the lot. Nothing is lost by that.

use std::collections::VecDeque;

use super::moves::{Change, Figure, Move, Moves, Unknown};
use crate::{AmountError, Dec, Drops, Rounding};

/// Decimal places of the cost of a part of a lot.
pub const SHARE_PLACES: i32 = 15;

/// A method's figures, in RLUSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gains {
    /// By what was sold or left.
    pub realised: Figure,
    /// By what is left, at the closing price.
    pub unrealised: Figure,
    /// What that had cost.
    pub cost: Figure,
}

impl Gains {
    const fn unknown(unknown: Unknown) -> Gains {
        Gains { realised: Err(unknown), unrealised: Err(unknown), cost: Err(unknown) }
    }
}

/// By which order XRP is taken to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The oldest first.
    Fifo,
    /// All XRP as one lot.
    AverageCost,
}

/// The gains of a session by a method.
///
/// # Errors
/// [`AmountError`] when a sum does not fit 34 digits.
pub fn gains(session: &Moves, method: Method) -> Result<Gains, AmountError> {
    let Some(opening) = session.opening.mark else { return Ok(Gains::unknown(Unknown::OpeningMark)) };
    let Some(closing) = session.closing.mark else { return Ok(Gains::unknown(Unknown::ClosingMark)) };
    let unpriced = session.moves.iter().filter(|one| is_unpriced(one)).count();
    if unpriced > 0 {
        return Ok(Gains::unknown(Unknown::FlowMark(u64::try_from(unpriced).unwrap_or(u64::MAX))));
    }
    let mut book = Book { lots: VecDeque::new(), method, realised: Dec::zero() };
    book.put(session.opening.xrp, session.opening.xrp.to_xrp()?.mul_exact(opening)?)?;
    let mut fees = Drops::ZERO;
    for one in &session.moves {
        let known = match one {
            Move::Fee { change } => {
                fees = fees.add(change.xrp)?;
                true
            }
            Move::Fill { change, .. } => book.moved(change.xrp, change.rlusd.neg())?,
            Move::Flow { change, mark: Some(mark), .. } => book.moved(change.xrp, value(*change, *mark)?)?,
            Move::Flow { mark: None, .. } => true,
        };
        if !known {
            return Ok(Gains::unknown(Unknown::Oversold));
        }
    }
    if !book.moved(fees, fees.to_xrp()?.mul_exact(closing)?)? {
        return Ok(Gains::unknown(Unknown::Oversold));
    }
    let (left, cost) = book.left()?;
    let unrealised = left.to_xrp()?.mul_exact(closing)?.sub_exact(cost)?;
    Ok(Gains { realised: Ok(book.realised), unrealised: Ok(unrealised), cost: Ok(cost) })
}

/// Of a flow, its XRP alone: RLUSD that came with it bought nothing.
fn value(change: Change, mark: Dec) -> Result<Dec, AmountError> {
    change.xrp.to_xrp()?.mul_exact(mark)
}

fn is_unpriced(one: &Move) -> bool {
    matches!(one, Move::Flow { change, mark: None, .. } if change.xrp != Drops::ZERO)
}

/// XRP that came at once, and what it cost.
#[derive(Clone, Copy, Debug)]
struct Lot {
    xrp: Drops,
    cost: Dec,
}

struct Book {
    /// The oldest first; by average cost, one.
    lots: VecDeque<Lot>,
    method: Method,
    realised: Dec,
}

impl Book {
    /// XRP comes for a positive price or goes for a negative one; false when there is not so much. RLUSD that moved
    /// without a drop is realised at once.
    fn moved(&mut self, xrp: Drops, price: Dec) -> Result<bool, AmountError> {
        if xrp <= Drops::ZERO {
            let Some(cost) = self.take(Drops::ZERO.sub(xrp)?)? else { return Ok(false) };
            self.realised = self.realised.sub_exact(price)?.sub_exact(cost)?;
        } else {
            self.put(xrp, price)?;
        }
        Ok(true)
    }

    fn put(&mut self, xrp: Drops, cost: Dec) -> Result<(), AmountError> {
        match self.lots.back_mut() {
            Some(lot) if self.method == Method::AverageCost => {
                *lot = Lot { xrp: lot.xrp.add(xrp)?, cost: lot.cost.add_exact(cost)? };
            }
            _ => self.lots.push_back(Lot { xrp, cost }),
        }
        Ok(())
    }

    /// Takes XRP out and gives what it had cost; `None` when there is not so much.
    fn take(&mut self, xrp: Drops) -> Result<Option<Dec>, AmountError> {
        let (mut wanted, mut cost) = (xrp, Dec::zero());
        while wanted > Drops::ZERO {
            let Some(lot) = self.lots.front_mut() else { return Ok(None) };
            if lot.xrp <= wanted {
                wanted = wanted.sub(lot.xrp)?;
                cost = cost.add_exact(lot.cost)?;
                self.lots.pop_front();
                continue;
            }
            let part = share(lot, wanted)?;
            *lot = Lot { xrp: lot.xrp.sub(wanted)?, cost: lot.cost.sub_exact(part)? };
            cost = cost.add_exact(part)?;
            wanted = Drops::ZERO;
        }
        Ok(Some(cost))
    }

    fn left(&self) -> Result<(Drops, Dec), AmountError> {
        self.lots
            .iter()
            .try_fold((Drops::ZERO, Dec::zero()), |(xrp, cost), lot| Ok((xrp.add(lot.xrp)?, cost.add_exact(lot.cost)?)))
    }
}

/// The cost of a part of a lot.
fn share(lot: &Lot, part: Drops) -> Result<Dec, AmountError> {
    let whole = lot.cost.mul(part.to_xrp()?, Rounding::HalfEven)?;
    whole.div(lot.xrp.to_xrp()?, Rounding::HalfEven)?.round_places(SHARE_PLACES, Rounding::HalfEven)
}

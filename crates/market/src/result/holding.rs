//! What it would have been worth not to trade.

use super::moves::{Change, Figure, Move, Moves, Unknown};
use crate::AmountError;

/// A session beside one in which the opening balances, and what came and went, had only been held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The opening balances and the flows at the closing price.
    pub value: Figure,
    /// What trading made of it: the fills at the closing price and the fees. `value + result` is the ending value.
    pub result: Figure,
}

impl Holding {
    /// Compares a session with holding.
    ///
    /// # Errors
    /// [`AmountError`] when a sum does not fit 34 digits.
    pub fn of(session: &Moves) -> Result<Holding, AmountError> {
        let mut held = Change { xrp: session.opening.xrp, rlusd: session.opening.rlusd };
        let mut traded = Change::default();
        for one in &session.moves {
            let into = match one {
                Move::Fill { .. } | Move::Fee { .. } => &mut traded,
                Move::Flow { .. } => &mut held,
            };
            *into = into.plus(one.change())?;
        }
        let Some(mark) = session.closing.mark else {
            return Ok(Holding { value: Err(Unknown::ClosingMark), result: Err(Unknown::ClosingMark) });
        };
        Ok(Holding { value: Ok(held.at(mark)?), result: Ok(traded.at(mark)?) })
    }
}

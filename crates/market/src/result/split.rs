//! Where a session's result came from: spread, inventory, fees, flows. The parts add up to the change of the value to
//! the last digit.
//!
//! Each fill is taken to trade at the middle of the ledger before, and what it did better is spread; each flow comes or
//! goes at the price of its ledger; fees go at the closing price. Between these moments the account holds what it holds,
//! and what the price does to that is the inventory's part. It is summed along that path and is no remainder.

use super::moves::{Change, Figure, Move, Moves, Unknown};
use crate::{AmountError, Dec, Drops};

/// The parts of a session's result, in RLUSD; losses are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Value at the first ledger.
    pub starting: Figure,
    /// Of each fill the size times what its price was better than the middle of the ledger before.
    pub spread: Figure,
    /// What was held times the change of the price, from each moment to the next.
    pub inventory: Figure,
    /// `spread` and `inventory` together, by a sum of its own that needs no middle of a fill.
    pub trading: Figure,
    /// Fees at the closing price.
    pub fees: Figure,
    /// Deposits and withdrawals at the price of their ledgers.
    pub flows: Figure,
    /// Changes that nothing explains, at the price of their ledgers.
    pub unexplained: Figure,
    /// Value at the last ledger.
    pub ending: Figure,
    /// What the ending value is more than the starting value and the parts; zero where all is recorded.
    pub difference: Figure,
}

impl Split {
    /// Splits a session's result.
    ///
    /// # Errors
    /// [`AmountError`] when a sum does not fit 34 digits.
    pub fn of(session: &Moves) -> Result<Split, AmountError> {
        let starting = session.opening.value()?.ok_or(Unknown::OpeningMark);
        let ending = session.closing.value()?.ok_or(Unknown::ClosingMark);
        let inventory = path(session, Stops::All)?;
        // Without the fills as stops, each is worth at the next one what it brought: spread and inventory in one.
        let trading = path(session, Stops::FlowsOnly)?;
        let mut split = Split {
            starting,
            spread: spread(&session.moves)?,
            inventory,
            trading,
            fees: fees(session)?,
            flows: flows(&session.moves, false)?,
            unexplained: flows(&session.moves, true)?,
            ending,
            difference: Err(Unknown::ClosingMark),
        };
        split.difference = split.left_over()?;
        Ok(split)
    }

    /// True when the parts explain the whole change and nothing of it is unexplained; `None` when that is not known.
    #[must_use]
    pub fn adds_up(&self) -> Option<bool> {
        self.difference.ok().map(|difference| difference.is_zero())
    }

    fn left_over(&self) -> Result<Figure, AmountError> {
        let traded = match (self.spread, self.inventory) {
            (Ok(spread), Ok(inventory)) => Ok(spread.add_exact(inventory)?),
            _ => self.trading,
        };
        let mut left = match (self.starting, self.ending) {
            (Ok(starting), Ok(ending)) => ending.sub_exact(starting)?,
            (Err(unknown), _) | (_, Err(unknown)) => return Ok(Err(unknown)),
        };
        for part in [traded, self.fees, self.flows, self.unexplained] {
            match part {
                Ok(part) => left = left.sub_exact(part)?,
                Err(unknown) => return Ok(Err(unknown)),
            }
        }
        Ok(Ok(left))
    }
}

fn spread(moves: &[Move]) -> Result<Figure, AmountError> {
    let (mut sum, mut unknown) = (Dec::zero(), 0);
    for one in moves {
        match one {
            Move::Fill { change, mid: Some(mid) } => sum = sum.add_exact(change.at(*mid)?)?,
            Move::Fill { mid: None, .. } => unknown += 1,
            Move::Fee { .. } | Move::Flow { .. } => {}
        }
    }
    Ok(if unknown > 0 { Err(Unknown::FillMid(unknown)) } else { Ok(sum) })
}

fn fees(session: &Moves) -> Result<Figure, AmountError> {
    let mut sum = Change::default();
    for one in &session.moves {
        if let Move::Fee { change } = one {
            sum = sum.plus(*change)?;
        }
    }
    match session.closing.mark {
        Some(mark) => sum.at(mark).map(Ok),
        None if sum.xrp == Drops::ZERO => Ok(Ok(sum.rlusd)),
        None => Ok(Err(Unknown::ClosingMark)),
    }
}

fn flows(moves: &[Move], wanted: bool) -> Result<Figure, AmountError> {
    let (mut sum, mut unknown) = (Dec::zero(), 0);
    for one in moves {
        let Move::Flow { change, mark, unexplained } = one else { continue };
        if *unexplained != wanted {
            continue;
        }
        match mark {
            Some(mark) => sum = sum.add_exact(change.at(*mark)?)?,
            // RLUSD is worth what it is.
            None if change.xrp == Drops::ZERO => sum = sum.add_exact(change.rlusd)?,
            None => unknown += 1,
        }
    }
    Ok(if unknown > 0 { Err(Unknown::FlowMark(unknown)) } else { Ok(sum) })
}

/// At which moments the path stops to look at the price.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stops {
    /// At fills and flows: what the price does to what is held.
    All,
    /// At flows alone: that, and what the fills brought.
    FlowsOnly,
}

/// From the first ledger's price to the last one's.
fn path(session: &Moves, stops: Stops) -> Result<Figure, AmountError> {
    let Some(opening) = session.opening.mark else { return Ok(Err(Unknown::OpeningMark)) };
    let Some(closing) = session.closing.mark else { return Ok(Err(Unknown::ClosingMark)) };
    if let Some(unknown) = unknown_stop(&session.moves, stops) {
        return Ok(Err(unknown));
    }
    let held = session.opening.xrp;
    let mut walk = Walk { held, mark: opening, brought: Change::default(), gain: Dec::zero() };
    for one in &session.moves {
        match one {
            // What fees took counts as held to the end.
            Move::Fee { .. } => {}
            Move::Fill { change, mid: Some(mid) } if stops == Stops::All => walk.stop(*mid, *change)?,
            Move::Fill { change, .. } => walk.brought = walk.brought.plus(*change)?,
            Move::Flow { change, mark: Some(mark), .. } => walk.stop(*mark, *change)?,
            Move::Flow { mark: None, .. } => {}
        }
    }
    walk.stop(closing, Change::default())?;
    Ok(Ok(walk.gain))
}

/// The way from one price to the next.
struct Walk {
    held: Drops,
    mark: Dec,
    /// What fills brought since the last stop, where they are none themselves.
    brought: Change,
    gain: Dec,
}

impl Walk {
    /// What was held times the change of the price since the stop before; then what moves here is held as well.
    fn stop(&mut self, mark: Dec, moves: Change) -> Result<(), AmountError> {
        let change = self.held.to_xrp()?.mul_exact(mark.sub_exact(self.mark)?)?;
        let brought = std::mem::take(&mut self.brought);
        self.gain = self.gain.add_exact(change)?.add_exact(brought.at(mark)?)?;
        self.held = self.held.add(brought.xrp)?.add(moves.xrp)?;
        self.mark = mark;
        Ok(())
    }
}

fn unknown_stop(moves: &[Move], stops: Stops) -> Option<Unknown> {
    let (mut fills, mut flows) = (0, 0);
    for one in moves {
        match one {
            Move::Fill { mid: None, .. } if stops == Stops::All => fills += 1,
            Move::Flow { change, mark: None, .. } if change.xrp != Drops::ZERO => flows += 1,
            _ => {}
        }
    }
    if fills > 0 {
        return Some(Unknown::FillMid(fills));
    }
    (flows > 0).then_some(Unknown::FlowMark(flows))
}

//! What a session's result is made of: two validated ledgers, and everything that moved the balances between them.

use std::fmt;

use crate::{AmountError, Dec, Drops, Side};

/// A figure, or why it is not known. Unknown is never 0.
pub type Figure = Result<Dec, Unknown>;

/// Why a figure is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No price was known at the first ledger.
    OpeningMark,
    /// No price was known at the last ledger.
    ClosingMark,
    /// So many fills have no middle of the ledger before.
    FillMid(u64),
    /// So many flows that moved XRP have no price of their ledger.
    FlowMark(u64),
    /// More XRP left than the account had: a move is missing, or one is wrong.
    Oversold,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::OpeningMark => f.write_str("no price was known at the first ledger"),
            Unknown::ClosingMark => f.write_str("no price was known at the last ledger"),
            Unknown::FillMid(fills) => {
                write!(f, "the middle of the ledger before is not known for {fills} of the fills")
            }
            Unknown::FlowMark(flows) => write!(f, "no price is known at the ledgers of {flows} of the flows of XRP"),
            Unknown::Oversold => {
                f.write_str("more XRP left the account than it had: a fill or a flow is missing; see `neo verify`")
            }
        }
    }
}

/// The account at a validated ledger, as the ledger states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// All XRP, the reserve included.
    pub xrp: Drops,
    /// RLUSD.
    pub rlusd: Dec,
    /// RLUSD for one XRP; `None` when no price was known.
    pub mark: Option<Dec>,
}

impl Point {
    /// RLUSD plus XRP at the mark; `None` without one.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when it has more than 34 digits.
    pub fn value(&self) -> Result<Option<Dec>, AmountError> {
        let Some(mark) = self.mark else { return Ok(None) };
        Change { xrp: self.xrp, rlusd: self.rlusd }.at(mark).map(Some)
    }
}

/// A change of the balances, signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Of XRP.
    pub xrp: Drops,
    /// Of RLUSD.
    pub rlusd: Dec,
}

impl Change {
    /// Its value in RLUSD at a price, exact.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when it has more than 34 digits.
    pub fn at(self, mark: Dec) -> Result<Dec, AmountError> {
        self.rlusd.add_exact(self.xrp.to_xrp()?.mul_exact(mark)?)
    }

    /// Both together.
    ///
    /// # Errors
    /// [`AmountError`] when they do not fit.
    pub fn plus(self, other: Change) -> Result<Change, AmountError> {
        Ok(Change { xrp: self.xrp.add(other.xrp)?, rlusd: self.rlusd.add_exact(other.rlusd)? })
    }
}

/// Something that moved the balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// An offer of ours traded.
    Fill {
        /// What the balances changed by: a bid adds XRP and takes RLUSD.
        change: Change,
        /// The middle of the ledger before; `None` when it was not known.
        mid: Option<Dec>,
    },
    /// The ledger took a fee.
    Fee {
        /// What the balances changed by.
        change: Change,
    },
    /// A deposit, a withdrawal, or a change that nothing explains.
    Flow {
        /// What the balances changed by.
        change: Change,
        /// The price at its ledger; `None` when none was known.
        mark: Option<Dec>,
        /// True when no transaction tells why.
        unexplained: bool,
    },
}

impl Move {
    /// A fill by its side and its positive amounts.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn fill(side: Side, xrp: Drops, rlusd: Dec, mid: Option<Dec>) -> Result<Move, AmountError> {
        let change = match side {
            Side::Bid => Change { xrp, rlusd: rlusd.neg() },
            Side::Ask => Change { xrp: Drops::ZERO.sub(xrp)?, rlusd },
        };
        Ok(Move::Fill { change, mid })
    }

    /// What the balances changed by.
    #[must_use]
    pub const fn change(&self) -> Change {
        match self {
            Move::Fill { change, .. } | Move::Fee { change } | Move::Flow { change, .. } => *change,
        }
    }
}

/// A session from its first to its last ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moves {
    /// At the first ledger.
    pub opening: Point,
    /// At the last one.
    pub closing: Point,
    /// What moved the balances after the first and up to the last ledger, in the order of the ledgers; within one what
    /// adds XRP without a trade first and what takes it last, so that no order that the ledger allowed goes below zero.
    pub moves: Vec<Move>,
}

impl Moves {
    /// What the balances changed by more than the moves; nothing where all is recorded. What is left over may be worth
    /// nothing, as a fill that is missing and that traded at the closing price is.
    ///
    /// # Errors
    /// [`AmountError`] when a sum does not fit.
    pub fn left_over(&self) -> Result<Change, AmountError> {
        let end = Change { xrp: self.closing.xrp, rlusd: self.closing.rlusd };
        let start = Change { xrp: self.opening.xrp, rlusd: self.opening.rlusd };
        let moved = self.moves.iter().try_fold(start, |sum, one| sum.plus(one.change()))?;
        Ok(Change { xrp: end.xrp.sub(moved.xrp)?, rlusd: end.rlusd.sub_exact(moved.rlusd)? })
    }
}

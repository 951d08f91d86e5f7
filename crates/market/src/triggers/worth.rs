//! What a loss is counted from: the highest value, what was held, and the value at the beginning of the day.
//!
//! Deposits and withdrawals are neither gain nor loss: what comes in raises everything that a loss is counted from by its
//! value at the middle price of the ledger that brings it, and what goes out lowers it. Fees, and what nobody can
//! explain, are losses.

use std::collections::VecDeque;

use crate::{AmountError, Balances, Dec, Drops, Rounding};

const DAY_S: u32 = 86_400;
/// Percents are told with so many places.
const PERCENT_PLACES: i32 = 4;

/// One day (UTC) of ledger time, in the money of now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Day {
    /// Days since the ledger's epoch, which began at midnight.
    number: u32,
    opening_value: Dec,
    opening_xrp: Drops,
    opening_rlusd: Dec,
    highest_value: Dec,
}

/// A loss, with what it is counted from and what is left. In RLUSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Percent of `from`; below zero for a gain.
    pub pct: Dec,
    /// What it is counted from.
    pub from: Dec,
    /// The value now.
    pub value: Dec,
}

/// The losses at one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Since the highest value.
    pub drawdown: Loss,
    /// Against what was held at the first ledger that is looked back to.
    pub holding: Loss,
    /// Since the day's first ledger.
    pub day: Loss,
}

/// The account at one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Close time, in seconds since the ledger's epoch.
    pub at_s: u32,
    /// All XRP.
    pub xrp: Drops,
    /// RLUSD.
    pub rlusd: Dec,
    /// RLUSD for one XRP.
    pub mark: Dec,
}

/// What is remembered of the last days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worth {
    days_kept: u32,
    /// The oldest first.
    days: VecDeque<Day>,
    newest_s: Option<u32>,
    /// Came in or went out since the last sample.
    flow: (Drops, Dec),
}

impl Worth {
    /// Nothing is known yet; `days_kept` days are looked back, today among them.
    #[must_use]
    pub fn new(days_kept: u32) -> Worth {
        Worth { days_kept, days: VecDeque::new(), newest_s: None, flow: (Drops::ZERO, Dec::zero()) }
    }

    /// A deposit or, below zero, a withdrawal. It counts with the next sample.
    ///
    /// # Errors
    /// [`AmountError`] when the sum leaves the range of amounts.
    pub fn flow(&mut self, xrp: Drops, rlusd: Dec) -> Result<(), AmountError> {
        self.flow = (self.flow.0.add(xrp)?, self.flow.1.add(rlusd)?);
        Ok(())
    }

    /// A loss is counted from the next sample on.
    pub fn restart(&mut self) {
        self.days.clear();
        self.flow = (Drops::ZERO, Dec::zero());
    }

    /// When the newest sample was taken.
    #[must_use]
    pub fn newest_s(&self) -> Option<u32> {
        self.newest_s
    }

    /// The account at a ledger, and what is lost by then. A ledger from before the newest sample is another world's,
    /// and everything begins anew.
    ///
    /// # Errors
    /// [`AmountError`] for absurd amounts.
    pub fn sample(&mut self, sample: &Sample) -> Result<Option<Losses>, AmountError> {
        let value = self.remember(sample)?;
        self.losses(value, sample.mark)
    }

    /// The same for a ledger that is past: what is lost by then is not asked, which is most of the work. Gives the value.
    ///
    /// # Errors
    /// As for [`Worth::sample`].
    pub fn remember(&mut self, sample: &Sample) -> Result<Dec, AmountError> {
        if self.newest_s.is_some_and(|newest_s| sample.at_s < newest_s) {
            self.restart();
        }
        self.newest_s = Some(sample.at_s);
        let value = worth(sample.xrp, sample.rlusd, sample.mark)?;
        self.take_flow(sample.mark)?;
        let number = sample.at_s / DAY_S;
        if self.days.back().is_none_or(|day| day.number != number) {
            self.days.push_back(Day {
                number,
                opening_value: value,
                opening_xrp: sample.xrp,
                opening_rlusd: sample.rlusd,
                highest_value: value,
            });
        }
        while self.days.front().is_some_and(|day| day.number.saturating_add(self.days_kept) <= number) {
            self.days.pop_front();
        }
        if let Some(today) = self.days.back_mut() {
            today.highest_value = today.highest_value.max(value);
        }
        Ok(value)
    }

    fn take_flow(&mut self, mark: Dec) -> Result<(), AmountError> {
        let (xrp, rlusd) = std::mem::replace(&mut self.flow, (Drops::ZERO, Dec::zero()));
        if xrp == Drops::ZERO && rlusd.is_zero() {
            return Ok(());
        }
        let moved = worth(xrp, rlusd, mark)?;
        for day in &mut self.days {
            day.opening_value = day.opening_value.add(moved)?;
            day.highest_value = day.highest_value.add(moved)?;
            day.opening_xrp = day.opening_xrp.add(xrp)?;
            day.opening_rlusd = day.opening_rlusd.add(rlusd)?;
        }
        Ok(())
    }

    fn losses(&self, value: Dec, mark: Dec) -> Result<Option<Losses>, AmountError> {
        let (Some(first), Some(today)) = (self.days.front(), self.days.back()) else { return Ok(None) };
        let highest = self.days.iter().fold(today.highest_value, |highest, day| highest.max(day.highest_value));
        let held = worth(first.opening_xrp, first.opening_rlusd, mark)?;
        let losses = (loss(highest, value)?, loss(held, value)?, loss(today.opening_value, value)?);
        let (Some(drawdown), Some(holding), Some(day)) = losses else { return Ok(None) };
        Ok(Some(Losses { drawdown, holding, day }))
    }
}

fn worth(xrp: Drops, rlusd: Dec, mark: Dec) -> Result<Dec, AmountError> {
    let balances = Balances { xrp, reserve: Drops::ZERO, rlusd };
    Ok(crate::value(&balances, Some(mark))?.unwrap_or_default())
}

/// Of nothing, nothing can be lost: unknown.
fn loss(from: Dec, value: Dec) -> Result<Option<Loss>, AmountError> {
    if !from.is_positive() {
        return Ok(None);
    }
    let lost = from.sub(value)?.mul(Dec::from_i64(100), Rounding::HalfEven)?;
    let pct = lost.div(from, Rounding::HalfEven)?.round_places(PERCENT_PLACES, Rounding::HalfEven)?;
    Ok(Some(Loss { pct, from, value }))
}

//! The digits after the last one that is kept, and what they do to it.

use std::cmp::Ordering;

use super::Rounding;

/// Value of the first digit after the last one that is kept.
const FIRST_GUARD_DIGIT: u64 = 1_000_000_000_000_000;
const HALF: u64 = 5 * FIRST_GUARD_DIGIT;

/// Sixteen digits after the last one kept, and whether anything came after those.
pub(super) struct Guard {
    pub(super) digits: u64,
    sticky: bool,
    negative: bool,
}

/// What the guard says of the last digit.
#[derive(PartialEq, Eq)]
enum Verdict {
    Keep,
    Tie,
    Away,
}

impl Guard {
    pub(super) const fn new(negative: bool) -> Guard {
        Guard { digits: 0, sticky: false, negative }
    }

    pub(super) const fn push(&mut self, digit: u64) {
        self.sticky |= !self.digits.is_multiple_of(10);
        self.digits = self.digits / 10 + digit * FIRST_GUARD_DIGIT;
    }

    pub(super) const fn pop(&mut self) -> u64 {
        let digit = self.digits / FIRST_GUARD_DIGIT;
        self.digits = self.digits % FIRST_GUARD_DIGIT * 10;
        digit
    }

    fn verdict(&self, rounding: Rounding) -> Verdict {
        let any = self.digits > 0 || self.sticky;
        let away = match rounding {
            Rounding::TowardsZero => false,
            Rounding::Downward => self.negative && any,
            Rounding::Upward => !self.negative && any,
            Rounding::Nearest => match self.digits.cmp(&HALF) {
                Ordering::Less => false,
                Ordering::Greater => true,
                Ordering::Equal if self.sticky => true,
                Ordering::Equal => return Verdict::Tie,
            },
        };
        if away { Verdict::Away } else { Verdict::Keep }
    }

    /// True when the last digit of `magnitude` moves by one.
    pub(super) fn moves(&self, magnitude: u64, rounding: Rounding) -> bool {
        match self.verdict(rounding) {
            Verdict::Keep => false,
            Verdict::Tie => magnitude % 2 == 1,
            Verdict::Away => true,
        }
    }
}

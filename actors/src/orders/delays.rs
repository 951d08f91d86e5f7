//! The wait after a fill: a side that was filled stays away for some ledgers, so that a market which runs through our
//! price does not find the next offer at the old one.
//!
//! Pure: fills in, what must wait out. It is the session's: a fill counts by its own ledger, so one that the account's
//! history shows at a start counts like any other, and one that an earlier session had recorded is not told again.

use neo_market::{QuoteConfig, Side};

/// The first ledger that each side may stand in again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FillDelays {
    bid: u32,
    ask: u32,
}

impl FillDelays {
    /// An offer of a side was filled in a ledger, wholly or in part.
    pub(super) fn filled(&mut self, side: Side, ledger_index: u32, config: &QuoteConfig) {
        let (again, ledgers) = match side {
            Side::Bid => (&mut self.bid, config.bid_delay_after_fill_ledgers),
            Side::Ask => (&mut self.ask, config.ask_delay_after_fill_ledgers),
        };
        if ledgers > 0 {
            *again = (*again).max(ledger_index.saturating_add(ledgers));
        }
    }

    /// True while nothing of this side is to stand.
    pub(super) fn must_wait(&self, side: Side, ledger_index: u32) -> bool {
        ledger_index < self.again(side)
    }

    /// Why a side waits.
    pub(super) fn reason(&self, side: Side) -> String {
        let (word, sides) = (side.as_str(), if side == Side::Bid { "bids" } else { "asks" });
        let again = self.again(side);
        format!("{sides} wait until ledger {again} after a fill ({word}_delay_after_fill_ledgers)")
    }

    const fn again(&self, side: Side) -> u32 {
        match side {
            Side::Bid => self.bid,
            Side::Ask => self.ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_side_waits_for_its_own_ledgers_and_the_other_goes_on() {
        let config = QuoteConfig { bid_delay_after_fill_ledgers: 3, ..QuoteConfig::default() };
        let mut delays = FillDelays::default();
        delays.filled(Side::Bid, 100, &config);
        delays.filled(Side::Ask, 100, &config);
        assert_eq!([100, 101, 102, 103].map(|index| delays.must_wait(Side::Bid, index)), [true, true, true, false]);
        assert!(!delays.must_wait(Side::Ask, 100), "it has no delay");
        assert!(delays.reason(Side::Bid).contains("ledger 103"), "{}", delays.reason(Side::Bid));
        // An older fill, told late, does not shorten the wait.
        delays.filled(Side::Bid, 90, &config);
        assert!(delays.must_wait(Side::Bid, 102));
        delays.filled(Side::Bid, 102, &config);
        assert!(delays.must_wait(Side::Bid, 104) && !delays.must_wait(Side::Bid, 105));
    }
}

//! What the ledger refuses: after an offer was included without success, its side waits before it is tried again.
//!
//! The usual cause is a freeze. A frozen trust line has no RLUSD to give (tecUNFUNDED_OFFER for bids), a deep or a global
//! freeze allows no offer at all (tecFROZEN); the balances that we quote by do not show it, and each attempt costs a fee.

use neo_market::Side;

/// Ledgers that a side waits at most between two attempts.
const LONGEST_WAIT_LEDGERS: u32 = 64;

/// A side whose last offer was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    result: String,
    /// The ledger that refused it last. Several offers of one ledger are one attempt.
    ledger_index: u32,
    wait_ledgers: u32,
}

/// The refusals of both sides. Pure: ledger indexes and results in.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    bid: Option<Refusal>,
    ask: Option<Refusal>,
}

impl Refusals {
    fn of(&mut self, side: Side) -> &mut Option<Refusal> {
        match side {
            Side::Bid => &mut self.bid,
            Side::Ask => &mut self.ask,
        }
    }

    /// An offer of ours was included with this result. One that says nothing of the next attempt changes nothing.
    pub(super) fn hear(&mut self, side: Side, result: &str, ledger_index: u32) {
        let slot = self.of(side);
        match result {
            "tesSUCCESS" => *slot = None,
            // Too late or not at once: the next one may do better.
            "tecEXPIRED" | "tecKILLED" => {}
            _ if slot.as_ref().is_some_and(|known| known.ledger_index >= ledger_index) => {}
            _ => {
                let wait_ledgers = slot.as_ref().map_or(1, |known| known.wait_ledgers.saturating_mul(2));
                let wait_ledgers = wait_ledgers.min(LONGEST_WAIT_LEDGERS);
                *slot = Some(Refusal { result: result.to_string(), ledger_index, wait_ledgers });
            }
        }
    }

    fn refused(&self, side: Side) -> Option<&Refusal> {
        match side {
            Side::Bid => self.bid.as_ref(),
            Side::Ask => self.ask.as_ref(),
        }
    }

    /// True while this side is not to be tried again.
    pub(super) fn must_wait(&self, side: Side, ledger_index: u32) -> bool {
        self.refused(side).is_some_and(|refusal| ledger_index < refusal.again())
    }

    /// Why this side is not quoted, until an offer of it stands again.
    pub(super) fn reason(&self, side: Side) -> Option<String> {
        let refusal = self.refused(side)?;
        let why = match (refusal.result.as_str(), side) {
            ("tecFROZEN", _) => ": the issuer has frozen our trust line both ways, or all of its tokens",
            ("tecUNFUNDED_OFFER", Side::Bid) => ": the issuer may have frozen our trust line",
            _ => "",
        };
        let sides = if side == Side::Bid { "bids" } else { "asks" };
        Some(format!(
            "the ledger refuses our {sides} ({}{why}); next try after ledger {}",
            refusal.result,
            refusal.again()
        ))
    }
}

impl Refusal {
    const fn again(&self) -> u32 {
        self.ledger_index.saturating_add(self.wait_ledgers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_side_waits_longer_each_time_and_the_other_side_goes_on() {
        let mut refusals = Refusals::default();
        let (mut ledger, mut waits) = (100, Vec::new());
        for _ in 0..8 {
            refusals.hear(Side::Bid, "tecUNFUNDED_OFFER", ledger);
            // A second level of the same ledger is the same attempt.
            refusals.hear(Side::Bid, "tecUNFUNDED_OFFER", ledger);
            let held = (ledger..).take_while(|index| refusals.must_wait(Side::Bid, *index)).count();
            waits.push(held);
            ledger += u32::try_from(held).unwrap_or(u32::MAX) + 1;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64]);
        assert!(refusals.reason(Side::Bid).is_some() && refusals.reason(Side::Ask).is_none());
    }

    #[test]
    fn an_offer_that_stands_ends_the_wait() {
        let mut refusals = Refusals::default();
        refusals.hear(Side::Ask, "tecFROZEN", 100);
        refusals.hear(Side::Ask, "tecFROZEN", 102);
        refusals.hear(Side::Ask, "tesSUCCESS", 103);
        assert_eq!((refusals.must_wait(Side::Ask, 103), refusals.reason(Side::Ask)), (false, None));
        refusals.hear(Side::Ask, "tecFROZEN", 110);
        let reason = refusals.reason(Side::Ask).unwrap_or_default();
        assert!(reason.contains("tecFROZEN") && reason.contains("111"), "{reason}");
        assert_eq!([110, 111].map(|index| refusals.must_wait(Side::Ask, index)), [true, false]);
    }

    #[test]
    fn an_expired_or_killed_offer_is_no_refusal() {
        let mut refusals = Refusals::default();
        refusals.hear(Side::Ask, "tecEXPIRED", 100);
        refusals.hear(Side::Ask, "tecKILLED", 101);
        assert_eq!((refusals.must_wait(Side::Ask, 101), refusals.reason(Side::Ask)), (false, None));
    }
}

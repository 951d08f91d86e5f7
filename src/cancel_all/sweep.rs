//! What to do next, from what each validated ledger shows. Pure: ledgers in, steps out.

use std::collections::BTreeSet;

/// Offers that one round cancels: not more than a node takes from one account within a few ledgers.
pub const ROUND_OFFERS: usize = 100;
/// Rounds in a row after which as many offers stand as before; then something is wrong that more of them do not mend.
const FRUITLESS_ROUNDS: u32 = 3;

/// One validated ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its index.
    pub ledger_index: u32,
    /// The account's next sequence number in it.
    pub sequence: u32,
    /// The account's offers in it, by the sequence numbers that name them.
    pub offers: Vec<u32>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// No offer stands, and none that was signed before can come any more.
    Done,
    /// Sign a cancel of each of these offers, and send them.
    Sign(Vec<u32>),
    /// Send the signed ones again whose sequence numbers are not used up.
    Send,
    /// Wait for the next ledger.
    Wait,
    /// Offers stand, and cancelling does not help.
    GiveUp,
}

/// Cancels that were signed together.
#[derive(Clone, Debug)]
struct Round {
    /// The first sequence number after them.
    end: u32,
    /// The last ledger that can have them.
    last_ledger: u32,
}

/// All rounds.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Until this ledger an offer may come that somebody signed before.
    horizon: u32,
    round: Option<Round>,
    /// The fewest offers that a round left.
    fewest: Option<usize>,
    fruitless: u32,
}

impl Sweep {
    /// `horizon` is the last ledger that can still have an offer which was signed before.
    #[must_use]
    pub const fn new(horizon: u32) -> Sweep {
        Sweep { horizon, round: None, fewest: None, fruitless: 0 }
    }

    /// To be asked once for each ledger.
    pub fn step(&mut self, seen: &Seen) -> Step {
        if seen.offers.is_empty() {
            return if seen.ledger_index >= self.horizon { Step::Done } else { Step::Wait };
        }
        if let Some(round) = &self.round
            && seen.sequence < round.end
            && seen.ledger_index < round.last_ledger
        {
            return Step::Send;
        }
        let left = seen.offers.len();
        if self.round.take().is_some() {
            // Fewer than ever, and not only others: who quotes again while we cancel must not keep us here.
            self.fruitless = if self.fewest.is_none_or(|fewest| left < fewest) { 0 } else { self.fruitless + 1 };
        }
        self.fewest = Some(self.fewest.map_or(left, |fewest| fewest.min(left)));
        if self.fruitless >= FRUITLESS_ROUNDS {
            return Step::GiveUp;
        }
        let targets: BTreeSet<u32> = seen.offers.iter().copied().collect();
        Step::Sign(targets.into_iter().take(ROUND_OFFERS).collect())
    }

    /// A round was signed: `end` is the first sequence number after it, `last_ledger` the last one that can have it.
    pub const fn signed(&mut self, end: u32, last_ledger: u32) {
        self.round = Some(Round { end, last_ledger });
    }
}

/// What a node's answer to a cancel means for those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The next one may be sent.
    GoOn,
    /// Those behind it would be refused as well: all are tried again with the next ledger.
    Later,
    /// It is dead, and so would any other be.
    Never,
}

/// Reads an `engine_result`. Only validated ledgers decide what became of a transaction; this only decides what is sent.
#[must_use]
pub fn said(engine_result: &str) -> Said {
    match engine_result {
        "terQUEUED" | "terPRE_SEQ" | "tefPAST_SEQ" | "tefALREADY" | "tefMAX_LEDGER" => Said::GoOn,
        // A key that may not sign for the account.
        "tefMASTER_DISABLED" | "tefBAD_AUTH" | "tefBAD_AUTH_MASTER" | "telWRONG_NETWORK" => Said::Never,
        "telREQUIRES_NETWORK_ID" | "telNETWORK_ID_MAKES_TX_NON_CANONICAL" => Said::Never,
        other if other.starts_with("tem") => Said::Never,
        other if other.starts_with("tes") || other.starts_with("tec") => Said::GoOn,
        _ => Said::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ledger_index: u32, sequence: u32, offers: &[u32]) -> Seen {
        Seen { ledger_index, sequence, offers: offers.to_vec() }
    }

    #[test]
    fn nothing_is_done_while_an_offer_signed_before_may_still_come() {
        let mut sweep = Sweep::new(15);
        assert_eq!(sweep.step(&seen(10, 7, &[])), Step::Wait);
        assert_eq!(sweep.step(&seen(14, 8, &[7])), Step::Sign(vec![7]), "the one that was under way");
        sweep.signed(9, 19);
        assert_eq!(sweep.step(&seen(15, 9, &[])), Step::Done);
    }

    #[test]
    fn a_round_is_sent_again_until_it_is_used_up_or_can_come_no_more() {
        let mut sweep = Sweep::new(0);
        assert_eq!(sweep.step(&seen(10, 7, &[3, 4])), Step::Sign(vec![3, 4]));
        sweep.signed(9, 15);
        assert_eq!(sweep.step(&seen(11, 7, &[3, 4])), Step::Send);
        assert_eq!(sweep.step(&seen(14, 8, &[4])), Step::Send, "one of two");
        assert_eq!(sweep.step(&seen(15, 8, &[4])), Step::Sign(vec![4]), "ledger 15 was the last that could have it");
        sweep.signed(9, 20);
        assert_eq!(sweep.step(&seen(16, 9, &[4])), Step::Sign(vec![4]), "somebody else took the number");
    }

    #[test]
    fn three_rounds_that_change_nothing_are_enough_and_new_offers_do_not_count_as_change() {
        let mut sweep = Sweep::new(0);
        for round in 0..3 {
            // Another program quotes: others stand each time, and as many.
            assert_eq!(sweep.step(&seen(10 * round, 7, &[100 + round, 200])), Step::Sign(vec![100 + round, 200]));
            sweep.signed(9, 10 * round + 5);
        }
        assert_eq!(sweep.step(&seen(30, 7, &[103, 200])), Step::GiveUp);
        let mut sweep = Sweep::new(0);
        for left in (1..=20).rev() {
            let offers: Vec<u32> = (0..left).collect();
            let ledger_index = 10 * (20 - left);
            assert!(matches!(sweep.step(&seen(ledger_index, 7, &offers)), Step::Sign(_)), "fewer each time");
            sweep.signed(9, ledger_index + 5);
        }
        assert_eq!(sweep.step(&seen(500, 7, &[])), Step::Done);
    }

    #[test]
    fn a_round_is_bounded() {
        let offers: Vec<u32> = (0..250).collect();
        let Step::Sign(targets) = Sweep::new(0).step(&seen(1, 300, &offers)) else { panic!("nothing to sign") };
        assert_eq!(targets, offers[..ROUND_OFFERS]);
    }

    #[test]
    fn a_refusal_that_may_pass_stops_the_sending_and_one_that_cannot_ends_it() {
        for go_on in ["tesSUCCESS", "terQUEUED", "terPRE_SEQ", "tefPAST_SEQ", "tefALREADY", "tecNO_ENTRY"] {
            assert_eq!(said(go_on), Said::GoOn, "{go_on}");
        }
        for later in ["telCAN_NOT_QUEUE_FULL", "telINSUF_FEE_P", "terINSUF_FEE_B", "telLOCAL_ERROR", "unheard-of"] {
            assert_eq!(said(later), Said::Later, "{later}");
        }
        for never in ["temBAD_FEE", "tefBAD_AUTH", "tefMASTER_DISABLED", "telWRONG_NETWORK"] {
            assert_eq!(said(never), Said::Never, "{never}");
        }
    }
}

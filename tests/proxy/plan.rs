//! Which fault comes when: hashes of a seed and of an event's number, and nothing else, so that one seed is one plan.

use std::fmt;

/// What a network does to those who trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Every connection breaks without a close frame, and no new one is taken.
    Cut,
    /// Connections stay open and nothing passes, neither way; what was held arrives when it is over.
    Stall,
    /// What the engine sends arrives, and no answer comes back, ever.
    HalfOpen,
    /// So few bytes a second come from the node.
    Slow,
    /// A message of the node never arrives.
    Lose,
    /// A message arrives a ledger late.
    Delay,
    /// A message arrives after the one that followed it.
    Reorder,
    /// A message arrives twice.
    Duplicate,
    /// The node shows a certificate that nobody vouches for.
    TlsCertificate,
    /// The TLS handshake is cut in the middle.
    TlsHandshake,
    /// The node answers for another network.
    WrongNetwork,
    /// The node follows some ledgers behind the others, and answers from there.
    Behind,
    /// The node has no history from before, and says so.
    HistoryGap,
    /// The same, and it answers with what it has as if that were all that was asked for.
    HistoryClamped,
    /// A signed transaction never leaves the node that took it.
    LostSubmission,
    /// A signed transaction is applied, and the answer is lost with the connection.
    AnswerLost,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 16] = [
        Fault::Cut,
        Fault::Stall,
        Fault::HalfOpen,
        Fault::Slow,
        Fault::Lose,
        Fault::Delay,
        Fault::Reorder,
        Fault::Duplicate,
        Fault::TlsCertificate,
        Fault::TlsHandshake,
        Fault::WrongNetwork,
        Fault::Behind,
        Fault::HistoryGap,
        Fault::HistoryClamped,
        Fault::LostSubmission,
        Fault::AnswerLost,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A fault that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// Which.
    pub fault: Fault,
    /// So many ledgers.
    pub ledgers: u32,
    /// Bytes a second of [`Fault::Slow`], ledgers of [`Fault::Behind`].
    pub amount: u32,
}

/// Faults that last, with how many of 100,000 ledgers begin one, and how long the longest lasts.
/// Those that show only when a connection is opened last longer: the engine comes back after growing waits.
const SPELLS: [(Fault, u64, u32); 10] = [
    (Fault::Cut, 500, 12),
    (Fault::Stall, 250, 60),
    (Fault::HalfOpen, 250, 60),
    (Fault::Slow, 400, 30),
    (Fault::TlsCertificate, 300, 100),
    (Fault::TlsHandshake, 300, 100),
    (Fault::WrongNetwork, 200, 100),
    (Fault::Behind, 700, 40),
    (Fault::HistoryGap, 300, 150),
    (Fault::HistoryClamped, 300, 150),
];
/// Faults of one message that the node sends, with how many of 100,000 messages suffer one.
const MESSAGES: [(Fault, u64); 4] =
    [(Fault::Lose, 150), (Fault::Delay, 400), (Fault::Reorder, 800), (Fault::Duplicate, 1_000)];
/// The same of signed transactions.
const SUBMISSIONS: [(Fault, u64); 2] = [(Fault::LostSubmission, 1_500), (Fault::AnswerLost, 400)];
const OF: u64 = 100_000;

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    seed: u64,
    /// Only this one, so many times more often than beside the others.
    only: Option<(Fault, u64)>,
    calm: bool,
}

impl Plan {
    /// All faults.
    pub fn mixed(seed: u64) -> Plan {
        Plan { seed, only: None, calm: false }
    }

    /// One kind alone, `times` as often.
    pub fn only(seed: u64, fault: Fault, times: u64) -> Plan {
        Plan { seed, only: Some((fault, times)), calm: false }
    }

    /// None.
    pub fn calm() -> Plan {
        Plan { seed: 0, only: None, calm: true }
    }

    fn rate(&self, fault: Fault, rate: u64) -> u64 {
        match self.only {
            _ if self.calm => 0,
            None => rate,
            Some((only, times)) if only == fault => rate.saturating_mul(times),
            Some(_) => 0,
        }
    }

    fn drawn<T: Copy>(&self, chance: u64, faults: impl Iterator<Item = (T, Fault, u64)>) -> Option<T> {
        let mut edge = 0;
        faults.into_iter().find_map(|(which, fault, rate)| {
            edge += self.rate(fault, rate);
            (chance % OF < edge).then_some(which)
        })
    }

    /// What begins at a node in a ledger, by the ledger's number since the faults began.
    pub fn spell(&self, node: usize, ledger: u32) -> Option<Spell> {
        let hash = hash(&[self.seed, 1, node as u64, u64::from(ledger)]);
        let (fault, longest) =
            self.drawn(hash, SPELLS.iter().map(|(fault, rate, longest)| ((*fault, *longest), *fault, *rate)))?;
        let more = mixed(hash);
        let ledgers = 1 + u32::try_from(more % u64::from(longest)).unwrap();
        let dice = mixed(more);
        let amount = match fault {
            Fault::Slow => 20_000 + u32::try_from(dice % 200_000).unwrap(),
            Fault::Behind => 1 + u32::try_from(dice % 5).unwrap(),
            _ => 0,
        };
        Some(Spell { fault, ledgers, amount })
    }

    /// What happens to a message of a node, by its number.
    pub fn message(&self, node: usize, number: u64) -> Option<Fault> {
        let hash = hash(&[self.seed, 2, node as u64, number]);
        self.drawn(hash, MESSAGES.iter().map(|(fault, rate)| (*fault, *fault, *rate)))
    }

    /// What happens to a signed transaction, by its number among all, whichever node it goes to.
    pub fn submission(&self, number: u64) -> Option<Fault> {
        let hash = hash(&[self.seed, 3, number]);
        self.drawn(hash, SUBMISSIONS.iter().map(|(fault, rate)| (*fault, *fault, *rate)))
    }
}

fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x6e_656f, |hash, part| mixed(hash ^ part.wrapping_mul(0xd1b5_4a32_d192_ed03)))
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every bit of the input moves every bit of the result.
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counts(plan: Plan) -> BTreeMap<Fault, u64> {
        let mut counts = BTreeMap::new();
        for number in 0..100_000 {
            let (spell, message) = (plan.spell(0, number).map(|spell| spell.fault), plan.message(0, number.into()));
            for fault in [spell, message, plan.submission(number.into())].into_iter().flatten() {
                *counts.entry(fault).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn one_seed_is_one_plan_and_another_is_another() {
        let spells = |seed| (0..5_000).map(|ledger| Plan::mixed(seed).spell(1, ledger)).collect::<Vec<_>>();
        assert_eq!(spells(7), spells(7));
        assert_ne!(spells(7), spells(8));
        let other_node: Vec<_> = (0..5_000).map(|ledger| Plan::mixed(7).spell(2, ledger)).collect();
        assert_ne!(spells(7), other_node);
    }

    #[test]
    fn each_fault_comes_as_often_as_its_rate_says() {
        let counts = counts(Plan::mixed(3));
        let rates = SPELLS.iter().map(|(fault, rate, _)| (*fault, *rate)).chain(MESSAGES).chain(SUBMISSIONS);
        for (fault, rate) in rates {
            let seen = counts[&fault];
            // Six standard deviations of a Poisson count.
            assert!(seen.abs_diff(rate).pow(2) < 36 * rate, "{fault}: {seen}, not about {rate}");
        }
        assert_eq!(counts.len(), Fault::ALL.len());
    }

    #[test]
    fn one_fault_alone_is_alone_and_calm_is_calm() {
        for fault in Fault::ALL {
            let counts = counts(Plan::only(3, fault, 10));
            assert_eq!(counts.keys().collect::<Vec<_>>(), [&fault]);
        }
        assert!(counts(Plan::calm()).is_empty());
    }
}

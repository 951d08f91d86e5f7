//! Faults: what a node shows and does wrong, on purpose.
//!
//! Pure: ledger indexes, hashes and messages in, effects out. Whether a fault happens follows from the run's seed and the
//! ledger's index alone (for a message: its number in the ledger; for a transaction: its hash), by a hash and not from
//! the market's stream of random numbers, so that faults move no trade but by what they do, and a world that is loaded
//! again needs no memory of them.

mod mail;
mod plan;

use neo_ledger::{Hash, sha512_half};

pub use mail::Mail;
pub use plan::{FaultPlan, Messages, Times};

/// Age of the last validated ledger from which methods that need a current one are refused, in seconds (rippled,
/// `Tuning.h`, `maxValidatedLedgerAge`).
pub const MAX_VALIDATED_AGE_S: u64 = 120;

/// How the node looks to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It follows the network.
    Full,
    /// It has fallen behind.
    Behind,
    /// It does not know an amendment of the network's, and follows no longer.
    AmendmentBlocked,
}

impl Health {
    /// `server_state`, as rippled names it.
    #[must_use]
    pub const fn server_state(self) -> &'static str {
        match self {
            Health::Full => "full",
            Health::Behind => "syncing",
            Health::AmendmentBlocked => "connected",
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The line breaks: no close frame.
    Torn,
    /// Code 1008: the client reads too slowly.
    TooSlow,
}

/// What the issuer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerAct {
    /// Takes tokens back from the maker.
    Clawback,
    /// Freezes the maker's line, or thaws it.
    FreezeLine(bool),
    /// Freezes the maker's line both ways, or thaws it.
    FreezeDeep(bool),
    /// Freezes everything it issued, or thaws it.
    FreezeAll(bool),
    /// Sets the tick size to the fault's, or back to the scenario's.
    TickSize(bool),
}

/// The faults of a run.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: FaultPlan,
    seed: u64,
    /// What goes wrong with messages.
    pub mail: Mail,
}

impl Faults {
    /// The faults of a plan, by a seed.
    #[must_use]
    pub fn new(plan: FaultPlan, seed: u64) -> Faults {
        Faults { mail: Mail::new(plan.messages.clone(), seed), plan, seed }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// True when this fault is on in the ledger: it began there, or lasts from an earlier one.
    fn is_on(&self, name: &str, times: &Times, ledger: u32) -> bool {
        if times.is_never() {
            return false;
        }
        let first = ledger.saturating_sub(times.ledgers.saturating_sub(1)).max(1);
        let begins =
            |index: u32| times.at.contains(&index) || chance(self.seed, name, &index.to_be_bytes()) < times.per_ledger;
        (first..=ledger).any(begins)
    }

    /// True in a ledger in which the fault is on, and was not in the one before.
    fn comes(&self, name: &str, times: &Times, ledger: u32) -> bool {
        self.is_on(name, times, ledger) && !self.is_on(name, times, ledger.saturating_sub(1))
    }

    /// How the node looks while the network closes this ledger.
    #[must_use]
    pub fn health(&self, ledger: u32) -> Health {
        if self.is_on("amendment_blocked", &self.plan.amendment_blocked, ledger) {
            Health::AmendmentBlocked
        } else if self.is_on("behind", &self.plan.behind, ledger) {
            Health::Behind
        } else {
            Health::Full
        }
    }

    /// How connections end with this ledger, if they do.
    #[must_use]
    pub fn cut(&self, ledger: u32) -> Option<Cut> {
        if self.comes("disconnect", &self.plan.disconnect, ledger) {
            Some(Cut::Torn)
        } else if self.comes("slow_reader", &self.plan.slow_reader, ledger) {
            Some(Cut::TooSlow)
        } else {
            None
        }
    }

    /// True when requests are answered `slowDown` after this ledger.
    #[must_use]
    pub fn slows_down(&self, ledger: u32) -> bool {
        self.is_on("slow_down", &self.plan.slow_down, ledger)
    }

    /// True when nothing of this ledger goes out.
    #[must_use]
    pub fn is_gap(&self, ledger: u32) -> bool {
        self.is_on("gap", &self.plan.gap, ledger)
    }

    /// Ledgers that are kept when this one makes the node forget.
    #[must_use]
    pub fn forgets(&self, ledger: u32) -> Option<u32> {
        self.is_on("forgets", &self.plan.forgets, ledger).then_some(self.plan.forgets_keep)
    }

    /// How many times the reference fee this ledger costs while it is open, at least.
    #[must_use]
    pub fn load_factor(&self, ledger: u32) -> u32 {
        if self.is_on("fee_spike", &self.plan.fee_spike, ledger) { self.plan.fee_spike_factor } else { 1 }
    }

    /// How many transactions other accounts send as this ledger opens.
    #[must_use]
    pub fn crowd(&self, ledger: u32) -> u32 {
        if self.is_on("crowd", &self.plan.crowd, ledger) { self.plan.crowd_transactions } else { 0 }
    }

    /// The reserves of this ledger, base and for each entry, when they are not the scenario's.
    #[must_use]
    pub fn reserves(&self, ledger: u32) -> Option<(i64, i64)> {
        let changed = (self.plan.reserve_base_to_drops, self.plan.reserve_inc_to_drops);
        self.is_on("reserve", &self.plan.reserve, ledger).then_some(changed)
    }

    /// True when this transaction never gets into a ledger, however often it is sent.
    #[must_use]
    pub fn never_in(&self, transaction: Hash) -> bool {
        self.plan.never_in > 0.0 && chance(self.seed, "never_in", &transaction.0) < self.plan.never_in
    }

    /// What the issuer does in this ledger.
    #[must_use]
    pub fn issuer_acts(&self, ledger: u32) -> Vec<IssuerAct> {
        let mut acts = Vec::new();
        if self.comes("clawback", &self.plan.clawback, ledger) {
            acts.push(IssuerAct::Clawback);
        }
        type Act = fn(bool) -> IssuerAct;
        let lasting: [(&str, &Times, Act); 4] = [
            ("line_freeze", &self.plan.line_freeze, IssuerAct::FreezeLine),
            ("deep_freeze", &self.plan.deep_freeze, IssuerAct::FreezeDeep),
            ("global_freeze", &self.plan.global_freeze, IssuerAct::FreezeAll),
            ("tick_size", &self.plan.tick_size, IssuerAct::TickSize),
        ];
        for (name, times, act) in lasting {
            let (was, is) = (self.is_on(name, times, ledger.saturating_sub(1)), self.is_on(name, times, ledger));
            if was != is {
                acts.push(act(is));
            }
        }
        acts
    }

    /// True when the issuer must be able to claw back, which it can declare only before it issues.
    #[must_use]
    pub fn claws_back(&self) -> bool {
        !self.plan.clawback.is_never()
    }
}

/// An evenly distributed number from 0 (included) to 1 (excluded) that follows from these alone.
pub(crate) fn chance(seed: u64, name: &str, what: &[u8]) -> f64 {
    let hash = sha512_half(&[b"chance", &seed.to_be_bytes(), name.as_bytes(), what]);
    let bits = hash.0.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    // 53 bits fill a float's mantissa exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut FaultPlan), seed: u64) -> Faults {
        let mut plan = FaultPlan::default();
        change(&mut plan);
        Faults::new(plan, seed)
    }

    #[test]
    fn a_fault_at_stated_ledgers_lasts_as_long_as_it_says() {
        let faults = faults(|plan| plan.behind = Times::at(&[10, 12], 3), 1);
        let on: Vec<u32> = (1..30).filter(|index| faults.health(*index) == Health::Behind).collect();
        assert_eq!(on, [10, 11, 12, 13, 14]);
    }

    #[test]
    fn a_rate_is_kept_and_the_seed_says_where() {
        let drawn = |seed| {
            let times = Times { per_ledger: 0.1, ..Times::default() };
            let faults = faults(|plan| plan.gap = times, seed);
            (1..10_001).filter(|index| faults.is_gap(*index)).collect::<Vec<u32>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!((900..1_100).contains(&drawn(1).len()), "{}", drawn(1).len());
    }

    #[test]
    fn what_begins_ends_once() {
        let faults = faults(|plan| plan.global_freeze = Times::at(&[10, 11], 4), 1);
        let acts: Vec<(u32, IssuerAct)> =
            (1..30).flat_map(|index| faults.issuer_acts(index).into_iter().map(move |act| (index, act))).collect();
        assert_eq!(acts, [(10, IssuerAct::FreezeAll(true)), (15, IssuerAct::FreezeAll(false))]);
    }

    #[test]
    fn without_a_plan_nothing_happens() {
        let faults = faults(|_| {}, 1);
        for index in 1..1_000 {
            assert_eq!((faults.health(index), faults.cut(index), faults.forgets(index)), (Health::Full, None, None));
            assert_eq!((faults.load_factor(index), faults.reserves(index)), (1, None));
            assert!(!faults.is_gap(index) && !faults.slows_down(index) && faults.issuer_acts(index).is_empty());
        }
        assert!(!faults.never_in(Hash([0; 32])));
    }
}

//! The table `[faults]` of a scenario: what goes wrong, how often and for how long.

use neo_market::Dec;
use serde::{Deserialize, Serialize};

use crate::scenario::{Check, number};

/// Ledgers that a fault lasts at most.
const LONGEST_LEDGERS: u32 = 10_000;

/// When one fault happens. Its chances come from the seed and the ledger's index alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Probability that it begins in a ledger.
    #[serde(deserialize_with = "number")]
    pub per_ledger: f64,
    /// Indexes of ledgers in which it begins.
    pub at: Vec<u32>,
    /// How many ledgers it lasts.
    pub ledgers: u32,
}

impl Default for Times {
    fn default() -> Times {
        Times { per_ledger: 0.0, at: Vec::new(), ledgers: 1 }
    }
}

impl Times {
    /// At these ledgers, for so many.
    #[must_use]
    pub fn at(at: &[u32], ledgers: u32) -> Times {
        Times { at: at.to_vec(), ledgers, ..Times::default() }
    }

    /// True when it never happens.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.per_ledger <= 0.0 && self.at.is_empty()
    }
}

/// Messages that do not arrive as they were sent, each by its own probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Never arrives.
    #[serde(deserialize_with = "number")]
    pub lost: f64,
    /// Arrives `delay_ledgers` later.
    #[serde(deserialize_with = "number")]
    pub delayed: f64,
    /// Arrives twice.
    #[serde(deserialize_with = "number")]
    pub duplicated: f64,
    /// Arrives after the one behind it.
    #[serde(deserialize_with = "number")]
    pub reordered: f64,
    /// Ledgers that a delayed message is held back.
    pub delay_ledgers: u32,
}

impl Default for Messages {
    fn default() -> Messages {
        Messages { lost: 0.0, delayed: 0.0, duplicated: 0.0, reordered: 0.0, delay_ledgers: 1 }
    }
}

/// What goes wrong. By default nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// Every connection breaks off without a word.
    pub disconnect: Times,
    /// Every client is cut off with code 1008, as one that reads too slowly.
    pub slow_reader: Times,
    /// Every request is answered `slowDown`.
    pub slow_down: Times,
    /// The node falls behind: no ledger closes for its clients, then all that were missed come at once.
    pub behind: Times,
    /// The node forgets all but the newest `forgets_keep` ledgers.
    pub forgets: Times,
    /// Ledgers that are remembered then.
    pub forgets_keep: u32,
    /// Nothing of a ledger goes out on the streams: an index is missing there.
    pub gap: Times,
    /// The open ledger costs `fee_spike_factor` times the reference fee; what offers less is queued.
    pub fee_spike: Times,
    /// How many times the reference fee.
    pub fee_spike_factor: u32,
    /// The scenario's takers send `crowd_transactions` transactions that change nothing the moment a ledger opens, so that
    /// its cost rises as the table `queue` says.
    pub crowd: Times,
    /// How many.
    pub crowd_transactions: u32,
    /// The node is amendment-blocked.
    pub amendment_blocked: Times,
    /// Part of the submitted transactions that are accepted and never get into a ledger, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub never_in: f64,
    /// Messages to clients.
    pub messages: Messages,
    /// The issuer claws back from the maker.
    pub clawback: Times,
    /// How much, in RLUSD.
    pub clawback_rlusd: Dec,
    /// The issuer freezes the maker's trust line.
    pub line_freeze: Times,
    /// The issuer freezes the maker's trust line both ways: he can neither send nor get.
    pub deep_freeze: Times,
    /// The issuer freezes all that it issued.
    pub global_freeze: Times,
    /// The issuer sets its tick size to `tick_size_to`, and afterwards to the scenario's again.
    pub tick_size: Times,
    /// Significant digits, 3 to 15.
    pub tick_size_to: u8,
    /// The reserves become `reserve_base_to_drops` and `reserve_inc_to_drops`, and afterwards the scenario's again.
    pub reserve: Times,
    /// Reserve of an account, in drops.
    pub reserve_base_to_drops: i64,
    /// More reserve for each entry, in drops.
    pub reserve_inc_to_drops: i64,
}

impl Default for FaultPlan {
    fn default() -> FaultPlan {
        FaultPlan {
            disconnect: Times::default(),
            slow_reader: Times::default(),
            slow_down: Times::default(),
            behind: Times::default(),
            forgets: Times::default(),
            forgets_keep: 16,
            gap: Times::default(),
            fee_spike: Times::default(),
            fee_spike_factor: 100,
            crowd: Times::default(),
            crowd_transactions: 1_500,
            amendment_blocked: Times::default(),
            never_in: 0.0,
            messages: Messages::default(),
            clawback: Times::default(),
            clawback_rlusd: Dec::from_i64(1_000),
            line_freeze: Times::default(),
            deep_freeze: Times::default(),
            global_freeze: Times::default(),
            tick_size: Times::default(),
            tick_size_to: 5,
            reserve: Times::default(),
            reserve_base_to_drops: 10_000_000,
            reserve_inc_to_drops: 2_000_000,
        }
    }
}

impl FaultPlan {
    /// Every mistake of the values.
    pub(crate) fn check(&self, check: &mut Check<'_>) {
        for (field, times) in [
            ("faults.disconnect", &self.disconnect),
            ("faults.slow_reader", &self.slow_reader),
            ("faults.slow_down", &self.slow_down),
            ("faults.behind", &self.behind),
            ("faults.forgets", &self.forgets),
            ("faults.gap", &self.gap),
            ("faults.fee_spike", &self.fee_spike),
            ("faults.crowd", &self.crowd),
            ("faults.amendment_blocked", &self.amendment_blocked),
            ("faults.clawback", &self.clawback),
            ("faults.line_freeze", &self.line_freeze),
            ("faults.deep_freeze", &self.deep_freeze),
            ("faults.global_freeze", &self.global_freeze),
            ("faults.tick_size", &self.tick_size),
            ("faults.reserve", &self.reserve),
        ] {
            let rate = times.per_ledger;
            check((0.0..=1.0).contains(&rate), field, rate.to_string(), "give a per_ledger of 0 to 1");
            let lasts = times.ledgers;
            let fix = "give ledgers of 1 to 10000";
            check((1..=LONGEST_LEDGERS).contains(&lasts), field, lasts.to_string(), fix);
        }
        let messages = &self.messages;
        for (field, value) in [
            ("faults.never_in", self.never_in),
            ("faults.messages.lost", messages.lost),
            ("faults.messages.delayed", messages.delayed),
            ("faults.messages.duplicated", messages.duplicated),
            ("faults.messages.reordered", messages.reordered),
        ] {
            check((0.0..=1.0).contains(&value), field, value.to_string(), "give 0 to 1");
        }
        let delay = messages.delay_ledgers;
        check((1..=1_000).contains(&delay), "faults.messages.delay_ledgers", delay.to_string(), "give 1 to 1000");
        let keep = self.forgets_keep;
        check(keep >= 1, "faults.forgets_keep", keep.to_string(), "give at least 1");
        let factor = self.fee_spike_factor;
        let fix = "give 1 to 1000000";
        check((1..=1_000_000).contains(&factor), "faults.fee_spike_factor", factor.to_string(), fix);
        let crowd = self.crowd_transactions;
        check(crowd <= 100_000, "faults.crowd_transactions", crowd.to_string(), "give 0 to 100000");
        let tick = self.tick_size_to;
        check((3..=15).contains(&tick), "faults.tick_size_to", tick.to_string(), "give 3 to 15");
        let clawed = self.clawback_rlusd;
        let clawed_ok = clawed.is_positive() && clawed <= Dec::from_i64(1_000_000_000);
        check(clawed_ok, "faults.clawback_rlusd", clawed.to_string(), "give more than 0, at most 1000000000");
        for (field, drops) in [
            ("faults.reserve_base_to_drops", self.reserve_base_to_drops),
            ("faults.reserve_inc_to_drops", self.reserve_inc_to_drops),
        ] {
            check((0..=1_000_000_000).contains(&drops), field, drops.to_string(), "give 0 to 1000000000 drops");
        }
    }
}

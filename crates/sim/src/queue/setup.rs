//! The table `[queue]` of a scenario: how much a ledger and the queue take.

use serde::{Deserialize, Serialize};

use crate::scenario::Check;

/// Most transactions of a ledger or a queue that a scenario may ask for.
const MOST: u32 = 1_000_000;

/// The settings of the open ledger's cost and of the queue, with rippled's names and defaults (its table
/// `[transaction_queue]`; `TxQ::Setup`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSetup {
    /// Transactions that a ledger takes at the base fee, at least. 1000 as a rippled that runs alone; one on a network
    /// has 32.
    pub minimum_txn_in_ledger: u32,
    /// Ledgers larger than this let the next one take more.
    pub target_txn_in_ledger: u32,
    /// The most that a ledger takes at the base fee, though no less than the target; none for as many as get in.
    pub maximum_txn_in_ledger: Option<u32>,
    /// Ledgers' worth of transactions that may wait.
    pub ledgers_in_queue: u32,
    /// Transactions that may wait in any case.
    pub minimum_queue_size: u32,
    /// Transactions of one account that may wait.
    pub maximum_txn_per_account: u32,
    /// How much more, in percent, one must pay that takes another's place.
    pub retry_sequence_percent: u32,
    /// Ledgers that one which waits must still have before it.
    pub minimum_last_ledger_buffer: u32,
    /// The level that escalation multiplies, at least; 256 is the base fee.
    pub minimum_escalation_multiplier: u64,
    /// How much more than a full ledger the next one is expected to have, in percent.
    pub normal_consensus_increase_percent: u32,
    /// How much less than a late ledger the next one is, in percent.
    pub slow_consensus_decrease_percent: u32,
}

impl Default for QueueSetup {
    fn default() -> QueueSetup {
        QueueSetup {
            minimum_txn_in_ledger: 1_000,
            target_txn_in_ledger: 256,
            maximum_txn_in_ledger: None,
            ledgers_in_queue: 20,
            minimum_queue_size: 2_000,
            maximum_txn_per_account: 10,
            retry_sequence_percent: 25,
            minimum_last_ledger_buffer: 2,
            minimum_escalation_multiplier: 256 * 500,
            normal_consensus_increase_percent: 20,
            slow_consensus_decrease_percent: 50,
        }
    }
}

impl QueueSetup {
    /// Every mistake of the values.
    pub(crate) fn check(&self, check: &mut Check<'_>) {
        let sizes = [
            ("queue.minimum_txn_in_ledger", self.minimum_txn_in_ledger),
            ("queue.target_txn_in_ledger", self.target_txn_in_ledger),
            ("queue.maximum_txn_in_ledger", self.maximum_txn_in_ledger.unwrap_or(1)),
            ("queue.minimum_queue_size", self.minimum_queue_size),
        ];
        for (field, size) in sizes {
            check((1..=MOST).contains(&size), field, size.to_string(), "give 1 to 1000000 transactions");
        }
        if let Some(maximum) = self.maximum_txn_in_ledger {
            let fix = "give at least queue.minimum_txn_in_ledger";
            check(maximum >= self.minimum_txn_in_ledger, "queue.maximum_txn_in_ledger", maximum.to_string(), fix);
        }
        let (ledgers, each) = (self.ledgers_in_queue, self.maximum_txn_per_account);
        check((1..=1_000).contains(&ledgers), "queue.ledgers_in_queue", ledgers.to_string(), "give 1 to 1000");
        check((1..=1_000).contains(&each), "queue.maximum_txn_per_account", each.to_string(), "give 1 to 1000");
        let buffer = self.minimum_last_ledger_buffer;
        check(buffer <= 100, "queue.minimum_last_ledger_buffer", buffer.to_string(), "give 0 to 100");
        let level = self.minimum_escalation_multiplier;
        let fix = "give 256 to 1000000000";
        check((256..=1_000_000_000).contains(&level), "queue.minimum_escalation_multiplier", level.to_string(), fix);
        for (field, percent, most) in [
            ("queue.retry_sequence_percent", self.retry_sequence_percent, 1_000),
            ("queue.normal_consensus_increase_percent", self.normal_consensus_increase_percent, 1_000),
            ("queue.slow_consensus_decrease_percent", self.slow_consensus_decrease_percent, 100),
        ] {
            let fix = if most == 100 { "give 0 to 100" } else { "give 0 to 1000" };
            check(percent <= most, field, percent.to_string(), fix);
        }
    }
}

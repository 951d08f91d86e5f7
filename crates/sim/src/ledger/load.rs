//! What changes of a ledger while it runs: the open ledger's cost and its queue, the reserves, and transactions that the
//! network never takes.
//!
//! Modelled of rippled's queue (`TxQ.cpp`): a transaction that offers less than the open ledger costs is answered
//! `terQUEUED` and goes into the first open ledger that it can pay for, an account's own in order; it must leave the
//! queue two ledgers of time, and `fail_hard` wants none of it. Not modelled: the queue's own fee order, its size, and
//! escalation by the number of transactions: the cost is set from outside.

use neo_ledger::Hash;

use super::{Chain, Submitted};
use crate::apply::tx::{Signer, Tx};
use crate::apply::{Context, apply};
use crate::ter::Ter;

/// Ledgers that a queued transaction must still have before it (rippled, `TxQ.h`, `minimumLastLedgerBuffer`).
const LEAST_LEDGERS_LEFT: u32 = 2;

impl Chain {
    /// Sets how many times the reference fee the open ledger costs. Participants of the simulation pay what is asked.
    pub fn set_load_factor(&mut self, factor: u32) {
        self.load_factor = factor.max(1);
    }

    /// How many times the reference fee the open ledger costs.
    #[must_use]
    pub fn load_factor(&self) -> u32 {
        self.load_factor
    }

    /// What a reference transaction must offer to get into the open ledger at once, in drops.
    #[must_use]
    pub fn open_ledger_fee(&self) -> i64 {
        self.rules.base_fee_drops.saturating_mul(i64::from(self.load_factor))
    }

    /// Transactions that wait until the open ledger costs less.
    #[must_use]
    pub fn queued_count(&self) -> usize {
        self.held.values().filter(|held| self.is_outbid(&held.tx)).count()
    }

    /// Sets the reserves from the open ledger on.
    pub fn set_reserves(&mut self, base_drops: i64, inc_drops: i64) {
        self.rules.reserve_base_drops = base_drops;
        self.rules.reserve_inc_drops = inc_drops;
    }

    /// Keeps a transaction out of every closed ledger; the open one shows it until it closes.
    pub fn keep_out(&mut self, transaction: Hash) {
        self.never_in.insert(transaction);
    }

    /// Drops what the network never takes from what is about to close.
    pub(super) fn drop_kept_out(&mut self) {
        if self.never_in.is_empty() {
            return;
        }
        self.open_txs.retain(|tx| !self.never_in.contains(&tx.hash));
        self.held.retain(|_, held| !self.never_in.contains(&held.tx.hash));
    }

    /// True when the open ledger costs more than the transaction offers, though it offers the reference fee.
    pub(super) fn is_outbid(&self, tx: &Tx) -> bool {
        let reference = self.rules.base_fee_drops;
        tx.signer != Signer::Simulation && (reference..self.open_ledger_fee()).contains(&tx.fee)
    }

    /// What is said of a transaction that is outbid; `None` when it is not, or could not go in anyway.
    pub(super) fn queue(&mut self, tx: &Tx, fail_hard: bool) -> Option<Submitted> {
        if !self.is_outbid(tx) || !self.could_go_in(tx) {
            return None;
        }
        let least = self.open_index().saturating_add(LEAST_LEDGERS_LEFT);
        let has_time = tx.last_ledger_sequence.is_none_or(|last| last >= least);
        let held = !fail_hard && has_time && self.hold(tx.clone());
        let result = if held { Ter::TER_QUEUED } else { Ter::TEL_CAN_NOT_QUEUE };
        Some(Submitted { result, applied: false, held })
    }

    /// True when the open ledger would take the transaction now, or after those of its account that are queued.
    fn could_go_in(&mut self, tx: &Tx) -> bool {
        let Some(next) = self.open.account(tx.account).map(|root| root.sequence) else { return false };
        if tx.sequence > next {
            return (next..tx.sequence).all(|sequence| self.held.contains_key(&(tx.account, false, sequence)));
        }
        let context = Context {
            rules: &self.rules,
            ledger_index: self.header.index.saturating_add(1),
            parent_close_time: self.header.close_time,
            open: true,
            retry: false,
            fail_hard: false,
            transaction_index: 0,
            pool_account: None,
        };
        let mark = self.open.mark();
        let applied = apply(&mut self.open, tx, &context).applied;
        self.open.roll_back(mark);
        applied
    }
}

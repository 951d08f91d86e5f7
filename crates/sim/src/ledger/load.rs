//! What changes of a ledger while it runs: the open ledger's cost, how large a ledger is expected to be, the reserves, and
//! transactions that the network never takes.

use neo_ledger::Hash;

use super::Chain;
use crate::queue::{Queue, QueueSetup};

impl Chain {
    /// Empties the queue and gives it other settings.
    #[must_use]
    pub fn with_queue(mut self, setup: QueueSetup) -> Chain {
        self.queue = Queue::new(setup);
        self
    }

    /// What waits for the open ledger, and what that costs.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Sets how many times the reference fee the open ledger costs at least, whatever its size. Participants of the
    /// simulation pay what is asked.
    pub fn set_load_factor(&mut self, factor: u32) {
        self.load_factor = factor.max(1);
    }

    /// Says whether the ledger that closes next took too long.
    pub fn set_slow(&mut self, slow: bool) {
        self.slow = slow;
    }

    /// Sets the reserves from the open ledger on.
    pub fn set_reserves(&mut self, base_drops: i64, inc_drops: i64) {
        self.rules.reserve_base_drops = base_drops;
        self.rules.reserve_inc_drops = inc_drops;
    }

    /// Sets the reference fee from the open ledger on.
    pub(crate) fn set_base_fee(&mut self, drops: i64) {
        self.rules.base_fee_drops = drops;
    }

    /// Leaves so many places of every queue free for what is put before all.
    pub(crate) fn skip_orders(&mut self, places: u64) {
        self.validated.skip_orders(places);
        self.open.skip_orders(places);
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
        self.locals.forget(&self.never_in);
        self.queue.drop_all(|waits| self.never_in.contains(&waits.tx.hash));
    }
}

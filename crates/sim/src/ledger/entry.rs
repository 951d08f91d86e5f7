//! The way into the open ledger: at once, through the queue, or not at all (rippled 2.6.1, `TxQ.cpp`, and what
//! `NetworkOPs.cpp` and `OpenLedger.h` do around it).

use neo_ledger::Address;

use super::{Chain, Header, Submitted};
use crate::apply::tx::{Signer, Tx};
use crate::apply::{Context, Rules, apply, base_fee, preclaim, preflight};
use crate::queue::{BASE_LEVEL, Candidate, Holder, Plan, Slot, Terms, drops_of, level_of};
use crate::state::{AccountRoot, State, TicketKey};
use crate::ter::Ter;

const fn refused(result: Ter) -> Submitted {
    Submitted { result, applied: false, held: false }
}

/// True for a result after which the node tries again by itself.
fn may_come(result: Ter) -> bool {
    let fails = result.is_retry() || result.is_local() || result.is_failure();
    fails && result != Ter::TER_QUEUED && result != Ter::TEF_PAST_SEQ
}

fn open_context<'a>(rules: &'a Rules, closed: &Header, pool: Option<Address>, fail_hard: bool) -> Context<'a> {
    Context {
        rules,
        ledger_index: closed.index.saturating_add(1),
        parent_close_time: closed.close_time,
        open: true,
        retry: false,
        fail_hard,
        transaction_index: 0,
        pool_account: pool,
    }
}

impl Chain {
    /// Hands a transaction in: to the open ledger, or to the queue.
    pub fn submit(&mut self, tx: Tx, fail_hard: bool) -> Submitted {
        let submitted = self.enter(&tx, fail_hard);
        let (account, result) = (tx.account, submitted.result);
        let given_up = result.is_malformed() || (fail_hard && !result.is_success());
        let kept = !given_up && self.remember(tx, result);
        if result.is_success() {
            self.release_held(account);
        }
        Submitted { held: kept && !submitted.applied, ..submitted }
    }

    /// What comes through the network is known to others; only its order is mended here.
    fn remember(&mut self, tx: Tx, result: Ter) -> bool {
        let of_network = tx.signer == Signer::Simulation;
        if of_network && ![Ter::TER_PRE_SEQ, Ter::TER_PRE_TICKET].contains(&result) {
            return false;
        }
        self.locals.keep(tx, self.open_index(), may_come(result))
    }

    /// A transaction's way in. The simulation's participants send theirs through the network, which has them already.
    fn enter(&mut self, tx: &Tx, fail_hard: bool) -> Submitted {
        match tx.signer {
            Signer::Simulation => self.take(tx, fail_hard),
            Signer::Key(_) => self.offer(tx, fail_hard),
        }
    }

    /// Applies a transaction to the open ledger, whatever that costs.
    pub(super) fn take(&mut self, tx: &Tx, fail_hard: bool) -> Submitted {
        let context = open_context(&self.rules, &self.header, self.pool_account, fail_hard);
        let applied = apply(&mut self.open, tx, &context);
        if applied.applied {
            self.proposed.push((tx.clone(), applied.result));
            self.open_txs.push(tx.clone());
        }
        Submitted { result: applied.result, applied: applied.applied, held: false }
    }

    /// Applies a transaction that pays what the open ledger costs; else it may wait.
    fn offer(&mut self, tx: &Tx, fail_hard: bool) -> Submitted {
        let malformed = preflight(tx, &open_context(&self.rules, &self.header, None, fail_hard));
        if !malformed.is_success() {
            return refused(malformed);
        }
        if tx.has_sequence_and_ticket {
            return refused(Ter::TEM_SEQ_AND_TICKET);
        }
        let Some(root) = self.open.account(tx.account) else { return refused(Ter::TER_NO_ACCOUNT) };
        let (level, required) = (self.level_paid(&self.open, tx), self.open_level());
        if (tx.has_ticket || tx.sequence == root.sequence) && level >= required {
            let taken = self.take(tx, fail_hard);
            if taken.applied {
                self.queue.remove(Slot::of(tx));
            }
            return taken;
        }
        let ticket = TicketKey { account: tx.account, sequence: tx.sequence };
        if tx.has_ticket && self.open.ticket(ticket).is_none() {
            let is_past = tx.sequence < root.sequence;
            return refused(if is_past { Ter::TEF_NO_TICKET } else { Ter::TER_PRE_TICKET });
        }
        let holder = Holder { sequence: root.sequence, balance_drops: root.balance };
        self.wait(Candidate::new(tx.clone(), level), holder, fail_hard).unwrap_or_else(refused)
    }

    /// Puts a transaction into the queue, or what it rescues from there into the ledger.
    fn wait(&mut self, wants: Candidate, holder: Holder, fail_hard: bool) -> Result<Submitted, Ter> {
        let terms = Terms {
            ledger_index: self.open_index(),
            reserve_drops: self.rules.reserve(0),
            base_fee_drops: self.rules.base_fee_drops,
            fail_hard,
        };
        let plan = self.queue.examine(&wants, holder, terms)?;
        self.would_claim(&wants.tx, plan.after, fail_hard)?;
        if let Some(result) = self.rescue(&wants, &plan, fail_hard) {
            return Ok(Submitted { result, applied: true, held: false });
        }
        if plan.after.is_none() {
            self.queue.can_wait(&wants, holder, terms)?;
        }
        self.queue.insert(wants)?;
        Ok(refused(Ter::TER_QUEUED))
    }

    /// Whether a transaction would claim its fee, once its account has so much left and is at that sequence.
    fn would_claim(&mut self, tx: &Tx, after: Option<(i64, u32)>, fail_hard: bool) -> Result<(), Ter> {
        let mark = self.open.mark();
        if let (Some((balance, sequence)), Some(root)) = (after, self.open.account(tx.account)) {
            let root = AccountRoot { balance, sequence, ..root.clone() };
            self.open.put_account(tx.account, root);
        }
        let result = preclaim(&self.open, tx, &open_context(&self.rules, &self.header, None, fail_hard));
        self.open.roll_back(mark);
        if result.is_success() || result.is_claim() { Ok(()) } else { Err(result) }
    }

    /// Applies all that waits of an account before a transaction, and then the transaction, if together they pay what
    /// they cost one after the other; all or nothing.
    fn rescue(&mut self, wants: &Candidate, plan: &Plan, fail_hard: bool) -> Option<Ter> {
        let required = self.open_level();
        let (paid, before) = self.queue.rescue(wants, plan, required)?;
        let series = u64::try_from(before.len()).ok()?.saturating_add(1);
        if paid < self.level_of_series(series, required)? {
            return None;
        }
        let (mark, held, told) = (self.open.mark(), self.open_txs.len(), self.proposed.len());
        let result = self.apply_series(wants, &before, fail_hard);
        if result.is_none() {
            self.open.roll_back(mark);
            self.open_txs.truncate(held);
            self.proposed.truncate(told);
            return None;
        }
        for slot in before.into_iter().chain([wants.slot()]) {
            self.queue.remove(slot);
        }
        result
    }

    fn apply_series(&mut self, wants: &Candidate, before: &[Slot], fail_hard: bool) -> Option<Ter> {
        for slot in before {
            let tx = self.queue.get(*slot)?.tx.clone();
            let taken = self.take(&tx, false);
            self.queue.note_try(*slot, taken.result);
            // A ticket that is gone can never be used: the queue is rid of it.
            if !taken.applied && taken.result != Ter::TEF_NO_TICKET {
                return None;
            }
        }
        let taken = self.take(&wants.tx, fail_hard);
        taken.applied.then_some(taken.result)
    }

    /// What so many transactions pay in all to get in one after the other; `None` when that does not fit.
    fn level_of_series(&self, series: u64, required: u64) -> Option<u64> {
        let held = self.held_count();
        let metrics = self.queue.metrics();
        if held > metrics.expected() {
            return metrics.level_of_series(held, series).map(|level| level.max(required.saturating_mul(series)));
        }
        // It costs more than its size demands.
        Some(required.saturating_mul(series))
    }

    fn held_count(&self) -> u64 {
        u64::try_from(self.open_txs.len()).unwrap_or(u64::MAX)
    }

    /// The level that gets into the open ledger at once.
    #[must_use]
    pub fn open_level(&self) -> u64 {
        let set = BASE_LEVEL.saturating_mul(u64::from(self.load_factor));
        self.queue.metrics().level(self.held_count()).max(set)
    }

    /// What a transaction must offer to get into the open ledger at once, in drops.
    #[must_use]
    pub fn open_cost_drops(&self, tx: &Tx) -> i64 {
        drops_of(self.open_level(), self.base_fee_of(&self.open, tx))
    }

    fn base_fee_of(&self, state: &State, tx: &Tx) -> i64 {
        let usual = AccountRoot::default();
        base_fee(tx, state.account(tx.account).unwrap_or(&usual), &self.rules)
    }

    /// The level that a transaction pays.
    pub(super) fn level_paid(&self, state: &State, tx: &Tx) -> u64 {
        level_of(tx.fee, self.base_fee_of(state, tx), self.rules.base_fee_drops)
    }

    /// Applies what waited for this account's gap to fill, or for its tickets.
    fn release_held(&mut self, account: Address) {
        while let Some(tx) = self.open.account(account).and_then(|root| self.locals.release(account, root.sequence)) {
            self.enter(&tx, false);
        }
    }

    /// Gives what is held a last chance before the ledger closes.
    pub(super) fn try_held(&mut self) {
        for tx in self.locals.release_all() {
            self.enter(&tx, false);
        }
    }

    /// Lets in from the queue what the new open ledger takes: the highest level first, an account's own in order.
    fn promote(&mut self) {
        let mut next = self.queue.head();
        while let Some(slot) = next {
            if self.queue.must_wait(slot) {
                next = self.queue.behind(slot);
                continue;
            }
            let Some(tx) = self.queue.get(slot).filter(|waits| waits.level >= self.open_level()).map(|w| w.tx.clone())
            else {
                break;
            };
            let taken = self.take(&tx, false);
            next = if taken.applied { self.queue.advance(slot) } else { self.queue.failed(slot, taken.result) };
        }
        self.queue.reorder(self.header.hash);
    }

    /// Fills the new open ledger: with what did not get into the closed one, from the queue, and with what clients
    /// handed in lately.
    pub(super) fn reopen(&mut self, left: Vec<Tx>) {
        let next = self.open_index();
        for tx in left.into_iter().filter(|tx| tx.last_ledger_sequence.is_none_or(|last| last >= next)) {
            let again = self.take(&tx, false);
            // A client's is remembered since it came.
            if tx.signer == Signer::Simulation {
                self.remember(tx, again.result);
            }
        }
        self.promote();
        self.locals.sweep(self.header.index, &self.validated);
        let again: Vec<Tx> = self.locals.all().cloned().collect();
        for tx in again {
            self.enter(&tx, false);
        }
    }
}

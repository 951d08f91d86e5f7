//! From a closed ledger to the one message that tells of it: proven complete, understood whole, told once.

use neo_ledger::LineTerms;
use neo_ledger::message::{LedgerClosed, ValidatedTransaction};
use neo_ledger::meta::{self, OwnTransaction};
use neo_ledger::request::{self, Index};
use neo_ledger::traded::traded;
use neo_ledger::types::Hash;
use neo_market::{Dec, reference};

use super::super::budget::REFERENCE;
use super::super::nodes::Parting;
use super::sync::Picture;
use super::{Asked, FeedCore, FeedEffect, FeedError, MAX_LEDGERS_AHEAD, MAX_READS, Phase};
use crate::messages::{AccountState, LedgerHeader, LedgerUpdate};

impl FeedCore {
    /// Keeps a validated transaction once, however often and in whatever order it comes.
    pub(super) fn keep(&mut self, transaction: ValidatedTransaction) {
        let fresh = !self.seen_before.contains(&transaction.hash) && self.seen.insert(transaction.hash);
        if fresh {
            self.pending.insert((transaction.ledger_index, transaction.transaction_index), transaction);
        }
    }

    pub(super) fn ledger_closed(
        &mut self,
        closed: LedgerClosed,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        let index = closed.ledger_index;
        let newest = self.closed.keys().next_back().copied();
        if newest.is_some_and(|newest| index > newest.saturating_add(MAX_LEDGERS_AHEAD)) {
            let reason = format!("the node closed ledger {index} after {}", newest.unwrap_or(0));
            self.leave(Parting::Unfit, &reason, effects);
            return Ok(());
        }
        let differs = self.second.first_closed(index, closed.ledger_hash);
        self.closed.insert(index, closed);
        self.expecting_since_ms = None;
        if let Some(finding) = differs {
            return self.found(finding, effects);
        }
        self.node_at = self.node_at.max(index);
        self.send_held_back(now_ms, effects);
        if self.catching_up {
            self.sync_or_wait(now_ms, effects);
            return Ok(());
        }
        if matches!(self.phase, Phase::Absent) {
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        if !self.is_live() {
            return self.complete_sync(now_ms, effects);
        }
        if newest.is_some_and(|newest| index > newest.saturating_add(1)) {
            effects
                .push(FeedEffect::Warn(format!("ledgers before {index} are missing from the stream; reading afresh")));
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        // Before the account, which completes the ledger: the settings of a ledger mostly come with it.
        if self.may_look(now_ms) {
            self.ask_issuer(now_ms, effects);
        }
        if self.pool.exists() && self.may_look(now_ms) {
            self.ask_pool(now_ms, effects);
        }
        let account = self.config.account;
        self.budget.asks(REFERENCE, now_ms);
        self.ask(Asked::Account, now_ms, effects, |id| request::account_info(id, account, Index::Validated));
        self.complete_ledger(now_ms, effects)
    }

    /// When the newest closed ledger is proven complete, tells of it.
    pub(super) fn complete_ledger(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Some(info) = &self.proof else { return Ok(()) };
        let index = info.ledger_index;
        if self.processed.is_some_and(|processed| index <= processed) {
            self.proof = None;
            return Ok(());
        }
        let Some(header) = self.header(index) else { return Ok(()) };
        let (info, root) = (info.clone(), self.root_after(index));
        if root != Some(info.previous_txn_id) {
            effects.push(FeedEffect::Warn(format!("a transaction of our account up to ledger {index} was not seen")));
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        self.proof = None;
        self.root_txn = root;
        let rlusd = self.token_after(index);
        self.account =
            Some(AccountState { xrp: info.balance, rlusd, sequence: info.sequence, owner_count: info.owner_count });
        let due = self.list_again
            || self.config.audit_ledgers > 0 && index >= self.audited_at.saturating_add(self.config.audit_ledgers);
        if due && self.may_audit(now_ms) {
            self.ask(Asked::Health, now_ms, effects, request::server_info);
            // An audit is a synchronisation from a live feed: same reads, same joining up, no quote lost meanwhile.
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        self.emit(header, Picture::default(), now_ms, effects)
    }

    pub(super) fn header(&self, index: u32) -> Option<LedgerHeader> {
        // A ledger that closed before the subscription began has no ledgerClosed message: wait for the next one,
        // unless the node stands still until the engine asks it to close.
        let closed = self.closed.get(&index)?;
        Some(LedgerHeader {
            index,
            hash: closed.ledger_hash,
            close_time: closed.ledger_time,
            base_fee: closed.fee_base,
            reserve_base: closed.reserve_base,
            reserve_inc: closed.reserve_inc,
        })
    }

    /// Walks the transactions up to `index` that touched our account's root: each names the one before, so none is
    /// missing when the chain holds from the last one told of. Gives the last, or `None` where the chain is broken.
    fn root_after(&self, index: u32) -> Option<Hash> {
        let mut last = self.root_txn?;
        for transaction in self.pending.range(..=(index, u32::MAX)).map(|(_, transaction)| transaction) {
            let Some(root) = transaction.meta.root(self.config.account) else { continue };
            if root.previous_txn_id.is_some_and(|before| before != last) {
                return None;
            }
            last = transaction.hash;
        }
        Some(last)
    }

    fn token_after(&self, index: u32) -> Dec {
        let (account, token) = (self.config.account, self.config.token);
        self.pending
            .range(..=(index, u32::MAX))
            .rev()
            .find_map(|(_, transaction)| transaction.meta.token_balance_after(account, token))
            .unwrap_or_else(|| self.account.map_or_else(Dec::zero, |state| state.rlusd))
    }

    /// Tells the others of a ledger and everything of ours since the one before. What is not understood is read again
    /// first: a ledger is told of whole or not at all.
    pub(super) fn emit(
        &mut self,
        ledger: LedgerHeader,
        picture: Picture,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        let Some(account) = self.account else { return Ok(()) };
        let Picture { offers, owned, book_is_fresh } = picture;
        // Without a record of earlier ledgers, history begins with this one.
        let processed = self.processed.unwrap_or(if book_is_fresh { ledger.index } else { 0 });
        let mut transactions: Vec<OwnTransaction> = Vec::new();
        let (mut problem, mut line) = (None, self.terms.line);
        let mut trades = Vec::new();
        for transaction in self.pending.range(..=(ledger.index, u32::MAX)).map(|(_, transaction)| transaction) {
            if !book_is_fresh && let Err(error) = self.book.apply(transaction) {
                problem = Some((transaction.hash, error.to_string()));
                break;
            }
            if !book_is_fresh {
                line = LineTerms::after(&transaction.meta, self.config.account, self.config.token).or(line);
            }
            match traded(transaction, self.config.account, self.config.token) {
                Ok(trade) => trades.push((transaction.ledger_index, trade)),
                Err(error) => {
                    problem = Some((transaction.hash, error.to_string()));
                    break;
                }
            }
            if transaction.ledger_index <= processed {
                continue;
            }
            match meta::own_transaction(transaction, self.config.account, self.config.token, self.last_close_time) {
                Ok(own) => transactions.extend(own),
                Err(error) => {
                    problem = Some((transaction.hash, error.to_string()));
                    break;
                }
            }
        }
        if let Some((hash, reason)) = problem {
            return self.read_again(hash, reason, effects);
        }
        for (index, trade) in trades {
            self.trades.add(index, trade)?;
        }
        let mut view = self.book.view(ledger.index, self.config.depth, ledger.close_time, self.config.dust)?;
        view.amm = self.pool.at(ledger.index, self.config.price.amm_max_age_ledgers);
        view.last_trade = self.trades.last(self.config.dust)?;
        let reference = reference::reference(&view, &self.outside.at(now_ms), &self.config.price);
        self.terms.line = line;
        self.pending = self.pending.split_off(&(ledger.index.saturating_add(1), 0));
        self.processed = Some(ledger.index);
        self.world.told(ledger.index, ledger.hash);
        self.last_close_time = Some(ledger.close_time);
        self.closed.retain(|index, _| *index >= ledger.index);
        // Duplicates come within a ledger or two; two generations of hashes are remembered, the older is dropped.
        if self.seen.len() > 4_096 {
            self.seen_before = std::mem::take(&mut self.seen);
        }
        let history_lost = self.history_lost.take();
        let terms = self.terms;
        let update =
            LedgerUpdate { ledger, view, reference, account, transactions, offers, owned, terms, history_lost };
        effects.push(FeedEffect::Update(Box::new(update)));
        Ok(())
    }

    /// Forgets a transaction that is not understood and leaves the node: the next connection reads it from history.
    fn read_again(&mut self, hash: Hash, reason: String, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let attempts = self.unreadable.entry(hash).or_default();
        *attempts += 1;
        if *attempts >= MAX_READS {
            return Err(FeedError::Metadata { hash, attempts: *attempts, reason });
        }
        self.pending.retain(|_, transaction| transaction.hash != hash);
        self.seen.remove(&hash);
        self.seen_before.remove(&hash);
        self.leave(Parting::Unfit, &format!("transaction {hash} is not understood: {reason}"), effects);
        Ok(())
    }
}

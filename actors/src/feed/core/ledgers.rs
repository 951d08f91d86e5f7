//! From a closed ledger to the one message that tells of it: proven complete, understood whole, told once.

use neo_ledger::LineTerms;
use neo_ledger::message::{LedgerClosed, ValidatedTransaction};
use neo_ledger::meta::{self, OwnTransaction};
use neo_ledger::request;
use neo_ledger::traded::traded;
use neo_ledger::types::Hash;
use neo_market::reference;

use super::super::nodes::Parting;
use super::proof::{LineAt, Proven, Stated};
use super::sync::Picture;
use super::{Asked, FeedCore, FeedEffect, FeedError, MAX_LEDGERS_AHEAD, MAX_READS, Phase};
use crate::heard::Heard;
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
        if matches!(self.phase, Phase::Absent { .. }) {
            self.ask_absent(now_ms, effects);
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
        let looks = self.config.looks;
        let due = |every: u32| index.checked_rem(every) == Some(0);
        if (self.pool.exists() || due(looks.pool_every)) && self.may_look(now_ms) {
            self.ask_pool(index, now_ms, effects);
        }
        let reads_book = !self.book_gap && due(looks.book_every) && self.may_read_book(now_ms);
        self.ask_proof(index, reads_book, now_ms, effects);
        self.complete_ledger(now_ms, effects)
    }

    /// When the newest closed ledger is proven complete, tells of it.
    pub(super) fn complete_ledger(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Some((index, Stated { account: info, line, book })) = self.stated() else { return Ok(()) };
        let Some(header) = self.header(index) else { return Ok(()) };
        let line = line.map(|line| LineAt::of(line.as_ref()));
        let line_told = self.line_after(index);
        let whole = self.root_after(index) == Some(info.previous_txn_id);
        if !whole || line.is_some() && line_told != line {
            let what = if whole { "trust line" } else { "account" };
            effects.push(FeedEffect::Warn(format!("a transaction of our {what} up to ledger {index} was not seen")));
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        let rlusd = line.map_or_else(|| self.token_after(index), |line| line.balance);
        let proven = Proven { root: info.previous_txn_id, line: line.or(line_told) };
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
        let reads_book = book.is_some();
        if let Some((asks, bids)) = book
            && let Err(error) = self.book.reset(index, &asks.offers, &bids.offers)
        {
            self.leave(Parting::Unfit, &format!("the node's book is not understood: {error}"), effects);
            return Ok(());
        }
        self.book_gap &= !reads_book;
        self.emit(header, proven, Picture::default(), now_ms, effects)
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

    /// The transactions up to `index` that the last proof did not cover.
    pub(super) fn since_proven(&self, index: u32) -> impl Iterator<Item = &ValidatedTransaction> {
        let upto = self.pending.range(..=(index, u32::MAX)).map(|(_, transaction)| transaction);
        upto.filter(|transaction| transaction.ledger_index > self.proven)
    }

    /// Tells the others of a ledger and everything of ours since the one before. What is not understood is read again
    /// first: a ledger is told of whole or not at all.
    pub(super) fn emit(
        &mut self,
        ledger: LedgerHeader,
        proven: Proven,
        picture: Picture,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        let Some(account) = self.account else { return Ok(()) };
        let Picture { offers, owned, book_is_fresh } = picture;
        // Without a record of earlier ledgers, history begins with this one.
        if self.processed.is_none() {
            self.told = Heard::up_to(if book_is_fresh { ledger.index } else { 0 });
        }
        let mut transactions: Vec<OwnTransaction> = Vec::new();
        let (mut problem, mut line) = (None, self.terms.line);
        let mut trades = Vec::new();
        for transaction in self.pending.range(..=(ledger.index, u32::MAX)).map(|(_, transaction)| transaction) {
            if !book_is_fresh && let Err(error) = self.book.apply(transaction) {
                problem = Some((transaction.hash, error.to_string()));
                break;
            }
            // One that comes late says of the line what was so before.
            if !book_is_fresh && self.processed.is_none_or(|processed| transaction.ledger_index > processed) {
                line = LineTerms::after(&transaction.meta, self.config.account, self.config.token).or(line);
            }
            match traded(transaction, self.config.account, self.config.token) {
                Ok(trade) => trades.push((transaction.ledger_index, trade)),
                Err(error) => {
                    problem = Some((transaction.hash, error.to_string()));
                    break;
                }
            }
            // By what was told, not by the ledger's number: it may have come after its ledger was told of.
            if !self.told.lacks(transaction.ledger_index, &transaction.hash) {
                continue;
            }
            let parent_close = self.parent_close(transaction);
            match meta::own_transaction(transaction, self.config.account, self.config.token, parent_close) {
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
        transactions.iter().for_each(|own| self.told.add(own.ledger_index, own.hash));
        self.pending = self.pending.split_off(&(ledger.index.saturating_add(1), 0));
        // Not before it is told: what is read again must be missed where a history lacks it.
        (self.root_txn, self.line, self.proven) = (Some(proven.root), proven.line, ledger.index);
        self.processed = Some(ledger.index);
        self.world.told(ledger.index, ledger.hash);
        self.last_close_time = Some(ledger.close_time);
        self.closed.retain(|index, _| *index >= ledger.index);
        self.headers.clear();
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

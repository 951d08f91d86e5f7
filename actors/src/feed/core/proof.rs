//! The proof that a ledger is known whole: its transactions leave our account's root and our trust line as that very ledger
//! states them.
//!
//! Both are asked for by the ledger's number. What a node calls its newest ledger may be a later one by then, and of that
//! one's transactions none need have been told yet.

use std::collections::BTreeMap;

use neo_ledger::line::{HeldLine, NO_ENTRY};
use neo_ledger::message::NodeError;
use neo_ledger::meta::Action;
use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, BookOffers};
use neo_ledger::types::Hash;
use neo_market::Dec;

use super::super::budget::REFERENCE;
use super::super::nodes::Parting;
use super::{Asked, FeedCore, FeedEffect};

/// What a node does not have, or not yet (rippled, `RPCLedgerHelpers`).
pub(super) const NO_LEDGER: &str = "lgrNotFound";

/// What a ledger states, as far as the node has answered.
#[derive(Debug)]
pub(super) struct Proof {
    account: Option<AccountInfo>,
    /// The line, or that there is none.
    line: Option<Option<HeldLine>>,
    /// Both sides of the book, where they are read with this ledger.
    book: Option<[Option<BookOffers>; 2]>,
    asked_ms: u64,
    /// The node has told of the ledger and does not have it yet: it is asked again.
    again: bool,
}

/// All that was asked of a ledger.
pub(super) struct Stated {
    pub(super) account: AccountInfo,
    pub(super) line: Option<Option<HeldLine>>,
    /// Asks and bids.
    pub(super) book: Option<(BookOffers, BookOffers)>,
}

/// What a proven ledger leaves our account with.
pub(super) struct Proven {
    /// The transaction that changed the account's root last.
    pub(super) root: Hash,
    pub(super) line: Option<LineAt>,
}

/// The ledgers that are being proven.
pub(super) type Proofs = BTreeMap<u32, Proof>;

/// Our trust line after a transaction that touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineAt {
    /// The transaction that changed it last; `None` where there is no line.
    pub(super) txn: Option<Hash>,
    pub(super) balance: Dec,
}

impl LineAt {
    pub(super) fn of(line: Option<&HeldLine>) -> LineAt {
        LineAt { txn: line.map(|line| line.previous_txn_id), balance: line.map_or_else(Dec::zero, |line| line.balance) }
    }
}

impl FeedCore {
    /// Asks what a closed ledger states of our account and our line, and for the book if that is to be read.
    pub(super) fn ask_proof(&mut self, index: u32, reads_book: bool, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let asked_ms = self.proofs.get(&index).map_or(now_ms, |proof| proof.asked_ms);
        // After a gap it cannot wait for room: strangers' changes are missing until it is read.
        if self.book_gap {
            self.charge_book(now_ms);
        }
        let reads_book = reads_book || self.book_gap;
        let book = reads_book.then_some([None, None]);
        self.proofs.insert(index, Proof { account: None, line: None, book, asked_ms, again: false });
        if reads_book {
            self.ask_book(index, now_ms, effects);
        }
        let account = self.config.account;
        // The line first: the account's answer mostly completes the ledger.
        if self.config.looks.line {
            self.ask_line(index, now_ms, effects);
        }
        self.budget.asks(REFERENCE, now_ms);
        self.ask(Asked::Proof(index), now_ms, effects, |id| request::account_info(id, account, Index::Ledger(index)));
    }

    /// Asks for our trust line's entry at a ledger.
    pub(super) fn ask_line(&mut self, index: u32, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let (account, token) = (self.config.account, self.config.token);
        self.budget.asks(REFERENCE, now_ms);
        self.ask(Asked::Line(index), now_ms, effects, |id| {
            request::trust_line(id, account, token, Index::Ledger(index))
        });
    }

    pub(super) fn proof_account(&mut self, index: u32, info: AccountInfo) {
        if let Some(proof) = self.proofs.get_mut(&index).filter(|_| info.ledger_index == index) {
            proof.account = Some(info);
        }
    }

    pub(super) fn proof_line(&mut self, index: u32, line: Option<HeldLine>) {
        if let Some(proof) = self.proofs.get_mut(&index) {
            proof.line = Some(line);
        }
    }

    pub(super) fn proof_book(&mut self, is_asks: bool, read: BookOffers) {
        let proof = self.proofs.get_mut(&read.ledger_index);
        if let Some(side) = proof.and_then(|proof| proof.book.as_mut()?.get_mut(usize::from(!is_asks))) {
            *side = Some(read);
        }
    }

    /// The node does not say what a ledger states. True where that is an answer in itself.
    pub(super) fn proof_refused(&mut self, asked: &Asked, error: &NodeError) -> bool {
        match asked {
            Asked::Line(_) if error.error == NO_ENTRY => true,
            // The book stays as the stream keeps it up, until it is read with another ledger.
            Asked::Asks | Asked::Bids if error.error == NO_LEDGER => {
                self.proofs.values_mut().for_each(|proof| proof.book = None);
                true
            }
            Asked::Proof(index) | Asked::Line(index) if error.error == NO_LEDGER => {
                // A newer ledger is being proven already, or this one is asked for again.
                let newest = self.proofs.keys().next_back().copied();
                if newest.is_some_and(|newest| newest > *index) {
                    self.proofs.remove(index);
                } else if let Some(proof) = self.proofs.get_mut(index) {
                    proof.again = true;
                }
                true
            }
            _ => false,
        }
    }

    /// Asks again what the node could not say yet. One that tells of a ledger and never has it is left.
    pub(super) fn prove_again(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let Some((index, asked_ms)) =
            self.proofs.iter().rev().find(|(_, proof)| proof.again).map(|(index, proof)| (*index, proof.asked_ms))
        else {
            return;
        };
        if now_ms.saturating_sub(asked_ms) > self.config.request_timeout_ms {
            let reason = format!("the node has told of ledger {index} and does not have it");
            self.leave(Parting::Unfit, &reason, effects);
        } else {
            self.ask_proof(index, false, now_ms, effects);
        }
    }

    /// The newest ledger of which everything was said; what is older is proven with it.
    pub(super) fn stated(&mut self) -> Option<(u32, Stated)> {
        if let Some(processed) = self.processed {
            self.proofs = self.proofs.split_off(&processed.saturating_add(1));
        }
        let wants_line = self.config.looks.line;
        let is_whole = |proof: &Proof| {
            let book = proof.book.as_ref().is_none_or(|sides| sides.iter().all(Option::is_some));
            proof.account.is_some() && (!wants_line || proof.line.is_some()) && book
        };
        let found = self.proofs.iter().rev().find(|(_, proof)| is_whole(proof));
        let index = found.map(|(index, _)| *index).filter(|index| self.closed.contains_key(index))?;
        let Proof { account, line, book, .. } = self.proofs.remove(&index)?;
        let book = book.and_then(|[asks, bids]| asks.zip(bids));
        Some((index, Stated { account: account?, line, book }))
    }

    /// Walks the transactions up to `index` that touched our account's root: each names the one before, so none is
    /// missing when the chain holds from the last one told of. Gives the last, or `None` where the chain is broken.
    pub(super) fn root_after(&self, index: u32) -> Option<Hash> {
        let mut last = self.root_txn?;
        for transaction in self.since_proven(index) {
            let Some(root) = transaction.meta.root(self.config.account) else { continue };
            if root.previous_txn_id.is_some_and(|before| before != last) {
                return None;
            }
            last = transaction.hash;
        }
        Some(last)
    }

    /// The same for our trust line, as far as its transactions tell: `None` where one is missing between two others.
    pub(super) fn line_after(&self, index: u32) -> Option<LineAt> {
        let (account, token) = (self.config.account, self.config.token);
        let mut at = self.line?;
        for transaction in self.since_proven(index) {
            for node in &transaction.meta.nodes {
                let Some(balance) = node.line_balance(account, token) else { continue };
                if node.previous_txn_id.is_some_and(|before| Some(before) != at.txn) {
                    return None;
                }
                at = match node.action {
                    Action::Deleted => LineAt { txn: None, balance: Dec::zero() },
                    Action::Created | Action::Modified => LineAt { txn: Some(transaction.hash), balance: balance.now },
                };
            }
        }
        Some(at)
    }

    /// The token that we hold by the transactions, where the line is not asked for.
    pub(super) fn token_after(&self, index: u32) -> Dec {
        let (account, token) = (self.config.account, self.config.token);
        let touched = self.since_proven(index).filter_map(|tx| tx.meta.token_balance_after(account, token)).last();
        touched.unwrap_or_else(|| self.account.map_or_else(Dec::zero, |state| state.rlusd))
    }
}

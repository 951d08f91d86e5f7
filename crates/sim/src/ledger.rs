//! The chain of ledgers: an open ledger that answers at once, and closed ones that count.
//!
//! A submitted transaction is applied to the open ledger in the order of arrival, which gives its provisional result.
//! When the ledger closes, the same transactions are applied to the last closed state in canonical order (accounts in
//! an order that changes with every ledger, an account's own by sequence, then its tickets), in up to three passes as rippled does, so
//! that the final result may differ from the provisional one.

mod entry;
mod load;
mod locals;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use neo_ledger::{Address, Hash, LedgerTime, sha512_half};
use serde::{Deserialize, Serialize};

use crate::apply::tx::Tx;
use crate::apply::{Applied, Context, Metadata, Rules, apply};
use crate::digest::StateDigest;
use crate::queue::{Queue, QueueSetup};
use crate::state::{Entry, Key, Mark, State};
use crate::ter::Ter;
use locals::Locals;

/// Passes over a closing ledger's transactions (rippled, `LEDGER_TOTAL_PASSES`).
const TOTAL_PASSES: u32 = 3;
/// The pass after which failures are final (rippled, `LEDGER_RETRY_PASSES`).
const RETRY_PASSES: u32 = 1;

/// A closed ledger's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its index.
    pub index: u32,
    /// Its hash: a digest of the header and of what the ledger changed. Not the hash a real ledger would have.
    pub hash: Hash,
    /// The hash of the ledger before it.
    pub parent_hash: Hash,
    /// When it closed.
    pub close_time: LedgerTime,
    /// When the ledger before it closed.
    pub parent_close_time: LedgerTime,
    /// All XRP there is, in drops.
    pub total_drops: i64,
    /// Digest of its transactions.
    pub transaction_hash: Hash,
    /// Digest of the whole state. Not the hash a real ledger would have, but like it the same for the same entries.
    pub account_hash: Hash,
    /// Number of its transactions.
    pub txn_count: u32,
}

/// What a submission came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The provisional result.
    pub result: Ter,
    /// True when the open ledger has it.
    pub applied: bool,
    /// True when it waits, or the node will try it again by itself.
    pub held: bool,
}

/// A transaction of a closed ledger.
#[derive(Clone, Debug)]
pub struct ClosedTx {
    /// The transaction.
    pub tx: Tx,
    /// Its result.
    pub result: Ter,
    /// The fee that it burnt, in drops.
    pub fee: i64,
    /// Its place in the ledger.
    pub index: u32,
    /// Its metadata.
    pub meta: Metadata,
}

/// The chain: the last closed state, the open one, and what waits.
#[derive(Clone, Debug)]
pub struct Chain {
    rules: Rules,
    validated: State,
    open: State,
    header: Header,
    digest: StateDigest,
    open_txs: Vec<Tx>,
    queue: Queue,
    locals: Locals,
    /// The account of the next pool, where a test must have a certain one.
    pub(crate) pool_account: Option<Address>,
    /// What the open ledger took, until somebody asks.
    proposed: Vec<(Tx, Ter)>,
    /// How many times the reference fee the open ledger costs at least.
    load_factor: u32,
    /// True when the ledger that closes next took too long.
    slow: bool,
    /// Transactions that no closed ledger takes.
    never_in: BTreeSet<Hash>,
    /// What takes the closed state back a ledger each, newest last.
    past: VecDeque<Vec<(Key, Option<Entry>)>>,
}

/// So many ledgers before the last closed one can be asked about. A rippled with the standard configuration keeps more.
const REMEMBERED: usize = 64;

impl Chain {
    /// A chain whose first closed ledger holds `state`.
    #[must_use]
    pub fn new(rules: Rules, state: State, index: u32, close_time: LedgerTime) -> Chain {
        let total_drops = state.accounts().map(|(_, root)| root.balance).sum();
        let none = Hash([0; 32]);
        let header = Header {
            index,
            hash: sha512_half(&[b"LWR\0", &index.to_be_bytes(), &close_time.0.to_be_bytes()]),
            parent_hash: none,
            close_time,
            parent_close_time: close_time,
            total_drops,
            transaction_hash: none,
            account_hash: StateDigest::of(&state).hash(),
            txn_count: 0,
        };
        Chain::resume(rules, state, header)
    }

    /// A chain that goes on from a closed ledger.
    #[must_use]
    pub fn resume(rules: Rules, mut state: State, header: Header) -> Chain {
        state.commit();
        let (open, digest) = (state.clone(), StateDigest::of(&state));
        Chain {
            rules,
            validated: state,
            open,
            header,
            digest,
            open_txs: Vec::new(),
            queue: Queue::new(QueueSetup::default()),
            locals: Locals::default(),
            pool_account: None,
            proposed: Vec::new(),
            load_factor: 1,
            slow: false,
            never_in: BTreeSet::new(),
            past: VecDeque::new(),
        }
    }

    /// The ledger's settings.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The last closed ledger.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last closed state.
    #[must_use]
    pub fn validated(&self) -> &State {
        &self.validated
    }

    /// The state of a closed ledger; `None` for one too long ago, or not closed yet.
    pub(crate) fn state_at(&self, index: u32) -> Option<Cow<'_, State>> {
        let back = usize::try_from(self.header.index.checked_sub(index)?).ok()?;
        if back == 0 {
            return Some(Cow::Borrowed(&self.validated));
        }
        let first = self.past.len().checked_sub(back)?;
        let mut state = self.validated.clone();
        self.past.iter().skip(first).rev().for_each(|journal| state.take_back(journal));
        Some(Cow::Owned(state))
    }

    /// The open state.
    #[must_use]
    pub fn open(&self) -> &State {
        &self.open
    }

    /// Index of the open ledger.
    #[must_use]
    pub fn open_index(&self) -> u32 {
        self.header.index.saturating_add(1)
    }

    /// Number of transactions in the open ledger.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open_txs.len()
    }

    /// The open ledger's transactions, in the order of their arrival.
    #[must_use]
    pub fn open_txs(&self) -> &[Tx] {
        &self.open_txs
    }

    /// A transaction that waits for its ledger to close, in the queue, or to be tried again.
    #[must_use]
    pub fn pending(&self, hash: Hash) -> Option<&Tx> {
        let queued = self.queue.in_order().map(|waits| &waits.tx);
        self.open_txs.iter().chain(queued).chain(self.locals.all()).find(|tx| tx.hash == hash)
    }

    /// What the open ledger took since the last call, with the provisional results.
    pub fn take_proposed(&mut self) -> Vec<(Tx, Ter)> {
        std::mem::take(&mut self.proposed)
    }

    /// What a transaction would do to the open ledger, which stays as it is.
    pub fn simulate(&mut self, tx: &Tx) -> Applied {
        let context = Context {
            rules: &self.rules,
            ledger_index: self.header.index.saturating_add(1),
            parent_close_time: self.header.close_time,
            open: false,
            retry: false,
            fail_hard: false,
            transaction_index: u32::try_from(self.open_txs.len()).unwrap_or(u32::MAX),
            pool_account: self.pool_account,
        };
        let mark = self.open.mark();
        let applied = apply(&mut self.open, tx, &context);
        self.open.roll_back(mark);
        applied
    }

    /// Closes the open ledger: its transactions, in their final order, with results and metadata.
    pub fn close(&mut self, salt: u64, close_time: LedgerTime) -> Vec<ClosedTx> {
        self.close_behind(salt, close_time, &BTreeSet::new(), |_, _| Vec::new())
    }

    /// Closes the open ledger behind what `first` does to the closed state. Those `held` back wait for the next one.
    pub(crate) fn close_behind(
        &mut self,
        salt: u64,
        close_time: LedgerTime,
        held: &BTreeSet<Hash>,
        first: impl FnOnce(&mut State, Context<'_>) -> Vec<ClosedTx>,
    ) -> Vec<ClosedTx> {
        self.try_held();
        // Nobody asked in time.
        self.proposed.clear();
        self.drop_kept_out();
        let (waits, waiting) = self.canonical_order(salt).into_iter().partition(|tx| held.contains(&tx.hash));
        let waits: Vec<Tx> = waits;
        let context = Context {
            rules: &self.rules,
            ledger_index: self.header.index.saturating_add(1),
            parent_close_time: self.header.close_time,
            open: false,
            retry: false,
            fail_hard: false,
            transaction_index: 0,
            pool_account: self.pool_account,
        };
        let closed = first(&mut self.validated, context);
        let (closed, mut left) = self.execute(closed, waiting);
        left.extend(waits);
        self.count_changes();
        self.header = self.next_header(&closed, close_time);
        self.header.total_drops -= closed.iter().map(|closed| closed.fee).sum::<i64>();
        let mut touched = self.open.touched(Mark::default());
        touched.extend(self.validated.touched(Mark::default()));
        self.open.copy_from(&self.validated, &touched);
        self.past.push_back(self.validated.commit_with_journal());
        self.past.drain(..self.past.len().saturating_sub(REMEMBERED));
        let levels = closed.iter().map(|closed| self.level_paid(&self.validated, &closed.tx)).collect();
        self.queue.ledger_closed(self.header.index, levels, std::mem::take(&mut self.slow));
        self.reopen(left);
        closed
    }

    /// Accounts in an order that the salt and the ledger's transactions decide, an account's own by sequence.
    fn canonical_order(&mut self, salt: u64) -> Vec<Tx> {
        let mut txs = std::mem::take(&mut self.open_txs);
        txs.sort_by_key(|tx| tx.hash);
        let mut parts: Vec<u8> = salt.to_be_bytes().to_vec();
        parts.extend(txs.iter().flat_map(|tx| tx.hash.0));
        let salt = sha512_half(&[&parts]);
        let salted = |account: Address| {
            let mut key = account.0;
            key.iter_mut().zip(salt.0).for_each(|(byte, salt)| *byte ^= salt);
            key
        };
        txs.sort_by_key(|tx| (salted(tx.account), tx.has_ticket, tx.sequence, tx.hash));
        txs
    }

    /// Applies transactions to the closed state; those that may still go in later are left.
    fn execute(&mut self, mut closed: Vec<ClosedTx>, mut waiting: Vec<Tx>) -> (Vec<ClosedTx>, Vec<Tx>) {
        let mut retry = true;
        for pass in 0..TOTAL_PASSES {
            let before = closed.len();
            let mut left = Vec::new();
            for tx in waiting {
                let index = u32::try_from(closed.len()).unwrap_or(u32::MAX);
                let context = Context {
                    rules: &self.rules,
                    ledger_index: self.header.index.saturating_add(1),
                    parent_close_time: self.header.close_time,
                    open: false,
                    retry,
                    fail_hard: false,
                    transaction_index: index,
                    pool_account: self.pool_account,
                };
                let applied = apply(&mut self.validated, &tx, &context);
                match applied.meta.filter(|_| applied.applied) {
                    Some(meta) => closed.push(ClosedTx { tx, result: applied.result, fee: applied.fee, index, meta }),
                    None if applied.result.is_retry() || applied.result.is_claim() => left.push(tx),
                    None => {}
                }
            }
            waiting = left;
            let changed = closed.len() > before;
            if waiting.is_empty() || (!changed && !retry) {
                break;
            }
            if !changed || pass >= RETRY_PASSES {
                retry = false;
            }
        }
        (closed, waiting)
    }

    fn next_header(&self, closed: &[ClosedTx], close_time: LedgerTime) -> Header {
        let index = self.open_index();
        let mut txs: Vec<u8> = Vec::new();
        for closed in closed {
            txs.extend(closed.tx.hash.0);
            txs.extend(closed.result.code.to_be_bytes());
        }
        let transaction_hash = sha512_half(&[b"TXS\0", &txs]);
        let account_hash = self.digest.hash();
        let parent = &self.header;
        let hash = sha512_half(&[
            b"LWR\0",
            &index.to_be_bytes(),
            &parent.hash.0,
            &transaction_hash.0,
            &account_hash.0,
            &close_time.0.to_be_bytes(),
        ]);
        Header {
            index,
            hash,
            parent_hash: parent.hash,
            close_time,
            parent_close_time: parent.close_time,
            total_drops: parent.total_drops,
            transaction_hash,
            account_hash,
            txn_count: u32::try_from(closed.len()).unwrap_or(u32::MAX),
        }
    }

    /// Brings the digest up to date with what this ledger changed.
    fn count_changes(&mut self) {
        for (key, former) in self.validated.formers(Mark::default()) {
            self.digest.change(key, former.as_ref(), self.validated.entry(key).as_ref());
        }
    }
}

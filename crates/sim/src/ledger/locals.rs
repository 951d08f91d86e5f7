//! Transactions that clients handed to this node: it tries them again by itself until they are in a ledger, cannot get
//! into one any more, or have had their time (rippled, `LocalTxs.cpp`; what is held, `LedgerMaster::popAcctTransaction`).

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, Hash};

use crate::apply::tx::Tx;
use crate::queue::Slot;
use crate::state::{State, TicketKey};

/// Ledgers for which a transaction is tried again (rippled, `LocalTxs::holdLedgers`).
const HOLD_LEDGERS: u32 = 5;
/// Transactions that are remembered for one account. rippled has no such limit.
const MAX_PER_ACCOUNT: usize = 64;
/// Transactions that are remembered in all. rippled has no such limit.
const MAX_LOCALS: usize = 4_096;

#[derive(Clone, Debug)]
struct Local {
    tx: Tx,
    /// The last closed ledger after which it is tried again.
    until: u32,
    /// True when it waits for another of its account's, in this very ledger.
    is_held: bool,
}

/// What clients handed in, by account, sequences before tickets.
#[derive(Clone, Debug, Default)]
pub(super) struct Locals(BTreeMap<(Slot, Hash), Local>);

fn lowest(slot: Slot) -> (Slot, Hash) {
    (slot, Hash([0; 32]))
}

fn highest(slot: Slot) -> (Slot, Hash) {
    (slot, Hash([0xFF; 32]))
}

impl Locals {
    /// Remembers a transaction of the open ledger `index`. False when there is no room for it.
    pub fn keep(&mut self, tx: Tx, index: u32, is_held: bool) -> bool {
        let account = tx.account;
        let first = Slot { account, is_ticket: false, number: 0 };
        let last = Slot { account, is_ticket: true, number: u32::MAX };
        let key = (Slot::of(&tx), tx.hash);
        let is_new = !self.0.contains_key(&key);
        let of_account = self.0.range(lowest(first)..=highest(last)).count();
        if is_new && (of_account >= MAX_PER_ACCOUNT || self.0.len() >= MAX_LOCALS) {
            return false;
        }
        let last = tx.last_ledger_sequence.map_or(u32::MAX, |last| last.saturating_add(1));
        let until = index.saturating_add(HOLD_LEDGERS).min(last);
        self.0.insert(key, Local { tx, until, is_held });
        true
    }

    /// The account's held transaction that need not wait any longer, which is then held no more.
    pub fn release(&mut self, account: Address, sequence: u32) -> Option<Tx> {
        let due = Slot { account, is_ticket: false, number: sequence };
        let tickets = Slot { account, is_ticket: true, number: 0 };
        let created = Slot { account, is_ticket: true, number: sequence };
        let sequences = self.0.range_mut(lowest(due)..=highest(due)).map(|(_, local)| local);
        let next = match sequences.into_iter().find(|local| local.is_held) {
            Some(local) => local,
            None => self.0.range_mut(lowest(tickets)..lowest(created)).map(|(_, local)| local).find(|l| l.is_held)?,
        };
        next.is_held = false;
        Some(next.tx.clone())
    }

    /// All that is held, which is then held no more.
    pub fn release_all(&mut self) -> Vec<Tx> {
        let held = self.0.values_mut().filter(|local| local.is_held);
        held.map(|local| {
            local.is_held = false;
            local.tx.clone()
        })
        .collect()
    }

    /// Forgets what is in the closed ledger `index` or can no longer get into one.
    pub fn sweep(&mut self, index: u32, closed: &State) {
        self.0.retain(|(slot, _), local| {
            if index > local.until {
                return false;
            }
            let Some(root) = closed.account(slot.account) else { return true };
            if !slot.is_ticket {
                return slot.number >= root.sequence;
            }
            let key = TicketKey { account: slot.account, sequence: slot.number };
            slot.number >= root.sequence || closed.ticket(key).is_some()
        });
    }

    /// Forgets these.
    pub fn forget(&mut self, unwanted: &BTreeSet<Hash>) {
        self.0.retain(|(_, hash), _| !unwanted.contains(hash));
    }

    /// All, in the order in which they can go in.
    pub fn all(&self) -> impl Iterator<Item = &Tx> {
        self.0.values().map(|local| &local.tx)
    }
}

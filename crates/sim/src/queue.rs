//! The transaction queue: who waits for the open ledger, in what order, and who may not (rippled 2.6.1, `TxQ.cpp`).
//!
//! Pure: it knows levels, sequences and balances, and no ledger. [`crate::ledger`] asks it what to do with a transaction,
//! tries that on the open state, and tells it what came of it.

mod consequences;
mod metrics;
mod setup;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, Hash};

use crate::apply::tx::Tx;
use crate::ter::Ter;
pub use consequences::Consequences;
pub use metrics::{BASE_LEVEL, FeeMetrics, drops_of, level_of};
pub use setup::QueueSetup;

/// Times that a queued transaction may fail before it is dropped (rippled, `MaybeTx::retriesAllowed`).
pub const RETRIES: u32 = 10;

/// Whose transaction, and the number it uses up; an account's sequences come before its tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The sender.
    pub account: Address,
    /// True for a ticket.
    pub is_ticket: bool,
    /// The sequence, or the ticket's number.
    pub number: u32,
}

impl Slot {
    /// That of a transaction.
    #[must_use]
    pub fn of(tx: &Tx) -> Slot {
        Slot { account: tx.account, is_ticket: tx.has_ticket, number: tx.sequence }
    }

    fn sequence(account: Address, number: u32) -> Slot {
        Slot { account, is_ticket: false, number }
    }
}

/// A transaction that waits, or wants to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The transaction.
    pub tx: Tx,
    /// The fee level that it pays.
    pub level: u64,
    /// What it may do to its account.
    pub consequences: Consequences,
    /// How often it may still fail.
    pub retries: u32,
    /// What it failed with last.
    pub last_result: Option<Ter>,
}

impl Candidate {
    /// A transaction that pays this level.
    #[must_use]
    pub fn new(tx: Tx, level: u64) -> Candidate {
        let consequences = Consequences::of(&tx);
        Candidate { tx, level, consequences, retries: RETRIES, last_result: None }
    }

    /// Whose it is, and its number.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot::of(&self.tx)
    }
}

/// The account of a transaction, in the open ledger.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Its next sequence.
    pub sequence: u32,
    /// Its XRP, in drops.
    pub balance_drops: i64,
}

/// The open ledger, as far as the queue asks.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Its index.
    pub ledger_index: u32,
    /// The reserve of an account without entries, in drops.
    pub reserve_drops: i64,
    /// The reference fee, in drops.
    pub base_fee_drops: i64,
    /// True when the transaction must not wait.
    pub fail_hard: bool,
}

/// How a transaction fits in with those of its account that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the account will have left when those are done, in drops, and its sequence then; `None` when the account is
    /// as the transaction finds it.
    pub after: Option<(i64, u32)>,
    /// The first of them.
    pub first: Option<Slot>,
}

/// A place in the queue: the highest level first; among equals the hashes decide, mixed with that of the ledger before,
/// so that nobody can aim for a place.
type Place = (Reverse<u64>, [u8; 32], Slot);

/// What an account's failures cost it.
#[derive(Clone, Copy, Debug, Default)]
struct Penalty {
    /// One of its transactions used up its retries: the others get few.
    few_retries: bool,
    /// One failed or expired: it gives up places when the queue is nearly full.
    gives_way: bool,
}

/// The queue.
#[derive(Clone, Debug)]
pub struct Queue {
    setup: QueueSetup,
    metrics: FeeMetrics,
    by_slot: BTreeMap<Slot, Candidate>,
    by_fee: BTreeSet<Place>,
    penalties: BTreeMap<Address, Penalty>,
    /// The most that may wait; no limit before the first ledger closed.
    max_size: Option<usize>,
    /// What the hashes are mixed with.
    parent: Hash,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(setup: QueueSetup) -> Queue {
        Queue {
            metrics: FeeMetrics::new(&setup),
            setup,
            by_slot: BTreeMap::new(),
            by_fee: BTreeSet::new(),
            penalties: BTreeMap::new(),
            max_size: None,
            parent: Hash([0; 32]),
        }
    }

    /// What the open ledger costs.
    #[must_use]
    pub fn metrics(&self) -> &FeeMetrics {
        &self.metrics
    }

    /// Number of transactions that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// True when nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// The most that may wait; `None` before the first ledger closed.
    #[must_use]
    pub fn max_size(&self) -> Option<usize> {
        self.max_size
    }

    /// The level that the queue asks of a newcomer.
    #[must_use]
    pub fn least_level(&self) -> u64 {
        match self.by_fee.last() {
            Some((Reverse(lowest), ..)) if self.is_filled(100) => lowest.saturating_add(1),
            _ => BASE_LEVEL,
        }
    }

    /// All that waits, the next one first.
    pub fn in_order(&self) -> impl Iterator<Item = &Candidate> {
        self.by_fee.iter().filter_map(|place| self.by_slot.get(&place.2))
    }

    /// What waits of an account: sequences, then tickets.
    pub fn of_account(&self, account: Address) -> impl DoubleEndedIterator<Item = &Candidate> {
        self.from(Slot::sequence(account, 0))
    }

    /// What waits of the slot's account from this slot on.
    fn from(&self, first: Slot) -> impl DoubleEndedIterator<Item = &Candidate> {
        let last = Slot { account: first.account, is_ticket: true, number: u32::MAX };
        self.by_slot.range(first..=last).map(|(_, candidate)| candidate)
    }

    /// What waits in a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Candidate> {
        self.by_slot.get(&slot)
    }

    /// The next sequence of an account that nothing waits with.
    #[must_use]
    pub fn next_sequence(&self, account: Address, sequence: u32) -> u32 {
        let following = |candidate: &Candidate| {
            let slot = candidate.slot();
            slot.number.saturating_add(candidate.consequences.sequences)
        };
        let mut waiting = self.from(Slot::sequence(account, sequence)).take_while(|next| !next.tx.has_ticket);
        let Some(first) = waiting.next().filter(|first| first.tx.sequence == sequence) else { return sequence };
        let mut attempt = following(first);
        for next in waiting {
            if attempt < next.tx.sequence {
                break;
            }
            attempt = following(next);
        }
        attempt
    }

    /// How a transaction fits in with what waits of its account, or why it does not (rippled, `TxQ::apply`).
    ///
    /// # Errors
    /// The result that it is refused with.
    pub fn examine(&self, wants: &Candidate, holder: Holder, terms: Terms) -> Result<Plan, Ter> {
        let slot = wants.slot();
        let waiting: Vec<&Candidate> = self.from(Slot::sequence(slot.account, holder.sequence)).collect();
        let replaced = self.get(slot);
        let alone = match waiting.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let other = |waits: &Candidate| waits.slot() != slot;
        if wants.consequences.is_blocker && (waiting.len() > 1 || alone.is_some_and(other)) {
            return Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKS);
        }
        // A blocker always waits alone.
        if alone.is_some_and(|only| only.consequences.is_blocker && other(only)) {
            return Err(Ter::TEL_CAN_NOT_QUEUE_BLOCKED);
        }
        let percent = 100 + u64::from(self.setup.retry_sequence_percent);
        let outbids = |waits: &Candidate| wants.level > metrics::scale(waits.level, percent, 100);
        if !waiting.is_empty() && replaced.is_some_and(|waits| !outbids(waits)) {
            return Err(Ter::TEL_CAN_NOT_QUEUE_FEE);
        }
        if !slot.is_ticket && slot.number < holder.sequence {
            return Err(Ter::TEF_PAST_SEQ);
        }
        let first = waiting.first().map(|first| first.slot());
        if waiting.is_empty() {
            let too_early = !slot.is_ticket && slot.number > holder.sequence;
            return if too_early { Err(Ter::TER_PRE_SEQ) } else { Ok(Plan { after: None, first }) };
        }
        if alone.is_some() && replaced.is_some() {
            return Ok(Plan { after: None, first });
        }
        self.can_wait(wants, holder, terms)?;
        self.fits(slot, holder, replaced.is_some())?;
        let left = affordable(wants, &waiting, holder, terms)?;
        let next = self.next_sequence(slot.account, holder.sequence);
        Ok(Plan { after: Some((left, if slot.is_ticket { next } else { slot.number })), first })
    }

    /// A sequence must follow the others without a gap.
    fn fits(&self, slot: Slot, holder: Holder, replaces: bool) -> Result<(), Ter> {
        if slot.is_ticket {
            return Ok(());
        }
        let leads = self.of_account(slot.account).next().is_none_or(|first| slot < first.slot());
        match (leads, replaces) {
            (true, _) if slot.number > holder.sequence => Err(Ter::TER_PRE_SEQ),
            (false, false) if slot.number != self.next_sequence(slot.account, holder.sequence) => {
                Err(Ter::TEL_CAN_NOT_QUEUE)
            }
            _ => Ok(()),
        }
    }

    /// Whether the queue takes such a transaction from its account at all (rippled, `TxQ::canBeHeld`).
    ///
    /// # Errors
    /// The result that it is refused with.
    pub fn can_wait(&self, wants: &Candidate, holder: Holder, terms: Terms) -> Result<(), Ter> {
        let tx = &wants.tx;
        let soonest = terms.ledger_index.saturating_add(self.setup.minimum_last_ledger_buffer);
        let ends_too_soon = tx.last_ledger_sequence.is_some_and(|last| last < soonest);
        if terms.fail_hard || tx.account_txn_id.is_some() || ends_too_soon {
            return Err(Ter::TEL_CAN_NOT_QUEUE);
        }
        let (slot, most) = (wants.slot(), self.setup.maximum_txn_per_account as usize);
        if self.get(slot).is_some() || self.of_account(slot.account).count() < most.max(1) {
            return Ok(());
        }
        // Beyond the limit only what fills the first hole is taken: the others wait for it.
        let next = self.next_sequence(slot.account, holder.sequence);
        let mut behind = self.from(Slot::sequence(slot.account, next.saturating_add(1)));
        let fills = !slot.is_ticket && slot.number == next && behind.next().is_some_and(|next| !next.tx.has_ticket);
        if fills { Ok(()) } else { Err(Ter::TEL_CAN_NOT_QUEUE_FULL) }
    }

    /// Takes a transaction in; in a full queue the cheapest account gives up its last one for it.
    ///
    /// # Errors
    /// `telCAN_NOT_QUEUE_FULL` when that one is worth as much.
    pub fn insert(&mut self, wants: Candidate) -> Result<(), Ter> {
        let slot = wants.slot();
        if self.by_slot.contains_key(&slot) {
            self.remove(slot);
        } else if self.is_filled(100) {
            self.make_room(&wants)?;
        }
        self.by_fee.insert(self.place(&wants));
        self.by_slot.insert(slot, wants);
        Ok(())
    }

    fn make_room(&mut self, wants: &Candidate) -> Result<(), Ter> {
        let account = wants.tx.account;
        let cheapest = self.by_fee.iter().rev().find(|place| place.2.account != account);
        let Some((Reverse(level), _, slot)) = cheapest.copied() else { return Err(Ter::TEL_CAN_NOT_QUEUE_FULL) };
        let levels: Vec<u64> = self.of_account(slot.account).map(|waits| waits.level).collect();
        let counts = if level > wants.level { level } else { mean(&levels).unwrap_or(level) };
        if wants.level <= counts {
            return Err(Ter::TEL_CAN_NOT_QUEUE_FULL);
        }
        let last = self.of_account(slot.account).next_back().map(Candidate::slot);
        last.map(|last| self.remove(last));
        Ok(())
    }

    /// True when so much of the most that may wait does.
    fn is_filled(&self, percent: usize) -> bool {
        self.max_size.is_some_and(|most| self.len() >= most.saturating_mul(percent) / 100)
    }

    fn place(&self, candidate: &Candidate) -> Place {
        let mut mixed = candidate.tx.hash.0;
        mixed.iter_mut().zip(self.parent.0).for_each(|(byte, parent)| *byte ^= parent);
        (Reverse(candidate.level), mixed, candidate.slot())
    }

    /// Takes out what waits in a slot.
    pub fn remove(&mut self, slot: Slot) -> Option<Candidate> {
        let candidate = self.by_slot.remove(&slot)?;
        self.by_fee.remove(&self.place(&candidate));
        Some(candidate)
    }

    /// Takes out all of which this is true.
    pub fn drop_all(&mut self, unwanted: impl Fn(&Candidate) -> bool) {
        let gone: Vec<Slot> = self.by_slot.values().filter(|waits| unwanted(waits)).map(Candidate::slot).collect();
        for slot in gone {
            self.remove(slot);
        }
    }

    /// What a transaction and those of its account before it pay together, and how many they are, when they may be tried
    /// at once (rippled, `TxQ::tryClearAccountQueueUpThruTx`). `required` is the level that the open ledger asks.
    #[must_use]
    pub fn rescue(&self, wants: &Candidate, plan: &Plan, required: u64) -> Option<(u64, Vec<Slot>)> {
        let first = plan.first.filter(|_| plan.after.is_some() && !wants.tx.has_ticket)?;
        let untried = self.get(first)?.retries == RETRIES;
        if !untried || wants.level <= required || required <= BASE_LEVEL {
            return None;
        }
        let before: Vec<&Candidate> = self.from(first).take_while(|waits| waits.slot() < wants.slot()).collect();
        let paid = before.iter().fold(wants.level, |sum, waits| sum.saturating_add(waits.level));
        Some((paid, before.iter().map(|waits| waits.slot()).collect()))
    }

    /// Notes a try that came to nothing, though others may succeed.
    pub fn note_try(&mut self, slot: Slot, result: Ter) {
        if let Some(waits) = self.by_slot.get_mut(&slot) {
            waits.retries = waits.retries.saturating_sub(1);
            waits.last_result = Some(result);
        }
    }

    /// Learns from a closed ledger, and forgets what can no longer go in.
    pub fn ledger_closed(&mut self, index: u32, levels: Vec<u64>, slow: bool) {
        self.metrics.update(levels, slow);
        if !slow {
            let ledgers = self.metrics.expected().saturating_mul(u64::from(self.setup.ledgers_in_queue));
            let most = ledgers.max(u64::from(self.setup.minimum_queue_size));
            self.max_size = Some(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let expired = |waits: &Candidate| waits.tx.last_ledger_sequence.is_some_and(|last| last <= index);
        let late: Vec<Slot> = self.by_slot.values().filter(|waits| expired(waits)).map(Candidate::slot).collect();
        for slot in late {
            self.remove(slot);
            self.penalties.entry(slot.account).or_default().gives_way = true;
        }
        let waiting: BTreeSet<Address> = self.by_slot.keys().map(|slot| slot.account).collect();
        self.penalties.retain(|account, _| waiting.contains(account));
    }

    /// Mixes the order of equals anew, for the ledger that now opens.
    pub fn reorder(&mut self, parent: Hash) {
        self.parent = parent;
        self.by_fee = self.by_slot.values().map(|candidate| self.place(candidate)).collect();
    }

    /// The first in the queue.
    #[must_use]
    pub fn head(&self) -> Option<Slot> {
        self.by_fee.first().map(|place| place.2)
    }

    /// The one behind another.
    #[must_use]
    pub fn behind(&self, slot: Slot) -> Option<Slot> {
        let place = self.place(self.by_slot.get(&slot)?);
        self.by_fee.range(place..).nth(1).map(|place| place.2)
    }

    /// True when one of its account's sequences must go first.
    #[must_use]
    pub fn must_wait(&self, slot: Slot) -> bool {
        !slot.is_ticket && self.of_account(slot.account).next().is_some_and(|first| first.slot() < slot)
    }

    /// Takes out one that went in or cannot, and gives the one to try next: the account's next, when it is worth more
    /// than what comes behind.
    pub fn advance(&mut self, slot: Slot) -> Option<Slot> {
        let behind = self.behind(slot);
        let next = self.from(slot).nth(1).map(Candidate::slot);
        self.remove(slot);
        let place = |slot: Slot| self.by_slot.get(&slot).map(|candidate| self.place(candidate));
        match (next.and_then(place), behind.and_then(place)) {
            (Some(next), Some(behind)) => Some(next.min(behind).2),
            (next, behind) => next.or(behind).map(|place| place.2),
        }
    }

    /// Notes that one did not go in, and gives the one to try next.
    pub fn failed(&mut self, slot: Slot, result: Ter) -> Option<Slot> {
        let nearly_full = self.is_filled(95);
        let several = self.of_account(slot.account).nth(1).is_some();
        let penalty = self.penalties.entry(slot.account).or_default();
        let waits = self.by_slot.get_mut(&slot)?;
        if waits.retries == 0 || result.is_failure() || result.is_malformed() {
            if waits.retries == 0 {
                penalty.few_retries = true;
            } else {
                penalty.gives_way = true;
            }
            return self.advance(slot);
        }
        waits.retries = if penalty.few_retries && waits.retries > 2 { 1 } else { waits.retries - 1 };
        waits.last_result = Some(result);
        if penalty.gives_way && several && nearly_full {
            if slot.is_ticket {
                return self.advance(slot);
            }
            // It is given another chance, at the cost of the account's last one.
            let last = self.of_account(slot.account).next_back().map(Candidate::slot);
            if let Some(last) = last.filter(|last| *last != slot) {
                self.remove(last);
            }
        }
        self.behind(slot)
    }
}

/// The mean of the levels; `None` of a single one.
fn mean(levels: &[u64]) -> Option<u64> {
    let count = u64::try_from(levels.len()).ok().filter(|count| *count > 1)?;
    let sum: u128 = levels.iter().map(|level| u128::from(*level)).sum();
    u64::try_from(sum / u128::from(count)).ok()
}

/// What the account will have left once all that waits is done, in drops. What its fees may take must be there for sure:
/// less than its balance, and than the reserve that nothing else can touch (rippled, `TxQ::apply`).
fn affordable(wants: &Candidate, waiting: &[&Candidate], holder: Holder, terms: Terms) -> Result<i64, Ter> {
    let (mut fees, mut spend) = (0_i64, 0_i64);
    for (place, waits) in waiting.iter().enumerate() {
        let counted = match waits.slot() == wants.slot() {
            false => &waits.consequences,
            // In the middle the newcomer counts in the other's place.
            true if place + 1 < waiting.len() => &wants.consequences,
            true => continue,
        };
        fees = fees.saturating_add(counted.fee_drops);
        spend = spend.saturating_add(counted.spend_drops);
    }
    let (balance, reserve) = (holder.balance_drops, terms.reserve_drops);
    let reserve_counts = reserve > terms.base_fee_drops.saturating_mul(10);
    if fees >= balance || (reserve_counts && fees >= reserve) {
        return Err(Ter::TEL_CAN_NOT_QUEUE_BALANCE);
    }
    Ok(balance.saturating_sub(fees).saturating_sub(spend.min(balance.saturating_sub(reserve).max(0))))
}

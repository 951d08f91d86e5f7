//! When the ledger before a transaction's closed: it decides whether an offer that was removed had expired.
//!
//! What the stream told of is known. Of a history that lies before it the node is asked, where the answer decides.

use neo_ledger::message::ValidatedTransaction;
use neo_ledger::meta::{Action, Entry};
use neo_ledger::request::{self, Index};
use neo_ledger::result::close_time;
use neo_ledger::types::LedgerTime;
use serde_json::Value;

use super::super::budget::REFERENCE;
use super::{Asked, FeedCore, FeedEffect};

impl FeedCore {
    /// When the ledger before the transaction's closed, as far as anybody said.
    pub(super) fn parent_close(&self, transaction: &ValidatedTransaction) -> Option<LedgerTime> {
        let parent = transaction.ledger_index.checked_sub(1)?;
        if let Some(closed) = self.closed.get(&parent) {
            return Some(closed.ledger_time);
        }
        if let Some(told) = self.headers.get(&parent) {
            return *told;
        }
        let of_parent = self.pending.range((parent, 0)..=(parent, u32::MAX)).find_map(|(_, other)| other.close_time);
        of_parent.or(self.last_close_time.filter(|_| self.processed == Some(parent)))
    }

    /// Asks when ledgers closed that decide about an offer of ours. True when all of them are known, or cannot be.
    pub(super) fn knows_parents(&mut self, upto: u32, now_ms: u64, effects: &mut Vec<FeedEffect>) -> bool {
        let untold = self.pending.range(..=(upto, u32::MAX)).map(|(_, transaction)| transaction);
        let wanting = untold.filter(|transaction| {
            self.told.lacks(transaction.ledger_index, &transaction.hash)
                && self.may_have_expired(transaction)
                && self.parent_close(transaction).is_none()
        });
        let mut parents: Vec<u32> = wanting.map(|transaction| transaction.ledger_index.saturating_sub(1)).collect();
        parents.dedup();
        parents.retain(|parent| !self.headers.contains_key(parent));
        for parent in parents {
            let open = self.asked.values().any(|(asked, _)| *asked == Asked::Header(parent));
            if !open {
                self.budget.asks(REFERENCE, now_ms);
                self.ask(Asked::Header(parent), now_ms, effects, |id| request::ledger(id, Index::Ledger(parent)));
            }
        }
        !self.asked.values().any(|(asked, _)| matches!(asked, Asked::Header(_)))
    }

    /// Whether an offer of ours is gone that had expired by the transaction's own ledger: then its parent's close decides.
    fn may_have_expired(&self, transaction: &ValidatedTransaction) -> bool {
        let removed = transaction.meta.nodes.iter().filter(|node| {
            node.entry == Entry::Offer
                && node.action == Action::Deleted
                && node.fields.account == Some(self.config.account)
                && node.previous.taker_gets.is_none()
        });
        let by = |expiration: LedgerTime| transaction.close_time.is_none_or(|closed| expiration <= closed);
        removed.filter_map(|node| node.fields.expiration).any(by)
    }

    /// The node's answer; one that is not understood leaves the close time unknown.
    pub(super) fn read_header(&mut self, index: u32, value: Option<&Value>, effects: &mut Vec<FeedEffect>) {
        let told = match value.map(close_time) {
            Some(Ok(time)) => Some(time),
            Some(Err(error)) => {
                effects.push(FeedEffect::Warn(format!("when ledger {index} closed is not understood: {error}")));
                None
            }
            None => None,
        };
        self.headers.insert(index, told);
    }
}

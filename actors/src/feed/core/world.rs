//! Whether the node's ledger is still the one that was followed. A stand-alone node that is reset begins another, with the
//! same network id and the same account, whose numbers soon pass those of the one before: only a ledger's hash tells.

use neo_ledger::message::NodeError;
use neo_ledger::request::{self, Index};
use neo_ledger::types::Hash;
use serde_json::Value;

use super::super::nodes::Parting;
use super::{Asked, Closes, FeedCore, FeedEffect, FeedError, Phase};

/// What is known of the chain that is followed.
#[derive(Debug, Default)]
pub(super) struct World {
    /// The newest ledger that was told of.
    last: Option<(u32, Hash)>,
    /// The followed node has shown that it has this ledger, or that it cannot show it. A connection is to one chain.
    is_compared: bool,
    /// The node was asked, and has not answered.
    is_asked: bool,
    /// The chain is another: nothing more is told.
    is_gone: bool,
}

impl World {
    pub(super) fn of(last: Option<(u32, Hash)>) -> World {
        World { last, ..World::default() }
    }

    /// A connection begins: another node, or the same one with another ledger.
    pub(super) fn connected(&mut self) {
        (self.is_compared, self.is_asked) = (false, false);
    }

    /// A ledger was told of.
    pub(super) fn told(&mut self, index: u32, hash: Hash) {
        self.last = Some((index, hash));
    }

    /// True while the node owes the answer that says of which chain its picture is.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_asked && !self.is_compared
    }

    /// True once the chain that was followed is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }
}

impl FeedCore {
    /// Asks the node for the ledger that was told of last, once a connection. The embedded ledger is the engine's own.
    pub(super) fn ask_world(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let Some((index, hash)) = self.world.last else { return };
        if self.world.is_compared || self.config.closes == Closes::WhenDone {
            return;
        }
        self.world.is_asked = true;
        self.ask(Asked::World(index, hash), now_ms, effects, |id| request::ledger(id, Index::Ledger(index)));
    }

    /// The node has shown the ledger of that number, or has none.
    pub(super) fn world_answered(
        &mut self,
        (index, hash): (u32, Hash),
        result: Result<Value, NodeError>,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        // The open ledger has that number, and no hash yet: the node has not come so far (rippled, `RPCLedgerHelpers.cpp`).
        let is_open = |value: &Value| value.get("validated").and_then(Value::as_bool) == Some(false);
        let other = match result {
            Ok(value) if !is_open(&value) => {
                match value.get("ledger_hash").and_then(Value::as_str).map(str::parse::<Hash>) {
                    Some(Ok(found)) => (found != hash)
                        .then(|| format!("its ledger {index} is {found}, and the one that is recorded is {hash}")),
                    Some(Err(_)) | None => {
                        self.leave(Parting::Unfit, "the node's answer to ledger has no hash", effects);
                        return Ok(());
                    }
                }
            }
            Err(error) if error.error != "lgrNotFound" => {
                let parting = super::parting_of(&error.error);
                self.leave(parting, &format!("the node refused ledger {index}: {error}"), effects);
                return Ok(());
            }
            // A ledger that closes on request does not lose its newest; one of a network may only be late, or cut short.
            Ok(_) | Err(_) => (self.stands_alone() && self.node_at < index)
                .then(|| format!("its newest ledger is {}, and ledger {index} is recorded", self.node_at)),
        };
        let Some(what) = other else {
            self.world.is_compared = true;
            return self.complete_sync(now_ms, effects);
        };
        self.another_world(&what, effects);
        Ok(())
    }

    /// One node of several is left for another. The only one is what there is: the session ends, and the next begins with
    /// what is on the ledger then.
    fn another_world(&mut self, what: &str, effects: &mut Vec<FeedEffect>) {
        if self.nodes.count() > 1 {
            self.forget_the_other_chain();
            self.leave(Parting::Unfit, &format!("the node is on another chain: {what}"), effects);
            return;
        }
        self.world.is_gone = true;
        let cause = format!(
            "the node is on another chain than this session: {what}. It was reset, or it is another node. Nothing of this \
             session is on its ledger: the session ends, and the next one begins with the balances of that ledger"
        );
        effects.push(FeedEffect::OtherWorld(cause.clone()));
        self.leave(Parting::Unfit, &cause, effects);
    }

    /// What the node has told of is of no use to the next. That begins with the ledger that was told of last: history is
    /// asked for from there on, and brings it again.
    fn forget_the_other_chain(&mut self) {
        let Some((last, _)) = self.world.last else { return };
        self.forget_transactions_from(last);
        self.closed.split_off(&last);
        self.headers.clear();
    }

    /// The node may lack the last processed ledger and have all that is missing: one that was loaded from its last ledger
    /// has no other, and refuses a range that begins before it (rippled, `LedgerMaster::setLedgerRangePresent`).
    pub(super) fn begins_with_the_next(&self) -> bool {
        let Phase::Syncing(snapshot) = &self.phase else { return false };
        self.processed.is_some_and(|processed| snapshot.history_from == processed && self.node_at > processed)
    }

    /// History is asked for once more, without the last processed ledger.
    pub(super) fn ask_history_of_the_next(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let (account, from) = (self.config.account, self.processed.unwrap_or(0).saturating_add(1));
        if let Phase::Syncing(snapshot) = &mut self.phase {
            snapshot.history_from = from;
        }
        self.ask(Asked::History, now_ms, effects, |id| request::account_tx(id, account, from, None, None, true));
    }

    /// True where the account was on the ledger before: then it is waited for, as a node is that is away.
    pub(super) fn was_there(&self) -> bool {
        self.processed.is_some() || self.account.is_some()
    }

    /// True for a node whose ledgers close because somebody asks for it.
    pub(super) fn stands_alone(&self) -> bool {
        matches!(self.config.closes, Closes::Every(_) | Closes::ByOthers)
    }
}

//! Whether the feed has a node, as the outage limit counts it: one that only lets a picture begin is none.

use neo_ledger::request::{self, Index};

use super::super::budget::REFERENCE;
use super::{Asked, FeedCore, FeedEffect, Phase};

/// What is seen of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sight {
    /// Its ledgers are told of.
    Follows,
    /// They were, and a picture is being read since then: an audit, or after a gap.
    Reads { since_ms: u64 },
    /// Nothing, or nothing yet that could be told.
    #[default]
    Lost,
}

impl FeedCore {
    /// True while a node is followed. A fresh picture that is read meanwhile is no loss, unless it takes longer than an
    /// answer may.
    #[must_use]
    pub fn sees_node(&self) -> bool {
        self.sight != Sight::Lost
    }

    /// After each event.
    pub(super) fn look_out(&mut self, now_ms: u64) {
        let limit_ms = self.config.request_timeout_ms;
        self.sight = match (&self.phase, self.sight) {
            (Phase::Live, _) => Sight::Follows,
            (Phase::Syncing(_), Sight::Follows) => Sight::Reads { since_ms: now_ms },
            (Phase::Syncing(_), Sight::Reads { since_ms }) if now_ms.saturating_sub(since_ms) <= limit_ms => self.sight,
            _ => Sight::Lost,
        };
    }

    /// The node's ledger has no such account: it was begun anew, and is not funded yet. Each ledger is looked at again; how
    /// long the session does without a node it may follow is not the feed's to say.
    pub(super) fn absent(&mut self, is_account: bool, effects: &mut Vec<FeedEffect>) {
        if matches!(self.phase, Phase::Absent { .. }) {
            return;
        }
        let who = if is_account { self.config.account } else { self.config.token.issuer };
        effects.push(FeedEffect::Warn(format!(
            "{who} is not on the node's ledger any more; each ledger is looked at again"
        )));
        self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_) | Asked::LedgerAccept | Asked::World(..)));
        self.phase = Phase::Absent { is_account, again: false };
    }

    /// Asks for the absent account alone, at the newest ledger: a whole picture with each ledger is more than a node lets a
    /// stranger ask.
    pub(super) fn ask_absent(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let Phase::Absent { is_account, again } = &mut self.phase else { return };
        let (asked, account) = match *is_account {
            true => (Asked::Account, self.config.account),
            false => (Asked::Issuer, self.config.token.issuer),
        };
        *again = false;
        let at = self.node_at;
        self.budget.asks(REFERENCE, now_ms);
        self.ask(asked, now_ms, effects, |id| request::account_info(id, account, Index::Ledger(at)));
    }
}

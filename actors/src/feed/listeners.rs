//! Who hears of a ledger, and what those who come back have missed.
//!
//! A listener that is gone is its own guard's business: the feed goes on without it, and keeps the newest ledgers for the
//! one that takes its place.

use std::collections::VecDeque;

use actix::Message;

use crate::guard::{ActorName, Guard, SupervisorEvent};
use crate::messages::{LedgerUpdate, SubmissionReply};
use crate::tell::{Tell, Untold};

/// Ledgers that are kept: over an hour of the real ledger, a few megabytes.
const KEPT: usize = 1_024;

/// Where the orders, or whoever stands in for them, are told.
#[derive(Clone)]
pub struct OrdersLink {
    /// Ledgers.
    pub updates: Tell<LedgerUpdate>,
    /// What the node said of submissions.
    pub replies: Tell<SubmissionReply>,
}

/// Where the valuer is told.
#[derive(Clone)]
pub struct ValuerLink {
    /// Ledgers.
    pub updates: Tell<LedgerUpdate>,
}

/// Another takes the place of a listener: it is told of all ledgers after the one it knows.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub enum Relink {
    /// In the place of the orders.
    Orders {
        /// Where.
        link: OrdersLink,
        /// The last ledger that it has worked through.
        after: u32,
    },
    /// In the place of the valuer.
    Valuer {
        /// Where.
        link: ValuerLink,
        /// The last ledger that it has worked through.
        after: u32,
    },
}

/// One who is told of ledgers.
struct Listener {
    actor: ActorName,
    updates: Tell<LedgerUpdate>,
    /// Set once a ledger did not arrive: from then on there is a hole, and nothing more is told until somebody new comes.
    lost: bool,
}

impl Listener {
    fn new(actor: ActorName, updates: Tell<LedgerUpdate>) -> Listener {
        Listener { actor, updates, lost: false }
    }

    fn tell(&mut self, update: LedgerUpdate, guard: &Guard) {
        if self.lost {
            return;
        }
        let Err(untold) = (self.updates)(update) else { return };
        self.lost = true;
        let actor = self.actor;
        match untold {
            // Its own guard has told already.
            Untold::Gone => tracing::warn!(listener = actor.as_str(), "nobody listens to the ledgers"),
            Untold::Full => {
                let cause = format!("it does not keep up with the ledgers: {untold}");
                guard.tell(SupervisorEvent::Fault { actor, cause });
            }
        }
    }
}

/// Those who hear of ledgers.
pub struct Listeners {
    orders: Listener,
    valuer: Listener,
    replies: Tell<SubmissionReply>,
    recent: VecDeque<LedgerUpdate>,
    /// The newest ledger that is not kept any more.
    forgotten: u32,
}

impl Listeners {
    /// Those who hear from the start on.
    #[must_use]
    pub fn new(orders: OrdersLink, valuer: ValuerLink) -> Listeners {
        Listeners {
            orders: Listener::new(ActorName::Orders, orders.updates),
            valuer: Listener::new(ActorName::Valuer, valuer.updates),
            replies: orders.replies,
            recent: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Tells of a ledger. The valuer first: at most speed the next ledger may only come when the orders are done, last
    /// of all.
    pub(super) fn update(&mut self, update: LedgerUpdate, guard: &Guard) {
        if self.recent.len() >= KEPT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.forgotten = oldest.ledger.index;
        }
        self.recent.push_back(update.clone());
        self.valuer.tell(update.clone(), guard);
        self.orders.tell(update, guard);
    }

    /// Tells what the node said of a submission.
    pub(super) fn reply(&self, reply: SubmissionReply, guard: &Guard) {
        match (self.replies)(reply) {
            Ok(()) => {}
            Err(Untold::Gone) => tracing::warn!("nobody listens to the node's answers; the ledger will tell"),
            Err(untold @ Untold::Full) => {
                let cause = format!("it does not keep up with the node's answers: {untold}");
                guard.tell(SupervisorEvent::Fault { actor: ActorName::Orders, cause });
            }
        }
    }

    /// Puts another in a listener's place and tells it what it has missed.
    pub(super) fn relink(&mut self, relink: Relink, guard: &Guard) {
        let (listener, after) = match relink {
            Relink::Orders { link, after } => {
                self.replies = link.replies;
                self.orders = Listener::new(ActorName::Orders, link.updates);
                (&mut self.orders, after)
            }
            Relink::Valuer { link, after } => {
                self.valuer = Listener::new(ActorName::Valuer, link.updates);
                (&mut self.valuer, after)
            }
        };
        if after < self.forgotten {
            listener.lost = true;
            let cause = format!("it missed ledgers after {after}, and the feed keeps those after {}", self.forgotten);
            guard.tell(SupervisorEvent::Fault { actor: listener.actor, cause });
            return;
        }
        for missed in self.recent.iter().filter(|update| update.ledger.index > after) {
            listener.tell(missed.clone(), guard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{AccountState, LedgerHeader};
    use crate::tell::to_queue;
    use crossbeam_channel::{Receiver, bounded};
    use neo_ledger::types::LedgerTime;
    use neo_market::{Dec, Drops, MarketView};

    fn update(index: u32) -> LedgerUpdate {
        LedgerUpdate {
            ledger: LedgerHeader {
                index,
                hash: neo_ledger::types::Hash([7; 32]),
                close_time: LedgerTime(index * 4),
                base_fee: Drops::new(10),
                reserve_base: Drops::new(0),
                reserve_inc: Drops::new(0),
            },
            view: MarketView { ledger_index: index, ..MarketView::default() },
            reference: Err(neo_market::NoReference::NoSource),
            account: AccountState { xrp: Drops::new(1), rlusd: Dec::zero(), sequence: 1, owner_count: 0 },
            transactions: Vec::new(),
            offers: None,
            owned: None,
            terms: neo_ledger::TokenTerms::default(),
            history_lost: None,
        }
    }

    fn ear(places: usize) -> (Tell<LedgerUpdate>, Receiver<u32>) {
        let (tell, heard) = bounded(places);
        (to_queue(tell, |update: LedgerUpdate| update.ledger.index), heard)
    }

    fn orders(updates: Tell<LedgerUpdate>) -> OrdersLink {
        OrdersLink { updates, replies: std::sync::Arc::new(|_| Err(Untold::Gone)) }
    }

    #[test]
    fn one_that_comes_back_is_told_what_it_missed_and_nothing_twice() {
        let (events, told) = bounded(8);
        let (guard, _pulse) = Guard::new(ActorName::Feed, events);
        let ((to_orders, at_orders), (to_valuer, at_valuer)) = (ear(16), ear(16));
        let mut listeners = Listeners::new(orders(to_orders), ValuerLink { updates: to_valuer });
        (1..=2).for_each(|index| listeners.update(update(index), &guard));
        drop(at_valuer);
        (3..=5).for_each(|index| listeners.update(update(index), &guard));
        let (to_valuer, at_valuer) = ear(16);
        listeners.relink(Relink::Valuer { link: ValuerLink { updates: to_valuer }, after: 2 }, &guard);
        listeners.update(update(6), &guard);
        assert_eq!(at_valuer.try_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(at_orders.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert!(told.try_recv().is_err(), "a listener that is gone is told of by its own guard");
    }

    #[test]
    fn one_that_does_not_keep_up_is_the_one_at_fault_and_has_no_hole_in_what_it_got() {
        let (events, told) = bounded(8);
        let (guard, _pulse) = Guard::new(ActorName::Feed, events);
        let ((to_orders, _at_orders), (to_valuer, at_valuer)) = (ear(16), ear(1));
        let mut listeners = Listeners::new(orders(to_orders), ValuerLink { updates: to_valuer });
        (1..=2).for_each(|index| listeners.update(update(index), &guard));
        assert_eq!(at_valuer.try_recv(), Ok(1));
        listeners.update(update(3), &guard);
        assert!(at_valuer.try_recv().is_err(), "ledger 3 without ledger 2 is a hole");
        let faults: Vec<_> = told.try_iter().collect();
        assert!(matches!(&faults[..], [SupervisorEvent::Fault { actor: ActorName::Valuer, .. }]), "{faults:?}");
    }

    #[test]
    fn one_that_missed_more_than_is_kept_is_refused() {
        let (events, told) = bounded(8);
        let (guard, _pulse) = Guard::new(ActorName::Feed, events);
        let ((to_orders, _at_orders), (to_valuer, _at_valuer)) = (ear(2_048), ear(2_048));
        let mut listeners = Listeners::new(orders(to_orders), ValuerLink { updates: to_valuer });
        (1..=1_030).for_each(|index| listeners.update(update(index), &guard));
        let (late, heard) = ear(2_048);
        listeners.relink(Relink::Valuer { link: ValuerLink { updates: late }, after: 5 }, &guard);
        assert!(heard.try_recv().is_err());
        assert!(matches!(told.try_recv(), Ok(SupervisorEvent::Fault { actor: ActorName::Valuer, .. })));
        let (late, heard) = ear(2_048);
        listeners.relink(Relink::Valuer { link: ValuerLink { updates: late }, after: 6 }, &guard);
        assert_eq!(heard.try_iter().count(), 1_024);
    }
}

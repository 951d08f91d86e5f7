//! What the supervisor decides: restart an actor, end the session, take its work over, or hurry. Pure: events and times
//! in, decisions out.

use std::collections::{BTreeMap, BTreeSet};

use neo_actors::{ActorName, SupervisorEvent};
use neo_market::{TriggerEvent, TripAction};
use neo_store::record::EndReason;

/// An actor may be restarted so many times ...
const MAX_RESTARTS: usize = 5;
/// ... within so many milliseconds; one more ends the session.
const RESTART_WINDOW_MS: u64 = 60_000;
/// Wait before the first restart; doubled with each one in the window.
const BACKOFF_MS: u64 = 100;
/// A database that refuses so many attempts in a row is given up: what must still be sent is sent without a record.
const STORAGE_ATTEMPTS: u32 = 3;

/// Whether the first request is a hurry already: when a console was closed or the user logs off, the system ends the
/// process about five seconds later, whatever it is doing.
#[must_use]
pub fn is_urgent(reason: EndReason) -> bool {
    reason == EndReason::ConsoleClosed
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    GoOn,
    /// Start this actor again after a wait.
    Restart {
        /// Which.
        actor: ActorName,
        /// How long to wait before.
        wait_ms: u64,
    },
    /// Run the stop sequence.
    Stop {
        /// Why.
        reason: EndReason,
        /// What happened, for `end_detail`.
        cause: Option<String>,
    },
    /// The stop sequence runs already: hurry.
    Hurry,
    /// Something is lost that the stop sequence can do without.
    Without,
    /// The stop sequence runs already, and what it rests on was lost: it goes on without.
    Lost {
        /// Which.
        lost: Lost,
        /// What happened.
        cause: String,
    },
}

/// What ends a session when it is lost, and what the stop sequence then does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The orders' actor: the supervisor drives their state itself.
    Orders,
    /// The writer: only cancels are sent, and their hashes go to the stop note.
    Record,
    /// Something that the stop needs no more.
    Nothing,
}

/// How long a session does without a node, and what is said when it ends for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Any node.
    OfNode {
        /// So long.
        limit_ms: u64,
    },
    /// The mirror of a real market, which ends by itself when the market is gone for long.
    OfMirror {
        /// So long after it ended.
        limit_ms: u64,
        /// How long it waits for the market.
        market_ms: u64,
    },
}

impl Default for Outage {
    fn default() -> Outage {
        Outage::OfNode { limit_ms: 0 }
    }
}

impl Outage {
    const fn limit_ms(self) -> u64 {
        match self {
            Outage::OfNode { limit_ms } | Outage::OfMirror { limit_ms, .. } => limit_ms,
        }
    }

    fn cause(self) -> String {
        match self {
            Outage::OfNode { limit_ms } => {
                format!("no node was reached for {limit_ms} ms; is it running, and is network.url right?")
            }
            Outage::OfMirror { market_ms, .. } => format!(
                "the mirror of the real market has ended: no ledger of it came for {market_ms} ms, or its process was lost; \
                 ledger.log in the folder beside the record says which. Is a node of network.url running?"
            ),
        }
    }
}

/// The supervisor's memory.
#[derive(Debug, Default)]
pub struct Policy {
    restarts_ms: BTreeMap<ActorName, Vec<u64>>,
    /// Actors that reported a fault: decided already, their end is expected.
    ending: BTreeSet<ActorName>,
    node_lost_ms: Option<u64>,
    outage: Outage,
    stopping: bool,
    /// The actors' threads are told to end: their end is no loss.
    retired: bool,
}

impl Policy {
    /// A policy that has seen nothing yet.
    #[must_use]
    pub fn new(outage: Outage) -> Policy {
        Policy { outage, ..Policy::default() }
    }

    /// Since when no node is reached, if none is.
    #[must_use]
    pub fn node_lost_ms(&self) -> Option<u64> {
        self.node_lost_ms
    }

    /// The stop sequence begins, whoever decided so.
    pub fn stopping(&mut self) {
        self.stopping = true;
    }

    /// This actor ends because of what is decided already.
    pub fn expect_end(&mut self, actor: ActorName) {
        self.ending.insert(actor);
    }

    /// The actors' work is done: from here on their end is no loss.
    pub fn retire(&mut self) {
        self.retired = true;
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Decision {
        match self.node_lost_ms {
            Some(since_ms) if now_ms.saturating_sub(since_ms) > self.outage.limit_ms() => {
                let cause = self.outage.cause();
                self.stop(EndReason::Fault, Some(cause))
            }
            _ => Decision::GoOn,
        }
    }

    /// One event; `now_ms` is monotonic.
    pub fn on(&mut self, event: &SupervisorEvent, now_ms: u64) -> Decision {
        match event {
            SupervisorEvent::Live
            | SupervisorEvent::Flat
            | SupervisorEvent::Pause(_)
            | SupervisorEvent::Mended { .. } => Decision::GoOn,
            SupervisorEvent::Elapsed => self.stop(EndReason::Elapsed, None),
            SupervisorEvent::OtherWorld { cause } => self.stop(EndReason::Fault, Some(cause.clone())),
            SupervisorEvent::Stranger { cause } => self.stop(EndReason::Risk, Some(cause.clone())),
            SupervisorEvent::Risk(note) => match &note.event {
                TriggerEvent::Tripped(trip) if trip.action == TripAction::Stop => {
                    self.stop(EndReason::Risk, Some(format!("the trigger {} tripped: {}", trip.trigger, trip.reason)))
                }
                TriggerEvent::Tripped(_) | TriggerEvent::Cleared { .. } => Decision::GoOn,
            },
            SupervisorEvent::NodeSeen(seen) => {
                // Whatever is told of a loss while it lasts, it began when it began.
                self.node_lost_ms = if *seen { None } else { self.node_lost_ms.or(Some(now_ms)) };
                Decision::GoOn
            }
            SupervisorEvent::StorageRefuses { attempts, error } if self.stopping && *attempts >= STORAGE_ATTEMPTS => {
                Decision::Lost { lost: Lost::Record, cause: error.clone() }
            }
            // At once: what cannot be recorded must not be traded. The writer has waited for a lock by then.
            SupervisorEvent::StorageRefuses { error, .. } => self.stop(EndReason::Disk, Some(error.clone())),
            SupervisorEvent::StopRequested(_) if self.stopping => Decision::Hurry,
            SupervisorEvent::StopRequested(reason) => self.stop(*reason, None),
            SupervisorEvent::Fault { actor, cause } => {
                self.ending.insert(*actor);
                self.lost(*actor, cause, now_ms)
            }
            SupervisorEvent::Gone(actor) if self.ending.remove(actor) => Decision::GoOn,
            SupervisorEvent::Gone(actor) => self.lost(*actor, "it panicked or was stopped", now_ms),
            SupervisorEvent::Frozen(actor) => self.lost(*actor, "it is frozen", now_ms),
            SupervisorEvent::WriterLost { cause } => self.end(EndReason::Fault, Lost::Record, cause.clone()),
        }
    }

    fn lost(&mut self, actor: ActorName, cause: &str, now_ms: u64) -> Decision {
        if self.retired {
            return Decision::GoOn;
        }
        let text = || format!("the {actor} actor was lost: {cause}");
        match actor {
            // The stop sequence makes its own checkpoint.
            ActorName::Checkpoint if self.stopping => Decision::Without,
            ActorName::Feed | ActorName::Valuer | ActorName::Checkpoint => self.restart(actor, cause, now_ms),
            ActorName::Orders => self.end(EndReason::Fault, Lost::Orders, text()),
            ActorName::Writer => self.end(EndReason::Fault, Lost::Nothing, text()),
        }
    }

    /// Ends the session, or tells the stop sequence what it has to do without.
    fn end(&mut self, reason: EndReason, lost: Lost, cause: String) -> Decision {
        if self.stopping { Decision::Lost { lost, cause } } else { self.stop(reason, Some(cause)) }
    }

    fn restart(&mut self, actor: ActorName, cause: &str, now_ms: u64) -> Decision {
        let times = self.restarts_ms.entry(actor).or_default();
        times.retain(|at| now_ms.saturating_sub(*at) < RESTART_WINDOW_MS);
        if times.len() >= MAX_RESTARTS && self.stopping {
            return Decision::Without;
        }
        if times.len() >= MAX_RESTARTS {
            let cause = format!("the {actor} actor was lost {} times in a minute, last: {cause}", times.len() + 1);
            return self.stop(EndReason::Fault, Some(cause));
        }
        let wait_ms = BACKOFF_MS << times.len();
        times.push(now_ms);
        // The new one begins without a node and tells of it only when it has one: it may never come so far.
        if actor == ActorName::Feed {
            self.node_lost_ms.get_or_insert(now_ms);
        }
        Decision::Restart { actor, wait_ms }
    }

    fn stop(&mut self, reason: EndReason, cause: Option<String>) -> Decision {
        if self.stopping {
            return Decision::GoOn;
        }
        self.stopping = true;
        Decision::Stop { reason, cause }
    }
}

#[cfg(test)]
mod tests {
    use neo_actors::messages::RiskNote;
    use neo_ledger::types::LedgerTime;
    use neo_market::{Trigger, Trip};

    use super::*;

    #[test]
    fn a_lost_feed_is_restarted_with_growing_waits_and_then_ends_the_session() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let waits: Vec<Decision> =
            (0..6).map(|n| policy.on(&SupervisorEvent::Gone(ActorName::Feed), n * 1_000)).collect();
        assert_eq!(waits[0], Decision::Restart { actor: ActorName::Feed, wait_ms: 100 });
        assert_eq!(waits[4], Decision::Restart { actor: ActorName::Feed, wait_ms: 1_600 });
        assert!(matches!(waits[5], Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn a_node_that_a_new_feed_never_reaches_is_missed_like_any_other() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        policy.on(&SupervisorEvent::NodeSeen(true), 0);
        policy.on(&SupervisorEvent::Gone(ActorName::Valuer), 500);
        assert_eq!(policy.node_lost_ms(), None, "only the feed has a node");
        policy.on(&SupervisorEvent::Gone(ActorName::Feed), 1_000);
        assert_eq!(policy.tick(61_000), Decision::GoOn);
        policy.on(&SupervisorEvent::Gone(ActorName::Feed), 50_000);
        assert!(matches!(policy.tick(61_001), Decision::Stop { reason: EndReason::Fault, .. }));
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        policy.on(&SupervisorEvent::Gone(ActorName::Feed), 1_000);
        policy.on(&SupervisorEvent::NodeSeen(true), 2_000);
        assert_eq!(policy.tick(900_000), Decision::GoOn);
    }

    #[test]
    fn another_world_ends_the_session_as_a_fault_and_says_why() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let cause = "its ledger 45 is another".to_string();
        let decision = policy.on(&SupervisorEvent::OtherWorld { cause: cause.clone() }, 0);
        assert_eq!(decision, Decision::Stop { reason: EndReason::Fault, cause: Some(cause) });
    }

    #[test]
    fn what_the_stop_is_told_it_remembers() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        assert_eq!(policy.node_lost_ms(), None);
        policy.on(&SupervisorEvent::NodeSeen(false), 7);
        assert_eq!(policy.node_lost_ms(), Some(7));
        policy.on(&SupervisorEvent::NodeSeen(true), 9);
        assert_eq!(policy.node_lost_ms(), None);

        policy.expect_end(ActorName::Feed);
        assert_eq!(policy.on(&SupervisorEvent::Gone(ActorName::Feed), 10), Decision::GoOn);
        // Whoever decided that it stops: the next request is a hurry.
        policy.stopping();
        assert_eq!(policy.on(&SupervisorEvent::StopRequested(EndReason::Signal), 11), Decision::Hurry);
    }

    #[test]
    fn restarts_long_ago_are_forgiven() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        for n in 0..20 {
            let decision = policy.on(&SupervisorEvent::Gone(ActorName::Checkpoint), n * RESTART_WINDOW_MS);
            assert_eq!(decision, Decision::Restart { actor: ActorName::Checkpoint, wait_ms: 100 });
        }
    }

    #[test]
    fn lost_orders_end_the_session_and_say_why() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let fault = SupervisorEvent::Fault { actor: ActorName::Orders, cause: "no key".to_string() };
        let Decision::Stop { reason, cause } = policy.on(&fault, 0) else { panic!("the session must end") };
        assert_eq!(reason, EndReason::Fault);
        assert!(cause.unwrap().contains("no key"));
        assert_eq!(policy.on(&SupervisorEvent::Gone(ActorName::Orders), 1), Decision::GoOn);
    }

    #[test]
    fn a_fault_and_the_end_that_follows_it_are_one_loss() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        for n in 0..MAX_RESTARTS as u64 {
            let fault = SupervisorEvent::Fault { actor: ActorName::Feed, cause: "x".to_string() };
            assert!(matches!(policy.on(&fault, n), Decision::Restart { .. }));
            assert_eq!(policy.on(&SupervisorEvent::Gone(ActorName::Feed), n), Decision::GoOn);
        }
        let decision = policy.on(&SupervisorEvent::Gone(ActorName::Feed), 9);
        assert!(matches!(decision, Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn a_node_that_stays_away_ends_the_session_and_one_that_comes_back_does_not() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        policy.on(&SupervisorEvent::NodeSeen(false), 1_000);
        assert_eq!(policy.tick(61_000), Decision::GoOn);
        policy.on(&SupervisorEvent::NodeSeen(true), 61_000);
        assert_eq!(policy.tick(900_000), Decision::GoOn);
        policy.on(&SupervisorEvent::NodeSeen(false), 900_000);
        assert!(matches!(policy.tick(960_001), Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn a_loss_that_is_told_again_does_not_begin_anew() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        policy.on(&SupervisorEvent::Gone(ActorName::Feed), 1_000);
        policy.on(&SupervisorEvent::NodeSeen(false), 40_000);
        assert_eq!(policy.node_lost_ms(), Some(1_000));
        assert!(matches!(policy.tick(61_001), Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn a_database_that_refuses_ends_the_session_at_once_and_never_hurries_it() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let refuses = |attempts| SupervisorEvent::StorageRefuses { attempts, error: "full".to_string() };
        assert_eq!(
            policy.on(&refuses(1), 0),
            Decision::Stop { reason: EndReason::Disk, cause: Some("full".to_string()) }
        );
        assert_eq!(policy.on(&refuses(2), 2), Decision::GoOn);
        assert!(matches!(policy.on(&refuses(3), 3), Decision::Lost { lost: Lost::Record, .. }));
    }

    #[test]
    fn a_stop_puts_right_what_it_needs_and_is_told_what_it_must_do_without() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        policy.on(&SupervisorEvent::StopRequested(EndReason::Signal), 0);
        for actor in [ActorName::Feed, ActorName::Valuer] {
            assert_eq!(policy.on(&SupervisorEvent::Frozen(actor), 1), Decision::Restart { actor, wait_ms: 100 });
        }
        assert_eq!(policy.on(&SupervisorEvent::Gone(ActorName::Checkpoint), 2), Decision::Without);
        for (event, wanted) in [
            (SupervisorEvent::Gone(ActorName::Orders), Lost::Orders),
            (SupervisorEvent::Gone(ActorName::Writer), Lost::Nothing),
            (SupervisorEvent::WriterLost { cause: "gone".to_string() }, Lost::Record),
        ] {
            assert!(matches!(policy.on(&event, 3), Decision::Lost { lost, .. } if lost == wanted), "{event:?}");
        }
        policy.retire();
        for actor in ActorName::ALL {
            assert_eq!(policy.on(&SupervisorEvent::Gone(actor), 4), Decision::GoOn, "{actor}");
        }
    }

    #[test]
    fn a_mirror_that_has_ended_is_missed_shortly_and_the_market_is_named() {
        let mut policy = Policy::new(Outage::OfMirror { limit_ms: 3_000, market_ms: 60_000 });
        policy.on(&SupervisorEvent::NodeSeen(false), 1_000);
        assert_eq!(policy.tick(4_000), Decision::GoOn);
        let Decision::Stop { reason: EndReason::Fault, cause: Some(cause) } = policy.tick(4_001) else {
            panic!("no stop");
        };
        assert!(cause.contains("real market") && cause.contains("60000 ms"), "{cause}");
    }

    #[test]
    fn a_lost_valuer_is_restarted_and_a_lost_writer_ends_the_session() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let lost = policy.on(&SupervisorEvent::Gone(ActorName::Valuer), 0);
        assert_eq!(lost, Decision::Restart { actor: ActorName::Valuer, wait_ms: 100 });
        let lost = policy.on(&SupervisorEvent::WriterLost { cause: "frozen".to_string() }, 1);
        assert!(matches!(lost, Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn only_the_action_stop_ends_the_session_and_its_reason_is_risk() {
        let tripped = |action| {
            let trip = Trip { trigger: Trigger::DayLoss, action, reason: "5 % lost".to_string(), since_s: 1 };
            let event = TriggerEvent::Tripped(trip);
            SupervisorEvent::Risk(RiskNote { event, ledger_index: 1, close_time: LedgerTime(1) })
        };
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        assert_eq!(policy.on(&tripped(TripAction::Pause), 0), Decision::GoOn);
        assert_eq!(policy.on(&tripped(TripAction::Latch), 0), Decision::GoOn);
        let cause = Some("the trigger day_loss_pct tripped: 5 % lost".to_string());
        assert_eq!(policy.on(&tripped(TripAction::Stop), 0), Decision::Stop { reason: EndReason::Risk, cause });
        assert_eq!(policy.on(&tripped(TripAction::Stop), 1), Decision::GoOn, "it stops already");
    }

    #[test]
    fn a_second_request_hurries_and_the_first_reason_stays() {
        let mut policy = Policy::new(Outage::OfNode { limit_ms: 60_000 });
        let stop = policy.on(&SupervisorEvent::StopRequested(EndReason::Signal), 0);
        assert_eq!(stop, Decision::Stop { reason: EndReason::Signal, cause: None });
        assert_eq!(policy.on(&SupervisorEvent::StopRequested(EndReason::StopCommand), 1), Decision::Hurry);
        assert_eq!(policy.on(&SupervisorEvent::Elapsed, 2), Decision::GoOn);
    }

    #[test]
    fn only_a_closed_console_is_a_hurry_from_the_first_moment() {
        assert!(is_urgent(EndReason::ConsoleClosed));
        for reason in [EndReason::Signal, EndReason::TerminalClosed, EndReason::StopCommand, EndReason::Elapsed] {
            assert!(!is_urgent(reason), "{reason}");
        }
    }
}

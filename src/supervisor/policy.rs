//! What the supervisor decides: restart an actor, end the session, or hurry. Pure: events and times in, decisions out.

use std::collections::BTreeMap;

use neo_actors::{ActorName, SupervisorEvent};
use neo_store::record::EndReason;

/// An actor may be restarted so many times ...
const MAX_RESTARTS: usize = 5;
/// ... within so many milliseconds; one more ends the session.
const RESTART_WINDOW_MS: u64 = 60_000;
/// Wait before the first restart; doubled with each one in the window.
const BACKOFF_MS: u64 = 100;
/// An actor that has not answered a heartbeat for so long is frozen.
pub const FROZEN_MS: u64 = 10_000;

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
}

/// The supervisor's memory.
#[derive(Debug, Default)]
pub struct Policy {
    restarts_ms: BTreeMap<ActorName, Vec<u64>>,
    causes: BTreeMap<ActorName, String>,
    asked: u32,
    stopping: bool,
}

impl Policy {
    /// A policy that has seen nothing yet.
    #[must_use]
    pub fn new() -> Policy {
        Policy::default()
    }

    /// One event; `now_ms` is monotonic.
    pub fn on(&mut self, event: &SupervisorEvent, now_ms: u64) -> Decision {
        match event {
            SupervisorEvent::Live | SupervisorEvent::Flat => Decision::GoOn,
            SupervisorEvent::Elapsed => self.stop(EndReason::Elapsed, None),
            SupervisorEvent::StopRequested(reason) => {
                self.asked += 1;
                if self.stopping { Decision::Hurry } else { self.stop(*reason, None) }
            }
            SupervisorEvent::Fault { actor, cause } => {
                // The actor stops itself next; what is done is decided when it is gone, and this says why it went.
                self.causes.insert(*actor, cause.clone());
                Decision::GoOn
            }
            SupervisorEvent::Gone(actor) => self.gone(*actor, now_ms),
        }
    }

    fn gone(&mut self, actor: ActorName, now_ms: u64) -> Decision {
        if self.stopping {
            return Decision::GoOn;
        }
        let cause = self.causes.remove(&actor).unwrap_or_else(|| "it panicked or was stopped".to_string());
        match actor {
            ActorName::Feed | ActorName::Checkpoint => self.restart(actor, &cause, now_ms),
            ActorName::Orders | ActorName::Valuer | ActorName::Writer => {
                self.stop(EndReason::Fault, Some(format!("the {actor} actor was lost: {cause}")))
            }
        }
    }

    fn restart(&mut self, actor: ActorName, cause: &str, now_ms: u64) -> Decision {
        let times = self.restarts_ms.entry(actor).or_default();
        times.retain(|at| now_ms.saturating_sub(*at) < RESTART_WINDOW_MS);
        if times.len() >= MAX_RESTARTS {
            let cause = format!("the {actor} actor was lost {} times in a minute, last: {cause}", times.len() + 1);
            return self.stop(EndReason::Fault, Some(cause));
        }
        let wait_ms = BACKOFF_MS << times.len();
        times.push(now_ms);
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
    use super::*;

    #[test]
    fn a_lost_feed_is_restarted_with_growing_waits_and_then_ends_the_session() {
        let mut policy = Policy::new();
        let waits: Vec<Decision> =
            (0..6).map(|n| policy.on(&SupervisorEvent::Gone(ActorName::Feed), n * 1_000)).collect();
        assert_eq!(waits[0], Decision::Restart { actor: ActorName::Feed, wait_ms: 100 });
        assert_eq!(waits[4], Decision::Restart { actor: ActorName::Feed, wait_ms: 1_600 });
        assert!(matches!(waits[5], Decision::Stop { reason: EndReason::Fault, .. }));
    }

    #[test]
    fn restarts_long_ago_are_forgiven() {
        let mut policy = Policy::new();
        for n in 0..20 {
            let decision = policy.on(&SupervisorEvent::Gone(ActorName::Checkpoint), n * RESTART_WINDOW_MS);
            assert_eq!(decision, Decision::Restart { actor: ActorName::Checkpoint, wait_ms: 100 });
        }
    }

    #[test]
    fn lost_orders_end_the_session_and_say_why() {
        let mut policy = Policy::new();
        let fault = SupervisorEvent::Fault { actor: ActorName::Orders, cause: "no key".to_string() };
        assert_eq!(policy.on(&fault, 0), Decision::GoOn);
        let Decision::Stop { reason, cause } = policy.on(&SupervisorEvent::Gone(ActorName::Orders), 1) else {
            panic!("the session must end");
        };
        assert_eq!(reason, EndReason::Fault);
        assert!(cause.unwrap().contains("no key"));
    }

    #[test]
    fn a_second_request_hurries_and_the_first_reason_stays() {
        let mut policy = Policy::new();
        let stop = policy.on(&SupervisorEvent::StopRequested(EndReason::Signal), 0);
        assert_eq!(stop, Decision::Stop { reason: EndReason::Signal, cause: None });
        assert_eq!(policy.on(&SupervisorEvent::StopRequested(EndReason::StopCommand), 1), Decision::Hurry);
        assert_eq!(policy.on(&SupervisorEvent::Elapsed, 2), Decision::GoOn);
        assert_eq!(policy.on(&SupervisorEvent::Gone(ActorName::Orders), 3), Decision::GoOn);
    }
}

//! How the supervisor learns that an actor is gone or frozen, whatever the cause.
//!
//! actix restarts an actor that stops itself but not one that panics: its address goes dead and the process lives on.
//! So each actor holds a [`Guard`]; dropping it, by a return, a panic or a stop of its arbiter, tells the supervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;
use neo_store::record::EndReason;

use crate::clock;
use crate::messages::RiskNote;

/// The five actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorName {
    /// Owns the connection to the node.
    Feed,
    /// Owns the offers.
    Orders,
    /// Owns the balances and their value.
    Valuer,
    /// Watches the writer thread.
    Writer,
    /// Asks for checkpoints.
    Checkpoint,
}

impl ActorName {
    /// All of them, in the order they start.
    pub const ALL: [ActorName; 5] =
        [ActorName::Writer, ActorName::Checkpoint, ActorName::Valuer, ActorName::Orders, ActorName::Feed];

    /// The name in logs, records and on the screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorName::Feed => "feed",
            ActorName::Orders => "orders",
            ActorName::Valuer => "valuer",
            ActorName::Writer => "writer",
            ActorName::Checkpoint => "checkpoint",
        }
    }
}

impl std::fmt::Display for ActorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the supervisor hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SupervisorEvent {
    /// An actor is gone: it stopped, panicked, or its arbiter ended.
    Gone(ActorName),
    /// An actor gives no sign of life; its thread is left alone.
    Frozen(ActorName),
    /// The thread that owns the database is gone or stands still.
    WriterLost {
        /// Which of the two, in words.
        cause: String,
    },
    /// Something was lost and has been put right by who tells it.
    Mended {
        /// What was lost.
        part: &'static str,
        /// What happened.
        cause: String,
        /// What was done.
        action: &'static str,
    },
    /// An actor met an error that it cannot mend; it stops itself after this.
    Fault {
        /// Who.
        actor: ActorName,
        /// What happened and what to do.
        cause: String,
    },
    /// The first validated ledger has been processed: the engine sees the market and its account.
    Live,
    /// The feed follows a node again, or has lost it.
    NodeSeen(bool),
    /// The database refuses to be written; this many attempts in a row have failed.
    StorageRefuses {
        /// How many.
        attempts: u32,
        /// What it said.
        error: String,
    },
    /// The session's trading time is over; the orders are being withdrawn.
    Elapsed,
    /// The node's ledger is another than the one that this session trades on: nothing of the session is on it.
    OtherWorld {
        /// What was seen and what to do.
        cause: String,
    },
    /// Another program trades on the account; the orders are being withdrawn.
    Stranger {
        /// What was seen and what to do.
        cause: String,
    },
    /// A trigger tripped, and the quotes are being withdrawn; or it is not tripped any more.
    Risk(RiskNote),
    /// A validated ledger shows no offer of ours and nothing in flight.
    Flat,
    /// The operator pauses the session, for this reason, or no longer does.
    Pause(Option<String>),
    /// Somebody asks the engine to stop.
    StopRequested(EndReason),
}

/// Held by an actor while it lives.
pub struct Guard {
    actor: ActorName,
    beat_ms: Arc<AtomicU64>,
    abandoned: Arc<AtomicBool>,
    events: Sender<SupervisorEvent>,
}

impl Guard {
    /// A guard and the pulse by which the supervisor sees a freeze.
    #[must_use]
    pub fn new(actor: ActorName, events: Sender<SupervisorEvent>) -> (Guard, Pulse) {
        let beat_ms = Arc::new(AtomicU64::new(clock::monotonic_ms()));
        let abandoned = Arc::new(AtomicBool::new(false));
        let pulse = Pulse { actor, beat_ms: Arc::clone(&beat_ms), abandoned: Arc::clone(&abandoned) };
        (Guard { actor, beat_ms, abandoned, events }, pulse)
    }

    /// Says that the actor is still handling messages.
    pub fn beat(&self) {
        self.beat_ms.store(clock::monotonic_ms(), Ordering::Release);
    }

    /// True once the supervisor has given this actor up and put another in its place. It must not act any more: what it
    /// would record or send is another's now.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Tells the supervisor, unless this actor was given up: its place is another's.
    pub fn tell(&self, event: SupervisorEvent) {
        if !self.is_abandoned() {
            tell(&self.events, self.actor, event);
        }
    }

    /// Reports an error that the actor cannot mend.
    pub fn fault(&self, cause: impl std::fmt::Display) {
        self.reporter().fault(cause);
    }

    /// Something that can report a fault of this actor from another thread.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter { actor: self.actor, abandoned: Arc::clone(&self.abandoned), events: self.events.clone() }
    }

    /// Who holds it.
    #[must_use]
    pub fn actor(&self) -> ActorName {
        self.actor
    }
}

/// Reports faults of an actor from outside its mailbox.
#[derive(Clone)]
pub struct Reporter {
    actor: ActorName,
    abandoned: Arc<AtomicBool>,
    events: Sender<SupervisorEvent>,
}

impl Reporter {
    /// Reports an error that the actor cannot mend.
    pub fn fault(&self, cause: impl std::fmt::Display) {
        if self.abandoned.load(Ordering::Acquire) {
            return;
        }
        let cause = cause.to_string();
        tracing::error!(actor = self.actor.as_str(), cause, "fault");
        tell(&self.events, self.actor, SupervisorEvent::Fault { actor: self.actor, cause });
    }
}

/// A channel that nobody reads any more means that the process is ending: said in the log, there is nobody else to tell.
fn tell(events: &Sender<SupervisorEvent>, actor: ActorName, event: SupervisorEvent) {
    if let Err(error) = events.try_send(event) {
        tracing::error!(actor = actor.as_str(), %error, "the supervisor does not listen");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tell(SupervisorEvent::Gone(self.actor));
    }
}

/// The supervisor's view of an actor's heartbeat.
#[derive(Clone, Debug)]
pub struct Pulse {
    actor: ActorName,
    beat_ms: Arc<AtomicU64>,
    abandoned: Arc<AtomicBool>,
}

impl Pulse {
    /// Whose.
    #[must_use]
    pub fn actor(&self) -> ActorName {
        self.actor
    }

    /// Gives the actor up: it finds out when it moves again, and nobody hears of it any more.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// True once the actor was given up.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Milliseconds since the last beat.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.beat_ms.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_that_was_given_up_is_not_heard_any_more() {
        let (events, heard) = crossbeam_channel::bounded(4);
        let (guard, pulse) = Guard::new(ActorName::Feed, events);
        pulse.abandon();
        assert!(guard.is_abandoned());
        guard.fault("late");
        guard.tell(SupervisorEvent::Live);
        drop(guard);
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn a_guard_that_is_dropped_by_a_panic_still_tells() {
        let (events, heard) = crossbeam_channel::bounded(4);
        let (guard, _pulse) = Guard::new(ActorName::Orders, events);
        let panicked = std::thread::spawn(move || {
            let _held = guard;
            panic!("on purpose");
        })
        .join();
        assert!(panicked.is_err());
        assert_eq!(heard.try_recv(), Ok(SupervisorEvent::Gone(ActorName::Orders)));
    }
}

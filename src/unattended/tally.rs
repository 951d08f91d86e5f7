//! What the supervisor counts for those who watch from outside: faults, restarts, signs of life, whether there is a node.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use neo_actors::ActorName;
use neo_market::Trip;
use parking_lot::Mutex;

/// Faults that wait to be told; more than these are only counted.
const UNTOLD_MAX: usize = 64;

/// A fault, as it stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSeen {
    /// The actor or thread.
    pub part: String,
    /// What happened.
    pub cause: String,
    /// What was done about it.
    pub action: String,
}

/// The counts of this session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults by actor or thread.
    pub faults: BTreeMap<String, u64>,
    /// Restarts by actor.
    pub restarts: BTreeMap<ActorName, u64>,
    /// When the signs of life below were looked at, on the monotonic clock; 0 before the first look.
    pub looked_ms: u64,
    /// How old each actor's last sign of life was then, in milliseconds.
    pub beats_ms: Vec<(ActorName, u64)>,
    /// Whether a node is reached; unknown before the first one.
    pub connected: Option<bool>,
}

#[derive(Default)]
struct Inner {
    counts: Counts,
    untold: VecDeque<FaultSeen>,
    untold_trips: VecDeque<Trip>,
    latched: bool,
}

/// Shared by the supervisor, which counts, and the look-out, which reads. The lock is held for a copy at most, and never
/// by whom an actor can hold up.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Inner>>);

impl Tally {
    /// A fault was heard of.
    pub fn fault(&self, part: &str, cause: &str, action: &str) {
        let mut inner = self.0.lock();
        let count = inner.counts.faults.entry(part.to_string()).or_default();
        *count = count.saturating_add(1);
        if inner.untold.len() < UNTOLD_MAX {
            let seen = FaultSeen { part: part.to_string(), cause: cause.to_string(), action: action.to_string() };
            inner.untold.push_back(seen);
        }
    }

    /// A trigger tripped.
    pub fn trip(&self, trip: &Trip) {
        let untold = &mut self.0.lock().untold_trips;
        if untold.len() < UNTOLD_MAX {
            untold.push_back(trip.clone());
        }
    }

    /// The trips since this was asked for the last time.
    #[must_use]
    pub fn untold_trips(&self) -> Vec<Trip> {
        self.0.lock().untold_trips.drain(..).collect()
    }

    /// The latch of a trigger is on the disk.
    pub fn latched(&self) {
        self.0.lock().latched = true;
    }

    /// Whether a latch was written since this was asked for the last time.
    #[must_use]
    pub fn take_latched(&self) -> bool {
        std::mem::take(&mut self.0.lock().latched)
    }

    /// An actor is started again.
    pub fn restart(&self, actor: ActorName) {
        let mut inner = self.0.lock();
        let count = inner.counts.restarts.entry(actor).or_default();
        *count = count.saturating_add(1);
    }

    /// The actors' signs of life.
    pub fn beats(&self, beats_ms: Vec<(ActorName, u64)>, now_ms: u64) {
        let mut inner = self.0.lock();
        (inner.counts.beats_ms, inner.counts.looked_ms) = (beats_ms, now_ms);
    }

    /// A node is reached, or none is.
    pub fn node(&self, connected: bool) {
        self.0.lock().counts.connected = Some(connected);
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.lock().counts.clone()
    }

    /// The faults since this was asked for the last time.
    #[must_use]
    pub fn untold(&self) -> Vec<FaultSeen> {
        self.0.lock().untold.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_part_and_told_once_and_never_without_bound() {
        let tally = Tally::default();
        for _ in 0..UNTOLD_MAX + 10 {
            tally.fault("feed", "it panicked", "restarted");
        }
        tally.fault("orders", "no key", "the session ends");
        assert_eq!(tally.counts().faults, BTreeMap::from([("feed".to_string(), 74), ("orders".to_string(), 1)]));
        assert_eq!(tally.untold().len(), UNTOLD_MAX);
        assert_eq!(tally.untold(), []);
    }
}

//! What is worth an alert, and how often one is sent. Pure: what was seen and the time in, alerts out.

use std::collections::BTreeMap;

use neo_actors::status::Phase;
use neo_market::{Trip, TripAction};

use super::Kind;
use crate::unattended::space::{MinFree, Room};
use crate::unattended::tally::FaultSeen;

/// Checkpoints in a row that do not get through before somebody is told; as many as are worth a row in `faults`.
const BLOCKED_LIMIT: u32 = 3;

/// What the look-out sees at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the engine is doing.
    pub phase: Phase,
    /// Why it does not quote.
    pub withheld_reason: Option<String>,
    /// Whether a node is reached, where known.
    pub connected: Option<bool>,
    /// Checkpoints in a row that did not get through.
    pub checkpoint_blocked: u32,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// Free space on the record's disk, where known.
    pub free_bytes: Option<u64>,
    /// Faults since the last look.
    pub faults: Vec<FaultSeen>,
    /// Triggers that tripped since the last look.
    pub trips: Vec<Trip>,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// Decides what is worth an alert: what lasts is told once, and again only after it has ended and begun anew.
#[derive(Debug)]
pub struct Attention {
    pause_ms: u64,
    min_free: MinFree,
    paused_since_ms: Option<u64>,
    pause_told: bool,
    blocked_told: bool,
    low_told: bool,
}

impl Attention {
    /// A pause is told after `pause_ms`, a disk when it comes near `min_free`.
    #[must_use]
    pub fn new(pause_ms: u64, min_free: MinFree) -> Attention {
        Attention { pause_ms, min_free, paused_since_ms: None, pause_told: false, blocked_told: false, low_told: false }
    }

    /// One look; `now_ms` is monotonic.
    pub fn on(&mut self, seen: &Seen, now_ms: u64) -> Vec<Event> {
        let fault = |fault: &FaultSeen| Event {
            kind: Kind::Fault,
            text: format!("{}: {}; {}", fault.part, fault.cause, fault.action),
        };
        let mut events: Vec<Event> = seen.faults.iter().map(fault).collect();
        events.extend(seen.trips.iter().map(tripped));
        events.extend(self.pause(seen, now_ms));
        events.extend(self.checkpoint(seen));
        events.extend(self.disk(seen));
        events
    }

    fn pause(&mut self, seen: &Seen, now_ms: u64) -> Option<Event> {
        let reason = match seen.phase {
            Phase::Withheld => seen.withheld_reason.as_deref().unwrap_or("no reason is known"),
            Phase::Quoting if seen.connected == Some(false) => "no node is reached",
            _ => {
                (self.paused_since_ms, self.pause_told) = (None, false);
                return None;
            }
        };
        let since_ms = *self.paused_since_ms.get_or_insert(now_ms);
        let paused_ms = now_ms.saturating_sub(since_ms);
        if paused_ms < self.pause_ms || std::mem::replace(&mut self.pause_told, true) {
            return None;
        }
        let text = format!("nothing has been quoted for {} s: {reason}", paused_ms / 1_000);
        Some(Event { kind: Kind::Pause, text })
    }

    fn checkpoint(&mut self, seen: &Seen) -> Option<Event> {
        if seen.checkpoint_blocked == 0 {
            self.blocked_told = false;
        }
        if seen.checkpoint_blocked < BLOCKED_LIMIT || std::mem::replace(&mut self.blocked_told, true) {
            return None;
        }
        let text = format!(
            "{} checkpoints in a row did not get through and the write-ahead log has {} bytes: end the program that \
             reads the record",
            seen.checkpoint_blocked, seen.wal_bytes
        );
        Some(Event { kind: Kind::CheckpointBlocked, text })
    }

    fn disk(&mut self, seen: &Seen) -> Option<Event> {
        let free_bytes = seen.free_bytes?;
        if self.min_free.judge(free_bytes) == Room::Enough {
            self.low_told = false;
            return None;
        }
        if std::mem::replace(&mut self.low_told, true) {
            return None;
        }
        let text = format!(
            "the record's disk has {} MB free; the session ends below store.min_free_mb = {}: free space",
            free_bytes / 1_000_000,
            self.min_free.mb
        );
        Some(Event { kind: Kind::DiskLow, text })
    }
}

fn tripped(trip: &Trip) -> Event {
    let then = match trip.action {
        TripAction::Pause => "quotes are withdrawn, and come back by themselves",
        TripAction::Latch => "quotes are withdrawn until `neo resume`",
        TripAction::Stop => "the session ends; the next one quotes nothing until `neo resume`",
    };
    Event { kind: Kind::Risk, text: format!("the trigger {} tripped: {}; {then}", trip.trigger, trip.reason) }
}

/// An event that may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The event.
    pub event: Event,
    /// Events of its kind that were held back before it.
    pub held_back: u64,
}

#[derive(Debug, Default)]
struct OfKind {
    sent_ms: Option<u64>,
    latest: Option<Event>,
    held_back: u64,
}

/// At most one alert of a kind in an interval. The newest of those that were held back is sent when the interval is over.
#[derive(Debug)]
pub struct RateLimit {
    interval_ms: u64,
    kinds: BTreeMap<Kind, OfKind>,
    held_back: BTreeMap<Kind, u64>,
}

impl RateLimit {
    /// At most one of a kind in `interval_ms`.
    #[must_use]
    pub fn new(interval_ms: u64) -> RateLimit {
        RateLimit { interval_ms, kinds: BTreeMap::new(), held_back: BTreeMap::new() }
    }

    /// New events and the time; what is to be sent now.
    pub fn on(&mut self, events: Vec<Event>, now_ms: u64) -> Vec<Due> {
        for event in events {
            let kind = event.kind;
            let of_kind = self.kinds.entry(kind).or_default();
            if of_kind.latest.replace(event).is_some() {
                of_kind.held_back = of_kind.held_back.saturating_add(1);
                let total = self.held_back.entry(kind).or_default();
                *total = total.saturating_add(1);
            }
        }
        let interval_ms = self.interval_ms;
        let due = |of_kind: &mut OfKind| {
            let waits = of_kind.sent_ms.is_some_and(|sent_ms| now_ms.saturating_sub(sent_ms) < interval_ms);
            let event = if waits { None } else { of_kind.latest.take() }?;
            of_kind.sent_ms = Some(now_ms);
            Some(Due { event, held_back: std::mem::take(&mut of_kind.held_back) })
        };
        self.kinds.values_mut().filter_map(due).collect()
    }

    /// The session is over: what still waits is sent, whatever the interval.
    pub fn last(&mut self) -> Vec<Due> {
        let rest = |of_kind: &mut OfKind| {
            of_kind.latest.take().map(|event| Due { event, held_back: std::mem::take(&mut of_kind.held_back) })
        };
        self.kinds.values_mut().filter_map(rest).collect()
    }

    /// Events that another of their kind took the place of, by kind.
    #[must_use]
    pub fn held_back(&self) -> &BTreeMap<Kind, u64> {
        &self.held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attention() -> Attention {
        Attention::new(300_000, MinFree { mb: 64 })
    }

    fn withheld() -> Seen {
        Seen { phase: Phase::Withheld, withheld_reason: Some("the book is empty".to_string()), ..Seen::default() }
    }

    fn kinds(events: &[Event]) -> Vec<Kind> {
        events.iter().map(|event| event.kind).collect()
    }

    fn event(text: &str) -> Event {
        Event { kind: Kind::Fault, text: text.to_string() }
    }

    #[test]
    fn a_pause_is_told_once_when_it_is_long_and_the_next_one_again() {
        let mut attention = attention();
        assert_eq!(attention.on(&withheld(), 1_000), []);
        assert_eq!(attention.on(&withheld(), 300_999), []);
        let told = attention.on(&withheld(), 301_000);
        assert_eq!(told[0].text, "nothing has been quoted for 300 s: the book is empty");
        assert_eq!(attention.on(&withheld(), 900_000), []);
        let quoting = Seen { phase: Phase::Quoting, ..Seen::default() };
        assert_eq!(attention.on(&quoting, 900_001), []);
        assert_eq!(attention.on(&withheld(), 900_002), []);
        assert_eq!(kinds(&attention.on(&withheld(), 1_200_002)), [Kind::Pause]);
    }

    #[test]
    fn a_node_that_is_away_is_a_pause_and_a_stop_is_none() {
        let mut attention = attention();
        let away = Seen { phase: Phase::Quoting, connected: Some(false), ..Seen::default() };
        attention.on(&away, 0);
        assert!(attention.on(&away, 300_000)[0].text.ends_with("no node is reached"));
        let stopping = Seen { phase: Phase::Stopping, ..withheld() };
        attention.on(&stopping, 300_001);
        assert_eq!(attention.on(&stopping, 900_000), []);
    }

    #[test]
    fn a_blocked_checkpoint_is_told_at_the_third_attempt_and_once() {
        let mut attention = attention();
        let blocked = |attempts| Seen { checkpoint_blocked: attempts, wal_bytes: 99, ..Seen::default() };
        let told: Vec<usize> = (1..=6).map(|attempts| attention.on(&blocked(attempts), 0).len()).collect();
        assert_eq!(told, [0, 0, 1, 0, 0, 0]);
        attention.on(&blocked(0), 0);
        let again = attention.on(&blocked(3), 0);
        assert!(again[0].text.contains("3 checkpoints in a row") && again[0].text.contains("99 bytes"));
    }

    #[test]
    fn a_disk_is_told_below_twice_the_limit_and_again_only_after_it_had_room() {
        let mut attention = attention();
        let free = |mb: u64| Seen { free_bytes: Some(mb * 1_000_000), ..Seen::default() };
        assert_eq!(attention.on(&free(128), 0), []);
        assert!(attention.on(&free(127), 0)[0].text.contains("127 MB free"));
        assert_eq!(attention.on(&free(20), 0), [], "the end of the session tells that");
        assert_eq!(attention.on(&Seen::default(), 0), [], "a disk that does not tell has not got room again");
        assert_eq!(attention.on(&free(100), 0), []);
        assert_eq!(attention.on(&free(500), 0), []);
        assert_eq!(kinds(&attention.on(&free(100), 0)), [Kind::DiskLow]);
    }

    #[test]
    fn each_fault_is_an_event() {
        let fault = FaultSeen { part: "feed".into(), cause: "it panicked".into(), action: "restarted".into() };
        let seen = Seen { faults: vec![fault.clone(), fault], ..Seen::default() };
        assert_eq!(attention().on(&seen, 0), vec![event("feed: it panicked; restarted"); 2]);
    }

    #[test]
    fn each_trip_is_an_event_with_its_figures() {
        let (trigger, action) = (neo_market::Trigger::Drawdown, TripAction::Latch);
        let trip = Trip { trigger, action, reason: "3 % lost".to_string(), since_s: 1 };
        let told = attention().on(&Seen { trips: vec![trip], ..Seen::default() }, 0);
        assert_eq!(kinds(&told), [Kind::Risk]);
        assert!(told[0].text.starts_with("the trigger drawdown_pct tripped: 3 % lost; "), "{}", told[0].text);
    }

    #[test]
    fn one_alert_of_a_kind_in_an_interval_and_the_newest_of_the_rest_after_it() {
        let mut limit = RateLimit::new(1_000);
        let due = |text: &str, held_back| vec![Due { event: event(text), held_back }];
        assert_eq!(limit.on(vec![event("a")], 5_000), due("a", 0));
        assert_eq!(limit.on(vec![event("b")], 5_100), []);
        assert_eq!(limit.on(vec![event("c"), event("d")], 5_200), []);
        let other = Event { kind: Kind::DiskLow, text: "e".to_string() };
        assert_eq!(limit.on(vec![other.clone()], 5_300), [Due { event: other, held_back: 0 }], "kinds are apart");
        assert_eq!(limit.on(Vec::new(), 5_999), []);
        assert_eq!(limit.on(Vec::new(), 6_000), due("d", 2));
        assert_eq!(limit.on(Vec::new(), 60_000), []);
        assert_eq!(limit.on(vec![event("f")], 60_000), due("f", 0));
        assert_eq!(limit.held_back(), &BTreeMap::from([(Kind::Fault, 2)]));
    }

    #[test]
    fn what_waits_when_the_session_ends_is_sent() {
        let mut limit = RateLimit::new(1_000_000);
        limit.on(vec![event("a")], 0);
        limit.on(vec![event("b")], 1);
        assert_eq!(limit.last(), [Due { event: event("b"), held_back: 0 }]);
        assert_eq!(limit.last(), []);
    }
}

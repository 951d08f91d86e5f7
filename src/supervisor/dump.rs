//! What the engine is doing right now, as one line of JSON in the log: asked for with SIGQUIT, and written by the watchdog
//! when something hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use neo_actors::clock::monotonic_ms;
use neo_actors::orders::SharedOrders;
use neo_actors::status::Phase;
use neo_actors::{SharedStatus, SupervisorEvent};
use neo_store::writer::Writer;
use serde::Serialize;

use crate::unattended::tally::Tally;

/// A frozen actor may hold a lock for ever; the dump says so instead of waiting for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// One look at everything. What could not be looked at is `None`, and `unknown` says why.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// What the engine is doing.
    pub phase: Option<Phase>,
    /// Why it does not quote, if it does not.
    pub withheld_reason: Option<String>,
    /// The newest validated ledger.
    pub ledger_index: Option<u32>,
    /// Milliseconds since each actor's last sign of life; nobody asks for one while the supervisor stands still.
    pub last_beat_ms: BTreeMap<&'static str, u64>,
    /// Events that the supervisor has not read yet.
    pub events_waiting: usize,
    /// Our offers on the ledger or on their way, by account sequence.
    pub open_offers: Option<Vec<u32>>,
    /// Signed transactions whose fate is open, by hash.
    pub in_flight: Option<Vec<String>>,
    /// The database's writer.
    pub writer: WriterDump,
    /// The state of each thread, as the system tells it: `name R` runs, `name S` waits, `name D` waits for the disk.
    pub threads: Option<Vec<String>>,
    /// Why something above is missing.
    pub unknown: Vec<String>,
}

/// The writer's queue and watermark.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct WriterDump {
    /// False once its thread has ended.
    pub alive: bool,
    /// Records that wait.
    pub queued: usize,
    /// Every record up to this one is on the disk.
    pub durable_seq: u64,
    /// Records that were dropped because the queue was nearly full.
    pub coalesced: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
}

/// A request for a dump, which whoever is awake answers: the supervisor's loop or, if that stands still, the watchdog.
#[derive(Clone, Default)]
pub struct Bell(Arc<AtomicU64>);

impl Bell {
    /// Asks.
    pub fn ring(&self) {
        self.0.store(monotonic_ms().max(1), Ordering::SeqCst);
    }

    /// True for one caller after each ring, if it is at least so old.
    #[must_use]
    pub fn answer(&self, age_ms: u64) -> bool {
        let rung_ms = self.0.load(Ordering::SeqCst);
        rung_ms > 0
            && monotonic_ms().saturating_sub(rung_ms) >= age_ms
            && self.0.compare_exchange(rung_ms, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// What a dump looks at. Any thread may hold a copy: nothing of it is the supervisor's own.
#[derive(Clone)]
pub struct Sources {
    /// Shared with the screen.
    pub status: SharedStatus,
    /// The orders' state.
    pub orders: SharedOrders,
    /// The database's writer.
    pub writer: Writer,
    /// The signs of life that the supervisor saw last.
    pub tally: Tally,
    /// The supervisor's queue.
    pub events: Sender<SupervisorEvent>,
}

impl Sources {
    /// Writes a dump to the log.
    pub fn log(&self) {
        match serde_json::to_string(&Dump::take(self)) {
            Ok(dump) => tracing::warn!(dump, "diagnostic dump"),
            Err(error) => tracing::error!(%error, "the diagnostic dump could not be written"),
        }
    }
}

impl Dump {
    /// Looks at everything, and waits for nobody.
    #[must_use]
    pub fn take(sources: &Sources) -> Dump {
        let Sources { status, orders, writer, tally, events } = sources;
        let seen = tally.counts();
        let since_ms = monotonic_ms().saturating_sub(seen.looked_ms);
        let beats = seen.beats_ms.into_iter().map(|(actor, ms)| (actor.as_str(), ms.saturating_add(since_ms)));
        let mut dump = Dump {
            last_beat_ms: beats.collect(),
            events_waiting: events.len(),
            writer: WriterDump {
                alive: writer.is_alive(),
                queued: writer.queued(),
                durable_seq: writer.durable(),
                coalesced: writer.coalesced(),
                wal_bytes: writer.wal_bytes(),
            },
            ..Dump::default()
        };
        match status.try_lock_for(PATIENCE) {
            Some(status) => {
                dump.phase = Some(status.phase);
                dump.withheld_reason.clone_from(&status.withheld_reason);
                dump.ledger_index = Some(status.ledger_index);
            }
            None => dump.unknown.push("somebody holds the status".to_string()),
        }
        match orders.try_lock_for(PATIENCE) {
            Some(core) => {
                let (offers, in_flight) = core.open_items();
                (dump.open_offers, dump.in_flight) = (Some(offers), Some(in_flight));
            }
            None => dump.unknown.push("the orders are frozen".to_string()),
        }
        match threads() {
            Ok(threads) => dump.threads = Some(threads),
            Err(error) => dump.unknown.push(format!("the threads' state: {error}")),
        }
        dump
    }
}

/// The threads of this process, by name.
#[cfg(target_os = "linux")]
fn threads() -> std::io::Result<Vec<String>> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = match std::fs::read_to_string(task?.path().join("stat")) {
            Ok(stat) => stat,
            // It has ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        threads.push(name_and_state(&stat).unwrap_or(stat));
    }
    threads.sort();
    Ok(threads)
}

#[cfg(not(target_os = "linux"))]
fn threads() -> std::io::Result<Vec<String>> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "read on Linux only"))
}

/// Name and state out of `/proc/PID/task/TID/stat`: "7 (name) S ...", where the name may hold anything.
#[cfg(target_os = "linux")]
fn name_and_state(stat: &str) -> Option<String> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let state = after.split_whitespace().next()?;
    Some(format!("{name} {state}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_threads_name_may_hold_anything() {
        assert_eq!(name_and_state("71 (neo-writer) D 1 2 3").as_deref(), Some("neo-writer D"));
        assert_eq!(name_and_state("71 (a) b (c) S 1").as_deref(), Some("a) b (c S"));
        assert_eq!(name_and_state("nothing of the kind"), None);
        assert_eq!(name_and_state(""), None);
    }

    #[test]
    fn a_bell_is_answered_once_and_not_too_soon() {
        let bell = Bell::default();
        assert!(!bell.answer(0), "nobody rang");
        bell.ring();
        assert!(!bell.answer(60_000), "the supervisor has the first word");
        assert!(bell.answer(0));
        assert!(!bell.answer(0), "answered");
    }

    #[test]
    fn the_threads_of_this_process_are_found() {
        let threads = threads().unwrap();
        assert!(threads.iter().any(|thread| thread.ends_with(" R")), "{threads:?}");
    }
}

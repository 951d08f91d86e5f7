//! For weeks unattended: the look-out, a thread that sees what lasts (a pause, a blocked checkpoint, a disk that fills), has
//! somebody told, ends the session while its end still fits on the disk, and lends its numbers to the metrics.
//!
//! It is no part of trading: nobody waits for it, and what it cannot do is logged.

pub mod space;
pub mod tally;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use neo_actors::clock::{monotonic_ms, now};
use neo_actors::{SharedStatus, Status, SupervisorEvent};
use neo_store::writer::Writer;
use parking_lot::Mutex;

use crate::alerts::command::{Outcomes, Teller};
use crate::alerts::core::{Attention, Due, RateLimit, Seen};
use crate::alerts::{Alert, Kind};
use crate::config::Config;
use crate::metrics::server::{MakePage, MetricsServer};
use crate::metrics::{Snapshot, WriterGauges, render};
use crate::pause;
use space::{MinFree, Room};
use tally::Tally;

/// How often the look-out looks.
const TICK: Duration = Duration::from_millis(250);
/// How often it asks for the free space.
const SPACE_EVERY_MS: u64 = 1_000;
/// How long it waits for the status.
const STATUS_LOCK: Duration = Duration::from_millis(500);
/// How long the end of the process waits for alerts that are on their way.
const FINISH: Duration = Duration::from_secs(2);

/// The metrics' address, taken before the session begins: one that is taken already is told in time.
///
/// # Errors
/// What the system said, with what to do.
pub fn listen(config: &Config) -> Result<Option<TcpListener>> {
    let Some(address) = config.metrics.listen else { return Ok(None) };
    let listener = TcpListener::bind(address)
        .with_context(|| format!("metrics.listen = {address} cannot be had; name another port, or leave it out"))?;
    Ok(Some(listener))
}

/// What the look-out looks at.
pub struct Sources {
    /// The session's number.
    pub session: i64,
    /// The record.
    pub db: PathBuf,
    /// What the actors say.
    pub status: SharedStatus,
    /// What the supervisor counts.
    pub tally: Tally,
    /// The record's writer; only asked.
    pub writer: Writer,
    /// To tell the supervisor of a full disk.
    pub tell: Sender<SupervisorEvent>,
    /// The supervisor's queue; only its length is asked for.
    pub events: Receiver<SupervisorEvent>,
    /// Why the session begins paused, if it does.
    pub paused: Option<String>,
}

/// What the look-out has found out.
#[derive(Clone, Debug, Default)]
struct Known {
    free_bytes: Option<u64>,
    /// The newest ledger and when it was first seen.
    ledger: Option<(u32, u64)>,
    held_back: BTreeMap<Kind, u64>,
}

/// The look-out, the metrics and the alerts of one session. Dropping it ends them.
pub struct Unattended {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    metrics: Option<MetricsServer>,
}

impl Unattended {
    /// Starts everything that is configured.
    ///
    /// # Errors
    /// What the system said when it could not start a thread.
    pub fn start(config: &Config, listener: Option<TcpListener>, sources: Sources) -> io::Result<Unattended> {
        let alerts = &config.alerts;
        let teller = if alerts.command.is_empty() {
            None
        } else {
            Some(Teller::start(alerts.command.clone(), Duration::from_secs(alerts.timeout_s))?)
        };
        let min_free = MinFree { mb: config.store.min_free_mb };
        let known = Arc::new(Mutex::new(Known::default()));
        let pause_told = sources.paused.clone();
        let sources = Arc::new(sources);
        let metrics = match listener {
            Some(listener) => {
                let outcomes = teller.as_ref().map(Teller::outcomes);
                let page = page(Arc::clone(&sources), Arc::clone(&known), outcomes, min_free);
                let server = MetricsServer::start(listener, page)?;
                tracing::info!(address = %server.address(), "metrics are served");
                Some(server)
            }
            None => None,
        };
        let lookout = Lookout {
            sources,
            known,
            min_free,
            attention: Attention::new(alerts.pause_s.saturating_mul(1_000), min_free),
            limit: RateLimit::new(alerts.min_interval_s.saturating_mul(1_000)),
            teller,
            space_asked_ms: None,
            last_room: Room::Enough,
            space_unknown_told: false,
            out_told: false,
            pause_told,
        };
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new().name("neo-lookout".to_string()).spawn(move || lookout.run(&stopped))?;
        Ok(Unattended { stop: Some(stop), thread: Some(thread), metrics })
    }

    /// The session is closed: tells what has not been told yet and ends, within a few seconds.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.metrics = None;
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        // It may hang in a question to the disk: it is not waited for without a limit.
        let until_ms = monotonic_ms().saturating_add(2 * FINISH.as_millis() as u64);
        while !thread.is_finished() && monotonic_ms() < until_ms {
            thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            tracing::warn!("the look-out is left behind");
        } else if thread.join().is_err() {
            tracing::error!("the look-out panicked");
        }
    }
}

impl Drop for Unattended {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes the page of metrics, on the thread of whoever asks.
fn page(sources: Arc<Sources>, known: Arc<Mutex<Known>>, outcomes: Option<Outcomes>, min_free: MinFree) -> MakePage {
    let started_ms = monotonic_ms();
    Arc::new(move || {
        let status = sources.status.try_lock_for(STATUS_LOCK)?.clone();
        let (known, now_ms) = (known.lock().clone(), monotonic_ms());
        let writer = &sources.writer;
        let snapshot = Snapshot {
            status,
            writer: WriterGauges {
                queued: writer.queued(),
                commit_running_us: writer.commit_running_us(),
                dropped: writer.coalesced(),
                durable_seq: writer.durable(),
                wal_bytes: writer.wal_bytes(),
            },
            counts: sources.tally.counts(),
            supervisor_queued: sources.events.len(),
            uptime_ms: now_ms.saturating_sub(started_ms),
            ledger_age_ms: known.ledger.map(|(_, seen_ms)| now_ms.saturating_sub(seen_ms)),
            now_ms,
            disk_free_bytes: known.free_bytes,
            disk_min_free_bytes: min_free.bytes(),
            alerts: outcomes.as_ref().map(|outcomes| outcomes.lock().clone()).unwrap_or_default(),
            alerts_held_back: known.held_back,
        };
        Some(render(&snapshot))
    })
}

/// The thread's state.
struct Lookout {
    sources: Arc<Sources>,
    known: Arc<Mutex<Known>>,
    min_free: MinFree,
    attention: Attention,
    limit: RateLimit,
    teller: Option<Teller>,
    space_asked_ms: Option<u64>,
    last_room: Room,
    space_unknown_told: bool,
    out_told: bool,
    /// What the supervisor knows of the operator's pause.
    pause_told: Option<String>,
}

impl Lookout {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut status = Status::default();
        self.ask_for_space(monotonic_ms());
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            self.look_for_a_pause();
            self.ask_for_space(monotonic_ms());
            // Whoever holds the status longer than this is the supervisor's business.
            if let Some(shared) = self.sources.status.try_lock_for(STATUS_LOCK) {
                status = shared.clone();
            }
            self.look(&status);
        }
        self.look(&status);
        let last = self.limit.last();
        self.send(last);
        if let Some(teller) = self.teller {
            teller.finish(FINISH);
        }
    }

    fn look(&mut self, status: &Status) {
        let now_ms = monotonic_ms();
        let free_bytes = {
            let mut known = self.known.lock();
            if status.ledger_index > 0 && known.ledger.is_none_or(|(index, _)| index != status.ledger_index) {
                known.ledger = Some((status.ledger_index, now_ms));
            }
            known.free_bytes
        };
        let seen = Seen {
            phase: status.phase,
            withheld_reason: status.withheld_reason.clone(),
            connected: self.sources.tally.counts().connected,
            checkpoint_blocked: status.checkpoint_blocked,
            wal_bytes: self.sources.writer.wal_bytes(),
            free_bytes,
            faults: self.sources.tally.untold(),
            trips: self.sources.tally.untold_trips(),
        };
        let events = self.attention.on(&seen, now_ms);
        let due = self.limit.on(events, now_ms);
        self.known.lock().held_back = self.limit.held_back().clone();
        self.send(due);
    }

    fn send(&self, due: Vec<Due>) {
        let Some(teller) = &self.teller else { return };
        for Due { event, held_back } in due {
            teller.tell(Alert {
                kind: event.kind,
                at: now(),
                text: event.text,
                held_back,
                session: Some(self.sources.session),
                db: self.sources.db.clone(),
                pid: std::process::id(),
            });
        }
    }

    fn look_for_a_pause(&mut self) {
        // Asked before the files are looked at: a latch that is gone by then was ended by the operator, however soon.
        if self.sources.tally.take_latched() && self.pause_told.is_none() {
            self.pause_told = Some("latched by a trigger".to_string());
        }
        let wanted = pause::wanted(&self.sources.db);
        if wanted == self.pause_told {
            return;
        }
        match self.sources.tell.try_send(SupervisorEvent::Pause(wanted.clone())) {
            Ok(()) => {
                tracing::warn!(reason = wanted, "the operator's pause changed");
                self.pause_told = wanted;
            }
            // Tried again at the next look.
            Err(error) => tracing::error!(%error, "the supervisor does not listen"),
        }
    }

    fn ask_for_space(&mut self, now_ms: u64) {
        let asked = self.space_asked_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < SPACE_EVERY_MS);
        if asked || self.min_free.mb == 0 {
            return;
        }
        self.space_asked_ms = Some(now_ms);
        let free_bytes = match space::free_bytes(&self.sources.db) {
            Ok(free_bytes) => Some(free_bytes),
            Err(error) => {
                if !std::mem::replace(&mut self.space_unknown_told, true) {
                    tracing::warn!(%error, "the free space of the record's disk is not known");
                }
                None
            }
        };
        self.known.lock().free_bytes = free_bytes;
        if let Some(free_bytes) = free_bytes {
            self.judge_space(free_bytes);
        }
    }

    /// Little room is a warning; none ends the session, as a disk that refuses would a little later.
    fn judge_space(&mut self, free_bytes: u64) {
        let room = self.min_free.judge(free_bytes);
        if room == Room::Low && self.last_room == Room::Enough {
            let min_free_mb = self.min_free.mb;
            tracing::warn!(
                free_bytes,
                min_free_mb,
                "the record's disk fills; the session ends below store.min_free_mb"
            );
        }
        self.last_room = room;
        if room != Room::Out || self.out_told {
            return;
        }
        let low = space::DiskLow { record: self.sources.db.clone(), free_bytes, min_mb: self.min_free.mb };
        tracing::error!(error = %low, "the session ends while its end still fits on the disk");
        match self.sources.tell.try_send(SupervisorEvent::StorageRefuses { attempts: 1, error: low.to_string() }) {
            Ok(()) => self.out_told = true,
            // Tried again at the next look.
            Err(error) => tracing::error!(%error, "the supervisor does not listen"),
        }
    }
}

//! The supervisor: starts the actors, hears every fault, and owns the stop sequence. It runs on the main thread and is no
//! actor itself, so that nothing an actor does can keep it from closing the session.

pub mod crew;
pub mod dump;
pub mod keeper;
pub mod latches;
pub mod note;
pub mod policy;
pub mod read_back;
pub mod stages;
pub mod stand_in;
pub mod stop;
pub mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::SystemRunner;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use neo_actors::clock::monotonic_ms;
use neo_actors::messages::OrdersCommand;
use neo_actors::status::Phase;
use neo_actors::{SharedStatus, SupervisorEvent, panics};
use neo_failpoint::Place;
use neo_store::close::{add_faults, amend_end, close_directly, is_closed};
use neo_store::record::{EndReason, EndedAtSource, SessionEnd, StopStage};
use neo_store::writer::{Writer, WriterThread};
use parking_lot::Mutex;

use crate::exit::ExitCode;
use crate::notify::{Health, Notify};
use crate::unattended::tally::Tally;
use crew::Crew;
use dump::Bell;
use keeper::Keeper;
use note::NoteBook;
use policy::{Decision, Outage, Policy};
use stages::EngineStages;
use stop::{Deadlines, Verdict, verdict};
use watchdog::{LastOrders, Onlooker, SharedNotes, Watchdog};

/// How long the loop waits for an event before it looks at heartbeats and the screen.
const TICK: Duration = Duration::from_millis(100);
/// The supervisor's name in logs and fault rows.
const NAME: &str = "supervisor";
/// An actor that has been silent for so long is no reason to stop yet, but systemd hears of no health.
const HEALTHY_MS: u64 = 5_000;

/// What shows the engine to its operator. Nothing here may fail the engine: a screen that is gone is no reason to stop.
pub trait Screen {
    /// The engine goes on.
    fn tick(&mut self);
    /// The stop sequence begins.
    fn stopping(&mut self, reason: EndReason);
    /// A stage of it ended.
    fn stage(&mut self, row: &StopStage);
}

/// The running session.
pub struct Supervisor {
    /// The actors.
    pub crew: Crew,
    /// Runs the futures of actor messages.
    pub system: SystemRunner,
    /// The database's only writer.
    pub writer: Writer,
    /// Its thread.
    pub thread: WriterThread,
    /// What actors, signals and operators say.
    pub events: Receiver<SupervisorEvent>,
    /// Shared with the screen and `neo status`.
    pub status: SharedStatus,
    /// The session: what a note of it begins with.
    pub notes: NoteBook,
    /// Counts for those who watch from outside.
    pub tally: Tally,
    /// Limits.
    pub limits: Limits,
    /// False when a replicator owns checkpoints.
    pub own_checkpoints: bool,
    /// The way to systemd.
    pub notify: Notify,
    /// Rung by whoever wants to know what the engine is doing.
    pub bell: Bell,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The stop.
    pub deadlines: Deadlines,
    /// An actor or a thread that gives no sign of life for so long is frozen.
    pub frozen_ms: u64,
    /// A session that has not seen a validated ledger after so long ends.
    pub start_ms: u64,
    /// A session that has lost every node for so long ends.
    pub outage: Outage,
}

/// How a session ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What the process says.
    pub exit: ExitCode,
    /// What was recorded.
    pub end: Option<SessionEnd>,
    /// The stages and their outcomes.
    pub stages: Vec<StopStage>,
    /// True when `ended_at` is in the record.
    pub closed: bool,
}

/// Why the loop ended.
struct StopCause {
    reason: EndReason,
    cause: Option<String>,
}

impl StopCause {
    fn fault(cause: String) -> StopCause {
        StopCause { reason: EndReason::Fault, cause: Some(cause) }
    }
}

/// What the loop works with.
struct Loop<'a> {
    keeper: &'a mut Keeper,
    events: &'a Receiver<SupervisorEvent>,
    status: &'a SharedStatus,
    watchdog: &'a Watchdog,
    notify: &'a mut Notify,
    bell: &'a Bell,
    start_limit_ms: u64,
}

impl Supervisor {
    /// Runs the session until something ends it, then the stop sequence. The watchdog comes back armed: what is done
    /// after the stop sequence may hang too.
    ///
    /// # Errors
    /// What the system said when it could not start the watchdog's thread.
    pub fn run(mut self, screen: &mut impl Screen) -> std::io::Result<(Ending, Watchdog)> {
        panics::set_part(NAME);
        let limits = self.limits;
        let notes: SharedNotes = Arc::new(Mutex::new(self.notes));
        let last_orders = last_orders(&self.crew);
        let policy = Policy::new(limits.outage);
        let mut keeper = Keeper::new(self.crew, policy, self.writer.clone(), self.tally, limits.frozen_ms);
        let onlooker = Onlooker { bell: self.bell.clone(), sources: keeper.dump_sources() };
        let watchdog = Watchdog::start(Arc::clone(&notes), limits.deadlines, limits.frozen_ms, last_orders, onlooker)?;
        let mut watch = Loop {
            keeper: &mut keeper,
            events: &self.events,
            status: &self.status,
            watchdog: &watchdog,
            notify: &mut self.notify,
            bell: &self.bell,
            start_limit_ms: limits.start_ms,
        };
        // A panic of the loop ends the session; that it ends in order, nothing is caught for but this.
        let stop = catch_unwind(AssertUnwindSafe(|| watch.run(screen)));
        let stop = stop.unwrap_or_else(|panic| {
            let cause = format!("the supervisor panicked: {}", panics::message_of(&*panic));
            keeper.record(NAME, cause.clone(), "the session ends");
            StopCause::fault(cause)
        });
        watchdog.stopping();
        keeper.stopping();
        let may_take = watchdog::patience(limits.deadlines, limits.frozen_ms);
        self.notify.stopping(&format!("stopping: {}", stop.reason), may_take);
        if let Some(mut status) = self.status.try_lock_for(TICK) {
            status.phase = Phase::Stopping;
        }
        tracing::info!(reason = stop.reason.as_str(), cause = stop.cause, "stopping");
        screen.stopping(stop.reason);
        {
            let mut notes = notes.lock();
            (notes.end_reason, notes.cause) = (stop.reason, stop.cause.clone());
        }
        let stages = EngineStages {
            keeper: &mut keeper,
            stand_in: None,
            undriven: None,
            system: &self.system,
            writer: &self.writer,
            thread: Some(self.thread),
            events: &self.events,
            bell: &self.bell,
            notes: &notes,
            reason: stop.reason,
            cause: stop.cause,
            urgent: policy::is_urgent(stop.reason),
            own_checkpoints: self.own_checkpoints,
            frozen_ms: limits.frozen_ms,
            flat: false,
            closing: None,
            end: None,
            closed: false,
            sealing: false,
            watchdog: &watchdog,
            left_open: (Vec::new(), Vec::new()),
            wal_left_bytes: None,
        };
        if stages.urgent {
            watchdog.console_closed();
        }
        let notify = &mut self.notify;
        let ending = end(stages, limits.deadlines, |row| {
            watchdog.stage_ended(row);
            notify.stopping(&format!("stopping: {} {}", row.stage, row.outcome), may_take);
            screen.stage(row);
        });
        Ok((ending, watchdog))
    }
}

fn end(mut stages: EngineStages<'_>, deadlines: Deadlines, observe: impl FnMut(&StopStage)) -> Ending {
    let outcomes = stop::run_stages(&mut stages, deadlines, observe);
    let (closed, end) = ensure_closed(&mut stages, &outcomes);
    let exit = exit_code(stages.reason, &outcomes, closed);
    Ending { exit, end, stages: outcomes, closed }
}

/// What the watchdog can do for a supervisor that stands still.
fn last_orders(crew: &Crew) -> LastOrders {
    let (orders, core) = (crew.orders().clone(), Arc::clone(crew.orders_core()));
    LastOrders {
        withdraw: Box::new(move || {
            if let Err(error) = orders.try_send(OrdersCommand::Withdraw) {
                tracing::error!(%error, "the orders do not take the request to withdraw; their Expiration does");
            }
        }),
        is_flat: Box::new(move || core.try_lock().is_some_and(|core| core.is_flat())),
    }
}

impl Loop<'_> {
    fn run(&mut self, screen: &mut impl Screen) -> StopCause {
        let started_ms = monotonic_ms();
        let mut live = false;
        loop {
            self.watchdog.beat();
            if let Err(injected) = neo_failpoint::hit(Place::Supervisor) {
                self.keeper.record(NAME, injected.to_string(), "the session ends");
                return StopCause::fault(injected.to_string());
            }
            let mut heard = match self.events.recv_timeout(TICK) {
                Ok(event) => vec![event],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return StopCause::fault("every actor is gone".to_string()),
            };
            heard.extend(self.keeper.look());
            // Rung before the stop was asked for: what is told is what was going on.
            if self.bell.answer(0) {
                self.keeper.dump_sources().log();
            }
            for event in &heard {
                live |= *event == SupervisorEvent::Live;
                if let Decision::Stop { reason, cause } = self.keeper.hear(event) {
                    return StopCause { reason, cause };
                }
            }
            if let Some(stop) = self.time_is_over(live, started_ms) {
                return stop;
            }
            self.tell_tests();
            self.tell_systemd();
            screen.tick();
        }
    }

    fn tell_systemd(&mut self) {
        let now_ms = monotonic_ms();
        let healthy = self.keeper.crew.silent_ms(now_ms) < HEALTHY_MS;
        let Some(status) = self.status.try_lock() else { return };
        let quoting = !status.quotes.is_empty();
        let doing = status.withheld_reason.clone().unwrap_or_else(|| format!("{} offers", status.quotes.len()));
        let text = format!("S{} at ledger {}: {doing}", status.session, status.ledger_index);
        drop(status);
        self.notify.tick(&Health { healthy, quoting, status: text }, now_ms);
    }

    /// Ends that come because nothing else did.
    fn time_is_over(&mut self, live: bool, started_ms: u64) -> Option<StopCause> {
        let decided = self.keeper.tick();
        let late = !live && monotonic_ms().saturating_sub(started_ms) > self.start_limit_ms;
        let stop = match decided {
            Decision::Stop { reason, cause } => StopCause { reason, cause },
            _ if late => {
                let limit_ms = self.start_limit_ms;
                StopCause::fault(format!("no validated ledger within {limit_ms} ms; is network.url right?"))
            }
            _ => return None,
        };
        self.keeper.record(NAME, stop.cause.clone().unwrap_or_default(), "the session ends");
        Some(stop)
    }

    /// Faults on purpose wait for the session to quote.
    fn tell_tests(&self) {
        if cfg!(debug_assertions)
            && let Some(status) = self.status.try_lock()
            && status.phase == Phase::Quoting
            && !status.quotes.is_empty()
        {
            neo_failpoint::moment("quoting");
        }
    }
}

/// The last resort and the last rows. Whatever the stages did, `ended_at` is looked for in the file itself; where it is
/// missing it is written over a connection of its own, and where that cannot be, a note beside the database tells it.
/// What happened after `close` is added: the outcomes of the stages after it, and what they failed to do.
fn ensure_closed(stages: &mut EngineStages<'_>, outcomes: &[StopStage]) -> (bool, Option<SessionEnd>) {
    let notes = stages.notes.lock().clone();
    let (path, session, keep_wal) = (&notes.path, notes.session, !stages.own_checkpoints || !stages.is_sealed());
    let detail = stages.detail(outcomes);
    let mut end = stages.end.clone();
    // Another program may hold the file for a while: three attempts, each waits half a second for the lock.
    for attempt in 1..=3 {
        match amend_end(path, session, outcomes, detail.as_deref(), keep_wal) {
            Ok(true) => {
                add_last_faults(stages, &notes);
                notes.done();
                return (true, end.map(|end| SessionEnd { end_detail: detail, ..end }));
            }
            Ok(false) => {
                let last_resort = stages.session_end(outcomes, EndedAtSource::Watchdog);
                match close_directly(path, session, &last_resort, outcomes) {
                    Ok(true) => end = Some(last_resort),
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, attempt, "ended_at could not be written"),
                }
            }
            Err(error) => tracing::error!(%error, attempt, "the end of the session could not be read back"),
        }
    }
    let closed = matches!(is_closed(path, session), Ok(true));
    if !closed {
        leave_note(stages, &notes);
    }
    (closed, end)
}

/// Faults that came after the record was lost, or the writer gone.
fn add_last_faults(stages: &mut EngineStages<'_>, notes: &NoteBook) {
    let faults = stages.keeper.unrecorded_faults();
    if faults.is_empty() {
        return;
    }
    if let Err(error) = add_faults(&notes.path, notes.session, &faults) {
        tracing::error!(%error, faults = faults.len(), "the last faults are not in the record");
    }
}

fn leave_note(stages: &mut EngineStages<'_>, notes: &NoteBook) {
    let (cause, faults) = (stages.cause.clone(), stages.keeper.unrecorded_faults());
    let told = NoteBook { end_reason: stages.reason, cause, faults, ..notes.clone() };
    match told.ends(neo_actors::clock::now(), None) {
        Ok(()) => tracing::error!("the session is not closed in the database; the stop note tells the next start"),
        Err(error) => {
            tracing::error!(%error, "the session is not closed and no note tells so; the next start closes it")
        }
    }
}

fn exit_code(reason: EndReason, outcomes: &[StopStage], closed: bool) -> ExitCode {
    match (reason, verdict(outcomes)) {
        (EndReason::Fault, _) => ExitCode::Fault,
        (EndReason::Disk, _) => ExitCode::Database,
        _ if !closed => ExitCode::Database,
        // Nobody asked for this end, and a restart would meet the same: a person must look.
        (EndReason::Risk, Verdict::Clean) => ExitCode::Failed,
        (_, Verdict::TimedOut) => ExitCode::Deadline,
        (_, Verdict::NotDone) => ExitCode::Failed,
        (_, Verdict::Clean) => ExitCode::Clean,
    }
}

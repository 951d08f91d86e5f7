//! The supervisor: starts the actors, hears every fault, and owns the stop sequence. It runs on the main thread and is no
//! actor itself, so that nothing an actor does can keep it from closing the session.

pub mod crew;
pub mod failpoint;
pub mod policy;
pub mod stages;
pub mod stop;
pub mod watchdog;

use std::path::PathBuf;
use std::time::Duration;

use actix::SystemRunner;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use neo_actors::clock::{monotonic_ms, now};
use neo_actors::status::Phase;
use neo_actors::{ActorName, SharedStatus, SupervisorEvent};
use neo_store::close::{amend_end, close_directly, is_closed};
use neo_store::record::{EndReason, EndedAtSource, Fault, Record, SessionEnd, SessionNumber, StopStage};
use neo_store::writer::{Writer, WriterThread};

use crate::exit::ExitCode;
use crate::notify::{Health, Notify};
use crew::Crew;
use policy::{Decision, Policy};
use stages::EngineStages;
use stop::{Deadlines, Verdict, verdict};
use watchdog::Watchdog;

/// How long the loop waits for an event before it looks at heartbeats and the screen.
const TICK: Duration = Duration::from_millis(100);
/// Heartbeats are asked for this often.
const HEARTBEAT_MS: u64 = 1_000;
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
    /// The database.
    pub path: PathBuf,
    /// The session.
    pub session: SessionNumber,
    /// How long the stop may take.
    pub deadlines: Deadlines,
    /// A session that has not seen a validated ledger after so long ends.
    pub start_deadline_ms: u64,
    /// A session that has lost every node for so long ends.
    pub outage_limit_ms: u64,
    /// False when a replicator owns checkpoints.
    pub own_checkpoints: bool,
    /// The way to systemd.
    pub notify: Notify,
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
    /// Since when no node is reached.
    node_lost_ms: Option<u64>,
}

impl Supervisor {
    /// Runs the session until something ends it, then the stop sequence. The watchdog comes back armed: what is done
    /// after the stop sequence may hang too.
    pub fn run(mut self, screen: &mut impl Screen) -> (Ending, Watchdog) {
        let stop = self.watch(screen);
        let may_take = watchdog::patience(self.deadlines.whole_ms);
        self.notify.stopping(&format!("stopping: {}", stop.reason), may_take);
        let watchdog = Watchdog::start(self.path.clone(), self.session, self.deadlines);
        if let Some(mut status) = self.status.try_lock_for(TICK) {
            status.phase = Phase::Stopping;
        }
        tracing::info!(reason = stop.reason.as_str(), cause = stop.cause, "stopping");
        screen.stopping(stop.reason);
        self.stop(stop, screen, watchdog)
    }

    fn watch(&mut self, screen: &mut impl Screen) -> StopCause {
        let mut policy = Policy::new(self.outage_limit_ms);
        let mut live = false;
        let started_ms = monotonic_ms();
        let (mut next_beat_ms, mut looked_ms, mut judge_from_ms) = (started_ms, started_ms, started_ms);
        let mut restarts: Vec<(ActorName, u64)> = Vec::new();
        loop {
            let now_ms = monotonic_ms();
            match self.events.recv_timeout(TICK) {
                Ok(event) => {
                    live |= event == SupervisorEvent::Live;
                    match policy.on(&event, now_ms) {
                        Decision::GoOn | Decision::Hurry => {}
                        Decision::Restart { actor, wait_ms } => {
                            self.record_fault(&event, actor, &format!("restarted after {wait_ms} ms"));
                            restarts.push((actor, now_ms + wait_ms));
                        }
                        Decision::Stop { reason, cause } => {
                            if reason == EndReason::Fault {
                                self.record_fault_text(&cause);
                            }
                            return StopCause { reason, cause, node_lost_ms: policy.node_lost_ms() };
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let cause = Some("every actor is gone".to_string());
                    return StopCause { reason: EndReason::Fault, cause, node_lost_ms: policy.node_lost_ms() };
                }
            }
            for (actor, _) in restarts.extract_if(.., |(_, due_ms)| *due_ms <= now_ms) {
                tracing::warn!(actor = actor.as_str(), "restarting");
                self.crew.restart(actor);
            }
            // A process that was stopped or a machine that slept: nobody could answer, so nobody is judged for a while.
            if now_ms.saturating_sub(looked_ms) > HEARTBEAT_MS * 3 {
                judge_from_ms = now_ms + policy::FROZEN_MS;
            }
            looked_ms = now_ms;
            if now_ms >= next_beat_ms {
                next_beat_ms = now_ms + HEARTBEAT_MS;
                let frozen = self.crew.frozen(policy::FROZEN_MS);
                if let (Some(actor), true) = (frozen.first(), now_ms >= judge_from_ms) {
                    let cause = Some(format!("the {actor} actor is frozen"));
                    self.record_fault_text(&cause);
                    return StopCause { reason: EndReason::Fault, cause, node_lost_ms: policy.node_lost_ms() };
                }
            }
            if let Decision::Stop { reason, cause } = policy.tick(now_ms) {
                self.record_fault_text(&cause);
                return StopCause { reason, cause, node_lost_ms: policy.node_lost_ms() };
            }
            if !live && now_ms.saturating_sub(started_ms) > self.start_deadline_ms {
                let cause =
                    Some(format!("no validated ledger within {} ms; is network.url right?", self.start_deadline_ms));
                self.record_fault_text(&cause);
                return StopCause { reason: EndReason::Fault, cause, node_lost_ms: policy.node_lost_ms() };
            }
            self.tell_systemd(now_ms);
            screen.tick();
        }
    }

    fn tell_systemd(&mut self, now_ms: u64) {
        let healthy = self.crew.silent_ms(now_ms) < HEALTHY_MS;
        let Some(status) = self.status.try_lock() else { return };
        let quoting = !status.quotes.is_empty();
        let doing = status.withheld_reason.clone().unwrap_or_else(|| format!("{} offers", status.quotes.len()));
        let text = format!("S{} at ledger {}: {doing}", status.session, status.ledger_index);
        drop(status);
        self.notify.tick(&Health { healthy, quoting, status: text }, now_ms);
    }

    fn record_fault(&self, event: &SupervisorEvent, actor: ActorName, action: &str) {
        let cause = format!("{event:?}");
        self.record(Fault {
            actor: actor.to_string(),
            cause,
            backtrace: None,
            action: action.into(),
            recorded_at: now(),
        });
    }

    fn record_fault_text(&self, cause: &Option<String>) {
        let cause = cause.clone().unwrap_or_default();
        let action = "the session ends".to_string();
        self.record(Fault { actor: "supervisor".into(), cause, backtrace: None, action, recorded_at: now() });
    }

    fn record(&self, fault: Fault) {
        tracing::error!(actor = fault.actor, cause = fault.cause, action = fault.action, "fault");
        if let Err(error) = self.writer.record(Record::Fault(fault)) {
            tracing::error!(%error, "the fault could not be recorded");
        }
    }

    fn stop(mut self, stop: StopCause, screen: &mut impl Screen, watchdog: Watchdog) -> (Ending, Watchdog) {
        let mut stages = EngineStages {
            crew: &mut self.crew,
            system: &self.system,
            writer: &self.writer,
            thread: Some(self.thread),
            events: &self.events,
            path: self.path.clone(),
            session: self.session,
            reason: stop.reason,
            cause: stop.cause,
            urgent: false,
            own_checkpoints: self.own_checkpoints,
            flat: false,
            closing: None,
            end: None,
            node_lost_ms: stop.node_lost_ms,
            watchdog: &watchdog,
            left_open: (Vec::new(), Vec::new()),
        };
        let outcomes = stop::run_stages(&mut stages, self.deadlines, |row| {
            let may_take = watchdog::patience(self.deadlines.whole_ms);
            self.notify.stopping(&format!("stopping: {} {}", row.stage, row.outcome), may_take);
            screen.stage(row);
        });
        let (closed, end) = ensure_closed(&mut stages, &outcomes);
        drop(stages);
        let exit = exit_code(stop.reason, &outcomes, closed);
        (Ending { exit, end, stages: outcomes, closed }, watchdog)
    }
}

/// The last resort and the last rows. Whatever the stages did, `ended_at` is looked for in the file itself; where it is
/// missing it is written over a connection of its own. What happened after `close` is added: the outcomes of the stages
/// after it, and what they failed to do.
fn ensure_closed(stages: &mut EngineStages<'_>, outcomes: &[StopStage]) -> (bool, Option<SessionEnd>) {
    let (path, session, keep_wal) = (stages.path.clone(), stages.session, !stages.own_checkpoints);
    let detail = stages.detail(outcomes);
    let amend = || amend_end(&path, session, outcomes, detail.as_deref(), keep_wal);
    let mut end = stages.end.clone();
    // Another program may hold the file for a while: three attempts, each waits half a second for the lock.
    for attempt in 1..=3 {
        match amend() {
            Ok(true) => return (true, end.map(|end| SessionEnd { end_detail: detail, ..end })),
            Ok(false) => {
                let last_resort = stages.session_end(outcomes, EndedAtSource::Watchdog);
                match close_directly(&path, session, &last_resort, outcomes) {
                    Ok(true) => end = Some(last_resort),
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, attempt, "ended_at could not be written"),
                }
            }
            Err(error) => tracing::error!(%error, attempt, "the end of the session could not be read back"),
        }
    }
    let closed = is_closed(&path, session);
    if let Err(error) = &closed {
        tracing::error!(%error, "whether the session is closed is unknown; if not, the next start closes it");
    }
    (matches!(closed, Ok(true)), end)
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

//! Keeps the actors going: hears what they say, looks for those that say nothing, restarts what may be restarted, and
//! records each fault with what was done about it. The decisions are the policy's.

use std::sync::Arc;

use actix::prelude::SendError;
use neo_actors::clock::{monotonic_ms, now, to_utc};
use neo_actors::messages::{OrdersCommand, RiskNote};
use neo_actors::{ActorName, SupervisorEvent, panics};
use neo_market::{ClearedBy, TriggerEvent};
use neo_store::record::{Fault, Record, TripCleared, TripRow};
use neo_store::writer::Writer;

use super::crew::Crew;
use super::dump;
use super::latches::Latches;
use super::policy::{Decision, Lost, Policy};
use crate::unattended::tally::Tally;

/// Heartbeats are asked for this often, or four times within the limit if that is more often.
const HEARTBEAT_MS: u64 = 1_000;
const WRITER_GONE: &str = "the writer's thread is gone; nothing can be recorded any more";
/// The name of the writer's thread in logs and fault rows.
const WRITER_THREAD: &str = "writer thread";

/// The actor that an event says is lost.
fn loser(event: &SupervisorEvent) -> Option<ActorName> {
    match event {
        SupervisorEvent::Gone(actor) | SupervisorEvent::Frozen(actor) | SupervisorEvent::Fault { actor, .. } => {
            Some(*actor)
        }
        _ => None,
    }
}

fn is_loss(event: &SupervisorEvent) -> bool {
    loser(event).is_some()
}

/// The actors and what is known of their health.
pub struct Keeper {
    /// The actors.
    pub crew: Crew,
    policy: Policy,
    writer: Writer,
    tally: Tally,
    frozen_ms: u64,
    /// What the orders are still to be told: paused for a reason, or not any more.
    pause_untold: Option<Option<String>>,
    latches: Latches,
    /// Actors to be started again, and when.
    due: Vec<(ActorName, u64)>,
    next_beat_ms: u64,
    looked_ms: u64,
    /// Nobody is judged before this.
    judge_from_ms: u64,
    /// The writer's last beat and when it was seen to come.
    writer_beat: (u64, u64),
    writer_told: bool,
    orders_lost: bool,
    record_lost: bool,
    world_gone: bool,
    retired: bool,
    /// Since the record was lost: they are added when the session is closed.
    unrecorded: Vec<Fault>,
}

impl Keeper {
    /// What gives no sign of life for `frozen_ms` is frozen.
    #[must_use]
    pub fn new(crew: Crew, policy: Policy, writer: Writer, tally: Tally, frozen_ms: u64) -> Keeper {
        let now_ms = monotonic_ms();
        let writer_beat = (writer.beats(), now_ms);
        Keeper {
            latches: Latches::new(crew.record_path()),
            crew,
            policy,
            writer,
            tally,
            frozen_ms,
            pause_untold: None,
            due: Vec::new(),
            next_beat_ms: now_ms,
            looked_ms: now_ms,
            judge_from_ms: now_ms,
            writer_beat,
            writer_told: false,
            orders_lost: false,
            record_lost: false,
            world_gone: false,
            retired: false,
            unrecorded: Vec::new(),
        }
    }

    /// True once the orders' actor is lost.
    #[must_use]
    pub fn orders_lost(&self) -> bool {
        self.orders_lost
    }

    /// True once nothing can be made durable any more.
    #[must_use]
    pub fn record_lost(&self) -> bool {
        self.record_lost
    }

    /// True once the ledger that the session traded on is gone: what it had there went with it.
    #[must_use]
    pub fn world_gone(&self) -> bool {
        self.world_gone
    }

    /// True while the writer's thread neither ended nor stands still.
    #[must_use]
    pub fn writer_answers(&self) -> bool {
        !self.writer_told && self.writer.is_alive()
    }

    /// True once the loss of the writer's thread is told.
    #[must_use]
    pub fn writer_told(&self) -> bool {
        self.writer_told
    }

    /// Since when no node is reached.
    #[must_use]
    pub fn node_lost_ms(&self) -> Option<u64> {
        self.policy.node_lost_ms()
    }

    /// The stop sequence begins.
    pub fn stopping(&mut self) {
        self.policy.stopping();
    }

    /// The actors' work is done: from here on their end is no loss.
    pub fn retire(&mut self) {
        self.latch_again();
        let unwritten: Vec<&str> = self.latches.unwritten().map(neo_market::Trigger::as_str).collect();
        if !unwritten.is_empty() {
            let cause = format!("the latch of {} is not written, and the session ends", unwritten.join(", "));
            self.record("supervisor", cause, "the next session will not know: `neo pause` holds it back");
        }
        self.policy.retire();
        self.retired = true;
        self.due.clear();
    }

    /// True once the actors' work is done.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Faults that the writer can no longer take.
    #[must_use]
    pub fn unrecorded_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.unrecorded)
    }

    /// What a dump looks at.
    #[must_use]
    pub fn dump_sources(&self) -> dump::Sources {
        dump::Sources {
            status: Arc::clone(self.crew.status()),
            orders: Arc::clone(self.crew.orders_core()),
            writer: self.writer.clone(),
            tally: self.tally.clone(),
            events: self.crew.events().clone(),
        }
    }

    /// A full mailbox is tried again at the next look; with one that is closed the session ends, and withdraws by itself.
    fn tell_pause(&mut self) {
        let Some(wanted) = self.pause_untold.take() else { return };
        let command = wanted.clone().map_or(OrdersCommand::Resume, OrdersCommand::Pause);
        match self.crew.orders().try_send(command) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.pause_untold = Some(wanted),
            Err(SendError::Closed(_)) => tracing::warn!("the orders are gone: nobody takes the operator's pause"),
        }
    }

    /// One event.
    pub fn hear(&mut self, event: &SupervisorEvent) -> Decision {
        if is_loss(event) && !self.retired {
            // Whoever fails because the writer is gone is not the one at fault.
            if let Some(lost) = self.writer_end() {
                if let SupervisorEvent::Fault { actor, .. } = event {
                    self.policy.expect_end(*actor);
                }
                return self.decide(&lost);
            }
            let needs_record = |actor: ActorName| matches!(actor, ActorName::Valuer | ActorName::Checkpoint);
            if self.record_lost && loser(event).is_some_and(needs_record) {
                self.fault_of(event, "not restarted: nothing can be recorded");
                return Decision::Without;
            }
        }
        self.decide(event)
    }

    fn decide(&mut self, event: &SupervisorEvent) -> Decision {
        let now_ms = monotonic_ms();
        let decision = self.policy.on(event, now_ms);
        if let SupervisorEvent::NodeSeen(seen) = event {
            self.tally.node(*seen);
        }
        if let SupervisorEvent::Pause(wanted) = event {
            self.pause_untold = Some(wanted.clone());
            self.tell_pause();
        }
        if let SupervisorEvent::Risk(note) = event {
            self.risk(note);
        }
        self.orders_lost |= loser(event) == Some(ActorName::Orders);
        self.world_gone |= matches!(event, SupervisorEvent::OtherWorld { .. });
        match &decision {
            Decision::Restart { actor, wait_ms } => {
                self.fault_of(event, &format!("restarted after {wait_ms} ms"));
                self.due.push((*actor, now_ms.saturating_add(*wait_ms)));
            }
            Decision::Without => self.fault_of(event, "the stop sequence goes on without it"),
            Decision::Lost { lost, .. } => {
                self.record_lost |= *lost == Lost::Record;
                self.fault_of(event, "the stop sequence goes on without it");
            }
            Decision::Stop { .. } => {
                // A disk that refuses once may take the cancels' intents at the next attempt.
                self.record_lost |= matches!(event, SupervisorEvent::WriterLost { .. });
                self.fault_of(event, "the session ends");
            }
            Decision::GoOn | Decision::Hurry => {
                if let SupervisorEvent::Mended { part, cause, action } = event {
                    self.record(part, cause.clone(), action);
                }
            }
        }
        decision
    }

    /// The latch first, then the row: a row of a latch without a file says that the operator resumed.
    fn risk(&mut self, note: &RiskNote) {
        let close_time = to_utc(note.close_time);
        let record = match &note.event {
            TriggerEvent::Tripped(trip) => {
                self.tally.trip(trip);
                let row = Record::Trip(TripRow {
                    trigger: trip.trigger,
                    action: trip.action,
                    reason: trip.reason.clone(),
                    ledger_index: note.ledger_index,
                    close_time,
                    cleared: None,
                    recorded_at: now(),
                });
                if !trip.action.is_latched() {
                    return self.record_risk(row);
                }
                match self.latches.add(trip, close_time, row) {
                    Ok(row) => {
                        self.tally.latched();
                        row
                    }
                    Err(error) => {
                        let cause = format!("the latch of the trigger {} could not be written: {error}", trip.trigger);
                        let action = "the session stays paused; it is tried again, and a restart before would not know";
                        return self.record("supervisor", cause, action);
                    }
                }
            }
            TriggerEvent::Cleared { trigger, by } => {
                if *by == ClearedBy::Operator
                    && let Some(row) = self.latches.resumed(*trigger)
                {
                    self.record_risk(row);
                }
                tracing::info!(trigger = trigger.as_str(), by = by.as_str(), "a trigger is not tripped any more");
                let cleared = TripCleared { ledger_index: note.ledger_index, close_time, by: *by };
                Record::TripCleared { trigger: *trigger, cleared }
            }
        };
        self.record_risk(record);
    }

    fn record_risk(&mut self, record: Record) {
        if let Err(error) = self.writer.record(record) {
            let cause = format!("what a trigger did could not be recorded: {error}");
            self.record("supervisor", cause, "the log has it");
        }
    }

    fn latch_again(&mut self) {
        for row in self.latches.again() {
            self.tally.latched();
            self.record_risk(row);
        }
    }

    /// Time has passed: restarts that are due, and who is silent. What is found comes as events, to be heard.
    #[must_use]
    pub fn look(&mut self) -> Vec<SupervisorEvent> {
        let now_ms = monotonic_ms();
        let mut found = self.restart_due(now_ms);
        self.tell_pause();
        // A process that was stopped or a machine that slept: nobody could answer, so nobody is judged for a while.
        let beat_every_ms = HEARTBEAT_MS.min(self.frozen_ms / 4).max(1);
        if now_ms.saturating_sub(self.looked_ms) > beat_every_ms * 3 {
            self.judge_from_ms = now_ms + self.frozen_ms;
        }
        self.looked_ms = now_ms;
        if now_ms >= self.next_beat_ms {
            self.next_beat_ms = now_ms + beat_every_ms;
            self.latch_again();
            let judged = now_ms >= self.judge_from_ms;
            self.tally.beats(self.crew.beats_ms(), now_ms);
            let frozen = if judged { self.crew.find_frozen() } else { Vec::new() };
            found.extend(frozen.into_iter().map(SupervisorEvent::Frozen));
            found.extend(self.look_at_writer(now_ms, judged));
        }
        found
    }

    /// Whether the session must end because of the time that has passed.
    pub fn tick(&mut self) -> Decision {
        self.policy.tick(monotonic_ms())
    }

    fn restart_due(&mut self, now_ms: u64) -> Vec<SupervisorEvent> {
        let due: Vec<ActorName> =
            self.due.extract_if(.., |(_, due_ms)| *due_ms <= now_ms).map(|(actor, _)| actor).collect();
        let mut failed = Vec::new();
        for actor in due {
            tracing::warn!(actor = actor.as_str(), "restarting");
            self.tally.restart(actor);
            if let Err(cause) = self.crew.restart(actor) {
                failed.push(SupervisorEvent::Fault { actor, cause });
            }
        }
        failed
    }

    /// The end of the writer's thread, told once.
    #[must_use]
    pub fn writer_end(&mut self) -> Option<SupervisorEvent> {
        let ended = !self.writer.is_alive() && !std::mem::replace(&mut self.writer_told, true);
        ended.then(|| SupervisorEvent::WriterLost { cause: WRITER_GONE.to_string() })
    }

    fn look_at_writer(&mut self, now_ms: u64, judged: bool) -> Option<SupervisorEvent> {
        let beats = self.writer.beats();
        if beats != self.writer_beat.0 || !judged {
            self.writer_beat = (beats, now_ms);
        }
        let still_ms = now_ms.saturating_sub(self.writer_beat.1);
        if let Some(ended) = self.writer_end() {
            return Some(ended);
        }
        let frozen = still_ms > self.frozen_ms && !std::mem::replace(&mut self.writer_told, true);
        let cause =
            || format!("the writer's thread has stood still for {still_ms} ms; nothing can be recorded any more");
        frozen.then(|| SupervisorEvent::WriterLost { cause: cause() })
    }

    /// A fault row for the event that a decision was about.
    fn fault_of(&mut self, event: &SupervisorEvent, action: &str) {
        let (part, cause) = match event {
            SupervisorEvent::Gone(actor) => (actor.as_str(), "it stopped without a word".to_string()),
            SupervisorEvent::Frozen(actor) => {
                (actor.as_str(), format!("no sign of life for {} ms: it is frozen", self.frozen_ms))
            }
            SupervisorEvent::Fault { actor, cause } => (actor.as_str(), cause.clone()),
            SupervisorEvent::OtherWorld { cause } => ("feed", cause.clone()),
            SupervisorEvent::WriterLost { cause } => (WRITER_THREAD, cause.clone()),
            SupervisorEvent::StorageRefuses { error, .. } => (WRITER_THREAD, error.clone()),
            // Nobody's fault: the operator, the clock or the market ends the session.
            _ => return,
        };
        self.record(part, cause, action);
    }

    /// Records a fault; where the part has panicked, with what it said and how it got there.
    pub fn record(&mut self, part: &str, cause: String, action: &str) {
        let (cause, backtrace) = match panics::take(part) {
            Some(panic) => (panic.message, Some(panic.backtrace)),
            None => (cause, None),
        };
        tracing::error!(actor = part, cause, action, "fault");
        self.tally.fault(part, &cause, action);
        let fault = Fault { actor: part.to_string(), cause, backtrace, action: action.to_string(), recorded_at: now() };
        if self.record_lost {
            self.unrecorded.push(fault);
        } else if let Err(error) = self.writer.record(Record::Fault(fault.clone())) {
            tracing::error!(%error, "the fault could not be recorded; it is added when the session is closed");
            self.unrecorded.push(fault);
        }
    }
}

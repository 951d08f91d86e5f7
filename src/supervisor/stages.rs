//! What each stop stage does to the running engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::SystemRunner;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use neo_actors::clock::{monotonic_ms, now, to_utc};
use neo_actors::messages::{ClosingValue, OrdersCommand, TakeClosingValue};
use neo_actors::orders::core::OrdersCore;
use neo_actors::{SupervisorEvent, panics};
use neo_failpoint::Place;
use neo_store::QueueError;
use neo_store::record::{
    Checkpoint, CheckpointCause, EndReason, EndedAtSource, SessionEnd, Stage, StageOutcome, StopStage,
};
use neo_store::writer::{Writer, WriterThread};
use serde_json::json;

use super::keeper::Keeper;
use super::policy::{self, Decision, Lost};
use super::stand_in::StandIn;
use super::stop::{StageError, Stages};
use super::watchdog::{SharedNotes, Watchdog};

/// How often a wait looks whether the writer thread still lives: an answer from a dead thread never comes.
const LOOK: Duration = Duration::from_millis(20);
/// How long the orders' core may be held by their actor before it counts as frozen.
const CORE_PATIENCE: Duration = Duration::from_millis(500);
/// A stop waits no longer than this for a node that is gone: without one nothing can be proven.
const NODE_PATIENCE_MS: u64 = 5_000;
/// How long the actors' threads may take to end.
const RETIRE: Duration = Duration::from_secs(1);
/// In a hurry, so long is given to signed cancels to become durable and leave for the node.
const URGENT_SEND: Duration = Duration::from_millis(700);

/// The engine while it is being stopped.
pub struct EngineStages<'a> {
    /// The actors and their health.
    pub keeper: &'a mut Keeper,
    /// Drives the orders' state where their actor, or the record, is lost.
    pub stand_in: Option<StandIn>,
    /// Why nobody can drive the orders' state.
    pub undriven: Option<String>,
    /// Runs the futures of actor messages.
    pub system: &'a SystemRunner,
    /// The database's only writer.
    pub writer: &'a Writer,
    /// Its thread; taken by `seal`.
    pub thread: Option<WriterThread>,
    /// What the actors and the signals say meanwhile.
    pub events: &'a Receiver<SupervisorEvent>,
    /// The session to close, and what a note of it would say.
    pub notes: &'a SharedNotes,
    /// Why it ends.
    pub reason: EndReason,
    /// What happened, for `end_detail`.
    pub cause: Option<String>,
    /// True when somebody is in a hurry.
    pub urgent: bool,
    /// False when a replicator owns checkpoints.
    pub own_checkpoints: bool,
    /// What gives no sign of life for so long is frozen.
    pub frozen_ms: u64,
    /// True once a validated ledger showed that nothing of ours is left.
    pub flat: bool,
    /// The final value, once it was taken.
    pub closing: Option<ClosingValue>,
    /// What was written as the session's end.
    pub end: Option<SessionEnd>,
    /// True once the writer has acknowledged the end.
    pub closed: bool,
    /// From here on the writer's end is what is wanted.
    pub sealing: bool,
    /// Tells a hanging stop from one that goes on.
    pub watchdog: &'a Watchdog,
    /// What was still open when the session was closed: offers by number, transactions by hash.
    pub left_open: (Vec<u32>, Vec<String>),
    /// Size of the write-ahead log that the seal left, where it is a replicator's or another program reads it.
    pub wal_left_bytes: Option<u64>,
}

impl Stages for EngineStages<'_> {
    fn run(&mut self, stage: Stage, budget_ms: u64, so_far: &[StopStage]) -> Result<(), StageError> {
        self.watchdog.stage(stage, budget_ms);
        neo_failpoint::moment(stage.as_str());
        // Whatever a stage meets, the next one runs.
        let done = catch_unwind(AssertUnwindSafe(|| {
            neo_failpoint::hit(Place::Stage).map_err(|injected| StageError::Failed(injected.to_string()))?;
            neo_failpoint::hit(Place::Supervisor).map_err(|injected| StageError::Failed(injected.to_string()))?;
            self.stage(stage, Duration::from_millis(budget_ms), so_far)
        }));
        done.unwrap_or_else(|panic| {
            let cause = format!("the stop stage {stage} panicked: {}", panics::message_of(&*panic));
            self.keeper.record("supervisor", cause.clone(), "the next stage runs");
            Err(StageError::Failed(cause))
        })
    }

    fn now_ms(&self) -> u64 {
        monotonic_ms()
    }

    fn urgent(&self) -> bool {
        self.urgent
    }
}

impl EngineStages<'_> {
    fn stage(&mut self, stage: Stage, budget: Duration, so_far: &[StopStage]) -> Result<(), StageError> {
        match stage {
            Stage::Quiesce => self.quiesce(),
            Stage::Settle => self.settle(budget),
            Stage::Cancel => self.cancel(budget),
            Stage::Value => self.value(budget, so_far),
            Stage::Flush => self.flush(budget),
            Stage::Checkpoint => self.checkpoint(budget),
            Stage::Close => self.close(budget, so_far),
            Stage::Seal => self.seal(budget),
        }
    }

    fn quiesce(&mut self) -> Result<(), StageError> {
        if self.keeper.orders_lost() || self.keeper.record_lost() {
            self.take_over();
        }
        self.command(OrdersCommand::Quiesce)
    }

    fn command(&mut self, command: OrdersCommand) -> Result<(), StageError> {
        // What happened since the last wait, the orders' end for one, is heard before anything is asked of them.
        while let Ok(event) = self.events.try_recv() {
            self.heard(&event);
        }
        if self.stand_in.is_none()
            && self.undriven.is_none()
            && let Err(error) = self.keeper.crew.orders().try_send(command)
        {
            self.lost(Lost::Orders, format!("the orders take nothing: {error}"));
        }
        if let Some(why) = &self.undriven {
            return Err(StageError::Failed(why.clone()));
        }
        let Some(stand_in) = &mut self.stand_in else { return Ok(()) };
        let done = stand_in.command(command, &mut self.notes.lock());
        done.map_err(|error| StageError::Failed(format!("the orders do not take {command:?}: {error}")))
    }

    /// The orders' actor or the record is lost: from here on the supervisor drives the orders' state itself.
    fn take_over(&mut self) {
        let record_lost = self.keeper.record_lost();
        let done = match &mut self.stand_in {
            Some(stand_in) if record_lost => stand_in.lose_the_record(&mut self.notes.lock()),
            Some(_) => Ok(()),
            None => {
                let crew = &mut self.keeper.crew;
                let mut stand_in = StandIn::new(crew.orders_core().clone(), self.writer.clone(), crew.feed_link());
                let begun = crew
                    .take_orders_over(stand_in.link())
                    .and_then(|()| stand_in.begin(record_lost, &mut self.notes.lock()))
                    .and_then(|()| stand_in.command(OrdersCommand::Withdraw, &mut self.notes.lock()));
                self.stand_in = begun.is_ok().then_some(stand_in);
                begun
            }
        };
        match done {
            Ok(()) => tracing::warn!(record_lost, "the supervisor drives the orders itself"),
            Err(error) => {
                let why = format!("{error}; the offers are left to their Expiration");
                tracing::error!("{why}");
                self.undriven = Some(why);
            }
        }
    }

    /// Looks into the orders' core, which a frozen actor may hold for ever.
    fn orders<T>(&self, look: impl FnOnce(&mut OrdersCore) -> T) -> Result<T, StageError> {
        match self.keeper.crew.orders_core().try_lock_for(CORE_PATIENCE) {
            Some(mut core) => Ok(look(&mut core)),
            None => Err(StageError::Failed(
                "the orders are frozen and hold their state; the offers are left to their Expiration".to_string(),
            )),
        }
    }

    /// Sends the cancels and waits until no offer is on its way any more. The cancels go out with what is in flight, not
    /// after it: both end when validated ledgers prove every outcome.
    fn settle(&mut self, budget: Duration) -> Result<(), StageError> {
        self.withdraw()?;
        let patience = if self.urgent { URGENT_SEND.min(budget) } else { budget };
        self.wait_flat(patience, |stages| matches!(stages.orders(|core| core.is_settled()), Ok(true)));
        let (settled, in_flight) = self.orders(|core| (core.is_settled(), core.in_flight()))?;
        if self.flat || settled {
            return Ok(());
        }
        let text = format!("the fate of {in_flight} transactions is open; the next session learns it from the ledger");
        Err(if self.urgent { StageError::Skipped(text) } else { StageError::TimedOut(text) })
    }

    fn cancel(&mut self, budget: Duration) -> Result<(), StageError> {
        self.withdraw()?;
        if !self.urgent {
            self.wait_flat(budget, |_| false);
        }
        if self.urgent {
            // Not waited for in a ledger, but out of the door: the actors that send them end with the next stage.
            self.wait_flat(URGENT_SEND.min(budget), |stages| matches!(stages.orders(|core| core.is_sent()), Ok(true)));
        }
        let (is_flat, (offers, _)) = self.orders(|core| (core.is_flat(), core.open_items()))?;
        if self.flat || is_flat {
            return Ok(());
        }
        let text =
            format!("offers {offers:?} were not seen gone in a validated ledger; their Expiration withdraws them");
        Err(if self.urgent { StageError::Skipped(text) } else { StageError::TimedOut(text) })
    }

    /// Asks for the withdrawal; again does no harm. Before the first ledger there is nothing to withdraw and nothing
    /// to wait for.
    fn withdraw(&mut self) -> Result<(), StageError> {
        self.command(OrdersCommand::Withdraw)?;
        if self.orders(|core| core.has_seen_a_ledger())? {
            return Ok(());
        }
        let text = "no validated ledger was seen; offers of an earlier session stay until their Expiration";
        Err(StageError::Skipped(text.to_string()))
    }

    /// Listens until `Flat`, a hurry, the loss of the orders' state, or `enough`.
    fn wait_flat(&mut self, patience: Duration, enough: impl Fn(&Self) -> bool) {
        let until_ms = monotonic_ms().saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let was_urgent = self.urgent;
        let no_node = |since_ms: u64| monotonic_ms().saturating_sub(since_ms) > NODE_PATIENCE_MS;
        let lost = |stages: &Self| stages.undriven.is_some() || stages.keeper.node_lost_ms().is_some_and(no_node);
        while !self.flat && self.urgent == was_urgent && monotonic_ms() < until_ms && !enough(self) && !lost(self) {
            match self.events.recv_timeout(LOOK) {
                Ok(event) => self.heard(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.attend();
        }
    }

    /// What has to go on in every wait: restarts, signs of life, and the orders where the supervisor drives them.
    fn attend(&mut self) {
        if self.sealing {
            return;
        }
        for event in self.keeper.look() {
            self.heard(&event);
        }
        let Some(stand_in) = &mut self.stand_in else { return };
        stand_in.link_feed(self.keeper.crew.feed_link());
        if let Err(error) = stand_in.pump(&mut self.notes.lock()) {
            let why = format!("the orders cannot be driven: {error}; the offers are left to their Expiration");
            tracing::error!("{why}");
            self.undriven = Some(why);
        }
        self.flat |= self.stand_in.as_ref().is_some_and(StandIn::is_flat);
    }

    fn heard(&mut self, event: &SupervisorEvent) {
        self.flat |= *event == SupervisorEvent::Flat;
        if *event == SupervisorEvent::DumpRequested {
            self.keeper.dump(self.events.len());
        }
        if let SupervisorEvent::StopRequested(reason) = event {
            self.asked_again(*reason);
        }
        match self.keeper.hear(event) {
            Decision::Lost { lost, cause } => self.lost(lost, cause),
            Decision::GoOn | Decision::Hurry | Decision::Without | Decision::Restart { .. } | Decision::Stop { .. } => {
            }
        }
    }

    /// The session ends with a fault now, whatever it was to end with; unless that is written already.
    fn lost(&mut self, lost: Lost, cause: String) {
        if !self.closed {
            if self.reason != EndReason::Disk {
                self.reason = EndReason::Fault;
            }
            self.cause.get_or_insert(cause);
            let mut notes = self.notes.lock();
            (notes.end_reason, notes.cause) = (self.reason, self.cause.clone());
        }
        // Once the actors have ended nothing can be sent any more.
        if lost != Lost::Nothing && !self.keeper.is_retired() {
            self.take_over();
        }
    }

    /// The second request is a hurry, and a closed console is one however often was asked before; any other changes
    /// nothing.
    fn asked_again(&mut self, reason: EndReason) {
        if policy::is_urgent(reason) {
            self.watchdog.console_closed();
        } else if !self.urgent {
            self.watchdog.hurry();
        }
        if !self.urgent {
            tracing::warn!(reason = reason.as_str(), "asked again: the stop is urgent from here on");
            self.urgent = true;
        }
    }

    /// Takes the last snapshot and ends the actors: what comes after this is the record's alone.
    fn value(&mut self, budget: Duration, so_far: &[StopStage]) -> Result<(), StageError> {
        let failed = |row: &StopStage| row.stage == Stage::Cancel && row.outcome == StageOutcome::Failed;
        if so_far.iter().any(failed) && self.withdraw().is_ok() {
            // What broke that stage must not keep the cancels from leaving: those who send them end here.
            self.wait_flat(budget / 2, |stages| stages.urgent);
        }
        let valued = self.take_value(budget.min(Duration::from_millis(self.frozen_ms)));
        let valued = valued.or_else(|error| self.value_of_record(error));
        self.keeper.retire();
        let retired = self.keeper.crew.retire(RETIRE);
        valued.and(retired.map_err(StageError::Failed))
    }

    fn take_value(&mut self, budget: Duration) -> Result<(), StageError> {
        let request = self.keeper.crew.valuer().send(TakeClosingValue);
        let answer = self.system.block_on(async { tokio::time::timeout(budget, request).await });
        match answer {
            Err(_) => Err(StageError::TimedOut("the valuer did not answer".to_string())),
            Ok(Err(error)) => Err(StageError::Failed(format!("the valuer is gone: {error}"))),
            Ok(Ok(Err(error))) => Err(StageError::Failed(format!("no closing value: {error}"))),
            Ok(Ok(Ok(closing))) => {
                self.closing = Some(closing);
                Ok(())
            }
        }
    }

    /// Without a valuer, the closing value is that of the last ledger in the record.
    fn value_of_record(&mut self, lost: StageError) -> Result<(), StageError> {
        self.keeper.crew.abandon_valuer();
        let (StageError::Failed(why) | StageError::TimedOut(why) | StageError::Skipped(why)) = lost;
        let read = if self.keeper.record_lost() {
            self.keeper.crew.last_known_valuer()
        } else {
            self.keeper.crew.read_valuer_back()
        };
        let closed = read.and_then(|mut core| core.close(now()).map_err(|error| error.to_string()));
        let (records, closing) = closed.map_err(|error| StageError::Failed(format!("{why}; {error}")))?;
        for record in records {
            if let Err(error) = self.writer.record(record) {
                tracing::error!(%error, "the closing snapshot is not in the record");
            }
        }
        self.closing = Some(closing);
        self.keeper.record("valuer", why, "the closing value is that of the last ledger in the record");
        Ok(())
    }

    fn flush(&mut self, budget: Duration) -> Result<(), StageError> {
        self.ask_writer(budget, "flush", |writer, answer| {
            writer.flush(Box::new(move |result| send(&answer, result.map(|_| ()))))
        })
    }

    fn checkpoint(&mut self, budget: Duration) -> Result<(), StageError> {
        if !self.own_checkpoints {
            return Err(StageError::Skipped(
                "store.checkpoint is \"external\": the replicator checkpoints".to_string(),
            ));
        }
        let answer = self.ask_writer(budget, "checkpoint", |writer, answer| {
            let tell = move |result: Result<Checkpoint, _>| send(&answer, result.map(|done| done.busy));
            writer.checkpoint(CheckpointCause::Stop, Box::new(tell))
        });
        let busy = match answer {
            // A slow disk: `ended_at` does not wait for it, and the seal's checkpoint, which does, tells if it hangs.
            Err(StageError::TimedOut(text)) if self.keeper.writer_answers() => {
                return Err(StageError::Skipped(format!("{text}; it is left to the seal")));
            }
            answer => answer?,
        };
        if busy {
            let text = "another program reads the database; the -wal stays until it is closed";
            return Err(StageError::Skipped(text.to_string()));
        }
        Ok(())
    }

    fn close(&mut self, budget: Duration, so_far: &[StopStage]) -> Result<(), StageError> {
        match self.orders(|core| (core.open_items(), core.abandon(now()))) {
            Ok((left_open, records)) => {
                self.left_open = left_open;
                for record in records {
                    if let Err(error) = self.writer.record(record) {
                        tracing::error!(%error, "what is unknown could not be recorded");
                    }
                }
            }
            Err(_) => tracing::error!("the orders are frozen: what they left open is not in the record"),
        }
        let end = self.session_end(so_far, EndedAtSource::Clean);
        self.end = Some(end.clone());
        let stages = so_far.to_vec();
        let closed = self.ask_writer(budget, "close", |writer, answer| {
            writer.close_session(end, stages, Box::new(move |result| send(&answer, result.map(|_| ()))))
        });
        self.closed = closed.is_ok();
        closed
    }

    /// True once the writer's thread has ended: then nobody else has the file.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.thread.is_none() && !self.writer.is_alive()
    }

    fn seal(&mut self, budget: Duration) -> Result<(), StageError> {
        self.sealing = true;
        let until_ms = monotonic_ms().saturating_add(u64::try_from(budget.as_millis()).unwrap_or(u64::MAX));
        let sealed = self.ask_writer(budget, "seal", |writer, answer| {
            writer.seal(Box::new(move |result| send(&answer, result.map(|done: Checkpoint| done.busy))))
        });
        // A thread that stands still is not waited for.
        if self.keeper.writer_answers() || !self.writer.is_alive() {
            let Some(thread) = self.thread.take() else { return sealed.map(|_| ()) };
            let left = Duration::from_millis(until_ms.saturating_sub(monotonic_ms()));
            if let Err(error) = thread.join(left) {
                let cause = format!("the writer thread: {error}");
                if !self.keeper.writer_told() {
                    let action = "the last checkpoint is left to the next start";
                    self.keeper.record("writer thread", cause.clone(), action);
                }
                return Err(StageError::Failed(cause));
            }
        }
        let busy = sealed?;
        // A -wal that is another program's business is told, and is no failure.
        if busy || !self.own_checkpoints {
            let left = self.writer.wal_bytes();
            tracing::info!(
                left,
                "the write-ahead log stays: a replicator owns it, or another program reads the record"
            );
            self.wal_left_bytes = Some(left);
        }
        Ok(())
    }

    /// The session's end as it is known now.
    #[must_use]
    pub fn session_end(&self, so_far: &[StopStage], source: EndedAtSource) -> SessionEnd {
        let closing = self.closing.as_ref();
        SessionEnd {
            ended_at: now(),
            ended_at_source: source,
            ending_value_rlusd: closing.map_or_else(
                || Err("the closing value could not be taken".to_string()),
                |closing| closing.total_value_rlusd.clone(),
            ),
            end_ledger_index: closing.map(|closing| closing.ledger_index),
            end_close_time: closing.map(|closing| to_utc(closing.close_time)),
            end_reason: self.reason,
            end_detail: self.detail(so_far),
        }
    }

    /// What was not done, as JSON; `None` when there is nothing to say.
    #[must_use]
    pub fn detail(&self, so_far: &[StopStage]) -> Option<String> {
        let not_done: Vec<_> = so_far
            .iter()
            .filter(|row| row.outcome != StageOutcome::Done)
            .map(|row| json!({"stage": row.stage, "outcome": row.outcome, "error": row.error}))
            .collect();
        let (offers, transactions) = &self.left_open;
        let wal_left = self.wal_left_bytes.is_some();
        let unrecorded = self.notes.lock().unrecorded.clone();
        let nothing_open = offers.is_empty() && transactions.is_empty() && unrecorded.is_empty();
        if not_done.is_empty() && nothing_open && self.cause.is_none() && !wal_left {
            return None;
        }
        Some(
            json!({
                "cause": self.cause,
                "stages": not_done,
                "open_offers": offers,
                "open_transactions": transactions,
                "unrecorded_cancels": unrecorded,
                "urgent": self.urgent,
                "wal_left_bytes": self.wal_left_bytes,
            })
            .to_string(),
        )
    }

    /// A writer that ends over a request is lost, and heard of before the next one.
    fn ask_writer<T>(
        &mut self,
        budget: Duration,
        what: &str,
        ask: impl FnOnce(&Writer, crossbeam_channel::Sender<Result<T, String>>) -> Result<(), QueueError>,
    ) -> Result<T, StageError> {
        let answer = self.wait_for_writer(budget, what, ask);
        if answer.is_err()
            && !self.sealing
            && let Some(lost) = self.keeper.writer_end()
        {
            self.heard(&lost);
        }
        answer
    }

    fn wait_for_writer<T>(
        &mut self,
        budget: Duration,
        what: &str,
        ask: impl FnOnce(&Writer, crossbeam_channel::Sender<Result<T, String>>) -> Result<(), QueueError>,
    ) -> Result<T, StageError> {
        if !self.keeper.writer_answers() {
            return Err(StageError::Failed(format!("{what}: the writer's thread is gone or stands still")));
        }
        let (answer, answered) = crossbeam_channel::bounded(1);
        ask(self.writer, answer).map_err(|error| StageError::Failed(format!("{what}: {error}")))?;
        let until_ms = monotonic_ms().saturating_add(u64::try_from(budget.as_millis()).unwrap_or(u64::MAX));
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(result) => return result.map_err(|error| StageError::Failed(format!("{what}: {error}"))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(StageError::Failed(format!("{what}: the writer thread ended without an answer")));
                }
                Err(RecvTimeoutError::Timeout) if monotonic_ms() >= until_ms => {
                    let ms = budget.as_millis();
                    return Err(StageError::TimedOut(format!("{what}: no answer from the writer within {ms} ms")));
                }
                // A second request is heard in every stage.
                Err(RecvTimeoutError::Timeout) => {
                    while let Ok(event) = self.events.try_recv() {
                        self.heard(&event);
                    }
                    self.attend();
                    if !self.sealing && !self.keeper.writer_answers() {
                        return Err(StageError::Failed(format!("{what}: the writer's thread is gone or stands still")));
                    }
                }
            }
        }
    }
}

fn send<T, E: std::fmt::Display>(answer: &crossbeam_channel::Sender<Result<T, String>>, result: Result<T, E>) {
    if let Err(error) = answer.try_send(result.map_err(|error| error.to_string())) {
        tracing::warn!(%error, "nobody waits for the writer's answer any more");
    }
}

//! What each stop stage does to the running engine.

use std::path::PathBuf;
use std::time::Duration;

use actix::SystemRunner;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use neo_actors::SupervisorEvent;
use neo_actors::clock::{monotonic_ms, now, to_utc};
use neo_actors::messages::{ClosingValue, OrdersCommand, TakeClosingValue};
use neo_actors::orders::core::OrdersCore;
use neo_store::record::{
    CheckpointCause, EndReason, EndedAtSource, SessionEnd, SessionNumber, Stage, StageOutcome, StopStage,
};
use neo_store::writer::{Writer, WriterThread};
use neo_store::{QueueError, WriteError};
use serde_json::json;

use super::crew::Crew;
use super::failpoint;
use super::stop::{StageError, Stages};
use super::watchdog::Watchdog;

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
    /// The actors.
    pub crew: &'a mut Crew,
    /// Runs the futures of actor messages.
    pub system: &'a SystemRunner,
    /// The database's only writer.
    pub writer: &'a Writer,
    /// Its thread; taken by `seal`.
    pub thread: Option<WriterThread>,
    /// What the actors and the signals say meanwhile.
    pub events: &'a Receiver<SupervisorEvent>,
    /// The database.
    pub path: PathBuf,
    /// The session to close.
    pub session: SessionNumber,
    /// Why it ends.
    pub reason: EndReason,
    /// What happened, for `end_detail`.
    pub cause: Option<String>,
    /// True when somebody is in a hurry.
    pub urgent: bool,
    /// False when a replicator owns checkpoints.
    pub own_checkpoints: bool,
    /// True once a validated ledger showed that nothing of ours is left.
    pub flat: bool,
    /// The final value, once it was taken.
    pub closing: Option<ClosingValue>,
    /// What was written as the session's end.
    pub end: Option<SessionEnd>,
    /// Since when no node is reached.
    pub node_lost_ms: Option<u64>,
    /// Tells a hanging stop from one that goes on.
    pub watchdog: &'a Watchdog,
    /// What was still open when the session was closed: offers by number, transactions by hash.
    pub left_open: (Vec<u32>, Vec<String>),
}

impl Stages for EngineStages<'_> {
    fn run(&mut self, stage: Stage, budget_ms: u64, so_far: &[StopStage]) -> Result<(), StageError> {
        failpoint::hit(stage).map_err(StageError::Failed)?;
        let budget = Duration::from_millis(budget_ms);
        match stage {
            Stage::Quiesce => self.command(OrdersCommand::Quiesce),
            Stage::Settle => self.settle(budget),
            Stage::Cancel => self.cancel(budget),
            Stage::Value => self.value(budget),
            Stage::Flush => self.flush(budget),
            Stage::Checkpoint => self.checkpoint(budget),
            Stage::Close => self.close(budget, so_far),
            Stage::Seal => self.seal(budget),
        }
    }

    fn now_ms(&self) -> u64 {
        monotonic_ms()
    }

    fn urgent(&self) -> bool {
        self.urgent
    }
}

impl EngineStages<'_> {
    fn command(&self, command: OrdersCommand) -> Result<(), StageError> {
        self.crew
            .orders()
            .try_send(command)
            .map_err(|error| StageError::Failed(format!("the orders do not take {command:?}: {error}")))
    }

    /// Looks into the orders' core, which a frozen actor may hold for ever.
    fn orders<T>(&self, look: impl FnOnce(&mut OrdersCore) -> T) -> Result<T, StageError> {
        match self.crew.orders_core().try_lock_for(CORE_PATIENCE) {
            Some(mut core) => Ok(look(&mut core)),
            None => Err(StageError::Failed("the orders are frozen".to_string())),
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
    fn withdraw(&self) -> Result<(), StageError> {
        self.command(OrdersCommand::Withdraw)?;
        if self.orders(|core| core.has_seen_a_ledger())? {
            return Ok(());
        }
        let text = "no validated ledger was seen; offers of an earlier session stay until their Expiration";
        Err(StageError::Skipped(text.to_string()))
    }

    /// Listens until `Flat`, a hurry, the loss of the orders, or `enough`.
    fn wait_flat(&mut self, patience: Duration, enough: impl Fn(&Self) -> bool) {
        let until_ms = monotonic_ms().saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let was_urgent = self.urgent;
        let no_node = |since_ms: u64| monotonic_ms().saturating_sub(since_ms) > NODE_PATIENCE_MS;
        let lost = |stages: &Self| !stages.crew.orders().connected() || stages.node_lost_ms.is_some_and(no_node);
        while !self.flat && self.urgent == was_urgent && monotonic_ms() < until_ms && !enough(self) && !lost(self) {
            match self.events.recv_timeout(LOOK) {
                Ok(event) => self.heard(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn heard(&mut self, event: &SupervisorEvent) {
        match event {
            SupervisorEvent::Flat => self.flat = true,
            SupervisorEvent::StopRequested(_) if !self.urgent => {
                tracing::warn!("asked again: the stop is urgent from here on");
                self.urgent = true;
                self.watchdog.hurry();
            }
            SupervisorEvent::Gone(actor) => tracing::debug!(actor = actor.as_str(), "ended while stopping"),
            SupervisorEvent::NodeSeen(seen) => self.node_lost_ms = (!seen).then(monotonic_ms),
            SupervisorEvent::StopRequested(_)
            | SupervisorEvent::Fault { .. }
            | SupervisorEvent::Live
            | SupervisorEvent::StorageRefuses { .. }
            | SupervisorEvent::Stranger { .. }
            | SupervisorEvent::Elapsed => {}
        }
    }

    /// Takes the last snapshot and ends the actors: what comes after this is the record's alone.
    fn value(&mut self, budget: Duration) -> Result<(), StageError> {
        let valued = self.take_value(budget);
        let retired = self.crew.retire(RETIRE);
        valued.and(retired.map_err(StageError::Failed))
    }

    fn take_value(&mut self, budget: Duration) -> Result<(), StageError> {
        let request = self.crew.valuer().send(TakeClosingValue);
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
        self.ask_writer(budget, "checkpoint", |writer, answer| {
            writer.checkpoint(CheckpointCause::Stop, Box::new(move |result| send(&answer, busy_is_error(result))))
        })
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
        self.ask_writer(budget, "close", |writer, answer| {
            writer.close_session(end, stages, Box::new(move |result| send(&answer, result.map(|_| ()))))
        })
    }

    fn seal(&mut self, budget: Duration) -> Result<(), StageError> {
        let sealed = self.ask_writer(budget, "seal", |writer, answer| {
            writer.seal(Box::new(move |result| send(&answer, busy_is_error(result))))
        });
        if let Some(thread) = self.thread.take() {
            thread.join(budget).map_err(|error| StageError::Failed(format!("the writer thread: {error}")))?;
        }
        sealed
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
        if not_done.is_empty() && offers.is_empty() && transactions.is_empty() && self.cause.is_none() {
            return None;
        }
        Some(
            json!({
                "cause": self.cause,
                "stages": not_done,
                "open_offers": offers,
                "open_transactions": transactions,
                "urgent": self.urgent,
            })
            .to_string(),
        )
    }

    fn ask_writer(
        &mut self,
        budget: Duration,
        what: &str,
        ask: impl FnOnce(&Writer, crossbeam_channel::Sender<Result<(), String>>) -> Result<(), QueueError>,
    ) -> Result<(), StageError> {
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
                }
            }
        }
    }
}

fn busy_is_error(result: Result<neo_store::record::Checkpoint, WriteError>) -> Result<(), WriteErrorOrBusy> {
    match result {
        Ok(done) if done.busy => Err(WriteErrorOrBusy::Busy),
        Ok(_) => Ok(()),
        Err(error) => Err(WriteErrorOrBusy::Write(error)),
    }
}

/// Why a checkpoint did not finish.
#[derive(Debug, thiserror::Error)]
enum WriteErrorOrBusy {
    #[error("another program reads the database; the -wal stays until it is closed")]
    Busy,
    #[error("{0}")]
    Write(WriteError),
}

fn send<E: std::fmt::Display>(answer: &crossbeam_channel::Sender<Result<(), String>>, result: Result<(), E>) {
    if let Err(error) = answer.try_send(result.map_err(|error| error.to_string())) {
        tracing::warn!(%error, "nobody waits for the writer's answer any more");
    }
}

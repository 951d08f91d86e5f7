//! What each stop stage does to the running engine.

mod orders;
mod record;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::SystemRunner;
use crossbeam_channel::Receiver;
use neo_actors::clock::{monotonic_ms, now};
use neo_actors::messages::{ClosingValue, OrdersCommand, TakeClosingValue};
use neo_actors::{SupervisorEvent, panics};
use neo_failpoint::Place;
use neo_store::record::{EndReason, SessionEnd, Stage, StageOutcome, StopStage};
use neo_store::writer::{Writer, WriterThread};

use super::dump::Bell;
use super::keeper::Keeper;
use super::stand_in::StandIn;
use super::stop::{StageError, Stages};
use super::watchdog::{SharedNotes, Watchdog};

/// How often a wait looks whether the writer thread still lives: an answer from a dead thread never comes.
const LOOK: Duration = Duration::from_millis(20);
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
    /// Rung by whoever wants to know what the engine is doing.
    pub bell: &'a Bell,
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

    /// Sends the cancels and waits until no offer is on its way any more. The cancels go out with what is in flight, not
    /// after it: both end when validated ledgers prove every outcome.
    fn settle(&mut self, budget: Duration) -> Result<(), StageError> {
        self.withdraw()?;
        self.on_a_ledger()?;
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
        self.on_a_ledger()?;
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
}

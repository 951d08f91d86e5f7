//! The stages that end the record: flush, checkpoint, close, seal, and what they ask of the writer.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use neo_actors::clock::{monotonic_ms, now, to_utc};
use neo_store::QueueError;
use neo_store::record::{Checkpoint, CheckpointCause, EndedAtSource, SessionEnd, StageOutcome, StopStage};
use neo_store::writer::Writer;
use serde_json::json;

use super::{EngineStages, LOOK};
use crate::supervisor::stop::StageError;

impl EngineStages<'_> {
    pub(super) fn flush(&mut self, budget: Duration) -> Result<(), StageError> {
        self.ask_writer(budget, "flush", |writer, answer| {
            writer.flush(Box::new(move |result| send(&answer, result.map(|_| ()))))
        })
    }

    pub(super) fn checkpoint(&mut self, budget: Duration) -> Result<(), StageError> {
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

    pub(super) fn close(&mut self, budget: Duration, so_far: &[StopStage]) -> Result<(), StageError> {
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

    pub(super) fn seal(&mut self, budget: Duration) -> Result<(), StageError> {
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
    pub(super) fn ask_writer<T>(
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

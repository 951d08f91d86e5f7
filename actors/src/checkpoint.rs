//! The checkpoint timer: asks the writer for `wal_checkpoint(TRUNCATE)` and says when a reader keeps it from finishing.
//! The rules are in [`core`]; this is its mailbox.

pub mod core;

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use neo_failpoint::Place;
use neo_store::record::{Checkpoint, CheckpointCause, Fault, Record};
use neo_store::writer::Writer;

use self::core::{Answer, CheckpointCore};
use crate::clock::now;
use crate::guard::Guard;
use crate::messages::Beat;
use crate::status::SharedStatus;

/// The timer.
pub struct CheckpointTimer {
    core: CheckpointCore,
    writer: Writer,
    status: SharedStatus,
    guard: Guard,
}

impl CheckpointTimer {
    /// A timer that asks every so often.
    #[must_use]
    pub fn new(every: Duration, writer: Writer, status: SharedStatus, guard: Guard) -> CheckpointTimer {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        CheckpointTimer { core: CheckpointCore::new(every_ms), writer, status, guard }
    }

    fn ask(&mut self, ctx: &mut Context<Self>) {
        if self.guard.is_abandoned() {
            return ctx.stop();
        }
        let address = ctx.address();
        let lost = self.guard.reporter();
        let reply = Box::new(move |answer: Result<Checkpoint, neo_store::WriteError>| {
            if let Err(error) = address.try_send(Done(answer.map_err(|error| error.to_string()))) {
                lost.fault(format!("the checkpoint timer does not take its answer: {error}"));
            }
        });
        if let Err(error) = self.writer.checkpoint(CheckpointCause::Timer, reply) {
            self.guard.fault(format!("no checkpoint: {error}"));
            ctx.stop();
        }
    }
}

impl Actor for CheckpointTimer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(Duration::from_millis(self.core.first_ms()), CheckpointTimer::ask);
    }
}

/// The writer's answer.
#[derive(Message)]
#[rtype(result = "()")]
struct Done(Result<Checkpoint, String>);

impl Handler<Done> for CheckpointTimer {
    type Result = ();

    fn handle(&mut self, Done(answer): Done, ctx: &mut Self::Context) {
        let pause_us = answer.as_ref().ok().map(|done| done.pause_us);
        let next = self.core.on(match answer {
            Ok(done) if done.busy => Answer::Busy { wal_bytes: done.wal_bytes },
            Ok(_) => Answer::Done,
            Err(error) => Answer::Failed(error),
        });
        let mut status = self.status.lock();
        status.checkpoint_busy = next.blocked;
        status.checkpoint_blocked = if next.blocked { status.checkpoint_blocked.saturating_add(1) } else { 0 };
        status.last_checkpoint_pause_us = pause_us.or(status.last_checkpoint_pause_us);
        if !next.blocked {
            status.last_checkpoint_at = Some(now());
        }
        drop(status);
        if let Some(core::Note { cause, action }) = next.note {
            if next.blocked {
                tracing::error!(cause, action, "checkpoints are blocked");
            } else {
                tracing::info!(cause, "checkpoints");
            }
            let actor = self.guard.actor().to_string();
            let fault = Fault { actor, cause, backtrace: None, action, recorded_at: now() };
            if let Err(error) = self.writer.record(Record::Fault(fault)) {
                tracing::error!(%error, "the fault could not be recorded");
            }
        }
        ctx.run_later(Duration::from_millis(next.wait_ms), CheckpointTimer::ask);
    }
}

impl Handler<Beat> for CheckpointTimer {
    type Result = ();

    fn handle(&mut self, _: Beat, ctx: &mut Self::Context) {
        match neo_failpoint::hit(Place::Checkpoint) {
            Ok(()) => self.guard.beat(),
            Err(injected) => {
                self.guard.fault(injected);
                ctx.stop();
            }
        }
    }
}

//! The checkpoint timer: asks the writer for `wal_checkpoint(TRUNCATE)` and says when a reader keeps it from finishing.

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use neo_failpoint::Place;
use neo_store::record::{Checkpoint, CheckpointCause};
use neo_store::writer::Writer;

use crate::guard::Guard;
use crate::messages::Beat;
use crate::status::SharedStatus;

/// A checkpoint that a reader blocks is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// So many blocked attempts in a row are an error: the WAL is growing.
const BLOCKED_LIMIT: u32 = 3;

/// The timer.
pub struct CheckpointTimer {
    every: Duration,
    writer: Writer,
    status: SharedStatus,
    guard: Guard,
    blocked: u32,
}

impl CheckpointTimer {
    /// A timer that asks every so often.
    #[must_use]
    pub fn new(every: Duration, writer: Writer, status: SharedStatus, guard: Guard) -> CheckpointTimer {
        CheckpointTimer { every, writer, status, guard, blocked: 0 }
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
        ctx.run_later(self.every, CheckpointTimer::ask);
    }
}

/// The writer's answer.
#[derive(Message)]
#[rtype(result = "()")]
struct Done(Result<Checkpoint, String>);

impl Handler<Done> for CheckpointTimer {
    type Result = ();

    fn handle(&mut self, Done(answer): Done, ctx: &mut Self::Context) {
        let wait = match answer {
            Ok(done) if done.busy => {
                self.blocked += 1;
                if self.blocked >= BLOCKED_LIMIT {
                    tracing::error!(
                        wal_bytes = done.wal_bytes,
                        attempts = self.blocked,
                        "checkpoints are blocked by a reader and the WAL grows; end the program that holds the file open"
                    );
                }
                RETRY.min(self.every)
            }
            Ok(_) => {
                self.blocked = 0;
                self.every
            }
            Err(error) => {
                self.blocked += 1;
                tracing::error!(error, "a checkpoint failed");
                RETRY.min(self.every)
            }
        };
        let mut status = self.status.lock();
        status.checkpoint_busy = self.blocked > 0;
        if self.blocked == 0 {
            status.last_checkpoint_at = Some(crate::clock::now());
        }
        drop(status);
        ctx.run_later(wait, CheckpointTimer::ask);
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

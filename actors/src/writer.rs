//! The writer's actor: stands in front of the dedicated thread that owns the database, shows how far the record is durable,
//! and notices a commit that hangs, which the thread itself cannot tell. Records themselves go straight to the thread's
//! bounded channel; whether the thread lives, the supervisor sees for itself.

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};
use neo_failpoint::Place;
use neo_store::writer::Writer;

use crate::guard::{Guard, SupervisorEvent};
use crate::messages::Beat;
use crate::status::SharedStatus;

/// How often the thread is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The watcher of the writer thread.
pub struct WriterWatch {
    writer: Writer,
    status: SharedStatus,
    guard: Guard,
    halt_told: bool,
}

impl WriterWatch {
    /// A watcher of this writer.
    #[must_use]
    pub fn new(writer: Writer, status: SharedStatus, guard: Guard) -> WriterWatch {
        WriterWatch { writer, status, guard, halt_told: false }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if let Err(injected) = neo_failpoint::hit(Place::WriterWatch) {
            self.guard.fault(injected);
            return ctx.stop();
        }
        if let (Some(halt), false) = (self.writer.halted(), self.halt_told) {
            self.halt_told = true;
            tracing::error!(%halt, "quoting is halted");
            self.guard.tell(SupervisorEvent::StorageRefuses { attempts: 1, error: halt.to_string() });
        }
        let mut status = self.status.lock();
        status.durable_seq = self.writer.durable();
        status.queued_records = self.writer.queued();
        status.wal_bytes = self.writer.wal_bytes();
        drop(status);
        ctx.run_later(LOOK, WriterWatch::look);
    }
}

impl Actor for WriterWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.look(ctx);
    }
}

impl Handler<Beat> for WriterWatch {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Self::Context) {
        self.guard.beat();
    }
}

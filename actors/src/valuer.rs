//! The valuer: what the account holds and what it is worth. The rules are in [`core`]; this is its mailbox.

pub mod core;
mod mark_outs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::{Actor, ActorContext, Context, Handler};
use neo_failpoint::Place;
use neo_store::record::Record;
use neo_store::writer::Writer;

use crate::clock::{monotonic_ms, now, to_utc};
use crate::guard::Guard;
use crate::messages::{Beat, ClosingValue, LedgerUpdate, TakeClosingValue};
use crate::outbox::Outbox;
use crate::status::SharedStatus;
use core::ValuerCore;

/// The valuer's mailbox.
pub struct Valuer {
    core: ValuerCore,
    writer: Writer,
    status: SharedStatus,
    guard: Guard,
    /// What the queue has no place for waits for the next ledger, or for the close.
    outbox: Outbox<Box<Record>>,
    /// The newest ledger that was worked through, for a feed that is started again.
    valued: Arc<AtomicU32>,
}

impl Valuer {
    /// A valuer that records through `writer`.
    #[must_use]
    pub fn new(core: ValuerCore, writer: Writer, status: SharedStatus, valued: Arc<AtomicU32>, guard: Guard) -> Valuer {
        Valuer { core, writer, status, guard, outbox: Outbox::default(), valued }
    }

    /// One that was given up records nothing any more: its successor does.
    fn record(&mut self, records: Vec<Record>) -> Result<(), String> {
        records.into_iter().for_each(|record| self.outbox.push(Box::new(record)));
        if self.guard.is_abandoned() {
            return Err("given up".to_string());
        }
        self.outbox.empty(|record| self.writer.offer(record)).map_err(|error| error.to_string())
    }

    fn update(&mut self, update: &LedgerUpdate) -> Result<(), String> {
        neo_failpoint::hit(Place::Valuer).map_err(|injected| injected.to_string())?;
        let records = self.core.on(update, now()).map_err(|error| error.to_string())?;
        self.record(records)?;
        self.valued.store(update.ledger.index, Ordering::Release);
        let (total, starting) = self.core.values().map_err(|error| error.to_string())?;
        let mut status = self.status.lock();
        status.ledger_index = update.ledger.index;
        status.close_time = Some(to_utc(update.ledger.close_time));
        status.best_bid = update.view.best(neo_market::Side::Bid);
        status.best_ask = update.view.best(neo_market::Side::Ask);
        let reference = update.reference.as_ref().ok();
        status.reference_price = reference.map(|reference| reference.price);
        status.price_sources = reference.map(|reference| reference.readings.clone()).unwrap_or_default();
        status.xrp_drops = update.account.xrp;
        status.rlusd = update.account.rlusd;
        status.audits.balances = self.core.unexplained_changes();
        status.total_value_rlusd = total;
        status.starting_value_rlusd = starting;
        Ok(())
    }

    fn close(&mut self) -> Result<ClosingValue, String> {
        neo_failpoint::hit(Place::Valuer).map_err(|injected| injected.to_string())?;
        let (records, closing) = self.core.close(now()).map_err(|error| error.to_string())?;
        self.record(records)?;
        match self.outbox.len() {
            0 => Ok(closing),
            waiting => {
                Err(format!("{waiting} records found no place in the record's queue, the closing value among them"))
            }
        }
    }
}

impl Actor for Valuer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(crate::MAILBOX_CAPACITY);
        tracing::debug!(actor = "valuer", at_ms = monotonic_ms(), "started");
    }
}

impl Handler<LedgerUpdate> for Valuer {
    type Result = ();

    fn handle(&mut self, update: LedgerUpdate, ctx: &mut Self::Context) {
        if let Err(cause) = self.update(&update) {
            self.guard.fault(cause);
            ctx.stop();
        }
    }
}

impl Handler<TakeClosingValue> for Valuer {
    type Result = Result<ClosingValue, String>;

    fn handle(&mut self, _: TakeClosingValue, _: &mut Self::Context) -> Self::Result {
        self.close()
    }
}

impl Handler<Beat> for Valuer {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Self::Context) {
        self.guard.beat();
    }
}

//! The orders: our offers, our sequence numbers, our key. The rules are in [`core`]; this is its mailbox.
//!
//! The core is shared with the supervisor, which asks it what is still open while the session is being closed.

pub mod adopt;
mod audit;
pub mod core;
mod delays;
mod desired;
pub mod fees;
mod last_look;
mod latency;
mod missing;
mod not_quoted;
mod overtaking;
mod quoting;
mod refusals;
mod sending;
mod settle;
mod stranger;
mod suspects;
mod tickets;
mod to_feed;
mod token_rules;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use neo_failpoint::Place;
use neo_store::record::Record;
use neo_store::writer::Writer;
use parking_lot::Mutex;

use crate::clock::now;
use crate::guard::{Guard, SupervisorEvent};
use crate::messages::{
    Beat, IntentsDurable, LedgerDone, LedgerUpdate, ListAgain, OrdersCommand, Submission, SubmissionReply,
};
use crate::outbox::Outbox;
use crate::status::{AuditStatus, Phase, SharedStatus};
use crate::tell::Tell;
use core::{OrdersCore, OrdersEffect, OrdersInput};
use to_feed::{ForFeed, ToFeed};

/// The core, shared between the actor and the supervisor.
pub type SharedOrders = Arc<Mutex<OrdersCore>>;

/// The orders' mailbox.
pub struct Orders {
    core: SharedOrders,
    writer: Writer,
    status: SharedStatus,
    guard: Guard,
    to_feed: ToFeed,
    live_told: bool,
    outbox: Outbox<Parcel>,
    /// A look at the outbox is due.
    looking: bool,
}

/// How often the outbox is looked at while something waits in it.
const LOOK: Duration = Duration::from_millis(50);

/// What goes to the writer.
enum Parcel {
    /// Nothing waits for it.
    One(Box<Record>),
    /// Intents: answered with `IntentsDurable` of this batch.
    Durable(u64, Vec<Record>),
}

/// Where the orders send what is for the node. Given after the start, and again when the feed was restarted.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct FeedLink {
    /// Signed transactions.
    pub submit: Tell<Submission>,
    /// "Done with this ledger".
    pub ledger_done: Tell<LedgerDone>,
    /// "List our offers again with the next ledger".
    pub list_again: Tell<ListAgain>,
}

impl Orders {
    /// Orders that record through `writer`.
    #[must_use]
    pub fn new(core: SharedOrders, writer: Writer, status: SharedStatus, guard: Guard) -> Orders {
        let (to_feed, outbox) = (ToFeed::default(), Outbox::default());
        Orders { core, writer, status, guard, to_feed, live_told: false, outbox, looking: false }
    }

    /// Every event finds the orders knowing how the record stands: nothing is signed that it may not take.
    fn feed(&mut self, input: OrdersInput<'_>, ctx: &mut Context<Self>) {
        match self.work(input, ctx) {
            Ok(()) => self.show(),
            Err(cause) => {
                self.guard.fault(cause);
                ctx.stop();
            }
        }
    }

    fn work(&mut self, input: OrdersInput<'_>, ctx: &mut Context<Self>) -> Result<(), String> {
        neo_failpoint::hit(Place::Orders).map_err(|injected| injected.to_string())?;
        let effects = {
            let mut core = self.core.lock();
            // Asked under the lock: whoever took the orders over has them from the moment it held it.
            if self.guard.is_abandoned() {
                ctx.stop();
                return Ok(());
            }
            neo_failpoint::hit(Place::OrdersState).map_err(|injected| injected.to_string())?;
            let halted = self.writer.halted().map(|halt| OrdersInput::RecordHalted(halt.to_string()));
            let told = halted.map_or(Ok(Vec::new()), |halted| core.on(halted, now()));
            let effects = told.and_then(|mut effects| {
                effects.extend(core.on(input, now())?);
                Ok(effects)
            });
            effects.map_err(|error| error.to_string())?
        };
        effects.into_iter().try_for_each(|effect| self.carry_out(effect, ctx))
    }

    fn carry_out(&mut self, effect: OrdersEffect, ctx: &mut Context<Self>) -> Result<(), String> {
        match effect {
            OrdersEffect::Record(records) => {
                records.into_iter().for_each(|record| self.outbox.push(Parcel::One(Box::new(record))));
                self.empty_outbox(ctx)?;
            }
            OrdersEffect::Persist { batch, records } => {
                self.outbox.push(Parcel::Durable(batch, records));
                self.empty_outbox(ctx)?;
            }
            OrdersEffect::Submit(submission) => self.tell_feed(ForFeed::Submit(submission), ctx),
            // Only the supervisor, which keeps the stop note, drives orders whose record is lost.
            OrdersEffect::SubmitUnrecorded(_) => return Err("the record is lost".to_string()),
            // A feed that is gone is restarted by the supervisor, and reads the newest ledger again by itself.
            OrdersEffect::LedgerDone(index) => self.tell_feed(ForFeed::Done(LedgerDone(index)), ctx),
            // The next list comes by itself, later: with the next audit, or when the feed is restarted.
            OrdersEffect::ListAgain => self.tell_feed(ForFeed::ListAgain, ctx),
            OrdersEffect::Elapsed => self.guard.tell(SupervisorEvent::Elapsed),
            OrdersEffect::Stranger(cause) => self.guard.tell(SupervisorEvent::Stranger { cause }),
            OrdersEffect::Risk(note) => self.guard.tell(SupervisorEvent::Risk(note)),
            OrdersEffect::Flat => self.guard.tell(SupervisorEvent::Flat),
            OrdersEffect::Broken(cause) => return Err(cause),
        }
        Ok(())
    }

    /// What finds no place waits: the halt that a full queue brings ends the session, not these records.
    fn empty_outbox(&mut self, ctx: &mut Context<Self>) -> Result<(), String> {
        let (writer, guard, address) = (&self.writer, &self.guard, ctx.address());
        let given = self.outbox.empty(|parcel| match parcel {
            Parcel::One(record) => writer.offer(record).map_err(|refused| refused.map(Parcel::One)),
            Parcel::Durable(batch, records) => {
                let (address, lost) = (address.clone(), guard.reporter());
                let ack = move |result: Result<u64, neo_store::WriteError>| {
                    let result = result.map(|_| ()).map_err(|error| error.to_string());
                    if let Err(error) = address.try_send(IntentsDurable { batch, result }) {
                        lost.fault(format!("the orders do not take the record's answer: {error}"));
                    }
                };
                let given = writer.offer_durably(records, Box::new(ack));
                given.map_err(|refused| refused.map(|records| Parcel::Durable(batch, records)))
            }
        });
        given.map_err(|error| error.to_string())?;
        if !self.outbox.is_empty() && !self.looking {
            self.looking = true;
            ctx.run_later(LOOK, |orders, ctx| {
                orders.looking = false;
                if let Err(cause) = orders.empty_outbox(ctx) {
                    orders.guard.fault(cause);
                    ctx.stop();
                }
            });
        }
        Ok(())
    }

    /// Without a feed the submission is answered as not sent: the intent stays, and the ledger tells its fate.
    fn tell_feed(&mut self, what: ForFeed, ctx: &mut Context<Self>) {
        if let Some(refused) = self.to_feed.tell(what) {
            not_taken(refused, ctx);
        }
    }

    fn show(&self) {
        let core = self.core.lock();
        let mut status = self.status.lock();
        status.quotes = core.quotes();
        status.in_flight = core.in_flight();
        status.trading_s = core.trading_s();
        (status.bid_fills, status.ask_fills) = core.fills();
        status.failed_transactions = core.failed_transactions();
        let balances = status.audits.balances;
        status.audits = AuditStatus { balances, ..core.audits() };
        (status.trips, status.trip_counts, status.refusals) = (core.trips(), core.trip_counts(), core.refusal_counts());
        status.withheld_reason = core.withheld().map(str::to_string);
        if status.phase != Phase::Stopping {
            status.phase = match (core.withheld(), self.live_told) {
                (_, false) => Phase::Starting,
                (Some(_), true) => Phase::Withheld,
                (None, true) => Phase::Quoting,
            };
        }
    }
}

impl Actor for Orders {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(crate::MAILBOX_CAPACITY);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let waiting = self.outbox.len();
        if waiting > 0 {
            tracing::error!(
                waiting,
                "records found no place until the end; the next session reads them from the ledger"
            );
        }
    }
}

impl Handler<LedgerUpdate> for Orders {
    type Result = ();

    fn handle(&mut self, update: LedgerUpdate, ctx: &mut Self::Context) {
        if !self.live_told {
            self.live_told = true;
            self.guard.tell(SupervisorEvent::Live);
        }
        self.feed(OrdersInput::Update(&update), ctx);
    }
}

impl Handler<IntentsDurable> for Orders {
    type Result = ();

    fn handle(&mut self, durable: IntentsDurable, ctx: &mut Self::Context) {
        self.feed(OrdersInput::Durable(durable), ctx);
    }
}

impl Handler<SubmissionReply> for Orders {
    type Result = ();

    fn handle(&mut self, reply: SubmissionReply, ctx: &mut Self::Context) {
        self.feed(OrdersInput::Reply(reply), ctx);
    }
}

impl Handler<OrdersCommand> for Orders {
    type Result = ();

    fn handle(&mut self, command: OrdersCommand, ctx: &mut Self::Context) {
        self.feed(OrdersInput::Command(command), ctx);
    }
}

/// The feed is gone. A transaction is answered for, anything else comes again with the feed that is started in its place.
fn not_taken((what, error): (ForFeed, String), ctx: &mut Context<Orders>) {
    match what {
        ForFeed::Submit(Submission { hash, .. }) => {
            let result = Err("not sent: the feed is not running".to_string());
            ctx.notify(SubmissionReply { hash, result, open_ledger_cost: None });
        }
        ForFeed::Done(_) | ForFeed::ListAgain => tracing::warn!(%error, "the feed does not listen"),
    }
}

impl Handler<FeedLink> for Orders {
    type Result = ();

    fn handle(&mut self, link: FeedLink, ctx: &mut Self::Context) {
        self.to_feed.open(link).into_iter().for_each(|refused| not_taken(refused, ctx));
    }
}

impl Handler<Beat> for Orders {
    type Result = ();

    /// The heartbeat is also how the triggers hear that time passes without a ledger.
    fn handle(&mut self, _: Beat, ctx: &mut Self::Context) {
        self.guard.beat();
        self.feed(OrdersInput::Tick, ctx);
    }
}

//! Drives the orders' state when their actor is lost, or when nothing can be recorded: cancels what is open, and follows
//! the ledger until it is gone. On the supervisor's thread, without a mailbox.
//!
//! With the record lost, cancels are the only thing that is sent without a durable intent: sending one twice takes
//! nothing away but the offer. Their hashes go to the stop note first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use neo_actors::clock::now;
use neo_actors::feed::OrdersLink;
use neo_actors::messages::{
    IntentsDurable, LedgerDone, LedgerUpdate, ListAgain, OrdersCommand, Submission, SubmissionReply,
};
use neo_actors::orders::core::{OrdersCore, OrdersEffect, OrdersInput};
use neo_actors::orders::{FeedLink, SharedOrders};
use neo_actors::panics;
use neo_actors::tell::to_queue;
use neo_store::record::Record;
use neo_store::writer::Writer;

use super::note::NoteBook;

/// What may wait; the feed keeps what does not fit, and a stop that cannot keep up says so.
const QUEUE: usize = 8_192;

/// What the feed and the writer say.
enum Word {
    Update(Box<LedgerUpdate>),
    Reply(SubmissionReply),
    Durable(IntentsDurable),
}

/// The stand-in.
pub struct StandIn {
    core: SharedOrders,
    writer: Writer,
    feed: FeedLink,
    inbox: (Sender<Word>, Receiver<Word>),
    /// How long the state may be held by another.
    patience: Duration,
    record_lost: bool,
    /// Records that nobody took.
    untold: u64,
    flat: bool,
}

impl StandIn {
    /// One that hears of nothing yet.
    #[must_use]
    pub fn new(core: SharedOrders, writer: Writer, feed: FeedLink, patience: Duration) -> StandIn {
        StandIn { core, writer, feed, inbox: bounded(QUEUE), patience, record_lost: false, untold: 0, flat: false }
    }

    /// Where it hears.
    #[must_use]
    pub fn link(&self) -> OrdersLink {
        let (updates, replies) = (self.inbox.0.clone(), self.inbox.0.clone());
        OrdersLink {
            updates: to_queue(updates, |update| Word::Update(Box::new(update))),
            replies: to_queue(replies, Word::Reply),
        }
    }

    /// The feed was started again.
    pub fn link_feed(&mut self, feed: FeedLink) {
        self.feed = feed;
    }

    /// Takes over: what was signed and not sent is forgotten, so that no quote leaves any more.
    ///
    /// # Errors
    /// When somebody holds the state.
    pub fn begin(&mut self, record_lost: bool, notes: &mut NoteBook) -> Result<(), String> {
        let records = self.with_core(|core| {
            if record_lost {
                core.lose_the_record();
            }
            core.forget_unsent(now())
        })?;
        self.record_lost = record_lost;
        self.record_unsent(records);
        self.pump(notes)
    }

    /// One message: an intent and its death become durable together, or neither does. A disk that refuses now may take
    /// it later.
    fn record_unsent(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let told = |result: Result<u64, neo_store::WriteError>| {
            if let Err(error) = result {
                tracing::error!(%error, "what was never sent is not in the record");
            }
        };
        if let Err(error) = self.writer.record_durably(records, Box::new(told)) {
            tracing::error!(%error, "what was never sent is not in the record");
        }
    }

    /// Nothing can be made durable any more.
    ///
    /// # Errors
    /// When somebody holds the state.
    pub fn lose_the_record(&mut self, notes: &mut NoteBook) -> Result<(), String> {
        if std::mem::replace(&mut self.record_lost, true) {
            return Ok(());
        }
        let records = self.with_core(|core| {
            core.lose_the_record();
            core.forget_unsent(now())
        })?;
        self.record_unsent(records);
        self.command(OrdersCommand::Withdraw, notes)
    }

    /// True when a validated ledger has shown that nothing of ours is left.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// Gives the orders a command.
    ///
    /// # Errors
    /// When somebody holds the state, or it cannot go on.
    pub fn command(&mut self, command: OrdersCommand, notes: &mut NoteBook) -> Result<(), String> {
        self.drive(OrdersInput::Command(command), notes)
    }

    /// Works through what was heard.
    ///
    /// # Errors
    /// When somebody holds the state, or it cannot go on.
    pub fn pump(&mut self, notes: &mut NoteBook) -> Result<(), String> {
        while let Ok(word) = self.inbox.1.try_recv() {
            match word {
                Word::Update(update) => self.drive(OrdersInput::Update(&update), notes)?,
                Word::Reply(reply) => self.drive(OrdersInput::Reply(reply), notes)?,
                // The record was lost meanwhile: these were forgotten.
                Word::Durable(durable) if self.record_lost || durable.result.is_err() => {}
                Word::Durable(durable) => self.drive(OrdersInput::Durable(durable), notes)?,
            }
        }
        Ok(())
    }

    fn drive(&mut self, input: OrdersInput<'_>, notes: &mut NoteBook) -> Result<(), String> {
        // What made the actor panic may be in the state itself: then it must not take the supervisor along.
        let effects = self.with_core(|core| catch_unwind(AssertUnwindSafe(|| core.on(input, now()))))?;
        let effects = match effects {
            Ok(Ok(effects)) => effects,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(panic) => return Err(format!("the orders' state panicked: {}", panics::message_of(&*panic))),
        };
        for effect in effects {
            self.carry_out(effect, notes);
        }
        Ok(())
    }

    fn with_core<T>(&self, work: impl FnOnce(&mut OrdersCore) -> T) -> Result<T, String> {
        match self.core.try_lock_for(self.patience) {
            Some(mut core) => Ok(work(&mut core)),
            None => Err("the orders are frozen and hold their state".to_string()),
        }
    }

    fn carry_out(&mut self, effect: OrdersEffect, notes: &mut NoteBook) {
        match effect {
            OrdersEffect::Record(records) => records.into_iter().for_each(|record| self.record(record)),
            OrdersEffect::Persist { batch, records } => self.persist(batch, records),
            OrdersEffect::Submit(submission) => self.submit(submission),
            OrdersEffect::SubmitUnrecorded(submissions) => {
                notes.sends(submissions.iter().map(|submission| submission.hash.to_string()));
                submissions.into_iter().for_each(|submission| self.submit(submission));
            }
            OrdersEffect::LedgerDone(index) => {
                if let Err(error) = (self.feed.ledger_done)(LedgerDone(index)) {
                    tracing::warn!(%error, "the feed does not listen");
                }
            }
            OrdersEffect::ListAgain => {
                if let Err(error) = (self.feed.list_again)(ListAgain) {
                    tracing::warn!(%error, "the feed does not listen");
                }
            }
            OrdersEffect::Flat => self.flat = true,
            // The session ends already; what could not be signed is tried again with the next ledger.
            OrdersEffect::Broken(cause) => tracing::error!(cause, "an offer cannot be withdrawn"),
            OrdersEffect::Elapsed | OrdersEffect::Stranger(_) | OrdersEffect::Risk(_) => {}
        }
    }

    fn record(&mut self, record: Record) {
        if let Err(error) = self.writer.record(record) {
            // The next session reads it again from the ledger's history.
            if self.untold == 0 {
                tracing::error!(%error, "what the ledger tells is not recorded any more");
            }
            self.untold = self.untold.saturating_add(1);
        }
    }

    fn persist(&mut self, batch: u64, records: Vec<Record>) {
        let answer = self.inbox.0.clone();
        let ack = move |result: Result<u64, neo_store::WriteError>| {
            let result = result.map(|_| ()).map_err(|error| error.to_string());
            if answer.try_send(Word::Durable(IntentsDurable { batch, result })).is_err() {
                tracing::error!(batch, "the record's answer did not reach the stop sequence");
            }
        };
        // A writer that refuses is found out by the keeper, and then the record counts as lost.
        if let Err(error) = self.writer.record_durably(records, Box::new(ack)) {
            tracing::error!(%error, "the cancels could not be recorded");
        }
    }

    fn submit(&mut self, submission: Submission) {
        let hash = submission.hash;
        let Err(error) = (self.feed.submit)(submission) else { return };
        let reply = SubmissionReply { hash, result: Err(format!("not sent: {error}")), open_ledger_cost: None };
        if self.inbox.0.try_send(Word::Reply(reply)).is_err() {
            tracing::error!(%hash, "a cancel could not be sent");
        }
    }
}

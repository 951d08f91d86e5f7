//! The feed: the only actor that talks to the network. The rules are in [`core`]; this is its mailbox and its socket.

pub mod core;

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, StreamHandler};
use neo_ledger::client::{self, ClientEvent};
use tokio::sync::mpsc;

use crate::clock::monotonic_ms;
use crate::guard::{Guard, SupervisorEvent};
use crate::messages::{Beat, LedgerDone, LedgerUpdate, Submission, SubmissionReply};
use core::{FeedCore, FeedEffect, FeedInput};

/// Messages of the node that may wait; a node closes a slow reader, so an engine this far behind starts afresh instead.
const SOCKET_QUEUE: usize = 8_192;
/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);

/// The feed's mailbox.
pub struct Feed {
    core: FeedCore,
    url: String,
    guard: Guard,
    connection: u64,
    outgoing: Option<mpsc::UnboundedSender<String>>,
    orders: Recipient<LedgerUpdate>,
    valuer: Recipient<LedgerUpdate>,
    replies: Recipient<SubmissionReply>,
    live_told: bool,
}

/// Something the socket of one connection said; `None` when its queue ended.
pub struct FromSocket {
    connection: u64,
    event: Option<ClientEvent>,
}

impl Feed {
    /// A feed that connects to `url` when it starts.
    #[must_use]
    pub fn new(
        core: FeedCore,
        url: String,
        guard: Guard,
        orders: Recipient<LedgerUpdate>,
        valuer: Recipient<LedgerUpdate>,
        replies: Recipient<SubmissionReply>,
    ) -> Feed {
        Feed { core, url, guard, connection: 0, outgoing: None, orders, valuer, replies, live_told: false }
    }

    fn feed(&mut self, input: FeedInput<'_>, ctx: &mut Context<Self>) {
        let done = match self.core.on(input, monotonic_ms()) {
            Ok(effects) => effects.into_iter().try_for_each(|effect| self.carry_out(effect, ctx)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(cause) = done {
            self.guard.fault(cause);
            ctx.stop();
        }
        if self.live_told != self.core.is_following() {
            self.live_told = self.core.is_following();
            self.guard.tell(SupervisorEvent::NodeSeen(self.live_told));
        }
    }

    fn carry_out(&mut self, effect: FeedEffect, ctx: &mut Context<Self>) -> Result<(), String> {
        match effect {
            FeedEffect::Connect => self.connect(ctx),
            FeedEffect::Disconnect(reason) => {
                // Dropping the sender ends the socket's task; what it still says belongs to an old connection.
                self.outgoing = None;
                self.connection += 1;
                self.feed(FeedInput::Disconnected(&reason), ctx);
            }
            FeedEffect::Send(text) => {
                if let Some(outgoing) = &self.outgoing
                    && outgoing.send(text).is_err()
                {
                    tracing::warn!("the socket is gone; its end is reported by itself");
                }
            }
            FeedEffect::Update(update) => {
                // The valuer first: at most speed the next ledger may only come when the orders are done, last of all.
                let behind = |who: &str, error: &dyn std::fmt::Display| format!("{who} does not keep up: {error}");
                self.valuer.try_send((*update).clone()).map_err(|error| behind("the valuer", &error))?;
                self.orders.try_send(*update).map_err(|error| behind("the orders", &error))?;
            }
            FeedEffect::Reply(reply) => {
                self.replies.try_send(reply).map_err(|error| format!("the orders do not listen: {error}"))?;
            }
            FeedEffect::Warn(reason) => tracing::warn!(actor = "feed", reason, url = self.url),
        }
        Ok(())
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        self.connection += 1;
        let connection = self.connection;
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::channel(SOCKET_QUEUE);
        self.outgoing = Some(outgoing);
        ctx.add_stream(futures_util::stream::unfold(Some(events), move |events| async move {
            let mut events = events?;
            let event = events.recv().await;
            let rest = event.is_some().then_some(events);
            Some((FromSocket { connection, event }, rest))
        }));
        // A full queue ends the connection: what is missing is read afresh, never skipped.
        let mut heard = Some(heard);
        actix::spawn(client::run(self.url.clone(), to_send, move |event| {
            if heard.as_ref().is_some_and(|queue| queue.try_send(event).is_err()) {
                heard = None;
            }
        }));
    }
}

impl Actor for Feed {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(crate::MAILBOX_CAPACITY);
        self.feed(FeedInput::Tick, ctx);
        ctx.run_later(TICK, Feed::tick);
    }
}

impl Feed {
    /// Re-armed after each run: an interval would fire many times in a row after the machine slept.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.feed(FeedInput::Tick, ctx);
        ctx.run_later(TICK, Feed::tick);
    }
}

impl StreamHandler<FromSocket> for Feed {
    fn handle(&mut self, said: FromSocket, ctx: &mut Self::Context) {
        if said.connection != self.connection {
            return;
        }
        match said.event {
            Some(ClientEvent::Connected) => self.feed(FeedInput::Connected, ctx),
            Some(ClientEvent::Text(text)) => self.feed(FeedInput::Text(&text), ctx),
            Some(ClientEvent::Closed { code, reason }) => {
                let code = code.map_or_else(|| "no code".to_string(), |code| format!("code {code}"));
                self.lost(&format!("the node closed the connection ({code}) {reason}"), ctx);
            }
            Some(ClientEvent::Failed { error }) => self.lost(&error, ctx),
            None => self.lost("the engine fell behind the node's messages", ctx),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The default stops the actor; here only one connection is over, and the core opens the next.
    }
}

impl Feed {
    fn lost(&mut self, reason: &str, ctx: &mut Context<Self>) {
        self.outgoing = None;
        self.connection += 1;
        self.feed(FeedInput::Disconnected(reason), ctx);
    }
}

impl Handler<Submission> for Feed {
    type Result = ();

    fn handle(&mut self, submission: Submission, ctx: &mut Self::Context) {
        self.feed(FeedInput::Submit(submission), ctx);
    }
}

impl Handler<LedgerDone> for Feed {
    type Result = ();

    fn handle(&mut self, done: LedgerDone, ctx: &mut Self::Context) {
        self.feed(FeedInput::LedgerDone(done.0), ctx);
    }
}

impl Handler<Beat> for Feed {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Self::Context) {
        self.guard.beat();
    }
}

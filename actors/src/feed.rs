//! The feed: the only actor that talks to the network. The rules are in [`core`]; this is its mailbox and its socket.

pub mod budget;
pub mod core;
mod listeners;
pub mod nodes;
pub mod standby;

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use neo_failpoint::Place;
use neo_ledger::client::{self, ClientEvent};

use crate::clock::monotonic_ms;
use crate::guard::{Guard, SupervisorEvent};
use crate::messages::{Beat, LedgerDone, Submission};
use crate::socket::{self, SocketTask};
use core::{FeedCore, FeedEffect, FeedInput};
pub use listeners::{Listeners, OrdersLink, Relink, ValuerLink};

/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);

/// The feed's mailbox.
pub struct Feed {
    core: FeedCore,
    url: String,
    guard: Guard,
    connection: u64,
    socket: Option<SocketTask>,
    /// A socket's task that shows no sign of life for so long is given up.
    frozen_ms: u64,
    listeners: Listeners,
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
    pub fn new(core: FeedCore, url: String, guard: Guard, frozen_ms: u64, listeners: Listeners) -> Feed {
        Feed { core, url, guard, connection: 0, socket: None, frozen_ms, listeners, live_told: false }
    }

    fn feed(&mut self, input: FeedInput<'_>, ctx: &mut Context<Self>) {
        if self.guard.is_abandoned() {
            return ctx.stop();
        }
        let done = match neo_failpoint::hit(Place::Feed) {
            Ok(()) => self.work(input, ctx),
            Err(injected) => Err(injected.to_string()),
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

    fn work(&mut self, input: FeedInput<'_>, ctx: &mut Context<Self>) -> Result<(), String> {
        let effects = self.core.on(input, monotonic_ms()).map_err(|error| error.to_string())?;
        for effect in effects {
            self.carry_out(effect, ctx);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: FeedEffect, ctx: &mut Context<Self>) {
        match effect {
            FeedEffect::Connect => self.connect(ctx),
            FeedEffect::Disconnect(reason) => self.lost(&reason, ctx),
            FeedEffect::Send(text) => {
                if self.socket.as_ref().is_some_and(|socket| !socket.send(text)) {
                    tracing::warn!("the socket is gone; its end is reported by itself");
                }
            }
            FeedEffect::Update(update) => self.listeners.update(*update, &self.guard),
            FeedEffect::Reply(reply) => self.listeners.reply(reply, &self.guard),
            FeedEffect::Warn(reason) => tracing::warn!(actor = "feed", reason, url = client::shown_url(&self.url)),
        }
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        self.connection += 1;
        let connection = self.connection;
        let (socket, events) = SocketTask::start(self.url.clone());
        self.socket = Some(socket);
        ctx.add_stream(futures_util::stream::unfold(Some(events), move |events| async move {
            let mut events = events?;
            let event = events.recv().await;
            let rest = event.is_some().then_some(events);
            Some((FromSocket { connection, event }, rest))
        }));
    }

    /// Dropping the socket ends its task; what it still says belongs to an old connection.
    fn lost(&mut self, reason: &str, ctx: &mut Context<Self>) {
        self.socket = None;
        self.connection += 1;
        self.feed(FeedInput::Disconnected(reason), ctx);
    }

    /// The socket's task died or froze: that is a fault, and a new connection puts it right.
    fn socket_failed(&mut self, cause: &str, ctx: &mut Context<Self>) {
        if let Some(socket) = &self.socket {
            socket.abort();
        }
        let action = "a new connection is opened, and what was missed is read afresh";
        self.guard.tell(SupervisorEvent::Mended { part: socket::NAME, cause: cause.to_string(), action });
        self.lost(cause, ctx);
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
        let now_ms = monotonic_ms();
        if self.socket.as_ref().is_some_and(|socket| socket.is_frozen(now_ms, self.frozen_ms)) {
            self.socket_failed("the socket's task is frozen", ctx);
        }
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
            Some(ClientEvent::Busy { error } | ClientEvent::Failed { error }) => self.lost(&error, ctx),
            None if self.socket.as_ref().is_some_and(SocketTask::is_overrun) => {
                self.lost("the engine fell behind the node's messages", ctx);
            }
            None => self.socket_failed("the socket's task ended without a word", ctx),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        // The default stops the actor; here only one connection is over, and the core opens the next.
    }
}

impl Handler<Relink> for Feed {
    type Result = ();

    fn handle(&mut self, relink: Relink, _: &mut Self::Context) {
        self.listeners.relink(relink, &self.guard);
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

//! The feed: the only actor that talks to the network. The rules are in [`core`]; this is its mailbox and its socket.

pub mod budget;
pub mod core;
mod listeners;
pub mod looks;
pub mod market;
pub mod nodes;
pub mod standby;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use neo_failpoint::Place;
use neo_ledger::client::{self, ClientEvent, Endpoint};
use neo_ledger::recording::{Direction, Source};

use crate::clock::monotonic_ms;
use crate::guard::{Guard, SupervisorEvent};
use crate::messages::{Beat, CloseSoon, LedgerDone, ListAgain, Submission};
use crate::outside::OutsideSlot;
use crate::recording::Recorder;
use crate::socket::{self, SocketTask};
use core::{FeedCore, FeedEffect, FeedInput, SecondEffect, SecondInput};
pub use listeners::{Listeners, OrdersLink, Relink, ValuerLink};
use nodes::Parting;

/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);

/// The feed's mailbox.
pub struct Feed {
    core: FeedCore,
    nodes: Vec<Endpoint>,
    guard: Guard,
    /// Connections that were opened so far: each has a number of its own.
    connections: u64,
    first: Line,
    second: Line,
    /// A socket's task that shows no sign of life for so long is given up.
    frozen_ms: u64,
    listeners: Listeners,
    seen_told: bool,
    recorder: Option<Recorder>,
    outside: OutsideSlot,
}

/// One of the two connections.
#[derive(Default)]
struct Line {
    connection: u64,
    /// The node's address, as it may be shown.
    node: Option<Arc<str>>,
    socket: Option<SocketTask>,
}

impl Line {
    fn send(&self, text: String) {
        if self.socket.as_ref().is_some_and(|socket| !socket.send(text)) {
            tracing::warn!("the socket is gone; its end is reported by itself");
        }
    }

    fn is_frozen(&self, frozen_ms: u64) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.is_frozen(monotonic_ms(), frozen_ms))
    }
}

/// Something the socket of one connection said; `None` when its queue ended.
pub struct FromSocket {
    connection: u64,
    event: Option<ClientEvent>,
}

impl Feed {
    /// A feed that connects to one of `nodes` when it starts.
    #[must_use]
    pub fn new(core: FeedCore, nodes: Vec<Endpoint>, guard: Guard, frozen_ms: u64, listeners: Listeners) -> Feed {
        let (first, second) = (Line::default(), Line::default());
        Feed {
            core,
            nodes,
            guard,
            connections: 0,
            first,
            second,
            frozen_ms,
            listeners,
            seen_told: false,
            recorder: None,
            outside: OutsideSlot::default(),
        }
    }

    /// The same, with a price from outside of the ledger.
    #[must_use]
    pub fn with_outside(self, outside: OutsideSlot) -> Feed {
        Feed { outside, ..self }
    }

    /// The same, with every message of both connections recorded.
    #[must_use]
    pub fn recorded_by(self, recorder: Option<Recorder>) -> Feed {
        Feed { recorder, ..self }
    }

    fn record(&self, connection: u64, direction: Direction, text: &str) {
        if let Some(recorder) = &self.recorder {
            let line = [&self.first, &self.second].into_iter().find(|line| line.connection == connection);
            let node = line.and_then(|line| line.node.clone());
            recorder.message(Source { conn: connection, node }, direction, text);
        }
    }

    fn record_gap(&self, connection: u64, reason: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.gap(&format!("connection {connection}: {reason}"));
        }
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
        if self.seen_told != self.core.sees_node() {
            self.seen_told = self.core.sees_node();
            self.guard.tell(SupervisorEvent::NodeSeen(self.seen_told));
        }
    }

    fn work(&mut self, input: FeedInput<'_>, ctx: &mut Context<Self>) -> Result<(), String> {
        if let Some(news) = self.outside.take() {
            self.core.hear_outside(news);
        }
        let effects = self.core.on(input, monotonic_ms()).map_err(|error| error.to_string())?;
        for effect in effects {
            self.carry_out(effect, ctx);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: FeedEffect, ctx: &mut Context<Self>) {
        match effect {
            FeedEffect::Connect(node) => self.first = self.connect(node, ctx),
            FeedEffect::Disconnect(parting, reason) => self.lost(parting, &reason, ctx),
            FeedEffect::Send(text) => {
                self.record(self.first.connection, Direction::Sent, &text);
                self.first.send(text);
            }
            FeedEffect::Second(SecondEffect::Connect(node)) => self.second = self.connect(node, ctx),
            FeedEffect::Second(SecondEffect::Send(text)) => {
                self.record(self.second.connection, Direction::Sent, &text);
                self.second.send(text);
            }
            FeedEffect::Second(SecondEffect::Disconnect(parting, reason)) => self.second_lost(parting, &reason, ctx),
            FeedEffect::Second(SecondEffect::Promote) => {
                self.first = std::mem::take(&mut self.second);
                tracing::warn!(actor = "feed", url = self.url(), "the node that stood by is followed now");
                self.feed(FeedInput::Connected, ctx);
            }
            FeedEffect::Update(update) => self.listeners.update(*update, &self.guard),
            FeedEffect::Reply(reply) => self.listeners.reply(reply, &self.guard),
            FeedEffect::Warn(reason) => tracing::warn!(actor = "feed", reason, url = self.url()),
            FeedEffect::OtherWorld(cause) => {
                tracing::error!(actor = "feed", cause, url = self.url());
                self.guard.tell(SupervisorEvent::OtherWorld { cause });
            }
        }
    }

    /// Of the node that is followed, as it may be shown.
    fn url(&self) -> String {
        self.nodes.get(self.core.node()).map(|node| client::shown_url(&node.url)).unwrap_or_default()
    }

    fn connect(&mut self, node: usize, ctx: &mut Context<Self>) -> Line {
        self.connections += 1;
        let connection = self.connections;
        // The core counts the same nodes: there is one of this place.
        let Some(endpoint) = self.nodes.get(node).cloned() else { return Line::default() };
        let node = Some(client::shown_url(&endpoint.url).into());
        let (socket, events) = SocketTask::start(endpoint);
        ctx.add_stream(futures_util::stream::unfold(Some(events), move |events| async move {
            let mut events = events?;
            let event = events.recv().await;
            let rest = event.is_some().then_some(events);
            Some((FromSocket { connection, event }, rest))
        }));
        Line { connection, node, socket: Some(socket) }
    }

    /// Dropping the socket ends its task; what it still says belongs to an old connection.
    fn lost(&mut self, parting: Parting, reason: &str, ctx: &mut Context<Self>) {
        self.record_gap(self.first.connection, reason);
        self.first = Line::default();
        self.feed(FeedInput::Disconnected(parting, reason), ctx);
    }

    fn second_lost(&mut self, parting: Parting, reason: &str, ctx: &mut Context<Self>) {
        self.record_gap(self.second.connection, reason);
        self.second = Line::default();
        self.feed(FeedInput::Second(SecondInput::Disconnected(parting, reason)), ctx);
    }

    /// The socket's task died or froze: that is a fault, and a new connection puts it right.
    fn socket_failed(&mut self, cause: &str, ctx: &mut Context<Self>) {
        if let Some(socket) = &self.first.socket {
            socket.abort();
        }
        let action = "a new connection is opened, and what was missed is read afresh";
        self.guard.tell(SupervisorEvent::Mended { part: socket::NAME, cause: cause.to_string(), action });
        self.lost(Parting::Lost, cause, ctx);
    }

    fn said_on_first(&mut self, event: Option<ClientEvent>, ctx: &mut Context<Self>) {
        match event {
            Some(ClientEvent::Connected) => self.feed(FeedInput::Connected, ctx),
            Some(ClientEvent::Text(text)) => self.feed(FeedInput::Text(&text), ctx),
            None if self.first.socket.as_ref().is_some_and(SocketTask::is_overrun) => {
                self.lost(Parting::TooSlow, "the engine fell behind the node's messages", ctx);
            }
            None => self.socket_failed("the socket's task ended without a word", ctx),
            Some(ended) => {
                let (parting, reason) = how_it_ended(ended);
                self.lost(parting, &reason, ctx);
            }
        }
    }

    fn said_on_second(&mut self, event: Option<ClientEvent>, ctx: &mut Context<Self>) {
        match event {
            Some(ClientEvent::Connected) => self.feed(FeedInput::Second(SecondInput::Connected), ctx),
            Some(ClientEvent::Text(text)) => self.feed(FeedInput::Second(SecondInput::Text(&text)), ctx),
            None => self.second_lost(Parting::Lost, "the socket's task ended without a word", ctx),
            Some(ended) => {
                let (parting, reason) = how_it_ended(ended);
                self.second_lost(parting, &reason, ctx);
            }
        }
    }
}

/// Why a connection is over, from its last event.
fn how_it_ended(event: ClientEvent) -> (Parting, String) {
    match event {
        ClientEvent::Closed { code, reason } => {
            let shown = code.map_or_else(|| "no code".to_string(), |code| format!("code {code}"));
            (Parting::of_close(code, &reason), format!("the node closed the connection ({shown}) {reason}"))
        }
        ClientEvent::Busy { error } => (Parting::Overloaded, error),
        ClientEvent::Failed { error } => (Parting::Lost, error),
        ClientEvent::Connected | ClientEvent::Text(_) => (Parting::Lost, "it goes on".to_string()),
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
        if self.first.is_frozen(self.frozen_ms) {
            self.socket_failed("the socket's task is frozen", ctx);
        }
        if self.second.is_frozen(self.frozen_ms) {
            self.second_lost(Parting::Lost, "the socket's task is frozen", ctx);
        }
        self.feed(FeedInput::Tick, ctx);
        ctx.run_later(TICK, Feed::tick);
    }
}

impl StreamHandler<FromSocket> for Feed {
    fn handle(&mut self, said: FromSocket, ctx: &mut Self::Context) {
        let is_current = [self.first.connection, self.second.connection].contains(&said.connection);
        if let Some(ClientEvent::Text(text)) = said.event.as_ref().filter(|_| is_current) {
            self.record(said.connection, Direction::Recv, text);
        }
        if said.connection == self.first.connection {
            self.said_on_first(said.event, ctx);
        } else if said.connection == self.second.connection {
            self.said_on_second(said.event, ctx);
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

impl Handler<ListAgain> for Feed {
    type Result = ();

    fn handle(&mut self, _: ListAgain, ctx: &mut Self::Context) {
        self.feed(FeedInput::ListAgain, ctx);
    }
}

impl Handler<CloseSoon> for Feed {
    type Result = ();

    fn handle(&mut self, _: CloseSoon, ctx: &mut Self::Context) {
        self.feed(FeedInput::CloseSoon, ctx);
    }
}

impl Handler<Beat> for Feed {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Self::Context) {
        self.guard.beat();
    }
}

//! All cores and a simulated ledger in one thread over virtual time: no mailbox, no socket, no database, no clock.
//!
//! Every message between two cores passes through [`Driver::step`], one at a time, in the order in which they were sent; it
//! takes a millisecond, and where none is under way time goes on by itself. The same node, configuration and [`Hooks`] give
//! the same records, to the byte. `neo backtest` is this with hooks that count; the tests' runner is this with hooks that
//! lose, double, delay and cut, and that look at what must always be true.

mod behind;
mod hooks;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use neo_actors::feed::core::{FeedConfig, FeedCore, FeedEffect, FeedInput};
use neo_actors::feed::nodes::Parting;
use neo_actors::messages::{IntentsDurable, LedgerUpdate, OrdersCommand};
use neo_actors::orders::core::{OrdersConfig, OrdersCore, OrdersEffect, OrdersInput};
use neo_actors::valuer::core::ValuerCore;
use neo_ledger::keys::Keypair;
use neo_sim::{ConnectionId, Node, Outgoing};
use neo_store::record::Record;

use behind::Behind;
pub use hooks::{DriveError, Event, Fate, Hooks, Moment};

/// How far time goes on when nothing is under way, in milliseconds.
const IDLE_MS: u64 = 250;

/// Processor time that the parts took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The ledger: the market, its transactions, answers and messages.
    pub node: Duration,
    /// The feed: from messages to complete ledgers.
    pub feed: Duration,
    /// The orders: what to quote, and signatures.
    pub orders: Duration,
    /// The valuer.
    pub valuer: Duration,
}

/// The engine's cores and their ledger.
pub struct Driver {
    /// The ledger.
    pub node: Node,
    /// Follows it.
    pub feed: FeedCore,
    /// Quotes on it.
    pub orders: OrdersCore,
    /// Values what is owned.
    pub valuer: ValuerCore,
    /// Ledgers that the engine was told of.
    pub updates: u64,
    /// Nothing of ours is on the ledger or under way, and nothing is wanted there.
    pub flat: bool,
    /// What the parts took.
    pub spent: Spent,
    epoch: DateTime<Utc>,
    queue: VecDeque<Event>,
    /// What the orders record behind intents that are in the queue.
    behind: Behind,
    connection: Option<ConnectionId>,
    now_ms: u64,
    idle_ms: u64,
    steps: u64,
    /// Closes a ledger when nothing was under way for so long, as a network does that waits for nobody.
    network_ms: Option<u64>,
    last_update: (u32, u64),
}

impl Driver {
    /// Cores that have not connected yet. Virtual time begins at `epoch`.
    #[must_use]
    pub fn new(node: Node, feed: FeedConfig, orders: OrdersConfig, key: Keypair, epoch: DateTime<Utc>) -> Driver {
        Driver {
            node,
            feed: FeedCore::new(feed),
            orders: OrdersCore::new(orders, key),
            valuer: ValuerCore::new(),
            updates: 0,
            flat: false,
            spent: Spent::default(),
            epoch,
            queue: VecDeque::new(),
            behind: Behind::default(),
            connection: None,
            now_ms: 0,
            idle_ms: 0,
            steps: 0,
            network_ms: None,
            last_update: (0, 0),
        }
    }

    /// Ledgers close whether the engine asks for them or not: when nothing was under way for `interval_ms`.
    pub fn close_every(&mut self, interval_ms: u64) {
        self.network_ms = Some(interval_ms);
    }

    /// Where virtual time stands.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { step: self.steps, ms: self.now_ms }
    }

    /// Virtual time as a date.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        TimeDelta::try_milliseconds(ms).and_then(|since| self.epoch.checked_add_signed(since)).unwrap_or(self.epoch)
    }

    /// The last ledger that the engine was told of, and the time since then in milliseconds.
    #[must_use]
    pub fn last_update(&self) -> (u32, u64) {
        (self.last_update.0, self.now_ms.saturating_sub(self.last_update.1))
    }

    /// True when no message is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The engine is gone, its connection with it; the ledger lives on.
    #[must_use]
    pub fn into_node(mut self) -> Node {
        self.disconnect();
        self.node
    }

    /// The next message arrives, or where none is under way time goes on and time-outs are looked at.
    ///
    /// # Errors
    /// [`DriveError`].
    pub fn step(&mut self, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        self.steps += 1;
        let Some(event) = self.queue.pop_front() else {
            self.now_ms += IDLE_MS;
            self.idle_ms += IDLE_MS;
            self.feed_in(FeedInput::Tick, hooks)?;
            if self.network_ms.is_some_and(|interval_ms| self.idle_ms >= interval_ms) {
                self.idle_ms = 0;
                let said = self.node.close_ledger();
                self.hear(said);
            }
            return Ok(());
        };
        self.now_ms += 1;
        self.idle_ms = 0;
        match hooks.fate(self.moment(), &event) {
            Fate::Lost => return Ok(()),
            Fate::Late => {
                self.queue.push_back(event);
                return Ok(());
            }
            Fate::Doubled => self.queue.push_back(event.clone()),
            Fate::Arrives => {}
        }
        self.arrive(event, hooks)
    }

    /// Cuts the connection; the feed connects again by itself.
    pub fn cut(&mut self) {
        self.queue.push_front(Event::Cut);
    }

    /// A command of the operator for the orders, behind what is under way.
    pub fn command(&mut self, command: OrdersCommand) {
        self.queue.push_back(Event::Command(command));
    }

    /// The orders are told at once.
    ///
    /// # Errors
    /// [`DriveError`].
    pub fn tell_orders(&mut self, command: OrdersCommand, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        self.orders_in(OrdersInput::Command(command), hooks)
    }

    /// What waits for the record never gets there.
    pub fn forget_intents(&mut self) {
        self.queue.retain(|event| !matches!(event, Event::Persist(..) | Event::Durable(_)));
    }

    fn arrive(&mut self, event: Event, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        match event {
            Event::Connect => {
                self.connection = Some(self.node.connect());
                self.feed_in(FeedInput::Connected, hooks)
            }
            Event::Cut => {
                self.disconnect();
                self.queue.retain(|event| !matches!(event, Event::ToNode(_) | Event::FromNode(_)));
                self.feed_in(FeedInput::Disconnected(Parting::Lost, "cut"), hooks)
            }
            Event::ToNode(text) => {
                self.tell_node(&text);
                Ok(())
            }
            Event::FromNode(text) => self.feed_in(FeedInput::Text(&text), hooks),
            Event::Update(update) => self.update(&update, hooks),
            Event::Reply(reply) => self.orders_in(OrdersInput::Reply(reply), hooks),
            Event::Persist(batch, records) => {
                hooks.intents(self.moment(), records);
                self.record_what_waited(hooks);
                self.queue.push_back(Event::Durable(batch));
                Ok(())
            }
            Event::Durable(batch) => {
                self.orders_in(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) }), hooks)
            }
            Event::Submit(submission) => self.feed_in(FeedInput::Submit(submission), hooks),
            Event::ListAgain => self.feed_in(FeedInput::ListAgain, hooks),
            Event::Done(index) => self.feed_in(FeedInput::LedgerDone(index), hooks),
            Event::Command(command) => self.orders_in(OrdersInput::Command(command), hooks),
        }
    }

    fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.node.disconnect(connection);
        }
    }

    fn tell_node(&mut self, text: &str) {
        let Some(connection) = self.connection else { return };
        let begun = Instant::now();
        let said = self.node.request(connection, text);
        self.spent.node += begun.elapsed();
        self.hear(said);
    }

    /// What the node said is under way, and a fault of the scenario's own cuts.
    fn hear(&mut self, said: Vec<Outgoing>) {
        let ours = said.into_iter().filter(|out| Some(out.connection) == self.connection);
        self.queue.extend(ours.map(|out| Event::FromNode(out.text)));
        if self.node.take_cuts().iter().any(|(id, _)| Some(*id) == self.connection) {
            self.cut();
        }
    }

    fn update(&mut self, update: &LedgerUpdate, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        self.updates += 1;
        self.last_update = (update.ledger.index, self.now_ms);
        let begun = Instant::now();
        let records = self.valuer.on(update, self.now())?;
        self.spent.valuer += begun.elapsed();
        self.record(records, hooks);
        self.orders_in(OrdersInput::Update(update), hooks)?;
        hooks.worked_through(update);
        Ok(())
    }

    /// Intents that are under way: their batches.
    fn batches(queue: &VecDeque<Event>) -> impl Iterator<Item = u64> {
        queue.iter().filter_map(|event| match event {
            Event::Persist(batch, _) => Some(*batch),
            _ => None,
        })
    }

    fn record_what_waited(&mut self, hooks: &mut impl Hooks) {
        let records = self.behind.pop(Self::batches(&self.queue));
        self.record(records, hooks);
    }

    fn record(&mut self, records: Vec<Record>, hooks: &mut impl Hooks) {
        let at = self.moment();
        records.into_iter().for_each(|record| hooks.record(at, record));
    }

    fn feed_in(&mut self, input: FeedInput<'_>, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        let begun = Instant::now();
        let effects = self.feed.on(input, self.now_ms)?;
        self.spent.feed += begun.elapsed();
        for effect in effects {
            match effect {
                FeedEffect::Connect(_) => self.queue.push_back(Event::Connect),
                FeedEffect::Disconnect(..) => self.cut(),
                FeedEffect::Second(effect) => {
                    let what = format!("the feed wants a second node, and there is one: {effect:?}; report it");
                    return Err(DriveError::Broken(what));
                }
                FeedEffect::Send(text) => self.queue.push_back(Event::ToNode(text)),
                FeedEffect::Update(update) => self.queue.push_back(Event::Update(update)),
                FeedEffect::Reply(reply) => self.queue.push_back(Event::Reply(reply)),
                FeedEffect::Warn(reason) | FeedEffect::OtherWorld(reason) => hooks.warned(self.moment(), &reason),
            }
        }
        Ok(())
    }

    fn orders_in(&mut self, input: OrdersInput<'_>, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        let begun = Instant::now();
        let effects = self.orders.on(input, self.now())?;
        self.spent.orders += begun.elapsed();
        for effect in effects {
            let answer = match effect {
                OrdersEffect::Elapsed => hooks.elapsed(),
                OrdersEffect::Risk(note) => hooks.risk(note),
                effect => {
                    self.carry_out(effect, hooks)?;
                    None
                }
            };
            if let Some(command) = answer {
                self.tell_orders(command, hooks)?;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: OrdersEffect, hooks: &mut impl Hooks) -> Result<(), DriveError> {
        match effect {
            OrdersEffect::Record(records) => {
                self.behind.push(Self::batches(&self.queue), records);
                self.record_what_waited(hooks);
            }
            OrdersEffect::Persist { batch, records } => {
                hooks.signed(&records);
                self.queue.push_back(Event::Persist(batch, records));
            }
            OrdersEffect::Submit(submission) => self.queue.push_back(Event::Submit(submission)),
            OrdersEffect::SubmitUnrecorded(submissions) => {
                hooks.unrecorded(&submissions);
                self.queue.extend(submissions.into_iter().map(Event::Submit));
            }
            OrdersEffect::LedgerDone(index) => self.queue.push_back(Event::Done(index)),
            OrdersEffect::ListAgain => self.queue.push_back(Event::ListAgain),
            OrdersEffect::Flat => self.flat = true,
            OrdersEffect::Stranger(cause) => hooks.stranger(cause)?,
            OrdersEffect::Broken(cause) => return Err(DriveError::Broken(cause)),
            // Answered where they come from.
            OrdersEffect::Elapsed | OrdersEffect::Risk(_) => {}
        }
        Ok(())
    }
}

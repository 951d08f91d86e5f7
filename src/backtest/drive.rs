//! All cores and a simulated ledger in one thread over virtual time: no mailbox, no socket, no database, no clock.
//!
//! What `tests/runner` does for faults, here for speed: a message goes from one core to the next as it comes, what is
//! recorded goes to whoever asked for the run, and intents are durable as soon as they are named. The same node and
//! configuration give the same records, to the byte: `recorded_at` is virtual time too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use neo_actors::feed::core::{Closes, FeedConfig, FeedCore, FeedEffect, FeedError, FeedInput};
use neo_actors::feed::looks::Looks;
use neo_actors::feed::nodes::Parting;
use neo_actors::messages::{IntentsDurable, LedgerUpdate, OrdersCommand, Submission, SubmissionReply};
use neo_actors::orders::core::{OrdersConfig, OrdersCore, OrdersEffect, OrdersError, OrdersInput};
use neo_actors::orders::watch::WatchStart;
use neo_actors::valuer::core::ValuerCore;
use neo_ledger::keys::Keypair;
use neo_market::{AmountError, Drops, Rounding, TriggerEvent, TripAction};
use neo_sim::{ConnectionId, Node};
use neo_store::record::Record;
use thiserror::Error;

use crate::config::Config;

/// How far time goes on when nothing is under way, in milliseconds.
const IDLE_MS: u64 = 250;
/// So long without a ledger, and the run is stuck: an hour of virtual time.
const STUCK_MS: u64 = 3_600_000;

/// Why a run cannot go on.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The feed cannot.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The orders cannot.
    #[error(transparent)]
    Orders(#[from] OrdersError),
    /// Amounts that do not add up.
    #[error("amounts do not add up: {0}")]
    Amount(#[from] AmountError),
    /// No ledger came any more.
    #[error("no ledger came for an hour after ledger {ledger}; the market ends there, or report it")]
    Stuck {
        /// The last one.
        ledger: u32,
    },
    /// Somebody else trades on the account.
    #[error("another program trades on the account: {0}; give sim.maker an account of its own, or leave it out")]
    Stranger(String),
    /// Something of what was wanted cannot be signed.
    #[error("{0}")]
    Broken(String),
}

/// A message on its way.
enum Event {
    Connect,
    ListAgain,
    Cut,
    ToNode(String),
    FromNode(String),
    Update(Box<LedgerUpdate>),
    Reply(SubmissionReply),
    Durable(u64),
    Submit(Submission),
    Done(u32),
}

/// What a run took.
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

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Ledgers that the engine was told of.
    pub ledgers: u64,
    /// Nothing of ours was left on the ledger.
    pub flat: bool,
    /// Triggers that tripped. One that stops ends the trading; one that latches does too, as nobody is there to resume.
    pub trips: u64,
    /// What it took.
    pub spent: Spent,
}

/// The cores and their ledger; `sink` is given every record, in order.
pub struct Bench<S> {
    node: Node,
    feed: FeedCore,
    orders: OrdersCore,
    valuer: ValuerCore,
    sink: S,
    queue: VecDeque<Event>,
    connection: Option<ConnectionId>,
    now_ms: u64,
    last_ledger: (u32, u64),
    ended: Ended,
}

impl<S: FnMut(Record)> Bench<S> {
    /// Cores that have not connected yet. They trade for `trade_for_s` seconds of the ledger's time and then withdraw.
    ///
    /// # Errors
    /// An amount of the configuration that cannot be.
    pub fn new(node: Node, config: &Config, key: Keypair, trade_for_s: u32, sink: S) -> Result<Bench<S>, DriveError> {
        let feed = feed_config(&node, config, &key)?;
        let orders = orders_config(&node, config, trade_for_s);
        Ok(Bench {
            node,
            feed: FeedCore::new(feed),
            orders: OrdersCore::new(orders, key),
            valuer: ValuerCore::new(),
            sink,
            queue: VecDeque::new(),
            connection: None,
            now_ms: 0,
            last_ledger: (0, 0),
            ended: Ended::default(),
        })
    }

    /// Runs until nothing of ours is left on the ledger, or the market has ended.
    ///
    /// # Errors
    /// [`DriveError`].
    pub fn run(mut self) -> Result<Ended, DriveError> {
        while !self.ended.flat {
            match self.queue.pop_front() {
                Some(event) => {
                    self.now_ms += 1;
                    self.arrive(event)?;
                }
                None if self.node.mirror_ended().is_some() => break,
                None => self.idle()?,
            }
        }
        Ok(self.ended)
    }

    fn idle(&mut self) -> Result<(), DriveError> {
        self.now_ms += IDLE_MS;
        if self.now_ms - self.last_ledger.1 > STUCK_MS {
            return Err(DriveError::Stuck { ledger: self.last_ledger.0 });
        }
        self.feed_in(FeedInput::Tick)
    }

    fn arrive(&mut self, event: Event) -> Result<(), DriveError> {
        match event {
            Event::Connect => {
                self.connection = Some(self.node.connect());
                self.feed_in(FeedInput::Connected)
            }
            Event::Cut => {
                if let Some(connection) = self.connection.take() {
                    self.node.disconnect(connection);
                }
                self.queue.retain(|event| !matches!(event, Event::ToNode(_) | Event::FromNode(_)));
                self.feed_in(FeedInput::Disconnected(Parting::Lost, "cut"))
            }
            Event::ToNode(text) => {
                self.tell_node(&text);
                Ok(())
            }
            Event::FromNode(text) => self.feed_in(FeedInput::Text(&text)),
            Event::Update(update) => self.update(&update),
            Event::Reply(reply) => self.orders_in(OrdersInput::Reply(reply)),
            Event::Durable(batch) => self.orders_in(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) })),
            Event::Submit(submission) => self.feed_in(FeedInput::Submit(submission)),
            Event::ListAgain => self.feed_in(FeedInput::ListAgain),
            Event::Done(index) => self.feed_in(FeedInput::LedgerDone(index)),
        }
    }

    fn tell_node(&mut self, text: &str) {
        let Some(connection) = self.connection else { return };
        let begun = Instant::now();
        let said = self.node.request(connection, text);
        self.ended.spent.node += begun.elapsed();
        self.queue.extend(said.into_iter().map(|out| Event::FromNode(out.text)));
        // A fault of the scenario's own.
        if self.node.take_cuts().iter().any(|(id, _)| *id == connection) {
            self.queue.push_front(Event::Cut);
        }
    }

    fn update(&mut self, update: &LedgerUpdate) -> Result<(), DriveError> {
        self.ended.ledgers += 1;
        self.last_ledger = (update.ledger.index, self.now_ms);
        let begun = Instant::now();
        let records = self.valuer.on(update, self.now())?;
        self.ended.spent.valuer += begun.elapsed();
        records.into_iter().for_each(&mut self.sink);
        self.orders_in(OrdersInput::Update(update))
    }

    fn feed_in(&mut self, input: FeedInput<'_>) -> Result<(), DriveError> {
        let begun = Instant::now();
        let effects = self.feed.on(input, self.now_ms)?;
        self.ended.spent.feed += begun.elapsed();
        for effect in effects {
            match effect {
                FeedEffect::Connect(_) => self.queue.push_back(Event::Connect),
                FeedEffect::Disconnect(..) => self.queue.push_front(Event::Cut),
                // There is one node.
                FeedEffect::Second(_) => {}
                FeedEffect::Send(text) => self.queue.push_back(Event::ToNode(text)),
                FeedEffect::Update(update) => self.queue.push_back(Event::Update(update)),
                FeedEffect::Reply(reply) => self.queue.push_back(Event::Reply(reply)),
                FeedEffect::Warn(reason) => tracing::debug!(%reason, "the feed warns"),
            }
        }
        Ok(())
    }

    fn orders_in(&mut self, input: OrdersInput<'_>) -> Result<(), DriveError> {
        let begun = Instant::now();
        let effects = self.orders.on(input, self.now())?;
        self.ended.spent.orders += begun.elapsed();
        for effect in effects {
            match effect {
                OrdersEffect::Record(records) => records.into_iter().for_each(&mut self.sink),
                OrdersEffect::Persist { batch, records } => {
                    records.into_iter().for_each(&mut self.sink);
                    self.queue.push_back(Event::Durable(batch));
                }
                OrdersEffect::Submit(submission) => self.queue.push_back(Event::Submit(submission)),
                OrdersEffect::SubmitUnrecorded(submissions) => {
                    self.queue.extend(submissions.into_iter().map(Event::Submit));
                }
                OrdersEffect::LedgerDone(index) => self.queue.push_back(Event::Done(index)),
                OrdersEffect::ListAgain => self.queue.push_back(Event::ListAgain),
                OrdersEffect::Elapsed => self.orders_in(OrdersInput::Command(OrdersCommand::Withdraw))?,
                OrdersEffect::Flat => self.ended.flat = true,
                OrdersEffect::Risk(note) => {
                    if let TriggerEvent::Tripped(trip) = note.event {
                        self.ended.trips += 1;
                        if trip.action == TripAction::Stop {
                            self.orders_in(OrdersInput::Command(OrdersCommand::Withdraw))?;
                        }
                    }
                }
                OrdersEffect::Stranger(cause) => return Err(DriveError::Stranger(cause)),
                OrdersEffect::Broken(cause) => return Err(DriveError::Broken(cause)),
            }
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        TimeDelta::try_milliseconds(ms)
            .and_then(|since| DateTime::UNIX_EPOCH.checked_add_signed(since))
            .unwrap_or_default()
    }
}

fn feed_config(node: &Node, config: &Config, key: &Keypair) -> Result<FeedConfig, AmountError> {
    let scenario = node.scenario();
    Ok(FeedConfig {
        account: key.address(),
        token: scenario.token(),
        network_id: scenario.network_id,
        closes: Closes::WhenDone,
        nodes: 1,
        seed: config.session.seed,
        is_public: false,
        looks: Looks::EXACT,
        depth: config.feed.depth,
        price: config.price.clone(),
        dust: Drops::from_xrp(config.feed.dust_xrp, Rounding::Down)?,
        silence_ms: config.feed.silence_ms,
        request_timeout_ms: config.feed.silence_ms,
        audit_ledgers: config.orders.audit_ledgers,
        last_processed: None,
        refetch_from: None,
    })
}

fn orders_config(node: &Node, config: &Config, trade_for_s: u32) -> OrdersConfig {
    let scenario = node.scenario();
    OrdersConfig {
        token: scenario.token(),
        network_id: scenario.network_id,
        quote: config.quote.clone(),
        risk: config.risk.clone(),
        last_ledger_offset: config.orders.last_ledger_offset,
        max_fee: config.orders.max_fee_drops,
        cancel_max_fee: config.orders.cancel_max_fee_drops,
        fee_budget: config.orders.fee_budget_drops_per_day,
        fees_paid: Vec::new(),
        trade_for_s: Some(trade_for_s),
        unsettled: Vec::new(),
        settled: Vec::new(),
        adoptable: Vec::new(),
        orphan_reads: config.orders.orphan_reads,
        cancel_tickets: config.orders.cancel_tickets,
        paused: None,
        watch: WatchStart::default(),
    }
}

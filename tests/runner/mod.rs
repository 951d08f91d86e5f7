//! All cores in one thread over virtual time: the simulated ledger's core, the feed, the orders, the valuer, and a record
//! that acknowledges. No mailbox, no socket, no clock. One seed drives everything, and the log of events says what
//! happened, byte for byte the same for the same seed.
//!
//! This is the seam for fault simulation and replay: every message between two cores passes through [`Runner::step`],
//! where it can be lost, delayed, doubled or reordered by a [`Fault`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, reason = "test support")]

pub mod invariants;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use invariants::Invariants;
use neo_actors::feed::core::{Closes, FeedConfig, FeedCore, FeedEffect, FeedInput};
use neo_actors::feed::looks::Looks;
use neo_actors::feed::nodes::Parting;
use neo_actors::messages::{IntentsDurable, LedgerUpdate, OrdersCommand, RiskNote, Submission, SubmissionReply};
use neo_actors::orders::core::{OrdersConfig, OrdersCore, OrdersEffect, OrdersInput};
use neo_actors::orders::watch::WatchStart;
use neo_actors::valuer::core::{ValuerCore, ValuerState};
use neo_ledger::keys::Keypair;
use neo_ledger::types::{Hash, LedgerTime};
use neo_ledger::{own, request};
use neo_market::Drops;
use neo_market::quote::QuoteConfig;
use neo_market::risk::RiskConfig;
use neo_sim::{ConnectionId, Node, Scenario};
use neo_store::record::{IntentState, Order, OrderState, Processor, Record};

/// Time between two ledgers of a network that waits for nobody.
const LEDGER_MS: u64 = 4_000;

/// A message on its way from one core to another.
#[derive(Clone, Debug)]
pub enum Event {
    /// The feed wants a connection.
    Connect,
    /// The orders want our offers listed again.
    ListAgain,
    /// The connection is cut.
    Cut,
    /// Text for the node.
    ToNode(String),
    /// Text of the node.
    FromNode(String),
    /// A complete ledger for valuer and orders.
    Update(Box<LedgerUpdate>),
    /// What the node said of a submission.
    Reply(SubmissionReply),
    /// Intents for the record.
    Persist(u64, Vec<Record>),
    /// The record's answer.
    Durable(u64),
    /// A signed transaction for the feed.
    Submit(Submission),
    /// The engine is done with a ledger.
    Done(u32),
    /// The operator wants something.
    Command(OrdersCommand),
}

/// What may happen to a message. The default is nothing.
pub type Fault = Box<dyn FnMut(u64, &Event) -> Fate>;

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// It is lost.
    Lost,
    /// It arrives twice.
    Doubled,
    /// It goes to the end of the queue.
    Late,
}

/// What an engine reads from the record of the one before it.
#[derive(Default)]
struct Known {
    last_processed: Option<u32>,
    unsettled: Vec<(Hash, u32)>,
    settled: Vec<Hash>,
}

impl Known {
    fn of(records: &[Record]) -> Known {
        let last = |wanted: Processor| {
            records.iter().rev().find_map(|record| match record {
                Record::LedgerProcessed { ledger_index, by, .. } if *by == wanted => Some(*ledger_index),
                _ => None,
            })
        };
        let mut open: BTreeMap<String, u32> = BTreeMap::new();
        let mut settled = Vec::new();
        for record in records {
            match record {
                Record::Intent(intent) => {
                    open.insert(intent.tx_hash.clone(), intent.last_ledger_sequence);
                }
                Record::IntentUpdate(update)
                    if matches!(update.state, IntentState::Validated | IntentState::Dead)
                        && open.remove(&update.tx_hash).is_some() =>
                {
                    settled.push(update.tx_hash.parse().unwrap());
                }
                _ => {}
            }
        }
        Known {
            last_processed: last(Processor::Orders).min(last(Processor::Valuer)),
            unsettled: open.into_iter().map(|(hash, last)| (hash.parse().unwrap(), last)).collect(),
            settled,
        }
    }
}

/// A core whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From the node's bytes to a `LedgerUpdate`.
    Feed,
    /// From a `LedgerUpdate` to signed intents.
    Orders,
    /// From a `LedgerUpdate` to records.
    Valuer,
}

/// The engine's cores and a simulated ledger.
pub struct Runner {
    pub node: Node,
    pub feed: FeedCore,
    pub orders: OrdersCore,
    pub valuer: ValuerCore,
    /// Everything recorded, in order.
    pub records: Vec<Record>,
    /// Every event and effect, a line each.
    pub log: String,
    pub updates: u64,
    pub flat: bool,
    pub elapsed: bool,
    /// Cancels that were sent without a durable record.
    pub unrecorded: Vec<neo_ledger::types::Hash>,
    /// Why the orders want the session to end, if they do.
    pub stranger: Option<String>,
    /// What must always be true, looked at with every ledger.
    pub invariants: Invariants,
    signed: Vec<Order>,
    /// What the triggers did.
    pub risk: Vec<RiskNote>,
    orders_config: OrdersConfig,
    scenario: Scenario,
    tickets: u32,
    queue: VecDeque<Event>,
    connection: Option<ConnectionId>,
    now_ms: u64,
    steps: u64,
    fault: Option<Fault>,
    /// Closes a ledger when nothing was under way for the time of one, as a network does that waits for nobody.
    network: bool,
    idle_ms: u64,
    keep_log: bool,
    spent: [Duration; 3],
}

impl Runner {
    /// A new world and an engine that has not connected yet. Trades for `trade_for_s` of ledger time.
    pub fn new(scenario: &Scenario, seed: u64, trade_for_s: u32) -> Runner {
        let node = Node::new(scenario, seed).unwrap();
        Runner::on(node, scenario, trade_for_s, &[], (QuoteConfig::default(), RiskConfig::default()), 0)
    }

    /// The same with quotes of its own.
    pub fn quoting(scenario: &Scenario, seed: u64, trade_for_s: u32, quote: QuoteConfig) -> Runner {
        Runner::limited(scenario, seed, trade_for_s, (quote, RiskConfig::default()))
    }

    /// The same within limits of its own.
    pub fn limited(scenario: &Scenario, seed: u64, trade_for_s: u32, settings: (QuoteConfig, RiskConfig)) -> Runner {
        Runner::on(Node::new(scenario, seed).unwrap(), scenario, trade_for_s, &[], settings, 0)
    }

    /// The same with tickets for cancels.
    pub fn ticketed(scenario: &Scenario, seed: u64, trade_for_s: u32, tickets: u32) -> Runner {
        let node = Node::new(scenario, seed).unwrap();
        Runner::on(node, scenario, trade_for_s, &[], (QuoteConfig::default(), RiskConfig::default()), tickets)
    }

    /// The engine dies; the ledger lives on for `ledgers`. A new engine knows what the record of the dead one says.
    pub fn killed(mut self, ledgers: u32, trade_for_s: u32) -> Runner {
        if let Some(connection) = self.connection.take() {
            self.node.disconnect(connection);
        }
        self.accept(ledgers);
        let settings = (QuoteConfig::default(), RiskConfig::default());
        Runner::on(self.node, &self.scenario, trade_for_s, &self.records, settings, self.tickets)
    }

    /// Closes ledgers without the engine.
    pub fn accept(&mut self, ledgers: u32) {
        for _ in 0..ledgers {
            self.node.close_ledger();
        }
    }

    /// Another client of the node sends a signed transaction; gives the provisional result.
    pub fn submit_elsewhere(&mut self, blob: &str) -> String {
        let connection = self.node.connect();
        let said = self.node.request(connection, &request::submit(1, blob, false));
        self.node.disconnect(connection);
        said.into_iter().map(|out| out.text).collect()
    }

    fn on(
        node: Node,
        scenario: &Scenario,
        trade_for_s: u32,
        before: &[Record],
        (quote, risk): (QuoteConfig, RiskConfig),
        tickets: u32,
    ) -> Runner {
        let known = Known::of(before);
        let limits = risk.clone();
        let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
        let token = scenario.token();
        let feed = FeedCore::new(FeedConfig {
            account: key.address(),
            token,
            network_id: scenario.network_id,
            nodes: 1,
            seed: 1,
            is_public: false,
            looks: Looks::OWN_NODE,
            closes: Closes::WhenDone,
            depth: 20,
            price: neo_market::ReferenceConfig::default(),
            dust: Drops::new(1_000_000),
            silence_ms: 20_000,
            request_timeout_ms: 20_000,
            audit_ledgers: 16,
            last_processed: known.last_processed,
            refetch_from: None,
        });
        let maker = key.address();
        let orders_config = OrdersConfig {
            token,
            network_id: scenario.network_id,
            quote,
            risk,
            last_ledger_offset: 5,
            max_fee: Drops::new(5_000),
            cancel_max_fee: Drops::new(50_000),
            fee_budget: Drops::new(10_000_000),
            fees_paid: Vec::new(),
            trade_for_s: Some(trade_for_s),
            unsettled: known.unsettled,
            settled: known.settled,
            adoptable: Vec::new(),
            orphan_reads: 3,
            cancel_tickets: tickets,
            paused: None,
            watch: WatchStart::default(),
        };
        let orders = OrdersCore::new(orders_config.clone(), key);
        Runner {
            node,
            feed,
            orders,
            orders_config,
            valuer: ValuerCore::new(),
            records: Vec::new(),
            log: String::new(),
            updates: 0,
            flat: false,
            elapsed: false,
            unrecorded: Vec::new(),
            stranger: None,
            invariants: Invariants::new(maker, limits),
            signed: Vec::new(),
            risk: Vec::new(),
            scenario: scenario.clone(),
            tickets,
            queue: VecDeque::new(),
            connection: None,
            now_ms: 0,
            steps: 0,
            fault: None,
            network: false,
            idle_ms: 0,
            keep_log: true,
            spent: [Duration::ZERO; 3],
        }
    }

    /// Limits and triggers of its own.
    pub fn with_risk(mut self, risk: RiskConfig) -> Runner {
        self.orders_config.risk = risk;
        let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
        self.orders = OrdersCore::new(self.orders_config.clone(), key);
        self
    }

    /// Lets messages suffer.
    pub fn with_fault(mut self, fault: Fault) -> Runner {
        self.fault = Some(fault);
        self
    }

    /// Ledgers close whether the engine asks for them or not.
    pub fn on_a_network(mut self) -> Runner {
        self.network = true;
        self
    }

    fn network_closes(&mut self) {
        self.idle_ms = 0;
        let said = self.node.close_ledger();
        let ours = said.into_iter().filter(|out| Some(out.connection) == self.connection);
        self.queue.extend(ours.map(|out| Event::FromNode(out.text)));
        if !self.node.take_cuts().is_empty() {
            self.cut();
        }
    }

    /// Keeps no log, for benchmarks.
    pub fn quiet(mut self) -> Runner {
        self.keep_log = false;
        self
    }

    /// Time that a core has taken for the ledgers so far.
    pub fn spent(&self, part: Part) -> Duration {
        self.spent[part as usize]
    }

    /// Runs until nothing of ours is left on the ledger, or `max_steps` are over. True when it became flat.
    pub fn run(&mut self, max_steps: u64) -> bool {
        while !self.flat && self.steps < max_steps {
            self.step();
        }
        self.flat
    }

    /// One message arrives, or a millisecond passes.
    pub fn step(&mut self) {
        self.proceed();
        self.invariants.ledger(&self.node);
    }

    fn proceed(&mut self) {
        self.steps += 1;
        let Some(event) = self.queue.pop_front() else {
            // Nothing is under way: time goes on, and time-outs are looked at.
            self.now_ms += 250;
            self.idle_ms += 250;
            self.feed_in(FeedInput::Tick);
            if self.network && self.idle_ms >= LEDGER_MS {
                self.network_closes();
            }
            return;
        };
        self.now_ms += 1;
        self.idle_ms = 0;
        let fate = self.fault.as_mut().map_or(Fate::Arrives, |fault| fault(self.steps, &event));
        match fate {
            Fate::Lost => return self.note("lost", &event),
            Fate::Late => return self.queue.push_back(event),
            Fate::Doubled => self.queue.push_back(event.clone()),
            Fate::Arrives => {}
        }
        self.note("event", &event);
        self.arrive(event);
    }

    fn arrive(&mut self, event: Event) {
        match event {
            Event::Connect => {
                self.connection = Some(self.node.connect());
                self.feed_in(FeedInput::Connected);
            }
            Event::Cut => {
                if let Some(connection) = self.connection.take() {
                    self.node.disconnect(connection);
                }
                self.queue.retain(|event| !matches!(event, Event::ToNode(_) | Event::FromNode(_)));
                self.feed_in(FeedInput::Disconnected(Parting::Lost, "cut"));
            }
            Event::ToNode(text) => {
                if let Some(connection) = self.connection {
                    let said = self.node.request(connection, &text);
                    self.queue.extend(said.into_iter().map(|out| Event::FromNode(out.text)));
                    // A fault of the scenario's own.
                    if self.node.take_cuts().iter().any(|(id, _)| *id == connection) {
                        self.cut();
                    }
                }
            }
            Event::FromNode(text) => {
                let begun = Instant::now();
                self.feed_in(FeedInput::Text(&text));
                self.spent[Part::Feed as usize] += begun.elapsed();
            }
            Event::Update(update) => self.update(&update),
            Event::Reply(reply) => self.orders_in(OrdersInput::Reply(reply)),
            Event::Persist(batch, records) => {
                self.records.extend(records);
                self.queue.push_back(Event::Durable(batch));
            }
            Event::Durable(batch) => {
                self.orders_in(OrdersInput::Durable(IntentsDurable { batch, result: Ok(()) }));
            }
            Event::Submit(submission) => self.feed_in(FeedInput::Submit(submission)),
            Event::ListAgain => self.feed_in(FeedInput::ListAgain),
            Event::Done(index) => self.feed_in(FeedInput::LedgerDone(index)),
            Event::Command(command) => self.orders_in(OrdersInput::Command(command)),
        }
    }

    /// Gives the orders a command of the operator.
    pub fn command(&mut self, command: OrdersCommand) {
        self.queue.push_back(Event::Command(command));
    }

    /// Nothing can be made durable any more: what waits for the record is gone, and whoever took the orders over
    /// withdraws.
    pub fn lose_record(&mut self) {
        self.queue.retain(|event| !matches!(event, Event::Persist(..) | Event::Durable(_)));
        self.orders.lose_the_record();
        let unsent = self.orders.forget_unsent(self.now());
        self.note("never sent", &unsent.len());
        self.orders_in(OrdersInput::Command(OrdersCommand::Withdraw));
    }

    /// The orders' actor is lost; whoever takes its state over records what was never sent, and withdraws.
    pub fn take_orders_over(&mut self) {
        self.queue.retain(|event| !matches!(event, Event::Persist(..) | Event::Durable(_)));
        let unsent = self.orders.forget_unsent(self.now());
        self.record(unsent);
        self.orders_in(OrdersInput::Command(OrdersCommand::Withdraw));
    }

    /// Another valuer takes the first one's place, with what the records say.
    pub fn replace_valuer(&mut self) {
        let mut state = None;
        let (mut orders, mut resting, mut starting_value) = (BTreeMap::new(), BTreeMap::new(), None);
        let (mut fills, mut mark_outs) = (Vec::new(), Vec::new());
        for record in &self.records {
            match record {
                Record::Order(order) => {
                    let price = own::price(order.size, order.rlusd).unwrap().unwrap();
                    orders.insert(order.offer_sequence, (order.side, price));
                }
                Record::OrderEvent(event) => {
                    if matches!(event.state, OrderState::Resting | OrderState::PartlyFilled) {
                        resting.insert(event.offer_sequence, orders[&event.offer_sequence]);
                    } else {
                        resting.remove(&event.offer_sequence);
                    }
                }
                Record::SessionOpened(opened) => starting_value = opened.starting_value_rlusd,
                Record::Valuation(snapshot) => state = Some(snapshot.clone()),
                Record::Fill(fill) => fills.push(fill.clone()),
                Record::MarkOut(mark_out) => mark_outs.push(mark_out.clone()),
                _ => {}
            }
        }
        let snapshot = state.expect("a snapshot to go on from");
        let close_time = LedgerTime::from_unix_s(snapshot.close_time.timestamp()).unwrap();
        let offers = resting.into_iter().map(|(sequence, (side, price))| (sequence, side, price)).collect();
        self.valuer =
            ValuerCore::resume(ValuerState { snapshot, close_time, starting_value, offers, fills, mark_outs });
    }

    /// Cuts the connection; the feed connects again by itself.
    pub fn cut(&mut self) {
        self.queue.push_front(Event::Cut);
    }

    fn update(&mut self, update: &LedgerUpdate) {
        self.updates += 1;
        let begun = Instant::now();
        let records = self.valuer.on(update, self.now()).unwrap();
        self.spent[Part::Valuer as usize] += begun.elapsed();
        self.record(records);
        let begun = Instant::now();
        self.orders_in(OrdersInput::Update(update));
        self.spent[Part::Orders as usize] += begun.elapsed();
        for order in std::mem::take(&mut self.signed) {
            self.invariants.signed(update, &order);
        }
    }

    fn feed_in(&mut self, input: FeedInput<'_>) {
        for effect in self.feed.on(input, self.now_ms).unwrap() {
            match effect {
                FeedEffect::Connect(_) => self.queue.push_back(Event::Connect),
                FeedEffect::Disconnect(..) => self.queue.push_front(Event::Cut),
                FeedEffect::Second(effect) => panic!("there is one node: {effect:?}"),
                FeedEffect::Send(text) => self.queue.push_back(Event::ToNode(text)),
                FeedEffect::Update(update) => self.queue.push_back(Event::Update(update)),
                FeedEffect::Reply(reply) => self.queue.push_back(Event::Reply(reply)),
                FeedEffect::Warn(reason) => self.note("warning", &reason),
            }
        }
    }

    fn orders_in(&mut self, input: OrdersInput<'_>) {
        for effect in self.orders.on(input, self.now()).unwrap() {
            match effect {
                OrdersEffect::Record(records) => self.record(records),
                OrdersEffect::Persist { batch, records } => {
                    self.signed.extend(records.iter().filter_map(|record| match record {
                        Record::Order(order) => Some(order.clone()),
                        _ => None,
                    }));
                    self.queue.push_back(Event::Persist(batch, records));
                }
                OrdersEffect::Submit(submission) => self.queue.push_back(Event::Submit(submission)),
                OrdersEffect::SubmitUnrecorded(submissions) => {
                    self.unrecorded.extend(submissions.iter().map(|submission| submission.hash));
                    self.queue.extend(submissions.into_iter().map(Event::Submit));
                }
                OrdersEffect::LedgerDone(index) => self.queue.push_back(Event::Done(index)),
                OrdersEffect::ListAgain => self.queue.push_back(Event::ListAgain),
                OrdersEffect::Elapsed => self.elapsed = true,
                OrdersEffect::Flat => self.flat = true,
                OrdersEffect::Stranger(cause) => self.stranger = Some(cause),
                OrdersEffect::Broken(cause) => panic!("{cause}"),
                OrdersEffect::Risk(note) => self.risk.push(note),
            }
        }
    }

    fn record(&mut self, records: Vec<Record>) {
        for record in records {
            self.note("record", &record);
            if let Record::Fill(fill) = &record {
                self.invariants.filled(fill);
            }
            self.records.push(record);
        }
    }

    fn note(&mut self, what: &str, value: &impl std::fmt::Debug) {
        if self.keep_log {
            writeln!(self.log, "{:>9} {what} {value:?}", self.now_ms).unwrap();
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
            + TimeDelta::milliseconds(i64::try_from(self.now_ms).unwrap())
    }
}

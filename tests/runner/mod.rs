//! The engine's own driver of all cores over virtual time (`neo::drive`), with hooks for tests. One seed drives everything,
//! and the log of events says what happened, byte for byte the same for the same seed.
//!
//! This is the seam for fault simulation: every message between two cores passes through [`Runner::step`], where it can be
//! lost, delayed, doubled or reordered by a [`Fault`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "test support"
)]

pub mod invariants;
pub mod strategies;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use chrono::DateTime;
use invariants::Invariants;
use neo::drive::{DriveError, Driver, Hooks, Moment};
pub use neo::drive::{Event, Fate};
use neo_actors::feed::core::{Closes, FeedConfig, FeedCore};
use neo_actors::feed::looks::Looks;
use neo_actors::messages::{LedgerUpdate, OrdersCommand, RiskNote, Submission};
use neo_actors::orders::core::{OrdersConfig, OrdersCore};
use neo_actors::orders::watch::WatchStart;
use neo_actors::outside::OutsideNews;
use neo_actors::valuer::core::{ValuerCore, ValuerState};
use neo_ledger::keys::Keypair;
use neo_ledger::types::{Hash, LedgerTime};
use neo_ledger::{own, request};
use neo_market::quote::QuoteConfig;
use neo_market::risk::RiskConfig;
use neo_market::{Dec, Drops, OutsideReading, ReferenceConfig};
use neo_sim::{Node, Scenario};
use neo_store::record::{IntentState, Order, OrderState, Processor, Record};

/// Time between two ledgers of a network that waits for nobody.
const LEDGER_MS: u64 = 4_000;

/// What may happen to a message. The default is nothing.
pub type Fault = Box<dyn FnMut(u64, &Event) -> Fate>;

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

/// The engine's cores and a simulated ledger: `node`, `feed`, `orders`, `valuer`, `updates` and `flat` are the driver's.
pub struct Runner {
    driver: Driver,
    /// Everything recorded, in order.
    pub records: Vec<Record>,
    /// Every event and effect, a line each.
    pub log: String,
    pub elapsed: bool,
    /// Cancels that were sent without a durable record.
    pub unrecorded: Vec<Hash>,
    /// Why the orders want the session to end, if they do.
    pub stranger: Option<String>,
    /// What must always be true, looked at with every ledger.
    pub invariants: Invariants,
    /// What the triggers did.
    pub risk: Vec<RiskNote>,
    signed: Vec<Order>,
    orders_config: OrdersConfig,
    feed_config: FeedConfig,
    outside: Dec,
    told: Option<(u32, Option<Dec>)>,
    scenario: Scenario,
    tickets: u32,
    fault: Option<Fault>,
    keep_log: bool,
}

impl Deref for Runner {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.driver
    }
}

impl DerefMut for Runner {
    fn deref_mut(&mut self) -> &mut Driver {
        &mut self.driver
    }
}

/// The runner without its driver: what is seen of it and done to it.
struct Seen<'a> {
    records: &'a mut Vec<Record>,
    log: Option<&'a mut String>,
    elapsed: &'a mut bool,
    unrecorded: &'a mut Vec<Hash>,
    stranger: &'a mut Option<String>,
    invariants: &'a mut Invariants,
    risk: &'a mut Vec<RiskNote>,
    signed: &'a mut Vec<Order>,
    /// The ledger that was told of in this step, and the middle of its book.
    told: &'a mut Option<(u32, Option<Dec>)>,
    fault: Option<&'a mut Fault>,
}

impl Seen<'_> {
    fn note(&mut self, at: Moment, what: &str, value: &impl std::fmt::Debug) {
        if let Some(log) = &mut self.log {
            writeln!(log, "{:>9} {what} {value:?}", at.ms).unwrap();
        }
    }
}

impl Hooks for Seen<'_> {
    fn record(&mut self, at: Moment, record: Record) {
        self.note(at, "record", &record);
        if let Record::Fill(fill) = &record {
            self.invariants.filled(fill);
        }
        self.records.push(record);
    }

    fn intents(&mut self, _at: Moment, intents: Vec<Record>) {
        self.records.extend(intents);
    }

    fn fate(&mut self, at: Moment, event: &Event) -> Fate {
        let fate = self.fault.as_mut().map_or(Fate::Arrives, |fault| fault(at.step, event));
        match fate {
            Fate::Lost => self.note(at, "lost", event),
            Fate::Late => {}
            Fate::Doubled | Fate::Arrives => {
                self.note(at, "event", event);
                if let Event::Update(update) = event {
                    self.invariants.told(update);
                    *self.told = Some((update.ledger.index, update.view.mid().unwrap()));
                }
            }
        }
        fate
    }

    fn warned(&mut self, at: Moment, reason: &str) {
        self.note(at, "warning", &reason);
    }

    fn signed(&mut self, intents: &[Record]) {
        self.signed.extend(intents.iter().filter_map(|record| match record {
            Record::Order(order) => Some(order.clone()),
            _ => None,
        }));
    }

    fn unrecorded(&mut self, cancels: &[Submission]) {
        self.unrecorded.extend(cancels.iter().map(|submission| submission.hash));
    }

    fn worked_through(&mut self, update: &LedgerUpdate) {
        for order in std::mem::take(self.signed) {
            self.invariants.signed(update, &order);
        }
    }

    fn elapsed(&mut self) -> Option<OrdersCommand> {
        *self.elapsed = true;
        None
    }

    fn risk(&mut self, note: RiskNote) -> Option<OrdersCommand> {
        self.risk.push(note);
        None
    }

    fn stranger(&mut self, cause: String) -> Result<(), DriveError> {
        *self.stranger = Some(cause);
        Ok(())
    }
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
    pub fn killed(self, ledgers: u32, trade_for_s: u32) -> Runner {
        let Runner { driver, records, scenario, tickets, orders_config, invariants, .. } = self;
        let mut node = driver.into_node();
        for _ in 0..ledgers {
            node.close_ledger();
        }
        let settings = (orders_config.quote.clone(), RiskConfig::default());
        let mut next = Runner::on(node, &scenario, trade_for_s, &records, settings, tickets);
        next.invariants.go_on_from(&invariants);
        next
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
        let invariants =
            Invariants::new(Keypair::from_seed(&neo_sim::maker_seed()).unwrap().address(), quote.clone(), risk.clone());
        let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
        let token = scenario.token();
        let feed_config = FeedConfig {
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
            last_hash: None,
            refetch_from: None,
        };
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
        let epoch = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Runner {
            driver: Driver::new(node, feed_config.clone(), orders_config.clone(), key, epoch),
            records: Vec::new(),
            log: String::new(),
            elapsed: false,
            unrecorded: Vec::new(),
            stranger: None,
            invariants,
            feed_config,
            outside: Dec::zero(),
            told: None,
            risk: Vec::new(),
            signed: Vec::new(),
            orders_config,
            scenario: scenario.clone(),
            tickets,
            fault: None,
            keep_log: true,
        }
    }

    /// Limits and triggers of its own.
    pub fn with_risk(mut self, risk: RiskConfig) -> Runner {
        self.orders_config.risk = risk;
        self.configured()
    }

    /// Quotes in its own way.
    pub fn with_quote(mut self, quote: QuoteConfig) -> Runner {
        assert_eq!(quote.problems(), []);
        self.orders_config.quote = quote;
        self.configured()
    }

    /// Before its first step.
    fn configured(mut self) -> Runner {
        let key = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
        let (quote, risk) = (self.orders_config.quote.clone(), self.orders_config.risk.clone());
        let before = std::mem::replace(&mut self.invariants, Invariants::new(key.address(), quote, risk));
        self.invariants.go_on_from(&before);
        self.orders = OrdersCore::new(self.orders_config.clone(), key);
        self
    }

    /// Has a reference price of its own. Where an outside price counts, it is the middle that was told of last.
    pub fn with_price(mut self, price: ReferenceConfig) -> Runner {
        self.feed_config.price = price;
        self.feed = FeedCore::new(self.feed_config.clone());
        self.hear_outside("2.4".parse().unwrap(), 0);
        self
    }

    /// The outside price is the middle that was told of last; for some ledgers of each hundred its source says nothing new.
    fn outside_moves(&mut self, ledger_index: u32, middle: Option<Dec>) {
        let silent_for = (ledger_index % 100).saturating_sub(60);
        match middle {
            Some(middle) if silent_for == 0 || silent_for > 15 => self.hear_outside(middle, 0),
            _ => self.hear_outside(self.outside, 4 * u64::from(silent_for)),
        }
    }

    fn hear_outside(&mut self, price: Dec, age_s: u64) {
        self.outside = price;
        if self.feed_config.price.outside_weight.is_positive() {
            let reading = Some(OutsideReading { price, age_s });
            let heard_ms = self.moment().ms;
            self.feed.hear_outside(OutsideNews { reading, heard_ms, problem: None });
        }
    }

    /// Lets messages suffer.
    pub fn with_fault(mut self, fault: Fault) -> Runner {
        self.fault = Some(fault);
        self
    }

    /// Ledgers close whether the engine asks for them or not.
    pub fn on_a_network(mut self) -> Runner {
        self.driver.close_every(LEDGER_MS);
        self
    }

    /// Keeps no log, for benchmarks.
    pub fn quiet(mut self) -> Runner {
        self.keep_log = false;
        self
    }

    /// Time that a core has taken for the ledgers so far.
    pub fn spent(&self, part: Part) -> Duration {
        match part {
            Part::Feed => self.driver.spent.feed,
            Part::Orders => self.driver.spent.orders,
            Part::Valuer => self.driver.spent.valuer,
        }
    }

    /// Runs until nothing of ours is left on the ledger, or `max_steps` are over. True when it became flat.
    pub fn run(&mut self, max_steps: u64) -> bool {
        while !self.flat && self.moment().step < max_steps {
            self.step();
        }
        self.flat
    }

    /// One message arrives, or a quarter of a second passes.
    pub fn step(&mut self) {
        let (driver, mut seen) = self.parts();
        driver.step(&mut seen).unwrap();
        if let Some((ledger_index, middle)) = self.told.take() {
            self.outside_moves(ledger_index, middle);
        }
        self.invariants.ledger(&self.driver.node);
    }

    fn parts(&mut self) -> (&mut Driver, Seen<'_>) {
        let seen = Seen {
            records: &mut self.records,
            log: self.keep_log.then_some(&mut self.log),
            elapsed: &mut self.elapsed,
            unrecorded: &mut self.unrecorded,
            stranger: &mut self.stranger,
            invariants: &mut self.invariants,
            risk: &mut self.risk,
            signed: &mut self.signed,
            told: &mut self.told,
            fault: self.fault.as_mut(),
        };
        (&mut self.driver, seen)
    }

    /// Gives the orders a command of the operator.
    pub fn command(&mut self, command: OrdersCommand) {
        self.driver.command(command);
    }

    /// Nothing can be made durable any more: what waits for the record is gone, and whoever took the orders over
    /// withdraws.
    pub fn lose_record(&mut self) {
        let (driver, mut seen) = self.parts();
        driver.forget_intents();
        driver.orders.lose_the_record();
        let unsent = driver.orders.forget_unsent(driver.now());
        seen.note(driver.moment(), "never sent", &unsent.len());
        driver.tell_orders(OrdersCommand::Withdraw, &mut seen).unwrap();
    }

    /// The orders' actor is lost; whoever takes its state over records what was never sent, and withdraws.
    pub fn take_orders_over(&mut self) {
        let (driver, mut seen) = self.parts();
        driver.forget_intents();
        let unsent = driver.orders.forget_unsent(driver.now());
        unsent.into_iter().for_each(|record| seen.record(driver.moment(), record));
        driver.tell_orders(OrdersCommand::Withdraw, &mut seen).unwrap();
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
        self.driver.cut();
    }
}

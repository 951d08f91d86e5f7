//! One run: the cores over virtual time ([`crate::drive`]), whose records go to whoever asked for the run.

use chrono::DateTime;
use neo_actors::feed::core::{Closes, FeedConfig};
use neo_actors::feed::looks::Looks;
use neo_actors::messages::{OrdersCommand, RiskNote};
use neo_actors::orders::core::OrdersConfig;
use neo_actors::orders::watch::WatchStart;
use neo_ledger::keys::Keypair;
use neo_market::{AmountError, Drops, Rounding, TriggerEvent, TripAction};
use neo_sim::Node;
use neo_store::record::Record;

use crate::config::Config;
use crate::drive::{DriveError, Driver, Hooks, Moment, Spent};

/// So long without a ledger, and the run is stuck: an hour of virtual time.
const STUCK_MS: u64 = 3_600_000;

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
    driver: Driver,
    taken: Taken<S>,
}

/// What is taken of a run.
struct Taken<S> {
    sink: S,
    trips: u64,
}

impl<S: FnMut(Record)> Hooks for Taken<S> {
    fn record(&mut self, _at: Moment, record: Record) {
        (self.sink)(record);
    }

    fn risk(&mut self, note: RiskNote) -> Option<OrdersCommand> {
        let TriggerEvent::Tripped(trip) = note.event else { return None };
        self.trips += 1;
        (trip.action == TripAction::Stop).then_some(OrdersCommand::Withdraw)
    }
}

impl<S: FnMut(Record)> Bench<S> {
    /// Cores that have not connected yet. They trade for `trade_for_s` seconds of the ledger's time and then withdraw.
    ///
    /// # Errors
    /// An amount of the configuration that cannot be.
    pub fn new(
        mut node: Node,
        config: &Config,
        key: Keypair,
        trade_for_s: u32,
        sink: S,
    ) -> Result<Bench<S>, DriveError> {
        // Each is the one key's, and the only one who could send another is in this thread.
        node.trust_signatures();
        let feed = feed_config(&node, config, &key)?;
        let orders = orders_config(&node, config, trade_for_s);
        let driver = Driver::new(node, feed, orders, key, DateTime::UNIX_EPOCH);
        Ok(Bench { driver, taken: Taken { sink, trips: 0 } })
    }

    /// Runs until nothing of ours is left on the ledger, or the market has ended.
    ///
    /// # Errors
    /// [`DriveError`].
    pub fn run(self) -> Result<Ended, DriveError> {
        let Bench { mut driver, mut taken } = self;
        while !driver.flat {
            if driver.is_idle() {
                let (ledger, since_ms) = driver.last_update();
                if driver.node.mirror_ended().is_some() {
                    break;
                }
                if since_ms > STUCK_MS {
                    return Err(DriveError::Stuck { ledger });
                }
            }
            driver.step(&mut taken)?;
        }
        Ok(Ended { ledgers: driver.updates, flat: driver.flat, trips: taken.trips, spent: driver.spent })
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
        last_hash: None,
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

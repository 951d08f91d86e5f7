//! The five actors, each on an arbiter (a thread) of its own: how they are wired, started, restarted and stopped.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter};
use crossbeam_channel::{Sender, bounded};
use neo_actors::checkpoint::CheckpointTimer;
use neo_actors::clock::monotonic_ms;
use neo_actors::feed::Feed;
use neo_actors::feed::core::{FeedConfig, FeedCore};
use neo_actors::guard::Pulse;
use neo_actors::messages::Beat;
use neo_actors::orders::core::{OrdersConfig, OrdersCore};
use neo_actors::orders::{FeedLink, Orders, SharedOrders};
use neo_actors::valuer::Valuer;
use neo_actors::writer::WriterWatch;
use neo_actors::{ActorName, Guard, SharedStatus, SupervisorEvent};
use neo_ledger::keys::Keypair;
use neo_store::writer::Writer;
use parking_lot::Mutex;

/// What the actors are made from.
pub struct CrewConfig {
    /// Where the node is.
    pub url: String,
    /// How to follow it.
    pub feed: FeedConfig,
    /// What to quote.
    pub orders: OrdersConfig,
    /// How often to checkpoint; `None` when something else owns checkpoints.
    pub checkpoint_every: Option<Duration>,
}

/// A running actor.
struct Member<A: Actor> {
    address: Addr<A>,
    pulse: Pulse,
}

/// The running actors. Dropping it leaves their threads; [`Crew::retire`] ends them.
pub struct Crew {
    config: CrewConfig,
    writer: Writer,
    status: SharedStatus,
    events: Sender<SupervisorEvent>,
    core: SharedOrders,
    watch: Member<WriterWatch>,
    checkpoint: Option<Member<CheckpointTimer>>,
    valuer: Member<Valuer>,
    orders: Member<Orders>,
    feed: Member<Feed>,
    /// The threads, those of lost actors included.
    arbiters: Vec<Arbiter>,
}

impl Crew {
    /// Starts all actors: the writer's watcher first, the feed last, so that nobody misses what it says.
    ///
    /// Must be called on a thread where an actix system exists.
    #[must_use]
    pub fn start(
        config: CrewConfig,
        key: Keypair,
        writer: Writer,
        status: SharedStatus,
        events: Sender<SupervisorEvent>,
    ) -> Crew {
        let core: SharedOrders = Arc::new(Mutex::new(OrdersCore::new(config.orders.clone(), key)));
        let mut arbiters = Vec::new();
        let watch = member(ActorName::Writer, &events, &mut arbiters, {
            let (writer, status) = (writer.clone(), Arc::clone(&status));
            move |guard| WriterWatch::new(writer, status, guard)
        });
        let checkpoint =
            config.checkpoint_every.map(|every| start_checkpoint(every, &writer, &status, &events, &mut arbiters));
        let valuer = member(ActorName::Valuer, &events, &mut arbiters, {
            let (writer, status) = (writer.clone(), Arc::clone(&status));
            move |guard| Valuer::new(writer, status, guard)
        });
        let orders = member(ActorName::Orders, &events, &mut arbiters, {
            let (core, writer, status) = (Arc::clone(&core), writer.clone(), Arc::clone(&status));
            move |guard| Orders::new(core, writer, status, guard)
        });
        let links = (orders.address.clone(), valuer.address.clone());
        let feed = start_feed(&config, config.feed.clone(), links, &events, &mut arbiters);
        let crew = Crew { config, writer, status, events, core, watch, checkpoint, valuer, orders, feed, arbiters };
        crew.link_feed();
        crew
    }

    /// Gives the orders the feed's address.
    fn link_feed(&self) {
        let link = FeedLink {
            submit: self.feed.address.clone().recipient(),
            ledger_done: self.feed.address.clone().recipient(),
        };
        if let Err(error) = self.orders.address.try_send(link) {
            // The orders are gone: their guard has told the supervisor already.
            tracing::error!(%error, "the orders do not take the feed's address");
        }
    }

    /// Starts a lost actor again. Only those that the policy restarts can be.
    pub fn restart(&mut self, actor: ActorName) {
        match actor {
            ActorName::Feed => {
                let mut config = self.config.feed.clone();
                // From the last ledger that was passed on: the gap is repaired before anybody quotes.
                config.last_processed = self.last_ledger().or(config.last_processed);
                let links = (self.orders.address.clone(), self.valuer.address.clone());
                self.feed = start_feed(&self.config, config, links, &self.events, &mut self.arbiters);
                self.link_feed();
            }
            ActorName::Checkpoint => {
                if let Some(every) = self.config.checkpoint_every {
                    let (writer, status, events) = (&self.writer, &self.status, &self.events);
                    self.checkpoint = Some(start_checkpoint(every, writer, status, events, &mut self.arbiters));
                }
            }
            ActorName::Orders | ActorName::Valuer | ActorName::Writer => {
                tracing::error!(actor = actor.as_str(), "this actor is never restarted");
            }
        }
    }

    /// Asks every actor for a sign of life and returns those that have given none for `limit_ms`.
    #[must_use]
    pub fn frozen(&self, limit_ms: u64) -> Vec<ActorName> {
        // A full mailbox refuses the question; the missing answer then tells the same.
        let asked = [
            self.watch.address.try_send(Beat).is_ok(),
            self.valuer.address.try_send(Beat).is_ok(),
            self.orders.address.try_send(Beat).is_ok(),
            self.feed.address.try_send(Beat).is_ok(),
            self.checkpoint.as_ref().is_none_or(|member| member.address.try_send(Beat).is_ok()),
        ];
        if asked.contains(&false) {
            tracing::warn!("an actor's mailbox is full or closed");
        }
        let now_ms = monotonic_ms();
        self.pulses().filter(|pulse| pulse.age_ms(now_ms) > limit_ms).map(Pulse::actor).collect()
    }

    /// How long the most silent actor has been silent.
    #[must_use]
    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        self.pulses().map(|pulse| pulse.age_ms(now_ms)).max().unwrap_or(0)
    }

    fn pulses(&self) -> impl Iterator<Item = &Pulse> {
        let checkpoint = self.checkpoint.as_ref().map(|member| &member.pulse);
        [&self.watch.pulse, &self.valuer.pulse, &self.orders.pulse, &self.feed.pulse].into_iter().chain(checkpoint)
    }

    /// The newest ledger that the orders have worked through; unknown while they hold their lock for long.
    fn last_ledger(&self) -> Option<u32> {
        self.core.try_lock_for(Duration::from_secs(1)).and_then(|core| core.ledger_index())
    }

    /// The orders' rules and state, shared with their actor.
    #[must_use]
    pub fn orders_core(&self) -> &SharedOrders {
        &self.core
    }

    /// The orders' mailbox.
    #[must_use]
    pub fn orders(&self) -> &Addr<Orders> {
        &self.orders.address
    }

    /// The valuer's mailbox.
    #[must_use]
    pub fn valuer(&self) -> &Addr<Valuer> {
        &self.valuer.address
    }

    /// Ends the actors' threads; from here on nobody records. A thread that does not end within `limit` is left alone.
    ///
    /// # Errors
    /// What did not end in order.
    pub fn retire(&mut self, limit: Duration) -> Result<(), String> {
        let arbiters = std::mem::take(&mut self.arbiters);
        let threads = arbiters.len();
        // An arbiter that has ended already cannot be told to stop; joining it is at once.
        let told = arbiters.iter().filter(|arbiter| arbiter.stop()).count();
        tracing::debug!(threads, told, "the actors' threads are told to end");
        let (ended, all_ended) = bounded(1);
        std::thread::spawn(move || {
            let panicked = arbiters.into_iter().filter_map(|arbiter| arbiter.join().err()).count();
            if ended.try_send(panicked).is_err() {
                tracing::warn!("the actors' threads ended late");
            }
        });
        match all_ended.recv_timeout(limit) {
            Ok(0) => Ok(()),
            Ok(panicked) => Err(format!("{panicked} of the actors' threads panicked")),
            Err(_) => Err(format!("an actor's thread did not end within {} ms", limit.as_millis())),
        }
    }
}

fn member<A>(
    actor: ActorName,
    events: &Sender<SupervisorEvent>,
    arbiters: &mut Vec<Arbiter>,
    make: impl FnOnce(Guard) -> A + Send + 'static,
) -> Member<A>
where
    A: Actor<Context = actix::Context<A>>,
{
    let (guard, pulse) = Guard::new(actor, events.clone());
    let arbiter = Arbiter::new();
    let address = A::start_in_arbiter(&arbiter.handle(), move |_| make(guard));
    arbiters.push(arbiter);
    Member { address, pulse }
}

fn start_checkpoint(
    every: Duration,
    writer: &Writer,
    status: &SharedStatus,
    events: &Sender<SupervisorEvent>,
    arbiters: &mut Vec<Arbiter>,
) -> Member<CheckpointTimer> {
    let (writer, status) = (writer.clone(), Arc::clone(status));
    member(ActorName::Checkpoint, events, arbiters, move |guard| CheckpointTimer::new(every, writer, status, guard))
}

fn start_feed(
    config: &CrewConfig,
    feed: FeedConfig,
    (orders, valuer): (Addr<Orders>, Addr<Valuer>),
    events: &Sender<SupervisorEvent>,
    arbiters: &mut Vec<Arbiter>,
) -> Member<Feed> {
    let url = config.url.clone();
    member(ActorName::Feed, events, arbiters, move |guard| {
        let core = FeedCore::new(feed);
        let replies = orders.clone().recipient();
        Feed::new(core, url, guard, orders.recipient(), valuer.recipient(), replies)
    })
}

//! The five actors, each on an arbiter (a thread) of its own: how they are wired, started, restarted and stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter};
use crossbeam_channel::{Sender, bounded};
use neo_actors::checkpoint::CheckpointTimer;
use neo_actors::clock::monotonic_ms;
use neo_actors::feed::core::{FeedConfig, FeedCore};
use neo_actors::feed::{Feed, Listeners, OrdersLink, Relink, ValuerLink};
use neo_actors::guard::Pulse;
use neo_actors::messages::{Beat, CloseSoon};
use neo_actors::orders::core::{OrdersConfig, OrdersCore};
use neo_actors::orders::{FeedLink, Orders, SharedOrders};
use neo_actors::outside::OutsideSlot;
use neo_actors::recording::Recorder;
use neo_actors::tell::to_actor;
use neo_actors::valuer::Valuer;
use neo_actors::valuer::core::ValuerCore;
use neo_actors::writer::WriterWatch;
use neo_actors::{ActorName, Guard, SharedStatus, SupervisorEvent, panics};
use neo_ledger::client::Endpoint;
use neo_ledger::keys::Keypair;
use neo_store::record::SessionNumber;
use neo_store::writer::Writer;
use parking_lot::Mutex;

use super::read_back::{last_known, read_back};

/// How long the newest ledger of the orders is asked for: without it a new feed reads more of the history.
const GLANCE: Duration = Duration::from_millis(500);

/// What the actors are made from.
pub struct CrewConfig {
    /// Where the nodes are, in order of preference.
    pub nodes: Vec<Endpoint>,
    /// How to follow it.
    pub feed: FeedConfig,
    /// Where the outside price is left, if there is one.
    pub outside: OutsideSlot,
    /// What to quote.
    pub orders: OrdersConfig,
    /// How often to checkpoint; `None` when something else owns checkpoints.
    pub checkpoint_every: Option<Duration>,
    /// What gives no sign of life for so long is frozen.
    pub frozen_ms: u64,
    /// How long the orders' state may be held by their actor, who signs under its lock, before it counts as held for ever.
    pub orders_patience: Duration,
    /// The record, for an actor that reads its state back.
    pub path: PathBuf,
    /// The session.
    pub session: SessionNumber,
    /// Where every message of the node is recorded, if it is.
    pub recorder: Option<Recorder>,
}

/// A running actor.
struct Member<A: Actor> {
    address: Addr<A>,
    pulse: Pulse,
    /// Its thread, until it is told to end.
    arbiter: Option<Arbiter>,
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
    /// Who hears for the orders: their actor, or the one who took them over.
    orders_link: OrdersLink,
    /// The newest ledger that a valuer has worked through.
    valued: Arc<AtomicU32>,
    /// The threads of lost actors.
    old: Vec<Arbiter>,
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
        let valued = Arc::new(AtomicU32::new(0));
        let watch = member(ActorName::Writer, &events, {
            let (writer, status) = (writer.clone(), Arc::clone(&status));
            move |guard| WriterWatch::new(writer, status, guard)
        });
        let checkpoint = config.checkpoint_every.map(|every| start_checkpoint(every, &writer, &status, &events));
        let valuer = start_valuer(ValuerCore::new(), &writer, &status, &valued, &events);
        let orders = member(ActorName::Orders, &events, {
            let (core, writer, status) = (Arc::clone(&core), writer.clone(), Arc::clone(&status));
            move |guard| Orders::new(core, writer, status, guard)
        });
        let orders_link =
            OrdersLink { updates: to_actor(orders.address.clone()), replies: to_actor(orders.address.clone()) };
        let listeners = Listeners::new(orders_link.clone(), valuer_link(&valuer));
        let feed = start_feed(&config, config.feed.clone(), listeners, &events);
        let old = Vec::new();
        let crew = Crew {
            config,
            writer,
            status,
            events,
            core,
            watch,
            checkpoint,
            valuer,
            orders,
            feed,
            orders_link,
            valued,
            old,
        };
        crew.link_orders();
        crew
    }

    /// Where transactions for the node go.
    #[must_use]
    pub fn feed_link(&self) -> FeedLink {
        FeedLink {
            submit: to_actor(self.feed.address.clone()),
            ledger_done: to_actor(self.feed.address.clone()),
            list_again: to_actor(self.feed.address.clone()),
        }
    }

    /// What is withdrawn is not to wait for the pace at which the engine closes a stand-alone node's ledgers.
    pub fn close_soon(&self) {
        if let Err(error) = self.feed.address.try_send(CloseSoon) {
            // A feed that is started again is told with the next stage; until then its own pace holds.
            tracing::debug!(%error, "the feed does not take that ledgers are to close soon");
        }
    }

    /// Gives the orders the feed's address.
    fn link_orders(&self) {
        if self.orders.pulse.is_abandoned() {
            return;
        }
        if let Err(error) = self.orders.address.try_send(self.feed_link()) {
            // The orders are gone: their guard has told the supervisor already.
            tracing::error!(%error, "the orders do not take the feed's address");
        }
    }

    /// Starts a lost actor again. Only those that the policy restarts can be.
    ///
    /// # Errors
    /// Why it could not be: its state cannot be read back.
    pub fn restart(&mut self, actor: ActorName) -> Result<(), String> {
        match actor {
            ActorName::Feed => self.restart_feed(),
            ActorName::Valuer => return self.restart_valuer(),
            ActorName::Checkpoint => {
                if let Some(every) = self.config.checkpoint_every {
                    let new = start_checkpoint(every, &self.writer, &self.status, &self.events);
                    let before = self.checkpoint.replace(new);
                    self.old.extend(before.and_then(|mut before| before.left_over()));
                }
            }
            ActorName::Orders | ActorName::Writer => return Err("this actor is never restarted".to_string()),
        }
        Ok(())
    }

    fn restart_feed(&mut self) {
        let mut config = self.config.feed.clone();
        // From the last ledger that both have worked through: the gap is repaired before anybody quotes.
        if let Some(last) = self.last_ledger() {
            // Of a ledger since the start the hash is not known here: the chain is compared from the next one on.
            config.last_hash = config.last_hash.filter(|_| config.last_processed == Some(last));
            (config.last_processed, config.refetch_from) = (Some(last), None);
        }
        let listeners = Listeners::new(self.orders_link.clone(), valuer_link(&self.valuer));
        let new = start_feed(&self.config, config, listeners, &self.events);
        let mut before = std::mem::replace(&mut self.feed, new);
        self.old.extend(before.left_over());
        self.link_orders();
    }

    /// A valuer that goes on from the record. What it missed, the feed tells it again.
    fn restart_valuer(&mut self) -> Result<(), String> {
        // Before the record is read: what was frozen must not record behind its successor's back.
        self.valuer.pulse.abandon();
        let core = self.read_valuer_back()?;
        let after = core.ledger_index();
        self.valued.store(after, Ordering::Release);
        let new = start_valuer(core, &self.writer, &self.status, &self.valued, &self.events);
        let mut before = std::mem::replace(&mut self.valuer, new);
        self.old.extend(before.left_over());
        let relink = Relink::Valuer { link: valuer_link(&self.valuer), after };
        if let Err(error) = self.feed.address.try_send(relink) {
            // A feed that is gone is started again, with the new valuer.
            tracing::warn!(%error, "the feed does not take the new valuer's address");
        }
        Ok(())
    }

    /// The record's file.
    #[must_use]
    pub fn record_path(&self) -> &std::path::Path {
        &self.config.path
    }

    /// The valuer as the record knows it.
    ///
    /// # Errors
    /// When the record does not take what is queued, or cannot be read.
    pub fn read_valuer_back(&self) -> Result<ValuerCore, String> {
        let state = read_back(&self.writer, &self.config.path, self.config.session)?;
        Ok(state.map_or_else(ValuerCore::new, ValuerCore::resume))
    }

    /// The same without asking the writer for anything: as far as the record went.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn last_known_valuer(&self) -> Result<ValuerCore, String> {
        let state = last_known(&self.config.path, self.config.session)?;
        Ok(state.map_or_else(ValuerCore::new, ValuerCore::resume))
    }

    /// Puts another in the orders' place: their actor must not act any more, and `link` hears what the feed says from
    /// the last ledger on that the orders have worked through.
    ///
    /// # Errors
    /// When the actor holds the state and does not give it back within `patience`.
    pub fn take_orders_over(&mut self, link: OrdersLink, patience: Duration) -> Result<(), String> {
        self.orders.pulse.abandon();
        let Some(core) = self.core.try_lock_for(patience) else {
            return Err("the orders are frozen and hold their state: nobody else can drive them".to_string());
        };
        let after = core.ledger_index().unwrap_or(0);
        drop(core);
        self.orders_link = link.clone();
        if let Err(error) = self.feed.address.try_send(Relink::Orders { link, after }) {
            tracing::warn!(%error, "the feed does not take the address of whoever took the orders over");
        }
        Ok(())
    }

    /// Asks every actor for a sign of life and returns those that have given none for the limit. Each is given up: it is
    /// not heard any more, and told once.
    #[must_use]
    pub fn find_frozen(&self) -> Vec<ActorName> {
        // A full mailbox refuses the question; the missing answer then tells the same.
        let asked = [
            self.watch.address.try_send(Beat).is_ok(),
            self.valuer.address.try_send(Beat).is_ok(),
            self.orders.address.try_send(Beat).is_ok(),
            self.feed.address.try_send(Beat).is_ok(),
            self.checkpoint.as_ref().is_none_or(|member| member.address.try_send(Beat).is_ok()),
        ];
        if asked.contains(&false) {
            tracing::debug!("an actor's mailbox is full or closed");
        }
        let (now_ms, limit_ms) = (monotonic_ms(), self.config.frozen_ms);
        let frozen: Vec<&Pulse> = self.pulses().filter(|pulse| pulse.age_ms(now_ms) > limit_ms).collect();
        frozen.iter().for_each(|pulse| pulse.abandon());
        frozen.into_iter().map(Pulse::actor).collect()
    }

    /// How long the most silent actor has been silent.
    #[must_use]
    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        self.pulses().map(|pulse| pulse.age_ms(now_ms)).max().unwrap_or(0)
    }

    /// Of those that are not gone.
    fn pulses(&self) -> impl Iterator<Item = &Pulse> {
        let alive = [self.watch.connected(), self.valuer.connected(), self.orders.connected(), self.feed.connected()];
        alive.into_iter().chain([self.checkpoint.as_ref().and_then(Member::connected)]).flatten()
    }

    /// How long ago each actor showed a sign of life, in milliseconds.
    #[must_use]
    pub fn beats_ms(&self) -> Vec<(ActorName, u64)> {
        let now_ms = monotonic_ms();
        self.pulses().map(|pulse| (pulse.actor(), pulse.age_ms(now_ms))).collect()
    }

    /// The way to the supervisor.
    #[must_use]
    pub fn events(&self) -> &Sender<SupervisorEvent> {
        &self.events
    }

    /// What the screen and `neo status` show.
    #[must_use]
    pub fn status(&self) -> &SharedStatus {
        &self.status
    }

    /// The newest ledger that both the orders and the valuer have worked through; unknown before the first, and while
    /// the orders hold their state for long.
    fn last_ledger(&self) -> Option<u32> {
        let orders = self.core.try_lock_for(GLANCE).and_then(|core| core.ledger_index())?;
        let valuer = self.valued.load(Ordering::Acquire);
        (valuer > 0).then(|| valuer.min(orders))
    }

    /// How long whoever needs the orders' state waits for it.
    #[must_use]
    pub fn orders_patience(&self) -> Duration {
        self.config.orders_patience
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

    /// Gives the valuer up: the record tells its last value.
    pub fn abandon_valuer(&self) {
        self.valuer.pulse.abandon();
    }

    /// Ends the actors' threads; from here on nobody records. A thread that does not end within `limit` is left alone,
    /// and one that was given up before is not waited for.
    ///
    /// # Errors
    /// What did not end in order.
    pub fn retire(&mut self, limit: Duration) -> Result<(), String> {
        let mut old = std::mem::take(&mut self.old);
        let checkpoint = self.checkpoint.as_mut().and_then(Member::left_over);
        let actors = [
            self.watch.left_over(),
            self.valuer.left_over(),
            self.orders.left_over(),
            self.feed.left_over(),
            checkpoint,
        ];
        old.extend(actors.into_iter().flatten());
        let threads = old.len();
        // An arbiter that has ended already cannot be told to stop; joining it is at once.
        let told = old.iter().filter(|arbiter| arbiter.stop()).count();
        tracing::debug!(threads, told, "the actors' threads are told to end");
        let (ended, all_ended) = bounded(1);
        std::thread::spawn(move || {
            let panicked = old.into_iter().filter_map(|arbiter| arbiter.join().err()).count();
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

impl<A: Actor<Context = actix::Context<A>>> Member<A> {
    /// The pulse of an actor that is neither gone nor given up.
    fn connected(&self) -> Option<&Pulse> {
        (self.address.connected() && !self.pulse.is_abandoned()).then_some(&self.pulse)
    }

    /// The thread, unless it is frozen: nobody waits for such a one.
    fn left_over(&mut self) -> Option<Arbiter> {
        let frozen = self.pulse.is_abandoned() && self.address.connected();
        self.pulse.abandon();
        self.arbiter.take().filter(|_| !frozen)
    }
}

fn valuer_link(valuer: &Member<Valuer>) -> ValuerLink {
    ValuerLink { updates: to_actor(valuer.address.clone()) }
}

fn member<A>(
    actor: ActorName,
    events: &Sender<SupervisorEvent>,
    make: impl FnOnce(Guard) -> A + Send + 'static,
) -> Member<A>
where
    A: Actor<Context = actix::Context<A>>,
{
    let (guard, pulse) = Guard::new(actor, events.clone());
    let arbiter = Arbiter::new();
    let address = A::start_in_arbiter(&arbiter.handle(), move |_| {
        panics::set_part(actor.as_str());
        make(guard)
    });
    Member { address, pulse, arbiter: Some(arbiter) }
}

fn start_checkpoint(
    every: Duration,
    writer: &Writer,
    status: &SharedStatus,
    events: &Sender<SupervisorEvent>,
) -> Member<CheckpointTimer> {
    let (writer, status) = (writer.clone(), Arc::clone(status));
    member(ActorName::Checkpoint, events, move |guard| CheckpointTimer::new(every, writer, status, guard))
}

fn start_valuer(
    core: ValuerCore,
    writer: &Writer,
    status: &SharedStatus,
    valued: &Arc<AtomicU32>,
    events: &Sender<SupervisorEvent>,
) -> Member<Valuer> {
    let (writer, status, valued) = (writer.clone(), Arc::clone(status), Arc::clone(valued));
    member(ActorName::Valuer, events, move |guard| Valuer::new(core, writer, status, valued, guard))
}

fn start_feed(
    config: &CrewConfig,
    feed: FeedConfig,
    listeners: Listeners,
    events: &Sender<SupervisorEvent>,
) -> Member<Feed> {
    let (nodes, frozen_ms, recorder) = (config.nodes.clone(), config.frozen_ms, config.recorder.clone());
    let outside = config.outside.clone();
    member(ActorName::Feed, events, move |guard| {
        Feed::new(FeedCore::new(feed), nodes, guard, frozen_ms, listeners).recorded_by(recorder).with_outside(outside)
    })
}

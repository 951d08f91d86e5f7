//! The thin server: WebSocket and HTTP connections around a [`Node`], on tokio. Real time is read here and in
//! [`follow`](crate::follow), and nowhere else.
//!
//! One task owns the node. Each connection has its own task, one question with the node at a time, and a bounded queue
//! of what it is sent. A client that lets its queue fill is cut off with code 1008, as rippled does.

mod connection;
mod http;

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::faults::Cut;
use crate::follow::Market;
use crate::node::{ConnectionId, HttpReply, Node, Outgoing, SaveError};
use connection::connection;

/// Messages that wait for a client before it counts as too slow.
const CLIENT_QUEUE: usize = 16_384;
/// Bytes of them.
const CLIENT_QUEUE_BYTES: usize = 64 << 20;
/// Messages of all clients that wait for the node.
const NODE_QUEUE: usize = 256;
/// Clients at a time.
const MAX_CLIENTS: usize = 256;
/// Time for a closing connection to take its last messages.
const FAREWELL: Duration = Duration::from_secs(2);
/// Ledgers between two saves of the world.
const SAVE_LEDGERS: u32 = 256;
/// The slowest clock; a year is still a time that the timer can count to.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 86_400);
/// Where the paths begin by which clients ask for one certain ledger.
const WORLDS: &str = "/world/";

/// How fast ledgers close.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times faster than real time.
    Times(f64),
    /// On `ledger_accept`. Until the first client comes nothing closes, so that how long a client takes to start does
    /// not show in the world; when all clients have left, it goes on in real time. Visitors ([`visiting_path`]) do not
    /// count as clients here.
    Manual,
    /// On `ledger_accept` and never else, as a stand-alone rippled.
    OnRequest,
    /// As the followed market does.
    Market,
}

impl Speed {
    /// True when clients close the ledgers.
    const fn is_asked_for(self) -> bool {
        matches!(self, Speed::Manual | Speed::OnRequest)
    }
}

/// How the server runs.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How fast ledgers close.
    pub speed: Speed,
    /// How long it goes on without any client; `None`: it never ends by itself.
    pub linger: Option<Duration>,
    /// Where the world is saved.
    pub state_file: Option<PathBuf>,
    /// Where the address is written for clients to find: JSON with `url`, `pid`, `world` and `network_id`.
    pub endpoint_file: Option<PathBuf>,
}

/// Why the server ended badly.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The speed is no speed.
    #[error("the speed is {speed}; give a number above 0")]
    Speed {
        /// What was given.
        speed: f64,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}; check its folder and the disk")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The followed market is given up.
    #[error("the market is not followed any more: {reason}")]
    Market {
        /// Why, and what to do.
        reason: String,
    },
    /// The world does not serialise.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// What a connection's task tells the node's task.
enum Event {
    Joined { client: Client, visitor: bool, id: oneshot::Sender<ConnectionId> },
    Said { id: ConnectionId, text: String, done: oneshot::Sender<()> },
    Posted { body: Vec<u8>, reply: oneshot::Sender<HttpReply> },
    Left { id: ConnectionId },
}

/// The node's end of a connection.
struct Client {
    queue: mpsc::Sender<String>,
    waiting_bytes: Arc<AtomicUsize>,
    cut_off: Arc<Notify>,
    /// True when the line breaks without a close frame.
    torn: Arc<AtomicBool>,
}

impl Client {
    /// A client that is sent messages by this queue, and the count of bytes that its other end keeps.
    fn new(queue: mpsc::Sender<String>) -> (Client, Arc<AtomicUsize>) {
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        (
            Client {
                queue,
                waiting_bytes: waiting_bytes.clone(),
                cut_off: Arc::new(Notify::new()),
                torn: Arc::default(),
            },
            waiting_bytes,
        )
    }

    /// Queues a message; false when the client is gone or too slow.
    fn send(&self, text: String) -> bool {
        let bytes = text.len();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A single message may be larger than all that may wait.
        (waiting == 0 || waiting.saturating_add(bytes) <= CLIENT_QUEUE_BYTES) && self.queue.try_send(text).is_ok()
    }
}

/// The path that only the ledger of this world and process answers on, for the values of its endpoint file: other
/// simulated ledgers refuse it with 404, so a client can tell that an address has not passed to another one. Who comes
/// this way is a visitor: it is served, and does not start the clock of [`Speed::Manual`].
#[must_use]
pub fn visiting_path(world: &str, pid: u32) -> String {
    format!("{WORLDS}{world}/{pid}")
}

/// Serves a node until a client stops it or nobody was connected for the time of `linger`.
///
/// # Errors
/// [`ServeError`] when it cannot listen, or a file cannot be written. Trouble with one client ends that client only.
pub async fn serve(listen: SocketAddr, node: Node, options: ServeOptions) -> Result<(), ServeError> {
    serve_market(listen, node, options, None).await
}

/// The same for a node that follows a market ([`Node::following`]): its ledgers close as the market's do, and it ends when
/// the market is given up.
///
/// # Errors
/// As [`serve`], and [`ServeError::Market`].
pub async fn serve_market(
    listen: SocketAddr,
    mut node: Node,
    options: ServeOptions,
    market: Option<mpsc::UnboundedReceiver<Market>>,
) -> Result<(), ServeError> {
    let interval = close_interval(&node, options.speed)?;
    let failed = |source| ServeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    node.set_port(address.port());
    node.allow_ledger_accept(options.speed.is_asked_for());
    if let Some(path) = &options.endpoint_file {
        let endpoint = serde_json::json!({
            "url": format!("ws://{address}"),
            "pid": std::process::id(),
            "world": node.world(),
            "network_id": node.scenario().network_id,
        });
        write_whole(path, endpoint.to_string().as_bytes())?;
    }
    tracing::info!(%address, ledger = node.ledger_index(), "the simulated ledger listens");
    let server = Server {
        own_path: visiting_path(&node.world().to_string(), std::process::id()).into(),
        saved_at: node.ledger_index(),
        node,
        options,
        interval,
        clients: BTreeMap::new(),
        had_clients: false,
        market,
        given_up: None,
    };
    server.run(listener).await
}

fn close_interval(node: &Node, speed: Speed) -> Result<Duration, ServeError> {
    let real = Duration::from_millis(u64::from(node.scenario().close_interval_ms));
    match speed {
        Speed::Manual | Speed::OnRequest | Speed::Market => Ok(real),
        Speed::Times(times) if times.is_finite() && times > 0.0 => {
            let interval = Duration::try_from_secs_f64(real.as_secs_f64() / times).unwrap_or(LONGEST_INTERVAL);
            // A millisecond is the finest the timer knows.
            Ok(interval.clamp(Duration::from_millis(1), LONGEST_INTERVAL))
        }
        Speed::Times(speed) => Err(ServeError::Speed { speed }),
    }
}

struct Server {
    node: Node,
    options: ServeOptions,
    interval: Duration,
    clients: BTreeMap<ConnectionId, Client>,
    saved_at: u32,
    /// Whether anyone but visitors was ever connected.
    had_clients: bool,
    /// The market that is followed, if one is.
    market: Option<mpsc::UnboundedReceiver<Market>>,
    /// Why it is not followed any more.
    given_up: Option<String>,
    /// What [`visiting_path`] gives for this ledger.
    own_path: Arc<str>,
}

impl Server {
    async fn run(mut self, listener: TcpListener) -> Result<(), ServeError> {
        let (events, mut inbox) = mpsc::channel(NODE_QUEUE);
        let mut tasks = JoinSet::new();
        let mut next_close = Instant::now() + self.interval;
        let mut last_seen = Instant::now();
        while !self.node.stop_requested() && self.given_up.is_none() {
            let alone = self.clients.is_empty();
            let timed = match self.options.speed {
                Speed::Times(_) => true,
                Speed::Manual => alone && self.had_clients,
                Speed::OnRequest | Speed::Market => false,
            };
            let end_at = self.options.linger.filter(|_| alone).and_then(|linger| last_seen.checked_add(linger));
            tokio::select! {
                // In no fixed order: clients that never pause do not stop the clock, nor a fast clock the clients.
                event = inbox.recv() => {
                    if let Some(event) = event {
                        self.on_event(event);
                        last_seen = Instant::now();
                        if self.options.speed == Speed::Manual {
                            // Whoever leaves leaves a whole interval before the clock takes over.
                            next_close = Instant::now() + self.interval;
                        }
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if tasks.len() < MAX_CLIENTS => {
                        tasks.spawn(connection(stream, events.clone(), self.own_path.clone()));
                    }
                    Ok(_) => tracing::warn!(clients = MAX_CLIENTS, "a client was turned away: too many"),
                    Err(error) => tracing::warn!(%error, "a connection was not accepted"),
                },
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
                () = sleep_until(next_close), if timed => {
                    let outgoing = self.node.close_ledger();
                    self.send(outgoing);
                    self.save_now_and_then();
                    // After a pause of the machine the ledgers missed are not made up for.
                    let late = Instant::now().saturating_duration_since(next_close);
                    let from = if late > Duration::from_secs(1) { Instant::now() } else { next_close };
                    next_close = from + self.next_interval();
                }
                did = of_market(&mut self.market) => self.on_market(did),
                () = until(end_at) => break,
            }
        }
        self.end(tasks).await
    }

    fn on_market(&mut self, did: Option<Market>) {
        match did {
            Some(Market::Ledger(ledger)) => {
                let outgoing = self.node.follow(*ledger);
                self.send(outgoing);
            }
            // A world is founded once.
            Some(Market::Begin(_)) => {}
            Some(Market::End(reason)) => self.given_up = Some(reason),
            None => self.given_up = Some("whoever follows it ended without a word".to_string()),
        }
    }

    /// Time to the next close: the mean one, but for the scenario's jitter.
    fn next_interval(&self) -> Duration {
        let mean = self.node.scenario().close_interval_ms;
        let next = self.node.next_interval_ms();
        if next == mean { self.interval } else { self.interval.mul_f64(f64::from(next) / f64::from(mean)) }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Joined { client, visitor, id } => {
                let connection = self.node.connect();
                if id.send(connection).is_ok() {
                    self.had_clients |= !visitor;
                    self.clients.insert(connection, client);
                } else {
                    self.node.disconnect(connection);
                }
            }
            Event::Said { id, text, done } => {
                let outgoing = self.node.request(id, &text);
                self.send(outgoing);
                if done.send(()).is_err() {
                    tracing::debug!(connection = id.0, "a client left before it was answered");
                }
                self.save_now_and_then();
            }
            Event::Posted { body, reply } => {
                let (outgoing, answer) = self.node.post(&body);
                self.send(outgoing);
                if reply.send(answer).is_err() {
                    tracing::debug!("a client left before it was answered");
                }
                self.save_now_and_then();
            }
            Event::Left { id } => {
                self.node.disconnect(id);
                self.clients.remove(&id);
            }
        }
    }

    fn send(&mut self, outgoing: Vec<Outgoing>) {
        for Outgoing { connection, text } in outgoing {
            let Some(client) = self.clients.get(&connection) else { continue };
            if !client.send(text) {
                self.node.disconnect(connection);
                if let Some(client) = self.clients.remove(&connection) {
                    client.cut_off.notify_one();
                    tracing::warn!(connection = connection.0, "a client is gone or too slow and was cut off");
                }
            }
        }
        for (connection, cut) in self.node.take_cuts() {
            let Some(client) = self.clients.remove(&connection) else { continue };
            client.torn.store(cut == Cut::Torn, Ordering::Relaxed);
            client.cut_off.notify_one();
            tracing::debug!(connection = connection.0, ?cut, "a client was cut off on purpose");
        }
    }

    fn save_now_and_then(&mut self) {
        let index = self.node.ledger_index();
        if index.saturating_sub(self.saved_at) < SAVE_LEDGERS {
            return;
        }
        self.saved_at = index;
        if let Err(error) = self.save() {
            // The world goes on; the next save or the last one may succeed.
            tracing::error!(%error, "the world was not saved");
        }
    }

    fn save(&self) -> Result<(), ServeError> {
        match &self.options.state_file {
            Some(path) => write_whole(path, &self.node.save()?),
            None => Ok(()),
        }
    }

    /// Lets the clients take what is queued, saves the world and removes the endpoint.
    async fn end(mut self, mut tasks: JoinSet<()>) -> Result<(), ServeError> {
        self.clients.clear();
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("some clients did not take their last messages");
        }
        tasks.abort_all();
        let saved = self.save();
        if let Some(path) = &self.options.endpoint_file
            && let Err(source) = std::fs::remove_file(path)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return saved.and(Err(ServeError::Write { path: path.clone(), source }));
        }
        tracing::info!(ledger = self.node.ledger_index(), "the simulated ledger ended");
        saved?;
        self.given_up.map_or(Ok(()), |reason| Err(ServeError::Market { reason }))
    }
}

/// Waits for what a market does; where none is followed that is never.
async fn of_market(market: &mut Option<mpsc::UnboundedReceiver<Market>>) -> Option<Market> {
    match market {
        Some(market) => market.recv().await,
        None => pending().await,
    }
}

/// Waits for a moment; `None` never comes.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Writes a file so that a reader sees the old one or the new one, never half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    let failed = |source| ServeError::Write { path: path.to_path_buf(), source };
    let mut name = path.as_os_str().to_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let mut file = std::fs::File::create(&temporary).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    drop(file);
    std::fs::rename(&temporary, path).map_err(failed)
}

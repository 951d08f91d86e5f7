//! Nodes that the network spoils: to the engine each is a node of its own, and behind all of them is one ledger.
//!
//! What goes wrong when is in [`plan`], what that does to messages in [`wire`]; here are the sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "test support"
)]

pub mod plan;
pub mod truth;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, connect_async};

use plan::{Fault, Plan, Spell};
use wire::{Node, Out, Picture, Wire, World};

/// How many pictures are kept: more than any node is behind.
const PICTURES: usize = 16;

struct Shared {
    nodes: Vec<Node>,
    world: World,
    /// Ledger from which faults happen.
    since: Option<u32>,
}

/// Nodes between the engine and one ledger. They end with this.
pub struct Proxies {
    shared: Arc<Mutex<Shared>>,
    changed: watch::Sender<u64>,
    /// Their addresses, the first one behind TLS.
    pub urls: Vec<String>,
    /// The certificate that vouches for the first, in PEM form.
    pub certificate: String,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxies {
    /// So many nodes before one ledger. Nothing goes wrong before [`Proxies::arm`].
    pub fn before(target: &str, count: usize) -> Proxies {
        let nodes = (0..count).map(|number| Node { number, ..Node::default() }).collect();
        let shared = Arc::new(Mutex::new(Shared { nodes, world: World::new(Plan::calm()), since: None }));
        let (changed, watching) = watch::channel(0);
        let (certificate, right) = certificate();
        let wrong = self::certificate().1;
        let (end, ended) = tokio::sync::oneshot::channel();
        let (told, urls) = std::sync::mpsc::channel();
        let (state, target) = (Arc::clone(&shared), target.to_string());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut urls = Vec::new();
                for number in 0..count {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let port = listener.local_addr().unwrap().port();
                    let tls = (number == 0).then(|| [Arc::clone(&right), Arc::clone(&wrong)]);
                    urls.push(match tls {
                        Some(_) => format!("wss://localhost:{port}"),
                        None => format!("ws://127.0.0.1:{port}"),
                    });
                    let place = Place { number, target: target.clone(), tls, shared: state.clone() };
                    tokio::spawn(place.listen(listener, watching.clone()));
                }
                told.send(urls).unwrap();
                // Dropping the sender ends it as well.
                drop(ended.await);
            });
        });
        let urls = urls.recv().unwrap();
        Proxies { shared, changed, urls, certificate, end: Some(end), thread: Some(thread) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Shared) -> T) -> T {
        let done = act(&mut self.shared.lock());
        self.changed.send_modify(|version| *version += 1);
        done
    }

    /// From the next ledger on the plan's faults happen.
    pub fn arm(&self, plan: Plan) {
        self.with(|shared| {
            shared.since = Some(shared.world.newest);
            shared.world.plan = plan;
        });
    }

    /// Nothing goes wrong any more.
    pub fn disarm(&self) {
        self.with(|shared| {
            shared.world.plan = Plan::calm();
            shared.since = None;
            shared.nodes.iter_mut().for_each(|node| node.spell = None);
        });
    }

    /// A node is struck, until it is told otherwise.
    pub fn strike(&self, number: usize, fault: Fault, amount: u32) {
        self.with(|shared| begin(shared, number, Spell { fault, ledgers: 1_000_000, amount }));
    }

    /// A node is well again.
    pub fn heal(&self, number: usize) {
        self.with(|shared| shared.nodes[number].spell = None);
    }

    /// A ledger closed, and this is what the node answers of it.
    pub fn advance(&self, index: u32, picture: Picture) {
        self.with(|shared| {
            shared.world.newest = index;
            shared.world.pictures.insert(index, picture);
            while shared.world.pictures.len() > PICTURES {
                shared.world.pictures.pop_first();
            }
            for number in 0..shared.nodes.len() {
                if shared.nodes[number].spell.is_some() && shared.nodes[number].until <= index {
                    shared.nodes[number].spell = None;
                }
                let since = shared.since.filter(|_| shared.nodes[number].spell.is_none());
                if let Some(spell) = since.and_then(|since| shared.world.plan.spell(number, index - since)) {
                    begin(shared, number, spell);
                }
            }
        });
    }

    /// How often a fault happened.
    pub fn count(&self, fault: Fault) -> u64 {
        self.shared.lock().world.counts.get(&fault).copied().unwrap_or(0)
    }

    /// Whether each node has a client.
    pub fn all_are_used(&self) -> bool {
        self.shared.lock().nodes.iter().all(|node| node.open > 0)
    }

    /// How many messages a node has sent so far.
    pub fn messages(&self, number: usize) -> u64 {
        self.shared.lock().nodes[number].messages
    }

    /// Looks at all that happened.
    pub fn world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.shared.lock().world)
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

fn begin(shared: &mut Shared, number: usize, spell: Spell) {
    let node = &mut shared.nodes[number];
    (node.spell, node.until) = (Some(spell), shared.world.newest.saturating_add(spell.ledgers));
    node.floor = shared.world.newest.saturating_add(1);
}

/// A certificate of one's own, and the server's side of it.
fn certificate() -> (String, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), Arc::new(server))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where one node listens.
#[derive(Clone)]
struct Place {
    number: usize,
    target: String,
    /// The right certificate and a stranger's.
    tls: Option<[Arc<ServerConfig>; 2]>,
    shared: Arc<Mutex<Shared>>,
}

impl Place {
    fn spell(&self) -> Option<Spell> {
        self.shared.lock().nodes[self.number].spell
    }

    fn happened(&self, fault: Fault) {
        self.shared.lock().world.happened(fault);
    }

    async fn listen(self, listener: TcpListener, changed: watch::Receiver<u64>) {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (place, changed) = (self.clone(), changed.clone());
            tokio::spawn(async move {
                if let Some(near) = place.open(socket, changed.clone()).await {
                    place.shared.lock().nodes[place.number].open += 1;
                    place.serve(near, changed).await;
                    place.shared.lock().nodes[place.number].open -= 1;
                }
            });
        }
    }

    /// The engine's side of a connection, unless a fault is in its way.
    async fn open(
        &self,
        mut socket: TcpStream,
        mut changed: watch::Receiver<u64>,
    ) -> Option<WebSocketStream<Box<dyn Stream>>> {
        while let Some(spell) = self.spell() {
            match spell.fault {
                Fault::Cut => {
                    self.happened(Fault::Cut);
                    return None;
                }
                Fault::TlsHandshake => {
                    self.happened(Fault::TlsHandshake);
                    let mut hello = [0; 64];
                    drop(socket.read(&mut hello).await);
                    return None;
                }
                // Accepted by the system, and not a byte comes.
                Fault::Stall | Fault::HalfOpen => changed.changed().await.ok()?,
                _ => break,
            }
        }
        socket.set_nodelay(true).ok()?;
        let is_strange = self.spell().is_some_and(|spell| spell.fault == Fault::TlsCertificate);
        let stream: Box<dyn Stream> = match &self.tls {
            Some([_, wrong]) if is_strange => {
                self.happened(Fault::TlsCertificate);
                // The engine must end it before a word is said.
                assert!(TlsAcceptor::from(Arc::clone(wrong)).accept(socket).await.is_err());
                return None;
            }
            // A node without TLS has no certificate to be wrong.
            None if is_strange => {
                self.happened(Fault::TlsCertificate);
                return None;
            }
            Some([right, _]) => Box::new(TlsAcceptor::from(Arc::clone(right)).accept(socket).await.ok()?),
            None => Box::new(socket),
        };
        accept_async(stream).await.ok()
    }

    async fn serve(&self, mut near: WebSocketStream<Box<dyn Stream>>, mut changed: watch::Receiver<u64>) {
        let Ok((mut far, _)) = connect_async(self.target.as_str()).await else { return };
        self.shared.lock().world.opened += 1;
        // What was wrong already when it was opened has had its effect.
        let (mut wire, mut struck) = (Wire::default(), self.spell());
        loop {
            let out = tokio::select! {
                said = near.next() => match said {
                    Some(Ok(Message::Text(text))) => self.on(|node, world| {
                        wire.engine_said(text.as_str().to_string(), node, world)
                    }),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => return,
                },
                said = far.next() => match said {
                    Some(Ok(Message::Text(text))) => self.on(|node, world| {
                        wire.node_said(text.as_str().to_string(), node, world)
                    }),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => return,
                },
                seen = changed.changed() => {
                    if seen.is_err() {
                        return;
                    }
                    let mut out = self.on(|node, world| wire.looked_at(node, world));
                    out.cut |= self.breaks(&mut struck);
                    out
                }
            };
            for text in out.up {
                if far.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            for text in out.down {
                self.slowly(text.len()).await;
                if near.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            if out.cut {
                // Both sockets are dropped: no close frame.
                self.shared.lock().world.broken += 1;
                return;
            }
        }
    }

    fn on(&self, act: impl FnOnce(&mut Node, &mut World) -> Out) -> Out {
        let shared = &mut *self.shared.lock();
        act(&mut shared.nodes[self.number], &mut shared.world)
    }

    /// Whether what is wrong with the node ends its connections, once: those that show only when one is opened do too.
    fn breaks(&self, struck: &mut Option<Spell>) -> bool {
        let shared = &mut *self.shared.lock();
        let spell = shared.nodes[self.number].spell;
        if std::mem::replace(struck, spell) == spell {
            return false;
        }
        let Some(Spell { fault, .. }) = spell else { return false };
        if fault == Fault::Cut {
            shared.world.happened(fault);
        }
        matches!(
            fault,
            Fault::Cut
                | Fault::TlsCertificate
                | Fault::TlsHandshake
                | Fault::WrongNetwork
                | Fault::HistoryGap
                | Fault::HistoryClamped
        )
    }

    /// What a slow line takes for so many bytes.
    async fn slowly(&self, bytes: usize) {
        if let Some(Spell { fault: Fault::Slow, amount, .. }) = self.spell() {
            self.happened(Fault::Slow);
            let ms = (bytes as u64 * 1_000).div_ceil(u64::from(amount.max(1)));
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

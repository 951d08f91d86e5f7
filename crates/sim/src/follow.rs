//! The thin shell around [`Live`](crate::mirror::live::Live): one connection at a time to the nodes of a real market, and what
//! they do as messages for the server.

use std::time::Duration;

use neo_ledger::Token;
use neo_ledger::client::{self, ClientEvent, Endpoint};
use neo_ledger::watch::how_it_ended;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use crate::mirror::live::{Effect, Input, Live, Pace};
use crate::mirror::read::MirrorLedger;

/// How often the time is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A market that is followed.
#[derive(Clone, Debug)]
pub struct Follow {
    /// Its nodes, in order of preference.
    pub nodes: Vec<Endpoint>,
    /// The network that they must be on.
    pub network_id: u32,
    /// Whose books against XRP are mirrored.
    pub token: Token,
    /// How long things may take.
    pub pace: Pace,
}

/// What a followed market does.
#[derive(Debug)]
pub enum Market {
    /// The ledgers that a world is founded by; comes first.
    Begin(Vec<MirrorLedger>),
    /// The ledger that closes next.
    Ledger(Box<MirrorLedger>),
    /// It is given up: why, and what to do.
    End(String),
}

/// Follows a market until it is given up or nobody listens any more. Called inside a runtime.
#[must_use]
pub fn start(follow: Follow) -> UnboundedReceiver<Market> {
    let (tell, market) = mpsc::unbounded_channel();
    tokio::spawn(run(follow, tell));
    market
}

struct Open {
    outgoing: UnboundedSender<String>,
    events: UnboundedReceiver<ClientEvent>,
}

async fn run(follow: Follow, tell: UnboundedSender<Market>) {
    let began = Instant::now();
    let mut live = Live::new(follow.network_id, follow.token, follow.pace, 0);
    let mut turns = follow.nodes.iter().cycle();
    let mut open: Option<Open> = None;
    while !tell.is_closed() {
        let event = match &mut open {
            Some(open) => tokio::time::timeout(LOOK, open.events.recv()).await.ok(),
            None => {
                tokio::time::sleep(LOOK).await;
                None
            }
        };
        let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut effects = match event {
            None => Vec::new(),
            Some(Some(ClientEvent::Connected)) => live.on(Input::Connected, now_ms),
            Some(Some(ClientEvent::Text(text))) => live.on(Input::Text(&text), now_ms),
            Some(ended) => {
                let (busy, reason) = how_it_ended(ended);
                live.on(Input::Ended { busy, reason: &reason }, now_ms)
            }
        };
        effects.extend(live.on(Input::Tick, now_ms));
        for effect in effects {
            let market = match effect {
                Effect::Connect => {
                    open = turns.next().map(connect);
                    continue;
                }
                Effect::Send(text) => {
                    if open.as_ref().is_some_and(|open| open.outgoing.send(text).is_err()) {
                        tracing::debug!("the connection is over; its end is told by itself");
                    }
                    continue;
                }
                // Dropping it closes the connection.
                Effect::Leave => {
                    open = None;
                    continue;
                }
                Effect::Tell(text) => {
                    tracing::warn!("the market: {text}");
                    continue;
                }
                Effect::Begin(founding) => Market::Begin(founding),
                Effect::Ledger(ledger) => Market::Ledger(ledger),
                Effect::End(reason) => Market::End(reason),
            };
            let ends = matches!(market, Market::End(_));
            if tell.send(market).is_err() || ends {
                return;
            }
        }
    }
}

fn connect(node: &Endpoint) -> Open {
    let (outgoing, to_send) = mpsc::unbounded_channel();
    let (heard, events) = mpsc::unbounded_channel();
    tracing::info!(url = client::shown_url(&node.url), "following the market through this node");
    tokio::spawn(client::run(node.clone(), to_send, move |event| {
        if heard.send(event).is_err() {
            tracing::trace!("the connection was left");
        }
    }));
    Open { outgoing, events }
}

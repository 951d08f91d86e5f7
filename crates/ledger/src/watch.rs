//! What whoever only looks on asks a node, when it leaves it, and when it comes back: `neo record` and the mirror of a live
//! market. Pure: events and times in, effects out.

use crate::client::ClientEvent;
use crate::message::{self, Message, Response};
use crate::request::{self, Index};
use crate::result::ServerInfo;
use crate::types::{Address, Asset, Token};

/// The first wait before a new connection; doubled up to the longest.
const WAIT_MS: u64 = 1_000;
const MAX_WAIT_MS: u64 = 60_000;
/// A node that refuses for its load is left alone for this long at least.
const BUSY_WAIT_MS: u64 = 10_000;
/// Most offers a node gives an ordinary user in one answer.
const BOOK_LIMIT: u32 = 400;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A connection is open.
    Connected,
    /// The node sent a text.
    Text(&'a str),
    /// The connection is over, or could not be opened.
    Ended {
        /// It was refused because of its load, or ours.
        busy: bool,
        /// Why.
        reason: &'a str,
    },
    /// Time goes on.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection.
    Connect,
    /// Send a request.
    Send(String),
    /// Close the connection, if there is one; the next is opened when it is time.
    Leave,
    /// Say in the recording that something may be missing here.
    Gap(String),
    /// Tell whoever looks on.
    Tell(String),
    /// This node is not the one that was meant: end, and say why.
    Refuse(String),
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Validated ledgers.
    pub ledgers: u64,
    /// The first of them.
    pub first_ledger: Option<u32>,
    /// The last of them.
    pub last_ledger: Option<u32>,
    /// Places where something may be missing.
    pub gaps: u64,
    /// Texts that this program does not understand; they are recorded all the same.
    pub not_understood: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection until then.
    Waits {
        until_ms: u64,
    },
    Connects,
    Open {
        heard_ms: u64,
        probed: bool,
    },
}

/// The requests of a connection whose answers matter here.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    server: u64,
    subscribe: u64,
    pool: u64,
    follow_pool: u64,
}

/// Follows one node.
#[derive(Debug)]
pub struct Watch {
    network_id: u32,
    token: Token,
    account: Option<Address>,
    silence_ms: u64,
    phase: Phase,
    asked: Asked,
    /// The pool's account, once its transactions are asked for on this connection.
    followed: Option<Address>,
    next_id: u64,
    wait_ms: u64,
    seen: Seen,
}

impl Watch {
    /// A watch that connects at the first tick. `silence_ms` without a word, and a connection is given up.
    #[must_use]
    pub fn new(network_id: u32, token: Token, account: Option<Address>, silence_ms: u64) -> Watch {
        let (phase, asked) = (Phase::Waits { until_ms: 0 }, Asked::default());
        let seen = Seen::default();
        let followed = None;
        Watch { network_id, token, account, silence_ms, phase, asked, followed, next_id: 1, wait_ms: WAIT_MS, seen }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes what happened.
    pub fn on(&mut self, input: Input<'_>, now_ms: u64) -> Vec<Effect> {
        match input {
            Input::Connected => {
                self.phase = Phase::Open { heard_ms: now_ms, probed: false };
                self.questions().into_iter().map(Effect::Send).collect()
            }
            Input::Text(text) => self.text(text, now_ms),
            Input::Ended { busy, reason } => self.leave(reason, busy, now_ms),
            Input::Tick => self.tick(now_ms),
        }
    }

    /// A number for a request on this connection.
    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// True while a connection is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// The streams first: what happens while the picture is read is in the recording too.
    fn questions(&mut self) -> Vec<String> {
        self.asked = Asked { server: self.id(), subscribe: self.id(), ..Asked::default() };
        self.followed = None;
        let token = self.token;
        let subscribe = match self.account {
            Some(account) => request::subscribe(self.asked.subscribe, account, token),
            None => request::subscribe_market(self.asked.subscribe, token),
        };
        let mut all = vec![request::server_info(self.asked.server), subscribe, self.pool()];
        all.extend(self.books());
        if let Some(account) = self.account {
            all.push(request::account_info(self.id(), account, Index::Validated));
            all.push(request::account_lines(self.id(), account, Some(token.issuer), Index::Validated, None));
            all.push(request::account_offers(self.id(), account, Index::Validated, None));
        }
        all
    }

    fn text(&mut self, text: &str, now_ms: u64) -> Vec<Effect> {
        self.phase = Phase::Open { heard_ms: now_ms, probed: false };
        match message::parse(text) {
            Ok(Message::LedgerClosed(closed)) => self.ledger(closed.ledger_index),
            Ok(Message::Response(response)) => self.answer(&response, now_ms),
            Ok(_) => Vec::new(),
            Err(_) => {
                self.seen.not_understood += 1;
                Vec::new()
            }
        }
    }

    fn ledger(&mut self, index: u32) -> Vec<Effect> {
        // It works: the next trouble begins with the shortest wait.
        self.wait_ms = WAIT_MS;
        let before = self.seen.last_ledger.replace(index);
        self.seen.first_ledger = self.seen.first_ledger.or(Some(index));
        self.seen.ledgers += 1;
        match before {
            Some(before) if before.checked_add(1) != Some(index) => {
                let mut effects = self.gap(format!("ledger {index} follows ledger {before}"));
                effects.extend(self.books().map(Effect::Send));
                effects.push(Effect::Send(self.pool()));
                effects
            }
            _ => Vec::new(),
        }
    }

    /// Asks for both sides of the book: the picture that changes are counted from.
    pub fn books(&mut self) -> [String; 2] {
        let (xrp, token) = (Asset::Xrp, Asset::Token(self.token));
        [(xrp, token), (token, xrp)]
            .map(|(gets, pays)| request::book_offers(self.id(), gets, pays, self.account, BOOK_LIMIT))
    }

    /// Asks for the pool: its picture, as the book's.
    pub fn pool(&mut self) -> String {
        self.asked.pool = self.id();
        request::amm_info(self.asked.pool, self.token)
    }

    fn gap(&mut self, reason: String) -> Vec<Effect> {
        self.seen.gaps += 1;
        vec![Effect::Gap(reason.clone()), Effect::Tell(reason)]
    }

    fn answer(&mut self, response: &Response, now_ms: u64) -> Vec<Effect> {
        match (response.id, &response.result) {
            (Some(id), Ok(said)) if id == self.asked.server => match ServerInfo::from_value(said) {
                Ok(info) if info.network_id.unwrap_or(0) != self.network_id => vec![Effect::Refuse(format!(
                    "the node is on network {}, and the configuration names network {}: correct network.kind, \
                     network.network_id or network.url",
                    info.network_id.unwrap_or(0),
                    self.network_id
                ))],
                Ok(_) => Vec::new(),
                Err(error) => self.leave(&error.to_string(), false, now_ms),
            },
            (Some(id), Ok(said)) if id == self.asked.pool => {
                // What is bought from the pool moves its account, and no offer of the book.
                let Some(pool) = said["amm"]["account"].as_str().and_then(|text| text.parse::<Address>().ok()) else {
                    return vec![Effect::Tell("the node does not name the pool's account; it is not followed".into())];
                };
                if self.followed.replace(pool) == Some(pool) {
                    return Vec::new();
                }
                self.asked.follow_pool = self.id();
                vec![Effect::Send(request::subscribe_accounts(self.asked.follow_pool, &[pool]))]
            }
            // What it did before its transactions were told is in a picture that is taken now.
            (Some(id), Ok(_)) if id == self.asked.follow_pool => vec![Effect::Send(self.pool())],
            (Some(id), Err(error)) if id == self.asked.follow_pool => {
                self.followed = None;
                vec![Effect::Tell(format!("the pool's transactions are not told: {error}"))]
            }
            (Some(id), Err(error)) if id == self.asked.subscribe => {
                self.leave(&format!("the node refuses to subscribe: {error}"), false, now_ms)
            }
            // A token without a pool, an account that is not there yet: the answer is in the recording.
            _ => Vec::new(),
        }
    }

    fn leave(&mut self, reason: &str, busy: bool, now_ms: u64) -> Vec<Effect> {
        let was_open = matches!(self.phase, Phase::Open { .. });
        let wait_ms = if busy { self.wait_ms.max(BUSY_WAIT_MS) } else { self.wait_ms };
        self.phase = Phase::Waits { until_ms: now_ms.saturating_add(wait_ms) };
        self.wait_ms = wait_ms.saturating_mul(2).min(MAX_WAIT_MS);
        let mut effects = vec![Effect::Leave];
        if was_open {
            effects.extend(self.gap(format!("the connection is over: {reason}")));
        } else {
            effects.push(Effect::Tell(format!("no connection: {reason}; again in {} s", wait_ms / 1_000)));
        }
        effects
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        match self.phase {
            Phase::Waits { until_ms } if now_ms >= until_ms => {
                self.phase = Phase::Connects;
                vec![Effect::Connect]
            }
            Phase::Open { heard_ms, .. } if now_ms.saturating_sub(heard_ms) > self.silence_ms => {
                let reason = format!("the node said nothing for {} s", self.silence_ms / 1_000);
                self.leave(&reason, false, now_ms)
            }
            // A stand-alone node may close no ledger for long: it is asked something before it is given up.
            Phase::Open { heard_ms, probed: false } if now_ms.saturating_sub(heard_ms) > self.silence_ms / 2 => {
                self.phase = Phase::Open { heard_ms, probed: true };
                let id = self.id();
                vec![Effect::Send(request::server_info(id))]
            }
            _ => Vec::new(),
        }
    }
}

/// How a connection ended, from its last event: whether it was refused for the load, and why it is over.
#[must_use]
pub fn how_it_ended(event: Option<ClientEvent>) -> (bool, String) {
    match event {
        Some(ClientEvent::Busy { error }) => (true, error),
        Some(ClientEvent::Failed { error }) => (false, error),
        // 1008: the node cut us off for our load, or because we read too slowly.
        Some(ClientEvent::Closed { code, reason }) => {
            let shown = code.map_or_else(|| "no code".to_string(), |code| format!("code {code}"));
            (code == Some(1008), format!("the node closed it ({shown}) {reason}"))
        }
        Some(ClientEvent::Connected | ClientEvent::Text(_)) | None => (false, "it ended without a word".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;

    fn watch() -> Watch {
        let issuer: Address = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De".parse().unwrap();
        Watch::new(7, Token { currency: Currency::RLUSD, issuer }, None, 20_000)
    }

    fn closed(index: u32) -> String {
        serde_json::json!({
            "type": "ledgerClosed", "ledger_index": index, "ledger_hash": "AB".repeat(32), "ledger_time": 1000 + index,
            "fee_base": 10, "reserve_base": 1_000_000, "reserve_inc": 200_000, "txn_count": 0,
            "validated_ledgers": format!("1-{index}")
        })
        .to_string()
    }

    fn sends(effects: &[Effect]) -> usize {
        effects.iter().filter(|effect| matches!(effect, Effect::Send(_))).count()
    }

    #[test]
    fn each_connection_is_asked_for_the_picture_and_waits_grow_until_it_works() {
        let mut watch = watch();
        assert_eq!(watch.on(Input::Tick, 0), [Effect::Connect]);
        assert!(watch.on(Input::Tick, 1).is_empty());
        let mut waited = Vec::new();
        let mut now_ms = 0;
        for busy in [false, false, true, false] {
            let effects = watch.on(Input::Ended { busy, reason: "refused" }, now_ms);
            // Nothing was lost yet.
            assert!(matches!(&effects[..], [Effect::Leave, Effect::Tell(_)]), "{effects:?}");
            let before_ms = now_ms;
            while watch.on(Input::Tick, now_ms).is_empty() {
                now_ms += 1_000;
            }
            waited.push((now_ms - before_ms) / 1_000);
        }
        assert_eq!(waited, [1, 2, 10, 20]);
        assert_eq!(sends(&watch.on(Input::Connected, now_ms)), 5);
        assert!(watch.on(Input::Text(&closed(9)), now_ms).is_empty());
        let effects = watch.on(Input::Ended { busy: false, reason: "cut" }, now_ms);
        assert_eq!(effects[1], Effect::Gap("the connection is over: cut".to_string()));
        assert_eq!(watch.on(Input::Tick, now_ms + 1_000), [Effect::Connect]);
        assert_eq!(sends(&watch.on(Input::Connected, now_ms)), 5);
        let effects = watch.on(Input::Text(&closed(12)), now_ms);
        assert_eq!(effects[0], Effect::Gap("ledger 12 follows ledger 9".to_string()));
        // Book and pool are read afresh: what they lost in between nobody tells.
        assert_eq!(sends(&effects), 3);
        let seen = watch.seen();
        assert_eq!((seen.ledgers, seen.first_ledger, seen.last_ledger, seen.gaps), (2, Some(9), Some(12), 2));
    }

    #[test]
    fn a_quiet_node_is_asked_before_it_is_left() {
        let mut watch = watch();
        watch.on(Input::Tick, 0);
        watch.on(Input::Connected, 0);
        assert_eq!(sends(&watch.on(Input::Tick, 10_001)), 1);
        assert!(watch.on(Input::Tick, 10_002).is_empty());
        watch.on(Input::Text("what is this"), 15_000);
        assert_eq!(watch.seen().not_understood, 1);
        assert_eq!(sends(&watch.on(Input::Tick, 25_001)), 1);
        assert_eq!(watch.on(Input::Tick, 35_001)[0], Effect::Leave);
    }

    #[test]
    fn another_network_is_refused_and_a_pool_is_followed() {
        let mut watch = watch();
        watch.on(Input::Tick, 0);
        watch.on(Input::Connected, 0);
        let pool = r#"{"id":3,"type":"response","status":"success",
            "result":{"amm":{"account":"rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"}}}"#;
        assert_eq!(sends(&watch.on(Input::Text(pool), 0)), 1);
        // Once its transactions come, the pool is read again; not a third time.
        let followed = r#"{"id":6,"type":"response","status":"success","result":{}}"#;
        let asked = watch.on(Input::Text(followed), 0);
        assert!(matches!(&asked[..], [Effect::Send(text)] if text.contains("amm_info")), "{asked:?}");
        assert!(watch.on(Input::Text(&pool.replace("\"id\":3", "\"id\":7")), 0).is_empty());
        let refused = r#"{"id":2,"type":"response","status":"error","error":"noPermission"}"#;
        assert_eq!(watch.on(Input::Text(refused), 0)[0], Effect::Leave);
    }
}

//! A client over a real socket: subscribe, submit what it signed, close the ledger, see it validated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use neo_ledger::keys::Keypair;
use neo_sim::faults::Times;
use neo_sim::server::visiting_path;
use neo_sim::{Node, Scenario, ServeOptions, Speed, maker_seed, serve};
use serde_json::{Value as Json, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server with a world of its own.
struct Server {
    folder: tempfile::TempDir,
    scenario: Scenario,
    endpoint: Json,
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(scenario: Scenario, linger: Option<Duration>) -> Server {
        Server::at(Speed::Manual, scenario, linger).await
    }

    async fn at(speed: Speed, scenario: Scenario, linger: Option<Duration>) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let node = new_node(&scenario);
        let endpoint = folder.path().join("endpoint.json");
        let options = ServeOptions {
            speed,
            linger,
            state_file: Some(folder.path().join("world.json")),
            endpoint_file: Some(endpoint.clone()),
        };
        let task = tokio::spawn(async move { serve("127.0.0.1:0".parse().unwrap(), node, options).await.unwrap() });
        let text = loop {
            match std::fs::read_to_string(&endpoint) {
                Ok(text) => break text,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let endpoint: Json = serde_json::from_str(&text).unwrap();
        let url = endpoint["url"].as_str().unwrap().to_string();
        Server { folder, scenario, endpoint, url, task }
    }

    async fn connect(&self) -> Socket {
        connect_async(&self.url).await.unwrap().0
    }

    /// The address by which visitors come.
    fn visitors_url(&self) -> String {
        let pid = u32::try_from(self.endpoint["pid"].as_u64().unwrap()).unwrap();
        format!("{}{}", self.url, visiting_path(self.endpoint["world"].as_str().unwrap(), pid))
    }

    /// Waits until the server ends, and reads the world that it saved.
    async fn ended(self) -> Node {
        self.task.await.unwrap();
        assert!(!self.folder.path().join("endpoint.json").exists());
        Node::load(&std::fs::read(self.folder.path().join("world.json")).unwrap(), &self.scenario).unwrap()
    }
}

fn new_node(scenario: &Scenario) -> Node {
    Node::new(scenario, 3).unwrap()
}

/// A scenario whose ledgers close as fast as the timer can, once the clock runs.
fn fast() -> Scenario {
    Scenario { close_interval_ms: 1, ..Scenario::default() }
}

/// Long beside the interval of [`fast`].
const SOON: Duration = Duration::from_millis(50);

async fn send(socket: &mut Socket, json: Json) {
    socket.send(Message::text(json.to_string())).await.unwrap();
}

async fn next(socket: &mut Socket) -> Json {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
            Message::Close(_) => panic!("closed"),
            _ => {}
        }
    }
}

/// Messages up to the response of this id, which is the last.
async fn until_response(socket: &mut Socket, id: u64) -> Vec<Json> {
    let mut messages = Vec::new();
    loop {
        let message = next(socket).await;
        let done = message["type"] == "response" && message["id"] == id;
        messages.push(message);
        if done {
            return messages;
        }
    }
}

fn offer(pair: &Keypair, scenario: &Scenario, sequence: u64) -> neo_ledger::keys::Signed {
    let token = scenario.token();
    pair.sign_json(&json!({
        "TransactionType": "OfferCreate", "Account": pair.address(), "Fee": "10", "Sequence": sequence,
        "NetworkID": scenario.network_id, "LastLedgerSequence": 20, "TakerGets": "100000000",
        "TakerPays": { "currency": token.currency, "issuer": token.issuer, "value": "300" },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_signed_offer_is_validated_and_the_world_is_saved() {
    let scenario = Scenario::default();
    let pair = Keypair::from_seed(&maker_seed()).unwrap();
    let server = Server::start(scenario.clone(), None).await;
    let mut socket = server.connect().await;
    let account = pair.address();
    send(&mut socket, json!({ "id": 1, "command": "account_info", "account": account, "api_version": 2 })).await;
    let info = next(&mut socket).await;
    let sequence = info["result"]["account_data"]["Sequence"].as_u64().unwrap();
    let subscribe =
        json!({ "id": 2, "command": "subscribe", "api_version": 2, "streams": ["ledger"], "accounts": [account] });
    send(&mut socket, subscribe).await;
    assert_eq!(next(&mut socket).await["result"]["network_id"], 65_001);
    let signed = offer(&pair, &scenario, sequence);
    send(&mut socket, json!({ "id": 3, "command": "submit", "api_version": 2, "tx_blob": signed.blob })).await;
    let submitted = next(&mut socket).await;
    assert_eq!(submitted["result"]["engine_result"], "tesSUCCESS", "{submitted}");
    assert_eq!(submitted["result"]["tx_json"]["hash"], json!(signed.hash));
    send(&mut socket, json!({ "id": 4, "command": "ledger_accept", "api_version": 2 })).await;
    let messages = until_response(&mut socket, 4).await;
    assert_eq!(messages[0]["type"], "ledgerClosed");
    let validated = messages.iter().find(|message| message["hash"] == json!(signed.hash)).unwrap();
    assert_eq!((&validated["validated"], &validated["engine_result"]), (&json!(true), &json!("tesSUCCESS")));
    send(&mut socket, json!({ "id": 5, "command": "stop" })).await;
    assert_eq!(next(&mut socket).await["result"]["message"], "ripple server stopping");
    assert_eq!(server.ended().await.validated_state().offers_of(account).count(), 1);
}

#[tokio::test]
async fn a_hostile_client_hurts_nobody_else() {
    let server = Server::start(Scenario::default(), None).await;
    let (mut good, mut bad) = (server.connect().await, server.connect().await);
    for text in ["", "[1,2]", "{", "null", "{\"command\":5}", "{\"id\":1,\"command\":\"submit\",\"tx_blob\":\"1200\"}"]
    {
        bad.send(Message::text(text)).await.unwrap();
        let answer = next(&mut bad).await;
        assert!(answer["error"].is_string(), "{text}: {answer}");
    }
    let half = TcpStream::connect(server.url.trim_start_matches("ws://")).await.unwrap();
    let huge = bad.send(Message::text("x".repeat(17 << 20))).await;
    let refused = huge.is_err() || !matches!(bad.next().await, Some(Ok(Message::Text(_))));
    assert!(refused);
    send(&mut good, json!({ "id": 9, "command": "ping" })).await;
    assert_eq!(next(&mut good).await, json!({ "id": 9, "result": {}, "status": "success", "type": "response" }));
    drop(half);
    send(&mut good, json!({ "id": 10, "command": "stop" })).await;
    server.ended().await;
}

#[tokio::test]
async fn nothing_closes_before_the_first_client_comes() {
    let server = Server::start(fast(), Some(SOON)).await;
    let before = new_node(&fast());
    let after = server.ended().await;
    assert_eq!(after.ledger_index(), before.ledger_index());
    assert_eq!(after.digest().unwrap(), before.digest().unwrap());
}

#[tokio::test]
async fn visitors_are_served_and_start_no_clock() {
    let server = Server::start(fast(), Some(SOON)).await;
    let (mut visitor, _) = connect_async(server.visitors_url()).await.unwrap();
    send(&mut visitor, json!({ "id": 1, "command": "server_info" })).await;
    assert_eq!(next(&mut visitor).await["result"]["info"]["network_id"], server.endpoint["network_id"]);
    drop(visitor);
    assert_eq!(server.ended().await.digest().unwrap(), new_node(&fast()).digest().unwrap());
}

#[tokio::test]
async fn visitors_of_another_ledger_are_refused() {
    let server = Server::start(fast(), Some(SOON)).await;
    let (world, own_pid) = (server.endpoint["world"].as_str().unwrap(), std::process::id());
    for path in [visiting_path(world, own_pid + 1), visiting_path("00", own_pid), visiting_path("", 0)] {
        match connect_async(format!("{}{path}", server.url)).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 404, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(server.ended().await.ledger_index(), new_node(&fast()).ledger_index());
}

#[tokio::test]
async fn when_the_clients_have_left_the_ledger_goes_on() {
    let server = Server::start(fast(), Some(SOON)).await;
    drop(server.connect().await);
    assert!(server.ended().await.ledger_index() > new_node(&fast()).ledger_index());
}

#[tokio::test]
async fn without_clients_the_server_ends_by_itself() {
    let server = Server::start(Scenario::default(), Some(Duration::ZERO)).await;
    server.ended().await;
}

/// Notes that the server has warned: that is how a test learns that somebody was cut off.
#[derive(Clone, Debug, Default)]
struct Warned(Arc<AtomicBool>);

impl tracing::Subscriber for Warned {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::WARN && metadata.target() == "neo_sim::server"
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// A client whose system takes little for it while it does not read.
async fn connect_with_little_room(url: &str) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(url.trim_start_matches("ws://").parse().unwrap()).await.unwrap();
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_the_others_are_not() {
    let warned = Warned::default();
    let _watch = tracing::subscriber::set_default(warned.clone());
    let mut scenario = Scenario::default();
    scenario.takers.arrivals_per_ledger = 500.0;
    let server = Server::start(scenario, None).await;
    let (mut good, mut bad) = (server.connect().await, connect_with_little_room(&server.url).await);
    let subscribe = json!({ "id": 1, "command": "subscribe", "streams": ["ledger", "transactions"] });
    bad.send(Message::text(subscribe.to_string())).await.unwrap();
    assert!(bad.next().await.unwrap().unwrap().is_text());
    send(&mut good, subscribe).await;
    let mut streamed = until_response(&mut good, 1).await.len() - 1;
    let (mut closed, mut promised) = (0, 0);
    while !warned.0.load(Ordering::Relaxed) {
        closed += 1;
        assert!(closed < 200, "{streamed} messages wait and nobody is cut off");
        send(&mut good, json!({ "id": 2, "command": "ledger_accept" })).await;
        let messages = until_response(&mut good, 2).await;
        promised += messages[0]["txn_count"].as_u64().unwrap() + 1;
        streamed += messages.len() - 1;
    }
    assert_eq!(streamed as u64, promised, "a client that reads gets every message");
    let (got, goodbye) = read_to_the_close(&mut bad).await;
    assert_eq!(goodbye, Some((CloseCode::Policy, "Policy error: client is too slow.".to_string())));
    assert!(got < promised, "{got} of {promised}");
    send(&mut good, json!({ "id": 3, "command": "ledger_accept" })).await;
    assert_eq!(until_response(&mut good, 3).await[0]["type"], "ledgerClosed");
    send(&mut good, json!({ "id": 4, "command": "stop" })).await;
    server.ended().await;
}

/// Counts the texts until the end, and gives the words of the close frame when there was one.
async fn read_to_the_close(socket: &mut WebSocketStream<TcpStream>) -> (u64, Option<(CloseCode, String)>) {
    let mut texts = 0;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(frame) => {
                return (texts, frame.map(|frame| (frame.code, frame.reason.as_str().to_string())));
            }
            _ => texts += 1,
        }
    }
    (texts, None)
}

/// A line that breaks: no close frame, whatever was on its way is gone, and the ledger is there for whoever comes again.
#[tokio::test]
async fn a_line_that_breaks_ends_without_a_word_and_the_ledger_goes_on() {
    let mut scenario = Scenario::default();
    let breaks_at = new_node(&scenario).ledger_index() + 3;
    scenario.faults.disconnect = Times::at(&[breaks_at], 1);
    let server = Server::start(scenario, None).await;
    let (mut asks, mut listens) = (server.connect().await, server.connect().await);
    send(&mut listens, json!({ "id": 1, "command": "subscribe", "streams": ["ledger"] })).await;
    until_response(&mut listens, 1).await;
    for id in 2..4 {
        send(&mut asks, json!({ "id": id, "command": "ledger_accept" })).await;
        until_response(&mut asks, id).await;
        assert_eq!(next(&mut listens).await["type"], "ledgerClosed");
    }
    send(&mut asks, json!({ "id": 4, "command": "ledger_accept" })).await;
    for socket in [&mut asks, &mut listens] {
        // What left before the break may still arrive; a goodbye must not.
        while let Some(Ok(said)) = socket.next().await {
            assert!(said.is_text(), "a broken line said {said:?}");
        }
    }
    let mut again = server.connect().await;
    send(&mut again, json!({ "id": 5, "command": "ledger_closed" })).await;
    assert_eq!(next(&mut again).await["result"]["ledger_index"], breaks_at);
    send(&mut again, json!({ "id": 6, "command": "ledger_accept" })).await;
    assert_eq!(until_response(&mut again, 6).await.last().unwrap()["result"]["ledger_current_index"], breaks_at + 2);
    send(&mut again, json!({ "id": 7, "command": "stop" })).await;
    server.ended().await;
}

/// Close times on the stream are those of the seed, however fast the clock runs.
#[tokio::test]
async fn the_jitter_of_the_close_reaches_the_stream() {
    const LEDGERS: usize = 30;
    let even = Scenario { close_interval_ms: 4_000, ..Scenario::default() };
    let jittery = Scenario { close_jitter_ms: 4_000, ..even.clone() };
    let expected = |scenario: &Scenario, from: u64| {
        let mut node = new_node(scenario);
        let mut times = Vec::new();
        while times.len() < LEDGERS {
            node.close_ledger();
            if u64::from(node.ledger_index()) >= from {
                times.push(u64::from(node.close_time().0));
            }
        }
        times
    };
    // A thousand times real time: a ledger each few milliseconds.
    let server = Server::at(Speed::Times(1_000.0), jittery.clone(), None).await;
    let mut socket = server.connect().await;
    send(&mut socket, json!({ "id": 1, "command": "subscribe", "streams": ["ledger"] })).await;
    let (mut indexes, mut times) = (Vec::new(), Vec::new());
    while times.len() < LEDGERS {
        let message = next(&mut socket).await;
        if message["type"] == "ledgerClosed" {
            indexes.push(message["ledger_index"].as_u64().unwrap());
            times.push(message["ledger_time"].as_u64().unwrap());
        }
    }
    assert!(indexes.is_sorted_by(|one, two| one + 1 == *two), "{indexes:?}");
    assert_eq!(times, expected(&jittery, indexes[0]));
    assert_ne!(times, expected(&even, indexes[0]), "no jitter");
    let gaps: std::collections::BTreeSet<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 4 && gaps.iter().all(|gap| (1..=8).contains(gap)), "{gaps:?}");
    send(&mut socket, json!({ "id": 2, "command": "stop" })).await;
    server.ended().await;
}

//! Clients that mean no good, over real sockets: each hurts itself alone. Between two of their deeds an honest client is
//! answered over WebSocket and over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use neo_sim::{Node, Scenario, ServeOptions, Speed, serve};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The bytes that open a WebSocket, for clients that write its frames by hand.
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Starts a ledger, and gives its address and its end.
async fn start(speed: Speed) -> (tempfile::TempDir, String, tokio::task::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = folder.path().join("endpoint.json");
    let scenario = Scenario { close_interval_ms: 1, ..Scenario::default() };
    let node = Node::new(&scenario, 3).unwrap();
    let options = ServeOptions { speed, linger: None, state_file: None, endpoint_file: Some(endpoint.clone()) };
    let task = tokio::spawn(async move { serve("127.0.0.1:0".parse().unwrap(), node, options).await.unwrap() });
    let text = loop {
        match std::fs::read_to_string(&endpoint) {
            Ok(text) => break text,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let endpoint: Json = serde_json::from_str(&text).unwrap();
    let address = endpoint["url"].as_str().unwrap().trim_start_matches("ws://").to_string();
    (folder, address, task)
}

async fn socket(address: &str) -> Socket {
    connect_async(format!("ws://{address}")).await.unwrap().0
}

async fn ask(socket: &mut Socket, request: Json) -> Json {
    socket.send(Message::text(request.to_string())).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let message: Json = serde_json::from_str(text.as_str()).unwrap();
                if message["type"] == "response" {
                    return message;
                }
            }
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// Sends bytes and reads until the server closes.
async fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes while bytes are under way may be seen as a reset.
    let mut part = [0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        answer.extend(part.iter().take(read));
    }
    String::from_utf8_lossy(&answer).to_string()
}

fn post(body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

async fn honest(address: &str, client: &mut Socket) {
    assert_eq!(ask(client, json!({ "id": 1, "command": "ping" })).await["status"], "success");
    let answer = raw(address, &post(r#"{"method":"ping"}"#)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{\"result\":{\"status\":\"success\"}}\r\n"),
        "{answer}"
    );
}

async fn stop(mut client: Socket, task: tokio::task::JoinHandle<()>) {
    ask(&mut client, json!({ "command": "stop" })).await;
    task.await.unwrap();
}

/// Frames after the handshake, by hand; gives the close code that the server answers with.
async fn frames(address: &str, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(bytes).await.unwrap();
    // A server's frames are not masked: 0x88, a length, the code.
    match (stream.read_u8().await, stream.read_u8().await) {
        (Ok(0x88), Ok(2..)) => stream.read_u16().await.ok(),
        _ => None,
    }
}

/// A masked frame of a client, its mask being zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ ..=125) => bytes.push(0x80 | length as u8),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[tokio::test]
async fn bad_frames_close_their_own_connection_with_their_own_code() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let mut client = socket(&address).await;
    let invalid_utf8 = frame(0x81, &[0xC3, 0x28]);
    assert_eq!(frames(&address, &invalid_utf8).await, Some(CloseCode::Invalid.into()));
    honest(&address, &mut client).await;
    // It only says how long it is; nothing of that length is kept.
    let mut huge = vec![0x81, 0xFF];
    huge.extend((u64::from(u32::MAX)).to_be_bytes());
    huge.extend([0; 4]);
    assert_eq!(frames(&address, &huge).await, Some(CloseCode::Size.into()));
    honest(&address, &mut client).await;
    for nonsense in [frame(0x83, b"reserved"), frame(0x80, b"a continuation of nothing"), vec![0x81, 0x02, b'h', b'i']]
    {
        assert_eq!(frames(&address, &nonsense).await, Some(CloseCode::Protocol.into()), "{nonsense:?}");
    }
    honest(&address, &mut client).await;
    stop(client, task).await;
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let client = socket(&address).await;
    assert_eq!(frames(&address, &frame(0x88, &4_000_u16.to_be_bytes())).await, Some(4_000));
    stop(client, task).await;
}

#[tokio::test]
async fn half_of_anything_keeps_nobody_waiting() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let mut client = socket(&address).await;
    let mut halves = Vec::new();
    let post = post(r#"{"method":"ping"}"#);
    for bytes in
        [b"".as_slice(), b"GET", b"POST / HTTP/1.1\r\nContent-Le", &post[..post.len() - 1], b"\x16\x03\x01\x02"]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        halves.push(stream);
    }
    let mut half_frame = TcpStream::connect(&address).await.unwrap();
    half_frame.write_all(UPGRADE.as_bytes()).await.unwrap();
    half_frame.write_all(&frame(0x81, b"{\"command\":\"ping\"}")[..9]).await.unwrap();
    honest(&address, &mut client).await;
    drop((halves, half_frame));
    honest(&address, &mut client).await;
    stop(client, task).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_forgotten() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let mut client = socket(&address).await;
    for (request, status) in [
        ("hello\r\n\r\n".to_string(), "400"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_string(), "411"),
        ("POST / HTTP/1.1\r\nContent-Length: 4000000000\r\n\r\n".to_string(), "413"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_string(), "400"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100)), "431"),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_string(), "400"),
    ] {
        let answer = raw(&address, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        honest(&address, &mut client).await;
    }
    for body in ["", "\u{0}", "[1", "{\"method\":", &"[".repeat(100_000), &"{\"a\":".repeat(50_000)] {
        let answer = raw(&address, &post(body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let mut invalid_utf8 = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n".to_vec();
    invalid_utf8.extend([0xC3, 0x28]);
    assert!(raw(&address, &invalid_utf8).await.starts_with("HTTP/1.1 400 "));
    honest(&address, &mut client).await;
    stop(client, task).await;
}

#[tokio::test]
async fn requests_one_after_another_on_one_connection_are_answered_in_turn() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let client = socket(&address).await;
    let one = |body: &str| format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut bytes: String =
        (0..50).map(|id| one(&format!(r#"{{"method":"ping","params":[{{"id":{id}}}]}}"#))).collect();
    bytes.push_str("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    let answers = raw(&address, bytes.as_bytes()).await;
    let ids: Vec<&str> = answers.split("{\"id\":").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    assert_eq!(ids, (0..50).map(|id| id.to_string()).collect::<Vec<_>>());
    stop(client, task).await;
}

#[tokio::test]
async fn a_flood_stops_neither_the_clock_nor_the_others() {
    let (_folder, address, task) = start(Speed::Times(1.0)).await;
    let mut client = socket(&address).await;
    let mut floods = Vec::new();
    for _ in 0..4 {
        let mut bad = socket(&address).await;
        let flood = json!({ "command": "ledger_data", "ledger_index": "validated", "binary": true }).to_string();
        floods.push(tokio::spawn(async move {
            // It sends without a pause, and never reads an answer.
            while bad.send(Message::text(flood.clone())).await.is_ok() {}
        }));
    }
    let index = |answer: &Json| answer["result"]["ledger_index"].as_u64().unwrap();
    let first = index(&ask(&mut client, json!({ "command": "ledger_closed" })).await);
    let mut last = first;
    while last < first + 10 {
        last = index(&ask(&mut client, json!({ "command": "ledger_closed" })).await);
        tokio::task::yield_now().await;
    }
    honest(&address, &mut client).await;
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    stop(client, task).await;
}

#[tokio::test]
async fn many_who_connect_and_say_nothing_do_not_end_the_ledger() {
    let (_folder, address, task) = start(Speed::OnRequest).await;
    let mut client = socket(&address).await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        // Beyond the limit a connection is taken and dropped.
        silent.extend(TcpStream::connect(&address).await.ok());
    }
    assert_eq!(ask(&mut client, json!({ "id": 1, "command": "ping" })).await["status"], "success");
    drop(silent);
    // Whoever comes after them is served again.
    loop {
        if raw(&address, &post(r#"{"method":"ping"}"#)).await.starts_with("HTTP/1.1 200 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(client, task).await;
}

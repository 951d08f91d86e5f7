//! A client over a real socket: subscribe, submit what it signed, close the ledger, see it validated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use neo_ledger::keys::Keypair;
use neo_sim::{Node, Scenario, ServeOptions, Speed, maker_seed, serve};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server with a world of its own; gives the folder of its files and its address.
async fn start(linger: Duration) -> (tempfile::TempDir, String, tokio::task::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::new(&Scenario::default(), 3).unwrap();
    let endpoint = folder.path().join("endpoint.json");
    let options = ServeOptions {
        speed: Speed::Manual,
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
    (folder, endpoint["url"].as_str().unwrap().to_string(), task)
}

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
    let (folder, url, task) = start(Duration::from_secs(60)).await;
    let (mut socket, _) = connect_async(&url).await.unwrap();
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
    task.await.unwrap();
    let saved = std::fs::read(folder.path().join("world.json")).unwrap();
    let node = Node::load(&saved, &scenario).unwrap();
    assert_eq!(node.validated_state().offers_of(account).count(), 1);
    assert!(!folder.path().join("endpoint.json").exists());
}

#[tokio::test]
async fn a_hostile_client_hurts_nobody_else() {
    let (_folder, url, task) = start(Duration::from_secs(60)).await;
    let (mut good, _) = connect_async(&url).await.unwrap();
    let (mut bad, _) = connect_async(&url).await.unwrap();
    for text in ["", "[1,2]", "{", "null", "{\"command\":5}", "{\"id\":1,\"command\":\"submit\",\"tx_blob\":\"1200\"}"]
    {
        bad.send(Message::text(text)).await.unwrap();
        let answer = next(&mut bad).await;
        assert!(answer["error"].is_string(), "{text}: {answer}");
    }
    let half = TcpStream::connect(url.trim_start_matches("ws://")).await.unwrap();
    let huge = bad.send(Message::text("x".repeat(2 << 20))).await;
    let refused = huge.is_err() || !matches!(bad.next().await, Some(Ok(Message::Text(_))));
    assert!(refused);
    send(&mut good, json!({ "id": 9, "command": "ping" })).await;
    assert_eq!(next(&mut good).await, json!({ "id": 9, "result": {}, "status": "success", "type": "response" }));
    drop(half);
    send(&mut good, json!({ "id": 10, "command": "stop" })).await;
    task.await.unwrap();
}

#[tokio::test]
async fn without_clients_the_server_ends_by_itself() {
    let (folder, _, task) = start(Duration::ZERO).await;
    task.await.unwrap();
    assert!(folder.path().join("world.json").exists());
}

//! One WebSocket connection to a node: text out, text in, until it ends. It decides nothing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use crate::error::MAX_MESSAGE_BYTES;
use crate::tls::{Tls, TlsError};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one message may take to leave; a node that stops reading is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the node may take to answer the closing, or to say why it stopped reading.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of outgoing text kept while the node reads slowly.
const MAX_WRITE_BUFFER_BYTES: usize = 4 << 20;

/// What happens on a connection. `Closed` and `Failed` are the last event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// It is open.
    Connected,
    /// The node sent a message.
    Text(String),
    /// It was closed in order, by the node or because the sender of outgoing texts was dropped.
    Closed {
        /// The WebSocket close code; 1008 means that the node cut us off for load or slowness.
        code: Option<u16>,
        /// The node's words.
        reason: String,
    },
    /// The server behind the address refused the connection because of its load or ours (HTTP 429 or 503).
    Busy {
        /// What it said.
        error: String,
    },
    /// It could not be opened, or broke.
    Failed {
        /// What happened.
        error: String,
    },
}

/// Where a node is, and who may vouch for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `ws://` or `wss://`.
    pub url: String,
    /// For `wss://`: the public authorities when absent.
    pub tls: Option<Tls>,
}

impl From<String> for Endpoint {
    fn from(url: String) -> Endpoint {
        Endpoint { url, tls: None }
    }
}

impl From<&str> for Endpoint {
    fn from(url: &str) -> Endpoint {
        Endpoint::from(url.to_string())
    }
}

impl Endpoint {
    fn connector(&self) -> Result<Connector, TlsError> {
        if !self.url.starts_with("wss://") {
            return Ok(Connector::Plain);
        }
        let tls = self.tls.clone().map_or_else(Tls::public, Ok)?;
        Ok(Connector::Rustls(tls.config()))
    }
}

/// A node's address without user, password, path and query: paid nodes carry their access key there.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let (authority, tail) = rest.find(['/', '?', '#']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let tail = if tail.len() > 1 { "/..." } else { tail };
    match scheme {
        Some(scheme) => format!("{scheme}://{host}{tail}"),
        None => format!("{host}{tail}"),
    }
}

/// Opens one connection and serves it until it ends. Dropping the sender of `outgoing` closes it.
///
/// Every event is handed to `on_event` at once, which must not wait: a node closes connections that read slowly.
/// Pings are answered. There is no reconnection here: the caller decides when to try again.
pub async fn run(
    endpoint: impl Into<Endpoint>,
    mut outgoing: UnboundedReceiver<String>,
    mut on_event: impl FnMut(ClientEvent),
) {
    let socket = match open(&endpoint.into()).await {
        Ok(socket) => socket,
        Err(last) => return on_event(last),
    };
    on_event(ClientEvent::Connected);
    let (mut sink, mut stream) = socket.split();
    // Reading and writing go on side by side, so that a node that does not read cannot keep us from reading it.
    let writer = async {
        while let Some(text) = outgoing.recv().await {
            match tokio::time::timeout(SEND_TIMEOUT, sink.send(Message::text(text))).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return Some(format!("sending failed: {e}")),
                Err(_) => return Some(format!("the node read nothing for {} s", SEND_TIMEOUT.as_secs())),
            }
        }
        // The caller is done: say goodbye, then let the reader see the node's answer.
        match tokio::time::timeout(SEND_TIMEOUT, sink.close()).await {
            Ok(Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed)) => None,
            Ok(Err(e)) => Some(format!("closing failed: {e}")),
            Err(_) => Some("closing took too long".to_string()),
        }
    };
    tokio::pin!(writer);
    // Biased: what the node sent is handed on before more is sent to it.
    let write_error = loop {
        tokio::select! {
            biased;
            message = stream.next() => {
                if let Some(last) = read(message, &mut on_event) {
                    return on_event(last);
                }
            }
            ended = &mut writer => break ended,
        }
    };
    // What is still under way is handed on until the node answers the goodbye, or says why it cut us off.
    let last = loop {
        match tokio::time::timeout(CLOSE_TIMEOUT, stream.next()).await {
            Ok(message) => {
                if let Some(last) = read(message, &mut on_event) {
                    break last;
                }
            }
            Err(_) => break ClientEvent::Closed { code: None, reason: "the node did not answer".to_string() },
        }
    };
    on_event(match (last, write_error) {
        (last @ ClientEvent::Closed { code: Some(_), .. }, _) | (last, None) => last,
        (_, Some(error)) => ClientEvent::Failed { error },
    });
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn open(endpoint: &Endpoint) -> Result<Socket, ClientEvent> {
    let (url, shown) = (&endpoint.url, shown_url(&endpoint.url));
    let failed = |error: String| ClientEvent::Failed { error: format!("{shown}: {error}") };
    let connector = endpoint.connector().map_err(|error| failed(error.to_string()))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES);
    // Small requests leave at once: the delay of batching would be a delay of quotes.
    let connecting = connect_async_tls_with_config(url, Some(config), true, Some(connector));
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer)))
            if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()) =>
        {
            Err(ClientEvent::Busy { error: format!("{shown}: {}", answer.status()) })
        }
        Ok(Err(error @ (Error::Tls(_) | Error::Io(_)))) if url.starts_with("wss://") => Err(failed(format!(
            "{error}; check the node's URL, this machine's clock and, for a node of your own, network.ca_file"
        ))),
        Ok(Err(error)) => Err(failed(format!("{error}; check the node's URL"))),
        Err(_) => Err(failed(format!("no connection within {} s; check the node's URL", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// Hands on what was read; gives the last event when the connection is over.
fn read(message: Option<Result<Message, Error>>, on_event: &mut impl FnMut(ClientEvent)) -> Option<ClientEvent> {
    match message {
        Some(Ok(Message::Text(text))) => {
            on_event(ClientEvent::Text(text.as_str().to_string()));
            None
        }
        // Pings are answered by the library, pongs need nothing, and nodes send no binary messages.
        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
        Some(Ok(Message::Close(frame))) => Some(ClientEvent::Closed {
            code: frame.as_ref().map(|f| f.code.into()),
            reason: frame.map(|f| f.reason.as_str().to_string()).unwrap_or_default(),
        }),
        None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
            Some(ClientEvent::Closed { code: None, reason: "the connection was closed".to_string() })
        }
        Some(Err(e)) => Some(ClientEvent::Failed { error: e.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::unbounded_channel;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn events(endpoint: impl Into<Endpoint>, outgoing: UnboundedReceiver<String>) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        run(endpoint, outgoing, |event| events.push(event)).await;
        events
    }

    #[test]
    fn texts_go_both_ways_and_the_nodes_reason_for_closing_is_told() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let node = async {
                let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
                let request = socket.next().await.unwrap().unwrap();
                socket.send(request).await.unwrap();
                let frame = CloseFrame { code: CloseCode::Policy, reason: "threshold exceeded".into() };
                socket.close(Some(frame)).await.unwrap();
                while socket.next().await.is_some() {}
            };
            let (sender, outgoing) = unbounded_channel();
            sender.send("hello".to_string()).unwrap();
            let (events, ()) = tokio::join!(events(url, outgoing), node);
            let closed = ClientEvent::Closed { code: Some(1008), reason: "threshold exceeded".to_string() };
            assert_eq!(events, [ClientEvent::Connected, ClientEvent::Text("hello".to_string()), closed]);
        });
    }

    #[test]
    fn dropping_the_sender_closes_the_connection_in_order() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let node = async {
                let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
                let mut seen = Vec::new();
                while let Some(Ok(message)) = socket.next().await {
                    seen.push(message);
                }
                seen
            };
            let (sender, outgoing) = unbounded_channel();
            sender.send("last words".to_string()).unwrap();
            drop(sender);
            let (events, seen) = tokio::join!(events(url, outgoing), node);
            assert_eq!(seen.first(), Some(&Message::text("last words")));
            assert!(matches!(seen.last(), Some(Message::Close(_))));
            assert!(matches!(events.last(), Some(ClientEvent::Closed { .. })), "{events:?}");
        });
    }

    /// A node of one's own, with a certificate of one's own; gives that and the server's side.
    fn own_certificate() -> (String, std::sync::Arc<tokio_rustls::rustls::ServerConfig>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (made.cert.pem(), std::sync::Arc::new(server))
    }

    #[test]
    fn a_node_behind_tls_must_be_vouched_for() {
        let (certificate, server) = own_certificate();
        let own = Tls::only(certificate.as_bytes()).unwrap();
        let stranger = Tls::only(own_certificate().0.as_bytes()).unwrap();
        for (tls, host, trusted) in [
            (Some(own.clone()), "localhost", true),
            (Some(own), "127.0.0.1", false),
            (Some(stranger), "localhost", false),
            (None, "localhost", false),
        ] {
            block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("wss://{host}:{}", listener.local_addr().unwrap().port());
                let node = async {
                    let (socket, _) = listener.accept().await.unwrap();
                    let socket = tokio_rustls::TlsAcceptor::from(server.clone()).accept(socket).await?;
                    let mut socket = accept_async(socket).await.unwrap();
                    while let Some(Ok(message)) = socket.next().await {
                        if message.is_text() {
                            socket.send(message).await.unwrap();
                        }
                    }
                    std::io::Result::Ok(())
                };
                let (sender, outgoing) = unbounded_channel();
                sender.send("hello".to_string()).unwrap();
                drop(sender);
                let (events, ended) = tokio::join!(events(Endpoint { url: url.clone(), tls }, outgoing), node);
                if trusted {
                    assert_eq!(events[..2], [ClientEvent::Connected, ClientEvent::Text("hello".to_string())]);
                } else {
                    assert!(ended.is_err(), "not a word before the certificate is looked at");
                    let told = matches!(&events[..], [ClientEvent::Failed { error }]
                        if error.contains(&url) && error.contains("network.ca_file"));
                    assert!(told, "{events:?}");
                }
            });
        }
    }

    #[test]
    fn a_server_that_refuses_for_load_is_told_apart() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (status, busy) in
            [("429 Too Many Requests", true), ("503 Service Unavailable", true), ("404 Not Found", false)]
        {
            block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("ws://{}", listener.local_addr().unwrap());
                let node = async {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let mut head = [0; 4_096];
                    assert!(socket.read(&mut head).await.unwrap() > 0);
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    socket.write_all(answer.as_bytes()).await.unwrap();
                };
                let (_sender, outgoing) = unbounded_channel();
                let (events, ()) = tokio::join!(events(url, outgoing), node);
                assert_eq!(
                    matches!(&events[..], [ClientEvent::Busy { error }] if error.contains(&status[..3])),
                    busy,
                    "{events:?}"
                );
                assert_eq!(matches!(&events[..], [ClientEvent::Failed { .. }]), !busy, "{events:?}");
            });
        }
    }

    #[test]
    fn what_is_secret_in_an_address_is_not_told() {
        block_on(async {
            let (_sender, outgoing) = unbounded_channel();
            let events = events("ws://127.0.0.1:1/secret-of-a-paid-node".to_string(), outgoing).await;
            let text = format!("{events:?}");
            assert!(text.contains("ws://127.0.0.1:1/...") && !text.contains("secret"), "{text}");
        });
    }

    #[test]
    fn what_cannot_be_reached_fails_with_its_url() {
        block_on(async {
            for url in ["wss://127.0.0.1:1", "ws://127.0.0.1:1", "http://127.0.0.1:1", "", "ws://[", "junk"] {
                let (_sender, outgoing) = unbounded_channel();
                let events = events(url.to_string(), outgoing).await;
                assert!(matches!(&events[..], [ClientEvent::Failed { error }] if error.contains(url)), "{events:?}");
            }
        });
    }
}

//! One WebSocket connection to a node: text out, text in, until it ends. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use crate::error::MAX_MESSAGE_BYTES;

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
    /// It could not be opened, or broke.
    Failed {
        /// What happened.
        error: String,
    },
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
/// Pings are answered. There is no reconnection here: the caller decides when to try again. With `wss://` the node must
/// show a certificate for its name that a public authority vouches for.
pub async fn run(url: String, outgoing: UnboundedReceiver<String>, mut on_event: impl FnMut(ClientEvent)) {
    let connector = if url.starts_with("wss://") {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        match trusting(roots) {
            Ok(tls) => Connector::Rustls(tls),
            Err(error) => return on_event(ClientEvent::Failed { error: format!("no TLS: {error}") }),
        }
    } else {
        Connector::Plain
    };
    run_over(connector, url, outgoing, on_event).await;
}

/// TLS that believes who these authorities vouch for.
fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn run_over(
    connector: Connector,
    url: String,
    mut outgoing: UnboundedReceiver<String>,
    mut on_event: impl FnMut(ClientEvent),
) {
    let shown = shown_url(&url);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES);
    // Small requests leave at once: the delay of batching would be a delay of quotes.
    let connecting = connect_async_tls_with_config(&url, Some(config), true, Some(connector));
    let socket = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(e)) => return on_event(ClientEvent::Failed { error: format!("{shown}: {e}; check the node's URL") }),
        Err(_) => {
            let error = format!("{shown}: no connection within {} s; check the node's URL", CONNECT_TIMEOUT.as_secs());
            return on_event(ClientEvent::Failed { error });
        }
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

    async fn events(url: String, outgoing: UnboundedReceiver<String>) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        run(url, outgoing, |event| events.push(event)).await;
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

    #[test]
    fn tls_is_spoken_with_a_node_that_somebody_trusted_vouches_for_and_with_no_other() {
        use tokio_rustls::TlsAcceptor;
        use tokio_rustls::rustls::ServerConfig;
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;
        let own = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let private = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], private).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let trusted = trusting(roots).unwrap();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let node = async {
                loop {
                    let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
                    let mut socket = accept_async(stream).await.unwrap();
                    let request = socket.next().await.unwrap().unwrap();
                    socket.send(request).await.unwrap();
                    socket.close(None).await.unwrap();
                    while let Some(Ok(_)) = socket.next().await {}
                }
            };
            let talk = async {
                let said = |connector: Option<Connector>, host: &str| {
                    let url = format!("wss://{host}:{port}");
                    async move {
                        let (sender, outgoing) = unbounded_channel();
                        sender.send("hello".to_string()).unwrap();
                        let mut events = Vec::new();
                        match connector {
                            Some(connector) => run_over(connector, url, outgoing, |event| events.push(event)).await,
                            None => run(url, outgoing, |event| events.push(event)).await,
                        }
                        events
                    }
                };
                let tls = || Some(Connector::Rustls(Arc::clone(&trusted)));
                let known = said(tls(), "localhost").await;
                assert_eq!(known[..2], [ClientEvent::Connected, ClientEvent::Text("hello".to_string())], "{known:?}");
                // Nobody public vouches for it; and the certificate is of another name.
                for refused in [said(None, "localhost").await, said(tls(), "127.0.0.1").await] {
                    assert!(matches!(&refused[..], [ClientEvent::Failed { .. }]), "{refused:?}");
                }
            };
            tokio::select! {
                () = node => {}
                () = talk => {}
            }
        });
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

//! One client's connection: HTTP requests one after another, or a WebSocket after its handshake. A client has one
//! question with the node at a time, as with rippled: the next one is read when the last one is answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::http::{self, Head, Refusal};
use super::{CLIENT_QUEUE, Client, Event, FAREWELL, WORLDS};
use crate::node::{ConnectionId, HttpReply};

/// Largest message and frame that a client may send.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Time for a request to come whole, and for its reply to be taken.
const REQUEST: Duration = Duration::from_secs(10);
/// Time between two requests of an HTTP connection.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 10;

/// One client: from its first byte to its end. Its trouble is logged and hurts nobody else.
pub(super) async fn connection(stream: TcpStream, events: mpsc::Sender<Event>, own_path: Arc<str>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let mut conversation = Conversation { stream, unread: Vec::new(), events, own_path };
    match conversation.http().await {
        Ok(Some(head)) => conversation.websocket(&head).await,
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a connection failed"),
    }
}

/// What a client is answered besides a reply of the node.
enum Trouble {
    /// Its request is not served.
    Refused(Refusal),
    /// The socket failed, or the client took too long.
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        Trouble::Refused(refusal)
    }
}

struct Conversation {
    stream: TcpStream,
    /// What was read beyond the last request.
    unread: Vec<u8>,
    events: mpsc::Sender<Event>,
    own_path: Arc<str>,
}

impl Conversation {
    /// Serves HTTP requests until the client leaves, or asks for a WebSocket.
    async fn http(&mut self) -> io::Result<Option<Head>> {
        let mut patience = REQUEST;
        loop {
            let request = timeout(patience, self.request()).await.unwrap_or_else(|_| Err(late().into()));
            let (head, body) = match request {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(None),
                Err(Trouble::Io(error)) => return Err(error),
                Err(Trouble::Refused(refusal)) => {
                    self.reply(refusal.status, refusal.reason, false).await?;
                    return Ok(None);
                }
            };
            let path = head.request.uri().path();
            if path.starts_with(WORLDS) && path != &*self.own_path {
                self.reply(404, "another ledger is served here", false).await?;
                return Ok(None);
            }
            if head.is_upgrade() {
                return Ok(Some(head));
            }
            let Some(HttpReply { status, body }) = self.answer(&head, body).await else { return Ok(None) };
            self.reply(status, &body, head.keep_alive).await?;
            if !head.keep_alive {
                return Ok(None);
            }
            patience = IDLE;
        }
    }

    /// Reads a head and its body; `None` when the client left between two requests.
    async fn request(&mut self) -> Result<Option<(Head, Vec<u8>)>, Trouble> {
        let head = loop {
            if let Some((head, taken)) = http::read_head(&self.unread)? {
                self.unread.drain(..taken);
                break head;
            }
            if !self.read_more().await? {
                return Ok(None);
            }
        };
        if head.expects_leave && self.unread.len() < head.body_bytes {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while self.unread.len() < head.body_bytes {
            if !self.read_more().await? {
                return Ok(None);
            }
        }
        let rest = self.unread.split_off(head.body_bytes);
        Ok(Some((head, std::mem::replace(&mut self.unread, rest))))
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        let mut bytes = [0; READ_BYTES];
        let read = self.stream.read(&mut bytes).await?;
        self.unread.extend(bytes.iter().take(read));
        Ok(read > 0)
    }

    /// What the node says; `None` when it has ended. A GET is answered with a page, as rippled does for load balancers.
    async fn answer(&self, head: &Head, body: Vec<u8>) -> Option<HttpReply> {
        if head.request.method() != "POST" {
            let said = "This is a simulated XRP Ledger: WebSocket, and JSON-RPC by POST, at this address.";
            return Some(HttpReply { status: 200, body: said.to_string() });
        }
        let (reply, answered) = oneshot::channel();
        self.events.send(Event::Posted { body, reply }).await.ok()?;
        answered.await.ok()
    }

    async fn reply(&mut self, status: u16, body: &str, keep_alive: bool) -> io::Result<()> {
        let bytes = http::reply(status, body, keep_alive);
        timeout(REQUEST, self.stream.write_all(&bytes)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Opens the WebSocket that the head asks for, and talks on it to its end.
    async fn websocket(mut self, head: &Head) {
        let response = match create_response(&head.request) {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "a handshake failed");
                if let Err(error) = self.reply(400, &error.to_string(), false).await {
                    tracing::debug!(%error, "nor was the refusal taken");
                }
                return;
            }
        };
        let mut text = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in response.headers() {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        text.push_str("\r\n");
        if let Err(error) = self.stream.write_all(text.as_bytes()).await {
            return tracing::debug!(%error, "a handshake failed");
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let visitor = head.request.uri().path() == &*self.own_path;
        let Conversation { stream, unread, events, .. } = self;
        let socket = WebSocketStream::from_partially_read(stream, unread, Role::Server, Some(config)).await;
        let (queue, outbox) = mpsc::channel(CLIENT_QUEUE);
        let (client, waiting) = Client::new(queue);
        let cut_off = client.cut_off.clone();
        let (id, joined) = oneshot::channel();
        if events.send(Event::Joined { client, visitor, id }).await.is_err() {
            return;
        }
        let Ok(id) = joined.await else { return };
        let mut talk = Talk { socket, id, events, outbox, waiting };
        talk.until_the_end(&cut_off).await;
        if talk.events.send(Event::Left { id }).await.is_err() {
            tracing::debug!("the server ended before a client did");
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client took too long")
}

/// A WebSocket after its handshake.
struct Talk {
    socket: WebSocketStream<TcpStream>,
    id: ConnectionId,
    events: mpsc::Sender<Event>,
    outbox: mpsc::Receiver<String>,
    waiting: Arc<std::sync::atomic::AtomicUsize>,
}

impl Talk {
    async fn until_the_end(&mut self, cut_off: &Notify) {
        let mut asked: Option<oneshot::Receiver<()>> = None;
        let goodbye = loop {
            tokio::select! {
                () = cut_off.notified() => break Some(slow()),
                text = self.outbox.recv() => {
                    let Some(text) = text else { break Some(normal()) };
                    let bytes = text.len();
                    tokio::select! {
                        sent = self.socket.send(Message::text(text)) => if sent.is_err() { return },
                        () = cut_off.notified() => break Some(slow()),
                    }
                    self.waiting.fetch_sub(bytes, Ordering::Relaxed);
                }
                // Whether it was answered or the server ended: either way the next message is looked at.
                _answered = answered(&mut asked), if asked.is_some() => asked = None,
                message = self.socket.next(), if asked.is_none() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let (done, answer) = oneshot::channel();
                        let text = text.as_str().to_string();
                        if self.events.send(Event::Said { id: self.id, text, done }).await.is_err() {
                            break Some(normal());
                        }
                        asked = Some(answer);
                    }
                    // Pings are answered by the socket itself; rippled ignores binary frames.
                    Some(Ok(Message::Close(_))) => return self.answer_close().await,
                    None => return,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a client's frame was refused");
                        break refused(&error);
                    }
                },
            }
        };
        let Some(goodbye) = goodbye else { return };
        self.close(goodbye).await;
    }

    /// Sends the answer to a client's close frame. Without it xrpl.js takes the end for a fault and connects again.
    async fn answer_close(&mut self) {
        match timeout(FAREWELL, self.socket.flush()).await {
            Ok(Ok(()) | Err(Error::ConnectionClosed)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a client's close frame was not answered"),
            Err(_) => tracing::debug!("a client's close frame was not answered in time"),
        }
    }

    async fn close(&mut self, goodbye: CloseFrame) {
        match timeout(FAREWELL, self.socket.close(Some(goodbye))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a client did not take its close frame"),
            Err(_) => tracing::debug!("a client did not take its close frame in time"),
        }
    }
}

async fn answered(asked: &mut Option<oneshot::Receiver<()>>) -> bool {
    match asked {
        Some(answer) => answer.await.is_ok(),
        None => std::future::pending().await,
    }
}

fn normal() -> CloseFrame {
    CloseFrame { code: CloseCode::Away, reason: "the server ended".into() }
}

fn slow() -> CloseFrame {
    CloseFrame { code: CloseCode::Policy, reason: "Policy error: client is too slow.".into() }
}

/// What the client is told of a frame that cannot be; nothing when the socket itself failed.
fn refused(error: &Error) -> Option<CloseFrame> {
    let code = match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => return None,
    };
    Some(CloseFrame { code, reason: "".into() })
}

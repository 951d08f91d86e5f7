//! Serves the page over plain HTTP on the loopback: one thread accepts, one thread for each connection answers.
//!
//! Everything is bounded: how many connections, how long a request, how much of it. Who stalls holds up nobody else.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use neo_actors::clock::monotonic_ms;

/// A request must be there within this, and the page must be taken.
const TIMEOUT_MS: u64 = 2_000;
/// Longest request.
const HEAD_BYTES_MAX: usize = 8_192;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 8;
/// How long the end waits for the thread that accepts.
const FINISH: Duration = Duration::from_secs(1);
/// What Prometheus is told that it reads.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Makes the page; `None` while the engine cannot tell.
pub type MakePage = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The server. Dropping it ends it.
pub struct MetricsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    page: MakePage,
    closing: AtomicBool,
    connections: AtomicUsize,
}

impl MetricsServer {
    /// Serves `page` on a listener.
    ///
    /// # Errors
    /// What the system said.
    pub fn start(listener: TcpListener, page: MakePage) -> io::Result<MetricsServer> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { page, closing: AtomicBool::new(false), connections: AtomicUsize::new(0) });
        let for_thread = Arc::clone(&shared);
        let accepting =
            thread::Builder::new().name("neo-metrics".to_string()).spawn(move || accept(&listener, &for_thread))?;
        Ok(MetricsServer { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.closing.store(true, Ordering::Release);
        // Wakes the thread that accepts, which then sees that it is over.
        match TcpStream::connect_timeout(&self.address, FINISH) {
            Ok(_) if accepting.join().is_err() => tracing::error!("the metrics thread panicked"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the metrics thread is left behind"),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let started = stream.and_then(|stream| start_answering(stream, shared));
        if let Err(error) = started {
            tracing::warn!(%error, "a request for metrics was not answered");
            // Out of file descriptors or threads, most likely: at once it would fail again.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A connection beyond the limit is closed without a word.
fn start_answering(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let place = Place(Arc::clone(shared));
    if shared.connections.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
        return Ok(());
    }
    thread::Builder::new().name("neo-metrics-request".to_string()).spawn(move || {
        if let Err(error) = answer(stream, &place.0.page) {
            tracing::debug!(%error, "a connection for metrics broke");
        }
        drop(place);
    })?;
    Ok(())
}

/// One of the places for connections; given back when dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

fn answer(mut stream: TcpStream, page: &MakePage) -> io::Result<()> {
    let until_ms = monotonic_ms().saturating_add(TIMEOUT_MS);
    stream.set_write_timeout(Some(Duration::from_millis(TIMEOUT_MS)))?;
    let head = read_head(&mut stream, until_ms)?;
    let reply = match judge(&head) {
        Asked::Page { body } => match page() {
            Some(text) => reply("200 OK", CONTENT_TYPE, &text, body),
            None => refusal("503 Service Unavailable", "the engine is busy; ask again"),
        },
        Asked::Elsewhere => refusal("404 Not Found", "the metrics are at /metrics"),
        Asked::OtherMethod => refusal("405 Method Not Allowed\r\nAllow: GET, HEAD", "use GET"),
        Asked::Nonsense => refusal("400 Bad Request", "this is no HTTP request, or it is too long or too slow"),
    };
    stream.write_all(reply.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// The request up to the blank line, or what came within the bounds of size and time.
fn read_head(stream: &mut TcpStream, until_ms: u64) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1_024]);
    while !is_whole(&head) && head.len() < HEAD_BYTES_MAX {
        let left_ms = until_ms.saturating_sub(monotonic_ms());
        if left_ms == 0 {
            break;
        }
        // What is left, not the whole of it again: one byte at a time would never end.
        stream.set_read_timeout(Some(Duration::from_millis(left_ms)))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => head.extend(piece.iter().take(count)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n") || head.windows(2).any(|two| two == b"\n\n")
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The page, with its text or only its header.
    Page { body: bool },
    /// Another path.
    Elsewhere,
    /// Something else than to read.
    OtherMethod,
    /// Nothing that HTTP knows.
    Nonsense,
}

fn judge(head: &[u8]) -> Asked {
    if !is_whole(head) {
        return Asked::Nonsense;
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return Asked::Nonsense };
    let mut words = line.trim_end_matches('\r').split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Asked::Nonsense;
    };
    if !version.starts_with("HTTP/1.") || method.is_empty() {
        return Asked::Nonsense;
    }
    let path = target.split('?').next().unwrap_or_default();
    match (path, method) {
        ("/metrics", "GET") => Asked::Page { body: true },
        ("/metrics", "HEAD") => Asked::Page { body: false },
        ("/metrics", _) => Asked::OtherMethod,
        _ => Asked::Elsewhere,
    }
}

fn refusal(status: &str, text: &str) -> String {
    reply(status, "text/plain; charset=utf-8", &format!("{text}\n"), true)
}

fn reply(status: &str, content_type: &str, text: &str, body: bool) -> String {
    let length = text.len();
    let shown = if body { text } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{shown}"
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn serve(page: impl Fn() -> Option<String> + Send + Sync + 'static) -> MetricsServer {
        MetricsServer::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Arc::new(page)).unwrap()
    }

    fn ask(server: &MetricsServer, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[test]
    fn requests_are_told_apart() {
        for (request, asked) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Asked::Page { body: true }),
            ("GET /metrics?x=1 HTTP/1.0\n\n", Asked::Page { body: true }),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Asked::Page { body: false }),
            ("POST /metrics HTTP/1.1\r\n\r\n", Asked::OtherMethod),
            ("GET / HTTP/1.1\r\n\r\n", Asked::Elsewhere),
            ("GET /metrics/more HTTP/1.1\r\n\r\n", Asked::Elsewhere),
            ("GET /metrics HTTP/1.1\r\n", Asked::Nonsense),
            ("GET /metrics\r\n\r\n", Asked::Nonsense),
            ("GET /metrics HTTP/2\r\n\r\n", Asked::Nonsense),
            ("GET  /metrics HTTP/1.1\r\n\r\n", Asked::Nonsense),
            ("", Asked::Nonsense),
            ("\r\n\r\n", Asked::Nonsense),
        ] {
            assert_eq!(judge(request.as_bytes()), asked, "{request:?}");
        }
        assert_eq!(judge(b"\xFF\xFE /metrics HTTP/1.1\r\n\r\n"), Asked::Nonsense);
    }

    #[test]
    fn the_page_is_served_with_its_length_and_type() {
        let server = serve(|| Some("a 1\n".to_string()));
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                        Content-Length: 4\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(&server, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), format!("{expected}a 1\n"));
        assert_eq!(ask(&server, b"HEAD /metrics HTTP/1.1\r\n\r\n"), expected);
        let refused = ask(&server, b"DELETE /metrics HTTP/1.1\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("\r\nAllow: GET, HEAD\r\n"), "{refused}");
        assert!(ask(&server, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(&server, &[b'x'; HEAD_BYTES_MAX]).starts_with("HTTP/1.1 400 "));
        let busy = serve(|| None);
        assert!(ask(&busy, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 "));
    }

    #[test]
    fn clients_that_stall_hold_up_nobody_and_not_the_end() {
        let server = serve(|| Some("a 1\n".to_string()));
        let stalled: Vec<TcpStream> = (0..CONNECTIONS_MAX - 1)
            .map(|_| {
                let mut stream = TcpStream::connect(server.address()).unwrap();
                stream.write_all(b"GET /metr").unwrap();
                stream
            })
            .collect();
        assert!(ask(&server, b"GET /metrics HTTP/1.1\r\n\r\n").ends_with("a 1\n"));
        drop(server);
        drop(stalled);
    }

    #[test]
    fn one_connection_too_many_is_closed_at_once() {
        let server = serve(|| Some("a 1\n".to_string()));
        let connect = || TcpStream::connect(server.address()).unwrap();
        let stalled: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect()).collect();
        let mut reply = Vec::new();
        // Closed or reset: it is over before a request was read, which takes the others their whole time.
        let ended = connect().read_to_end(&mut reply);
        assert!(ended.is_err() || reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
        drop(stalled);
    }
}

//! One question to a server on this machine, in HTTP/1.0: its answer ends with the connection and comes in one piece.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use neo_actors::clock::monotonic_ms;
use neo_market::reference::LocalAddress;

use super::BYTES_MAX;

/// Most header fields of an answer.
const HEADERS_MAX: usize = 64;

/// The body of what the server answers within `limit`.
///
/// # Errors
/// What the system said, or what is wrong with the answer.
pub(super) fn get(address: &LocalAddress<'_>, limit: Duration) -> io::Result<String> {
    let begun_ms = monotonic_ms();
    let mut stream = connect(address, limit)?;
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.to_string() };
    let (path, port) = (address.path, address.port);
    let question =
        format!("GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let left = limit.saturating_sub(Duration::from_millis(monotonic_ms().saturating_sub(begun_ms)));
        if left.is_zero() {
            return Err(wrong(format!("it did not answer within {} ms", limit.as_millis())));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return body(&answer),
            Ok(count) => answer.extend(piece.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > BYTES_MAX {
            return Err(wrong(format!("its answer is over {BYTES_MAX} bytes long")));
        }
    }
}

/// A name may stand for several addresses; only those of this machine are asked.
fn connect(address: &LocalAddress<'_>, limit: Duration) -> io::Result<TcpStream> {
    let local: Vec<SocketAddr> =
        (address.host, address.port).to_socket_addrs()?.filter(|found| found.ip().is_loopback()).collect();
    let mut last = wrong("the name is none of this machine's".to_string());
    for found in local {
        match TcpStream::connect_timeout(&found, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The body of a whole answer of status 200.
fn body(answer: &[u8]) -> io::Result<String> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let start = match head.parse(answer) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => return Err(wrong("its answer broke off".to_string())),
        Err(error) => return Err(wrong(format!("its answer is no HTTP ({error})"))),
    };
    if head.code != Some(200) {
        return Err(wrong(format!("it answered with status {}", head.code.unwrap_or(0))));
    }
    let field = |name: &str| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if field("transfer-encoding").is_some() {
        return Err(wrong("it answers in chunks, which HTTP/1.0 does not have".to_string()));
    }
    let rest = answer.get(start..).unwrap_or_default();
    let told =
        field("content-length").and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse::<usize>().ok());
    if told.is_some_and(|told| told != rest.len()) {
        return Err(wrong("its answer broke off".to_string()));
    }
    String::from_utf8(rest.to_vec()).map_err(|error| wrong(error.to_string()))
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

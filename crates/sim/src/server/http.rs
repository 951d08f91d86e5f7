//! HTTP/1.1 as far as JSON-RPC needs it, strictly: heads in, replies out. Pure: no socket.
//!
//! A body comes with `Content-Length`; a chunked one is refused, and so is whatever is ambiguous about where a request
//! ends. A library for all of HTTP would be more code than this and would read the socket that the WebSocket needs.

use tokio_tungstenite::tungstenite::http;

/// Largest head of a request.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
/// Largest body of a request (rippled, `rpc::Tuning::maxRequestSize`).
pub(super) const MAX_BODY_BYTES: usize = 1_000_000;
/// Most header lines of a head.
const MAX_HEADERS: usize = 64;

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    /// The request without its body, as the WebSocket's handshake wants it.
    pub request: http::Request<()>,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// True when the connection may serve another request.
    pub keep_alive: bool,
    /// True when the client waits for leave before it sends the body.
    pub expects_leave: bool,
}

impl Head {
    /// True when the client asks for a WebSocket.
    pub(super) fn is_upgrade(&self) -> bool {
        self.request.headers().get(http::header::UPGRADE).is_some_and(|value| {
            value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("websocket")))
        })
    }
}

/// Why a request is not served; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of the reply.
    pub status: u16,
    /// What to do about it.
    pub reason: &'static str,
}

const fn refusal(status: u16, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

/// Reads a head from the bytes that have come, and says how many of them it takes; `None` when more must come.
pub(super) fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let malformed = refusal(400, "the request is no HTTP/1.1");
    let taken = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(taken)) => taken,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD_BYTES => {
            return Err(refusal(431, "the head is too large"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(refusal(431, "the head has too many lines")),
        Err(_) => return Err(malformed),
    };
    if taken > MAX_HEAD_BYTES {
        return Err(refusal(431, "the head is too large"));
    }
    let (Some(method), Some(path), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(malformed);
    };
    let mut builder = http::Request::builder().method(method).uri(path).version(match version {
        0 => http::Version::HTTP_10,
        _ => http::Version::HTTP_11,
    });
    for header in parsed.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    let request = builder.body(()).map_err(|_| malformed)?;
    let body_bytes = body_bytes(request.headers())?;
    let says = |name, word| {
        request.headers().get_all(name).iter().any(|value: &http::HeaderValue| {
            value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
        })
    };
    let keep_alive = match version {
        0 => says(http::header::CONNECTION, "keep-alive"),
        _ => !says(http::header::CONNECTION, "close"),
    };
    let expects_leave = says(http::header::EXPECT, "100-continue");
    Ok(Some((Head { request, body_bytes, keep_alive, expects_leave }, taken)))
}

/// Length of the body. Two lengths, or a length that is no plain number, could hide a request in another.
fn body_bytes(headers: &http::HeaderMap) -> Result<usize, Refusal> {
    if headers.contains_key(http::header::TRANSFER_ENCODING) {
        return Err(refusal(411, "send the body with Content-Length, not in chunks"));
    }
    let mut lengths = headers.get_all(http::header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(0) };
    let digits = length.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let (Some(digits), None) = (digits, lengths.next()) else {
        return Err(refusal(400, "Content-Length is given once, as a number"));
    };
    match digits.parse::<usize>() {
        Ok(length) if length <= MAX_BODY_BYTES => Ok(length),
        _ => Err(refusal(413, "the body is larger than 1000000 bytes")),
    }
}

/// A reply as bytes, framed as rippled frames its own (`JSONRPCUtil.cpp`).
pub(super) fn reply(status: u16, body: &str, keep_alive: bool) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("Error");
    let connection = if keep_alive { "Keep-Alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\nContent-Length: {}\r\n\
         Content-Type: application/json; charset=UTF-8\r\nServer: rippled-2.6.1\r\n\r\n{body}\r\n",
        body.len() + 2
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, Refusal> {
        read_head(text.as_bytes())
    }

    #[test]
    fn a_head_ends_where_its_empty_line_is() {
        let text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
        let (read, taken) = head(text).unwrap().unwrap();
        assert_eq!((read.body_bytes, &text[taken..]), (5, "hello"));
        assert!(read.keep_alive && !read.expects_leave && !read.is_upgrade());
        for end in 0..taken {
            assert!(head(&text[..end]).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn what_is_ambiguous_about_a_body_is_refused() {
        let status = |headers: &str| head(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).unwrap_err().status;
        assert_eq!(status("Transfer-Encoding: chunked\r\n"), 411);
        assert_eq!(status("Content-Length: 5\r\nContent-Length: 5\r\n"), 400);
        for length in ["-1", "+5", "5x", "", "0x10"] {
            assert_eq!(status(&format!("Content-Length: {length}\r\n")), 400, "{length}");
        }
        for length in ["1000001", "99999999999999999999999"] {
            assert_eq!(status(&format!("Content-Length: {length}\r\n")), 413, "{length}");
        }
        assert_eq!(status(&"A: b\r\n".repeat(65)), 431);
        assert_eq!(status(&format!("A: {}\r\n", "b".repeat(MAX_HEAD_BYTES))), 431);
        assert_eq!(head(&format!("GET /{}", "a".repeat(20_000))).unwrap_err().status, 431);
        assert_eq!(head("hello there\r\n\r\n").unwrap_err().status, 400);
    }

    #[test]
    fn a_connection_is_kept_as_the_client_asks() {
        let kept = |text: &str| head(text).unwrap().unwrap().0.keep_alive;
        assert!(kept("GET / HTTP/1.1\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.0\r\n\r\n"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(head("GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n").unwrap().unwrap().0.is_upgrade());
    }

    #[test]
    fn a_reply_counts_its_bytes() {
        let text = String::from_utf8(reply(400, "Null méthod", false)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
}

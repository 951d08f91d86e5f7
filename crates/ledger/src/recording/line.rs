//! One line of a recording, as text and back.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Moment;
use crate::codec;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the node.
    Recv,
    /// To the node.
    Sent,
}

/// Whom a message was exchanged with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The connection, counted from 1.
    pub conn: u64,
    /// The node's address, without credentials, path and query; `None`: the one that the header names.
    pub node: Option<Arc<str>>,
}

impl From<u64> for Source {
    /// A connection to the node that the header names.
    fn from(conn: u64) -> Source {
        Source { conn, node: None }
    }
}

/// A message's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON.
    Json(String),
    /// Anything else.
    Text(String),
}

impl Payload {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Payload::Json(text) | Payload::Text(text) => text,
        }
    }
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message.
    Message {
        /// The connection, counted from 1.
        conn: u64,
        /// The node's address, where it is another one than the header's.
        node: Option<String>,
        /// Which way it went.
        dir: Direction,
        /// Its text.
        payload: Payload,
    },
    /// Something may be missing here.
    Gap {
        /// Why.
        reason: String,
        /// Messages that are known to be missing.
        dropped: u64,
    },
}

/// A line after the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

#[derive(Serialize, Deserialize)]
struct Raw<'a> {
    t: i64,
    m: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conn: Option<u64>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    node: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dir: Option<Direction>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    msg: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

impl Raw<'_> {
    fn at(at: Moment) -> Raw<'static> {
        let (t, m) = (at.unix_ms, at.monotonic_us);
        Raw { t, m, conn: None, node: None, dir: None, msg: None, text: None, gap: None, dropped: None }
    }
}

/// A message's line, without its end.
pub(super) fn message(at: Moment, source: &Source, dir: Direction, text: &str) -> Result<String, serde_json::Error> {
    let head = || Raw {
        conn: Some(source.conn),
        node: source.node.as_deref().map(Cow::Borrowed),
        dir: Some(dir),
        ..Raw::at(at)
    };
    let named = (dir == Direction::Sent).then(|| blob_named(text)).flatten();
    let text = named.as_deref().unwrap_or(text);
    // Inside of JSON's strings there are no line breaks: what is replaced stands between two tokens.
    let flat = text.contains(['\n', '\r']).then(|| text.replace(['\n', '\r'], " "));
    match serde_json::from_str::<&RawValue>(flat.as_deref().unwrap_or(text)) {
        Ok(msg) if serde_json::from_str::<&RawValue>(text).is_ok() => {
            let raw = Raw { msg: Some(msg), ..head() };
            serde_json::to_string(&raw)
        }
        _ => {
            let raw = Raw { text: Some(text.to_string()), ..head() };
            serde_json::to_string(&raw)
        }
    }
}

/// A gap's line, without its end.
pub(super) fn gap(at: Moment, reason: &str, dropped: u64) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Raw { gap: Some(reason.to_string()), dropped: Some(dropped), ..Raw::at(at) })
}

/// A request to submit, its blob replaced by the hash; `None` for any other request.
fn blob_named(text: &str) -> Option<String> {
    if !text.contains("\"tx_blob\"") {
        return None;
    }
    // What is no JSON is recorded as it is.
    let Ok(Value::Object(mut request)) = serde_json::from_str::<Value>(text) else { return None };
    let blob = request.remove("tx_blob")?;
    let hash = match blob.as_str().map(codec::transaction_hash) {
        Some(Ok(hash)) => Value::from(hash.to_string()),
        // A blob that is none has no hash, and is not kept either.
        Some(Err(_)) | None => Value::Null,
    };
    request.insert("tx_hash".to_string(), hash);
    Some(Value::Object(request).to_string())
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Line, String> {
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let at = Moment { unix_ms: raw.t, monotonic_us: raw.m };
    if let Some(reason) = raw.gap {
        return Ok(Line { at, what: What::Gap { reason, dropped: raw.dropped.unwrap_or(0) } });
    }
    let (Some(conn), Some(dir)) = (raw.conn, raw.dir) else {
        return Err("it is neither a message nor a gap".to_string());
    };
    let payload = match (raw.msg, raw.text) {
        (Some(msg), None) => Payload::Json(msg.get().to_string()),
        (None, Some(text)) => Payload::Text(text),
        _ => return Err("a message has either msg or text".to_string()),
    };
    let node = raw.node.map(Cow::into_owned);
    Ok(Line { at, what: What::Message { conn, node, dir, payload } })
}

//! Recordings: what a node sent and what it was asked, word for word, with the times, for `neo record`, `[feed] record`
//! and whoever reads them later.
//!
//! A recording is a [`Series`] of parts. A part is gzip members one after another (`zcat` reads it), each written whole
//! and at once, so that a kill costs what was not written yet and nothing else. Inside is a JSON object a line. The first
//! is the [`Header`]; the others are [`Line`]s:
//!
//! - `{"t":T,"m":M,"conn":C,"dir":"recv","msg":{...}}`: a message. `t` is when, in milliseconds since 1970 UTC by this
//!   machine's clock; `m` in microseconds since `started_at` by a clock that never goes back; `conn` counts connections.
//!   `dir` is `recv` or `sent`. A connection to another node than the header's `url` has its address under `node`. `msg` is the text itself, line breaks between its tokens made blanks; a text that is no
//!   JSON stands as a string under `text` instead.
//! - `{"t":T,"m":M,"gap":"why","dropped":N}`: here something may be missing, after a lost connection, a refusing disk or a
//!   queue that was full (then so many messages). On a new connection the book is read afresh after it.
//!
//! What `submit` sends is recorded with `tx_hash` in the place of `tx_blob`: the hash is what names it everywhere else,
//! and a recording that is handed on lets nobody send a transaction that the node had refused.

mod line;
mod reader;
mod series;
mod writer;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::types::{Address, Token};

pub use line::{Direction, Line, Payload, Source, What};
pub use reader::{Cut, Reader};
pub use series::{Rotation, Series, part_path, parts};
pub use writer::Writer;

/// What `format` says in a header.
pub const FORMAT: &str = "neo-recording";
/// The version that is written and read.
pub const VERSION: u32 = 1;

/// The first line of each part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The part's number, from 1.
    pub part: u32,
    /// The network that the node was expected to belong to.
    pub network_id: u32,
    /// The node's address without credentials, path and query; of several the first. Messages of the others name theirs.
    pub url: String,
    /// The account that was followed, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Address>,
    /// The token whose book against XRP was followed.
    pub token: Token,
    /// When this run of the recorder began, RFC 3339: `m` of the lines counts from here. Parts of one run agree on it.
    pub started_at: String,
    /// The version of the program that wrote it.
    pub neo: String,
}

impl Header {
    /// A header of this version's format, for the first part.
    #[must_use]
    pub fn new(network_id: u32, url: &str, account: Option<Address>, token: Token, started_at: String) -> Header {
        Header {
            format: FORMAT.to_string(),
            version: VERSION,
            part: 1,
            network_id,
            url: crate::client::shown_url(url),
            account,
            token,
            started_at,
            neo: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// When something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Microseconds since the recording began, by a clock that never goes back.
    pub monotonic_us: u64,
}

/// Why a recording cannot be read. A part that merely ends too early is none of these: see [`Cut`].
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It ends before its first line is whole.
    #[error(
        "the recording ends before its first line is whole: the recorder was killed as it began; there is nothing in it"
    )]
    Empty,
    /// It is something else.
    #[error("this is no recording of neo ({reason}); give a file that `neo record` wrote")]
    NotARecording {
        /// What it is not.
        reason: String,
    },
    /// Another version wrote it.
    #[error(
        "the recording has version {found} of the format, and this program reads version {VERSION}; use the neo that wrote it"
    )]
    Version {
        /// The header's.
        found: u64,
    },
    /// A byte of it is not what was written.
    #[error(
        "the recording is damaged at byte {at} ({reason}); what comes before it is good: take another copy, or go on with \
         the next part"
    )]
    Damaged {
        /// Where the member begins that is not whole.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line is none of the format's.
    #[error("line {line} of the recording is not understood: {reason}")]
    Line {
        /// Its number, the header being 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The system refused to read.
    #[error("the recording cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;

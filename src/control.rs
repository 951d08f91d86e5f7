//! How `neo stop` and `neo status` reach a running engine: a loopback TCP port, the same on every system.
//!
//! The engine writes `<db>.control`, readable by its owner only, with the port and a token; whoever can read the file
//! may command the engine. A request is one JSON line `{"token", "command": "status" | "stop", "urgent"}`; the replies
//! are JSON lines, each an object with one key: `status`, `progress`, `outcome` or `error`. A `stop` is answered with
//! progress until the session is closed, then with the outcome.

mod client;
mod command;
mod server;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use neo_actors::Status;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use client::{request_status, request_stop};
pub use command::{status, stop};
pub use server::ControlServer;

/// Longest line that either side reads, and longest control file.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What the control file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ControlFile {
    pid: u32,
    port: u16,
    token: String,
    session: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    token: String,
    command: Command,
    #[serde(default)]
    urgent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Status,
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Status(Box<Status>),
    Progress(Progress),
    Outcome(Outcome),
    Error(Refusal),
}

/// Why the engine does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    /// The token is not the engine's.
    BadToken,
    /// The line is no request.
    BadRequest,
    /// Too many connections.
    Busy,
}

/// Where a stop stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Our offers that are still on the ledger.
    pub open_offers: usize,
    /// Signed transactions whose fate is open.
    pub in_flight: usize,
    /// Records waiting for the writer.
    pub queued_records: usize,
}

/// How a session ended, as the engine that ran it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The engine's exit code.
    pub exit_code: i32,
    /// The session's number.
    pub session: i64,
    /// Why it ended; `None` when that could not be written.
    pub end_reason: Option<String>,
    /// When, real time; `None` when that could not be written.
    pub ended_at: Option<DateTime<Utc>>,
    /// How `ended_at` came to be written.
    pub ended_at_source: Option<String>,
    /// The stop stages that failed or ran out of time, by name.
    pub failed_stages: Vec<String>,
}

/// Why a running engine was not reached, or did not answer.
#[derive(Debug, Error)]
pub enum ControlError {
    /// There is no control file.
    #[error(
        "no engine is running on {db} ({file} does not exist); start one with `neo run`, or name its file with --db"
    )]
    NotRunning {
        /// The database.
        db: PathBuf,
        /// The control file.
        file: PathBuf,
    },
    /// There is a control file, but nobody listens.
    #[error(
        "the engine of session S{session} (process {pid}) is gone without removing {file}: {detail}; \
         `neo sessions` shows how the session ended, and the next start closes it if it is open"
    )]
    Stale {
        /// The control file.
        file: PathBuf,
        /// The process that wrote it.
        pid: u32,
        /// Its session.
        session: i64,
        /// What was tried.
        detail: String,
    },
    /// The control file cannot be read.
    #[error("{file} cannot be read: {source}; run this as the user who runs the engine")]
    Unreadable {
        /// The control file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control file is not one.
    #[error("{file} is no control file ({detail}); if no engine is running, remove it")]
    BadFile {
        /// The control file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The token of the file is not the engine's.
    #[error(
        "the engine on port {port} refused the token of {file}; the file is another engine's: try again, or remove it"
    )]
    WrongToken {
        /// The control file.
        file: PathBuf,
        /// The port that was asked.
        port: u16,
    },
    /// The engine is answering as many as it can.
    #[error("the engine on port {port} has too many requests open; try again in a moment")]
    Busy {
        /// The port that was asked.
        port: u16,
    },
    /// What answers is not our engine.
    #[error(
        "what answers on port {port} is not this version's engine ({detail}); `neo sessions` shows what is recorded"
    )]
    Protocol {
        /// The port that was asked.
        port: u16,
        /// What it said.
        detail: String,
    },
    /// No answer in time.
    #[error(
        "the engine (process {pid}) gave no answer in {}; it may still be at work: ask again, or stop it with --urgent",
        humantime::format_duration(*waited)
    )]
    TimedOut {
        /// The engine's process.
        pid: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection broke before the answer.
    #[error(
        "the engine (process {pid}) was lost before it answered ({detail}); `neo sessions` shows how its session ended"
    )]
    Lost {
        /// The engine's process.
        pid: u32,
        /// What the system said.
        detail: String,
    },
}

/// The control file of a database: its name with `.control` added.
#[must_use]
pub fn control_path(db: &Path) -> PathBuf {
    let mut name = OsString::from(db.as_os_str());
    name.push(".control");
    PathBuf::from(name)
}

impl ControlFile {
    /// Writes the file whole or not at all, for its owner only.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = OsString::from(path.as_os_str());
        name.push(format!(".{}.tmp", self.pid));
        let temporary = PathBuf::from(name);
        remove_if_there(&temporary)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = serde_json::to_string(self)?;
        let written = options.open(&temporary).and_then(|mut file| file.write_all(text.as_bytes()));
        written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
            // The error that is given back matters more than what is left of the temporary file.
            if let Err(error) = remove_if_there(&temporary) {
                tracing::warn!(%error, path = %temporary.display(), "a temporary file is left");
            }
        })
    }

    fn read(db: &Path) -> Result<ControlFile, ControlError> {
        let file = control_path(db);
        let mut text = String::new();
        let read = fs::File::open(&file).and_then(|file| file.take(LINE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ControlError::NotRunning { db: db.to_path_buf(), file })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(ControlError::BadFile { file, detail: error.to_string() })
            }
            Err(source) => Err(ControlError::Unreadable { file, source }),
            Ok(_) => {
                serde_json::from_str(&text).map_err(|error| ControlError::BadFile { file, detail: error.to_string() })
            }
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A secret of 64 hex digits. A [`RandomState`] is a SipHash key of 128 bits from the operating system's random
/// numbers, and its hashes of fixed values are a pseudo-random function of that key: nobody can guess them, and no
/// generator of our own is needed.
fn new_token() -> String {
    let key = RandomState::new();
    (0..4_u64).map(|word| format!("{:016x}", key.hash_one(("neo control", word)))).collect()
}

/// Compares without telling by its duration how much was right.
fn same_token(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0_u8, |different, (x, y)| different | (x ^ y)) == 0
}

#[cfg(test)]
mod tests;

//! Whether a file is a whole backup. `integrity_check` alone does not tell: an unfinished copy is an empty file, and an
//! empty file is a sound database.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::BackupError;
use super::files::{io, sha256_path};
use crate::columns::Columns;
use crate::lock::with_suffix;
use crate::open::damage;
use crate::record::SessionNumber;
use crate::schema;

/// Longest `.sha256` file that is read.
const SUM_BYTES_MAX: u64 = 4_096;

/// What tells two states of a record apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// How it trades.
    pub mode: String,
    /// The network's name.
    pub network: String,
    /// The account's address.
    pub account: String,
    /// When the record was begun; a record that was begun anew has another.
    pub created_at: String,
    /// Its `user_version`.
    pub schema_version: i64,
    /// How many sessions.
    pub sessions: u64,
    /// The number of the latest.
    pub last_session: Option<SessionNumber>,
    /// The watermark.
    pub durable_seq: u64,
    /// The highest sequence number of any row.
    pub last_seq: u64,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions, sequence {}", self.sessions, self.last_seq)
    }
}

/// A backup that was found good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its SHA-256, hex.
    pub sha256: String,
    /// True when that is what was written down beside it; false when nothing was.
    pub sha256_checked: bool,
    /// What is in it.
    pub contents: Contents,
}

/// Verifies a backup: the SHA-256 beside it, where there is one, and then as [`check`].
///
/// # Errors
/// [`BackupError::Sha256`], and as [`check`].
pub fn verify(path: &Path) -> Result<Verified, BackupError> {
    let expected = sha256_beside(path)?;
    let found = sha256_of(path)?;
    if let Some(expected) = &expected
        && *expected != found
    {
        return Err(BackupError::Sha256 { path: path.to_path_buf(), expected: expected.clone(), found });
    }
    Ok(Verified { sha256: found, sha256_checked: expected.is_some(), contents: check(path)? })
}

/// Checks that a file at rest is a whole record: ours, of a version that is known, sound in every page and index. Reads
/// only, and leaves nothing beside the file.
///
/// # Errors
/// [`BackupError::NotWhole`], [`BackupError::Io`], [`BackupError::Sqlite`].
pub fn check(path: &Path) -> Result<Contents, BackupError> {
    let refused = |detail: String| BackupError::NotWhole { path: path.to_path_buf(), detail };
    let size = std::fs::metadata(path).map_err(io(path, "reading the size"))?.len();
    if size == 0 {
        return Err(refused(String::from("it is empty: the copying was cut short")));
    }
    // What is in a log beside it would be left behind.
    if std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(refused(String::from("there is a -wal beside it, so it is not at rest")));
    }
    let failed = sqlite(path, "checking the copy");
    let conn = immutable(path).map_err(&failed)?;
    let number = |name: &str| conn.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    let application_id = number("application_id").map_err(&failed)?;
    if application_id != schema::APPLICATION_ID {
        return Err(refused(format!("its application_id is {application_id:#010x}, not that of a record")));
    }
    let version = number("user_version").map_err(&failed)?;
    if !(1..=schema::VERSION).contains(&version) {
        return Err(refused(format!(
            "its schema version is {version}, and this engine knows 1 to {}",
            schema::VERSION
        )));
    }
    if let Some(detail) = damage(&conn, "PRAGMA integrity_check(1)").map_err(&failed)? {
        return Err(refused(detail));
    }
    contents(&conn).map_err(failed)
}

/// Reads what tells this state of the record from others.
pub(crate) fn contents(conn: &Connection) -> rusqlite::Result<Contents> {
    let mut last_seq = 0;
    for table in schema::sequenced_in(conn)? {
        let sql = format!("SELECT coalesce(max(seq), 0) AS seq FROM {table}");
        last_seq = last_seq.max(conn.query_row(&sql, [], |row| row.count("seq"))?);
    }
    let schema_version = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    conn.query_row(
        "SELECT mode, network, account, created_at, durable_seq, (SELECT count(*) FROM sessions) AS sessions,
                (SELECT max(number) FROM sessions) AS last_session
         FROM meta WHERE id = 1",
        [],
        |row| {
            Ok(Contents {
                mode: row.get("mode")?,
                network: row.get("network")?,
                account: row.get("account")?,
                created_at: row.get("created_at")?,
                schema_version,
                sessions: row.count("sessions")?,
                last_session: row.get("last_session")?,
                durable_seq: row.count("durable_seq")?,
                last_seq,
            })
        },
    )
}

/// A connection to a file that nobody changes: it neither looks for nor makes a `-wal`.
pub(crate) fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(immutable_uri(path), flags)
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    if cfg!(windows) && path.is_absolute() {
        uri.push('/');
    }
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            b':' if cfg!(windows) => uri.push(':'),
            b'\\' if cfg!(windows) => uri.push('/'),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// An error of SQLite about a file: damage is told as such.
pub(crate) fn sqlite(path: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> BackupError + use<> {
    let path = path.to_path_buf();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            BackupError::NotWhole { path: path.clone(), detail: source.to_string() }
        }
        _ => BackupError::Sqlite { path: path.clone(), doing, source },
    }
}

/// The SHA-256 that was written down beside a backup; `None` when there is no such file.
pub(crate) fn sha256_beside(path: &Path) -> Result<Option<String>, BackupError> {
    let sum = sha256_path(path);
    let mut text = String::new();
    match File::open(&sum).and_then(|file| file.take(SUM_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&sum, "reading the SHA-256")(error)),
    }
    let word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(word));
    }
    Err(BackupError::NotWhole { path: path.to_path_buf(), detail: format!("{} holds no SHA-256", sum.display()) })
}

/// The SHA-256 of a file, hex.
pub(crate) fn sha256_of(path: &Path) -> Result<String, BackupError> {
    let mut reader = File::open(path).map(Hashing::new).map_err(io(path, "opening the file"))?;
    io::copy(&mut reader, &mut io::sink()).map_err(io(path, "reading the file"))?;
    Ok(reader.hex())
}

/// Hashes what is read through it.
pub(crate) struct Hashing {
    file: File,
    hash: Sha256,
}

impl Hashing {
    pub(crate) fn new(file: File) -> Hashing {
        Hashing { file, hash: Sha256::new() }
    }

    /// The SHA-256 of all that was read.
    pub(crate) fn hex(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

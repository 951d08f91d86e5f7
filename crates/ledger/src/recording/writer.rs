//! Lines into gzip members, each handed to the sink whole and at once.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::line::{self, Direction, Source};
use super::{Header, Moment};

/// A member is closed when its first line is so old, so that a kill costs little more than that.
const MEMBER_US: u64 = 2_000_000;
/// Or when so many bytes of lines are in it.
const MEMBER_BYTES: usize = 1 << 20;

/// Writes one part.
#[derive(Debug)]
pub struct Writer<W: Write> {
    sink: W,
    /// The header's node, which no message names.
    home: String,
    member: GzEncoder<Vec<u8>>,
    /// Bytes of lines in the open member.
    open_bytes: usize,
    /// When its first line came.
    open_since_us: u64,
    /// Bytes that the sink took.
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a part: its header is in the sink when this returns.
    ///
    /// # Errors
    /// What the sink said.
    pub fn new(sink: W, header: &Header) -> io::Result<Writer<W>> {
        let mut writer =
            Writer { sink, home: header.url.clone(), member: empty(), open_bytes: 0, open_since_us: 0, bytes: 0 };
        writer.line(0, &serde_json::to_string(header)?)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds a message.
    ///
    /// # Errors
    /// What the sink said; then the part is over.
    pub fn message(&mut self, at: Moment, source: impl Into<Source>, dir: Direction, text: &str) -> io::Result<()> {
        let mut source = source.into();
        source.node = source.node.filter(|node| **node != *self.home);
        self.line(at.monotonic_us, &line::message(at, &source, dir, text)?)
    }

    /// Says that something may be missing here: why, and how many messages if that is known.
    ///
    /// # Errors
    /// As for [`Writer::message`].
    pub fn gap(&mut self, at: Moment, reason: &str, dropped: u64) -> io::Result<()> {
        self.line(at.monotonic_us, &line::gap(at, reason, dropped)?)
    }

    /// Time goes on: what waits for long is written.
    ///
    /// # Errors
    /// As for [`Writer::message`].
    pub fn tick(&mut self, monotonic_us: u64) -> io::Result<()> {
        let old = monotonic_us.saturating_sub(self.open_since_us) >= MEMBER_US;
        if self.open_bytes > 0 && old { self.flush() } else { Ok(()) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As for [`Writer::message`].
    pub fn flush(&mut self) -> io::Result<()> {
        if self.open_bytes > 0 {
            let member = std::mem::replace(&mut self.member, empty()).finish()?;
            self.open_bytes = 0;
            self.sink.write_all(&member)?;
            self.bytes = self.bytes.saturating_add(u64::try_from(member.len()).unwrap_or(u64::MAX));
        }
        self.sink.flush()
    }

    /// Bytes that were written, compressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes what waits and gives the sink back.
    ///
    /// # Errors
    /// As for [`Writer::message`].
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.sink)
    }

    fn line(&mut self, monotonic_us: u64, line: &str) -> io::Result<()> {
        if self.open_bytes == 0 {
            self.open_since_us = monotonic_us;
        }
        self.member.write_all(line.as_bytes())?;
        self.member.write_all(b"\n")?;
        self.open_bytes += line.len() + 1;
        if self.open_bytes >= MEMBER_BYTES { self.flush() } else { self.tick(monotonic_us) }
    }
}

fn empty() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::default())
}

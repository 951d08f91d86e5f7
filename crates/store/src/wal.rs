//! A write-ahead log read as bytes, before SQLite sees it: SQLite replays a stranger's log, and drops what it cannot
//! check without a word (sqlite.org/fileformat2.html, section 4).

use std::io::{self, ErrorKind, Read};

/// Bytes of the log's header, of a frame's, and of the database's.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
pub(crate) const DB_HEADER: usize = 100;
/// The two magic numbers differ in the byte order of the checksums only.
const MAGIC: u32 = 0x377F_0682;
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// False when its header is not one: SQLite drops such a log whole.
    pub(crate) header_is_sound: bool,
    /// True when something follows the header.
    pub(crate) has_content: bool,
    /// Bytes of a page.
    pub(crate) page_size: u32,
    /// Transactions that SQLite replays.
    pub(crate) commits: u64,
    /// The database's header as those transactions leave it, where they touch it.
    pub(crate) page_one: Option<[u8; DB_HEADER]>,
    /// Transactions of the same generation behind the first frame that does not check.
    pub(crate) commits_beyond: u64,
}

/// Reads a log to its end.
pub(crate) fn scan(reader: &mut impl Read) -> io::Result<Log> {
    let mut log = Log::default();
    let mut header = [0; HEADER];
    if !fill(reader, &mut header)? {
        return Ok(log);
    }
    let Some(mut chain) = Chain::begin(&header) else {
        let mut rest = [0; 4_096];
        loop {
            match reader.read(&mut rest) {
                Ok(0) => return Ok(log),
                Ok(read) => log.has_content |= rest.iter().take(read).any(|byte| *byte != 0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    log.header_is_sound = true;
    log.page_size = chain.page_size;
    let mut frame = vec![0; FRAME_HEADER + usize::try_from(chain.page_size).unwrap_or(0)];
    let (mut sound, mut touched) = (true, None);
    while fill(reader, &mut frame)? {
        log.has_content = true;
        let (page, pages_after) = (word(&frame, 0), word(&frame, 4));
        sound = sound && chain.accepts(&frame);
        if sound {
            if page == 1 {
                touched = frame.get(FRAME_HEADER..FRAME_HEADER + DB_HEADER).and_then(|head| head.try_into().ok());
            }
            if pages_after > 0 {
                log.commits += 1;
                log.page_one = touched.take().or(log.page_one);
            }
        } else if pages_after > 0 && page > 0 && chain.is_of_this_generation(&frame) {
            log.commits_beyond += 1;
        }
    }
    Ok(log)
}

/// The running checksum of a log, which binds each frame to all before it.
struct Chain {
    page_size: u32,
    salts: [u8; 8],
    big_endian: bool,
    sum: (u32, u32),
}

impl Chain {
    /// `None` for a header that SQLite does not take.
    fn begin(header: &[u8; HEADER]) -> Option<Chain> {
        let magic = word(header, 0);
        let page_size = word(header, 8);
        if magic & !1 != MAGIC || !PAGE_SIZES.contains(&page_size) || !page_size.is_power_of_two() {
            return None;
        }
        let salts = header.get(16..24)?.try_into().ok()?;
        let mut chain = Chain { page_size, salts, big_endian: magic & 1 == 1, sum: (0, 0) };
        chain.add(header.get(..24)?);
        (chain.sum == (word(header, 24), word(header, 28))).then_some(chain)
    }

    fn is_of_this_generation(&self, frame: &[u8]) -> bool {
        frame.get(8..16) == Some(self.salts.as_slice())
    }

    fn accepts(&mut self, frame: &[u8]) -> bool {
        if !self.is_of_this_generation(frame) || word(frame, 0) == 0 {
            return false;
        }
        self.add(frame.get(..8).unwrap_or_default());
        self.add(frame.get(FRAME_HEADER..).unwrap_or_default());
        self.sum == (word(frame, 16), word(frame, 20))
    }

    fn add(&mut self, bytes: &[u8]) {
        let number = |four: &[u8]| {
            let four = four.try_into().unwrap_or_default();
            if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let (mut a, mut b) = self.sum;
        for eight in bytes.chunks_exact(8) {
            let (first, second) = eight.split_at(4);
            a = a.wrapping_add(number(first)).wrapping_add(b);
            b = b.wrapping_add(number(second)).wrapping_add(a);
        }
        self.sum = (a, b);
    }
}

/// A big-endian number of four bytes; 0 beyond the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// True when the buffer was filled; a tail that is shorter is no frame.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

//! A write-ahead log read as bytes, before SQLite sees it: SQLite replays a stranger's log, and drops what it cannot
//! check without a word (sqlite.org/fileformat2.html, section 4).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

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
    /// Transactions of the same generation behind the first frame that does not check: the most that follow each other
    /// without a break. What failed attempts left unsynced has a break between any two.
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
    let (mut sound, mut touched, mut beyond) = (true, None, Beyond::default());
    while fill(reader, &mut frame)? {
        log.has_content = true;
        let (page, pages_after) = (word(&frame, 0), word(&frame, 4));
        sound = sound && chain.accepts(&frame);
        if sound {
            beyond.last = (page, pages_after);
            if page == 1 {
                touched = frame.get(FRAME_HEADER..FRAME_HEADER + DB_HEADER).and_then(|head| head.try_into().ok());
            }
            if pages_after > 0 {
                log.commits += 1;
                log.page_one = touched.take().or(log.page_one);
            }
        } else if page > 0 && chain.is_of_this_generation(&frame) {
            log.commits_beyond = log.commits_beyond.max(beyond.follow(&chain, &frame));
        }
    }
    Ok(log)
}

/// Frames behind a break, as far as each follows from the one before it by its checksum.
#[derive(Default)]
struct Beyond {
    /// The last frame's checksum, as it is written there.
    sum: Option<(u32, u32)>,
    /// The last frame's page, and the pages after it where it commits; at first of the last frame before the break.
    last: (u32, u32),
    commits: u64,
}

impl Beyond {
    /// Takes one more frame; gives the transactions of the unbroken run that it is in.
    fn follow(&mut self, chain: &Chain, frame: &[u8]) -> u64 {
        let stored = (word(frame, 16), word(frame, 20));
        let before = self.sum.replace(stored);
        let follows = before.is_some_and(|sum| chain.next(sum, frame) == stored);
        // On a disk that may spoil what lies beside a write, SQLite repeats the last frame to the end of the sector, and
        // syncs before it has written all of the repetition: a power failure in the next transaction may break it.
        let this = (word(frame, 0), word(frame, 4));
        let repeats = std::mem::replace(&mut self.last, this) == this && (follows || before.is_none());
        let commits = u64::from(this.1 > 0 && !repeats);
        self.commits = if follows { self.commits.saturating_add(commits) } else { commits };
        self.commits
    }
}

/// True when a log with a broken header may be dropped: no acknowledged transaction is in it that the database has not.
///
/// A power failure breaks a header in two ways. It tears it while SQLite begins the log anew, over frames that a
/// checkpoint has written back; or it spoils the sector that the header shares with the first frame, while the first
/// transaction behind it is written. Later transactions touch neither, and each is synced before the next begins. So
/// what counts is the newest generation of frames that has more than one transaction.
pub(crate) fn has_nothing_new(
    log: &mut (impl Read + Seek),
    db: &mut (impl Read + Seek),
    page_size: u32,
) -> io::Result<bool> {
    match Newest::of(&frames(log, page_size)?) {
        Some(newest) => newest.is_in(log, db, page_size),
        None => Ok(true),
    }
}

/// Transactions; a last frame that is repeated to the end of a sector is one.
fn commits(frames: &[&Frame]) -> usize {
    let ends: Vec<_> = frames.iter().map(|frame| (frame.page, frame.pages_after)).collect();
    let repeats = ends.windows(2).filter(|two| two.first() == two.last() && two.iter().all(|end| end.1 > 0)).count();
    ends.iter().filter(|end| end.1 > 0).count() - repeats
}

/// A frame's header, as far as it is needed here.
struct Frame {
    number: u64,
    page: u32,
    pages_after: u32,
    /// The generation: the first salt is one more for each (sqlite.org/fileformat2.html, section 4.1).
    salts: (u32, u32),
}

fn frames(log: &mut (impl Read + Seek), page_size: u32) -> io::Result<Vec<Frame>> {
    let (mut frames, mut head) = (Vec::new(), [0; FRAME_HEADER]);
    for number in 0.. {
        log.seek(SeekFrom::Start(frame_at(number, page_size)))?;
        if !fill(log, &mut head)? {
            break;
        }
        let salts = (word(&head, 8), word(&head, 12));
        frames.push(Frame { number, page: word(&head, 0), pages_after: word(&head, 4), salts });
    }
    Ok(frames)
}

/// The newest generation of more than one transaction.
struct Newest {
    /// Pages of the database after the last commit.
    pages_after: u32,
    /// The last committed frame of each page.
    pages: BTreeMap<u32, u64>,
}

impl Newest {
    fn of(frames: &[Frame]) -> Option<Newest> {
        let mut generations: Vec<(u32, u32)> = frames.iter().map(|frame| frame.salts).collect();
        // Seen from the last frame, which is the oldest there is, since the salt may have gone round.
        let oldest = frames.last()?.salts.0;
        generations.sort_unstable_by_key(|salts| (salts.0.wrapping_sub(oldest), salts.1));
        generations.dedup();
        let mut written_over = 0;
        for salts in generations.into_iter().rev() {
            let own = || frames.iter().filter(|frame| frame.salts == salts);
            // Of an older generation only what comes after the newer ones is whole.
            let rest: Vec<&Frame> = own().filter(|frame| frame.number >= written_over).collect();
            if commits(&rest) > 1 {
                return Some(Newest::from_frames(&rest));
            }
            written_over = own().map(|frame| frame.number + 1).max().unwrap_or(0).max(written_over);
        }
        None
    }

    fn from_frames(frames: &[&Frame]) -> Newest {
        let (mut newest, mut pending) = (Newest { pages_after: 0, pages: BTreeMap::new() }, BTreeMap::new());
        for frame in frames {
            pending.insert(frame.page, frame.number);
            if frame.pages_after > 0 {
                newest.pages_after = frame.pages_after;
                newest.pages.append(&mut pending);
            }
        }
        newest
    }

    /// True when the database has all of it.
    fn is_in(&self, log: &mut (impl Read + Seek), db: &mut (impl Read + Seek), page_size: u32) -> io::Result<bool> {
        let page_len = usize::try_from(page_size).unwrap_or(0);
        let (mut logged, mut stored) = (vec![0; page_len], vec![0; page_len]);
        for (page, frame) in self.pages.iter().filter(|(page, _)| (1..=self.pages_after).contains(*page)) {
            log.seek(SeekFrom::Start(frame_at(*frame, page_size) + FRAME_HEADER as u64))?;
            db.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(page_size)))?;
            if !fill(log, &mut logged)? || !fill(db, &mut stored)? || logged != stored {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn frame_at(frame: u64, page_size: u32) -> u64 {
    HEADER as u64 + frame * (FRAME_HEADER as u64 + u64::from(page_size))
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
        chain.sum = chain.added(chain.sum, header.get(..24)?);
        (chain.sum == (word(header, 24), word(header, 28))).then_some(chain)
    }

    fn is_of_this_generation(&self, frame: &[u8]) -> bool {
        frame.get(8..16) == Some(self.salts.as_slice())
    }

    fn accepts(&mut self, frame: &[u8]) -> bool {
        if !self.is_of_this_generation(frame) || word(frame, 0) == 0 {
            return false;
        }
        self.sum = self.next(self.sum, frame);
        self.sum == (word(frame, 16), word(frame, 20))
    }

    /// The checksum of a frame that comes after one with this sum.
    fn next(&self, sum: (u32, u32), frame: &[u8]) -> (u32, u32) {
        let sum = self.added(sum, frame.get(..8).unwrap_or_default());
        self.added(sum, frame.get(FRAME_HEADER..).unwrap_or_default())
    }

    fn added(&self, sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let number = |four: &[u8]| {
            let four = four.try_into().unwrap_or_default();
            if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let (mut a, mut b) = sum;
        for eight in bytes.chunks_exact(8) {
            let (first, second) = eight.split_at(4);
            a = a.wrapping_add(number(first)).wrapping_add(b);
            b = b.wrapping_add(number(second)).wrapping_add(a);
        }
        (a, b)
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

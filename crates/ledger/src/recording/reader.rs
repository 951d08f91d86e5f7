//! Lines out of a part, member by member: a line is given only after its member's checksum was right.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::line::{self, Line};
use super::{FORMAT, Header, RecordingError, VERSION};

/// Most that one member may hold. The writer's hold a megabyte and a message; a part that was packed anew by `gzip` is one
/// member.
const MAX_MEMBER_BYTES: u64 = 1 << 30;

/// A part ends too early: its recorder was killed, or the disk was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// So many bytes are whole members; what is behind them is lost.
    pub at: u64,
    /// Lines before it, the header too.
    pub lines: u64,
}

/// Reads one part.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    source: Counted<R>,
    header: Header,
    /// The member that is being read, and how far.
    member: String,
    next: usize,
    /// Lines that were given, the header too.
    lines: u64,
    ended: bool,
    cut: Option<Cut>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`RecordingError`]: nothing in it, something else, another version.
    pub fn new(source: R) -> Result<Reader<R>, RecordingError> {
        let mut source = Counted { source, taken: 0 };
        let member = match read_member(&mut source) {
            Ok(Member::Whole(text)) => text,
            Ok(Member::End | Member::Cut) => return Err(RecordingError::Empty),
            Err(RecordingError::Damaged { reason, .. }) => return Err(RecordingError::NotARecording { reason }),
            Err(error) => return Err(error),
        };
        let (first, next) = line_from(&member, 0).ok_or(RecordingError::Empty)?;
        let header = header(first)?;
        Ok(Reader { source, header, member, next, lines: 1, ended: false, cut: None })
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the part was cut, if it was; known once all its lines were read.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    fn read(&mut self) -> Result<Option<Line>, RecordingError> {
        loop {
            if let Some((text, next)) = line_from(&self.member, self.next) {
                let line = line::parse(text);
                self.next = next;
                self.lines += 1;
                return line.map(Some).map_err(|reason| RecordingError::Line { line: self.lines, reason });
            }
            let at = self.source.taken;
            (self.member, self.next) = match read_member(&mut self.source)? {
                Member::Whole(text) => (text, 0),
                Member::End => return Ok(None),
                Member::Cut => {
                    self.cut = Some(Cut { at, lines: self.lines });
                    return Ok(None);
                }
            };
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

fn header(text: &str) -> Result<Header, RecordingError> {
    let not = |reason: String| RecordingError::NotARecording { reason };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| not(error.to_string()))?;
    if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
        return Err(not(format!("its first line does not name the format {FORMAT}")));
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(found) => return Err(RecordingError::Version { found }),
        None => return Err(not("its first line has no version".to_string())),
    }
    serde_json::from_value(value).map_err(|error| not(error.to_string()))
}

/// The line that begins at `from`, and where the next one does.
fn line_from(member: &str, from: usize) -> Option<(&str, usize)> {
    let rest = member.get(from..).filter(|rest| !rest.is_empty())?;
    let line = rest.split('\n').next().unwrap_or(rest);
    Some((line, from + line.len() + 1))
}

enum Member {
    Whole(String),
    End,
    Cut,
}

fn read_member<R: BufRead>(source: &mut Counted<R>) -> Result<Member, RecordingError> {
    let at = source.taken;
    let damaged = |reason: String| RecordingError::Damaged { at, reason };
    match source.fill_buf()?.first() {
        None => return Ok(Member::End),
        // After a power cut a file may be as long as it was to be, with nothing in it.
        Some(0) => {
            return if only_zeros(source)? {
                Ok(Member::Cut)
            } else {
                Err(damaged("no gzip member begins here".into()))
            };
        }
        Some(_) => {}
    }
    let mut bytes = Vec::new();
    let read = GzDecoder::new(&mut *source).take(MAX_MEMBER_BYTES + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_MEMBER_BYTES) => {
            Err(damaged(format!("a gzip member of more than {MAX_MEMBER_BYTES} bytes; pack it in smaller ones")))
        }
        Ok(_) => String::from_utf8(bytes).map(Member::Whole).map_err(|error| damaged(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Member::Cut),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            Err(damaged(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn only_zeros<R: BufRead>(source: &mut Counted<R>) -> io::Result<bool> {
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let all = bytes.len();
        source.consume(all);
    }
}

/// Counts what is taken.
#[derive(Debug)]
struct Counted<R> {
    source: R,
    taken: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.taken = self.taken.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.taken = self.taken.saturating_add(u64::try_from(amount).unwrap_or(u64::MAX));
        self.source.consume(amount);
    }
}

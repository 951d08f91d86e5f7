//! Where a mirrored market comes from: the parts of a recording, or files of trades and quotes.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use neo_ledger::recording::{self, Header, Reader, RecordingError};
use neo_ledger::{Address, Token};

use super::read::{Item, Ledgers as Assembled, MirrorLedger};
use super::{FOUNDING, MirrorError, csv};
use crate::scenario::Scenario;

/// Ledgers, one after another.
pub(crate) type Ledgers = Box<dyn Iterator<Item = Result<MirrorLedger, RecordingError>> + Send>;

/// What a mirrored market is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// A recording's first part, or a file of trades.
    pub file: PathBuf,
    /// With a file of trades, one of quotes.
    pub quotes: Option<PathBuf>,
    /// The token that trades are of where the file does not tell.
    pub token: Token,
}

/// A source that has been begun.
pub(crate) struct Opened {
    /// What is missing of its parts: filled in as it is read.
    pub(crate) holes: Holes,
    pub(crate) token: Token,
    /// Whose offers in it are not mirrored.
    pub(crate) account: Option<Address>,
    pub(crate) founded: Founded,
    /// What comes after.
    pub(crate) ledgers: Ledgers,
}

/// The first ledger of which both sides are known, and those before it.
#[derive(Clone, Debug)]
pub(crate) struct Founded {
    pub(crate) before: Vec<MirrorLedger>,
    pub(crate) ledger: MirrorLedger,
}

impl Origin {
    /// A scenario's; `None` for a generated market.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Option<Origin> {
        let file = scenario.recording.clone()?;
        Some(Origin { file, quotes: scenario.recording_quotes.clone(), token: scenario.token() })
    }

    /// The token that it is of.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn token(&self) -> Result<Token, MirrorError> {
        if self.is_trades()? { Ok(self.token) } else { Parts::open(&self.file).map(|(header, _)| header.token) }
    }

    fn is_trades(&self) -> Result<bool, MirrorError> {
        // A recording whose first part is gone begins with another.
        if !self.file.exists() {
            return Ok(false);
        }
        let mut beginning = Vec::new();
        let read = File::open(&self.file).and_then(|file| file.take(4_096).read_to_end(&mut beginning));
        read.map_err(|error| failed(&self.file, error))?;
        Ok(csv::is_trades(&beginning))
    }

    pub(crate) fn open(&self) -> Result<Opened, MirrorError> {
        let file = &self.file;
        let holes = Holes::default();
        let (token, account, mut ledgers) = if self.is_trades()? {
            let text = |path: &Path| fs::read_to_string(path).map_err(|error| failed(path, error));
            let quotes = self.quotes.as_deref().map(text).transpose()?;
            let all = csv::ledgers(&text(file)?, quotes.as_deref());
            let all = all.map_err(|source| MirrorError::Csv { path: file.clone(), source })?;
            (self.token, None, Box::new(all.into_iter().map(Ok)) as Ledgers)
        } else if self.quotes.is_some() {
            return Err(MirrorError::QuotesToo { path: file.clone() });
        } else {
            let (header, parts) = Parts::open(file)?;
            let parts = parts.telling(&holes);
            (header.token, header.account, Box::new(Assembled::new(parts, header.token)) as Ledgers)
        };
        let founded = found(&mut ledgers, file)?;
        Ok(Opened { holes, token, account, founded, ledgers })
    }
}

fn failed(path: &Path, error: std::io::Error) -> MirrorError {
    MirrorError::Part { path: path.to_path_buf(), source: error.into() }
}

fn found(ledgers: &mut Ledgers, file: &Path) -> Result<Founded, MirrorError> {
    let mut before = Vec::new();
    for ledger in ledgers.by_ref() {
        let ledger = ledger.map_err(|source| MirrorError::Part { path: file.to_path_buf(), source })?;
        if ledger.sound_after() == [true, true] && ledger.index > FOUNDING {
            return Ok(Founded { before, ledger });
        }
        before.push(ledger);
    }
    Err(MirrorError::NoBook { after: FOUNDING })
}

/// What is missing between the first part of a recording and its last, in words, in the order in which it was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holes(Arc<Mutex<Vec<String>>>);

impl Holes {
    fn add(&self, what: String) {
        tracing::warn!("{what}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// All so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The lines of all parts of a recording, in order.
struct Parts {
    parts: std::vec::IntoIter<(u32, PathBuf)>,
    /// The part that is read or was last.
    at: Option<(u32, PathBuf)>,
    holes: Holes,
    open: Option<Reader<BufReader<File>>>,
    run: Option<String>,
}

impl Parts {
    fn open(file: &Path) -> Result<(Header, Parts), MirrorError> {
        let failed = |source: std::io::Error| MirrorError::Part { path: file.to_path_buf(), source: source.into() };
        let parts = recording::parts(file).map_err(failed)?;
        let (_, first) = parts.first().ok_or_else(|| MirrorError::None { path: file.to_path_buf() })?;
        let header =
            read_part(first).map_err(|source| MirrorError::Part { path: first.clone(), source })?.header().clone();
        let holes = Holes::default();
        Ok((header, Parts { parts: parts.into_iter(), at: None, holes, open: None, run: None }))
    }

    fn telling(self, holes: &Holes) -> Parts {
        Parts { holes: holes.clone(), ..self }
    }

    /// The parts that are missing before the one that comes now; the oldest may have made room for the newest.
    fn told_missing(&self, number: u32) -> bool {
        let Some((before, _)) = &self.at else { return false };
        let (first, last) = (before.saturating_add(1), number.saturating_sub(1));
        if first > last {
            return false;
        }
        let which = if first == last { format!("part {first}") } else { format!("parts {first} to {last}") };
        self.holes.add(format!(
            "{which} of the recording is missing: nothing trades from there until both sides of the book are known again; \
             put it beside the others, or go without"
        ));
        true
    }
}

fn read_part(path: &Path) -> Result<Reader<BufReader<File>>, RecordingError> {
    Reader::new(BufReader::new(File::open(path)?))
}

impl Iterator for Parts {
    type Item = Result<Item, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reader) = &mut self.open {
                match reader.next() {
                    Some(line) => return Some(line.map(Item::Line)),
                    None => {
                        let cut = reader.cut();
                        self.open = None;
                        // The end of a part that was cut is lost.
                        if let (Some(cut), Some((_, path))) = (cut, &self.at) {
                            self.holes.add(format!(
                                "{} ends in the middle of a frame, after {} lines and {} bytes: what came behind is lost, as \
                                 its recorder was killed or the disk was full",
                                path.display(),
                                cut.lines,
                                cut.at
                            ));
                            return Some(Ok(Item::Run));
                        }
                    }
                }
            }
            let (number, path) = self.parts.next()?;
            let is_missing = self.told_missing(number);
            let read = read_part(&path);
            self.at = Some((number, path));
            let reader = match read {
                Ok(reader) => reader,
                // A recorder that was killed as it began left nothing.
                Err(RecordingError::Empty) if is_missing => return Some(Ok(Item::Run)),
                Err(RecordingError::Empty) => continue,
                Err(error) => return Some(Err(error)),
            };
            let run = reader.header().started_at.clone();
            self.open = Some(reader);
            if self.run.replace(run.clone()).is_some_and(|before| before != run) || is_missing {
                return Some(Ok(Item::Run));
            }
        }
    }
}

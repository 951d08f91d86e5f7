//! Where a mirrored market comes from: the parts of a recording, or files of trades and quotes.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

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
            (header.token, header.account, Box::new(Assembled::new(parts, header.token)) as Ledgers)
        };
        let founded = found(&mut ledgers, file)?;
        Ok(Opened { token, account, founded, ledgers })
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

/// The lines of all parts of a recording, in order.
struct Parts {
    paths: std::vec::IntoIter<PathBuf>,
    open: Option<Reader<BufReader<File>>>,
    run: Option<String>,
}

impl Parts {
    fn open(file: &Path) -> Result<(Header, Parts), MirrorError> {
        let failed = |source: std::io::Error| MirrorError::Part { path: file.to_path_buf(), source: source.into() };
        let paths: Vec<PathBuf> = recording::parts(file).map_err(failed)?.into_iter().map(|(_, path)| path).collect();
        let first = paths.first().ok_or_else(|| MirrorError::None { path: file.to_path_buf() })?;
        let header =
            read_part(first).map_err(|source| MirrorError::Part { path: first.clone(), source })?.header().clone();
        Ok((header, Parts { paths: paths.into_iter(), open: None, run: None }))
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
                    // The end of a part that was cut is lost.
                    None if reader.cut().is_some() => {
                        self.open = None;
                        return Some(Ok(Item::Run));
                    }
                    None => self.open = None,
                }
            }
            let reader = match read_part(&self.paths.next()?) {
                Ok(reader) => reader,
                // A recorder that was killed as it began left nothing.
                Err(RecordingError::Empty) => continue,
                Err(error) => return Some(Err(error)),
            };
            let run = reader.header().started_at.clone();
            self.open = Some(reader);
            if self.run.replace(run.clone()).is_some_and(|before| before != run) {
                return Some(Ok(Item::Run));
            }
        }
    }
}

//! A mirrored market: the ledgers of a recording in the place of generated participants.
//!
//! [`read`] puts a recording's lines together to ledgers, [`standing`] says what metadata tells of offers, `apply` does to
//! the book what the real ledger did, with ours in it, and `frame` makes transactions of that. Ledger indexes, close times,
//! reserves and the reference fee are the recording's. Our own transactions come after the real ones of their ledger, or as
//! many ledgers later as the scenario says. In [`live`] a node's messages as they come are the recording.

pub(crate) mod apply;
pub(crate) mod frame;
pub mod live;
pub mod read;
pub mod standing;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use neo_ledger::recording::{self, Header, Reader, RecordingError};
use neo_ledger::{Address, Currency, Hash, LedgerTime, Token};
use thiserror::Error;

use crate::apply::tx::{Signer, Tx};
use crate::scenario::Scenario;
use apply::Applier;
use read::{Item, Ledgers, MirrorLedger};

/// Ledgers before the first mirrored one in which the world is made.
pub(crate) const FOUNDING: u32 = 5;
/// How long before the first mirrored ledger the world begins, in seconds.
pub(crate) const FOUNDING_S: u32 = 60;

/// Why a recording cannot be mirrored.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// A part cannot be read.
    #[error("{path}: {source}")]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordingError,
    },
    /// There is no such file.
    #[error("there is no recording {path}; give the file that `neo record` was told to write, without a part's number")]
    None {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// It is of another pair.
    #[error(
        "the recording is of {found}, and the scenario of {wanted}; give sim.issuer = \"{issuer}\" or another recording"
    )]
    Token {
        /// The recording's token.
        found: String,
        /// The scenario's.
        wanted: String,
        /// The recording's issuer.
        issuer: Address,
    },
    /// It has no picture of the book.
    #[error(
        "the recording has no ledger with both sides of the book after ledger {after}: the recorder was not answered; \
         record again, at least until a few ledgers have closed"
    )]
    NoBook {
        /// The first ledger that can be mirrored.
        after: u32,
    },
    /// The followed node gave no picture.
    #[error("the market cannot be followed: {0}")]
    Market(String),
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

/// What a recording holds, for whoever wants to know before it is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first ledger of which both sides of the book are known.
    pub first: u32,
    /// When it closed.
    pub first_close: LedgerTime,
    /// The last ledger.
    pub last: u32,
    /// When it closed.
    pub last_close: LedgerTime,
    /// Close time of the ledger that is so many before the last as [`Span::of`] was told.
    pub tail_close: LedgerTime,
    /// Ledgers from the first to the last.
    pub ledgers: u64,
    /// Of these, such that nothing can trade in.
    pub gaps: u64,
    /// Transactions that touched the pair's books or its pool.
    pub transactions: u64,
}

impl Span {
    /// Reads a recording through. `tail` ledgers before the last is a moment worth knowing: what a stop needs.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn of(file: &Path, tail: usize) -> Result<Span, MirrorError> {
        let (header, parts) = Parts::open(file)?;
        let mut ledgers = Ledgers::new(parts, header.token);
        let founded = found(&mut ledgers, file)?;
        let mut closes = vec![founded.ledger.close_time];
        let first = &founded.ledger;
        let (index, close) = (first.index, first.close_time);
        let mut span = Span {
            first: index,
            first_close: close,
            last: index,
            last_close: close,
            tail_close: close,
            ledgers: 1,
            gaps: 0,
            transactions: 0,
        };
        // What cannot be read is the end, as it is for the replay.
        for ledger in ledgers.map_while(Result::ok) {
            (span.last, span.last_close) = (ledger.index, ledger.close_time);
            span.ledgers += 1;
            span.gaps += u64::from(ledger.has_gap());
            span.transactions += u64::try_from(ledger.txs.len()).unwrap_or(u64::MAX);
            closes.push(ledger.close_time);
        }
        span.tail_close = closes.iter().rev().nth(tail).copied().unwrap_or(close);
        Ok(span)
    }

    /// The header of a recording's first part.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn header(file: &Path) -> Result<Header, MirrorError> {
        Parts::open(file).map(|(header, _)| header)
    }
}

/// The first ledger of which both sides are known, and those before it.
struct Founded {
    before: Vec<MirrorLedger>,
    ledger: MirrorLedger,
}

fn found<I>(ledgers: &mut Ledgers<I>, file: &Path) -> Result<Founded, MirrorError>
where
    I: Iterator<Item = Result<Item, RecordingError>>,
{
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

type Source = Box<dyn Iterator<Item = Result<MirrorLedger, RecordingError>> + Send>;

/// The mirrored market of a node.
pub(crate) struct Mirror {
    /// `None` for a market that is followed as it goes: whoever follows it hands each ledger over.
    ledgers: Option<Source>,
    next: Option<MirrorLedger>,
    /// Why there is no next one.
    end: String,
    pub(crate) applier: Applier,
    /// Ledgers for which ours is held back.
    latency: u32,
    /// The open ledger in which each of ours came.
    came: HashMap<Hash, u32>,
}

impl Mirror {
    /// Opens the scenario's recording. Gives the scenario as the recording makes it, the mirror, and the ledgers that the
    /// book is founded by.
    pub(crate) fn open(scenario: &Scenario, file: &Path) -> Result<(Scenario, Mirror, Vec<MirrorLedger>), MirrorError> {
        let (header, parts) = Parts::open(file)?;
        let issuer = header.token.issuer;
        let wanted = Token { currency: Currency::RLUSD, issuer: scenario.issuer.unwrap_or(issuer) };
        if wanted != header.token {
            let (found, wanted) = (header.token.to_string(), wanted.to_string());
            return Err(MirrorError::Token { found, wanted, issuer });
        }
        let mut ledgers = Ledgers::new(parts, header.token);
        let Founded { before, ledger } = found(&mut ledgers, file)?;
        let founding: Vec<MirrorLedger> = before.into_iter().chain([ledger]).collect();
        let (scenario, mut mirror) = Mirror::of(scenario, header.token, header.account, &founding);
        mirror.ledgers = Some(Box::new(ledgers));
        mirror.advance();
        Ok((scenario, mirror, founding))
    }

    /// A market that is followed as it goes, from the ledgers that its book is founded by. Offers of `account` are not
    /// mirrored.
    pub(crate) fn following(
        scenario: &Scenario,
        token: Token,
        account: Option<Address>,
        founding: &[MirrorLedger],
    ) -> (Scenario, Mirror) {
        let (scenario, mirror) = Mirror::of(scenario, token, account, founding);
        let applier = mirror.applier.hiding();
        (scenario, Mirror { applier, ..mirror })
    }

    /// The scenario as the first ledgers make it, and a mirror without a source.
    fn of(
        scenario: &Scenario,
        token: Token,
        account: Option<Address>,
        founding: &[MirrorLedger],
    ) -> (Scenario, Mirror) {
        let mut scenario = Scenario { issuer: Some(token.issuer), ..scenario.clone() };
        if let Some(ledger) = founding.last() {
            scenario.start_time_s = ledger.close_time.0.saturating_sub(FOUNDING_S);
            (scenario.reserve_base_drops, scenario.reserve_inc_drops) =
                (ledger.reserve_base_drops, ledger.reserve_inc_drops);
            scenario.base_fee_drops = ledger.base_fee_drops;
        }
        // Ours is not derived: a key that does not derive is told by the founding.
        let left_out: BTreeSet<Address> = account.into_iter().chain(scenario.maker().ok()).collect();
        let mirror = Mirror {
            ledgers: None,
            next: None,
            end: String::new(),
            applier: Applier::new(token, left_out),
            latency: scenario.mirror_latency_ledgers,
            came: HashMap::new(),
        };
        (scenario, mirror)
    }

    /// What the followed market did next.
    pub(crate) fn hand_over(&mut self, ledger: MirrorLedger) {
        self.next = Some(ledger);
    }

    /// The ledger that closes next.
    pub(crate) fn take(&mut self) -> Option<MirrorLedger> {
        let ledger = self.next.take();
        if ledger.is_some() {
            self.advance();
        }
        ledger
    }

    fn advance(&mut self) {
        let Some(ledgers) = &mut self.ledgers else { return };
        self.next = match ledgers.next() {
            Some(Ok(ledger)) => Some(ledger),
            Some(Err(error)) => {
                self.end = format!("the recording cannot be read on: {error}");
                tracing::error!(%error, "the recording cannot be read on; the mirrored ledger ends here");
                None
            }
            None => {
                self.end = "the recording has ended, and with it this ledger; stop, or replay it again".to_string();
                None
            }
        };
    }

    /// When the next ledger closes.
    pub(crate) fn next_close(&self) -> Option<LedgerTime> {
        self.next.as_ref().map(|ledger| ledger.close_time)
    }

    /// Why no ledger closes any more; `None` while one does.
    pub(crate) fn ended(&self) -> Option<&str> {
        if self.next.is_some() || self.ledgers.is_none() { None } else { Some(&self.end) }
    }

    /// Which of the clients' transactions are held back from the ledger of this index.
    pub(crate) fn held_back(&mut self, open: &[Tx], index: u32) -> BTreeSet<Hash> {
        if self.latency == 0 {
            return BTreeSet::new();
        }
        let theirs = open.iter().filter(|tx| tx.signer != Signer::Simulation);
        let mut held = BTreeSet::new();
        for tx in theirs {
            let came = *self.came.entry(tx.hash).or_insert(index);
            if index < came.saturating_add(self.latency) {
                held.insert(tx.hash);
            }
        }
        self.came.retain(|_, came| came.saturating_add(1_000) > index);
        held
    }
}

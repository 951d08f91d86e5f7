//! A mirrored market: the ledgers of a recording in the place of generated participants.
//!
//! [`read`] puts a recording's lines together to ledgers, [`standing`] says what metadata tells of offers, `apply` does to
//! the book what the real ledger did, with ours in it, and `frame` makes transactions of that. Ledger indexes, close times,
//! reserves and the reference fee are the recording's. Our own transactions come after the real ones of their ledger, or as
//! many ledgers later as the scenario says. In [`live`] a node's messages as they come are the recording.

pub(crate) mod apply;
pub mod csv;
pub(crate) mod curve;
pub mod depth;
pub(crate) mod frame;
pub mod live;
pub mod market;
pub mod pool;
pub(crate) mod pooled;
pub mod read;
pub mod source;
pub mod standing;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use neo_ledger::recording::RecordingError;
use neo_ledger::{Address, Currency, Hash, LedgerTime, Token};
use thiserror::Error;

use crate::apply::tx::{Signer, Tx};
use crate::scenario::Scenario;
use apply::Applier;
use csv::CsvError;
use read::MirrorLedger;
use source::{Founded, Ledgers, Opened};

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
    /// A file of trades or quotes cannot be used.
    #[error("{path}: {source}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CsvError,
    },
    /// Quotes without trades.
    #[error(
        "{path} is a recording, which has its own book: give quotes with a file of trades (`time,side,price,size`)"
    )]
    QuotesToo {
        /// The recording.
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

/// The mirrored market of a node.
pub(crate) struct Mirror {
    /// `None` for a market that is followed as it goes: whoever follows it hands each ledger over.
    ledgers: Option<Ledgers>,
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
    /// Begins with what a source gives. Gives the scenario as the source makes it, the mirror, and the ledgers that the
    /// book is founded by.
    pub(crate) fn begin(
        scenario: &Scenario,
        opened: Opened,
    ) -> Result<(Scenario, Mirror, Vec<MirrorLedger>), MirrorError> {
        let Opened { token, account, founded, ledgers, .. } = opened;
        Mirror::refuse_other(scenario, token)?;
        let Founded { before, ledger } = founded;
        let founding: Vec<MirrorLedger> = before.into_iter().chain([ledger]).collect();
        let (scenario, mut mirror) = Mirror::of(scenario, token, account, &founding);
        mirror.ledgers = Some(ledgers);
        mirror.advance();
        Ok((scenario, mirror, founding))
    }

    /// A source of another pair than the scenario's is refused.
    pub(crate) fn refuse_other(scenario: &Scenario, token: Token) -> Result<(), MirrorError> {
        let issuer = token.issuer;
        let wanted = Token { currency: Currency::RLUSD, issuer: scenario.issuer.unwrap_or(issuer) };
        if wanted != token {
            let (found, wanted) = (token.to_string(), wanted.to_string());
            return Err(MirrorError::Token { found, wanted, issuer });
        }
        Ok(())
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

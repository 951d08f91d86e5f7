//! A market that is read once and mirrored as often as is wanted.

use std::sync::Arc;

use neo_ledger::{Address, LedgerTime, Token};

use super::MirrorError;
use super::read::MirrorLedger;
use super::source::{Founded, Holes, Opened, Origin};

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
    /// Reads a source through. `tail` ledgers before the last is a moment worth knowing: what a stop needs.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn of(origin: &Origin, tail: usize) -> Result<Span, MirrorError> {
        Span::with_holes(origin, tail).map(|(span, _)| span)
    }

    /// The same, and what is missing between the recording's first part and its last, in words.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn with_holes(origin: &Origin, tail: usize) -> Result<(Span, Vec<String>), MirrorError> {
        let Opened { holes, founded, ledgers, .. } = origin.open()?;
        // What cannot be read is the end, as it is for the replay.
        let span = Span::over(&founded.ledger, ledgers.map_while(Result::ok), tail);
        Ok((span, holes.all()))
    }

    fn over<L>(first: &MirrorLedger, ledgers: impl Iterator<Item = L>, tail: usize) -> Span
    where
        L: std::borrow::Borrow<MirrorLedger>,
    {
        let (index, close) = (first.index, first.close_time);
        let mut closes = vec![close];
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
        for ledger in ledgers {
            let ledger = ledger.borrow();
            (span.last, span.last_close) = (ledger.index, ledger.close_time);
            span.ledgers += 1;
            span.gaps += u64::from(ledger.has_gap());
            span.transactions += u64::try_from(ledger.txs.len()).unwrap_or(u64::MAX);
            closes.push(ledger.close_time);
        }
        span.tail_close = closes.iter().rev().nth(tail).copied().unwrap_or(close);
        span
    }
}

/// A market, read once.
#[derive(Clone, Debug)]
pub struct Market {
    token: Token,
    account: Option<Address>,
    founded: Arc<Founded>,
    ledgers: Arc<[MirrorLedger]>,
    cut: Option<String>,
    holes: Vec<String>,
}

impl Market {
    /// Reads it whole.
    ///
    /// # Errors
    /// [`MirrorError`]. What cannot be read after the beginning is the end: [`Market::cut`] says why.
    pub fn read(origin: &Origin) -> Result<Market, MirrorError> {
        let Opened { holes, token, account, founded, ledgers } = origin.open()?;
        let mut cut = None;
        let whole = ledgers.map_while(|ledger| ledger.map_err(|error| cut = Some(error.to_string())).ok());
        let ledgers: Arc<[MirrorLedger]> = whole.collect::<Vec<_>>().into();
        Ok(Market { token, account, founded: Arc::new(founded), ledgers, cut, holes: holes.all() })
    }

    /// The token that it is of.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Why it ends before its file does, if it does.
    #[must_use]
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// What is missing between its first part and its last, in words.
    #[must_use]
    pub fn holes(&self) -> &[String] {
        &self.holes
    }

    /// What it holds. `tail`: see [`Span::of`].
    #[must_use]
    pub fn span(&self, tail: usize) -> Span {
        Span::over(&self.founded.ledger, self.ledgers.iter(), tail)
    }

    /// All its ledgers, also those before both sides of the book were known.
    pub fn ledgers(&self) -> impl Iterator<Item = &MirrorLedger> {
        self.founded.before.iter().chain([&self.founded.ledger]).chain(self.ledgers.iter())
    }

    /// Once more from the beginning.
    pub(crate) fn opened(&self) -> Opened {
        let (all, mut at) = (Arc::clone(&self.ledgers), 0);
        let ledgers = std::iter::from_fn(move || {
            at += 1;
            all.get(at - 1).cloned().map(Ok)
        });
        let founded = Founded::clone(&self.founded);
        Opened {
            holes: Holes::default(),
            token: self.token,
            account: self.account,
            founded,
            ledgers: Box::new(ledgers),
        }
    }
}

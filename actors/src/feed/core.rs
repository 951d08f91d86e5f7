//! The feed's rules: synchronise with a node, follow its validated ledgers without a gap, pass submissions on.
//!
//! No socket lives here. The shell hands over what arrived and carries out the effects, so the same core runs against a
//! real node, in a single-threaded simulation, and on a recording.
//!
//! The proof that a ledger is completely known: its `ledgerClosed` was seen, each transaction that touched the account's
//! root names the one before it, and the root at that ledger names the last. Where the chain is broken, `account_tx`
//! fills the hole.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::ProtocolError;
use neo_ledger::book::Book;
use neo_ledger::message::{self, LedgerClosed, Message, NodeError, Response, ValidatedTransaction};
use neo_ledger::meta::{self, OwnTransaction};
use neo_ledger::request::{self, Index};
use neo_ledger::result::{AccountInfo, AccountLines, AccountOffers, AccountTx, BookOffers, ServerInfo, SubmitResult};
use neo_ledger::types::{Address, Asset, Hash, LedgerTime, Token};
use neo_market::{AmountError, Dec, Drops};
use thiserror::Error;

use crate::messages::{AccountState, LedgerHeader, LedgerUpdate, OpenOffer, Submission, SubmissionReply};

/// What the feed must know.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Our account.
    pub account: Address,
    /// The token quoted against XRP.
    pub token: Token,
    /// The network that the node must be on.
    pub network_id: u32,
    /// Who closes the node's ledgers.
    pub closes: Closes,
    /// Levels of the book that are passed on.
    pub depth: usize,
    /// Offers of others smaller than this do not make a price.
    pub dust: Drops,
    /// A node that says nothing for so long is left.
    pub silence_ms: u64,
    /// A request that is not answered for so long means the node is not there.
    pub request_timeout_ms: u64,
    /// Every so many ledgers the book, the trust line and the offers are read afresh and compared.
    pub audit_ledgers: u32,
    /// The last ledger whose transactions are in the record; history is asked for from the next one.
    pub last_processed: Option<u32>,
    /// After a repair: an earlier ledger, from which the history is asked for again. What is in the record already is
    /// recorded once; where the node does not have it, history begins at `last_processed` as ever.
    pub refetch_from: Option<u32>,
}

/// Who closes the node's ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// The network.
    Network,
    /// The engine, when it is done with one ledger: as fast as it follows.
    WhenDone,
    /// The engine, at a pace of so many milliseconds, while a node is followed. Others may close some too.
    Every(u64),
}

/// What happens to the feed.
#[derive(Clone, Debug)]
pub enum FeedInput<'a> {
    /// The socket is open.
    Connected,
    /// A message of the node.
    Text(&'a str),
    /// The socket is closed or could not be opened.
    Disconnected(&'a str),
    /// Time has passed.
    Tick,
    /// A signed transaction is to be sent.
    Submit(Submission),
    /// The engine is done with a ledger.
    LedgerDone(u32),
}

/// What the shell must do.
#[derive(Clone, Debug)]
pub enum FeedEffect {
    /// Open a connection.
    Connect,
    /// Close it; `Disconnected` follows.
    Disconnect(String),
    /// Send a message.
    Send(String),
    /// Tell the others of a ledger.
    Update(Box<LedgerUpdate>),
    /// Tell the orders what the node said of a submission.
    Reply(SubmissionReply),
    /// Say why the node is left; it is tried again.
    Warn(String),
}

/// What the feed cannot mend by trying again.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The node is on another network.
    #[error(
        "the node is on network {found}, the configuration says {expected}; correct network.url or network.network_id"
    )]
    WrongNetwork {
        /// From the configuration.
        expected: u32,
        /// From the node.
        found: u32,
    },
    /// The account is not on the ledger.
    #[error("account {account} is not on this ledger; fund it first, or correct account.address")]
    NoAccount {
        /// Which.
        account: Address,
    },
    /// Amounts that cannot be added up.
    #[error("the node states amounts that do not add up: {0}")]
    Amount(#[from] AmountError),
    /// A transaction of ours that cannot be read, however often it is asked for.
    #[error("transaction {hash} was read {attempts} times and is not understood: {reason}; use another node")]
    Metadata {
        /// Which.
        hash: Hash,
        /// How often it was read.
        attempts: u32,
        /// What is wrong with it.
        reason: String,
    },
}

/// A transaction that is not understood is read again so often before the session ends.
const MAX_READS: u32 = 4;
/// A `ledgerClosed` further ahead than this is a node's mistake.
const MAX_LEDGERS_AHEAD: u32 = 100_000;

/// What a node answers when `account_tx` asks for ledgers that it does not have (rippled, `RPCLedgerHelpers`).
const HISTORY_LOST: [&str; 2] = ["invalidLgrRange", "lgrIdxMalformed"];

/// What an unanswered request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    ServerInfo,
    Subscribe,
    Account,
    Lines,
    Offers,
    Asks,
    Bids,
    History,
    Submit(Hash),
    LedgerAccept,
}

/// A fresh picture of the ledger being put together. Each part says which ledger it is of.
#[derive(Debug, Default)]
struct Snapshot {
    account: Option<AccountInfo>,
    token: Option<(u32, Dec)>,
    token_pages: Dec,
    offers: Option<(u32, Vec<OpenOffer>)>,
    offer_pages: Vec<OpenOffer>,
    asks: Option<BookOffers>,
    bids: Option<BookOffers>,
    history_done: bool,
}

#[derive(Debug)]
enum Phase {
    /// No socket. The next attempt is due at this time.
    Down { retry_at_ms: u64 },
    /// The socket is being opened.
    Connecting,
    /// Asking who the node is, subscribing.
    Greeting,
    /// Reading a fresh picture.
    Syncing(Box<Snapshot>),
    /// Following.
    Live,
}

/// The feed.
pub struct FeedCore {
    config: FeedConfig,
    phase: Phase,
    failures: u32,
    next_id: u64,
    asked: BTreeMap<u64, (Asked, u64)>,
    heard_ms: u64,
    book: Book,
    closed: BTreeMap<u32, LedgerClosed>,
    /// Transactions by ledger and place that no update has carried yet.
    pending: BTreeMap<(u32, u32), ValidatedTransaction>,
    seen: BTreeSet<Hash>,
    seen_before: BTreeSet<Hash>,
    processed: Option<u32>,
    last_close_time: Option<LedgerTime>,
    account: Option<AccountState>,
    root_txn: Option<Hash>,
    /// Since when a ledger is to come that the node was asked to close.
    expecting_since_ms: Option<u64>,
    /// Account state read for the proof, waiting for its ledger.
    proof: Option<AccountInfo>,
    audited_at: u32,
    /// How often a transaction that is not understood was read.
    unreadable: BTreeMap<Hash, u32>,
    /// Why history could not be joined up, for the next update to tell.
    history_lost: Option<String>,
    /// When the next ledger is to be asked for, at the engine's own pace.
    close_at_ms: u64,
}

impl FeedCore {
    /// A feed that has not connected yet.
    #[must_use]
    pub fn new(config: FeedConfig) -> FeedCore {
        let book = Book::new(config.token, config.account);
        FeedCore {
            processed: match (config.refetch_from, config.last_processed) {
                (Some(refetch), Some(last)) => Some(refetch.min(last)),
                (refetch, last) => refetch.or(last),
            },
            config,
            phase: Phase::Down { retry_at_ms: 0 },
            failures: 0,
            next_id: 1,
            asked: BTreeMap::new(),
            heard_ms: 0,
            book,
            closed: BTreeMap::new(),
            pending: BTreeMap::new(),
            seen: BTreeSet::new(),
            seen_before: BTreeSet::new(),
            last_close_time: None,
            account: None,
            root_txn: None,
            expecting_since_ms: None,
            proof: None,
            audited_at: 0,
            unreadable: BTreeMap::new(),
            history_lost: None,
            close_at_ms: 0,
        }
    }

    /// True while ledgers are followed without a gap.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// True while a node is followed, a fresh reading of its state included.
    #[must_use]
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Syncing(_))
    }

    /// One event; `now_ms` is monotonic.
    ///
    /// # Errors
    /// [`FeedError`] for what another attempt cannot mend.
    pub fn on(&mut self, input: FeedInput<'_>, now_ms: u64) -> Result<Vec<FeedEffect>, FeedError> {
        let mut effects = Vec::new();
        match input {
            FeedInput::Connected => {
                self.heard_ms = now_ms;
                self.phase = Phase::Greeting;
                self.ask(Asked::ServerInfo, now_ms, &mut effects, request::server_info);
            }
            FeedInput::Disconnected(reason) => self.disconnected(reason, now_ms, &mut effects),
            FeedInput::Tick => self.tick(now_ms, &mut effects),
            FeedInput::Submit(submission) => self.submit(submission, now_ms, &mut effects),
            FeedInput::LedgerDone(index) => {
                if self.config.closes == Closes::WhenDone && self.is_live() && self.processed == Some(index) {
                    self.expecting_since_ms = Some(now_ms);
                    self.ask(Asked::LedgerAccept, now_ms, &mut effects, request::ledger_accept);
                }
            }
            FeedInput::Text(text) => {
                self.heard_ms = now_ms;
                match message::parse(text) {
                    Ok(message) => self.heard(message, now_ms, &mut effects)?,
                    Err(error) => self.leave(&format!("the node sent what is not its protocol: {error}"), &mut effects),
                }
            }
        }
        Ok(effects)
    }

    fn ask(&mut self, asked: Asked, now_ms: u64, effects: &mut Vec<FeedEffect>, build: impl FnOnce(u64) -> String) {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, (asked, now_ms));
        effects.push(FeedEffect::Send(build(id)));
    }

    fn leave(&mut self, reason: &str, effects: &mut Vec<FeedEffect>) {
        effects.push(FeedEffect::Warn(reason.to_string()));
        effects.push(FeedEffect::Disconnect(reason.to_string()));
    }

    fn disconnected(&mut self, reason: &str, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        effects.push(FeedEffect::Warn(format!("no connection: {reason}")));
        for (asked, _) in std::mem::take(&mut self.asked).into_values() {
            if let Asked::Submit(hash) = asked {
                let result = Err(format!("the connection was lost before the node answered: {reason}"));
                effects.push(FeedEffect::Reply(SubmissionReply { hash, result, open_ledger_cost: None }));
            }
        }
        // Half a second, doubled up to half a minute. Ledgers close every four seconds, so a quicker return gains nothing.
        let wait_ms = 500_u64 << self.failures.min(6);
        self.failures = self.failures.saturating_add(1);
        self.proof = None;
        self.expecting_since_ms = None;
        self.phase = Phase::Down { retry_at_ms: now_ms + wait_ms.min(30_000) };
    }

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        match self.phase {
            Phase::Down { retry_at_ms } => {
                if now_ms >= retry_at_ms {
                    self.phase = Phase::Connecting;
                    effects.push(FeedEffect::Connect);
                }
            }
            Phase::Connecting => {}
            Phase::Greeting | Phase::Syncing(_) | Phase::Live => {
                let oldest = self.asked.values().map(|(_, sent_ms)| *sent_ms).min().unwrap_or(now_ms);
                if now_ms.saturating_sub(oldest) > self.config.request_timeout_ms {
                    let waited = self.config.request_timeout_ms;
                    self.leave(&format!("a request was not answered for {waited} ms"), effects);
                    self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_)));
                } else if self
                    .waits_since_ms()
                    .is_some_and(|since| now_ms.saturating_sub(since) > self.config.silence_ms)
                {
                    self.heard_ms = now_ms;
                    self.leave(&format!("the node has been silent for {} ms", self.config.silence_ms), effects);
                } else {
                    self.close_at_own_pace(now_ms, effects);
                }
            }
        }
    }

    /// Since when the node owes a word. One that closes ledgers when it is asked to owes a live feed none before.
    fn waits_since_ms(&self) -> Option<u64> {
        if self.config.closes == Closes::WhenDone && self.is_live() {
            self.expecting_since_ms
        } else {
            Some(self.heard_ms)
        }
    }

    /// Asks a stand-alone node for the next ledger when it is due. While a picture is being read the ledger stands still,
    /// unless all of it is there and waits for a close.
    fn close_at_own_pace(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let Closes::Every(interval_ms) = self.config.closes else { return };
        let reading = self.asked.values().any(|(asked, _)| !matches!(asked, Asked::Submit(_)));
        if self.is_following() && !reading && now_ms >= self.close_at_ms {
            self.close_at_ms = now_ms.saturating_add(interval_ms);
            self.ask(Asked::LedgerAccept, now_ms, effects, request::ledger_accept);
        }
    }

    fn submit(&mut self, submission: Submission, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        if matches!(self.phase, Phase::Live | Phase::Syncing(_)) {
            self.ask(Asked::Submit(submission.hash), now_ms, effects, |id| {
                request::submit(id, &submission.blob, false)
            });
        } else {
            let result = Err("not sent: there is no connection to a node".to_string());
            effects.push(FeedEffect::Reply(SubmissionReply { hash: submission.hash, result, open_ledger_cost: None }));
        }
    }

    fn heard(&mut self, message: Message, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        match message {
            Message::LedgerClosed(closed) => self.ledger_closed(closed, now_ms, effects),
            Message::Transaction(stream) => {
                if stream.validated {
                    self.keep(stream.transaction);
                }
                Ok(())
            }
            Message::Response(response) => self.answered(response, now_ms, effects),
            Message::Other { .. } => Ok(()),
        }
    }

    /// Keeps a validated transaction once, however often and in whatever order it comes.
    fn keep(&mut self, transaction: ValidatedTransaction) {
        let fresh = !self.seen_before.contains(&transaction.hash) && self.seen.insert(transaction.hash);
        if fresh {
            self.pending.insert((transaction.ledger_index, transaction.transaction_index), transaction);
        }
    }

    fn ledger_closed(
        &mut self,
        closed: LedgerClosed,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        let index = closed.ledger_index;
        let newest = self.closed.keys().next_back().copied();
        if newest.is_some_and(|newest| index > newest.saturating_add(MAX_LEDGERS_AHEAD)) {
            self.leave(&format!("the node closed ledger {index} after {}", newest.unwrap_or(0)), effects);
            return Ok(());
        }
        self.closed.insert(index, closed);
        self.expecting_since_ms = None;
        if !self.is_live() {
            return self.complete_sync(now_ms, effects);
        }
        if newest.is_some_and(|newest| index > newest.saturating_add(1)) {
            effects
                .push(FeedEffect::Warn(format!("ledgers before {index} are missing from the stream; reading afresh")));
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        let account = self.config.account;
        self.ask(Asked::Account, now_ms, effects, |id| request::account_info(id, account, Index::Validated));
        self.complete_ledger(now_ms, effects)
    }

    fn answered(&mut self, response: Response, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Some((asked, _)) = response.id.and_then(|id| self.asked.remove(&id)) else { return Ok(()) };
        let outcome = match (asked, response.result) {
            (Asked::Submit(hash), result) => {
                effects.push(FeedEffect::Reply(submission_reply(hash, result)));
                return Ok(());
            }
            (Asked::Account, Err(error)) if error.error == "actNotFound" => {
                return Err(FeedError::NoAccount { account: self.config.account });
            }
            // A ledger that the node no longer has: ask for a newer picture.
            (_, Err(error)) if error.error == "lgrNotFound" => {
                self.start_sync(now_ms, effects);
                return Ok(());
            }
            // The node does not have our history: its world begins later, or went back. What lies between is unknown, and
            // said so; from here on nothing is missing.
            (Asked::History, Err(error)) if HISTORY_LOST.contains(&error.error.as_str()) => {
                let from = self.processed.take().unwrap_or(0);
                // A repair's hole is further back than what is new: the node may have the one and not the other.
                self.processed = self.config.last_processed.filter(|last| *last > from);
                let lost = format!("the node has no history from ledger {from} on: {error}");
                self.history_lost = Some(match self.history_lost.take() {
                    Some(before) => format!("{before}; {lost}"),
                    None => lost,
                });
                if self.processed.is_none() {
                    self.pending.clear();
                }
                self.start_sync(now_ms, effects);
                return Ok(());
            }
            (asked, Err(error)) => {
                self.leave(&format!("the node refused {asked:?}: {error}"), effects);
                return Ok(());
            }
            (Asked::ServerInfo, Ok(value)) => match ServerInfo::from_value(&value) {
                Ok(info) => return self.greeted(&info, now_ms, effects),
                Err(error) => Err(error),
            },
            // The answer describes the newest closed ledger: a node that closes on request sends no other message of it.
            (Asked::Subscribe, Ok(value)) => match LedgerClosed::from_value(&value) {
                Ok(closed) => {
                    self.closed.insert(closed.ledger_index, closed);
                    self.start_sync(now_ms, effects);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            (Asked::LedgerAccept, Ok(_)) => Ok(()),
            (asked, Ok(value)) => self.read_part(&asked, &value, now_ms, effects),
        };
        match outcome {
            Ok(()) if self.is_live() => self.complete_ledger(now_ms, effects),
            Ok(()) => self.complete_sync(now_ms, effects),
            Err(error) => {
                self.leave(&format!("the node's answer is not understood: {error}"), effects);
                Ok(())
            }
        }
    }

    fn greeted(&mut self, info: &ServerInfo, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        // A node that states no network id is on the main network (xrpl.org, "server_info").
        let found = info.network_id.unwrap_or(0);
        if found != self.config.network_id {
            return Err(FeedError::WrongNetwork { expected: self.config.network_id, found });
        }
        let (account, token) = (self.config.account, self.config.token);
        self.ask(Asked::Subscribe, now_ms, effects, |id| request::subscribe(id, account, token));
        Ok(())
    }

    /// Asks for everything afresh; until it is there and joined up with the history, nobody quotes.
    fn start_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_) | Asked::LedgerAccept));
        self.proof = None;
        let snapshot = Snapshot { history_done: self.processed.is_none(), ..Snapshot::default() };
        self.phase = Phase::Syncing(Box::new(snapshot));
        let account = self.config.account;
        self.ask(Asked::Account, now_ms, effects, |id| request::account_info(id, account, Index::Validated));
        self.ask_state(now_ms, effects);
        if let Some(processed) = self.processed {
            // From the last processed ledger on, itself included: a range that begins after the newest ledger is an
            // error, and what is in the record already is left out by its index.
            self.ask(Asked::History, now_ms, effects, |id| {
                request::account_tx(id, account, processed, None, None, true)
            });
        }
    }

    /// The parts of a fresh picture that are also compared in an audit.
    fn ask_state(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let (account, token) = (self.config.account, self.config.token);
        self.ask(Asked::Lines, now_ms, effects, |id| {
            request::account_lines(id, account, Some(token.issuer), Index::Validated, None)
        });
        self.ask(Asked::Offers, now_ms, effects, |id| request::account_offers(id, account, Index::Validated, None));
        self.ask(Asked::Asks, now_ms, effects, |id| {
            request::book_offers(id, Asset::Xrp, Asset::Token(token), None, 200)
        });
        self.ask(Asked::Bids, now_ms, effects, |id| {
            request::book_offers(id, Asset::Token(token), Asset::Xrp, None, 200)
        });
    }

    fn read_part(
        &mut self,
        asked: &Asked,
        value: &serde_json::Value,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), ProtocolError> {
        match asked {
            Asked::History => return self.read_history(value, now_ms, effects),
            Asked::Account => {
                let info = AccountInfo::from_value(value)?;
                match &mut self.phase {
                    Phase::Syncing(snapshot) => snapshot.account = Some(info),
                    _ => self.proof = Some(info),
                }
                return Ok(());
            }
            _ => {}
        }
        let (account, token) = (self.config.account, self.config.token);
        let mut more = None;
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        match asked {
            Asked::Lines => {
                let lines = AccountLines::from_value(value)?;
                let held = lines.lines.iter().find(|line| line.currency == token.currency && line.peer == token.issuer);
                if let Some(line) = held {
                    snapshot.token_pages = line.balance;
                }
                match lines.marker {
                    Some(marker) => more = Some((Asked::Lines, marker)),
                    None => {
                        snapshot.token = Some((of_ledger(lines.ledger_index, "account_lines")?, snapshot.token_pages))
                    }
                }
            }
            Asked::Offers => {
                let page = AccountOffers::from_value(value)?;
                snapshot.offer_pages.extend(page.offers.iter().map(|offer| OpenOffer {
                    sequence: offer.seq,
                    taker_gets: offer.taker_gets,
                    taker_pays: offer.taker_pays,
                }));
                match page.marker {
                    Some(marker) => more = Some((Asked::Offers, marker)),
                    None => {
                        snapshot.offers = Some((
                            of_ledger(page.ledger_index, "account_offers")?,
                            std::mem::take(&mut snapshot.offer_pages),
                        ))
                    }
                }
            }
            Asked::Asks => snapshot.asks = Some(BookOffers::from_value(value)?),
            Asked::Bids => snapshot.bids = Some(BookOffers::from_value(value)?),
            _ => {}
        }
        match more {
            Some((Asked::Lines, marker)) => self.ask(Asked::Lines, now_ms, effects, |id| {
                request::account_lines(id, account, Some(token.issuer), Index::Validated, Some(&marker))
            }),
            Some((asked, marker)) => self.ask(asked, now_ms, effects, |id| {
                request::account_offers(id, account, Index::Validated, Some(&marker))
            }),
            None => {}
        }
        Ok(())
    }

    fn read_history(
        &mut self,
        value: &serde_json::Value,
        now_ms: u64,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), ProtocolError> {
        let page = AccountTx::from_value(value)?;
        for transaction in page.transactions {
            self.keep(transaction);
        }
        if let Some(marker) = page.marker {
            let (account, from) = (self.config.account, self.processed.unwrap_or(0));
            self.ask(Asked::History, now_ms, effects, |id| {
                request::account_tx(id, account, from, None, Some(&marker), true)
            });
        } else if let Phase::Syncing(snapshot) = &mut self.phase {
            snapshot.history_done = true;
        }
        Ok(())
    }

    /// When all parts are there and of one ledger, goes live with them; parts of different ledgers are read again.
    fn complete_sync(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Phase::Syncing(snapshot) = &mut self.phase else { return Ok(()) };
        let (Some(info), Some((token_at, token)), Some((offers_at, _)), Some(asks), Some(bids), true) = (
            &snapshot.account,
            &snapshot.token,
            &snapshot.offers,
            &snapshot.asks,
            &snapshot.bids,
            snapshot.history_done,
        ) else {
            return Ok(());
        };
        let index = info.ledger_index;
        if [*token_at, *offers_at, asks.ledger_index, bids.ledger_index].iter().any(|at| *at != index) {
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        if let Err(error) = self.book.reset(index, &asks.offers, &bids.offers) {
            self.leave(&format!("the node's book is not understood: {error}"), effects);
            return Ok(());
        }
        let account =
            AccountState { xrp: info.balance, rlusd: *token, sequence: info.sequence, owner_count: info.owner_count };
        let root = info.previous_txn_id;
        let Some(header) = self.header(index) else { return Ok(()) };
        let offers = snapshot_offers(&mut self.phase);
        self.account = Some(account);
        self.root_txn = Some(root);
        self.audited_at = index;
        self.phase = Phase::Live;
        self.failures = 0;
        self.emit(header, offers, true, effects)
    }

    /// When the newest closed ledger is proven complete, tells of it.
    fn complete_ledger(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Some(info) = &self.proof else { return Ok(()) };
        let index = info.ledger_index;
        if self.processed.is_some_and(|processed| index <= processed) {
            self.proof = None;
            return Ok(());
        }
        let Some(header) = self.header(index) else { return Ok(()) };
        let (info, root) = (info.clone(), self.root_after(index));
        if root != Some(info.previous_txn_id) {
            effects.push(FeedEffect::Warn(format!("a transaction of our account up to ledger {index} was not seen")));
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        self.proof = None;
        self.root_txn = root;
        let rlusd = self.token_after(index);
        self.account =
            Some(AccountState { xrp: info.balance, rlusd, sequence: info.sequence, owner_count: info.owner_count });
        if self.config.audit_ledgers > 0 && index >= self.audited_at.saturating_add(self.config.audit_ledgers) {
            // An audit is a synchronisation from a live feed: same reads, same joining up, no quote lost meanwhile.
            self.start_sync(now_ms, effects);
            return Ok(());
        }
        self.emit(header, None, false, effects)
    }

    fn header(&self, index: u32) -> Option<LedgerHeader> {
        // A ledger that closed before the subscription began has no ledgerClosed message: wait for the next one,
        // unless the node stands still until the engine asks it to close.
        let closed = self.closed.get(&index)?;
        Some(LedgerHeader {
            index,
            close_time: closed.ledger_time,
            base_fee: closed.fee_base,
            reserve_base: closed.reserve_base,
            reserve_inc: closed.reserve_inc,
        })
    }

    /// Walks the transactions up to `index` that touched our account's root: each names the one before, so none is
    /// missing when the chain holds from the last one told of. Gives the last, or `None` where the chain is broken.
    fn root_after(&self, index: u32) -> Option<Hash> {
        let mut last = self.root_txn?;
        for transaction in self.pending.range(..=(index, u32::MAX)).map(|(_, transaction)| transaction) {
            let Some(root) = transaction.meta.root(self.config.account) else { continue };
            if root.previous_txn_id.is_some_and(|before| before != last) {
                return None;
            }
            last = transaction.hash;
        }
        Some(last)
    }

    fn token_after(&self, index: u32) -> Dec {
        let (account, token) = (self.config.account, self.config.token);
        self.pending
            .range(..=(index, u32::MAX))
            .rev()
            .find_map(|(_, transaction)| transaction.meta.token_balance_after(account, token))
            .unwrap_or_else(|| self.account.map_or_else(Dec::zero, |state| state.rlusd))
    }

    /// Tells the others of a ledger and everything of ours since the one before. What is not understood is read again
    /// first: a ledger is told of whole or not at all.
    fn emit(
        &mut self,
        ledger: LedgerHeader,
        offers: Option<Vec<OpenOffer>>,
        book_is_fresh: bool,
        effects: &mut Vec<FeedEffect>,
    ) -> Result<(), FeedError> {
        let Some(account) = self.account else { return Ok(()) };
        // Without a record of earlier ledgers, history begins with this one.
        let processed = self.processed.unwrap_or(if book_is_fresh { ledger.index } else { 0 });
        let mut transactions: Vec<OwnTransaction> = Vec::new();
        let mut problem = None;
        for transaction in self.pending.range(..=(ledger.index, u32::MAX)).map(|(_, transaction)| transaction) {
            if !book_is_fresh && let Err(error) = self.book.apply(transaction) {
                problem = Some((transaction.hash, error.to_string()));
                break;
            }
            if transaction.ledger_index <= processed {
                continue;
            }
            match meta::own_transaction(transaction, self.config.account, self.config.token, self.last_close_time) {
                Ok(own) => transactions.extend(own),
                Err(error) => {
                    problem = Some((transaction.hash, error.to_string()));
                    break;
                }
            }
        }
        if let Some((hash, reason)) = problem {
            return self.read_again(hash, reason, effects);
        }
        let view = self.book.view(ledger.index, self.config.depth, ledger.close_time, self.config.dust)?;
        self.pending = self.pending.split_off(&(ledger.index.saturating_add(1), 0));
        self.processed = Some(ledger.index);
        self.last_close_time = Some(ledger.close_time);
        self.closed.retain(|index, _| *index >= ledger.index);
        // Duplicates come within a ledger or two; two generations of hashes are remembered, the older is dropped.
        if self.seen.len() > 4_096 {
            self.seen_before = std::mem::take(&mut self.seen);
        }
        let history_lost = self.history_lost.take();
        let update = LedgerUpdate { ledger, view, account, transactions, offers, history_lost };
        effects.push(FeedEffect::Update(Box::new(update)));
        Ok(())
    }

    /// Forgets a transaction that is not understood and leaves the node: the next connection reads it from history.
    fn read_again(&mut self, hash: Hash, reason: String, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let attempts = self.unreadable.entry(hash).or_default();
        *attempts += 1;
        if *attempts >= MAX_READS {
            return Err(FeedError::Metadata { hash, attempts: *attempts, reason });
        }
        self.pending.retain(|_, transaction| transaction.hash != hash);
        self.seen.remove(&hash);
        self.seen_before.remove(&hash);
        self.leave(&format!("transaction {hash} is not understood: {reason}"), effects);
        Ok(())
    }
}

/// A part of a picture is of no use without the ledger that it is of.
fn of_ledger(index: Option<u32>, what: &'static str) -> Result<u32, ProtocolError> {
    index.ok_or(ProtocolError::Missing { what, field: "ledger_index".into() })
}

fn snapshot_offers(phase: &mut Phase) -> Option<Vec<OpenOffer>> {
    match phase {
        Phase::Syncing(snapshot) => snapshot.offers.take().map(|(_, offers)| offers),
        _ => None,
    }
}

fn submission_reply(hash: Hash, result: Result<serde_json::Value, NodeError>) -> SubmissionReply {
    match result {
        Err(error) => SubmissionReply { hash, result: Err(error.to_string()), open_ledger_cost: None },
        Ok(value) => match SubmitResult::from_value(&value) {
            Ok(submit) => {
                SubmissionReply { hash, result: Ok(submit.engine_result), open_ledger_cost: submit.open_ledger_cost }
            }
            Err(error) => SubmissionReply { hash, result: Err(error.to_string()), open_ledger_cost: None },
        },
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

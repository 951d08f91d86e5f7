//! The feed's rules: synchronise with a node, follow its validated ledgers without a gap, pass submissions on.
//!
//! No socket lives here. The shell hands over what arrived and carries out the effects, so the same core runs against a
//! real node, in a single-threaded simulation, and on a recording.
//!
//! The proof that a ledger is completely known: its `ledgerClosed` was seen, each transaction that touched the account's
//! root names the one before it, and the root at that ledger names the last. Where the chain is broken, `account_tx`
//! fills the hole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use neo_ledger::TokenTerms;
use neo_ledger::book::Book;
use neo_ledger::line::NO_ENTRY;
use neo_ledger::message::{self, LedgerClosed, Message, NodeError, Response, ValidatedTransaction};
use neo_ledger::request;
use neo_ledger::result::{ServerInfo, SubmitResult};
use neo_ledger::types::{Address, Hash, LedgerTime, Token};
use neo_market::{AmountError, Drops, ReferenceConfig};
use thiserror::Error;

use super::budget::Budget;
use super::looks::Looks;
use super::market::{Pool, Trades};
use super::nodes::{Nodes, Parting};
use super::standby::{Standby, parting_of, unfitness};
use crate::heard::Heard;
use crate::messages::{AccountState, LedgerUpdate, Submission, SubmissionReply};
use crate::outside::OutsideNews;
pub use connections::{SecondEffect, SecondInput};
use proof::{LineAt, NO_LEDGER, Proofs};
use sight::Sight;
use sync::Snapshot;
use world::World;

mod connections;
mod ledgers;
mod proof;
mod sight;
mod sync;
mod times;
mod world;

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
    /// How many nodes there are to choose from; with more than one, a second is kept warm.
    pub nodes: usize,
    /// Moves the waits before a node is tried again.
    pub seed: u64,
    /// The nodes are shared with strangers and limit what one client may ask.
    pub is_public: bool,
    /// What is asked for between two fresh pictures.
    pub looks: Looks,
    /// Levels of the book that are passed on.
    pub depth: usize,
    /// Offers of others smaller than this do not make a price.
    pub dust: Drops,
    /// A node that says nothing for so long is left.
    pub silence_ms: u64,
    /// A request that is not answered for so long means the node is not there.
    pub request_timeout_ms: u64,
    /// Where the reference price comes from.
    pub price: ReferenceConfig,
    /// Every so many ledgers the book, the trust line and the offers are read afresh and compared.
    pub audit_ledgers: u32,
    /// The last ledger whose transactions are in the record; history is asked for from the next one.
    pub last_processed: Option<u32>,
    /// That ledger's hash, where it is known: a node whose ledger of that number is another is on another chain.
    pub last_hash: Option<Hash>,
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
    /// Others, when they like: a stand-alone node that the engine leaves to them. Its ledger may be of any age.
    ByOthers,
}

/// What happens to the feed.
#[derive(Clone, Debug)]
pub enum FeedInput<'a> {
    /// The socket is open.
    Connected,
    /// A message of the node.
    Text(&'a str),
    /// The socket is closed or could not be opened.
    Disconnected(Parting, &'a str),
    /// The second connection.
    Second(SecondInput<'a>),
    /// Time has passed.
    Tick,
    /// A signed transaction is to be sent.
    Submit(Submission),
    /// The engine is done with a ledger.
    LedgerDone(u32),
    /// The next ledger is to bring a fresh picture.
    ListAgain,
    /// Offers are being withdrawn: where the engine closes the ledgers, they are to come as soon as they may.
    CloseSoon,
}

/// What the shell must do.
#[derive(Clone, Debug)]
pub enum FeedEffect {
    /// Open a connection to this node.
    Connect(usize),
    /// Close it; `Disconnected` follows.
    Disconnect(Parting, String),
    /// Something for the second connection.
    Second(SecondEffect),
    /// Send a message.
    Send(String),
    /// Tell the others of a ledger.
    Update(Box<LedgerUpdate>),
    /// Tell the orders what the node said of a submission.
    Reply(SubmissionReply),
    /// Say why the node is left; it is tried again.
    Warn(String),
    /// The node's ledger is another than the one that was followed: this session is over, and no node is connected to
    /// any more.
    OtherWorld(String),
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
    /// The issuer is not on the ledger.
    #[error("the token's issuer {issuer} is not on this ledger; correct account.issuer or network.url")]
    NoIssuer {
        /// Which.
        issuer: Address,
    },
    /// Two nodes name different ledgers of one index as validated.
    #[error(
        "two nodes name different ledgers {index} as validated: one of them is on another chain, and nothing is signed \
         until that is clear; compare both with an explorer and take the wrong one out of the configuration"
    )]
    Differs {
        /// Which ledger.
        index: u32,
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

/// While offers are withdrawn, a stand-alone node is asked for a ledger so often: what was signed must have arrived.
const CLOSE_SOON_MS: u64 = 250;
/// A transaction that is not understood is read again so often before the session ends.
const MAX_READS: u32 = 4;
/// A `ledgerClosed` further ahead than this is a node's mistake.
const MAX_LEDGERS_AHEAD: u32 = 100_000;

/// What a node says that has no pool of the pair, or that knows no pools.
const NO_POOL: [&str; 2] = ["actNotFound", "unknownCmd"];

/// What a node answers when `account_tx` asks for ledgers that it does not have (rippled, `RPCLedgerHelpers`).
const HISTORY_LOST: [&str; 2] = ["invalidLgrRange", "lgrIdxMalformed"];

/// What an unanswered request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    ServerInfo,
    /// The same while the node is followed.
    Health,
    Subscribe,
    Account,
    /// Our account at a ledger that is to be proven.
    Proof(u32),
    /// Our trust line at a ledger.
    Line(u32),
    /// When a ledger closed.
    Header(u32),
    Offers,
    Owned,
    Issuer,
    /// The pair's pool.
    Pool,
    /// To hear of the pool's transactions.
    FollowPool,
    Asks,
    Bids,
    History,
    Submit(Hash),
    LedgerAccept,
    /// The ledger that was told of last, to see whether the node is on its chain.
    World(u32, Hash),
}

#[derive(Debug)]
enum Phase {
    /// No socket.
    Down,
    /// The socket is being opened.
    Connecting,
    /// Asking who the node is, subscribing.
    Greeting,
    /// The account, or else the issuer, is not on the ledger: each ledger is looked at again.
    Absent {
        is_account: bool,
        /// The node has told of the ledger and does not have it yet: it is asked again.
        again: bool,
    },
    /// Reading a fresh picture.
    Syncing(Box<Snapshot>),
    /// Following.
    Live,
}

/// The feed.
pub struct FeedCore {
    config: FeedConfig,
    phase: Phase,
    nodes: Nodes,
    /// The node that is followed, or was last.
    node: usize,
    second: Standby,
    second_node: Option<usize>,
    budget: Budget,
    /// Signed transactions that wait for the budget.
    held_back: VecDeque<Submission>,
    next_id: u64,
    asked: BTreeMap<u64, (Asked, u64)>,
    heard_ms: u64,
    book: Book,
    pool: Pool,
    trades: Trades,
    outside: OutsideNews,
    closed: BTreeMap<u32, LedgerClosed>,
    /// A ledger was missed while a picture was read: the book is to be read once more.
    book_gap: bool,
    /// When ledgers closed that no message told of, as the node said, or could not say.
    headers: BTreeMap<u32, Option<LedgerTime>>,
    /// Transactions by ledger and place that no update has carried yet.
    pending: BTreeMap<(u32, u32), ValidatedTransaction>,
    seen: BTreeSet<Hash>,
    seen_before: BTreeSet<Hash>,
    processed: Option<u32>,
    last_close_time: Option<LedgerTime>,
    account: Option<AccountState>,
    terms: TokenTerms,
    root_txn: Option<Hash>,
    /// Our trust line by the transactions up to the last ledger proven; `None` before the first.
    line: Option<LineAt>,
    /// The ledger that `root_txn` and `line` are of.
    proven: u32,
    /// How often a history that lacks a transaction of ours was read.
    unjoined: u32,
    /// Transactions that an update has carried.
    told: Heard,
    /// Since when a ledger is to come that the node was asked to close.
    expecting_since_ms: Option<u64>,
    /// What closed ledgers state, on its way.
    proofs: Proofs,
    audited_at: u32,
    /// An audit is wanted before it is due.
    list_again: bool,
    /// How often a transaction that is not understood was read.
    unreadable: BTreeMap<Hash, u32>,
    /// Why history could not be joined up, for the next update to tell.
    history_lost: Option<String>,
    /// When the next ledger is to be asked for, at the engine's own pace.
    close_at_ms: u64,
    /// The longest that it waits for one, whatever its pace is.
    pace_limit_ms: u64,
    /// Nodes that do not have our history from the last processed ledger on.
    without_history: BTreeSet<usize>,
    /// Others that were reached since one of these was left: they may have it.
    may_have_history: BTreeSet<usize>,
    /// The newest ledger that the followed node has told of.
    node_at: u32,
    /// The node has not reached the last processed ledger; a picture is read when it has.
    catching_up: bool,
    /// Of which chain the ledgers are that were told of.
    world: World,
    /// What is seen of a node.
    sight: Sight,
}

impl FeedCore {
    /// A feed that has not connected yet.
    #[must_use]
    pub fn new(config: FeedConfig) -> FeedCore {
        let book = Book::new(config.token, config.account).doubting(config.is_public && config.looks.book_every > 0);
        let processed = match (config.refetch_from, config.last_processed) {
            (Some(refetch), Some(last)) => Some(refetch.min(last)),
            (refetch, last) => refetch.or(last),
        };
        FeedCore {
            world: World::of(config.last_processed.zip(config.last_hash)),
            processed,
            phase: Phase::Down,
            nodes: Nodes::new(config.nodes, config.seed),
            node: 0,
            second: Standby::new(config.network_id, config.silence_ms),
            second_node: None,
            budget: Budget::default(),
            held_back: VecDeque::new(),
            config,
            next_id: 1,
            asked: BTreeMap::new(),
            heard_ms: 0,
            book,
            pool: Pool::default(),
            trades: Trades::default(),
            outside: OutsideNews::default(),
            closed: BTreeMap::new(),
            book_gap: false,
            headers: BTreeMap::new(),
            pending: BTreeMap::new(),
            seen: BTreeSet::new(),
            seen_before: BTreeSet::new(),
            last_close_time: None,
            account: None,
            terms: TokenTerms::default(),
            root_txn: None,
            line: None,
            proven: 0,
            unjoined: 0,
            told: Heard::up_to(processed.unwrap_or(0)),
            expecting_since_ms: None,
            proofs: Proofs::new(),
            audited_at: 0,
            list_again: false,
            unreadable: BTreeMap::new(),
            history_lost: None,
            close_at_ms: 0,
            pace_limit_ms: u64::MAX,
            without_history: BTreeSet::new(),
            may_have_history: BTreeSet::new(),
            node_at: 0,
            catching_up: false,
            sight: Sight::default(),
        }
    }

    /// True while ledgers are followed without a gap.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// The node that is followed, or was last, by its place in the configuration.
    #[must_use]
    pub fn node(&self) -> usize {
        self.node
    }

    /// True while a node is followed, a fresh reading of its state included.
    #[must_use]
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Syncing(_))
    }

    /// What the outside source has said; the next ledger is told of with it.
    pub fn hear_outside(&mut self, news: OutsideNews) {
        self.outside = news;
    }

    /// One event; `now_ms` is monotonic.
    ///
    /// # Errors
    /// [`FeedError`] for what another attempt cannot mend.
    pub fn on(&mut self, input: FeedInput<'_>, now_ms: u64) -> Result<Vec<FeedEffect>, FeedError> {
        let done = self.work(input, now_ms);
        self.look_out(now_ms);
        done
    }

    fn work(&mut self, input: FeedInput<'_>, now_ms: u64) -> Result<Vec<FeedEffect>, FeedError> {
        let mut effects = Vec::new();
        match input {
            FeedInput::Connected => {
                self.heard_ms = now_ms;
                self.phase = Phase::Greeting;
                self.pool.connected();
                self.world.connected();
                self.ask(Asked::ServerInfo, now_ms, &mut effects, request::server_info);
            }
            FeedInput::Disconnected(parting, reason) => self.disconnected(parting, reason, now_ms, &mut effects),
            FeedInput::Second(input) => self.on_second(input, now_ms, &mut effects)?,
            FeedInput::Tick => self.tick(now_ms, &mut effects)?,
            FeedInput::Submit(submission) => self.submit(submission, now_ms, &mut effects),
            FeedInput::LedgerDone(index) => {
                if self.config.closes == Closes::WhenDone && self.is_live() && self.processed == Some(index) {
                    self.expecting_since_ms = Some(now_ms);
                    self.ask(Asked::LedgerAccept, now_ms, &mut effects, request::ledger_accept);
                }
            }
            FeedInput::ListAgain => self.list_again = true,
            FeedInput::CloseSoon => {
                self.pace_limit_ms = CLOSE_SOON_MS;
                self.close_at_ms = self.close_at_ms.min(now_ms.saturating_add(CLOSE_SOON_MS));
            }
            FeedInput::Text(text) => {
                self.heard_ms = now_ms;
                match message::parse(text) {
                    Ok(message) => self.heard(message, now_ms, &mut effects)?,
                    Err(error) => {
                        let reason = format!("the node sent what is not its protocol: {error}");
                        self.leave(Parting::Unfit, &reason, &mut effects);
                    }
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

    fn tick(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        self.connect_when_due(now_ms, effects);
        self.tick_second(now_ms, effects)?;
        if !matches!(self.phase, Phase::Greeting | Phase::Absent { .. } | Phase::Syncing(_) | Phase::Live) {
            return Ok(());
        }
        let late = |since_ms: u64, limit_ms: u64| now_ms.saturating_sub(since_ms) > limit_ms;
        let oldest = self.asked.values().map(|(_, sent_ms)| *sent_ms).min().unwrap_or(now_ms);
        if late(oldest, self.config.request_timeout_ms) {
            let (waited, silence) = (self.config.request_timeout_ms, self.config.silence_ms);
            let reason = if late(self.heard_ms, silence) {
                format!("the node has been silent for {silence} ms, and owes an answer")
            } else {
                format!("a request was not answered for {waited} ms")
            };
            self.leave(Parting::Lost, &reason, effects);
            self.asked.retain(|_, (asked, _)| matches!(asked, Asked::Submit(_)));
        } else if self.waits_since_ms().is_some_and(|since_ms| late(since_ms, self.config.silence_ms)) {
            self.heard_ms = now_ms;
            let silent = format!("the node has been silent for {} ms", self.config.silence_ms);
            self.leave(Parting::Lost, &silent, effects);
        } else {
            self.ask_again(now_ms, effects);
            self.close_at_own_pace(now_ms, effects);
            self.send_held_back(now_ms, effects);
            self.ask_the_quiet(now_ms, effects);
        }
        Ok(())
    }

    /// Asks a stand-alone node for the next ledger when it is due. While a picture is being read the ledger stands still,
    /// unless all of it is there and waits for a close.
    fn close_at_own_pace(&mut self, now_ms: u64, effects: &mut Vec<FeedEffect>) {
        let Closes::Every(interval_ms) = self.config.closes else { return };
        let reading = self.asked.values().any(|(asked, _)| !matches!(asked, Asked::Submit(_)));
        let connected = self.is_following() || matches!(self.phase, Phase::Absent { .. });
        if connected && !reading && now_ms >= self.close_at_ms {
            self.close_at_ms = now_ms.saturating_add(interval_ms.min(self.pace_limit_ms));
            self.ask(Asked::LedgerAccept, now_ms, effects, request::ledger_accept);
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

    fn answered(&mut self, response: Response, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        let Some((asked, _)) = response.id.and_then(|id| self.asked.remove(&id)) else { return Ok(()) };
        if response.warning.as_deref() == Some("load") {
            self.budget.warned(now_ms);
        }
        let asked_of_account = asked == Asked::Account;
        let outcome = match (asked, response.result) {
            (Asked::Submit(hash), result) => {
                if result.as_ref().is_err_and(|error| parting_of(&error.error) == Parting::Overloaded) {
                    self.budget.warned(now_ms);
                }
                effects.push(FeedEffect::Reply(submission_reply(hash, result)));
                return Ok(());
            }
            (Asked::Account | Asked::Issuer, Err(error)) if error.error == "actNotFound" && self.was_there() => {
                self.absent(asked_of_account, effects);
                return Ok(());
            }
            (Asked::Account, Err(error)) if error.error == "actNotFound" => {
                return Err(FeedError::NoAccount { account: self.config.account });
            }
            (Asked::Issuer, Err(error)) if error.error == "actNotFound" => {
                return Err(FeedError::NoIssuer { issuer: self.config.token.issuer });
            }
            // It is there now: everything is read.
            (Asked::Account | Asked::Issuer, Ok(_)) if matches!(self.phase, Phase::Absent { .. }) => {
                self.start_sync(now_ms, effects);
                return Ok(());
            }
            (Asked::Pool, Err(error)) if NO_POOL.contains(&error.error.as_str()) => {
                self.without_pool(&error, effects);
                return Ok(());
            }
            // The reading before grows old; the next ledger asks again.
            (Asked::Pool, Err(error)) if parting_of(&error.error) != Parting::Overloaded => {
                effects.push(FeedEffect::Warn(format!("the pair's pool was not told: {error}")));
                return Ok(());
            }
            (Asked::FollowPool, Err(error)) if parting_of(&error.error) != Parting::Overloaded => {
                self.pool.not_followed();
                effects.push(FeedEffect::Warn(format!("the pool's transactions are not told: {error}")));
                return Ok(());
            }
            (Asked::World(index, hash), result) => {
                return self.world_answered((index, hash), result, now_ms, effects);
            }
            (asked, Err(error)) if self.is_live() && self.proof_refused(&asked, &error) => match asked {
                Asked::Line(index) if error.error == NO_ENTRY => {
                    self.proof_line(index, None);
                    Ok(())
                }
                _ => Ok(()),
            },
            (Asked::Line(_), Err(error)) if error.error == NO_ENTRY => {
                self.no_line();
                Ok(())
            }
            (Asked::Header(index), Err(error)) if parting_of(&error.error) != Parting::Overloaded => {
                self.read_header(index, None, effects);
                Ok(())
            }
            // A ledger that the node does not have any more, or not yet.
            (_, Err(error)) if error.error == NO_LEDGER => {
                self.picture_not_there(now_ms, effects);
                return Ok(());
            }
            (Asked::History, Err(error)) if error.error == "lgrIdxMalformed" && self.begins_with_the_next() => {
                self.ask_history_of_the_next(now_ms, effects);
                return Ok(());
            }
            (Asked::History, Err(error)) if HISTORY_LOST.contains(&error.error.as_str()) => {
                match self.ledgers_behind() {
                    // The node has not come as far as the record: it is late, and its history is not lost.
                    Some(ledgers) => {
                        let reason = format!("it is {ledgers} ledgers behind what is recorded");
                        self.leave(Parting::Unfit, &reason, effects);
                    }
                    None => self.history_missing(&error.to_string(), None, now_ms, effects),
                }
                return Ok(());
            }
            (asked, Err(error)) => {
                let parting = parting_of(&error.error);
                self.leave(parting, &format!("the node refused {asked:?}: {error}"), effects);
                return Ok(());
            }
            (Asked::ServerInfo, Ok(value)) => match ServerInfo::from_value(&value) {
                Ok(info) => return self.greeted(&info, now_ms, effects),
                Err(error) => Err(error),
            },
            (Asked::Health, Ok(value)) => match ServerInfo::from_value(&value) {
                Ok(info) => {
                    if let Some(reason) = unfitness(&info, self.config.network_id, self.closes_by_itself()) {
                        self.leave(Parting::Unfit, &format!("the node is not fit any more: {reason}"), effects);
                    }
                    return Ok(());
                }
                Err(error) => Err(error),
            },
            // The answer describes the newest closed ledger: a node that closes on request sends no other message of it.
            (Asked::Subscribe, Ok(value)) => match LedgerClosed::from_value(&value) {
                Ok(closed) => {
                    let differs = self.second.first_closed(closed.ledger_index, closed.ledger_hash);
                    self.node_at = closed.ledger_index;
                    // What only another node has told of would hide a gap of this one.
                    self.closed.split_off(&closed.ledger_index);
                    self.closed.insert(closed.ledger_index, closed);
                    self.sync_or_wait(now_ms, effects);
                    return differs.map_or(Ok(()), |finding| self.found(finding, effects));
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
                self.leave(Parting::Unfit, &format!("the node's answer is not understood: {error}"), effects);
                Ok(())
            }
        }
    }

    fn greeted(&mut self, info: &ServerInfo, now_ms: u64, effects: &mut Vec<FeedEffect>) -> Result<(), FeedError> {
        // A node that states no network id is on the main network (xrpl.org, "server_info").
        let found = info.network_id.unwrap_or(0);
        if found != self.config.network_id && self.nodes.count() == 1 {
            return Err(FeedError::WrongNetwork { expected: self.config.network_id, found });
        }
        if let Some(reason) = unfitness(info, self.config.network_id, self.closes_by_itself()) {
            self.leave(Parting::Unfit, &format!("the node is not fit: {reason}"), effects);
            return Ok(());
        }
        let (account, token) = (self.config.account, self.config.token);
        self.ask(Asked::Subscribe, now_ms, effects, |id| request::subscribe(id, account, token));
        Ok(())
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

#[cfg(test)]
#[path = "proof_tests.rs"]
mod proof_tests;

#[cfg(test)]
#[path = "looks_tests.rs"]
mod looks_tests;

#[cfg(test)]
#[path = "market_tests.rs"]
mod market_tests;

#[cfg(test)]
#[path = "worlds_tests.rs"]
mod worlds_tests;

#[cfg(test)]
#[path = "several_tests.rs"]
mod several_tests;

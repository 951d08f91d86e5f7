//! What is recorded: one struct a table row, in the words that SQL, JSON and the screen use too.

use chrono::{DateTime, Utc};
use neo_market::{ClearedBy, Dec, Drops, Reading, Side, Trigger, TripAction};
use serde::{Deserialize, Serialize};

/// A session's number, shown as `S39`.
pub type SessionNumber = i64;

/// Defines an enum whose values are stored, printed and serialised as one lower-case word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The word stored in the database and shown to people.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The value of a stored word; `None` for a word that this version does not know.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How a session trades.
    Mode {
        /// On the embedded simulated ledger.
        Sim = "sim",
        /// On a real node's data, offers matched locally.
        Paper = "paper",
        /// With real offers.
        Live = "live",
        /// On a recorded feed.
        Replay = "replay",
    }
}

words! {
    /// How a session's `ended_at` came to be written.
    EndedAtSource {
        /// By the stop sequence, through the writer.
        Clean = "clean",
        /// By the stop sequence's last resort or the watchdog, over a connection of its own.
        Watchdog = "watchdog",
        /// From a note left beside the database, at the next start.
        StopNote = "stop_note",
        /// From the last durable record, at the next start.
        Recovered = "recovered",
        /// From an old database's latest fill or snapshot.
        Backfilled = "backfilled",
        /// As an old database had it.
        Imported = "imported",
    }
}

words! {
    /// Why a session ended.
    EndReason {
        /// The time given with `--for` was over.
        Elapsed = "elapsed",
        /// `neo stop`.
        StopCommand = "stop_command",
        /// SIGINT or SIGTERM, Ctrl-C or Ctrl-Break.
        Signal = "signal",
        /// SIGHUP: the terminal was closed.
        TerminalClosed = "terminal_closed",
        /// The Windows console was closed, or the user logged off.
        ConsoleClosed = "console_closed",
        /// A risk trigger.
        Risk = "risk",
        /// The database could not be written.
        Disk = "disk",
        /// An actor or a thread was lost.
        Fault = "fault",
        /// A stage of the stop sequence hung.
        Deadline = "deadline",
        /// The process died without a word; the next start closed the session.
        Crash = "crash",
        /// Not known: the session is from an old database that does not tell.
        Unknown = "unknown",
    }
}

words! {
    /// A stage of the stop sequence, in this order.
    Stage {
        /// No new quotes.
        Quiesce = "quiesce",
        /// What is in flight reaches its end.
        Settle = "settle",
        /// Every open offer is cancelled and seen gone.
        Cancel = "cancel",
        /// The final snapshot from validated state.
        Value = "value",
        /// The writer acknowledges everything.
        Flush = "flush",
        /// `wal_checkpoint(TRUNCATE)`.
        Checkpoint = "checkpoint",
        /// `ended_at` and the outcomes are written.
        Close = "close",
        /// Last checkpoint, connection closed, one file left.
        Seal = "seal",
    }
}

impl Stage {
    /// All stages in the order they run.
    pub const ALL: [Stage; 8] = [
        Stage::Quiesce,
        Stage::Settle,
        Stage::Cancel,
        Stage::Value,
        Stage::Flush,
        Stage::Checkpoint,
        Stage::Close,
        Stage::Seal,
    ];
}

words! {
    /// How a stop stage went.
    StageOutcome {
        /// It did what it is for.
        Done = "done",
        /// It reported an error.
        Failed = "failed",
        /// Its deadline passed.
        TimedOut = "timed_out",
        /// It was not tried, for the reason in `error`.
        Skipped = "skipped",
    }
}

words! {
    /// What a signed transaction is for.
    Purpose {
        /// A new offer.
        Place = "place",
        /// A new offer that deletes an old one in the same transaction.
        Replace = "replace",
        /// An OfferCancel.
        Cancel = "cancel",
        /// A TicketCreate: numbers for cancels that must not wait.
        Ticket = "ticket",
    }
}

words! {
    /// Where a signed transaction stands.
    IntentState {
        /// Durable, not known to be sent.
        Intended = "intended",
        /// Sent to the node; its fate is open.
        Submitted = "submitted",
        /// In a validated ledger (`engine_result` says with which result).
        Validated = "validated",
        /// Proven never to be in a ledger: its LastLedgerSequence passed in gap-free history.
        Dead = "dead",
        /// Its fate could not be learned before the session ended.
        Unknown = "unknown",
    }
}

words! {
    /// Where an offer of ours stands.
    OrderState {
        /// Signed, not seen in a validated ledger.
        Pending = "pending",
        /// On the ledger, untouched.
        Resting = "resting",
        /// On the ledger, partly filled.
        PartlyFilled = "partly_filled",
        /// Filled and gone.
        Filled = "filled",
        /// Deleted by an OfferCancel of ours.
        Cancelled = "cancelled",
        /// Deleted by the offer that replaced it.
        Replaced = "replaced",
        /// Past its Expiration and removed by the ledger.
        Expired = "expired",
        /// Removed by the ledger because the balance behind it was gone.
        Unfunded = "unfunded",
        /// Deleted by crossing an offer of ours.
        SelfCrossed = "self_crossed",
        /// Never rested: the transaction failed or proved dead.
        Failed = "failed",
        /// Its fate could not be learned before the session ended.
        Unknown = "unknown",
    }
}

words! {
    /// Whether our offer rested or crossed when it was filled.
    Role {
        /// It rested.
        Maker = "maker",
        /// It crossed on placement.
        Taker = "taker",
    }
}

words! {
    /// Why a balance changed without a fill.
    FlowCause {
        /// A transaction fee of ours.
        Fee = "fee",
        /// A payment to us, or anything else that raised a balance.
        Deposit = "deposit",
        /// A payment of ours, or anything else that lowered a balance.
        Withdrawal = "withdrawal",
        /// The ledger's state and our account of it differ; the difference, so that the record stays true.
        Unexplained = "unexplained",
    }
}

words! {
    /// Who has put its part of a ledger into the record. A ledger counts as processed when all of them have.
    Processor {
        /// The keeper of intents, orders and fills.
        Orders = "orders",
        /// The keeper of flows and valuation snapshots.
        Valuer = "valuer",
    }
}

words! {
    /// When a valuation snapshot was taken.
    SnapshotKind {
        /// The first of the session.
        Opening = "opening",
        /// At a ledger in between.
        Ledger = "ledger",
        /// The last, after the offers were withdrawn.
        Closing = "closing",
    }
}

words! {
    /// What asked for a checkpoint.
    CheckpointCause {
        /// The timer.
        Timer = "timer",
        /// The stop sequence's `checkpoint` stage.
        Stop = "stop",
        /// The stop sequence's `seal` stage.
        Seal = "seal",
        /// The writer itself, because the WAL had grown: a PASSIVE pass between two of the others.
        Size = "size",
    }
}

words! {
    /// Who writes the WAL back into the file.
    CheckpointOwner {
        /// The writer's thread, and nothing else.
        Own = "own",
        /// A replicator such as Litestream: we never do, and leave the WAL where it is.
        External = "external",
    }
}

/// A session about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Real time of the start.
    pub started_at: DateTime<Utc>,
    /// The effective configuration as TOML, without secrets.
    pub config: String,
    /// SHA-256 of `config`, hex.
    pub config_hash: String,
    /// The engine's version.
    pub version: String,
    /// The seed of the simulated world, if any.
    pub seed: Option<u64>,
}

/// The first valuation of a session, which makes its starting value known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// The validated ledger that it was taken at.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Total value, if a price was known.
    pub starting_value_rlusd: Option<Dec>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// Real time of the end.
    pub ended_at: DateTime<Utc>,
    /// How `ended_at` came to be written.
    pub ended_at_source: EndedAtSource,
    /// Value at the last validated ledger, or why it is unknown.
    pub ending_value_rlusd: Result<Dec, String>,
    /// The last validated ledger that the engine had processed.
    pub end_ledger_index: Option<u32>,
    /// That ledger's close time.
    pub end_close_time: Option<DateTime<Utc>>,
    /// Why.
    pub end_reason: EndReason,
    /// What could not be done, as a JSON object; `None` when all went well.
    pub end_detail: Option<String>,
}

/// The outcome of one stop stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopStage {
    /// Which.
    pub stage: Stage,
    /// How it went.
    pub outcome: StageOutcome,
    /// How long it took.
    pub ms: u64,
    /// What went wrong, with the next step.
    pub error: Option<String>,
}

/// A signed transaction, durable before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Transaction hash, 64 hex digits.
    pub tx_hash: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The account sequence that it uses, or the ticket in its place; an OfferCreate's offer has this number.
    pub sequence: u32,
    /// The offer that it cancels or replaces.
    pub offer_sequence: Option<u32>,
    /// The last ledger that may include it.
    pub last_ledger_sequence: u32,
    /// The fee that it burns if it is included.
    pub fee: Drops,
    /// The signed transaction, hex.
    pub blob: String,
    /// The validated ledger that the decision rests on.
    pub ledger_index: u32,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// A change in where a signed transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentUpdate {
    /// Transaction hash.
    pub tx_hash: String,
    /// Where it stands now.
    pub state: IntentState,
    /// The node's or the validated result code, e.g. `tesSUCCESS`.
    pub engine_result: Option<String>,
    /// The validated ledger that settled it.
    pub ledger_index: Option<u32>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// An offer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The account sequence of its OfferCreate, which names the offer on the ledger.
    pub offer_sequence: u32,
    /// Hash of that OfferCreate.
    pub tx_hash: String,
    /// Bid or ask.
    pub side: Side,
    /// Its level, 0 nearest to the middle.
    pub level: u8,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// XRP offered or wanted.
    pub size: Drops,
    /// RLUSD wanted or offered.
    pub rlusd: Dec,
    /// The middle price that it was placed around.
    pub mid_price: Option<Dec>,
    /// The offer that it replaces.
    pub replaces: Option<u32>,
    /// The ledger itself withdraws it at this close time.
    pub expiration: Option<DateTime<Utc>>,
    /// The validated ledger that the decision rests on.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// A change of an offer of ours, as a validated ledger proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// Which offer.
    pub offer_sequence: u32,
    /// Its state from now on.
    pub state: OrderState,
    /// XRP still open.
    pub remaining: Drops,
    /// The transaction that did it, if one did.
    pub tx_hash: Option<String>,
    /// The reason, where the state alone does not tell.
    pub detail: Option<String>,
    /// The validated ledger that proves it.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// What an offer of ours traded in one transaction. Unique by hash, offer sequence and role.
///
/// The amounts are what our balances say, so that fills, fees and flows add up to the change of the balances exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Hash of the transaction that traded.
    pub tx_hash: String,
    /// The offer of ours.
    pub offer_sequence: u32,
    /// Maker or taker.
    pub role: Role,
    /// Bid (we bought XRP) or ask (we sold XRP).
    pub side: Side,
    /// XRP traded, positive.
    pub xrp: Drops,
    /// RLUSD traded, positive.
    pub rlusd: Dec,
    /// `rlusd` / XRP, 16 digits.
    pub price: Dec,
    /// The middle price of the ledger before, to measure the captured spread by.
    pub mid_price: Option<Dec>,
    /// The validated ledger.
    pub ledger_index: u32,
    /// Place of the transaction in that ledger.
    pub transaction_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// The middle some validated ledgers after a fill. Unique by the fill's identity and the number of ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkOut {
    /// Hash of the transaction that traded.
    pub tx_hash: String,
    /// The offer of ours.
    pub offer_sequence: u32,
    /// Maker or taker.
    pub role: Role,
    /// How many validated ledgers after the fill's, by index.
    pub ledgers: u32,
    /// That ledger.
    pub ledger_index: u32,
    /// The middle of the book without our offers at that ledger, 16 digits; or why it is not known.
    pub mid_price: Result<Dec, String>,
}

/// A change of our balances that is no fill. Unique by hash and cause; one without a hash is a row of its own always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The transaction that did it; `None` where none is known.
    pub tx_hash: Option<String>,
    /// Why.
    pub cause: FlowCause,
    /// Change of XRP, signed.
    pub xrp: Drops,
    /// Change of RLUSD, signed.
    pub rlusd: Dec,
    /// What is known beyond the cause.
    pub detail: Option<String>,
    /// The validated ledger.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// What the account was worth at one validated ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuationSnapshot {
    /// When in the session.
    pub kind: SnapshotKind,
    /// The validated ledger.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// RLUSD plus XRP at the mark price; `None` without a price.
    pub total_value_rlusd: Option<Dec>,
    /// All XRP of the account.
    pub xrp: Drops,
    /// XRP held back by the reserve, part of `xrp`.
    pub reserve: Drops,
    /// RLUSD on the trust line.
    pub rlusd: Dec,
    /// RLUSD for one XRP.
    pub mark_price: Option<Dec>,
    /// Where the mark price comes from, e.g. `book_mid`; without a price, why there is none.
    pub mark_source: String,
    /// Ledgers since the mark price was seen.
    pub mark_age_ledgers: u32,
    /// What it was made from, with ages and weights at the ledger that it was seen at; `None` without a price, and where an
    /// older engine did not say.
    pub mark_sources: Option<Vec<Reading>>,
    /// Best bid and ask of the others.
    pub best_bid: Option<Dec>,
    /// See `best_bid`.
    pub best_ask: Option<Dec>,
    /// Our own best bid and ask.
    pub our_bid: Option<Dec>,
    /// See `our_bid`.
    pub our_ask: Option<Dec>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// What a checkpoint did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// What asked for it.
    pub cause: CheckpointCause,
    /// True when a reader or another connection kept it from finishing.
    pub busy: bool,
    /// Frames in the WAL, as SQLite answered.
    pub wal_frames: i64,
    /// Frames written back, as SQLite answered.
    pub checkpointed_frames: i64,
    /// Size of the WAL before.
    pub wal_bytes: u64,
    /// How long the writer stood still, in microseconds.
    pub pause_us: u64,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// An actor or a thread that was lost, or an error that it reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Who.
    pub actor: String,
    /// What happened.
    pub cause: String,
    /// The backtrace, where there is one.
    pub backtrace: Option<String>,
    /// What was done about it.
    pub action: String,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// Something that was not quoted, for one reason, over one or more ledgers. Told when it begins, now and then, and when it
/// ends: the row of the same session, kind, side, level and first ledger moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Bid or ask; `None` when nothing can be quoted at all.
    pub side: Option<Side>,
    /// The level, 0 nearest to the middle; `None` when the whole side is meant.
    pub level: Option<u8>,
    /// One word for the reason, to count by.
    pub kind: String,
    /// The reason at the first ledger, with its figures.
    pub reason: String,
    /// The first ledger.
    pub first_ledger_index: u32,
    /// That ledger's close time.
    pub first_close_time: DateTime<Utc>,
    /// The last ledger so far.
    pub last_ledger_index: u32,
    /// That ledger's close time.
    pub last_close_time: DateTime<Utc>,
    /// In how many ledgers.
    pub count: u64,
    /// Real time of the first.
    pub recorded_at: DateTime<Utc>,
}

/// A trigger that tripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TripRow {
    /// Which.
    pub trigger: Trigger,
    /// What followed.
    pub action: TripAction,
    /// Why, with the figures.
    pub reason: String,
    /// The newest validated ledger then.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// How it ended; `None` while it stands, and for a pause that stood when its session ended.
    pub cleared: Option<TripCleared>,
    /// Real time.
    pub recorded_at: DateTime<Utc>,
}

/// The end of a trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TripCleared {
    /// The newest validated ledger then.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: DateTime<Utc>,
    /// Who ended it.
    pub by: ClearedBy,
}

/// Anything that the writer can be asked to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The session's starting value is known.
    SessionOpened(SessionOpened),
    /// A signed transaction.
    Intent(Intent),
    /// Where a signed transaction stands.
    IntentUpdate(IntentUpdate),
    /// A new offer of ours.
    Order(Order),
    /// A change of an offer of ours.
    OrderEvent(OrderEvent),
    /// A fill.
    Fill(Fill),
    /// A flow.
    Flow(Flow),
    /// Where the price was after a fill.
    MarkOut(MarkOut),
    /// A valuation snapshot.
    Valuation(ValuationSnapshot),
    /// A fault.
    Fault(Fault),
    /// What was not quoted.
    Refusal(Refusal),
    /// A trigger tripped.
    Trip(TripRow),
    /// A trigger is not tripped any more: its last trip has ended. A latch may be of an earlier session.
    TripCleared {
        /// Which.
        trigger: Trigger,
        /// How.
        cleared: TripCleared,
    },
    /// All that one processor makes of the ledgers up to this one is in the record, or queued before this. Gap repair
    /// starts at the last ledger that every [`Processor`] has marked or passed.
    LedgerProcessed {
        /// Its index.
        ledger_index: u32,
        /// Its hash, by which its chain is known; `None` where the caller does not know it.
        ledger_hash: Option<[u8; 32]>,
        /// Its close time.
        close_time: DateTime<Utc>,
        /// Who says so.
        by: Processor,
    },
}

/// Whether a record may be coalesced under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never dropped; when it cannot queue, quoting stops.
    A,
    /// May be coalesced; how many were is itself recorded.
    B,
}

impl Record {
    /// The record's class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Record::Valuation(snapshot) if snapshot.kind == SnapshotKind::Ledger => Class::B,
            Record::LedgerProcessed { .. } => Class::B,
            _ => Class::A,
        }
    }
}

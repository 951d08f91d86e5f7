//! What the engine looks like right now: filled in by the actors, read by the screen and by `neo status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use neo_market::{Dec, Drops, Side};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// One of our quotes on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteStatus {
    /// Bid or ask.
    pub side: Side,
    /// Its level, 0 nearest to the middle.
    pub level: u8,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// XRP still open, in drops.
    pub remaining_drops: Drops,
}

/// What the engine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for the first complete validated ledger.
    #[default]
    Starting,
    /// Quoting.
    Quoting,
    /// Not quoting, for the reason given.
    Withheld,
    /// In the stop sequence.
    Stopping,
}

/// Comparisons of the account with a validated ledger, and the differences that they found, in this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditStatus {
    /// Audits of the lists of offers and of everything else that the account owns.
    pub audits: u64,
    /// Offers listed that no order owns, and offers believed in that are not listed.
    pub offers: u64,
    /// Owner counts that are not what the listed entries make.
    pub owner_count: u64,
    /// Changes of what the account owns beside offers that no order made.
    pub objects: u64,
    /// Ledgers at which a balance was not what the transactions before made it; compared with every ledger.
    pub balances: u64,
}

/// A trigger that is tripped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripStatus {
    /// Which, as in `risk.triggers`.
    pub trigger: String,
    /// What follows: `pause`, `latch` or `stop`.
    pub action: String,
    /// Why, with the figures.
    pub reason: String,
    /// Close time of the ledger that it tripped at; unknown for one that is latched from before the session.
    pub since: Option<DateTime<Utc>>,
}

/// The engine's state, as `neo status --json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Session number.
    pub session: i64,
    /// `sim`, `paper`, `live` or `replay`.
    pub mode: String,
    /// Process id.
    pub pid: u32,
    /// Real time of the start.
    pub started_at: Option<DateTime<Utc>>,
    /// What the engine is doing.
    pub phase: Phase,
    /// Why it does not quote, if it does not.
    pub withheld_reason: Option<String>,
    /// The newest validated ledger.
    pub ledger_index: u32,
    /// Its close time.
    pub close_time: Option<DateTime<Utc>>,
    /// Trading time since the session's first ledger, in seconds.
    pub trading_s: i64,
    /// Best prices of the others.
    pub best_bid: Option<Dec>,
    /// See `best_bid`.
    pub best_ask: Option<Dec>,
    /// Our offers on the ledger.
    pub quotes: Vec<QuoteStatus>,
    /// Signed transactions whose fate is open.
    pub in_flight: usize,
    /// All XRP of the account, in drops.
    pub xrp_drops: Drops,
    /// RLUSD on the trust line.
    pub rlusd: Dec,
    /// RLUSD plus XRP at the mark price.
    pub total_value_rlusd: Option<Dec>,
    /// Total value at the session's first ledger.
    pub starting_value_rlusd: Option<Dec>,
    /// Fills in this session, by side.
    pub bid_fills: u64,
    /// See `bid_fills`.
    pub ask_fills: u64,
    /// Transactions that the ledger refused or that died.
    pub failed_transactions: u64,
    /// Audits and what they found.
    #[serde(default)]
    pub audits: AuditStatus,
    /// Triggers that are tripped, the one that decides first.
    #[serde(default)]
    pub trips: Vec<TripStatus>,
    /// How often each trigger tripped in this session.
    #[serde(default)]
    pub trip_counts: BTreeMap<String, u64>,
    /// In how many ledgers levels, sides or everything were not quoted, by the kind of the reason.
    #[serde(default)]
    pub refusals: BTreeMap<String, u64>,
    /// Sequence number of the newest durable record.
    pub durable_seq: u64,
    /// Records waiting for the writer.
    pub queued_records: usize,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// When the last checkpoint finished.
    pub last_checkpoint_at: Option<DateTime<Utc>>,
    /// How long it held the writer up, in microseconds.
    pub last_checkpoint_pause_us: Option<u64>,
    /// True while a reader keeps checkpoints from finishing.
    pub checkpoint_busy: bool,
    /// Checkpoints of the timer in a row that did not get through.
    #[serde(default)]
    pub checkpoint_blocked: u32,
}

/// The status that all actors share. The lock is held for a few assignments at a time.
pub type SharedStatus = Arc<Mutex<Status>>;

//! What reading gives: the structs of [`crate::record`] with what the database adds to them.

use chrono::{DateTime, Utc};
use neo_market::{Dec, Drops, Side};
use serde::Serialize;

use crate::record::{EndReason, EndedAtSource, Fault, Intent, IntentState, Mode, Order, OrderState, SessionNumber};

/// A record with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<T> {
    /// Its sequence number, gap-free over all records of the file.
    pub seq: u64,
    /// The session that recorded it.
    pub session: SessionNumber,
    /// The record.
    pub record: T,
}

/// A fault with its place in the file.
pub type FaultRow = Recorded<Fault>;

/// A session as stored. Serialised with the words of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Its number, shown as `S39`.
    pub number: SessionNumber,
    /// How it trades.
    pub mode: Mode,
    /// The network.
    pub network: String,
    /// The account.
    pub account: String,
    /// Real time of the start.
    pub started_at: DateTime<Utc>,
    /// Real time of the last commit.
    pub last_seen_at: DateTime<Utc>,
    /// The ledger of the first valuation.
    pub starting_ledger_index: Option<u32>,
    /// That ledger's close time.
    pub starting_close_time: Option<DateTime<Utc>>,
    /// Value at the start, if a price was known.
    pub starting_value_rlusd: Option<Dec>,
    /// The last ledger that every processor has recorded its part of.
    pub last_ledger_index: Option<u32>,
    /// That ledger's close time.
    pub last_close_time: Option<DateTime<Utc>>,
    /// Class B records that were dropped under pressure.
    pub coalesced_rows: u64,
    /// Real time of the end; `None` while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    /// How `ended_at` came to be written.
    pub ended_at_source: Option<EndedAtSource>,
    /// The last validated ledger that the engine had processed.
    pub ending_ledger_index: Option<u32>,
    /// That ledger's close time.
    pub ending_close_time: Option<DateTime<Utc>>,
    /// Value at the end.
    pub ending_value_rlusd: Option<Dec>,
    /// Why that is unknown.
    pub ending_value_reason: Option<String>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// What could not be done, as a JSON object.
    pub end_detail: Option<String>,
    /// The effective configuration.
    pub config: String,
    /// SHA-256 of `config`, hex.
    pub config_hash: String,
    /// The engine's version.
    pub version: String,
    /// The seed of the simulated world.
    pub seed: Option<u64>,
    /// The crashed session that it took over from.
    pub resumed_from: Option<SessionNumber>,
    /// How many fills it recorded.
    pub fills: u64,
    /// It is history from an old database; [`crate::Reader::imported`] tells more.
    pub imported: bool,
}

/// A signed transaction and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRow {
    /// Its sequence number.
    pub seq: u64,
    /// The session that recorded it.
    pub session: SessionNumber,
    /// The transaction.
    pub intent: Intent,
    /// Where it stands.
    pub state: IntentState,
    /// The last result code that was learned.
    pub engine_result: Option<String>,
    /// The validated ledger that settled it.
    pub settled_ledger_index: Option<u32>,
    /// Real time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// An offer of ours and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Its sequence number.
    pub seq: u64,
    /// The session that recorded it.
    pub session: SessionNumber,
    /// The offer as placed.
    pub order: Order,
    /// Where it stands.
    pub state: OrderState,
    /// XRP still open.
    pub remaining: Drops,
}

/// An offer of an earlier session that is not known to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// The session that placed it.
    pub session: SessionNumber,
    /// Its name on the ledger.
    pub offer_sequence: u32,
    /// Hash of its OfferCreate.
    pub tx_hash: String,
    /// Bid or ask.
    pub side: Side,
    /// Its level.
    pub level: u8,
    /// RLUSD for one XRP.
    pub price: Dec,
    /// XRP as placed.
    pub size: Drops,
    /// XRP still open, as far as was known.
    pub remaining: Drops,
    /// The ledger itself withdraws it at this close time.
    pub expiration: Option<DateTime<Utc>>,
    /// The validated ledger that it was placed at.
    pub ledger_index: u32,
    /// What was last known of it.
    pub state: OrderState,
}

/// A fee that the ledger took from the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFee {
    /// The transaction, 64 hex digits.
    pub tx_hash: String,
    /// When its ledger closed.
    pub close_time: DateTime<Utc>,
    /// What it burnt.
    pub fee: Drops,
}

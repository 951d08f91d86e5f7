//! The one place that reads the clock. Cores never do: they are handed what was read here.

use std::sync::OnceLock;
use std::time::Instant;

use chrono::{DateTime, Utc};
use neo_ledger::types::LedgerTime;

/// The real time, UTC.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Milliseconds since the process first asked: never goes back, and is what deadlines are measured with.
#[must_use]
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1_000
}

/// The same in microseconds.
#[must_use]
pub fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The UTC time of a ledger's close.
#[must_use]
pub fn to_utc(time: LedgerTime) -> DateTime<Utc> {
    // Every 32-bit ledger time is a valid date (2000 to 2136); the epoch stands in for a case that cannot occur.
    DateTime::from_timestamp(time.to_unix_s(), 0).unwrap_or_default()
}

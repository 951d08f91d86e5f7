//! Does each value have the form in which the engine writes it? A word that nobody knows, a hash that is none, a time or
//! an amount that cannot be read: the row was changed, by a program or by the disk.

use neo_market::{ClearedBy, Dec, Side, Trigger, TripAction};
use rusqlite::Connection;

use super::{Check, Report, text_opt};
use crate::record::{CheckpointCause, FlowCause, IntentState, OrderState, Purpose, Role, SessionNumber, SnapshotKind};

/// The form of a column.
enum Form {
    /// A word that this version knows.
    Word(fn(&str) -> bool),
    /// A transaction's hash: 64 digits, upper case.
    Hash,
    /// As `columns::time` writes it.
    Time,
    /// A decimal.
    Decimal,
}

use Form::{Decimal, Hash, Time, Word};

/// The columns whose form is known; NULL is a value of those that may be unknown. The amounts that the balances are made
/// of are read there.
const COLUMNS: [(&str, &[(&str, Form)]); 10] = [
    (
        "intents",
        &[
            ("tx_hash", Hash),
            ("purpose", Word(|word| Purpose::from_word(word).is_some())),
            ("state", Word(|word| IntentState::from_word(word).is_some())),
            ("recorded_at", Time),
            ("updated_at", Time),
        ],
    ),
    (
        "orders",
        &[
            ("tx_hash", Hash),
            ("side", Word(is_side)),
            ("state", Word(|word| OrderState::from_word(word).is_some())),
            ("price", Decimal),
            ("rlusd", Decimal),
            ("mid_price", Decimal),
            ("expiration", Time),
            ("close_time", Time),
            ("recorded_at", Time),
        ],
    ),
    (
        "order_events",
        &[
            ("tx_hash", Hash),
            ("state", Word(|word| OrderState::from_word(word).is_some())),
            ("close_time", Time),
            ("recorded_at", Time),
        ],
    ),
    (
        "fills",
        &[
            ("tx_hash", Hash),
            ("role", Word(|word| Role::from_word(word).is_some())),
            ("side", Word(is_side)),
            ("price", Decimal),
            ("mid_price", Decimal),
            ("close_time", Time),
            ("recorded_at", Time),
        ],
    ),
    (
        "flows",
        &[
            ("tx_hash", Hash),
            ("cause", Word(|word| FlowCause::from_word(word).is_some())),
            ("close_time", Time),
            ("recorded_at", Time),
        ],
    ),
    (
        "valuation_snapshots",
        &[
            ("kind", Word(|word| SnapshotKind::from_word(word).is_some())),
            ("best_bid", Decimal),
            ("best_ask", Decimal),
            ("our_bid", Decimal),
            ("our_ask", Decimal),
            ("close_time", Time),
            ("recorded_at", Time),
        ],
    ),
    ("checkpoints", &[("cause", Word(|word| CheckpointCause::from_word(word).is_some())), ("recorded_at", Time)]),
    ("faults", &[("recorded_at", Time)]),
    (
        "refusals",
        &[("side", Word(is_side)), ("first_close_time", Time), ("last_close_time", Time), ("recorded_at", Time)],
    ),
    (
        "trips",
        &[
            ("trigger", Word(|word| Trigger::from_word(word).is_some())),
            ("action", Word(|word| TripAction::from_word(word).is_some())),
            ("cleared_by", Word(|word| ClearedBy::from_word(word).is_some())),
            ("close_time", Time),
            ("cleared_close_time", Time),
            ("recorded_at", Time),
        ],
    ),
];

fn is_side(word: &str) -> bool {
    Side::BOTH.into_iter().any(|side| side.as_str() == word)
}

impl Form {
    fn holds(&self, value: &str) -> bool {
        match self {
            Word(is_known) => is_known(value),
            Hash => value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')),
            Time => is_time(value),
            Decimal => value.parse::<Dec>().is_ok(),
        }
    }

    const fn wanted(&self) -> &'static str {
        match self {
            Word(_) => "a word that this version knows",
            Hash => "a transaction's hash",
            Time => "a time such as 2026-04-18T19:21:19.123Z",
            Decimal => "a decimal such as 2.4013",
        }
    }
}

/// Of the one width that is written, so that the order of the text is the order of time.
fn is_time(value: &str) -> bool {
    value.len() == "2026-04-18T19:21:19.123Z".len()
        && value.ends_with('Z')
        && chrono::DateTime::parse_from_rfc3339(value).is_ok()
}

/// Checks every row of every table that the writer adds to.
pub(super) fn check(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    for (table, columns) in COLUMNS {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut statement =
            conn.prepare(&format!("SELECT seq, session, {} FROM {table} ORDER BY seq", names.join(", ")))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for (column, (name, form)) in (2..).zip(columns) {
                let Some(value) = text_opt(row, column)? else { continue };
                if !form.holds(&value) {
                    let (seq, session): (i64, SessionNumber) = (row.get(0)?, row.get(1)?);
                    changed(report, session, &format!("{name} of row {seq} of {table}"), &value, form);
                }
            }
        }
    }
    Ok(())
}

fn changed(report: &mut Report, session: SessionNumber, what: &str, value: &str, form: &Form) {
    let value: String = value.chars().take(80).collect();
    let text = format!(
        "{what} is {value:?} and not {}: the row was changed by another program or by the disk; compare with the newest \
         backup",
        form.wanted()
    );
    report.error(Check::Values, Some(session), text);
}

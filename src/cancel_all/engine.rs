//! The engine that may run: it is paused first, and withdraws by itself.
//!
//! The account's lock tells whether there is one on this host, whether it answers or not. While one lives, the account's
//! sequence numbers are its own: whoever signs beside it takes a number that it wanted, and one of the two transactions
//! dies. A paused engine signs nothing but cancels, so that costs a ledger and no money; therefore it has time to withdraw,
//! and when that is over the offers are cancelled beside it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use neo_actors::clock::monotonic_ms;
use neo_store::LockError;
use neo_store::lock::{self, Lock};
use neo_store::open::Identity;

use crate::control::{ControlError, request_status};
use crate::{pause, venue};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The account on this host.
pub enum Engine {
    /// Nobody signs for it but us: the lock is ours.
    Absent {
        /// Held until all is done: an engine that starts meanwhile is refused.
        _lock: Lock,
        /// There was an engine, and it ended while it was waited for.
        was_paused: bool,
    },
    /// It is paused, no offer of its own stands, and nothing that it signed is under way.
    Flat {
        /// Its session.
        session: i64,
        /// The ledger that it knows this of.
        ledger_index: u32,
    },
    /// It is there and does not get so far.
    Stuck {
        /// What it said last.
        why: String,
    },
}

/// Pauses the engine that runs on the record and waits until it has withdrawn; or takes the account, where none runs.
///
/// # Errors
/// An engine on another record; a pause that cannot be set.
pub fn withdraw(db: &Path, identity: &Identity, wait: Duration) -> Result<Engine> {
    let held = match take(db, identity)? {
        Ok(lock) => return Ok(Engine::Absent { _lock: lock, was_paused: false }),
        Err(held) => held,
    };
    let asked = request_status(db);
    let gone = matches!(asked, Err(ControlError::NotRunning { .. } | ControlError::Stale { .. }));
    // An engine that starts or ends does not answer and has its record's lock.
    if gone && !lock::is_held(&lock::lock_path(db))? {
        return Err(anyhow!(held).context(format!(
            "another process signs for this account and does not run on {}: name its record with --db",
            db.display()
        )));
    }
    pause::begin(db, "neo cancel-all")?;
    let until_ms = monotonic_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    loop {
        let why = match request_status(db) {
            Ok(status) if pause::is_flat(&status) => {
                return Ok(Engine::Flat { session: status.session, ledger_index: status.ledger_index });
            }
            Ok(status) => format!(
                "S{} shows {} offers and {} transactions under way",
                status.session,
                status.quotes.len(),
                status.in_flight
            ),
            Err(error) => error.to_string(),
        };
        if let Ok(lock) = take(db, identity)? {
            return Ok(Engine::Absent { _lock: lock, was_paused: true });
        }
        if monotonic_ms() >= until_ms {
            return Ok(Engine::Stuck { why });
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// The account's lock, or who has it.
fn take(db: &Path, identity: &Identity) -> Result<Result<Lock, LockError>> {
    match venue::lock_account(db, identity) {
        Ok(lock) => Ok(Ok(lock)),
        Err(error) => match error.downcast::<LockError>() {
            Ok(held @ LockError::Held { .. }) => Ok(Err(held)),
            Ok(other) => Err(other.into()),
            Err(error) => Err(error),
        },
    }
}

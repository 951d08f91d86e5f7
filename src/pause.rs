//! `neo pause` and `neo resume`: quotes are withdrawn while a file says so, and the session goes on.
//!
//! The latch is a file, so that it needs no running engine, outlives a restart and a crash, and can be set by hand:
//! `NAME.db.pause` beside a record pauses its engine, `KILL` in a record's folder those of all records there. What is in
//! the file is the reason. A file that is there and cannot be read pauses too. `NAME.db.latch` is the triggers' (see
//! [`latch`]) and pauses in the same way; `neo resume` takes it away with the operator's.

pub mod latch;

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use neo_actors::Status;
use neo_actors::clock::{monotonic_ms, now};
use neo_market::TripAction;
use serde::Serialize;

use crate::control::{ControlError, request_status};
use crate::exit::ExitCode;
use crate::output::Out;

/// The longest reason that is shown.
const REASON_CHARS: usize = 200;
/// How often a waiting `neo pause` asks.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Pauses the engine of one record.
#[must_use]
pub fn pause_file(db: &Path) -> PathBuf {
    let mut name = OsString::from(db.as_os_str());
    name.push(".pause");
    PathBuf::from(name)
}

/// Pauses the engines of all records in the folder.
#[must_use]
pub fn kill_file(db: &Path) -> PathBuf {
    db.with_file_name("KILL")
}

/// Why the engine of `db` is to be paused, if it is.
#[must_use]
pub fn wanted(db: &Path) -> Option<String> {
    [kill_file(db), pause_file(db), latch::file(db)].iter().find_map(|file| reason_in(file))
}

fn reason_in(file: &Path) -> Option<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let said = match fs::read(file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).trim().replace('\n', "; ");
            text.chars().take(REASON_CHARS).collect()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => format!("it cannot be read: {error}"),
    };
    let colon = if said.is_empty() { "" } else { ": " };
    Some(format!("paused by the file {name}{colon}{said}"))
}

/// What a command did.
#[derive(Debug, Serialize)]
struct Done {
    /// Why the engine is paused now; `None` when it is not.
    paused: Option<String>,
    /// The running engine's session.
    session: Option<i64>,
    /// Our offers that the newest validated ledger still shows, and transactions whose fate is open; unknown without an
    /// engine.
    open_offers: Option<usize>,
    in_flight: Option<usize>,
}

/// Pauses, and waits until the engine, if one runs, has withdrawn its quotes.
///
/// # Errors
/// What the system said of the file, what the engine did not answer.
pub fn pause(db: &Path, reason: Option<&str>, wait: Duration, json: bool, out: &mut Out) -> Result<ExitCode> {
    let file = pause_file(db);
    match reason {
        Some(reason) => write(&file, reason)?,
        None => write(&file, &by("neo pause"))?,
    }
    let until_ms = monotonic_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let status = loop {
        match running(db)? {
            Some(status) if !is_flat(&status) && monotonic_ms() < until_ms => std::thread::sleep(ASK_EVERY),
            status => break status,
        }
    };
    let flat = status.as_ref().is_none_or(is_flat);
    let words = match &status {
        None => "paused; no engine runs here: the next session begins paused".to_string(),
        Some(status) if flat => format!("S{} is paused: no offer and nothing in flight", status.session),
        Some(status) => format!(
            "S{} is NOT flat yet: {} offers, {} transactions in flight; ask again with `neo status`",
            status.session,
            status.quotes.len(),
            status.in_flight
        ),
    };
    tell(db, status.as_ref(), &words, json, out)?;
    Ok(if flat { ExitCode::Clean } else { ExitCode::Failed })
}

/// Pauses for the command `who`, and keeps the pause and the reason that there are.
///
/// # Errors
/// What the system said of the file.
pub fn begin(db: &Path, who: &str) -> Result<()> {
    if wanted(db).is_some() { Ok(()) } else { write(&pause_file(db), &by(who)) }
}

fn by(who: &str) -> String {
    format!("{who} at {}", now().format("%Y-%m-%d %H:%M:%SZ"))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, format!("{text}\n"))
        .with_context(|| format!("{} cannot be written; the session is NOT paused", file.display()))
}

/// Ends the pause of one record's engine, and what its triggers hold. A `KILL` file of the folder stays: whoever set it takes it away.
///
/// # Errors
/// What the system said of the file.
pub fn resume(db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let file = pause_file(db);
    let was = match fs::remove_file(&file) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be removed", file.display())),
    };
    let latch = latch::file(db);
    let held = latch::held(db).with_context(|| format!("{} cannot be read", latch.display()))?;
    let latched = latch::remove(db).with_context(|| format!("{} cannot be removed", latch.display()))?;
    let status = running(db)?;
    let words = match wanted(db) {
        Some(reason) => format!("still {reason}; remove {} to quote again", kill_file(db).display()),
        None if latched => {
            let names: Vec<&str> = held.iter().map(|(trigger, _)| trigger.as_str()).collect();
            format!(
                "resumed from the triggers {}: the engine quotes again with the next validated ledger, and counts its \
                 losses from then on",
                names.join(", ")
            )
        }
        None if was => "resumed: the engine quotes again with the next validated ledger".to_string(),
        None => match status.as_ref().and_then(|status| status.trips.first()) {
            Some(trip) if trip.action == TripAction::Pause.as_str() => {
                format!("the trigger {} pauses by itself, and resumes by itself: {}", trip.trigger, trip.reason)
            }
            Some(trip) => format!(
                "the trigger {} holds the engine, and its latch is not in {} yet (`neo status` has the faults); resume \
                 again when it is: {}",
                trip.trigger,
                latch.display(),
                trip.reason
            ),
            None => "it was not paused".to_string(),
        },
    };
    tell(db, status.as_ref(), &words, json, out)?;
    Ok(if wanted(db).is_some() { ExitCode::Failed } else { ExitCode::Clean })
}

/// Paused and seen withdrawn: the engine itself says so.
#[must_use]
pub fn is_flat(status: &Status) -> bool {
    let paused = status.withheld_reason.as_deref().is_some_and(|reason| reason.starts_with("paused by the file"));
    paused && status.quotes.is_empty() && status.in_flight == 0
}

fn running(db: &Path) -> Result<Option<Status>> {
    match request_status(db) {
        Ok(status) => Ok(Some(status)),
        Err(ControlError::NotRunning { .. } | ControlError::Stale { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn tell(db: &Path, status: Option<&Status>, words: &str, json: bool, out: &mut Out) -> io::Result<()> {
    if !json {
        return out.line(words);
    }
    out.json_line(&Done {
        paused: wanted(db),
        session: status.map(|status| status.session),
        open_offers: status.map(|status| status.quotes.len()),
        in_flight: status.map(|status| status.in_flight),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_file_pauses_and_what_is_in_it_is_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("neo.db");
        assert_eq!(wanted(&db), None);
        fs::write(pause_file(&db), "  the issuer is being watched\n").unwrap();
        assert_eq!(wanted(&db).as_deref(), Some("paused by the file neo.db.pause: the issuer is being watched"));
        fs::write(kill_file(&db), "").unwrap();
        assert_eq!(wanted(&db).as_deref(), Some("paused by the file KILL"));
        assert!(wanted(&folder.path().join("other.db")).is_some(), "every record of the folder");
    }

    #[test]
    fn what_cannot_be_read_pauses_and_a_long_text_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("neo.db");
        fs::create_dir(pause_file(&db)).unwrap();
        assert!(wanted(&db).unwrap().contains("cannot be read"));
        fs::write(kill_file(&db), vec![0xff; 10_000]).unwrap();
        assert!(wanted(&db).unwrap().chars().count() < 250);
    }
}

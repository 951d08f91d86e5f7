//! The latch of the triggers: a file beside the record, one line a trigger, which outlives restarts and crashes and which
//! `neo resume` takes away.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use neo_market::{Trigger, Trip};

/// Holds the engine of one record.
#[must_use]
pub fn file(db: &Path) -> PathBuf {
    let mut name = OsString::from(db.as_os_str());
    name.push(".latch");
    PathBuf::from(name)
}

/// Adds a trip, durably, unless its trigger is in the file already.
///
/// # Errors
/// What the system said of the file.
pub fn add(db: &Path, trip: &Trip, at: DateTime<Utc>) -> io::Result<()> {
    let path = file(db);
    if held(db)?.iter().any(|(trigger, _)| *trigger == trip.trigger) {
        return Ok(());
    }
    // A last line by hand, or a torn one, may lack its end.
    let torn = match fs::read(&path) {
        Ok(bytes) => bytes.last().is_some_and(|last| *last != b'\n'),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    // One line, whatever a node's text in it says.
    let reason: String = trip.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut open = OpenOptions::new().create(true).append(true).open(&path)?;
    let begin = if torn { "\n" } else { "" };
    writeln!(open, "{begin}{} {} at {at}: {reason}", trip.trigger, trip.action)?;
    open.sync_all()?;
    sync_folder(&path)
}

/// The triggers that the file holds, each with its line. A line that names none, such as one written by hand, holds the
/// engine and is no trigger's.
///
/// # Errors
/// What the system said of a file that is there and cannot be read: nobody may conclude that it holds nothing.
pub fn held(db: &Path) -> io::Result<Vec<(Trigger, String)>> {
    let bytes = match fs::read(file(db)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = |line: &str| {
        let trigger = Trigger::from_word(line.split_whitespace().next()?)?;
        Some((trigger, line.trim().to_string()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Takes the file away; true when it was there.
///
/// # Errors
/// What the system said of the file.
pub fn remove(db: &Path) -> io::Result<bool> {
    let path = file(db);
    match fs::remove_file(&path) {
        Ok(()) => sync_folder(&path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// On Windows a folder is no file that can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use neo_market::TripAction;

    use super::*;

    fn trip(trigger: Trigger, reason: &str) -> Trip {
        Trip { trigger, action: TripAction::Latch, reason: reason.to_string(), since_s: 1 }
    }

    #[test]
    fn a_trigger_is_held_once_and_a_line_by_hand_is_no_trigger() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("neo.db");
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!((held(&db).unwrap(), remove(&db).unwrap()), (Vec::new(), false));
        add(&db, &trip(Trigger::Drawdown, "2.1 % are\nlost"), at).unwrap();
        add(&db, &trip(Trigger::Drawdown, "again"), at).unwrap();
        fs::write(file(&db), fs::read_to_string(file(&db)).unwrap() + "by hand").unwrap();
        add(&db, &trip(Trigger::Rejects, "7"), at).unwrap();
        let lines: Vec<String> = held(&db).unwrap().into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            ["drawdown_pct latch at 2027-01-15T08:00:00Z: 2.1 % are lost", "rejects latch at 2027-01-15T08:00:00Z: 7"]
        );
        assert!(
            super::super::wanted(&db).unwrap().starts_with("paused by the file neo.db.latch: drawdown_pct latch at")
        );
        assert!(remove(&db).unwrap());
        assert_eq!(super::super::wanted(&db), None);
    }
}

//! How much room the disk must have, so that a session's end still fits.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes in the megabytes of `store.min_free_mb`.
const MB: u64 = 1_000_000;

/// What the free space means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is enough.
    Enough,
    /// Less than twice the limit: a person should look.
    Low,
    /// Less than the limit: the session ends while its end still fits.
    Out,
}

/// The limit; 0 means that the disk is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinFree {
    /// `store.min_free_mb`.
    pub mb: u64,
}

impl MinFree {
    /// The same in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.mb.saturating_mul(MB)
    }

    /// What so much free space means.
    #[must_use]
    pub const fn judge(self, free_bytes: u64) -> Room {
        if free_bytes < self.bytes() {
            Room::Out
        } else if free_bytes < self.bytes().saturating_mul(2) {
            Room::Low
        } else {
            Room::Enough
        }
    }
}

/// The disk has too little room for a session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the disk of {} has {} MB free, less than store.min_free_mb = {min_mb}: free space there, or name a record on \
     another disk with --db",
    record.display(),
    free_bytes / MB
)]
pub struct DiskLow {
    /// The record.
    pub record: PathBuf,
    /// What is free.
    pub free_bytes: u64,
    /// The limit.
    pub min_mb: u64,
}

/// Space that this user may still fill on the disk of `record`, in bytes.
///
/// # Errors
/// What the system said.
pub fn free_bytes(record: &Path) -> io::Result<u64> {
    let folder = record.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs4::available_space(folder)
}

/// Refuses a disk on which a session would end as soon as it began. One that does not tell is no reason to refuse.
///
/// # Errors
/// [`DiskLow`].
pub fn refuse_low(record: &Path, limit: MinFree) -> Result<(), DiskLow> {
    if limit.mb == 0 {
        return Ok(());
    }
    match free_bytes(record) {
        Ok(free_bytes) if limit.judge(free_bytes) == Room::Out => {
            Err(DiskLow { record: record.to_path_buf(), free_bytes, min_mb: limit.mb })
        }
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "the free space of the disk is not known");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_limit_there_is_no_room_and_below_twice_of_it_little() {
        let limit = MinFree { mb: 64 };
        assert_eq!(limit.judge(0), Room::Out);
        assert_eq!(limit.judge(64_000_000 - 1), Room::Out);
        assert_eq!(limit.judge(64_000_000), Room::Low);
        assert_eq!(limit.judge(128_000_000 - 1), Room::Low);
        assert_eq!(limit.judge(128_000_000), Room::Enough);
        assert_eq!(MinFree { mb: u64::MAX }.judge(u64::MAX - 1), Room::Out, "an absurd limit overflows nothing");
    }

    #[test]
    fn without_a_limit_nothing_is_looked_at_and_one_that_is_missed_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("neo.db");
        assert_eq!(refuse_low(&folder.path().join("no/such/folder/neo.db"), MinFree { mb: 0 }), Ok(()));
        assert_eq!(refuse_low(&record, MinFree { mb: 1 }), Ok(()));
        let error = refuse_low(&record, MinFree { mb: 1 << 40 }).unwrap_err();
        assert_eq!((error.min_mb, error.record.as_path()), (1 << 40, record.as_path()));
        let text = DiskLow { record: "a/neo.db".into(), free_bytes: 12_999_999, min_mb: 64 }.to_string();
        assert_eq!(
            text,
            "the disk of a/neo.db has 12 MB free, less than store.min_free_mb = 64: free space there, or name a record \
             on another disk with --db"
        );
    }
}

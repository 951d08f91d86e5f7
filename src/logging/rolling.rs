//! A log file for each day, the oldest removed: `STEM.2026-04-18.jsonl`.
//!
//! Written by hand because the crate for it reports its own trouble with `eprintln!`, which panics when the terminal is
//! gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// A file that could not be written is opened again after this.
const RETRY: TimeDelta = TimeDelta::seconds(10);

/// The file of the day.
#[derive(Debug)]
pub(super) struct Rolling {
    dir: PathBuf,
    stem: String,
    /// Files that are kept. Days with a file are counted, not days of the calendar: a clock that is wrong for a while
    /// must not cost the log.
    keep: usize,
    open: Option<(NaiveDate, File)>,
    broken_at: Option<DateTime<Utc>>,
}

/// The file that a line of that day goes to.
pub(super) fn path(dir: &Path, stem: &str, day: NaiveDate) -> PathBuf {
    dir.join(format!("{stem}.{day}.jsonl"))
}

impl Rolling {
    /// Opens the file of the day of `now` in `dir`, which is created if need be; the newest `keep` files stay.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn open(dir: &Path, stem: &str, keep: usize, now: DateTime<Utc>) -> io::Result<Rolling> {
        fs::create_dir_all(dir)?;
        let (dir, stem) = (dir.to_path_buf(), stem.to_string());
        let mut rolling = Rolling { dir, stem, keep, open: None, broken_at: None };
        rolling.file(now.date_naive())?;
        Ok(rolling)
    }

    /// Appends one line. After an error the file is left alone for a while, so that a full disk does not cost a
    /// system call a line; `Ok(false)` means that the line was passed over for that reason.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn append(&mut self, line: &str, now: DateTime<Utc>) -> io::Result<bool> {
        if self.broken_at.is_some_and(|at| (now - at).abs() < RETRY) {
            return Ok(false);
        }
        let written = self.file(now.date_naive()).and_then(|file| file.write_all(line.as_bytes()));
        self.broken_at = written.is_err().then_some(now);
        if written.is_err() {
            self.open = None;
        }
        written.map(|()| true)
    }

    fn file(&mut self, day: NaiveDate) -> io::Result<&mut File> {
        match self.open.take() {
            Some((opened, file)) if opened == day => Ok(&mut self.open.insert((day, file)).1),
            _ => {
                let path = path(&self.dir, &self.stem, day);
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                self.remove_old()?;
                Ok(&mut self.open.insert((day, file)).1)
            }
        }
    }

    fn remove_old(&self) -> io::Result<()> {
        let mut ours = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // A name that is no text is not ours, nor is what is no file.
            let day = entry.file_name().to_str().and_then(|name| self.day_of(name));
            if let Some(day) = day.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) {
                ours.push((day, entry.path()));
            }
        }
        ours.sort();
        let surplus = ours.len().saturating_sub(self.keep.max(1));
        for (_, path) in ours.iter().take(surplus) {
            match fs::remove_file(path) {
                // Another engine in the same folder was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn day_of(&self, name: &str) -> Option<NaiveDate> {
        let day = name.strip_prefix(self.stem.as_str())?.strip_prefix('.')?.strip_suffix(".jsonl")?;
        // What has no date in its name is not ours.
        let Ok(day) = day.parse() else { return None };
        Some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_new_day_is_a_new_file_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["neo.2026-04-01.jsonl.gz", "other.2026-04-01.jsonl", "neo.notes.jsonl", "neo.2026-04-01x.jsonl"] {
            fs::write(dir.path().join(name), "not ours").unwrap();
        }
        fs::create_dir(dir.path().join("neo.2026-04-02.jsonl")).unwrap();
        let start = at("2026-04-18T23:59:59Z");
        let mut rolling = Rolling::open(dir.path(), "neo", 14, start).unwrap();
        for days in 0..20 {
            assert!(rolling.append("line\n", start + TimeDelta::days(days)).unwrap());
        }
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), 14 + 5);
        assert!(names.contains(&"neo.2026-04-24.jsonl".to_string()), "{names:?}");
        assert!(!names.contains(&"neo.2026-04-23.jsonl".to_string()), "{names:?}");
        assert!(names.contains(&"other.2026-04-01.jsonl".to_string()));
    }

    #[test]
    fn the_second_start_of_a_day_appends() {
        let dir = tempfile::tempdir().unwrap();
        let now = at("2026-04-18T10:00:00Z");
        for line in ["a\n", "b\n"] {
            assert!(Rolling::open(dir.path(), "neo", 14, now).unwrap().append(line, now).unwrap());
        }
        assert_eq!(fs::read_to_string(dir.path().join("neo.2026-04-18.jsonl")).unwrap(), "a\nb\n");
    }

    // Windows does not let a folder go while a file in it is open.
    #[cfg(unix)]
    #[test]
    fn a_folder_that_went_away_is_an_error_then_a_pause_then_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("logs");
        let now = at("2026-04-18T10:00:00Z");
        let mut rolling = Rolling::open(&inner, "neo", 14, now).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        let next_day = now + TimeDelta::days(1);
        assert!(rolling.append("x\n", next_day).is_err());
        assert!(!rolling.append("x\n", next_day + TimeDelta::seconds(1)).unwrap());
        fs::create_dir(&inner).unwrap();
        assert!(rolling.append("y\n", next_day + RETRY).unwrap());
        assert_eq!(fs::read_to_string(path(&inner, "neo", next_day.date_naive())).unwrap(), "y\n");
    }
}

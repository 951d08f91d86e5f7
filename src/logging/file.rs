//! The log file behind a thread of its own: a disk that hangs in the middle of a write hangs nobody else.
//!
//! A line is waited for until it is in the file, so that whatever ends the process next does not cost it. A disk that does
//! not take one in time is waited for no more: lines queue up, and those that find no place are counted, until it goes on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crossbeam_channel::{Sender, bounded};

use super::rolling::Rolling;

/// Lines that wait for a disk that hangs.
const QUEUE: usize = 4_096;

/// Writes lines through its thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogFile {
    lines: Sender<Entry>,
    hangs: Arc<AtomicBool>,
    patience: Duration,
}

struct Entry {
    line: String,
    at: DateTime<Utc>,
    done: Sender<io::Result<bool>>,
}

/// What became of a line.
#[derive(Debug)]
pub(super) enum Written {
    /// It is in the file.
    Done,
    /// It waits for a disk that hangs; nobody waits for it.
    Waits,
    /// It was passed over: the disk refused the one before, or hangs, and the queue is full.
    Lost,
    /// The disk refused it.
    Refused(io::Error),
}

impl LogFile {
    /// Starts the thread. A line is waited for at most `patience`; one that nobody waited for and that the disk refused is
    /// counted in `lost`.
    ///
    /// # Errors
    /// What the system said when it could not start a thread.
    pub(super) fn start(mut file: Rolling, lost: Arc<AtomicU64>, patience: Duration) -> io::Result<LogFile> {
        Self::start_with(move |line, at| file.append(line, at), lost, patience)
    }

    fn start_with(
        mut append: impl FnMut(&str, DateTime<Utc>) -> io::Result<bool> + Send + 'static,
        lost: Arc<AtomicU64>,
        patience: Duration,
    ) -> io::Result<LogFile> {
        let (lines, queue) = bounded::<Entry>(QUEUE);
        let hangs = Arc::new(AtomicBool::new(false));
        let goes_on = Arc::clone(&hangs);
        std::thread::Builder::new().name(String::from("log-file")).spawn(move || {
            for Entry { line, at, done } in queue {
                let written = append(&line, at);
                goes_on.store(false, Ordering::SeqCst);
                if let Err(unheard) = done.try_send(written)
                    && !matches!(unheard.into_inner(), Ok(true))
                {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        })?;
        Ok(LogFile { lines, hangs, patience })
    }

    pub(super) fn append(&self, line: String, at: DateTime<Utc>) -> Written {
        let (done, answer) = bounded(1);
        let hangs = self.hangs.load(Ordering::SeqCst);
        if self.lines.try_send(Entry { line, at, done }).is_err() {
            return Written::Lost;
        }
        if hangs {
            return Written::Waits;
        }
        match answer.recv_timeout(self.patience) {
            Ok(Ok(true)) => Written::Done,
            Ok(Ok(false)) => Written::Lost,
            Ok(Err(error)) => Written::Refused(error),
            Err(_) => {
                self.hangs.store(true, Ordering::SeqCst);
                Written::Waits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_hangs_is_waited_for_once_and_its_lines_are_written_when_it_goes_on() {
        let (release, held) = bounded::<()>(0);
        let (tell, told) = bounded(QUEUE * 2);
        let lost = Arc::new(AtomicU64::new(0));
        let append = move |line: &str, _| {
            // It goes on when the sender is dropped.
            let goes_on = held.recv().is_err();
            tell.send(line.to_string()).unwrap();
            Ok(goes_on && line != "7")
        };
        let file = LogFile::start_with(append, Arc::clone(&lost), Duration::from_millis(1)).unwrap();
        let line = |n: usize| file.append(n.to_string(), DateTime::UNIX_EPOCH);
        let first = line(0);
        assert!(matches!(first, Written::Waits), "{first:?}");
        // From now on nobody waits, however many there are, until the queue is full.
        let patient = LogFile { patience: Duration::from_secs(3_600), ..file.clone() };
        let mut n = 0;
        while matches!(patient.append((n + 1).to_string(), DateTime::UNIX_EPOCH), Written::Waits) {
            n += 1;
        }
        assert!(n >= QUEUE - 1, "{n} lines found a place");
        drop(release);
        for line in 0..=n {
            assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap(), line.to_string());
        }
        // The next one is after all of them: the disk had refused one of those that nobody waited for.
        assert!(matches!(patient.append("last".into(), DateTime::UNIX_EPOCH), Written::Done | Written::Waits));
        drop((file, patient));
        while told.recv_timeout(Duration::from_secs(30)).is_ok() {}
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_line_is_in_the_file_when_append_returns_and_an_error_is_told() {
        let (tell, told) = bounded(4);
        let mut answers = vec![Ok(true), Ok(false), Err(io::Error::other("full"))].into_iter();
        let append = move |line: &str, _| {
            tell.send(line.to_string()).unwrap();
            answers.next().unwrap()
        };
        let file = LogFile::start_with(append, Arc::default(), Duration::from_secs(30)).unwrap();
        assert!(matches!(file.append("a".into(), DateTime::UNIX_EPOCH), Written::Done));
        assert_eq!(told.try_recv().unwrap(), "a");
        assert!(matches!(file.append("b".into(), DateTime::UNIX_EPOCH), Written::Lost));
        let refused = file.append("c".into(), DateTime::UNIX_EPOCH);
        assert!(matches!(&refused, Written::Refused(error) if error.to_string() == "full"), "{refused:?}");
    }
}

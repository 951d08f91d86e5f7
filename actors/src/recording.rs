//! The recording thread: writes a node's messages to disk behind a bounded queue, so that neither a slow disk nor one that
//! refuses holds up whoever hears them. What finds no place is counted and told in the recording itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use neo_ledger::recording::{Direction, Moment, Series, Source};
use parking_lot::Mutex;

use crate::clock::{monotonic_us, now};

/// Messages that may wait for the disk.
const QUEUE: usize = 8_192;
/// And bytes of their text.
const QUEUE_BYTES: u64 = 64 << 20;
/// How often the thread looks whether something waits for long.
const TICK: Duration = Duration::from_millis(500);
/// A disk that refused is tried again after this.
const RETRY_US: u64 = 10_000_000;

/// What the thread writes to.
trait Sink {
    fn message(&mut self, at: Moment, source: Source, dir: Direction, text: &str) -> io::Result<()>;
    fn gap(&mut self, at: Moment, reason: &str, dropped: u64) -> io::Result<()>;
    fn tick(&mut self, monotonic_us: u64) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
    fn written(&self) -> (u64, &[PathBuf]);
}

impl Sink for Series {
    fn message(&mut self, at: Moment, source: Source, dir: Direction, text: &str) -> io::Result<()> {
        Series::message(self, at, source, dir, text)
    }

    fn gap(&mut self, at: Moment, reason: &str, dropped: u64) -> io::Result<()> {
        Series::gap(self, at, reason, dropped)
    }

    fn tick(&mut self, monotonic_us: u64) -> io::Result<()> {
        Series::tick(self, monotonic_us)
    }

    fn finish(&mut self) -> io::Result<()> {
        Series::finish(self)
    }

    fn written(&self) -> (u64, &[PathBuf]) {
        (self.bytes(), Series::written(self))
    }
}

/// How a recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages in the recording.
    pub messages: u64,
    /// Messages that are not in it: the disk refused, or the queue was full.
    pub dropped: u64,
    /// Places where something may be missing.
    pub gaps: u64,
    /// Compressed bytes on the disk.
    pub bytes: u64,
    /// The parts that were begun.
    pub parts: Vec<PathBuf>,
    /// Why nothing is written just now.
    pub trouble: Option<String>,
}

enum Job {
    Message { at: Moment, source: Source, dir: Direction, text: String },
    Gap { at: Moment, reason: String },
    Finish(Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicU64,
    /// Messages that found no place and that no gap tells of yet.
    passed_over: AtomicU64,
    progress: Mutex<Progress>,
}

/// Hands messages to the thread, and never waits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    start_us: u64,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(series: Series) -> io::Result<Recorder> {
        Self::start_with(series, QUEUE)
    }

    fn start_with(sink: impl Sink + Send + 'static, places: usize) -> io::Result<Recorder> {
        let (jobs, queue) = bounded(places);
        let shared = Arc::new(Shared::default());
        let start_us = monotonic_us();
        let mut scribe = Scribe { sink, shared: Arc::clone(&shared), untold: 0, again_us: None };
        std::thread::Builder::new().name("neo-recording".to_string()).spawn(move || scribe.serve(&queue, start_us))?;
        Ok(Recorder { jobs, shared, start_us })
    }

    /// Records a message of a connection, and of which node it is.
    pub fn message(&self, source: impl Into<Source>, dir: Direction, text: &str) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let has_place = queued.saturating_add(bytes) <= QUEUE_BYTES;
        let job = |source| Job::Message { at: self.moment(), source, dir, text: text.to_string() };
        if !has_place || self.jobs.try_send(job(source.into())).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            // The first of a row is worth a line in the log; how many there were stands in the recording.
            if self.shared.passed_over.fetch_add(1, Ordering::AcqRel) == 0 {
                tracing::error!("the recording does not keep up: messages are left out of it; the session goes on");
            }
        }
    }

    /// Records that something may be missing here.
    pub fn gap(&self, reason: &str) {
        let job = Job::Gap { at: self.moment(), reason: reason.to_string() };
        if self.jobs.try_send(job).is_err() {
            tracing::debug!(reason, "the recording's queue is full: the gap that tells of it stands for this one too");
        }
    }

    /// How it goes.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut progress = self.shared.progress.lock().clone();
        progress.dropped += self.shared.passed_over.load(Ordering::Acquire);
        progress
    }

    /// Has everything written that was handed over; false when that takes longer than `patience`. What comes later, from a
    /// clone, is still recorded.
    #[must_use]
    pub fn finish(&self, patience: Duration) -> bool {
        let (done, finished) = bounded(1);
        self.jobs.send_timeout(Job::Finish(done), patience).is_ok() && finished.recv_timeout(patience).is_ok()
    }

    fn moment(&self) -> Moment {
        Moment { unix_ms: now().timestamp_millis(), monotonic_us: monotonic_us().saturating_sub(self.start_us) }
    }
}

/// The thread's side.
struct Scribe<S> {
    sink: S,
    shared: Arc<Shared>,
    /// Messages that are missing and that no gap tells of yet.
    untold: u64,
    /// The disk refused; it is tried again then.
    again_us: Option<u64>,
}

impl<S: Sink> Scribe<S> {
    fn serve(&mut self, queue: &Receiver<Job>, start_us: u64) {
        loop {
            match queue.recv_timeout(TICK) {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {
                    let done = self.sink.tick(monotonic_us().saturating_sub(start_us));
                    self.heed(done, 0);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let done = self.sink.finish();
                    return self.heed(done, 0);
                }
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Message { at, source, dir, text } => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
                self.message(at, source, dir, &text);
            }
            Job::Gap { at, reason } => {
                if self.may_write(at) {
                    let done = self.sink.gap(at, &reason, 0);
                    self.shared.progress.lock().gaps += u64::from(done.is_ok());
                    self.heed(done, at.monotonic_us);
                }
            }
            Job::Finish(done) => {
                let finished = self.sink.finish();
                self.heed(finished, 0);
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the end of the recording any more");
                }
            }
        }
    }

    fn message(&mut self, at: Moment, source: Source, dir: Direction, text: &str) {
        if !self.may_write(at) {
            return self.missing(1);
        }
        let done = self.sink.message(at, source, dir, text);
        match done.is_ok() {
            true => self.shared.progress.lock().messages += 1,
            false => self.missing(1),
        }
        self.heed(done, at.monotonic_us);
    }

    /// Whether the disk is to be tried, and the gap that is owed told.
    fn may_write(&mut self, at: Moment) -> bool {
        if self.again_us.is_some_and(|again_us| at.monotonic_us < again_us) {
            return false;
        }
        let passed_over = self.shared.passed_over.swap(0, Ordering::AcqRel);
        self.missing(passed_over);
        if self.untold == 0 && self.again_us.is_none() {
            return true;
        }
        let reason = match self.again_us {
            Some(_) => "the disk refused; what came up to two seconds before may be missing too",
            None => "the recording did not keep up",
        };
        let told = self.sink.gap(at, reason, self.untold);
        if told.is_ok() {
            self.shared.progress.lock().gaps += 1;
            if self.again_us.take().is_some() {
                tracing::warn!(missing = self.untold, "the recording goes on");
            }
            self.untold = 0;
        }
        let may = told.is_ok();
        self.heed(told, at.monotonic_us);
        may
    }

    fn missing(&mut self, messages: u64) {
        self.untold += messages;
        self.shared.progress.lock().dropped += messages;
    }

    fn heed(&mut self, done: io::Result<()>, now_us: u64) {
        let mut progress = self.shared.progress.lock();
        let (bytes, parts) = self.sink.written();
        progress.bytes = bytes;
        if progress.parts.len() != parts.len() {
            progress.parts = parts.to_vec();
        }
        match done {
            Ok(()) if self.again_us.is_none() => progress.trouble = None,
            Ok(()) => {}
            Err(error) => {
                if self.again_us.is_none() {
                    tracing::error!(%error, "the recording cannot be written; it is tried again every ten seconds, and the session goes on");
                }
                progress.trouble = Some(error.to_string());
                self.again_us = Some(now_us.saturating_add(RETRY_US));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what is written; refuses while it is told to.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<(Vec<String>, bool)>>);

    impl Paper {
        fn put(&self, line: String) -> io::Result<()> {
            let mut held = self.0.lock();
            if held.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            held.0.push(line);
            Ok(())
        }
    }

    impl Sink for Paper {
        fn message(&mut self, _: Moment, _: Source, _: Direction, text: &str) -> io::Result<()> {
            self.put(text.to_string())
        }

        fn gap(&mut self, _: Moment, reason: &str, dropped: u64) -> io::Result<()> {
            self.put(format!("gap {dropped} {}", reason.split(';').next().unwrap()))
        }

        fn tick(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn written(&self) -> (u64, &[PathBuf]) {
            (7, &[])
        }
    }

    fn scribe(paper: &Paper) -> Scribe<Paper> {
        Scribe { sink: paper.clone(), shared: Arc::default(), untold: 0, again_us: None }
    }

    fn at(second: u64) -> Moment {
        Moment { unix_ms: 0, monotonic_us: second * 1_000_000 }
    }

    #[test]
    fn a_disk_that_refuses_is_left_alone_for_a_while_and_the_gap_says_what_is_missing() {
        let paper = Paper::default();
        let mut scribe = scribe(&paper);
        let say = |scribe: &mut Scribe<Paper>, second: u64, text: &str| {
            scribe.message(at(second), 1.into(), Direction::Recv, text);
        };
        say(&mut scribe, 1, "a");
        paper.0.lock().1 = true;
        say(&mut scribe, 2, "b");
        assert!(scribe.shared.progress.lock().trouble.is_some());
        paper.0.lock().1 = false;
        say(&mut scribe, 3, "c");
        // It still refuses at the second attempt.
        paper.0.lock().1 = true;
        say(&mut scribe, 12, "d");
        paper.0.lock().1 = false;
        say(&mut scribe, 21, "e");
        say(&mut scribe, 22, "f");
        assert_eq!(paper.0.lock().0, ["a", "gap 4 the disk refused", "f"]);
        let progress = scribe.shared.progress.lock().clone();
        assert_eq!((progress.messages, progress.dropped, progress.trouble), (2, 4, None));
    }

    #[test]
    fn what_finds_no_place_is_counted_and_nobody_waits() {
        let paper = Paper::default();
        // A thread that never comes: the queue is all there is.
        let (jobs, queue) = bounded(2);
        let recorder = Recorder { jobs, shared: Arc::default(), start_us: 0 };
        for text in ["a", "b", "c", "d"] {
            recorder.message(1, Direction::Recv, text);
        }
        assert_eq!(recorder.progress().dropped, 2);
        let mut scribe = Scribe { shared: Arc::clone(&recorder.shared), ..scribe(&paper) };
        // The thread comes: what waited is written, after a word on what is missing.
        for job in queue.try_iter() {
            scribe.work(job);
        }
        assert_eq!(paper.0.lock().0, ["gap 2 the recording did not keep up", "a", "b"]);
        let huge = "x".repeat(usize::try_from(QUEUE_BYTES).unwrap());
        recorder.message(1, Direction::Recv, &huge);
        recorder.message(1, Direction::Recv, "y");
        assert_eq!(recorder.progress().dropped, 3);
        assert!(!recorder.finish(Duration::from_millis(1)), "nobody writes");
    }

    #[test]
    fn the_thread_writes_what_it_is_handed() {
        let paper = Paper::default();
        let recorder = Recorder::start_with(paper.clone(), 8).unwrap();
        recorder.message(1, Direction::Sent, "a");
        recorder.gap("cut");
        assert!(recorder.finish(Duration::from_secs(30)));
        assert_eq!(paper.0.lock().0, ["a", "gap 0 cut"]);
        assert_eq!((recorder.progress().messages, recorder.progress().bytes), (1, 7));
    }
}

//! The writer's thread: drain, one transaction, COMMIT, publish, acknowledge.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select_biased};
use rusqlite::{Connection, params};

use crate::apply::{ApplyError, Marks, Processed, Rows, end_session, kind, stop_stage};
use crate::checkpoint::{self, Account, Passes};
use crate::columns::{count, time};
use crate::error::WriteError;
use crate::lock::{Lock, with_suffix};
use crate::open::{Options, Store};
use crate::record::{Checkpoint, CheckpointCause, CheckpointOwner, Fault, SessionEnd, SessionNumber, StopStage};
use crate::thin::{self, Limit, Next, Pace};
use crate::writer::{Control, Message, Reply, Shared, WriterFault, wal_bytes};

/// Longest sleep with nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// First and longest wait before a refused batch is tried again.
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 1_000;

/// What a message came to inside a transaction that will be committed.
type Outcome = Result<(), WriteError>;

/// What woke the thread.
enum Wake {
    Data(Message),
    Control(Control),
    Timer,
    Gone,
}

/// The thread's state. The connection is dropped before the lock.
pub(crate) struct Engine {
    conn: Connection,
    session: SessionNumber,
    shared: Arc<Shared>,
    options: Options,
    wal_path: PathBuf,
    data: Receiver<Message>,
    control: Receiver<Control>,
    /// Taken from the queue and not durable yet: kept over attempts while the disk refuses.
    pending: VecDeque<Message>,
    /// How far each processor's durable records go.
    processed: Processed,
    /// Attempts that failed in a row.
    failures: u32,
    passes: Passes,
    page_bytes: u64,
    /// Passes that the next commit records: a commit of their own would cost another sync.
    unrecorded: Vec<Checkpoint>,
    thinning: Pace,
    lock: Lock,
}

impl Engine {
    pub(crate) fn new(
        store: Store,
        session: SessionNumber,
        shared: Arc<Shared>,
        (data, control): (Receiver<Message>, Receiver<Control>),
        page_bytes: u64,
    ) -> Engine {
        let Store { conn, path, options, lock, .. } = store;
        let wal_path = with_suffix(&path, "-wal");
        Engine {
            conn,
            session,
            shared,
            wal_path,
            data,
            control,
            pending: VecDeque::new(),
            processed: Processed::default(),
            failures: 0,
            passes: Passes::new(options.passes),
            page_bytes,
            unrecorded: Vec::new(),
            thinning: Pace::new(options.snapshots_keep_days),
            options,
            lock,
        }
    }

    /// Runs until it is sealed or nobody can reach it any more.
    pub(crate) fn run(mut self) {
        loop {
            self.shared.beats.fetch_add(1, Ordering::Relaxed);
            match self.wait() {
                Wake::Data(message) => {
                    self.collect(message);
                    self.commit_and_report();
                    self.thin_if_due(false);
                }
                Wake::Control(Control::Checkpoint(cause, reply)) => reply.give(self.checkpoint(cause)),
                Wake::Control(Control::Seal(reply)) => return self.seal(Some(reply)),
                Wake::Timer if self.failures > 0 => self.commit_and_report(),
                Wake::Timer => self.thin_if_due(true),
                Wake::Gone => return self.seal(None),
            }
        }
    }

    /// While the disk refuses nothing more is taken from the queue: its bound is the engine's back-pressure.
    fn wait(&self) -> Wake {
        let nothing = never();
        let (data, pause) = if self.failures > 0 { (&nothing, retry_pause(self.failures)) } else { (&self.data, IDLE) };
        select_biased! {
            recv(self.control) -> control => control.map_or(Wake::Gone, Wake::Control),
            recv(data) -> message => message.map_or(Wake::Gone, Wake::Data),
            default(pause) => Wake::Timer,
        }
    }

    /// Fills a batch with what is queued, up to the limit of rows or of time.
    fn collect(&mut self, first: Message) {
        let started_us = (self.options.monotonic_us)();
        self.pending.push_back(first);
        while self.pending.len() < self.options.batch_rows {
            let Ok(message) = self.data.try_recv() else { return };
            self.pending.push_back(message);
            // The clock is asked now and then only.
            if self.pending.len().is_multiple_of(256) {
                let spent_us = (self.options.monotonic_us)().saturating_sub(started_us);
                if spent_us >= self.options.batch_ms.saturating_mul(1_000) {
                    return;
                }
            }
        }
    }

    /// Commits the pending batch; on success publishes the watermark and acknowledges in order.
    fn commit_and_report(&mut self) {
        match self.commit() {
            Ok((marks, outcomes)) => {
                self.committed(&marks);
                if self.failures > 0 {
                    let attempts = std::mem::take(&mut self.failures);
                    tracing::info!(attempts, "the database accepts rows again");
                    self.report(WriterFault::Recovered { attempts });
                }
                for (message, outcome) in self.pending.drain(..).zip(outcomes) {
                    if matches!(message, Message::Close(..)) {
                        // What is left of the stop has its deadline.
                        self.thinning.end();
                    }
                    if let Message::Durable(_, reply) | Message::Close(_, _, reply) = message {
                        reply.give(outcome.map(|()| marks.seq));
                    }
                }
                self.pass_if_due();
            }
            Err(error) => self.storage_failed(&error),
        }
    }

    /// Writes the WAL back when enough of it has gathered, so that no checkpoint has much to do at once.
    fn pass_if_due(&mut self) {
        if self.options.checkpoints == CheckpointOwner::External {
            return;
        }
        if let Err(error) = self.try_pass() {
            self.refused_by_disk(format!("writing the WAL back failed: {error}"), 1);
        }
    }

    fn try_pass(&mut self) -> rusqlite::Result<()> {
        let behind = checkpoint::behind_bytes(&self.conn, self.page_bytes)?;
        if !self.passes.due(behind, self.data.is_empty()) {
            return Ok(());
        }
        let done = self.at_the_disk(|| self.account().pass(&self.conn))?;
        self.passes.made(checkpoint::behind_bytes(&self.conn, self.page_bytes)?);
        self.unrecorded.push(done);
        Ok(())
    }

    fn account(&self) -> Account<'_> {
        let Options { clock, monotonic_us, .. } = self.options;
        Account { wal_path: &self.wal_path, clock, monotonic_us }
    }

    /// Notes when the thread went to the disk and came back: who waits for it sees a disk that hangs.
    fn at_the_disk<T>(&self, work: impl FnOnce() -> T) -> T {
        let now_us = self.options.monotonic_us;
        self.shared.vitals.begin(now_us());
        let result = work();
        self.shared.vitals.end(now_us());
        result
    }

    /// Thins out one hour of old snapshots, while nobody waits.
    fn thin_if_due(&mut self, idle: bool) {
        if self.failures > 0 || !self.data.is_empty() || !self.control.is_empty() {
            return;
        }
        let Some(limit) = self.thinning.due((self.options.clock)(), idle) else { return };
        match self.try_thin(limit) {
            Ok(()) => self.pass_if_due(),
            Err(error) => self.thinning_failed(&error),
        }
    }

    fn try_thin(&mut self, limit: Limit) -> Result<(), ApplyError> {
        let after_seq = match self.thinning.after_seq {
            Some(after_seq) => after_seq,
            None => thin::done_to(&self.conn)?,
        };
        let Next::Hour(hour) = thin::next(&self.conn, after_seq, limit)? else {
            self.thinning.found_nothing(limit.now);
            return Ok(());
        };
        if hour.rows() > 0 {
            let (marks, ()) = self.at_the_disk(|| {
                self.in_transaction(|rows| thin::take_out(rows.conn, &hour, limit).map_err(ApplyError::from))
            })?;
            self.committed(&marks);
            tracing::debug!(session = hour.session, rows = hour.rows(), "old snapshots were thinned out");
        }
        self.thinning.went_on(hour.last_seq);
        Ok(())
    }

    /// Old snapshots that stay are no reason to end a session. A disk that does not take the fault either is.
    fn thinning_failed(&mut self, error: &ApplyError) {
        self.roll_back();
        self.thinning.end();
        tracing::warn!(%error, "old snapshots were not thinned out; nothing was removed");
        let fault = Fault {
            actor: String::from("writer"),
            cause: format!("old snapshots could not be thinned out: {error}"),
            backtrace: None,
            action: String::from("nothing was removed; the next session tries again"),
            recorded_at: (self.options.clock)(),
        };
        match self.at_the_disk(|| self.in_transaction(|rows| rows.fault(&fault))) {
            Ok((marks, ())) => self.committed(&marks),
            Err(error) => {
                self.roll_back();
                self.refused_by_disk(error.to_string(), 1);
            }
        }
    }

    /// Only what COMMIT kept counts: a batch that is tried again starts from the marks before it.
    fn committed(&mut self, marks: &Marks) {
        self.processed = marks.processed;
        self.unrecorded.clear();
        self.shared.durable.store(marks.seq, Ordering::Release);
    }

    fn storage_failed(&mut self, error: &ApplyError) {
        self.roll_back();
        self.failures = self.failures.saturating_add(1);
        self.refused_by_disk(error.to_string(), self.failures);
    }

    fn refused_by_disk(&self, error: String, attempts: u32) {
        let queued = self.pending.len().saturating_add(self.data.len());
        self.shared.vitals.refused(&error);
        tracing::error!(%error, attempts, queued, "the database refuses to be written; what is queued is kept");
        self.report(WriterFault::Storage { error, attempts, queued });
    }

    fn report(&self, fault: WriterFault) {
        if let Some(on_fault) = &self.options.on_fault {
            on_fault(fault);
        }
    }

    /// Some errors end the transaction by themselves, others leave it open.
    fn roll_back(&self) {
        if self.conn.is_autocommit() {
            return;
        }
        if let Err(error) = self.conn.execute_batch("ROLLBACK") {
            tracing::error!(%error, "a failed batch could not be rolled back; the next attempt will say why");
        }
    }

    /// One transaction with all pending messages. An `Err` is the disk's; a refused message is in the outcomes.
    fn commit(&self) -> Result<(Marks, Vec<Outcome>), ApplyError> {
        self.at_the_disk(|| {
            self.in_transaction(|rows| {
                let mut outcomes = Vec::with_capacity(self.pending.len());
                for message in &self.pending {
                    outcomes.push(self.one_message(rows, message)?);
                }
                Ok(outcomes)
            })
        })
    }

    /// BEGIN, the work, the session's heartbeat, COMMIT.
    fn in_transaction<T>(
        &self,
        work: impl FnOnce(&mut Rows<'_>) -> Result<T, ApplyError>,
    ) -> Result<(Marks, T), ApplyError> {
        let marks = Marks { seq: self.shared.durable.load(Ordering::Acquire), processed: self.processed };
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        neo_failpoint::hit(neo_failpoint::Place::Writer).map_err(|injected| disk_full(&injected.to_string()))?;
        let mut rows = Rows::new(&self.conn, self.session, marks);
        for done in &self.unrecorded {
            rows.checkpoint(done)?;
        }
        let result = work(&mut rows)?;
        let marks = rows.marks;
        drop(rows);
        self.heartbeat(&marks)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok((marks, result))
    }

    /// Moves `last_seen_at`, the processed ledger, the count of dropped rows and the watermark with every commit, so
    /// that a killed session's end is known.
    fn heartbeat(&self, marks: &Marks) -> Result<(), ApplyError> {
        let marked = marks.processed.by_all();
        let index = marked.map(|(index, ..)| index);
        let close_time = marked.map(|(_, at, _)| time(at));
        let hash = marked.and_then(|(.., hash)| hash).map(crate::world::hash_text);
        self.conn
            .prepare_cached(
                "UPDATE sessions SET last_seen_at = max(last_seen_at, ?2), coalesced_rows = ?5,
                     last_close_time = CASE WHEN ?3 > coalesce(last_ledger_index, 0) THEN ?4 ELSE last_close_time END,
                     last_ledger_hash = CASE WHEN ?3 > coalesce(last_ledger_index, 0) THEN ?6 ELSE last_ledger_hash END,
                     last_ledger_index = max(coalesce(last_ledger_index, ?3), coalesce(?3, last_ledger_index))
                 WHERE number = ?1",
            )?
            .execute(params![
                self.session,
                time((self.options.clock)()),
                index,
                close_time,
                count(self.shared.coalesced.load(Ordering::Relaxed)),
                hash
            ])?;
        self.conn.prepare_cached("UPDATE meta SET durable_seq = ?1 WHERE id = 1")?.execute([count(marks.seq)])?;
        Ok(())
    }

    /// Stores one message. A refused record costs its own message only: single statements undo themselves, several run
    /// inside a savepoint.
    fn one_message(&self, rows: &mut Rows<'_>, message: &Message) -> Result<Outcome, ApplyError> {
        let (what, result) = match message {
            Message::One(record) => (kind(record), rows.apply(record)),
            Message::Durable(records, _) if records.is_empty() => ("flush", Ok(())),
            Message::Durable(records, _) => {
                let mut what = "record";
                let result = in_savepoint(rows, |rows| {
                    records.iter().try_for_each(|record| {
                        what = kind(record);
                        rows.apply(record)
                    })
                });
                (what, result)
            }
            Message::Close(end, stages, _) => return self.close(rows, end, stages),
            Message::Stage(stage) => ("stop stage", stop_stage(&self.conn, self.session, stage).map_err(Into::into)),
        };
        match result {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.is_storage() => Err(error),
            Err(error) => self.refused(rows, what, &error).map(Err),
        }
    }

    fn close(&self, rows: &mut Rows<'_>, end: &SessionEnd, stages: &[StopStage]) -> Result<Outcome, ApplyError> {
        let mut was_open = false;
        let result = in_savepoint(rows, |rows| {
            for stage in stages {
                stop_stage(rows.conn, self.session, stage)?;
            }
            was_open = end_session(rows.conn, self.session, end)?;
            Ok(())
        });
        match result {
            Ok(()) if was_open => Ok(Ok(())),
            Ok(()) => Ok(Err(WriteError::AlreadyClosed { session: self.session })),
            Err(error) if error.is_storage() => Err(error),
            Err(error) => self.refused(rows, "session end", &error).map(Err),
        }
    }

    /// A fault row in the place of the refused record, so that the loss is in the record itself.
    fn refused(&self, rows: &mut Rows<'_>, record: &'static str, error: &ApplyError) -> Result<WriteError, ApplyError> {
        let error = error.to_string();
        tracing::error!(record, %error, "a row was refused; the rest of its batch is kept");
        let fault = Fault {
            actor: String::from("writer"),
            cause: format!("the {record} was refused: {error}"),
            backtrace: None,
            action: String::from("the row was left out; the rest of its batch was kept"),
            recorded_at: (self.options.clock)(),
        };
        match rows.fault(&fault) {
            Ok(()) => {}
            Err(fault_error) if fault_error.is_storage() => return Err(fault_error),
            Err(fault_error) => tracing::error!(%fault_error, "the fault row was refused as well"),
        }
        self.report(WriterFault::Refused { record, error: error.clone() });
        Ok(WriteError::Refused { record, error })
    }

    /// A checkpoint and, in a commit of its own, the row that tells of it.
    fn checkpoint(&mut self, cause: CheckpointCause) -> Result<Checkpoint, WriteError> {
        if self.options.checkpoints == CheckpointOwner::External {
            return Err(WriteError::NotOurCheckpoint);
        }
        let done = match self.at_the_disk(|| self.account().run(&self.conn, cause)) {
            Ok(done) => done,
            Err(error) => return Err(self.checkpoint_failed(format!("the checkpoint failed: {error}"))),
        };
        if done.busy {
            tracing::warn!(wal_bytes = done.wal_bytes, %cause, "a reader kept the checkpoint from finishing");
        }
        match self.at_the_disk(|| self.in_transaction(|rows| rows.checkpoint(&done))) {
            Ok((marks, ())) => {
                self.committed(&marks);
                Ok(done)
            }
            Err(error) => {
                self.roll_back();
                Err(self.checkpoint_failed(format!("the checkpoint was made but not recorded: {error}")))
            }
        }
    }

    fn checkpoint_failed(&self, error: String) -> WriteError {
        self.refused_by_disk(error.clone(), self.failures.max(1));
        WriteError::Storage { error }
    }

    /// Writes what is queued. False when the disk refuses it.
    fn drain(&mut self) -> bool {
        loop {
            self.shared.beats.fetch_add(1, Ordering::Relaxed);
            if self.pending.is_empty() {
                let Ok(message) = self.data.try_recv() else { return true };
                self.collect(message);
            }
            self.commit_and_report();
            if self.failures > 0 {
                return false;
            }
        }
    }

    /// The end of the thread: all written, checkpointed, closed, unlocked, and only then said to be so.
    fn seal(mut self, reply: Option<Reply<Checkpoint>>) {
        let drained = self.drain();
        let result = if drained { self.last_checkpoint() } else { Err(self.give_up()) };
        let Engine { conn, lock, wal_path, shared, options, .. } = self;
        let closed = conn.close().map_err(|(conn, error)| {
            drop(conn);
            WriteError::Storage { error: format!("the connection did not close: {error}") }
        });
        let left = wal_bytes(&wal_path);
        if left > 0 && options.checkpoints == CheckpointOwner::Own {
            tracing::warn!(left, "the -wal file was left behind: another process has the database open");
        }
        drop(lock);
        // What was queued during the seal is answered with `Gone` here.
        shared.end();
        match (reply, result.and_then(|checkpoint| closed.map(|()| checkpoint))) {
            (Some(reply), result) => reply.give(result),
            (None, Ok(_)) => {}
            (None, Err(error)) => tracing::error!(%error, "the writer ended with an error and nobody waited for it"),
        }
    }

    /// The last checkpoint, its row, and the row's own frames written back too: so no -wal is left with content even
    /// where a reader that only looks on keeps the close from removing it.
    ///
    /// A replicator's WAL is only looked at.
    fn last_checkpoint(&mut self) -> Result<Checkpoint, WriteError> {
        if self.options.checkpoints == CheckpointOwner::External {
            let looked = self.account().look(&self.conn, CheckpointCause::Seal);
            return looked.map_err(|error| WriteError::Storage { error: format!("the WAL was not found: {error}") });
        }
        let mut done = self.checkpoint(CheckpointCause::Seal)?;
        let busy = checkpoint::truncate_again(&self.conn)
            .map_err(|error| WriteError::Storage { error: format!("the last checkpoint failed: {error}") })?;
        done.busy |= busy;
        Ok(done)
    }

    /// The disk refuses and the thread must end: everybody who waits is told that it is not durable.
    fn give_up(&mut self) -> WriteError {
        let error =
            WriteError::Storage { error: String::from("the disk still refused rows when the writer had to end") };
        let mut lost = 0_usize;
        while let Some(message) = self.pending.pop_front() {
            lost = lost.saturating_add(1);
            if let Message::Durable(_, reply) | Message::Close(_, _, reply) = message {
                reply.give(Err(error.clone()));
            }
            if let Ok(next) = self.data.try_recv() {
                self.pending.push_back(next);
            }
        }
        tracing::error!(lost, "messages were never written: the disk refused them until the end");
        error
    }
}

/// What SQLite says when the disk is full.
fn disk_full(text: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), Some(text.to_string()))
}

/// Runs several statements as one: all of them or, when one is refused, none and no numbers taken.
fn in_savepoint(
    rows: &mut Rows<'_>,
    work: impl FnOnce(&mut Rows<'_>) -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let before = rows.marks;
    rows.conn.prepare_cached("SAVEPOINT message")?.execute([])?;
    let result = work(rows);
    match &result {
        Ok(()) => {}
        // The whole transaction is about to be rolled back.
        Err(error) if error.is_storage() => return result,
        Err(_) => {
            rows.marks = before;
            rows.conn.prepare_cached("ROLLBACK TO message")?.execute([])?;
        }
    }
    rows.conn.prepare_cached("RELEASE message")?.execute([])?;
    result
}

/// How long to wait after so many refusals in a row: each time twice as long, up to a limit.
fn retry_pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    Duration::from_millis(RETRY_MIN_MS.saturating_mul(1 << doublings).min(RETRY_MAX_MS))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_disk_that_refuses_is_tried_less_and_less_often_but_at_least_once_a_second() {
        let pauses_ms: Vec<u128> = [1, 2, 3, 5, 6, 100, u32::MAX].map(|n| retry_pause(n).as_millis()).to_vec();
        assert_eq!(pauses_ms, [50, 100, 200, 800, 1_000, 1_000, 1_000]);
    }
    use crate::open::Identity;
    use crate::record::{Mode, NewSession, Record};

    const PATIENCE: Duration = Duration::from_secs(30);

    fn clock() -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::UNIX_EPOCH
    }

    fn big_fault() -> Record {
        Record::Fault(Fault {
            actor: String::from("feed"),
            cause: "x".repeat(50_000),
            backtrace: None,
            action: String::from("none"),
            recorded_at: clock(),
        })
    }

    /// A store whose file may not grow, with some room that can be freed from outside.
    fn full_disk(path: &std::path::Path, options: &Options) -> (Store, SessionNumber) {
        let identity = Identity { mode: Mode::Sim, network: "sim".into(), account: "r".into() };
        let mut store = Store::open(path, &identity, options, clock()).unwrap();
        let session = NewSession {
            started_at: clock(),
            config: String::new(),
            config_hash: String::new(),
            version: String::new(),
            seed: None,
        };
        let number = store.begin_session(&session).unwrap();
        store
            .conn
            .execute_batch("CREATE TABLE filler (a BLOB) STRICT; INSERT INTO filler VALUES (zeroblob(400000))")
            .unwrap();
        let pages: i64 = store.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        store.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0)).unwrap();
        (store, number)
    }

    #[test]
    fn a_full_disk_keeps_the_queue_and_acknowledges_only_when_it_has_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("neo.db");
        let (tell, faults) = channel();
        let mut options = Options::new(clock);
        options.on_fault = Some(Arc::new(move |fault| tell.send(fault).unwrap()));
        let (store, session) = full_disk(&path, &options);
        let (writer, thread) = store.start_writer(session).unwrap();
        let (ack, answer) = channel();
        writer.record_durably(vec![big_fault(), big_fault()], Box::new(move |r| ack.send(r).unwrap())).unwrap();
        let first = faults.recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!(&first, WriterFault::Storage { attempts: 1, error, .. } if error.contains("full")),
            "{first:?}"
        );
        assert!(matches!(writer.halted(), Some(crate::Halt::Refused { .. })), "quoting is halted at the first refusal");
        let second = faults.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(second, WriterFault::Storage { attempts: 2, .. }), "{second:?}");
        assert!(answer.try_recv().is_err(), "nothing is acknowledged while the disk refuses");
        assert_eq!(writer.durable(), 0);
        writer.record(big_fault()).unwrap();

        let other = Connection::open(&path).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch("DROP TABLE filler").unwrap();
        assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(2));
        let recovered = faults.iter().find(|fault| matches!(fault, WriterFault::Recovered { .. }));
        assert!(recovered.is_some());
        drop(writer);
        thread.join(PATIENCE).unwrap();
        let rows: i64 = other.query_row("SELECT count(*) FROM faults", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 3, "what was queued meanwhile is there too");
    }

    #[test]
    fn a_seal_on_a_full_disk_ends_and_tells_everybody_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("neo.db");
        let (tell, faults) = channel();
        let mut options = Options::new(clock);
        options.on_fault = Some(Arc::new(move |fault| tell.send(fault).unwrap()));
        let (store, session) = full_disk(&path, &options);
        let (writer, thread) = store.start_writer(session).unwrap();
        let (ack, answer) = channel();
        let ack2 = ack.clone();
        writer.record_durably(vec![big_fault()], Box::new(move |r| ack.send(r).unwrap())).unwrap();
        faults.recv_timeout(PATIENCE).unwrap();
        writer.flush(Box::new(move |r| ack2.send(r).unwrap())).unwrap();
        let (sealed, seal_answer) = channel();
        writer.seal(Box::new(move |r| sealed.send(r).unwrap())).unwrap();
        for _ in 0..2 {
            let told = answer.recv_timeout(PATIENCE).unwrap();
            assert!(matches!(told, Err(WriteError::Storage { .. })), "{told:?}");
        }
        assert!(matches!(seal_answer.recv_timeout(PATIENCE).unwrap(), Err(WriteError::Storage { .. })));
        thread.join(PATIENCE).unwrap();
        assert!(!writer.is_alive());
    }

    #[test]
    fn a_writer_that_panics_says_so_and_answers_those_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("neo.db");
        let (store, session) = full_disk(&path, &Options::new(clock));
        let (writer, thread) = store.start_writer(session).unwrap();
        let (inside, entered) = channel();
        let (release, wait) = channel::<()>();
        writer
            .flush(Box::new(move |_| {
                inside.send(()).unwrap();
                wait.recv_timeout(PATIENCE).unwrap();
                panic!("on purpose");
            }))
            .unwrap();
        entered.recv_timeout(PATIENCE).unwrap();
        let (ack, answer) = channel();
        writer.flush(Box::new(move |r| ack.send(r).unwrap())).unwrap();
        release.send(()).unwrap();
        assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Err(WriteError::Gone));
        let error = thread.join(PATIENCE).unwrap_err().to_string();
        assert!(error.contains("on purpose"), "{error}");
        assert!(!writer.is_alive());
        assert_eq!(writer.record(big_fault()), Err(crate::QueueError::Gone));
    }
}

//! The handle through which the engine records, and the thread that it hands records to.
//!
//! Nothing here blocks: a record is queued or refused. Acknowledgements are called on the writer's thread, in the order
//! in which the messages were queued, after COMMIT; each is called exactly once, or its message was refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::checkpoint;
use crate::error::{QueueError, StoreError, WriteError};
use crate::halt::{Halt, Vitals};
use crate::lock::with_suffix;
use crate::open::{Store, sqlite};
use crate::record::{
    Checkpoint, CheckpointCause, CheckpointOwner, Class, Record, SessionEnd, SessionNumber, StopStage,
};
use crate::thread::Engine;

/// Called once on the writer's thread: after COMMIT with the sequence number up to which everything is durable, or with
/// the reason why the message is not. It must neither block nor panic.
pub type Ack = Box<dyn FnOnce(Result<u64, WriteError>) + Send>;

/// As [`Ack`], with what a checkpoint did.
pub type CheckpointReply = Box<dyn FnOnce(Result<Checkpoint, WriteError>) + Send>;

/// Places in the queue that only flush, close, stop stages and acknowledged records may use, so that a full queue
/// cannot keep a session from being closed.
const RESERVED: usize = 256;
/// Control messages that can wait; there is one timer and one stop sequence.
const CONTROL_CAPACITY: usize = 64;
/// How often a waiting join looks.
const JOIN_POLL: Duration = Duration::from_millis(2);

/// What the writer reports while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterFault {
    /// The disk or the file refuses. Everything queued is kept and tried again; nothing is acknowledged.
    Storage {
        /// What SQLite said.
        error: String,
        /// How many times in a row, this one included.
        attempts: u32,
        /// Messages that wait.
        queued: usize,
    },
    /// The disk accepts again; what was kept is durable.
    Recovered {
        /// How many attempts had failed.
        attempts: u32,
    },
    /// One record was refused; the rest of its batch was kept.
    Refused {
        /// Which kind of record.
        record: &'static str,
        /// What SQLite said.
        error: String,
    },
}

/// Why something was not queued.
#[derive(Debug)]
pub enum Refused<T> {
    /// There was no place: it comes back. Quoting is halted from here on.
    Full {
        /// How many the queue holds.
        capacity: usize,
        /// What was offered.
        item: T,
    },
    /// The writer has ended.
    Gone,
}

impl<T> Refused<T> {
    /// The same refusal of what the item becomes.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Refused<U> {
        match self {
            Refused::Full { capacity, item } => Refused::Full { capacity, item: make(item) },
            Refused::Gone => Refused::Gone,
        }
    }
}

impl<T> From<Refused<T>> for QueueError {
    fn from(refused: Refused<T>) -> QueueError {
        match refused {
            Refused::Full { capacity, .. } => QueueError::Full { capacity },
            Refused::Gone => QueueError::Gone,
        }
    }
}

/// Refused for good: the caller gets the reason only.
fn forgotten<T: Forget>(refused: Refused<T>) -> QueueError {
    match refused {
        Refused::Full { capacity, item } => {
            item.forget();
            QueueError::Full { capacity }
        }
        Refused::Gone => QueueError::Gone,
    }
}

/// A reply that is always given: dropping it unanswered says [`WriteError::Gone`].
pub(crate) struct Reply<T>(Option<ReplyFn<T>>);

type ReplyFn<T> = Box<dyn FnOnce(Result<T, WriteError>) + Send>;

impl<T> Reply<T> {
    fn new(reply: ReplyFn<T>) -> Reply<T> {
        Reply(Some(reply))
    }

    pub(crate) fn give(mut self, result: Result<T, WriteError>) {
        if let Some(reply) = self.0.take() {
            reply(result);
        }
    }

    /// The caller was told otherwise.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(WriteError::Gone));
        }
    }
}

/// What waits in the queue, in order. Small, because the queue's places are allocated at once.
pub(crate) enum Message {
    One(Box<Record>),
    Durable(Vec<Record>, Reply<u64>),
    Close(Box<SessionEnd>, Vec<StopStage>, Reply<u64>),
    Stage(StopStage),
}

/// What a queue holds. The caller was told otherwise: no answer as well.
trait Forget {
    /// True for the queue of records.
    const IS_RECORD: bool;

    fn forget(self);
}

impl Forget for Message {
    const IS_RECORD: bool = true;

    fn forget(self) {
        match self {
            Message::Durable(_, reply) | Message::Close(_, _, reply) => reply.forget(),
            Message::One(_) | Message::Stage(_) => {}
        }
    }
}

/// What overtakes the queue.
pub(crate) enum Control {
    Checkpoint(CheckpointCause, Reply<Checkpoint>),
    Seal(Reply<Checkpoint>),
}

impl Forget for Control {
    const IS_RECORD: bool = false;

    fn forget(self) {
        match self {
            Control::Checkpoint(_, reply) | Control::Seal(reply) => reply.forget(),
        }
    }
}

/// What the thread and its handles share.
///
/// The handles hold the receiving ends too, because a bounded channel keeps what is in it until the last sender is
/// gone: without this, who waits for an answer of a thread that panicked would wait for ever.
pub(crate) struct Shared {
    pub(crate) durable: AtomicU64,
    /// Counts on while the thread goes round.
    pub(crate) beats: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) vitals: Vitals,
    alive: AtomicBool,
    data: Receiver<Message>,
    control: Receiver<Control>,
}

impl Shared {
    /// Says that the thread has ended and answers with `Gone` what is still queued. A message queued at this very
    /// moment is answered by its sender, who looks at `alive` after queueing: one of the two sees the other.
    pub(crate) fn end(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.answer_gone();
    }

    fn answer_gone(&self) {
        // Dropping a message answers it.
        while self.data.try_recv().is_ok() {}
        while self.control.try_recv().is_ok() {}
    }
}

/// Ends what is shared when the thread ends, however it ends.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A handle of the writer. Cheap to clone; any thread may use it.
#[derive(Clone)]
pub struct Writer {
    data: Sender<Message>,
    control: Sender<Control>,
    shared: Arc<Shared>,
    wal_path: PathBuf,
    capacity: usize,
    monotonic_us: fn() -> u64,
}

/// The thread that owns the connection.
#[derive(Debug)]
pub struct WriterThread {
    handle: JoinHandle<()>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("durable", &self.durable())
            .field("queued", &self.queued())
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Hands the connection, and the file's lock, to a thread that records for `session`. It ends with
    /// [`Writer::seal`], or when the last handle is dropped; either way what was queued is written first.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSession`], [`StoreError::Thread`], [`StoreError::Sqlite`].
    pub fn start_writer(self, session: SessionNumber) -> Result<(Writer, WriterThread), StoreError> {
        let failed = sqlite(&self.path, "starting the writer");
        let exists = self
            .conn
            .prepare("SELECT 1 FROM sessions WHERE number = ?1")
            .and_then(|mut statement| statement.exists([session]))
            .map_err(&failed)?;
        if !exists {
            return Err(StoreError::NoSuchSession { path: self.path, number: session });
        }
        let durable: i64 =
            self.conn.query_row("SELECT durable_seq FROM meta WHERE id = 1", [], |row| row.get(0)).map_err(&failed)?;
        let page_bytes = self.page_bytes().map_err(&failed)?;
        if self.options.checkpoints == CheckpointOwner::Own {
            // What a killed engine or a replicator left may be large. Now nobody waits for the writer yet.
            checkpoint::fold(&self.conn).map_err(&failed)?;
        }
        let capacity = self.options.queue_capacity.max(1);
        let (data, data_rx) = bounded(capacity.saturating_add(RESERVED));
        let (control, control_rx) = bounded(CONTROL_CAPACITY);
        let shared = Arc::new(Shared {
            durable: AtomicU64::new(u64::try_from(durable).unwrap_or(0)),
            beats: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            vitals: Vitals::new(self.options.commit_limit_ms),
            alive: AtomicBool::new(true),
            data: data_rx.clone(),
            control: control_rx.clone(),
        });
        let (wal_path, monotonic_us) = (with_suffix(&self.path, "-wal"), self.options.monotonic_us);
        let engine = Engine::new(self, session, Arc::clone(&shared), (data_rx, control_rx), page_bytes);
        let guard = EndGuard(Arc::clone(&shared));
        let handle = std::thread::Builder::new()
            .name(String::from("neo-writer"))
            .spawn(move || {
                let _guard = guard;
                engine.run();
            })
            .map_err(|source| StoreError::Thread { source })?;
        Ok((Writer { data, control, shared, wal_path, capacity, monotonic_us }, WriterThread { handle }))
    }
}

impl Writer {
    /// Queues a record. A class B record is dropped and counted, with `Ok`, when the queue is nearly full.
    ///
    /// # Errors
    /// [`QueueError::Full`] for class A when the queue is full, [`QueueError::Gone`].
    pub fn record(&self, record: Record) -> Result<(), QueueError> {
        self.offer(Box::new(record)).map_err(|refused| refused.into())
    }

    /// As [`Writer::record`]; a record that finds no place comes back, and is nobody's unless the caller keeps it.
    ///
    /// # Errors
    /// [`Refused`] with the record.
    pub fn offer(&self, record: Box<Record>) -> Result<(), Refused<Box<Record>>> {
        if !self.is_alive() {
            return Err(Refused::Gone);
        }
        let queued = self.data.len();
        if record.class() == Class::B && queued >= self.nearly_full() {
            self.shared.coalesced.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if queued >= self.capacity {
            self.shared.vitals.full(self.capacity);
            return Err(Refused::Full { capacity: self.capacity, item: record });
        }
        match self.try_send(&self.data, Message::One(record), self.capacity) {
            Ok(()) if self.is_alive() => Ok(()),
            Ok(()) | Err(Refused::Gone) => Err(Refused::Gone),
            Err(Refused::Full { capacity, item: Message::One(record) }) => {
                Err(Refused::Full { capacity, item: record })
            }
            // What comes back is what was sent.
            Err(Refused::Full { .. }) => Err(Refused::Gone),
        }
    }

    /// Queues records that become durable together or not at all. After an `Err` here `ack` is not called.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn record_durably(&self, records: Vec<Record>, ack: Ack) -> Result<(), QueueError> {
        self.offer_durably(records, ack).map_err(|refused| refused.into())
    }

    /// As [`Writer::record_durably`]; records that find no place come back, and `ack` is not called.
    ///
    /// # Errors
    /// [`Refused`] with the records.
    pub fn offer_durably(&self, records: Vec<Record>, ack: Ack) -> Result<(), Refused<Vec<Record>>> {
        match self.try_send(&self.data, Message::Durable(records, Reply::new(ack)), self.capacity) {
            Ok(()) => Ok(()),
            Err(Refused::Full { capacity, item: Message::Durable(records, reply) }) => {
                reply.forget();
                Err(Refused::Full { capacity, item: records })
            }
            Err(Refused::Full { item, .. }) => {
                item.forget();
                Err(Refused::Gone)
            }
            Err(Refused::Gone) => Err(Refused::Gone),
        }
    }

    /// Calls `ack` when everything queued before is durable.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn flush(&self, ack: Ack) -> Result<(), QueueError> {
        self.record_durably(Vec::new(), ack)
    }

    /// Closes the session, after all that is queued and in the same commit as the last of it.
    ///
    /// The acknowledgement is [`WriteError::AlreadyClosed`] when somebody closed it before; the stages are kept.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn close_session(&self, end: SessionEnd, stages: Vec<StopStage>, ack: Ack) -> Result<(), QueueError> {
        self.send(Message::Close(Box::new(end), stages, Reply::new(ack)))
    }

    /// Records a stop stage's outcome, also after the session was closed.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn add_stop_stage(&self, stage: StopStage) -> Result<(), QueueError> {
        self.send(Message::Stage(stage))
    }

    /// Writes the WAL back into the file and truncates it, before what is queued. The reply comes when the row that
    /// tells of it is durable.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn checkpoint(&self, cause: CheckpointCause, reply: CheckpointReply) -> Result<(), QueueError> {
        self.send_control(Control::Checkpoint(cause, Reply::new(reply)))
    }

    /// Writes all that was queued, checkpoints, closes the connection and ends the thread. When the reply comes the
    /// lock is released and, unless another process has the file open, no `-wal` is left. Those who record must have
    /// ended before: what is queued during the seal is not written.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn seal(&self, reply: CheckpointReply) -> Result<(), QueueError> {
        self.send_control(Control::Seal(Reply::new(reply)))
    }

    /// The sequence number up to which every record is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Why nothing new may be quoted, if so; also while a commit hangs. The first reason stands for the session.
    #[must_use]
    pub fn halted(&self) -> Option<&Halt> {
        self.shared.vitals.look((self.monotonic_us)())
    }

    /// How long the commit or checkpoint that runs now has been running, in microseconds; 0 while none runs.
    #[must_use]
    pub fn commit_running_us(&self) -> u64 {
        self.shared.vitals.running_us((self.monotonic_us)())
    }

    /// Messages that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.data.len()
    }

    /// Class B records that were dropped in this session.
    #[must_use]
    pub fn coalesced(&self) -> u64 {
        self.shared.coalesced.load(Ordering::Relaxed)
    }

    /// Size of the WAL; 0 when there is none. Asks for the size only: opening the file would drop SQLite's locks.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        wal_bytes(&self.wal_path)
    }

    /// A number that goes on, at least twice a second, while the thread is neither frozen nor gone. One that stands
    /// still for long is a disk or a lock that holds the thread for ever.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.shared.beats.load(Ordering::Relaxed)
    }

    /// False once the thread has ended.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.shared.alive.load(Ordering::SeqCst)
    }

    /// Seven eighths: from here on class B gives way to class A.
    fn nearly_full(&self) -> usize {
        self.capacity - self.capacity / 8
    }

    fn send(&self, message: Message) -> Result<(), QueueError> {
        self.try_send(&self.data, message, self.capacity).map_err(forgotten)
    }

    fn send_control(&self, control: Control) -> Result<(), QueueError> {
        self.try_send(&self.control, control, CONTROL_CAPACITY).map_err(forgotten)
    }

    /// Queues without waiting. What is refused must not be answered as well: whoever gets it back forgets it.
    fn try_send<T: Forget>(&self, queue: &Sender<T>, item: T, capacity: usize) -> Result<(), Refused<T>> {
        if !self.is_alive() {
            item.forget();
            return Err(Refused::Gone);
        }
        match queue.try_send(item) {
            Ok(()) => {}
            Err(TrySendError::Full(item)) => {
                // The queue of records holds what must not be lost; that of checkpoints does not.
                if T::IS_RECORD {
                    self.shared.vitals.full(capacity);
                }
                return Err(Refused::Full { capacity, item });
            }
            Err(TrySendError::Disconnected(item)) => {
                item.forget();
                return Err(Refused::Gone);
            }
        }
        if !self.is_alive() {
            self.shared.answer_gone();
        }
        Ok(())
    }
}

/// Size of the WAL file; 0 when there is none or it cannot be asked for.
pub(crate) fn wal_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

impl WriterThread {
    /// True once the thread has ended, by a panic too.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits at most `deadline` for the thread to end.
    ///
    /// # Errors
    /// [`JoinError::Deadline`] with the thread, so that the wait can go on; [`JoinError::Panicked`].
    pub fn join(self, deadline: Duration) -> Result<(), JoinError> {
        let mut waited = Duration::ZERO;
        while !self.handle.is_finished() {
            if waited >= deadline {
                return Err(JoinError::Deadline(self));
            }
            std::thread::sleep(JOIN_POLL);
            waited = waited.saturating_add(JOIN_POLL);
        }
        self.handle.join().map_err(|payload| {
            let text = payload
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| String::from("(no message)"));
            JoinError::Panicked(text)
        })
    }
}

/// Why the writer's thread was not seen to end well.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It still runs.
    #[error("the writer's thread has not ended in time; wait longer, or close the session directly")]
    Deadline(WriterThread),
    /// It ended by a panic; what it had acknowledged is durable.
    #[error("the writer's thread panicked: {0}; close the session directly and start the engine again")]
    Panicked(String),
}

//! The record: one SQLite file, one writer, sessions that always close.
//!
//! [`Store::open`] locks, checks, migrates and recovers the file; [`Store::begin_session`] numbers a session;
//! [`Store::start_writer`] hands the only connection that writes or checkpoints to one thread and returns the
//! [`Writer`] through which the engine records. [`Reader`] reads beside it. [`close_directly`] is the last resort of a
//! stop whose writer does not answer.
//!
//! What is acknowledged is durable: WAL with `synchronous=FULL`, acknowledged after COMMIT. Money is never REAL: drops
//! are INTEGER, decimals TEXT. An unknown value is NULL with a reason beside it.

mod apply;
pub mod backup;
pub mod checkpoint;
pub mod close;
mod columns;
pub mod error;
pub mod export;
pub mod halt;
pub mod lock;
mod look;
mod mark_outs;
pub mod mend;
mod moves;
pub mod old;
pub mod open;
mod place;
pub mod read;
pub mod reconcile;
pub mod record;
pub mod recover;
pub mod repair;
pub mod restore;
pub mod risk;
pub mod rows;
pub mod schema;
pub mod session;
pub mod stop_note;
pub mod thin;
mod thread;
mod untouched;
pub mod verify;
mod wal;
pub mod world;
pub mod writer;

pub use backup::{BackupError, Retention};
pub use close::{close_directly, is_closed};
pub use error::{QueueError, StoreError, WriteError};
pub use export::{Cell, Export, ExportTable};
pub use halt::Halt;
pub use lock::{Lock, LockError, lock_path};
pub use moves::SessionMoves;
pub use open::{Identity, Options, Store};
pub use place::refuse_share;
pub use read::Reader;
pub use reconcile::Reconciliation;
pub use recover::Recovery;
pub use risk::WorthRow;
pub use rows::{FaultRow, IntentRow, OpenOrder, OrderRow, Recorded, RecordedFee, SessionRow};
pub use stop_note::StopNote;
pub use thin::Thinned;
pub use verify::verify;
pub use world::{Forsaken, LastLedger};
pub use writer::{Ack, CheckpointReply, Refused, Writer, WriterFault, WriterThread};

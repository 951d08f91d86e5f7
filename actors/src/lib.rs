//! The engine's actors: feed, orders, valuer, writer, checkpoint.
//!
//! Each is a thin shell around a pure core (`NAME/core.rs`): the shell moves messages, the core holds every rule and is
//! tested without a mailbox, a network or a clock. No actor names another: each is given recipients for what it says.

pub mod checkpoint;
pub mod clock;
pub mod feed;
pub mod guard;
pub mod heard;
pub mod messages;
mod moved;
pub mod orders;
pub mod outbox;
pub mod outside;
pub mod panics;
pub mod recording;
pub mod socket;
pub mod status;
pub mod tell;
pub mod valuer;
pub mod writer;

pub use guard::{ActorName, Guard, SupervisorEvent};
pub use status::{SharedStatus, Status};

/// Messages that may wait in a mailbox. Everything is sent with `try_send`: a full mailbox is a fault, not a silence.
pub const MAILBOX_CAPACITY: usize = 4_096;

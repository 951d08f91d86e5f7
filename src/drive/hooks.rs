//! What passes between the cores, and what whoever drives them may see and decide of it.

use neo_actors::feed::core::FeedError;
use neo_actors::messages::{LedgerUpdate, OrdersCommand, RiskNote, Submission, SubmissionReply};
use neo_actors::orders::core::OrdersError;
use neo_market::AmountError;
use neo_store::record::Record;
use thiserror::Error;

/// Why the cores cannot go on.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The feed cannot.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The orders cannot.
    #[error(transparent)]
    Orders(#[from] OrdersError),
    /// Amounts that do not add up.
    #[error("amounts do not add up: {0}")]
    Amount(#[from] AmountError),
    /// No ledger came any more.
    #[error("no ledger came for an hour after ledger {ledger}; the market ends there, or report it")]
    Stuck {
        /// The last one.
        ledger: u32,
    },
    /// Somebody else trades on the account.
    #[error("another program trades on the account: {0}; give sim.maker an account of its own, or leave it out")]
    Stranger(String),
    /// Something of what was wanted cannot be signed.
    #[error("{0}")]
    Broken(String),
}

/// A message on its way from one core to another.
#[derive(Clone, Debug)]
pub enum Event {
    /// The feed wants a connection.
    Connect,
    /// The orders want our offers listed again.
    ListAgain,
    /// The connection is cut.
    Cut,
    /// Text for the node.
    ToNode(String),
    /// Text of the node.
    FromNode(String),
    /// A complete ledger for valuer and orders.
    Update(Box<LedgerUpdate>),
    /// What the node said of a submission.
    Reply(SubmissionReply),
    /// Intents for the record.
    Persist(u64, Vec<Record>),
    /// The record's answer.
    Durable(u64),
    /// A signed transaction for the feed.
    Submit(Submission),
    /// The engine is done with a ledger.
    Done(u32),
    /// The operator wants something.
    Command(OrdersCommand),
}

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// It is lost.
    Lost,
    /// It arrives twice: now, and once more at the end of the queue.
    Doubled,
    /// It goes to the end of the queue.
    Late,
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Messages and pauses so far, this one included.
    pub step: u64,
    /// Virtual time since the beginning, in milliseconds.
    pub ms: u64,
}

/// What is seen of a drive and decided by whoever wants it. Only [`Hooks::record`] has to be there: without the rest every
/// message arrives, and what ends a session ends the drive.
pub trait Hooks {
    /// Something is recorded.
    fn record(&mut self, at: Moment, record: Record);

    /// Intents are recorded; they are sent when this is done.
    fn intents(&mut self, at: Moment, intents: Vec<Record>) {
        intents.into_iter().for_each(|record| self.record(at, record));
    }

    /// A message is about to arrive: what becomes of it?
    fn fate(&mut self, _at: Moment, _event: &Event) -> Fate {
        Fate::Arrives
    }

    /// The feed leaves its node, or cannot reach it, for this reason.
    fn warned(&mut self, _at: Moment, reason: &str) {
        tracing::debug!(%reason, "the feed warns");
    }

    /// Intents were signed, and are on their way to the record.
    fn signed(&mut self, _intents: &[Record]) {}

    /// Cancels go out without a durable record.
    fn unrecorded(&mut self, _cancels: &[Submission]) {}

    /// Orders and valuer are done with a ledger.
    fn worked_through(&mut self, _update: &LedgerUpdate) {}

    /// Trading time is over: what are the orders told?
    fn elapsed(&mut self) -> Option<OrdersCommand> {
        Some(OrdersCommand::Withdraw)
    }

    /// A trigger tripped, or is not tripped any more: what are the orders told?
    fn risk(&mut self, _note: RiskNote) -> Option<OrdersCommand> {
        None
    }

    /// Another program trades on the account.
    ///
    /// # Errors
    /// The cause, where that is the end.
    fn stranger(&mut self, cause: String) -> Result<(), DriveError> {
        Err(DriveError::Stranger(cause))
    }
}

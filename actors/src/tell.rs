//! How a part tells another something without knowing what it is: an actor's mailbox, or a queue of the supervisor.

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use crossbeam_channel::{Sender, TrySendError};
use thiserror::Error;

/// Hands a message over without waiting.
pub type Tell<M> = Arc<dyn Fn(M) -> Result<(), Untold> + Send + Sync>;

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Untold {
    /// The receiver does not keep up.
    #[error("its queue is full")]
    Full,
    /// The receiver is gone.
    #[error("it is gone")]
    Gone,
}

/// To an actor's mailbox.
#[must_use]
pub fn to_actor<A, M>(address: Addr<A>) -> Tell<M>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    Arc::new(move |message| {
        address.try_send(message).map_err(|error| match error {
            actix::prelude::SendError::Full(_) => Untold::Full,
            actix::prelude::SendError::Closed(_) => Untold::Gone,
        })
    })
}

/// To a queue, in which the message is wrapped.
#[must_use]
pub fn to_queue<M: 'static, W: Send + 'static>(queue: Sender<W>, wrap: fn(M) -> W) -> Tell<M> {
    Arc::new(move |message| {
        queue.try_send(wrap(message)).map_err(|error| match error {
            TrySendError::Full(_) => Untold::Full,
            TrySendError::Disconnected(_) => Untold::Gone,
        })
    })
}

//! The socket's task: moves text between a node and the feed, on the feed's thread, and shows that it lives.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use neo_failpoint::Place;
use neo_ledger::client::{self, ClientEvent, Endpoint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::monotonic_ms;
use crate::panics;

/// The name of the task in logs and fault rows.
pub const NAME: &str = "websocket";
/// Messages of the node that may wait; a node closes a slow reader, so an engine this far behind starts afresh instead.
const QUEUE: usize = 8_192;
/// How often the task shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

/// The task of one connection. Dropping it closes the connection in order, if the task still runs.
pub struct SocketTask {
    outgoing: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
    beat_ms: Arc<AtomicU64>,
    overrun: Arc<AtomicBool>,
}

impl SocketTask {
    /// Opens a connection; what happens on it comes out of the queue.
    #[must_use]
    pub fn start(endpoint: Endpoint) -> (SocketTask, mpsc::Receiver<ClientEvent>) {
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (heard, events) = mpsc::channel(QUEUE);
        let overrun = Arc::new(AtomicBool::new(false));
        // A full queue ends the connection: what is missing is read afresh, never skipped.
        let (mut heard, full) = (Some(heard), Arc::clone(&overrun));
        let talk = client::run(endpoint, to_send, move |event| {
            if heard.as_ref().is_some_and(|queue| queue.try_send(event).is_err()) {
                full.store(true, Ordering::Release);
                heard = None;
            }
        });
        let beat_ms = Arc::new(AtomicU64::new(monotonic_ms()));
        let task = actix::spawn(alive(talk, Arc::clone(&beat_ms)));
        (SocketTask { outgoing, task, beat_ms, overrun }, events)
    }

    /// Sends text; false when the task has ended, which its queue tells too.
    #[must_use]
    pub fn send(&self, text: String) -> bool {
        self.outgoing.send(text).is_ok()
    }

    /// True when it has shown no sign of life for `limit_ms`.
    #[must_use]
    pub fn is_frozen(&self, now_ms: u64, limit_ms: u64) -> bool {
        !self.task.is_finished() && now_ms.saturating_sub(self.beat_ms.load(Ordering::Acquire)) > limit_ms
    }

    /// True when it ended because nobody took what it heard.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Acquire)
    }

    /// Ends it without a goodbye.
    pub fn abort(&self) {
        self.task.abort();
    }
}

/// Beats while `talk` goes on, under the task's own name.
async fn alive(talk: impl Future<Output = ()>, beat_ms: Arc<AtomicU64>) {
    let beating = async {
        loop {
            beat_ms.store(monotonic_ms(), Ordering::Release);
            tokio::time::sleep(BEAT).await;
        }
    };
    let both = async {
        tokio::select! {
            () = talk => {}
            () = beating => {}
        }
    };
    let mut both = pin!(both);
    poll_fn(|cx| {
        panics::named(NAME, || match neo_failpoint::hit(Place::WebSocket) {
            Ok(()) => both.as_mut().poll(cx),
            Err(_) => std::task::Poll::Ready(()),
        })
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_does_nothing_any_more_is_frozen_and_one_that_ended_is_not() {
        actix::System::new().block_on(async {
            let (task, mut events) = SocketTask::start("ws://127.0.0.1:1".to_string().into());
            let later_ms = monotonic_ms() + 60_000;
            assert!(task.is_frozen(later_ms, 10_000));
            assert!(!task.is_frozen(monotonic_ms(), 10_000));
            assert!(matches!(events.recv().await, Some(ClientEvent::Failed { .. })));
            assert_eq!(events.recv().await, None);
            tokio::task::yield_now().await;
            assert!(!task.is_frozen(later_ms, 10_000) && !task.is_overrun());
        });
    }
}

//! The watchdog: a plain thread, independent of every actor and runtime, that ends a stop sequence which hangs.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use neo_actors::clock::now;
use neo_store::close::close_directly;
use neo_store::record::{EndReason, EndedAtSource, SessionEnd, SessionNumber};

use super::stop::Deadlines;
use crate::exit::ExitCode;

/// What the stages may take beyond their own deadlines before they count as hanging.
const GRACE_MS: u64 = 10_000;

/// Armed while the stop sequence runs.
pub struct Watchdog {
    disarm: Sender<()>,
}

impl Watchdog {
    /// Starts watching. If the sequence is not over in time, the session is closed over a connection of its own and the
    /// process ends with the deadline's exit code.
    #[must_use]
    pub fn start(path: PathBuf, session: SessionNumber, deadlines: Deadlines) -> Watchdog {
        let (disarm, disarmed) = bounded::<()>(1);
        let patience = Duration::from_millis(deadlines.whole_ms.saturating_add(GRACE_MS));
        std::thread::spawn(move || {
            if disarmed.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                bite(&path, session);
            }
        });
        Watchdog { disarm }
    }

    /// The sequence is over.
    pub fn disarm(self) {
        if self.disarm.try_send(()).is_err() {
            tracing::warn!("the watchdog's thread is gone");
        }
    }
}

fn bite(path: &std::path::Path, session: SessionNumber) {
    tracing::error!("the stop sequence hangs; the watchdog closes the session");
    let end = SessionEnd {
        ended_at: now(),
        ended_at_source: EndedAtSource::Watchdog,
        ending_value_rlusd: Err("the stop sequence hung".to_string()),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: EndReason::Deadline,
        end_detail: Some(r#"{"cause":"the stop sequence hung"}"#.to_string()),
    };
    match close_directly(path, session, &end, &[]) {
        Ok(wrote) => tracing::error!(wrote, "closed by the watchdog"),
        Err(error) => tracing::error!(%error, "the watchdog could not close the session; the next start does"),
    }
    std::process::exit(ExitCode::Deadline.code());
}

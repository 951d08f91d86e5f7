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

/// Armed from the first moment of the stop until the process is about to end.
pub struct Watchdog {
    tell: Sender<Word>,
}

enum Word {
    /// Somebody is in a hurry: the urgent deadline counts from now.
    Hurry,
    /// The sequence is over.
    Disarm,
}

impl Watchdog {
    /// Starts watching. If the sequence is not over in time, the session is closed over a connection of its own and the
    /// process ends with the deadline's exit code.
    #[must_use]
    pub fn start(path: PathBuf, session: SessionNumber, deadlines: Deadlines) -> Watchdog {
        let (tell, told) = bounded(4);
        std::thread::spawn(move || {
            let mut wait = patience(deadlines.whole_ms);
            loop {
                match told.recv_timeout(wait) {
                    Ok(Word::Hurry) => wait = patience(deadlines.urgent_ms),
                    Ok(Word::Disarm) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => bite(&path, session),
                }
            }
        });
        Watchdog { tell }
    }

    /// Somebody is in a hurry.
    pub fn hurry(&self) {
        self.say(Word::Hurry);
    }

    /// The sequence is over.
    pub fn disarm(self) {
        self.say(Word::Disarm);
    }

    fn say(&self, word: Word) {
        if self.tell.try_send(word).is_err() {
            tracing::warn!("the watchdog does not listen");
        }
    }
}

/// How long a sequence with this deadline may take before it counts as hanging.
#[must_use]
pub fn patience(deadline_ms: u64) -> Duration {
    Duration::from_millis(deadline_ms.saturating_add(GRACE_MS))
}

fn bite(path: &std::path::Path, session: SessionNumber) -> ! {
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
    std::process::exit(ExitCode::Deadline.code())
}

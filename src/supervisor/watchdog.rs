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
/// The same when the console was closed, ...
const CONSOLE_GRACE_MS: u64 = 1_000;
/// ... and the longest wait then: Windows ends the process after five seconds, and closing the session directly may wait
/// half a second for a lock.
const CONSOLE_WAIT_MAX_MS: u64 = 4_200;

/// Armed from the first moment of the stop until the process is about to end.
pub struct Watchdog {
    tell: Sender<Word>,
}

enum Word {
    /// Somebody is in a hurry: the urgent deadline counts from now.
    Hurry,
    /// The console was closed: the system ends the process soon.
    ConsoleClosed,
    /// The sequence is over.
    Disarm,
}

impl Watchdog {
    /// Starts watching. If the sequence is not over in time, the session is closed over a connection of its own and the
    /// process ends with the deadline's exit code.
    #[must_use]
    pub fn start(path: PathBuf, session: SessionNumber, deadlines: Deadlines) -> Watchdog {
        let (tell, told) = bounded(4);
        let patience = |ms: u64| Duration::from_millis(ms.saturating_add(GRACE_MS));
        std::thread::spawn(move || {
            let mut wait = patience(deadlines.whole_ms);
            loop {
                match told.recv_timeout(wait) {
                    Ok(Word::Hurry) => wait = patience(deadlines.urgent_ms),
                    Ok(Word::ConsoleClosed) => wait = console_patience(deadlines),
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

    /// The console was closed: less than five seconds are left.
    pub fn console_closed(&self) {
        self.say(Word::ConsoleClosed);
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

fn console_patience(deadlines: Deadlines) -> Duration {
    Duration::from_millis(deadlines.urgent_ms.saturating_add(CONSOLE_GRACE_MS).min(CONSOLE_WAIT_MAX_MS))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_console_leaves_the_watchdog_time_to_close_the_session() {
        // Every urgent deadline that the configuration takes, and absurd ones.
        for urgent_ms in [0, 200, 3_000, 4_500, u64::MAX] {
            let patience = console_patience(Deadlines { whole_ms: 30_000, urgent_ms });
            assert!(patience + Duration::from_millis(500) < Duration::from_secs(5), "{urgent_ms}: {patience:?}");
        }
        assert_eq!(console_patience(Deadlines { whole_ms: 30_000, urgent_ms: 3_000 }), Duration::from_secs(4));
    }
}

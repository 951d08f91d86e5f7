//! What the operator sees while the engine runs: a status block on a terminal, plain lines elsewhere, or JSON lines.
//!
//! The pictures are made by [`render`] and [`plain_line`], from the status alone. A thread of its own shows them,
//! through the screen's thread, so that no terminal ever holds up an actor or the stop sequence.

mod closing;
mod render;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use neo_actors::clock::{monotonic_ms, now};
use neo_actors::status::Phase;
use neo_actors::{SharedStatus, Status};
use neo_store::record::{EndReason, StopStage};
use serde_json::{Map, Value, json};

use crate::logging::{self, Screen};
use crate::output::printable;
use crate::progress;
use crate::supervisor::{self, Ending};
use closing::{closed_fields, summary};
pub(crate) use render::signed;
pub use render::{plain_line, render};

/// Five pictures a second at most.
const TICK: Duration = Duration::from_millis(200);
/// A plain line at least this long after the one before.
const PLAIN_EVERY_MS: u64 = 5_000;
/// How long a picture waits for the status.
const STATUS_LOCK: Duration = Duration::from_millis(100);

/// How the status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A block that is drawn again in its place.
    Block,
    /// A plain line every few seconds.
    Plain,
    /// A JSON object a line, for each ledger (at most five a second).
    Json,
    /// How far a replay is, in the place of the block.
    Bar {
        /// The recording's first ledger.
        first: u32,
        /// Its last.
        last: u32,
    },
    /// Nothing at all.
    Nothing,
}

/// What is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The status.
    Status,
    /// JSON lines.
    Json,
    /// How far a replay of these ledgers is.
    Bar {
        /// The recording's first ledger.
        first: u32,
        /// Its last.
        last: u32,
    },
    /// Nothing: somebody else tells of the session.
    Nothing,
}

impl Style {
    /// What standard output can show of what is asked for.
    #[must_use]
    pub fn choose(look: Look, screen: &Screen) -> Style {
        match (look, screen.has_block()) {
            (Look::Json, _) => Style::Json,
            (Look::Nothing, _) => Style::Nothing,
            (Look::Status, true) => Style::Block,
            (Look::Bar { first, last }, true) => Style::Bar { first, last },
            (Look::Status | Look::Bar { .. }, false) => Style::Plain,
        }
    }

    const fn tells_in_words(self) -> bool {
        !matches!(self, Style::Json | Style::Nothing)
    }
}

/// Shows the status, and what happens to the session, until it is closed.
pub struct Dashboard {
    screen: Screen,
    style: Style,
    status: SharedStatus,
    // Dropped at the end: that ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dashboard {
    /// Starts to show `status` where the log is shown too; JSON lines go to standard output.
    ///
    /// # Errors
    /// What the system said when it could not start a thread.
    pub fn new(status: SharedStatus, look: Look) -> io::Result<Dashboard> {
        let screen = logging::screen()?;
        let style = Style::choose(look, &screen);
        Dashboard::start(screen, status, style)
    }

    /// Starts to show `status` on `screen`.
    ///
    /// # Errors
    /// What the system said when it could not start a thread.
    pub fn start(screen: Screen, status: SharedStatus, style: Style) -> io::Result<Dashboard> {
        let (stop, stopped) = bounded(0);
        let (for_thread, shown) = (screen.clone(), Arc::clone(&status));
        let thread = thread::Builder::new()
            .name("neo-dashboard".to_string())
            .spawn(move || show(&for_thread, &shown, style, &stopped))?;
        Ok(Dashboard { screen, style, status, stop: Some(stop), thread: Some(thread) })
    }

    /// Something happened: an object on standard output with `--json`, nothing otherwise (the log tells it).
    pub fn event(&self, event: &str, fields: Value) {
        if self.style == Style::Json {
            self.screen.print(event_line(event, fields));
        }
    }

    /// The session has a number, a record and a ledger.
    pub fn session_started(&self, session: i64, db: &Path, url: &str) {
        self.event("session_started", json!({ "session": session, "db": db, "url": url, "pid": std::process::id() }));
        if self.style.tells_in_words() {
            self.screen.print(format!(
                "S{session} started on {}, recorded in {}; Ctrl-C or `neo stop` ends it in order",
                printable(url),
                printable(&db.display().to_string())
            ));
        }
    }

    /// The session is closed: takes the block away and says how it ended and where the records are.
    pub fn session_closed(&mut self, ending: &Ending, db: &Path, session: i64) {
        self.end();
        let status = self.status.try_lock_for(STATUS_LOCK).map(|status| status.clone()).unwrap_or_default();
        if self.style == Style::Json {
            self.event("session_closed", closed_fields(ending, &status, db, session));
            return;
        }
        if !self.style.tells_in_words() {
            return;
        }
        for line in summary(ending, &status, db, session) {
            self.screen.print(line);
        }
    }

    fn end(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        if thread.join().is_err() {
            tracing::error!("the dashboard's thread panicked");
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.end();
    }
}

impl supervisor::Screen for Dashboard {
    fn tick(&mut self) {
        // The thread has its own rhythm, which goes on through the stop sequence.
    }

    fn stopping(&mut self, reason: EndReason) {
        self.event("stopping", json!({ "end_reason": reason }));
    }

    fn stage(&mut self, row: &StopStage) {
        self.event("stage", json!(row));
    }
}

fn show(screen: &Screen, status: &SharedStatus, style: Style, stopped: &Receiver<()>) {
    let mut pace = Pace::default();
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        // Whoever holds the status longer than this is the supervisor's business.
        let Some(status) = status.try_lock_for(STATUS_LOCK).map(|status| status.clone()) else { continue };
        match style {
            Style::Block => {
                // One column is left free: a full last column wraps on some terminals.
                let width = usize::from(console::Term::stdout().size().1).saturating_sub(1);
                screen.block(render(&status, width, now()));
            }
            Style::Bar { first, last } => {
                let done = u64::from(status.ledger_index.saturating_sub(first));
                let what = format!("ledger {} of {last}", status.ledger_index);
                screen.block(vec![progress::line(&what, done, Some(u64::from(last.saturating_sub(first))))]);
            }
            Style::Plain if pace.due(&status, monotonic_ms(), PLAIN_EVERY_MS) => screen.print(plain_line(&status)),
            Style::Json if pace.due(&status, monotonic_ms(), 0) => screen.print(ledger_line(&status)),
            Style::Plain | Style::Json | Style::Nothing => {}
        }
    }
    screen.block(Vec::new());
}

/// Decides when a line is due: on a change of phase at once, on a new ledger when the last line is old enough.
#[derive(Debug, Default)]
struct Pace {
    shown: Option<(Phase, u32, u64)>,
}

impl Pace {
    fn due(&mut self, status: &Status, now_ms: u64, every_ms: u64) -> bool {
        let due = match self.shown {
            None => status.ledger_index != 0,
            Some((phase, ledger, at_ms)) => {
                let new_ledger = ledger != status.ledger_index && now_ms.saturating_sub(at_ms) >= every_ms;
                phase != status.phase || new_ledger
            }
        };
        if due {
            self.shown = Some((status.phase, status.ledger_index, now_ms));
        }
        due
    }
}

/// One JSON line: `{"event": EVENT, ...fields}`. Fields that are no object stand under `value`.
#[must_use]
pub fn event_line(event: &str, fields: Value) -> String {
    let mut line = Map::new();
    line.insert("event".to_string(), event.into());
    match fields {
        Value::Object(fields) => line.extend(fields.into_iter().filter(|(name, _)| name != "event")),
        Value::Null => {}
        other => {
            line.insert("value".to_string(), other);
        }
    }
    Value::Object(line).to_string()
}

fn ledger_line(status: &Status) -> String {
    match serde_json::to_value(status) {
        Ok(fields) => event_line("ledger", fields),
        Err(error) => event_line("error", Value::String(format!("the status is no JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: Phase, ledger_index: u32) -> Status {
        Status { phase, ledger_index, ..Status::default() }
    }

    #[test]
    fn a_line_is_due_for_a_new_ledger_after_a_while_and_for_a_new_phase_at_once() {
        let mut pace = Pace::default();
        assert!(!pace.due(&status(Phase::Starting, 0), 0, 1_000));
        assert!(pace.due(&status(Phase::Quoting, 7), 10, 1_000));
        assert!(!pace.due(&status(Phase::Quoting, 8), 1_009, 1_000));
        assert!(pace.due(&status(Phase::Quoting, 9), 1_010, 1_000));
        assert!(!pace.due(&status(Phase::Quoting, 9), 9_000, 1_000));
        assert!(pace.due(&status(Phase::Stopping, 9), 9_001, 1_000));
    }

    #[test]
    fn events_are_flat_objects_and_keep_their_name() {
        assert_eq!(event_line("stage", json!({"ms": 3, "event": "x"})), r#"{"event":"stage","ms":3}"#);
        assert_eq!(event_line("started", Value::Null), r#"{"event":"started"}"#);
        assert_eq!(event_line("n", json!(3)), r#"{"event":"n","value":3}"#);
        let line: Value = serde_json::from_str(&ledger_line(&status(Phase::Quoting, 7))).unwrap();
        assert_eq!((&line["event"], &line["ledger_index"]), (&json!("ledger"), &json!(7)));
    }
}

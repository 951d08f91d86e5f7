//! The log: lines for people on standard error, JSON lines in a file for each day beside the database.
//!
//! Both say which session and which actor. Nothing here panics, prints or waits for a terminal: an engine whose
//! terminal is closed still has to close its session.

mod file;
mod rolling;
mod screen;

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use neo_actors::panics;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use screen::Devices;
pub use screen::Screen;

use crate::output::printable;
use file::{LogFile, Written};
use rolling::Rolling;

/// How long the end of the process waits for a terminal.
const FLUSH: Duration = Duration::from_millis(500);
/// How long a log line waits for the file, once: a disk that hangs is not waited for again.
const FILE_WAIT: Duration = Duration::from_millis(500);

/// Set once, by [`init`].
static SCREEN: OnceLock<Screen> = OnceLock::new();

/// Zero until a session has a number.
static SESSION: AtomicI64 = AtomicI64::new(0);

/// What standard error shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StderrStyle {
    /// Lines for people.
    Human,
    /// Nothing.
    Off,
}

/// Keeps the log alive. Dropping it waits half a second at most for lines that are still on their way to the terminal.
pub struct LogGuard {
    screen: Screen,
    dir: PathBuf,
    stem: String,
    shared: Arc<Shared>,
}

impl LogGuard {
    /// The file that log lines go to at `now`.
    #[must_use]
    pub fn file(&self, now: DateTime<Utc>) -> PathBuf {
        rolling::path(&self.dir, &self.stem, now.date_naive())
    }

    /// Log lines that are not in the file: the disk refused them.
    #[must_use]
    pub fn lines_lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if !self.screen.flush(FLUSH) {
            tracing::debug!("the terminal does not take its lines");
        }
    }
}

/// The screen that the log writes to: everything else that is shown while the engine runs goes there as well. Without
/// [`init`] it is a new one.
///
/// # Errors
/// What the system said when it could not start a thread.
pub fn screen() -> io::Result<Screen> {
    match SCREEN.get() {
        Some(screen) => Ok(screen.clone()),
        None => Screen::start(Devices::standard(true)),
    }
}

/// The session that log lines name from now on.
pub fn set_session(number: i64) {
    SESSION.store(number, Ordering::Relaxed);
}

/// Starts the log of this process: standard error as `style` says, and `FILE_STEM.DATE.jsonl` in `dir`. `level` is
/// `error`, `warn`, `info`, `debug` or `trace` (libraries stay at `warn`), or targets such as
/// `info,neo_actors::feed=debug`. Of the daily files the newest `keep` stay. Panics are logged too.
///
/// # Errors
/// A level that is none, a folder or a file that cannot be written, a second call.
pub fn init(level: &str, dir: &Path, file_stem: &str, keep: usize, style: StderrStyle) -> anyhow::Result<LogGuard> {
    let targets = targets(level)?;
    let now = neo_actors::clock::now();
    let file = Rolling::open(dir, file_stem, keep, now)
        .with_context(|| format!("no log file in {}; give write permission or set log.dir", dir.display()))?;
    let screen = Screen::start(Devices::standard(style == StderrStyle::Human)).context("no thread for the screen")?;
    let lost = Arc::new(AtomicU64::new(0));
    let file = LogFile::start(file, Arc::clone(&lost), FILE_WAIT).context("no thread for the log file")?;
    let shared = Arc::new(Shared { file, lost });
    let lines = Lines {
        shared: Arc::clone(&shared),
        screen: screen.clone(),
        color: style == StderrStyle::Human && console::colors_enabled_stderr(),
        clock: neo_actors::clock::now,
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init().context("the log is already started")?;
    if SCREEN.set(screen.clone()).is_err() {
        bail!("the log is already started");
    }
    log_panics();
    Ok(LogGuard { screen, dir: dir.to_path_buf(), stem: file_stem.to_string(), shared })
}

fn targets(level: &str) -> anyhow::Result<Targets> {
    let fix = "use error, warn, info, debug, trace, or targets such as info,neo_actors::feed=debug";
    if level.contains(['=', ',']) {
        return level.parse().with_context(|| format!("log.level {level:?} is not understood; {fix}"));
    }
    let Ok(ours) = level.parse::<LevelFilter>() else { bail!("log.level {level:?} is not a level; {fix}") };
    Ok(Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("neo", ours))
}

/// A panic is logged where everything else is, instead of being printed through the status block.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let panics::Panic { part, message, backtrace } = panics::note(panic);
        tracing::error!(actor = part, backtrace, "{message}");
    }));
}

struct Shared {
    file: LogFile,
    lost: Arc<AtomicU64>,
}

/// Writes each event twice.
struct Lines {
    shared: Arc<Shared>,
    screen: Screen,
    color: bool,
    clock: fn() -> DateTime<Utc>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = (self.clock)();
        let line = Line::new(event, now);
        self.screen.log(line.human(self.color));
        let refused = match self.shared.file.append(line.json(), now) {
            Written::Done | Written::Waits => return,
            Written::Lost => None,
            Written::Refused(error) => Some(error),
        };
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = refused {
            self.screen.log(format!("the log file cannot be written ({error}); free space, or set log.dir"));
        }
    }
}

/// One event, taken apart.
struct Line {
    at: DateTime<Utc>,
    level: Level,
    target: String,
    session: i64,
    actor: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    fn new(event: &Event<'_>, at: DateTime<Utc>) -> Line {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        Line {
            at,
            level: *meta.level(),
            target: meta.target().to_string(),
            session: SESSION.load(Ordering::Relaxed),
            actor: fields.actor.unwrap_or_else(|| actor(meta.target()).to_string()),
            message: fields.message,
            fields: fields.others,
        }
    }

    /// `19:21:19.123 WARN  S39 feed: the node is silent silent_ms=20000`
    fn human(&self, color: bool) -> String {
        let mut text = self.at.format("%H:%M:%S%.3fZ ").to_string();
        let code = match self.level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            _ => "2",
        };
        let level = self.level.as_str();
        // Writing to a String cannot fail; the results are collected so that none is passed over.
        let mut done = if color { write!(text, "\x1b[{code}m{level:<5}\x1b[0m ") } else { write!(text, "{level:<5} ") };
        if self.session != 0 {
            done = done.and(write!(text, "S{} ", self.session));
        }
        done = done.and(write!(text, "{}: {}", printable(&self.actor), printable(&self.message)));
        for (name, value) in &self.fields {
            done = done.and(match value {
                Value::String(s) if !s.is_empty() && !s.contains([' ', '"', '=']) => {
                    write!(text, " {name}={}", printable(s))
                }
                // JSON's own escapes leave the control characters from 0x7f to 0x9f.
                other => write!(text, " {name}={}", printable(&other.to_string())),
            });
        }
        if done.is_err() {
            text.push_str(" (cut short)");
        }
        text
    }

    fn json(&self) -> String {
        let fields: Map<String, Value> =
            self.fields.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        let line = json!({
            "at": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "level": self.level.as_str(),
            "session": (self.session != 0).then_some(self.session),
            "actor": self.actor,
            "target": self.target,
            "message": self.message,
            "fields": fields,
        });
        format!("{line}\n")
    }
}

/// The actor that a module belongs to: `neo_actors::feed::core` is `feed`, `neo_store::thread` is `store`.
fn actor(target: &str) -> &str {
    if let Some(name) = panics::part() {
        return name;
    }
    let mut parts = target.split("::");
    match (parts.next(), parts.next()) {
        (Some("neo" | "neo_actors"), Some(module)) => module,
        (Some(krate), _) => krate.strip_prefix("neo_").unwrap_or(krate),
        (None, _) => target,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    actor: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("actor", Value::String(text)) => self.actor = Some(text),
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.push(field, text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `events` under a log of its own; gives what standard error and the file got.
    fn logged(level: &str, events: impl FnOnce()) -> (String, Vec<Value>) {
        let clock: fn() -> DateTime<Utc> = || DateTime::from_timestamp_millis(1_776_540_079_123).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::default();
        let screen = Screen::start(Devices {
            print: Box::new(io::sink()),
            log: Some(Box::new(sink.clone())),
            block: None,
            log_shares_terminal: false,
        })
        .unwrap();
        let file = Rolling::open(dir.path(), "neo", 3, clock()).unwrap();
        let path = rolling::path(dir.path(), "neo", clock().date_naive());
        let lost = Arc::new(AtomicU64::new(0));
        let file = LogFile::start(file, Arc::clone(&lost), Duration::from_secs(30)).unwrap();
        let shared = Arc::new(Shared { file, lost });
        let lines = Lines { shared: Arc::clone(&shared), screen: screen.clone(), color: false, clock };
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(targets(level).unwrap()));
        tracing::subscriber::with_default(subscriber, events);
        assert!(screen.flush(Duration::from_secs(30)));
        let written = std::fs::read_to_string(path).unwrap();
        let lines = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let human = String::from_utf8(sink.0.lock().clone()).unwrap();
        assert_eq!(shared.lost.load(Ordering::Relaxed), 0);
        (human, lines)
    }

    #[test]
    fn both_outputs_name_the_session_the_actor_and_the_fields() {
        set_session(39);
        let (human, json) = logged("info", || {
            tracing::warn!(target: "neo_actors::feed::core", silent_ms = 20_000, node = "a b", "the node is silent");
            tracing::error!(target: "neo::supervisor", actor = "orders", error = %"gone", "lost");
        });
        assert_eq!(
            human,
            "19:21:19.123Z WARN  S39 feed: the node is silent silent_ms=20000 node=\"a b\"\n\
             19:21:19.123Z ERROR S39 orders: lost error=gone\n"
        );
        assert_eq!(
            json[0],
            json!({"at": "2026-04-18T19:21:19.123Z", "level": "WARN", "session": 39, "actor": "feed",
                "target": "neo_actors::feed::core", "message": "the node is silent",
                "fields": {"silent_ms": 20_000, "node": "a b"}})
        );
        assert_eq!((&json[1]["actor"], &json[1]["fields"]["error"]), (&json!("orders"), &json!("gone")));
    }

    #[test]
    fn text_of_a_hostile_node_cannot_steer_the_terminal_or_fake_a_line() {
        let (human, json) = logged("info", || {
            tracing::info!(target: "neo_ledger", reply = "x\x1b[2J\n12:00 INFO fake", said = %"a\nb", "told\u{9b}2J");
        });
        assert_eq!(human.lines().count(), 1, "{human}");
        assert!(!human.trim_end().chars().any(char::is_control), "{human:?}");
        assert_eq!(json[0]["fields"]["reply"], "x\x1b[2J\n12:00 INFO fake");
    }

    #[test]
    fn libraries_stay_quiet_and_bad_levels_are_refused() {
        let (_, json) = logged("debug", || {
            tracing::debug!(target: "neo_store::thread", "ours");
            tracing::info!(target: "tokio_tungstenite", "theirs");
            tracing::warn!(target: "tokio_tungstenite", "theirs, but important");
        });
        let said: Vec<_> = json.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(said, ["ours", "theirs, but important"]);
        let (_, json) = logged("error,neo_actors::feed=debug", || {
            tracing::debug!(target: "neo_actors::feed", "wanted");
            tracing::info!(target: "neo_actors::orders", "not wanted");
        });
        assert_eq!(json.len(), 1);
        let refused = targets("loud").unwrap_err().to_string();
        assert!(refused.contains("\"loud\"") && refused.contains("use error, warn"), "{refused}");
        assert!(targets("neo=loud").is_err());
    }

    #[test]
    fn the_actor_comes_from_the_module() {
        for (target, name) in [
            ("neo_actors::orders::core", "orders"),
            ("neo::supervisor", "supervisor"),
            ("neo_store::thread", "store"),
            ("neo", "neo"),
            ("tokio", "tokio"),
        ] {
            assert_eq!(actor(target), name);
        }
        std::thread::spawn(|| {
            panics::set_part("feed");
            assert_eq!(actor("neo_ledger::client"), "feed");
        })
        .join()
        .unwrap();
    }
}

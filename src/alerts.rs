//! Alerts: a program of the operator's is run when somebody should look, with one JSON object on its standard input.
//!
//! What is worth an alert and how often is decided in [`core`]; [`command`] runs the program on a thread of its own. Nobody
//! waits for it, and that it fails is logged and counted but is no fault of the engine.

pub mod command;
pub mod core;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::config::Alerts as Settings;

/// Longest text in an alert, in characters: the whole object fits into a pipe that nobody reads.
const TEXT_MAX: usize = 1_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An actor or a thread was lost, or the session ended by a fault.
    Fault,
    /// The engine has not quoted for long.
    Pause,
    /// The engine dies again and again: it is not started any more.
    CrashLoop,
    /// A reader keeps the write-ahead log from being written back.
    CheckpointBlocked,
    /// The disk has little room left.
    DiskLow,
    /// A trigger tripped.
    Risk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Fault, Kind::Pause, Kind::CrashLoop, Kind::CheckpointBlocked, Kind::DiskLow, Kind::Risk];

    /// The word in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Fault => "fault",
            Kind::Pause => "pause",
            Kind::CrashLoop => "crash_loop",
            Kind::CheckpointBlocked => "checkpoint_blocked",
            Kind::DiskLow => "disk_low",
            Kind::Risk => "risk",
        }
    }
}

/// The object that the program reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What happened.
    pub kind: Kind,
    /// When, UTC.
    #[serde(serialize_with = "utc")]
    pub at: DateTime<Utc>,
    /// In words, for people.
    pub text: String,
    /// Alerts of this kind that were held back since the last one that was sent.
    pub held_back: u64,
    /// The session; absent outside of one.
    pub session: Option<i64>,
    /// The record.
    pub db: PathBuf,
    /// The engine's process.
    pub pid: u32,
}

fn utc<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

impl Alert {
    /// One line of JSON, short enough for a pipe.
    ///
    /// # Errors
    /// [`serde_json::Error`] for a path that is no Unicode.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let text = self.text.chars().take(TEXT_MAX).collect();
        let mut line = serde_json::to_string(&Alert { text, ..self.clone() })?;
        line.push('\n');
        Ok(line)
    }
}

/// Tells a crash loop and waits for the program to end: for the one who restarts the engine and now gives up. Without
/// `[alerts] command` nothing is done.
///
/// # Errors
/// Why the program did not do its work.
pub fn tell_crash_loop(settings: &Settings, db: &std::path::Path, text: &str) -> Result<(), command::Failure> {
    if settings.command.is_empty() {
        return Ok(());
    }
    let alert = Alert {
        kind: Kind::CrashLoop,
        at: neo_actors::clock::now(),
        text: text.to_string(),
        held_back: 0,
        session: None,
        db: db.to_path_buf(),
        pid: std::process::id(),
    };
    command::run(&settings.command, &alert, Duration::from_secs(settings.timeout_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_one_line_of_json_with_a_bounded_text() {
        let mut alert = Alert {
            kind: Kind::CheckpointBlocked,
            at: "2026-04-18T10:00:00Z".parse().unwrap(),
            text: "a \"reader\"\nblocks".to_string(),
            held_back: 2,
            session: Some(7),
            db: "data/neo.db".into(),
            pid: 42,
        };
        let expected = r#"{"kind":"checkpoint_blocked","at":"2026-04-18T10:00:00.000Z","text":"a \"reader\"\nblocks","held_back":2,"session":7,"db":"data/neo.db","pid":42}"#;
        assert_eq!(alert.to_line().unwrap(), format!("{expected}\n"));
        alert.text = "é".repeat(100_000);
        assert!(alert.to_line().unwrap().len() < 4_096);
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}

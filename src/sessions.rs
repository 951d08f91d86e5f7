//! `neo sessions`: the sessions of a record, one a line.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use neo_market::Dec;
use neo_store::record::{EndReason, EndedAtSource, Mode};
use neo_store::{Reader, SessionRow};
use serde::Serialize;

use crate::dashboard::signed;
use crate::exit::ExitCode;
use crate::output::{Out, table};

/// Columns of numbers.
const RIGHT: [usize; 5] = [5, 6, 7, 8, 9];

/// One session of the list, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionLine {
    /// `S39`.
    pub session: String,
    /// Its number.
    pub number: i64,
    /// How it traded.
    pub mode: Mode,
    /// Real time of the start.
    pub started_at: DateTime<Utc>,
    /// Real time of the end; `None` while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    /// How `ended_at` came to be written.
    pub ended_at_source: Option<EndedAtSource>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Real seconds from start to end.
    pub duration_s: Option<i64>,
    /// Seconds between the close times of its first and last ledger.
    pub trading_s: Option<i64>,
    /// Fills that it recorded.
    pub fills: u64,
    /// Value at its first ledger.
    pub starting_value_rlusd: Option<Dec>,
    /// Value at its last ledger.
    pub ending_value_rlusd: Option<Dec>,
    /// Why that is unknown.
    pub ending_value_reason: Option<String>,
    /// The one minus the other, where both are known.
    pub value_change_rlusd: Option<Dec>,
    /// It is history from an old database.
    pub imported: bool,
}

/// Lists the sessions of `db`, the oldest first.
///
/// # Errors
/// [`neo_store::StoreError`], and what standard output refused.
pub fn run(db: &Path, json: bool, out: &mut Out) -> Result<ExitCode> {
    let rows = Reader::open(db)?.sessions()?;
    let lines: Vec<_> = rows.iter().map(SessionLine::new).collect();
    if json {
        for line in &lines {
            out.json_line(line)?;
        }
    } else if lines.is_empty() {
        out.line("no session yet; start one with `neo run`")?;
    } else {
        for line in listing(&lines) {
            out.line(&line)?;
        }
    }
    Ok(ExitCode::Clean)
}

impl SessionLine {
    /// The line of a stored session.
    #[must_use]
    pub fn new(row: &SessionRow) -> SessionLine {
        SessionLine {
            session: format!("S{}", row.number),
            number: row.number,
            mode: row.mode,
            started_at: row.started_at,
            ended_at: row.ended_at,
            ended_at_source: row.ended_at_source,
            end_reason: row.end_reason,
            duration_s: row.ended_at.map(|end| (end - row.started_at).num_seconds()),
            trading_s: trading_s(row),
            fills: row.fills,
            starting_value_rlusd: row.starting_value_rlusd,
            ending_value_rlusd: row.ending_value_rlusd,
            ending_value_reason: row.ending_value_reason.clone(),
            value_change_rlusd: value_change(row),
            imported: row.imported,
        }
    }

    fn cells(&self) -> Vec<String> {
        let value = |value: Option<Dec>| value.map_or_else(|| "-".to_string(), |value| format!("{value:.2}"));
        let how = match (self.end_reason, self.ended_at_source) {
            (_, Some(EndedAtSource::Imported)) => "imported".to_string(),
            (_, Some(source)) if self.imported => format!("imported ({source})"),
            (_, None) if self.imported => "imported".to_string(),
            (Some(reason), Some(EndedAtSource::Clean)) => reason.to_string(),
            (Some(reason), Some(source)) => format!("{reason} ({source})"),
            _ => "-".to_string(),
        };
        vec![
            self.session.clone(),
            // How the predecessor traded is not known, and a session of it is not open because its end is unknown.
            if self.imported { "-".to_string() } else { self.mode.to_string() },
            moment(self.started_at),
            self.ended_at.map_or_else(|| if self.imported { "not known" } else { "open" }.to_string(), moment),
            how,
            self.duration_s.map_or_else(|| "-".to_string(), duration),
            self.fills.to_string(),
            value(self.starting_value_rlusd),
            value(self.ending_value_rlusd),
            self.value_change_rlusd.map_or_else(|| "-".to_string(), signed),
        ]
    }
}

fn listing(lines: &[SessionLine]) -> Vec<String> {
    let heading = ["", "mode", "started (UTC)", "ended (UTC)", "how", "length", "fills", "start", "end", "result"];
    let heading = heading.map(str::to_string).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(lines.iter().map(SessionLine::cells)).collect();
    table(&rows, &RIGHT)
}

/// Ending minus starting value, where both are known and their difference is a number.
pub(crate) fn value_change(row: &SessionRow) -> Option<Dec> {
    let Ok(change) = row.ending_value_rlusd?.sub(row.starting_value_rlusd?) else { return None };
    Some(change)
}

/// Seconds between the close times of the first and the last ledger.
pub(crate) fn trading_s(row: &SessionRow) -> Option<i64> {
    let last = row.ending_close_time.or(row.last_close_time)?;
    Some((last - row.starting_close_time?).num_seconds())
}

/// A time for people: UTC, seconds.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Seconds for people: `30m 2s`.
pub(crate) fn duration(seconds: i64) -> String {
    humantime::format_duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::session;

    #[test]
    fn the_list_lines_up_and_says_how_each_ended() {
        let clean = session();
        let crashed = SessionRow {
            number: 40,
            ended_at_source: Some(EndedAtSource::Recovered),
            end_reason: Some(EndReason::Crash),
            ending_value_rlusd: None,
            ending_value_reason: Some("no snapshot".to_string()),
            fills: 0,
            ..session()
        };
        let open = SessionRow {
            number: 41,
            ended_at: None,
            ended_at_source: None,
            end_reason: None,
            ending_value_rlusd: None,
            ..session()
        };
        let lines: Vec<_> = [&clean, &crashed, &open].into_iter().map(SessionLine::new).collect();
        let listed = listing(&lines);
        let columns = [
            [
                "     mode  started (UTC)        ended (UTC)          ",
                "how                length  fills   start     end  result",
            ],
            [
                "S39  sim   2026-04-18 19:00:00  2026-04-18 19:30:02  ",
                "elapsed            30m 2s      3  100.00  101.26   +1.26",
            ],
            [
                "S40  sim   2026-04-18 19:00:00  2026-04-18 19:30:02  ",
                "crash (recovered)  30m 2s      0  100.00       -       -",
            ],
            [
                "S41  sim   2026-04-18 19:00:00  open                 ",
                "-                       -      3  100.00       -       -",
            ],
        ];
        assert_eq!(listed, columns.map(|halves| halves.concat()));
    }

    #[test]
    fn json_has_the_words_of_the_record() {
        let json = serde_json::to_value(SessionLine::new(&session())).unwrap();
        for (key, value) in [
            ("session", "S39"),
            ("mode", "sim"),
            ("ended_at_source", "clean"),
            ("end_reason", "elapsed"),
            ("ending_value_rlusd", "101.255"),
            ("value_change_rlusd", "1.255"),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        assert_eq!((&json["duration_s"], &json["trading_s"]), (&1802.into(), &1800.into()));
    }
}
